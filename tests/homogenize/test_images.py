"""Image files: which axis is which, colours, calibrations, what cannot be guessed."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import xarray

from phasefield.errors import ConfigError
from phasefield.homogenize import Settings, build, from_array, homogenize
from phasefield.homogenize.reading import Image, Snapshots, read_file
from phasefield.images.pixels import read_pixels

TWO = {"phases": {"a": {"conductivity": 1}, "b": {"conductivity": 9}}}


def conductivity(image: Image, **settings: Any) -> np.ndarray:
    chosen = Settings(properties=("conductivity",), **{"two_grid": False, "mixing": False, **settings})
    return homogenize(image, build(TWO), chosen)[0].tensor


def series_along(axis: int, fraction: float = 0.5) -> np.ndarray:
    out = np.full(3, 1 + 8 * fraction)
    out[axis] = 1 / (1 - fraction + fraction / 9)
    return np.diag(out)


@pytest.mark.parametrize("order", ["xyz", "zyx", "yzx", "yx", "xy", "zx", "zy", "z", "y"])
def test_netcdf_axes_go_by_name(tmp_path: Path, order: str) -> None:
    """Layers normal to the last of the named axes, wherever it stands; spacings with them."""
    steps = {"x": 1.0, "y": 2.0, "z": 5.0}
    normal = max(order)
    labels = np.zeros([6 if d == normal else 4 for d in order], int)
    np.moveaxis(labels, order.index(normal), 0)[:3] = 1
    coords = {d: (np.arange(n) + 0.5) * steps[d] for d, n in zip(order, labels.shape, strict=True)}
    path = tmp_path / "c.nc"
    xarray.DataArray(labels, dims=list(order), coords=coords, name="c").to_netcdf(path)
    image = read_file(path)
    axis = "xyz".index(normal)
    assert len(image.shape) == axis + 1
    assert [image.spacing["xyz".index(d)] for d in order] == [steps[d] for d in order]
    np.testing.assert_allclose(conductivity(image), series_along(axis), atol=1e-6)


def test_netcdf_components_time_and_unnamed_axes(tmp_path: Path) -> None:
    path = tmp_path / "f.nc"
    fields = np.stack([np.arange(6) < 3, np.arange(6) >= 3]).astype(float)[None, :, None, :] * np.ones((2, 1, 4, 1))
    xarray.DataArray(fields, dims=["time", "component", "y", "x"], name="eta").to_netcdf(path)
    image = read_file(path)
    assert (image.kind, image.shape) == ("fields", (6, 4))
    xarray.DataArray(fields[0, 0], dims=["a", "b"], name="c").to_netcdf(path)
    assert read_file(path).shape == (4, 6)


def test_netcdf_that_leaves_a_choice(tmp_path: Path) -> None:
    path = tmp_path / "f.nc"
    labels = np.eye(4, dtype=int)
    xarray.DataArray(np.stack([labels] * 3), dims=["sample", "y", "x"], name="c").to_netcdf(path)
    with pytest.raises(ConfigError, match="the axis 'sample', of which nothing is known"):
        read_file(path)
    xarray.DataArray(labels[None], dims=["sample", "y", "x"], name="c").to_netcdf(path)
    assert read_file(path).shape == (4, 4)
    xarray.Dataset({"p": (("x", "y"), labels), "q": (("x", "y"), 1 - labels)}).to_netcdf(path)
    with pytest.raises(ConfigError, match=r"(?s)field: .*several images.*p, q"):
        read_file(path)
    assert Snapshots(path, "q")[-1].values[0, 0] == 0
    path.rename(tmp_path / "fields.nc")
    assert Snapshots(tmp_path).field == "p"


@pytest.mark.parametrize(("shape", "axis"), [((1, 6), 1), ((6, 1), 0), ((1, 5, 6), 2), ((5, 1, 6), 2), ((1, 6, 1), 1)])
def test_axes_of_one_voxel_are_kept(shape: tuple[int, ...], axis: int) -> None:
    """Nothing varies along them: the answer is that of the same image repeated."""
    labels = np.zeros(shape, int)
    np.moveaxis(labels, axis, 0)[:3] = 1
    np.testing.assert_allclose(conductivity(from_array(labels)), series_along(axis), atol=1e-6)
    x = np.linspace(0, 2 * np.pi, shape[axis], endpoint=False)
    wave = 0.5 + 0.5 * np.cos(x).reshape([-1 if d == axis else 1 for d in range(len(shape))]) * np.ones(shape)
    one, many = (conductivity(from_array(f, levels=[0, 1]), voxel="arithmetic") for f in (wave, np.tile(wave, 2)))
    np.testing.assert_allclose(one, many, atol=1e-9)
    assert from_array(wave, levels=[0, 1]).coarse().shape == tuple(max(1, round(n / 2)) for n in shape)


def test_boundaries_of_an_image_with_an_axis_of_one_voxel() -> None:
    labels = np.random.default_rng(0).integers(0, 2, (1, 9, 8))
    settings = Settings(properties=("conductivity",), boundary="all", two_grid=False)
    (flat,) = homogenize(from_array(labels), build(TWO), settings)
    assert not flat.warnings
    (plane,) = homogenize(from_array(labels[0]), build(TWO), settings)
    for name in ("static", "kinematic"):
        np.testing.assert_allclose(flat.boundary[name][1:, 1:], plane.boundary[name][:2, :2], rtol=1e-6)
    assert flat.bounds["k"] == pytest.approx(plane.bounds["k"])
    (whole,) = homogenize(from_array(np.tile(labels, (1, 2, 2))), build(TWO), Settings(properties=("conductivity",)))
    assert "discretisation" in whole.evidence


def test_colours_become_luminance(tmp_path: Path) -> None:
    from PIL import Image as Picture

    colours = np.zeros((8, 6, 3), np.uint8)
    colours[:4], colours[4:] = (0, 0, 255), (255, 0, 0)
    tifffile.imwrite(tmp_path / "c.tif", colours, photometric="rgb")
    Picture.fromarray(colours).save(tmp_path / "c.png")
    tiff, png = (read_file(tmp_path / f"c.{end}") for end in ("tif", "png"))
    assert tiff.shape == png.shape == (6, 8)
    assert tiff.names == png.names == ("29", "76")
    np.testing.assert_array_equal(tiff.values, png.values)
    np.testing.assert_allclose(conductivity(tiff), series_along(1), atol=1e-6)
    tifffile.imwrite(tmp_path / "p.tif", np.moveaxis(colours, 2, 0), photometric="rgb", planarconfig="separate")
    with pytest.raises(ConfigError, match=r"(?s)3 planes of colours.*minisblack"):
        read_file(tmp_path / "p.tif")


def test_pages_rows_and_columns(tmp_path: Path) -> None:
    labels = np.zeros((3, 5, 6), np.uint8)
    labels[..., :3] = 1
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, labels, photometric="minisblack")
    image = read_file(path)
    assert image.shape == (6, 5, 3)
    np.testing.assert_allclose(conductivity(image), series_along(0), atol=1e-6)
    tifffile.imwrite(path, labels[0], photometric="miniswhite")
    assert read_file(path).names == ("254", "255")


def test_what_tifffile_cannot_decode_and_deep_pictures(tmp_path: Path) -> None:
    from PIL import Image as Picture

    labels = np.zeros((3, 8, 6), np.uint8)
    labels[:, 4:] = 200
    first, *rest = (Picture.fromarray(page) for page in labels)
    first.save(tmp_path / "lzw.tif", compression="tiff_lzw", save_all=True, append_images=rest)
    np.testing.assert_array_equal(read_file(tmp_path / "lzw.tif").values, labels[:, ::-1].T // 200)
    first.convert("P").save(tmp_path / "p.tif", save_all=True, append_images=[p.convert("P") for p in rest])
    assert read_file(tmp_path / "p.tif").shape == (6, 8, 3)
    Picture.fromarray(labels[0].astype(np.uint16) * 300).save(tmp_path / "deep.png")
    assert read_file(tmp_path / "deep.png").names == ("0", "60000")
    tifffile.imwrite(tmp_path / "c.tif", np.stack([labels] * 2), imagej=True, metadata={"axes": "ZCYX"})
    with pytest.raises(ConfigError, match=r"(?s)axes Z, C, Y, X of 2 x 3 x 8 x 6.*one channel"):
        read_file(tmp_path / "c.tif")
    (tmp_path / "text.npy").write_text("nothing of the sort")
    with pytest.raises(ConfigError, match=r"text\.npy: cannot be read: (?!.*pickle)"):
        read_file(tmp_path / "text.npy")


def test_colours_of_any_kind_are_grey_as_they_look(tmp_path: Path) -> None:
    """Of inks and of brightness with differences of colour, the first channel alone is something else."""
    from PIL import Image as Picture

    seen = np.zeros((8, 8, 3), np.uint8)
    seen[2:6, 2:6] = [255, 128, 0]
    for mode, change in (("RGB", 0.5), ("CMYK", 0.5), ("YCbCr", 2.0)):
        Picture.fromarray(seen).convert(mode).save(tmp_path / "c.tif")
        found = read_pixels(tmp_path / "c.tif")
        assert found.full == 255
        np.testing.assert_allclose(found.pixels, seen @ [0.299, 0.587, 0.114], atol=change)
    tifffile.imwrite(tmp_path / "c.tif", seen, photometric="minisblack", planarconfig="contig")
    assert "the first of its 3 channels" in read_pixels(tmp_path / "c.tif").told


def test_calibrated_pictures(tmp_path: Path) -> None:
    path = tmp_path / "c.tif"
    page, stack = np.eye(8, dtype=np.uint8), np.zeros((3, 8, 8), np.uint8)
    stack[1] = 1

    def spacing(array: np.ndarray, **more: Any) -> tuple[float, ...]:
        tifffile.imwrite(path, array, **more)
        return read_file(path).spacing

    micron = {"imagej": True, "resolution": (0.5, 0.25)}
    assert spacing(page, **micron, metadata={"unit": "um"}) == pytest.approx((2e-6, 4e-6))
    assert spacing(page, **micron, metadata={"unit": "micron"}) == pytest.approx((2e-6, 4e-6))
    assert spacing(stack, **micron, metadata={"unit": "nm", "spacing": 3.0}) == pytest.approx((2e-9, 4e-9, 3e-9))
    assert spacing(page, **micron, metadata={"unit": "pixel"}) == (1, 2)  # edges in the ratio told, of a length unknown
    assert spacing(stack, imagej=True, metadata={"spacing": 3.0}) == (1, 1, 3)
    assert spacing(stack, imagej=True, resolution=(72, 72), metadata={"unit": "inch"}) == (1, 1, 1)
    for odd, taken, says in ((-3.0, 3, "1 x 1 x -3"), (0.0, 1, "1 x 1 x 0"), (math.inf, 1, "1 x 1 x inf")):
        assert spacing(stack, imagej=True, metadata={"spacing": odd}) == (1, 1, taken)
        assert any(f"edge lengths of {says}" in word for _, word in read_file(path).taken)
    assert spacing(page, resolution=(1e4, 2e4), resolutionunit="CENTIMETER") == pytest.approx((1e-6, 0.5e-6))
    assert spacing(page, resolution=(72, 72), resolutionunit="INCH") == (1, 1)
    assert spacing(page, resolution=(204, 102), resolutionunit="INCH") == (1, 2)
    assert spacing(page) == (1, 1)


def test_physical_sizes_of_ome(tmp_path: Path) -> None:
    path = tmp_path / "image.ome.tif"
    stack = np.zeros((3, 8, 6), np.uint8)
    stack[1] = 1

    def spacing(array: np.ndarray, **metadata: Any) -> tuple[float, ...]:
        tifffile.imwrite(path, array, photometric="minisblack", metadata={"axes": "ZYX"[-array.ndim :], **metadata})
        return read_file(path).spacing

    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "PhysicalSizeZ": 2}
    assert spacing(stack, **sizes) == pytest.approx((0.5e-6, 0.25e-6, 2e-6))
    units = {"PhysicalSizeXUnit": "nm", "PhysicalSizeYUnit": "Å", "PhysicalSizeZUnit": "µm"}
    assert spacing(stack, **sizes, **units) == pytest.approx((0.5e-9, 0.25e-10, 2e-6))
    assert spacing(stack[:, :, 0], **sizes, **units) == pytest.approx((0.5e-9, 0.25e-10))
    assert spacing(stack, PhysicalSizeX=0.5, PhysicalSizeY=0.5) == (1, 1, 1)
    assert "along some axes only (Y 5e-07 m, X 5e-07 m)" in dict(read_file(path).taken)["axes"]
    assert spacing(stack, **sizes, **dict.fromkeys(units, "pixel")) == (1, 1, 1)
    assert spacing(stack) == (1, 1, 1)
    tifffile.imwrite(path, stack, photometric="minisblack", metadata={"axes": "TYX", **sizes})
    assert read_file(path).spacing == (1, 1, 1)  # what lies between times is no length
    colours = np.zeros((8, 6, 3), np.uint8)
    tifffile.imwrite(path, colours, photometric="rgb", metadata={"axes": "YXS", **sizes})
    assert read_pixels(path)[1] == pytest.approx((0.25e-6, 0.5e-6))


def test_a_damaged_tiff_gives_one_message(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "t.tif"
    tifffile.imwrite(path, np.zeros((16, 16), np.uint8))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ConfigError, match=r"t\.tif: cannot be read"):
        read_file(path)
    assert not caplog.records


def test_grey_levels_that_look_like_labels_name_the_remedy() -> None:
    rng = np.random.default_rng(0)
    grey = np.rint(np.where(rng.random((40, 40)) < 0.5, 12000, 48000) + rng.normal(0, 300, (40, 40))).astype(np.uint16)
    with pytest.raises(ConfigError, match="grey levels of two phases, give theirs, as in levels=") as caught:
        conductivity(from_array(grey))
    levels = [float(v) for v in str(caught.value).split("levels=[")[1].split("]")[0].split(",")]
    assert levels == pytest.approx([12000, 48000], rel=0.05)
    assert from_array(grey, levels=levels).kind == "field"


def test_images_of_one_value() -> None:
    for value, expected in ((0, 1), (255, 9)):
        labels = np.full((8, 8), value, np.uint8)
        np.testing.assert_allclose(conductivity(from_array(labels, levels=[0, 255])), expected * np.eye(3), rtol=1e-12)
        leveled = build({"phases": {"a": {"conductivity": 1, "level": 0}, "b": {"conductivity": 9, "level": 255}}})
        (result,) = homogenize(from_array(labels), leveled, Settings(properties=("conductivity",)))
        np.testing.assert_allclose(result.tensor, expected * np.eye(3), rtol=1e-12)


def test_an_axis_along_which_nothing_varies_is_as_thin_as_the_others(tmp_path: Path) -> None:
    path = tmp_path / "c.nc"
    at = (np.arange(4) + 0.5) * 1e-10
    one = xarray.DataArray(np.eye(4, dtype=int), dims=["x", "z"], coords={"x": at, "z": 3 * at}, name="c")
    one.to_netcdf(path)
    assert read_file(path).spacing == pytest.approx((1e-10, 1e-10, 3e-10), rel=1e-12)
    one.expand_dims("y").to_netcdf(path)
    assert read_file(path).shape == (4, 1, 4)
    assert read_file(path).spacing == pytest.approx((1e-10, 1e-10, 3e-10), rel=1e-12)
    xarray.DataArray(np.eye(4, dtype=int), dims=["x", "z"], name="c").to_netcdf(path)
    assert read_file(path).spacing == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("thickness", [None, 1.0])
def test_voids_in_images_of_atomic_size(tmp_path: Path, thickness: float | None) -> None:
    """Layers normal to x, half of them void, given as c(x, z): half of the conductivity along y and z."""
    labels = np.ones((8, 8), int)
    labels[:4] = 0
    at = (np.arange(8) + 0.5) * 1e-10
    path = tmp_path / "c.nc"
    xarray.DataArray(labels, dims=["x", "z"], coords={"x": at, "z": at}, name="c").to_netcdf(path)
    image = read_file(path)
    if thickness is not None:
        image = dataclasses.replace(image, spacing=(1e-10, thickness, 1e-10))
    material = build({"phases": {"pore": "void", "solid": {"conductivity": 5}}})
    (result,) = homogenize(image, material, Settings(properties=("conductivity",), two_grid=False, mixing=False))
    np.testing.assert_allclose(result.tensor, np.diag([0, 2.5, 2.5]), atol=1e-6)


def test_voxels_are_made_once_per_image() -> None:
    x = np.sin(np.linspace(0, 2 * np.pi, 16, endpoint=False))
    image = from_array(0.5 + 0.5 * np.tanh(3 * (x[:, None] + x)), levels=[0, 1])
    assert image.voxels() is image.voxels()
    assert image.voxels("sharp").rule != image.voxels().rule == "laminate"
    assert dataclasses.replace(image, spacing=(2.0, 2.0)).voxels().spacing == (2.0, 2.0)


@pytest.mark.parametrize("kind", ["labels", "field", "fields"])
def test_the_outline_tells_all_but_the_values(kind: str) -> None:
    values = np.arange(24).reshape(2, 3, 4) % 5
    periodic = ("periodic",) * (2 if kind == "fields" else 3)
    image = Image(kind, values, (1.0,) * len(periodic), periodic)
    outline = image.outline
    assert (outline.shape, outline.phases, outline.labels) == (image.shape, image.phases, image.labels)
    assert outline.values.base is not None
    assert not any(outline.values.strides)
