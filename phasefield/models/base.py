"""From one free-energy density to everything a solver needs.

    F[u] = int f(u) + sum_i kappa_i/2 |grad u_i|^2 dV
    conserved:     du_i/dt = M_i lap(dF/du_i)      (Cahn and Hilliard 1958; Cahn 1961)
    nonconserved:  du_i/dt = -M_i dF/du_i          (Allen and Cahn 1979)

`EnergyModel` differentiates ``f`` and `SpectralSplit` writes the result as ``u' = L u + N(u)`` with a real symbol L <= 0 per
component: the gradient energy and a stabiliser S go to L, everything that can grow stays in N, so that a state kept in spectral
space cannot drift from Hermitian symmetry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
import sympy as sp

from ..backend import Apply, Forward, Inverse, Layout, Operation
from ..codegen import K2, MASK, Kernel, Reduction, array_symbol
from ..errors import ConfigError
from ..symbolic import Symbols, check_names, component_symbols, differentiate, parse

Kinetics = Literal["conserved", "nonconserved"]
COORDINATES = ("x", "y", "z")
_SCALE = sp.Symbol("scale", real=True)


@dataclass(frozen=True)
class OrderParameter:
    """One field of a model.

    Attributes:
        name: its name in expressions and in the output.
        kinetics: ``conserved`` (Cahn-Hilliard) or ``nonconserved`` (Allen-Cahn).
        mobility: M, in (model units) length^2/energy density/time if conserved, 1/energy density/time if not.
        kappa: gradient energy coefficient, energy density x length^2.
        components: None for a scalar field, else the number of components.
        source: rate added to the right-hand side, an expression in x, y, z, t and the fields, or one per
            component; None for none.
        stabilizer: S of the splitting, energy density; None to take it from the energy's second derivative.
        units, description: written to the output.
    """

    name: str
    kinetics: Kinetics
    mobility: float
    kappa: float
    components: int | None = None
    source: sp.Expr | tuple[sp.Expr, ...] | None = None
    stabilizer: float | None = None
    units: str = "1"
    description: str = ""

    @property
    def symbols(self) -> tuple[sp.Symbol, ...]:
        return component_symbols(self.name, self.components)

    @property
    def sources(self) -> tuple[sp.Expr | None, ...]:
        """The source of every component."""
        return self.source if isinstance(self.source, tuple) else (self.source,) * len(self.symbols)


@dataclass(frozen=True)
class EnergyModel:
    """A free-energy density with its order parameters and constants.

    Args:
        name: name of the model.
        energy: free-energy density f, symbolic in the order parameters and the parameters.
        order_parameters: the fields. parameters: values of the constants.
        text: the expression as the user wrote it. written: what it says, where ``energy`` is continued beyond its domain.
    """

    name: str
    energy: sp.Expr
    order_parameters: tuple[OrderParameter, ...]
    parameters: Mapping[str, float] = field(default_factory=dict)
    text: str = ""
    written: sp.Expr | None = None

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

    @property
    def gradient_flow(self) -> bool:
        """Whether the free energy can only fall: no source terms."""
        return all(f.source is None for f in self.order_parameters)

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
            values |= {f"mobility_{i}": f.mobility, f"kappa_{i}": f.kappa}
        return values

    def scalar(self, name: str, i: int) -> sp.Symbol:
        """Kernel argument that holds a constant of component ``i``: mobility, kappa or stabilizer, the same all over a field."""
        return sp.Symbol(f"{name}_{self.order_parameters.index(self.components[i][0])}", real=True)

    def values(self, expr: sp.Expr) -> sp.Expr:
        """``expr`` with the parameters replaced by their values."""
        return expr.xreplace({sp.Symbol(k, real=True): sp.Float(v, 17) for k, v in self.parameters.items()})

    def evaluate(self, exprs: Sequence[sp.Expr], points: np.ndarray) -> np.ndarray:
        """Expressions at points, shapes ``(len(exprs), n)`` and ``(components, n)``; non-finite results are kept quietly."""
        return self.function(exprs)(points)

    def function(self, exprs: Sequence[sp.Expr]) -> Callable[[np.ndarray], np.ndarray]:
        """`evaluate` of the same expressions at one set of points after another: compiling them is what takes time."""
        function = sp.lambdify(self.unknowns, [self.values(sp.sympify(e)) for e in exprs], modules="numpy", cse=True)

        def at(points: np.ndarray) -> np.ndarray:
            with np.errstate(all="ignore"):
                values = function(*points)
                dtype = np.result_type(points.dtype, float)  # complex points serve complex steps
                return np.array([np.broadcast_to(np.asarray(v, dtype=dtype), points.shape[1:]) for v in values])

        return at

    @classmethod
    def build(
        cls, name: str, energy: str, order_parameters: Sequence[Mapping[str, Any]], parameters: Mapping[str, float]
    ) -> EnergyModel:
        """Parses the expressions of a configuration.

        Args:
            order_parameters: mappings with the attributes of `OrderParameter`; ``mobility``, ``kappa`` and ``stabilizer`` may
                be expressions in the parameters, ``source`` an expression in x, y, z, t, the parameters and the fields.

        Raises:
            ConfigError, ExpressionError: with the configuration key at fault.
        """
        fields = {f["name"]: f.get("components") for f in order_parameters}
        symbols = Symbols(fields, tuple(parameters))
        check_names(symbols, "model")
        for key, value in parameters.items():
            if not math.isfinite(value):
                raise ConfigError(f"model.parameters.{key}", f"is {value}; a finite number is expected")

        def number(key: str, value: Any) -> float:
            if isinstance(value, str):
                expr = parse(value, key, Symbols({}, tuple(parameters)))
                value = expr.xreplace({sp.Symbol(k, real=True): sp.Float(v, 17) for k, v in parameters.items()})
            try:
                result = float(value)
            except (TypeError, ValueError):
                raise ConfigError(
                    key, f"is {value!r}; a number or an expression in the parameters is expected"
                ) from None
            if not math.isfinite(result) or result < 0:
                raise ConfigError(key, f"is {result}; a finite number >= 0 is expected")
            return result

        built = []
        for item in order_parameters:
            key = f"model.fields.{item['name']}"
            if item.get("kinetics") not in ("conserved", "nonconserved"):
                raise ConfigError(f"{key}.kinetics", f"is {item.get('kinetics')!r}; expected conserved or nonconserved")
            components = item.get("components")
            if components is not None and components < 1:
                raise ConfigError(
                    f"{key}.components", f"is {components}; expected a whole number >= 1, or null for a scalar field"
                )
            source = item.get("source")
            if source is not None:
                texts = list(source) if isinstance(source, list | tuple) else [source]
                if len(texts) not in (1, components or 1):
                    problem = f"has {len(texts)} entries; one, or one per component is expected"
                    raise ConfigError(f"{key}.source", problem)
                known = Symbols(fields, tuple(parameters), (*COORDINATES, "t"))
                parsed = tuple(parse(str(text), f"{key}.source", known) for text in texts)
                source = None if not any(parsed) else parsed[0] if len(parsed) == 1 else parsed
            stabilizer = item.get("stabilizer")
            built.append(
                OrderParameter(
                    name=item["name"],
                    kinetics=item["kinetics"],
                    mobility=number(f"{key}.mobility", item["mobility"]),
                    kappa=number(f"{key}.kappa", item["kappa"]),
                    components=components,
                    source=source,
                    stabilizer=None if stabilizer in (None, "auto") else number(f"{key}.stabilizer", stabilizer),
                    units=item.get("units") or "1",
                    description=item.get("description") or "",
                )
            )
        return cls(name, parse(energy, "model.energy", symbols), tuple(built), dict(parameters), energy)


def _exchange(one: sp.Symbol, other: sp.Symbol) -> dict[sp.Symbol, sp.Symbol]:
    return {one: other, other: one}


class Split(Protocol):
    """A right-hand side ``u' = L u + N(u)`` in spectral space: all an integrator knows.

    ``operations`` turn a copy of the state in ``array`` into transformed channels g, at the time that is the scalar ``t``; N is
    the linear expression ``explicit`` of them. ``bulk`` is the bulk free energy from the operations' reductions.
    """

    @property
    def components(self) -> int: ...

    @property
    def channels(self) -> int: ...

    @property
    def linear(self) -> Sequence[sp.Expr]: ...

    @property
    def supplied(self) -> Sequence[int]:
        """Components whose mean nothing but a source changes."""
        ...

    @property
    def scalars(self) -> Mapping[str, float]: ...

    def explicit(self, array: str) -> list[sp.Expr]: ...

    def operations(self, array: str) -> list[Operation]: ...

    def bulk(self, reduced: Mapping[str, float]) -> float: ...


class SpectralSplit:
    """The splitting of an `EnergyModel` on a grid.

    With q = M k^2 (conserved) or M (nonconserved): L = -q (S + kappa k^2) and N = -q FT[df/du - S u] + FT[source].

    Args:
        stabilizers: S of every component, the same all over a field.
        dealias: apply the two-thirds rule to N.
        monitor: also reduce the bulk free energy in `nonlinear`.
    """

    def __init__(
        self,
        model: EnergyModel,
        layout: Layout,
        stabilizers: Sequence[float],
        dealias: bool = False,
        monitor: bool = True,
    ) -> None:
        self.model, self.layout = model, layout
        self.components = len(model.components)
        # A conserved component takes the Laplacian of its channel, so its source needs a channel of its own.
        self._source_channel: dict[int, int] = {}
        for i, (f, _) in enumerate(model.components):
            if model.sources[i] is not None and f.kinetics == "conserved":
                self._source_channel[i] = self.components + len(self._source_channel)
        self.channels = self.components + len(self._source_channel)
        self.supplied = list(self._source_channel)
        self._dealias = dealias
        self.scalars: dict[str, float] = dict(model.scalars)
        self.stabilize(stabilizers)
        # An argument as well: kernels compile once for all sizes of grids.
        self.scalars[_SCALE.name] = 1 / layout.grid.norm
        self.kappas = [model.scalar("kappa", i) for i in range(self.components)]
        self.linear = [
            -self._kinetic(i) * (model.scalar("stabilizer", i) + kappa * K2) for i, kappa in enumerate(self.kappas)
        ]
        self._kernel = self._pointwise(monitor)

    def stabilize(self, stabilizers: Sequence[float]) -> None:
        """Sets S of every component. L and N change with it: values of N from before do not fit those to come."""
        self.scalars |= {self.model.scalar("stabilizer", i).name: s for i, s in enumerate(stabilizers)}

    def _kinetic(self, i: int) -> sp.Expr:
        conserved = self.model.components[i][0].kinetics == "conserved"
        return self.model.scalar("mobility", i) * (K2 if conserved else 1)

    def _pointwise(self, monitor: bool) -> Kernel:
        model = self.model
        names = model.on("work")
        outputs: list[sp.Expr] = []
        for i, (f, _) in enumerate(model.components):
            g = model.potentials[i].xreplace(names) - model.scalar("stabilizer", i) * array_symbol("work", i)
            if f.kinetics == "nonconserved":
                source = model.sources[i]
                g = model.scalar("mobility", i) * g - (0 if source is None else source.xreplace(names))
            outputs.append(g)
        outputs += [model.sources[i].xreplace(names) for i in self._source_channel]  # type: ignore[union-attr]
        reductions = {"bulk": Reduction("sum", model.energy.xreplace(names))} if monitor else {}
        return Kernel(
            "nonlinear", "real", {"work": self.channels}, {"work": outputs}, reductions, scalars=[*self.scalars, "t"]
        )

    def explicit(self, array: str) -> list[sp.Expr]:
        """N of every component in terms of the channels held in ``array``; undoes the transforms' scaling."""
        scale = _SCALE * (MASK if self._dealias else 1)
        result = []
        for i in range(self.components):
            conserved = self.model.components[i][0].kinetics == "conserved"
            n = -(self._kinetic(i) if conserved else 1) * array_symbol(array, i)
            if i in self._source_channel:
                n = n + array_symbol(array, self._source_channel[i])
            result.append(scale * n)
        return result

    def operations(self, array: str) -> list[Operation]:
        """What overwrites the state in ``array`` by the channels of N."""
        return [
            Inverse(array, self.components),
            Apply(self._kernel, {"work": array}),
            Forward(array, self.channels),
        ]

    def bulk(self, reduced: Mapping[str, float]) -> float:
        """The bulk free energy (NaN if not monitored)."""
        return reduced.get("bulk", math.nan) * self.layout.grid.cell_volume
