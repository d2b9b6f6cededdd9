"""What is said of a run before it runs: numbers against closed forms, and no number where there is none."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from test_cli import TINY, Command, phasefield

import phasefield as pf
from phasefield.explaining.making import _records
from phasefield.models.equations import equations
from phasefield.schedule import Thinning, build

__all__ = ["phasefield"]

GRID = ("grid.shape=[64,64]", "grid.length=32", "device=cpu", "threads.cpu=1")
#: A double well with minima at -1 and 1 of which the second is deeper by D.
TILTED = "model.energy=W/4*(1-eta**2)**2 - D/4*(3*eta-eta**3)"


def explained(*overrides: str, **keys: object) -> pf.Explanation:
    return pf.explain(*GRID, *overrides, measure=False, **keys)


@pytest.mark.parametrize("scale", [1.0, 1e-9])
def test_a_double_well(scale: float) -> None:
    """W c^2 (1-c)^2, in units of energy of any size: c = 1/(1 + exp(-x sqrt(2 W/kappa)))."""
    w, kappa, mobility = 3.0 * scale, 0.7 * scale, 2.0 / scale
    found = explained(
        f"model.parameters.W={w!r}", f"model.fields.c.kappa={kappa!r}", f"model.fields.c.mobility={mobility!r}"
    )
    (p,), (i,) = found.theory.phases, found.theory.interfaces
    assert (p.low, p.high, p.standing, p.fraction) == (0.0, 1.0, "unstable", pytest.approx(0.5))
    root = math.sqrt(3) / 6
    assert p.unstable == (pytest.approx((0.5 - root, 0.5 + root), rel=1e-12),)
    assert i.energy == pytest.approx(math.sqrt(2 * kappa * w) / 6, rel=1e-10)
    assert i.widths["c"] == pytest.approx(2 * math.log(19) * math.sqrt(kappa / (2 * w)), rel=1e-8)
    r = found.resolution
    assert r is not None
    assert r.wavelength == pytest.approx(2 * math.pi * math.sqrt(2 * kappa / w), rel=1e-8)
    assert r.rate == pytest.approx(mobility * w**2 / (4 * kappa), rel=1e-9)  # M f''^2/(4 kappa), f''(1/2) = -W
    assert (found.theory.nucleus, "unstable" in found.theory.missing["nucleus"]) == (None, True)
    narrow = [line for line in found.to_text(64).splitlines() if len(line) > 64]  # formulas are not broken
    assert all(" = " in line for line in narrow)
    assert "".join(found.to_text(64).split()) == "".join(str(found).split())


@pytest.mark.parametrize("mean", [0.1, 0.9])
def test_the_nucleus_in_a_supersaturated_matrix(mean: float) -> None:
    """The parallel tangent of W c^2 (1-c)^2: the other roots of f'(c) = f'(mean) sum to 3/2 - mean."""
    found = explained(f"initial.c.mean={mean}")
    nucleus, (p,) = found.theory.nucleus, found.theory.phases
    assert nucleus is not None
    assert p.standing == "metastable"
    rest = 1.5 - mean
    roots = np.roots([1.0, -rest, 0.5 - mean * rest])
    phase = float(roots.max() if mean < 0.5 else roots.min())

    def f(c: float) -> float:
        return c**2 * (1 - c) ** 2

    driving = f(mean) + 2 * mean * (1 - mean) * (1 - 2 * mean) * (phase - mean) - f(phase)
    assert nucleus.phase == pytest.approx(phase, rel=1e-10)
    assert nucleus.driving == pytest.approx(driving, rel=1e-9)
    assert nucleus.radius == pytest.approx(math.sqrt(2) / 6 / driving, rel=1e-9)
    assert "no more than an order of magnitude" in str(found)


def test_the_nucleus_between_wells_of_different_depth() -> None:
    d, w, kappa = 0.02, 1.5, 0.8
    given = ("model=allen_cahn", TILTED, f"model.parameters={{W: {w}, D: {d}}}", f"model.fields.eta.kappa={kappa}")
    sigma = 2 * math.sqrt(2) / 3 * math.sqrt(kappa * w)
    for dim in (2, 3):
        found = explained(*given, f"grid.shape={[16] * dim}", "initial.eta=-0.97")
        nucleus = found.theory.nucleus
        assert nucleus is not None
        assert (nucleus.matrix, nucleus.phase) == (pytest.approx(-1), pytest.approx(1))
        assert found.theory.interfaces[0].energy == pytest.approx(sigma, rel=1e-9)
        assert nucleus.radius == pytest.approx((dim - 1) * sigma / d, rel=1e-8)
    assert "one dimension" in explained(*given, "grid.shape=[64]", "initial.eta=-0.97").theory.missing["nucleus"]
    assert "stable phase" in explained(*given, "initial.eta=0.97").theory.missing["nucleus"]
    assert "equally deep" in explained("model=allen_cahn", "initial.eta=0.97").theory.missing["nucleus"]


@pytest.mark.parametrize(("factor", "grows"), [(0.93, False), (1.07, True)])
def test_a_nucleus_grows_beyond_its_critical_radius(tmp_path: Path, factor: float, grows: bool) -> None:
    """In a run, where it is 2.3 interface widths large."""
    given = ("model=allen_cahn", TILTED, "model.parameters={W: 1, D: 0.1}", "grid.shape=[64,64]", "grid.length=64")
    nucleus = explained(*given, "initial.eta=-0.99").theory.nucleus
    assert nucleus is not None
    circle = {"kind": "circles", "centers": [[32, 32]], "radii": factor * nucleus.radius, "inside": 1, "outside": -1}
    start = {"eta": {**circle, "width": 1.414}}
    run = pf.run(*GRID, *given, "time.end=20", initial=start, output={"dir": tmp_path / "run"})
    area = run.fields.eta.sum(("x", "y")).values
    assert (area[-1] > area[2]) == grows  # the profile forms first


def test_flory_huggins() -> None:
    chi, na, nb = 1.9, 2.0, 1.0
    found = explained("model=flory_huggins", f"model.parameters={{chi: {chi}, NA: {na}, NB: {nb}}}")
    (p,) = found.theory.phases
    # 1/(NA phi) + 1/(NB (1 - phi)) = 2 chi.
    ends = np.sort(np.roots([2 * chi, 1 / nb - 1 / na - 2 * chi, 1 / na]))
    assert p.unstable == (pytest.approx(tuple(ends), rel=1e-11),)

    def mu(phi: float, other: bool) -> float:
        """Potential of either polymer per segment; both are alike in the phases (Flory 1953)."""
        one, n, m = (1 - phi, nb, na) if other else (phi, na, nb)
        return math.log(one) / n + (1 - one) * (1 / n - 1 / m) + chi * (1 - one) ** 2

    for other in (False, True):
        assert mu(p.low, other) == pytest.approx(mu(p.high, other), abs=1e-12)
    # Phases at the very ends of the domain: for long chains the dilute one is exp(-NA ...).
    steep = explained("model=flory_huggins", "model.parameters.chi=8", "initial.phi=1e-3").theory
    assert steep.phases[0].high - 0.5 == pytest.approx(0.5 - steep.phases[0].low, rel=1e-12)
    low, high = steep.phases[0].low, steep.phases[0].high
    assert math.log(low / high) == pytest.approx(-8 * (1 - 2 * low), rel=1e-9)
    assert steep.nucleus is not None
    na, chi, nb = 1000.0, 1.2, 1.0
    (p,) = explained("model=flory_huggins", f"model.parameters={{chi: {chi}, NA: {na}, NB: {nb}}}").theory.phases
    assert 0 < p.low < 1e-30
    for other in (False, True):
        assert mu(p.low, other) == pytest.approx(mu(p.high, other), abs=1e-10)


def test_what_is_not_defined_is_no_number() -> None:
    single = explained("model.energy=W*(c-a)**2 + 0*b").theory
    assert (single.phases, single.interfaces, single.nucleus) == ((), (), None)
    assert "single phase" in single.missing["phases"]
    two = explained("model=precipitate", "initial.c.count=3", "initial.eta.count=3", "grid.length=128").theory
    assert (two.phases, two.nucleus, two.interfaces[0].bound) == ((), None, True)
    assert "couples several components" in two.missing["spinodal"]
    grains = explained("model=grain_growth", "model.fields.eta.components=4", "initial.eta.grains=3")
    # The path is straight and the bound exact: sqrt(2 kappa m)/3 (Moelans et al. 2008), with kappa = 2 and m = 1/2.
    assert grains.theory.interfaces[0].energy == pytest.approx(2**0.5 / 3, rel=1e-9)
    assert [e.alike for e in grains.theory.equations] == [("eta_2", "eta_3", "eta_4")]
    assert "at most 0.471405" in str(grains)
    kinked = explained("model.energy=c**2 - abs(c) + 0*a*b*W", "initial.c.mean=0")
    assert (kinked.theory.phases, kinked.theory.interfaces) == ((), ())
    assert "not convex" in kinked.theory.missing["phases"]
    still = explained("model.fields.c.mobility=0").resolution
    assert still is not None
    assert (still.rate, "without mobility" in still.still) == (None, True)
    bare = explained("model.fields.c.kappa=0")
    assert "kappa is 0" in bare.theory.missing["phases"]
    assert bare.warnings


def test_equations_read_as_the_configuration() -> None:
    e = explained("model.fields.c.source=0.1*c*t", "model.fields.c.kappa=[1,2]").theory.equations[0]
    assert e.rate == "dc/dt = M_c*lap(mu_c) + 0.1*c*t"
    assert e.potential.endswith("- kappa_c_x*d2c/dx2 - kappa_c_y*d2c/dy2")
    (e,) = equations(
        pf.EnergyModel.build(
            "m", "abs(u)**3/3", [{"name": "u", "kinetics": "nonconserved", "mobility": 1, "kappa": 0}], {}
        )
    )
    assert (e.rate, "lap" in e.potential) == ("du/dt = -M_u*mu_u", False)


def test_warnings_are_those_of_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    coarse = ("model=spinodal", "grid.shape=[12,12]", "grid.length=36", "device=cpu", "threads.cpu=1")
    found = pf.explain(*coarse, measure=False)
    assert len(found.warnings) == 2
    pf.run(*coarse, "time.max_steps=1", output={"dir": tmp_path / "run"})
    told = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert told == found.warnings
    assert all(warning.split(";")[0][:40] in " ".join(str(found).split()) for warning in told)


def test_costs_are_those_of_the_run(tmp_path: Path) -> None:
    given = (
        *GRID,
        "time.adaptive=false",
        "time.dt=0.1",
        "time.end=2.05",
        "output.every=0.5",
        "model.fields.c.stabilizer=3",
    )
    found = pf.explain(*given)
    assert found.stepping.steps == 21
    assert found.cost.stabilizers == {"c": 3.0}
    assert "set by model.fields.c.stabilizer" in str(found)
    assert 0 < (found.cost.need or 0) < (found.cost.free or 0)
    assert 0 < (found.cost.step or 0) < 1
    run = pf.run(*given, output={"dir": tmp_path / "run"})
    fields, history, *_ = found.outputs
    assert run.fields.sizes["time"] == fields.records
    assert run.fields.c[0].nbytes == fields.size
    assert run.history.sizes["time"] == history.records
    assert sum(run.history[v][0].nbytes for v in run.history.variables) == history.size
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("steps", [1, 20, 21, 500])
def test_thinned_rows_are_counted(steps: int) -> None:
    plan = Thinning()
    rows = sum(plan.due(float(step), step) or step == steps for step in range(steps + 1))
    assert rows == _records(Thinning(), math.inf, steps)


def test_values_are_told_apart() -> None:
    given = (
        "model.parameters={W: 1e12, a: 1000, b: 1000.001}",
        "initial.c={kind: noise, mean: 1000.0003, amplitude: 1e-5}",
    )
    assert "c = 1000 and 1000.001, the phases" in str(explained(*given))


def test_schedules_are_counted() -> None:
    for given, expected in ((0.3, 5), (0.25, 5), ({"times": [0.2, 0.5, 7]}, 4), ({"steps": 4}, 4), ({"wall": 3}, None)):
        assert _records(build(given, "k"), 1.0, 10) == expected, given
    assert _records(build({"steps": 4}, "k"), 1.0, None) is None


def test_the_command(phasefield: Command, tmp_path: Path) -> None:
    answer = phasefield(f"explain model=spinodal {TINY} title='<b>'")
    assert answer.code == 0
    for said in ("dc/dt = M_c*lap(mu_c)", "inside the spinodal", "S = ", "median of", "not known beforehand"):
        assert said in answer.out
    assert not list(tmp_path.iterdir())
    told = json.loads(phasefield(f"explain {TINY} --theory --json").out)
    assert told["theory"]["phases"][0]["unstable"][0][0] == pytest.approx(0.5 - math.sqrt(3) / 6)
    assert told["grid"]["shape"] == [8, 8]
    for line, says in (
        ("explain model.energi=c**2", "model.energi"),
        ("explain model=flory_huggins initial.phi=1.5 --theory", "not finite"),
        ("explain --fast", "unknown option --fast"),
    ):
        answer = phasefield(line)
        assert (answer.code, says in answer.err) == (2, True), answer


def test_what_does_not_fit_is_explained_all_the_same() -> None:
    found = pf.explain("grid.shape=[8192,8192,8192]", "device=cpu")
    assert found.cost.step is None
    assert "does not fit" in found.cost.why
    assert found.seen == (256, 256, 256)


def test_a_notebook_shows_it_safely() -> None:
    page = explained("model.description='<script>alert(1)</script>'", "model.name='a<b'")._repr_html_()
    assert "<script" not in page
    assert "a&lt;b" in page
    assert "<code>dc/dt = M_c*lap(mu_c)</code>" in page
