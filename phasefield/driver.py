"""A run: a simulation driven to its end while its history, snapshots and checkpoints go into a folder."""

from __future__ import annotations

import logging
import math
import signal
import time as clock
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import schedule
from .backend import cells_of
from .errors import CheckpointMismatch, Diverged, OutputError
from .provenance import provenance
from .simulation import Simulation
from .store import RecordFile, RunFolder, Variable, Writer, save_checkpoint
from .symbolic import formula

log = logging.getLogger("phasefield")


@dataclass(frozen=True)
class Outcome:
    """How a run ended: ``finished``, ``steady``, ``max_steps`` or ``stopped`` (then with the signal)."""

    reason: str
    signal: int | None = None


@dataclass(frozen=True)
class Progress:
    """What a display is told after every step."""

    time: float
    end: float
    step: int
    dt: float
    energy: float
    rejected: int


class Stop:
    """Turns SIGINT, SIGTERM and SIGUSR1 into a request to stop after the step at hand."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        try:
            for number in self.SIGNALS:
                self._before[number] = signal.signal(number, self._handle)
        except ValueError:  # not in the main thread, where signals belong to the caller
            pass
        return self

    def _handle(self, number: int, frame: Any) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt  # asked twice: now
        self.received = number

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


@dataclass
class Written:
    """What the files hold, so that a resumed run goes on behind the last checkpoint's records."""

    rows: int = 0
    snapshots: int = 0
    row_step: int = -1
    snapshot_step: int = -1
    ended: str = ""
    time: float = math.nan
    energy: float = math.nan


#: Seconds for which rows of history are gathered before they are written.
_TOGETHER = 1.0


