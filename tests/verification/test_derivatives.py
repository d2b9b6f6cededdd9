"""The derivatives in use against complex steps (Squire and Trapp, SIAM Rev. 40 (1998) 110) on the energy as written."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from verify import PRESETS, model_of, ranges

STEP = 1e-30


@pytest.mark.parametrize("preset", PRESETS)
def test_potentials_and_hessian(preset: str) -> None:
    model = model_of(preset)
    expressions = [model.energy, *model.potentials]
    if any(e.has(sp.Piecewise, sp.Abs, sp.Max, sp.Min) for e in expressions):
        pytest.skip("the energy is not analytic")
    rng = np.random.default_rng(7)
    unknowns = model.unknowns
    points = np.array([m + a * rng.uniform(-1, 1, 200) for m, a in ranges(preset)[: len(unknowns)]])
    function = sp.lambdify(unknowns, [model.values(e) for e in expressions], modules="numpy")
    for j in range(len(unknowns)):
        moved = points.astype(complex)
        moved[j] += 1j * STEP
        slopes = np.array([np.broadcast_to(v, points.shape[1]) for v in function(*moved)]).imag / STEP
        exact = model.evaluate([model.potentials[j], *model.hessian[:, j]], points)
        for found, wanted in zip(slopes, exact, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12 * np.abs(wanted).max())
