"""The keys of ``phasefield verify``."""

from __future__ import annotations

from dataclasses import dataclass

from ..backend import MOST_THREADS
from ..errors import ConfigError
from ..keys import check_choices, key
from .problems import Machine


@dataclass
class Settings:
    """Which checks are made, where, and what becomes of them."""

    only: list[str] = key(
        [], "checks to make, names or patterns: order, 'interfaces/*', of pfhub benchmarks such as 1a,1b", many=True
    )
    device: str = key("auto", "auto is a GPU if there is one", ("auto", "cpu", "gpu"))
    precision: str = key("double", "of all arithmetic", ("double", "single"))
    threads: int | None = key(None, "of the CPU; null is OMP_NUM_THREADS, Slurm's cpus-per-task, or the cores granted")
    output: str | None = key(
        None, "the folder of the table, the page and the figures; null is runs/TIME_verify. pfhub goes on in one of its own",
        value="text",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_choices(self)
        if self.threads is not None and not 1 <= self.threads <= MOST_THREADS:
            raise ConfigError("threads", f"is {self.threads}; a whole number from 1 to {MOST_THREADS} is expected")
        if self.output is not None and not self.output.strip():
            raise ConfigError("output", "is empty", "give a folder, or leave it out for one under runs/")

    @property
    def machine(self) -> Machine:
        """Where checks are made."""
        return Machine(self.device, self.precision, self.threads)  # type: ignore[arg-type]
