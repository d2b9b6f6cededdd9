"""What of a request several processes do on shares of the image, by planes, so that none has the whole of it."""

from __future__ import annotations

from dataclasses import replace

from ..backend.selection import threads_of_rank
from ..images import Image
from ..mechanics.phases import MaterialSystem
from ..planes import NotShared
from .sensitivity import constants_of
from .settings import Request


def refuse(request: Request, system: MaterialSystem, more: bool) -> None:
    """Refuses what takes the whole image.

    Args:
        more: whether something is done with the results besides.

    Raises:
        NotShared: it is asked for.
    """
    derived = request.sensitivity
    if derived is None:
        derived = any(c.spread for c in constants_of(system, request.properties).values())
    whole = {
        f"boundary={request.boundary}": request.boundary != "periodic",
        "fields": request.fields,
        "certify": request.certify,
        f"solver.scheme={request.solver.scheme}": request.solver.scheme == "fourier",
        f"solver.preconditioner={request.solver.preconditioner}": request.solver.preconditioner == "green-schwarz",
        "solver.device=gpu": request.solver.device == "gpu",
        "sensitivity": derived,
        f"uncertainty={request.uncertainty}": more,
    }
    for what, asked in whole.items():
        if asked:
            raise NotShared(f"{what} takes it")


def on_this_rank(request: Request) -> Request:
    """The request as each rank computes it."""
    solver = replace(request.solver, device="cpu", threads=request.solver.threads or threads_of_rank())
    return replace(request, solver=solver, device=None, threads=None, descriptors=False)


def fit(image: Image, system: MaterialSystem, request: Request) -> Image:
    """An image that can be shared.

    Raises:
        NotShared: it cannot.
    """
    if image.kind == "fields" and (len(system.phases) == 1 or request.grains is not None):
        raise NotShared("grains are the connected pieces of its order parameters")
    if not image.planes.suits(image.shape):
        raise NotShared(f"{'x'.join(map(str, image.shape))} voxels are too few for the ranks")
    return image
