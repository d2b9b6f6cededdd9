"""What the report shows of effective properties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure

import phasefield as pf
from phasefield.homogenize import command
from phasefield.homogenize.result import computed
from phasefield.mechanics.tensors import embed_plane, from_voigt, plane_stress, to_voigt
from phasefield.report import curves, properties, report
from phasefield.report.drawing import Strip
from phasefield.report.properties import directional_modulus, property_pictures
from phasefield.store import open_dataset


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
    sheet = computed(to_voigt(embed_plane(plane_stress(from_voigt(body)))), (0, 1, 5))
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
    with open_dataset(target) as data:  # the mean of the local stress is the stiffness
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


def shown(tmp_path: Path, labels: np.ndarray, *options: str) -> tuple[dict[str, str], dict[str, str]]:
    """Captions of the pictures and key figures of two phases with E 10 and 70, conductivity 1 and 9."""
    np.save(tmp_path / "image.npy", labels)
    given = [f"material.phases.a.{v}" for v in ("stiffness={E: 10, nu: 0.3}", "conductivity=1")]
    given += [f"material.phases.b.{v}" for v in ("stiffness={E: 70, nu: 0.3}", "conductivity=9")]
    both = ["properties=[stiffness,conductivity]", "two_grid=false", "mixing=false", "descriptors=false"]
    target, _, _ = command.run(tmp_path / "image.npy", [*given, *both, *options])
    pictures, facts, warnings = property_pictures(target)
    assert not [w for w in warnings if "cannot be shown" in w]
    return {p.name: p.caption for p in pictures}, dict(facts)


def test_a_sheet_has_a_modulus_in_its_plane(tmp_path: Path) -> None:
    captions, facts = shown(tmp_path, np.eye(6, dtype=int), "plane=stress")
    assert "over all directions" not in captions["stiffness_directions"]
    assert " at t = " not in captions["stiffness_directions"]  # an image has no time
    assert "Young's modulus" not in facts
    assert len(facts["Principal conductivity"].split()) == 3


def test_plane_strain_under_tractions_is_no_sheet(tmp_path: Path) -> None:
    """Only the plane was computed, under strains held at zero along z: no Young's modulus follows."""
    captions, facts = shown(tmp_path, np.eye(6, dtype=int), "boundary=static")
    assert "stiffness_directions" not in captions
    assert facts["Young's modulus"] == "not known, of the stiffness only xx, yy, xy were computed"
    values = [float(v) for v in facts["Principal conductivity among x, y"].split()]
    assert len(values) == 2
    assert min(values) > 1
    assert "tensor_directions" in captions


def test_one_axis_under_tractions(tmp_path: Path) -> None:
    captions, facts = shown(tmp_path, np.repeat(np.arange(2), 4), "boundary=static")
    assert facts["Young's modulus"] == "not known, of the stiffness only xx were computed"
    assert float(facts["Principal conductivity among x"]) == pytest.approx(1.8, rel=1e-4)
    assert not captions


def test_components_that_were_not_computed_have_no_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stiffness, flux = np.full((2, 6, 6), np.nan), np.full((2, 3, 3), np.nan)
    stiffness[:, [0, 2, 4], [0, 2, 4]] = [[4, 5, 1], [6, 7, 2]]
    flux[:, 0, 0] = [1, 2]
    variables = {
        "stiffness": (("time", "row", "column"), stiffness, {"units": "Pa"}),
        "conductivity": (("time", "i", "j"), flux),
        "conductivity_iterations": ("time", [1, 2]),
        "diffusivity": (("time", "i", "j"), np.full((2, 3, 3), np.nan)),
        "diffusivity_iterations": ("time", [1, 2]),
    }
    xarray.Dataset(variables, {"time": [0.0, 1.0]}).to_netcdf(tmp_path / "properties.nc", engine="h5netcdf")
    figures: list[Figure] = []
    monkeypatch.setattr(properties, "png_of", lambda figure: figures.append(figure) or b"")
    drawn, facts, _ = property_pictures(tmp_path / "properties.nc")
    assert [p.name for p in drawn] == ["properties_time"]
    labels = [[t.get_text() for t in axes.get_legend().get_texts()] for axes in figures[0].axes]
    assert labels == [["C11", "C33", "C55"], ["xx"]]
    assert dict(facts)["Principal conductivity among x"] == "2"


@pytest.mark.parametrize(
    ("shape", "plane"), [((6, 1, 8), "xz"), ((1, 6, 8), "yz"), ((6, 8, 1), "xy"), ((8, 4, 8), "xz")]
)
def test_local_fields_are_cut_across_the_fewest_voxels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], plane: str
) -> None:
    strips: list[Strip] = []
    real = properties.draw_strips

    def drawing(given: list[Strip], **more: float) -> Figure:
        strips.extend(given)
        return real(given, **more)

    monkeypatch.setattr(properties, "draw_strips", drawing)
    labels = np.random.default_rng(0).integers(0, 2, shape)
    captions, _ = shown(tmp_path, labels, "fields=true")
    (across,) = set("xyz") - set(plane)
    told = f" normal to {across}" if shape["xyz".index(across)] > 1 else ""
    assert ("normal to" in captions["stiffness_local"]) == bool(told)
    assert told in captions["stiffness_local"]
    a, b = plane
    size = tuple(shape["xyz".index(d)] for d in plane)
    elastic, conduction = strips
    assert [p.title for p in elastic.panels] == [f"unit strain {c}" for c in (a + a, b + b, a + b)]
    for panel in (*elastic.panels, *conduction.panels):
        assert panel.image.shape == size
        assert (panel.right.label, panel.up.label) == (a, b)
    with open_dataset(tmp_path / "image_properties.nc") as data:
        flux = np.sqrt((data.conductivity_heat_flux**2).sum("i")).sel(load_conductivity=a)
        cut = flux.isel({across: shape["xyz".index(across)] // 2}).values
    assert conduction.panels[0].title == f"unit gradient {a}"
    low, high = conduction.panels[0].limits or (0, 0)
    np.testing.assert_allclose(conduction.panels[0].image, np.clip(cut, low, high), rtol=1e-5)


def test_every_load_has_a_colour_scale_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strips: list[Strip] = []
    figures: list[Figure] = []
    real = properties.draw_strips

    def drawing(given: list[Strip], **more: float) -> Figure:
        strips.extend(given)
        figures.append(real(given, **more))
        return figures[-1]

    monkeypatch.setattr(properties, "draw_strips", drawing)
    shown(tmp_path, np.repeat([[0, 1]], 8, axis=0).repeat(4, axis=1), "fields=true")
    elastic, conduction = strips
    for strip, figure in ((elastic, figures[0]), (conduction, figures[1])):
        pictures, bars = figure.axes[::2], figure.axes[1::2]
        assert len(strip.panels) == len(pictures) == len(bars)
        for panel, axes, bar in zip(strip.panels, pictures, bars, strict=True):
            assert axes.images[0].get_clim() == panel.limits == bar.get_ylim()
            beyond = [other for other in pictures if other.get_position().x0 > axes.get_position().x0]
            room = min((other.get_position().x0 for other in beyond), default=1.0)
            assert bar.get_tightbbox().x1 < room * figure.bbox.width
    # Layers across y: the flux along y is uniform, the one along x differs by the contrast.
    (low, high), uniform = (panel.limits or (0, 0) for panel in conduction.panels)
    assert high / low == pytest.approx(9, rel=1e-5)
    assert uniform[1] / uniform[0] > 1.01
    np.testing.assert_allclose(conduction.panels[1].image, np.mean(uniform), rtol=1e-5)


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
