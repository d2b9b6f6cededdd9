"""One integrator for every scheme: `Scheme` says what to compute, this says where it is kept and when a step counts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sympy as sp

from ..backend import Apply, Backend, Compiled, Layout, Program, kernels_of, put_cells
from ..codegen import K2, WEIGHT, Kernel, PerMode, Reduction, array_symbol, step_scalars, white, white_scalars
from ..models.split import Split
from .memory import Rings, notes
from .schemes import NOISY_STARTER, RATIOS, SCHEMES, SLOPES, STATES, Scheme, dt, u, u_old, z
from .state import Carry, Trial


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
        split: what is integrated. layout: of its arrays, which is handed to the backend and of which nothing is known here.
        adaptive: whether `attempt` is used; decides which buffers exist. Noise comes in `step` alone: to judge steps by what
            chance brought, and take some of them back, would bias it.
        seed: of the split's noise.
    """

    def __init__(
        self, scheme: Scheme, split: Split, layout: Layout, backend: Backend, adaptive: bool, seed: int = 0
    ) -> None:
        self.scheme, self.split, self.layout, self.backend, self.adaptive = scheme, split, layout, backend, adaptive
        self._history, self._memory = scheme.history(adaptive), scheme.memory
        self._oldest_names = [(name, self._oldest(name)) for name in ("u", "n")]
        self._unknown = dict.fromkeys(split.parts, math.nan)
        # Names that every step looks up.
        each = range(split.components)
        self._squared = [[f"{name}_{i}" for i in each] for name in ("error", "change", "fluctuation")]
        self._means = [f"mean_{i}" for i in each]
        self._motions = [(f"drift_{i}", f"motion_{i}") for i in each]
        self._supplies = [(f"missupply_{i}", f"supply_{i}") for i in split.supplied]
        self._older = {name: [old for old in self._history if old.startswith(f"{name}_")] for name in ("u", "n")}
        self._names = [*split.scalars(0.0), "dt", *(symbol.name for symbol in RATIOS)]
        # What noise is keyed by, and strengths of it that depend on time.
        self._keyed = white_scalars(seed, 0) if any(noise is not None for noise in split.noise) else {}
        self._strengths = {s.name for noise in split.noise if noise is not None for s in noise.strength.free_symbols}
        self._names += self._keyed
        self._evaluate = backend.program(layout, split.operations("work"))
        self._to_cells = backend.program(layout, split.cells("work"))
        self._method = self._compile(scheme)
        self._first: Program | None = None
        if adaptive and (first := scheme.first) is not None:
            self._first = self._seldom(self._attempt_kernel("first", *first, ["new"]))
        self._drift = self._seldom(self._drift_kernel(scheme)) if adaptive else None
        # Fixed steps begin at full length, which only a scheme of nearly the same order can do.
        self._starts = SCHEMES[scheme.starter] if scheme.starter and not adaptive else None
        if self._keyed and self._starts is not None and self._starts.spread is None:
            self._starts = SCHEMES[NOISY_STARTER]
        self._starter, self._stays = None if self._starts is None else self._compile(self._starts), False
        self._stages = self._stage_buffers()
        # The spare buffers of `attempt`; in fixed steps one of them serves observables as scratch space.
        self.scratch = self._buffer(split.channels)
        self._views: list[tuple[Any, Any]] = []
        if adaptive:
            self._new = self._buffer(split.components)
        self._own = {name: self._buffer(count) for name, count in split.temporaries.items()} | self._tables()
        self._rings = Rings(split.memory, self._buffer)

    @property
    def kernels(self) -> list[Compiled]:
        programs = [p for m in (self._method, self._starter) if m is not None for p in (*m.stages, m.update)]
        return list({k.kernel.name: k for program in programs for k in program.kernels}.values())

    @property
    def work(self) -> Any:
        """As much of the scratch space as a state takes; one object for every buffer that serves, to which programs are bound."""
        if (found := next((view for buffer, view in self._views if buffer is self.scratch), None)) is None:
            found = self.scratch[: self.split.components]
            self._views = [*self._views[-len(STATES) - 1 :], (self.scratch, found)]
        return found

    @property
    def latest(self) -> Any:
        """The state of the last attempt, in spectral space (scratch space in fixed steps)."""
        return self._new if self.adaptive else self.work

    def _buffer(self, components: int) -> Any:
        return self.backend.buffer(self.layout, components)

    def _stage_buffers(self) -> list[Any]:
        return [self._buffer(self.split.channels) for _ in range(self.scheme.stage_buffers(self.adaptive))]

    def _tables(self) -> dict[str, Any]:
        kernels = kernels_of(self.split.operations("u"))
        cells = {name for kernel in kernels if kernel.space == "real" for name in kernel.arrays}
        tables = {}
        for name, values in self.split.tables.items():
            tables[name] = self._buffer(len(values))
            if self.backend.in_parts and name in cells:
                put_cells(self.backend, self.layout, tables[name], slice(0, self.layout.grid.shape[0]), values)
            else:
                self.backend.from_host(values.astype(self.backend.dtype), tables[name])
        return tables

    def _compile(self, scheme: Scheme) -> _Method:
        prefix = "" if scheme is self.scheme else "start_"
        stages = [
            self._kernel(f"{prefix}stage{i + 1}", {"target": self._driven(scheme, e)})
            for i, e in enumerate(scheme.stages)
        ]
        if self.adaptive:
            kernel = self._attempt_kernel("attempt", scheme.update, scheme.error, ["new", "work"])
            update = self._program(kernel, "work")
        else:
            update = self._program(self._step_kernel(f"{prefix}step", scheme), self._oldest("n"))
        return _Method(scheme, [self._program(k, "target") for k in stages], update)

    def _program(self, kernel: Kernel, evaluated: str) -> Program:
        """A kernel that writes a state to the array ``evaluated``, and N of it."""
        return self.backend.program(self.layout, [Apply(kernel), *self.split.operations(evaluated)])

    def _seldom(self, kernel: Kernel) -> Program:
        """A kernel of its own that few steps need."""
        return self.backend.program(self.layout, [Apply(replace(kernel, seldom=True))])

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

    def _driven(self, scheme: Scheme, state: sp.Expr) -> list[sp.Expr]:
        """A scheme's expression for a state at the end of a step, with what noise adds meanwhile."""
        found = self._expressions(state, 1)
        for i, noise in enumerate(self.split.noise):
            if noise is None:
                continue
            assert scheme.spread is not None, "refused before"
            spread = dt * scheme.spread.xreplace({z: dt * self.split.linear[i]})
            found[i] += sp.sqrt(noise.strength) * PerMode(sp.sqrt(spread * noise.shape)) * white(i)
        return found

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
        new = self._driven(scheme, scheme.update)
        return self._kernel(name, {self._oldest("u"): new, self._oldest("n"): new})

    def _size(self, array: str) -> int:
        """Components of an array a kernel knows by this name."""
        return self.split.components if array == "new" or array.startswith("u") else self.split.channels

    def _oldest(self, name: str) -> str:
        return [name, *(h for h in self._history if h.startswith(f"{name}_"))][-1]

    def _attempt_kernel(self, name: str, state: sp.Expr, off: sp.Expr, targets: Sequence[str]) -> Kernel:
        new, error = self._expressions(state, 1), self._expressions(off)
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
        reductions |= {name: Reduction("sum", e) for name, e in self.split.quadratic(new).items()}
        return self._kernel(name, dict.fromkeys(targets, new), **reductions)

    def _drift_kernel(self, scheme: Scheme) -> Kernel:
        # A pass of its own over what an attempt has left: it is due so seldom that this costs less than sums in every attempt.
        lasting, sums = self._expressions(scheme.drift * scheme.error), {}
        for i, metric in enumerate(self.split.metric):
            weight, change = PerMode(WEIGHT * metric), array_symbol("new", i) - array_symbol("u", i)
            sums[f"drift_{i}"] = Reduction("sum", weight * lasting[i] * change)
            sums[f"motion_{i}"] = Reduction("sum", weight * change**2)
        return self._kernel("drift", {}, **sums)

    #: Takes the mean out of a field's modes.
    _uniform = PerMode(sp.Piecewise((0, K2 > 0), (sp.sqrt(WEIGHT), True)))

    @staticmethod
    def _squares(name: str, values: Sequence[sp.Expr]) -> dict[str, Reduction]:
        """Mean squares over the cells, by Parseval's theorem."""
        return {f"{name}_{i}": Reduction("sum", PerMode(WEIGHT) * e**2) for i, e in enumerate(values)}

    # -- stepping ------------------------------------------------------------------------------------------------------

    def start(self, state: Any, t: float) -> Carry:
        """A carry from a state in spectral space (adopted, not copied); evaluates N there."""
        history = {name: self._buffer(self._size(name)) for name in self._history}
        memory = {name: self._buffer(count) for name, count in self.split.memory.items()}
        carry = Carry(t, 0, [], state, self._buffer(self.split.channels), history, self._energies({}), memory)
        self.restart(carry, t)
        return carry

    def restart(self, carry: Carry, t: float) -> None:
        """Goes on from ``t`` without the past: N of the state anew, steps before this one forgotten."""
        self._evaluate_at(carry, t)
        carry.sizes = []

    def kept(self, carry: Carry) -> dict[str, Any]:
        """The arrays that a checkpoint holds, for `resume`."""
        arrays = {"u": carry.u, **carry.history}
        if carry.memory:  # where N comes from a solver it depends on what that started from
            arrays |= {"n": carry.n, **{f"memory_{name}": array for name, array in carry.memory.items()}}
        return arrays

    def resume(
        self,
        arrays: Mapping[str, Any],
        t: float,
        step: int,
        sizes: Sequence[float],
        energies: Mapping[str, float],
        notes: Mapping[str, float],
    ) -> Carry:
        """The carry that `kept` was of: arrays in buffers, which are adopted."""
        memory = {name: arrays.get(f"memory_{name}") for name in self.split.memory}
        # An earlier version may have had other channels, a run before this one other warm starts: their past says nothing here,
        # and the scheme starts anew.
        past = [*self._history, *(["n"] if memory else [])]
        known = all(arrays[name].shape[0] == self._size(name) for name in past)
        if any(array is None for array in memory.values()):
            known, memory = False, {name: self._buffer(count) for name, count in self.split.memory.items()}
        history = {name: arrays[name] if known else self._buffer(self._size(name)) for name in self._history}
        sizes = sizes if known else []
        n = arrays["n"] if memory and known else self._buffer(self.split.channels)
        carry = Carry(t, step, [], arrays["u"], n, history, self._energies(energies), memory, dict(notes))
        if not (memory and known):
            self._evaluate_at(carry, t)
        carry.sizes = list(sizes)
        return carry

    def _evaluate_at(self, carry: Carry, t: float) -> None:
        self.backend.copy(carry.u, carry.n[: self.split.components])
        found = self._evaluate({"work": carry.n, **self._remembered(carry)}, self.split.scalars(t))
        self._rings.push(carry.memory, found)
        carry.notes = notes(found)
        carry.energies = carry.energies | self.split.energies(found)
        carry.t = t

    def _energies(self, found: Mapping[str, float]) -> dict[str, float]:
        """All parts of an energy, NaN those that are not known."""
        return {**self._unknown, **found}

    def _scalars(self, carry: Carry, size: float, t: float) -> dict[str, float]:
        found = {**self.split.scalars(t), **carry.notes, "dt": size, **carry.ratios(size)}
        if self._keyed:
            midway = self.split.scalars(carry.t + 0.5 * size)
            found |= {name: midway[name] for name in self._strengths} | self._keyed | step_scalars(carry.step)
        return found

    def _push(self, carry: Carry, name: str, new: Any) -> Any:
        """Makes ``new`` the latest of the buffers u, u_old, ... or n, n_old, ...; returns the oldest one, now free."""
        pushed, new = new, getattr(carry, name)
        setattr(carry, name, pushed)
        for old in self._older[name]:
            carry.history[old], new = new, carry.history[old]
        return new

    def _remembered(self, carry: Carry) -> dict[str, Any]:
        """Temporaries, tables and warm starts."""
        return {**self._own, **carry.memory, **self._rings.spare}

    def _before(self, carry: Carry) -> dict[str, Any]:
        """All arrays that a step starts from."""
        return {"u": carry.u, "n": carry.n, **carry.history, **self._remembered(carry)}

    def _arrays(self, method: _Method, carry: Carry, size: float) -> dict[str, Any]:
        """All arrays of a step, its stages evaluated."""
        arrays = self._before(carry)
        for i, (program, node) in enumerate(zip(method.stages, method.scheme.nodes, strict=True)):
            buffer = self._stages[i]
            program({**arrays, "target": buffer}, self._scalars(carry, size, carry.t + node * size))
            arrays[f"n{i + 1}"] = buffer
        return arrays

    def step(self, carry: Carry, size: float, t_new: float) -> None:
        """One step of ``size`` to time ``t_new`` (given separately so that times do not drift), in place."""
        method = self._method
        if self._starts is not None:
            if len(carry.sizes) < self._memory:
                if self._starter is None:  # a new start, which more may follow
                    self._starter, self._stages, self._stays = self._compile(self._starts), self._stage_buffers(), True
                method = self._starter
            elif not self._stays:  # its work is done; what it holds is worth more free
                self._starter, self._stages = None, []
        arrays = self._arrays(method, carry, size)
        found = method.update(arrays, self._scalars(carry, size, t_new))
        carry.energies = self._energies(self.split.energies(found))
        for name, oldest in self._oldest_names:
            self._push(carry, name, arrays[oldest])
        self._rings.push(carry.memory, found)
        carry.notes = notes(found)
        carry.advance(size, t_new)

    def attempt(self, carry: Carry, size: float, t_new: float) -> Trial:
        """Computes a step of ``size`` to time ``t_new`` without touching the carry."""
        arrays = self._arrays(self._method, carry, size)
        scalars = self._scalars(carry, size, t_new)
        found = self._method.update({**arrays, "new": self._new, "work": self.scratch}, scalars)
        if self._first is not None and not carry.sizes:
            found |= self._first({**arrays, "new": self._new, "n1": self.scratch}, scalars)
            self.backend.copy(self._new, self.work)
            found |= self._evaluate({"work": self.scratch, **self._remembered(carry)}, scalars)
        error, change, fluctuation = [[math.sqrt(found[name]) for name in names] for names in self._squared]
        mean = [found[name] for name in self._means]
        supply = [(abs(found[lost]), abs(found[given])) for lost, given in self._supplies]
        energies, inexact = self._energies(self.split.energies(found)), self.split.inexact(found)
        return Trial(error, change, mean, fluctuation, supply, energies, inexact, notes(found))

    def drift(self, carry: Carry, size: float, t_new: float) -> list[tuple[float, float]]:
        """What the step just attempted shows of a lasting error of the rates, before it is accepted.

        Returns:
            Of every component, the product of the change with what the rate is lastingly off by, times dt, and that of the change
            with itself, in the split's metric.
        """
        assert self._drift is not None
        stages = {f"n{i + 1}": self._stages[i] for i in range(len(self.scheme.stages))}
        arrays = self._before(carry) | stages | {"new": self._new}
        found = self._drift(arrays, self._scalars(carry, size, t_new))
        return [(found[along], found[motion]) for along, motion in self._motions]

    def sample(self, carry: Carry, picks: Sequence[tuple[slice, ...]]) -> list[Any]:
        """Values in cells at some places in the buffers of an array, on the host."""
        cells = self.work
        self.backend.copy(carry.u, cells)
        self._to_cells({"work": cells}, self.split.scalars(carry.t))
        return [self.backend.to_host(cells[pick]) for pick in picks]

    def look(
        self, program: Program, cells: Any, carry: Carry, more: Mapping[str, Any] | None = None
    ) -> dict[str, float]:
        """What a program tells of an accepted state, from its cells in the array ``u`` and its memory, which it leaves alone.

        Args:
            more: arrays of its own.
        """
        return program({"u": cells, **self._own, **carry.memory, **(more or {})}, self.split.scalars(carry.t))

    def accept(self, carry: Carry, trial: Trial, size: float, t_new: float) -> None:
        """Adopts the attempted step: buffers rotate, nothing is copied."""
        self._new = self._push(carry, "u", self._new)
        self.scratch = self._push(carry, "n", self.scratch)
        self._rings.push(carry.memory, trial.notes)
        carry.energies, carry.notes = trial.energies, trial.notes
        carry.advance(size, t_new)
