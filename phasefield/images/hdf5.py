"""Arrays in HDF5 files by their path, and the cells of DREAM.3D, whose files say how large and how spaced they are.

DREAM.3D: Groeber and Jackson, Integrating Materials and Manufacturing Innovation 3 (2014) 5; versions 6 (``DataContainers``) and
NX (``DataStructure``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigError, unknown
from .pixels import positive
from .raster import AXES, Raster, as_told, indexed

if TYPE_CHECKING:
    import h5py

HDF5 = (".h5", ".hdf5", ".hdf", ".he5")
DREAM3D = ".dream3d"
#: Where DREAM.3D keeps its containers, the group of a container's geometry ("" for the container itself), and its entries.
_CONTAINERS = (("DataContainers", "_SIMPL_GEOMETRY", ""), ("DataStructure", "", "_"))
#: The array that says which grain a cell belongs to.
GRAINS = "FeatureIds"
#: What tells the size of a voxel along the axes of an array, in micrometres (ilastik, ImageJ's HDF5 plugin).
_SIZES = "element_size_um"


def has_dimensions(path: Path) -> bool:
    """Whether an HDF5 file is NetCDF, or has dimensions as NetCDF does; a file that cannot be opened counts as one that has."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return "_NCProperties" in file.attrs or any(
                "DIMENSION_LIST" in item.attrs or "CLASS" in item.attrs for item in file.values()
            )
    except Exception:  # whoever reads it says what is wrong
        return True


def read_hdf5(path: Path, variable: str | None = None, axes: str | None = None) -> Raster:
    """An array of one to three axes.

    Args:
        variable: its path in the file, or the last part of it; not needed where there is only one, or of DREAM.3D grains.
        axes: what the array's axes are, see `raster.as_told`; by default those that the file names, else x, y, z.

    Raises:
        ConfigError: no such array, several and no choice; the key ``variable`` or the file. OSError: it is no HDF5 file.
    """
    import h5py

    with h5py.File(path, "r") as file:
        images = dict(_images(file))
        if not images:
            raise ConfigError(str(path), "holds no array of numbers with one to three axes")
        data = images[_chosen(images, variable, path)]
        _check_written(data, path)
        container = _container(file, data)
        if container is not None:
            return _cells(data, *container, str(path))
        array = np.asarray(data[()])
        told = [f"the array {data.name}"]
        labels = "".join(str(d.label) for d in data.dims)
        if axes is None and sorted(labels) == sorted(AXES[: array.ndim]):
            axes = labels
            told.append("its axes as the file names them")
        raster = Raster(array, indexed(array.ndim), told=tuple(told))
        if _SIZES in data.attrs:
            sizes = np.atleast_1d(data.attrs[_SIZES]).astype(float)
            if len(sizes) == array.ndim:
                lengths, odd = positive([float(s) for s in sizes], _SIZES)
                spacing = lengths and tuple(1e-6 * s for s in lengths)
                raster = Raster(array, raster.axes, spacing, "m" if spacing else "", told=(*told, *odd))
        return as_told(raster, axes)


def _images(group: h5py.Group, depth: int = 0) -> Iterator[tuple[str, h5py.Dataset]]:
    """All arrays that could be an image, by their paths. Links that lead nowhere or around are passed over."""
    import h5py

    for name in group:
        item = group.get(name) if group.get(name, getlink=True).__class__ is h5py.HardLink else None
        if isinstance(item, h5py.Group) and depth < 12:
            yield from _images(item, depth + 1)
        elif isinstance(item, h5py.Dataset) and item.dtype.kind in "biuf":
            shape = [n for n in item.shape if n > 1]
            if 1 <= len(shape) <= 3 and 1 <= len(item.shape) <= 4 and (len(item.shape) < 4 or item.shape[-1] == 1):
                yield str(item.name), item


