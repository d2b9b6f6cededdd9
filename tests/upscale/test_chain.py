"""The whole chain by its commands: sweep, homogenize, statistics, record, card, and what CalculiX takes from the card."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from test_cards import mechanical, needs_ccx

from phasefield import cli

MATERIAL = """\
name: composite
temperature: 23 degC
phases:
  epoxy: {stiffness: {E: 3.35 GPa, nu: 0.35}, expansion: 58e-6 1/K, density: 1200 kg/m^3}
  glass: {stiffness: {E: 20 GPa, nu: 0.2}, expansion: 4.9e-6 1/K, density: 2580 kg/m^3}
"""


def command(*words: str) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(list(words))
    assert stop.value.code in (0, None), words


@needs_ccx
def test_from_a_sweep_to_calculix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("composite.yaml").write_text(MATERIAL)
    command("run", "-m", "model=spinodal", "grid.shape=[24,24]", "time.end=60", "seed=1,2,3", "output.dir=spins")
    words = ["material=composite.yaml", "properties=[stiffness,expansion]", "solver.precision=double"]
    command("statistics", "spins", *words, "output=spins.nc")
    command("export", "spins.nc")
    command("export", "spins_record.json", "format=calculix", "units=mm-t-s", "name=NI", "output=card.inp")

    with (
        xr.open_dataset("spins.nc", group="stiffness") as stiffness,
        xr.open_dataset("spins.nc", group="expansion") as more,
    ):
        mean, alpha = stiffness["mean"].values[-1], more["mean"].values[-1]
        half = (stiffness.ci_high - stiffness["mean"]).values[-1]
    record = json.loads(Path("spins_record.json").read_text())
    told = record["properties"]["stiffness"]
    assert np.allclose(told["value"], mean, rtol=1e-12)
    # The t interval of three samples is 4.302653 standard uncertainties wide to each side.
    assert np.allclose(told["uncertainty"]["statistical"]["std"], half / 4.302653, rtol=1e-6, atol=1e-9 * mean.max())
    assert 1200 < record["density"]["value"] < 2580
    assert record["reference_temperature"]["value"] == pytest.approx(296.15)
    found, expansion = mechanical(tmp_path, Path("card.inp").read_text())
    assert np.abs(found * 1e6 - mean).max() < 1e-6 * np.abs(mean).max()
    assert np.abs(expansion - alpha).max() < 1e-6 * np.abs(alpha).max()
