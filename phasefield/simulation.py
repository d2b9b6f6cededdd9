"""The problem of a specification, put together and ready to step. It writes nothing; `run` does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property, partial
from typing import Any, NoReturn

import numpy as np

from .backend import Apply, Backend, Layout, Rehearsal, cells_of, put_cells, select
from .derived import Derived
from .errors import Diverged
from .footprint import Footprint, check_memory
from .grid import Grid
from .initial import Sample, slabs
from .integrators import SCHEMES, AdaptiveSteps, Carry, FixedSteps, Integrator, NoWay
from .models import (
    Curvature,
    Defined,
    SpectralSplit,
    Stabilizer,
    below,
    bounds,
    coming,
    continued,
    energy_terms,
    followed,
    negative,
    range_kernel,
    referenced,
    references,
)
from .models.moving import References
from .models.parameters import telling
from .models.resolution import Resolution, resolution
from .models.spectrum import Spectrum
from .models.timescales import timed
from .models.waves import WAVES
from .nucleation import counted, nucleators
from .observables import Factory, Observer, continuation, of_term
from .pace import adaptive_steps
from .problem import build_model, check_identity, check_terms, identity, initial_cells, initial_of
from .schedule import Beat
from .specs import RunSpec

#: Steps between two looks at the state for its stabiliser while it is larger than the run will need; else they double.
_LOOK = 8
#: Steps as long as the last one over which a mobility that depends on time is looked at ahead.
_SOON = 64
#: What is wanted of S over what there is, from which on fixed steps start anew with it: where a run goes on to a later end.
_COVERED = 1.001
#: Times at which the values on walls are looked at.
_TIMES = 17

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
            cells = self._with_walls(sample.array())
            self._few: np.ndarray | None = sample.few()
            least = max(spec.model.log_bound, math.sqrt(np.finfo(self.backend.dtype).eps))
            self._bounds = bounds(self.model, cells, least)
        else:
            self._few = None
            self._bounds = checkpoint[1].get("bounds", {})
        self.model = continued(self.model, self._bounds)
        self.continuation = below(self.model, self._bounds)
        self._patterned = not Spectrum(self.model).plain
        if checkpoint is None:
            curvature = self._curvature(cells, 0.0)
            self.stabilizers, self._passing = curvature.visited, curvature.passing
            self.model = referenced(
                self.model, references(self.model, curvature.states, spec.time.end, spec.time.adaptive)
            )
            self._scale, self._samples = self.grid.volume * energy_terms(self.model, cells), _spread(cells)
            del sample, cells
        else:
            check_identity(self.identity, checkpoint[1])
            self.stabilizers, self._passing = list(checkpoint[1]["stabilizers"]), checkpoint[1].get("passing", False)
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
        self._nucleating = nucleators(self.model, self.grid, spec.seed)
        if self._nucleating:
            names.append("nuclei")
            more["nuclei"] = counted
        self.observer = Observer(names, self.model, self.layout, self.backend, more)
        looks = [operation for term in self.model.terms for operation in term.look("u", WAVES)]
        self._looks = self.backend.program(self.layout, looks) if looks else None
        self.derived = Derived(spec.output.fields, self.model, self.layout, self.backend, self.integrator)
        self._to_modes = self.backend.program(self.layout, self.split.modes("u"))
        self._to_cells = self.backend.program(self.layout, self.split.cells("u"))
        ranges = [Apply(range_kernel(self.model, list(self.split.scalars(0.0))))] if self.model.drifts else []
        self._mobilities = self.backend.program(self.layout, ranges) if ranges else None
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
        for nucleator in self._nucleating:
            nucleator.restore(meta["nucleation"][nucleator.field.name])
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
            self.steps.advance(self.carry, min([target, *(nucleator.next_time for nucleator in self._nucleating)]))
        except NoWay as error:
            self._diverged(error.reason, error.hint)
        if self.beat is not None and self.carry.step % self.backend.readback_every == 0:
            self.check()
        step = self.carry.step
        if self._mobilities is not None and step % _LOOK == 0:
            self._watch_mobilities()
        # Sources lead anywhere, patterns of a nonlocal energy overshoot the wells of f, parameters leave behind what S was for,
        # and near a logarithm's end a little further is a much larger curvature. Fixed steps keep their order, which a new
        # start at low order would spoil.
        doubts = bool(self.continuation), not self.model.gradient_flow, self._patterned, bool(self.model.courses)
        uncertain = self.spec.time.adaptive and any(doubts)
        if step % _LOOK == 0 and (self._passing or (uncertain and step & (step - 1) == 0)):
            self._stabilize()
        if any(nucleator.due(self.reached) for nucleator in self._nucleating):
            self._nucleate()

    def _nucleate(self) -> None:
        """Places the nuclei that are due; only fields that have got some change."""
        carry, scratch = self.carry, self._cells(self.carry)
        cells, reached = cells_of(self.layout, np.asarray(self.backend.lend(scratch))), self.reached
        due = [nucleator for nucleator in self._nucleating if nucleator.due(reached)]
        changed = [nucleator.part for nucleator in due if nucleator(cells, carry.t, reached)]
        if not changed:
            return
        cells /= self.grid.norm
        for rows in slabs(self.grid):
            put_cells(self.backend, self.layout, scratch, rows, cells[:, rows])
        self._to_modes({"u": scratch}, self.split.scalars(carry.t))
        for part in changed:
            self.backend.copy(scratch[part], carry.u[part])
        # The past belongs to another state, and the phase that has come may ask for another S.
        carry.energies = dict.fromkeys(carry.energies, math.nan)
        self.integrator.restart(carry, carry.t)
        self._complete_energies()
        self.steps.shorten()
        self._stabilize()

    def _with_walls(self, cells: np.ndarray) -> np.ndarray:
        """A sample of cells with the values that walls bring in, which S and the energy's domain have to cover, too."""
        if self.model.lifting is None:
            return cells
        held = self.model.lifting.states(np.linspace(0.0, self.spec.time.end, _TIMES).tolist())
        return np.concatenate([cells, held], axis=1)

    def _curvature(self, cells: np.ndarray, t: float) -> Curvature:
        """What S has to cover from time ``t`` to the end, with the parameters on their way."""
        courses = list(self.model.courses.values())
        times = telling(courses, t, max(t, self.spec.time.end)) if courses else [t]
        forced = np.linspace(t, max(t, self.spec.time.end), _TIMES).tolist()
        made = (Stabilizer(self.model.at(when), self.scheme.margin, self.grid, forced) for when in times)
        found = [stabilizer(cells) for stabilizer in made]
        visited, rest = (
            [max(s) for s in zip(*part, strict=True)]
            for part in zip(*((c.visited, c.rest) for c in found), strict=True)
        )
        return Curvature(visited, rest, np.concatenate([c.states for c in found], axis=1))

    def _stabilize(self, least: float = 0.5, most: float = 1.2) -> None:
        """Lets S follow the state: often while it still pays for a curvature that passes, else now and then.

        Args:
            least, most: what is wanted over what there is, between which S stays.
        """
        cells = cells_of(self.layout, self.backend.to_host(self._cells(self.carry)))
        found = self._curvature(self._with_walls(cells.reshape(len(cells), -1)), self.carry.t)
        self._passing = found.passing
        pairs = list(zip(found.visited, self.stabilizers, strict=True))
        if all(least * old <= new <= most * old for new, old in pairs):
            return
        self.stabilizers = found.visited
        self.split.stabilize(self.stabilizers)
        # N of earlier steps belongs to another splitting: the scheme starts anew, at low order and with a short step.
        self.integrator.restart(self.carry, self.carry.t)
        self.steps.shorten()

    def _watch_mobilities(self) -> None:
        """Ends a run with a mobility that has become negative; lets L follow one that has left what L was made for."""
        carry = self.carry
        found = self._mobilities({"work": self._cells(carry)}, self.split.scalars(carry.t))  # type: ignore[misc]

        def cells() -> np.ndarray:
            return cells_of(self.layout, self.backend.to_host(self._cells(carry)))

        if (seen := negative(self.model, found, cells, carry.t)) is not None:
            raise Diverged(carry.step, carry.t, *seen)
        soon = carry.t + carry.dt_old * np.linspace(0, _SOON, 2 * _TIMES)
        rises = coming(self.model, self._samples, soon) if self.spec.time.adaptive else {}
        if (larger := followed(self.model, found, rises)) is not None:
            self.model = referenced(self.model, larger)
            self.split.stabilize(self.stabilizers, self.model)
            self.steps.use([f.mobility for f, _ in self.model.components])
            self.integrator.restart(carry, carry.t)
            self.steps.shorten()

    @property
    def nuclei(self) -> dict[str, int]:
        """How many nuclei have appeared so far, of every field in which they do."""
        return {nucleator.field.name: nucleator.placed for nucleator in self._nucleating}

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
            "passing": self._passing,
            "bounds": self._bounds,
            "stepping": stepping,
            "beat": None if self.beat is None else self.beat.state(),
            "nucleation": {nucleator.field.name: nucleator.state() for nucleator in self._nucleating},
        }
