"""A model: fields with their kinetics, and the free energy that everything else follows from.

    F[u] = int f(u) + sum_i kappa_i/2 |grad u_i|^2 dV

and whatever other terms it has (`phasefield.models.terms`). How the fields move down F: `phasefield.models.kinetics`; how that is
split for time integration: `phasefield.models.split`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp

from ..codegen import array_symbol
from ..errors import ConfigError
from ..grid import Grid
from ..symbolic import Symbols, check_names, differentiate, parse
from . import mobility as mobilities
from . import onsager
from . import parameters as given_parameters
from .fields import OrderParameter, started
from .kinetics import KINETICS
from .parameters import Course
from .reading import COORDINATES, Reader
from .terms import TERMS, Term
from .walls import Lifting

__all__ = ["COORDINATES", "EnergyModel", "OrderParameter", "Reader"]


@dataclass(frozen=True)
class EnergyModel:
    """A free-energy density with its order parameters and constants.

    Args:
        name: name of the model.
        energy: free-energy density f, symbolic in the order parameters and the parameters.
        order_parameters: the fields. parameters: values of the constants, and of those that depend on time at the time at hand,
            0 if not said otherwise (see `at`). courses: how these do.
        settings: what terms have of a model as a whole, see `phasefield.models.terms`.
        grid: where it is, for terms that know walls; None where they hold nothing.
        text: the expression as the user wrote it. written: what it says, where ``energy`` is continued beyond its domain.
    """

    name: str
    energy: sp.Expr
    order_parameters: tuple[OrderParameter, ...]
    parameters: Mapping[str, float] = field(default_factory=dict)
    text: str = ""
    written: sp.Expr | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    courses: Mapping[str, Course] = field(default_factory=dict)
    grid: Grid | None = None
    _compiled: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def at(self, t: float) -> EnergyModel:
        """The model with its parameters as they are at time ``t``; itself where none depends on it."""
        if not self.courses:
            return self
        parameters = {**self.parameters, **{name: c.at(t) for name, c in self.courses.items()}}
        model = replace(self, parameters=parameters, order_parameters=tuple(f.at(t) for f in self.order_parameters))
        own = any(f.courses for f in self.order_parameters)
        kept = (*(() if own else ("components",)), "kinds", "potentials", "curvatures", "hessian", "bodies")
        model.__dict__.update({name: self.__dict__[name] for name in kept if name in self.__dict__})
        return model

    @cached_property
    def components(self) -> list[tuple[OrderParameter, sp.Symbol]]:
        """Every component of every field, in buffer order."""
        return [(f, s) for f in self.order_parameters for s in f.symbols]

    @property
    def unknowns(self) -> list[sp.Symbol]:
        return [s for _, s in self.components]

    @property
    def sources(self) -> list[sp.Expr | None]:
        """The source of every component, None for none."""
        return [s for f in self.order_parameters for s in f.sources]

    @cached_property
    def kinds(self) -> list[int]:
        """For every component the first of its field that is like it: f stays the same expression if the two change places.

        All components of a kind may then be permuted at will, so what is derived from f for one follows for the others by
        renaming, which takes SymPy far less time than another derivative.
        """
        kinds: list[int] = []
        firsts: dict[str, list[int]] = {}
        for i, (f, s) in enumerate(self.components):
            candidates = firsts.setdefault(f.name, [])
            like = (k for k in candidates if self.energy.xreplace(_exchange(self.unknowns[k], s)) == self.energy)
            kinds.append(next(like, i))
            if kinds[i] == i:
                candidates.append(i)
        return kinds

    @cached_property
    def potentials(self) -> list[sp.Expr]:
        """df/du_i, the local part of the chemical potential or driving force of every component."""
        smooth = self.written is not None  # what was written has been checked, and was continued smoothly

        def derive(i: int) -> sp.Expr:
            return differentiate(self.energy, self.unknowns[i], "model.energy", self.text, allow_jumps=smooth)

        return self._per_kind(derive)

    @cached_property
    def curvatures(self) -> list[sp.Expr]:
        """d2f/du_i2, the diagonal of the Hessian."""
        return self._per_kind(lambda i: sp.diff(self.potentials[i], self.unknowns[i]))

    @cached_property
    def hessian(self) -> sp.Matrix:
        """Second derivatives of f."""
        return sp.Matrix([[sp.diff(p, s) for s in self.unknowns] for p in self.potentials])

    def _per_kind(self, derive: Callable[[int], sp.Expr]) -> list[sp.Expr]:
        """``derive(i)`` for every component, renamed from the first of its kind."""
        found: list[sp.Expr] = []
        for i, k in enumerate(self.kinds):
            found.append(derive(i) if i == k else found[k].xreplace(_exchange(self.unknowns[k], self.unknowns[i])))
        return found

    @cached_property
    def terms(self) -> list[Term]:
        """What the model is the sum of."""
        return [term for kind in TERMS if (term := kind(self)).active]

    @cached_property
    def bodies(self) -> list[list[int]]:
        """Fields that act on each other, directly or through others, by their numbers; every field is in one body."""
        slices = list(self.slices().values())
        owner = {s: i for i, part in enumerate(slices) for s in self.unknowns[part]}
        if any(term.temporaries for term in self.terms):  # which say what they are made of to nobody
            return [list(range(len(slices)))]
        bodies: list[set[int]] = []
        for i, part in enumerate(slices):
            law = self.order_parameters[i].law
            forces = self.order_parameters[i].values.get("force") or ()
            laws = [e for e in (*self.potentials[part], *self.sources[part], *forces) if e is not None]
            laws += () if law is None else (*law.entries, *law.cross.values(), *map(self._symbol_of, law.cross))
            body = {i, *(owner[s] for e in laws for s in e.free_symbols if s in owner)}
            joined = [b for b in bodies if b & body]
            bodies = [*(b for b in bodies if b not in joined), body.union(*joined)]
        return [sorted(body) for body in bodies]

    def _symbol_of(self, name: str) -> sp.Symbol:
        return self.unknowns[self.slices()[name].start]

    @property
    def gradient_flow(self) -> bool:
        """Whether the free energy can only fall: no sources, no noise, no walls that do work."""
        return not any(term.driven for term in self.terms)

    @property
    def noisy(self) -> bool:
        """Whether some field has thermal noise."""
        return any(f.values.get("noise", 0.0) != 0 for f in self.order_parameters)

    @cached_property
    def lifting(self) -> Lifting | None:
        """How the fields meet the data of walls; None where there are none."""
        held = any(f.values.get("walls") is not None for f in self.order_parameters)
        return Lifting(self, self.grid) if self.grid is not None and held else None

    @property
    def varies(self) -> bool:
        """Whether the mobility of some field depends on the fields, on time or on the normal."""
        return any(f.law is not None and f.law.varies for f in self.order_parameters)

    @property
    def drifts(self) -> bool:
        """Whether a run may change the range of some mobility."""
        return any(f.law is not None and f.law.varies and not f.law.normal for f in self.order_parameters)

    def slices(self) -> dict[str, slice]:
        """Buffer components of every field."""
        result, start = {}, 0
        for f in self.order_parameters:
            count = len(f.symbols)
            result[f.name] = slice(start, start + count)
            start += count
        return result

    def on(self, array: str) -> dict[sp.Symbol, sp.Symbol]:
        """Substitution from the model's symbols to what kernels know: components of ``array`` and scalar arguments."""
        table = {s: array_symbol(array, i) for i, s in enumerate(self.unknowns)}
        return table | {sp.Symbol(p, real=True): sp.Symbol(f"par_{p}", real=True) for p in self.parameters}

    @property
    def scalars(self) -> dict[str, float]:
        """Kernel arguments: constants are passed, not built in, so that a sweep over them compiles once."""
        values = {f"par_{k}": v for k, v in self.parameters.items()}
        for i, f in enumerate(self.order_parameters):
            values[f"mobility_{i}"] = f.mobility
            if f.law is not None and len(f.law.entries) > 1:
                values |= {f"mobility_{axis}_{i}": m for axis, m in zip(COORDINATES, f.law.references, strict=False)}
            for key, value in f.values.items():
                if isinstance(value, float):
                    values[f"{key}_{i}"] = value
                elif isinstance(value, tuple) and all(isinstance(part, float) for part in value):
                    values |= {f"{key}_{axis}_{i}": part for axis, part in zip(COORDINATES, value, strict=False)}
            if f.law is not None and f.law.cross and not f.law.varies:
                values[f"coupling_{i}_{i}"] = float(f.law.entries[0])
                places = {other.name: j for j, other in enumerate(self.order_parameters)}
                values |= {f"coupling_{i}_{places[name]}": float(m) for name, m in f.law.cross.items()}
        for term in self.terms:
            values |= term.constants
        return values

    def argument(self, name: str) -> sp.Symbol:
        """Kernel argument by its name."""
        return sp.Symbol(name, real=True)

    def moving(self, t: float) -> dict[str, float]:
        """Those of `scalars` that depend on time, at time ``t``."""
        found = {f"par_{name}": course.at(t) for name, course in self.courses.items()}
        for i, f in enumerate(self.order_parameters):
            for key in f.courses:
                value = f.at(t).values[key]
                parts = zip("xyz", value, strict=False) if isinstance(value, tuple) else ()
                found |= {f"{key}_{axis}_{i}": part for axis, part in parts} or {f"{key}_{i}": value}
        return found

    def scalar(self, name: str, i: int) -> sp.Symbol:
        """Kernel argument that holds a number of component ``i``: mobility, kappa, stabilizer, ..., the same all over a field."""
        return sp.Symbol(f"{name}_{self.order_parameters.index(self.components[i][0])}", real=True)

    def values(self, expr: sp.Expr) -> sp.Expr:
        """``expr`` with the parameters replaced by their values."""
        return expr.xreplace({sp.Symbol(k, real=True): sp.Float(v, 17) for k, v in self.parameters.items()})

    def evaluate(self, exprs: Sequence[sp.Expr], points: np.ndarray) -> np.ndarray:
        """Expressions at points, shapes ``(len(exprs), n)`` and ``(components, n)``; non-finite results are kept quietly."""
        return self.function(exprs)(points)

    def function(self, exprs: Sequence[sp.Expr]) -> Callable[[np.ndarray], np.ndarray]:
        """`evaluate` of the same expressions at one set of points after another: compiling them is what takes time."""
        # What depends on time is an argument, so that the model at another time need not be compiled anew.
        moving = [self.parameters[name] for name in self.courses]
        function = self._function(exprs)

        def at(points: np.ndarray) -> np.ndarray:
            with np.errstate(all="ignore"):
                values = function(*points, *moving)
                dtype = np.result_type(points.dtype, float)  # complex points serve complex steps
                return np.array([np.broadcast_to(np.asarray(v, dtype=dtype), points.shape[1:]) for v in values])

        return at

    def _function(self, exprs: Sequence[sp.Expr]) -> Callable[..., Any]:
        constants = {k: v for k, v in self.parameters.items() if k not in self.courses}
        key = tuple(exprs), tuple(constants.items())
        if not self.courses or key not in self._compiled:
            table = {sp.Symbol(k, real=True): sp.Float(v, 17) for k, v in constants.items()}
            names = [*self.unknowns, *(sp.Symbol(k, real=True) for k in self.courses)]
            fixed = [sp.sympify(e).xreplace(table) for e in exprs]
            self._compiled[key] = sp.lambdify(names, fixed, modules="numpy", cse=True)
        return self._compiled[key]

    def in_time(self, expr: sp.Expr) -> sp.Expr:
        """``expr`` with the constants replaced by their values, and what depends on time by its course."""
        return self.values(expr.xreplace({sp.Symbol(k, real=True): c.expr for k, c in self.courses.items()}))

    @classmethod
    def build(
        cls,
        name: str,
        energy: str,
        order_parameters: Sequence[Mapping[str, Any]],
        parameters: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
        axes: int = 3,
    ) -> EnergyModel:
        """Parses the expressions of a configuration.

        Args:
            order_parameters: mappings with the keys under ``model.fields.F``; a mobility may be an expression in the fields, t
                and the parameters, or one along every axis; what else may be one is up to the terms.
            settings: the keys that terms have under ``model``. axes: of the grid.
            parameters: numbers, expressions in t and the other constants, or tables, see `phasefield.models.parameters`.

        Raises:
            ConfigError, ExpressionError: with the configuration key at fault.
        """
        fields = {f["name"]: f.get("components") for f in order_parameters}
        symbols = Symbols(fields, tuple(parameters), timed=True)
        check_names(symbols, "model")
        start, courses = given_parameters.read(parameters)
        reader = Reader(fields, start, courses, axes)
        built, rows = [], {}
        for item in order_parameters:
            key = f"model.fields.{item['name']}"
            kinetics = KINETICS.get(str(item.get("kinetics")))
            if kinetics is None:
                problem = f"is {item.get('kinetics')!r}; expected {' or '.join(KINETICS)}"
                raise ConfigError(f"{key}.kinetics", problem)
            components = item.get("components")
            if components is not None and components < 1:
                raise ConfigError(
                    f"{key}.components", f"is {components}; expected a whole number >= 1, or null for a scalar field"
                )
            at = f"{key}.mobility"
            own, cross = onsager.row(at, item["mobility"], item["name"], list(fields))
            mobility, law = mobilities.read(at, own, kinetics, reader)
            rows[item["name"]] = {o: (sp.sympify(reader.law(at, m, signed=True)), str(m)) for o, m in cross.items()}
            values = {name: value for term in TERMS for name, value in term.read(key, item, reader).items()}
            values, own_courses = started(values, {key for term in TERMS for key in term.followed})
            about = {"units": item.get("units") or "1", "description": item.get("description") or ""}
            f = OrderParameter(
                item["name"], kinetics, mobility, components, values, law=law, courses=own_courses, **about
            )
            built.append(f)
            if taken := sorted(f.named_courses.keys() & set(parameters)):
                raise ConfigError(
                    f"model.parameters.{taken[0]}", f"is what {key} calls a number of its own", "rename it"
                )
            courses |= f.named_courses
            start |= {name: course.at(0.0) for name, course in f.named_courses.items()}
        kept = {k: v for term in TERMS for k, v in term.configure(settings or {}, axes, reader).items()}
        moving = {name: course for term in TERMS for name, course in term.courses(kept).items()}
        courses |= moving
        start |= {name: course.at(0.0) for name, course in moving.items()}
        expression = parse(energy, "model.energy", symbols)
        return cls(name, expression, onsager.coupled(built, rows), start, energy, settings=kept, courses=courses)


def _exchange(one: sp.Symbol, other: sp.Symbol) -> dict[sp.Symbol, sp.Symbol]:
    return {one: other, other: one}
