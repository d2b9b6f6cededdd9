"""Our files in VTK's reader of the NetCDF CF conventions, which is ParaView's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import phasefield as pf
from phasefield.store import open_dataset, write_dataset

netcdf = pytest.importorskip("vtkmodules.vtkIONetCDF", reason="pip install vtk")

TINY = (
    "threads.cpu=1",
    "device=cpu",
    "output.picture=false",
    "time.end=0.2",
    "output.every=0.1",
    "grid.units=nm",
    "time.units=s",
)


def shown(path: Path, axes: str, time: float | None = None) -> tuple[Any, list[float], list[str]]:
    """The image that VTK makes of what has the given axes, its times, and everything it complained of."""
    from vtkmodules.vtkCommonCore import vtkFileOutputWindow, vtkOutputWindow
    from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline

    log = path.with_name(f"{path.name}.vtk.log")
    window = vtkFileOutputWindow()
    window.SetFileName(str(log))
    before = vtkOutputWindow.GetInstance()
    vtkOutputWindow.SetInstance(window)
    try:
        reader = netcdf.vtkNetCDFCFReader()
        reader.SetFileName(str(path))
        reader.UpdateMetaData()
        reader.SetDimensions(axes)
        reader.UpdateInformation()
        known = reader.GetOutputInformation(0).Get(vtkStreamingDemandDrivenPipeline.TIME_STEPS()) or ()
        reader.UpdateTimeStep(0.0 if time is None else time)
        image = reader.GetOutputDataObject(0)
    finally:
        vtkOutputWindow.SetInstance(before)
    return image, list(known), log.read_text().splitlines() if log.exists() else []


def values(image: Any, name: str) -> np.ndarray:
    """A point array with the axes z, y, x."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    return vtk_to_numpy(image.GetPointData().GetArray(name)).reshape(image.GetDimensions()[::-1])


@pytest.mark.parametrize(
    ("axes", "grid"),
    [
        pytest.param("(y, x)", ("grid.shape=[8,6]", "grid.length=[16,6]"), marks=pytest.mark.slow),
        ("(z, y, x)", ("grid.shape=[8,6,4]", "grid.length=[16,6,12]")),
    ],
)
def test_a_run_with_components(tmp_path: Path, axes: str, grid: tuple[str, ...]) -> None:
    eta = "model.fields.eta={kinetics: nonconserved, components: 2, description: grain Ξ}"
    energy = "model.energy=c**2*(1-c)**2+sum(eta**4/4-eta**2/2)+1"
    run = pf.run(*TINY, *grid, energy, eta, "initial.eta=[sin(x), cos(x)]", f"output.dir={tmp_path}/run")
    image, times, complaints = shown(tmp_path / "run" / "fields.nc", axes, 0.2)
    assert complaints == []
    assert image.GetClassName() == "vtkImageData"
    assert times == [0, 0.1, 0.2]
    space = [d for d in "xyz" if d in axes]
    centres = [run.fields[d].values for d in space]
    ends = [float(end) for c in centres for end in (c[0], c[-1])]
    np.testing.assert_allclose(image.GetBounds()[: len(ends)], ends)
    last = run.fields.isel(time=-1)
    for name, part in (
        ("c", last.c),
        ("eta_1", last.eta.sel(component_eta=1)),
        ("eta_2", last.eta.sel(component_eta=2)),
    ):
        found = values(image, name).squeeze()
        np.testing.assert_array_equal(found, part.transpose(*reversed(space)).values)
        assert np.ptp(found) > 0
    assert shown(tmp_path / "run" / "history.nc", "(component_eta)", 0.2)[2] == []
    # No reader is left out by a type that older versions do not know (ParaView 5.11: integers of 64 bits).
    for name in ("fields.nc", "history.nc"):
        with xr.open_dataset(tmp_path / "run" / name, decode_times=False) as raw:
            assert {v.dtype.str for v in raw.variables.values()} <= {"<f8", "<i4"}


def test_local_fields(tmp_path: Path) -> None:
    """A dataset with loads, components and space, as of effective properties."""
    rng = np.random.default_rng(4)
    local = rng.random((2, 3, 5, 4, 6)).astype("f4")
    coords = {
        "load": ("load", ["xx", "xy"]),
        "i": ("i", ["x", "y", "z"]),
        **{d: (d, np.arange(n) + 0.5, {"units": "m"}) for d, n in zip("xyz", (5, 4, 6), strict=True)},
        "grain": ("load", ["α", "β"]),
    }
    variables = {
        "strain": (
            ("load", "i", "x", "y", "z"),
            local,
            {"units": "1", "long_name": "local strain", "comment": "größer"},
        ),
        "iterations": (("load",), np.array([3, 2**40]), {"units": "1"}),
        "percolates": (("load",), np.array([True, False])),
    }
    data = xr.Dataset(variables, coords, {"title": "Effective", "notes": "", "shape": [5, 4, 6]})
    write_dataset(data, tmp_path / "p.nc")
    image, _, complaints = shown(tmp_path / "p.nc", "(z, y, x)")
    assert complaints == []
    assert image.GetBounds() == (0.5, 4.5, 0.5, 3.5, 0.5, 5.5)
    np.testing.assert_array_equal(values(image, "strain_xy_z"), local[1, 2].T)
    with open_dataset(tmp_path / "p.nc") as back:
        assert back.strain.dims == ("load", "i", "x", "y", "z")
        assert back.strain.attrs == variables["strain"][2]
        np.testing.assert_array_equal(back.strain, local)
        np.testing.assert_array_equal(
            back.strain.sel(load="xy", i=["z", "x"]).isel(y=1, z=slice(2, 5)), local[1, [2, 0], :, 1, 2:5]
        )
        assert back.iterations.values.tolist() == [3, 2**40]
        assert back.percolates.values.tolist() == [1, 0]
        assert list(back.grain.values) == ["α", "β"]
        assert "grain" in back.coords
        assert {k: back.attrs[k] for k in ("title", "notes")} == {"title": "Effective", "notes": ""}
