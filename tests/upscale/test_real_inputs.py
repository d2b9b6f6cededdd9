"""Runs, polycrystals and a micrograph go from the commands to CalculiX (`examples/real_inputs.py`)."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from test_cards import mechanical, needs_ccx

from phasefield.mechanics import tensors
from phasefield.mechanics.materials import system_of
from phasefield.upscale.batches import collect
from phasefield.upscale.measuring import Task, measure
from phasefield.upscale.samples import Tasks
from phasefield.upscale.statistics_settings import Request

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "real_inputs.py"
CRYSTAL = {"phases": {"nickel": {"stiffness": {"C11": 246.5, "C12": 147.3, "C44": 124.7}}}}


@needs_ccx
@pytest.mark.slow
def test_from_runs_crystals_and_a_micrograph_to_calculix(tmp_path: Path) -> None:
    found = runpy.run_path(str(EXAMPLE))["main"](tmp_path)
    expected = {"precipitates": 134.1, "polycrystals": None, "micrograph": 47.04}
    assert found.keys() == expected.keys()
    for name, record in found.items():
        mean = np.array(record["value"])
        if expected[name] is not None:
            assert mean[0, 0] / 1e9 == pytest.approx(expected[name], rel=1e-3)
        card = re.sub(r"(\*MATERIAL, NAME=)\S+", r"\1NI", (tmp_path / f"{name}.inp").read_text())
        taken, _ = mechanical(tmp_path, card)
        assert np.abs(taken * 1e6 - mean).max() < 1e-6 * np.abs(mean).max()
    # Grains of one number in two samples are turned differently: the mean is that of an isotropic polycrystal.
    mean, std = (
        np.array(x) / 1e9
        for x in (found["polycrystals"]["value"], found["polycrystals"]["uncertainty"]["statistical"]["std"])
    )
    assert tensors.isotropic_moduli(tensors.from_voigt(mean))["K"] == pytest.approx((246.5 + 2 * 147.3) / 3, rel=1e-4)
    assert abs(mean[5, 5] - (mean[0, 0] - mean[0, 1]) / 2) < 6 * std[5, 5]


def test_samples_have_orientations_of_their_own(tmp_path: Path) -> None:
    """Of the image, wherever it stands among others."""
    for n in (4, 6):
        np.save(tmp_path / f"{n}.npy", np.repeat([0, 1], n * n * n // 2).astype(np.uint8).reshape(n, n, n))

    def xx(*words: str) -> list[float]:
        request = Request(material=CRYSTAL, workers=1)
        tasks = Tasks(collect([tmp_path / w for w in words], request), request, "", set())
        samples = [measure(t, system_of(CRYSTAL), request) for t in tasks if isinstance(t, Task)]
        return [float(s.values["stiffness"].tensor[0, 0]) for s in samples]

    four, six = xx("4.npy", "6.npy")
    assert abs(four - six) > 1.0
    assert xx("6.npy", "4.npy") == [six, four]
