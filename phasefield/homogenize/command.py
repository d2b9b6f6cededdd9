"""``phasefield homogenize``: from a run folder or an image file to properties.nc and a table."""

from __future__ import annotations

import dataclasses
import datetime
import logging
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.ranks import leading
from ..backend.voxel.common import in_common
from ..errors import ConfigError, OutputError
from ..images.formats import Asked, is_netcdf
from ..mechanics.materials import system_of
from ..mechanics.phases import MaterialSystem
from ..mechanics.tensors import Array
from ..planes import Group, NotShared, Planes
from ..store import RunFolder, expanded, write_dataset
from .dataset import dataset, holds_properties
from .heeded import idle
from .inputs import rests_on
from .problem import Problem
from .reading import Image, Snapshots, is_run, named, read_file
from .records import Record, measure
from .settings import SOLVING, Request, parse
from .shares import fit, on_this_rank, refuse
from .table import table, wrapped

log = logging.getLogger("phasefield")


@dataclass
class Homogenized:
    """What came of a call.

    Attributes:
        path: the file written; None if that failed, with the ``failure``. replaced: whether it took the place of an earlier one.
        notes: on what was taken for what was asked.
    """

    path: Path | None
    records: list[Record]
    system: MaterialSystem
    replaced: bool
    notes: list[str]
    failure: OutputError | None = None

    @property
    def text(self) -> str:
        """What the terminal shows."""
        replaced = " (replaces an earlier one)" if self.replaced else ""
        notes = [wrapped("note", note) for note in self.notes]
        last = (
            f"{self.path}{replaced}: tensors, evidence and descriptors"
            if self.path
            else "no file was written, see below"
        )
        return "\n".join([*notes, *[""][: len(notes)], table(self.records), "", last])


#: What is done with a record besides, before it is written: the function gets it and one to tell how far it is.
After = Callable[[Record, Callable[[str], None] | None], None]


def run(
    path: str | Path,
    overrides: Sequence[str],
    command: str = "",
    show: Callable[[str], None] | None = None,
    after: After | None = None,
) -> tuple[Path, list[Record], MaterialSystem]:
    """Homogenizes a run or an image as the command line does; returns the file, the records, the material.

    Args:
        overrides: keys and values, as on the command line. after: see `execute`.

    Raises:
        ConfigError: see the messages. NotConverged: a solve failed. OutputError: the file cannot be written.
    """
    outcome = execute(path, parse(overrides), command, show, after=after)
    if outcome.failure is not None or outcome.path is None:
        raise outcome.failure or OutputError(f"{path}: nothing was written")
    return outcome.path, outcome.records, outcome.system


def check(path: str | Path | None, request: Request) -> str:
    """What can be said of a request before anything is computed, in one line.

    Raises:
        ConfigError: a material that is none, or an image that is none or does not fit it.
    """
    system = system_of(request.material)
    text = f"{system.name} ({', '.join(p.name for p in system.phases)}), {', '.join(request.properties)}"
    if path is None:
        return text
    where = expanded(path)
    images, count, _ = _images(where, request)
    _target(where, request.output)
    image = Problem.of(next(images), system, request).image
    return f"{text} of {image.source}: {'x'.join(map(str, image.shape))} voxels" + (
        f", {count} snapshots" * (count > 1)
    )


def execute(
    path: str | Path,
    request: Request,
    command: str = "",
    show: Callable[[str], None] | None = None,
    folder: Path | None = None,
    after: After | None = None,
) -> Homogenized:
    """The same with all that the terminal tells; raises what `run` raises, but for a file that cannot be written.

    Args:
        folder: of a member of a sweep, in which properties.nc is written whatever ``output`` says.
        after: what is done with every record besides, without which ``uncertainty=pce`` and ``montecarlo`` are refused.
    """
    if after is None and request.uncertainty in SOLVING:
        raise ConfigError(
            "uncertainty",
            f"is {request.uncertainty}, which solves again",
            "give after=, a function that does it, or use first-order; docs/uncertainty.md",
        )
    system = system_of(request.material)
    where = expanded(path)
    images, count, notes = _images(where, request)
    target = _target(where, request.output if folder is None else str(folder / "properties.nc"))
    records = by_shares(where, request, system, after)
    if records is None:
        records = measured(images, count, system, request, show, after)
        notes += idle(request, records[-1])
    elif request.descriptors:
        notes.append("the microstructure is not described: no process has the whole image")
    data = dataset(records, command, notes).assign_attrs(rests_on(where, request))
    replaced = os.path.exists(target)
    written, failure = _write(data, target)
    return Homogenized(written, records, system, replaced and written == target, notes, failure)


def by_shares(where: Path, request: Request, system: MaterialSystem, after: After | None) -> list[Record] | None:
    """The records of images that several processes share by planes; None of one process, and where that cannot be."""
    if not leading():
        return None
    try:
        refuse(request, system, after is not None)
        return in_common(_of_shares, where, request, system)
    except NotShared as reason:
        log.info("rank 0 holds the whole image: %s", reason)
        return None


def _of_shares(group: Group, where: Path, request: Request, system: MaterialSystem) -> list[Record]:
    """What every one of several processes does."""
    request = on_this_rank(request)
    images, count, _ = Planes(group).agreed(lambda: _images(where, request, group))
    shared = (fit(image, system, request) for image in images)
    return [record.outlined() for record in measured(shared, count, system, request)]


