"""The benchmarks that can be run, and why the others cannot."""

from __future__ import annotations

from . import charge, dendrite, manufactured, nucleation, precipitate, spinodal
from .benchmark import Benchmark

#: Benchmarks that are not built, and what they would take.
NOT_BUILT = {
    "1c": "a T-shaped domain",
    "1d": "the surface of a sphere",
    "2c": "a T-shaped domain",
    "2d": "the surface of a sphere",
    "5a": "Stokes flow",
    "5b": "Stokes flow",
    "6b": "a half disc at one side of the domain",
}


def benchmarks() -> list[Benchmark]:
    """Those that can be run, by name."""
    topics = spinodal, manufactured, dendrite, precipitate, charge, nucleation
    return sorted((b for topic in topics for b in topic.benchmarks()), key=lambda b: b.name)
