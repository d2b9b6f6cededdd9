"""How cell problems are solved: the schema of the keys under ``solver.``."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..backend import MOST_THREADS
from ..errors import ConfigError
from ..keys import about, check_choices

SCHEMES = ("q1", "rotated", "fourier")
PRECONDITIONERS = ("auto", "green", "green-jacobi", "green-schwarz")
CRITERIA = ("components", "energy")
BOUNDARIES = ("periodic", "kinematic", "static")


@dataclass(frozen=True)
class Options:
    """How cell problems are solved.

    Attributes:
        scheme: ``q1`` (2x2x2 Gauss points), ``rotated`` (one) or ``fourier`` (Moulinec-Suquet).
        preconditioner: ``green`` (sharp phases), ``green-jacobi`` (smooth fields), ``green-schwarz`` (laminate voxels of
            high contrast) or ``auto``.
        tolerance: relative accuracy of the property. max_iterations: for one load.
        criterion: what the tolerance is of: all ``components`` of a load's mean stress (flux) as the iteration leaves them, or
            its ``energy``, which takes fewer iterations. A tensor's components then follow from the energies of its loads
            (`CellProblem.solve_tensor`), and local fields are as accurate as the root of the tolerance.
        precision: ``double`` or ``single``. threads: CPU threads, None for all.
        device: ``auto`` (a GPU if there is one), ``cpu`` or ``gpu``.
    """

    scheme: str = field(default="q1", metadata=about("the discretisation", SCHEMES))
    preconditioner: str = field(default="auto", metadata=about("of conjugate gradients", PRECONDITIONERS))
    tolerance: float = field(default=1e-6, metadata=about("relative accuracy of the property, between 0 and 1"))
    criterion: str = field(
        default="components",
        metadata=about("what the tolerance is of; energy is faster where the tensor alone is wanted", CRITERIA),
    )
    max_iterations: int = field(default=2000, metadata=about("for one load"))
    precision: str = field(default="double", metadata=about("of the arithmetic", ("double", "single")))
    threads: int | None = field(default=None, metadata=about("threads of the CPU, 1 or more; null for all"))
    device: str = field(
        default="auto", metadata=about("auto is a GPU if there is one with room for the solver", ("auto", "cpu", "gpu"))
    )

    def __post_init__(self) -> None:
        check_choices(self, "solver.")
        if not 0 < self.tolerance < 1:
            raise ConfigError("solver.tolerance", f"is {self.tolerance!r}; a number between 0 and 1 is expected")
        if self.max_iterations < 1:
            raise ConfigError("solver.max_iterations", f"is {self.max_iterations!r}; at least 1 is expected")
        if self.threads is not None and not 1 <= self.threads <= MOST_THREADS:
            raise ConfigError(
                "threads", f"is {self.threads}; at least 1 and at most {MOST_THREADS} are expected, or null for all"
            )