def measured(
    images: Iterable[Image],
    count: int,
    system: MaterialSystem,
    request: Request,
    show: Callable[[str], None] | None = None,
    after: After | None = None,
) -> list[Record]:
    """The records of so many images; arguments and errors as for `execute`."""
    records: list[Record] = []
    start: dict[str, list[np.ndarray]] | None = {} if count > 1 else None
    early = dataclasses.replace(request, fields=False)  # the local fields written are those of the last
    for number, image in enumerate(images):
        if show:
            show(f"snapshot {number + 1} of {count}" if count > 1 else "homogenizing")
        last = number == count - 1
        problem = Problem.of(image, system, request if last else early)
        records.append(measure(problem, start, request.descriptors))
        if after is not None:
            after(records[-1], show)
        if not last:
            start = {r.name: r.fluctuations for r in records[-1].results if r.fluctuations}
            records[-1] = records[-1].outlined()
    return records


def _write(data: Any, target: Path) -> tuple[Path | None, OutputError | None]:
    """Writes the results where they belong, else where there is room for what may have taken hours; and what went wrong."""
    try:
        write_dataset(data, target)
        return target, None
    except OutputError as error:
        for find in (os.getcwd, tempfile.gettempdir):
            with suppress(OutputError, OSError):
                folder = Path(find())
                spare = folder / f"{target.stem}_{datetime.datetime.now():%Y-%m-%d_%H-%M-%S}.nc"
                if folder.resolve() != target.parent.resolve():
                    write_dataset(data, spare)
                    return spare, OutputError(f"{error}\n  the results are in {spare}")
        return None, OutputError(
            f"{error}\n  only the table above is left of the results; give another file, output=NAME.nc"
        )


def _images(where: Path, request: Request, group: Group | None = None) -> tuple[Iterator[Image], int, list[str]]:
    """The images asked for, read one by one, how many they are, and notes on what was taken instead of what was asked."""
    spacing = request.spacing
    if not os.path.exists(where):
        raise ConfigError(str(where), "there is no such file or folder", "give a run folder or an image file")
    if not (is_run(where) if where.is_dir() else is_netcdf(where)):
        if request.times != "last":
            raise ConfigError("times", f"is {request.times!r}, but {where.name} is one image")
        asked = Asked(variable=request.field, axes=request.axes, raw=request.raw)
        one = (_spaced(read_file(where, request.levels, asked=asked, group=group), spacing) for _ in range(1))
        return one, 1, []
    for key in ("axes", "raw"):
        if getattr(request, key) is not None:
            raise ConfigError(key, f"is given, but the axes of {where.name} have names", "remove this key")
    if holds_properties(where):
        raise ConfigError(str(where), "holds effective properties, not an image", "give the run folder or the image")
    snapshots = Snapshots(where, request.field, request.levels, group)
    chosen, notes = _chosen(snapshots.times, request.times)
    return (_spaced(snapshots[i], spacing) for i in chosen), len(chosen), notes


def _chosen(times: Array, wanted: Any) -> tuple[list[int], list[str]]:
    """Numbers of the snapshots, each once and in their order, and a note for every time that is no snapshot's."""
    if wanted == "last":
        return [len(times) - 1], []
    if wanted == "all":
        return list(range(len(times))), []
    listed = wanted if isinstance(wanted, list) else [wanted]
    numbers = [t for t in listed if isinstance(t, int | float) and not isinstance(t, bool) and math.isfinite(t)]
    if not listed or len(numbers) < len(listed):
        raise ConfigError("times", f"is {wanted!r}; last, all, a number or a list of numbers is expected")
    if np.isnan(times).any():
        raise ConfigError("times", f"is {wanted!r}, but the file has no times", "use times=last")
    notes = []
    chosen = [int(np.abs(times - t).argmin()) for t in numbers]
    for t, k in zip(numbers, chosen, strict=True):
        if abs(times[k] - t) > 1e-6 * max(abs(t), abs(times[k])):
            among = f"there are {len(times)}, of times {times.min():g} to {times.max():g}"
            notes.append(f"no snapshot is of time {t:g}; the nearest was taken, of time {times[k]:g} ({among})")
    return sorted(set(chosen)), notes


def _spaced(image: Image, spacing: list[float] | None) -> Image:
    if spacing is None:
        return image
    steps = spacing * len(image.shape) if len(spacing) == 1 else spacing
    if len(steps) != len(image.shape) or not all(0 < s < math.inf for s in steps):
        raise ConfigError("spacing", f"is {spacing}; one positive number, or {len(image.shape)}, are expected")
    text = " x ".join(f"{s:.6g}" for s in steps)
    return dataclasses.replace(image, spacing=tuple(steps), unit="m").told("spacing", f"{text}, given")


def _target(where: Path, output: str | None) -> Path:
    """The file to write. What is replaced must be a file of this kind: not the image, nor a file of a run, nor another's.

    Raises:
        ConfigError: it is something else, or a run will write there.
    """
    run = where.is_dir() and is_run(where)
    beside = where / "properties.nc" if run else named(where).with_name(f"{named(where).stem}_properties.nc")
    target = expanded(output) if output else beside
    hint = "give another file, output=NAME.nc"
    if os.path.isdir(target):
        raise ConfigError("output", f"{target} is a folder", hint)
    there = RunFolder(target.parent)
    if os.path.exists(there.fields) and target.name in {p.name for p in there.files()}:
        raise ConfigError("output", f"{target} is a file of the run", hint)
    if os.path.exists(target) and not holds_properties(target):
        what = "the image itself" if not where.is_dir() and target.samefile(where) else "there and holds something else"
        raise ConfigError("output", f"{target} is {what}; only effective properties are replaced", hint)
    return target
