"""A run's life in its folder: begun, gone on with, cleared where nothing came of it."""

from __future__ import annotations

import datetime
import logging
import os
import shlex
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import config as configuration
from . import signals
from .callbacks import Callbacks
from .driver import Outcome, Written, execute
from .errors import ConfigError, Occupied, OutputError, Unwritable
from .heeded import idle
from .observables import OBSERVABLES
from .resuming import (
    UNSAID,
    check_begun,
    check_changes,
    check_end,
    check_kept,
    check_lost,
    ended_as,
    kept,
    picture_missed,
    restored,
    tell_of_end,
)
from .runs import Run
from .simulation import Checkpoint, Simulation
from .specs import RunSpec
from .store import SWEEP, RunFolder, expanded, replacing, write_text

log = logging.getLogger("phasefield")


def simulation_of(spec: RunSpec, checkpoint: Checkpoint | None = None) -> Simulation:
    """The simulation of a specification, effective properties among its observables if there are any."""
    return Simulation(spec, checkpoint, observables=effective(spec))


def effective(spec: RunSpec) -> Mapping[str, Any] | None:
    """Observables that are effective properties, if there are any."""
    if set(spec.output.observables) <= set(OBSERVABLES):
        return None
    from .homogenize.observables import observables  # compiled code, which most runs have no need of

    return observables(spec.homogenize, spec.device)


@dataclass(frozen=True)
class How:
    """In what manner a run goes, which is no part of what it is.

    Attributes:
        command: the line or call that it came of, for its files; empty is this process's own. progress: whether it is shown.
        callbacks: what is called between steps. began: since when ``time.wall`` counts, by the monotonic clock.
    """

    command: str
    progress: bool
    callbacks: Callbacks
    began: float


def begin(config: Any, folder: str | Path | None, arrays: Mapping[str, Any], how: How) -> Run:
    """Runs a composed configuration in a folder; see `phasefield.api.run_config`."""
    with signals.listening() as stop:
        stop.meanwhile = "nothing was started"
        spec = configuration.to_spec(config)
        wanted = folder or spec.output.dir
        if spec.output.resume != "auto":
            return _start(config, spec, wanted, arrays, how, stop)
        if (found := _to_go_on(wanted)) is None:
            try:
                return _start(config, spec, wanted, arrays, how, stop)
            except Occupied:  # another process has begun it, and ended it, meanwhile
                if (found := _to_go_on(wanted)) is None:
                    raise
        return _go_on_under(found, config, arrays, how)


def _start(
    config: Any, spec: RunSpec, wanted: str | Path | None, arrays: Mapping[str, Any], how: How, stop: signals.Stop
) -> Run:
    """Runs a composed configuration from its start. Raises Occupied, before anything is made, if a run is there."""
    spec.initial.update(arrays)
    simulation = simulation_of(spec)
    for key, why in idle(spec, simulation.model):
        log.warning("%s: is set, and %s", key, why)
    with signals.deferred():  # from here on there is a folder to complete, or to remove
        stop.meanwhile = ""
        target, made = (expanded(wanted), []) if wanted else new_folder()
        if (target / SWEEP).exists():
            raise OutputError(f"{target}: holds a sweep\n  choose another output.dir")
        made += [p for p in (target, *target.parents) if not os.path.exists(p)]
        try:
            place = RunFolder.create(target)
        except OutputError:
            _remove(made)
            raise
        with place.lock():
            place.check_empty()
            try:
                config.output.dir = str(place.path)
                for name, values in arrays.items():
                    configuration.of_initial(config, name, _keep(place, name, values, simulation))
                write_text(place.config, configuration.to_yaml(config))
                return _go(simulation, place, None, how)
            except BaseException:
                if not place.checkpoint.exists():  # nothing to resume: the folder would only be in the way
                    discard(place, made)
                raise


def go_on(place: RunFolder, changed: Sequence[str], new_files: bool, how: How) -> Run:
    """Continues the run in a folder from its checkpoint; see `phasefield.api.resume`.

    Args:
        changed: overrides of its configuration.
    """
    if os.path.isfile(place.config) and not os.path.isfile(place.checkpoint):
        check_lost(place)
        raise OutputError(
            f"{place.path}: this run was stopped before its first checkpoint, there is nothing to continue from\n"
            "  delete the folder and run it again"
        )
    place = RunFolder.open(place.path)
    with signals.listening() as stop, place.lock():
        stop.meanwhile = "the run is as it was"
        return _continue(place, configuration.of_run(place.config, changed), changed, new_files, how)


def _to_go_on(wanted: str | Path | None) -> RunFolder | None:
    """The folder of a run that can go on; what was stopped before its first checkpoint is removed, to be begun anew.

    Raises:
        ConfigError: no folder is named. OutputError: another process is writing the run, or what is there would be lost.
    """
    if not wanted:
        raise ConfigError("output.resume", "is auto, but output.dir is not given", "name the folder, output.dir=DIR")
    place = RunFolder(expanded(wanted))
    return None if cleared(place, check_begun) else RunFolder.open(place.path)


def cleared(place: RunFolder, check: Callable[[RunFolder], None] | None = None) -> bool:
    """Removes what a run wrote before its first checkpoint, which is nothing to continue from; False if there is a checkpoint.

    Args:
        check: raises if what has begun there is to stay, and without a configuration nothing has; None where the folder is
            known to be a run's, a member of a sweep.

    Raises:
        OutputError: another process is writing the run.
    """
    if os.path.isfile(place.checkpoint):
        return False
    if os.path.isfile(place.config) if check else os.path.isdir(place.path):
        with place.lock():
            # Whoever held it before may have begun anew, or come as far as a checkpoint.
            if os.path.isfile(place.checkpoint):
                return False
            if check is None:
                discard(place, [])
            elif os.path.isfile(place.config):
                check(place)
                discard(place, [])
    return True


