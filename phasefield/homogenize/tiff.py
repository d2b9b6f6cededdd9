"""TIFF images: grey values or labels, and the size of a voxel where the file tells it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError

#: Metres per unit of ImageJ's calibration, as it spells them.
_LENGTHS = {
    **dict.fromkeys(("m", "meter", "metre"), 1.0),
    "cm": 1e-2,
    "mm": 1e-3,
    **dict.fromkeys(("um", "µm", "μm", "\\u00b5m", "\\u00B5m", "micron", "microns", "micrometer"), 1e-6),
    "nm": 1e-9,
}
#: Luminance of red, green and blue (ITU-R BT.601), as Pillow computes it of PNG images.
_LUMINANCE = np.array([0.299, 0.587, 0.114])


def read_tiff(path: Path) -> tuple[np.ndarray, tuple[float, ...] | None]:
    """The pixels with the axes rows, columns, or pages, rows, columns, and the spacing in m along each, None if unknown.

    Colours become luminance. The spacing is that of an ImageJ calibration with a unit of length, or of single pages a resolution
    per centimetre; one per inch tells of print.

    Raises:
        ConfigError: colours in planes of their own, which no one can tell from a stack of three or four pages.
    """
    import tifffile

    with _silent("tifffile"), tifffile.TiffFile(path) as file:
        series, page = file.series[0], file.pages.first
        photometric = page.photometric
        colour = photometric == tifffile.PHOTOMETRIC.RGB
        if colour and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
            raise ConfigError(
                str(path),
                f"says that it is a picture with {series.shape[series.axes.index('S')]} planes of colours",
                "save colours pixel by pixel, or a stack with photometric=minisblack",
            )
        if photometric == tifffile.PHOTOMETRIC.PALETTE:
            from PIL import Image

            with Image.open(path) as image:
                pixels, axes = np.asarray(image.convert("L")), "YX"
        else:
            pixels, axes = series.asarray(), series.axes
        if photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind in "bu":
            pixels = ~pixels
        if "S" in axes:
            pixels = np.moveaxis(pixels, axes.index("S"), -1)
            if colour:
                grey = pixels[..., :3] @ _LUMINANCE
                pixels = grey if pixels.dtype.kind == "f" else grey.round().astype(pixels.dtype)
            else:
                pixels = pixels[..., 0]
        return pixels, _spacing(page, file.imagej_metadata or {}, pixels.ndim)


def _spacing(page: Any, calibration: dict[str, Any], dim: int) -> tuple[float, ...] | None:
    import tifffile

    def edge(name: str) -> float:
        """Length of a pixel in the file's unit, 0 if it is not told."""
        tag = page.tags.get(name)
        number, per = tag.value if tag is not None else (0, 1)
        return per / number if number else 0.0

    sizes = [edge("YResolution"), edge("XResolution")]
    unit = _LENGTHS.get(str(calibration.get("unit", "")).strip().lower())
    if unit is not None and dim == 3:
        sizes.insert(0, float(calibration.get("spacing", 1.0)))  # ImageJ leaves it out where it is 1
    if unit is None and not calibration and dim == 2:
        tag = page.tags.get("ResolutionUnit")
        unit = 1e-2 if tag is not None and tag.value == tifffile.RESUNIT.CENTIMETER else None
    if unit is None or len(sizes) != dim or not all(s > 0 for s in sizes):
        return None
    return tuple(unit * s for s in sizes)


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Without the lines that a reader logs of a damaged file before it gives up: one message says it."""
    logger = logging.getLogger(name)
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
