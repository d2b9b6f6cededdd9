"""The driver's part on host memory: launches of the very kernel text, compiled by g++, streams, graphs, and cuFFT's plans.

Hostile where CUDA is: plans destroy their complex input, padding comes back as NaN, threads run backwards, and nothing queued in
a stream happens before somebody waits for it. A graph replays the very addresses and arguments it was recorded with.
"""

from __future__ import annotations

import collections
import ctypes
import importlib.util
import math
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft

from phasefield.backend.cache import cache_folder, digest

HAS_COMPILER = shutil.which("g++") is not None

#: Of <cmath> what kernels use: reading the whole takes a compiler longer than most kernels do.
_FUNCTIONS = ("exp", "log", "sin", "cos", "tanh", "sqrt", "fabs", "pow")
_HEADER = """\
#define __global__
#define __device__
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static
#define INFINITY __builtin_inf()
#define PHASE for (threadIdx.x = blockDim.x; threadIdx.x-- > 0;)
static struct { unsigned x; } blockIdx, threadIdx, blockDim, gridDim;
""" + "".join(
    f"static inline {real} {name}({', '.join(f'{real} {x}' for x in 'xy'[: 1 + (name == 'pow')])}) "
    f"{{ return __builtin_{name}{end}({', '.join('xy'[: 1 + (name == 'pow')])}); }}\n"
    for name in _FUNCTIONS
    for real, end in (("double", ""), ("float", "f"))
)
# Bsymbolic, for a kernel named like a function of the C library (step) must not call that instead.
_OPTIONS = (
    "-O1",
    "-Wl,-Bsymbolic",
    "-shared",
    "-fPIC",
    "-std=c++17",
    "-fno-strict-aliasing",
    "-Wall",
    "-Wno-unknown-pragmas",
    "-Werror=conversion-null",
)


def signature(source: str) -> list[tuple[str, str]]:
    """Type and name of every argument of the kernel."""
    found = re.search(r'extern "C" __global__ void \w+\((.*?)\) \{', source)
    assert found
    arguments = (a.replace("const ", "").replace("__restrict__ ", "").rsplit(" ", 1) for a in found[1].split(", "))
    return [(kind, name) for kind, name in arguments]


def pointer(array: Any) -> int:
    return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr


def host_view(array: Any) -> np.ndarray:
    """A NumPy view of the host memory under a NumPy or CuPy array."""
    if isinstance(array, np.ndarray):
        return array
    span = sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)) + array.dtype.itemsize
    memory = (ctypes.c_char * span).from_address(pointer(array))
    return np.ndarray(array.shape, array.dtype, memory, strides=array.strides)


def device_view(host: np.ndarray) -> Any:
    """A CuPy array over the memory of a NumPy array, or that array where CuPy is missing."""
    if importlib.util.find_spec("cupy") is None:
        return host
    import cupy

    memory = cupy.cuda.UnownedMemory(host.ctypes.data, host.nbytes, host, 0)
    return cupy.ndarray(host.shape, host.dtype, cupy.cuda.MemoryPointer(memory, 0))


class HostStream:
    """A stream whose work is done when somebody waits for it and not before, in whichever thread that is."""

    _here = threading.local()
    _lock = threading.RLock()

    def __init__(self) -> None:
        self._queue: collections.deque[Callable[[], None]] = collections.deque()
        self.queued = self.done = 0
        self._recorded: list[Callable[[], None]] | None = None
        self.graphs: list[HostGraph] = []

    def __enter__(self) -> HostStream:
        self._here.stack = [*getattr(self._here, "stack", []), self]
        return self

    def __exit__(self, *_: object) -> None:
        assert self._here.stack.pop() is self

    @classmethod
    def current(cls) -> HostStream:
        stack = getattr(cls._here, "stack", [])
        assert stack, "work on the default stream, which waits for no other"
        return stack[-1]

    def submit(self, action: Callable[[], None]) -> None:
        if self._recorded is not None:
            self._recorded.append(action)
            return
        with self._lock:
            self._queue.append(action)
            self.queued += 1

    def run_until(self, count: int) -> None:
        with self._lock:
            while self.done < count:
                self.done += 1
                self._queue.popleft()()

    def synchronize(self) -> None:
        assert self._recorded is None, "waiting while a graph is recorded"
        self.run_until(self.queued)

    def wait_event(self, event: HostEvent) -> None:
        self.submit(event.synchronize)

    def begin_capture(self) -> None:
        assert self._recorded is None
        self._recorded = []

    def end_capture(self) -> HostGraph:
        assert self._recorded is not None
        self.graphs.append(HostGraph(self._recorded))
        self._recorded = None
        return self.graphs[-1]


