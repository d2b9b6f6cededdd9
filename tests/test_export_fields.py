"""``phasefield export`` of fields: the values lie at the right places and times in the readers of those who take them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from test_cli import Command, phasefield

from phasefield.errors import ConfigError, OutputError, PhasefieldError
from phasefield.exports import FORMATS, Export, export
from phasefield.report.drawing import NOT_FINITE, palette
from phasefield.report.views import color_table
from phasefield.store import RecordFile, Variable, open_dataset, write_dataset
from phasefield.viewing import source as sources

__all__ = ["phasefield"]

CELLS = {1: (6,), 2: (6, 5), 3: (6, 5, 4)}
EDGES = (2.0, 1.0, 0.5)
TIMES = [0.0, 0.5, 4.0]


def run_folder(folder: Path, dimension: int, components: int = 3) -> dict[str, np.ndarray]:
    """A run's fields.nc, written as a run does: c, and eta with components; their values by name, (time, [component,] x, ...)."""
    folder.mkdir(parents=True)
    shape, space = CELLS[dimension], ("x", "y", "z")[:dimension]
    rng = np.random.default_rng(dimension)
    values = {
        "c": rng.random((3, *shape)),
        "eta": rng.random((3, components, *shape)).astype("f4"),
    }
    coords: dict[str, Any] = {
        d: ((np.arange(n) + 0.5) * h - 1, {"units": "m"}) for d, n, h in zip(space, shape, EDGES, strict=False)
    }
    coords["component_eta"] = (np.arange(1, components + 1), {})
    file = RecordFile.create(
        folder / "fields.nc",
        coords,
        [
            Variable("time", ("time",), "f8", {"units": "s"}),
            Variable("c", ("time", *space), "f8", {"units": "1"}),
            Variable("eta", ("time", "component_eta", *space), "f4", {"units": "1"}),
        ],
        {"title": "T"},
    )
    for k, time in enumerate(TIMES):
        file.append({"time": [time], **{name: v[k : k + 1] for name, v in values.items()}})
    return values


def images(reader: Any, path: Path, times: list[float]) -> list[Any]:
    """The image that one of VTK's readers makes of a file at each time; what the reader says of its times is checked."""
    from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline as Pipeline

    reader.SetFileName(str(path))
    reader.UpdateInformation()
    assert list(reader.GetOutputInformation(0).Get(Pipeline.TIME_STEPS()) or [0.0]) == times
    found = []
    for time in times:
        reader.UpdateTimeStep(time)
        image = reader.GetOutputDataObject(0)
        while image.IsA("vtkMultiBlockDataSet"):
            image = image.GetBlock(0)
        copy = image.NewInstance()
        copy.DeepCopy(image)
        found.append(copy)
    return found


