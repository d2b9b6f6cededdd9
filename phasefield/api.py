"""The same from Python: compose, run, resume, open."""

from __future__ import annotations

import datetime
import logging
import os
import re
import shlex
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from . import config as configuration
from . import signals
from .driver import Outcome, Written, execute
from .errors import CheckpointMismatch, ConfigError, OutputError
from .models.resolution import Resolution
from .observables import OBSERVABLES
from .problem import resolution_of
from .simulation import MAY_CHANGE, Checkpoint, Simulation
from .specs import RunSpec
from .store import RunFolder, expanded, load_checkpoint, open_dataset, replacing, write_text

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
            raise OutputError(f"{where}: holds a sweep\n  give the folder of one of its members, e.g. {where / '0'}")
        raise OutputError(f"{where}: holds no run: {' and '.join(missing)} missing")
    return Run(where)


def _there(path: Path) -> Path:
    if not path.is_file():
        raise OutputError(f"{path}: there is no such file; the run has not written it, or it was deleted")
    return path


def run(*overrides: str, progress: bool = False, **keys: Any) -> Run:
    """Runs a configuration.

    May be called in any thread, and in several at a time. Signals that ask to stop are heeded in the main thread alone.

    Args:
        overrides: as on the command line, e.g. ``"model=spinodal", "grid.shape=[128,128]"``.
        progress: show progress on standard error.
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
    )


def simulation_of(spec: RunSpec, checkpoint: Checkpoint | None = None) -> Simulation:
    """The simulation of a specification, effective properties among its observables if there are any."""
    if set(spec.output.observables) <= set(OBSERVABLES):
        return Simulation(spec, checkpoint)
    from .homogenize.observables import observables  # compiled code, which most runs have no need of

    return Simulation(spec, checkpoint, observables=observables(spec.homogenize, spec.device))


def run_config(
    config: Any,
    command: str = "",
    folder: str | Path | None = None,
    progress: bool = False,
    arrays: Mapping[str, Any] | None = None,
) -> Run:
    """Runs a composed configuration in ``folder`` (default: output.dir, else a time-stamped one under runs/).

    Args:
        arrays: initial values by field, in place of what the configuration says.
    """
    with signals.listening() as stop:
        stop.meanwhile = "nothing was started"
        spec = configuration.to_spec(config)
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
                try:
                    config.output.dir = str(place.path)
                    for name, values in (arrays or {}).items():
                        configuration.of_initial(config, name, _keep(place, name, values, simulation))
                    write_text(place.config, configuration.to_yaml(config))
                    return _go(simulation, place, None, command, progress)
                except BaseException:
                    if not place.checkpoint.exists():  # nothing to resume: the folder would only be in the way
                        discard(place, made)
                    raise


def _keep(place: RunFolder, name: str, values: Any, simulation: Simulation) -> str:
    """Writes an array that a field starts from into the run folder; its path."""
    path = place.path.absolute() / f"{configuration.ARRAY}{name}.npy"
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
    **keys: Any,
) -> Run:
    """Continues a stopped run from its checkpoint, to the same bits an unbroken run gives.

    A run that has ended is left as it is, unless an override such as a later ``time.end`` lets it go on.

    Args:
        overrides: changes to its configuration, e.g. ``"time.end=2000"``; what defines the problem cannot change.
        keys: the same by name, e.g. ``time={"end": 2000}``.
        new_files: begin a new fields.nc or history.nc at the checkpoint where the run's own is missing, damaged or another's,
            which is put aside.

    Raises:
        CheckpointMismatch: the checkpoint is damaged or of another problem. OutputError: the folder holds no run.
        ConfigError: a key that resuming cannot change.
    """
    overrides = (*overrides, *configuration.overrides_of(keys)[0])
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
        late = _check_changes(place, config)
        simulation, written = _restored(place, config)
        if late:
            raise late[0]
        if ended := _ended(simulation, written, overrides):
            log.info(
                "%s: already ended (%s) at time %g after %d steps; nothing to do. To go on: phasefield resume %s time.end=...",
                place.path,
                ended,
                simulation.carry.t,
                simulation.carry.step,
                shlex.quote(str(place.path)),
            )
            return Run(place.path, Outcome(ended), simulation.spec.output.picture and _picture_missed(place))
        written.ended = ""
        with signals.deferred():
            stop.meanwhile = ""
            if overrides:
                write_text(place.config, configuration.to_yaml(config))
            log.info("resuming at time %g, step %d", simulation.carry.t, simulation.carry.step)
            return _go(simulation, place, written, command, progress, new_files)


def _restored(place: RunFolder, config: Any) -> tuple[Simulation, Written]:
    """The simulation at the checkpoint of a run, and what had been written by then. Raises CheckpointMismatch, ConfigError."""
    arrays, meta = load_checkpoint(place.checkpoint)
    try:
        return simulation_of(configuration.to_spec(config), (arrays, meta)), Written(**meta["written"])
    except CheckpointMismatch as error:
        raise CheckpointMismatch(f"{place.checkpoint}: {error}") from None
    except (KeyError, TypeError) as error:
        raise CheckpointMismatch(f"{place.checkpoint}: is not a checkpoint of this version ({error})") from error


#: Keys that resuming may change, and those whose value is in the files already and means nothing to the solution.
_FREE = re.compile(
    r"time\.(end|dt|dt_min|dt_max|tolerance|steady|max_steps)$|output\.(every|history|checkpoint|picture|kernels)\b|threads\b|device$"
)
_DESCRIPTIVE = re.compile(r"title$|output\.compression$|model\.(name|description)$|.*\.(units|description)$")
#: Keys that a checkpoint tells of by itself.
_IDENTITY = re.compile(r"model\.|grid\.|initial\.|time\.|(seed|precision)$")


def _check_changes(place: RunFolder, config: Any) -> list[ConfigError]:
    """What the command line changes in the configuration of a run; returns complaints that the checkpoint may know better.

    Raises:
        ConfigError: a key that has to stay as it is.
    """
    before, after = (configuration.flat(c) for c in (configuration.of_run(place.config), config))
    late: list[ConfigError] = []
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        if old == new or _FREE.match(key) or (key == "output.dir" and _same_folder(new, place.path)):
            continue
        if _DESCRIPTIVE.match(key):
            log.warning("%s: stays %r, as it is in the files of the run; to be changed there", key, old)
            configuration.put(config, key, old)
            continue
        error = ConfigError(key, f"is {old!r} in this run and cannot become {new!r}", MAY_CHANGE)
        if not _IDENTITY.match(key):
            raise error
        late.append(error)
    return late


def _same_folder(name: Any, path: Path) -> bool:
    return isinstance(name, str) and os.path.realpath(expanded(name)) == os.path.realpath(path)


def _picture_missed(place: RunFolder) -> bool:
    """Whether the picture of a run that has ended is older than its last snapshot, or there is none."""
    try:
        return os.stat(place.path / "fields.png").st_mtime < os.stat(place.fields).st_mtime
    except OSError:
        return os.path.isfile(place.fields)


def _go(
    simulation: Simulation,
    place: RunFolder,
    written: Written | None,
    command: str,
    progress: bool,
    new_files: bool = False,
) -> Run:
    from . import display

    command = command or shlex.join(sys.argv)
    with _logging_to(place.log) as file:
        try:
            if progress:
                with display.progress() as show:
                    outcome = execute(simulation, place, written, command, show, new_files)
            else:
                outcome = execute(simulation, place, written, command, None, new_files)
        except Exception as error:
            # Into the file alone: whoever catches the error shows it.
            file.handle(log.makeRecord(log.name, logging.ERROR, __file__, 0, "%s", (error,), None))
            raise
    return Run(place.path, outcome, simulation.spec.output.picture)


def new_folder(suffix: str = "") -> tuple[Path, list[Path]]:
    """A folder of its own under runs/, named by the time, and those that were made for it, the innermost first.

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
                raise OutputError(f"{runs}: is a file\n  choose another output.dir") from None
            number += 1
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be used as the run folder: {error.strerror or error}\n  choose another output.dir"
            ) from error
        else:
            return path, [path, *made]


def _ended(simulation: Simulation, written: Written, overrides: tuple[str, ...]) -> str:
    """How the run came to its end, if it is still there under the configuration at hand; else nothing."""
    carry, time = simulation.carry, simulation.spec.time
    over = {
        "finished": simulation.reached >= time.end,
        "max_steps": time.max_steps is not None and carry.step >= time.max_steps,
        "steady": time.steady is not None and not overrides,
    }
    return written.ended if over.get(written.ended, False) else ""


def discard(place: RunFolder, made: list[Path]) -> None:
    """Removes what a run that came to nothing wrote, and the folders made for it."""
    shutil.rmtree(place.kernels, ignore_errors=True)
    arrays = place.path.glob(f"{configuration.ARRAY}*.npy")
    for name in (place.config, place.history, place.fields, place.log, place.path / ".lock", *arrays):
        with suppress(OSError):
            name.unlink()
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
