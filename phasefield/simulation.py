"""The problem of a specification, put together and ready to step. It writes nothing; `run` does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np

from .backend import Backend, Forward, Inverse, Layout, Rehearsal, cells_of, host_memory_available, put_cells, select
from .errors import CheckpointMismatch, ConfigError, Diverged
from .grid import Grid
from .initial import Sample, slabs
from .integrators import SCHEMES, Carry, Controller, Integrator
from .models import SpectralSplit, stabilizers
from .models.resolution import Resolution, resolution
from .observables import Factory, Observer
from .problem import build_model, initial_cells, initial_of
from .schedule import Beat
from .specs import RunSpec

#: A rise in free energy that round-off explains, in units of the precision's epsilon.
_ROUNDOFF = 64.0
#: Bytes for each number of the state that no run takes: what has so many to spare is not counted. Bytes that are counted at all.
_PLENTY, _COUNTABLE = 1024, 2**58

__all__ = ["Checkpoint", "Footprint", "Simulation", "build_model", "footprint", "initial_cells"]

Checkpoint = tuple[Mapping[str, np.ndarray], Mapping[str, Any]]


@dataclass(frozen=True)
class Footprint:
    """Most memory that a run holds at a time beyond what the program itself takes, bytes.

    Attributes:
        device: in the device's memory. host: beside it in the host's, 0 on the CPU, where both are one.
    """

    device: int
    host: int


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
        self._check_sources()
        self.layout = Layout(self.grid)
        self.scheme = SCHEMES[spec.time.scheme]
        self.backend = backend or select(spec.device, spec.precision, spec.threads.cpu)  # type: ignore[arg-type]
        if not isinstance(self.backend, Rehearsal):
            self._check_memory(observables, 0 if checkpoint is None else sum(a.nbytes for a in checkpoint[0].values()))
        if checkpoint is None:
            initial, sample = self._initial()
            self.stabilizers = stabilizers(self.model, sample.array())
            self._few: np.ndarray | None = sample.few()
            del sample
        else:
            self._few = None
            self._check_identity(checkpoint[1])
            self.stabilizers = list(checkpoint[1]["stabilizers"])
        adaptive = spec.time.adaptive
        self._epsilon = float(np.finfo(self.backend.dtype).eps)
        self._fields = self.model.slices()
        self.split = SpectralSplit(self.model, self.layout, self.stabilizers, spec.grid.dealias, monitor=adaptive)
        self.integrator = Integrator(self.scheme, self.split, self.layout, self.backend, self.split.kappas, adaptive)
        self.observer = Observer(spec.output.observables, self.model, self.layout, self.backend, observables)
        components = len(self.model.components)
        self._to_modes = self.backend.program(self.layout, [Forward("u", components)])
        self._to_cells = self.backend.program(self.layout, [Inverse("u", components)])
        self.controller = Controller(
            tolerance=spec.time.tolerance,
            order=self.scheme.error_order,
            dt=spec.time.dt or self._first_step(),
            dt_min=spec.time.dt_min or 0.0,
            dt_max=spec.time.dt_max or math.inf,
        )
        self.carry = self._start(initial) if checkpoint is None else self._restore(*checkpoint)
        #: When fixed steps are.
        self.beat = None if adaptive or spec.time.dt is None else self._beat(spec.time.dt, checkpoint)

    @cached_property
    def resolution(self) -> Resolution | None:
        """What the grid makes of the model, from the initial values; None where a run goes on or an energy does not tell."""
        return None if self._few is None else resolution(self.model, self.grid, self._few)

    def _check_sources(self) -> None:
        """The kernels would take a coordinate that the grid has not for 0."""
        for f in self.model.order_parameters:
            given = self.spec.model.fields[f.name].source
            texts = list(given) if isinstance(given, list | tuple) else [given]
            for text, source in zip(texts * len(f.sources), f.sources, strict=False):  # one may serve all components
                if source is not None:
                    names = (symbol.name for symbol in source.free_symbols)
                    self.grid.check_coordinates(names, f"model.fields.{f.name}.source", str(text))

    def _check_memory(self, observables: Mapping[str, Factory] | None, loaded: int) -> None:
        """Refuses what does not fit. ``loaded``: bytes of a checkpoint, which are given back as buffers take them over."""
        numbers = len(self.model.components) * self.grid.cells
        device, host = self.backend.memory_available(), host_memory_available() + loaded
        device = min(device, host) if self.backend.name == "cpu" else device
        if numbers * _PLENTY <= min(device, host):
            return
        large = numbers * 16 > _COUNTABLE
        need = Footprint(numbers * 16, 0) if large else footprint(self.spec, self.backend, observables)
        for wanted, have, where in ((need.device, device, self.backend.name), (need.host, host, "the host")):
            if wanted > have:
                shape = list(self.grid.shape)
                fitting = [max(2, math.floor(n * (have / wanted) ** (1 / self.grid.dim))) for n in shape]
                raise ConfigError(
                    "grid.shape",
                    f"{shape} with {len(self.model.components)} component(s) in {self.spec.precision} precision needs "
                    f"{'more than' if large else 'about'} {wanted / 2**30:.3g} GiB on {where} "
                    f"({wanted / self.grid.cells:.0f} bytes per cell); {have / 2**30:.3g} GiB are free",
                    "use fewer cells"
                    + ("" if large else f" ({fitting} would fit)")
                    + (", precision=single" if self.spec.precision == "double" else "")
                    + ", or a scheme that keeps fewer arrays, such as time.scheme=etd1",
                )

    def _first_step(self) -> float:
        """A step short against the fastest growth that the stabilisers allow for; the controller takes it from there."""
        rates = [
            f.mobility * s * (s / f.kappa if f.kinetics == "conserved" and f.kappa > 0 else 1.0)
            for (f, _), s in zip(self.model.components, self.stabilizers, strict=True)
        ]
        return min(0.02 / max([*rates, 1e-12]), self.spec.time.end)

    def _initial(self) -> tuple[Any, Sample]:
        """The initial cells in a buffer, and a sample of them. States are scaled so that an inverse transform needs no factor."""
        components = len(self.model.components)
        state, sample = self.backend.buffer(self.layout, components), Sample(self.grid, components)
        if isinstance(self.backend, Rehearsal):
            sample = Sample(Grid((1,), (1.0,), ("periodic",)), components)
            sample.add(slice(0, 1), np.zeros((components, 1)))
            return state, sample
        rows = initial_of(self.spec, self.model, self.grid)
        for slab in slabs(self.grid):
            values = rows(slab)
            sample.add(slab, values)
            put_cells(self.backend, self.layout, state, slab, values / self.grid.norm)
        return state, sample

    def _start(self, state: Any) -> Carry:
        """The carry of the initial condition, whose cells are in ``state``."""
        self._to_modes({"u": state})
        carry = self.carry = self.integrator.start(state, 0.0)
        if not self._finite(carry.n):
            self._diverged(
                "the chemical potential of the initial values is not finite",
                "choose initial values within the energy's domain",
            )
        carry.gradient = self.observe(carry, measure=False)[1].get("free_energy_gradient", math.nan)
        return carry

    def _restore(self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Carry:
        """The carry of a checkpoint, whose arrays are let go one by one if they are in a dictionary."""

        def load(name: str) -> Any:
            array = arrays.pop(name) if isinstance(arrays, dict) else arrays[name]
            buffer = self.backend.buffer(self.layout, array.shape[0])
            self.backend.from_host(array, buffer)
            return buffer

        number = meta["carry"]
        history = {name: load(name) for name in list(arrays) if name != "u"}
        carry = self.integrator.start(load("u"), number["t"], number["step"], number["sizes"], history)
        carry.gradient = number["gradient"]
        for key, value in meta["controller"].items():
            if key != "dt" or self.spec.time.adaptive:  # a fixed step is what the configuration says
                setattr(self.controller, key, value)
        return carry

    def _beat(self, dt: float, checkpoint: Checkpoint | None) -> Beat:
        """A resumed run keeps the beat, so that times are the same to the last bit, or begins a new one with another step."""
        beat = Beat(dt, self.carry.t, self.carry.step)
        if checkpoint is not None and (before := checkpoint[1].get("beat")) is not None and before["dt"] == beat.dt:
            beat = Beat(**before)
        return beat

    def observe(self, carry: Carry, measure: bool = True) -> tuple[Any, dict[str, Any]]:
        """Cells of the state (a scratch buffer, valid until the next step) and the observables."""
        scratch = self.integrator.scratch[: self.split.components]
        self.backend.copy(carry.u, scratch)
        self._to_cells({"u": scratch})
        values = self.observer(scratch, carry.u, measure)
        return scratch, {"time": carry.t, "step": carry.step, "dt": carry.dt_old, **values}

    # -- stepping ------------------------------------------------------------------------------------------------------

    def advance(self, target: float) -> None:
        """One accepted step: an adaptive one not beyond ``target``, which it meets exactly; a fixed one of its size in any case.

        Raises:
            Diverged: no acceptable step exists.
        """
        if self.spec.time.adaptive:
            self._adaptive(target)
        else:
            self._fixed(target)

    def _size(self, proposal: float, target: float) -> tuple[float, float]:
        """Step and end time: the last steps before a target are evened out instead of leaving a sliver."""
        rest = target - self.carry.t
        if proposal >= rest * (1 - 1e-9):
            return rest, target
        if proposal > 0.5 * rest:
            return 0.5 * rest, self.carry.t + 0.5 * rest
        return proposal, self.carry.t + proposal

    @property
    def reached(self) -> float:
        """Time up to which the state has come: what is due by then is due now. Equal steps reach what they miss by round-off."""
        return self.carry.t if self.beat is None else self.carry.t + self.beat.slack

    def _fixed(self, target: float) -> None:
        assert self.beat is not None
        carry = self.carry
        t_new = self.beat.time(carry.step + 1)
        self.integrator.step(carry, self.beat.dt, target if abs(t_new - target) <= self.beat.slack else t_new)
        if carry.step % self.backend.readback_every == 0:
            self.check()

    def check(self) -> None:
        """Raises Diverged if the state is not finite."""
        if not self._finite(self.carry.u):
            self._diverged("the state is not finite", "take a smaller time.dt, or time.adaptive=true")

    def _finite(self, modes: Any) -> bool:
        """Whether a buffer of modes is finite: one bad cell spoils the mean of its component."""
        return bool(np.isfinite(self.backend.to_host(modes[:, :1, :1, :1])).all())

    def _adaptive(self, target: float) -> None:
        carry, controller, integrator = self.carry, self.controller, self.integrator
        floor = max(controller.dt_min, 1e-14 * max(target, 1e-300), 1e-15 * self.spec.time.end)
        why = ""
        for _ in range(200):
            size, t_new = self._size(controller.dt, target)
            trial = integrator.attempt(carry, size, t_new)
            ratio = controller.ratio(trial, self._fields)
            forced = size <= floor * 1.001 and controller.dt_min > 0
            if ratio <= 1.0 or (forced and math.isfinite(ratio)):
                why = self._objection(trial.energy)
                if not why:
                    controller.accepted(ratio, size)
                    integrator.accept(carry, trial, size, t_new)
                    return
                ratio = math.inf
            elif not math.isfinite(ratio):
                why = "the step is not finite"
            else:
                why = "the local error stays above the tolerance"
            if size <= floor:
                break
            controller.refused(ratio, size)
        self._diverged(
            f"{why}, even with dt = {size:.3g}",
            "check the initial values and the energy's domain, or loosen time.tolerance",
        )

    def _objection(self, energy: float) -> str:
        """Why a completed step is no good, or nothing."""
        if not math.isfinite(energy):
            return "the free energy is not finite"
        if self.model.gradient_flow:
            allowed = _ROUNDOFF * self._epsilon * (abs(self.carry.bulk) + abs(self.carry.gradient) + self._energy_scale)
            if energy > self.carry.energy + allowed:
                return "the free energy rises"
        return ""

    @property
    def _energy_scale(self) -> float:
        """Energy at stake, so that round-off of a run that starts at zero energy is judged fairly."""
        return self.grid.volume * max(self.stabilizers) * 1e-4

    def _diverged(self, reason: str, hint: str) -> NoReturn:
        raise Diverged(self.carry.step, self.carry.t, self._suspect(), reason, hint)

    def _suspect(self) -> str:
        """The first field whose state, at hand or attempted, is not finite or has no finite chemical potential."""
        for state in (self.carry.u, self.integrator.latest):
            scratch = self.integrator.scratch[: self.split.components]
            self.backend.copy(state, scratch)
            self._to_cells({"u": scratch})
            cells = cells_of(self.layout, self.backend.lend(scratch))
            finite = np.ones(len(cells), dtype=bool)
            for slab in slabs(self.grid):  # memory may be short
                flat = cells[:, slab].reshape(len(cells), -1).astype(float)
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
        spec, model = self.spec, self.model
        fields = {
            f"model.fields.{f.name}.{key}": value
            for f in model.order_parameters
            for key, value in {
                "kinetics": f.kinetics,
                "components": f.components,
                "mobility": f.mobility,
                "kappa": f.kappa,
                "source": None if f.source is None else str(f.source),
            }.items()
        }
        return {
            "model.energy": model.text,
            **{f"model.parameters.{name}": value for name, value in model.parameters.items()},
            **fields,
            "grid.shape": list(self.grid.shape),
            "grid.length": list(self.grid.lengths),
            "grid.boundary": list(self.grid.boundary),
            "grid.dealias": spec.grid.dealias,
            "precision": self.backend.precision,
            "time.scheme": spec.time.scheme,
            "time.adaptive": spec.time.adaptive,
        }

    @property
    def _kept(self) -> dict[str, Any]:
        """The arrays that a checkpoint holds."""
        return {"u": self.carry.u, **self.carry.history}

    @property
    def state_bytes(self) -> int:
        """Bytes of the arrays of a checkpoint."""
        return sum(a.nbytes for a in self._kept.values())

    def state(self, lend: bool = False) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and numbers of a checkpoint; ``lend`` gives the arrays themselves where it can, until the next step."""
        carry, host = self.carry, self.backend.lend if lend else self.backend.to_host
        arrays = {name: host(a) for name, a in self._kept.items()}
        numbers = {"t": carry.t, "step": carry.step, "sizes": carry.sizes, "gradient": carry.gradient}
        return arrays, {
            "identity": self.identity,
            "carry": numbers,
            "stabilizers": self.stabilizers,
            "controller": self.controller.state(),
            "beat": None if self.beat is None else self.beat.state(),
        }

    def _check_identity(self, meta: Mapping[str, Any]) -> None:
        theirs = meta.get("identity", {})
        mine = self.identity
        for key in dict.fromkeys([*mine, *theirs]):
            if theirs.get(key) != mine.get(key):
                raise CheckpointMismatch(
                    f"was written with {key} = {theirs.get(key)}, this run has {mine.get(key)}\n"
                    "  resuming goes on with the same problem: only time.end, time.dt, time.tolerance, time.steady, output, "
                    "threads and device may change"
                )
