"""Whether the scales are apart: homogenized properties hold where the microstructure is small and quick beside the structure.

In space the error of a structure made of homogenized material is of the order l/L (boundary layers; Bensoussan, Lions and
Papanicolaou, Asymptotic Analysis for Periodic Structures, 1978; Allaire and Amar, ESAIM COCV 4 (1999) 209), in time of the order
tau/T, with tau the time in which the microstructure comes to rest under a load and T the period of the load.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

from ...errors import ConfigError

log = logging.getLogger("phasefield")

#: Ratios above which a warning is given.
LENGTHS, TIMES = 0.1, 0.1


@dataclass(frozen=True)
class Scales:
    """The lengths and times of a microstructure and of the structure made of it, in any units, the same for both.

    Attributes:
        micro_length: l, of the microstructure: the period of a cell, or some correlation lengths. macro_length: L, the smallest
            length over which the macro-scale strain changes: thickness, radius of a hole, wavelength.
        micro_time: tau, in which the microstructure comes to rest, see `diffusion_time`. macro_time: T, the period (or rise time) of
            the load. Both or none.

    Raises:
        ConfigError: lengths or times that are not positive, or one time alone.
    """

    micro_length: float
    macro_length: float
    micro_time: float | None = None
    macro_time: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigError(name, f"is {value!r}; a positive number is expected")
        if (self.micro_time is None) != (self.macro_time is None):
            missing = "macro_time" if self.macro_time is None else "micro_time"
            raise ConfigError(missing, "is missing", "give the times of both scales, or none")

    @property
    def lengths(self) -> float:
        """l/L."""
        return self.micro_length / self.macro_length

    @property
    def times(self) -> float | None:
        """tau/T; None where no times are known."""
        if self.micro_time is None or self.macro_time is None:
            return None
        return self.micro_time / self.macro_time

    def warnings(self) -> list[str]:
        """What is not apart; empty if all is well."""
        out = []
        if self.lengths > LENGTHS:
            out.append(
                f"l/L = {self.lengths:.2g} is above {LENGTHS:g}: the microstructure (l = {self.micro_length:.3g}) is not small beside "
                f"the structure (L = {self.macro_length:.3g}); homogenized properties are off by the order of l/L there; resolve it, or "
                "expect boundary layers"
            )
        if self.times is not None and self.times > TIMES:
            out.append(
                f"tau/T = {self.times:.2g} is above {TIMES:g}: the load (T = {self.macro_time:.3g}) changes before the microstructure "
                f"(tau = {self.micro_time:.3g}) has come to rest; its response has a memory that effective properties lack"
            )
        return out

    def warn(self) -> None:
        """Logs the warnings."""
        for text in self.warnings():
            log.warning("%s", text)


def diffusion_time(length: float, diffusivity: float) -> float:
    """``l^2 / (pi^2 D)``: in which diffusion, or conduction with ``D = k / (rho c)`` of the slowest phase, evens out a cosine of half the
    period ``l``.
    """
    return length**2 / (math.pi**2 * diffusivity)
