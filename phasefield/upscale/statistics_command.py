"""``phasefield statistics``: from samples to a file, a table and a picture. What is done is not done again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import config
from ..backend import cpu_threads, gpu_wanted
from ..errors import ConfigError, OutputError
from ..mechanics.materials import system_of
from ..mechanics.phases import MaterialSystem
from ..store import expanded, write_dataset, write_text
from .measuring import Failed, Measured, has_voids, measure_all, workers_for
from .samples import Batch, Source, Tasks, collect, fingerprint, of_properties
from .statistics_dataset import datasets, holds_statistics
from .statistics_settings import LANGUAGE, Request, request_of
from .statistics_summary import Summary, summarize
from .statistics_table import table

#: The first line of a file of samples.
_HEAD = '{"samples": "phasefield statistics", "version": 1}'


@dataclass
class Outcome:
    """What came of a call.

    Attributes:
        path: the file written. picture: beside it, if one was drawn. failed: samples that were left out. known: how many were
            done before. replaced: whether an earlier file was.
    """

    path: Path
    summary: Summary
    failed: list[Failed]
    known: int
    replaced: bool
    picture: Path | None = None

    @property
    def text(self) -> str:
        """What the terminal shows."""
        again = f", {self.known} of them known from an earlier call" if self.known else ""
        replaced = " (replaces an earlier one)" if self.replaced else ""
        drawn = f", picture in {self.picture.name}" if self.picture else ""
        last = f"{self.path}{replaced}: statistics of {len(self.summary.samples)} samples{again}{drawn}"
        return "\n\n".join([table(self.summary), last])


def statistics(*sources: str | Path, workers: int = 1, **keys: Any) -> Outcome:
    """Statistics of the apparent properties of samples, as the command line makes them.

    Args:
        sources: a sweep's folder, runs, images or files of effective properties.
        workers: processes side by side; more than one needs a script whose work stands behind ``if __name__ == "__main__"``.
        keys: as on the command line.

    Raises:
        ConfigError: samples that do not belong together, or a value that will not do. OutputError: the file cannot be written.
    """
    overrides, _ = config.overrides_of({**keys, "workers": workers})
    request = request_of(config.compose(overrides, LANGUAGE), bare=True)
    return execute(list(sources), request)


def execute(
    words: Sequence[str | Path], request: Request, command: str = "", show: Callable[[str], None] | None = None
) -> Outcome:
    """The statistics of the samples that words name; see `statistics`."""
    batch = collect(words, request)
    target = target_of(words, request)
    system = None if batch.kind == "properties" else system_of(request.material)
    book = Book(target)
    tasks = Tasks(batch, request, fingerprint(request, system), set(book.known))
    if system is None:
        samples, failed = _read(batch, request), list(batch.failed)
    else:
        samples, failed = _measured(tasks, batch, system, request, book, show)
    known = len(samples) - book.new if system is not None else 0
    if not samples:
        raise ConfigError("samples", f"none came to an end; {failed[0].name}: {failed[0].reason}")
    summary = summarize(samples, request, system)
    lost = [f"{f.name} was left out: {f.reason.splitlines()[0]}" for f in failed]
    summary.notes[:0] = lost
    if system is not None and batch.kind == "windows" and request.boundary == "auto" and has_voids(system, request):
        summary.notes.append(
            "voids lie in the faces of windows, where uniform tractions have no answer: the boundary condition is periodic "
            "alone, and its bias is not known; boundary=kinematic gives what is above it"
        )
    facts = _facts(batch, system, samples)
    root, groups = datasets(summary, request, command, facts)
    replaced = target.exists()
    write_dataset(root, target, groups)
    book.keep({s.key for s in samples})
    drawn = _picture(target, request)
    return Outcome(target, summary, failed, known, replaced, drawn)


def _measured(
    tasks: Tasks, batch: Batch, system: MaterialSystem, request: Request, book: Book, show: Callable[[str], None] | None
) -> tuple[list[Measured], list[Failed]]:
    """All samples, those that are known and those that are computed now, which go to the book one by one."""
    gpu = request.solver.device != "cpu" and gpu_wanted(request.solver.device)
    threads = cpu_threads(request.solver.threads)
    count, voxels = tasks.planned()
    workers = workers_for(request, count, voxels, threads, gpu)
    members = {f.name for f in batch.failed}
    failed: list[Failed] = []
    for done in measure_all(tasks, system, request, workers, threads):
        if isinstance(done, Measured):
            book.add(done)
            if show:
                show(f"sample {book.new} of {count}")
            continue
        if done.name not in members and not request.skip:
            raise ConfigError(
                done.name, done.reason, "leave out what cannot be computed with skip=true; what is done is kept"
            )
        failed.append(done)
    return [book.known[key] for key in tasks.keys if key in book.known], failed


def _read(batch: Batch, request: Request) -> list[Measured]:
    return [of_properties(source, source.identity) for source in batch.sources]


def _facts(batch: Batch, system: MaterialSystem | None, samples: Sequence[Measured]) -> dict[str, Any]:
    paths = [str(s.path) for s in batch.sources]
    listed = paths if len(paths) <= 20 else [*paths[:20], f"and {len(paths) - 20} more"]
    facts = {"kind": batch.kind, "sources": "\n".join(listed)}
    if system is not None:
        facts |= {"material": system.name, "material_source": system.source}
    return facts


def target_of(words: Sequence[str | Path], request: Request) -> Path:
    """The file to write: what is replaced must be a file of this kind.

    Raises:
        ConfigError: it is something else.
    """
    if request.output:
        target = expanded(request.output)
    elif not words:
        target = Path("statistics.nc")
    else:
        first = expanded(words[0])
        target = first / "statistics.nc" if first.is_dir() else first.with_name(f"{first.stem}_statistics.nc")
    hint = "give another file, output=NAME.nc"
    if target.is_dir():
        raise ConfigError("output", f"{target} is a folder", hint)
    if target.exists() and not holds_statistics(target):
        raise ConfigError("output", f"{target} is there and holds something else; only statistics are replaced", hint)
    return target


class Book:
    """The samples that are done, a line each in a file beside the statistics: what a later call need not compute again.

    Attributes:
        known: samples by their keys. new: how many were added.
    """

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.stem}.samples.jsonl")
        self.known: dict[str, Measured] = {}
        self.new = 0
        if self.path.exists():
            with open(self.path, encoding="utf-8") as file:
                if file.readline().strip() != _HEAD:
                    raise ConfigError(
                        "output", f"{self.path} is there and is no file of samples", "give another output"
                    )
                for line in file:
                    with suppress(ValueError, TypeError, KeyError):  # the last line of a call that was killed
                        made = Measured.from_json(json.loads(line))
                        self.known[made.key] = made

    def add(self, sample: Measured) -> None:
        """Raises OutputError: the file cannot be written."""
        self.known[sample.key] = sample
        self.new += 1
        try:
            new = not self.path.exists()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "a", encoding="utf-8") as file:
                if new:
                    file.write(_HEAD + "\n")
                file.write(json.dumps(sample.to_json()) + "\n")
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def keep(self, keys: set[str]) -> None:
        """Forgets all other samples."""
        kept = [s for k, s in self.known.items() if k in keys]
        if self.path.exists() and len(kept) < len(self.known):
            write_text(self.path, "\n".join([_HEAD, *(json.dumps(s.to_json()) for s in kept)]) + "\n")


def _picture(target: Path, request: Request) -> Path | None:
    if not request.picture:
        return None
    from ..report.statistics import statistics_picture
    from ..store import write_bytes

    path = target.with_suffix(".png")
    write_bytes(path, statistics_picture(target))
    return path


def check(words: Sequence[str], request: Request) -> str:
    """What can be said of a request before anything is computed, in one line.

    Raises:
        ConfigError: sources that are none, or a file that will not be replaced.
    """
    target_of(words, request)
    if not words:
        return f"{request.members} samples of each of {request.sizes or 'one size'}"
    batch = collect(words, request)
    return f"{len(batch.sources)} sources ({batch.kind}), {len(batch.failed)} that did not come to an end"


__all__ = ["Outcome", "Source", "execute", "statistics", "target_of"]
