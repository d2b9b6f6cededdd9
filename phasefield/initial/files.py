"""Values from NetCDF, NumPy and image files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..grid import Axis
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
    if not path.is_file():
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
    with open(path, "rb") as file:  # np.load takes whatever is not .npy for a pickle and says so
        return np.lib.format.read_array(file, allow_pickle=False), None


def _read_netcdf(target: Target, path: Path, o: Mapping[str, Any]) -> tuple[NDArray[Any], None]:
    import xarray  # takes half a second to import

    name = o["variable"] or target.name
    with xarray.open_dataset(path, decode_times=False) as dataset:
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
    pixels = _tiff_pages(path) if path.suffix.lower() in (".tif", ".tiff") else _pillow_pages(path)
    full = {"b": 1.0, "u": float(2 ** (8 * pixels.dtype.itemsize) - 1)}.get(pixels.dtype.kind)
    values = pixels[:, ::-1].transpose(2, 1, 0)
    for name in ("z", "y"):
        if name not in target.grid.names and values.shape[-1] == 1:
            values = values[..., 0]
    if values.ndim != target.grid.dim:
        size = " x ".join(map(str, values.shape))
        raise ConfigError(f"{target.key}.path", f"{path} is an image of {size} cells; the grid is {target.grid.dim}-D")
    return values, full


def _pillow_pages(path: Path) -> NDArray[Any]:
    """All pages by Pillow, shape ``(pages, rows, columns)``."""
    from PIL import Image, ImageSequence

    def grey(image: Image.Image) -> NDArray[Any]:
        if image.mode in ("1", "L", "F") or image.mode.startswith("I;16"):
            return np.asarray(image)
        if image.mode == "I":  # what older versions of Pillow make of 16-bit PNG
            return np.asarray(image).astype(np.uint16 if image.format == "PNG" else np.int32)
        return np.asarray(image.convert("L"))

    with Image.open(path) as image:
        pages = ImageSequence.Iterator(image) if image.format == "TIFF" else [image]
        return np.stack([grey(page) for page in pages])


def _tiff_pages(path: Path) -> NDArray[Any]:
    """All pages of a TIFF, shape ``(pages, rows, columns)``."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        series, photometric = file.series[0], file.pages.first.photometric
        if photometric == tifffile.PHOTOMETRIC.PALETTE:
            return _pillow_pages(path)
        try:
            pixels = series.asarray()
        except ValueError:  # a compression that needs a codec tifffile lacks and Pillow may have
            return _pillow_pages(path)
        axes = series.axes
    if photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind in "bu":
        pixels = ~pixels
    if "S" in axes:
        pixels = np.moveaxis(pixels, axes.index("S"), -1)
        if photometric == tifffile.PHOTOMETRIC.RGB:
            luminance = pixels[..., :3] @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow does
            pixels = luminance if pixels.dtype.kind == "f" else luminance.round().astype(pixels.dtype)
        else:
            pixels = pixels[..., 0]
    return pixels if pixels.ndim > 2 else pixels[None]


_READERS: dict[str, Callable[[Target, Path, Mapping[str, Any]], tuple[NDArray[Any], float | None]]] = {
    **dict.fromkeys((".nc", ".nc4", ".cdf", ".h5"), _read_netcdf),
    ".npy": _read_npy,
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"), _read_image),
}
