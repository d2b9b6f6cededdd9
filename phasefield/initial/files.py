"""Values from NetCDF, NumPy and image files."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..grid import Axis
from ..images.formats import Asked, is_image, is_netcdf, known, read_raster, unreadable
from ..images.raster import (
    ARRAYS,
    AXES,
    Raster,
    cell_means,
    increasing,
    space_of,
    step_of,
    stretch,
)
from ..images.volumes import Raw
from ..store import open_dataset
from .geometry import place
from .options import (
    Array,
    Option,
    Target,
    expected,
    read_component,
    read_flag,
    read_integer,
    read_pair,
    read_text,
    register_kind,
    suggest,
)

log = logging.getLogger("phasefield")

#: A picture whose grey values span less of its full scale holds labels or counts, or is all but black.
_DIM = 0.01
#: How unequally a picture may be stretched along the axes without a word: a cell more or less is rounding.
_STRETCH = 1.02


def _read_scale(target: Target, key: str, value: Any) -> Any:
    if value in ("full", "data"):
        return value
    if isinstance(value, str):
        raise expected(key, "full, data or two grey values [low, high]", value)
    low, high = read_pair(target, key, value)
    if low == high:
        raise expected(key, "two different grey values", value)
    return low, high


def _read_raw(target: Target, key: str, value: Any) -> Raw:
    return Raw.of(value, key)


@register_kind(
    "file",
    {
        "path": Option(read_text),
        "variable": Option(read_text, None),
        "time": Option(read_integer, None),
        "axes": Option(read_text, None),
        "raw": Option(_read_raw, None),
        "range": Option(read_pair, None),
        "scale": Option(_read_scale, None),
        "resample": Option(read_flag, False),
        "component": Option(read_component, None),
    },
)
def _make_file(target: Target, o: dict[str, Any]) -> Array:
    """Values from NetCDF, an array, a picture, a volume (`images.formats`) or a folder of slices, with the axes as in `raster`.

    NetCDF: ``variable`` (default: the field's name) at index ``time`` (default: the last). Dimensions called x, y and z
    may come in any order, others count in the order of the file. Arrays have the axes x, y, z, and before them one for
    the components if there are any; ``component`` fills one of them and leaves the others 0.

    Images: grey values from 0 to full scale become ``range``; colours are reduced to luminance, columns are x, rows run from the
    top (largest y) down, and the pages of a TIFF are z. For other data, floating-point and signed images among them,
    ``range`` is what their minimum and maximum become. ``scale`` says otherwise: ``full``, ``data`` (minimum to maximum) or the
    two values that become ``range``; an image that uses less than 1 % of its full scale needs it. ``resample`` interpolates
    linearly between cell centres, and takes means where the cells of the grid are larger.
    """
    grid, path = target.grid, target.base / Path(o["path"]).expanduser()
    key = f"{target.key}.path"
    if not os.path.exists(path):
        raise ConfigError(key, f"there is no file {path}")
    if (path / "fields.nc").is_file():
        raise ConfigError(key, f"{path} is the folder of a run", f"give its fields, path: {path / 'fields.nc'}")
    if not path.is_dir() and not is_image(path):
        raise ConfigError(key, f"unknown type of file {path.name}", f"expected one of {known()}")
    netcdf = not path.is_dir() and is_netcdf(path)
    unused = ("axes", "raw") if netcdf else ("time",)
    if extra := [k for k in unused if o[k] is not None]:
        where = "arrays whose axes have no names" if netcdf else "NetCDF files"
        raise ConfigError(f"{target.key}.{extra[0]}", f"applies to {where}, not to {path.name}", "remove this key")
    try:
        raster = _read_netcdf(target, path, o) if netcdf else _read_image(target, path, o)
    except ConfigError as error:
        if error.key != str(path):
            raise
        raise ConfigError(key, f"{path} {error.problem}", error.hint) from None
    except Exception as error:  # the libraries raise almost anything on a damaged file
        problem, hint = unreadable(path, error)
        raise ConfigError(key, f"{path} {problem}", hint) from error
    data = raster.values
    if data.dtype.kind not in "biuf":
        raise ConfigError(key, f"{path} holds {data.dtype} values; expected real numbers")
    if not data.size:
        raise ConfigError(key, f"{path} has the shape {data.shape} and holds no values")
    data = data.astype(float)
    if bad := int(np.count_nonzero(~np.isfinite(data))):
        raise ConfigError(key, f"{bad} of {data.size} values in {path} are not finite")
    data, scaled = _scaled(target, path, data, raster.full, o)
    single = target.components is None or o["component"] is not None
    if single and data.ndim == grid.dim:
        data = data[None]
    if data.ndim != grid.dim + 1 or data.shape[0] != (1 if single else target.n):
        wanted = grid.shape if single else (target.n, *grid.shape)
        hint = "set component to fill one of the components" if data.ndim == grid.dim else ""
        raise ConfigError(key, f"{path} has shape {data.shape}; expected {wanted}", hint)
    if data.shape[1:] != grid.shape and not o["resample"]:
        raise ConfigError(
            key,
            f"{path} has shape {data.shape[1:]} and the grid {grid.shape}",
            f"set grid.shape={list(data.shape[1:])} or resample: true",
        )
    log.info("%s: %s: %s", target.key, path.name, "; ".join([raster.axes, *raster.told, *scaled]))
    _tell_lengths(target, path, data.shape[1:], raster)
    for d, axis in enumerate(grid.axes, start=1):
        data = _resample(data, d, axis)
    return data if target.components is None or o["component"] is None else place(target, o["component"], data[0])


def _scaled(
    target: Target, path: Path, data: Array, full: float | None, o: Mapping[str, Any]
) -> tuple[Array, tuple[str, ...]]:
    """The data with their scale brought to ``range``, and what is told of it."""
    key = f"{target.key}.range"
    if o["range"] is None:
        if o["scale"] is not None:
            raise ConfigError(key, "missing: scale says what becomes range", "for example range: [0, 1]")
        if full:
            raise ConfigError(key, "missing: an image needs it", "for example range: [0, 1]")
        return data, ()
    scale = o["scale"]
    least, most = float(data.min()), float(data.max())
    if scale is None and full is not None and full > 1 and most > 0 and min(most, most - least or most) < _DIM * full:
        raise ConfigError(
            f"{target.key}.scale",
            f"missing: the grey values of {path} run from {least:g} to {most:g} only, full scale is {full:g}",
            f"give the values that become range, scale: [{least:g}, {most:g}], or scale: full",
        )
    if isinstance(scale, tuple):
        bottom, top = scale
    elif scale == "data" or full is None:
        if scale == "full":
            raise ConfigError(f"{target.key}.scale", f"is full, but the values in {path} have none", "use data")
        bottom, top = least, most
    else:
        bottom, top = 0.0, full
    if bottom == top:
        raise ConfigError(key, f"all values in {path} are equal", "remove range")
    low, high = o["range"]
    return low + (high - low) * ((data - bottom) / (top - bottom)), (f"{bottom:g} becomes {low:g}, {top:g} {high:g}",)


def _tell_lengths(target: Target, path: Path, shape: tuple[int, ...], raster: Raster) -> None:
    """Says where the grid shows the file's content longer along one axis than along another, or of another size."""
    grid, spacing = target.grid, raster.spacing
    factors = stretch(shape, spacing, grid.lengths)
    if max(factors) > _STRETCH:
        cells = " x ".join(map(str, shape))
        steps = f" with cells of {' x '.join(f'{h:.4g}' for h in spacing)}" if spacing else ""
        listed = ", ".join(f"{f:.3g} along {n}" for n, f in zip(grid.names, factors, strict=True) if f > _STRETCH)
        sides = " x ".join(f"{length:g}" for length in grid.lengths)
        log.warning(
            "%s: %s is stretched by %s: it has %s cells%s, the grid the lengths %s; set grid.length to keep its proportions",
            target.key, path.name, listed, cells, steps, sides,
        )  # fmt: skip
    elif spacing and raster.unit != "m" and not math.isclose(grid.lengths[0], shape[0] * spacing[0], rel_tol=1e-3):
        was = " x ".join(f"{n * h:.6g}" for n, h in zip(shape, spacing, strict=True))
        log.info(
            "%s: %s has the lengths %s, the grid %s", target.key, path.name, was, " x ".join(map(str, grid.lengths))
        )


def _resample(data: Array, d: int, axis: Axis) -> Array:
    """From the cells of the data along dimension ``d`` to those of ``axis``: linear interpolation, or means over larger cells,
    which keep the volume of what a coarse grid would step over.
    """
    n = data.shape[d]
    if n == axis.n:
        return data
    if n > axis.n:
        return cell_means(data, d, axis.n)
    position = (np.arange(axis.n) + 0.5) * (n / axis.n) - 0.5
    if axis.boundary != "periodic":
        position = position.clip(0, n - 1)
    left = np.floor(position).astype(int)
    weight = (position - left).reshape([-1 if e == d else 1 for e in range(data.ndim)])
    return (1 - weight) * data.take(left % n, axis=d) + weight * data.take((left + 1) % n, axis=d)


def _read_netcdf(target: Target, path: Path, o: Mapping[str, Any]) -> Raster:
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
        names = target.grid.names
        variable = variable.isel({d: 0 for d in set(AXES) - set(names) if variable.sizes.get(d) == 1})
        space = space_of(variable)
        if set(space) <= set(AXES):
            if tuple(space) != names:
                has = f"{name!r} in {path} has the axes {', '.join(space)}, the grid {', '.join(names)}"
                raise ConfigError(f"{target.key}.path", has, "give the grid the axes of the file")
            variable = variable.load().transpose(..., *names)  # what is not read yet is dear to turn
        variable, turned = increasing(variable, str(path))
        space = [str(d) for d in variable.dims[-len(names) :]]
        steps = [step_of(variable, d, str(path)) for d in space]
        known = [s for s in steps if s is not None]
        spacing = tuple(known) if len(known) == len(names) else None
        told = tuple(f"{d} falls in the file and was turned round" for d in turned)
        axes = ", ".join(f"{d} is {a}" if d != a else d for d, a in zip(space, names, strict=False))
        return Raster(variable.values, f"the axes {axes} of the file", spacing, told=told)


def _read_image(target: Target, path: Path, o: Mapping[str, Any]) -> Raster:
    keys = {name: f"{target.key}.{name}" for name in ("variable", "axes", "raw")}
    raster = read_raster(path, Asked(target.grid.dim, False, o["variable"], o["axes"], o["raw"]), keys=keys)
    if path.suffix.lower() in ARRAYS:  # whose first axis may be that of the components
        return raster
    values, spacing = raster.values, raster.spacing
    while values.ndim > target.grid.dim and values.shape[-1] == 1:
        values, spacing = values[..., 0], spacing and spacing[:-1]
    if values.ndim != target.grid.dim:
        size = " x ".join(map(str, values.shape))
        raise ConfigError(f"{target.key}.path", f"{path} is an image of {size} cells; the grid is {target.grid.dim}-D")
    return Raster(values, raster.axes, spacing, raster.unit, raster.full, raster.colours, raster.told)
