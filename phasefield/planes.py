"""The planes of an image that a process has: all of them, or a share, and then what is said of the whole is said together.

An image is cut along its first axis. One process has all planes; then everything here is what NumPy does. Of several each has a
share, and all call the same methods in the same order; what they get is the same on every one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import PhasefieldError

T = TypeVar("T")
Array = NDArray[Any]

#: Numbers that a median is found among by sorting, and bins that what holds it is cut into before.
_FEW, _BINS = 1 << 16, 1 << 12


class NotShared(PhasefieldError):
    """Why an image cannot be shared."""


def most_shares(shape: Sequence[int]) -> int:
    """How many processes can each have planes of an image, and a share of the waves along its next axis."""
    next_, *last = [n for n in shape[1:] if n > 1] or [0]
    return min(shape[0], next_ if last else next_ // 2 + 1 if next_ else 0)


class Group(Protocol):
    """Processes that do the same.

    Attributes:
        rank: which of them this one is, from 0 on. size: how many there are.
    """

    rank: int
    size: int

    def everywhere(self, value: Any) -> list[Any]:
        """What all hand in, by rank, at every rank."""

    def exchange(self, values: list[Any]) -> list[Any]:
        """What every rank hands in for this one, by rank; ``values``: what this one has for each."""


class _Alone:
    """One process."""

    rank, size = 0, 1

    def everywhere(self, value: Any) -> list[Any]:
        return [value]

    def exchange(self, values: list[Any]) -> list[Any]:
        return values


@dataclass(frozen=True)
class Planes:
    """The share of a process.

    Attributes:
        group: the processes. whole: planes of the image. margin: planes beyond either end, those of its neighbours in the
            periodic image, that arrays said to be wide hold besides.

    Raises:
        NotShared: fewer planes than processes.
    """

    group: Group = field(default_factory=_Alone)
    whole: int = 0
    margin: int = 0

    def __post_init__(self) -> None:
        if 0 < self.whole < self.group.size:
            raise NotShared(f"{self.whole} planes are too few for {self.group.size} ranks")

    @property
    def shared(self) -> bool:
        return self.group.size > 1

    def share(self, rank: int) -> range:
        """The planes of a rank."""
        n, size = self.whole, self.group.size
        return range(n * rank // size, n * (rank + 1) // size)

    @property
    def mine(self) -> range:
        return self.share(self.group.rank)

    def shape(self, local: Sequence[int]) -> tuple[int, ...]:
        """Of the whole, by that of the array of this share."""
        return (self.whole, *local[1:]) if self.shared else tuple(local)

    def of(self, whole: int) -> Planes:
        """The share of another image."""
        return replace(self, whole=whole, margin=0)

    def suits(self, shape: Sequence[int]) -> bool:
        """Whether there are no more processes than `most_shares`."""
        return self.group.size <= most_shares(shape)

    # -- numbers ---------------------------------------------------------------------------------------------------

    def sum(self, value: T) -> T:
        """Of all shares, in their order; numbers or arrays."""
        if not self.shared:
            return value
        first, *rest = self.group.everywhere(value)
        for each in rest:
            first = first + each
        return first

    def least(self, value: Any) -> Any:
        """The least of all shares, number by number of arrays."""
        return np.minimum.reduce(self.group.everywhere(value)) if self.shared else value

    def most(self, value: Any) -> Any:
        """The largest of all shares, number by number of arrays."""
        return np.maximum.reduce(self.group.everywhere(value)) if self.shared else value

    def any(self, value: Any) -> bool:
        """Whether it is so in any share."""
        return any(map(bool, self.group.everywhere(bool(value))))

    def all(self, value: Any) -> bool:
        """Whether it is so in all shares."""
        return all(map(bool, self.group.everywhere(bool(value))))

    def distinct(self, values: Array) -> Array:
        """The different values, in their order."""
        own = np.unique(values)
        return np.unique(np.concatenate(self.group.everywhere(own))) if self.shared else own

    def collected(self, values: Array) -> Array:
        """The rows of all shares, one after the other."""
        return np.concatenate(self.group.everywhere(values)) if self.shared else values

    def first(self, value: T) -> T:
        """What rank 0 has: where machines may round differently all go by one."""
        return self.group.everywhere(value if self.group.rank == 0 else None)[0] if self.shared else value

    def median(self, values: Array) -> float:
        """Of the values of all shares."""
        if not self.shared:
            return float(np.median(values))
        count = self.sum(values.size)
        return float(np.mean([self._ordered(values, k) for k in ((count - 1) // 2, count // 2)]))

    def quantile(self, values: Array, share: float) -> float:
        """The value below which a share of those of all shares lies."""
        if not self.shared:
            return float(np.quantile(values, share))
        place = share * (self.sum(values.size) - 1)
        below, above = (self._ordered(values, k) for k in (int(np.floor(place)), int(np.ceil(place))))
        return below + (place - np.floor(place)) * (above - below)

    def _ordered(self, values: Array, place: int) -> float:
        """The value that so many are before in the order of all."""
        some = values.ravel()
        while True:
            low = self.least(some.min() if some.size else np.inf)
            high = self.most(some.max() if some.size else -np.inf)
            if low == high:
                return float(low)
            if self.sum(some.size) <= _FEW:
                return float(np.sort(self.collected(some))[place])
            edges = np.linspace(float(low), float(high), _BINS)
            number = np.searchsorted(edges, some, side="right")
            counts = self.sum(np.bincount(number, minlength=_BINS + 1))
            chosen = int(np.searchsorted(np.cumsum(counts), place, side="right"))
            place -= int(counts[:chosen].sum())
            some = some[number == chosen]

    def agreed(self, work: Callable[[], T]) -> T:
        """What ``work``, which asks nothing of others, gives here.

        Raises:
            PhasefieldError: at all, that of the first at which it failed.
        """
        error: PhasefieldError | None = None
        found: list[T] = []
        try:
            found.append(work())
        except PhasefieldError as raised:
            error = raised
        if not self.shared and error is not None:
            raise error
        told = self.group.everywhere(error and (str(error), error.exit_code)) if self.shared else []
        for rank, each in enumerate(told):
            if each is not None:
                raise error if error is not None else _Told(f"on rank {rank}: {each[0]}" if rank else each[0], each[1])
        return found[0]

    # -- planes ----------------------------------------------------------------------------------------------------

    def own(self, wide: Array) -> Array:
        """The planes of the share, of an array with margins."""
        return wide[self.margin : len(wide) - self.margin] if self.margin else wide

    def ahead(self, wide: Array) -> Array:
        """For every plane the next one, of an array with a margin."""
        return wide[self.margin + 1 :][: len(self.mine)] if self.margin else np.roll(wide, -1, 0)

    def behind(self, wide: Array) -> Array:
        """For every plane the one before, of an array with a margin."""
        return wide[self.margin - 1 :][: len(self.mine)] if self.margin else np.roll(wide, 1, 0)

    def window(self, values: Array, low: int, high: int, axis: int = 0) -> Array:
        """Planes ``low`` to ``high`` of the whole, beyond its ends those of the periodic image.

        Args:
            values: the planes of this share, counted by ``axis``.
        """
        parts = self._parts(lambda planes: np.ascontiguousarray(values.take(planes, axis)), low, high)
        out = np.empty((*values.shape[:axis], high - low, *values.shape[axis + 1 :]), values.dtype)
        for places, part in parts:
            out[(slice(None),) * axis + (places,)] = part
        return out

    def _parts(self, pick: Callable[[Array], T], low: int, high: int) -> list[tuple[Array, T]]:
        """Places in a window and what those who have these planes pick of them."""
        asked = self.group.everywhere((low, high))
        first = self.mine.start

        def places(rank: int, of: tuple[int, int]) -> Array:
            planes, share = np.arange(*of) % self.whole, self.share(rank)
            return np.flatnonzero((planes >= share.start) & (planes < share.stop))

        def picked(of: tuple[int, int]) -> T | None:
            found = places(self.group.rank, of)
            return pick((of[0] + found) % self.whole - first) if len(found) else None

        got = self.group.exchange([picked(of) for of in asked])
        return [(places(rank, (low, high)), part) for rank, part in enumerate(got) if part is not None]

    def table_window(
        self, index: Array, table: Mapping[str, Array], fixed: int, low: int, high: int
    ) -> tuple[Array, dict[str, Any]]:
        """The same of an index into a table that every share has its own of, and a table for it.

        Args:
            index: of the planes of this share. table: columns, by their names, of which an index is a row.
            fixed: how many rows at the beginning are those of all shares.
        """

        def pick(planes: Array) -> tuple[Array, dict[str, Array]]:
            # A window longer than the image holds planes more than once, each time with rows of their own.
            turns = np.array([np.count_nonzero(planes[:at] == each) for at, each in enumerate(planes)])
            some, used = index[planes], [np.zeros(0, np.int64)]
            for turn in range(turns.max() + 1):
                now = some[turns == turn]
                rows = np.unique(now)
                rows = rows[rows >= fixed]
                start = fixed + sum(map(len, used))
                some[turns == turn] = np.where(now < fixed, now, np.searchsorted(rows, now) + start)
                used.append(rows)
            rows = np.concatenate(used)
            return some, {name: values[rows] for name, values in table.items()}

        out = np.empty((high - low, *index.shape[1:]), index.dtype)
        columns = {name: [values[:fixed]] for name, values in table.items()}
        count = fixed
        for places, (some, more) in self._parts(pick, low, high):
            out[places] = np.where(some < fixed, some, some + (count - fixed))
            for name, values in more.items():
                columns[name].append(values)
            count += len(next(iter(more.values())))
        return out, {name: np.concatenate(parts) for name, parts in columns.items()}


class _Told(PhasefieldError):
    """What another process raised."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code


#: Of one process.
ALONE = Planes()
