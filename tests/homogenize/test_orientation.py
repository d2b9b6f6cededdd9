"""One picture, one orientation: as an initial condition, as an image, in the report; and coordinates that fall or are uneven."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import xarray
from PIL import Image as Picture

from phasefield.errors import ConfigError
from phasefield.grid import Grid
from phasefield.homogenize import Settings, build, command, from_array, homogenize
from phasefield.homogenize.reading import Snapshots, read_file
from phasefield.homogenize.settings import parse
from phasefield.images import voxels
from phasefield.initial import initial_field
from phasefield.report.drawing import draw_strips, style
from phasefield.report.reading import Field, fields_of
from phasefield.report.snapshots import slices_of, strips_of

TWO = {"phases": {"a": {"conductivity": 1}, "b": {"conductivity": 10}}}
#: Rows from the top, as a picture is written: bright at the top right.
CORNER = np.zeros((5, 8), np.uint8)
CORNER[0, -1] = 255


def initial(path: Path, shape: tuple[int, ...], **keys: Any) -> np.ndarray:
    grid = Grid(shape, tuple(map(float, shape)), ("periodic",) * len(shape))
    return initial_field("c", {"kind": "file", "path": str(path), **keys}, None, grid, 1, {})[0]


def bright(values: np.ndarray) -> list[int]:
    (where,) = np.argwhere(values == values.max())
    return where.tolist()


def test_a_bright_corner_lands_where_the_picture_showed_it(tmp_path: Path) -> None:
    upright = [7, 4]  # the largest x, the largest y
    Picture.fromarray(CORNER).save(tmp_path / "c.PNG")
    tifffile.imwrite(tmp_path / "c.tif", CORNER)
    tifffile.imwrite(tmp_path / "up.tif", CORNER[::-1], extratags=[(274, "H", 1, 4, True)])  # rows from the bottom
    turned = np.ascontiguousarray(np.rot90(CORNER))
    tifffile.imwrite(tmp_path / "turned.tif", turned, extratags=[(274, "H", 1, 6, True)])
    Picture.fromarray(turned).save(tmp_path / "lzw.tif", compression="tiff_lzw", tiffinfo={274: 6})
    for name in ("c.PNG", "c.tif", "up.tif", "turned.tif", "lzw.tif"):
        path = tmp_path / name
        assert bright(read_file(path).values) == upright, name
        assert bright(initial(path, (8, 5), range=[0, 1])) == upright, name
    assert bright(from_array(Picture.open(tmp_path / "c.PNG")).values) == upright
    stack = np.stack([CORNER * 0, CORNER, CORNER * 0])
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
    assert bright(read_file(tmp_path / "s.tif").values) == [*upright, 1]
    assert bright(initial(tmp_path / "s.tif", (8, 5, 3), range=[0, 1])) == [*upright, 1]


def drawn(field: Field) -> np.ndarray:
    """What the report draws of the first snapshot, rows from the bottom, columns from the left."""
    with style():
        figure = draw_strips(strips_of(field, slices_of(field, 0, every=False), shared=True))
        (image,) = figure.axes[0].images
    assert image.origin == "lower"
    left, right, bottom, top = image.get_extent()
    assert left < right
    assert bottom < top
    return np.asarray(image.get_array())


@pytest.mark.parametrize("order", [("x", "y"), ("y", "x")])
@pytest.mark.parametrize("falling", [(), ("x",), ("y",)])
def test_the_report_draws_what_the_picture_showed(tmp_path: Path, order: Any, falling: Any) -> None:
    Picture.fromarray(CORNER).save(tmp_path / "c.png")
    values = initial(tmp_path / "c.png", (8, 5), range=[0, 1])
    run = xarray.DataArray(
        values[None], dims=["time", "x", "y"], coords={"x": np.arange(8.0), "y": np.arange(5.0)}, name="c"
    )
    run = run.isel({d: slice(None, None, -1) for d in falling}).transpose("time", *order)
    run.to_netcdf(tmp_path / "fields.nc")
    np.testing.assert_array_equal(initial(tmp_path / "fields.nc", (8, 5)), values)
    np.testing.assert_array_equal(Snapshots(tmp_path / "fields.nc", levels=[0, 1])[-1].values, values)
    np.testing.assert_array_equal(from_array(run.isel(time=0)).values, values)
    with xarray.open_dataset(tmp_path / "fields.nc") as data:
        (field,) = fields_of(data.assign_coords(time=[0.0]), tmp_path)
        np.testing.assert_array_equal(drawn(field)[::-1], CORNER / 255)


def laminate(normal: np.ndarray) -> np.ndarray:
    """Conductivity of equal layers of 1 and 10: the mean along them, the harmonic mean across."""
    along, across = 5.5, 1 / (0.5 + 0.05)
    return along * np.eye(3) - (along - across) * np.outer(normal, normal)


@pytest.mark.parametrize("how", ["png", "tif", "npy", "falling", "transposed"])
def test_an_inclined_laminate_keeps_its_sign(tmp_path: Path, how: str) -> None:
    """Layers across x + y = const: K_xy is negative; mirrored it would be positive."""
    at = np.arange(32) + 0.5
    layers = ((at[:, None] + at) % 16 < 8).astype(np.uint8)  # indexed x, y
    path = tmp_path / f"i.{how if len(how) == 3 else 'nc'}"
    if how == "npy":
        np.save(path, layers)
    elif how == "png":
        Picture.fromarray(np.ascontiguousarray(layers.T[::-1])).save(path)
    elif how == "tif":
        tifffile.imwrite(path, layers.T[::-1])
    else:
        array = xarray.DataArray(layers, dims=["x", "y"], coords={"x": at, "y": at}, name="c")
        array = array.isel(y=slice(None, None, -1)) if how == "falling" else array.transpose("y", "x")
        array.to_netcdf(path)
    settings = Settings(properties=("conductivity",), two_grid=False)
    (result,) = homogenize(read_file(path), build(TWO), settings)
    exact = laminate(np.array([1, 1, 0]) / np.sqrt(2))
    np.testing.assert_allclose(result.tensor, exact, atol=0.03 * exact[0, 0])
    assert exact[0, 1] < -1.8


def test_uneven_coordinates_are_refused_by_both(tmp_path: Path) -> None:
    path = tmp_path / "c.nc"
    at = np.array([0.0, 1.0, 2.0, 4.0])
    array = xarray.DataArray(np.eye(4, dtype=int), dims=["x", "y"], coords={"x": at, "y": np.arange(4)}, name="c")
    array.to_netcdf(path)
    for read in (read_file, lambda p: initial(p, (4, 4))):
        with pytest.raises(ConfigError, match=r"(?s)a coordinate x in steps of 1 to 2; even ones.*resample the image"):
            read(path)
    rounded = np.round(np.arange(4) / 3, 3)  # what a file rounds is even
    array.assign_coords(x=rounded).to_netcdf(path)
    assert read_file(path).spacing == pytest.approx((1 / 3, 1.0), rel=1e-3)
    array.assign_coords(x=("x", rounded, {"units": "mm"}), y=("y", np.arange(4), {"units": "um"})).to_netcdf(path)
    with pytest.raises(ConfigError, match=r"different units \(x in mm, y in um"):
        read_file(path)


def test_what_was_taken_is_told_and_written(tmp_path: Path) -> None:
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, np.stack([CORNER, CORNER]), imagej=True, metadata={"spacing": 3.0, "axes": "ZYX"})
    materials = [f"material.phases.{p}.conductivity={k}" for p, k in (("a", 1), ("b", 10))]
    outcome = command.execute(path, parse([*materials, "properties=conductivity", "two_grid=false"]))
    head = " ".join(outcome.text.split())
    assert head.startswith(
        "s.tif: 8 x 5 x 2 voxels; a 97.5 %, b 2.5 % axes: the columns are x, the rows y upwards, the pages z;"
    )
    assert "has no unit of length: only its ratios are taken spacing: 1 x 1 x 3, of the file" in head
    assert "values: 2 labels, 0, 255 phases: 0 is a, 255 is b" in head
    with xarray.open_dataset(outcome.path) as data:
        assert list(data.attrs["image_spacing"]) == [1, 1, 3]
        assert data.attrs["image_axes"].startswith("the columns are x")
        assert data.attrs["image_values"] == "2 labels, 0, 255"
        assert data.attrs["image_phases"] == "0 is a, 255 is b"
    given = command.execute(path, parse([*materials, "properties=conductivity", "two_grid=false", "spacing=[1,1,2]"]))
    assert "spacing: 1 x 1 x 2, given" in given.text


@pytest.mark.parametrize(
    ("shape", "rule"),
    [
        ((9, 7), "laminate"),
        ((9, 7), "arithmetic"),
        ((5, 6, 7), "laminate"),
        ((5, 6, 7), "sharp"),
        ((3, 8, 6), "laminate"),
    ],
    ids=str,
)
def test_the_order_in_memory_means_nothing(shape: tuple[int, ...], rule: str) -> None:
    values = np.random.default_rng(3).uniform(0, 1, shape)
    kind = voxels.from_fields if shape[0] == 3 else voxels.from_field
    plain, turned = kind(values, rule), kind(np.asfortranarray(values), rule)
    for name in ("index", "first", "second", "fraction", "normal"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(turned, name))
