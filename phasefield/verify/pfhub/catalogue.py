"""The benchmarks that can be run, and why the others cannot."""

from __future__ import annotations

from . import manufactured, nucleation, precipitate, spinodal
from .benchmark import Benchmark

#: Benchmarks that are not built, and what they would take.
NOT_BUILT = {
    "1c": "a T-shaped domain",
    "1d": "the surface of a sphere",
    "2c": "a T-shaped domain",
    "2d": "the surface of a sphere",
    "3a": "an anisotropic gradient energy",
    "5a": "Stokes flow",
    "5b": "Stokes flow",
    "6a": "electrostatic energy",
    "6b": "electrostatic energy",
    "8c": "nuclei that appear during a run",
}


def benchmarks() -> list[Benchmark]:
    """Those that can be run, by name."""
    return sorted(
        (b for m in (spinodal, manufactured, nucleation, precipitate) for b in m.benchmarks()), key=lambda b: b.name
    )
