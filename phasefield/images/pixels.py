"""Pixels of image files as they lie in them, in rows and columns; `raster` gives them the axes x, y, z."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..units import IMAGEJ_LENGTHS, OME_LENGTHS

Pixels = NDArray[Any]

TIFF = (".tif", ".tiff")
LOSSY = (".jpg", ".jpeg")
PICTURES = (*TIFF, ".png", *LOSSY, ".bmp")
#: Colours of a TIFF that are not red, green and blue: inks, brightness and differences of colour.
_INKS = (5, 6, 8, 9, 10)
#: Luminance of red, green and blue (ITU-R BT.601), as Pillow computes it.
_LUMINANCE = np.array([0.299, 0.587, 0.114])
#: Full scale of PNG's grey values of few bits, which Pillow stretches to 255.
_FEW_BITS = {"L;2": 3, "L;4": 15}


class Picture(NamedTuple):
    """A picture as it lies in its file.

    Attributes:
        pixels: rows and columns, or pages, rows and columns; the first row is the uppermost.
        spacing: edge lengths of a pixel along each of these axes, None where they are not known.
        unit: of the spacing: ``m``, or nothing where only the ratios are known.
        full: the value of white; None for floating-point and signed pixels, which have none.
        colours: how many different ones became luminance; 0 where there were none.
        told: what was taken for what.
    """

    pixels: Pixels
    spacing: tuple[float, ...] | None = None
    unit: str = ""
    full: float | None = None
    colours: int = 0
    told: tuple[str, ...] = ()


def read_array(path: Path) -> Pixels:
    """The array of a .npy file, any shape.

    Raises:
        OSError, ValueError: it is no such file, or a damaged one.
    """
    with open(path, "rb") as file:  # np.load takes whatever is not .npy for a pickle and says so
        return np.lib.format.read_array(file, allow_pickle=False)


def read_pixels(path: Path, dim: int | None = None, numbers: bool = False) -> Picture:
    """A picture or a stack of pages.

    Colours become luminance. The spacing is that of OME's physical sizes, of an ImageJ calibration, or of single pages a
    resolution per centimetre; one per inch tells of print, and like a calibration without a unit of length no more than the ratio
    of the edges.

    Args:
        path: TIFF by tifffile, anything else by Pillow, the first page of it.
        dim: 2 or 3 if that many axes are wanted, by which colours in planes of their own are told from pages.
        numbers: of pictures with a palette of colours give the numbers of the colours (labels), not their luminance.

    Raises:
        ConfigError: colours in planes of their own that no ``dim`` tells from pages; more axes than three; pixels that are
            transparent. The key is the file.
        OSError, ValueError and others: what the libraries raise on a damaged file.
    """
    if path.suffix.lower() in TIFF:
        return _read_tiff(path, dim, numbers)
    from PIL import Image

    with Image.open(path) as image:
        return of_pillow(image, str(path), numbers)


def of_pillow(image: Any, name: str = "the picture", numbers: bool = False) -> Picture:
    """A picture that is open in Pillow, its first page; ``numbers`` and errors as in `read_pixels`."""
    from PIL import ImageOps

    told: list[str] = []
    if (frames := getattr(image, "n_frames", 1)) > 1:
        told.append(f"the first of its {frames} pages")
    x, y = image.info.get("aspect") or image.info.get("dpi") or (1, 1)
    spacing, unit, ratio = _ratio(float(x / y) if x > 0 and y > 0 else 1.0, 2)
    told += ratio
    raw = image.tile[0][3] if getattr(image, "tile", None) else ""
    bits = _FEW_BITS.get(raw if isinstance(raw, str) else "")
    pixels, full, colours, more = _grey(ImageOps.exif_transpose(image), name, numbers)
    if bits is not None:
        pixels, full = pixels // (255 // bits), float(bits)
    return Picture(pixels, spacing, unit, full, colours, (*told, *more))


def _grey(image: Any, name: str, numbers: bool) -> tuple[Pixels, float | None, int, tuple[str, ...]]:
    """Values, full scale, number of colours and what is told of one page."""
    if image.mode == "1":
        return np.asarray(image), 1.0, 0, ()
    if image.mode == "F":
        return np.asarray(image), None, 0, ()
    if image.mode.startswith("I"):
        # Mode I is what older versions of Pillow make of 16-bit PNG.
        deep = image.mode != "I" or image.format == "PNG"
        values = np.asarray(image)
        return (values.astype(np.uint16), 65535.0, 0, ()) if deep else (values.astype(np.int32), None, 0, ())
    if image.mode in ("P", "PA") and numbers:
        index = np.asarray(image if image.mode == "P" else image.getchannel(0))
        palette = np.reshape(image.getpalette(), (-1, 3))
        used = palette[np.minimum(np.unique(index), len(palette) - 1)]
        if np.ptp(used, axis=1).any():
            return index, 255.0, 0, (f"the numbers of the {len(used)} colours of its palette",)
    if image.mode[-1] in "Aa" or "transparency" in image.info:
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
        _opaque(alpha, 255, name)
    if image.mode == "L":
        return np.asarray(image), 255.0, 0, ()
    rgb = image.convert("RGB")
    values = np.asarray(rgb)
    if not np.ptp(values, axis=2).any():
        return values[..., 0], 255.0, 0, ()
    return np.asarray(rgb.convert("L")), 255.0, _distinct(values) if numbers else 1, ("the luminance of its colours",)


def _opaque(alpha: Pixels, full: float, name: str) -> None:
    if clear := int(np.count_nonzero(alpha < full)):
        problem = f"has {clear} transparent pixels of {alpha.size}, whose grey value depends on what lies behind"
        raise ConfigError(name, problem, "save it without an alpha channel")


def _distinct(colours: Pixels) -> int:
    """How many different colours there are."""
    rgb = colours[..., :3].reshape(-1, 3)
    if rgb.dtype.kind == "u" and rgb.dtype.itemsize <= 2:  # one number each: sorts far faster than rows
        return len(np.unique(rgb.astype(np.uint64) @ np.array([1 << 32, 1 << 16, 1], np.uint64)))
    return len(np.unique(rgb, axis=0))


def _read_tiff(path: Path, dim: int | None, numbers: bool) -> Picture:
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
        palette = photometric == tifffile.PHOTOMETRIC.PALETTE
        pixels: Pixels | None = None
        told: list[str] = []
        # Pillow turns them into red, green and blue.
        others_colours = "S" in axes and not colour and photometric in _INKS
        if not others_colours and (not palette or numbers):
            try:
                pixels, axes, more = _stacked(file, axes)
                told += more
            except ValueError as error:
                if "imagecodecs" not in str(error):
                    raise
                # A compression whose codec tifffile lacks and Pillow may have.
        colours = 0
        full: float | None
        if pixels is None:
            pixels, full, colours, others = _by_pillow(path, numbers)
            told += others
        else:
            full = _full_scale(pixels, page.bitspersample)
            if photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind in "bu":
                pixels = ~pixels if pixels.dtype.kind == "b" else (full - pixels).astype(pixels.dtype)
                told.append("0 is white in the file: inverted to what the picture shows")
            if palette:
                used = page.colormap[:, np.unique(pixels)]
                if np.ptp(used, axis=0).any():
                    told.append(f"the numbers of the {used.shape[1]} colours of its palette")
                else:
                    pixels, full = (page.colormap[0] >> 8).astype(np.uint8)[pixels], 255.0
            if "S" in axes and not (planes and dim == pixels.ndim):
                pixels = np.moveaxis(pixels, axes.index("S"), -1)
                if len(page.extrasamples) and int(page.extrasamples[-1]) in (1, 2):
                    _opaque(pixels[..., -1], full if full is not None else float(pixels[..., -1].max()), str(path))
                if colour:
                    colours = _distinct(pixels) if numbers else 1
                    told.append("the luminance of its colours")
                elif (count := pixels.shape[-1] - sum(int(e) in (1, 2) for e in page.extrasamples)) > 1:
                    told.append(f"the first of its {count} channels")
                pixels = _luminance(pixels) if colour else pixels[..., 0]
            pixels = _upright(pixels, int(getattr(page.tags.get("Orientation"), "value", 1) or 1))
        named = axes.replace("S", "") if not (planes and dim == 3) else axes
        pixels, named, more = _in_order(pixels, named, str(path))
        spacing, unit, calibrated = _calibration(file, page, named, pixels.ndim)
        return Picture(pixels, spacing, unit, full, colours, (*told, *more, *calibrated))


def _in_order(pixels: Pixels, named: str, path: str) -> tuple[Pixels, str, list[str]]:
    """A picture or stack with the axes pages, rows, columns, what they are called, and what was taken for pages."""
    if pixels.ndim > 3:
        raise ConfigError(
            path,
            f"has the axes {', '.join(named)} of {' x '.join(map(str, pixels.shape))}; "
            "one picture, or one stack of them, is expected",
            "save one channel at one time",
        )
    if len(named) == pixels.ndim and set("XY") <= set(named):  # the rows along Y, whatever their place
        order = [k for k, a in enumerate(named) if a not in "XY"] + [named.index("Y"), named.index("X")]
        pixels, named = pixels.transpose(order), "".join(named[k] for k in order)
    told = []
    if pixels.ndim == 3 and len(named) == 3 and named[0] in "TC":  # what many programs call the slices of a stack
        told.append(f"its {'times' if named[0] == 'T' else 'channels'} are taken for pages")
    return pixels, named, told


def _stacked(file: Any, axes: str) -> tuple[Pixels, str, list[str]]:
    """The image of a TIFF; images of the same size that were written one by one are the pages of a stack."""
    series = file.series[0]
    alike = all((s.shape, s.dtype, s.axes) == (series.shape, series.dtype, series.axes) for s in file.series)
    if len(file.series) == 1:
        return series.asarray(), axes, []
    if alike and len(axes.replace("S", "")) == 2 and not file.is_ome:
        return np.stack([s.asarray() for s in file.series]), f"I{axes}", []
    return series.asarray(), axes, [f"the first of the {len(file.series)} images in the file"]


def _by_pillow(path: Path, numbers: bool) -> tuple[Pixels, float | None, int, tuple[str, ...]]:
    """The page, or all pages of a TIFF, by Pillow, which turns them upright itself."""
    from PIL import Image, ImageSequence

    with Image.open(path) as image:
        pages = [_grey(page, str(path), numbers) for page in ImageSequence.Iterator(image)]
    values, full, _, told = pages[0]
    return np.stack([p[0] for p in pages]) if len(pages) > 1 else values, full, max(p[2] for p in pages), told


def _full_scale(pixels: Pixels, bits: Any) -> float | None:
    if pixels.dtype.kind == "b":
        return 1.0
    if pixels.dtype.kind != "u":
        return None
    size = 8 * pixels.dtype.itemsize
    return float(2 ** (bits if isinstance(bits, int) and 0 < bits < size else size) - 1)


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Rows from the top, columns from the left, by TIFF's tag 274."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(-1, -2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[..., ::-1, :]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[..., ::-1]
    return pixels


def _luminance(colours: Pixels) -> Pixels:
    grey = colours[..., :3] @ _LUMINANCE
    return grey if colours.dtype.kind == "f" else grey.round().astype(colours.dtype)


# -- how large they are ------------------------------------------------------------------------------------------------


def _calibration(file: Any, page: Any, axes: str, dim: int) -> tuple[tuple[float, ...] | None, str, list[str]]:
    """Edge lengths along the axes, their unit, and what is told of them."""
    if file.is_ome and len(axes) == dim:
        sizes = _ome_sizes(file.ome_metadata or "", axes)
        lacking = [a for a, s in zip(axes, sizes, strict=True) if not 0 < s < math.inf]
        if not lacking:
            return tuple(sizes), "m", []
        if len(lacking) < dim:
            known = ", ".join(f"{a} {s:.4g} m" for a, s in zip(axes, sizes, strict=True) if a not in lacking)
            told = f"OME tells lengths of voxels along some axes only ({known}): they are taken for cubes, give spacing"
            return None, "", [told]
    calibration = file.imagej_metadata or {}
    return _imagej(page, calibration, dim) if calibration else _resolution(page, dim)


def _ome_sizes(xml: str, axes: str) -> list[float]:
    """The physical sizes of the first image along ``axes`` in m; 0 where none is told, as a length."""
    from xml.etree import ElementTree

    try:
        pixels = ElementTree.fromstring(xml).find(".//{*}Pixels")
    except ElementTree.ParseError:  # the picture can be read all the same
        return [0.0] * len(axes)
    told = {} if pixels is None else pixels.attrib
    # Micrometres are what the schema takes where no unit is written; a length in "pixel" or "reference frame" is none.
    units = [OME_LENGTHS.get(told.get(f"PhysicalSize{a}Unit", "µm").strip(), 0.0) for a in axes]
    return [unit * _number(told.get(f"PhysicalSize{a}", "")) for unit, a in zip(units, axes, strict=True)]


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return 0.0


def _edge(page: Any, name: str) -> float:
    """Length of a pixel in the file's unit, 0 if it is not told."""
    tag = page.tags.get(name)
    number, per = tag.value if tag is not None else (0, 1)
    return per / number if number else 0.0


