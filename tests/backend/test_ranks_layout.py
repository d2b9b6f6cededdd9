"""What every rank has of a grid, and the plans that all of them share; without MPI."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from phasefield.backend.cpu import CpuBackend
from phasefield.backend.layout import Layout, part_of, shares_of
from phasefield.grid import Grid

WALLS = ("no-flux", "fixed", "no-flux")


def grid(*shape: int, boundary: tuple[str, ...] = ("periodic",) * 3) -> Grid:
    return Grid(shape, tuple(map(float, shape)), boundary[: len(shape)])


@pytest.mark.parametrize(
    ("shape", "ranks", "expected"),
    [
        ((8, 8, 8), 8, (8, 1)),
        ((8, 8, 8), 9, (3, 3)),
        ((8, 8, 8), 12, (4, 3)),
        ((8, 8, 8), 13, None),  # a prime number of more than rows
        ((8, 8, 8), 40, (8, 5)),
        ((8, 8, 8), 41, None),
        ((3, 13, 11), 4, (2, 2)),
        ((16, 12), 7, (7, 1)),
        ((16, 12), 8, None),
        ((64,), 2, None),
    ],
)
def test_ranks_have_slabs_or_pencils(shape: tuple[int, ...], ranks: int, expected: tuple[int, int] | None) -> None:
    assert shares_of(grid(*shape), ranks) == expected


@pytest.mark.parametrize("boundary", [("periodic",) * 3, WALLS])
@pytest.mark.parametrize("ranks", [3, 4, 6])
def test_parts_are_the_whole_without_gaps_or_overlaps(boundary: tuple[str, ...], ranks: int) -> None:
    """And every derivative or gradient finds its neighbour: in the part, or in one of the two rows beyond each parted axis."""
    whole = Layout(grid(3, 7, 10, boundary=boundary))
    parts = [part_of(whole.grid, rank, ranks) for rank in range(ranks)]
    assert parts[0].of_ranks == parts
    assert parts[0].pencils == (ranks > 3)
    for space in ("real", "spectral"):
        seen = np.zeros(whole.lengths(space), int)
        for part in parts:
            seen[part.region(space)] += 1
            assert part.used(space) == tuple(s.stop - s.start for s in part.region(space))
        assert (seen == 1).all()
    names = [f"{n}_{place}" for n in ("above", "below", "partner", "back_partner") for place in range(3)]
    for part in parts:
        for name in names:
            space = "real" if name.startswith(("above", "below")) else "spectral"
            if space == "spectral" and part.parts == 2:
                continue  # a complex mode's partner is its other part
            place, values = int(name[-1]), part.axis_array(name, "float64")
            own, room = part.region(space)[place], part.lengths(space)[place]
            assert ((values >= 0) & (values < room)).all(), name
            inside = values < part.used(space)[place]
            assert np.array_equal(values[inside] + own.start, whole.axis_array(name, "float64")[own][inside]), name


def test_wisdom_without_the_plans_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every process would measure what is missing for itself, and ranks would differ in their last bits."""
    monkeypatch.setenv("PHASEFIELD_CACHE", str(tmp_path))
    plan = {n: lambda n=n: CpuBackend().plans(Layout(grid(n, n)), 1) for n in (18, 30)}
    plan[18](), plan[30]()
    small, large = sorted((tmp_path / "fftw").glob("*.wisdom"))
    large.write_bytes(small.read_bytes())
    plan[30]()
    made = large.read_bytes()
    assert made != small.read_bytes()
    plan[30]()
    assert large.read_bytes() == made
