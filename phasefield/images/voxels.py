"""From fields to voxels: which phases a voxel holds, in what fractions, and with which interface between them.

A phase field is diffuse, the material is not: mixing properties by the value of the field puts an error of several per cent
into the effective property. The field therefore only tells where the interface is (`interface`), and a voxel that it cuts is a
laminate of two phases with the fractions and the normal found there.

Geometry is kept apart from properties: an image gives one `Voxels`, from which the table of every property is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..planes import ALONE, Planes
from .interface import cut_by_level, cut_by_planes
from .pieces import Pieces
from .raster import Array, cell_means, checked, means_between

#: How the two phases of a voxel are mixed: as a laminate, the larger one alone, or by means of the fraction alone.
RULES = ("laminate", "sharp", "arithmetic", "harmonic", "geometric")
#: Levels of the fraction for the rules that mix by it.
_LEVELS = 4096


@dataclass(frozen=True)
class Voxels:
    """Voxels as a table of distinct entries.

    Attributes:
        index: entry of every voxel, shape of the image.
        first, second: phase numbers of an entry, shape (entries,); equal for a pure voxel.
        fraction: volume fraction of ``first``. normal: unit normal, shape (entries, 3); zero for pure entries.
        spacing: edge lengths of a voxel. phases: number of phases; the first so many entries are the pure phases.
        rule: how the two phases of an entry are mixed.
        planes: which of the image these are; the index holds their margin too, the table is of what it holds.
    """

    index: NDArray[Any]
    first: NDArray[np.integer]
    second: NDArray[np.integer]
    fraction: Array
    normal: Array
    spacing: tuple[float, ...]
    phases: int
    rule: str
    planes: Planes = field(default=ALONE, kw_only=True)

    #: What every entry has.
    BY_ENTRY: ClassVar[tuple[str, ...]] = ("first", "second", "fraction", "normal")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.planes.shape(self.index.shape)

    @property
    def table(self) -> dict[str, Any]:
        """What every entry has, by its name."""
        return {name: getattr(self, name) for name in self.BY_ENTRY}

    @property
    def own(self) -> NDArray[Any]:
        """Entry of every voxel of this process's planes."""
        return self.planes.own(self.index)

    @property
    def size(self) -> int:
        """Voxels of the image."""
        return int(np.prod(self.shape))

    @cached_property
    def counts(self) -> NDArray[np.integer]:
        """Number of voxels of every entry, in this process's planes."""
        return np.bincount(self.own.ravel(), minlength=len(self.first))

    @property
    def cut(self) -> NDArray[np.bool_]:
        """Whether an entry is a laminate."""
        return np.asarray((self.first != self.second) & (self.rule == "laminate"))

    @cached_property
    def volume_fractions(self) -> Array:
        """Volume fraction of every phase."""
        out = np.bincount(self.first, self.counts * self.fraction, minlength=self.phases)
        out = out + np.bincount(self.second, self.counts * (1 - self.fraction), minlength=self.phases)
        return np.asarray(self.planes.sum(out) / self.size)

    def share(self, phase: int) -> Array:
        """Volume fraction of a phase in every voxel, shape of the image."""
        part = self.fraction * (self.first == phase) + (1 - self.fraction) * (self.second == phase)
        return np.asarray(part[self.own])

    def widened(self, margin: int) -> Self:
        """The same with so many planes of its neighbours beyond either end; of one process just the same."""
        if not self.planes.shared:
            return self
        low, high = self.planes.mine.start - margin, self.planes.mine.stop + margin
        index, table = self.planes.table_window(self.own, self.table, self.phases, low, high)
        return replace(self, index=index, planes=replace(self.planes, margin=margin), **table)

    def narrowed(self, margin: int) -> Self:
        """The same with fewer planes beyond; of one process just the same."""
        if not self.planes.shared:
            return self
        less = self.planes.margin - margin
        index = self.index[less : len(self.index) - less] if less else self.index
        return replace(self, index=index, planes=replace(self.planes, margin=margin))


def _spacing(image: Array, spacing: Sequence[float] | None) -> tuple[float, ...]:
    return tuple(float(s) for s in spacing) if spacing is not None else (1.0,) * image.ndim


