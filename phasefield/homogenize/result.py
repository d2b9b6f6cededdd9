"""An effective property with all that is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..mechanics.tensors import Array
from .loads import MeanFields

if TYPE_CHECKING:
    from .propagation import Propagation


@dataclass
class Result:
    """One effective property.

    Attributes:
        unit: of the tensor, SI. tensor: (6, 6) Mandel stiffness (its plane block is the only part that is not zero under plane
            stress), or (3, 3).
        iterations: per load. hill: the largest Hill-Mandel residual. evidence: named numbers, see `evidence`.
        bounds: of isotropic moduli (Hashin-Shtrikman), named pairs lower, upper. moduli: of the nearest isotropic tensor.
        voigt, reuss: bounds. coarse: the tensor on half the voxels per axis. preconditioner: of the solver.
        warnings: notes for the reader.
        fields: local fields by name, (loads, components, ...). fluctuations: of every load, to start the next solve from.
        components: numbers of the unit loads. mean: under the load of the settings. certified: lower and upper bound,
        see `certify`. boundary: tensors under other boundary conditions by name, of the components ``faces``.
        sensitivity: derivative of the tensor by every constant, (parameters, n, n), see `sensitivity.parameters`.
        propagation: what the uncertainties of the constants make of it.
    """

    name: str
    unit: str
    tensor: Array
    iterations: list[int]
    hill: float
    evidence: dict[str, float] = field(default_factory=dict)
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    moduli: dict[str, float] = field(default_factory=dict)
    voigt: Array | None = None
    reuss: Array | None = None
    coarse: Array | None = None
    fields: dict[str, Array] = field(default_factory=dict)
    fluctuations: list[np.ndarray] = field(default_factory=list)
    preconditioner: str = ""
    boundary: dict[str, Array] = field(default_factory=dict)
    faces: tuple[int, ...] = ()
    warnings: list[str] = field(default_factory=list)
    components: tuple[int, ...] = ()
    mean: MeanFields | None = None
    certified: dict[str, Array] = field(default_factory=dict)
    sensitivity: Array | None = None
    propagation: Propagation | None = None


def computed(tensor: Array, components: Sequence[int]) -> Array:
    """A tensor with NaN for the components that were not computed, of a sheet those out of its plane.

    Args:
        components: numbers of those that were; all if there are none.
    """
    if not components:
        return tensor
    out = np.full(tensor.shape, np.nan)
    block = np.ix_(components, components)
    out[block] = tensor[block]
    return out
