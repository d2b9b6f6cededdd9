"""One integrator for every scheme: `Scheme` says what to compute, this says where it is kept and when a step counts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from ..backend import Apply, Backend, Compiled, Layout, Program
from ..codegen import K2, WEIGHT, Kernel, PerMode, Reduction, array_symbol
from ..models.base import Split
from .schemes import DEPTH, RATIOS, SCHEMES, SLOPES, STATES, Scheme, dt, u, u_old, z

_RATIO_NAMES = [symbol.name for symbol in RATIOS]


@dataclass
class Carry:
    """Everything a step needs and a checkpoint holds.

    Attributes:
        t: simulated time. step: number of accepted steps. sizes: of the last steps, newest first.
        u: state in spectral space. history: ``u_old``, ``n_old``, ``n_old2``, ... where the scheme uses them.
        n: channels of N(u); bulk, gradient: the two parts of the free energy of u. All follow from u.
    """

    t: float
    step: int
    sizes: list[float]
    u: Any
    n: Any
    history: dict[str, Any] = field(default_factory=dict)
    bulk: float = math.nan
    gradient: float = math.nan

    @property
    def dt_old(self) -> float:
        """Size of the last step, 0 before the first."""
        return self.sizes[0] if self.sizes else 0.0

    @property
    def energy(self) -> float:
        return self.bulk + self.gradient

    def advance(self, size: float, t_new: float) -> None:
        """The books of a step that is done."""
        self.t, self.step = t_new, self.step + 1
        self.sizes = [size, *self.sizes[: DEPTH - 1]]

    def ratios(self, size: float) -> dict[str, float]:
        """Ratio of every step, the first of them about to be taken, to the one before it; 0 where there is none."""
        steps = [size, *self.sizes]
        return {w: steps[i] / steps[i + 1] if i + 1 < len(steps) else 0.0 for i, w in enumerate(_RATIO_NAMES)}


@dataclass(frozen=True)
class Trial:
    """A step before it is accepted.

    Attributes:
        error, change: root mean squares over the cells of the local error and of what the step changed, of every component.
        mean, fluctuation: the new state's mean, and its root mean square departure from it.
        supply: error and change of the mean of every component whose mean nothing but a source changes.
        bulk, gradient: parts of the free energy at the end of the step, NaN where the split does not monitor them.
    """

    error: list[float]
    change: list[float]
    mean: list[float]
    fluctuation: list[float]
    supply: list[tuple[float, float]]
    bulk: float
    gradient: float

    @property
    def energy(self) -> float:
        return self.bulk + self.gradient


@dataclass(frozen=True)
class _Method:
    """The programs of a scheme."""

    scheme: Scheme
    stages: list[Program]
    update: Program


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
        self._kappas = kappas
        self._history, self._memory = scheme.history(adaptive), scheme.memory
        self._oldest_names = [(name, self._oldest(name)) for name in ("u", "n")]
        self._names = [*split.scalars, "dt", *_RATIO_NAMES]
        self._evaluate = backend.program(layout, split.operations("work"))
        self._method = self._compile(scheme)
        self._first_error: Program | None = None
        if adaptive and scheme.first_error is not None:
            error = self._expressions(scheme.first_error)
            reductions = self._squares("error", error)
            reductions |= {f"missupply_{i}": Reduction("sum", self._uniform * error[i]) for i in split.supplied}
            self._first_error = backend.program(layout, [Apply(self._kernel("first_error", {}, **reductions))])
        # Fixed steps begin at full length, which only a scheme of nearly the same order can do.
        self._starter = self._compile(SCHEMES[scheme.starter]) if scheme.starter and not adaptive else None
        self._stages = [self._buffer(split.channels) for _ in range(scheme.stage_buffers(adaptive))]
        # The spare buffers of `attempt`; in fixed steps one of them serves observables as scratch space.
        self.scratch = self._buffer(split.channels)
        if adaptive:
            self._new = self._buffer(split.components)

    @property
    def kernels(self) -> list[Compiled]:
        programs = [p for m in (self._method, self._starter) if m is not None for p in (*m.stages, m.update)]
        return list({k.kernel.name: k for program in programs for k in program.kernels}.values())

    @property
    def latest(self) -> Any:
        """The state of the last attempt, in spectral space (scratch space in fixed steps)."""
        return self._new if self.adaptive else self.scratch[: self.split.components]

    def _buffer(self, components: int) -> Any:
        return self.backend.buffer(self.layout, components)

    def _compile(self, scheme: Scheme) -> _Method:
        prefix = "" if scheme is self.scheme else "start_"
        stages = [self._kernel(f"{prefix}stage{i + 1}", {"target": e}) for i, e in enumerate(scheme.stages)]
        if self.adaptive:
            update = self._program(self._attempt_kernel(scheme), "work")
        else:
            update = self._program(self._step_kernel(f"{prefix}step", scheme), self._oldest("n"))
        return _Method(scheme, [self._program(k, "target") for k in stages], update)

    def _program(self, kernel: Kernel, evaluated: str) -> Program:
        """A kernel that writes a state to the array ``evaluated``, and N of it."""
        return self.backend.program(self.layout, [Apply(kernel), *self.split.operations(evaluated)])

    # -- kernels -------------------------------------------------------------------------------------------------------

    def _expressions(self, expr: sp.Expr, base: int = 0) -> list[sp.Expr]:
        """A scheme's expression written out for every component as a linear form in the numbers of the arrays.

        Args:
            base: 1 for what is a state, 0 for what is small beside one.
        """
        weights = {symbol: sp.diff(expr, symbol) for symbol in (*STATES, *SLOPES) if symbol in expr.free_symbols}
        slopes = {symbol: self.split.explicit(symbol.name) for symbol in SLOPES if symbol in weights}
        result = []
        for i in range(self.split.components):
            states = {symbol: array_symbol(symbol.name, i) for symbol in STATES if symbol in weights}
            form = self._states(weights, states, base)
            for symbol, n_of in slopes.items():
                numbers = sorted((s for s in n_of[i].free_symbols if "@" in s.name), key=sp.default_sort_key)
                form += sum(PerMode(weights[symbol] * sp.diff(n_of[i], s)) * s for s in numbers)
            result.append(form.xreplace({z: dt * self.split.linear[i]}))
        return result

    @staticmethod
    def _states(weights: Mapping[sp.Symbol, sp.Expr], states: Mapping[sp.Symbol, sp.Symbol], base: int) -> sp.Expr:
        """What past states contribute to a linear form."""
        if u_old not in states:
            return sum((PerMode(weights[symbol]) * number for symbol, number in states.items()), sp.S.Zero)
        # What is added to the base is exactly zero for a mode at rest: a conserved mean stays as it is to the last bit.
        rest = sp.cancel(weights[u] + weights[u_old] - base)
        return base * states[u] + PerMode(rest) * states[u] - PerMode(weights[u_old]) * (states[u] - states[u_old])

    def _kernel(self, name: str, outputs: Mapping[str, sp.Expr | list[sp.Expr]], **reductions: Reduction) -> Kernel:
        written = {a: e if isinstance(e, list) else self._expressions(e, 1) for a, e in outputs.items()}
        needed = {s.name.split("@")[0] for es in written.values() for e in es for s in e.free_symbols if "@" in s.name}
        needed |= {s.name.split("@")[0] for r in reductions.values() for s in r.expr.free_symbols if "@" in s.name}
        arrays = {a: self._size(a) for a in dict.fromkeys([*sorted(needed), *written])}
        return Kernel(name, "spectral", arrays, written, reductions, self._names)

    def _step_kernel(self, name: str, scheme: Scheme) -> Kernel:
        # The oldest buffers take the new values and the names rotate (`step`): history is kept without copying it.
        new = self._expressions(scheme.update, 1)
        return self._kernel(name, {self._oldest("u"): new, self._oldest("n"): new})

    def _size(self, array: str) -> int:
        """Components of an array a kernel knows by this name."""
        return self.split.components if array == "new" or array.startswith("u") else self.split.channels

    def _oldest(self, name: str) -> str:
        return [name, *(h for h in self._history if h.startswith(f"{name}_"))][-1]

    def _attempt_kernel(self, scheme: Scheme) -> Kernel:
        new, error = self._expressions(scheme.update, 1), self._expressions(scheme.error)
        before = [array_symbol("u", i) for i in range(self.split.components)]
        reductions = self._squares("error", error)
        change = [e - u_i for e, u_i in zip(new, before, strict=True)]
        reductions |= self._squares("change", change)
        uniform, varying = self._uniform, PerMode(sp.Piecewise((WEIGHT, K2 > 0), (0, True)))
        reductions |= {f"mean_{i}": Reduction("sum", uniform * e) for i, e in enumerate(new)}
        for i in self.split.supplied:
            reductions |= {f"missupply_{i}": Reduction("sum", uniform * error[i])}
            reductions |= {f"supply_{i}": Reduction("sum", uniform * change[i])}
        reductions |= {f"fluctuation_{i}": Reduction("sum", varying * e**2) for i, e in enumerate(new)}
        gradient = sum(PerMode(k / 2 * K2 * WEIGHT) * e**2 for k, e in zip(self._kappas, new, strict=True))
        return self._kernel("attempt", {"new": new, "work": new}, **reductions, gradient=Reduction("sum", gradient))

    #: Takes the mean out of a field's modes.
    _uniform = PerMode(sp.Piecewise((0, K2 > 0), (sp.sqrt(WEIGHT), True)))

    @staticmethod
    def _squares(name: str, values: Sequence[sp.Expr]) -> dict[str, Reduction]:
        """Mean squares over the cells, by Parseval's theorem."""
        return {f"{name}_{i}": Reduction("sum", PerMode(WEIGHT) * e**2) for i, e in enumerate(values)}

    # -- stepping ------------------------------------------------------------------------------------------------------

    def start(
        self, state: Any, t: float, step: int = 0, sizes: Sequence[float] = (), history: Mapping[str, Any] | None = None
    ) -> Carry:
        """A carry from a state in spectral space (adopted, not copied); evaluates N there."""
        kept = {name: history[name] if history else self._buffer(self._size(name)) for name in self._history}
        carry = Carry(t, step, [], state, self._buffer(self.split.channels), kept)
        self.restart(carry, t)
        carry.sizes = list(sizes)
        return carry

    def restart(self, carry: Carry, t: float) -> None:
        """Goes on from ``t`` without the past: N of the state anew, steps before this one forgotten."""
        self.backend.copy(carry.u, carry.n[: self.split.components])
        carry.bulk = self.split.bulk(self._evaluate({"work": carry.n}, {**self.split.scalars, "t": t}))
        carry.t, carry.sizes = t, []

    def _scalars(self, carry: Carry, size: float) -> dict[str, float]:
        return {**self.split.scalars, "dt": size, **carry.ratios(size), "t": math.nan}

    def _push(self, carry: Carry, name: str, new: Any) -> Any:
        """Makes ``new`` the latest of the buffers u, u_old, ... or n, n_old, ...; returns the oldest one, now free."""
        pushed, new = new, getattr(carry, name)
        setattr(carry, name, pushed)
        for old in self._history:
            if old.startswith(f"{name}_"):
                carry.history[old], new = new, carry.history[old]
        return new

    def _arrays(self, method: _Method, carry: Carry, scalars: dict[str, float]) -> dict[str, Any]:
        """All arrays of a step, its stages evaluated."""
        arrays = {"u": carry.u, "n": carry.n, **carry.history}
        for i, (program, node) in enumerate(zip(method.stages, method.scheme.nodes, strict=True)):
            buffer = self._stages[i]
            scalars["t"] = carry.t + node * scalars["dt"]
            program({**arrays, "target": buffer}, scalars)
            arrays[f"n{i + 1}"] = buffer
        return arrays

    def step(self, carry: Carry, size: float, t_new: float) -> None:
        """One step of ``size`` to time ``t_new`` (given separately so that times do not drift), in place."""
        scalars = self._scalars(carry, size)
        method = self._method
        if self._starter is not None:
            if len(carry.sizes) < self._memory:
                method = self._starter
            else:  # its work is done; what it holds is worth more free
                self._starter, self._stages = None, []
        arrays = self._arrays(method, carry, scalars)
        scalars["t"] = t_new
        carry.bulk = self.split.bulk(method.update(arrays, scalars))
        for name, oldest in self._oldest_names:
            self._push(carry, name, arrays[oldest])
        carry.advance(size, t_new)

    def attempt(self, carry: Carry, size: float, t_new: float) -> Trial:
        """Computes a step of ``size`` to time ``t_new`` without touching the carry."""
        scalars = self._scalars(carry, size)
        arrays = self._arrays(self._method, carry, scalars)
        scalars["t"] = t_new
        found = self._method.update({**arrays, "new": self._new, "work": self.scratch}, scalars)
        if self._first_error is not None and not carry.sizes:
            found |= self._first_error({**arrays, "n1": self.scratch}, scalars)

        components = range(self.split.components)
        roots = ([math.sqrt(found[f"{name}_{i}"]) for i in components] for name in ("error", "change", "fluctuation"))
        error, change, fluctuation = roots
        mean = [found[f"mean_{i}"] for i in components]
        supply = [(abs(found[f"missupply_{i}"]), abs(found[f"supply_{i}"])) for i in self.split.supplied]
        bulk, gradient = self.split.bulk(found), found["gradient"] * self.layout.grid.volume
        return Trial(error, change, mean, fluctuation, supply, bulk, gradient)

    def accept(self, carry: Carry, trial: Trial, size: float, t_new: float) -> None:
        """Adopts the attempted step: buffers rotate, nothing is copied."""
        self._new = self._push(carry, "u", self._new)
        self.scratch = self._push(carry, "n", self.scratch)
        carry.bulk, carry.gradient = trial.bulk, trial.gradient
        carry.advance(size, t_new)
