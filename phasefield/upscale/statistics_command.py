"""``phasefield statistics``: from samples to a file, a table and a picture. What is done is not done again."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import config
from ..backend import cpu_threads, gpu_wanted
from ..errors import ConfigError
from ..homogenize.inputs import rests_on
from ..mechanics.materials import system_of
from ..mechanics.phases import MaterialSystem
from ..report.drawing import drawn_here
from ..report.home import settle
from ..store import expanded, write_dataset
from .batches import Batch, collect
from .ledger import Ledger
from .measuring import Failed, Measured, has_voids, measure_all, workers_for
from .sample_files import of_properties
from .samples import Tasks, fingerprint
from .statistics_dataset import datasets, holds_statistics
from .statistics_settings import LANGUAGE, Request, request_of
from .statistics_summary import Summary, summarize
from .statistics_table import table


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
        last = f"{self.path}{replaced}: statistics of {len(self.summary.own)} samples{again}{drawn}"
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
    target = target_of(words, request, [s.path for s in batch.sources])
    system = None if batch.kind == "properties" else system_of(request.material)
    book = book_of(target)
    before = set(book.known)
    tasks = Tasks(batch, request, fingerprint(request, system), before)
    if system is None:
        samples, failed = _read(batch, request), list(batch.failed)
    else:
        samples, failed = _measured(tasks, batch, system, request, book, show)
    known = len(set(tasks.keys) & before)
    if not samples:
        raise ConfigError("samples", f"none came to an end; {failed[0].name}: {failed[0].reason}")
    summary = summarize(samples, request, system, request.step if batch.kind == "windows" else None)
    lost = [f"{f.name} was left out: {f.reason.splitlines()[0]}" for f in failed]
    if batch.varied:
        lost.append(
            f"members of the sweep differ in {', '.join(batch.varied)}, and not by chance alone: they are taken for samples of "
            "one material, and the scatter holds what these keys change"
        )
    summary.notes[:0] = lost
    if system is not None and batch.kind == "windows" and request.boundary == "auto" and has_voids(system, request):
        summary.notes.append(
            "voids lie in the faces of windows, where uniform tractions have no answer: the boundary condition is periodic "
            "alone, and its bias is not known; boundary=kinematic gives what is above it"
        )
    root, groups = datasets(summary, request, command, _facts(batch, system, request), system)
    replaced = target.exists()
    write_dataset(root, target, groups)
    book.keep({s.key for s in samples})
    drawn = _picture(target, request)
    return Outcome(target, summary, failed, known, replaced, drawn)


def _measured(
    tasks: Tasks,
    batch: Batch,
    system: MaterialSystem,
    request: Request,
    book: Ledger,
    show: Callable[[str], None] | None,
) -> tuple[list[Measured], list[Failed]]:
    """All samples, those that are known and those that are computed now, which go to the book one by one."""
    gpu = request.solver.device != "cpu" and gpu_wanted(request.solver.device)
    threads = cpu_threads(request.solver.threads)
    count, voxels = tasks.planned()
    workers = workers_for(request, count, voxels, threads, gpu)
    if workers > 1:
        threading.Thread(target=_load_ahead, args=(request.picture,), daemon=True).start()
    members = {f.name for f in batch.failed}
    failed: list[Failed] = []
    new = 0
    for done in measure_all(tasks, system, request, workers, threads):
        if isinstance(done, Measured):
            book.put(done.to_json(), done)
            new += 1
            if show:
                show(f"sample {new} of {count}")
            continue
        if done.name not in members and not request.skip:
            raise ConfigError(
                done.name, done.reason, "leave out what cannot be computed with skip=true; what is done is kept"
            )
        failed.append(done)
    return [book.known[key] for key in tasks.keys if key in book.known], failed


def _load_ahead(picture: bool) -> None:
    """Loads the libraries that are needed once the samples are done: while workers solve, this process only waits for them."""
    settle()
    for name in ("scipy.stats", *(("matplotlib.figure", "matplotlib.backends.backend_agg") if picture else ())):
        with suppress(ImportError):  # told where it is needed
            importlib.import_module(name)


def _read(batch: Batch, request: Request) -> list[Measured]:
    return [of_properties(source, source.identity) for source in batch.sources]


def _facts(batch: Batch, system: MaterialSystem | None, request: Request) -> dict[str, Any]:
    paths = [str(s.path) for s in batch.sources]
    listed = paths if len(paths) <= 20 else [*paths[:20], f"and {len(paths) - 20} more"]
    facts: dict[str, Any] = {"kind": batch.kind, "sources": "\n".join(listed)}
    if system is not None:
        facts |= {
            "material": system.name,
            "material_source": system.source,
            "reference_temperature": system.temperature,
        }
    role = "image" if system is not None else "effective properties"
    return facts | rests_on([s.path for s in batch.sources], request, role)


def target_of(words: Sequence[str | Path], request: Request, sources: Sequence[Path] = ()) -> Path:
    """The file to write: what is replaced, the picture beside it too, must be of this kind and no source.

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
    if target.suffix not in (".nc", ".nc4", ".cdf", ""):
        raise ConfigError("output", f"is {target.name!r}; statistics are a NetCDF file", hint)
    if target.exists() and not holds_statistics(target):
        raise ConfigError("output", f"{target} is there and holds something else; only statistics are replaced", hint)
    if request.picture:
        picture = picture_of(target)
        given = {Path(s).resolve() for s in [*map(expanded, words), *sources]}
        if picture.resolve() in given or (picture.exists() and not drawn_here(picture)):
            problem = f"the picture beside it would replace {picture}, which is none of ours"
            raise ConfigError("output", problem, f"{hint}, or picture=false")
    return target


def picture_of(target: Path) -> Path:
    """The picture beside a file of statistics."""
    return target.with_suffix(".png")


def book_of(target: Path) -> Ledger:
    """The samples that are done, in a file beside the statistics: what a later call need not compute again."""
    path = target.with_name(f"{target.stem}.samples.jsonl")
    return Ledger(path, "samples", 2, "output", Measured.from_json)


def _picture(target: Path, request: Request) -> Path | None:
    if not request.picture:
        return None
    from ..report.statistics import statistics_picture
    from ..store import write_bytes

    path = picture_of(target)
    write_bytes(path, statistics_picture(target))
    return path


def check(words: Sequence[str], request: Request) -> str:
    """What can be said of a request before anything is computed, in one line.

    Raises:
        ConfigError: sources that are none, or a file that will not be replaced.
    """
    if not words:
        target_of(words, request)
        return f"{request.members} samples of each of {request.sizes or 'one size'}"
    batch = collect(words, request)
    target_of(words, request, [s.path for s in batch.sources])
    return f"{len(batch.sources)} sources ({batch.kind}), {len(batch.failed)} that did not come to an end"


__all__ = ["Outcome", "execute", "statistics", "target_of"]
