"""What the evidence beside a tensor says about its uncertainty: numerical and model parts.

Errors of voxels and solver are relative to energies: of two tensors whose energies under every load differ by less
than the share d, components differ by less than ``d sqrt(C_ii C_jj)``, as ``-d C <= D <= d C`` in the sense of Loewner holds for
every pair of loads. Hence the same for the difference of two tensors that are ordered, with their difference in place of d C.
The difference of mixing rules is relative to the norm of the tensor; in proportion to ``sqrt(C_ii C_jj)`` its components have a
norm of d tr C, which is no less than d |C|.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ..mechanics.tensors import Array
from .record import Estimate

#: The estimate of the voxel size covered the error of 96 % of a battery (docs/results/homogenization_battery.md): two standard
#: uncertainties, as of a normal distribution.
_COVERED = 2.0
#: Standard deviation over half the width of a uniform distribution, for limits and for alternatives of which none is preferred
#: (JCGM 100:2008, 4.3.7).
_UNIFORM = 1 / math.sqrt(3)


def share(tensor: Array, relative: float) -> Array:
    """What a relative error of the energies is in every component."""
    diagonal = np.sqrt(np.maximum(np.diagonal(tensor), 0))
    return relative * np.outer(diagonal, diagonal)


def numerical(tensor: Array, evidence: Mapping[str, float], tolerance: float) -> Estimate | None:
    """Voxels and solver; None where the voxel size was not estimated, for what is left is no more than a small part of it.

    Args:
        tensor: (6, 6) in any form or (3, 3). evidence: as homogenization gives it. tolerance: of the solver, of the property.
    """
    voxels = evidence.get("discretisation", math.nan)
    if not math.isfinite(voxels):
        return None
    both = math.hypot(voxels / _COVERED, tolerance * _UNIFORM)
    return Estimate(share(tensor, both), ("voxel size", "solver tolerance"))


def model(
    tensor: Array, evidence: Mapping[str, float], kinematic: Array | None, static: Array | None, sharp: bool
) -> Estimate | None:
    """Mixing rule and boundary condition.

    Args:
        kinematic, static: tensors under uniform strain and uniform traction, NaN where they were not computed.
        sharp: whether no voxel holds two phases, so that there is nothing to mix.
    """
    squares, contains, lacks = np.zeros_like(tensor), [], []
    spread = evidence.get("mixing_spread", math.nan)
    if math.isfinite(spread):
        squares += share(tensor, spread * _UNIFORM) ** 2
        contains.append("mixing rule")
    elif not sharp:
        lacks.append("mixing rule")
    if kinematic is not None and static is not None:
        # The periodic tensor lies somewhere between the two: uniform over their distance.
        squares += share(kinematic - static, _UNIFORM / 2) ** 2
        contains.append("boundary condition")
    else:
        lacks.append("boundary condition")
    return Estimate(np.sqrt(squares), tuple(contains), tuple(lacks)) if contains else None
