"""The same from Python: compose, run, resume, open."""

from __future__ import annotations

import datetime
import logging
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from . import config as configuration
from .errors import CheckpointMismatch
from .driver import Outcome, Written, execute
from .simulation import Simulation
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
    return run_config(configuration.compose(everything), command=f"phasefield.run({', '.join(map(repr, everything))})", progress=progress)


def run_config(config: Any, command: str = "", folder: str | Path | None = None, progress: bool = False) -> Run:
    """Runs a composed configuration in ``folder`` (default: output.dir, else a time-stamped one under runs/)."""
    spec = configuration.to_spec(config)
    simulation = Simulation(spec)
    place = RunFolder.create(folder or spec.output.dir or _stamped())
    with place.lock():
        config.output.dir = str(place.path)
        place.config.write_text(configuration.to_yaml(config))
        return _go(simulation, place, None, command, progress)


def resume(path: str | Path, *overrides: str, progress: bool = False, command: str = "") -> Run:
    """Continues a stopped run from its checkpoint, to the same bits an unbroken run gives.

    Args:
        overrides: changes to its configuration, e.g. ``"time.end=2000"``; what defines the problem cannot change.

    Raises:
        CheckpointMismatch: the checkpoint is damaged or of another problem. OutputError: the folder holds no run.
    """
    place = RunFolder.open(path)
    with place.lock():
        config = configuration.load(place.config, overrides)
        arrays, meta = load_checkpoint(place.checkpoint)
        try:
            simulation = Simulation(configuration.to_spec(config), (arrays, meta))
            written = Written(**meta["written"])
        except CheckpointMismatch as error:
            raise CheckpointMismatch(f"{place.checkpoint}: {error}") from None
        except (KeyError, TypeError) as error:
            raise CheckpointMismatch(f"{place.checkpoint}: is not a checkpoint of this version ({error})") from error
        if overrides:
            place.config.write_text(configuration.to_yaml(config))
        log.info("resuming at time %g, step %d", simulation.carry.t, simulation.carry.step)
        return _go(simulation, place, written, command, progress)


def _go(simulation: Simulation, place: RunFolder, written: Written | None, command: str, progress: bool) -> Run:
    from . import display

    command = command or shlex.join(sys.argv)
    with _logging_to(place.log):
        try:
            if progress:
                with display.progress() as show:
                    outcome = execute(simulation, place, written, command, show)
            else:
                outcome = execute(simulation, place, written, command)
        except Exception as error:
            log.error("%s", error)
            raise
    return Run(place.path, outcome, simulation.spec.output.picture)


def _stamped() -> Path:
    stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    path, number = Path("runs") / stamp, 1
    while path.exists():
        path, number = Path("runs") / f"{stamp}_{number}", number + 1
    return path


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    before, log.level = log.level, min(log.level or logging.INFO, logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
        handler.close()


def spec_of(*overrides: str) -> RunSpec:
    """The checked specification of a configuration, without running it."""
    return configuration.to_spec(configuration.compose(overrides))
