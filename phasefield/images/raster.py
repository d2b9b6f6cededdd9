"""Values on a grid from files, with the axes x, y, z whatever the file: what initial conditions and homogenization read.

One orientation everywhere: of pictures the columns are x, the rows y upwards (the bottom row is y = 0), the pages z; arrays are
indexed x, y, z; axes of NetCDF files go by their names, and their coordinates increase. A report then draws what the picture
showed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .pixels import Picture, read_array, read_pixels

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[Any]

AXES = ("x", "y", "z")
ARRAYS = (".npy",)
NETCDF = (".nc", ".nc4", ".cdf", ".h5")
#: How far a coordinate may lie from where even steps would have it, in steps; files round.
_UNEVEN = 0.02


@dataclass(frozen=True)
class Raster:
    """Values on a grid.

    Attributes:
        values: indexed x, y, z, as many of them as there are.
        axes: which axis of the file each of them is, in words.
        spacing: edge lengths along x, y, z; None where the file tells none.
        unit: of the spacing, empty where only its ratios are known.
        full: the value of white in a picture of whole numbers, None of other values.
        colours: how many different ones became luminance; 0 where there were none.
        told: what else was taken for what.
    """

    values: Array
    axes: str
    spacing: tuple[float, ...] | None = None
    unit: str = ""
    full: float | None = None
    colours: int = 0
    told: tuple[str, ...] = ()

    def with_word(self, text: str) -> Raster:
        """The same with something more that was taken for something."""
        return replace(self, told=(*self.told, text))


def read_picture(path: Path, dim: int | None = None, numbers: bool = False) -> Raster:
    """A picture or stack of pictures; arguments and errors as in `pixels.read_pixels`."""
    return of_picture(read_pixels(path, dim, numbers))


def of_picture(picture: Picture) -> Raster:
    """The same of one that was read: columns are x, rows y upwards, pages z."""
    flipped = picture.pixels[..., ::-1, :]
    values = flipped.transpose(*reversed(range(flipped.ndim)))
    axes = "the columns are x, the rows y upwards" + (", the pages z" if values.ndim == 3 else "")
    spacing = None if picture.spacing is None else picture.spacing[::-1]
    return Raster(values, axes, spacing, picture.unit, picture.full, picture.colours, picture.told)


def read_indexed(path: Path, mapped: bool = False) -> Raster:
    """The array of a .npy file, its axes x, y, z in their order; errors as in `pixels.read_array`.

    Args:
        mapped: leave the values in the file.
    """
    array = np.lib.format.open_memmap(path, mode="r") if mapped else read_array(path)
    return Raster(array, indexed(array.ndim))


def indexed(dim: int) -> str:
    """What is told of the axes of an array."""
    return f"the array is indexed {', '.join(AXES[:dim])}"


def as_told(raster: Raster, axes: str | None) -> Raster:
    """An array whose axes are what somebody says, with the axes x, y, z.

    Args:
        axes: letters in the order of the array's axes, ``-`` before one that falls: ``zyx``, ``z-yx``. None leaves all as it is.

    Raises:
        ConfigError: letters that the array's axes do not have; under the key ``axes``.
    """
    if axes is None:
        return raster
    dim = raster.values.ndim
    letters = re.findall("-?[xyz]", axes)
    names = [part[-1] for part in letters]
    if "".join(letters) != axes or sorted(names) != sorted(AXES[:dim]):
        example = "".join(reversed(AXES[:dim]))
        problem = f"is {axes!r}; each of {', '.join(AXES[:dim])} once is expected, a - before one that falls"
        raise ConfigError("axes", problem, f"for example {example}")
    turned = raster.values[tuple(slice(None, None, -1 if part[0] == "-" else None) for part in letters)]
    order = [names.index(a) for a in AXES[:dim]]
    spacing = raster.spacing and tuple(raster.spacing[k] for k in order)
    return replace(
        raster, values=turned.transpose(order), axes=f"the array is indexed {', '.join(letters)}", spacing=spacing
    )


def checked(field: Any, name: str) -> Array:
    """The values of an image, after complaints about what no image is.

    Raises:
        ConfigError: not 1 to 3 axes, fewer than two voxels, no numbers, values that are not finite; under ``name``.
    """
    image = np.asarray(field)
    if image.ndim not in (1, 2, 3):
        raise ConfigError(name, f"has {image.ndim} axes; an image of 1, 2 or 3 axes is expected")
    if max(image.shape) < 2 or min(image.shape) < 1:
        raise ConfigError(name, f"has the shape {image.shape}; along one of its axes at least 2 voxels are expected")
    if image.dtype.kind not in "fiub":
        raise ConfigError(name, f"holds {image.dtype}; numbers are expected")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        bad = int(image.size - np.isfinite(image).sum())
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(image))[0])
        raise ConfigError(
            name, f"has {bad} values that are not finite, the first at {where}", "repair or crop the image first"
        )
    return image


# -- NetCDF ------------------------------------------------------------------------------------------------------------


def space_of(variable: xr.DataArray) -> list[str]:
    """Names of the axes in space, x, y, z in this order; without such names all axes but time and components, as they come."""
    if named := [d for d in AXES if d in variable.dims]:
        return named
    return [str(d) for d in variable.dims if d not in ("time", "t") and not str(d).startswith("component")]


def increasing(variable: xr.DataArray, name: str) -> tuple[xr.DataArray, tuple[str, ...]]:
    """A variable with coordinates in space that increase, and the names of the axes that were turned round for it.

    Args:
        name: of the file, for messages.

    Raises:
        ConfigError: coordinates that are not in even steps.
    """
    turned = tuple(d for d in space_of(variable) if (step_of(variable, d, name) or 1.0) < 0)
    return variable.isel({d: slice(None, None, -1) for d in turned}), turned


def step_of(variable: xr.DataArray, dim: str, name: str) -> float | None:
    """Distance of the cells' centres along an axis, negative where its coordinate falls; None without one, or of one cell.

    Raises:
        ConfigError: the steps are not even.
    """
    if dim not in variable.coords or variable.sizes[dim] < 2 or variable[dim].dtype.kind not in "fiu":
        return None
    at = variable[dim].values.astype(float)
    step = float(at[-1] - at[0]) / (len(at) - 1)
    rounded = 4 * np.finfo(variable[dim].dtype).eps if variable[dim].dtype.kind == "f" else 0.0
    allowed = max(_UNEVEN * abs(step), rounded * float(np.abs(at).max()))
    if not (math.isfinite(step) and step and np.abs(at - (at[0] + step * np.arange(len(at)))).max() <= allowed):
        steps = np.diff(at)
        problem = f"has a coordinate {dim} in steps of {steps.min():.4g} to {steps.max():.4g}; even ones are expected"
        raise ConfigError(name, problem, f"resample the image to even steps along {dim} first")
    return step


def unit_of(variable: xr.DataArray, dims: Sequence[str], name: str) -> str:
    """The unit of the coordinates of some axes, empty without one.

    Raises:
        ConfigError: they have different units.
    """
    units = {d: str(variable[d].attrs.get("units", "")).strip() for d in dims if d in variable.coords}
    if len(set(units.values())) > 1:
        listed = ", ".join(f"{d} in {u or 'no unit'}" for d, u in units.items())
        raise ConfigError(name, f"has coordinates of different units ({listed})", "give all of them one")
    unit = next(iter(units.values()), "")
    return "" if unit == "1" else unit


# -- other grids -------------------------------------------------------------------------------------------------------


def cell_means(values: Array, axis: int, cells: int) -> Array:
    """Exact means over ``cells`` equal cells along an axis, also where they cut those of the values."""
    n = values.shape[axis]
    return means_between(values, axis, np.arange(cells + 1) * n / cells) * cells / n


def means_between(values: Array, axis: int, edges: Array) -> Array:
    """Integrals between places along an axis, in cells, of values that are constant in each."""
    n = values.shape[axis]
    cumulative = np.concatenate(
        [np.zeros_like(np.take(values, [0], axis=axis)), np.cumsum(values, axis=axis)], axis=axis
    )
    whole = np.minimum(edges.astype(int), n)
    part = (edges - whole).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    inside = np.take(values, np.minimum(whole, n - 1), axis=axis)
    return np.asarray(np.diff(np.take(cumulative, whole, axis=axis) + part * inside, axis=axis))


def stretch(shape: Sequence[int], spacing: Sequence[float] | None, lengths: Sequence[float]) -> list[float]:
    """How much longer than in the file things become along every axis, the least stretched one counted as 1.

    Args:
        shape, spacing: of the file, cubes if it tells none. lengths: of the grid.
    """
    steps = spacing or (1.0,) * len(shape)
    factors = [length / (n * h) for length, n, h in zip(lengths, shape, steps, strict=True)]
    return [f / min(factors) for f in factors]
