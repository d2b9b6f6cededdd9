"""Which tests run with every suite, and which in turns: a choice by measured time.

``seconds.json`` holds what each test costs in seconds of processor time (its own and its processes'; those under `SHORT` are left
out). A *family* is a test with all its parameters. Within `BUDGET` run first the cheapest of every family, then the others, the
cheaper before the dearer; what is left is marked ``slow`` and runs in turns (``--share``), as do tests that carry the mark
themselves. A test that isn't in the file counts as short.

Kernels are not counted: a test that is the first to need one compiles it, in less than a tenth of a second, for all others. So
``pytest --record-seconds`` measures anew with ``PHASEFIELD_CACHE`` set to a folder that holds the kernels of a run before; only
what ran is replaced.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

SECONDS = Path(__file__).parent / "seconds.json"

#: Seconds of processor time of all tests of the file that run with every suite.
BUDGET = 480.0

#: Shorter ones are not in the file.
SHORT = 0.5

#: The cheapest of a family runs with every suite up to here.
DEAR = 12.0


def in_turns(seconds: dict[str, float], budget: float = BUDGET) -> frozenset[str]:
    """The tests that do not fit. Names are as pytest's, ``file::test[parameters]``."""
    cheapest: dict[str, str] = {}
    ascending = sorted(seconds, key=lambda name: (seconds[name], name))
    for name in ascending:
        cheapest.setdefault(name.partition("[")[0], name)
    firsts = [name for name in cheapest.values() if seconds[name] <= DEAR]
    chosen = set(firsts)
    order = firsts + [name for name in ascending if name not in chosen]
    spent, left = 0.0, set()
    for name in order:
        spent += seconds[name]
        if spent > budget:
            left.add(name)
    return frozenset(left)


def measured() -> dict[str, float]:
    return dict(json.loads(SECONDS.read_text())) if SECONDS.exists() else {}


class Recorder:
    """Measures tests and writes `SECONDS` as they end; pytest-xdist's workers hand theirs on with their reports."""

    def __init__(self, writes: bool) -> None:
        self.writes = writes
        self.started: dict[str, float] = {}
        self.seconds = measured()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.started[nodeid] = _processor_seconds()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        report = yield
        if report.when == "teardown":
            report.processor_seconds = round(_processor_seconds() - self.started.pop(item.nodeid), 1)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self.writes and report.when == "teardown":
            name = report.nodeid.removeprefix("tests/")
            before = self.seconds.pop(name, None)
            if report.processor_seconds >= SHORT:
                self.seconds[name] = report.processor_seconds
            if self.seconds.get(name) != before:
                SECONDS.write_text(json.dumps(dict(sorted(self.seconds.items())), indent=0, ensure_ascii=False) + "\n")


def _processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    return sum(os.times()[:4])
