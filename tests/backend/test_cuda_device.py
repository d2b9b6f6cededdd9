"""What the user is told when there is no GPU, or when it fails."""

from __future__ import annotations

import builtins
import importlib.util
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from phasefield.backend import select, selection
from phasefield.backend.cuda_errors import device_errors, keep_compiled_kernels, why_unavailable
from phasefield.errors import DeviceError


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    why_unavailable.cache_clear()
    selection._say.cache_clear()
    yield
    why_unavailable.cache_clear()
    selection._say.cache_clear()


def pretend(monkeypatch: pytest.MonkeyPatch, cupy: Any) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cupy.cuda.cufft", SimpleNamespace())


def fails(message: str) -> Any:
    def call(*_: Any) -> Any:
        raise RuntimeError(message)

    return call


def fake(count: Any, launch: Any = None) -> Any:
    """A CuPy that computes, unless ``launch`` raises."""

    def kernel(grid: Any, block: Any, arguments: Any) -> None:
        arguments[0][0] = 42

    def compiled(source: str, name: str, options: Any) -> Any:
        return launch or kernel

    runtime = SimpleNamespace(getDeviceCount=count)
    return SimpleNamespace(cuda=SimpleNamespace(runtime=runtime), zeros=np.zeros, RawKernel=compiled)


def test_missing_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "not installed" in str(why_unavailable())
    with pytest.raises(DeviceError, match=r"phasefield\[gpu\]"):
        select("gpu", "double")
    assert select("auto", "double", 1).name == "cpu"


@pytest.mark.parametrize(
    ("cupy", "words"),
    [
        (fake(lambda: 0), "no GPU"),
        (fake(fails("insufficient driver\nmore")), r"insufficient driver\)"),
        (fake(lambda: 1, fails("libnvrtc not found")), r"libnvrtc not found.*phasefield\[gpu\]"),
        (fake(lambda: 1, fails("cannot open source file cuda_fp16.h")), r"phasefield\[gpu\]"),
        (fake(lambda: 1, fails("nvrtc: error: invalid value for --gpu-architecture (-arch)")), r"phasefield\[gpu12\]"),
        (fake(lambda: 1, lambda *_: None), "does not compute"),
        (None, "no usable GPU"),
    ],
)
def test_unusable_gpu(monkeypatch: pytest.MonkeyPatch, cupy: Any, words: str) -> None:
    pretend(monkeypatch, cupy)
    with pytest.raises(DeviceError, match=words):
        select("gpu", "double")


def test_usable_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, fake(lambda: 1))
    assert why_unavailable() is None


def test_a_cupy_that_cannot_be_used_is_worth_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody who has installed it expects a GPU; nobody else does, nor who has hidden the GPUs."""
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    pretend(monkeypatch, fake(fails("insufficient driver")))
    for _ in range(2):
        assert select("auto", "double", 1).name == "cpu"
    assert [(r.levelno, "insufficient driver" in r.message) for r in caplog.records] == [(logging.WARNING, True)]
    why_unavailable.cache_clear()
    selection._say.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    select("auto", "double", 1)
    assert [r.levelno for r in caplog.records[1:]] == [logging.INFO]


def test_compiled_kernels_are_kept_with_ours_whatever_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CuPy makes its folder when it is imported, and fails where it cannot."""
    monkeypatch.delenv("CUPY_CACHE_DIR", raising=False)
    monkeypatch.setenv("PHASEFIELD_CACHE", str(tmp_path / "cache"))
    keep_compiled_kernels()
    assert Path(os.environ["CUPY_CACHE_DIR"]) == tmp_path / "cache" / "cupy"
    monkeypatch.delenv("CUPY_CACHE_DIR")
    (tmp_path / "file").touch()
    monkeypatch.setenv("PHASEFIELD_CACHE", str(tmp_path / "file"))
    keep_compiled_kernels()
    assert Path(os.environ["CUPY_CACHE_DIR"]).is_dir()
    monkeypatch.setenv("CUPY_CACHE_DIR", "mine")
    keep_compiled_kernels()
    assert os.environ["CUPY_CACHE_DIR"] == "mine"


def test_missing_cufft(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, fake(lambda: 1))
    monkeypatch.setattr("importlib.import_module", fails("libcufft.so.12 not found"))
    assert "libcufft" in str(why_unavailable())


@pytest.mark.parametrize("error", [ImportError("broken"), ValueError(), OSError("libcuda.so.1")])
def test_anything_may_go_wrong_while_importing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    plain = builtins.__import__

    def imports(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "cupy":
            raise error
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(builtins, "__import__", imports)
    assert (str(error) or type(error).__name__) in str(why_unavailable())


def test_backend_is_not_loaded_for_the_cpu() -> None:
    code = "import sys; from phasefield.backend import select; select('cpu', 'double', 1); assert 'cupy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def cupy_error(module: str, bases: tuple[type, ...], text: str) -> Exception:
    return type("CupyError", bases, {"__module__": module})(text)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            cupy_error("cupy.cuda.memory", (MemoryError,), "Out of memory allocating 8 bytes"),
            "grid.shape: .*out of memory",
        ),
        (cupy_error("cupy.cuda.cufft", (RuntimeError,), "CUFFT_ALLOC_FAILED"), "grid.shape: .*CUFFT_ALLOC_FAILED"),
        (
            cupy_error("cupy_backends.cuda.api.runtime", (RuntimeError,), "cudaErrorMemoryAllocation: out of memory"),
            "grid.shape: .*precision=single",
        ),
        (
            cupy_error("cupy_backends.cuda.api.driver", (RuntimeError,), "CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
            "grid.shape: .*OUT_OF_MEMORY",
        ),
        (
            cupy_error("cupy_backends.cuda.api.runtime", (RuntimeError,), "cudaErrorECCUncorrectable: bad\nline"),
            "device=gpu: cudaErrorECCUncorrectable: bad\n",
        ),
    ],
)
def test_cuda_errors_become_one_message(error: Exception, words: str) -> None:
    @device_errors
    def method() -> None:
        raise error

    with pytest.raises(DeviceError, match=f"(?s){words}") as caught:
        method()
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [ValueError("mine"), DeviceError("said already"), MemoryError("host")])
def test_other_errors_pass(error: Exception) -> None:
    @device_errors
    def method() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        method()
    assert caught.value is error


def test_errors_are_those_of_cupy() -> None:
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    for kind in (
        cupy.cuda.memory.OutOfMemoryError,
        cupy.cuda.runtime.CUDARuntimeError,
        cupy.cuda.compiler.CompileException,
    ):
        assert kind.__module__.split(".")[0] in ("cupy", "cupy_backends")
    assert issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError)