def _imagej(page: Any, calibration: Mapping[str, Any], dim: int) -> tuple[tuple[float, ...] | None, str, list[str]]:
    x, y = _edge(page, "XResolution") or 1.0, _edge(page, "YResolution") or 1.0
    name = str(calibration.get("unit", "")).strip()
    units = [str(calibration.get(f"{a}unit", name)).strip().lower() for a in "zy"] + [name.lower()]
    # ImageJ leaves the distance of the pages out where it is 1; of a resolution of print that would be an inch.
    between = calibration.get("spacing")
    deep = (1.0 if name.lower() in IMAGEJ_LENGTHS else x) if between is None else _number(between)
    found, odd = positive([x, y, deep][:dim], "ImageJ's calibration")
    if found is None:
        return None, "", odd
    sizes, units = list(found[::-1]), units[-dim:]
    lengths = [IMAGEJ_LENGTHS.get(u) for u in units]
    if None not in lengths:
        return tuple(u * s for u, s in zip(lengths, sizes, strict=True) if u is not None), "m", odd
    if np.allclose(sizes, sizes[-1], rtol=1e-6):
        return None, "", odd
    told = f"ImageJ's calibration is in {name!r}" if name else "ImageJ's calibration has no unit of length"
    return tuple(s / sizes[-1] for s in sizes), "", [*odd, f"{told}: only its ratios are taken"]


