"""The CPU: FFTW plans and compiled loops over tiles that stay in cache, on threads of our own.

A transform over several axes is two passes over memory: one over the rows of each outermost index, one over the columns along
the outermost axis. A program puts what works on the same rows into one pass: rows go to cells, through the pointwise kernel
and back while they are in cache, so a step needs fewer passes than the two transforms it contains need by themselves.
FFTW's own threads and OpenMP's are not used: waking them costs more than a pass over a small grid, and OpenMP's spin on the cores
FFTW wants.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..codegen import table_values
from ..errors import DeviceError
from .cpu_kernels import mirrored, table_shape
from .cpu_plans import Plans, cpu_name, span_of
from .cpu_programs import CpuProgram, Exchange
from .layout import Layout
from .memory import host_memory_available
from .operations import Operation, kernels_of
from .protocol import DTYPES, Precision
from .workers import Workers, workers

#: Jobs on fewer cells than this are not worth another thread's while.
_SERIAL_CELLS = 2048
#: Numbers in a page of memory, and how far into a page a component begins after the one before.
_PAGE, _SKEW = 1024, 48


class CpuBackend:
    """NumPy arrays, FFTW transforms, compiled kernels.

    Args:
        precision: ``double`` or ``single``.
        threads: threads for transforms and kernels.
    """

    name = "cpu"
    readback_every = 1
    on_host = True
    in_parts = False

    def __init__(self, precision: Precision = "double", threads: int = 1) -> None:
        self.precision: Precision = precision
        self.threads = threads
        self.description = f"{cpu_name()}, {threads} thread{'s' if threads > 1 else ''}"
        self._plans: dict[tuple[Layout, int, int, str], Plans] = {}

    @property
    def dtype(self) -> str:
        return DTYPES[self.precision]

    #: Whether lean arrays are.
    leans = True

    def buffer(self, layout: Layout, components: int) -> np.ndarray:
        return self._laid_out(layout, components, self.zeros)

    def _laid_out(
        self, layout: Layout, components: int, zeros: Callable[[int, np.dtype[Any]], np.ndarray]
    ) -> np.ndarray:
        shape = layout.buffer_shape(components)
        size = math.prod(shape[1:])
        # Components a multiple of a page apart would compete for the same places in the cache.
        apart = size + (_SKEW - size % _PAGE) % _PAGE if components > 1 else size
        flat = zeros(components * apart, np.dtype(self.dtype))
        return flat.reshape(components, apart)[:, :size].reshape(shape)

    def zeros(self, count: int, dtype: np.dtype[Any]) -> np.ndarray:
        """Zeros that begin where a cache line does and take memory only when they are touched.

        Raises:
            DeviceError: the system gives no more memory.
        """
        return _zeros(count, dtype)

    def program(self, layout: Layout, operations: Sequence[Operation]) -> CpuProgram:
        def plans(layout: Layout, components: int, dtype: str) -> Plans:
            return self.plans(layout, components, dtype=dtype)

        crew, exchange = self.crew(layout), self.exchange(layout)
        lean = DTYPES["single"] if self.leans else self.dtype
        return CpuProgram(layout, operations, self.dtype, lean, crew, plans, exchange)

    def crew(self, layout: Layout) -> Workers:
        """The threads for programs on a layout."""
        return workers(self.threads if layout.grid.cells > _SERIAL_CELLS else 1)

    def exchange(self, layout: Layout) -> Exchange | None:
        """What connects the parts of a layout."""
        return None

    def plans(self, layout: Layout, components: int, together: int = 1, dtype: str = "") -> Plans:
        """Transform plans for tiles of rows of ``components``, and of columns of ``together`` components.

        Args:
            dtype: of the numbers, if not that of the backend. Tiles are as large as if they were.
        """
        key = layout, span_of(layout, components, self.dtype), together, dtype or self.dtype
        if key not in self._plans:
            self._plans[key] = self.make_plans(layout, self._laid_out(layout, 1, _zeros), *key[1:])
        return self._plans[key]

    def make_plans(self, layout: Layout, work: np.ndarray, span: int, together: int, dtype: str) -> Plans:
        """See `Plans`."""
        return Plans(dtype, work, layout, span, together)

    def to_host(self, buffer: np.ndarray) -> np.ndarray:
        return buffer.copy()

    def from_host(self, array: np.ndarray, buffer: np.ndarray) -> None:
        buffer[...] = array

    def copy(self, source: np.ndarray, target: np.ndarray) -> None:
        np.copyto(target, source)

    def synchronize(self) -> None:
        pass

    def lend(self, buffer: np.ndarray) -> np.ndarray:
        return buffer

    def snapshot(self, buffer: np.ndarray) -> Callable[[], np.ndarray]:
        host = buffer.copy()
        return lambda: host

    def transform_memory(self, largest: int, periodic: bool) -> int:
        return 0

    def table_memory(self, layout: Layout, operations: Sequence[Operation]) -> int:
        kernels = [k for k in kernels_of(operations) if mirrored(k, layout)]
        values = sum(math.prod(table_shape(k, layout, table_values(k, True, layout.places))) for k in kernels)
        return values * np.dtype(self.dtype).itemsize

    def memory_available(self) -> int:
        return host_memory_available()


def _zeros(count: int, dtype: np.dtype[Any]) -> np.ndarray:
    line = 64
    try:
        raw = np.zeros(count * dtype.itemsize + line, np.uint8)
    except MemoryError as error:
        raise DeviceError(
            f"grid.shape: the system gives no more memory ({count * dtype.itemsize / 2**30:.3g} GiB were asked for)\n"
            "  Use fewer cells, precision=single, or a scheme with fewer stages; or raise the limit (ulimit -v)."
        ) from error
    start = -raw.ctypes.data % line
    return raw[start : start + count * dtype.itemsize].view(dtype)
