"""Mobilities that depend on the normal, forces that derive from no energy, and the dendrite that has both."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from resumed import goes_on
from verify import field_values, run, specify

from phasefield import api
from phasefield.backend.operations import transforms_of
from phasefield.errors import ConfigError
from phasefield.simulation import Simulation
from phasefield.verify.pfhub import dendrite

DENDRITE = "experiment=pfhub/3a"


def test_fronts_are_as_fast_as_their_normal_says() -> None:
    """Both fronts of a layer against the travelling wave, v = 3 m M(n) sqrt(2 kappa/W) of f' = 2 W u (1 - u)(1 - 2 u - 3 m/W)."""
    sim = Simulation(
        specify(
            "model=allen_cahn", "model.energy=eta**2*(1 - eta)**2/2", "model.fields.eta.force=6*m*eta*(1 - eta)",
            "model.parameters.m=0.03", "model.fields.eta.mobility=1 + 0.3*n_x", "grid.shape=[160]", "grid.length=80",
            "initial.eta=(tanh((x - 25)/2) - tanh((x - 55)/2))/2", "time.end=60", "time.tolerance=0.01",
        )
    )  # fmt: skip
    x = sim.grid.axes[0].centers

    def ends() -> tuple[float, float]:
        u, half = field_values(sim)[0], len(x) // 2
        return float(np.interp(0.5, u[:half], x[:half])), float(np.interp(-0.5, -u[half:], x[half:]))

    left, right = ends() if run(sim, 20.0) else (0.0, 0.0)
    later = ends() if run(sim, 60.0) else (0.0, 0.0)
    v = 3 * 0.03 * math.sqrt(2 / 0.5)
    found = (left - later[0]) / 40 / v, (later[1] - right) / 40 / v
    print(f"speeds over that of M = 1: {found[0]:.4f} {found[1]:.4f}")
    assert found == pytest.approx((0.7, 1.3), rel=2e-3)


def test_the_normal_is_that_of_what_walls_hold() -> None:
    """A plane u = y/2 between walls of this slope has n = -e_y, and M(n) of it, though none of it is in modes."""
    sim = Simulation(
        specify(
            "model=allen_cahn", "model.energy=eta**2", "model.fields.eta.kappa=0.1", "model.fields.eta.mobility=1 + n_x**2/2",
            "model.fields.eta.walls={bottom: {slope: -0.5}, top: {slope: 0.5}}", "initial.eta=y/2", "grid.shape=[8,8]",
            "grid.length=8", "grid.boundary=no-flux", "time.adaptive=false", "time.dt=1e-4", "time.end=1",
        )
    )  # fmt: skip
    before = field_values(sim)[0].copy()
    sim.advance(1.0)
    found = (before - field_values(sim)[0]) / (2e-4 * before)
    np.testing.assert_allclose(found, 1.0, rtol=1e-3)


def test_transforms_of_a_step() -> None:
    """3 d of a phase whose gradient is taken for M, and none more where kappa has taken it."""

    def count(*keys: str) -> int:
        sim = Simulation(specify("model=allen_cahn", "grid.shape=[8,8]", *keys))
        return sum(t.components for t in transforms_of(sim.split.operations("work")))

    kappa = "model.fields.eta.kappa=(1 + 0.05*cos(4*theta))**2"
    assert count("model.fields.eta.mobility=1 + 0.3*cos(4*theta)") == 3 + 2
    assert count("model.fields.eta.mobility=1 + 0.3*cos(4*theta)", kappa) == 3 + 4
    assert count("model.fields.eta.mobility=1 + 0*n_x") == 2


def test_a_dendrite_begins_to_grow(tmp_path: Path) -> None:
    """PFHub 3a in small: tip, solid and energy at t = 10 as on fine grids with short steps, heat kept to the bit."""
    made = api.run(
        DENDRITE, "grid.shape=[64,64]", "time.end=10", "output.every=10", "device=cpu", "threads.cpu=1",
        "output.picture=false", f"output.dir={tmp_path / 'run'}",
    )  # fmt: skip
    history = made.history
    as_run = SimpleNamespace(path=tmp_path / "run", time=history.time.values, values=lambda name: history[name].values)
    found = dendrite.curves(as_run)  # type: ignore[arg-type]
    print({name: values.tolist() for name, values in found.items()}, int(history.step[-1]))
    assert found["tip_position"] == pytest.approx([8.0, 15.227], abs=0.02)
    assert found["solid_fraction"][1] == pytest.approx(1.944e-4, rel=3e-3)
    assert found["free_energy"][0] == pytest.approx(2.12223e6, rel=1e-4)  # uploads: 2.12222 to 2.12226
    assert float(np.ptp(history.mean_h.values)) < 1e-14
    x, y = made.fields.x.values, made.fields.y.values
    edge = dendrite._contour(x, y, made.fields.phi.isel(time=-1).transpose("x", "y").values)
    assert edge["x"].max() == pytest.approx(found["tip_position"][1], abs=0.2)
    assert edge["y"].max() == pytest.approx(edge["x"].max(), abs=1e-6)


@pytest.mark.slow
def test_resuming_gives_the_same_bits() -> None:
    goes_on(Simulation(specify(DENDRITE, "grid.shape=[32,32]", "time.end=10")), 10.0, 20, 10)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (("mobility=1 + 1.5*cos(4*theta)",), r"is -0.5 at n = \(.*\); it must be >= 0 in every direction"),
        (("mobility=eta + cos(4*theta)",), "depends on the normal and on eta, which do not go together"),
        (("mobility=1 + t*cos(4*theta)",), "depends on time by t"),
        (("mobility=1 + n_x/2", "kinetics=conserved"), "depends on the normal, and the field is conserved"),
        (("mobility=1 + n_x/2", "boundary"), "changes with a reflection across x, along which the grid has walls"),
        (("noise=0.1", "mobility=1 + n_x/2"), "needs a mobility that is a number"),
        (("force=z",), "z"),
        (
            ("kappa=1 + n_y**4/50", "walls={left: {slope: 1}}", "boundary"),
            "values or slopes of a field with a kappa that",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_used(keys: tuple[str, ...], message: str) -> None:
    own = [f"model.fields.eta.{key}" if key != "boundary" else "grid.boundary=no-flux" for key in keys]
    with pytest.raises(ConfigError, match=message):
        Simulation(specify("model=allen_cahn", "grid.shape=[8,8]", *own))
