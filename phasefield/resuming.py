"""What a run that is taken up again may differ in from the run in the folder, and whether there is anything left of it to do."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from . import config as configuration
from .errors import CheckpointMismatch, ConfigError, OutputError
from .grid import AXIS_NAMES
from .models.timescales import timed
from .problem import MAY_CHANGE
from .recorder import Written
from .runfiles import put_aside
from .simulation import Checkpoint, Simulation
from .specs import RunSpec
from .store import RecordFile, RunFolder, expanded, load_checkpoint

log = logging.getLogger("phasefield")


#: Sections that every configuration of a run has, which is always written whole.
_SECTIONS = {"model", "grid", "initial", "time", "output"}


def check_begun(place: RunFolder) -> None:
    """Whether the files of a run without a checkpoint are no more than its beginning, which nobody misses.

    A file that was being made when the run was killed is put aside.

    Raises:
        OutputError: they are of another program, or hold records.
    """
    import yaml

    try:
        told = yaml.safe_load(place.config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        told = None
    if not isinstance(told, dict) or not set(told) >= _SECTIONS:
        raise OutputError(f"{place.config}: is not the configuration of a run\n  choose another output.dir")
    for path in (place.history, place.fields):
        if not path.exists():
            continue
        try:
            count = len(RecordFile.open(path))
        except OutputError:
            log.warning("%s: was never completed; it is now %s", path, put_aside(path))
            continue
        _check_missed(path, count)


def check_lost(place: RunFolder) -> None:
    """Whether a run without a checkpoint has left nothing that anybody would miss. Raises OutputError: its files hold records."""
    for path in filter(os.path.isfile, (place.history, place.fields)):
        count = 0
        with suppress(OutputError):
            count = len(RecordFile.open(path))
        _check_missed(path, count)


def _check_missed(path: Path, count: int) -> None:
    if count > 1:
        raise OutputError(
            f"{path}: holds {count} records, but the checkpoint of their run is missing\n"
            "  put checkpoint.npz back, choose another output.dir, or delete the folder"
        )


def check_kept(place: RunFolder, name: str, values: Any) -> None:
    """Whether an array is the one that the run in a folder was started from."""
    try:
        own = np.load(kept(place, name), allow_pickle=False)
    except (OSError, ValueError):
        own = None
    if hasattr(values, "dims"):
        values = values.transpose(..., *(axis for axis in AXIS_NAMES if axis in values.dims))
    if own is None or not np.array_equal(own, np.asarray(values)):
        raise ConfigError(f"initial.{name}", "is another array than the one that the run was started from", MAY_CHANGE)


def kept(place: RunFolder, name: str) -> Path:
    """Where the array that a field starts from is kept."""
    return place.path.absolute() / f"{configuration.ARRAY}{name}.npy"


def restored(
    place: RunFolder, config: Any, build: Callable[[RunSpec, Checkpoint], Simulation]
) -> tuple[Simulation, Written]:
    """The simulation at the checkpoint of a run, and what had been written by then. Raises CheckpointMismatch, ConfigError."""
    arrays, meta = load_checkpoint(place.checkpoint)
    try:
        return build(configuration.to_spec(config), (arrays, meta)), Written(**meta["written"])
    except CheckpointMismatch as error:
        raise CheckpointMismatch(f"{place.checkpoint}: {error}") from None
    except (KeyError, TypeError) as error:
        raise CheckpointMismatch(f"{place.checkpoint}: is not a checkpoint of this version ({error})") from error


#: Keys that resuming may change, and those whose value is in the files already and means nothing to the solution.
_FREE = re.compile(
    r"time\.(end|dt|dt_min|dt_max|tolerance|steady|max_steps|wall)$"
    r"|output\.(every|history|checkpoint|picture|kernels|resume)\b|threads\b|device$"
)
#: Those that say nothing of what is wanted of the run.
UNSAID = {
    "time.wall",
    "output.checkpoint",
    "output.resume",
    "output.dir",
    "output.picture",
    "output.kernels",
    "device",
}
_DESCRIPTIVE = re.compile(r"title$|output\.compression$|model\.(name|description)$|.*\.(units|description)$")
#: Keys that a checkpoint tells of by itself.
_IDENTITY = re.compile(r"model\.|grid\.|initial\.|time\.|(seed|precision)$")


def check_changes(place: RunFolder, config: Any) -> list[ConfigError]:
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


def check_end(place: RunFolder, simulation: Simulation, written: Written) -> None:
    """Whether the run comes at least as far again as its records go.

    What was recorded after the checkpoint is dropped when a run goes on, for it is computed again; beyond an earlier ``time.end``
    it would not be.

    Raises:
        ConfigError: it would end before its last record, which would be lost.
    """
    end = simulation.spec.time.end
    for path, count in ((place.fields, written.snapshots), (place.history, written.rows)):
        try:
            file = RecordFile.open(path)
            number = len(file)
            last = file.time(number - 1) if number > count else -np.inf
        except OutputError:
            continue  # said by whoever opens the file to go on with it, or replaced as was asked for
        if last > end:
            raise ConfigError(
                "time.end",
                f"is {end:g}, but {path} holds records to {last:g}; those after the checkpoint would be lost",
                f"let it end at {last:g} or later, or start another run in another output.dir",
            )


def tell_of_end(place: RunFolder, simulation: Simulation) -> None:
    """Says what another ``time.end`` means where something depends on time: steps were made for its way to the earlier one."""
    end = simulation.spec.time.end
    before = configuration.flat(configuration.of_run(place.config)).get("time.end")
    if before not in (None, end) and timed(simulation.model):
        log.info(
            "time.end was %g when this run began: its steps were made for what depends on time until then; "
            "a run that was to end at %g from the beginning may differ by the tolerance",
            before,
            end,
        )


def _same_folder(name: Any, path: Path) -> bool:
    return isinstance(name, str) and os.path.realpath(expanded(name)) == os.path.realpath(path)


def picture_missed(place: RunFolder) -> bool:
    """Whether the picture of a run that has ended is older than its last snapshot, or there is none."""
    try:
        return os.stat(place.path / "fields.png").st_mtime < os.stat(place.fields).st_mtime
    except OSError:
        return os.path.isfile(place.fields)


def ended_as(simulation: Simulation, written: Written, overrides: Sequence[str]) -> str:
    """How the run came to its end, if it is still there under the configuration at hand; else nothing."""
    carry, time = simulation.carry, simulation.spec.time
    over = {
        "finished": simulation.reached >= time.end,
        "max_steps": time.max_steps is not None and carry.step >= time.max_steps,
        "steady": time.steady is not None and not overrides,
    }
    return written.ended if over.get(written.ended, False) else ""
