"""What several processes make of their planes of an image is what one makes of all; here threads stand for the processes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phasefield.errors import ConfigError
from phasefield.homogenize.evidence import crosswise
from phasefield.homogenize.merging import merged
from phasefield.homogenize.mixture import Mixture
from phasefield.homogenize.reading import Image, read_file
from phasefield.homogenize.unresolved import mean_chord
from phasefield.images.voxels import Voxels
from phasefield.mechanics.connectivity import carried
from phasefield.planes import Planes


class Threads:
    """One of several threads as a `planes.Group`."""

    def __init__(self, rank: int, size: int, room: list[Any], meet: threading.Barrier) -> None:
        self.rank, self.size, self._room, self._meet = rank, size, room, meet

    def everywhere(self, value: Any) -> list[Any]:
        self._room[self.rank] = value
        self._meet.wait(10)
        found = list(self._room)
        self._meet.wait(10)
        return found

    def exchange(self, values: list[Any]) -> list[Any]:
        return [row[self.rank] for row in self.everywhere(values)]


def together(size: int, work: Callable[[Threads], Any]) -> list[Any]:
    """What each of some threads gives."""
    room, meet = [None] * size, threading.Barrier(size)
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(lambda rank: work(Threads(rank, size, room, meet)), range(size)))


def field(shape: tuple[int, ...], width: float) -> np.ndarray:
    x = np.meshgrid(*[np.arange(n) / n * 2 * np.pi for n in shape], indexing="ij")
    wave = sum(np.sin((k + 1) * each + 0.7 * np.cos(x[0])) for k, each in enumerate(x))
    return np.asarray(0.5 + 0.5 * np.tanh(wave * 4 / width))


def table(voxels: Voxels, own: np.ndarray) -> dict[str, np.ndarray]:
    """What every voxel is made of."""
    return {name: getattr(voxels, name)[own] for name in voxels.BY_ENTRY}


#: Not as a cached property: before Python 3.12 one thread computes it at a time, and these wait for each other.
FRACTIONS = Voxels.__dict__["volume_fractions"].func

IMAGES = {
    "diffuse": (field((11, 8, 6), 4), ("periodic",) * 3),
    "walls": (field((9, 10), 4), ("no-flux", "periodic")),
    "steep": (field((8, 6, 6), 0.2), ("periodic",) * 3),
    "few": (field((3, 12, 6), 4), ("periodic",) * 3),
    "labels": ((field((10, 8, 5), 4) * 2.99).astype(int), ("periodic",) * 3),
}


@pytest.mark.parametrize("name", IMAGES)
def test_voxels_of_shares_are_those_of_the_whole(name: str, tmp_path: Path) -> None:
    """Levels, voxels, those merged with their neighbours, coarse ones, and what is counted of them."""
    values, boundary = IMAGES[name]
    np.save(tmp_path / "image.npy", values)
    pure = np.eye(3) * np.array([1.0, 3000.0, 1e-3])[:, None, None]

    def made(group: Any) -> list[Any]:
        image = read_file(tmp_path / "image.npy", group=group)
        image = Image(
            **{n: getattr(image, n) for n in Image.__dataclass_fields__ if n != "_made"} | {"boundary": boundary}
        )
        fine, coarse = (Mixture.of(each.voxels()) for each in (image, image.coarse()))
        most = merged(fine, pure[: image.phases])
        tables = [table(voxels, voxels.own) for voxels in (fine, most, coarse)]
        wide = fine.widened(1)
        numbers = [
            image.levels,
            image.names,
            image.diffuse,
            FRACTIONS(fine),
            mean_chord(wide),
            crosswise(wide, pure),
        ]
        numbers.append(carried((wide.first == 1)[wide.index], image.spacing, 6, wide.planes))
        return [tables, numbers]

    whole, numbers = made(None)
    for size in (2, 3):
        shares = together(size, made)
        for k, expected in enumerate(whole):
            for column, values in expected.items():
                parts = [tables[k][column] for tables, _ in shares]
                found = (
                    parts[0] if parts[0].shape == values.shape else np.concatenate(parts)
                )  # few planes: all have all
                assert found.shape == values.shape
                np.testing.assert_allclose(found, values, rtol=1e-9, atol=1e-12, err_msg=f"{column} {k} of {size}")
        for _, said in shares:
            assert said[:3] == numbers[:3]
            for one, other in zip(said[3:], numbers[3:], strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_numbers_of_all_shares(tmp_path: Path) -> None:
    """Order statistics of many values, of which many are the same, and planes beyond the ends of a share."""
    values = np.round(np.random.default_rng(0).normal(size=(9, 40, 500)), 2)

    def said(group: Threads) -> list[Any]:
        planes = Planes(group, len(values))
        own = values[planes.mine.start : planes.mine.stop]
        window = planes.window(own, planes.mine.start - 10, planes.mine.stop + 1)
        return [planes.median(own), planes.quantile(own, 0.98), planes.sum(own.size), window, planes.distinct(own)]

    for size in (2, 4):
        for rank, (median, quantile, count, window, distinct) in enumerate(together(size, said)):
            assert (median, count) == (np.median(values), values.size)
            assert quantile == pytest.approx(np.quantile(values, 0.98), rel=1e-12)
            mine = Planes(Threads(rank, size, [], threading.Barrier(1)), len(values)).mine
            assert np.array_equal(window, values[np.arange(mine.start - 10, mine.stop + 1) % len(values)])
            assert np.array_equal(distinct, np.unique(values))


def test_what_fails_in_one_share_fails_in_all(tmp_path: Path) -> None:
    values = np.zeros((8, 4))
    values[7, 1] = np.nan
    np.save(tmp_path / "image.npy", values)

    def told(group: Threads) -> str:
        with pytest.raises(Exception, match="not finite") as caught:
            read_file(tmp_path / "image.npy", group=group)
        return f"{type(caught.value).__name__} {caught.value}"

    first, second = together(2, told)
    assert "on rank 1" in first
    assert ConfigError.__name__ in second