class HostEvent:
    """Is reached when its stream has done what was queued before it was recorded."""

    def record(self, stream: HostStream) -> None:
        self._stream, self._count = stream, stream.queued

    def synchronize(self) -> None:
        self._stream.run_until(self._count)


class HostGraph:
    """Recorded calls."""

    def __init__(self, actions: list[Callable[[], None]]) -> None:
        self.actions, self.launches = actions, 0

    def launch(self, stream: HostStream) -> None:
        self.launches += 1
        for action in self.actions:
            stream.submit(action)


class HostFunction:
    """Calls a kernel for every thread of a launch, last thread first; threads of a block in step where they share memory."""

    num_regs = 40

    def __init__(self, source: str, name: str) -> None:
        self.arguments = signature(source)
        real = np.float64 if "typedef double real;" in source else np.float32
        self.types = {"real*": real, "double*": np.float64, "int*": np.int32, "long long*": np.int64}
        self.types |= {"real": real, "double": np.float64, "int": np.int32}
        declared = re.search(rf"void {name}\((.*?)\) \{{", source)
        assert declared
        names = ", ".join(n for _, n in self.arguments)
        every = "" if "__shared__" in source else "PHASE "
        launcher = f"""
extern "C" void launch(unsigned blocks, unsigned threads, {declared[1]}) {{
    gridDim.x = blocks;
    blockDim.x = threads;
    for (blockIdx.x = blocks; blockIdx.x-- > 0;)
        {every}{name}({names});
}}
"""
        text = f"// {' '.join(_OPTIONS)}\n{_HEADER}{source}{launcher}"
        folder = cache_folder() / "host"
        folder.mkdir(parents=True, exist_ok=True)
        library = folder / f"{name}_{digest(text)}.so"
        if not library.exists():
            # Built aside and renamed: tests run in several processes.
            with tempfile.TemporaryDirectory(dir=folder) as aside:
                code, built = Path(aside) / "kernel.cpp", Path(aside) / "kernel.so"
                code.write_text(text)
                subprocess.run(["g++", *_OPTIONS, "-o", str(built), str(code)], check=True)
                built.replace(library)
        self._launch = ctypes.CDLL(str(library)).launch
        self._launch.restype = None

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        assert len(arguments) == len(self.arguments)
        raw: list[Any] = []
        for value, (kind, name) in zip(arguments, self.arguments, strict=True):
            assert value.dtype == self.types[kind], name
            if kind.endswith("*"):
                assert value.flags.c_contiguous, name
                raw.append(ctypes.c_void_p(pointer(value)))
            else:
                assert isinstance(value, np.generic), name
                raw.append(np.ctypeslib.as_ctypes_type(value.dtype)(value.item()))
        written = [pointer(a) for a in arguments if not isinstance(a, np.generic)]
        assert len(set(written)) == len(written), "arrays overlap although they are declared __restrict__"
        HostStream.current().submit(lambda: self._run(grid[0], block[0], raw, arguments))

    def _run(self, blocks: int, threads: int, raw: list[Any], kept: Any) -> None:
        self._launch(ctypes.c_uint(blocks), ctypes.c_uint(threads), *raw)


