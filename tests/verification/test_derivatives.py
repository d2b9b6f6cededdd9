"""The derivatives in use against complex steps (Squire and Trapp, SIAM Rev. 40 (1998) 110) on the energy as written, and those of
like components against each one's own."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from verify import PRESETS, model_of, ranges, specify

from phasefield.models import EnergyModel, stabilizers
from phasefield.simulation import build_model
from phasefield.symbolic import differentiate

STEP = 1e-30


def of(energy: str, components: int) -> EnergyModel:
    """A model with a conserved field c and ``components`` of u."""
    c = {"name": "c", "kinetics": "conserved", "mobility": 1.0, "kappa": 1.0}
    u = {"name": "u", "kinetics": "nonconserved", "mobility": 1.0, "kappa": 1.0, "components": components}
    return EnergyModel.build("test", energy, [c, u], {})


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


def by_hand(model: EnergyModel) -> tuple[list[sp.Expr], list[sp.Expr]]:
    """First and second derivatives, each taken by itself."""
    first = [differentiate(model.energy, s, "model.energy", model.text) for s in model.unknowns]
    return first, [sp.diff(p, s) for p, s in zip(first, model.unknowns, strict=True)]


@pytest.mark.parametrize("preset", PRESETS)
def test_derivatives_of_like_components_are_the_same_trees(preset: str) -> None:
    """The same kernels, compiled code and bits then follow."""
    model = build_model(specify(f"model={preset}", components=8))
    potentials, curvatures = by_hand(model)
    assert model.potentials == potentials
    assert model.curvatures == curvatures


@pytest.mark.parametrize(
    ("energy", "kinds"),
    [
        ("sum(u**4 - u**2) + sum(u**2)**2 + c*sum(u)", [0, 1, 1, 1, 1]),
        ("sum(u**4) + u_2**2", [0, 1, 2, 1, 1]),
        ("sum(u**4) + u_1*u_2 + u_3*u_4", [0, 1, 1, 3, 3]),
        ("sum(u**4) + u_1*u_2 + u_2*u_3 + u_3*u_4 + u_4*u_1", [0, 1, 2, 1, 2]),
        ("sum(u**4) + u_1*u_2**2 + u_3*u_4**2", [0, 1, 2, 3, 4]),
        ("c**2 + sum(abs(u)*u**2 + max(u, 0)**3)", [0, 1, 1, 1, 1]),
        ("c**2 + sum(exp(-3*u**2)*tanh(c - u))", [0, 1, 1, 1, 1]),
        ("c**2 + u_1**2 + u_2**2 + (1 + 1e-15)*u_3**2 + u_4**2", [0, 1, 1, 3, 1]),
        ("c**2", [0, 1, 1, 1, 1]),
    ],
)
def test_components_are_like_if_they_may_change_places(energy: str, kinds: list[int]) -> None:
    model = of(energy, 4)
    assert model.kinds == kinds
    potentials, curvatures = by_hand(model)
    assert model.potentials == potentials
    assert model.curvatures == curvatures


def test_stabilisers_are_those_of_every_component_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    energy = "sum(u**4/4 - u**2/2) + 3/4*(sum(u**2)**2 - sum(u**4)) + c**2*u_3**2/2 + (1 - c**2)**2"
    initial = np.random.default_rng(3).uniform(-0.2, 1.0, (6, 12, 12))
    found = stabilizers(of(energy, 5), initial)
    monkeypatch.setattr(EnergyModel, "kinds", property(lambda model: list(range(len(model.components)))))
    assert found == stabilizers(of(energy, 5), initial)
    assert found[0] != found[1] == found[5]


def test_forty_like_components_are_differentiated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[sp.Basic] = []
    whole = sp.Expr.diff
    monkeypatch.setattr(sp.Expr, "diff", lambda self, *s, **k: taken.append(self) or whole(self, *s, **k))
    model = of("sum(u**4/4 - u**2/2) + 3/4*(sum(u**2)**2 - sum(u**4)) + c**2", 40)
    stabilizers(model, np.random.default_rng(3).uniform(0, 1, (41, 8, 8)))
    # Energy and potential, for c and for u_1. SymPy goes through the method for their terms as well, which do not count.
    assert len([e for e in taken if e in (model.energy, *model.potentials)]) == 4
