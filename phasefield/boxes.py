"""Arrays whose numbers are elsewhere, to be fetched box by box by whoever has room for no more."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np


class Boxes:
    """An array that stays where it is: indexing and transposing it gives another, `numpy.asarray` fetches the numbers.

    Args:
        shape, dtype: as of an array.
        fetch: the numbers in a box, given by one slice of step 1 for every axis.
    """

    def __init__(
        self, shape: Sequence[int], dtype: np.dtype[Any], fetch: Callable[[tuple[slice, ...]], np.ndarray]
    ) -> None:
        self.dtype, self._fetch = dtype, fetch
        self._box = [slice(0, n) for n in shape]
        #: Axes of the whole by those of this view, None for one that was added.
        self._axes: list[int | None] = list(range(len(shape)))

    #: What `numpy.ndarray.flags` tells of the order in memory.
    flags = SimpleNamespace(c_contiguous=False)

    def _length(self, axis: int | None) -> int:
        return 1 if axis is None else self._box[axis].stop - self._box[axis].start

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._length(axis) for axis in self._axes)

    @property
    def ndim(self) -> int:
        return len(self._axes)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def _other(self, box: list[slice], axes: list[int | None]) -> Boxes:
        found = Boxes((), self.dtype, self._fetch)
        found._box, found._axes = box, axes
        return found

    def __getitem__(self, key: Any) -> Boxes:
        """Part of it: integers, slices of step 1 and None, as of an array."""
        box, axes = list(self._box), list[int | None]()
        left = iter(self._axes)
        for index in key if isinstance(key, tuple) else (key,):
            if index is None:
                axes.append(None)
                continue
            axis = next(left)
            wanted = slice(index, index + 1) if isinstance(index, int) else index
            start, stop, step = wanted.indices(self._length(axis))
            assert step == 1
            if axis is not None:
                box[axis] = slice(box[axis].start + start, box[axis].start + max(start, stop))
            if not isinstance(index, int):
                axes.append(axis)
        return self._other(box, [*axes, *left])

    def transpose(self, *order: int) -> Boxes:
        return self._other(self._box, [self._axes[axis] for axis in order])

    def pieces(self, size: int) -> Iterator[np.ndarray]:
        """All numbers in the order of a contiguous array, not many more bytes than ``size`` at a time."""
        if self.nbytes <= size or self.ndim == 0:
            yield np.ascontiguousarray(np.asarray(self))
            return
        count = self.shape[0]
        step = max(1, count * size // self.nbytes)
        for start in range(0, count, step):
            part = self[start : min(start + step, count)]
            if step == 1:
                yield from part[0].pieces(size)
            else:
                yield np.ascontiguousarray(np.asarray(part))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values = self._fetch(tuple(self._box))
        kept = [axis for axis in self._axes if axis is not None]
        dropped = tuple(axis for axis in range(values.ndim) if axis not in kept)
        values = values.squeeze(dropped)
        left = [axis for axis in range(len(self._box)) if axis in kept]
        values = values.transpose([left.index(axis) for axis in kept])
        values = np.asarray(values[tuple(None if axis is None else slice(None) for axis in self._axes)])
        return values if dtype is None else values.astype(dtype)
