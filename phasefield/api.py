"""The same from Python: compose, run, resume, open."""

from __future__ import annotations

import datetime
import logging
import os
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import config as configuration
from . import schedule, signals
from .backend import together
from .callbacks import Callback, Callbacks
from .driver import Outcome, Written, execute
from .errors import ConfigError, OutputError
from .models.resolution import Resolution
from .observables import OBSERVABLES
from .problem import resolution_of
from .resuming import (
    UNSAID,
    check_begun,
    check_changes,
    check_end,
    check_kept,
    ended_as,
    kept,
    picture_missed,
    restored,
)
from .simulation import Checkpoint, Simulation
from .specs import RunSpec
from .store import RunFolder, expanded, open_dataset, replacing, write_text

if TYPE_CHECKING:
    from .explaining import Explanation

log = logging.getLogger("phasefield")

#: The file that tells of a sweep in its folder.
SWEEP = "sweep.yaml"


@dataclass(frozen=True)
class Run:
    """A finished or stopped run.

    Attributes:
        path: the run folder. outcome: how it ended; None for a folder that was merely opened.
        picture_wanted: whether the configuration asks for a picture at the end.
    """

    path: Path
    outcome: Outcome | None = None
    picture_wanted: bool = False

    @cached_property
    def history(self) -> Any:
        """history.nc as an `xarray.Dataset`."""
        with open_dataset(_there(self.path / "history.nc")) as data:
            return data.load()

    @cached_property
    def fields(self) -> Any:
        """fields.nc as an `xarray.Dataset`, read lazily; axes time, component, x, y, z."""
        return open_dataset(_there(self.path / "fields.nc"))

    def report(self) -> Path:
        """Writes report.html into the folder and returns its path."""
        from .report import report

        return report(self.path)

    def _repr_html_(self) -> str:
        from .notebook import run_html

        return run_html(self.path)


def open_run(path: str | Path) -> Run:
    """The run in an existing folder.

    Raises:
        OutputError: there is no such folder, or it holds no run.
    """
    where = expanded(path)
    if not where.is_dir():
        what = "is a file" if where.exists() else "there is no such folder"
        raise OutputError(
            f"{where}: {what}\n  give the folder of a run, which holds config.yaml, history.nc and fields.nc"
        )
    place = RunFolder(where)
    if missing := [p.name for p in (place.history, place.fields) if not p.is_file()]:
        if (where / SWEEP).is_file():
            raise OutputError(
                f"{where}: holds a sweep\n  give the folder of one of its members, e.g. {where / '0'}, or open_sweep it"
            )
        raise OutputError(f"{where}: holds no run: {' and '.join(missing)} missing")
    return Run(where)


def _there(path: Path) -> Path:
    if not path.is_file():
        raise OutputError(f"{path}: there is no such file; the run has not written it, or it was deleted")
    return path


def run(*overrides: str, progress: bool = False, callbacks: Sequence[Callback] = (), **keys: Any) -> Run:
    """Runs a configuration.

    May be called in any thread, and in several at a time. Signals that ask to stop are heeded in the main thread alone.

    Args:
        overrides: as on the command line, e.g. ``"model=spinodal", "grid.shape=[128,128]"``.
        progress: show progress on standard error.
        callbacks: pairs ``(every, f)``: f is called with a `Moment` between steps whenever ``every`` says so, which is anything
            that ``output.every`` takes; steps land on its times. See `phasefield.callbacks` for what f may do.
        keys: keys at the top, e.g. ``seed=3``, ``model="allen_cahn"`` or ``grid={"shape": [64, 64], "length": 32.0}``. An initial
            condition may be an array of values in the cells, ``initial={"c": array}``, shape ``(nx, ny, nz)``, before them one
            axis for components; the run folder keeps it as ``initial_c.npy``.

    Raises:
        PhasefieldError: see `phasefield.errors`.
    """
    more, arrays = configuration.overrides_of(keys)
    everything = [*overrides, *more]
    return run_config(
        configuration.compose(everything),
        command=f"phasefield.run({', '.join(map(repr, everything))})",
        progress=progress,
        arrays=arrays,
        callbacks=callbacks,
    )


