"""Schedules fire at their times exactly, however often, and at nothing else."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from phasefield.errors import ConfigError
from phasefield.schedule import Schedule, Thinning, build


def firings(plan: Schedule, end: float) -> list[float]:
    times = []
    while plan.next_time <= end:
        t = plan.next_time
        assert plan.due(t, 1)
        times.append(t)
    return times


def test_period_does_not_drift() -> None:
    assert firings(build(0.1, "every"), 100.05) == [n * 0.1 for n in range(1001)]


def test_listed_times_are_sorted_and_end() -> None:
    plan = build({"times": [3, 0.5, 1e2]}, "every")
    assert firings(plan, 1e9) == [0.5, 3.0, 100.0]
    assert plan.next_time == math.inf


def test_decades() -> None:
    plan = build({"per_decade": 2, "start": 0.01}, "every")
    assert firings(plan, 100) == pytest.approx([0, *(10 ** (k / 2 - 2) for k in range(9))])
    assert build({"per_decade": 1, "start": 1e-300}, "every").time(400) == math.inf


def test_steps() -> None:
    plan = build({"steps": 3}, "every")
    assert plan.next_time == math.inf
    assert [s for s in range(10) if plan.due(0.1 * s, s)] == [0, 3, 6, 9]


def test_one_firing_for_several_times_passed() -> None:
    plan = build(1.0, "every")
    assert plan.due(3.5, 1)
    assert not plan.due(3.9, 2)
    assert plan.next_time == 4.0


BAD = [
    0, -1, math.nan, math.inf, "abc", True, None, [1, 2], {}, {"step": 5}, {"steps": 0}, {"steps": 1.5}, {"steps": "x"},
    {"times": []}, {"times": 3}, {"times": "12"}, {"times": [1, math.nan]}, {"times": [-1]}, {"times": [True]},
    {"times": ["a"]}, {"per_decade": 2}, {"per_decade": 1.5, "start": 1}, {"per_decade": 2, "start": 0},
    {"steps": 1, "times": [1]}, {3: 4},
]  # fmt: skip


@pytest.mark.parametrize("spec", BAD, ids=str)
def test_anything_else_is_refused(spec: object) -> None:
    with pytest.raises(ConfigError, match=r"^output\.every") as caught:
        build(spec, "output.every")
    assert "{steps: n}" in str(caught.value)


def test_thinning_is_dense_at_first_and_cheap_later() -> None:
    rows = Thinning()
    fired = [step for step in range(20_001) if rows.due(0.0, step)]
    assert fired[:21] == list(range(21))
    assert all(b - a <= math.ceil(0.06 * b) for a, b in pairwise(fired[1:]))
    assert len(fired) < 0.01 * 20_000
    resumed = Thinning()
    resumed.count = sum(step <= 500 for step in fired)
    assert [step for step in range(501, 20_001) if resumed.due(0.0, step)] == [s for s in fired if s > 500]