def positive(lengths: Sequence[float], whose: str) -> tuple[tuple[float, ...] | None, list[str]]:
    """Edge lengths as a file tells them, all > 0, or None where they are none, and what is told of that."""
    text = " x ".join(f"{s:g}" for s in lengths)
    if not all(s and math.isfinite(s) for s in lengths):
        return None, [f"{whose} has edge lengths of {text}, which are none, and is left aside: give spacing"]
    if min(lengths) > 0:
        return tuple(lengths), []
    return tuple(map(abs, lengths)), [
        f"{whose} has edge lengths of {text}: they are taken without their sign, in the order of the file"
    ]


def _resolution(page: Any, dim: int) -> tuple[tuple[float, ...] | None, str, list[str]]:
    import tifffile

    y, x, tag = _edge(page, "YResolution"), _edge(page, "XResolution"), page.tags.get("ResolutionUnit")
    if not (x and y):
        return None, "", []
    if dim == 2 and tag is not None and tag.value == tifffile.RESUNIT.CENTIMETER:
        return (1e-2 * y, 1e-2 * x), "m", []
    return _ratio(y / x, dim)


def _ratio(rows: float, dim: int) -> tuple[tuple[float, ...] | None, str, list[str]]:
    """Spacing where no more is known than the edge of a pixel along the rows' axis over that along the columns'."""
    if math.isclose(rows, 1, rel_tol=1e-3):
        return None, "", []
    return (1.0, rows, 1.0)[-dim:], "", ["its resolution is not that of a specimen: only its ratio is taken"]


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