def _table(
    index: Array,
    first: Any,
    second: Any,
    fraction: Any,
    normal: Any,
    spacing: tuple[float, ...],
    phases: int,
    rule: str,
) -> Voxels:
    """Puts the pure entries in front."""
    pure = np.arange(phases)
    return Voxels(
        np.ascontiguousarray(index, np.int32),  # one type: one compiled kernel
        np.concatenate([pure, first]).astype(np.int32),
        np.concatenate([pure, second]).astype(np.int32),
        np.concatenate([np.ones(phases), fraction]),
        np.concatenate([np.zeros((phases, 3)), normal]),
        spacing,
        phases,
        rule,
    )


def from_labels(labels: Any, spacing: Sequence[float] | None = None, phases: int | None = None) -> Voxels:
    """Pure voxels from phase numbers 0, 1, ...

    Args:
        labels: integers, shape of the image. phases: how many there are (default: the highest number plus one).
    """
    image = checked(labels, "image").astype(np.int64)
    count = int(image.max()) + 1 if phases is None else phases
    if image.min() < 0 or image.max() >= count:
        raise ConfigError("image", f"holds phase numbers {image.min()} to {image.max()}; 0 to {count - 1} are expected")
    none = np.zeros(0)
    return _table(image, none, none, none, np.zeros((0, 3)), _spacing(image, spacing), count, "sharp")


def from_field(
    phi: Any,
    rule: str = "laminate",
    spacing: Sequence[float] | None = None,
    boundary: str | Sequence[str] = "periodic",
    own: slice = slice(None),
    planes: Planes = ALONE,
) -> Voxels:
    """Voxels of two phases from a diffuse indicator: phase 0 where it is 0, phase 1 where it is 1.

    A field that is two-valued gives pure voxels; one whose interface is about a voxel wide is taken for the volume fraction.

    Args:
        phi: shape of the image, 0 and 1 in the bulk; values beyond are clipped.
        boundary: per axis; how the gradient is taken at the faces (``periodic`` or anything else).
        own: which planes are this process's ``planes``; of those beyond there will be no voxels.
    """
    if rule not in RULES:
        raise ConfigError("voxel", f"is {rule!r}; expected one of {', '.join(RULES)}")
    image = np.clip(checked(phi, "field").astype(float), 0.0, 1.0)
    space = _spacing(image, spacing)
    if rule == "sharp" or not planes.any(np.any((image[own] > 0) & (image[own] < 1))):
        return _of(from_labels((image[own] > 0.5).astype(np.uint8), space, 2), planes)
    if rule != "laminate":
        image = image[own]
        levels, index = np.unique(np.rint(image * _LEVELS).astype(np.int32), return_inverse=True)
        inner = (levels > 0) & (levels < _LEVELS)
        number = np.where(levels == 0, 0, 1)
        number[inner] = 2 + np.arange(inner.sum())
        fraction = 1 - levels[inner] / _LEVELS
        count = int(inner.sum())
        zero, one = np.zeros(count, int), np.ones(count, int)
        entry = number[index.reshape(image.shape)]
        return _of(_table(entry, zero, one, fraction, np.zeros((count, 3)), space, 2, rule), planes)
    walls = [boundary] * image.ndim if isinstance(boundary, str) else list(boundary)
    fraction, normal = cut_by_level(image, space, walls, own, planes)
    fraction, normal = fraction[own], normal[:, own]
    low, high = np.broadcast_to(0, fraction.shape), np.broadcast_to(1, fraction.shape)
    return _of(_laminates(fraction, normal, low, high, space, 2), planes)


def _of(voxels: Voxels, planes: Planes) -> Voxels:
    return replace(voxels, planes=planes) if planes.shared else voxels


def _laminates(
    fraction: Array, normal: Array, low: Array, high: Array, spacing: tuple[float, ...], phases: int
) -> Voxels:
    """Entries from the fraction of ``high`` in every voxel and the normal field (dim, ...)."""
    inner = (fraction > 1e-9) & (fraction < 1 - 1e-9)
    index = np.where(fraction >= 0.5, high, low).astype(np.int64)
    count = int(inner.sum())
    index[inner] = phases + np.arange(count)
    n = np.zeros((count, 3))
    n[:, : fraction.ndim] = normal[:, inner].T
    return _table(index, low[inner], high[inner], 1 - fraction[inner], n, spacing, phases, "laminate")


