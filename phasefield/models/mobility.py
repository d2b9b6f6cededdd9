"""Mobilities that vary: M as an expression in the fields and time, and the numbers that a run takes of it.

L holds a constant reference mobility and N the rest (`phasefield.models.transport`). Where modes are stiff a step then multiplies
a perturbation by 1 - lambda, lambda = M (H + kappa k^2) / (M_ref (S + kappa k^2)), which asks of M_ref what it asks of S (see
`phasefield.models.stabilizer`): with S as it is for a constant mobility, M_ref = max M keeps lambda below the same bound. Half of
max M would do where S is twice as large, and damps less. M and the energy's second derivative do not commute, so lambda is
complex, too; what schemes of high order make of that: `phasefield.integrators.schemes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..errors import ConfigError
from .kinetics import Kinetics
from .normal import NORMAL

if TYPE_CHECKING:
    from ..grid import Grid
    from .energy import EnergyModel, OrderParameter, Reader

TIME = sp.Symbol("t", real=True)

#: A field that overshoots a pure phase may make M = c (1 - c) a little negative, which counts as 0; by more than this part of the
#: largest value it is a mistake.
NEGATIVE = 0.1


@dataclass(frozen=True)
class Law:
    """A mobility that varies, or one of several numbers along the axes.

    Attributes:
        entries: M in the model's symbols and t; one, or one along every axis. texts: as they are written.
        references: for every entry what L is made with; 1 until `referenced`.
        name: of the field whose row of a matrix it is. cross: other fields -> what couples the field to them
            (`phasefield.models.onsager`). cross_texts: as they are written.
    """

    entries: tuple[sp.Expr, ...]
    texts: tuple[str, ...]
    references: tuple[float, ...]
    name: str = ""
    cross: Mapping[str, sp.Expr] = field(default_factory=dict)
    cross_texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def varies(self) -> bool:
        return any(not entry.is_number for entry in (*self.entries, *self.cross.values()))

    @property
    def normal(self) -> bool:
        """Whether it depends on the normal of the interface (`phasefield.models.kinetic`)."""
        return bool(self.entries[0].free_symbols & set(NORMAL))

    @property
    def partial(self) -> bool:
        """Whether L holds but a part of the motion."""
        return self.varies or bool(self.cross)

    @property
    def text(self) -> str:
        if self.cross:
            row = {self.name: self.texts[0], **self.cross_texts}
            return f"{{{', '.join(f'{name}: {text}' for name, text in row.items())}}}"
        return self.texts[0] if len(self.texts) == 1 else f"[{', '.join(self.texts)}]"

    @property
    def clipped(self) -> list[sp.Expr]:
        """The entries where they are positive, else 0."""
        return [
            m if m.is_number or m.is_nonnegative else sp.Piecewise((m, m >= 0), (sp.S.Zero, True)) for m in self.entries
        ]


def read(key: str, value: Any, kinetics: Kinetics, reader: Reader) -> tuple[float, Law | None]:
    """A mobility as a number, with its law if it is more than a number.

    Args:
        key: where it stands. value: a number, an expression in the fields, t and the parameters, or one along every axis.

    Raises:
        ConfigError, ExpressionError: it is none of these, or directions are given for a field that relaxes in place.
    """
    if isinstance(value, Mapping):
        names = ("x", "y", "z")[: len(value)]
        if set(value) != set(names) or not names:
            raise ConfigError(key, f"is for {', '.join(map(str, value)) or 'nothing'}", "give one for each of x, y, z")
        value = [value[name] for name in names]
    if isinstance(value, list | tuple):
        if any(isinstance(part, list | tuple | Mapping) for part in value):
            raise ConfigError(
                key,
                "is a matrix; one mobility, or one along every axis is expected",
                "what couples fields is written by their names, as in {a: 2, b: -0.5}; axes are not coupled",
            )
        if not kinetics.conserved:
            raise ConfigError(
                key, "has one entry per axis; a field that is not conserved does not flow and takes a single one"
            )
        if not 1 <= len(value) <= 3:
            raise ConfigError(key, f"has {len(value)} entries", "give one number or expression, or one per axis")
    parts = list(value) if isinstance(value, list | tuple) else [value]
    if len(parts) == 1 and reader.uses_normal(key, parts[0]):
        if kinetics.conserved:
            raise ConfigError(
                key,
                f"{parts[0]} depends on the normal, and the field is conserved",
                "a mobility of the normal is for fields that are not conserved; a conserved one takes an entry per axis",
            )
        kinetic = reader.kinetic(key, parts[0])
        return kinetic if isinstance(kinetic, tuple) else (max(kinetic.references), kinetic)
    found = [reader.law(key, part) for part in parts]
    if all(isinstance(part, float) for part in found) and len(found) == 1:
        return float(found[0]), None
    entries = tuple(sp.Float(part, 17) if isinstance(part, float) else part for part in found)
    references = tuple(part if isinstance(part, float) else 1.0 for part in found)
    return max(references), Law(entries, tuple(str(part) for part in parts), references)


def reduced(expr: sp.Expr, parameters: Mapping[str, float]) -> sp.Expr | None:
    """An expression as one of the parameters alone, where all else in it cancels; None where it does not.

    So a law that lowers the mobility where three order parameters meet is a constant, and costs what a constant does, for two.
    """
    known = {sp.Symbol(name, real=True): sp.Float(value, 17) for name, value in parameters.items()}
    free = sorted(expr.free_symbols - known.keys(), key=str)
    points = [(np.arange(2) + 1 + 3 * i) / (17 + i) for i in range(len(free))]
    with np.errstate(all="ignore"):
        one, other = np.broadcast_to(sp.lambdify(free, expr.xreplace(known), modules="numpy")(*points), 2)
    if not abs(one - other) <= 1e-12 * abs(one):  # nan as well
        return None
    found = sp.cancel(expr)
    return found if found.free_symbols <= known.keys() else None


def check_axes(model: EnergyModel, grid: Grid) -> None:
    """Refuses as many entries as the grid has no axes.

    Raises:
        ConfigError: there are.
    """
    for f in model.order_parameters:
        if f.law is not None and len(f.law.entries) not in (1, grid.dim):
            raise ConfigError(
                f"model.fields.{f.name}.mobility",
                f"has {len(f.law.entries)} entries for {grid.dim} axes",
                f"give one number or expression, or one per axis ({', '.join(grid.names)})",
            )


def referenced(model: EnergyModel, references: Sequence[Sequence[float] | None]) -> EnergyModel:
    """The model with these reference mobilities (per field, see `references`); the model itself if no mobility varies."""
    if not model.varies:
        return model

    def known(f: OrderParameter, values: Sequence[float] | None) -> OrderParameter:
        if f.law is None or values is None:
            return f
        return replace(f, mobility=float(max(values)), law=replace(f.law, references=tuple(map(float, values))))

    parameters = (known(f, values) for f, values in zip(model.order_parameters, references, strict=True))
    return replace(model, order_parameters=tuple(parameters))


def state_text(model: EnergyModel, state: NDArray[np.float64]) -> str:
    return ", ".join(f"{s.name} = {value:.6g}" for s, value in zip(model.unknowns, state, strict=True))
