"""From a model to ``u' = L u + N(u)``.

With F[u] = int f(u) dV + 1/2 sum_k A_i |u_i|^2 + ..., the symbol A_i = kappa_i k^2 of the gradient term and those of others, a
stabiliser S_i and a source s_i, every component obeys in modes (FT the transform)

    conserved,    q = M_i k^2:   L = -q (S_i + A_i),   N = -q FT[df/du_i - S_i u_i] + FT[s_i]
    nonconserved, q = M_i:       L = -q (S_i + A_i),   N = -FT[M_i (df/du_i - S_i u_i) - s_i]

Where a mobility varies, M_i is a constant reference and N has what is left, see `phasefield.models.transport`.
The sum of both is the model's own equation, whatever S is. L is real and never positive, and everything that can grow is in N:
a state kept in spectral space would drift from Hermitian symmetry if growing modes sat in L. Where the symbols are negative in
some modes, S stands for the S that is given plus the depth of the lowest: S + A is then at least what is given in every mode,
which is all that the analysis of `phasefield.models.stabilizer` asks for, and no pass over memory more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import sympy as sp

from ..backend import Apply, Forward, Inverse, Layout, Operation
from ..codegen import K2, MASK, WEIGHT, Kernel, PerMode, Reduction, array_symbol
from ..grid import Grid
from . import onsager
from .energy import EnergyModel
from .moving import Moving, References
from .spectrum import Spectrum
from .terms import Term
from .transport import Transport, operator
from .uniform import explicit, filled, uniform
from .waves import SCALE, WAVES


@dataclass(frozen=True)
class Noise:
    """Noise of a component: u' = L u + N(u) + sqrt(strength * shape) w in modes, w the modes of white noise.

    Attributes:
        strength: an expression in scalars, which may depend on time.
        shape: one in what kernels know of a mode, and in scalars that do not.
    """

    strength: sp.Expr
    shape: sp.Expr


class Split(Protocol):
    """A right-hand side ``u' = L u + N(u)`` in modes, and the energy that it lowers: all an integrator knows.

    Attributes:
        components: of the state. channels: arrays that stand for N in the integrator's history.
        linear: L of every component, an expression in scalars and in what kernels know of a mode.
        metric: of every component, the weight of a mode in products of two rates, up to a factor: 1/q in a gradient flow, where
            u' = -q dF/du, so that what creeps and what relaxes are orthogonal; else 1.
        noise: of every component what drives its modes at random, None for nothing.
        supplied: components whose mean nothing but a source changes.
        parts: names of the parts of the energy; none where it has none.
        temporaries: arrays that the operations use besides, name -> components; the integrator makes them.
        tables: constants in every mode, name -> array that fills a buffer; likewise.
        memory: rings of arrays for warm starts, name -> components; operations find what accepted evaluations left and fill the
            next, see `phasefield.integrators.memory`. They are part of a carry and of checkpoints, and a step that is refused
            leaves no trace in them.
    """

    @property
    def components(self) -> int: ...

    @property
    def channels(self) -> int: ...

    @property
    def linear(self) -> Sequence[sp.Expr]: ...

    @property
    def metric(self) -> Sequence[sp.Expr]: ...

    @property
    def noise(self) -> Sequence[Noise | None]: ...

    @property
    def supplied(self) -> Sequence[int]: ...

    @property
    def parts(self) -> Sequence[str]: ...

    @property
    def temporaries(self) -> Mapping[str, int]: ...

    @property
    def tables(self) -> Mapping[str, np.ndarray]: ...

    @property
    def memory(self) -> Mapping[str, int]: ...

    def scalars(self, t: float) -> Mapping[str, float]:
        """Arguments of all kernels for what is evaluated at time ``t``.

        Those in ``linear`` and `explicit` multiply what past steps have left and must not change from step to step.
        """

    def operations(self, array: str) -> list[Operation]:
        """What overwrites the state in ``array`` by the channels of N; reductions on the way are parts of the energy."""

    def cells(self, array: str) -> list[Operation]:
        """What overwrites the state in ``array`` by its values in cells."""

    def explicit(self, array: str) -> list[sp.Expr]:
        """N of every component, a linear form of the channels in ``array``: the channels themselves if operations end in N."""

    def quadratic(self, modes: Sequence[sp.Expr]) -> Mapping[str, sp.Expr]:
        """Parts of the energy that are sums over all modes of a state, with its components given as expressions."""

    def energies(self, reduced: Mapping[str, float]) -> dict[str, float]:
        """The parts of the energy by name, as far as the reductions at hand tell them."""

    def inexact(self, reduced: Mapping[str, float]) -> float:
        """By how much the energy may be too large for what solvers left of their errors."""


_VOLUME = sp.Symbol("volume", real=True)


class SpectralSplit:
    """The splitting of an `EnergyModel` on a grid.

    Args:
        stabilizers: S of every component, the same all over a field.
        dealias: apply the two-thirds rule to N.
        monitor: also reduce the energies that are known in cells in `operations`.
        references: what L has of symbols that depend on time; None for those at t = 0.

    Attributes:
        stabilizers: S of every component as it stands in L and N, the depth of negative symbols included.
    """

    def __init__(
        self,
        model: EnergyModel,
        layout: Layout,
        stabilizers: Sequence[float],
        dealias: bool = False,
        monitor: bool = True,
        references: References | None = None,
    ) -> None:
        self.model, self.layout = model, layout
        self.components = len(model.components)
        references = references or References.of(model, layout.grid, 0.0)
        self._moving = Moving(model, [self._symbol(i) for i in range(self.components)], references)
        self._potentials = [self._potential(i) for i in range(self.components)]
        self.temporaries = {name: n for term in model.terms for name, n in term.temporaries.items()}
        self.temporaries |= self._moving.temporaries
        self._transport = Transport(
            model, self._moving.linear, layout.grid.dim, WAVES, self._potentials, self.temporaries
        )
        self._uniform = self._same_everywhere()
        self._evaluated = [self._channels(i) for i in range(self.components)]
        # Further channels of a component lie behind the first ones of all.
        self._places: list[list[int]] = []
        self.channels = self.components
        for i, channels in enumerate(self._evaluated):
            more = len(channels) - 1
            self._places.append([i, *range(self.channels, self.channels + more)])
            self.channels += more
        self.supplied = [
            i for i, (f, _) in enumerate(model.components) if f.kinetics.conserved and self._rate(i) is not None
        ]
        self.temporaries |= self._transport.temporaries
        self.memory = {name: n for term in model.terms for name, n in term.memory.items()}
        # Both parts of a complex mode are multiplied alike.
        self.tables = {
            name: np.repeat(table, layout.parts, axis=-1)
            for term in model.terms
            for name, table in term.tables(layout).items()
        }
        self._energies = Energies(model, layout.grid)
        self.parts = self._energies.parts
        self._timed = [term for term in model.terms if type(term).scalars is not Term.scalars]
        self._dealias = dealias
        self._depths = depths(model, layout.grid, references)
        self._constants: dict[str, float] = {**model.scalars, **self._moving.constants}
        self.stabilize(stabilizers)
        # An argument as well: kernels compile once for all sizes of grids.
        self._constants[SCALE.name] = 1 / layout.grid.norm
        if model.noisy:
            self._constants[_VOLUME.name] = layout.grid.volume
        least = [f.kinetics.operator(f.mobility, layout.grid.wavenumbers[0]) for f in model.order_parameters]
        least_of_all = min((q for q in least if q > 0), default=0.0)
        for i, f in enumerate(model.order_parameters):
            self._constants[f"metric_{i}"] = least_of_all / f.mobility if f.mobility > 0 else 0.0
        self.linear = [self._linear(i) for i in range(self.components)]
        self.metric = [self._metric(i) for i in range(self.components)]
        self.noise = [self._noise(i) for i in range(self.components)]
        self._kernel = self._pointwise(monitor)

    def stabilize(self, stabilizers: Sequence[float], model: EnergyModel | None = None) -> None:
        """Sets S of every component. L and N change with it: values of N from before do not fit those to come.

        Args:
            model: the same with other reference mobilities; None for those at hand.
        """
        if model is not None:
            self._constants |= {k: v for k, v in model.scalars.items() if k.startswith("mobility_")}
        whole = [s + depth for s, depth in zip(stabilizers, self._depths, strict=True)]
        mobilities = [self._constants[f"mobility_{i}"] for i in range(len(self.model.order_parameters))]
        self.stabilizers = onsager.balanced(self.model, whole, mobilities)
        self._constants |= {self.model.scalar("stabilizer", i).name: s for i, s in enumerate(self.stabilizers)}

    def scalars(self, t: float) -> dict[str, float]:
        found = {**self._constants, "t": t, **self.model.moving(t)}
        for term in self._timed:
            found |= term.scalars(t)
        return found

    def _symbol(self, i: int) -> sp.Expr:
        """A_i, the sum of the terms' symbols."""
        return sum((a for term in self.model.terms if (a := term.symbol(i, WAVES)) is not None), sp.S.Zero)

    def _potential(self, i: int) -> sp.Expr:
        """What terms add to dF/du_i in modes, not scaled, and what of their symbols is not in L."""
        potentials = (p for term in self.model.terms if (p := term.potential(i)) is not None)
        return sum(potentials, self._moving.potential(i))

    def _linear(self, i: int) -> sp.Expr:
        q = operator(self.model, i, WAVES)
        return -q * (self.model.scalar("stabilizer", i) + self._moving.linear[i])

    def _metric(self, i: int) -> sp.Expr:
        """1/q, times the smallest q of all fields and waves to have a size that no unit changes; 0 where nothing moves."""
        f = self.model.components[i][0]
        scale = sp.Symbol(f"metric_{self.model.order_parameters.index(f)}", real=True)
        return scale * sp.Piecewise(
            (1 / f.kinetics.operator(sp.S.One, K2), K2 > 0), (0 if f.kinetics.conserved else 1, True)
        )

    def _noise(self, i: int) -> Noise | None:
        """2 q kT per volume, by fluctuation and dissipation."""
        strengths = [s for term in self.model.terms if (s := term.noise(i)) is not None]
        if not strengths:
            return None
        return Noise(2 * sum(strengths, sp.S.Zero) / _VOLUME, operator(self.model, i, WAVES))

    def _channels(self, i: int) -> list[sp.Expr]:
        """What is evaluated in cells for component ``i``, in the model's symbols."""
        model = self.model
        f, u = model.components[i]
        force = sum((g for term in model.terms if (g := term.force(i)) is not None), sp.S.Zero)
        if (lifting := model.lifting) is not None:
            force -= lifting.potentials[i]
            u = u - lifting.values[i]
        force += self._moving.local.get(i, sp.S.Zero) * u
        stable = force - model.scalar("stabilizer", i) * u
        rate = None if i in self._uniform else self._rate(i)
        channels = f.kinetics.channels(model.scalar("mobility", i), stable, rate)
        return [channels[0] + self._transport.relaxation(i, force), *channels[1:]]

    def _same_everywhere(self) -> dict[int, sp.Expr]:
        """Rates of conserved components that the mode k = 0 of their first channel holds."""
        found = {}
        for i, (f, _) in enumerate(self.model.components):
            rate = self._rate(i) if f.kinetics.conserved and i not in self._transport.divergences else None
            if rate is not None and uniform(rate, self.model.unknowns, self.layout):
                found[i] = rate.xreplace(self.model.on("work"))
        return found

    def _rate(self, i: int) -> sp.Expr | None:
        """What derives from no energy: sources, and what walls supply."""
        rates = [s for term in self.model.terms if (s := term.source(i)) is not None]
        if self.model.lifting is not None and (supply := self.model.lifting.supply(i)) is not None:
            rates.append(supply)
        return sum(rates, sp.S.Zero) if rates else None

    def _pointwise(self, monitor: bool) -> Kernel:
        names = self.model.on("work")
        if self.model.lifting is not None:
            names |= {s: u.xreplace(names) for s, u in self.model.lifting.table.items()}
        outputs: list[sp.Expr] = [sp.S.Zero] * self.channels
        for places, channels in zip(self._places, self._evaluated, strict=True):
            for place, channel in zip(places, channels, strict=True):
                outputs[place] = channel.xreplace(names)
        densities = local(self.model) if monitor else {}
        reductions = {name: Reduction("sum", e.xreplace(names)) for name, e in densities.items()}
        more = {array: [e.xreplace(names) for e in exprs] for array, exprs in self._transport.cells().items()}
        arrays = {"work": self.channels}
        used = {s.name.split("@")[0] for e in outputs for s in e.free_symbols if "@" in s.name} | more.keys()
        arrays |= {name: n for name, n in {**self.temporaries, **self.memory}.items() if name in used}
        return Kernel(
            "nonlinear", "real", arrays, {"work": outputs, **more}, reductions, scalars=list(self.scalars(0.0))
        )

    def explicit(self, array: str) -> list[sp.Expr]:
        scale = SCALE * (MASK if self._dealias else 1)  # undoes the transforms' scaling
        result = []
        for i, places in enumerate(self._places):
            numbers = [array_symbol(array, place) for place in places]
            if i in self._transport.divergences:  # N itself, and a source beside it
                result.append(scale * sum(numbers))
                continue
            kinetics = self.model.components[i][0].kinetics
            q = operator(self.model, i, WAVES)
            n_of = explicit(q, *numbers) if i in self._uniform else kinetics.rate(q, sp.S.One, numbers)
            result.append(scale * n_of)
        return result

    def operations(self, array: str) -> list[Operation]:
        scalars = list(self.scalars(0.0))
        return [
            *(operation for term in self.model.terms for operation in term.ahead(array, WAVES)),
            *self._moving.ahead(array, self.components, scalars),
            *self._transport.before(array, scalars),
            Inverse(array, self.components),
            *(operation for term in self.model.terms for operation in term.prepare(array, WAVES)),
            Apply(self._kernel, {"work": array}),
            Forward(array, self.channels),
            *self._added(array, scalars),
            *filled(array, self.channels, self._uniform, scalars),
            *self._transport.after(array, self.channels, scalars),
        ]

    def _added(self, array: str, scalars: Sequence[str]) -> list[Operation]:
        """What terms add in modes joins what was evaluated in cells, in the first channels."""
        if not any(self._potentials):
            return []
        outputs: list[sp.Expr | None] = [None] * self.channels
        for i, potential in enumerate(self._potentials):
            if potential != 0:
                kinetics = self.model.components[i][0].kinetics
                (more,) = kinetics.channels(self.model.scalar("mobility", i), potential, None)
                outputs[i] = array_symbol("channels", i) + more
        used = {s.name.split("@")[0] for p in self._potentials for s in p.free_symbols if "@" in s.name}
        arrays = {"channels": self.channels, **{name: n for name, n in self.temporaries.items() if name in used}}
        kernel = Kernel("potential", "spectral", arrays, {"channels": outputs}, scalars=scalars)
        return [Apply(kernel, {"channels": array})]

    def cells(self, array: str) -> list[Operation]:
        lifting, scalars = self.model.lifting, list(self.scalars(0.0))
        on = [] if lifting is None else lifting.lift(array, self.components, scalars)
        return [Inverse(array, self.components), *on]

    def modes(self, array: str) -> list[Operation]:
        """What overwrites values in cells, over the transforms' scaling, by a state: the inverse of `cells`."""
        lifting, scalars = self.model.lifting, list(self.scalars(0.0))
        off = [] if lifting is None else lifting.lift(array, self.components, scalars, back=SCALE)
        return [*off, Forward(array, self.components)]

    def quadratic(self, modes: Sequence[sp.Expr]) -> dict[str, sp.Expr]:
        return modal(self.model, modes, PerMode)

    def energies(self, reduced: Mapping[str, float]) -> dict[str, float]:
        return self._energies(reduced)

    def inexact(self, reduced: Mapping[str, float]) -> float:
        found = (reduced.get(f"inexact_{term.name}", 0.0) for term in self.model.terms)
        return sum(found) * self.layout.grid.volume


