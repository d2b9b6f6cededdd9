"""Whether a GPU can be used, and CuPy's errors as messages of ours."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ..errors import DeviceError
from .cache import cache_folder

#: Options of every kernel.
OPTIONS = ("--std=c++17",)
#: What is compiled, loaded and launched to see that the rest will be.
_PROBE = 'extern "C" __global__ void probe(int* answer) { *answer = 42; }\n'

_Method = TypeVar("_Method", bound=Callable[..., Any])


def installed() -> bool:
    """Whether there is a CuPy to import."""
    return importlib.util.find_spec("cupy") is not None


@functools.cache
def why_unavailable() -> str | None:
    """Why no GPU can be used, or None if one can. Never raises.

    Looking at the libraries one by one would forget one: a small kernel goes the whole way, through CUDA's headers, NVRTC for
    this very card, the cache of compiled kernels, and the driver.
    """
    try:
        if not installed():
            return "CuPy is not installed (pip install 'phasefield[gpu]')"
        keep_compiled_kernels()
        import cupy

        if not cupy.cuda.runtime.getDeviceCount():
            return "CuPy finds no GPU"
        importlib.import_module("cupy.cuda.cufft")
        answer = cupy.zeros(1, "int32")
        cupy.RawKernel(_PROBE, "probe", options=OPTIONS)((1,), (1,), (answer,))
        if int(answer[0]) != 42:
            return "CuPy's GPU does not compute"
    except Exception as error:  # without a driver or a library CuPy raises its own error types, also while importing
        return f"CuPy finds no usable GPU ({first_line(error)}{_advice(error)})"
    return None


def _advice(error: Exception) -> str:
    """What to do, where the message tells a missing or foreign toolkit."""
    text = str(error)
    if re.search(r"header|cannot open source file|\.h\b|libnvrtc|libcufft|libcudart", text, re.IGNORECASE):
        return "; pip install 'phasefield[gpu]' brings CUDA's libraries and headers"
    if re.search(r"gpu-architecture|NO_BINARY_FOR_GPU|no kernel image", text, re.IGNORECASE):
        return "; the card is older than CUDA 13, which begins with Turing: pip install 'phasefield[gpu12]'"
    return ""


def keep_compiled_kernels() -> None:
    """Tells CuPy, before it is imported, to keep compiled kernels where this package keeps its own.

    Its default lies in the home folder, and importing it fails where that cannot be written.
    """
    if "CUPY_CACHE_DIR" in os.environ:
        return
    folder = cache_folder() / "cupy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="phasefield-cupy-"))
    os.environ["CUPY_CACHE_DIR"] = str(folder)


def first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def device_errors(method: _Method) -> _Method:
    """Lets a method raise `DeviceError` where CuPy raises one of its own errors."""

    @functools.wraps(method)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except Exception as error:
            if not of_cupy(error):
                raise
            raise explain(error) from error

    return guarded  # type: ignore[return-value]


def on_stream(method: _Method) -> _Method:
    """Runs a method with the object's ``stream`` as CuPy's current one, and with `device_errors`."""

    @device_errors
    @functools.wraps(method)
    def streaming(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self.stream:
            return method(self, *args, **kwargs)

    return streaming  # type: ignore[return-value]


def of_cupy(error: Exception) -> bool:
    return type(error).__module__.split(".")[0] in ("cupy", "cupy_backends")


#: Words for too little memory of the runtime (cudaErrorMemoryAllocation), of cuFFT and of the driver (CUDA_ERROR_OUT_OF_MEMORY).
_NO_MEMORY = re.compile(r"MemoryAllocation|ALLOC_FAILED|out.of.memory", re.IGNORECASE)


def explain(error: Exception) -> DeviceError:
    """What a user is told in place of an error of CuPy."""
    if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
        return DeviceError(
            f"grid.shape: the GPU is out of memory ({first_line(error)})\n"
            "  Use fewer cells, precision=single, a scheme with fewer stages, or device=cpu; or end other programs on the GPU."
        )
    return DeviceError(f"device=gpu: {first_line(error)}\n  Use device=cpu if this persists.")
