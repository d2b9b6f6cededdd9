"""What lies elsewhere is indexed, written and read as an array is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phasefield.boxes import Boxes
from phasefield.store import RecordFile, Variable, save_checkpoint

WHOLE = np.random.default_rng(0).random((2, 6, 5, 10))


def boxes(asked: list[int]) -> Boxes:
    """`WHOLE` elsewhere; ``asked`` gets the number of values of every box that is fetched."""

    def fetch(box: tuple[slice, ...]) -> np.ndarray:
        asked.append(WHOLE[box].size)
        return WHOLE[box].copy()

    return Boxes(WHOLE.shape, WHOLE.dtype, fetch)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[:, 1:4, 0, 2:9],
        lambda a: a[1, 2:5],
        lambda a: a[:1][None, :, 2:3],
        lambda a: a[:, :, 0].transpose(2, 0, 1)[3:, 1],
        lambda a: a.transpose(3, 1, 0, 2)[5:3],
    ],
)
@pytest.mark.parametrize("size", [8, 200, 10**6])
def test_a_view_is_that_of_an_array(view: Callable[[Any], Any], size: int) -> None:
    there, here = view(boxes([])), view(WHOLE)
    assert there.shape == here.shape
    assert np.array_equal(np.asarray(there), here)
    pieces = list(there.pieces(size))
    assert np.array_equal(np.concatenate([p.ravel() for p in pieces]), here.ravel())
    assert all(p.nbytes <= size for p in pieces)


def test_files_are_those_of_an_array_and_take_no_more_than_a_chunk(tmp_path: Path) -> None:
    names = dict.fromkeys("xyz")
    coords = {name: (np.arange(float(n)), {}) for name, n in zip(names, WHOLE.shape[1:], strict=True)}
    variables = [Variable("time", ("time",), "float64"), Variable("c", ("time", *names), "float64")]
    written = []
    for name, values in (("here", WHOLE), ("there", boxes(asked := []))):
        RecordFile.create(tmp_path / name, coords, variables, {}).append({"time": np.zeros(1), "c": values[:1]})
        save_checkpoint(tmp_path / f"{name}.npz", {"u": values}, {})
        written.append([(tmp_path / f).read_bytes() for f in (name, f"{name}.npz")])
    assert written[0] == written[1]
    assert asked == [WHOLE[0].size, WHOLE.size]  # a chunk, and what is less than a few megabytes
