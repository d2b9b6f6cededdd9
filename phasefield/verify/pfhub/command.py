"""``phasefield verify pfhub``: the benchmarks one by one, in a folder in which it goes on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...backend import cpu_threads, gpu_wanted
from ...errors import ConfigError, PhasefieldError
from ...report.drawing import Picture
from ...running import new_folder
from ...store import expanded, write_bytes
from .. import command, page, record
from .. import folder as folders
from ..check import Outcome, Verdict, judged
from ..ladder import choose
from ..record import Record
from ..settings import Settings
from . import pictures, running, upload
from .benchmark import Benchmark, Made, Question
from .catalogue import NOT_BUILT, benchmarks


class Benchmarks:
    """The benchmarks that are asked for; a `command.Job`."""

    def __init__(self, asked: Sequence[Benchmark], settings: Settings, made: Record, folder: Path) -> None:
        self._asked, self._settings = asked, settings
        self.record, self.folder = made, folder

    @property
    def plan(self) -> str:
        """What is going to be done, and how long it takes."""
        return told(self._asked)

    def run(self, show: Callable[[str], None] | None = None) -> None:
        with folders.logged(self.folder):
            self._write()
            for number, benchmark in enumerate(self._asked, start=1):
                self._make(benchmark, f"{number} of {len(self._asked)}: {benchmark.name}", show)
                self._write()

    def _make(self, benchmark: Benchmark, head: str, show: Callable[[str], None] | None) -> None:
        """The runs of a benchmark, what is asked of them, its pictures and files."""
        place = folders.made(self.folder / benchmark.name)
        runs: dict[str, Made] = {}
        problem = ""
        try:
            for case in benchmark.cases:
                if show is not None:
                    show(f"{head}, run {case.name}")
                runs[case.name] = running.make(case, place, self._settings.machine)
        except PhasefieldError as error:
            problem = str(error)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        answers = [_answer(q, runs, problem) for q in benchmark.questions]
        answers[0] = replace(answers[0], seconds=sum(made.seconds for made in runs.values()))
        kept = {q.name for q in benchmark.questions}
        found = [*(o for o in self.record.outcomes if o.name not in kept), *answers]
        self.record.outcomes[:] = sorted(found, key=lambda o: self.record.names.index(o.name))
        if problem:
            return
        self.record.more.setdefault("runs", {})[benchmark.name] = {
            name: {
                "steps": made.steps,
                "end": float(made.time[-1]),
                "seconds": round(made.seconds, 2),
                "memory_MiB": made.memory >> 10,
            }
            for name, made in runs.items()
        }
        source = runs[benchmark.cases[0].name].history.attrs
        self.record.more.setdefault("made", {})[benchmark.name] = {
            "git_commit": source.get("git_commit", ""),
            "created": source["history"].partition(" ")[0],
        }
        drawn = self.record.more.setdefault("pictures", {})
        for panel in benchmark.panels(runs):
            picture = pictures.draw(panel)
            write_bytes(place / f"{picture.name}.png", picture.png)
            drawn[f"{benchmark.name}/{picture.name}.png"] = picture.caption
        gpu = gpu_wanted(self._settings.device)
        upload.write(benchmark, runs, place / "upload", cpu_threads(self._settings.threads), gpu)

    def _write(self) -> None:
        self.record.write(self.folder)
        page.write(self.folder, self.record, self._pictures())

    def _pictures(self) -> list[Picture]:
        """Those of earlier calls too, as far as they are there."""
        found = []
        for name, caption in sorted(self.record.more.get("pictures", {}).items()):
            with suppress(OSError):
                found.append(Picture(Path(name).stem, "Curves", caption, (self.folder / name).read_bytes()))
        return found


def _answer(question: Question, runs: dict[str, Made], problem: str) -> Outcome:
    """What the runs say to a question, at no time of its own. ``problem``: what kept them from coming to their end."""
    got = expected = math.nan
    verdict: Verdict = "failed"
    note = problem
    if not problem:
        try:
            got, expected = question.found(runs), question.expected(runs)
            verdict = judged(got, expected, question.allowed, question.relative)
            note = question.note(runs) if question.note else ""
        except Exception as error:
            note = f"{type(error).__name__}: {error}"
    return Outcome(
        question.name,
        question.what,
        question.source,
        expected,
        got,
        question.allowed,
        question.relative,
        "",
        verdict,
        0.0,
        note,
    )


def told(asked: Sequence[Benchmark]) -> str:
    """Benchmarks and their time, in words."""
    each = ", ".join(f"{b.name} {b.minutes:g} min" for b in asked)
    return f"{each}; {sum(b.minutes for b in asked):.2g} min in all, on two free cores"


def asked_for(settings: Settings) -> list[Benchmark]:
    """The benchmarks that are asked for. Raises ConfigError: one is not built, or there is none of that name."""
    every = benchmarks()
    for name in settings.only:
        if name in NOT_BUILT:
            raise ConfigError(
                "only", f"benchmark {name} is not built: it takes {NOT_BUILT[name]}", f"built are {_names(every)}"
            )
    chosen = choose([b.name for b in every], settings.only)
    return [b for b in every if b.name in chosen]


def _names(some: Sequence[Benchmark]) -> str:
    return ", ".join(b.name for b in some)


def plan(settings: Settings) -> str:
    """What would be done, in a line. Raises as `prepare`."""
    return f"{told(asked_for(settings))}; on {command.facts_of(settings)['device']}"


def prepare(settings: Settings, line: str = "") -> Benchmarks:
    """The benchmarks, ready to begin or to go on in the folder that holds them.

    Raises:
        ConfigError: a benchmark that there is not, or a folder that holds something else or was made on another device or in
            another precision. DeviceError: there is no such device. OutputError: the folder cannot be made.
    """
    asked = asked_for(settings)
    facts = command.facts_of(settings)
    folder, outcomes, more = _folder(settings, facts)
    chosen, known = {b.name for b in asked}, {o.topic for o in outcomes}
    names = [q.name for b in benchmarks() if b.name in chosen | known for q in b.questions]
    made = Record("pfhub", facts, line, names, outcomes, more)
    return Benchmarks(asked, settings, made, folder)


def _folder(settings: Settings, facts: dict[str, Any]) -> tuple[Path, list[Outcome], dict[str, Any]]:
    """The folder, what an earlier call found in it, and what else it kept."""
    more: dict[str, Any] = {"not_built": NOT_BUILT}
    if settings.output is None:
        return new_folder("_verify")[0], [], more
    folder = expanded(settings.output)
    path = folder / record.NAME
    if not path.is_file():
        return folders.new(settings.output), [], more
    before = record.read(path)
    if before["ladder"] != "pfhub":
        raise ConfigError(
            "output", f"{folder} holds a verification of {before['ladder']}", "give another folder, output=DIR"
        )
    for key, value in facts.items():
        if before.get(key) != value:
            raise ConfigError(
                "output",
                f"{folder} holds runs of {key} {before.get(key)}, not {value}",
                "give another folder, output=DIR",
            )
    return folder, before["checks"], more | {k: before.get(k, {}) for k in ("runs", "made", "pictures")}
