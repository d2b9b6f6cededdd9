"""Programs on the GPU: kernels and transforms queued in order, and as one graph once they repeat."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..codegen import Kernel, assign_source, cuda_scalars, cuda_source, embedded, reduce_source
from .cuda_device import CudaDevice, DeviceArray, Graph, PlannedTransform, Stream
from .cuda_errors import first_line, of_cupy, on_stream
from .layout import Layout
from .operations import Apply, Host, Operation, Solve, Transform, cells_beyond, modes_beyond, names_of

log = logging.getLogger("phasefield")

#: Threads per block.
BLOCK = 256
#: Blocks that share the second stage of a reduction; the host combines their results.
_PARTS = 32
#: Scalars that one launch brings to the device at most.
_CHUNK = 32
#: Bindings whose graphs are kept. Steps rotate their buffers of u and of N, two and five for adaptive etdms4: ten bindings.
_GRAPHS = 32


class CudaKernel:
    """A kernel compiled for one layout.

    Attributes:
        scalars: names of the scalars it reads. rows: number of reductions. cells: what it visits.
    """

    language = "cu"

    def __init__(self, backend: CudaDevice, kernel: Kernel, layout: Layout) -> None:
        self.kernel, self.scalars, self.rows = kernel, cuda_scalars(kernel), len(kernel.reductions)
        extent = layout.extent(kernel.space)
        self.cells = math.prod(extent)
        kernel = embedded(kernel, layout.places, layout.parts)
        lengths, apart = layout.lengths(kernel.space), math.prod(layout.buffer_shape(1))
        self.source = cuda_source(kernel, layout.parts, backend.dtype, extent, lengths, apart)
        self.function = backend.function(self.source, kernel.name)
        self._axes = [backend.array(layout.axis_array(name, backend.dtype)) for name in kernel.axis_arrays]
        self.blocks = backend.blocks(self.function, BLOCK, self.cells, summing=bool(self.rows))

    @property
    def registers(self) -> int:
        """Registers of a thread."""
        return int(self.function.num_regs)

    def launch(self, arrays: Sequence[DeviceArray], scalars: DeviceArray, partial: DeviceArray | None) -> None:
        """Queues the kernel; every thread leaves its part of the reductions in ``partial``."""
        arguments: list[DeviceArray | None] = [*arrays, *self._axes]
        if self.scalars:
            arguments.append(scalars)
        if self.rows:
            arguments.append(partial)
        self.function((self.blocks,), (BLOCK,), tuple(arguments))


class Scalars:
    """Numbers in device memory, from where a recorded launch reads new values each time.

    A kernel writes them, out of its arguments, which the driver copies while it queues the launch: the host keeps nothing for it
    and may go on changing them. The stream runs it after the launches queued earlier, which read the old values, and before later
    ones. A copy from host memory would have to leave its source alone until it has run, or make the host wait for it.
    """

    def __init__(self, backend: CudaDevice, names: Sequence[str]) -> None:
        self._names = names
        self._values = np.zeros(len(names), backend.dtype)
        self.device = backend.array(self._values.copy())
        # An argument takes the host about as long as ten numbers compared: a launch brings no more than there are.
        self._chunks = []
        for at in range(0, len(names), _CHUNK):
            chunk = slice(at, min(at + _CHUNK, len(names)))
            assign = backend.function(assign_source(backend.dtype, chunk.stop - at), "assign")
            self._chunks.append((chunk, assign, self.device[chunk]))

    def set(self, values: Mapping[str, float]) -> None:
        """Queues the change to new values, if they are new."""
        new = np.array([values[name] for name in self._names], self._values.dtype)
        if new.tobytes() == self._values.tobytes():
            return
        for chunk, assign, device in self._chunks:
            if new[chunk].tobytes() != self._values[chunk].tobytes():
                assign((1,), (1,), (device, *new[chunk]))
        self._values = new


class Recorder:
    """Launches that repeat as CUDA graphs: recorded when a binding of arrays comes the second time, replayed from then on.

    The first time runs plainly, which also loads whatever the driver loads on first use. Where the driver refuses to record,
    launches stay plain.
    """

    def __init__(self, stream: Stream, recording: bool = True) -> None:
        self.stream, self.recording = stream, recording
        self.graphs: dict[Hashable, Graph | None] = {}

    def run(self, key: Hashable, queue: Callable[[], None]) -> None:
        """Queues what ``queue`` queues; ``key`` tells the addresses and all numbers that launches get as arguments."""
        graph = self._graph(key, queue) if self.recording else None
        if graph is None:
            queue()
        else:
            graph.launch(self.stream)

    def _graph(self, key: Hashable, queue: Callable[[], None]) -> Graph | None:
        if key not in self.graphs:
            if len(self.graphs) >= _GRAPHS:
                del self.graphs[next(iter(self.graphs))]
            self.graphs[key] = None
        elif self.graphs[key] is None:
            self.graphs[key] = self._record(queue)
        return self.graphs[key]

    def _record(self, queue: Callable[[], None]) -> Graph | None:
        try:
            self.stream.begin_capture()
            try:
                queue()
            finally:
                graph = self.stream.end_capture()
            return graph
        except Exception as error:
            if not of_cupy(error):
                raise
            log.warning("the GPU's driver records no graph (%s); going on with plain launches", first_line(error))
            self.recording = False
            return None


#: What queues an operation on arrays, given the scalars.
_Step = Callable[[Mapping[str, DeviceArray], Mapping[str, float]], None]


class CudaProgram:
    """Operations queued in order, and as one graph once they repeat.

    A recording holds addresses alone: of the arrays, which are there whenever the binding is, and of what the program and its
    transforms own. Nothing is planned or allocated meanwhile. Transforms through CuPy allocate, and functions on the host are
    waited for, so programs with those are never recorded; nor are those of a part, which others are waited for in.
    """

    def __init__(self, backend: CudaDevice, layout: Layout, operations: Sequence[Operation]) -> None:
        self.stream, self.operations = backend.stream, list(operations)
        self._backend = backend
        own = [CudaKernel(backend, o.kernel, layout.flipped(o.flips)) for o in operations if isinstance(o, Apply)]
        self.kernels = list(own)
        self._scalars = Scalars(backend, [name for k in own for name in k.scalars])
        self._prepare_reductions()
        self._told: dict[str, float] = {}
        self._steps: list[_Step] = []
        scalar = row = 0
        kernels = iter(own)
        for operation in operations:
            if isinstance(operation, Apply):
                kernel = next(kernels)
                partial = self._partial[row : row + kernel.rows] if kernel.rows else None
                self._steps += self._brought(operation, layout)
                self._steps.append(self._launch(kernel, operation.arrays, self._scalars.device[scalar:], partial))
                scalar, row = scalar + len(kernel.scalars), row + kernel.rows
            elif isinstance(operation, Host):
                self._steps.append(self._call(operation))
            elif isinstance(operation, Solve):
                parts = {name: CudaProgram(backend, layout, part) for name, part in operation.parts.items()}
                self.kernels += [k for part in parts.values() for k in part.kernels]
                self._steps.append(self._solve(operation, parts))
            else:
                plans = backend.transform(layout.flipped(operation.flips), operation.components)
                self._steps.append(self._transform(plans, operation))
        self._names = names_of(operations)
        alone = layout.part is None and layout.parts == 2 and not any(isinstance(o, Host | Solve) for o in operations)
        self._recorder = Recorder(self.stream, backend.graphs and alone)

    def _prepare_reductions(self) -> None:
        """One second stage for all: it costs a launch, which small grids are bound by."""
        summing = [k for k in self.kernels if k.rows]
        self._reductions = [(name, r.op) for k in summing for name, r in k.kernel.reductions.items()]
        if not summing:
            return
        blocks = min(k.blocks for k in summing)
        for kernel in summing:
            kernel.blocks = blocks
        rows, backend = len(self._reductions), self._backend
        self._partial = backend.array(np.zeros((rows, blocks * BLOCK)))
        self._total = backend.array(np.zeros((rows, _PARTS)))
        self._found = backend.pinned((rows, _PARTS), "float64")
        self._reduce = backend.function(reduce_source([op for _, op in self._reductions], BLOCK, _PARTS), "reduce")
        kinds: dict[str, Any] = {"sum": np.add, "min": np.minimum, "max": np.maximum}
        self._combine = []
        for op, function in kinds.items():
            if at := [i for i, (_, other) in enumerate(self._reductions) if other == op]:
                some: Any = at if len(at) < len(self._reductions) else slice(None)
                self._combine.append((function.reduce, some, [self._reductions[i][0] for i in at]))
        self._names_found = [name for name, _ in self._reductions]

    @property
    def reductions(self) -> list[tuple[str, str]]:
        """Name and operation of every reduction: ``sum``, ``min`` or ``max``."""
        return list(self._reductions)

    def _brought(self, operation: Apply, layout: Layout) -> list[_Step]:
        """What fetches what a pass looks at beyond the ends of a part."""

        def step(move: Callable[[DeviceArray], None], array: str, component: int) -> _Step:
            return lambda arrays, _: move(arrays[array][component])

        wanted = {"real": cells_beyond(operation, layout), "spectral": modes_beyond(operation, layout)}
        return [
            step(self._backend.neighbours(layout, space), array, component)
            for space, places in wanted.items()
            for array, component in places
        ]

    @staticmethod
    def _launch(kernel: CudaKernel, names: Sequence[str], device: DeviceArray, partial: DeviceArray | None) -> _Step:
        return lambda arrays, _: kernel.launch([arrays[name] for name in names], device, partial)

    def _call(self, host: Host) -> _Step:
        """A function on copies of the arrays; the device is waited for before it and after it."""
        backend = self._backend

        def step(arrays: Mapping[str, DeviceArray], scalars: Mapping[str, float]) -> None:
            copies = {name: backend.to_host(arrays[name]) for name in host.reads}
            for name in copies.keys() - set(host.writes):
                copies[name].flags.writeable = False
            for name in host.writes:
                copies.setdefault(name, np.zeros(arrays[name].shape, backend.dtype))
            host.function(copies, scalars)
            for name in host.writes:
                backend.from_host(copies[name], arrays[name])

        return step

    def _solve(self, solve: Solve, parts: Mapping[str, CudaProgram]) -> _Step:
        """An iteration; each of its parts is a program, recorded by itself."""

        def step(arrays: Mapping[str, DeviceArray], scalars: Mapping[str, float]) -> None:
            self._told |= solve.run(scalars, {name: partial(part, arrays) for name, part in parts.items()})

        return step

    @staticmethod
    def _transform(plans: PlannedTransform, operation: Transform) -> _Step:
        execute = plans.forward if operation.forward else plans.inverse

        def step(arrays: Mapping[str, DeviceArray], _: Mapping[str, float]) -> None:
            array = arrays[operation.array]
            execute(array if len(array) == operation.components else array[: operation.components])

        return step

    @on_stream
    def __call__(
        self, arrays: Mapping[str, DeviceArray], scalars: Mapping[str, float] | None = None
    ) -> dict[str, float]:
        scalars = scalars or {}
        self._scalars.set(scalars)
        key = tuple([self._backend.address(arrays[name]) for name in self._names])
        self._recorder.run(key, lambda: self._queue(arrays, scalars))
        found = self._reduced() if self._reductions else {}
        return found | self._told if self._told else found

    def _queue(self, arrays: Mapping[str, DeviceArray], scalars: Mapping[str, float]) -> None:
        for step in self._steps:
            step(arrays, scalars)
        if self._reductions:
            count = np.int32(self._partial.shape[1])
            self._reduce((len(self._reductions) * _PARTS,), (BLOCK,), (self._partial, self._total, count))

    def _reduced(self) -> dict[str, float]:
        """The reductions; the only place where a program waits for the device."""
        self._backend.fetch(self._total, self._found)
        self.stream.synchronize()
        found: dict[str, float] = {}
        for reduce, rows, names in self._combine:
            found |= zip(names, reduce(self._found[rows], axis=1).tolist(), strict=True)
        return found if len(self._combine) == 1 else {name: found[name] for name in self._names_found}
