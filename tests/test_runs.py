"""Whole runs on real input: PFHub benchmark 1, a micrograph, grains in two and three dimensions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import phasefield as pf


def _pfhub_1a_start(n: int) -> np.ndarray:
    """The initial formula of PFHub 1a at 400 x 400 nodes, band-limited to ``n`` x ``n`` so that all grids solve one problem."""
    fine = 400
    x, y = np.meshgrid(*(2 * [np.arange(fine) * 200 / fine]), indexing="ij")
    bracket = np.cos(0.105 * x) * np.cos(0.11 * y) + (np.cos(0.13 * x) * np.cos(0.087 * y)) ** 2
    c = 0.5 + 0.01 * (bracket + np.cos(0.025 * x - 0.15 * y) * np.cos(0.07 * x - 0.02 * y))
    modes = np.fft.fftshift(np.fft.fft2(c))
    low, high = fine // 2 - n // 2 + 1, fine // 2 + n // 2
    kept = np.zeros((n, n), complex)
    kept[1:, 1:] = modes[low:high, low:high]
    return np.fft.ifft2(np.fft.ifftshift(kept)).real * (n / fine) ** 2


def test_pfhub_1a_free_energy_against_a_converged_reference(tmp_path: Path) -> None:
    np.save(tmp_path / "start.npy", _pfhub_1a_start(128))
    run = pf.run(
        "experiment=pfhub/1a",
        "grid.shape=[128,128]",
        f"initial.c={{kind: file, path: {tmp_path}/start.npy}}",
        "time.end=10",
        "time.tolerance=0.002",
        "output.every={times: [1, 10]}",
        f"output.dir={tmp_path}/run",
    )
    energy = run.history.free_energy
    assert float(energy.sel(time=1.0)) == pytest.approx(318.8582002, rel=1e-7)
    assert float(energy.sel(time=10.0)) == pytest.approx(297.9673703, rel=5e-5)
    assert run.outcome is not None
    assert run.outcome.reason == "finished"


@pytest.mark.parametrize(
    ("experiment", "start"), [("pfhub/1a", 319.2), ("pfhub/1b", 319.0337102), ("pfhub/1a_periodic", 318.92)]
)
def test_pfhub_experiments_run(experiment: str, start: float, tmp_path: Path) -> None:
    run = pf.run(f"experiment={experiment}", "time.end=2", f"output.dir={tmp_path}/run")
    energy, mean = run.history.free_energy.values, run.history.mean_c.values
    assert energy[0] == pytest.approx(start, abs=0.15)
    assert (np.diff(energy) <= 0).all()
    assert np.ptp(mean) <= 1e-13
    assert run.fields.c.dims == ("time", "x", "y")


def test_spinodal_decomposition_from_a_micrograph(tmp_path: Path) -> None:
    """A grey-scale picture of bright islands, with noise: brightness becomes concentration, y points up."""
    rng = np.random.default_rng(5)
    x, y = np.meshgrid(np.arange(96), np.arange(64), indexing="xy")
    bright = np.zeros((64, 96))
    for cx, cy, r in rng.uniform([0, 0, 5], [96, 64, 12], (14, 3)):
        bright += np.exp(-(((x - cx) ** 2 + (y - cy) ** 2) / r**2))
    picture = np.clip(255 * np.clip(bright, 0, 1) + rng.normal(0, 12, bright.shape), 0, 255).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "micrograph.png")
    run = pf.run(
        "grid.shape=[96,64]",
        f"initial.c={{kind: file, path: {tmp_path}/micrograph.png, range: [0, 1]}}",
        "time.end=40",
        f"output.dir={tmp_path}/run",
    )
    first, last = run.fields.c.isel(time=0), run.fields.c.isel(time=-1)
    np.testing.assert_allclose(first.values, picture[::-1].T / 255, atol=1e-12)
    # The phases have separated: bulk values are near 0 and 1, no slope exceeds the equilibrium profile's sqrt(2 W/kappa)/4 (the
    # pixel noise is gone), and what was bright still is.
    assert float(((last < 0.1) | (last > 0.9)).mean()) > 0.6
    assert float(abs(last.diff("x")).max()) < 0.354
    assert np.corrcoef(first.values.ravel(), last.values.ravel())[0, 1] > 0.7
    assert float(run.history.mean_c[-1] - run.history.mean_c[0]) == pytest.approx(0, abs=1e-13)


@pytest.mark.parametrize("shape", [[64, 48], pytest.param([24, 24, 20], marks=pytest.mark.slow)])
def test_grain_growth_from_a_voronoi_structure(shape: list[int], tmp_path: Path) -> None:
    run = pf.run(
        "model=grain_growth",
        "model.fields.eta.components=6" if len(shape) == 2 else "model.fields.eta.components=12",
        "model.fields.eta.initial.grains=12",
        f"grid.shape={shape}",
        "time.end=40",
        f"output.dir={tmp_path}/run",
    )
    history, eta = run.history, run.fields.eta
    assert eta.dims[:2] == ("time", "component_eta")
    assert (np.diff(history.free_energy) <= 0).all()
    area = history.interface_area_eta
    assert float(area[-1]) < 0.9 * float(area.max())
    inside = (eta.isel(time=-1) ** 2).sum("component_eta")
    assert float(inside.max()) == pytest.approx(1, abs=0.05)
    assert float((inside > 0.9).mean()) > (
        0.3 if len(shape) == 2 else 0.2
    )  # boundaries fill most of so small a box in space
