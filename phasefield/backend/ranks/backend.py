"""A backend whose arrays lie in parts on several ranks."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...boxes import Boxes
from ...errors import ConfigError, DeviceError
from ..cpu import CpuBackend
from ..cpu_plans import cpu_name
from ..layout import Layout, shares_of
from ..operations import Apply, Host, Operation, Solve, Transform, names_of
from ..protocol import DTYPES, Compiled, Precision
from ..workers import address
from .exchange import asked_for
from .memory import owner
from .team import Team, team

#: Bytes that rank 0 gathers or hands out at a time.
_AT_ONCE = 2**22


class _Parts:
    """A buffer that every rank has its part of.

    Attributes:
        space: what it holds, ``real`` or ``spectral``: where its numbers are depends on that.
    """

    def __init__(self, crew: Team, layout: Layout, components: int) -> None:
        self.team, self.layout, self.components = crew, layout, components
        self.number, self.space = crew.number(), "real"
        weakref.finalize(self, crew.drop, self.number).atexit = False


class RanksBuffer:
    """A buffer of a `RanksBackend`: what others know of an array, without its numbers.

    Indexing gives some of its components, or, with an index for every axis, a place to fetch numbers from or to put them.
    """

    def __init__(self, parts: _Parts, components: int, dtype: np.dtype[Any], first: int = 0) -> None:
        self.parts, self.components, self.dtype, self.first = parts, components, dtype, first
        self.shape = parts.layout.buffer_shape(components)

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            start, stop, step = key.indices(self.components)
            assert step == 1
            return RanksBuffer(self.parts, stop - start, self.dtype, self.first + start)
        return _Place(self, key)


class _Place:
    """Somewhere in a buffer."""

    def __init__(self, buffer: RanksBuffer, index: tuple[Any, ...]) -> None:
        self.buffer, self.index = buffer, index


_Stretch = list[Operation] | Host | Solve


def _stretches(operations: Sequence[Operation]) -> list[_Stretch]:
    """Operations parted where a function on the host is called, or an iteration goes on for as long as it has to."""
    found: list[_Stretch] = []
    for operation in operations:
        if isinstance(operation, Host | Solve):
            found.append(operation)
        elif found and isinstance(found[-1], list):
            found[-1].append(operation)
        else:
            found.append([operation])
    return found


class _Program:
    """A program of several ranks; what rank 0 alone does or decides, on the host, lies between two stretches of it."""

    def __init__(self, crew: Team, backend: Any, layout: Layout, operations: Sequence[Operation], settle: bool) -> None:
        self._team = crew
        self._solvers: dict[int, dict[str, Any]] = {}
        self.kernels: list[Compiled] = []
        self._sections: list[tuple[int, list[str], _Stretch]] = []
        for stretch in _stretches(operations):
            number = crew.number()
            if isinstance(stretch, list):
                crew.try_to("program", number, backend.number, layout, stretch)
                weakref.finalize(self, crew.drop, number).atexit = False
                if settle:
                    crew.try_to("settle", number, backend.number)
                self.kernels += crew.own.object_of(number).kernels
                self._sections.append((number, names_of(stretch), stretch))
            elif isinstance(stretch, Solve):
                parts = {name: backend.program(layout, part) for name, part in stretch.parts.items()}
                self.kernels += [kernel for part in parts.values() for kernel in part.kernels]
                self._solvers[number] = parts
                self._sections.append((number, stretch.arrays, stretch))
            else:
                self._sections.append((number, stretch.arrays, stretch))

    def _solve(
        self, number: int, solve: Solve, arrays: Mapping[str, Any], scalars: Mapping[str, float]
    ) -> Mapping[str, float]:
        """Goes through an iteration, whose course rank 0 decides."""
        return solve.run(scalars, {name: partial(part, arrays) for name, part in self._solvers[number].items()})


class RanksProgram(_Program):
    """Every rank runs it on its parts."""

    def __init__(self, crew: Team, backend: RanksBackend, layout: Layout, operations: Sequence[Operation]) -> None:
        super().__init__(crew, backend, layout, operations, settle=False)
        self._backend = backend
        self._spaces = [
            _spaces(o) if isinstance(o, list) else _spaces_next(o, operations) if isinstance(o, Host) else {}
            for *_, o in self._sections
        ]

    def __call__(
        self, arrays: Mapping[str, RanksBuffer], scalars: Mapping[str, float] | None = None
    ) -> dict[str, float]:
        scalars, found = dict(scalars or {}), dict[str, float]()
        for (number, names, stretch), spaces in zip(self._sections, self._spaces, strict=True):
            if isinstance(stretch, Host):
                self._call(stretch, arrays, scalars, spaces)
                continue
            if isinstance(stretch, Solve):
                found.update(self._solve(number, stretch, arrays, scalars))
                continue
            assert all(arrays[name].first == 0 for name in names), "components from the first on"
            given = [(name, arrays[name].parts.number, arrays[name].components) for name in names]
            found.update(self._team.do("run", number, given, scalars))
            for name, space in spaces.items():
                arrays[name].parts.space = space
        return found

    def _call(
        self, host: Host, arrays: Mapping[str, RanksBuffer], scalars: Mapping[str, float], spaces: Mapping[str, str]
    ) -> None:
        copies = {name: self._backend.to_host(arrays[name]) for name in host.arrays}
        host.function(copies, scalars)
        for name in host.writes:
            arrays[name].parts.space = spaces.get(name, arrays[name].parts.space)
            self._backend.put(copies[name], arrays[name])


class SharedProgram(_Program):
    """Every rank does tiles of it on arrays that all share."""

    def __init__(self, crew: Team, backend: SharedBackend, layout: Layout, operations: Sequence[Operation]) -> None:
        super().__init__(crew, backend, layout, operations, settle=True)
        self._number_of = backend.number_of

    def __call__(
        self, arrays: Mapping[str, np.ndarray], scalars: Mapping[str, float] | None = None
    ) -> dict[str, float]:
        scalars, found = dict(scalars or {}), dict[str, float]()
        for number, names, stretch in self._sections:
            if isinstance(stretch, Host):
                views = {name: arrays[name].view() for name in names}
                for name in views.keys() - set(stretch.writes):
                    views[name].flags.writeable = False
                stretch.function(views, scalars)
                continue
            if isinstance(stretch, Solve):
                found.update(self._solve(number, stretch, arrays, scalars))
                continue
            given = [(name, self._number_of(arrays[name]), len(arrays[name])) for name in names]
            own = {name: arrays[name] for name in names}
            found.update(self._team.do("run_shared", number, given, scalars, arrays=own))
        return found


def _spaces(operations: Sequence[Operation]) -> dict[str, str]:
    """What arrays hold after operations have written them."""
    found: dict[str, str] = {}
    for operation in operations:
        if isinstance(operation, Transform):
            found[operation.array] = "spectral" if operation.forward else "real"
        elif isinstance(operation, Apply):
            found |= {operation.names.get(a, a): operation.kernel.space for a, _ in operation.kernel.writes}
    return found


def _spaces_next(host: Host, operations: Sequence[Operation]) -> dict[str, str]:
    """What the arrays that a function writes are taken for by whoever reads them next."""
    found: dict[str, str] = {}
    place = next(i for i, operation in enumerate(operations) if operation is host)
    for operation in operations[place + 1 :]:
        for name in set(operation.arrays) & set(host.writes) - set(found):
            if isinstance(operation, Transform):
                found[name] = "real" if operation.forward else "spectral"
            elif isinstance(operation, Apply):
                found[name] = operation.kernel.space
    return found


class RanksBackend:
    """The CPUs of all ranks, each with its part of every array.

    Args:
        precision: ``double`` or ``single``.
        threads: of every rank.
        together: so many ranks read each other's memory; None for all of a machine.
    """

    name = "cpu"
    readback_every = 1
    on_host = True
    in_parts = True

    def __init__(self, precision: Precision = "double", threads: int = 1, together: int | None = None) -> None:
        self._team, self.precision = team(), precision
        self.threads = threads
        self.number = self._team.number()
        weakref.finalize(self, self._team.drop, self.number).atexit = False
        self.description = self._found(threads, together)

    def _found(self, threads: int, together: int | None) -> str:
        """Lets every rank make its own; what they are."""
        self._team.try_to("backend", self.number, self.precision, threads, together)
        return _description(self._team, threads)

    @property
    def dtype(self) -> str:
        return DTYPES[self.precision]

    def buffer(self, layout: Layout, components: int) -> RanksBuffer:
        self._check(layout)
        parts = _Parts(self._team, layout, components)
        self._team.try_to("buffer", parts.number, self.number, layout, components)
        return RanksBuffer(parts, components, np.dtype(self.dtype))

    def _check(self, layout: Layout) -> None:
        """Whether every rank gets a part. Raises ConfigError."""
        ranks, grid = self._team.world.size, layout.grid
        if shares_of(grid, ranks) is None:
            fewer = next(n for n in range(ranks - 1, 0, -1) if shares_of(grid, n) is not None)
            raise ConfigError(
                "grid.shape",
                f"{list(grid.shape)} cannot be parted among {ranks} ranks: each has rows of cells and columns of modes",
                f"start {fewer} of them, with more threads each (threads.cpu)" if fewer > 1 else "start one process",
            )

    def program(self, layout: Layout, operations: Sequence[Operation]) -> RanksProgram:
        self._check(layout)
        return RanksProgram(self._team, self, layout, operations)

    def to_host(self, buffer: RanksBuffer | _Place) -> np.ndarray:
        if isinstance(buffer, _Place):
            parts = buffer.buffer.parts
            return self._team.do("pick", parts.number, parts.space, buffer.index)
        whole = np.empty(buffer.shape, self.dtype)
        for c in range(buffer.components):
            for low, high in _pieces(whole):
                number, space = buffer.parts.number, buffer.parts.space
                self._team.do("fetch", number, c, space, low, high, into=whole[c, low:high])
        return whole

    def from_host(self, array: np.ndarray, buffer: RanksBuffer | _Place) -> None:
        if isinstance(buffer, _Place):  # cells of some rows
            component, rows = buffer.index[:2]
            buffer.buffer.parts.space = "real"
            start, stop, _ = rows.indices(buffer.buffer.shape[1])
            self._team.do("store", buffer.buffer.parts.number, component, "real", start, stop, values=array)
            return
        buffer.parts.space = "spectral"  # a checkpoint's, or constants of modes
        self.put(np.broadcast_to(array, buffer.shape), buffer)

    def put(self, array: np.ndarray, buffer: RanksBuffer) -> None:
        """Hands out an array of the whole, as what the buffer is said to hold."""
        number, space = buffer.parts.number, buffer.parts.space
        for c, component in enumerate(array):
            for low, high in _pieces(array):
                self._team.do("store", number, c, space, low, high, values=component[low:high])

    def copy(self, source: RanksBuffer, target: RanksBuffer) -> None:
        ends = (source.parts.number, source.first), (target.parts.number, target.first)
        self._team.do("copy", *ends, source.components)
        target.parts.space = source.parts.space

    def synchronize(self) -> None:
        pass

    def lend(self, buffer: RanksBuffer) -> Boxes:
        def fetch(box: tuple[slice, ...]) -> np.ndarray:
            return self._team.do("pick", buffer.parts.number, buffer.parts.space, box)

        return Boxes(buffer.shape, buffer.dtype, fetch)

    def snapshot(self, buffer: RanksBuffer) -> Callable[[], np.ndarray]:
        host = self.to_host(buffer)
        return lambda: host

    def transform_memory(self, largest: int, periodic: bool) -> int:
        return 0

    def table_memory(self, layout: Layout, operations: Sequence[Operation]) -> int:
        return 0

    def memory_available(self) -> int:
        return self._team.do("memory")


class SharedBackend(CpuBackend):
    """The CPU of one machine, whose ranks share all arrays.

    Args:
        precision: ``double`` or ``single``.
        threads: of every rank.

    Raises:
        DeviceError: the ranks cannot share memory.
    """

    def __init__(self, precision: Precision = "double", threads: int = 1) -> None:
        super().__init__(precision, threads)
        self._team = team()
        self.description = f"{_description(self._team, threads)}, sharing memory"
        self.number = self._team.number()
        weakref.finalize(self, self._team.drop, self.number).atexit = False
        self._team.try_to("backend", self.number, precision, threads, 0)
        self._numbers: dict[int, int] = {}

    def buffer(self, layout: Layout, components: int) -> np.ndarray:
        number = self._team.number()
        self._team.try_to("buffer", number, self.number, layout, components)
        array: np.ndarray = self._team.own.take(number)
        self._numbers[address(array)] = number
        weakref.finalize(owner(array), self._forget, number, address(array)).atexit = False
        return array

    def _forget(self, number: int, at: int) -> None:
        if self._numbers.get(at) == number:  # else another buffer is there by now
            del self._numbers[at]
        self._team.drop(number)

    def number_of(self, array: np.ndarray) -> int:
        """Of a buffer, or its first components."""
        return self._numbers[address(array)]

    def program(self, layout: Layout, operations: Sequence[Operation]) -> Any:
        return SharedProgram(self._team, self, layout, operations)


class CardsBackend(RanksBackend):
    """The GPUs of all ranks, one each, with its part of every array.

    Args:
        precision: ``double`` or ``single``. together: see `RanksBackend`.

    Raises:
        DeviceError: a rank has no GPU.
    """

    name = "gpu"
    readback_every = 64
    on_host = False

    def _found(self, threads: int, together: int | None) -> str:
        self._team.try_to("card", self.number, self.precision, together)
        return f"{self._team.own.object_of(self.number).description}, {self._team.world.size} ranks with a GPU each"

    def synchronize(self) -> None:
        self._team.do("synchronize", self.number)

    def transform_memory(self, largest: int, periodic: bool) -> int:
        found: int = self._team.own.object_of(self.number).transform_memory(largest, periodic)
        return found

    def memory_available(self) -> int:
        return self._team.do("memory_of_cards", self.number)


def _description(crew: Team, threads: int) -> str:
    return f"{cpu_name()}, {crew.world.size} ranks with {threads} thread{'s' if threads > 1 else ''} each"


def cards_of_ranks(precision: Precision) -> CardsBackend:
    """The backend of all ranks' GPUs. Raises DeviceError."""
    return CardsBackend(precision, together=asked_for()[1])


def backend_of_ranks(precision: Precision, threads: int) -> RanksBackend | SharedBackend:
    """The backend of all ranks: with shared memory where they can have it, unless ``PHASEFIELD_RANKS_EXCHANGE`` is ``alltoall``.

    Raises:
        DeviceError: ``PHASEFIELD_RANKS_EXCHANGE`` is something else, or ``shared`` and they cannot.
    """
    how, together = asked_for()
    if how == "shared" or (how == "auto" and team().machines == 1):
        try:
            return SharedBackend(precision, threads)
        except DeviceError:
            if how == "shared":
                raise
    return RanksBackend(precision, threads, together)


def _pieces(array: np.ndarray) -> list[tuple[int, int]]:
    """Ranges of the outermost index of a component, each of a few megabytes."""
    count = array.shape[1]
    rows = max(1, _AT_ONCE // max(1, int(np.prod(array.shape[2:])) * array.itemsize))
    return [(low, min(low + rows, count)) for low in range(0, count, rows)]
