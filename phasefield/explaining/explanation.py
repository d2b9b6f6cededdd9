"""What an explanation holds. It shows itself as text, as HTML in a notebook, and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..grid import Grid
    from ..models.resolution import Resolution
    from ..models.theory import Theory


@dataclass(frozen=True)
class FieldFacts:
    """A field as configured; mobility and kappas as numbers, in the model's units (`phasefield.models.OrderParameter`).

    A mobility that varies, whose expression is ``law``, stands for the largest value in the initial state. Of a kappa that
    depends on the normal, whose expression is ``anisotropy``, ``kappas`` holds the least; ``directions`` says what it does.
    ``walls``: what they hold, ``supply``: what is told of how.
    ``noise`` is kT and ``nucleation`` its law, both in words, empty where there is none.
    """

    name: str
    description: str
    units: str
    kinetics: str
    components: int | None
    mobility: float
    kappas: tuple[float, ...]
    initial: str
    law: str = ""
    anisotropy: str = ""
    directions: str = ""
    walls: str = ""
    supply: str = ""
    noise: str = ""
    nucleation: str = ""


@dataclass(frozen=True)
class Stepping:
    """How time goes on.

    Attributes:
        scheme, adaptive, tolerance, dt, end: as configured. order: of accuracy. reference: of the scheme in the literature.
        steps: how many there will be; None where nothing says so. least: how many at least, by ``time.dt_max``; 0 without it.
        most: how many at most, by ``time.max_steps``.
    """

    scheme: str
    order: int
    reference: str
    adaptive: bool
    tolerance: float
    dt: float | None
    end: float
    steps: int | None
    least: int
    most: int | None


@dataclass(frozen=True)
class Cost:
    """What the run takes of the machine, and the stabiliser that it would begin with.

    Attributes:
        device, precision: of the computation. need, free: most memory that the run holds, and what there is, bytes; None where it
            could not be found. host_need, host_free: beside it in the host's memory, where the device has its own.
        stabilizers: field -> S, energy density; empty where the run was not built. chosen: fields whose S the configuration sets.
        step: seconds of one step, the median of ``measured`` steps on a copy of the run; None where none was made.
        why: why something of this is missing.
    """

    device: str
    precision: str
    need: int | None = None
    free: int | None = None
    host_need: int = 0
    host_free: int | None = None
    stabilizers: Mapping[str, float] | None = None
    chosen: tuple[str, ...] = ()
    step: float | None = None
    measured: int = 0
    why: str = ""


@dataclass(frozen=True)
class Output:
    """A file of the run folder. ``records``: how many it will hold; ``size``: of each, bytes. None where it is not known."""

    name: str
    what: str
    records: int | None
    size: int | None


@dataclass(frozen=True)
class Explanation:
    """A configuration explained: ``str()`` is the text of `phasefield explain`.

    Attributes:
        model, description, energy: name, description and free-energy density of the model as written. parameters: its
            constants, and the text of those that depend on time.
        fields: its fields. grid: the grid. time_unit: of all times. theory: see `phasefield.models.theory.Theory`.
        resolution: what the grid makes of it, and the warnings that a run would begin with. seen: shape of the grid on which the
            initial values were looked at, a coarser one where the run's is large. stepping, cost, outputs: see there.
    """

    model: str
    description: str
    energy: str
    parameters: Mapping[str, float | str]
    fields: tuple[FieldFacts, ...]
    grid: Grid
    time_unit: str
    theory: Theory
    resolution: Resolution | None
    seen: tuple[int, ...]
    stepping: Stepping
    cost: Cost
    outputs: tuple[Output, ...]

    @property
    def warnings(self) -> list[str]:
        """What a run would warn of when it begins."""
        return [] if self.resolution is None else self.resolution.warnings

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain mappings, lists, texts and numbers; what is not finite is None."""
        grid = {"shape": self.grid.shape, "length": self.grid.lengths, "boundary": self.grid.boundary}
        told = {name: value for name, value in vars(self).items() if name != "grid"}
        plain = {name: _plain(value) for name, value in told.items()}
        return plain | {"grid": _plain(grid | {"units": self.grid.units}), "warnings": self.warnings}

    def to_json(self) -> str:
        """The same as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        from .words import text

        return text(self)

    def to_text(self, width: int) -> str:
        """The text in ``width`` columns; formulas are not broken."""
        from .words import text

        return text(self, width)

    def _repr_html_(self) -> str:
        from .words import html

        return html(self)


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):  # NumPy's too
        return float(value) if math.isfinite(value) else None
    return value
