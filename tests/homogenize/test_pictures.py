"""What the report shows of effective properties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure

import phasefield as pf
from phasefield.homogenize import command
from phasefield.homogenize.tensors import embed_plane, from_voigt, plane_stress, to_voigt
from phasefield.report import curves, properties, report
from phasefield.report.properties import directional_modulus, property_pictures


def cubic(c11: float, c12: float, c44: float) -> np.ndarray:
    out = np.diag([c11 - c12] * 3 + [c44] * 3)
    out[:3, :3] += c12
    return out


def test_directional_modulus_of_a_cubic_crystal() -> None:
    c11, c12, c44 = 168.4, 121.4, 75.4
    along = directional_modulus(cubic(c11, c12, c44), np.array([[1, 0, 0], np.ones(3) / np.sqrt(3)]))
    bulk, shear = (c11 + 2 * c12) / 3, (c11 - c12) / 2
    assert along[0] == pytest.approx(9 * bulk * shear / (3 * bulk + shear))
    assert along[1] == pytest.approx(9 * bulk * c44 / (3 * bulk + c44))


def test_directional_modulus_of_a_sheet_is_that_of_the_body() -> None:
    body = cubic(168.4, 121.4, 75.4)
    sheet = to_voigt(embed_plane(plane_stress(from_voigt(body))))
    angle = np.linspace(0, np.pi, 7)
    directions = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    np.testing.assert_allclose(
        directional_modulus(sheet, directions), directional_modulus(body, directions), rtol=1e-12
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "run"
    options = ["time.end=200", "output.every=100", f"output.dir={path}", "output.picture=false"]
    pf.run("model=spinodal", "grid.shape=[24,24]", *options)
    return path


def test_report_shows_the_properties(folder: Path) -> None:
    conductivities = [f"material.phases.{p}.conductivity={k} W/(m K)" for p, k in (("epoxy", 0.2), ("glass", 1.3))]
    options = ["times=all", "fields=true", "two_grid=false", "mixing=false", "properties=[stiffness,conductivity]"]
    target, _, _ = command.run(folder, ["material=epoxy_glass", *conductivities, *options])
    with xarray.open_dataset(target) as data:  # the mean of the local stress is the stiffness
        mean = data.stiffness_stress.mean(("x", "y")).values.T
        np.testing.assert_allclose(mean, data.stiffness.values[-1], atol=1e-2 * float(data.stiffness.max()))
    page = report(folder).read_text()
    drawn = {file.stem for file in (folder / "report").glob("*.png")}
    expected = {"stiffness_directions", "tensor_directions", "properties_time", "stiffness_local", "conductivity_local"}
    assert expected <= drawn
    assert "Effective properties" in page
    assert "Young&#x27;s modulus, nearest isotropic" in page


def test_no_properties_and_broken_ones(folder: Path, tmp_path: Path) -> None:
    assert property_pictures(tmp_path / "properties.nc") == ([], [], [])
    (tmp_path / "properties.nc").write_bytes(b"not a file of numbers")
    pictures, facts, warnings = property_pictures(tmp_path / "properties.nc")
    assert not pictures
    assert not facts
    assert "cannot be shown" in warnings[0]


def test_what_carries_nothing_is_said_not_drawn(tmp_path: Path) -> None:
    labels = ["xx", "yy", "zz", "yz", "xz", "xy"]
    stiffness = np.diag([0.0, 2.0, 2.0, 1.0, 0.0, 0.0])[None]
    data = xarray.Dataset({"stiffness": (("time", "row", "column"), stiffness)}, {"time": [0.0], "row": labels})
    data.to_netcdf(tmp_path / "properties.nc")
    pictures, facts, _ = property_pictures(tmp_path / "properties.nc")
    assert not pictures
    assert ("Young's modulus", "zero in some direction") in facts


def test_where_the_properties_come_from_and_what_is_stale(folder: Path) -> None:
    command.run(folder, ["material=cu", "two_grid=false", "descriptors=false"], "phasefield homogenize by hand")
    mine, stale = folder / "report" / "mine.png", folder / "report" / "stiffness_local.png"
    (folder / "report").mkdir(exist_ok=True)
    mine.write_bytes(b"not of the report")
    report(folder)
    stale.write_bytes((folder / "report" / "stiffness_directions.png").read_bytes())
    page = report(folder).read_text()
    assert "properties.nc: command</th><td>phasefield homogenize by hand<" in page
    assert "properties.nc: material</th>" in page
    assert "are taken for two grains" in page
    assert mine.exists()
    assert not stale.exists()


def test_what_is_constant_is_drawn_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = 1e-5 * (1 + 1e-9 * np.random.default_rng(0).normal(size=(3, 3)))
    tensor = np.einsum("ti,ij->tij", noise, np.eye(3))
    variables = {
        "expansion": (("time", "i", "j"), tensor, {"units": "1/K"}),
        "expansion_iterations": ("time", [1, 2, 3]),
    }
    xarray.Dataset(variables, {"time": [0.0, 1.0, 2.0]}).to_netcdf(tmp_path / "properties.nc", engine="h5netcdf")
    figures: list[Figure] = []
    monkeypatch.setattr(properties, "png_of", lambda figure: figures.append(figure) or b"")
    drawn, _, _ = property_pictures(tmp_path / "properties.nc")
    assert drawn[-1].name == "properties_time"
    low, high = figures[-1].axes[0].get_ylim()
    assert high - low == pytest.approx(1.0, rel=1e-3)  # a tenth of 10 ppm


def test_long_labels_stay_beside_their_panels(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {f"a{k}": "effective mean thermal conductivity, nearest isotropic" for k in range(6)}
    variables = {n: ("time", [1.0, 2.0, 4.0], {"long_name": t, "units": "W/(m K)"}) for n, t in names.items()}
    figures: list[Figure] = []
    real = curves.png_of
    monkeypatch.setattr(curves, "png_of", lambda figure: figures.append(figure) or real(figure))
    (picture,) = curves.curve_figures(xarray.Dataset(variables, {"time": [0.0, 1.0, 2.0]}), [], [])
    assert picture.name == "other"
    for axes in figures[0].axes:
        assert axes.yaxis.label.get_window_extent().height < 1.05 * axes.get_window_extent().height