def live(*what: str | Run, every: float = 1.0, **keys: Any) -> Run:
    """Runs a configuration, or goes on with a run, and shows it meanwhile: in a notebook a picture and curves that are drawn anew
    in their place, elsewhere the line that `run` shows with ``progress=True``.

    Args:
        what: overrides as for `run`; or first a `Run`, which is continued as by `resume`, with the overrides that follow.
        every: seconds between two pictures, more where drawing them would take over a fifth of the time.
        keys: as for `run`.

    Raises:
        PhasefieldError: as `run` and `resume`. ConfigError: ``every`` is no positive number.
    """
    schedule.build({"wall": every}, "every")  # refuses what is no time
    first, overrides = (what[0], what[1:]) if what and isinstance(what[0], Run) else (None, what)
    given = tuple(map(str, overrides))

    def go(**more: Any) -> Run:
        return run(*given, **more, **keys) if first is None else resume(first.path, *given, **more, **keys)

    from .notebook import Live, in_notebook

    if not in_notebook():
        return go(progress=True)
    more, _ = configuration.overrides_of(keys)
    known = [*given, *more]
    config = (
        configuration.compose(known) if first is None else configuration.of_run(RunFolder(first.path).config, known)
    )
    view = Live(configuration.to_spec(config))
    done = go(callbacks=[({"wall": every}, view)])
    view.finish(done.path)
    return done


def simulation_of(spec: RunSpec, checkpoint: Checkpoint | None = None) -> Simulation:
    """The simulation of a specification, effective properties among its observables if there are any."""
    return Simulation(spec, checkpoint, observables=_effective(spec))


def _effective(spec: RunSpec) -> Mapping[str, Any] | None:
    """Observables that are effective properties, if there are any."""
    if set(spec.output.observables) <= set(OBSERVABLES):
        return None
    from .homogenize.observables import observables  # compiled code, which most runs have no need of

    return observables(spec.homogenize, spec.device)


def run_config(
    config: Any,
    command: str = "",
    folder: str | Path | None = None,
    progress: bool = False,
    arrays: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    began: float | None = None,
) -> Run:
    """Runs a composed configuration in ``folder`` (default: output.dir, else a time-stamped one under runs/).

    With ``output.resume=auto`` a run that is in the folder goes on as by `resume`, if it is of the same problem.

    Of several processes that call this together rank 0 does it with the help of the others (`phasefield.backend.ranks`): what is
    handed in counts there, what comes of it is known to all.

    Args:
        arrays: initial values by field, in place of what the configuration says. callbacks: see `run`.
        began: since when ``time.wall`` counts, by the monotonic clock; None is now.
    """
    return together(lambda: _run(config, command, folder, progress, arrays, callbacks, began))


def _run(
    config: Any,
    command: str,
    folder: str | Path | None,
    progress: bool,
    arrays: Mapping[str, Any] | None,
    callbacks: Sequence[Callback],
    began: float | None,
) -> Run:
    with signals.listening() as stop:
        stop.meanwhile = "nothing was started"
        began = time.monotonic() if began is None else began
        called = Callbacks(callbacks)
        spec = configuration.to_spec(config)
        if spec.output.resume == "auto" and (found := _to_go_on(folder or spec.output.dir)) is not None:
            return _go_on(found, config, arrays or {}, command, progress, called, began)
        spec.initial.update(arrays or {})
        simulation = simulation_of(spec)
        with signals.deferred():  # from here on there is a folder to complete, or to remove
            stop.meanwhile = ""
            wanted = folder or spec.output.dir
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
                    for name, values in (arrays or {}).items():
                        configuration.of_initial(config, name, _keep(place, name, values, simulation))
                    write_text(place.config, configuration.to_yaml(config))
                    return _go(simulation, place, None, command, progress, callbacks=called, began=began)
                except BaseException:
                    if not place.checkpoint.exists():  # nothing to resume: the folder would only be in the way
                        discard(place, made)
                    raise


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


def _go_on(
    place: RunFolder,
    config: Any,
    arrays: Mapping[str, Any],
    command: str,
    progress: bool,
    called: Callbacks,
    began: float,
) -> Run:
    """Continues the run in a folder under a configuration that was asked for as if it were new."""
    with place.lock():
        config.output.dir = str(place.path)
        for name, values in arrays.items():
            check_kept(place, name, values)
            configuration.of_initial(config, name, str(kept(place, name)))
        before, after = (configuration.flat(c) for c in (configuration.of_run(place.config), config))
        changed = tuple(k for k in after if before.get(k) != after[k] and k not in UNSAID)
        return _continue(place, config, changed, command, progress, False, called, began)


def _keep(place: RunFolder, name: str, values: Any, simulation: Simulation) -> str:
    """Writes an array that a field starts from into the run folder; its path."""
    path = kept(place, name)
    if hasattr(values, "dims"):  # the axes of the file have no names
        values = values.transpose(..., *simulation.grid.names)
    with replacing(path) as file:
        np.save(file, np.asarray(values))
    return str(path)


