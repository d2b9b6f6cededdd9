"""A folder of slices: pictures of one size whose numbers say their order, one page of a stack each."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from ..errors import ConfigError
from ..store import sweep_instead
from .pixels import PICTURES
from .raster import Raster, read_picture

_NUMBERS = re.compile(r"\d+")


def slices_in(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of their numbers.

    Raises:
        ConfigError: none, pictures of several kinds or names, a number that is missing or there twice. The key is the folder.
    """
    pictures = sorted(f for f in folder.iterdir() if f.suffix.lower() in PICTURES and not f.name.startswith("."))
    if len(pictures) < 2:
        if instead := sweep_instead(folder):
            raise ConfigError(str(folder), *instead)
        one = f"one picture, {pictures[0].name}" if pictures else "no pictures"
        raise ConfigError(
            str(folder), f"holds no run and {one}", "give a run folder, a folder of slices or an image file"
        )
    kinds: dict[str, list[Path]] = {}
    for file in pictures:
        kinds.setdefault(_NUMBERS.sub("#", file.name), []).append(file)
    if len(kinds) > 1:
        listed = ", ".join(f"{len(v)} like {v[0].name}" for v in kinds.values())
        raise ConfigError(
            str(folder), f"holds pictures of different names ({listed})", "keep the slices of one stack in it"
        )
    rows = np.array([[int(n) for n in _NUMBERS.findall(f.stem)] for f in pictures])
    varying = [k for k in range(rows.shape[1]) if len(set(rows[:, k])) > 1]
    if len(varying) != 1:
        names = f"{pictures[0].name} and {pictures[1].name}"
        raise ConfigError(
            str(folder), f"holds pictures whose names do not differ by one number ({names})", "number the slices"
        )
    numbers = rows[:, varying[0]]
    order = np.argsort(numbers, kind="stable")
    steps = np.diff(numbers[order])
    if (steps != steps[0]).any() or steps[0] == 0:
        bad = int(np.flatnonzero(steps != min(steps[steps > 0]))[0])
        before, after = pictures[order[bad]], pictures[order[bad + 1]]
        raise ConfigError(
            str(folder), f"lacks a slice: {after.name} follows {before.name}", "number the slices in even steps"
        )
    return [pictures[k] for k in order]


def read_slices(folder: Path, numbers: bool = False) -> Raster:
    """The stack: the columns of a slice are x, its rows y upwards, the slices z in the order of their numbers.

    Args:
        numbers: see `pixels.read_pixels`.

    Raises:
        ConfigError: as `slices_in`; slices of different sizes, or files of several pages. Others: what the libraries raise.
    """
    files = slices_in(folder)
    first = read_picture(files[0], 2, numbers)
    if first.values.ndim != 2:
        raise ConfigError(str(folder), f"holds stacks ({files[0].name}), not slices", "give one of its files")
    stack = np.empty((*first.values.shape, len(files)), first.values.dtype)
    colours = first.colours
    for k, file in enumerate(files):
        one = first if k == 0 else read_picture(file, 2, numbers)
        same = (
            one.values.shape == first.values.shape and one.values.dtype == first.values.dtype and one.full == first.full
        )
        if not same or one.spacing != first.spacing:
            sizes = [f"{' x '.join(map(str, r.values.shape))} of {r.values.dtype}" for r in (first, one)]
            raise ConfigError(
                str(folder), f"holds slices that differ: {files[0].name} is {sizes[0]}, {file.name} {sizes[1]}"
            )
        stack[..., k] = one.values
        colours = max(colours, one.colours)
    axes = f"{first.axes}, the slices {files[0].name} to {files[-1].name} are z"
    told = (f"{len(files)} slices", *first.told)
    spacing: tuple[float, ...] | None = None
    if first.spacing is not None and not math.isclose(first.spacing[0], first.spacing[1], rel_tol=1e-6):
        spacing = (1.0, first.spacing[1] / first.spacing[0], 1.0)
    if first.spacing is not None:
        told += ("their distance is not told: it is taken for the width of a pixel, give spacing",)
    return Raster(stack, axes, spacing, "", first.full, colours, told)
