"""Pixels of image files, and how large they are where the file tells it: what initial conditions and homogenization read."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ConfigError

Pixels = NDArray[Any]

TIFF = (".tif", ".tiff")
#: Metres per unit of ImageJ's calibration, as it spells them.
_LENGTHS = {
    **dict.fromkeys(("m", "meter", "metre"), 1.0),
    "cm": 1e-2,
    "mm": 1e-3,
    **dict.fromkeys(("um", "µm", "μm", "\\u00b5m", "\\u00B5m", "micron", "microns", "micrometer"), 1e-6),
    "nm": 1e-9,
}
#: The same for OME's units of length, those of OME-XML 2016-06 that a specimen could be measured in.
_OME_LENGTHS = {
    **dict.fromkeys(("µm", "μm"), 1e-6),
    **{"km": 1e3, "m": 1.0, "dm": 1e-1, "cm": 1e-2, "mm": 1e-3, "nm": 1e-9, "Å": 1e-10, "pm": 1e-12, "fm": 1e-15},
    **{"thou": 2.54e-5, "li": 2.54e-2 / 12, "in": 2.54e-2, "ft": 0.3048, "yd": 0.9144},
}
#: Luminance of red, green and blue (ITU-R BT.601), as Pillow computes it.
_LUMINANCE = np.array([0.299, 0.587, 0.114])


def read_array(path: Path) -> Pixels:
    """The array of a .npy file, any shape.

    Raises:
        OSError, ValueError: it is no such file, or a damaged one.
    """
    with open(path, "rb") as file:  # np.load takes whatever is not .npy for a pickle and says so
        return np.lib.format.read_array(file, allow_pickle=False)


def read_pixels(path: Path, dim: int | None = None) -> tuple[Pixels, tuple[float, ...] | None]:
    """The pixels of a picture with the axes rows, columns, or pages, rows, columns, and their spacing in m along each.

    Colours become luminance. The spacing is None where it is not known; told it is by TIFF alone: by the physical
    sizes of OME, by an ImageJ calibration with a unit of length, or of single pages by a resolution per centimetre; one per inch
    tells of print.

    Args:
        path: TIFF by tifffile, anything else by Pillow, the first page of it.
        dim: 2 or 3 if that many axes are wanted, by which colours in planes of their own are told from pages.

    Raises:
        ConfigError: colours in planes of their own that no ``dim`` tells from pages; more axes than three. The key is the file.
        OSError, ValueError and others: what the libraries raise on a damaged file.
    """
    return _read_tiff(path, dim) if path.suffix.lower() in TIFF else (_by_pillow(path), None)


def _by_pillow(path: Path) -> Pixels:
    """The page, or all pages of a TIFF, by Pillow."""
    from PIL import Image, ImageSequence

    def grey(image: Image.Image) -> Pixels:
        if image.mode in ("L", "F") or image.mode.startswith("I;16"):
            return np.asarray(image)
        if image.mode == "I":  # what older versions of Pillow make of 16-bit PNG
            return np.asarray(image).astype(np.uint16 if image.format == "PNG" else np.int32)
        return np.asarray(image.convert("L"))

    with Image.open(path) as image:
        if image.format != "TIFF":
            return grey(image)
        pages = [grey(page) for page in ImageSequence.Iterator(image)]
        return np.stack(pages) if len(pages) > 1 else pages[0]


def _read_tiff(path: Path, dim: int | None) -> tuple[Pixels, tuple[float, ...] | None]:
    import tifffile

    with _silent("tifffile"), tifffile.TiffFile(path) as file:
        series, page = file.series[0], file.pages.first
        photometric, axes = page.photometric, series.axes
        colour = photometric == tifffile.PHOTOMETRIC.RGB
        planes = colour and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
        if planes and dim is None:
            raise ConfigError(
                str(path),
                f"says that it is a picture with {series.shape[axes.index('S')]} planes of colours",
                "save colours pixel by pixel, or a stack with photometric=minisblack",
            )
        pixels = None
        if photometric != tifffile.PHOTOMETRIC.PALETTE:
            try:
                pixels = series.asarray()
            except ValueError as error:
                if "imagecodecs" not in str(error):
                    raise
                # A compression whose codec tifffile lacks and Pillow may have.
        if pixels is None:
            pixels = _by_pillow(path)
        else:
            if photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind in "bu":
                pixels = ~pixels
            if "S" in axes and not (planes and dim == pixels.ndim):
                pixels = np.moveaxis(pixels, axes.index("S"), -1)
                pixels = _luminance(pixels) if colour else pixels[..., 0]
        if pixels.ndim > 3:
            raise ConfigError(
                str(path),
                f"has the axes {', '.join(axes.replace('S', ''))} of {' x '.join(map(str, pixels.shape))}; "
                "one picture, or one stack of them, is expected",
                "save one channel at one time",
            )
        named = axes.replace("S", "")
        known = file.is_ome and len(named) == pixels.ndim
        spacing = _ome_spacing(file.ome_metadata or "", named) if known else None
        return pixels, spacing or _spacing(page, file.imagej_metadata or {}, pixels.ndim)


def _luminance(colours: Pixels) -> Pixels:
    grey = colours[..., :3] @ _LUMINANCE
    return grey if colours.dtype.kind == "f" else grey.round().astype(colours.dtype)


def _ome_spacing(xml: str, axes: str) -> tuple[float, ...] | None:
    """The physical sizes of the first image along ``axes``; None unless all are told, as lengths."""
    from xml.etree import ElementTree

    try:
        pixels = ElementTree.fromstring(xml).find(".//{*}Pixels")
    except ElementTree.ParseError:  # the picture can be read all the same
        return None
    told = {} if pixels is None else pixels.attrib
    # Micrometres are what the schema takes where no unit is written; a length in "pixel" or "reference frame" is none.
    units = [_OME_LENGTHS.get(told.get(f"PhysicalSize{a}Unit", "µm").strip(), 0.0) for a in axes]
    sizes = [unit * _number(told.get(f"PhysicalSize{a}", "")) for unit, a in zip(units, axes, strict=True)]
    return tuple(sizes) if all(0 < size < math.inf for size in sizes) else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _spacing(page: Any, calibration: Mapping[str, Any], dim: int) -> tuple[float, ...] | None:
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
