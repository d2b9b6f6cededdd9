"""What stands at the keys of a model's fields, read: numbers, expressions, laws, symbols."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import sympy as sp

from ..errors import ConfigError
from ..symbolic import Symbols, component_symbols, parse
from . import mobility as mobilities
from .anisotropy import Anisotropy, read
from .normal import uses_normal
from .parameters import Course

COORDINATES = ("x", "y", "z")
#: Corners of tables in time that an expression which kernels evaluate may have.
_MOST_PIECES = 100


class Reader:
    """Reads what stands at the keys of a model's fields.

    Args:
        fields: field -> number of components, None for a scalar one. parameters: values of the constants. courses: those among
            them that depend on time. axes: of the grid.
    """

    def __init__(
        self,
        fields: Mapping[str, int | None],
        parameters: Mapping[str, float],
        courses: Mapping[str, Course] | None = None,
        axes: int = 3,
    ) -> None:
        self._axes = axes
        self._fields, self._parameters, self._courses = dict(fields), dict(parameters), dict(courses or {})

    @property
    def unknowns(self) -> list[sp.Symbol]:
        """The components of all fields."""
        return [s for name, count in self._fields.items() for s in component_symbols(name, count)]

    def _constant(self, key: str, expr: sp.Expr) -> sp.Expr:
        """Refuses what depends on time where a constant is expected."""
        if moving := sorted({s.name for s in expr.free_symbols} & set(self._courses)):
            raise ConfigError(
                key,
                f"depends on time by the parameter {moving[0]}, and is part of what schemes integrate exactly, a constant",
                "parameters in t may stand in model.energy, and in kappa, operator, mobility and source of model.fields.F",
            )
        return expr

    def number(self, key: str, value: Any, signed: bool = False) -> float:
        """A finite number from a number or an expression in the parameters, >= 0 unless it may have a sign.

        Raises:
            ConfigError, ExpressionError: there is none.
        """
        if isinstance(value, str):
            value = self._constant(key, parse(value, key, Symbols({}, tuple(self._parameters))))
        return self._number(key, value, signed)

    def _number(self, key: str, value: Any, signed: bool = False) -> float:
        if isinstance(value, sp.Expr):
            value = value.xreplace({sp.Symbol(k, real=True): sp.Float(v, 17) for k, v in self._parameters.items()})
        try:
            result = float(value)
        except (TypeError, ValueError):
            raise ConfigError(key, f"is {value!r}; a number or an expression in the parameters is expected") from None
        if not math.isfinite(result) or (result < 0 and not signed):
            raise ConfigError(key, f"is {result}; a finite number{'' if signed else ' >= 0'} is expected")
        return result

    def course(self, key: str, value: Any, signed: bool = False) -> float | Course:
        """A finite number, >= 0 unless it may have a sign, or one that depends on time, from an expression in t and parameters.

        Raises:
            ConfigError, ExpressionError: it is neither.
        """
        if isinstance(value, str):
            expr = parse(value, key, Symbols({}, tuple(self._parameters), ("t",)))
            names = {s.name for s in expr.free_symbols}
            if "t" in names or names & set(self._courses):
                table = {n: sp.Float(v, 17) for n, v in self._parameters.items()}
                table |= {n: c.expr for n, c in self._courses.items()}
                return Course(value, expr.xreplace({sp.Symbol(n, real=True): e for n, e in table.items()}))
            value = expr
        return self._number(key, value, signed)

    def normal(self, key: str, value: Any, convexify: bool = False) -> Anisotropy | None:
        """A coefficient that depends on the normal, see `phasefield.models.anisotropy.read`, which tells what it raises; None for
        what does not depend on it.

        Args:
            convexify: see `phasefield.models.wulff.convexified`.
        """
        if not uses_normal(value, key, list(self._parameters)):
            return None
        law = read(key, str(value), self._parameters, list(self._courses), self._axes)
        if not convexify:
            return law
        from .wulff import convexified

        return convexified(law, self._parameters, key)

    def uses_normal(self, key: str, value: Any) -> bool:
        """Whether a value is an expression in the normal, see `phasefield.models.normal.uses_normal`."""
        return uses_normal(value, key, list(self._parameters))

    def kinetic(self, key: str, value: Any) -> mobilities.Law | tuple[float, None]:
        """A mobility that depends on the normal, see `phasefield.models.kinetic.read`, which tells what it raises; a number where
        nothing of it is left."""
        from .kinetic import read as read_kinetic  # which makes operations

        names = [s.name for s in self.unknowns]
        found = read_kinetic(key, str(value), self._parameters, list(self._courses), self._axes, names)
        return found if isinstance(found, mobilities.Law) else (self._number(key, found), None)

    def operator(self, key: str, value: Any) -> sp.Expr:
        """The symbol of a quadratic nonlocal energy, see `phasefield.models.operators.read`, which tells what it raises."""
        from .operators import read  # which evaluates models

        return read(key, str(value), self._parameters)

    def law(self, key: str, value: Any, signed: bool = False) -> float | sp.Expr:
        """A finite number, >= 0 unless it may have a sign, or an expression in the fields, t and the parameters, with those that
        depend on time written out.

        Raises:
            ConfigError, ExpressionError: it is neither.
        """
        if isinstance(value, str):
            expr = parse(value, key, Symbols(self._fields, tuple(self._parameters), ("t",)))
            expr = expr.xreplace({sp.Symbol(k, real=True): course.expr for k, course in self._courses.items()})
            if (pieces := len(expr.atoms(sp.Piecewise))) > _MOST_PIECES:
                raise ConfigError(
                    key,
                    f"depends on a table of some {pieces} rows; a mobility takes {_MOST_PIECES}",
                    "thin the table out, or write the parameter as an expression in t",
                )
            if not {s.name for s in expr.free_symbols} <= set(self._parameters):
                reduced = mobilities.reduced(expr, self._parameters)
                if reduced is None:
                    return expr
                expr = reduced
            value = expr
        return self._number(key, value, signed)

    def expressions(self, key: str, value: Any, components: int) -> tuple[sp.Expr, ...]:
        """One expression in x, y, z, t, the parameters and the fields, or one per component.

        Raises:
            ConfigError, ExpressionError: another number of them, or one that cannot be read.
        """
        texts = list(value) if isinstance(value, list | tuple) else [value]
        if len(texts) not in (1, components):
            raise ConfigError(key, f"has {len(texts)} entries; one, or one per component is expected")
        known = Symbols(self._fields, tuple(self._parameters), (*COORDINATES, "t"))
        return tuple(parse(str(text), key, known) for text in texts)

    def data(self, key: str, value: Any, components: int) -> tuple[sp.Expr, ...]:
        """The same of what may not depend on the fields."""
        return Reader({}, self._parameters, self._courses).expressions(key, value, components)
