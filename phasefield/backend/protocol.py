"""What every device offers: arrays, planned in-place transforms, compiled kernels and their reductions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

import numpy as np

from ..codegen import Kernel
from .layout import Layout
from .operations import Operation

Precision = Literal["double", "single"]
DTYPES: dict[Precision, str] = {"double": "float64", "single": "float32"}

#: The device's own arrays: NumPy's on the CPU, CuPy's on a GPU. Whoever is not a backend only hands them on.
Buffer = TypeVar("Buffer")
_Given = TypeVar("_Given", contravariant=True)


class Compiled(Protocol):
    """A kernel bound to a layout."""

    kernel: Kernel
    source: str
    language: str  #: file name extension of the source


class Program(Protocol[_Given]):
    """A sequence of operations planned and compiled as one.

    Called with arrays and scalars by name; returns the reductions of all kernels in it. The arrays must not overlap.
    """

    @property
    def kernels(self) -> Sequence[Compiled]: ...

    def __call__(self, arrays: Mapping[str, _Given], scalars: Mapping[str, float] | None = ...) -> dict[str, float]: ...


class Backend(Protocol[Buffer]):
    """One device."""

    name: str
    description: str
    precision: Precision
    readback_every: int  #: how often (in steps) reading one number back is free of a stall
    on_host: bool  #: whether buffers lie in the host's memory, so that both share what is free
    in_parts: bool  #: whether buffers lie on several hosts: what is lent, or a snapshot, comes in `Boxes`, to this thread alone

    @property
    def dtype(self) -> str: ...

    def buffer(self, layout: Layout, components: int) -> Buffer:
        """A zeroed buffer of `Layout.buffer_shape`."""

    def program(self, layout: Layout, operations: Sequence[Operation]) -> Program[Buffer]: ...

    def to_host(self, buffer: Buffer) -> np.ndarray: ...

    def from_host(self, array: np.ndarray, buffer: Buffer) -> None: ...

    def copy(self, source: Buffer, target: Buffer) -> None: ...

    def synchronize(self) -> None: ...

    def lend(self, buffer: Buffer) -> Any:
        """A buffer on the host to be read before anything changes it: the buffer itself where it is there already."""

    def memory_available(self) -> int:
        """Free bytes on the device."""

    def snapshot(self, buffer: Buffer) -> Callable[[], np.ndarray]:
        """Starts to bring a buffer to the host; what is returned waits for it, in any thread, and gives it.

        The buffer may change at once.
        """

    def transform_memory(self, largest: int, periodic: bool) -> int:
        """Bytes that transforms need beside the buffers, the largest of which has ``largest`` bytes; an estimate."""

    def table_memory(self, layout: Layout, operations: Sequence[Operation]) -> int:
        """Bytes of the arrays of the size of a field that the program of these operations makes for itself."""


def put_cells(backend: Backend[Any], layout: Layout, buffer: Any, rows: slice, values: np.ndarray) -> None:
    """Writes the cells of part of the grid's first axis, shape ``(component, rows, ...)``, into a zeroed buffer."""
    for component, part in enumerate(values):
        if layout.grid.dim == 1:
            staged, target = part.reshape(1, 1, -1).astype(backend.dtype), buffer[component, :, :, rows]
        else:
            cells = part.reshape(part.shape[0], *layout.cells[1:])
            staged, target = np.zeros((*cells.shape[:2], layout.row), backend.dtype), buffer[component, rows]
            staged[..., : layout.cells[2]] = cells
        backend.from_host(staged, target)
