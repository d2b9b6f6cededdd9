"""The levels of a run's field: the wells of the model that made it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import PhasefieldError
from ..images.raster import Array

#: Samples of the energy between which its wells are looked for.
_SAMPLES = 4001


def wells(config: Path, field: str, least: float, most: float) -> tuple[float, float] | None:
    """Values of a field in the two phases of the model that a run's configuration describes; None where it does not tell.

    Of a conserved field those that share a tangent of the energy, else its minima. A model of several fields, or with more wells
    than two, leaves open which of them are meant.

    Args:
        least, most: of the field; the wells are looked for between and about them.
    """
    from ..config import of_run, to_spec
    from ..models.analysis import binodal
    from ..simulation import build_model

    try:
        model = build_model(to_spec(of_run(config)))
        if len(model.components) != 1 or model.order_parameters[0].name != field:
            return None
        reach = 3 * max(most - least, abs(least), abs(most), 1.0)
        span = (least - reach, most + reach)
        tilt = 0.0
        if model.order_parameters[0].kinetics.conserved:
            a, b = binodal(model, span)
            (tilt, _) = model.evaluate([model.potentials[0]], np.array([[a, b]]))[0]
        at = np.linspace(*span, _SAMPLES)
        energy = model.evaluate([model.energy], at[None, :])[0] - tilt * at
        found = _minima(at, energy)
        if len(found) != 2:
            return None
        if model.order_parameters[0].kinetics.conserved:
            return a, b

        def slope(u: float) -> float:
            return float(model.evaluate([model.potentials[0]], np.array([[u]]))[0, 0])

        step = at[1] - at[0]
        low, high = (_root(slope, u - step, u + step) for u in found)
        return low, high
    except PhasefieldError:  # an old or foreign configuration, an energy without two phases
        return None


def _minima(at: Array, energy: Array) -> list[float]:
    """Where samples are lower than both neighbours, those outside the energy's domain left out."""
    good = np.isfinite(energy)
    at, energy = at[good], energy[good]
    inner = (energy[1:-1] < energy[:-2]) & (energy[1:-1] <= energy[2:])
    return [float(u) for u in at[1:-1][inner]]


def _root(slope: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function passes zero, by halving."""
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    root = 0.5 * (low + high)
    return root if not math.isclose(root, round(root), abs_tol=1e-9) else float(round(root))
