"""How fields lie in our NetCDF files, so that every reader of the format finds its way in them, ParaView's (VTK's) too.

VTK's reader of the CF conventions takes the last axis for x, knows no more than three axes besides time, fails on strings of
variable length, and takes axes with an ``axis`` attribute for those of a globe. Hence:

- axes lie in the order time, z, y, x;
- what has more axes (components, loads) lies in parts, one variable each, which `reading` puts together again;
- strings are characters of a fixed length, and integers have 32 bits: ParaView 5.11 knows none of 64.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

SPACE = ("x", "y", "z")
#: Attributes of a part: the whole it belongs to, the axes of the whole that it lacks, its place along them, counted from 0, and
#: the whole's long_name.
PART_OF, PART_AXES, PART_AT, WHOLE = "part_of", "part_axes", "part_at", "part_of_long_name"


@dataclass(frozen=True)
class Part:
    """A variable of a file that holds one component of a field, or all of a field without any.

    Attributes:
        dims: its axes as they lie in the file. at: places along the axes of the field that it lacks.
    """

    name: str
    dims: tuple[str, ...]
    at: tuple[int, ...]
    attrs: Mapping[str, Any]


def named_order(dims: Sequence[str]) -> tuple[str, ...]:
    """The axes of a variable as we name them: time, others, x, y, z."""
    return (
        *(d for d in dims if d == "time"),
        *(d for d in dims if d not in ("time", *SPACE)),
        *(d for d in SPACE if d in dims),
    )


def disk_order(dims: Sequence[str]) -> tuple[str, ...]:
    """The same as they lie in a file: those of space backwards."""
    return (*(d for d in named_order(dims) if d not in SPACE), *(d for d in reversed(SPACE) if d in dims))


def parts_of(
    name: str,
    dims: Sequence[str],
    labels: Mapping[str, Sequence[Any]],
    attrs: Mapping[str, Any],
    taken: Collection[str] = (),
) -> list[Part]:
    """The variables that hold one with the axes ``dims``: itself, or of a field of space one for every place along other axes.

    Args:
        labels: what the places along these axes are called; they end the names of the parts.
        taken: names of other variables, which no part may have.
    """
    others = tuple(d for d in dims if d != "time" and d not in SPACE)
    if not others or not set(dims) & set(SPACE):
        return [Part(name, disk_order(dims), (), attrs)]
    left = tuple(d for d in disk_order(dims) if d not in others)
    places = list(itertools.product(*(range(len(labels[d])) for d in others)))
    words = [[str(labels[d][k]) for d, k in zip(others, at, strict=True)] for at in places]
    link = "_"
    while any(link.join([name, *w]) in taken for w in words):
        link += "_"
    return [
        Part(
            link.join([name, *w]),
            left,
            at,
            {
                **attrs,
                "long_name": f"{attrs.get('long_name', name)} {' '.join(w)}",
                **({WHOLE: attrs["long_name"]} if "long_name" in attrs else {}),
                PART_OF: name,
                PART_AXES: " ".join(others),
                PART_AT: np.array(at, np.int32),
            },
        )
        for at, w in zip(places, words, strict=True)
    ]


def put_attrs(target: Any, attrs: Mapping[str, Any]) -> None:
    """Sets attributes of an h5py object, text as characters of a fixed length."""
    for name, value in attrs.items():
        if isinstance(value, str):
            text = value.encode("utf-8", "surrogateescape")  # a command line may hold bytes that are no UTF-8
            # Of one character h5netcdf makes bytes, and HDF5 has no text of none: both are filled up with zeros.
            value = np.array(text, h5py.string_dtype("utf-8", max(2, len(text))))
        elif np.isscalar(value):
            value = np.atleast_1d(value)  # as the NetCDF library does
        target.attrs[name] = value


def readable(values: np.ndarray) -> np.ndarray:
    """The same numbers in a type that all readers know."""
    if values.dtype.kind == "b":
        return values.astype(np.int8)
    if values.dtype.kind in "iu" and values.dtype.itemsize > 4:
        bounds = np.iinfo(np.int32)
        fits = values.size == 0 or (values.min() >= bounds.min and values.max() <= bounds.max)
        return values.astype(np.int32 if fits else np.float64)
    return values


#: Attributes of text that lies as characters.
TEXT = {"_Encoding": "utf-8"}


def put_characters(file: Any, name: str, dims: Sequence[str], values: np.ndarray) -> None:
    """Adds an array of strings to an h5netcdf file, as characters along one axis more; it needs the attributes `TEXT` besides."""
    encoded = np.array([str(v).encode("utf-8", "surrogateescape") for v in values.ravel().tolist()], "S")
    width = max(1, encoded.dtype.itemsize)
    axis = f"string{width}"
    if axis not in file.dimensions:
        file.dimensions[axis] = width
    file.create_variable(name, (*dims, axis), "S1", data=encoded.view("S1").reshape(*values.shape, width))


def text_of(value: Any) -> str:
    """The text in an attribute as h5py reads it."""
    return value.decode() if isinstance(value, bytes) else str(value)
