"""How a tensor is made of its constants, and what each constant changes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..errors import ConfigError
from . import tensors
from .tensors import Array
from .uncertain import Constant

#: Constants of the crystal forms, Voigt.
CRYSTALS = {
    "cubic": ("C11", "C12", "C44"),
    "hexagonal": ("C11", "C12", "C13", "C33", "C44"),
    "tetragonal": ("C11", "C12", "C13", "C33", "C44", "C66"),
    "orthotropic": ("C11", "C22", "C33", "C12", "C13", "C23", "C44", "C55", "C66"),
}
ENGINEERING = ("E1", "E2", "E3", "nu12", "nu13", "nu23", "G12", "G13", "G23")
#: Step of the complex-step derivative, which cancels nothing, however small.
_STEP = 1e-30


@dataclass(frozen=True)
class Recipe:
    """A tensor by its constants.

    Attributes:
        form: ``isotropic``, one of `CRYSTALS`, ``engineering`` or ``matrix`` of a stiffness; ``scalar``, ``axial`` (a, c) or
            ``components`` of a tensor of order 2. constants: in their order.
    """

    form: str
    constants: tuple[Constant, ...]

    @property
    def values(self) -> dict[str, float]:
        return {c.name: c.value for c in self.constants}

    def with_values(self, values: Mapping[str, float]) -> Recipe:
        """The same of other values, by the names of the constants; those not named stay."""
        return replace(self, constants=tuple(replace(c, value=values.get(c.name, c.value)) for c in self.constants))

    def tensor(self, key: str) -> Array:
        """(6, 6) Mandel stiffness or (3, 3).

        Raises:
            ConfigError: constants that no stable material has.
        """
        return _tensor(self.form, self.values, key)

    def derivative(self, name: str) -> Array:
        """The derivative of the tensor by a constant, exact to rounding."""
        values = self.values
        if self.form == "isotropic":
            return _isotropic_derivative(values, name)
        if self.form == "engineering":
            compliance, change = _compliance(values), _compliance({**values, name: values[name] + 1j * _STEP})
            stiffness = np.linalg.inv(compliance.real)
            return tensors.from_voigt(-stiffness @ (change.imag / _STEP) @ stiffness)
        return _tensor(self.form, {n: float(n == name) for n in values}, "")  # all others are linear in theirs


def _tensor(form: str, c: Mapping[str, float], key: str) -> Array:
    if form == "isotropic":
        return tensors.isotropic_stiffness(*tensors.bulk_and_shear(c, key))
    if form == "engineering":
        compliance = _compliance(c).real
        if not np.isfinite(compliance).all() or np.linalg.matrix_rank(compliance) < 6:
            raise ConfigError(key, "its constants give no finite stiffness", "check the values and their units")
        return tensors.from_voigt(np.linalg.inv(compliance))
    if form == "cubic":
        return tensors.cubic_stiffness(*(c[n] for n in CRYSTALS[form]))
    if form == "hexagonal":
        return tensors.hexagonal_stiffness(*(c[n] for n in CRYSTALS[form]))
    if form == "tetragonal":
        a = (c["C11"], c["C11"], c["C33"], c["C12"], c["C13"], c["C13"], c["C44"], c["C44"], c["C66"])
        return tensors.orthotropic_stiffness(*a)
    if form == "orthotropic":
        return tensors.orthotropic_stiffness(*(c[n] for n in CRYSTALS[form]))
    if form == "matrix":
        voigt = np.zeros((6, 6))
        for name, value in c.items():
            i, j = int(name[1]) - 1, int(name[2]) - 1
            voigt[i, j] = voigt[j, i] = value
        return tensors.from_voigt(voigt)
    out = np.zeros((3, 3))
    for name, value in c.items():
        component = name.partition(".")[2]
        if form == "scalar":
            out += value * np.eye(3)
        elif form == "axial":
            out += value * np.diag([1.0, 1.0, 0.0] if component == "a" else [0.0, 0.0, 1.0])
        else:
            i, j = (tensors.AXES.index(letter) for letter in component)
            out[i, j] = out[j, i] = value
    return out


def _isotropic_derivative(values: Mapping[str, float], name: str) -> Array:
    first, second = sorted(values, key=tensors.ISOTROPIC.index)
    steps = [np.complex128(values[n] + (1j * _STEP if n == name else 0)) for n in (first, second)]
    bulk, shear = (complex(x).imag / _STEP for x in tensors.bulk_and_shear_of(first, second, *steps))
    return tensors.isotropic_stiffness(bulk, shear)


def _compliance(c: Mapping[str, complex]) -> Array:
    """Compliance of engineering constants, Voigt, complex."""
    s = np.zeros((6, 6), complex)
    with np.errstate(divide="ignore", invalid="ignore"):
        s[0, 0], s[1, 1], s[2, 2] = (1 / np.complex128(c[n]) for n in ("E1", "E2", "E3"))
        s[0, 1] = s[1, 0] = -c["nu12"] * s[0, 0]
        s[0, 2] = s[2, 0] = -c["nu13"] * s[0, 0]
        s[1, 2] = s[2, 1] = -c["nu23"] * s[1, 1]
        s[3, 3], s[4, 4], s[5, 5] = (1 / np.complex128(c[n]) for n in ("G23", "G13", "G12"))
    return s
