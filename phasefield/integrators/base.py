"""One integrator for every scheme: `Scheme` says what to compute, this says where it is kept and when a step counts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from ..backend import Backend, Compiled, Layout, Program, Run
from ..codegen import K2, WEIGHT, Kernel, PerMode, Reduction, array_symbol
from ..models.base import Split
from .schemes import SLOPES, Scheme, dt, n, n_old, u, u_old, z


@dataclass
class Carry:
    """Everything a step needs and a checkpoint holds.

    Attributes:
        t: simulated time. step: number of accepted steps. dt_old: size of the last step, 0 before the first.
        u: state in spectral space. history: ``u_old`` and ``n_old`` where the scheme uses them.
        n: channels of N(u); bulk, gradient: the two parts of the free energy of u. All follow from u.
    """

    t: float
    step: int
    dt_old: float
    u: Any
    n: Any
    history: dict[str, Any] = field(default_factory=dict)
    bulk: float = math.nan
    gradient: float = math.nan

    @property
    def energy(self) -> float:
        return self.bulk + self.gradient


@dataclass(frozen=True)
class Trial:
    """A step before it is accepted.

    Attributes:
        error: root mean square local error of every component; scale: root mean square fluctuation of every component.
        bulk, gradient: parts of the free energy at the end of the step, NaN where the split does not monitor them.
    """

    error: list[float]
    scale: list[float]
    bulk: float
    gradient: float

    @property
    def energy(self) -> float:
        return self.bulk + self.gradient


class Integrator:
    """Advances ``u' = L u + N(u)`` by one scheme.

    `step` updates the carry in place with the fewest passes over memory. `attempt` computes a step into spare buffers with its
    error estimate and energy, and `accept` adopts it: dropping a step costs nothing, for the carry is untouched.

    Args:
        kappas: gradient energy coefficient of every component, for the gradient energy: symbols among the split's scalars.
        adaptive: whether `attempt` is used; decides which buffers exist.
    """

    def __init__(
        self, scheme: Scheme, split: Split, layout: Layout, backend: Backend, kappas: Sequence[Any], adaptive: bool
    ) -> None:
        self.scheme, self.split, self.layout, self.backend, self.adaptive = scheme, split, layout, backend, adaptive
        self._history = scheme.history(adaptive)
        self._names = [*split.scalars, "dt", "w"]
        self._evaluate = backend.program(layout, split.operations("work"))
        self._stage_programs = [
            self._program(self._kernel(f"stage{i + 1}", {"target": expr}), "target")
            for i, expr in enumerate(scheme.stages)
        ]
        self._stages = [self._buffer(split.channels) for _ in scheme.stages]
        # The spare buffers of `attempt`; in fixed steps one of them serves observables as scratch space.
        self.scratch = self._buffer(split.channels)
        if adaptive:
            self._new = self._buffer(split.components)
            self._update = self._program(self._attempt_kernel(kappas), "work")
        else:
            self._update = self._program(self._step_kernel(), self._oldest("n"))

    @property
    def kernels(self) -> list[Compiled]:
        programs = [*self._stage_programs, self._update]
        return list({k.kernel.name: k for program in programs for k in program.kernels}.values())

    @property
    def latest(self) -> Any:
        """The state of the last attempt, in spectral space (scratch space in fixed steps)."""
        return self._new if self.adaptive else self.scratch[: self.split.components]

    def _buffer(self, components: int) -> Any:
        return self.backend.buffer(self.layout, components)

    def _program(self, kernel: Kernel, evaluated: str) -> Program:
        """A kernel that writes a state to the array ``evaluated``, and N of it."""
        return self.backend.program(self.layout, [Run(kernel), *self.split.operations(evaluated)])

    # -- kernels -------------------------------------------------------------------------------------------------------

    def _expressions(self, expr: sp.Expr) -> list[sp.Expr]:
        """A scheme's expression written out for every component as a linear form in the numbers of the arrays."""
        split, result = self.split, []
        arrays = {n: "n", n_old: "n_old"} | {s: s.name for s in SLOPES}
        slopes = {symbol: split.explicit(name) for symbol, name in arrays.items() if symbol in expr.free_symbols}
        for i in range(split.components):
            table: dict[sp.Symbol, sp.Expr] = {u: array_symbol("u", i), u_old: array_symbol("u_old", i)}
            table |= {symbol: values[i] for symbol, values in slopes.items()}
            table[z] = dt * split.linear[i]
            # With u_old, as an increment on u: exactly zero for a mode at rest, so that a conserved mean stays to the last bit.
            rest = table[u] if u_old in expr.free_symbols else sp.S.Zero
            change = expr.xreplace(table) - rest
            numbers = sorted((s for s in change.free_symbols if "@" in s.name), key=sp.default_sort_key)
            result.append(rest + sum(PerMode(sp.diff(change, s)) * s for s in numbers))
        return result

    def _kernel(self, name: str, outputs: Mapping[str, sp.Expr | list[sp.Expr]], **reductions: Reduction) -> Kernel:
        written = {a: e if isinstance(e, list) else self._expressions(e) for a, e in outputs.items()}
        needed = {s.name.split("@")[0] for es in written.values() for e in es for s in e.free_symbols if "@" in s.name}
        needed |= {s.name.split("@")[0] for r in reductions.values() for s in r.expr.free_symbols if "@" in s.name}
        sizes = {"u": self.split.components, "u_old": self.split.components, "new": self.split.components}
        arrays = {a: sizes.get(a, self.split.channels) for a in dict.fromkeys([*sorted(needed), *written])}
        return Kernel(name, "spectral", arrays, written, reductions, self._names)

    def _step_kernel(self) -> Kernel:
        # The oldest buffers take the new values and the names rotate (`step`): history is kept without copying it.
        new = self._expressions(self.scheme.update)
        return self._kernel("step", {self._oldest("u"): new, self._oldest("n"): new})

    def _oldest(self, name: str) -> str:
        return f"{name}_old" if f"{name}_old" in self._history else name

    def _attempt_kernel(self, kappas: Sequence[Any]) -> Kernel:
        new, error = self._expressions(self.scheme.update), self._expressions(self.scheme.error)
        fluctuates = PerMode(sp.Piecewise((WEIGHT, K2 > 0), (0, True)))
        reductions = {f"error_{i}": Reduction("sum", PerMode(WEIGHT) * e**2) for i, e in enumerate(error)}
        reductions |= {f"scale_{i}": Reduction("sum", fluctuates * e**2) for i, e in enumerate(new)}
        gradient = sum(PerMode(k / 2 * K2 * WEIGHT) * e**2 for k, e in zip(kappas, new, strict=True))
        return self._kernel("attempt", {"new": new, "work": new}, **reductions, gradient=Reduction("sum", gradient))

    # -- stepping ------------------------------------------------------------------------------------------------------

    def start(
        self, state: Any, t: float, step: int = 0, dt_old: float = 0.0, history: Mapping[str, Any] | None = None
    ) -> Carry:
        """A carry from a state in spectral space (adopted, not copied); evaluates N there."""
        kept = {
            name: (history or {}).get(name)
            if history
            else self._buffer(self.split.channels if name == "n_old" else self.split.components)
            for name in self._history
        }
        carry = Carry(t, step, dt_old, state, self._buffer(self.split.channels), kept)
        self.backend.copy(state, carry.n[: self.split.components])
        carry.bulk = self.split.bulk(self._evaluate({"work": carry.n}, {**self.split.scalars, "t": t}))
        return carry

    def _scalars(self, step: float, dt_old: float) -> dict[str, float]:
        return {**self.split.scalars, "dt": step, "w": step / dt_old if dt_old > 0 else 0.0, "t": math.nan}

    def _arrays(self, carry: Carry, scalars: dict[str, float]) -> dict[str, Any]:
        """All arrays of a step, its stages evaluated."""
        arrays = {"u": carry.u, "n": carry.n, **carry.history}
        for i, (program, buffer) in enumerate(zip(self._stage_programs, self._stages, strict=True)):
            scalars["t"] = carry.t + self.scheme.nodes[i] * scalars["dt"]
            program({**arrays, "target": buffer}, scalars)
            arrays[f"n{i + 1}"] = buffer
        return arrays

    def step(self, carry: Carry, size: float, t_new: float) -> None:
        """One step of ``size`` to time ``t_new`` (given separately so that times do not drift), in place."""
        scalars = self._scalars(size, carry.dt_old)
        arrays = self._arrays(carry, scalars)
        scalars["t"] = t_new
        carry.bulk = self.split.bulk(self._update(arrays, scalars))
        if "u_old" in carry.history:
            carry.u, carry.history["u_old"] = carry.history["u_old"], carry.u
        if "n_old" in carry.history:
            carry.n, carry.history["n_old"] = carry.history["n_old"], carry.n
        carry.t, carry.step, carry.dt_old = t_new, carry.step + 1, size

    def attempt(self, carry: Carry, size: float, t_new: float) -> Trial:
        """Computes a step of ``size`` to time ``t_new`` without touching the carry."""
        scalars = self._scalars(size, carry.dt_old)
        arrays = self._arrays(carry, scalars)
        scalars["t"] = t_new
        found = self._update({**arrays, "new": self._new, "work": self.scratch}, scalars)
        components = range(self.split.components)
        error = [math.sqrt(found[f"error_{i}"]) for i in components]
        scale = [math.sqrt(found[f"scale_{i}"]) for i in components]
        return Trial(error, scale, self.split.bulk(found), found["gradient"] * self.layout.grid.volume)

    def accept(self, carry: Carry, trial: Trial, size: float, t_new: float) -> None:
        """Adopts the attempted step: buffers rotate, nothing is copied."""
        spare_u, spare_n = carry.u, carry.n
        carry.u, carry.n = self._new, self.scratch
        if "u_old" in carry.history:
            carry.history["u_old"], spare_u = spare_u, carry.history["u_old"]
        if "n_old" in carry.history:
            carry.history["n_old"], spare_n = spare_n, carry.history["n_old"]
        self._new, self.scratch = spare_u, spare_n
        carry.bulk, carry.gradient = trial.bulk, trial.gradient
        carry.t, carry.step, carry.dt_old = t_new, carry.step + 1, size