def _chosen(images: dict[str, Any], variable: str | None, path: Path) -> str:
    if variable is None:
        grains = [n for n in images if n.rsplit("/", 1)[-1] == GRAINS]
        if len(grains) == 1:
            return grains[0]
        if len(images) == 1:
            return next(iter(images))
        most = sorted(images, key=lambda n: -images[n].size)[:8]
        raise ConfigError(
            "variable", f"is not given, and {path.name} has several arrays", f"one of {', '.join(sorted(most))}"
        )
    found = [n for n in images if n in (variable, f"/{variable}")] or [
        n for n in images if n.endswith(f"/{variable.strip('/')}")
    ]
    if not found:
        raise unknown("variable", variable, sorted(images), f"array in {path.name}:")
    if len(found) > 1:
        raise ConfigError(
            "variable", f"is {variable}, which {path.name} has more than once", f"one of {', '.join(found)}"
        )
    return found[0]


def _check_written(data: h5py.Dataset, path: Path) -> None:
    """Refuses an array that HDF5 would make up of its fill value. Raises ConfigError, the key is the file."""
    if data.is_virtual:
        for source in data.virtual_sources():
            inside = source.file_name == "."
            if not inside and not (path.parent / source.file_name).is_file():
                raise ConfigError(
                    str(path),
                    f"has the numbers of {data.name} in {source.file_name}, which is not there",
                    "put it where this file expects it",
                )
    elif data.external is None and not data.id.get_storage_size():
        raise ConfigError(str(path), f"has an array {data.name} that was never written", "make it again")


def _container(file: h5py.File, data: h5py.Dataset) -> tuple[list[int], list[float]] | None:
    """Cells and edge lengths along x, y, z of the container of DREAM.3D that an array of cells lies in."""
    parts = str(data.name).strip("/").split("/")
    for top, inner, mark in _CONTAINERS:
        if len(parts) >= 3 and parts[0] == top:
            geometry: Any = file.get("/".join([top, parts[1], *([inner] if inner else [])]))
            if geometry is None:
                return None
            entries = geometry.attrs if mark else geometry
            try:
                size = [int(n) for n in np.ravel(entries[f"{mark}DIMENSIONS"])]
                steps = [float(s) for s in np.ravel(entries[f"{mark}SPACING"])]
            except KeyError:
                return None
            return (size, steps) if data.size == np.prod(size) else None
    return None


def _cells(data: h5py.Dataset, size: list[int], steps: list[float], name: str) -> Raster:
    if len(size) != 3 or len(steps) != 3 or not all(s > 0 for s in steps):
        raise ConfigError(name, f"says that its cells are {size} with edges {steps}; three of each are expected")
    values = np.asarray(data[()]).reshape(size[::-1]).T
    kept = 2 if size[2] == 1 else 3
    values = values[..., 0] if kept == 2 else values
    told = (f"the array {data.name}", "its lengths have no unit: only their ratios are taken")
    spacing = tuple(s / steps[0] for s in steps[:kept])
    return Raster(values, f"the axes {', '.join(AXES[:kept])} of its cells", spacing, told=told)


def features(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Mean Euler angles (grains, 3; Bunge, radians) and phases (from 1) of DREAM.3D's features, the first of which is none.

    Raises:
        ConfigError: it has no mean angles, or those of several sets of features. OSError: it is no HDF5 file.
    """
    import h5py

    found: list[str] = []
    with h5py.File(path, "r") as file:
        file.visit(lambda name: found.append(name) if name.rsplit("/", 1)[-1] == "AvgEulerAngles" else None)
        if len(found) != 1:
            problem = f"{path} has {'no' if not found else len(found)} arrays AvgEulerAngles; one is expected"
            raise ConfigError("grains", problem, "compute the mean orientations of the features in DREAM.3D first")
        angles = np.asarray(file[found[0]][()], float).reshape(-1, 3)[1:]
        where = f"{found[0].rpartition('/')[0]}/Phases"
        phases = np.ravel(file[where][()])[1:] if where in file else None
    if not len(angles) or not np.isfinite(angles).all() or (phases is not None and len(phases) != len(angles)):
        raise ConfigError("grains", f"{path}: {found[0]} and Phases hold no finite angles of every feature")
    return angles, phases