def from_fields(
    fields: Any,
    rule: str = "laminate",
    spacing: Sequence[float] | None = None,
    boundary: str | Sequence[str] = "periodic",
    pieces: Pieces | None = None,
    own: slice = slice(None),
    planes: Planes = ALONE,
) -> Voxels:
    """Voxels of many phases from one indicator per phase, e.g. the order parameters of a polycrystal.

    Each voxel is a laminate of its two dominant phases; what a third has in it near a junction goes to these two. Where the two
    give no normal the voxel belongs to the dominant one.

    Args:
        fields: shape (phases, ...), each 1 in its phase and 0 elsewhere.
        pieces: of the fields, if each of them is a phase of its own. own, planes: see `from_field`.
    """
    if rule not in ("laminate", "sharp"):
        raise ConfigError("voxel", f"is {rule!r}; fields of several phases take laminate or sharp")
    stack = np.asarray(fields, float)
    if stack.ndim < 2:
        raise ConfigError("field", f"has the shape {stack.shape}; one image per phase is expected")
    for number, image in enumerate(stack):
        checked(image, f"field {number}")
    stack = np.clip(stack, 0.0, None)
    space = _spacing(stack[0], spacing)
    phases, shape = len(stack), stack.shape[1:]
    if phases == 1:
        return _of(from_labels(np.zeros(shape, np.uint8)[own], space, 1), planes)
    winner, second = _two_largest(stack)
    walls = [boundary] * len(shape) if isinstance(boundary, str) else list(boundary)
    whole, count = (winner, phases) if pieces is None else (_piece_numbers(pieces, winner, walls), len(pieces.labels))
    if rule == "sharp":
        return _of(from_labels(whole[own], space, count), planes)
    best, next_ = (np.take_along_axis(stack, w[None], axis=0)[0] for w in (winner, second))
    near = np.flatnonzero(next_ > 0.02 * best)  # psi < 2: further away the interface cannot cut the voxel
    a, b = winner.ravel()[near], second.ravel()[near]

    def psi(at: tuple[Array, ...]) -> Array:
        va, vb = stack[(a, *at)], stack[(b, *at)]
        return np.asarray(0.5 * np.log(np.maximum(va, 1e-7) / np.maximum(vb, 1e-7)))

    cut, part, n = cut_by_planes(near, psi, shape, space, walls)
    at = near[cut]
    other = second
    if pieces is not None:  # of the second field the piece that the interface is one of
        beside = pieces.nearest(b[cut], at, [w == "periodic" for w in walls])
        part = np.where(beside < 0, 1.0, part)
        other = whole.copy()
        other.flat[at] = np.where(beside < 0, whole.ravel()[at], beside)
    fraction = np.ones(stack[0].size)
    normal = np.zeros((len(shape), stack[0].size))
    fraction[at] = part
    normal[:, at] = n.T
    full_normal = normal.reshape(len(shape), *shape)[:, own]
    return _of(_laminates(fraction.reshape(shape)[own], full_normal, other[own], whole[own], space, count), planes)


def _two_largest(stack: Array) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Which of several fields are the largest and the second largest, voxel by voxel."""
    phases, shape = len(stack), stack.shape[1:]
    order = (
        np.argpartition(stack, phases - 2, axis=0)[-2:]
        if phases > 2
        else np.array([np.zeros(shape, int), np.ones(shape, int)])
    )
    winner = stack.argmax(axis=0)
    return winner, np.where(order[0] == winner, order[1], order[0])


def _piece_numbers(pieces: Pieces, winner: Array, walls: Sequence[str]) -> NDArray[np.integer]:
    """The piece of every voxel; one of the field that is the largest there, where the pieces come from a finer image."""
    number = pieces.number.astype(np.int64)
    astray = np.flatnonzero(pieces.owner[number] != winner)
    found = pieces.nearest(winner.ravel()[astray], astray, [w == "periodic" for w in walls])
    number.flat[astray] = np.where(found < 0, number.ravel()[astray], found)
    return number


def coarsened(field: Array, axes: Sequence[int], planes: Planes = ALONE) -> Array:
    """The field on half as many voxels along ``axes``: exact means over the coarse voxels, also where they cut fine ones.

    Args:
        planes: which the field has, along the first of the axes, of an image; the result has those of `halved` planes.
    """
    out = np.asarray(field, float)
    for d in axes:
        if planes.shared and d == axes[0]:
            cells, n = halved(planes.whole), planes.whole
            mine = planes.of(cells).mine
            edges = np.arange(mine.start, mine.stop + 1) * n / cells
            low, high = int(edges[0]), int(np.ceil(edges[-1]))
            out = means_between(planes.window(out, low, high, d), d, edges - low) * cells / n
        else:
            out = cell_means(out, d, halved(out.shape[d]))
    return out


def halved(n: int) -> int:
    """Voxels along an axis of the coarser grid."""
    return max(1, round(n / 2))
