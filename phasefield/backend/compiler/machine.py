"""Machine code of loops: made by LLVM for this processor, kept in the cache folder, and loaded from there."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llvmlite import binding as llvm

from ... import signals
from .. import cache
from .translation import llvm_text


def load(source: str, name: str) -> Mapping[str, int]:
    """Addresses of the entries of a source, by name; what has been compiled stays in memory and in the cache folder.

    Raises:
        LoopError: it is not of the language of `translation`.
    """
    signals.check()
    with cache.IMPORTING:
        return _loaded(source, name)


@functools.cache
def _loaded(source: str, name: str) -> Mapping[str, int]:
    stem = f"{name}_{cache.digest(source + _stamp())}"
    made = cache.kept(f"phasefield_kernel_{stem}", source, functools.partial(_made, source, stem))
    engine = _engine()
    names, _, code = made.partition(b"\0")
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return {entry: engine.get_function_address(f"{stem}_{entry}") for entry in names.decode().split()}


def _made(source: str, stem: str) -> bytes:
    """Names of the entries, and the object file that holds them."""
    text, entries = llvm_text(source, stem)
    return " ".join(entries).encode() + b"\0" + _object(text)


def _object(text: str) -> bytes:
    module = llvm.parse_assembly(text)
    machine = _machine()
    module.triple = llvm.get_process_triple()
    module.data_layout = str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return bytes(machine.emit_object(module))


@functools.cache
def _machine() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    # What runs where it is made may lie anywhere, and needs no table of addresses.
    reloc = "static" if target.name.startswith("x86") else "default"
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=_features(), opt=3, reloc=reloc, codemodel="jitdefault", jit=True
    )


def _features() -> str:
    return str(llvm.get_host_cpu_features().flatten())


@functools.cache
def _engine() -> Any:
    """What holds the code of this process. Symbols of C's libraries are found in the process."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    return engine


@functools.cache
def _stamp() -> str:
    """What code depends on besides its source: the processor, LLVM and this compiler."""
    own = "".join(
        (Path(__file__).with_name(f"{part}.py")).read_text() for part in ("instructions", "translation", "machine")
    )
    version = importlib.metadata.version("llvmlite")
    return f"{llvm.get_host_cpu_name()} {_features()} {version} {cache.digest(own)}"
