"""The grid: shape, lengths and boundary per axis, and the eigenbasis of the Laplacian that follows from them.

Every operator of the solver is a real function of the Laplacian's eigenvalues, so an axis is fully described by its
eigenbasis: complex exponentials (``periodic``), cosines (``no-flux``), sines (``fixed``), or quarter waves between two walls
that differ (``fixed-no-flux``, ``no-flux-fixed``). Cells are centred: cell ``i`` of an axis of ``n`` cells and length ``l`` sits
at ``(i + 1/2) l/n``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .errors import ConfigError, ExpressionError
from .units import power as unit_power

AXIS_NAMES = ("x", "y", "z")
BOUNDARIES = ("periodic", "no-flux", "fixed")
#: Boundaries whose two walls differ, the first wall named first.
UNLIKE = ("fixed-no-flux", "no-flux-fixed")
#: The boundary that a field's derivative along the axis fits: its eigenfunctions are the derivatives of the others.
_FLIPPED = {
    "periodic": "periodic",
    "no-flux": "fixed",
    "fixed": "no-flux",
    "fixed-no-flux": "no-flux-fixed",
    "no-flux-fixed": "fixed-no-flux",
}
#: The eigenbasis of every boundary, where not all are periodic.
_REAL = {
    "periodic": "halfcomplex",
    "no-flux": "dct",
    "fixed": "dst",
    "no-flux-fixed": "dct4",
    "fixed-no-flux": "dst4",
}
_BASES = {"dct": "dst", "dst": "dct", "dct4": "dst4", "dst4": "dct4"}


@dataclass(frozen=True)
class Axis:
    """One axis of the grid.

    Attributes:
        n: number of cells.
        length: length in the model's unit of length.
        boundary: ``periodic`` (values and derivatives wrap), ``no-flux`` (normal derivatives vanish: DCT-II), ``fixed``
            (the field vanishes on the walls: DST-II), ``fixed-no-flux`` (it vanishes on the first wall, its derivative on the
            last: DST-IV) or ``no-flux-fixed`` (DCT-IV).
        basis: ``fft`` (full complex), ``rfft`` (halved complex), ``halfcomplex`` (real layout of the periodic basis, used
            when another axis is not periodic), ``dct``, ``dst``, ``dct4`` or ``dst4``.
    """

    n: int
    length: float
    boundary: str
    basis: str

    @property
    def spacing(self) -> float:
        return self.length / self.n

    @cached_property
    def centers(self) -> NDArray[np.floating]:
        """Cell centres, shape ``(n,)``."""
        return np.asarray((np.arange(self.n) + 0.5) * self.spacing)

    @property
    def modes(self) -> int:
        """Number of spectral indices."""
        return self.n // 2 + 1 if self.basis == "rfft" else self.n

    @cached_property
    def _mode(self) -> NDArray[np.floating]:
        """Mode number of every spectral index (cycles per length if periodic, half cycles otherwise)."""
        i = np.arange(self.n)
        if self.basis == "rfft":
            return np.arange(self.n // 2 + 1, dtype=float)
        if self.basis in ("fft", "halfcomplex"):
            return np.minimum(i, self.n - i).astype(float)
        return i + {"dst": 1.0, "dct": 0.0}.get(self.basis, 0.5)

    @property
    def mode_range(self) -> tuple[float, float]:
        """Smallest and largest mode number."""
        if self.boundary == "periodic":
            return 0, self.n // 2
        first = {"no-flux": 0, "fixed": 1}.get(self.boundary, 0.5)
        return first, first + self.n - 1

    @cached_property
    def k2(self) -> NDArray[np.floating]:
        """Squared wavenumber of every spectral index: minus the eigenvalue of the second derivative."""
        cycle = 2 * math.pi if self.boundary == "periodic" else math.pi
        return (cycle / self.length * self._mode) ** 2

    @cached_property
    def weight(self) -> NDArray[np.floating]:
        """Parseval weights: ``mean(u**2) = sum(weight * |u_hat|**2)`` with ``u_hat`` scaled so that the inverse is unscaled."""
        w = np.ones(self.k2.size)
        if self.basis in ("rfft", "halfcomplex"):
            self_conjugate = (self._mode == 0) | (2 * self._mode == self.n)
            w[~self_conjugate] = 2.0
        elif self.basis == "dct":
            w[1:] = 2.0
        elif self.basis == "dst":
            w[:-1] = 2.0
        elif self.basis in ("dct4", "dst4"):
            w[:] = 2.0
        return w

    @cached_property
    def mask(self) -> NDArray[np.floating]:
        """Two-thirds rule: 1 for the modes that are kept, 0 for those a quadratic product aliases onto them (Orszag 1971)."""
        highest = self.n / 2 if self.boundary == "periodic" else self.n
        return (self._mode < 2 / 3 * highest).astype(float)

    @property
    def flipped(self) -> Axis:
        """The axis in the other basis, that of derivatives: sines for cosines and cosines for sines."""
        return replace(self, boundary=_FLIPPED[self.boundary], basis=_BASES.get(self.basis, self.basis))

    @cached_property
    def partner(self) -> NDArray[np.integer]:
        """The index in this basis of what is differentiated, for every index of `flipped`; see `slope`."""
        i = np.arange(self.modes)
        if self.basis == "halfcomplex":
            return np.asarray(-i % self.n)  # real and imaginary part of a mode
        shift = {"dct": 1, "dst": -1}.get(self.basis, 0)
        return np.clip(i + shift, 0, self.n - 1) if shift else i

    @cached_property
    def slope(self) -> NDArray[np.floating]:
        """What differentiates along the axis: ``slope*u[partner]`` are the coefficients of du/dx in the basis of `flipped`.

        For complex modes it is the signed wavenumber, and the partner of a real part is minus the imaginary one of the same
        mode, of an imaginary part the real one. The highest mode, whose derivative vanishes at all cells or is not resolved, and
        what has no partner are 0. The convention of scaling is that of FFTW (FFTW 3.3 manual, section 4.8).
        """
        i = np.arange(self.modes)
        k = np.sqrt(self.k2)
        if self.basis == "dct":
            return np.append(-k[1:], 0.0)
        if self.basis == "dst":
            return np.append(0.0, k[:-1])
        if self.basis in ("dct4", "dst4"):
            return k if self.basis == "dst4" else -k
        signed = np.where(2 * i > self.n, -k, k)
        signed[2 * i == self.n] = 0.0
        return -signed if self.basis == "halfcomplex" else signed

    @property
    def norm(self) -> int:
        """Factor by which an unnormalised forward-inverse round trip multiplies the data."""
        return self.n if self.boundary == "periodic" else 2 * self.n


@dataclass(frozen=True)
class Grid:
    """A rectangular grid of cells in 1, 2 or 3 dimensions.

    Args:
        shape: number of cells per axis.
        lengths: length per axis, in the model's unit of length.
        boundary: boundary per axis, see `Axis`.
        units: the unit of length, ``1`` where it is not known; written to files.
    """

    shape: tuple[int, ...]
    lengths: tuple[float, ...]
    boundary: tuple[str, ...]
    units: str = field(default="1", compare=False)

    def __post_init__(self) -> None:
        """Raises ConfigError for what is no grid."""
        if not len(self.shape) == len(self.lengths) == len(self.boundary):
            counts = f"{len(self.shape)}, {len(self.lengths)} and {len(self.boundary)} entries"
            raise ConfigError("grid", f"has a shape, lengths and a boundary of {counts}; one for each axis is expected")
        for n, length, boundary in zip(self.shape, self.lengths, self.boundary, strict=True):
            if n != int(n) or n < 1:
                raise ConfigError("grid.shape", f"has {n!r} cells along an axis; a whole number is expected")
            if not 0 < length < math.inf:
                raise ConfigError("grid.length", f"is {length!r} along an axis; a finite number > 0 is expected")
            if boundary not in _FLIPPED:
                raise ConfigError("grid.boundary", f"is {boundary!r}; expected one of {', '.join(_FLIPPED)}")

    def length_unit(self, power: int = 1) -> str:
        """The unit of a length to a power, in words where the unit is not known."""
        if power == 0:
            return "1"
        return unit_power("length" if self.units == "1" else self.units, power)

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        periodic = all(b == "periodic" for b in self.boundary)

        def basis(d: int) -> str:
            if periodic:
                return "rfft" if d == self.dim - 1 else "fft"
            return _REAL[self.boundary[d]]

        return tuple(
            Axis(n, length, b, basis(d))
            for d, (n, length, b) in enumerate(zip(self.shape, self.lengths, self.boundary, strict=True))
        )

    def flipped(self, axes: Iterable[int]) -> Grid:
        """The grid of a field that was differentiated along these axes, each in the other basis.

        Raises:
            ValueError: there is no such axis.
        """
        flips = set(axes)
        if not flips <= set(range(self.dim)):
            raise ValueError(f"axes {sorted(flips)} of a grid with {self.dim} dimensions")
        kinds = tuple(_FLIPPED[b] if d in flips else b for d, b in enumerate(self.boundary))
        return replace(self, boundary=kinds)

    @property
    def dim(self) -> int:
        return len(self.shape)

    @property
    def names(self) -> tuple[str, ...]:
        return AXIS_NAMES[: self.dim]

    @property
    def complex_modes(self) -> bool:
        """Whether spectral coefficients are complex (all axes periodic) or real."""
        return self.axes[-1].basis == "rfft"

    @property
    def spectral_shape(self) -> tuple[int, ...]:
        return tuple(a.modes for a in self.axes)

    @cached_property
    def wavenumbers(self) -> tuple[float, float]:
        """Smallest (but zero) and largest squared wavenumber of the modes, 1/length^2."""
        # Without the arrays, whose length may be absurd before memory has been checked.
        ranges = [a.mode_range for a in self.axes]
        units = [((2 if a.boundary == "periodic" else 1) * math.pi / a.length) ** 2 for a in self.axes]
        least = sum(u * low**2 for u, (low, _) in zip(units, ranges, strict=True))
        if least == 0:
            least = min((u for u, (_, high) in zip(units, ranges, strict=True) if high), default=0.0)
        return least, sum(u * high**2 for u, (_, high) in zip(units, ranges, strict=True))

    @property
    def cells(self) -> int:
        return math.prod(self.shape)

    @property
    def volume(self) -> float:
        return math.prod(self.lengths)

    @property
    def cell_volume(self) -> float:
        return self.volume / self.cells

    @property
    def norm(self) -> int:
        """Factor of an unnormalised transform round trip."""
        return math.prod(a.norm for a in self.axes)

    def check_coordinates(self, used: Iterable[str], key: str, text: str) -> None:
        """Refuses an expression in a coordinate that the grid has not.

        Args:
            used: names in the expression. key: where it stands. text: the expression, to point at the fault.

        Raises:
            ExpressionError: there is such a coordinate.
        """
        for name in sorted(set(used) & set(AXIS_NAMES) - set(self.names)):
            found = re.search(rf"\b{name}\b", text)
            problem = f"coordinate {name} does not exist on a {self.dim}-D grid; it has {', '.join(self.names)}"
            raise ExpressionError(key, text, found.start() if found else 0, problem)

    def coordinates(self) -> tuple[NDArray[np.floating], ...]:
        """Cell centres per axis, shaped to broadcast over the grid."""
        return tuple(np.meshgrid(*(a.centers for a in self.axes), indexing="ij", sparse=True))
