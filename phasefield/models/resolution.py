"""What a grid makes of a model, known before it runs: width of interfaces in cells, the waves that grow, and whether they fit.

Nothing here has a scale of its own: energies, fields and lengths may be in any unit.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..grid import UNLIKE, Grid
from .analysis import Array, Density, fastest_of, growth_rate, shortest_unstable
from .energy import EnergyModel
from .fields import OrderParameter
from .phases import Transition, transitions
from .spectrum import Spectrum

log = logging.getLogger("phasefield")

#: Cells from 5 to 95 % of an interface below which it sticks to the grid, and wavelengths in a domain below which it is its size
#: that decides about the structure.
CELLS, WAVES = 3.0, 3.0
#: Part of the way between two phases up to which values count as a homogeneous start.
_NEARLY = 0.5


@dataclass(frozen=True)
class Resolution:
    """How well a grid resolves a model.

    Attributes:
        spacing: largest cell size, length. extent: longest axis of the domain, length.
        widths: field -> width of its narrowest interface from 5 to 95 %, length; fields without interfaces are missing.
        wavelength: of the waves that grow fastest on the initial values, length; None where these are not nearly homogeneous, are
            stable, or grow everywhere alike.
        rate: of the fastest growth, 1/time: of these waves, or of the mean where it outgrows them; None if nothing grows.
        cutoff: shorter waves decay, length; None as for ``wavelength``.
        starved: whether every wave that would grow is longer than the domain admits, so that nothing happens.
        bare: unstable fields with kappa = 0, whose interfaces are as thin as the grid -> along which axes, and when, in words.
        still: why ``rate`` is None.
    """

    spacing: float
    extent: float
    widths: Mapping[str, float] = field(default_factory=dict)
    wavelength: float | None = None
    cutoff: float | None = None
    starved: bool = False
    bare: Mapping[str, str] = field(default_factory=dict)
    rate: float | None = None
    still: str = ""

    @property
    def cells(self) -> dict[str, float]:
        """Field -> width of its narrowest interface in cells."""
        return {name: width / self.spacing for name, width in self.widths.items()}

    @property
    def waves(self) -> float | None:
        """How many of the fastest waves the domain holds."""
        return None if self.wavelength is None else self.extent / self.wavelength

    @property
    def summary(self) -> str:
        """One line; empty if there is nothing to say."""
        parts = []
        if cells := self.cells:
            shown = ", ".join(f"{name} {n:.3g}" for name, n in cells.items())
            parts.append(f"interface width (5 to 95 %) in cells: {shown}")
        if self.wavelength is not None:
            parts.append(
                f"fastest wavelength {self.wavelength / self.spacing:.3g} cells, {self.waves:.3g} of them in the domain"
            )
        return "; ".join(parts)

    @property
    def warnings(self) -> list[str]:
        """What will go wrong, with what to do."""
        found = []
        for name, n in self.cells.items():
            if n < CELLS:
                found.append(
                    f"the interface of {name} is {n:.2g} cells wide (5 to 95 %): below {CELLS:g} it sticks to the grid, on which "
                    f"results then depend; take cells {CELLS / n:.3g} times smaller (grid.length, grid.shape) or "
                    f"model.fields.{name}.kappa {(CELLS / n) ** 2:.3g} times larger"
                )
        for name, where in self.bare.items():
            found.append(
                f"model.fields.{name}.kappa = 0{where} where the energy is unstable: the finest waves grow fastest, so that "
                "results depend on the grid; give it kappa > 0"
            )
        if self.starved and self.cutoff is not None:
            found.append(
                f"nothing can grow: waves shorter than {self.cutoff:.3g} decay, and the domain, {self.extent:.3g} long, holds "
                "no longer ones; take a larger grid.length"
            )
        elif self.waves is not None and self.waves < WAVES:
            found.append(
                f"the domain holds only {self.waves:.2g} of the fastest growing waves, {self.wavelength:.3g} long: its size "
                "decides about the structure; take a larger grid.length"
            )
        return found


def resolution(model: EnergyModel, grid: Grid, sample: Array) -> Resolution | None:
    """How well a grid resolves a model, or None for an energy that cannot be told about.

    Args:
        sample: cells of the initial values, extremes among them, shape ``(components, n)``; the last column is the mean.
    """
    try:
        with np.errstate(all="ignore"):
            return _resolution(model, grid, sample)
    except Exception as error:  # advice must not keep a run from starting
        log.debug("what the grid resolves was not found: %s: %s", type(error).__name__, error)
        return None


def _resolution(model: EnergyModel, grid: Grid, sample: Array) -> Resolution:
    density = Density(model)
    spectrum = Spectrum(model)
    found = transitions(model, density, sample) if confined(model) else []
    spacing, extent = max(a.spacing for a in grid.axes), max(grid.lengths)
    widths = _widths(model, found)
    bare: dict[str, str] = {}
    wavelength = cutoff = rate = None
    starved = False
    still = "the start is not nearly homogeneous"
    mean = sample[:, -1]
    if _homogeneous(sample, found):
        hessian = density.hessian(mean, _scales(sample, found))
        unstable = np.diag(hessian) < 0
        kappas = np.array([f.kappa for f, _ in model.components])
        flagged = zip(model.components, unstable, kappas, strict=True)
        held = kappas.min() > 0 or math.isfinite(spectrum.reach(float(np.abs(hessian).max())))
        bare = {f.name: _where(f, grid) for (f, _), grows, kappa in flagged if grows and kappa == 0 and not held}
        still = "the mean of the start is outside the energy's domain" if held else "a field has kappa = 0"
        if np.isfinite(hessian).all() and held:
            k_fast, k_cut = fastest_of(model, hessian), shortest_unstable(model, hessian)
            wavelength = 2 * math.pi / k_fast if k_fast > 0 else None
            fastest = growth_rate(model, hessian, k_fast)
            rate = fastest if fastest > 0 else None
            still = "a homogeneous state of the mean of the start is stable against small fluctuations"
            if rate or (np.linalg.eigvalsh(hessian)[0] < 0 and spectrum.plain):
                still = "" if rate else "the mean of the start is unstable, but nothing moves without mobility"
            halves = {"periodic": 2.0, **dict.fromkeys(UNLIKE, 0.5)}  # of a wave along the axis, at least
            lowest = min(halves.get(a.boundary, 1.0) * math.pi / a.length for a in grid.axes)
            if k_cut > 0 and all(f.kinetics.conserved for f, _ in model.components):
                cutoff = 2 * math.pi / k_cut
                starved = lowest >= k_cut
    return Resolution(spacing, extent, widths, wavelength, cutoff, starved, bare, rate, still)


def _where(f: OrderParameter, grid: Grid) -> str:
    """Where a field's kappa is 0, that is so somewhere: along which axes if not all, and when if it depends on time."""
    axes = [name for name, kappa in zip(grid.names, f.kappas, strict=False) if not kappa]
    along = f" along {' and '.join(axes)}" if len(axes) < len(f.kappas) else ""
    return along + " at t = 0" * ("kappa" in f.courses)


