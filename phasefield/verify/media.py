"""Media to homogenize, made as a user makes them, and laminates, whose effective tensors are known exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..homogenize import Image, MaterialSystem, Options, Result, Settings, build, from_array, homogenize
from ..mechanics import tensors
from .problems import Machine

Array = np.ndarray
INF = math.inf


def phases(name: str, values: Sequence[Any], **strains: Sequence[Array]) -> MaterialSystem:
    """A material of phases with these numbers, tensors (stiffness: Mandel), or words."""
    out: dict[str, Any] = {}
    for number, value in enumerate(values):
        if isinstance(value, str):
            out[f"p{number}"] = value
            continue
        if name == "stiffness":
            entry: Any = {"stiffness": {"matrix": tensors.to_voigt(value).tolist()}}
        else:
            entry = {name: np.asarray(value, float).tolist()}
        out[f"p{number}"] = entry | {k: tensors.to_matrix(v[number]).tolist() for k, v in strains.items()}
    return build({"phases": out})


def effective(
    image: Image | Array,
    values: Sequence[Any],
    name: str = "conductivity",
    tolerance: float = 1e-7,
    machine: Machine | None = None,
    **more: Any,
) -> Result:
    """The answer without its estimates; arrays of floating-point numbers are fields from 0 to 1.

    Args:
        machine: where it is computed, by default where it would be anyway. more: settings, and the solver's scheme.
    """
    solver = Options if machine is None else machine.solver
    options = solver(tolerance=tolerance, scheme=more.pop("scheme", "q1"))
    if isinstance(image, np.ndarray):
        image = from_array(image, levels=[0, 1] if image.dtype.kind == "f" else None)
    more = {"two_grid": False, "mixing": False} | more
    (result,) = homogenize(image, phases(name, values), Settings(properties=(name,), solver=options, **more))
    return result


def word(k: float) -> float | str:
    """A conductivity as a material has it."""
    return "void" if k == 0 else "rigid" if k == INF else k


def grid(shape: Sequence[int], lengths: Sequence[float]) -> list[Array]:
    """Coordinates of the voxels' centres, from the middle of the cell."""
    axes = [((np.arange(n) + 0.5) / n - 0.5) * length for n, length in zip(shape, lengths, strict=True)]
    return list(np.meshgrid(*axes, indexing="ij"))


def tanh(distance: Array, width: float = 2.0) -> Array:
    """A field from the distance in voxels, positive in phase 1, with an interface of 4 voxels."""
    return np.asarray(0.5 * (1 + np.tanh(distance / width)))


def disk(n: int, fraction: float) -> Array:
    """A disk in a square cell of n voxels along an edge, with an interface of 4 voxels."""
    x, y = grid((n, n), (1, 1))
    return tanh((math.sqrt(fraction / math.pi) - np.hypot(x, y)) * n)


def disk_labels(n: int, fraction: float) -> Array:
    """The same as labels."""
    return (disk(n, fraction) > 0.5).astype(int)


def random_tensors(order: int, count: int, seed: int = 3) -> list[Array]:
    """Tensors without any symmetry."""
    a = np.random.default_rng(seed).normal(size=(count, order, order))
    return [m @ m.T + 0.5 * np.eye(order) for m in a]


def isotropic(**constants: float) -> Array:
    """A stiffness from two constants, such as E and nu."""
    return tensors.isotropic_stiffness(*tensors.bulk_and_shear(constants))


def inverted(
    parts: Sequence[Array], shares: Sequence[float], across: list[int], strain: Sequence[Array] | None = None
) -> Any:
    """Exact laminate by partial inversion: components ``across`` of the flux and the others of the gradient are uniform
    (Backus, J. Geophys. Res. 67 (1962) 4427). Returns the tensor, and the stress-free strain if the layers have one.
    """
    along = [i for i in range(len(parts[0])) if i not in across]
    n, t = np.ix_(across, across), np.ix_(along, along)
    nt = np.ix_(across, along)
    soft = [np.linalg.inv(c[n]) for c in parts]
    mean = lambda values: sum(w * v for w, v in zip(shares, values, strict=True))  # noqa: E731
    first = np.linalg.inv(mean(soft))
    mixed = mean([s @ c[nt] for s, c in zip(soft, parts, strict=True)])
    plane = [c[t] - c[nt].T @ s @ c[nt] for s, c in zip(soft, parts, strict=True)]
    out = np.zeros_like(parts[0])
    out[n], out[nt] = first, first @ mixed
    out[np.ix_(along, across)] = (first @ mixed).T
    out[t] = mean(plane) + mixed.T @ first @ mixed
    if strain is None:
        return out
    free = np.zeros(len(out))
    free[along] = np.linalg.solve(mean(plane), mean([p @ e[along] for p, e in zip(plane, strain, strict=True)]))
    free[across] = mean(
        [e[across] - s @ c[nt] @ (free[along] - e[along]) for s, c, e in zip(soft, parts, strain, strict=True)]
    )
    return out, free


#: Components of Mandel vectors with the normal along every axis; of plane ones (xx, yy, xy) along x.
ACROSS = ([0, 4, 5], [1, 3, 5], [2, 3, 4])