class HostPlan:
    """What a cuFFT plan does to memory, read off its parameters alone."""

    def __init__(
        self, shape: Any, inside: Any, step_in: int, next_in: int, outside: Any, step_out: int, next_out: int, types: Any,
        batch: int, axis: int, last: int, limit: int,
    ) -> None:  # fmt: skip
        for number in (*shape, *inside, *outside, step_in, next_in, step_out, next_out, batch):
            assert 0 < number < limit, "an argument leaves the range of its type"
        self.shape, self.batch, self.types = tuple(shape), batch, types
        self.forward, self.complex = types[0].kind == "f", types[0].kind == types[1].kind
        half = (*shape[:-1], shape[-1] // 2 + 1)
        extents = (self.shape, half) if self.forward else (half, self.shape)
        if self.complex:
            extents = self.shape, self.shape
        assert axis == len(shape) - 1
        assert last == extents[1][-1]
        self.sides = list(
            zip(extents, (tuple(inside), tuple(outside)), (step_in, step_out), (next_in, next_out), types, strict=True)
        )

    def _view(self, array: Any, side: int) -> np.ndarray:
        extent, embed, step, distance, dtype = self.sides[side]
        assert array.dtype == dtype
        strides = [dtype.itemsize * step * math.prod(embed[d + 1 :]) for d in range(len(embed))]
        span = dtype.itemsize * (distance * (self.batch - 1) + step * (math.prod(embed) - 1) + 1)
        assert span <= array.nbytes
        memory = (ctypes.c_char * span).from_address(pointer(array))
        return np.ndarray((self.batch, *extent), dtype, memory, strides=(dtype.itemsize * distance, *strides))

    def fft(self, source: Any, target: Any, direction: int) -> None:
        assert direction == (-1 if self.forward else 1) or self.complex
        views = self._view(source, 0), self._view(target, 1)
        if self.complex:
            HostStream.current().submit(lambda: self._turn(direction, *views))
        else:
            HostStream.current().submit(lambda: self._run(source, target, *views))

    def _turn(self, direction: int, inside: np.ndarray, outside: np.ndarray) -> None:
        axes = tuple(range(1, inside.ndim))
        transform = scipy.fft.fftn if direction == -1 else scipy.fft.ifftn
        outside[...] = transform(inside.copy(), axes=axes, norm="backward" if direction == -1 else "forward")

    def _run(self, source: Any, target: Any, inside: np.ndarray, outside: np.ndarray) -> None:
        axes = tuple(range(1, inside.ndim))
        data = inside.copy()
        if not self.forward or pointer(source) == pointer(target):
            host_view(source)[...] = np.nan
        if self.forward:
            outside[...] = scipy.fft.rfftn(data, axes=axes)
        else:
            outside[...] = scipy.fft.irfftn(data, s=self.shape, axes=axes, norm="forward")


class HostCufft:
    """The names of `cupy.cuda.cufft` that the backend uses."""

    CUFFT_D2Z, CUFFT_Z2D = np.dtypes.Float64DType(), np.dtypes.Complex128DType()
    CUFFT_R2C, CUFFT_C2R = np.dtypes.Float32DType(), np.dtypes.Complex64DType()
    #: What CUFFT_Z2Z and CUFFT_C2C have in the place of a type: both sides are complex.
    CUFFT_Z2Z, CUFFT_C2C = "complex128", "complex64"

    @classmethod
    def PlanNd(
        cls, shape: Any, inembed: Any, istride: int, idist: int, onembed: Any, ostride: int, odist: int, fft_type: Any,
        batch: int, order: str, last_axis: int, last_size: int,
    ) -> HostPlan:  # fmt: skip
        other: Any = {
            cls.CUFFT_Z2Z: np.dtype(cls.CUFFT_Z2Z), cls.CUFFT_C2C: np.dtype(cls.CUFFT_C2C),
            cls.CUFFT_D2Z: cls.CUFFT_Z2D, cls.CUFFT_Z2D: cls.CUFFT_D2Z,
            cls.CUFFT_R2C: cls.CUFFT_C2R, cls.CUFFT_C2R: cls.CUFFT_R2C,
        }[fft_type]  # fmt: skip
        assert order == "C"
        return HostPlan(
            shape,
            inembed,
            istride,
            idist,
            onembed,
            ostride,
            odist,
            (other if isinstance(fft_type, str) else fft_type, other),
            batch,
            last_axis,
            last_size,
            2**31,
        )

    @staticmethod
    def XtPlanNd(
        shape: Any, inembed: Any, istride: int, idist: int, idtype: Any, onembed: Any, ostride: int, odist: int,
        odtype: Any, batch: int, edtype: Any, *, order: str, last_axis: int, last_size: int,
    ) -> HostPlan:  # fmt: skip
        assert order == "C"
        assert edtype == (idtype if idtype.kind == "c" else odtype)
        return HostPlan(
            shape,
            inembed,
            istride,
            idist,
            onembed,
            ostride,
            odist,
            (idtype, odtype),
            batch,
            last_axis,
            last_size,
            2**63,
        )