def resume(
    path: str | Path,
    *overrides: str,
    progress: bool = False,
    command: str = "",
    new_files: bool = False,
    callbacks: Sequence[Callback] = (),
    began: float | None = None,
    **keys: Any,
) -> Run:
    """Continues a stopped run from its checkpoint, to the same bits an unbroken run gives.

    A run that has ended is left as it is, unless an override such as a later ``time.end`` lets it go on.

    Args:
        overrides: changes to its configuration, e.g. ``"time.end=2000"``; what defines the problem cannot change.
        keys: the same by name, e.g. ``time={"end": 2000}``.
        new_files: begin a new fields.nc or history.nc at the checkpoint where the run's own is missing, damaged or another's,
            which is put aside.
        callbacks: see `run`; they are no part of a run's folder, and what was due by the checkpoint has been called.
        began: since when ``time.wall`` counts, by the monotonic clock; None is now.

    Raises:
        CheckpointMismatch: the checkpoint is damaged or of another problem. OutputError: the folder holds no run.
        ConfigError: a key that resuming cannot change.
    """
    given = (*overrides, *configuration.overrides_of(keys)[0])
    return together(lambda: _resume(path, given, progress, command, new_files, callbacks, began))


def _resume(
    path: str | Path,
    overrides: tuple[str, ...],
    progress: bool,
    command: str,
    new_files: bool,
    callbacks: Sequence[Callback],
    began: float | None,
) -> Run:
    called = Callbacks(callbacks)
    place = RunFolder(expanded(path))
    if os.path.isfile(place.config) and not os.path.isfile(place.checkpoint):
        raise OutputError(
            f"{place.path}: this run was stopped before its first checkpoint, there is nothing to continue from\n"
            "  delete the folder and run it again"
        )
    place = RunFolder.open(place.path)
    with signals.listening() as stop, place.lock():
        stop.meanwhile = "the run is as it was"
        config = configuration.of_run(place.config, overrides)
        return _continue(place, config, overrides, command, progress, new_files, called, began)


def _continue(
    place: RunFolder,
    config: Any,
    changed: Sequence[str],
    command: str,
    progress: bool,
    new_files: bool,
    called: Callbacks,
    began: float | None,
) -> Run:
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
            write_text(place.config, configuration.to_yaml(config))
        log.info("resuming at time %g, step %d", simulation.carry.t, simulation.carry.step)
        return _go(simulation, place, written, command, progress, new_files, called, began)


def _go(
    simulation: Simulation,
    place: RunFolder,
    written: Written | None,
    command: str,
    progress: bool,
    new_files: bool = False,
    callbacks: Callbacks | None = None,
    began: float | None = None,
) -> Run:
    from . import display

    command = command or shlex.join(sys.argv)
    with _logging_to(place.log) as file:
        try:
            if progress:
                with display.progress() as show:
                    outcome = execute(simulation, place, written, command, show, new_files, callbacks, began)
            else:
                outcome = execute(simulation, place, written, command, None, new_files, callbacks, began)
        except Exception as error:
            # Into the file alone: whoever catches the error shows it.
            file.handle(log.makeRecord(log.name, logging.ERROR, __file__, 0, "%s", (error,), None))
            raise
    return Run(place.path, outcome, simulation.spec.output.picture)


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


def spec_of(*overrides: str) -> RunSpec:
    """The checked specification of a configuration, without running it."""
    return configuration.to_spec(configuration.compose(overrides))


def resolution(*overrides: str) -> Resolution | None:
    """Width of interfaces and growing waves against the grid of a configuration, without running it.

    >>> import phasefield as pf
    >>> print(pf.resolution("model=spinodal").summary)                        # doctest: +SKIP
    interface width (5 to 95 %) in cells: c 6.58; fastest wavelength 14 cells, 18.2 of them in the domain
    """
    return resolution_of(spec_of(*overrides))


def explain(*overrides: str, measure: bool = True, **keys: Any) -> Explanation:
    """What a configured run is in theory and what it will cost, without running it: equations, phases, interfaces, growth, ...

    Args:
        overrides, keys: as for `run`. measure: whether the run is built and a few steps of this copy are timed, for stabiliser,
            memory and the time of a step. Nothing is written in any case.

    Returns:
        An `Explanation`: ``print`` it, let a notebook show it, or take its numbers (``.theory``, ``.to_dict()``).

    Raises:
        PhasefieldError: the configuration cannot be run; what does not fit into memory is explained all the same.
    """
    more, arrays = configuration.overrides_of(keys)
    return explain_config(configuration.compose([*overrides, *more]), arrays, measure)


def explain_config(config: Any, arrays: Mapping[str, Any] | None = None, measure: bool = True) -> Explanation:
    """`explain` of a composed configuration; ``arrays``: initial values by field, in place of what it says."""
    from .explaining import explanation

    spec = configuration.to_spec(config)
    spec.initial.update(arrays or {})
    return explanation(spec, lambda: _effective(spec), measure)
