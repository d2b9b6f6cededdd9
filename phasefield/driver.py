"""A run: a simulation driven to its end while its history, snapshots and checkpoints go into a folder."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from .callbacks import Callbacks
from .errors import Diverged, OutputError, PhasefieldError
from .problem import PROBLEM, problem_of
from .provenance import provenance
from .recorder import Recorder, Written
from .signals import Stop, deferred
from .simulation import Simulation
from .store import RunFolder
from .symbolic import formula
from .wall import Deadline, seconds

log = logging.getLogger("phasefield")


@dataclass(frozen=True)
class Outcome:
    """How a run ended: ``finished``, ``steady``, ``max_steps``; ``stopped``, or ``wall`` if its time was over, to be continued.

    Attributes:
        signal: the one that was heard meanwhile.
    """

    reason: str
    signal: int | None = None


#: Outcomes of a run that is not at its end.
GOES_ON = ("stopped", "wall")


@dataclass(frozen=True)
class Progress:
    """What a display is told after every step."""

    time: float
    end: float
    step: int
    dt: float
    energy: float
    rejected: int


def execute(
    simulation: Simulation,
    folder: RunFolder,
    written: Written | None = None,
    command: str = "",
    progress: Callable[[Progress], None] | None = None,
    new_files: bool = False,
    callbacks: Callbacks | None = None,
    began: float | None = None,
) -> Outcome:
    """Runs a simulation in its folder to the end, steady state, a signal, a callback's wish, the end of its time or divergence.

    Args:
        written: records counted by the checkpoint the simulation was restored from; None for a new run.
        new_files: see `Recorder`. callbacks: what is called between steps.
        began: since when ``time.wall`` counts, by the monotonic clock; None is now.

    Raises:
        PhasefieldError: records and checkpoints made before are kept.
    """
    with deferred() as stop:  # first of all, so that a signal from here on leaves a run to resume
        limit = simulation.spec.time.wall
        deadline = Deadline(None if limit is None else seconds(limit, "time.wall"), began)
        outcome = _execute(
            simulation, folder, written, command, stop, progress, new_files, callbacks or Callbacks(), deadline
        )
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
    callbacks: Callbacks,
    deadline: Deadline,
) -> Outcome:
    spec = sim.spec
    attrs = {
        "title": spec.title or spec.model.description or spec.model.name,
        **provenance(spec, sim.backend.description, command),
        PROBLEM: problem_of(sim.identity),
        "boundary": " ".join(sim.grid.boundary),
        "model": sim.model.name,
        "model_energy": sim.model.text,
        **{f"model_parameter_{name}": course.text for name, course in sim.model.courses.items()},
        "model_formula": formula(sim.model.energy if sim.model.written is None else sim.model.written),
    }
    _announce(sim)
    if spec.output.kernels:
        _write_kernels(sim, folder)
    recorder = Recorder(sim, folder, attrs, written, new_files)
    if sim.observer.measured and not recorder.measure_rows:
        log.info("%s: computed for snapshots only; set output.history to have more", ", ".join(sim.observer.measured))
    with recorder.writer:
        try:
            callbacks.begin(sim, resumed=written is not None)
            asked = False
            if written is None or recorder.files.renewed:
                recorder.after_step(always=True)
                asked = written is None and callbacks(sim)
                recorder.checkpoint()
            outcome = _loop(recorder, callbacks, stop, progress, asked, deadline)
            if outcome.reason not in GOES_ON:
                recorder.after_step(always=True)
                recorder.written.ended = outcome.reason
            recorder.checkpoint()
            outcome = Outcome(outcome.reason, stop.received)
        except Diverged as error:
            recorder.send_rows()
            raise error.advise(f"the last good checkpoint, {recorder.good}, is {folder.checkpoint}") from None
        except Exception:  # a callback's, or one of the system's: what is known goes to the files first
            with suppress(PhasefieldError):
                recorder.send_rows()
            raise
    return outcome


def _announce(sim: Simulation) -> None:
    spec = sim.spec
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


def _write_kernels(sim: Simulation, folder: RunFolder) -> None:
    try:
        folder.kernels.mkdir(exist_ok=True)
        for name, source in sim.kernel_sources.items():
            (folder.kernels / name).write_text(source, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder.kernels}: cannot be written: {error.strerror or error}") from error


def _loop(
    recorder: Recorder,
    callbacks: Callbacks,
    stop: Stop,
    progress: Callable[[Progress], None] | None,
    asked: bool,
    deadline: Deadline,
) -> Outcome:
    """Steps to the end. ``asked``: whether a callback has asked to stop before the first of them."""
    sim = recorder.simulation
    while not recorder.end:
        if asked or stop.received is not None:
            return Outcome("stopped")
        if deadline.near(recorder.cost):
            return Outcome("wall")
        sim.advance(min(sim.spec.time.end, recorder.next_time, callbacks.next_time))
        # Before the records, so that a checkpoint of this state has no call left to make.
        asked = callbacks(sim)
        recorder.after_step()
        if progress is not None:
            c = sim.carry
            energy = c.energy if math.isfinite(c.energy) else recorder.written.energy
            progress(Progress(c.t, sim.spec.time.end, c.step, c.dt_old, energy, sim.rejected))
    return Outcome(recorder.end)
