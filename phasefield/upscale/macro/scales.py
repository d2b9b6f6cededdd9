"""Whether the scales are apart: homogenized properties hold where the microstructure is small and quick beside the structure.

In space the error of a structure made of homogenized material is of the order l/L (boundary layers; Bensoussan, Lions and
Papanicolaou, Asymptotic Analysis for Periodic Structures, 1978; Allaire and Amar, ESAIM COCV 4 (1999) 209), in time of the order
2 pi tau/T, with tau the time in which the microstructure comes to rest under a load and T the period of the load.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ConfigError
from ...homogenize.dataset import TITLE
from ...keys import convert, key
from ...store import expanded, open_dataset
from ...units import quantity

log = logging.getLogger("phasefield")

#: Ratios l/L and tau/T above which a warning is given. A response that relaxes exponentially lags behind a harmonic load by
#: the phase 2 pi tau/T, which is 0.1 there.
LENGTHS, TIMES = 0.1, 0.1 / (2 * math.pi)
_SAY = "give the length of the microstructure, micro=..."


@dataclass(frozen=True)
class Scales:
    """The lengths and times of a microstructure and of the structure made of it, in any units, the same for both.

    Attributes:
        micro_length: l, of the microstructure: the period of a cell, or some correlation lengths. macro_length: L, the smallest
            length over which the macro-scale strain changes: thickness, radius of a hole, wavelength.
        micro_time: tau, in which the microstructure comes to rest, see `diffusion_time`. macro_time: T, the period (or rise
            time) of the load. Both or none.

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
                f"l/L = {self.lengths:.2g} is above {LENGTHS:g}: the microstructure (l = {self.micro_length:.3g}) is not small "
                f"beside the structure (L = {self.macro_length:.3g}); homogenized properties are off by the order of l/L there; "
                "resolve it, or expect boundary layers"
            )
        if self.times is not None and self.times > TIMES:
            out.append(
                f"tau/T = {self.times:.2g} is above {TIMES:.2g}: the load (T = {self.macro_time:.3g}) changes before the "
                f"microstructure (tau = {self.micro_time:.3g}) has come to rest; its response lags by a phase of about "
                f"{2 * math.pi * self.times:.2g}, a memory that effective properties lack"
            )
        return out

    def warn(self) -> None:
        """Logs the warnings."""
        for text in self.warnings():
            log.warning("%s", text)


def diffusion_time(length: float, diffusivity: float) -> float:
    """``l^2 / (pi^2 D)``: in which diffusion, or conduction with ``D = k / (rho c)`` of the slowest phase, evens out a
    cosine of half the period ``l``.
    """
    return length**2 / (math.pi**2 * diffusivity)


def spacing_of_features(source: str | Path) -> float:
    """The length l of a microstructure, out of properties.nc: the sum of the phases' mean chord lengths, which is the mean
    distance from one feature to the next along a line (Underwood, Quantitative Stereology, 1970), in m.

    Args:
        source: of `homogenize`, with descriptors; or the run folder it lies in.

    Raises:
        ConfigError: no such file, one without descriptors or with one phase alone, or one whose image has no unit of length
            that is known.
    """
    path = expanded(source)
    path = path / "properties.nc" if path.is_dir() else path
    if not path.is_file():
        raise ConfigError(str(source), "holds no effective properties", "make them with phasefield homogenize")
    with open_dataset(path) as data:
        if not str(data.attrs.get("title", "")).startswith(TITLE):
            raise ConfigError(str(source), "holds no effective properties of a microstructure", _SAY)
        if "phase_mean_chord" not in data:
            raise ConfigError(str(source), "holds no descriptors", f"homogenize with descriptors=true, or {_SAY}")
        if not (unit := str(data.phase_mean_chord.attrs.get("units", ""))):
            raise ConfigError(str(source), "has lengths without a unit", f"homogenize with spacing='1 um', or {_SAY}")
        metres = quantity(f"1 {unit}", "m", str(source))[0]
        chords = np.asarray(data.phase_mean_chord.values, float)
    chords = chords.reshape(-1, chords.shape[-1])[-1]
    if np.isfinite(chords).sum() < 2:
        raise ConfigError(str(source), "has one phase alone, whose features have no distance", _SAY)
    return metres * float(np.nansum(chords))


@dataclass
class ScaleKeys:
    """The keys of ``phasefield scales``."""

    length: Any = key(
        None, "L: the smallest length over which the structure's strain or gradient changes; needed", unit="m"
    )
    micro: Any = key(None, "l: of the microstructure; by default the distance of its features", unit="m")
    period: Any = key(None, "T: period or rise time of the load", unit="s")
    relaxation: Any = key(None, "tau: in which the microstructure comes to rest", unit="s")

    def __post_init__(self) -> None:
        convert(self)


def scales_of(source: str | Path, keys: ScaleKeys) -> Scales:
    """The scales of a microstructure in a file and of a structure.

    Raises:
        ConfigError: a length that is missing or not positive, see `Scales`.
    """
    if keys.length is None:
        raise ConfigError("length", "is missing: the smallest length over which strain changes", "e.g. length='15 mm'")
    micro = spacing_of_features(source) if keys.micro is None else keys.micro
    names = {"micro_length": "micro", "macro_length": "length", "micro_time": "relaxation", "macro_time": "period"}
    try:
        return Scales(micro, keys.length, keys.relaxation, keys.period)
    except ConfigError as error:
        raise ConfigError(names[error.key], error.problem, error.hint) from None
