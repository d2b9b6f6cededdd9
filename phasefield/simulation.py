"""The problem of a specification, put together and ready to step. It writes nothing; `run` does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property, partial
from typing import Any, NoReturn

import numpy as np

from .backend import Backend, Layout, Rehearsal, cells_of, put_cells, select
from .derived import Derived
from .errors import ConfigError, Diverged
from .following import Mobilities, Stability, with_walls
from .footprint import Footprint, check_memory
from .grid import Grid
from .initial import Sample, slabs
from .integrators import SCHEMES, AdaptiveSteps, Carry, FixedSteps, Integrator, NoWay
from .models import (
    Defined,
    SpectralSplit,
    below,
    bounds,
    continued,
    energy_terms,
    negative,
    referenced,
    references,
)
from .models.moving import References
from .models.resolution import Resolution, resolution
from .models.timescales import timed
from .models.waves import WAVES
from .nucleation import Nuclei, counted
from .observables import Factory, Observer, continuation, of_term
from .pace import adaptive_steps
from .problem import build_model, check_identity, check_terms, identity, initial_cells, initial_of
from .schedule import Beat
from .specs import RunSpec

#: What is wanted of S over what there is, from which on fixed steps start anew with it: where a run goes on to a later end.
_COVERED = 1.001

__all__ = ["Checkpoint", "Footprint", "Simulation", "build_model", "footprint", "initial_cells"]

Checkpoint = tuple[Mapping[str, np.ndarray], Mapping[str, Any]]


def footprint(
    spec: RunSpec, backend: Backend | None = None, observables: Mapping[str, Factory] | None = None
) -> Footprint:
    """What a run of a specification will allocate, by building and stepping it with arrays that take no memory.

    Raises:
        ConfigError, DeviceError: as `Simulation`, but for initial values, which are not made.
    """
    ghost = Rehearsal(backend or select(spec.device, spec.precision, spec.threads.cpu))  # type: ignore[arg-type]
    sim = Simulation(spec, backend=ghost, observables=observables)
    waiting = ghost.snapshot(sim.observe(sim.carry, measure=False)[0])
    with suppress(Diverged, ArithmeticError):  # nothing is computed, which a controller may find strange
        sim.advance(spec.time.end)
    del waiting
    sim.state(lend=True)
    return Footprint(ghost.device, ghost.host)


def _spread(cells: np.ndarray, count: int = 16) -> np.ndarray:
    """Some of the cells, spread over the grid: shape ``(components, n)``."""
    flat = cells.reshape(len(cells), -1)
    return flat[:, np.unique(np.linspace(0, flat.shape[1] - 1, count).astype(int))].astype(float)


class Simulation:
    """A model on a grid with a scheme on a device, and the state it is in.

    Building it checks everything that can be checked without running.

    Args:
        spec: the specification.
        checkpoint: arrays and numbers of `state` to continue from; None starts from the initial condition.
        backend: the device; None selects it from the specification.
        observables: more of them than `OBSERVABLES` holds.

    Raises:
        ConfigError, DeviceError, CheckpointMismatch: see `phasefield.errors`.
    """

    def __init__(
        self,
        spec: RunSpec,
        checkpoint: Checkpoint | None = None,
        backend: Backend | None = None,
        observables: Mapping[str, Factory] | None = None,
    ) -> None:
        if not isinstance(spec, RunSpec):
            raise ConfigError(
                "specification", f"is {spec!r}; a RunSpec is expected", "phasefield.run takes keys and text"
            )
        self.spec = spec
        self.model = build_model(spec)
        self.grid = spec.grid.build()
        check_terms(spec, self.model, self.grid)
        self.held = References.of(self.model, self.grid, spec.time.end)
        self.layout = Layout(self.grid)
        self.scheme = SCHEMES[spec.time.scheme].taken(spec.time.adaptive, self.model.varies)
        self.backend = backend or select(spec.device, spec.precision, spec.threads.cpu)  # type: ignore[arg-type]
        if not isinstance(self.backend, Rehearsal):
            arrays = [] if checkpoint is None else list(checkpoint[0].values())
            loaded = sum(a.nbytes for a in arrays if not isinstance(a, np.memmap))
            measure = partial(footprint, spec, self.backend, observables)
            check_memory(self.grid, len(self.model.components), self.backend, loaded, measure)
        if checkpoint is None:
            initial, sample = self._initial()
            cells = with_walls(self.model, sample.array(), spec.time.end)
            self._few: np.ndarray | None = sample.few()
            least = max(spec.model.log_bound, math.sqrt(np.finfo(self.backend.dtype).eps))
            self._bounds = bounds(self.model, cells, least)
        else:
            self._few = None
            self._bounds = checkpoint[1].get("bounds", {})
        self.model = continued(self.model, self._bounds)
        self.continuation = below(self.model, self._bounds)
        self._stability = Stability(self.model, self.grid, self.scheme.margin, spec.time.end, bool(self.continuation))
        if checkpoint is None:
            visited = self._stability.start(self.model, cells).states
            self.model = referenced(self.model, references(self.model, visited, spec.time.end, spec.time.adaptive))
            self._scale, self._samples = self.grid.volume * energy_terms(self.model, cells), _spread(cells)
            del sample, cells
        else:
            check_identity(self.identity, checkpoint[1])
            self._stability.restore(checkpoint[1]["stabilizers"], checkpoint[1].get("passing", False))
            self.model = referenced(self.model, checkpoint[1].get("mobilities", []))
            stepping = checkpoint[1]["stepping"] or {"energy_scale": 0.0, "samples": []}
            self._scale, self._samples = stepping["energy_scale"], np.array(stepping["samples"])
        adaptive = spec.time.adaptive
        self.split = SpectralSplit(self.model, self.layout, self.stabilizers, spec.grid.dealias, adaptive, self.held)
        self.integrator = Integrator(self.scheme, self.split, self.layout, self.backend, adaptive, spec.seed)
        names, more = list(spec.output.observables), dict(observables or {})
        if self.continuation:
            names.append("continuation")
            more["continuation"] = partial(continuation, arguments=self.continuation)
        for term in self.model.terms:
            if term.variables:
                names.append(term.name)
                more[term.name] = partial(of_term, term=term)
        self._nuclei = Nuclei(self.model, self.grid, spec.seed)
        if self._nuclei:
            names.append("nuclei")
            more["nuclei"] = counted
        self.observer = Observer(names, self.model, self.layout, self.backend, more)
        looks = [operation for term in self.model.terms for operation in term.look("u", WAVES)]
        self._looks = self.backend.program(self.layout, looks) if looks else None
        self.derived = Derived(spec.output.fields, self.model, self.layout, self.backend, self.integrator)
        self._to_modes = self.backend.program(self.layout, self.split.modes("u"))
        self._to_cells = self.backend.program(self.layout, self.split.cells("u"))
        self._mobilities = Mobilities(
            self.model, self.layout, self.backend, list(self.split.scalars(0.0)), self._samples
        )
        self.carry = self._start(initial) if checkpoint is None else self._restore(*checkpoint)
        self.steps: AdaptiveSteps | FixedSteps
        if adaptive:
            self.steps = adaptive_steps(
                spec.time, self.model, self.grid, self.integrator, self.split, self._samples, self._scale
            )
            if checkpoint is not None:
                self.steps.restore(checkpoint[1]["stepping"])
        else:
            self.steps = FixedSteps(self.integrator, self._beat(checkpoint))
        self._until = spec.time.end if checkpoint is None else checkpoint[1].get("until", spec.time.end)
        if spec.time.end > self._until:
            self._until = spec.time.end
            if timed(self.model):  # S was made for what happens until an earlier end; fixed steps take no lower one
                self._stabilize() if adaptive else self._stabilize(0.0, _COVERED)

    @cached_property
    def resolution(self) -> Resolution | None:
        """What the grid makes of the model, from the initial values; None where a run goes on or an energy does not tell."""
        return None if self._few is None else resolution(self.model, self.grid, self._few)

    def _initial(self) -> tuple[Any, Sample]:
        """The initial cells in a buffer, and a sample of them. States are scaled so that an inverse transform needs no factor."""
        components = len(self.model.components)
        state, sample = self.backend.buffer(self.layout, components), Sample(self.grid, components)
        if isinstance(self.backend, Rehearsal):
            sample = Sample(Grid((1,), (1.0,), ("periodic",)), components)
            sample.add(slice(0, 1), np.zeros((components, 1)))
            return state, sample
        rows, defined = initial_of(self.spec, self.model, self.grid), Defined(self.model, self.grid)
        for slab in slabs(self.grid):
            values = rows(slab)
            defined.check(values, slab)
            sample.add(slab, values)
            put_cells(self.backend, self.layout, state, slab, values / self.grid.norm)
        return state, sample

    def _start(self, state: Any) -> Carry:
        """The carry of the initial condition, whose cells are in ``state``."""
        self._to_modes({"u": state}, self.split.scalars(0.0))
        carry = self.carry = self.integrator.start(state, 0.0)
        if not self._finite(carry.n):
            self._diverged(
                "the chemical potential of the initial values is not finite",
                "choose initial values within the energy's domain",
            )
        self._complete_energies()
        return carry

    def _complete_energies(self) -> None:
        """Finds what N does not tell, so that the first step can be held against it."""
        carry = self.carry
        observed = self.observe(carry, measure=False)[1]
        known = {part: observed.get(f"free_energy_{part}", math.nan) for part in carry.energies}
        carry.energies |= {part: known[part] for part, value in carry.energies.items() if math.isnan(value)}

    def _restore(self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Carry:
        """The carry of a checkpoint, whose arrays are let go one by one if they are in a dictionary."""

        def load(name: str) -> Any:
            array = arrays.pop(name) if isinstance(arrays, dict) else arrays[name]
            buffer = self.backend.buffer(self.layout, array.shape[0])
            self.backend.from_host(array, buffer)
            return buffer

        number = meta["carry"]
        # Checkpoints of earlier versions know one part alone; the others are found with N.
        energies = number.get("energies") or {"gradient": number["gradient"]}
        buffers = {name: load(name) for name in list(arrays)}
        self._nuclei.restore(meta["nucleation"])
        notes = number.get("notes") or {}  # checkpoints of earlier versions have none
        carry = self.integrator.resume(buffers, number["t"], number["step"], number["sizes"], energies, notes)
        if [list(times) for times in self.held.times] != meta.get("references", [[] for _ in self.held.times]):
            self.integrator.restart(carry, carry.t)  # another end: the past belongs to another L
        return carry

    def _beat(self, checkpoint: Checkpoint | None) -> Beat:
        """A resumed run keeps the beat, so that times are the same to the last bit, or begins a new one with another step."""
        assert self.spec.time.dt is not None
        beat = Beat(self.spec.time.dt, self.carry.t, self.carry.step)
        if checkpoint is not None and (before := checkpoint[1].get("beat")) is not None and before["dt"] == beat.dt:
            beat = Beat(**before)
        return beat

    def observe(self, carry: Carry, measure: bool = True) -> tuple[Any, dict[str, Any]]:
        """Cells of the state (a scratch buffer, valid until the next step) and the observables."""
        scratch = self._cells(carry)
        told = self.integrator.look(self._looks, scratch, carry) if self._looks is not None else {}
        told |= {f"nuclei_{name}": float(count) for name, count in self.nuclei.items()}
        values = self.observer(scratch, carry.u, measure, carry.energies, carry.t, told)
        return scratch, {"time": carry.t, "step": carry.step, "dt": carry.dt_old, **values}

    def _cells(self, carry: Carry) -> Any:
        scratch = self.integrator.work
        self.backend.copy(carry.u, scratch)
        self._to_cells({"u": scratch}, self.split.scalars(carry.t))
        return scratch

    # -- stepping ------------------------------------------------------------------------------------------------------

    def advance(self, target: float) -> None:
        """One accepted step: an adaptive one not beyond ``target``, which it meets exactly; a fixed one of its size in any case.

        Raises:
            Diverged: no acceptable step exists.
            ValueError: the target is not ahead of the state, for adaptive steps.
        """
        try:
            self.steps.advance(self.carry, min(target, self._nuclei.next_time))
        except NoWay as error:
            self._diverged(error.reason, error.hint)
        if self.beat is not None and self.carry.step % self.backend.readback_every == 0:
            self.check()
        step = self.carry.step
        if self._mobilities.due(step):
            self._watch_mobilities()
        if self._stability.due(step, self.spec.time.adaptive):
            self._stabilize()
        if self._nuclei.due(self.reached):
            self._nucleate()

    def _anew(self) -> None:
        """The past belongs to another state or splitting: the scheme starts at low order, and with a short step."""
        self.integrator.restart(self.carry, self.carry.t)
        self.steps.shorten()

    def _nucleate(self) -> None:
        """Places the nuclei that are due; only fields that have got some change."""
        carry, scratch = self.carry, self._cells(self.carry)
        cells = cells_of(self.layout, np.asarray(self.backend.lend(scratch)))
        changed = self._nuclei.place(cells, carry.t, self.reached)
        if not changed:
            return
        cells /= self.grid.norm
        for rows in slabs(self.grid):
            put_cells(self.backend, self.layout, scratch, rows, cells[:, rows])
        self._to_modes({"u": scratch}, self.split.scalars(carry.t))
        for part in changed:
            self.backend.copy(scratch[part], carry.u[part])
        carry.energies = dict.fromkeys(carry.energies, math.nan)
        self._anew()
        self._complete_energies()
        self._stabilize()  # the phase that has come may ask for another S

    def _stabilize(self, least: float = 0.5, most: float = 1.2) -> None:
        """Lets S follow the state; see `Stability.follow`."""
        cells = cells_of(self.layout, self.backend.to_host(self._cells(self.carry)))
        if self._stability.follow(self.model, cells, self.carry.t, least, most):
            self.split.stabilize(self.stabilizers)
            self._anew()

    def _watch_mobilities(self) -> None:
        """Ends a run with a mobility that has become negative; lets L follow one that has left what L was made for."""
        carry = self.carry
        found = self._mobilities.look(self._cells(carry), self.split.scalars(carry.t))

        def cells() -> np.ndarray:
            return cells_of(self.layout, self.backend.to_host(self._cells(carry)))

        if (seen := negative(self.model, found, cells, carry.t)) is not None:
            raise Diverged(carry.step, carry.t, *seen)
        larger = self._mobilities.larger(self.model, found, carry.t, carry.dt_old, self.spec.time.adaptive)
        if larger is not None:
            self.model = referenced(self.model, larger)
            self.split.stabilize(self.stabilizers, self.model)
            self.steps.use([f.mobility for f, _ in self.model.components])
            self._anew()

    @property
    def stabilizers(self) -> list[float]:
        """S of every component."""
        return self._stability.stabilizers

    @property
    def nuclei(self) -> dict[str, int]:
        """How many nuclei have appeared so far, of every field in which they do."""
        return self._nuclei.placed

    @property
    def beat(self) -> Beat | None:
        """When fixed steps are."""
        return self.steps.beat if isinstance(self.steps, FixedSteps) else None

    @property
    def rejected(self) -> int:
        """Number of steps that were tried in vain."""
        return self.steps.rejected

    @property
    def reached(self) -> float:
        """Time up to which the state has come: what is due by then is due now. What is missed by round-off is reached."""
        return self.steps.reached(self.carry)

    def check(self) -> None:
        """Raises Diverged if the state is not finite."""
        if not self._finite(self.carry.u):
            self._diverged("the state is not finite", "take a smaller time.dt, or time.adaptive=true")

    def _finite(self, modes: Any) -> bool:
        """Whether a buffer of modes is finite: one bad cell spoils the mean of its component."""
        return bool(np.isfinite(self.backend.to_host(modes[:, :1, :1, :1])).all())

    def _diverged(self, reason: str, hint: str) -> NoReturn:
        raise Diverged(self.carry.step, self.carry.t, self._suspect(), reason, hint)

    def _suspect(self) -> str:
        """The first field whose state, at hand or attempted, is not finite or has no finite chemical potential."""
        for state in (self.carry.u, self.integrator.latest):
            scratch = self.integrator.work
            self.backend.copy(state, scratch)
            self._to_cells({"u": scratch}, self.split.scalars(self.carry.t))
            cells = cells_of(self.layout, self.backend.lend(scratch))
            finite = np.ones(cells.shape[0], dtype=bool)
            for slab in slabs(self.grid):  # memory may be short
                flat = np.asarray(cells[:, slab]).reshape(cells.shape[0], -1).astype(float)
                finite &= np.isfinite(flat).all(axis=1)
                finite &= np.isfinite(self.model.evaluate(self.model.potentials, flat)).all(axis=1)
            if not finite.all():
                return self.model.components[int(np.argmin(finite))][0].name
        return self.model.components[0][0].name

    @property
    def kernel_sources(self) -> dict[str, str]:
        """File name -> generated source of every kernel, for debugging."""
        kernels = [*self.integrator.kernels, *self.observer.kernels]
        return {f"{k.kernel.name}.{k.language}": k.source for k in kernels}

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    @property
    def identity(self) -> dict[str, Any]:
        """What must agree for a checkpoint to be of this problem."""
        return identity(self.spec, self.model, self.grid, self.backend.precision)

    @property
    def state_bytes(self) -> int:
        """Bytes of the arrays of a checkpoint."""
        return sum(a.nbytes for a in self.integrator.kept(self.carry).values())

    def state(self, lend: bool = False) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and numbers of a checkpoint; ``lend`` gives the arrays themselves where it can, until the next step."""
        carry, host = self.carry, self.backend.lend if lend else self.backend.to_host
        arrays = {name: host(a) for name, a in self.integrator.kept(carry).items()}
        numbers = {"t": carry.t, "step": carry.step, "sizes": carry.sizes, "energies": carry.energies}
        numbers["notes"] = dict(carry.notes)
        stepping = None
        if isinstance(self.steps, AdaptiveSteps):
            stepping = self.steps.state() | {"energy_scale": self._scale, "samples": self._samples.tolist()}
        return arrays, {
            "identity": self.identity,
            "carry": numbers,
            "stabilizers": self.stabilizers,
            "until": self._until,
            "references": [list(times) for times in self.held.times],
            "mobilities": [None if f.law is None else f.law.references for f in self.model.order_parameters],
            "passing": self._stability.passing,
            "bounds": self._bounds,
            "stepping": stepping,
            "beat": None if self.beat is None else self.beat.state(),
            "nucleation": self._nuclei.state(),
        }