def cells(image: Any, name: str) -> np.ndarray:
    """The array of an image's cells: component (if there are some), x, y, z; without axes of one cell that are flat."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    values = vtk_to_numpy(image.GetCellData().GetArray(name))
    shape = [max(1, n - 1) for n in image.GetDimensions()]
    return values.reshape(*shape[::-1], *values.shape[1:]).T


def box(dimension: int) -> list[float]:
    """The bounds of the cells."""
    return [end for n, h in zip(CELLS[dimension], EDGES, strict=False) for end in (-1.0, -1.0 + n * h)]


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_vtkhdf(tmp_path: Path, dimension: int, monkeypatch: pytest.MonkeyPatch) -> None:
    vtk = pytest.importorskip("vtkmodules.vtkIOHDF", reason="pip install vtk")
    monkeypatch.setattr(sources, "_SLAB", 200)  # so that a snapshot goes in several pieces
    values = run_folder(tmp_path / "run", dimension)
    (file,), told = export(tmp_path / "run", Export(format="vtkhdf"))
    assert file == tmp_path / "run" / "fields.vtkhdf"
    assert "eta (3 components)" in told
    found = images(vtk.vtkHDFReader(), file, TIMES)
    for k, image in enumerate(found):
        assert image.GetClassName() == "vtkImageData"
        np.testing.assert_allclose(image.GetBounds()[: 2 * dimension], box(dimension))
        for name in ("c", "eta"):
            np.testing.assert_array_equal(cells(image, name).squeeze(), values[name][k])
    assert images(vtk.vtkHDFReader(), file, TIMES)[0].GetCellData().GetArray("eta").GetDataTypeAsString() == "float"
    export(tmp_path / "run", Export(format="vtkhdf"))  # its own file is replaced
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["fields.nc", "fields.vtkhdf"]


def test_local_fields_to_vtkhdf(tmp_path: Path) -> None:
    """Of effective properties: no time, an axis of loads besides the components."""
    vtk = pytest.importorskip("vtkmodules.vtkIOHDF", reason="pip install vtk")
    local = np.random.default_rng(1).random((2, 3, 5, 4, 6))
    coords = {"load": ["xx", "xy"], "i": ["x", "y", "z"]} | {
        d: (d, np.arange(n) + 0.5, {"units": "m"}) for d, n in zip("xyz", (5, 4, 6), strict=True)
    }
    data = xr.Dataset({"strain": (("load", "i", "x", "y", "z"), local), "iterations": (("load",), [3, 4])}, coords)
    write_dataset(data, tmp_path / "properties.nc")
    (file,), _ = export(tmp_path, Export(format="vtkhdf"))
    (image,) = images(vtk.vtkHDFReader(), file, [0.0])
    np.testing.assert_array_equal(cells(image, "strain_xy"), local[1])
    with pytest.raises(OutputError, match="no dimension 'time'"):
        export(tmp_path, Export(format="png"))
    write_dataset(data[["iterations"]], tmp_path / "properties.nc")
    with pytest.raises(OutputError, match="no field over x, y, z"):
        export(tmp_path, Export(format="xdmf"))


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_xdmf(tmp_path: Path, dimension: int) -> None:
    vtk = pytest.importorskip("vtkmodules.vtkIOXdmf2", reason="pip install vtk")
    values = run_folder(tmp_path / "run", dimension)
    path = tmp_path / "run" / "fields.nc"
    before = path.read_bytes()
    for target in ("run/fields.xdmf", "else/where.xdmf"):
        (file,), _ = export(tmp_path / "run", Export(format="xdmf", output=str(tmp_path / target)))
        for k, image in enumerate(images(vtk.vtkXdmfReader(), file, TIMES)):
            np.testing.assert_allclose(image.GetBounds()[: 2 * dimension], box(dimension))
            np.testing.assert_array_equal(cells(image, "c").squeeze(), values["c"][k])
            for number in range(3):
                np.testing.assert_array_equal(cells(image, f"eta_{number + 1}").squeeze(), values["eta"][k, number])
    assert path.read_bytes() == before
    # What is told stays true while the run goes on.
    RecordFile.open(path).append({"time": [9.0], **{name: v[:1] for name, v in values.items()}})
    image = images(vtk.vtkXdmfReader(), tmp_path / "run" / "fields.xdmf", TIMES)[2]
    np.testing.assert_array_equal(cells(image, "c").squeeze(), values["c"][2])


def test_xdmf_refuses_what_it_cannot_tell_of(tmp_path: Path) -> None:
    run_folder(tmp_path / "run", 2)
    with open_dataset(tmp_path / "run" / "fields.nc") as data:
        data[["c"]].transpose("time", "x", "y").to_netcdf(tmp_path / "early.nc")
    with pytest.raises(OutputError, match="do not lie in the order y, x"):
        export(tmp_path / "early.nc", Export(format="xdmf"))
    os.rename(tmp_path / "run", tmp_path / "a:b")
    with pytest.raises(ConfigError, match="a colon ends the name"):
        export(tmp_path / "a:b", Export(format="xdmf", output=str(tmp_path / "x.xdmf")))


def pixels(path: Path) -> np.ndarray:
    """A picture as [right, up, rgb]."""
    return np.asarray(Image.open(path).convert("RGB"))[::-1].swapaxes(0, 1)


def expected(values: np.ndarray, low: float, high: float) -> np.ndarray:
    places = np.floor((values - low) / (high - low) * 256).astype(int)
    return color_table("magma")[places.clip(0, 255)]


def test_png(tmp_path: Path) -> None:
    values = run_folder(tmp_path / "run", 2)
    (first, last), told = export(tmp_path / "run", Export(format="png", colormap="magma"))
    assert (first.name, last.name) == ("c_0000.png", "c_0002.png")
    low, high = values["c"].min(), values["c"].max()
    assert f"colours from {low:.6g} to {high:.6g} at all times" in told
    for k in range(3):
        np.testing.assert_array_equal(pixels(first.parent / f"c_000{k}.png"), expected(values["c"][k], low, high))
    # Some snapshots: pictures of other colours do not stay beside them, but those of other people do.
    (first.parent / "c_0009.png").write_bytes(b"another's")
    export(tmp_path / "run", Export(format="png", every=2, range=[-1, 2], colormap="magma"))
    assert sorted(p.name for p in first.parent.iterdir()) == ["c_0000.png", "c_0002.png", "c_0009.png"]
    np.testing.assert_array_equal(pixels(last), expected(values["c"][2], -1, 2))
    # One time, a component, enlarged.
    keys = Export(format="png", field="eta_2", time=0.6, scale=3, range=[0, 1], colormap="magma")
    (file,), told = export(tmp_path / "run", keys)
    assert file.name == "fields_eta_2_0001.png"
    assert "t = 0.5 s" in told
    np.testing.assert_array_equal(pixels(file)[1::3, 1::3], expected(values["eta"][1, 1], 0, 1))
    assert pixels(file).shape == (18, 15, 3)
    # All components: the colour of the largest.
    (first, *_), _ = export(tmp_path / "run", Export(format="png", field="eta"))
    largest, seen = values["eta"][0].argmax(axis=0), pixels(first) / 255
    for k, color in enumerate(palette(3)):
        shade = seen[largest == k] @ color / (color @ color)  # darker than the colour, but no other
        np.testing.assert_allclose(seen[largest == k], shade[:, None] * color, atol=0.003)
        assert shade.max() <= 1.003


def test_png_of_a_plane_and_of_what_is_not_finite(tmp_path: Path) -> None:
    values = run_folder(tmp_path / "run", 3)
    (first, _), _ = export(tmp_path / "run", Export(format="png", slice="y:0.5", colormap="magma"))
    planes = values["c"][:, :, 2]
    np.testing.assert_array_equal(pixels(first), expected(planes[0], planes.min(), planes.max()))
    for k, place in ((0, 0.0), (5, 1.0)):
        keys = Export(format="png", slice=f"x:{place}", time=4, range=[0, 1], colormap="magma")
        (file,), _ = export(tmp_path / "run", keys)
        np.testing.assert_array_equal(pixels(file), expected(values["c"][2, k], 0, 1))
    with xr.open_dataset(tmp_path / "run" / "fields.nc", decode_times=False) as data:
        broken = data[["c"]].load()
    broken.c[0, 2, 1, 3] = np.nan
    broken.to_netcdf(tmp_path / "broken.nc")
    (file,), _ = export(tmp_path / "broken.nc", Export(format="png", time=0, slice="z:0.5"))
    grey = (pixels(file) == int(NOT_FINITE[1:3], 16)).all(axis=-1)
    assert np.argwhere(grey).tolist() == [[3, 1]]


def test_mp4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_folder(tmp_path / "run", 2)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "imageio_ffmpeg", None)
        with pytest.raises(PhasefieldError, match=r"pip install 'phasefield\[film\]'"):
            export(tmp_path / "run", Export(format="mp4"))
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="pip install imageio-ffmpeg")
    (file,), told = export(tmp_path / "run", Export(format="mp4", scale=33, fps=5, slice=None))
    assert "198 x 166 pixels, 0.6 s" in told  # 165 is odd
    (still, *_), _ = export(tmp_path / "run", Export(format="png", scale=33))
    frames = ffmpeg.read_frames(str(file))
    known = next(frames)
    assert (known["codec"], known["size"], known["fps"]) == ("h264", (198, 166), 5)
    assert known["pix_fmt"].startswith("yuv420p")
    shown = [np.frombuffer(frame, np.uint8).reshape(166, 198, 3).astype(int) for frame in frames]
    assert len(shown) == 3
    wanted = np.asarray(Image.open(still)).astype(int)
    assert np.abs(shown[0][16::33, 16::33][:5] - wanted[16::33, 16::33]).mean() < 12  # compressed, in the right places
    export(tmp_path / "run", Export(format="mp4"))  # its own film is replaced
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*.*")}
    monkeypatch.setattr("phasefield.viewing.film._encode", lambda *_: None)  # as on a full disk
    with pytest.raises(OutputError, match="with 0 of 3 frames"):
        export(tmp_path / "run", Export(format="mp4"))
    assert {p: p.read_bytes() for p in (tmp_path / "run").rglob("*.*")} == before


def test_nothing_is_lost_or_left_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_folder(tmp_path / "run", 2)
    before = (tmp_path / "run" / "fields.nc").read_bytes()
    for name in ("vtkhdf", "xdmf", "mp4"):
        with pytest.raises(ConfigError, match="is the source itself"):
            export(tmp_path / "run", Export(format=name, output=str(tmp_path / "run" / "fields.nc")))
        (tmp_path / "notes").write_text("mine")
        with pytest.raises(ConfigError, match="only such are replaced"):
            export(tmp_path / "run", Export(format=name, output=str(tmp_path / "notes")))
    with pytest.raises(ConfigError, match="is a file"):
        export(tmp_path / "run", Export(format="png", output=str(tmp_path / "notes")))
    assert (tmp_path / "notes").read_text() == "mine"
    assert (tmp_path / "run" / "fields.nc").read_bytes() == before

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OutputError, match="No space left"):
            export(tmp_path / "run", Export(format="vtkhdf"))

    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    for module in ("vtkhdf", "frames", "film"):
        monkeypatch.setattr(f"phasefield.viewing.{module}.check", stop)
    for name in ("vtkhdf", "png", "mp4"):
        with pytest.raises(Stop):
            export(tmp_path / "run", Export(format=name))
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["fields.nc", "notes", "run"]


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("format=vtk", "expected one of json"),
        ("format=vtkhdf every=2", "every: means nothing to format=vtkhdf"),
        ("format=json slice=z:0.5", "choose a format that reads it: png, mp4"),
        ("format=png units=mm-t-s", "choose a format that reads it: calculix, abaqus, moose, ansys"),
        ("format=calculix fps=3", "fps: means nothing to format=calculix"),
        ("format=mp4 time=1", "time: chooses one snapshot, which makes no film"),
        ("format=png slice=z:0.5", "slice: is z:0.5, but c has 2 dimensions"),
        ("format=png field=d", "field: there is no field 'd'"),
        ("format=png time=9", "time: is 9; there are snapshots from 0 to 4"),
        ("format=png range=[1,0]", "range: is [1.0, 0.0]; two numbers are expected"),
        ("format=png field=eta range=[0,1]", "range: means nothing to the map of grains"),
        ("format=png colormap=viridos", "did you mean 'viridis'"),
        ("format=png every=0", "every: is 0"),
        ("format=png scale=100", "scale: is 100"),
        ("format=mp4 fps=0", "fps: is 0"),
    ],
)
def test_what_is_refused(phasefield: Command, tmp_path: Path, keys: str, says: str) -> None:
    run_folder(tmp_path / "run", 2)
    answer = phasefield(f"export run {keys}")
    assert (answer.code, answer.out) == (2, "")
    assert says in answer.err
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["fields.nc"]


def test_a_line_and_what_is_missing(phasefield: Command, tmp_path: Path) -> None:
    run_folder(tmp_path / "line", 1)
    answer = phasefield("export line format=png")
    assert (answer.code, "phasefield report draws it" in answer.err) == (2, True)
    (tmp_path / "empty").mkdir()
    for where in ("empty", "nowhere"):
        answer = phasefield(f"export {where} format=vtkhdf")
        assert (answer.code, "give" in answer.err) == (2, True)
    answer = phasefield("export line format=xdmf")
    assert (answer.code, answer.out.splitlines()[-1]) == (0, "line/fields.xdmf")


def test_every_format_says_which_keys_it_reads() -> None:
    known = set(Export.__dataclass_fields__)
    for name, form in FORMATS.items():
        assert {*form.keys} <= known, name
        assert form.text
    assert known == {"format", "output", *(k for form in FORMATS.values() for k in form.keys)}
