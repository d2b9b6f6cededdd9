"""Files from elsewhere: each kind puts a bright corner where it says, with its spacing, as image and as initial condition."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import xarray
from PIL import Image as Picture

from phasefield.errors import ConfigError
from phasefield.grid import Grid
from phasefield.homogenize import command
from phasefield.homogenize.grains import read_grains
from phasefield.homogenize.reading import read_file
from phasefield.images.formats import Asked
from phasefield.images.volumes import Raw
from phasefield.initial import initial_field

SHAPE = (5, 4, 3)
#: Bright at x = 4, y = 0, z = 2.
VALUES = np.zeros(SHAPE, np.uint8)
VALUES[4, 0, 2] = 255
AT = [4, 0, 2]
#: As files have them where x runs fastest.
LAST_X = np.ascontiguousarray(VALUES.T)
HEADER = "ObjectType = Image\nNDims = 3\nDimSize = 5 4 3\nElementType = MET_{type}\n{more}ElementDataFile = {place}\n"
TWO = "material={phases: {a: {conductivity: 1}, b: {conductivity: 10}}}"


def bright(values: np.ndarray) -> list[int]:
    (where,) = np.argwhere(values == values.max())
    return where.tolist()


def initial(path: Path, **keys: Any) -> np.ndarray:
    grid = Grid(SHAPE, tuple(map(float, SHAPE)), ("periodic",) * 3)
    return initial_field("c", {"kind": "file", "path": str(path), **keys}, None, grid, 1, {})[0]


def metaimage(folder: Path, how: str) -> Path:
    data, more, kind = LAST_X, "", "UCHAR"
    if how == "big":
        data, more, kind = LAST_X.astype(">i2"), "ElementByteOrderMSB = True\n", "SHORT"
    if how == "turned":
        data, more = LAST_X[:, ::-1], "TransformMatrix = 1 0 0 0 -1 0 0 0 1\n"
    if how == "zipped":
        more = "CompressedData = True\n"
    raw = zlib.compress(data.tobytes()) if how == "zipped" else data.tobytes()
    more += "ElementSpacing = 0.5 0.25 2\n"
    if how == "beside":
        (folder / "v.mhd").write_text(HEADER.format(type=kind, more=more + "HeaderSize = -1\n", place="v.zraw"))
        (folder / "v.zraw").write_bytes(b"something before" + raw)
        return folder / "v.mhd"
    (folder / "v.mha").write_bytes(HEADER.format(type=kind, more=more, place="LOCAL").encode() + raw)
    return folder / "v.mha"


@pytest.mark.parametrize("how", ["local", "beside", "zipped", "big", "turned"])
def test_metaimage(tmp_path: Path, how: str) -> None:
    path = metaimage(tmp_path, how)
    image = read_file(path)
    assert bright(image.values) == AT
    assert image.unit == "m"
    np.testing.assert_allclose(image.spacing, (5e-4, 2.5e-4, 2e-3), rtol=1e-12)
    assert bright(initial(path, range=[0, 1])) == AT


def test_raw_is_what_somebody_says(tmp_path: Path) -> None:
    path = tmp_path / "v.raw"
    path.write_bytes(b"12345678" + LAST_X.astype(">u2").tobytes())
    layout = {"shape": [5, 4, 3], "type": "uint16", "byteorder": "big", "skip": 8}
    assert bright(read_file(path, asked=Asked(raw=Raw.of(layout, "raw"))).values) == AT
    assert bright(initial(path, raw=layout, range=[0, 1], scale="data")) == AT
    with pytest.raises(ConfigError, match=r"asks for 5 x 4 x 2 numbers .* 88 bytes; v.raw has 128"):
        initial(path, raw={**layout, "shape": [5, 4, 2]}, range=[0, 1])
    with pytest.raises(ConfigError, match="does not say how its 128 bytes lie") as told:
        read_file(path)
    assert told.value.key == "raw"


@pytest.mark.parametrize(
    ("axes", "values"),
    [
        ("zyx", LAST_X),
        ("z-yx", LAST_X[:, ::-1]),
        ("yxz", VALUES.transpose(1, 0, 2)),
        (None, VALUES),
        ("-xyz", VALUES[::-1]),
    ],
)
def test_axes_are_what_somebody_says(tmp_path: Path, axes: str | None, values: np.ndarray) -> None:
    np.save(tmp_path / "v.npy", values)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["deep/inside/v"] = values
        file["deep/other"] = np.zeros((2, 2))
    for path, more in (("v.npy", {}), ("v.h5", {"variable": "inside/v"})):
        assert bright(read_file(tmp_path / path, asked=Asked(axes=axes, **more)).values) == AT, path
        given = {"axes": axes} if axes else {}
        assert bright(initial(tmp_path / path, range=[0, 1], scale="data", **given, **more)) == AT, path


def test_hdf5_tells_its_axes_and_voxels_itself_and_netcdf_stays_netcdf(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "v.hdf5", "w") as file:
        data = file.create_dataset("v", data=LAST_X)
        data.attrs["element_size_um"] = [3.0, 2.0, 1.0]
        for dim, name in zip(data.dims, "zyx", strict=True):
            dim.label = name
    image = read_file(tmp_path / "v.hdf5")
    assert bright(image.values) == AT
    np.testing.assert_allclose(image.spacing, (1e-6, 2e-6, 3e-6), rtol=1e-12)
    xarray.DataArray(LAST_X, dims=("z", "y", "x"), name="v").to_netcdf(tmp_path / "n.h5", engine="h5netcdf")
    assert bright(read_file(tmp_path / "n.h5").values) == AT
    with h5py.File(tmp_path / "v.hdf5", "a") as file:
        file["w"] = VALUES
    with pytest.raises(ConfigError, match="several arrays") as told:
        read_file(tmp_path / "v.hdf5")
    assert (told.value.key, "/v, /w" in (told.value.hint or "")) == ("field", True)


def test_what_would_be_made_up_is_refused(tmp_path: Path) -> None:
    """Fill values in place of numbers that are elsewhere or nowhere, entries that nobody would read, and what is no file."""
    path = tmp_path / "v.h5"
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout(SHAPE, "u1")
        layout[...] = h5py.VirtualSource("part.h5", "d", SHAPE)
        file.create_virtual_dataset("whole", layout)
    with pytest.raises(ConfigError, match=r"has the numbers of /whole in part\.h5, which is not there"):
        read_file(path)
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["d"] = VALUES
    assert bright(read_file(path).values) == AT
    with h5py.File(path, "w") as file:
        file.create_dataset("never", SHAPE, "u1")
    with pytest.raises(ConfigError, match="/never that was never written"):
        read_file(path)
    (tmp_path / "v.raw").write_bytes(VALUES.T.tobytes())
    (tmp_path / "v.mhd").write_text(HEADER.format(type="UCHAR", more="", place="v.raw") + "ElementSpacing = 1 1 2\n")
    with pytest.raises(ConfigError, match="says ElementSpacing behind ElementDataFile"):
        read_file(tmp_path / "v.mhd")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "fields.nc").touch()
    with pytest.raises(ConfigError, match="is the folder of a run"):
        initial(tmp_path / "run")
    np.save(tmp_path / "none.npy", np.zeros((0, 4)))
    with pytest.raises(ConfigError, match="holds no values"):
        initial(tmp_path / "none.npy")
    os.mkfifo(tmp_path / "v.png")
    with pytest.raises(ConfigError, match="is a pipe or a device"):
        read_file(tmp_path / "v.png")


@pytest.mark.parametrize("version", [6, 7])
def test_grains_of_dream3d(tmp_path: Path, version: int) -> None:
    labels = np.ones(SHAPE, np.int32)
    labels[4, 0, 2] = 2
    path = tmp_path / "grains.dream3d"
    angles = np.array([[0, 0, 0], [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], np.float32)
    with h5py.File(path, "w") as file:
        top = file.create_group("DataContainers/Volume" if version == 6 else "DataStructure/Volume")
        top["Cell Data/FeatureIds"] = labels.T[..., None]
        top["Cell Data/Confidence"] = np.zeros((*LAST_X.shape, 1), np.float32)
        top["Features/AvgEulerAngles"] = angles
        top["Features/Phases"] = np.array([[0], [2], [1]], np.int32)
        if version == 6:
            top["_SIMPL_GEOMETRY/DIMENSIONS"] = np.array(SHAPE)
            top["_SIMPL_GEOMETRY/SPACING"] = np.array([0.5, 0.5, 1.0], np.float32)
        else:
            top.attrs["_DIMENSIONS"], top.attrs["_SPACING"] = np.array(SHAPE), np.array([0.5, 0.5, 1.0], np.float32)
    image = read_file(path)
    assert (bright(image.values), image.kind, image.spacing) == (AT, "labels", (1.0, 1.0, 2.0))
    grains = read_grains(str(path))
    assert (grains.labels, grains.phases) == ([1.0, 2.0], ["1", "0"])
    z1, x, z2 = angles[1]
    rotation = grains.rotations[0]
    assert rotation is not None
    # Bunge: the crystal's axes in the sample are turned by phi1 about z, Phi about x', phi2 about z'.
    from scipy.spatial.transform import Rotation

    np.testing.assert_allclose(rotation, Rotation.from_euler("ZXZ", [z1, x, z2]).as_matrix(), atol=1e-7)


@pytest.mark.parametrize("where", ["cells", "points"])
def test_image_data_of_vtk(tmp_path: Path, where: str) -> None:
    pytest.importorskip("vtkmodules")
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkIOXML import vtkXMLImageDataWriter

    data = vtkImageData()
    data.SetDimensions([n + 1 for n in SHAPE] if where == "cells" else SHAPE)
    data.SetSpacing(0.5, 0.25, 2)
    array = numpy_to_vtk(LAST_X.ravel(), deep=True)
    array.SetName("phase")
    (data.GetCellData() if where == "cells" else data.GetPointData()).AddArray(array)
    writer = vtkXMLImageDataWriter()
    writer.SetFileName(str(tmp_path / "v.vti"))
    writer.SetInputData(data)
    writer.Write()
    image = read_file(tmp_path / "v.vti")
    assert (bright(image.values), image.spacing) == (AT, (0.5, 0.25, 2.0))
    assert bright(initial(tmp_path / "v.vti", variable="phase", range=[0, 1], scale="data")) == AT
    (tmp_path / "bad.vti").write_bytes((tmp_path / "v.vti").read_bytes()[:300])
    with pytest.raises(ConfigError, match="no image data of VTK, or is damaged"):
        read_file(tmp_path / "bad.vti")


def slices(folder: Path, *numbers: int, name: str = "s{}.png") -> Path:
    folder.mkdir(exist_ok=True)
    for page, number in enumerate(numbers):
        Picture.fromarray(np.ascontiguousarray(LAST_X[page % 3, ::-1])).save(folder / name.format(number))
    return folder


def test_a_folder_of_slices_is_a_stack(tmp_path: Path) -> None:
    folder = slices(tmp_path / "scan", 8, 9, 10)  # as text 10 comes first
    image = read_file(folder)
    assert bright(image.values) == AT
    assert "the slices s8.png to s10.png are z" in dict(image.taken)["axes"]
    assert bright(initial(folder, range=[0, 1])) == AT
    made, _, _ = command.run(folder, [TWO, "properties=conductivity", "two_grid=false", "mixing=false"])
    assert made == tmp_path / "scan_properties.nc"
    with xarray.open_dataset(tmp_path / "scan_properties.nc") as data:
        assert '"sha256": null' not in data.attrs["inputs"]


@pytest.mark.parametrize(
    ("numbers", "name", "problem"),
    [
        ((1, 2, 4), "s{}.png", "lacks a slice: s4.png follows s2.png"),
        ((1,), "s{}.png", "no run and one picture, s1.png"),
        ((), "", "no run and no pictures"),
        ((1, 2), "a{0}_{0}.png", "do not differ by one number"),
    ],
)
def test_slices_that_are_no_stack(tmp_path: Path, numbers: tuple[int, ...], name: str, problem: str) -> None:
    folder = slices(tmp_path / "scan", *numbers, name=name)
    with pytest.raises(ConfigError, match=problem) as told:
        initial(folder, range=[0, 1])
    assert told.value.key == "initial.c.path"


def test_slices_of_other_sizes_and_names(tmp_path: Path) -> None:
    folder = slices(tmp_path / "scan", 1, 2)
    Picture.fromarray(VALUES[:, :, 0]).save(folder / "s3.png")
    with pytest.raises(ConfigError, match=r"slices that differ: s1.png is 5 x 4 of uint8, s3.png 4 x 5"):
        read_file(folder)
    Picture.fromarray(VALUES[:, :, 0]).save(folder / "mask1.png")
    with pytest.raises(ConfigError, match="pictures of different names"):
        read_file(folder)


def test_losses_are_told(tmp_path: Path) -> None:
    Picture.fromarray(np.kron(VALUES[..., 2], np.ones((8, 8), np.uint8))).save(tmp_path / "p.jpg", quality=95)
    assert "compressed with losses" in dict(read_file(tmp_path / "p.jpg").taken)["axes"]


def test_keys_that_mean_nothing_for_a_file(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "v.tif", LAST_X, photometric="minisblack")
    np.save(tmp_path / "v.npy", VALUES)
    for path, key, given in (
        ("v.tif", "axes", {"axes": "zyx"}),
        ("v.npy", "raw", {"raw": {"shape": [60], "type": "uint8"}}),
        ("v.npy", "variable", {"variable": "c"}),
    ):
        with pytest.raises(ConfigError, match=f"applies to .*, not to {path}") as told:
            initial(tmp_path / path, **given)
        assert told.value.key == f"initial.c.{key}"
    for keys, problem in (
        ("axes=xy", "each of x, y, z once"),
        ("axes=xxz", "each of x, y, z once"),
        ("raw=3", "a mapping"),
    ):
        with pytest.raises(ConfigError, match=problem):
            command.run(tmp_path / "v.npy", [TWO, keys])


@pytest.mark.parametrize(
    "table",
    [
        "x,y,radius\n10,8,3\n24,20,4.5\n",
        "10 8 3\n24 20 4,5".replace(",", "."),
        "name;DIAMETER;Y;X\na;6;8;10\nb;9,0;20;24\n",
    ],
)
def test_circles_from_a_table(tmp_path: Path, table: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "drops.csv").write_text(table)
    grid = Grid((32, 32), (32.0, 32.0), ("periodic",) * 2)
    profile = {"kind": "circles", "inside": 1, "outside": 0, "width": 1}
    told = initial_field("c", {**profile, "path": str(tmp_path / "drops.csv")}, None, grid, 1, {})
    listed = initial_field("c", {**profile, "centers": [[10, 8], [24, 20]], "radii": [3, 4.5]}, None, grid, 1, {})
    np.testing.assert_array_equal(told, listed)
    assert "outside" not in caplog.text
    smaller = Grid((16, 16), (16.0, 16.0), ("periodic",) * 2)  # a table in another unit of length
    initial_field("c", {**profile, "path": str(tmp_path / "drops.csv")}, None, smaller, 1, {})
    assert "1 of 2 centres lie outside of the domain of 16 x 16" in caplog.text


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("", "is empty"),
        ("x,y\n1,2\n", "has the columns x, y"),
        ("1,2\n", "has 2 columns and no header"),
        ("x,y,radius\n1,2,0\n", "line 2 .* radius is 0"),
        ("x,y,radius\n1,two,3\n", "y is 'two'"),
        ("x,y,radius\n1,2\n", "line 2 .* has 2 values for 3"),
    ],
)
def test_tables_that_hold_no_circles(tmp_path: Path, table: str, problem: str) -> None:
    (tmp_path / "drops.csv").write_text(table)
    grid = Grid((8, 8), (8.0, 8.0), ("periodic",) * 2)
    spec = {"kind": "circles", "inside": 1, "outside": 0, "width": 1, "path": str(tmp_path / "drops.csv")}
    with pytest.raises(ConfigError, match=problem):
        initial_field("c", spec, None, grid, 1, {})
