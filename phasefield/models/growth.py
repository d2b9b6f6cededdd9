"""How fast small fluctuations grow in a state at hand: what a step must follow while the pattern that they choose is made."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..grid import Grid
from .energy import EnergyModel
from .forces import felt
from .spectrum import Spectrum
from .unstable import UnstableCells

#: Ratio of curvatures up to which the growth of a front's foot is followed as that of any fluctuation.
_USUAL = 3.0
#: Wavenumbers at which growth is looked at, for the gradient term alone and with others.
_WAVES, _FINE = 48, 400


class Amplification:
    """The fastest growth of fluctuations about the mean of a state, over the wavenumbers that a grid holds.

    The energy is linearised over the values that the state takes (statistical linearisation: Roberts and Spanos, Random
    Vibration and Statistical Linearization, 1990, ch. 5): row j of H holds the secants of df/du_i between mean_j - s and
    mean_j + s with s = sqrt(3) times the fluctuation, which for a quartic energy and a Gaussian distribution is the average
    of the second derivatives. So the rate of a homogeneous state is that of Cahn's linear theory and falls to nothing by
    itself as phases form.

    Args:
        noise: relative size of fluctuations that are but round-off, which nothing needs to follow.

    Attributes:
        picks: places in a buffer that `waiting` asks for. moving: whether the rate of one and the same state depends on time.
    """

    def __init__(self, model: EnergyModel, grid: Grid, noise: float) -> None:
        self._noise = noise
        self._model = model
        self._felt = felt(model)
        self._compiled: Callable[[np.ndarray], np.ndarray] | None = None
        self.moving = bool(model.courses)
        fields = [f for f, _ in model.components]
        self._conserved = np.array([f.kinetics.conserved for f in fields])
        self.use([f.mobility for f in fields])
        self._spectrum = Spectrum(model)
        self._least, self._most = grid.wavenumbers
        self._unstable = UnstableCells(model, grid)
        self.picks = self._unstable.picks

    def use(self, mobilities: Sequence[float]) -> None:
        """Takes other mobilities of the components: references of laws follow them along a run."""
        self._root = np.sqrt(mobilities)

    def rate(self, mean: Sequence[float], fluctuation: Sequence[float], t: float = 0.0) -> float:
        """The largest growth rate, 1/time; 0 where nothing grows or the energy is not finite nearby.

        Args:
            mean, fluctuation: of every component, as in `Trial`. t: the time, for parameters that depend on it.
        """
        center, spread = np.array(mean), math.sqrt(3) * np.array(fluctuation)
        if self._model.lifting is not None:  # the integrator knows nothing of what walls add
            center = center + self._model.lifting.mean(t)
        scale = np.max(np.hypot(center, spread))
        if not np.max(spread) > self._noise * scale:
            return 0.0
        # Differences need a spread that survives rounding: what is nearly uniform is judged by the tangent.
        spread = np.maximum(spread, 1e-5 * scale)
        count = len(center)
        points = center[:, None] + np.hstack([np.diag(spread), -np.diag(spread)])
        forces = self._potentials(t)(points)
        hessian = (forces[:, :count] - forces[:, count:]) / (2 * spread)
        return self._fastest(hessian, t)

    def _fastest(self, hessian: np.ndarray, t: float) -> float:
        """The largest growth rate, 1/time, with these second derivatives; 0 where nothing grows or they are not finite."""
        hessian = 0.5 * (hessian + hessian.T)
        if not np.isfinite(hessian).all():
            return 0.0
        spectrum = self._spectrum.moved(t)
        depth = -float(np.linalg.eigvalsh(hessian)[0])
        if depth <= 0 and not spectrum.signed:
            return 0.0
        highest = min(self._most, spectrum.reach(depth) ** 2)
        # With the gradient term alone it is the mean that grows fastest, if it may; other symbols may have narrow minima.
        count = 1 if spectrum.plain and not self._conserved.any() else _WAVES if spectrum.plain else _FINE
        squares = np.geomspace(self._least, max(highest, self._least), count)
        if not self._conserved.all():
            squares[0] = 0.0  # grows with the mean
        mobility = self._root * np.where(self._conserved, np.sqrt(squares)[:, None], 1.0)
        inner = hessian + spectrum.along(np.sqrt(squares))[:, :, None] * np.eye(len(hessian))
        growth = -mobility[:, :, None] * inner * mobility[:, None, :]
        return max(0.0, float(np.linalg.eigvalsh(growth)[:, -1].max()))

    def measured(self, sample: Sequence[np.ndarray], fluctuation: Sequence[float], t: float = 0.0) -> float:
        """As `rate`, with the second derivatives averaged over cells of the state instead of over a Gaussian distribution.

        Phases are no Gaussian fluctuations: between those of a polynomial of high degree, where no cell is, the secants of
        `rate` may find a growth that is none.

        Args:
            sample: the state at `picks`, as found in its buffer. fluctuation: of every component, as in `Trial`. t: as in `rate`.
        """
        here = np.asarray(sample[0]).reshape(len(fluctuation), -1).astype(float)
        steps = 1e-5 * np.maximum(np.abs(here).max(axis=1), fluctuation)
        potentials, hessian = self._potentials(t), np.zeros((len(here), len(here)))
        for j in np.flatnonzero(steps):  # what is zero everywhere is neither stable nor unstable by itself
            moved = np.zeros((len(here), 1))
            moved[j] = steps[j]
            hessian[:, j] = ((potentials(here + moved) - potentials(here - moved)) / (2 * steps[j])).mean(axis=1)
        return self._fastest(hessian, t)

    def waiting(self, sample: Sequence[np.ndarray], fluctuation: Sequence[float], t: float = 0.0) -> float:
        """The largest growth rate, 1/time, in what lies in an unstable state ahead of fronts; 0 where little does.

        A front that its foot pulls into an unstable state is as fast as the foot grows (van Saarloos, Phys. Rep. 386 (2003) 29),
        and the foot is beneath all that errors are compared with. What it grows by is extrapolated together with what the
        stabiliser takes off again. So where the curvature of f elsewhere is more than `_USUAL` times that of the foot (for a
        quartic well it is twice), an error of third order is larger by as much, and the rate is given larger by the cube root.

        Args:
            sample: the state at `picks`, as found in its buffer. fluctuation: of every component, as in `Trial`. t: as in `rate`.
        """
        found, contrast = self._unstable(sample, fluctuation, self._potentials(t))
        if not found.size:
            return 0.0
        rate = self.rate(list(found.mean(axis=1)), list(found.std(axis=1)), t)
        return float(rate * max(1.0, (1 + contrast) / (1 + _USUAL)) ** (1 / 3))

    def _potentials(self, t: float) -> Callable[[np.ndarray], np.ndarray]:
        if self._compiled is None or self.moving:
            self._compiled = self._model.at(t).function(self._felt)
        return self._compiled
