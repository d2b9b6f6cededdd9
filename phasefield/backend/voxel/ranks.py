"""Operators on voxels over several processes: every rank has a slab of nodes, rank 0 says what is done with them."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from ...errors import DeviceError
from ..ranks.exchange import asked_for
from ..ranks.member import Slice
from ..ranks.team import Team, team
from .grid import VoxelGrid
from .nodes import centre_gradient
from .slab import Slab
from .tensor_field import TensorField


class _Part:
    """Something that every rank has its part of, let go of with the last that knows it."""

    def __init__(self, crew: Team, number: int) -> None:
        self.number = number
        weakref.finalize(self, crew.drop, number).atexit = False


class Fields:
    """Fields of the nodes, or some loads of them, as others know them: without their numbers."""

    def __init__(self, part: _Part, shape: tuple[int, ...], itemsize: int, start: int = 0) -> None:
        self._part, self.shape, self._itemsize, self._start = part, shape, itemsize, start

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Of all ranks together, without the planes that neighbours share."""
        return int(np.prod(self.shape)) * self._itemsize

    def __getitem__(self, key: int | slice) -> Fields:
        start, stop, _ = (key if isinstance(key, slice) else slice(key, key + 1)).indices(len(self))
        return Fields(self._part, (stop - start, *self.shape[1:]), self._itemsize, self._start + start)

    @property
    def slice(self) -> Slice:
        return Slice(self._part.number, self._start, self._start + len(self))


class _Whole(Fields):
    """An array without loads."""

    @property
    def slice(self) -> Slice:
        return Slice(self._part.number)


class RanksTensorField(TensorField):
    """A field of tensors whose index the ranks share.

    Attributes:
        index: stands for it.
    """

    def __init__(self, packed: np.ndarray, dtype: str, cut: np.ndarray | None, part: _Part, index: Fields) -> None:
        super().__init__(packed, dtype, cut)
        self.part, self.index = part, index

    @property
    def nbytes(self) -> int:
        return self.tensor.nbytes + self.whole.nbytes + self.index.nbytes


class RanksVoxelOperators:
    """The operators of a periodic grid over all ranks, see `VoxelOperators`.

    Args:
        grid: of what. threads: of every rank.

    Raises:
        DeviceError: a rank cannot take its part.
    """

    batch_bytes, tensor_bytes = 1 << 20, 1 << 20
    has_surface = False

    def __init__(self, grid: VoxelGrid, threads: int) -> None:
        self.shape, self.components, self.dtype = grid.shape, grid.components, np.dtype(grid.dtype)
        self._spacing, self._team = grid.spacing, team()
        self._slab = self._new()
        self._team.try_to("make", self._slab.number, Slab, grid, threads, asked_for()[1])

    def _new(self) -> _Part:
        return _Part(self._team, self._team.number())

    def _derived(self, method: str, *arguments: Any, **own: Any) -> _Part:
        part = self._new()
        self._team.do("derive", part.number, self._slab.number, method, *arguments, **own)
        return part

    def _ask(self, method: str, *arguments: Any, **own: Any) -> Any:
        return self._team.do("ask", self._slab.number, method, *arguments, **own)

    @property
    def scratch_bytes(self) -> int:
        return self.components * int(np.prod(self.shape)) * self.dtype.itemsize

    def _of(self, part: _Part, *lengths: int) -> Fields:
        return Fields(part, (*lengths, *self.shape), self.dtype.itemsize)

    def tensor_field(self, index: np.ndarray, packed: np.ndarray, cut: np.ndarray | None = None) -> RanksTensorField:
        part = self._derived("tensors", packed, cut, index=index)
        inner = self._derived("index_of", Slice(part.number))
        return RanksTensorField(packed, self.dtype.name, cut, part, _Whole(inner, self.shape, 4))

    def every_voxel(self) -> Fields:
        return _Whole(self._derived("every_voxel"), self.shape, 4)

    def field(self, loads: int = 1) -> Fields:
        part = self._new()
        self._team.try_to("derive", part.number, self._slab.number, "field", loads)
        return self._of(part, loads, self.components)

    def spectral(self, loads: int = 1) -> Fields:
        part = self._new()
        self._team.try_to("derive", part.number, self._slab.number, "spectral", loads)
        return self._of(part, loads, self.components)

    def assign(self, field: Fields, values: np.ndarray | None) -> None:
        if values is None:
            self._team.do("ask", self._slab.number, "clear", field.slice)
        else:
            self._ask("put", field.slice, values=values.reshape(self.components, *self.shape))

    def to_host(self, field: Fields) -> np.ndarray:
        whole = isinstance(field, _Whole)
        into = np.empty(self.shape if whole else (1, self.components, *self.shape), self.dtype)
        self._ask("fetch", field.slice, into=into)
        return into if whole else into[0]

    def gradient(self, u: np.ndarray) -> np.ndarray:
        return centre_gradient(u, list(self._spacing))

    def apply(self, u: Fields, w: Fields, tensors: RanksTensorField) -> tuple[np.ndarray, np.ndarray]:
        total = self._ask("partial_apply", u.slice, w.slice, Slice(tensors.part.number)).sum(axis=2)
        return total[:, 0], total[:, 1:]

    def nodal_forces(self, w: Fields, index: Fields, table: np.ndarray) -> None:
        self._ask("nodal_forces", w.slice, index.slice, table)

    def dot(self, u: Fields, w: Fields) -> np.ndarray:
        return np.asarray(self._ask("partial_dot", u.slice, w.slice).sum(axis=(1, 2)))

    def green(self, w: Fields, reference: np.ndarray) -> np.ndarray:
        return np.asarray(self._ask("partial_green", w.slice, reference).sum(axis=1))

    def corner_mean(self, tensors: RanksTensorField, value: np.ndarray, power: float = 1.0) -> Fields:
        part = self._derived("corner_mean", Slice(tensors.part.number), value, power)
        return _Whole(part, self.shape, self.dtype.itemsize)

    def advance(self, alpha: np.ndarray, u: Fields, r: Fields, p: Fields, w: Fields, scaling: Any = None) -> None:
        fields = (each.slice for each in (u, r, p, w))
        self._ask("advance", alpha, *fields, None if scaling is None else scaling.slice)

    def direction(self, beta: np.ndarray, p: Fields, w: Fields, scaling: Any = None) -> None:
        self._ask("direction", beta, p.slice, w.slice, None if scaling is None else scaling.slice)

    def surface(self, tensors: RanksTensorField, stiff: np.ndarray) -> Any:
        raise DeviceError(
            "solver.preconditioner: green-schwarz is not for several processes\n  use green or green-jacobi"
        )
