"""A run: a simulation driven to its end while its history, snapshots and checkpoints go into a folder."""

from __future__ import annotations

import itertools
import logging
import math
import os
import shlex
import time as clock
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import schedule
from .backend import cells_of
from .errors import CheckpointMismatch, Diverged, OutputError
from .provenance import provenance
from .signals import Stop, deferred
from .simulation import Simulation
from .store import RecordFile, RunFolder, Variable, Writer, save_checkpoint
from .symbolic import formula

log = logging.getLogger("phasefield")


@dataclass(frozen=True)
class Outcome:
    """How a run ended: ``finished``, ``steady``, ``max_steps`` or ``stopped``, and the signal that was heard meanwhile."""

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


#: Coordinates and growing variables of a file, see `RecordFile.create`.
Declared = tuple[dict[str, tuple[np.ndarray, dict[str, Any]]], list[Variable]]

#: Seconds for which rows of history are gathered before they are written.
_TOGETHER = 1.0


class Recorder:
    """Writes a simulation's records into its folder through a thread of its own.

    Args:
        written: from the checkpoint when resuming (records behind it are dropped), None for a new folder.
        new_files: whether a file that is missing or another's is replaced by a new one, which begins with the state at hand.

    Raises:
        OutputError, CheckpointMismatch: a file is missing, unreadable or another run's.
    """

    def __init__(
        self,
        simulation: Simulation,
        folder: RunFolder,
        attrs: Mapping[str, Any],
        written: Written | None = None,
        new_files: bool = False,
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
        self._told = False  #: whether the user knows that the energy's continuation was visited
        self._sent = -math.inf
        self.written = Written() if written is None else written
        self.renewed = False  #: whether a file begins with the state at hand, of a run that does not
        self._attrs, self._new_files = attrs, new_files
        if written is None:
            self.history = RecordFile.create(folder.history, *self._history(), attrs)
            self.fields = RecordFile.create(folder.fields, *self._fields(), attrs, output.compression)
        else:
            history, fields = (
                self._continued(folder.history, self._history(), written.rows),
                self._continued(folder.fields, self._fields(), written.snapshots),
            )
            if history is None:
                written.rows, written.row_step = 0, -1
            if fields is None:
                written.snapshots, written.snapshot_step = 0, -1
            self.renewed = history is None or fields is None
            self.history = history or RecordFile.create(folder.history, *self._history(), attrs)
            self.fields = fields or RecordFile.create(folder.fields, *self._fields(), attrs, output.compression)
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

    def _continued(self, path: Path, declared: Declared, count: int) -> RecordFile | None:
        """The file with the records that the checkpoint counts on; None, with what is there put aside, for a new one."""
        try:
            file = RecordFile.open(path)
            self._check_file(file, declared, count)
        except (OutputError, CheckpointMismatch) as error:
            if not self._new_files:
                raise type(error)(
                    f"{error}\n  put the file of this run back, or go on with a new one that begins at the checkpoint: "
                    f"phasefield resume {shlex.quote(str(self.folder.path))} --new-files"
                ) from error
            self._put_aside(path, error)
            return None
        file.truncate(count)
        return file

    def _check_file(self, file: RecordFile, declared: Declared, count: int) -> None:
        coords, variables = declared
        sizes = {name: len(values) for name, (values, _) in coords.items()}
        expected = {v.name: tuple(sizes[d] for d in v.dims[1:]) for v in variables}
        if file.shapes != expected:
            found = {n for n in {*file.shapes, *expected} if file.shapes.get(n) != expected.get(n)}
            raise CheckpointMismatch(
                f"{file.path}: is of another run, or output.observables was changed: it differs in {', '.join(sorted(found))}"
            )
        for key in ("model_energy", "boundary", "seed"):
            if key in file.attrs and str(np.squeeze(file.attrs[key])) != str(self._attrs[key]):
                raise CheckpointMismatch(
                    f"{file.path}: is of another run: its {key} is {np.squeeze(file.attrs[key])}, not {self._attrs[key]}"
                )
        if len(file) < count:
            raise CheckpointMismatch(
                f"{file.path}: holds {len(file)} records, the checkpoint knows of {count}; the file was changed after the run"
            )
        if count and file.time(count - 1) > self.simulation.carry.t * (1 + 1e-12):
            raise CheckpointMismatch(
                f"{file.path}: is of another run: its record {count} is of a time after the checkpoint's"
            )

    def _put_aside(self, path: Path, why: Exception) -> None:
        log.warning("%s\n  a new file is begun, as was asked for", why)
        if not os.path.lexists(path):
            return
        aside = next(p for n in itertools.count(1) if not os.path.lexists(p := path.with_name(f"{path.name}.{n}")))
        try:
            os.replace(path, aside)
        except OSError as error:
            raise OutputError(f"{path}: cannot be put aside: {error.strerror or error}") from error
        log.warning("  what was there is now %s", aside)

    def _component_axes(self) -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
        return {
            f"component_{f.name}": (np.arange(1, f.components + 1), {"long_name": f"component of {f.name}"})
            for f in self.simulation.model.order_parameters
            if f.components is not None
        }

    def _time(self) -> Variable:
        units = self.simulation.spec.time.units
        return Variable("time", ("time",), "float64", {"long_name": "simulated time", "units": units, "axis": "T"})

    def _history(self) -> Declared:
        sim = self.simulation
        variables = [
            self._time(),
            # Not an integer: ParaView 5.11 reads none of 64 bits, and 32 are too few.
            Variable("step", ("time",), "float64", {"long_name": "number of steps", "units": "1"}),
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
        return self._component_axes() | labels, variables

    def _fields(self) -> Declared:
        sim = self.simulation
        coords: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
            name: (
                axis.centers,
                {"long_name": f"{name} of the cell centre", "units": sim.spec.grid.units},
            )
            for name, axis in zip(sim.grid.names, sim.grid.axes, strict=True)
        }
        variables = [self._time()]
        for f in sim.model.order_parameters:
            dims = ("time", *(() if f.components is None else (f"component_{f.name}",)), *sim.grid.names)
            attributes = {"long_name": f.description or f.name, "units": f.units}
            variables.append(Variable(f.name, dims, sim.backend.dtype, attributes))
        return coords | self._component_axes(), variables

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
        if values.get("continued_cells", 0) > 0 and not self._told:
            self._told = True
            log.warning(
                "at time %g, %d cells are where the energy is continued (%s); model.log_bound sets the bounds, "
                "and continued_cells of history.nc counts the cells",
                values["time"],
                values["continued_cells"],
                " or ".join(f"{a} < {b:.3g}" for a, b in self.simulation.continuation),
            )
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
    new_files: bool = False,
) -> Outcome:
    """Runs a simulation in its folder until the end, steady state, a signal or divergence.

    Args:
        written: records counted by the checkpoint the simulation was restored from; None for a new run.
        new_files: see `Recorder`.

    Raises:
        PhasefieldError: records and checkpoints made before are kept.
    """
    with deferred() as stop:  # first of all, so that a signal from here on leaves a run to resume
        outcome = _execute(simulation, folder, written, command, stop, progress, new_files)
        if outcome.signal is not None:
            stop.received = None
    carry = simulation.carry
    log.info(
        "%s at time %g after %d steps (%d rejected)",
        outcome.reason,
        carry.t,
        carry.step,
        simulation.rejected,
    )
    return outcome


