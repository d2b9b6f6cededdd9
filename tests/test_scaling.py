"""The model of docs/scaling.md against what was measured."""

from __future__ import annotations

import dataclasses
import json

import pytest
import scaling_model


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_modelled_steps_are_those_measured_within_a_half(ranks: int) -> None:
    figures = json.loads(scaling_model.RESULTS.read_text())
    ratios = {
        together: modelled / measured
        for n, together, modelled, measured in scaling_model.compared(figures)
        if n == ranks
    }
    assert 1 in ratios
    assert all(1 / 1.5 < ratio < 1.5 for ratio in ratios.values())


def test_the_parts_of_a_step_follow_its_size() -> None:
    """Halves with twice the ranks what a rank has; messages grow with their number."""
    machine = scaling_model.cluster(26)
    few, many = machine.parts(1e9, 64), machine.parts(1e9, 128)
    alone = dataclasses.replace(machine, together=64).parts(1e9, 64)
    assert alone[:3] == (few[0], 0.0, 0.0)
    assert few[0] / many[0] == few[1] / many[1] == pytest.approx(2)
    assert many[2] / few[2] == pytest.approx(127 / 63)
    slabs, pencils = machine.parts(1e9, 1024), machine.parts(1e9, 1024, rows=1000)
    assert pencils[1] == 2 * slabs[1]
    assert pencils[2] / slabs[2] == pytest.approx(2 * 31 / 1023)
    assert machine.step(8e9, 512) < 1.1 * machine.step(1e9, 64) + machine.parts(1e9, 512)[2]
