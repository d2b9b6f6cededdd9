"""Nucleation: how many nuclei, where, what they look like, and the same ones however the run goes."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import phasefield as pf
from phasefield.api import spec_of
from phasefield.errors import ConfigError
from phasefield.nucleation import Nucleator
from phasefield.simulation import Simulation, build_model
from phasefield.verify import Machine
from phasefield.verify.checks import nucleation

LAW = "rate: 1e-3, radius: 2.5, width: 0.8, every: 1"


def nucleator(law: str, *keys: str, model: str = "allen_cahn") -> Nucleator:
    spec = spec_of(f"model={model}", f"model.fields.eta.nucleation={{{law}}}", *keys)
    built = build_model(spec)
    (field,) = (f for f in built.order_parameters if f.values.get("nucleation") is not None)
    found = Nucleator(built, field, spec.grid.build(), seed=1)
    return found


def places(law: str, *keys: str, moments: int = 200) -> np.ndarray:
    """Cells in which nuclei appear in an empty field, over many moments: counts of the grid's shape."""
    found = nucleator(law, *keys)
    count = np.zeros(found.grid.shape)
    for moment in range(1, moments + 1):
        cells = np.zeros((1, *found.grid.shape))
        for cell, _ in found._drawn(cells, float(moment), 1.0, f"s/{moment}"):
            count.flat[cell] += 1
    return count


def test_as_many_as_the_rate_says_and_where() -> None:
    """Poisson's mean and variance, cells alike; a law of the place and of time."""
    count = places("rate: 2e-3, radius: 2, every: 1", "grid.shape=[30,20]", "grid.length=[60,20]")
    expected = 2e-3 * 60 * 20 * 200
    assert count.sum() == pytest.approx(expected, abs=4 * math.sqrt(expected))
    per_cell = count.mean()
    assert count.var() == pytest.approx(per_cell, rel=4 * math.sqrt(2 / count.size))
    count = places("rate: 'piecewise(1e-4*x, t < 100.5, 0)', radius: 2, every: 1", "grid.shape=[40,10]")
    x = np.arange(40) + 0.5
    expected = 1e-4 * x * 10 * 100
    assert np.abs((count.sum(axis=1) - expected) / np.sqrt(expected)).max() < 4
    assert count.sum() == pytest.approx(expected.sum(), abs=4 * math.sqrt(expected.sum()))


@pytest.mark.parametrize("boundary", ["periodic", "no-flux"])
def test_what_a_nucleus_looks_like(boundary: str) -> None:
    """A disc of its radius with the profile of an interface, across a periodic boundary but not across a wall."""
    found = nucleator("rate: 0, radius: 8, width: 1, every: 1", "grid.shape=[64,48]", f"grid.boundary={boundary}")
    for centre in ([30, 24], [2, 24]):
        cells = np.zeros((1, 64, 48))
        assert found._place(cells, centre, "s", 0)
        x, y = np.meshgrid(np.arange(64.0), np.arange(48.0), indexing="ij")
        dx = x - centre[0]
        dx -= 64 * np.round(dx / 64) if boundary == "periodic" else 0
        exact = 0.5 * (1 - np.tanh((np.hypot(dx, y - centre[1]) - 8) / math.sqrt(2)))
        np.testing.assert_allclose(cells[0], exact, atol=2e-9)
    assert not found._place(cells, [5, 26], "s", 0), "its centre has transformed"
    assert found._place(cells, [14, 24], "s", 0)
    assert cells.max() <= 1
    clear = nucleator("rate: 0, radius: 8, clearance: 8, every: 1", "grid.shape=[64,48]", f"grid.boundary={boundary}")
    assert not clear._place(cells, [26, 24], "s", 0), "nearer than the clearance"
    assert clear._place(cells, [36, 24], "s", 0)


def test_nuclei_of_grains() -> None:
    """One component takes the place of all others; which one is chance's."""
    keys = "grid.shape=[32,32]", "model.fields.eta.components=4"
    found = nucleator("rate: 0, radius: 4, width: 0.8, every: 1", *keys, model="grain_growth")
    members = []
    for cell in range(40):
        cells = np.full((4, 32, 32), 0.1)
        found._place(cells, [16, 16], "s", cell)
        members.append(int(cells[:, 16, 16].argmax()))
        assert np.sort(cells[:, 16, 16]) == pytest.approx([0, 0, 0, 1], abs=1e-2)
        assert cells[:, 0, 0] == pytest.approx([0.1] * 4)
    assert set(members) == {0, 1, 2, 3}


KEYS = (
    "model=precipitate",
    "model.fields.eta.nucleation={rate: '2e-3*exp(-0.05/(c-0.3)**2)', radius: 4, every: 0.5}",
    "initial={c: 0.5, eta: 0.0}",
    "grid.shape=[48,40]",
    "time.end=6",
    "threads.cpu=1",
)


def bits(sim: Simulation) -> Any:
    arrays, numbers = sim.state()
    return {k: v.tobytes() for k, v in arrays.items()}, numbers["nucleation"], numbers["carry"]["t"]