class Recorder:
    """Writes a simulation's records into its folder through a thread of its own.

    Args:
        written: from the checkpoint when resuming (records behind it are dropped), None for a new folder.
    """

    def __init__(
        self, simulation: Simulation, folder: RunFolder, attrs: Mapping[str, Any], written: Written | None = None
    ) -> None:
        self.simulation, self.folder = simulation, folder
        spec, output = simulation.spec, simulation.spec.output
        self.snapshots = schedule.build(spec.time.end / 10 if output.every is None else output.every, "output.every")
        thinning = output.history is None
        self.rows = schedule.Thinning() if thinning else schedule.build(output.history, "output.history")
        #: Whether every row holds what is measured on the host: it may cost many steps, so it is not without being asked for.
        self.measure_rows = not thinning
        carry = simulation.carry
        self.good = f"step {carry.step} at time {carry.t:.6g}"  #: of which state the last checkpoint is
        self.rate = math.inf  #: relative rate of change of the free energy between the last two rows
        self._checkpointed = clock.monotonic()
        self._waiting: list[Mapping[str, Any]] = []
        self._sent = -math.inf
        if written is None:
            self.written = Written()
            self.history, self.fields = self._create_history(attrs), self._create_fields(attrs)
        else:
            self.written = written
            self.history, self.fields = RecordFile.open(folder.history), RecordFile.open(folder.fields)
            for file, count, name in (
                (self.history, written.rows, folder.history),
                (self.fields, written.snapshots, folder.fields),
            ):
                if len(file) < count:
                    raise CheckpointMismatch(
                        f"{name}: holds {len(file)} records, the checkpoint knows of {count}\n"
                        "  the file was changed after the run"
                    )
                file.truncate(count)
            # Counted afresh: with another time.end or output.every, the old count belongs to other times.
            for plan in (self.rows, self.snapshots):
                plan.due(simulation.reached, simulation.carry.step)
        self._tell_times()
        self.writer = Writer()

    def _tell_times(self) -> None:
        """Fixed steps stay what was asked for: what falls between two of them waits for the second."""
        spec, beat = self.simulation.spec, self.simulation.beat
        if beat is None:
            return
        last = beat.at(spec.time.end)
        if abs(last - spec.time.end) > beat.slack:
            log.warning(
                "time.end = %g is no multiple of time.dt = %g: the run ends at %g", spec.time.end, beat.dt, last
            )
        for plan, key, given in (
            (self.snapshots, "output.every", spec.output.every),
            (self.rows, "output.history", spec.output.history),
        ):
            if times := beat.shifted(plan, spec.time.end):
                shown = ", ".join(f"{t:g}" for t in times[:6]) + (", ..." if len(times) > 6 else "")
                name = f"{key} (time.end/10)" if given is None else f"{key} = {given}"
                log.warning(
                    "%s does not fall on steps of time.dt = %g: it is done after them, at %s", name, beat.dt, shown
                )

    # -- files ---------------------------------------------------------------------------------------------------------

    def _component_axes(self) -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
        return {
            f"component_{f.name}": (np.arange(1, f.components + 1), {"long_name": f"component of {f.name}"})
            for f in self.simulation.model.order_parameters
            if f.components is not None
        }

    def _time(self) -> Variable:
        units = self.simulation.spec.time.units
        return Variable("time", ("time",), "float64", {"long_name": "simulated time", "units": units, "axis": "T"})

    def _create_history(self, attrs: Mapping[str, Any]) -> RecordFile:
        sim = self.simulation
        variables = [
            self._time(),
            Variable("step", ("time",), "int64", {"long_name": "number of steps", "units": "1"}),
            Variable("dt", ("time",), "float64", {"long_name": "size of the last step", "units": sim.spec.time.units}),
        ]
        rare = () if self.measure_rows else {v for variables in sim.observer.measured.values() for v in variables}
        for name, attributes in sim.observer.attrs.items():
            of = sim.observer.fields.get(name)
            own = sim.observer.axes.get(name, ())
            dims = ("time", *own) if of is None else ("time", f"component_{of}")
            comment = {"comment": "of the snapshots; NaN in other rows"} if name in rare else {}
            variables.append(Variable(name, dims, "float64", {**attributes, **comment}))
        labels: dict[str, tuple[np.ndarray, dict[str, Any]]]
        labels = {axis: (np.array(names), {}) for axis, names in sim.observer.labels.items()}
        return RecordFile.create(self.folder.history, self._component_axes() | labels, variables, attrs)

    def _create_fields(self, attrs: Mapping[str, Any]) -> RecordFile:
        sim = self.simulation
        coords: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
            name: (
                axis.centers,
                {"long_name": f"{name} of the cell centre", "units": sim.spec.grid.units, "axis": name.upper()},
            )
            for name, axis in zip(sim.grid.names, sim.grid.axes, strict=True)
        }
        variables = [self._time()]
        for f in sim.model.order_parameters:
            dims = ("time", *(() if f.components is None else (f"component_{f.name}",)), *sim.grid.names)
            attributes = {"long_name": f.description or f.name, "units": f.units}
            variables.append(Variable(f.name, dims, sim.backend.dtype, attributes))
        compression = sim.spec.output.compression
        return RecordFile.create(self.folder.fields, coords | self._component_axes(), variables, attrs, compression)

    # -- records -------------------------------------------------------------------------------------------------------

    def after_step(self, always: bool = False) -> None:
        """Writes what is due at the state at hand; at the start and the end of a run both a row and a snapshot are."""
        carry = self.simulation.carry
        reached = self.simulation.reached
        snapshot_due, row_due = self.snapshots.due(reached, carry.step), self.rows.due(reached, carry.step)
        snapshot = (snapshot_due or always) and self.written.snapshot_step != carry.step
        row = (row_due or snapshot or always) and self.written.row_step != carry.step
        stale = clock.monotonic() - self._checkpointed >= self.simulation.spec.output.checkpoint
        if row or snapshot or always:
            self.simulation.check()
        if row or snapshot:
            cells, values = self.simulation.observe(carry, measure=False)
            if row:
                self._follow(values)
                if snapshot or self.measure_rows or self.end:
                    values |= self.simulation.observer.measure(cells)
                self._row(values)
            if snapshot:
                self._snapshot(cells)
        if stale and not always:
            self.checkpoint()

    @property
    def end(self) -> str:
        """How the run ends with the state at hand; nothing while it goes on."""
        carry, time = self.simulation.carry, self.simulation.spec.time
        if time.steady is not None and self.rate < time.steady:
            return "steady"
        if self.simulation.reached >= time.end:
            return "finished"
        return "max_steps" if time.max_steps is not None and carry.step >= time.max_steps else ""

    def _follow(self, values: Mapping[str, Any]) -> None:
        w = self.written
        if "free_energy" in values:
            energy, scale = values["free_energy"], abs(values["free_energy_bulk"]) + abs(values["free_energy_gradient"])
            if w.rows and scale > 0:
                self.rate = abs(energy - w.energy) / (scale * (values["time"] - w.time))
            w.time, w.energy = float(values["time"]), float(energy)

    def _row(self, values: Mapping[str, Any]) -> None:
        self._waiting.append(values)
        if clock.monotonic() - self._sent >= _TOGETHER:
            self.send_rows()
        self.written.rows, self.written.row_step = self.written.rows + 1, int(values["step"])

    def send_rows(self) -> None:
        """Hands the rows that wait to the writer: an append costs as much for many as for one."""
        if self._waiting:
            rows = {name: np.stack([np.asarray(row[name]) for row in self._waiting]) for name in self._waiting[0]}
            self.writer.submit(self.history.append, rows)
        self._waiting, self._sent = [], clock.monotonic()

    def _snapshot(self, cells: Any) -> None:
        sim, w = self.simulation, self.written
        self.send_rows()
        if self.writer.large(cells.nbytes):
            self.writer.flush()
        self.writer.submit(self._append_fields, sim.carry.t, sim.backend.snapshot(cells))
        w.snapshots, w.snapshot_step = w.snapshots + 1, sim.carry.step

    def _append_fields(self, time: float, arrived: Callable[[], np.ndarray]) -> None:
        """The writer thread's part of a snapshot, which may still be on its way from the device."""
        model = self.simulation.model
        host = cells_of(self.simulation.layout, arrived())
        record: dict[str, np.ndarray] = {"time": np.array([time])}
        for f in model.order_parameters:
            part = host[model.slices()[f.name]]
            record[f.name] = part if f.components is None else part[None]
        self.fields.append(record)

    @property
    def next_time(self) -> float:
        return min(self.snapshots.next_time, self.rows.next_time)

    def checkpoint(self) -> None:
        """Queues a checkpoint behind the records it counts on."""
        self.simulation.check()
        self.send_rows()
        large = self.writer.large(self.simulation.state_bytes)
        arrays, meta = self.simulation.state(lend=large)
        meta["written"] = dict(vars(self.written))
        hand_over = self.writer.lend if large else self.writer.submit
        hand_over(save_checkpoint, self.folder.checkpoint, arrays, meta)
        self.good = f"step {self.simulation.carry.step} at time {self.simulation.carry.t:.6g}"
        self._checkpointed = clock.monotonic()


