"""What is said of a sweep: how it came out, what tells its members apart, and the page of all."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from .. import config
from ..errors import PhasefieldError
from ..report.standing import standing
from ..store import expanded
from .member import Member, members, stops


def summary(path: str | Path) -> int:
    """Says how a sweep came out, a row for every member that is not done; its exit code."""
    found = [_settled(expanded(path), member) for member in members(path)]
    bad = [m for m in found if m.code != 0]
    place = shlex.quote(str(path))
    if not bad:
        print(f"{path}: {_runs(found)}, all done; phasefield report {place} shows more", file=sys.stderr)
        return 0
    failed = [m for m in bad if m.error]
    print(
        f"\n{path}: {_runs(found)}, {len(found) - len(bad)} done, {len(failed)} failed"
        + (f", {len(bad) - len(failed)} stopped or not started" if len(bad) > len(failed) else ""),
        file=sys.stderr,
    )
    print("\n".join(_table(found, bad)), file=sys.stderr)
    if len(bad) > len(failed):
        print(f"continue with: phasefield resume {place}", file=sys.stderr)
    stopped = [m.code for m in bad if m.code is not None and stops(m.code)]
    return stopped[0] if stopped else 1


def overview(path: str | Path) -> list[tuple[str, list[str], str]]:
    """Of every member its name, the overrides that tell it from the others, and how it came out."""
    found = [_settled(expanded(path), member) for member in members(path)]
    words = differences([m.overrides for m in found])
    return [(m.name, shown, m.error.split("\n")[0] or m.text) for m, shown in zip(found, words, strict=True)]


def report(path: str | Path, references: Sequence[str], write: Callable[..., Path]) -> int:
    """Reports all members and lists them on a page; the exit code."""
    from ..report.index import Row, index
    from ..report.reading import reference_of

    where = expanded(path)
    for reference in references:
        reference_of(expanded(reference))
    rows, code = [], 0
    found = members(where)
    for member, shown in zip(found, differences([m.overrides for m in found]), strict=True):
        folder = where / member.name
        page, problem = None, member.error
        try:
            if standing(folder).kind != "none":
                page = write(folder, references)
                print(page)
        except PhasefieldError as error:
            problem, code = str(error), 1
            print(f"phasefield: error: {error}", file=sys.stderr)
        state = standing(folder)
        rows.append(Row(member.name, shown, state.text if state.kind != "none" else member.text, problem, page))
    print(index(where, rows))
    return code


def _settled(where: Path, member: Member) -> Member:
    """A member whose process ended without a word (killed, or with its machine) is not running."""
    if member.text == "running" and not standing(where / member.name).running:
        return replace(member, text="lost: its process was killed")
    return member


def _runs(found: Sequence[Member]) -> str:
    return f"{len(found)} run{'s' if len(found) != 1 else ''}"


def _table(found: Sequence[Member], shown: Sequence[Member]) -> Iterator[str]:
    """Lines: the run, what tells it from the others, its exit code, how it came out."""
    words = dict(zip([m.number for m in found], differences([m.overrides for m in found]), strict=True))
    rows = [("run", "overrides", "code", "outcome")]
    for m in shown:
        reason = m.error.split("\n")[0] if m.error else m.text
        rows.append((m.name, " ".join(words[m.number]), "-" if m.code is None else str(m.code), reason))
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    for row in rows:
        yield "  " + "  ".join([*(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=False)), row[3]]).rstrip()


def differences(jobs: Sequence[Sequence[str]]) -> list[list[str]]:
    """Of every job the overrides that not all have, as people write them; of a job alone all."""
    shared = set(jobs[0]).intersection(*jobs) if len(jobs) > 1 else set()
    return [[readable(o) for o in job if o not in shared and not o.endswith("=null")] for job in jobs]


def readable(override: str) -> str:
    """An override without what was put there for Hydra."""
    return config.original(override).lstrip("+")
