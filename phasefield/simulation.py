"""The problem of a specification, put together and ready to step. It writes nothing; `run` does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, NoReturn

import numpy as np

from .backend import Backend, Forward, Inverse, Layout, cells_of, select
from .errors import CheckpointMismatch, ConfigError, Diverged
from .grid import Grid
from .initial import initial_field, merge_initial
from .integrators import SCHEMES, Carry, Controller, Integrator
from .models import EnergyModel, SpectralSplit, Stabilizer, below, bounds, continued
from .observables import Factory, Observer, continuation
from .specs import RunSpec

#: A rise in free energy that round-off explains, in units of the precision's epsilon.
_ROUNDOFF = 64.0
#: Steps between two looks at the state for its stabiliser while it is larger than the run will need; else they double.
_LOOK = 8

Checkpoint = tuple[Mapping[str, np.ndarray], Mapping[str, Any]]


def build_model(spec: RunSpec) -> EnergyModel:
    """The model a specification describes."""
    fields = [{"name": name, **vars(f)} for name, f in spec.model.fields.items()]
    return EnergyModel.build(spec.model.name, spec.model.energy, fields, spec.model.parameters)


def initial_cells(spec: RunSpec, model: EnergyModel, grid: Grid) -> np.ndarray:
    """Initial values of all components, shape ``(components, *grid.shape)``.

    Raises:
        ConfigError: a field without an initial condition, or one that cannot be made.
    """
    unknown = set(spec.initial) - set(spec.model.fields)
    if unknown:
        raise ConfigError(
            f"initial.{min(unknown)}", f"there is no such field; fields of the model: {', '.join(spec.model.fields)}"
        )
    parts = []
    for f in model.order_parameters:
        default, given = spec.model.fields[f.name].initial, spec.initial.get(f.name)
        condition = default if given is None else given if default is None else merge_initial(default, given)
        if condition is None:
            raise ConfigError(
                f"initial.{f.name}",
                "is missing; every field needs an initial condition",
                f"e.g. initial.{f.name}=0.5+0.1*cos(x) or initial.{f.name}={{kind: noise, mean: 0.5, amplitude: 0.01}}",
            )
        parts.append(initial_field(f.name, condition, f.components, grid, spec.seed, spec.model.parameters))
    return np.concatenate(parts)


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
        self._check_memory()
        if checkpoint is None:
            initial = initial_cells(spec, self.model, self.grid)
            self._bounds = bounds(
                self.model, initial, max(spec.model.log_bound, math.sqrt(np.finfo(self.backend.dtype).eps))
            )
        else:
            self._bounds = checkpoint[1].get("bounds", {})
        self.model = continued(self.model, self._bounds)
        self.continuation = below(self.model, self._bounds)
        # A scheme that does not extrapolate bears twice the curvature; see `models.stabilizer`.
        self._stabilizer = Stabilizer(self.model, 0.5 if self.scheme.memory == 0 else 1.0)
        if checkpoint is None:
            curvature = self._stabilizer(initial)
            self.stabilizers, self._passing = curvature.visited, curvature.passing
        else:
            self._check_identity(checkpoint[1])
            self.stabilizers, self._passing = list(checkpoint[1]["stabilizers"]), checkpoint[1].get("passing", False)
        adaptive = spec.time.adaptive
        self._epsilon = float(np.finfo(self.backend.dtype).eps)
        self._fields = self.model.slices()
        self.split = SpectralSplit(self.model, self.layout, self.stabilizers, spec.grid.dealias, monitor=adaptive)
        self.integrator = Integrator(self.scheme, self.split, self.layout, self.backend, self.split.kappas, adaptive)
        names, more = list(spec.output.observables), dict(observables or {})
        if self.continuation:
            names.append("continuation")
            more["continuation"] = partial(continuation, arguments=self.continuation)
        self.observer = Observer(names, self.model, self.layout, self.backend, more)
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

    def _check_sources(self) -> None:
        """The kernels would take a coordinate that the grid has not for 0."""
        for f in self.model.order_parameters:
            given = self.spec.model.fields[f.name].source
            texts = list(given) if isinstance(given, list | tuple) else [given]
            for text, source in zip(texts * len(f.sources), f.sources, strict=False):  # one may serve all components
                if source is not None:
                    names = (symbol.name for symbol in source.free_symbols)
                    self.grid.check_coordinates(names, f"model.fields.{f.name}.source", str(text))

    def _check_memory(self) -> None:
        components = len(self.model.components)
        # Not from the layout: its axes would already be arrays, of a length that may be absurd.
        *outer, last = self.grid.shape
        numbers = components * math.prod(outer) * 2 * (last // 2 + 1)
        buffers = (
            (4 if self.spec.time.adaptive else 3)
            + self.scheme.stage_buffers(self.spec.time.adaptive)
            + len(self.scheme.history(self.spec.time.adaptive))
        )
        largest = numbers * np.dtype(self.backend.dtype).itemsize
        periodic = set(self.grid.boundary) == {"periodic"}
        need = buffers * largest + self.backend.transform_memory(largest, periodic)
        have = self.backend.memory_available()
        if need > have:
            raise ConfigError(
                "grid.shape",
                f"{list(self.grid.shape)} with {components} component(s) needs about {need / 2**30:.3g} GiB on "
                f"{self.backend.name}; {have / 2**30:.3g} GiB are free",
                "use fewer cells, precision=single, or a scheme with fewer stages",
            )

    def _first_step(self) -> float:
        """A step short against the fastest growth that the stabilisers allow for; the controller takes it from there."""
        rates = [
            f.mobility * s * (s / f.kappa if f.kinetics == "conserved" and f.kappa > 0 else 1.0)
            for (f, _), s in zip(self.model.components, self.stabilizers, strict=True)
        ]
        return min(0.02 / max([*rates, 1e-12]), self.spec.time.end)

    def _start(self, initial: np.ndarray) -> Carry:
        """The carry of the initial condition. States are scaled so that an inverse transform needs no factor."""
        components = len(self.model.components)
        host = np.zeros(self.layout.buffer_shape(components), self.backend.dtype)
        cells_of(self.layout, host)[...] = initial / self.grid.norm
        state = self.backend.buffer(self.layout, components)
        self.backend.from_host(host, state)
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
        def load(name: str) -> Any:
            buffer = self.backend.buffer(self.layout, arrays[name].shape[0])
            self.backend.from_host(arrays[name], buffer)
            return buffer

        number = meta["carry"]
        history = {name: load(name) for name in arrays if name != "u"}
        carry = self.integrator.start(load("u"), number["t"], number["step"], number["sizes"], history)
        carry.gradient = number["gradient"]
        for key, value in meta["controller"].items():
            if key != "dt" or self.spec.time.adaptive:  # a fixed step is what the configuration says
                setattr(self.controller, key, value)
        return carry

    def observe(self, carry: Carry, measure: bool = True) -> tuple[Any, dict[str, Any]]:
        """Cells of the state (a scratch buffer, valid until the next step) and the observables."""
        scratch = self._cells(carry)
        values = self.observer(scratch, carry.u, measure)
        return scratch, {"time": carry.t, "step": carry.step, "dt": carry.dt_old, **values}

    def _cells(self, carry: Carry) -> Any:
        scratch = self.integrator.scratch[: self.split.components]
        self.backend.copy(carry.u, scratch)
        self._to_cells({"u": scratch})
        return scratch

    # -- stepping ------------------------------------------------------------------------------------------------------

    def advance(self, target: float) -> None:
        """One accepted step, not beyond ``target``; lands on it exactly when it is near.

        Raises:
            Diverged: no acceptable step exists.
        """
        if self.spec.time.adaptive:
            self._adaptive(target)
        else:
            self._fixed(target)
        step = self.carry.step
        # Sources lead anywhere, and near a logarithm's end a little further is a much larger curvature. Fixed steps keep
        # their order, which a new start at low order would spoil.
        uncertain = self.spec.time.adaptive and (bool(self.continuation) or not self.model.gradient_flow)
        if step % _LOOK == 0 and (self._passing or (uncertain and step & (step - 1) == 0)):
            self._stabilize()

    def _stabilize(self) -> None:
        """Lets S follow the state: often while it still pays for a curvature that passes, else now and then."""
        found = self._stabilizer(cells_of(self.layout, self.backend.to_host(self._cells(self.carry))))
        self._passing = found.passing
        pairs = list(zip(found.visited, self.stabilizers, strict=True))
        if all(0.5 * old <= new <= 1.2 * old for new, old in pairs):
            return
        self.stabilizers = found.visited
        self.split.stabilize(self.stabilizers)
        # N of earlier steps belongs to another splitting: the scheme starts anew, at low order and with a short step.
        carry = self.carry
        self.carry = self.integrator.start(carry.u, carry.t, carry.step, history=carry.history)
        self.carry.gradient = carry.gradient
        if self.spec.time.adaptive:
            self.controller.dt = max(0.05 * self.controller.dt, self.controller.dt_min)
            self.controller.last = 0.0

    def _size(self, proposal: float, target: float) -> tuple[float, float]:
        """Step and end time: the last steps before a target are evened out instead of leaving a sliver."""
        rest = target - self.carry.t
        if proposal >= rest * (1 - 1e-9):
            return rest, target
        if proposal > 0.5 * rest:
            return 0.5 * rest, self.carry.t + 0.5 * rest
        return proposal, self.carry.t + proposal

    def _fixed(self, target: float) -> None:
        carry, proposal = self.carry, self.controller.dt
        rest = target - carry.t
        left = max(1, math.ceil(rest / proposal * (1 - 1e-9)))
        # Equal steps up to the target: dt itself where it divides the interval, a little less where not.
        size = rest / left
        self.integrator.step(carry, size, target if left == 1 else carry.t + size)
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
            cells = cells_of(self.layout, self.backend.to_host(scratch))
            flat = cells.reshape(len(cells), -1).astype(float)
            finite = np.isfinite(flat).all(axis=1) & np.isfinite(self.model.evaluate(self.model.potentials, flat)).all(
                axis=1
            )
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

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and numbers of a checkpoint."""
        carry = self.carry
        arrays = {"u": self.backend.to_host(carry.u)}
        arrays |= {name: self.backend.to_host(a) for name, a in carry.history.items()}
        numbers = {"t": carry.t, "step": carry.step, "sizes": carry.sizes, "gradient": carry.gradient}
        return arrays, {
            "identity": self.identity,
            "carry": numbers,
            "stabilizers": self.stabilizers,
            "passing": self._passing,
            "bounds": self._bounds,
            "controller": self.controller.state(),
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
