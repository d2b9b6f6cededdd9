"""Values from NetCDF, NumPy and image files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..grid import Axis
from ..pixels import TIFF, read_array, read_pixels
from ..store import open_dataset
from .geometry import place
from .options import (
    Array,
    Option,
    Target,
    read_component,
    read_flag,
    read_integer,
    read_pair,
    read_text,
    register_kind,
    suggest,
)


@register_kind(
    "file",
    {
        "path": Option(read_text),
        "variable": Option(read_text, None),
        "time": Option(read_integer, None),
        "range": Option(read_pair, None),
        "resample": Option(read_flag, False),
        "component": Option(read_component, None),
    },
)
def _make_file(target: Target, o: dict[str, Any]) -> Array:
    """Values from NetCDF, NumPy (.npy) or an image (PNG, JPEG, BMP, TIFF).

    NetCDF: ``variable`` (default: the field's name) at index ``time`` (default: the last). Dimensions called x, y and z
    may come in any order, others count in the order of the file. Arrays have the axes x, y, z, and before them one for
    the components if there are any; ``component`` fills one of them and leaves the others 0.

    Images: grey values from 0 to full scale become ``range``; colours are reduced to luminance, rows run from the top
    (largest y) down, and the pages of a TIFF are z. For other data, floating-point and signed images among them,
    ``range`` is what their minimum and maximum become. ``resample`` interpolates linearly between cell centres.
    """
    grid, path = target.grid, target.base / Path(o["path"]).expanduser()
    key = f"{target.key}.path"
    if not os.path.isfile(path):
        raise ConfigError(key, f"there is no file {path}")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(key, f"unknown type of file {path.name}", f"expected one of {', '.join(_READERS)}")
    if reader is not _read_netcdf and (extra := [k for k in ("variable", "time") if o[k] is not None]):
        raise ConfigError(f"{target.key}.{extra[0]}", f"applies to NetCDF files, not to {path.name}", "remove this key")
    try:
        data, full = reader(target, path, o)
    except ConfigError:
        raise
    except Exception as error:  # the libraries raise almost anything on a damaged file
        hint = "is it complete, and of the type that its suffix says?"
        raise ConfigError(key, f"{path} cannot be read: {error}", hint) from error
    if data.dtype.kind not in "biuf":
        raise ConfigError(key, f"{path} holds {data.dtype} values; expected real numbers")
    data = data.astype(float)
    if bad := int(np.count_nonzero(~np.isfinite(data))):
        raise ConfigError(key, f"{bad} of {data.size} values in {path} are not finite")
    if o["range"] is not None:
        low, high = o["range"]
        bottom, top = (0.0, full) if full else (float(data.min()), float(data.max()))
        if bottom == top:
            raise ConfigError(f"{target.key}.range", f"all values in {path} are equal", "remove range")
        data = low + (high - low) * ((data - bottom) / (top - bottom))
    elif full:
        raise ConfigError(f"{target.key}.range", "missing: an image needs it", "for example range: [0, 1]")
    single = target.components is None or o["component"] is not None
    if single and data.ndim == grid.dim:
        data = data[None]
    if data.ndim != grid.dim + 1 or data.shape[0] != (1 if single else target.n):
        wanted = grid.shape if single else (target.n, *grid.shape)
        hint = "set component to fill one of the components" if data.ndim == grid.dim else ""
        raise ConfigError(key, f"{path} has shape {data.shape}; expected {wanted}", hint)
    if data.shape[1:] != grid.shape:
        if not o["resample"]:
            raise ConfigError(
                key,
                f"{path} has shape {data.shape[1:]} and the grid {grid.shape}",
                f"set grid.shape={list(data.shape[1:])} or resample: true",
            )
        for d, axis in enumerate(grid.axes, start=1):
            data = _resample(data, d, axis)
    return data if target.components is None or o["component"] is None else place(target, o["component"], data[0])


def _resample(data: Array, d: int, axis: Axis) -> Array:
    """Linear interpolation along dimension ``d`` from the cells of the data to those of ``axis``."""
    n = data.shape[d]
    position = (np.arange(axis.n) + 0.5) * (n / axis.n) - 0.5
    if axis.boundary != "periodic":
        position = position.clip(0, n - 1)
    left = np.floor(position).astype(int)
    weight = (position - left).reshape([-1 if e == d else 1 for e in range(data.ndim)])
    return (1 - weight) * data.take(left % n, axis=d) + weight * data.take((left + 1) % n, axis=d)


def _read_npy(target: Target, path: Path, o: Mapping[str, Any]) -> tuple[NDArray[Any], None]:
    return read_array(path), None


def _read_netcdf(target: Target, path: Path, o: Mapping[str, Any]) -> tuple[NDArray[Any], None]:
    name = o["variable"] or target.name
    with open_dataset(path) as dataset:
        if name not in dataset.data_vars:
            present = sorted(map(str, dataset.data_vars))
            problem = f"{path} has no variable {name!r}{suggest(name, present)}"
            raise ConfigError(f"{target.key}.variable", problem, f"it has {', '.join(present) or 'none at all'}")
        variable = dataset[name]
        if times := [d for d in variable.dims if d in ("time", "t")]:
            records, index = variable.sizes[times[0]], -1 if o["time"] is None else o["time"]
            if not -records <= index < records:
                raise ConfigError(f"{target.key}.time", f"is {index}, but {path} has {records} records of {name!r}")
            variable = variable.isel({times[0]: index})
        elif o["time"] is not None:
            raise ConfigError(f"{target.key}.time", f"{name!r} in {path} has no dimension time", "remove this key")
        if set(target.grid.names) <= set(variable.dims):
            variable = variable.transpose(..., *target.grid.names)
        return variable.values, None


def _read_image(target: Target, path: Path, o: Mapping[str, Any]) -> tuple[NDArray[Any], float | None]:
    """Grey values with the axes x, y, z and full scale, ``None`` for types of pixel that have none."""
    key = f"{target.key}.path"
    try:
        pixels, _ = read_pixels(path, target.grid.dim)
    except ConfigError as error:
        raise ConfigError(key, f"{path} {error.problem}", error.hint) from None
    full = {"b": 1.0, "u": float(2 ** (8 * pixels.dtype.itemsize) - 1)}.get(pixels.dtype.kind)
    pages = pixels if pixels.ndim > 2 else pixels[None]
    values = pages[:, ::-1].transpose(2, 1, 0)
    for name in ("z", "y"):
        if name not in target.grid.names and values.shape[-1] == 1:
            values = values[..., 0]
    if values.ndim != target.grid.dim:
        size = " x ".join(map(str, values.shape))
        raise ConfigError(key, f"{path} is an image of {size} cells; the grid is {target.grid.dim}-D")
    return values, full


_READERS: dict[str, Callable[[Target, Path, Mapping[str, Any]], tuple[NDArray[Any], float | None]]] = {
    **dict.fromkeys((".nc", ".nc4", ".cdf", ".h5"), _read_netcdf),
    ".npy": _read_npy,
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp", *TIFF), _read_image),
}