def _go_on_under(place: RunFolder, config: Any, arrays: Mapping[str, Any], how: How) -> Run:
    """Continues the run in a folder under a configuration that was asked for as if it were new."""
    with place.lock():
        config.output.dir = str(place.path)
        for name, values in arrays.items():
            check_kept(place, name, values)
            configuration.of_initial(config, name, str(kept(place, name)))
        before, after = (configuration.flat(c) for c in (configuration.of_run(place.config), config))
        changed = tuple(k for k in after if before.get(k) != after[k] and k not in UNSAID)
        return _continue(place, config, changed, False, how)


def _keep(place: RunFolder, name: str, values: Any, simulation: Simulation) -> str:
    """Writes an array that a field starts from into the run folder; its path."""
    path = kept(place, name)
    if hasattr(values, "dims"):  # the axes of the file have no names
        values = values.transpose(..., *simulation.grid.names)
    with replacing(path) as file:
        np.save(file, np.asarray(values))
    return str(path)


def _continue(place: RunFolder, config: Any, changed: Sequence[str], new_files: bool, how: How) -> Run:
    """Continues the run in a folder that is held, unless it has ended.

    Args:
        changed: what ``config`` changes of the run's own.
    """
    late = check_changes(place, config)
    simulation, written = restored(place, config, simulation_of)
    if late:
        raise late[0]
    if ended := ended_as(simulation, written, changed):
        log.info(
            "%s: already ended (%s) at time %g after %d steps; nothing to do. To go on: phasefield resume %s time.end=...",
            place.path,
            ended,
            simulation.carry.t,
            simulation.carry.step,
            shlex.quote(str(place.path)),
        )
        return Run(place.path, Outcome(ended), simulation.spec.output.picture and picture_missed(place))
    check_end(place, simulation, written)
    written.ended = ""
    with signals.deferred() as stop:
        stop.meanwhile = ""
        if changed:
            tell_of_end(place, simulation)
            write_text(place.config, configuration.to_yaml(config))
        log.info("resuming at time %g, step %d", simulation.carry.t, simulation.carry.step)
        return _go(simulation, place, written, how, new_files)


def _go(simulation: Simulation, place: RunFolder, written: Written | None, how: How, new_files: bool = False) -> Run:
    from . import display

    command = how.command or shlex.join(sys.argv)
    with _logging_to(place.log) as file, display.progress() if how.progress else nullcontext() as show:
        try:
            try:
                outcome = execute(simulation, place, written, command, show, new_files, how.callbacks, how.began)
            except Unwritable as error:
                raise _advised(error, place) from error
        except Exception as error:
            # Into the file alone: whoever catches the error shows it.
            file.handle(log.makeRecord(log.name, logging.ERROR, __file__, 0, "%s", (error,), None))
            raise
    return Run(place.path, outcome, simulation.spec.output.picture)


def _advised(error: Unwritable, place: RunFolder) -> OutputError:
    """The same with what to do: a run without a checkpoint leaves nothing to resume."""
    if place.checkpoint.exists():
        return OutputError(f"{error}\n  then go on: phasefield resume {shlex.quote(str(place.path))}")
    return OutputError(
        f"{error.what}\n  nothing is left of the run, which had no checkpoint yet; free some space or choose another "
        "output.dir, and start it again"
    )


def new_folder(suffix: str = "", key: str = "output.dir") -> tuple[Path, list[Path]]:
    """A folder of its own under runs/, named by the time, and those that were made for it, the innermost first.

    Args:
        suffix: of its name. key: that which names another one, for the complaint.

    It is made here, so that no other run of the same second, in a thread or process, takes it as well.

    Raises:
        OutputError: none can be made here.
    """
    stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S") + suffix
    runs, number = Path("runs"), 0
    made = [] if runs.exists() else [runs]
    while True:
        path = runs / (f"{stamp}_{number}" if number else stamp)
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if not runs.is_dir():
                raise OutputError(f"{runs}: is a file\n  choose another folder by {key}=DIR") from None
            number += 1
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be made: {error.strerror or error}\n  choose another folder by {key}=DIR"
            ) from error
        else:
            return path, [path, *made]


def discard(place: RunFolder, made: list[Path]) -> None:
    """Removes what a run that came to nothing wrote, and the folders made for it."""
    place.discard(place.path.glob(f"{configuration.ARRAY}*.npy*"))
    _remove(made)


def _remove(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


class _LogFile(logging.FileHandler):
    """A log that cannot be written, on a full disk say, must not stop the run or fill the screen."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


#: Threads that are running something, and the level that the log had before.
_running: dict[int, int] = {}
_turn = threading.Lock()


@contextmanager
def _logging_to(path: Path) -> Iterator[logging.Handler]:
    """Writes the messages of this thread's run to a file, and not those of another's."""
    try:
        handler = _LogFile(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    thread = threading.get_ident()
    handler.addFilter(lambda record: record.thread == thread or record.thread not in _running)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    with _turn:
        before = next(iter(_running.values()), log.level)
        _running[thread] = before
        log.addHandler(handler)
        log.setLevel(min(before or logging.INFO, logging.INFO))
    try:
        yield handler
    finally:
        with _turn:
            log.removeHandler(handler)
            del _running[thread]
            if not _running:
                log.setLevel(before)
        with suppress(OSError):
            handler.close()
