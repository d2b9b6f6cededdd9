"""Compiles kernels for a device that need not be there: by NVRTC, which the program uses, or by nvcc."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import importlib.util
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: The flags that CuPy and the backend give NVRTC.
OPTIONS = ("--std=c++17", "--device-as-default-execution-space")
#: The chips of the Hopper generation, where none is named.
ARCHITECTURE = "sm_90"


@dataclass(frozen=True)
class Usage:
    """What the assembler reports of a kernel."""

    registers: int
    spilled: int


@functools.cache
def nvrtc() -> ctypes.CDLL | None:
    """The NVRTC library of the installed packages or of the system."""
    candidates: list[str] = []
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        candidates += sorted(str(p) for p in Path(folder).rglob("libnvrtc.so*"))
    candidates += filter(None, [ctypes.util.find_library("nvrtc")])
    for candidate in candidates:
        try:
            # The library looks for its companion by name, which its own folder need not be searched for.
            for companion in Path(candidate).parent.glob("libnvrtc-builtins.so*"):
                ctypes.CDLL(str(companion))
            library = ctypes.CDLL(candidate)
        except OSError:
            continue
        library.nvrtcGetErrorString.restype = ctypes.c_char_p
        return library
    return None


def available() -> list[str]:
    """Names of the compilers at hand."""
    return [name for name, there in (("nvrtc", nvrtc()), ("nvcc", shutil.which("nvcc"))) if there]


@functools.cache
def architectures() -> list[str]:
    """What NVRTC compiles for: CUDA 13 begins with sm_75, CUDA 12 still had sm_70."""
    library, count = nvrtc(), ctypes.c_int()
    assert library is not None
    assert library.nvrtcGetNumSupportedArchs(ctypes.byref(count)) == 0
    found = (ctypes.c_int * count.value)()
    assert library.nvrtcGetSupportedArchs(found) == 0
    return [f"sm_{number}" for number in found]


def batch(sources: Mapping[str, str]) -> str:
    """One program of many: each in a namespace of its own, with its kernel renamed to its key."""
    text = []
    for key, source in sources.items():
        renamed = re.sub(r'(extern "C" __global__ void) \w+\(', rf"\1 {key}(", source)
        assert renamed != source or f" {key}(" in source
        text.append(f"namespace in_{key} {{\n{renamed}}}\n#undef AT\n")
    return "".join(text)


def run_nvrtc(text: str, *options: str, kind: str = "CUBIN") -> tuple[str, bytes]:
    """Log and binary (``CUBIN`` or ``PTX``) of a program; `AssertionError` with the log if it does not compile."""
    library = nvrtc()
    assert library is not None
    program = ctypes.c_void_p()
    name = b"kernel.cu"
    assert library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), name, 0, None, None) == 0
    flags = [o.encode() for o in (*OPTIONS, *options)]
    status = library.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*flags))
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    assert status == 0, log.value.decode()
    getattr(library, f"nvrtcGet{kind}Size")(program, ctypes.byref(size))
    binary = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{kind}")(program, binary)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return log.value.decode(), binary.raw


def run_nvcc(text: str, architecture: str) -> str:
    """The assembler's log of a program."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernels.cu")
        source.write_text(text)
        command = [
            "nvcc",
            "--cubin",
            f"-arch={architecture}",
            "-std=c++17",
            "-Xptxas",
            "-v",
            "-o",
            f"{folder}/out.cubin",
        ]
        done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    log = done.stdout + done.stderr
    assert done.returncode == 0, log
    return log


def compile_all(compiler: str, sources: Mapping[str, str], architecture: str = ARCHITECTURE) -> dict[str, Usage]:
    """Compiles kernels to machine code and reports their use of registers; fails on errors and on warnings."""
    text = batch(sources)
    if compiler == "nvrtc":
        log, binary = run_nvrtc(text, f"-arch={architecture}", "--ptxas-options=-v")
        assert binary.startswith(b"\x7fELF")
    else:
        log = run_nvcc(text, architecture)
    # Straight-line code may compute a value that only other kernels need (#177: never referenced).
    warnings = re.findall(r"(?:\): |ptxas )warning(?! #177-D).*", log)
    assert not warnings, warnings
    found = re.findall(
        r"Function properties for (\w+)\n.*?(\d+) bytes spill stores, (\d+) bytes spill loads\n.*?Used (\d+) registers",
        log,
    )
    return {name: Usage(int(registers), int(stores) + int(loads)) for name, stores, loads, registers in found}
