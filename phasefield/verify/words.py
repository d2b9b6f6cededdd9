"""Numbers and tables in words, for the terminal, the page and the documentation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from .check import Outcome
from .record import Record

if TYPE_CHECKING:
    from rich.table import Table

#: Columns where no terminal has some, and what verdicts look like on one that has.
_WIDTH = 130
_COLOURS = {"within": "green", "outside": "bold red", "failed": "bold red", "skipped": "yellow"}
#: What the columns of a table are called.
COLUMNS = ("check", "what", "expected", "found", "off by", "allowed", "s", "")


def number(value: float, digits: int = 7) -> str:
    """A number as it is read; nothing for one that is none."""
    return f"{value:.{digits}g}" if math.isfinite(value) else ""


def cells(outcome: Outcome) -> tuple[str, ...]:
    """The cells of an outcome, by `COLUMNS`."""
    measure = " rel." if outcome.relative else ""
    unit = f" {outcome.unit}" if outcome.unit else ""
    verdict = outcome.verdict if outcome.verdict != "within" else "ok"
    return (
        outcome.name,
        outcome.what,
        number(outcome.expected) + unit,
        number(outcome.got) + (unit if math.isfinite(outcome.got) else ""),
        number(outcome.deviation, 2),
        number(outcome.allowed, 2) + measure,
        f"{outcome.seconds:.1f}",
        verdict,
    )


def tell(record: Record, folder: Path, stream: TextIO) -> None:
    """Prints the table of a record, its notes, and where its files are."""
    from rich.console import Console

    wide = None if stream.isatty() else _WIDTH
    console = Console(file=stream, width=wide, highlight=False, soft_wrap=False)
    if record.outcomes:
        console.print(table(record.outcomes))
    for outcome in record.outcomes:
        if outcome.note:
            print(f"{outcome.name}: {outcome.note}", file=stream)
    if reasons := record.more.get("not_built"):
        grouped = {why: ", ".join(n for n, w in reasons.items() if w == why) for why in reasons.values()}
        print(f"not built: {'; '.join(f'{names} ({why})' for why, names in grouped.items())}", file=stream)
    print(f"{record.ladder}: {record.summary}", file=stream)
    print(f"{folder}: verify.html shows how every value is known, verify.json holds all", file=stream, flush=True)


def table(outcomes: Sequence[Outcome]) -> Table:
    """A table for a terminal."""
    from rich.table import Table
    from rich.text import Text

    out = Table(box=None, pad_edge=False)
    for name in COLUMNS:
        if name != "what":
            out.add_column(name, justify="left" if name in ("check", "") else "right", overflow="fold")
    for outcome in outcomes:
        row = [Text(text) for name, text in zip(COLUMNS, cells(outcome), strict=True) if name != "what"]
        row[-1].stylize(_COLOURS[outcome.verdict])
        out.add_row(*row)
    return out


def markdown(outcomes: Sequence[Outcome]) -> str:
    """A table for the documentation."""
    head = ("check", "subject", "known from", "expected", "found", "allowed", "")
    lines = [_line(head), _line(["---"] * len(head))]
    for o in outcomes:
        _, what, expected, got, _, allowed, _, verdict = cells(o)
        note = "; ".join(filter(None, (verdict if verdict != "ok" else "", o.note)))
        texts = (o.name, what, o.source, expected, got, allowed, note)
        lines.append(_line([t.replace("|", r"\|").replace("*", r"\*").replace("<", "&lt;") for t in texts]))
    return "\n".join(lines)


def runs(made: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """What the runs of benchmarks took, as a table for the documentation."""
    head = ("benchmark", "run", "steps", "end", "real time, s", "memory of the process, MiB")
    lines = [_line(head), _line(["---"] * len(head))]
    for name, each in sorted(made.items()):
        for run, m in each.items():
            lines.append(
                _line([name, run, f"{m['steps']}", f"{m['end']:g}", f"{m['seconds']:.1f}", f"{m['memory_MiB']}"])
            )
    return "\n".join(lines)


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"
