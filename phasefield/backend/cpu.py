"""The CPU: pyFFTW in-place plans and numba-compiled loops, both on the same number of threads.

Loops release the GIL and are split over a plain thread pool along the outermost index. numba's own OpenMP layer is not used:
its threads spin between loops and take the cores from FFTW's (a fixed cost of milliseconds a step), and its other layer cannot
be entered from two threads.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyfftw

from ..codegen import Kernel, digest, loop_source
from .base import DTYPES, Layout, Precision, cache_folder

_R2R = {
    "dct": ("FFTW_REDFT10", "FFTW_REDFT01"),
    "dst": ("FFTW_RODFT10", "FFTW_RODFT01"),
}
_COMBINE: dict[str, Any] = {"sum": np.sum, "min": np.min, "max": np.max}
#: Buffers smaller than this (in cells) are not worth waking a second thread for.
_SERIAL_CELLS = 16384


class CpuBackend:
    """NumPy arrays, pyFFTW transforms, numba kernels.

    Args:
        precision: ``double`` or ``single``.
        threads: threads for transforms and kernels.
    """

    name = "cpu"
    readback_every = 1

    def __init__(self, precision: Precision = "double", threads: int = 1) -> None:
        self.precision: Precision = precision
        self.threads = threads
        self.description = f"{_cpu_name()}, {threads} thread{'s' if threads > 1 else ''}"
        self._pool = ThreadPoolExecutor(max(1, threads - 1), thread_name_prefix="phasefield-kernel")

    @property
    def dtype(self) -> str:
        return DTYPES[self.precision]

    def buffer(self, layout: Layout, components: int) -> np.ndarray:
        return pyfftw.zeros_aligned(layout.buffer_shape(components), self.dtype, n=64)

    def transform(self, layout: Layout, components: int) -> FftwTransform:
        return FftwTransform(self, layout, components)

    def compile(self, kernel: Kernel, layout: Layout) -> LoopKernel:
        return LoopKernel(self, kernel, layout)

    def to_host(self, buffer: np.ndarray) -> np.ndarray:
        return buffer.copy()

    def from_host(self, array: np.ndarray, buffer: np.ndarray) -> None:
        buffer[...] = array

    def copy(self, source: np.ndarray, target: np.ndarray) -> None:
        np.copyto(target, source)

    def synchronize(self) -> None:
        pass

    def memory_available(self) -> int:
        try:
            with open("/proc/meminfo") as info:
                table = dict(line.split(":", 1) for line in info)
            return int(table["MemAvailable"].split()[0]) * 1024
        except (OSError, KeyError):
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    def parallel(self, n: int, cells: int, task: Callable[[int, int], None]) -> None:
        """Calls ``task(lo, hi)`` on contiguous chunks of ``range(n)``, one per thread."""
        chunks = min(self.threads, n) if cells > _SERIAL_CELLS else 1
        edges = [n * i // chunks for i in range(chunks + 1)]
        others = [self._pool.submit(task, lo, hi) for lo, hi in pairwise(edges[1:])]
        task(edges[0], edges[1])
        wait(others)
        for other in others:
            other.result()


class LoopKernel:
    """A kernel compiled by numba for one layout; compiled code is kept in the cache folder."""

    language = "py"

    def __init__(self, backend: CpuBackend, kernel: Kernel, layout: Layout) -> None:
        self.backend, self.kernel = backend, kernel
        mirror = kernel.space == "spectral" and kernel.exponentials and layout.mirrored
        self.source = loop_source(kernel, layout.parts, backend.dtype, mirror)
        self._run = _load(self.source, kernel.name).run
        self._n0, self._n1, self._n2 = layout.extent(kernel.space)
        if mirror:
            self._n0 = self._n0 // 2 + 1
        self._axes = tuple(layout.axis_array(name, backend.dtype) for name in kernel.axis_arrays)
        self._partial = np.empty((len(kernel.reductions), self._n0)) if kernel.reductions else None
        self._cells = self._n0 * self._n1 * self._n2

    def __call__(self, arrays: Mapping[str, Any], scalars: Mapping[str, float] | None = None) -> dict[str, float]:
        kernel = self.kernel
        arguments: tuple[Any, ...] = (
            *(arrays[name] for name in kernel.arrays),
            *self._axes,
            *(float(scalars[name]) for name in kernel.scalars if scalars is not None),
        )
        if self._partial is not None:
            arguments += (self._partial,)
        self.backend.parallel(self._n0, self._cells, lambda lo, hi: self._run(lo, hi, self._n1, self._n2, *arguments))
        if self._partial is None:
            return {}
        # One partial per outermost index: the result is the same for any number of threads.
        rows = zip(kernel.reductions.items(), self._partial, strict=True)
        return {name: float(_COMBINE[r.op](row)) for (name, r), row in rows}


def _allow_alias_checks() -> None:
    """Lets LLVM vectorise loops over many arrays, whose overlap it has to rule out at run time (by default at most 8 pairs)."""
    import llvmlite.binding

    llvmlite.binding.set_option("phasefield", "-runtime-memory-check-threshold=4096")


_allow_alias_checks()


def _load(source: str, name: str) -> ModuleType:
    """Imports generated source from the cache folder (a private temporary folder where that is not writable)."""
    module_name = f"phasefield_kernel_{name}_{digest(source)}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    folder = cache_folder() / "kernels"
    try:
        path = _publish(folder, f"{module_name}.py", source.encode())
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="phasefield-"))
        path = _publish(folder, f"{module_name}.py", source.encode())
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _publish(folder: Path, name: str, content: bytes) -> Path:
    """Writes a cache file atomically unless it exists: among many processes the first one wins and all see its bytes."""
    path = folder / name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{name}.", delete=False) as handle:
            handle.write(content)
        # numba ties compiled code to the file's modification time; a fixed one keeps it valid whoever wrote the file.
        os.utime(handle.name, (1_000_000_000, 1_000_000_000))
        with contextlib.suppress(FileExistsError):
            os.link(handle.name, path)
        os.unlink(handle.name)
    return path


class FftwTransform:
    """In-place transforms of a buffer: r2c/c2r over all axes if periodic, else real-to-real (DCT-II, DST-II, halfcomplex).

    pyFFTW has no halfcomplex transform; the periodic axes of a grid with walls are `_HalfcomplexAxis`.
    """

    def __init__(self, backend: CpuBackend, layout: Layout, components: int) -> None:
        self._layout = layout
        self._axes = tuple(1 + p for p in layout.places)
        self._threads = backend.threads if layout.grid.cells > _SERIAL_CELLS else 1
        self._views: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        key = "-".join(
            str(part)
            for part in (
                *(f"{a.basis}{a.n}" for a in layout.grid.axes),
                f"c{components}",
                backend.dtype,
                f"t{self._threads}",
                digest(f"{_cpu_name()} {pyfftw.fftw_version} {platform.machine()}")[:8],
            )
        )
        self._forward, self._inverse, self._periodic = _plan_once(
            key, lambda: self._plan(backend.buffer(layout, components))
        )

    def _plan(self, buffer: np.ndarray) -> tuple[pyfftw.FFTW, pyfftw.FFTW, list[_HalfcomplexAxis]]:
        real, modes = self._split(buffer)
        options: dict[str, Any] = {"axes": self._axes, "threads": self._threads, "planning_timelimit": 20.0}
        if self._layout.parts == 2:
            return (
                pyfftw.FFTW(real, modes, direction="FFTW_FORWARD", flags=("FFTW_MEASURE",), **options),
                pyfftw.FFTW(
                    modes, real, direction="FFTW_BACKWARD", flags=("FFTW_MEASURE", "FFTW_DESTROY_INPUT"), **options
                ),
                [],
            )
        axes = dict(zip(self._axes, self._layout.grid.axes, strict=True))
        periodic = [_HalfcomplexAxis(buffer, d, self._threads) for d, a in axes.items() if a.basis == "halfcomplex"]
        options["axes"] = tuple(d for d, a in axes.items() if a.basis != "halfcomplex")
        kinds = [_R2R[axes[d].basis] for d in options["axes"]]
        return (
            pyfftw.FFTW(real, modes, direction=tuple(f for f, _ in kinds), flags=("FFTW_MEASURE",), **options),
            pyfftw.FFTW(modes, real, direction=tuple(b for _, b in kinds), flags=("FFTW_MEASURE",), **options),
            periodic,
        )

    def _split(self, buffer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Views of a buffer as cells and as modes."""
        if self._layout.parts == 1:
            return buffer, buffer
        return buffer[..., : self._layout.cells[2]], buffer.view(np.result_type(buffer.dtype, np.complex64))

    def _views_of(self, buffer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        address = buffer.__array_interface__["data"][0]
        if address not in self._views:  # a view keeps its memory alive, so an address cannot be reused meanwhile
            self._views[address] = self._split(buffer)
        return self._views[address]

    def forward(self, buffer: np.ndarray) -> None:
        real, modes = self._views_of(buffer)
        self._forward.update_arrays(real, modes)
        self._forward.execute()
        for axis in self._periodic:
            axis.forward(buffer)

    def inverse(self, buffer: np.ndarray) -> None:
        for axis in self._periodic:
            axis.inverse(buffer)
        real, modes = self._views_of(buffer)
        self._inverse.update_arrays(modes, real)
        self._inverse.execute()


class _HalfcomplexAxis:
    """FFTW's real-to-halfcomplex transform of one axis, by way of a complex one: re_0 .. re_(n/2), im_((n-1)/2) .. im_1."""

    def __init__(self, buffer: np.ndarray, axis: int, threads: int) -> None:
        n = buffer.shape[axis]
        shape = (*buffer.shape[:axis], n // 2 + 1, *buffer.shape[axis + 1 :])
        self._modes = pyfftw.zeros_aligned(shape, np.result_type(buffer.dtype, np.complex64), n=64)
        options = {"axes": (axis,), "threads": threads, "planning_timelimit": 20.0}
        self._forward = pyfftw.FFTW(buffer, self._modes, flags=("FFTW_MEASURE",), **options)
        self._inverse = pyfftw.FFTW(
            self._modes, buffer, direction="FFTW_BACKWARD", flags=("FFTW_MEASURE", "FFTW_DESTROY_INPUT"), **options
        )
        before = (slice(None),) * axis
        self._real = (*before, slice(0, n // 2 + 1))
        self._imaginary = (*before, slice(n - 1, n // 2, -1))
        self._paired = (*before, slice(1, (n + 1) // 2))

    def forward(self, buffer: np.ndarray) -> None:
        self._forward.update_arrays(buffer, self._modes)
        self._forward.execute()
        buffer[self._real] = self._modes.real
        buffer[self._imaginary] = self._modes.imag[self._paired]

    def inverse(self, buffer: np.ndarray) -> None:
        self._modes.real = buffer[self._real]
        self._modes.imag = 0.0
        self._modes.imag[self._paired] = buffer[self._imaginary]
        self._inverse.update_arrays(self._modes, buffer)
        self._inverse.execute()


def _plan_once(key: str, plan: Callable[[], Any]) -> Any:
    """Plans with the wisdom kept for this very problem, so that every process that shares a cache runs the same plan.

    Measured plans differ from process to process and with them the last bits of the result; the first process to finish
    planning publishes its wisdom and all others, also those that were planning meanwhile, adopt it.
    """
    path = cache_folder() / "fftw" / f"{key}.wisdom"
    before = pyfftw.export_wisdom()
    try:
        pyfftw.forget_wisdom()
        if not _import_wisdom(path):
            plans = plan()
            mine = repr(pyfftw.export_wisdom()).encode()
            try:
                _publish(path.parent, path.name, mine)
                if path.read_bytes() == mine:
                    return plans
            except OSError:
                return plans
            pyfftw.forget_wisdom()
            _import_wisdom(path)
        return plan()
    finally:
        pyfftw.import_wisdom(before)


def _import_wisdom(path: Path) -> bool:
    import ast

    try:
        wisdom = ast.literal_eval(path.read_text())
        return all(pyfftw.import_wisdom(wisdom)[:2])
    except (OSError, ValueError, SyntaxError, TypeError):
        return False


def _cpu_name() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
