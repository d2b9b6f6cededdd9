"""A backend whose arrays lie in parts on several ranks."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..cpu_plans import cpu_name
from ..layout import Layout
from ..operations import Apply, Host, Operation, Transform, names_of
from ..protocol import DTYPES, Compiled, Precision
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

    def __init__(self, parts: _Parts, components: int, dtype: np.dtype[Any]) -> None:
        self.parts, self.components, self.dtype = parts, components, dtype
        self.shape = parts.layout.buffer_shape(components)

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            start, stop, step = key.indices(self.components)
            assert (start, step) == (0, 1), "components from the first on"
            return RanksBuffer(self.parts, stop, self.dtype)
        return _Place(self, key)


class _Place:
    """Somewhere in a buffer."""

    def __init__(self, buffer: RanksBuffer, index: tuple[Any, ...]) -> None:
        self.buffer, self.index = buffer, index


class RanksProgram:
    """A program that every rank runs on its parts; functions on the host are called here, between two stretches of it."""

    def __init__(self, crew: Team, backend: RanksBackend, layout: Layout, operations: Sequence[Operation]) -> None:
        self._team, self._backend = crew, backend
        self._stretches: list[tuple[int, list[str], dict[str, str]] | tuple[Host, dict[str, str]]] = []
        self.kernels: list[Compiled] = []
        stretch: list[Operation] = []
        for place, operation in enumerate([*operations, None]):
            if operation is not None and not isinstance(operation, Host):
                stretch.append(operation)
                continue
            if stretch:
                self._add(layout, stretch)
                stretch = []
            if operation is not None:
                self._stretches.append((operation, _spaces_next(operation, operations[place + 1 :])))

    def _add(self, layout: Layout, operations: list[Operation]) -> None:
        number = self._team.number()
        weakref.finalize(self, self._team.drop, number).atexit = False
        self._team.try_to("program", number, self._backend.number, layout, operations)
        self.kernels += self._team.own.program_of(number).kernels
        self._stretches.append((number, names_of(operations), _spaces(operations)))

    def __call__(
        self, arrays: Mapping[str, RanksBuffer], scalars: Mapping[str, float] | None = None
    ) -> dict[str, float]:
        scalars, found = dict(scalars or {}), dict[str, float]()
        for stretch in self._stretches:
            if isinstance(stretch[0], Host):
                self._call(stretch[0], arrays, scalars, stretch[1])
                continue
            number, names, spaces = stretch
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


def _spaces(operations: Sequence[Operation]) -> dict[str, str]:
    """What arrays hold after operations have written them."""
    found: dict[str, str] = {}
    for operation in operations:
        if isinstance(operation, Transform):
            found[operation.array] = "spectral" if operation.forward else "real"
        elif isinstance(operation, Apply):
            found |= {operation.names.get(a, a): operation.kernel.space for a, _ in operation.kernel.writes}
    return found


def _spaces_next(host: Host, later: Sequence[Operation]) -> dict[str, str]:
    """What the arrays that a function writes are taken for by whoever reads them next."""
    found: dict[str, str] = {}
    for operation in later:
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
    """

    name = "cpu"
    readback_every = 1
    on_host = True

    def __init__(self, precision: Precision = "double", threads: int = 1) -> None:
        self._team, self.precision = team(), precision
        self.threads = threads
        ranks = self._team.world.size
        self.description = f"{cpu_name()}, {ranks} ranks with {threads} thread{'s' if threads > 1 else ''} each"
        self.number = self._team.number()
        weakref.finalize(self, self._team.drop, self.number).atexit = False
        self._team.try_to("backend", self.number, precision, threads)

    @property
    def dtype(self) -> str:
        return DTYPES[self.precision]

    def buffer(self, layout: Layout, components: int) -> RanksBuffer:
        parts = _Parts(self._team, layout, components)
        self._team.try_to("buffer", parts.number, self.number, layout, components)
        return RanksBuffer(parts, components, np.dtype(self.dtype))

    def program(self, layout: Layout, operations: Sequence[Operation]) -> RanksProgram:
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
        self._team.do("copy", source.parts.number, target.parts.number, source.components)
        target.parts.space = source.parts.space

    def synchronize(self) -> None:
        pass

    def lend(self, buffer: RanksBuffer) -> np.ndarray:
        return self.to_host(buffer)

    def snapshot(self, buffer: RanksBuffer) -> Callable[[], np.ndarray]:
        host = self.to_host(buffer)
        return lambda: host

    def transform_memory(self, largest: int, periodic: bool) -> int:
        return 0

    def table_memory(self, layout: Layout, operations: Sequence[Operation]) -> int:
        return 0

    def memory_available(self) -> int:
        return self._team.do("memory")


def _pieces(array: np.ndarray) -> list[tuple[int, int]]:
    """Ranges of the outermost index of a component, each of a few megabytes."""
    count = array.shape[1]
    rows = max(1, _AT_ONCE // max(1, int(np.prod(array.shape[2:])) * array.itemsize))
    return [(low, min(low + rows, count)) for low in range(0, count, rows)]
