"""What every device offers: arrays, planned in-place transforms, compiled kernels and their reductions.

This package is the only place that knows which device runs; nothing else imports cupy, pyfftw or numba.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np

from ..codegen import Kernel
from ..errors import DeviceError
from ..grid import AXIS_NAMES, Grid
from .cache import cache_folder

log = logging.getLogger("phasefield")

Precision = Literal["double", "single"]
DTYPES = {"double": "float64", "single": "float32"}


@dataclass(frozen=True)
class Layout:
    """How fields of a grid lie in memory: buffers ``(component, n0, n1, row)`` that hold cells or modes in place.

    Axes are embedded in three dimensions with the first outermost and the last innermost, so that loops, threads and slabs
    always run over index 0. With complex modes a row is padded to ``2*(n2//2 + 1)`` numbers, as in-place transforms need.
    """

    grid: Grid

    @cached_property
    def places(self) -> tuple[int, ...]:
        """Buffer axis (0, 1, 2) of every grid axis."""
        return {1: (2,), 2: (0, 2), 3: (0, 1, 2)}[self.grid.dim]

    def _embed(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        full = [1, 1, 1]
        for place, n in zip(self.places, shape, strict=True):
            full[place] = n
        return full[0], full[1], full[2]

    @cached_property
    def cells(self) -> tuple[int, int, int]:
        return self._embed(self.grid.shape)

    @cached_property
    def modes(self) -> tuple[int, int, int]:
        return self._embed(self.grid.spectral_shape)

    @property
    def parts(self) -> int:
        """Floats per mode."""
        return 2 if self.grid.complex_modes else 1

    @property
    def row(self) -> int:
        return self.parts * self.modes[2]

    def buffer_shape(self, components: int) -> tuple[int, int, int, int]:
        return components, *self.cells[:2], self.row

    @property
    def mirrored(self) -> bool:
        """Whether the outermost spectral axis runs over positive and negative wavenumbers."""
        return self.places[0] == 0 and self.grid.axes[0].basis == "fft"

    def extent(self, space: str) -> tuple[int, int, int]:
        return self.cells if space == "real" else self.modes

    def axis_array(self, name: str, dtype: str) -> np.ndarray:
        """The 1-D array a kernel knows by this name, e.g. ``k20``, ``weight2``, ``x0``, ``above1``."""
        symbol, place = name[:-1], int(name[-1])
        n = self.cells[place]
        axis = dict(zip(self.places, self.grid.axes, strict=True)).get(place)
        if symbol in AXIS_NAMES:
            # A coordinate is the sum over the buffer's axes, of which only its own is not zero.
            own = symbol in self.grid.names and self.places[AXIS_NAMES.index(symbol)] == place
            return axis.centers.astype(dtype) if own and axis is not None else np.zeros(n, dtype)
        if symbol in ("above", "below"):
            step = 1 if symbol == "above" else -1
            neighbours = np.arange(n) + step
            wrap = axis is not None and axis.boundary == "periodic"
            return (neighbours % n if wrap else np.clip(neighbours, 0, n - 1)).astype(np.int32)
        if symbol == "slope":
            return np.full(n, 0.0 if axis is None else 0.5 / axis.spacing, dtype)
        if axis is None:
            return np.full(1, 0.0 if symbol.startswith("k2") else 1.0, dtype)
        if symbol.startswith("k2") and symbol[2:]:  # of the grid's axis of this name alone
            own = symbol[2:] in self.grid.names and self.places[AXIS_NAMES.index(symbol[2:])] == place
            return axis.k2.astype(dtype) if own else np.zeros(axis.k2.size, dtype)
        return np.asarray(getattr(axis, symbol), dtype)


@dataclass(frozen=True)
class Run:
    """One pass of a kernel. ``names`` says what a kernel's array is called in the program, where that differs."""

    kernel: Kernel
    names: Mapping[str, str] = field(default_factory=dict)

    def name(self, array: str) -> str:
        return self.names.get(array, array)


@dataclass(frozen=True)
class Forward:
    """Cells to modes of the first ``components`` of an array, in place and not normalised."""

    array: str
    components: int


@dataclass(frozen=True)
class Inverse:
    """Modes to cells, in place and not normalised."""

    array: str
    components: int


Operation = Run | Forward | Inverse


def traffic(layout: Layout, operations: Sequence[Operation]) -> int:
    """Real fields that operations read or write in the device's memory, if every pass goes through it.

    A kernel reads and writes every array component it uses once. A transform reads and writes its components once per axis.
    Not counted: padding, 1-D arrays, partial reductions, and what a transform's library moves beyond that.
    """
    total = 0
    for operation in operations:
        if isinstance(operation, Run):
            total += operation.kernel.touches
        else:
            total += 2 * layout.grid.dim * operation.components
    return total


class Compiled(Protocol):
    """A kernel bound to a layout."""

    kernel: Kernel
    source: str
    language: str  #: file name extension of the source


class Program(Protocol):
    """A sequence of operations planned and compiled as one.

    Called with arrays and scalars by name; returns the reductions of all kernels in it.
    """

    @property
    def kernels(self) -> Sequence[Compiled]: ...

    def __call__(self, arrays: Mapping[str, Any], scalars: Mapping[str, float] = ...) -> dict[str, float]: ...


class Backend(Protocol):
    """One device."""

    name: str
    description: str
    precision: Precision
    readback_every: int  #: how often (in steps) reading one number back is free of a stall

    @property
    def dtype(self) -> str: ...

    def buffer(self, layout: Layout, components: int) -> Any:
        """A zeroed buffer of `Layout.buffer_shape`."""

    def program(self, layout: Layout, operations: Sequence[Operation]) -> Program: ...

    def to_host(self, buffer: Any) -> np.ndarray: ...

    def from_host(self, array: np.ndarray, buffer: Any) -> None: ...

    def copy(self, source: Any, target: Any) -> None: ...

    def synchronize(self) -> None: ...

    def lend(self, buffer: Any) -> np.ndarray:
        """A buffer on the host to be read before anything changes it: the buffer itself where it is there already."""

    def memory_available(self) -> int:
        """Free bytes on the device."""

    def snapshot(self, buffer: Any) -> Callable[[], np.ndarray]:
        """Starts to bring a buffer to the host; what is returned waits for it, in any thread, and gives it.

        The buffer may change at once.
        """

    def transform_memory(self, largest: int, periodic: bool) -> int:
        """Bytes that transforms need beside the buffers, the largest of which has ``largest`` bytes; an estimate."""

    def table_memory(self, layout: Layout, operations: Sequence[Operation]) -> int:
        """Bytes of the arrays of the size of a field that the program of these operations makes for itself."""


def cells_of(layout: Layout, host: np.ndarray) -> np.ndarray:
    """View of a host buffer's cells, shape ``(component, *grid.shape)``."""
    return host[..., : layout.cells[2]].reshape(host.shape[0], *layout.grid.shape)


def put_cells(backend: Backend, layout: Layout, buffer: Any, rows: slice, values: np.ndarray) -> None:
    """Writes the cells of part of the grid's first axis, shape ``(component, rows, ...)``, into a zeroed buffer."""
    for component, part in enumerate(values):
        if layout.grid.dim == 1:
            staged, target = part.reshape(1, 1, -1).astype(backend.dtype), buffer[component, :, :, rows]
        else:
            cells = part.reshape(part.shape[0], *layout.cells[1:])
            staged, target = np.zeros((*cells.shape[:2], layout.row), backend.dtype), buffer[component, rows]
            staged[..., : layout.cells[2]] = cells
        backend.from_host(staged, target)


#: More threads than any machine has cores for; the attempt to start them would end the process.
MOST_THREADS = 1024


def cpu_threads(requested: int | None = None) -> int:
    """Threads to use: as asked, else OMP_NUM_THREADS, else Slurm's cpus-per-task, else the cores this process may use.

    Raises:
        DeviceError: more than `MOST_THREADS`.
    """
    asked = {"threads.cpu": str(requested or "")}
    asked |= {name: os.environ.get(name, "").split(",")[0] for name in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK")}
    for name, value in asked.items():
        if value.isdigit() and int(value) > 0:
            if int(value) > MOST_THREADS:
                raise DeviceError(
                    f"{name}: is {value}; at most {MOST_THREADS} threads are started\n  set threads.cpu=N"
                )
            return int(value)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpu_wanted(device: str) -> bool:
    """Whether ``device`` = ``auto``, ``cpu`` or ``gpu`` means a GPU here.

    Raises:
        DeviceError: ``gpu`` was asked for and there is none, or CuPy is missing.
    """
    if device == "cpu":
        return False
    from .cuda import why_unavailable

    reason = why_unavailable()
    if reason is None:
        return True
    if device == "gpu":
        raise DeviceError(
            f"device=gpu: {reason}\n  Use device=cpu, or device=auto to take a GPU only where there is one."
        )
    _say(reason)
    return False


def _tell_once(text: str) -> None:
    """Logs what will not change before the machine does: for people once, in detailed logs always."""
    told = cache_folder() / "told" / platform.node()
    known = False
    with contextlib.suppress(OSError, ValueError):  # a damaged file tells nothing
        known = told.is_file() and told.read_bytes() == text.encode()
        if not known:
            told.parent.mkdir(parents=True, exist_ok=True)
            told.write_text(text)
    log.log(logging.DEBUG if known else logging.INFO, text)


@functools.cache
def _say(reason: str) -> None:
    """Tells why ``auto`` is the CPU: loudly if somebody has installed CuPy, which is for a GPU, and not hidden the GPUs."""
    from .cuda_errors import installed

    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1")
    text = f"no GPU: {reason}; running on the CPU"
    if installed() and not hidden:
        log.warning("%s", text)
    else:
        _tell_once(text)


def select(device: str, precision: Precision, threads: int | None = None) -> Backend:
    """The backend for ``device`` = ``auto``, ``cpu`` or ``gpu``.

    Raises:
        DeviceError: ``gpu`` was asked for and there is none, or CuPy is missing.
    """
    if gpu_wanted(device):
        from .cuda import CudaBackend

        return CudaBackend(precision)
    from .cpu import CpuBackend

    return CpuBackend(precision, cpu_threads(threads))
