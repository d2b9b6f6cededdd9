"""Preconditioners of cell problems, and which of them is worth its while.

- ``green``: the Green operator of a homogeneous medium on the same grid. Iterations are bounded by the contrast, independent of
  the grid, and few for sharp phases.
- ``green-jacobi``: the same between two diagonal scalings by the local stiffness, which is what smoothly varying properties need
  (Ladecky, Leute, Falsafi, Pultarova, Pastewka, Junge and Zeman, Appl. Math. Comput. 446 (2023) 127835).
- ``green-schwarz``: the Green operator plus a solve on the nodes at the soft side of laminate voxels (see
  `backend.voxel.surface`), which laminates of high contrast need.

Another one is a class with the contract of `conjugate_gradients.Preconditioner`, a name in `options.PRECONDITIONERS` and a line
in `preconditioner`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic

import numpy as np

from ..backend.voxel import TensorField, VoxelOperators
from ..errors import ConfigError
from .conjugate_gradients import F, Preconditioner
from .medium import Medium
from .tensors import Array

#: Contrast above which the nodes at the soft side of laminate voxels are worth a solve of their own: it saves iterations
#: about as the root of the contrast, and costs with the share of cut voxels (fitted to times of balls and band-limited noise).
_HIGH_CONTRAST, _SURFACE_COST = 40.0, 100.0
#: Eigenvalue that the stiffest phase has with the Green operator, where the nodes of the surface have about 1 with theirs.
_TOP = 2.0
#: Power of the local stiffness that smooth fields are scaled by: with 1, a fourth more iterations at contrast 1000.
#: Laminate voxels gain nothing from powers below 1.
_SMOOTH_POWER = 0.9
#: Voxels that the choice of the preconditioner looks at, or somewhat more.
_LOOKED_AT = 1 << 21


class Green(Generic[F]):
    """The Green operator of a homogeneous medium.

    Args:
        reference: that medium, see `medium.reference_medium`. lowest: the lower bound of the spectrum, made when it is wanted.
    """

    name = "green"
    stepwise = False

    def __init__(
        self, operators: VoxelOperators[F, Any], reference: Array, lowest: Callable[[], float] | None = None
    ) -> None:
        self._operators, self.reference, self._lowest = operators, reference, lowest
        self.scaling: F | None = None

    @cached_property
    def lowest(self) -> float:
        return self._lowest() if self._lowest else 0.0

    def inner(self, w: F) -> Array:
        return np.asarray(self._operators.green(w, self.reference))

    @property
    def nbytes(self) -> int:
        return 0


class GreenJacobi(Green[F]):
    """The Green operator between two scalings by the local stiffness."""

    name = "green-jacobi"

    def __init__(
        self, operators: VoxelOperators[F, Any], reference: Array, tensors: TensorField, medium: Medium
    ) -> None:
        super().__init__(operators, reference)
        power = 1.0 if medium.has_cut else _SMOOTH_POWER
        scaling: Any = operators.corner_mean(tensors, medium.geometric_means, -power / 2)
        self.scaling = scaling
        self._nbytes = int(scaling.nbytes)

    @property
    def nbytes(self) -> int:
        return self._nbytes


class GreenSchwarz(Green[F]):
    """The Green operator plus a solve on the nodes at the soft side of laminate voxels."""

    name = "green-schwarz"
    stepwise = True

    def __init__(
        self, operators: VoxelOperators[F, Any], reference: Array, tensors: TensorField, medium: Medium
    ) -> None:
        used = medium.used
        lowest = float(used.min() / used.max()) * _TOP
        super().__init__(operators, reference * (float(used.max()) / _TOP), lambda: lowest)
        self.surface = operators.surface(tensors, medium.stiff)

    def inner(self, w: F) -> Array:
        self.surface.solve(w)
        return np.asarray(self._operators.green(w, self.reference) + self.surface.add(w))

    @property
    def nbytes(self) -> int:
        return self.surface.nbytes


def preconditioner(
    name: str,
    operators: VoxelOperators[F, Any],
    reference: Array,
    tensors: TensorField,
    medium: Medium,
    lowest: Callable[[], float] | None = None,
) -> Preconditioner[F]:
    """The preconditioner of a name, for ``auto`` what `choice` takes.

    Args:
        lowest: the lower bound of the spectrum with the Green operator of ``reference``, where there is one.

    Raises:
        ConfigError: it cannot be used here.
    """
    chosen = choice(name, medium, operators.has_surface)
    if chosen == "green-jacobi":
        return GreenJacobi(operators, reference, tensors, medium)
    if chosen == "green-schwarz":
        return GreenSchwarz(operators, reference, tensors, medium)
    return Green(operators, reference, lowest)


def choice(wanted: str, medium: Medium, surface: bool) -> str:
    """Green-Schwarz for laminate voxels of high contrast, Green-Jacobi if properties vary smoothly from voxel to voxel,
    else Green.

    Args:
        surface: whether the operators have a solver on the soft side of cut voxels.

    Raises:
        ConfigError: the one that is wanted cannot be used here.
    """
    used, cut, planes = medium.used, medium.cut, medium.planes
    if wanted != "auto":
        if wanted != "green" and used.min() <= 0:
            raise ConfigError("solver.preconditioner", f"is {wanted}, which cannot be used with voids", "use green")
        if wanted == "green-schwarz" and not surface:
            raise ConfigError(
                "solver.preconditioner",
                f"is {wanted}, which the Fourier scheme and several processes lack",
                "use green",
            )
        return wanted
    if used.min() <= 0 or used.max() < 3 * used.min():
        return "green"
    if medium.has_cut:
        share = 0.0 if cut is None else medium.weights[: len(cut)][cut].sum()
        longer = 1 + _SURFACE_COST * float(planes.sum(share))
        worth = used.max() > _HIGH_CONTRAST * longer**2 * used.min()
        return ("green-schwarz" if surface else "green-jacobi") if worth else "green"
    jumps = _jumps(np.log(np.maximum(medium.stiff, used.min())), medium)
    # The jump that half of the whole change is made in: large if phases meet sharply.
    ordered = np.sort(jumps)[::-1]
    sums = np.cumsum(ordered)
    typical = ordered[np.searchsorted(sums, sums[-1] / 2)] if len(ordered) else 0.0
    return "green-jacobi" if typical < 0.4 * np.log(used.max() / used.min()) else "green"


def _jumps(value: Array, medium: Medium) -> Array:
    """Changes of the entries' ``value`` from voxel to voxel."""
    index, planes = medium.index, medium.planes
    # Layers at even distances tell as much of a large image as all of them, which would take longer than solving on a GPU.
    layers = np.arange(0, planes.shape(index.shape)[0], -(-medium.voxels // _LOOKED_AT))
    if planes.shared:
        mine = planes.mine
        layers = layers[(layers >= mine.start) & (layers < mine.stop)] - mine.start
    seen = index[layers]
    here = value[seen]
    jumps = []
    for d in range(3):
        if index.shape[d] > 1:
            step = np.abs(here - value[index[layers - 1] if d == 0 else np.roll(seen, 1, d)])
            jumps.append(step[step > 1e-9])
    return planes.collected(np.concatenate(jumps))