@pytest.mark.parametrize(
    "keys", [(), ("time.adaptive=false", "time.dt=0.05", "model.fields.c.noise=1e-5", "model.fields.eta.noise=1e-5")]
)
def test_resumed_anywhere_the_same_nuclei_appear(keys: tuple[str, ...]) -> None:
    """With adaptive steps, and with fixed ones, which start anew by another scheme, and with noise."""
    whole, other = (Simulation(spec_of(*KEYS, *keys)) for _ in range(2))
    amount = whole.carry.u[0, 0, 0, 0]
    while other.carry.t < 3.0:
        other.advance(6.0)
    other = Simulation(other.spec, other.state())
    for sim in (whole, other):
        while sim.reached < 6.0:
            sim.advance(6.0)
    assert bits(whole) == bits(other)
    assert whole.nuclei["eta"] > 3
    assert whole.observe(whole.carry)[1]["nuclei_eta"] == whole.nuclei["eta"], "and history.nc says so"
    assert whole.carry.u[0, 0, 0, 0] == amount, "nuclei of eta leave the amount of c alone"


def test_runs_of_versions_that_counted_no_nuclei_go_on(tmp_path: Path) -> None:
    keys = (*KEYS, "output.picture=false", f"output.dir={tmp_path / 'run'}")
    pf.run(*keys, "time.end=2")
    with h5py.File(tmp_path / "run" / "history.nc", "a") as file:
        file["nuclei_eta"].dims[0].detach_scale(file["time"])
        del file["nuclei_eta"]
    history = pf.resume(tmp_path / "run", "time.end=3").history
    assert float(history.time[-1]) == 3
    assert "nuclei_eta" not in history


def test_nuclei_appear_between_walls_with_data() -> None:
    """The state then is what is left of the field without what the walls hold, which placing nuclei has to take off again."""
    walls = "grid.boundary=[no-flux,periodic]", "model.fields.eta.walls={left: {slope: 0.01*sin(t)}}"
    sim = Simulation(spec_of("experiment=nucleation_growth", "grid.shape=[64,64]", "time.end=30", *walls))
    while not sim.nuclei["eta"]:
        before = sim.observe(sim.carry)[0].copy()
        sim.advance(30.0)
    after = sim.observe(sim.carry)[0]
    assert after.max() > 0.9 > before.max()
    far = np.abs(after[0, :, 0, :64] - before[0, :, 0, :64])
    assert np.median(far) < 0.02, "elsewhere the field is as it was"


def test_the_gpu_has_the_same_nuclei_and_noise() -> None:
    sys.path.insert(0, str(Path(__file__).parent / "backend"))
    host_cuda = pytest.importorskip("host_cuda")
    if not host_cuda.HAS_COMPILER:
        pytest.skip("g++ is not here")
    keys = (*KEYS, "time.adaptive=false", "time.dt=0.1", "time.scheme=etdms2", "model.fields.c.noise=1e-5")
    cpu, gpu = Simulation(spec_of(*keys)), Simulation(spec_of(*keys), backend=host_cuda.HostCuda())
    for sim in (cpu, gpu):
        for _ in range(20):
            sim.advance(6.0)
    assert cpu.nuclei == gpu.nuclei
    assert cpu.nuclei["eta"] > 0
    np.testing.assert_allclose(gpu.backend.to_host(gpu.carry.u), cpu.carry.u, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "rate", "saturated"),
    [((8192,), 1e-4, False), ((8192,), 1e-2, True), ((256, 256), 3e-5, False), ((256, 256), 8e-4, True)],
)
def test_transformation_as_johnson_mehl_avrami_and_kolmogorov_say(
    shape: tuple[int, ...], rate: float, saturated: bool
) -> None:
    """Mean over realisations: fractions and Avrami's exponent, of which chance leaves about 0.1."""
    runs = [nucleation.transformation(Machine(threads=1), shape, rate, saturated, seed) for seed in range(1, 6)]
    time = np.linspace(0, min(run.time[-1] for run in runs), 200)
    fraction = np.mean([np.interp(time, run.time, run.fraction) for run in runs], axis=0)
    theory = np.interp(time, runs[0].time, runs[0].theory)
    found, expected = nucleation.exponent(time, fraction), nucleation.exponent(time, theory)
    print(shape, saturated, found, expected, np.abs(fraction - theory).max(), [run.nuclei for run in runs])
    assert found == pytest.approx(expected, abs=0.2)
    assert np.abs(fraction - theory).max() < 0.08


@pytest.mark.parametrize(
    ("law", "message"),
    [
        ("radius: 2, every: 1", r"nucleation\.rate: is missing"),
        ("rate: 1, radius: 0, every: 1", r"nucleation\.radius: is 0; a number > 0"),
        ("rate: 1, radius: 2, every: 1, size: 3", r"nucleation: there is no key 'size'|nucleation\.size"),
        ("rate: z, radius: 2, every: 1", r"nucleation\.rate: .*coordinate z does not exist"),
        ("rate: q, radius: 2, every: 1", r"nucleation\.rate"),
        ("rate: -1e-3, radius: 2, every: 1", r"nucleation\.rate: is -0\.001; a rate >= 0"),
    ],
)
def test_bad_laws(law: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Simulation(spec_of("model=allen_cahn", "grid.shape=[8,8]", f"model.fields.eta.nucleation={{{law}}}"))


def test_conserved_fields_do_not_nucleate() -> None:
    with pytest.raises(ConfigError, match="is of a conserved field, whose amount a nucleus would change"):
        Simulation(spec_of("model=cahn_hilliard", "grid.shape=[8,8]", f"model.fields.c.nucleation={{{LAW}}}"))
