"""The same from Python: compose, run, resume, open."""

from __future__ import annotations

import datetime
import logging
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from . import config as configuration
from .driver import Outcome, Written, execute
from .errors import CheckpointMismatch, OutputError
from .models.resolution import Resolution
from .observables import OBSERVABLES
from .problem import resolution_of
from .simulation import Checkpoint, Simulation
from .specs import RunSpec
from .store import RunFolder, load_checkpoint

log = logging.getLogger("phasefield")


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
        import xarray

        return xarray.load_dataset(self.path / "history.nc")

    @cached_property
    def fields(self) -> Any:
        """fields.nc as an `xarray.Dataset`, read lazily."""
        import xarray

        return xarray.open_dataset(self.path / "fields.nc")

    def report(self) -> Path:
        """Writes report.html into the folder and returns its path."""
        from .report import report

        return report(self.path)


def open_run(path: str | Path) -> Run:
    """The run in an existing folder."""
    return Run(Path(path))


def run(*overrides: str, progress: bool = False, **keys: Any) -> Run:
    """Runs a configuration.

    Args:
        overrides: as on the command line, e.g. ``"model=spinodal", "grid.shape=[128,128]"``.
        progress: show progress on standard error.
        keys: overrides of top-level keys, e.g. ``seed=3`` or ``model="allen_cahn"``.

    Raises:
        PhasefieldError: see `phasefield.errors`.
    """
    everything = [*overrides, *(f"{key}={value}" for key, value in keys.items())]
    return run_config(
        configuration.compose(everything),
        command=f"phasefield.run({', '.join(map(repr, everything))})",
        progress=progress,
    )


def simulation_of(spec: RunSpec, checkpoint: Checkpoint | None = None) -> Simulation:
    """The simulation of a specification, effective properties among its observables if there are any."""
    if set(spec.output.observables) <= set(OBSERVABLES):
        return Simulation(spec, checkpoint)
    from .homogenize.observables import observables  # compiled code, which most runs have no need of

    return Simulation(spec, checkpoint, observables=observables(spec.homogenize, spec.device))


def run_config(config: Any, command: str = "", folder: str | Path | None = None, progress: bool = False) -> Run:
    """Runs a composed configuration in ``folder`` (default: output.dir, else a time-stamped one under runs/)."""
    spec = configuration.to_spec(config)
    simulation = simulation_of(spec)
    target = Path(folder or spec.output.dir or _stamped())
    made = [p for p in (target, *target.parents) if not p.exists()]
    place = RunFolder.create(target)
    with place.lock():
        try:
            config.output.dir = str(place.path)
            _write(place.config, configuration.to_yaml(config))
            return _go(simulation, place, None, command, progress)
        except BaseException:
            if not place.checkpoint.exists():  # nothing to resume: the folder would only be in the way
                _discard(place, made)
            raise


def resume(path: str | Path, *overrides: str, progress: bool = False, command: str = "") -> Run:
    """Continues a stopped run from its checkpoint, to the same bits an unbroken run gives.

    A run that has ended is left as it is, unless an override such as a later ``time.end`` lets it go on.

    Args:
        overrides: changes to its configuration, e.g. ``"time.end=2000"``; what defines the problem cannot change.

    Raises:
        CheckpointMismatch: the checkpoint is damaged or of another problem. OutputError: the folder holds no run.
    """
    place = RunFolder(Path(path))
    if place.config.is_file() and not place.checkpoint.is_file():
        raise OutputError(
            f"{place.path}: this run was stopped before its first checkpoint, there is nothing to continue from\n"
            "  delete the folder and run it again"
        )
    place = RunFolder.open(path)
    with place.lock():
        config = configuration.load(place.config, overrides)
        arrays, meta = load_checkpoint(place.checkpoint)
        try:
            simulation = simulation_of(configuration.to_spec(config), (arrays, meta))
            written = Written(**meta["written"])
        except CheckpointMismatch as error:
            raise CheckpointMismatch(f"{place.checkpoint}: {error}") from None
        except (KeyError, TypeError) as error:
            raise CheckpointMismatch(f"{place.checkpoint}: is not a checkpoint of this version ({error})") from error
        if ended := _ended(simulation, written, overrides):
            log.info(
                "%s: already ended (%s) at time %g after %d steps; nothing to do. To go on: phasefield resume %s time.end=...",
                place.path,
                ended,
                simulation.carry.t,
                simulation.carry.step,
                shlex.quote(str(place.path)),
            )
            return Run(place.path, Outcome(ended))
        written.ended = ""
        if overrides:
            _write(place.config, configuration.to_yaml(config))
        log.info("resuming at time %g, step %d", simulation.carry.t, simulation.carry.step)
        return _go(simulation, place, written, command, progress)


def _go(simulation: Simulation, place: RunFolder, written: Written | None, command: str, progress: bool) -> Run:
    from . import display

    command = command or shlex.join(sys.argv)
    with _logging_to(place.log) as file:
        try:
            if progress:
                with display.progress() as show:
                    outcome = execute(simulation, place, written, command, show)
            else:
                outcome = execute(simulation, place, written, command)
        except Exception as error:
            # Into the file alone: whoever catches the error shows it.
            file.handle(log.makeRecord(log.name, logging.ERROR, __file__, 0, "%s", (error,), None))
            raise
    return Run(place.path, outcome, simulation.spec.output.picture)


def _stamped() -> Path:
    stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    path, number = Path("runs") / stamp, 1
    while path.exists():
        path, number = Path("runs") / f"{stamp}_{number}", number + 1
    return path


def _ended(simulation: Simulation, written: Written, overrides: tuple[str, ...]) -> str:
    """How the run came to its end, if it is still there under the configuration at hand; else nothing."""
    carry, time = simulation.carry, simulation.spec.time
    over = {
        "finished": simulation.reached >= time.end,
        "max_steps": time.max_steps is not None and carry.step >= time.max_steps,
        "steady": time.steady is not None and not overrides,
    }
    return written.ended if over.get(written.ended, False) else ""


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _discard(place: RunFolder, made: list[Path]) -> None:
    """Removes what a run that came to nothing wrote, and the folders made for it."""
    shutil.rmtree(place.kernels, ignore_errors=True)
    for name in (place.config, place.history, place.fields, place.log, place.path / ".lock"):
        with suppress(OSError):
            name.unlink()
    for folder in made:
        with suppress(OSError):
            folder.rmdir()


class _LogFile(logging.FileHandler):
    """A log that cannot be written, on a full disk say, must not stop the run or fill the screen."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


@contextmanager
def _logging_to(path: Path) -> Iterator[logging.Handler]:
    try:
        handler = _LogFile(path, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    before = log.level
    log.setLevel(min(before or logging.INFO, logging.INFO))
    try:
        yield handler
    finally:
        log.removeHandler(handler)
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