def depths(model: EnergyModel, grid: Grid, references: References) -> list[float]:
    """How far below zero the symbols of every component reach on a grid, 0 where they are nowhere negative; and what they exceed
    by what L has of them."""
    if not any(term.signed for term in model.terms):
        return list(references.excess)
    spectrum, found = Spectrum(model), []
    for i, (times, excess) in enumerate(zip(references.times, references.excess, strict=True)):
        lows = [spectrum.moved(t).bounds(grid)[0][i] for t in times or (0.0,)]
        found.append(excess - max(lows))  # the largest of the symbols is nowhere below the least of any
    return found


def local(model: EnergyModel) -> dict[str, sp.Expr]:
    """Densities of energy, in the model's symbols, by the names of their sums over all cells."""
    return {f"cells_{term.name}": e for term in model.terms if (e := term.density) is not None}


def modal(
    model: EnergyModel, modes: Sequence[sp.Expr], coefficient: Callable[[sp.Expr], sp.Expr] = lambda c: c
) -> dict[str, sp.Expr]:
    """Energies per volume that are sums over all modes of a state, by the names of these sums.

    Args:
        modes: the state's components. coefficient: wraps what multiplies their squares.
    """
    sums = {}
    for term in model.terms:
        if f"modes_{term.name}" in term.reduced:  # by operations of its own
            continue
        symbols = [term.symbol(i, WAVES) for i in range(len(modes))]
        pairs = zip(symbols, modes, strict=True)
        if parts := [coefficient(a / 2 * WEIGHT) * u**2 for a, u in pairs if a is not None]:
            sums[f"modes_{term.name}"] = sum(parts)
    return sums


class Energies:
    """The energies of a model's terms from their sums over cells and modes.

    Attributes:
        parts: names of the terms that have an energy.
    """

    def __init__(self, model: EnergyModel, grid: Grid) -> None:
        self._sums: list[tuple[str, str, float, list[tuple[str, float]]]] = []
        for term in model.terms:
            cells, modes = f"cells_{term.name}", f"modes_{term.name}"
            sums = [(cells, grid.cell_volume)] if term.density is not None or cells in term.reduced else []
            symbols = (term.symbol(i, WAVES) for i in range(len(model.components)))
            if not sums or modes in term.reduced or any(a is not None for a in symbols):
                sums.append((modes, grid.volume))
            if term.energetic:
                self._sums.append((term.name, *sums[0], sums[1:]))
        self.parts = [part for part, *_ in self._sums]

    def __call__(self, reduced: Mapping[str, float]) -> dict[str, float]:
        """Part -> energy of those whose first sum is at hand, NaN if another is missing."""
        found = {}
        for part, name, volume, others in self._sums:
            if name in reduced:
                found[part] = reduced[name] * volume
                for other, size in others:
                    found[part] += reduced.get(other, math.nan) * size
        return found
