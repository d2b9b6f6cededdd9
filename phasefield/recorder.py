"""The records of a run: rows of its history, snapshots and checkpoints, when they are due."""

from __future__ import annotations

import logging
import math
import time as clock
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from . import schedule, wall
from .runfiles import Kept, RunFiles
from .schedule import Beat, Schedule
from .simulation import Simulation
from .store import RunFolder, Writer, save_checkpoint

log = logging.getLogger("phasefield")


@dataclass
class Written:
    """What the files hold, so that a resumed run goes on behind the last checkpoint's records."""

    rows: int = 0
    snapshots: int = 0
    row_step: int = -1
    snapshot_step: int = -1
    row_time: float = math.nan
    snapshot_time: float = math.nan
    ended: str = ""
    time: float = math.nan
    energy: float = math.nan


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
        self._began = clock.monotonic()
        #: Seconds that the last checkpoint took; what the first takes is not known.
        self.cost = 0.0
        self._follows_cost = output.checkpoint is None
        self.checkpoints = schedule.WallTime(
            wall.interval(self.cost) if output.checkpoint is None else output.checkpoint
        )
        self._waiting: list[Mapping[str, Any]] = []
        self._told = False  #: whether the user knows that the energy's continuation was visited
        self._sent = -math.inf
        self.written = Written() if written is None else written
        measured = {v for variables in simulation.observer.measured.values() for v in variables}
        kept = None
        if written is not None:
            kept = Kept(written.rows, written.row_time), Kept(written.snapshots, written.snapshot_time)
        self.files = RunFiles(simulation, folder, attrs, set() if self.measure_rows else measured, kept, new_files)
        if written is not None:
            if "history" in self.files.renewed:
                written.rows, written.row_step = 0, -1
            if "fields" in self.files.renewed:
                written.snapshots, written.snapshot_step = 0, -1
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
            warn_shifted(plan, key, "(time.end/10)" if given is None else f"= {given}", beat, spec.time.end)

    # -- records -------------------------------------------------------------------------------------------------------

    def after_step(self, always: bool = False) -> None:
        """Writes what is due at the state at hand; at the start and the end of a run both a row and a snapshot are."""
        carry = self.simulation.carry
        reached = self.simulation.reached
        snapshot_due, row_due = self.snapshots.due(reached, carry.step), self.rows.due(reached, carry.step)
        snapshot = (snapshot_due or always) and self.written.snapshot_step != carry.step
        row = (row_due or snapshot or always) and self.written.row_step != carry.step
        stale = self.checkpoints.due(reached, carry.step)
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
            energy = values["free_energy"]
            scale = sum(abs(values[f"free_energy_{part}"]) for part in self.simulation.split.parts)
            if w.rows and scale > 0:
                # In turns, for a scale of 1e-320 times a step is 0.
                self.rate = abs(energy - w.energy) / scale / (values["time"] - w.time)
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
        w = self.written
        w.rows, w.row_step, w.row_time = w.rows + 1, int(values["step"]), float(values["time"])

    def send_rows(self) -> None:
        """Hands the rows that wait to the writer: an append costs as much for many as for one."""
        if self._waiting:
            rows = {name: np.stack([np.asarray(row[name]) for row in self._waiting]) for name in self._waiting[0]}
            self.writer.submit(self.files.append_rows, rows)
        self._waiting, self._sent = [], clock.monotonic()

    def _snapshot(self, cells: Any) -> None:
        sim, w = self.simulation, self.written
        self.send_rows()
        more = sim.derived(cells, sim.carry)
        if large := self.writer.large(cells.nbytes + sum(array.nbytes for array in more)):
            self.writer.flush()
        if large and sim.backend.in_parts:  # brought and written piece by piece, for there is room for no more
            self.files.append_fields(sim.carry.t, *(partial(sim.backend.lend, array) for array in (cells, *more)))
        else:
            arrived = [sim.backend.snapshot(array) for array in (cells, *more)]
            self.writer.submit(self.files.append_fields, sim.carry.t, *arrived)
        w.snapshots, w.snapshot_step, w.snapshot_time = w.snapshots + 1, sim.carry.step, float(sim.carry.t)

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
        if large and self.simulation.backend.in_parts:
            self.writer.flush()
            self._save(arrays, meta)
        else:
            hand_over = self.writer.lend if large else self.writer.submit
            hand_over(self._save, arrays, meta)
        self.good = f"step {self.simulation.carry.step} at time {self.simulation.carry.t:.6g}"
        self.checkpoints.restart()

    def _save(
        self, arrays: Mapping[str, Any], meta: Mapping[str, Any], returned: Callable[[], None] = lambda: None
    ) -> None:
        """Writes a checkpoint, in the writer's thread, and takes the time; ``returned`` is called when the arrays were read."""
        start = clock.monotonic()
        save_checkpoint(self.folder.checkpoint, arrays, meta, returned)
        self.cost = clock.monotonic() - start
        if self._follows_cost:
            self.checkpoints.seconds = wall.interval(self.cost, clock.monotonic() - self._began)


def warn_shifted(plan: Schedule, key: str, given: str, beat: Beat, end: float) -> None:
    """Says what of a plan falls between fixed steps, and when it is done."""
    if times := beat.shifted(plan, end):
        shown = ", ".join(f"{t:g}" for t in times[:6]) + (", ..." if len(times) > 6 else "")
        log.warning(
            "%s %s does not fall on steps of time.dt = %g: it is done after them, at %s", key, given, beat.dt, shown
        )