def _execute(
    sim: Simulation,
    folder: RunFolder,
    written: Written | None,
    command: str,
    stop: Stop,
    progress: Callable[[Progress], None] | None,
    new_files: bool,
) -> Outcome:
    spec = sim.spec
    attrs = {
        "title": spec.title or spec.model.description or spec.model.name,
        **provenance(spec, sim.backend.description, command),
        "boundary": " ".join(sim.grid.boundary),
        "model": sim.model.name,
        "model_energy": sim.model.text,
        "model_formula": formula(sim.model.energy if sim.model.written is None else sim.model.written),
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
    recorder = Recorder(sim, folder, attrs, written, new_files)
    if sim.observer.measured and not recorder.measure_rows:
        log.info("%s: computed for snapshots only; set output.history to have more", ", ".join(sim.observer.measured))
    with recorder.writer:
        try:
            if written is None or recorder.renewed:
                recorder.after_step(always=True)
                recorder.checkpoint()
            outcome = _loop(recorder, stop, progress)
            if outcome.reason != "stopped":
                recorder.after_step(always=True)
                recorder.written.ended = outcome.reason
            recorder.checkpoint()
            outcome = Outcome(outcome.reason, stop.received)
        except Diverged as error:
            recorder.send_rows()
            raise error.advise(f"the last good checkpoint, {recorder.good}, is {folder.checkpoint}") from None
    return outcome


def _write_kernels(sim: Simulation, folder: RunFolder) -> None:
    try:
        folder.kernels.mkdir(exist_ok=True)
        for name, source in sim.kernel_sources.items():
            (folder.kernels / name).write_text(source, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder.kernels}: cannot be written: {error.strerror or error}") from error


def _loop(recorder: Recorder, stop: Stop, progress: Callable[[Progress], None] | None) -> Outcome:
    sim = recorder.simulation
    while not recorder.end:
        if stop.received is not None:
            return Outcome("stopped")
        sim.advance(min(sim.spec.time.end, recorder.next_time))
        recorder.after_step()
        if progress is not None:
            c = sim.carry
            energy = c.energy if math.isfinite(c.energy) else recorder.written.energy
            progress(Progress(c.t, sim.spec.time.end, c.step, c.dt_old, energy, sim.rejected))
    return Outcome(recorder.end)