def confined(model: EnergyModel) -> bool:
    """Whether interfaces are those of f and kappa alone: a symbol of another kind makes patterns in their place."""
    return Spectrum(model).plain


def _widths(model: EnergyModel, found: Sequence[Transition]) -> dict[str, float]:
    widths: dict[str, float] = {}
    for transition in found:
        for i, (f, _) in enumerate(model.components):
            if math.isfinite(width := transition.widths[i]) and width > 0:
                widths[f.name] = min(width, widths.get(f.name, math.inf))
    return widths


def _scales(sample: Array, found: Sequence[Transition]) -> Array:
    """How far apart values of every component lie."""
    jumps = [np.abs(t.end - t.start) for t in found]
    scale = np.max([np.ptp(sample, axis=1), *jumps], axis=0)
    return np.where(scale > 0, scale, np.where(sample[:, -1] != 0, np.abs(sample[:, -1]), 1.0))


def _homogeneous(sample: Array, found: Sequence[Transition]) -> bool:
    spread = np.ptp(sample, axis=1)
    if not found:
        return bool((spread == 0).all()) or len(sample) == 1
    jump = np.max([np.abs(t.end - t.start) for t in found], axis=0)
    return bool((spread <= _NEARLY * np.where(jump > 0, jump, np.inf)).all())