def execute(
    simulation: Simulation,
    folder: RunFolder,
    written: Written | None = None,
    command: str = "",
    progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Runs a simulation in its folder until the end, steady state, a signal or divergence.

    Args:
        written: records counted by the checkpoint the simulation was restored from; None for a new run.

    Raises:
        PhasefieldError: records and checkpoints made before are kept.
    """
    with Stop() as stop:  # first of all, so that a signal from here on leaves a run to resume
        outcome = _execute(simulation, folder, written, command, stop, progress)
    carry = simulation.carry
    log.info(
        "%s at time %g after %d steps (%d rejected)",
        outcome.reason,
        carry.t,
        carry.step,
        simulation.controller.rejected,
    )
    return outcome


def _execute(
    sim: Simulation,
    folder: RunFolder,
    written: Written | None,
    command: str,
    stop: Stop,
    progress: Callable[[Progress], None] | None,
) -> Outcome:
    spec = sim.spec
    attrs = {
        "title": spec.title or spec.model.description or spec.model.name,
        **provenance(spec, sim.backend.description, command),
        "boundary": " ".join(sim.grid.boundary),
        "model": sim.model.name,
        "model_energy": sim.model.text,
        "model_formula": formula(sim.model.energy),
    }
    log.info(
        "%s on %s (%s, %s precision), %s cells, %s %s steps to time %g",
        sim.model.name,
        sim.backend.name,
        sim.backend.description,
        spec.precision,
        "x".join(map(str, sim.grid.shape)),
        "adaptive" if spec.time.adaptive else "fixed",
        spec.time.scheme,
        spec.time.end,
    )
    if (seen := sim.resolution) is not None:
        if seen.summary:
            log.info("%s", seen.summary)
        for warning in seen.warnings:
            log.warning("%s", warning)
    if spec.output.kernels:
        _write_kernels(sim, folder)
    recorder = Recorder(sim, folder, attrs, written)
    if sim.observer.measured and not recorder.measure_rows:
        log.info("%s: computed for snapshots only; set output.history to have more", ", ".join(sim.observer.measured))
    with recorder.writer:
        try:
            if written is None:
                recorder.after_step(always=True)
                recorder.checkpoint()
            outcome = _loop(recorder, stop, progress)
            if outcome.reason != "stopped":
                recorder.after_step(always=True)
                recorder.written.ended = outcome.reason
            recorder.checkpoint()
        except Diverged as error:
            recorder.send_rows()
            raise error.advise(f"the last good checkpoint, {recorder.good}, is {folder.checkpoint}") from None
    return outcome


def _write_kernels(sim: Simulation, folder: RunFolder) -> None:
    try:
        folder.kernels.mkdir(exist_ok=True)
        for name, source in sim.kernel_sources.items():
            (folder.kernels / name).write_text(source)
    except OSError as error:
        raise OutputError(f"{folder.kernels}: cannot be written: {error.strerror or error}") from error


def _loop(recorder: Recorder, stop: Stop, progress: Callable[[Progress], None] | None) -> Outcome:
    sim = recorder.simulation
    while not recorder.end:
        if stop.received is not None:
            return Outcome("stopped", stop.received)
        sim.advance(min(sim.spec.time.end, recorder.next_time))
        recorder.after_step()
        if progress is not None:
            c = sim.carry
            energy = c.energy if math.isfinite(c.energy) else recorder.written.energy
            progress(Progress(c.t, sim.spec.time.end, c.step, c.dt_old, energy, sim.controller.rejected))
    return Outcome(recorder.end)
