"""Stress and strain as fields: of one stiffness and of phases that differ, in files, pictures and exports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_elastic_phases import material
from verify import specify

import phasefield as pf
from phasefield.errors import ConfigError
from phasefield.simulation import Simulation

_STEEL = "{E: 100, nu: 0.3}"
_COMMON = (
    *("model=allen_cahn", "model.energy=eta**2*(1-eta)**2", "grid.shape=[64,16]", "grid.length=[64,16]"),
    *("model.fields.eta.eigenstrain={strain: [0.01,0.01,0.01], interpolation: linear}", "time.max_steps=1"),
    "initial.eta=(tanh((x-16)/2)-tanh((x-48)/2))/2",
)


@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_stress_and_strain_of_a_laminate(tmp_path: Path, ratio: float) -> None:
    """Layers across x are strained along y and z alike and free of stress along x: sigma_yy = E/(1 - nu) (mean - e eta) in every
    cell, with what the layers have for E and eta; a run writes it and tells the same means.
    """
    one = f"model.elastic={{stiffness: {_STEEL}, load: {{strain: {{zz: 0}}}}}}"
    two = material(_STEEL, f"{{E: {100 * ratio}, nu: 0.3}}", more="load: {strain: {zz: 0}}, tolerance: 0.001")
    keys = (one if ratio == 1 else two, "output.fields=[stress,strain_yy,von_mises]")
    pf.run(*_COMMON, *keys, f"output.dir={tmp_path / 'run'}")
    found = pf.open_run(tmp_path / "run")
    last, told = found.fields.isel(time=-1), found.history.isel(time=-1)
    eta = last.eta.values
    young = 100 * (1 + (ratio - 1) * np.clip(eta, 0, 1))
    # Plane strain along z, a mean stress of 0 along y: sigma_yy and sigma_zz of a layer from its in-plane elastic strains.
    yy = float(told.mean_strain_yy) - 0.01 * eta
    zz = -0.01 * eta
    np.testing.assert_allclose(last.stress_yy, young / (1 - 0.09) * (yy + 0.3 * zz), atol=2e-4)
    np.testing.assert_allclose(last.stress_zz, young / (1 - 0.09) * (zz + 0.3 * yy), atol=2e-4)
    np.testing.assert_allclose(last.strain_yy, float(told.mean_strain_yy), atol=1e-7)
    assert np.abs(last.stress_xx).max() < 2e-5
    a, b = last.stress_yy.values, last.stress_zz.values
    np.testing.assert_allclose(last.stress_von_mises, np.sqrt(a**2 - a * b + b**2), atol=1e-4)
    assert float(last.stress_zz.mean()) == pytest.approx(float(told.mean_stress_zz), rel=1e-6)


@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_a_thin_sheet_of_layers_is_pulled_along_one_axis_alone(tmp_path: Path, ratio: float) -> None:
    """Plane stress: free along x and z, a layer has sigma_yy = E (mean - e eta) and, pulled by a mean stress, that mean."""
    pulled = "load: {stress: {yy: 0.5}}, plane: stress"
    exact = ", tolerance: 0.001"  # what a solve leaves shows in stresses
    one = f"model.elastic={{stiffness: {_STEEL}, {pulled}}}"
    two = material(_STEEL, f"{{E: {100 * ratio}, nu: 0.3}}", more=pulled + exact)
    pf.run(*_COMMON, one if ratio == 1 else two, "output.fields=[stress]", f"output.dir={tmp_path / 'run'}")
    found = pf.open_run(tmp_path / "run")
    last, told = found.fields.isel(time=-1), found.history.isel(time=-1)
    eta = last.eta.values
    young = 100 * (1 + (ratio - 1) * np.clip(eta, 0, 1))
    np.testing.assert_allclose(last.stress_yy, young * (float(told.mean_strain_yy) - 0.01 * eta), atol=2e-4)
    assert float(last.stress_yy.mean()) == pytest.approx(0.5, rel=1e-5)
    assert np.abs(last.stress_xx).max() < 2e-5
    assert "stress_zz" not in last or np.abs(last.stress_zz).max() < 1e-12


def test_what_no_term_offers_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"output.fields.*stress_xz"):
        Simulation(specify(*_COMMON, f"model.elastic={{stiffness: {_STEEL}}}", "output.fields=[stress_xq]"))
    with pytest.raises(ConfigError, match=r"output.fields"):
        Simulation(specify("model=allen_cahn", "grid.shape=[8,8]", "output.fields=[stress]"))
