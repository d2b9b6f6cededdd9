"""A microstructure: an image that is ready to become voxels, and how values become one.

An image is one of three kinds: ``labels`` (whole numbers: one phase per value), ``field`` (one diffuse field between two
phases) or ``fields`` (one diffuse indicator per phase, or per order parameter of which each connected piece is a grain).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import ConfigError
from ..planes import ALONE, Planes
from . import voxels
from .levels import two_levels
from .pieces import Pieces, pieces_of
from .raster import Array, Raster, checked
from .voxels import Voxels

#: More values are a field; more than a few grey levels of a picture are one as well.
_MOST_LABELS, _FEW_LABELS = 65536, 32
#: How many labels are told one by one.
_TOLD = 8
#: Planes beyond a share that the interface in it depends on.
_BEYOND = 2


@dataclass(frozen=True)
class Image:
    """A microstructure.

    Attributes:
        kind: ``labels``, ``field`` or ``fields``.
        values: phase numbers; or the field; or (phases, ...) fields.
        spacing: edge lengths of a voxel. boundary: per axis, ``periodic`` or not, for gradients.
        levels: of a field, its value in phase 0 and in phase 1; equal where it has one value and they are not known.
        time: of the snapshot. source: where it was read. unit: of the spacing, empty where the file tells none.
        names: of the values that labels stand for, e.g. grey levels.
        taken: what the image was taken for, pairs of a word and a text, see `told`.
        whole: whether a field holds whole numbers that might be labels. found: whether its levels are no one's word.
        colours: how many different ones became the values. pieces: of ``fields``, if these are grains.
        planes: which of the image the values are.
    """

    kind: str
    values: np.ndarray
    spacing: tuple[float, ...]
    boundary: tuple[str, ...]
    levels: tuple[float, float] = (0.0, 1.0)
    time: float | None = None
    source: str = ""
    names: tuple[str, ...] = ()
    taken: tuple[tuple[str, str], ...] = ()
    whole: bool = False
    found: bool = False
    colours: int = 0
    pieces: Pieces | None = None
    unit: str = ""
    planes: Planes = ALONE
    _made: dict[str, Voxels] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.planes.shape(self.values.shape[1:] if self.kind == "fields" else self.values.shape)

    @property
    def phases(self) -> int:
        if self.kind == "labels":
            return max(len(self.names), int(self.planes.most(self.values.max())) + 1)
        if self.pieces is not None:
            return len(self.pieces.labels)
        return 2 if self.kind == "field" else len(self.values)

    @property
    def labels(self) -> tuple[float, ...]:
        """What the phases are called in a table of grains: the values of labels; 0 and 1 for the low and the high phase of a
        field; the numbers of fields, from 1 as in the run's files; those of their pieces, see `Pieces`.
        """
        if self.pieces is not None:
            return tuple(map(float, self.pieces.labels))
        if self.kind == "labels" and self.names:
            return tuple(float(n) for n in self.names)
        first = 1 if self.kind == "fields" else 0
        return tuple(float(k) for k in range(first, first + self.phases))

    @property
    def drawn(self) -> list[int]:
        """Which of the random orientations of a seed each phase gets: of pieces by their label, so that those that others leave
        behind keep theirs.
        """
        return list(range(self.phases)) if self.pieces is None else [v - 1 for v in self.pieces.labels]

    @property
    def indicator(self) -> Array:
        """The field scaled to 0 in phase 0 and 1 in phase 1."""
        low, high = self.levels
        return np.asarray((self.values.astype(float) - low) / (high - low))

    def voxels(self, rule: str = "laminate") -> Voxels:
        """The voxels under a mixing rule; labels are sharp under any. Those of the first rule asked for are kept."""
        if rule in self._made:
            return self._made[rule]
        made = self._make(rule)
        if not self._made:  # those of another rule serve one estimate
            self._made[rule] = made
        return made

    def _make(self, rule: str) -> Voxels:
        if self.kind == "labels":
            made = voxels.from_labels(self.values, self.spacing, self.phases)
            return replace(made, planes=self.planes) if self.planes.shared else made
        if self.kind == "fields":
            usable = rule if rule in ("laminate", "sharp") else "laminate"
            values, walls, own = self._with_neighbours(self.values, 1)
            return voxels.from_fields(values, usable, self.spacing, walls, self.pieces, own, self.planes)
        values, walls, own = self._with_neighbours(self.indicator, 0)
        return voxels.from_field(values, rule, self.spacing, walls, own, self.planes)

    def _with_neighbours(self, values: Array, axis: int) -> tuple[Array, tuple[str, ...], slice]:
        """A share of the image with the planes that interfaces in it depend on, as an image that ends there: values, boundary,
        and which planes are those of the share.
        """
        planes = self.planes
        if not planes.shared:
            return values, self.boundary, slice(None)
        low, high = planes.mine.start - _BEYOND, planes.mine.stop + _BEYOND
        if self.boundary[0] != "periodic":
            low, high = max(low, 0), min(high, planes.whole)
        own = slice(planes.mine.start - low, planes.mine.stop - low)
        return planes.window(values, low, high, axis), ("wall", *self.boundary[1:]), own

    @property
    def diffuse(self) -> bool:
        """Whether mixing rules make a difference."""
        if self.kind == "labels":
            return False
        return self.kind == "fields" or self.planes.any(np.any((self.indicator > 0.01) & (self.indicator < 0.99)))

    @property
    def outline(self) -> Image:
        """The same for what is written of it: kind, shape, spacing, phases and labels, without the room that values take."""
        pieces = self.pieces and self.pieces.outline
        shape = (len(self.values), *self.shape) if self.kind == "fields" else self.shape
        largest = self.planes.most(self.values.max())
        return replace(self, values=np.broadcast_to(largest, shape), pieces=pieces, planes=ALONE)

    def told(self, what: str, text: str) -> Image:
        """The same with a word about what it is taken for, in place of an earlier one about the same."""
        kept = tuple((w, t) for w, t in self.taken if w != what)
        return replace(self, taken=(*kept, (what, text)))

    def as_labels(self) -> Image:
        """A field of whole numbers as labels, one phase each.

        Raises:
            ConfigError: too many of them; colours of which some are equally bright.
        """
        distinct = self.planes.distinct(self.values)
        if len(distinct) > _MOST_LABELS:
            raise ConfigError(self.source, f"has {len(distinct)} different values; {_MOST_LABELS} labels are the most")
        return _labelled(self, distinct)

    def in_pieces(self) -> Image:
        """Fields of which each connected piece is a phase of its own."""
        pieces = pieces_of(self.values, [b == "periodic" for b in self.boundary])
        many = "piece is a grain" if len(pieces.labels) == 1 else "pieces are grains"
        text = f"{len(pieces.labels)} connected {many} of an orientation of their own, of {len(self.values)} order parameters"
        return replace(self, pieces=pieces).told("values", text)

    def coarse(self) -> Image:
        """The same on half as many voxels per axis; on every one of several processes whole, if shares would be too small."""
        if self.planes.shared and not self.planes.suits([voxels.halved(n) for n in self.shape]):
            values = self.planes.window(self.values, 0, self.planes.whole, self.values.ndim - len(self.shape))
            return replace(self, values=values, planes=ALONE).coarse()
        axes = range(1, self.values.ndim) if self.kind == "fields" else range(self.values.ndim)
        labels = self.kind == "labels"
        values = (
            self._coarse_labels() if labels else voxels.coarsened(self.values.astype(float), list(axes), self.planes)
        )
        planes = self.planes.of(voxels.halved(self.planes.whole)) if self.planes.shared else self.planes
        shape = planes.shape(values.shape[-len(self.shape) :])
        spacing = tuple(s * n / m for s, n, m in zip(self.spacing, self.shape, shape, strict=True))
        pieces = self.pieces and self.pieces.coarse(shape)
        return replace(self, values=values, spacing=spacing, pieces=pieces, planes=planes)

    def _coarse_labels(self) -> np.ndarray:
        """The phase that fills most of a coarse voxel; on equality the rarer one, which else would fade."""
        best: Array | None = None
        out = np.zeros(0)
        planes = self.planes
        counts = planes.sum(np.bincount(self.values.ravel().astype(np.int64), minlength=self.phases))
        for number in np.flatnonzero(counts):
            share = (
                voxels.coarsened(self.values == number, range(self.values.ndim), planes)
                - 1e-9 * counts[number] / counts.sum()
            )
            if best is None:
                best, out = share, np.full(share.shape, number)
            else:
                out = np.where(share > best, number, out)
                best = np.maximum(share, best)
        return out.astype(self.values.dtype)


def whole_numbers(array: Array, planes: Planes = ALONE) -> bool:
    """Whether an array holds whole numbers only."""
    if array.dtype.kind in "iub":
        return True
    own = np.array_equal(array[:1], np.rint(array[:1])) and np.array_equal(array, np.rint(array))
    return planes.all(own)


def most_labels(array: Array) -> int:
    """Up to how many different values an array of whole numbers holds labels, unless the material says so of more."""
    grey = array.dtype.kind == "f" or (array.dtype.kind == "u" and array.dtype.itemsize == 1)
    return _FEW_LABELS if grey else _MOST_LABELS


def _labelled(image: Image, distinct: Array) -> Image:
    if image.colours > len(distinct):
        raise ConfigError(
            image.source,
            f"has {image.colours} colours, but only {len(distinct)} of different brightness, by which they are told apart",
            "save the labels as grey values, or as the numbers of a palette",
        )
    numbers = np.searchsorted(distinct, image.values).astype(np.int32)
    names = tuple(f"{v:g}" for v in distinct.astype(float))
    text = f"{len(names)} labels, {', '.join(names[:_TOLD])}" + (f", ... {names[-1]}" if len(names) > _TOLD else "")
    return replace(image, kind="labels", values=numbers, names=names).told("values", text)


def steps_of(spacing: Sequence[float], dim: int, source: str) -> tuple[float, ...]:
    if len(spacing) != dim or min(spacing) <= 0:
        raise ConfigError("spacing", f"is {list(spacing)}; {dim} positive numbers are expected for {source}")
    return tuple(float(s) for s in spacing)


def of_raster(
    raster: Raster,
    spacing: Sequence[float] | None,
    boundary: Sequence[str] | None,
    levels: Sequence[float] | None,
    source: str,
    time: float | None = None,
    distinct: Array | None = None,
    how: str = "",
    planes: Planes = ALONE,
) -> Image:
    """An image from values with the axes x, y, z.

    Args:
        distinct: labels to expect, of whole numbers. how: where the levels come from, if no one gave them.
        planes: which of the image the values are.
    """
    array = planes.agreed(lambda: checked(raster.values, source))
    given = raster.spacing if spacing is None else spacing
    space = steps_of(given if given is not None else (1.0,) * array.ndim, array.ndim, source)
    walls = tuple(boundary) if boundary is not None else ("periodic",) * array.ndim
    if levels is not None and (len(levels) != 2 or not levels[0] != levels[1]) and not how:
        raise ConfigError(
            "levels", f"is {list(levels)}; the field's values in the two phases are expected, e.g. [0, 1]"
        )
    unit = raster.unit if spacing is None else ""
    image = Image(
        "field", array, space, walls, time=time, source=source, colours=raster.colours, unit=unit, planes=planes
    )
    image = image.told("axes", "; ".join([raster.axes, *raster.told]))
    steps = " x ".join(f"{s:.6g}" for s in space)
    unit = f" {raster.unit}" if raster.unit else ""
    if spacing is not None:
        image = image.told("spacing", f"{steps}, given")
    else:
        none = raster.spacing is None
        image = image.told("spacing", "1, the file tells none" if none else f"{steps}{unit}, of the file")
    whole, grey = levels is None and whole_numbers(array, planes), ""
    if whole:
        known = planes.distinct(array) if distinct is None else distinct
        if len(known) <= (_MOST_LABELS if distinct is not None else most_labels(array)):
            return _labelled(image, known)
        grey = f" of {len(known)} grey values"
    pair = (float(levels[0]), float(levels[1])) if levels is not None else two_levels(array.astype(float), planes)
    how = how or ("given" if levels is not None else "the most frequent values on either side of a threshold")
    image = replace(image, levels=pair, whole=whole, found=how != "given")
    return image.told("values", f"a field{grey} of two phases, levels {pair[0]:.6g} and {pair[1]:.6g} ({how})")
