"""What a run takes of the memory, and whether it is there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .backend import Backend, host_memory_available
from .errors import ConfigError
from .grid import Grid

#: Bytes for each number of the state that no run takes: what has so many to spare is not counted. Bytes that are counted at all.
_PLENTY, _COUNTABLE = 1024, 2**58


@dataclass(frozen=True)
class Footprint:
    """Most memory that a run holds at a time beyond what the program itself takes, bytes.

    Attributes:
        device: in the device's memory. host: beside it in the host's, 0 on the CPU, where both are one.
    """

    device: int
    host: int


def check_memory(grid: Grid, components: int, backend: Backend, loaded: int, measure: Callable[[], Footprint]) -> None:
    """Refuses what does not fit.

    Args:
        loaded: bytes of a checkpoint, which are given back as buffers take them over. measure: finds what the run takes.

    Raises:
        ConfigError: there is less memory.
    """
    numbers = components * grid.cells
    device, host = backend.memory_available(), host_memory_available() + loaded
    device = min(device, host) if backend.name == "cpu" else device
    if numbers * _PLENTY <= min(device, host):
        return
    large = numbers * 16 > _COUNTABLE
    need = Footprint(numbers * 16, 0) if large else measure()
    for wanted, have, where in ((need.device, device, backend.name), (need.host, host, "the host")):
        if wanted > have:
            shape = list(grid.shape)
            fitting = [max(2, math.floor(n * (have / wanted) ** (1 / grid.dim))) for n in shape]
            raise ConfigError(
                "grid.shape",
                f"{shape} with {components} component(s) in {backend.precision} precision needs "
                f"{'more than' if large else 'about'} {wanted / 2**30:.3g} GiB on {where} "
                f"({wanted / grid.cells:.0f} bytes per cell); {have / 2**30:.3g} GiB are free",
                "use fewer cells"
                + ("" if large else f" ({fitting} would fit)")
                + (", precision=single" if backend.precision == "double" else "")
                + ", or a scheme that keeps fewer arrays, such as time.scheme=etd1",
            )
