"""Image data of VTK (.vti, and .vtk with structured points), read by the library itself, the extra ``vtk``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, unknown
from .pixels import positive
from .raster import AXES, Raster

VTK = (".vti", ".vtk")


def read_vtk(path: Path, variable: str | None = None) -> Raster:
    """An array of numbers at the cells, or at the points, each of which then counts as a voxel; its axes are x, y, z.

    Args:
        variable: its name; not needed if there is only one.

    Raises:
        ConfigError: VTK is not installed, the file is damaged or holds no image data, or several arrays and no choice.
    """
    if find_spec("vtkmodules") is None:
        raise ConfigError(str(path), "needs the library vtk", "pip install 'phasefield[vtk]'")
    data = _load(path)
    if data is None or data.GetNumberOfPoints() == 0:
        raise ConfigError(str(path), "holds no image data of VTK, or is damaged", "is it complete?")
    arrays = {**_arrays(data.GetPointData()), **_arrays(data.GetCellData())}
    if not arrays:
        raise ConfigError(str(path), "has no array of one number a cell or point")
    if variable is not None and variable not in arrays:
        raise unknown("variable", variable, sorted(arrays), f"array in {path.name}:")
    if variable is None and len(arrays) > 1:
        raise ConfigError(
            "variable", f"is not given, and {path.name} has several arrays", f"one of {', '.join(sorted(arrays))}"
        )
    name = variable or next(iter(arrays))
    cells = data.GetCellData().HasArray(name)
    points = data.GetDimensions()
    shape = [max(n - 1, 1) for n in points] if cells else list(points)
    values = arrays[name].reshape(shape[::-1]).T
    kept = max((k + 1 for k, n in enumerate(shape) if n > 1), default=1)
    values = values.reshape(shape[:kept])
    spacing, odd = positive(list(map(float, data.GetSpacing()[:kept])), "Spacing")
    told = [f"the array {name} at the {'cells' if cells else 'points'}", *odd]
    matrix = data.GetDirectionMatrix()
    if not all(matrix.GetElement(i, j) == (i == j) for i in range(3) for j in range(3)):
        raise ConfigError(str(path), "is turned against its axes", "resample it along x, y, z")
    return Raster(values, f"the axes are {', '.join(AXES[:kept])}", spacing, "", told=tuple(told))


def _load(path: Path) -> Any:
    from vtkmodules.vtkCommonCore import vtkObject
    from vtkmodules.vtkIOLegacy import vtkStructuredPointsReader
    from vtkmodules.vtkIOXML import vtkXMLImageDataReader

    shown = vtkObject.GetGlobalWarningDisplay()
    vtkObject.SetGlobalWarningDisplay(0)  # of a damaged file it would print: one message says it
    try:
        reader = vtkXMLImageDataReader() if path.suffix.lower() == ".vti" else vtkStructuredPointsReader()
        reader.SetFileName(str(path))
        reader.Update()
        return reader.GetOutput() if not reader.GetErrorCode() else None
    finally:
        vtkObject.SetGlobalWarningDisplay(shown)


def _arrays(data: Any) -> dict[str, np.ndarray]:
    from vtkmodules.util.numpy_support import vtk_to_numpy

    found = {}
    for k in range(data.GetNumberOfArrays()):
        array = data.GetArray(k)
        if array is not None and array.GetNumberOfComponents() == 1 and array.GetNumberOfTuples():
            found[array.GetName() or f"array{k}"] = np.array(vtk_to_numpy(array))
    return found
