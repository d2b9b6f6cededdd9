"""Microstructures from arrays, image files and run folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..images.formats import Asked, is_image, is_netcdf, is_picture, known, read_raster, unreadable
from ..images.image import Image, of_raster, steps_of
from ..images.pixels import of_pillow
from ..images.raster import Raster, indexed, of_picture
from ..images.shares import read_share
from ..planes import ALONE, Group
from .snapshots import Snapshots

__all__ = ["Image", "Snapshots", "from_array", "read_file"]


def from_array(
    values: Any,
    spacing: Sequence[float] | None = None,
    boundary: Sequence[str] | None = None,
    levels: Sequence[float] | None = None,
    source: str = "image",
    time: float | None = None,
) -> Image:
    """An image from an array: whole numbers of few distinct values are labels, anything else is a field of two phases.

    Args:
        values: the axes are x, y, z in this order; nothing varies along one of length 1. A picture of Pillow has columns x and
            rows y upwards, an array of xarray its axes by their names.

    Raises:
        ConfigError: NaN, too few voxels or axes, levels that are equal.
    """
    if type(values).__module__.startswith("PIL."):
        return of_raster(of_picture(of_pillow(values, source, numbers=True)), spacing, boundary, levels, source, time)
    if hasattr(values, "dims") and hasattr(values, "coords"):
        name = str(values.name or source)
        image = Snapshots.of(values.to_dataset(name=name), source, name, levels)[-1]
        image = (
            image if spacing is None else replace(image, spacing=steps_of(spacing, len(image.shape), source), unit="")
        )
        return replace(image, boundary=tuple(boundary) if boundary is not None else image.boundary)
    array = np.asarray(values)
    return of_raster(Raster(array, indexed(array.ndim)), spacing, boundary, levels, source, time)


def read_file(
    path: Path,
    levels: Sequence[float] | None = None,
    spacing: Sequence[float] | None = None,
    asked: Asked | None = None,
    group: Group | None = None,
) -> Image:
    """An image from a file (pictures, arrays, volumes: `images.formats`) or a folder of slices, or the last of a NetCDF file.

    Arrays have the axes x, y, z in their order; of pictures the columns are x, the rows y upwards, the pages z. Axes of NetCDF
    files go by their names, see `Snapshots`.

    Args:
        levels: values in the two phases; by default found. spacing: edge lengths of a voxel, by default those of the file.
        asked: which of its arrays, and how they lie. group: processes of which each gets its planes alone; None for one.

    Raises:
        ConfigError: no such file, a format that is not known, or content that is no image.
    """
    asked = replace(asked or Asked(), numbers=True)
    planes = ALONE
    if not os.path.exists(path):
        raise ConfigError(str(path), "there is no such file or folder", "give an image file or a run folder")
    try:
        if not path.is_dir() and not is_image(path):
            raise ConfigError(str(path), f"is no image that can be read; expected {known()} or a run folder")
        if not path.is_dir() and is_netcdf(path):
            return Snapshots(path, asked.variable, levels, group)[-1]
        raster = read_raster(path, asked, keys={"variable": "field"}) if group is None else None
    except ConfigError:
        raise
    except Exception as error:  # what the readers raise on a damaged file is anything
        raise ConfigError(str(path), *unreadable(path, error)) from error
    if raster is None:
        assert group is not None
        raster, planes = read_share(path, asked, group, {"variable": "field"})
    return of_raster(raster, spacing, None, levels, named(path).name, planes=planes)


def named(path: Path) -> Path:
    """A path that ends with a name, as ``.`` and ``..`` do not."""
    return path if path.name.strip(".") else path.resolve()


def is_run(path: Path) -> bool:
    """Whether a folder is a run's, or might become one: any that holds no slices of an image."""
    return (path / "fields.nc").exists() or not any(is_picture(entry) for entry in path.iterdir())
