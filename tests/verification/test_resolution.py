"""Interface widths and growing waves told before a run, against closed forms and simulated profiles, in any unit."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import pytest
from verify import field_values, run, specify

import phasefield as pf
from phasefield.models import analysis
from phasefield.models.resolution import Resolution
from phasefield.problem import build_model, resolution_of
from phasefield.simulation import Simulation


def told(*overrides: str) -> Resolution:
    found = resolution_of(specify(*overrides))
    assert found is not None
    return found


def double_well(low: float, high: float, energy: float, length: float) -> tuple[str, ...]:
    """A double well of a height, between two values, whose natural length is given: all scales at will."""
    jump, mean = high - low, 0.5 * (low + high)
    return (
        "model=cahn_hilliard",
        f"model.parameters={{W: {energy / jump**4!r}, a: {low!r}, b: {high!r}}}",
        f"model.fields.c.kappa={energy * length**2 / jump**2!r}",
        f"initial.c={{kind: noise, mean: {mean!r}, amplitude: {0.05 * jump!r}}}",
        "grid.shape=[128,64]",
        f"grid.length=[{128 * length!r}, {64 * length!r}]",
    )


@pytest.mark.parametrize(
    ("low", "high", "energy", "length"),
    [
        (0, 1, 1, 1),
        (-1e-30, 1e-30, 1e-20, 1e-9),
        (0.0, 1e15, 1e12, 1e6),
        (1000.0, 1001.0, 1, 1),
        (0.95, 1.05, 1e9, 1e-8),
    ],
)
def test_double_wells_of_every_scale(low: float, high: float, energy: float, length: float) -> None:
    """c = (1 + tanh(x/(2 d)))/2 in units of the jump, d = sqrt(kappa/(2 W)): 2 ln(19) d from 5 to 95 %."""
    found = told(*double_well(low, high, energy, length))
    assert found.widths == {"c": pytest.approx(2 * math.log(19) * length / math.sqrt(2), rel=1e-3)}
    assert found.cells == {"c": pytest.approx(2 * math.log(19) / math.sqrt(2), rel=1e-3)}
    # f'' = -W jump^2 in the middle: the fastest wave is 2 pi sqrt(2 kappa/W)/jump long.
    assert found.wavelength == pytest.approx(2 * math.pi * math.sqrt(2) * length, rel=1e-2)
    assert found.cutoff == pytest.approx(2 * math.pi * length, rel=1e-2)
    assert found.waves == pytest.approx(128 / (2 * math.pi * math.sqrt(2)), rel=1e-2)
    assert not found.warnings


CLOSED = {
    "cahn_hilliard_landau": {"phi": 2 * math.sqrt(2) * math.atanh(0.9)},
    "allen_cahn": {"eta": 2 * math.sqrt(2) * math.atanh(0.9)},
    "spinodal": {"c": 2 * math.log(19) * math.sqrt(2 / (2 * 5 * 0.16))},
    # Moelans, Blanpain and Wollants (2008): eta = (1 + tanh(x sqrt(m/(2 kappa))))/2 for gamma = 1.5; m = 1/2, kappa = 2.
    "grain_growth": {"eta": 4 * math.atanh(0.9) * math.sqrt(2)},
}


@pytest.mark.parametrize("preset", CLOSED)
def test_presets_against_closed_forms(preset: str) -> None:
    found = told(f"model={preset}", *(["initial.eta.grains=3"] if preset == "grain_growth" else []))
    assert found.widths == {name: pytest.approx(width, rel=5e-3) for name, width in CLOSED[preset].items()}
    assert not found.warnings


def test_coupled_fields_against_a_simulated_profile() -> None:
    slab = "kind: slab, axis: x, position: 32, width: 2"
    sim = Simulation(
        specify(
            "model=precipitate", "grid.shape=[96]", "grid.length=64", "grid.boundary=no-flux",
            f"initial.c={{{slab}, inside: 0.7, outside: 0.3}}", f"initial.eta={{{slab}, inside: 1, outside: 0}}",
        )
    )  # fmt: skip
    x = sim.grid.axes[0].centers
    expected = {}
    for name, values in zip(("c", "eta"), field_values(run(sim, 60.0)), strict=True):
        part = (values.max() - values) / np.ptp(values)
        expected[name] = pytest.approx(np.diff(np.interp([0.05, 0.95], part, x))[0], rel=0.03)
    assert told("model=precipitate").widths == expected


def test_an_energy_without_a_bound() -> None:
    """That of the coupled preset falls for ever beyond its phases, which some of these starts run off to."""
    expected = told("model=precipitate").widths
    for seed in (1, 5):
        keys = ("grid.shape=[64,64]", "initial.c.count=4", "initial.eta.count=4", f"seed={seed}")
        assert told("model=precipitate", *keys).widths == pytest.approx(expected, rel=1e-6)


def test_phases_that_differ() -> None:
    """An asymmetric blend: the width is the integral between the phases of the common tangent."""
    spec = specify(
        "model=flory_huggins",
        "model.parameters={NA: 10, NB: 1, chi: 1.2}",
        "initial.phi={kind: noise, mean: 0.2, amplitude: 0.01}",
    )
    model = build_model(spec)
    a, b = analysis.binodal(model, (1e-9, 1 - 1e-9))
    f, mu = model.evaluate([model.energy, model.potentials[0]], np.array([[a, b]]))
    phi = np.linspace(a + 0.05 * (b - a), a + 0.95 * (b - a), 20001)
    excess = model.evaluate([model.energy], phi[None])[0] - f[0] - mu[0] * (phi - a)
    found = resolution_of(spec)
    assert found is not None
    assert found.widths["phi"] == pytest.approx(np.trapezoid(np.sqrt(1 / (2 * excess)), phi), rel=1e-4)
    assert found.wavelength is not None


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (("model.parameters.W=5",), ["1.9 cells wide", "kappa"]),
        (("model.fields.c.kappa=0.02",), ["cells wide"]),
        (("grid.length=0.1",), ["nothing can grow"]),
        (("grid.length=[20,4]",), ["of the fastest growing waves"]),
        (("model.fields.c.kappa=0",), ["kappa = 0 where"]),
        (("model.fields.c.kappa=[1,t]",), ["kappa = 0 along y at t = 0 where"]),
        (("model.fields.c.kappa=[0,1]",), ["kappa = 0 along x where"]),
        (("grid.length=[256,2560]",), ["0.42 cells wide"]),
        ((), []),
        # Nothing to say: one phase, a start in the wells, a flat energy, an energy of corners.
        (("model.energy=c**2/2",), []),
        (("initial.c={kind: circles, count: 3, radius: 9, width: 1}",), []),
        (("model.energy=0*c",), []),
        (("model.energy=abs(c)",), []),
        (("model.energy=1e300*exp(1e3*c)",), []),
    ],
    ids=str,
)
def test_warnings(keys: tuple[str, ...], words: list[str]) -> None:
    warnings = told("model=cahn_hilliard", "grid.shape=[256,256]", *keys).warnings
    assert len(warnings) == len(words[:1])
    assert all(word in warnings[0] for word in words)


def test_a_run_tells(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="phasefield"):
        pf.run(
            "model.parameters.W=5", "grid.shape=[32,32]", "time.end=0.01", "device=cpu", f"output.dir={tmp_path}/run"
        )
    for text in (caplog.text, (tmp_path / "run" / "run.log").read_text()):
        assert (
            text.count("interface width (5 to 95 %) in cells: c 1.86; fastest wavelength 3.97 cells, 8.05 of them") == 1
        )
        assert text.count("1.9 cells wide") == 1
    assert pf.resolution("model=spinodal").summary.startswith("interface width (5 to 95 %) in cells: c 6.58;")
