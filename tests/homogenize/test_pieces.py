"""Grains of order parameters: each connected piece is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray
from scipy import ndimage

from phasefield.errors import ConfigError
from phasefield.homogenize import Settings, build, command, from_array, homogenize
from phasefield.homogenize.assignment import resolved
from phasefield.homogenize.grains import Grains
from phasefield.homogenize.reading import Image
from phasefield.images.pieces import pieces_of
from phasefield.mechanics import tensors

CRYSTAL = build({"phases": {"a": {"conductivity": {"a": 1, "c": 8}}}})
PERIODIC = ("periodic", "periodic")


def grains(n: int = 32, count: int = 14) -> tuple[np.ndarray, np.ndarray]:
    """A periodic Voronoi tessellation, whose cells are connected, and colours that no two neighbours share."""
    rng = np.random.default_rng(3)
    at, seeds = (np.arange(n) + 0.5)[:, None], rng.random((count, 2)) * n
    apart = [np.abs((at - s + n / 2) % n - n / 2) for s in seeds]
    distance = np.stack([np.hypot(a[:, :1], a[:, 1:].T) for a in apart])
    labels = distance.argmin(axis=0)
    touching = np.zeros((count, count), bool)
    for shift in ((1, 0), (0, 1), (1, 1), (1, -1), (2, 0), (0, 2)):
        touching[labels, np.roll(labels, shift, (0, 1))] = True
    touching |= touching.T
    colour = np.full(count, -1)
    for k in range(count):
        colour[k] = min(set(range(count)) - set(colour[touching[k] & (np.arange(count) != k)]))
    return labels, colour


def without_one(labels: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """The same after the smallest grain of a colour has become part of the largest of another, the only one that it touches."""
    sizes = np.bincount(labels.ravel())
    steps = ((1, 0), (0, 1), (-1, 0), (0, -1))
    for gone in np.argsort(sizes):
        touching = {int(k) for s in steps for k in np.roll(labels, s, (0, 1))[labels == gone]}
        for heir in touching - {int(gone)}:
            alone = [k for k in touching if colour[k] == colour[heir]] == [heir]
            first = heir == max(np.flatnonzero(colour == colour[heir]), key=lambda k: sizes[k])
            last = gone == min(np.flatnonzero(colour == colour[gone]), key=lambda k: sizes[k])
            if alone and first and last and colour[gone] != colour[heir]:
                return np.where(labels == gone, heir, labels)
    raise AssertionError("no such grain")


def image_of(labels: np.ndarray, colour: np.ndarray, width: float = 0.0) -> Image:
    fields = np.stack([colour[labels] == c for c in range(colour.max() + 1)]).astype(float)
    if width:
        fields = ndimage.gaussian_filter(fields, width, mode="wrap", axes=(1, 2))
    return Image("fields", fields, (1.0, 1.0), PERIODIC, source="eta")


SHARP = Settings(properties=("conductivity",), voxel="sharp", two_grid=False)


def test_each_piece_is_a_grain() -> None:
    """The same body given as labels, each with the orientation of its piece, has the same tensor."""
    labels, colour = grains()
    assert len(set(colour)) < 8
    image = image_of(labels, colour)
    made = resolved(image, CRYSTAL, SHARP)
    assert made.pieces is not None
    assert made.phases == 14
    assert "14 connected pieces are grains of an orientation of their own" in dict(made.taken)["values"]
    name = {int(k): int(made.labels[p]) for k, p in zip(labels.ravel(), made.pieces.number.ravel(), strict=True)}
    drawn = tensors.random_rotations(int(max(made.labels)), SHARP.seed)
    table = Grains([drawn[name[k] - 1] for k in range(14)])
    (one,) = homogenize(image, CRYSTAL, SHARP)
    (other,) = homogenize(from_array(labels), CRYSTAL, Settings(**{**vars(SHARP), "grains": table}))
    np.testing.assert_allclose(one.tensor, other.tensor, rtol=1e-9, atol=1e-9)
    sizes = [np.bincount(labels.ravel())[[k for k in range(14) if colour[k] == c]] for c in range(colour.max() + 1)]
    assert sorted(made.labels) == sorted(
        c + 1 + (colour.max() + 1) * r for c, s in enumerate(sizes) for r in range(len(s))
    )


def test_labels_neither_move_with_the_image_nor_with_what_vanishes() -> None:
    labels, colour = grains()
    fields = image_of(labels, colour).values
    pieces = pieces_of(fields, (True, True))
    moved = pieces_of(np.roll(fields, (5, -9), (1, 2)), (True, True))
    names = np.array(pieces.labels)[pieces.number]
    np.testing.assert_array_equal(np.roll(names, (5, -9), (0, 1)), np.array(moved.labels)[moved.number])
    fewer = without_one(labels, colour)
    rest = pieces_of(image_of(fewer, colour).values, (True, True))
    assert len(rest.labels) == 13
    kept = fewer == labels
    np.testing.assert_array_equal(np.array(rest.labels)[rest.number][kept], names[kept])
    assert len(pieces_of(fields, (False, False)).labels) > 13  # what met across the faces is cut


def test_diffuse_grains_have_the_shares_of_sharp_ones() -> None:
    """Where two grains meet the voxel is a laminate of just these two, also if their colours occur elsewhere."""
    labels, colour = grains()
    made = resolved(image_of(labels, colour, width=1.2), CRYSTAL, Settings())
    assert made.pieces is not None
    geometry = made.voxels()
    assert geometry.phases == 14
    assert geometry.cut.sum() > 100
    sharp = np.bincount(made.pieces.number.ravel()) / made.pieces.number.size
    np.testing.assert_allclose(geometry.volume_fractions, sharp, atol=2e-3)
    where = np.argwhere(geometry.cut[geometry.index])
    for x, y in where[::7]:
        entry = geometry.index[x, y]
        around = made.pieces.number[np.ix_(*(np.arange(k - 2, k + 3) % 32 for k in (x, y)))]
        assert {geometry.first[entry], geometry.second[entry]} <= set(around.ravel())
    (result,) = homogenize(made, CRYSTAL, Settings(properties=("conductivity",)))
    assert 0 < result.evidence["discretisation"] < 0.1  # the coarse image has the same grains


def test_a_table_may_name_order_parameters_or_pieces(tmp_path: Path) -> None:
    labels, colour = grains()
    count = int(colour.max()) + 1
    image = image_of(labels, colour)

    def phases(table: Grains) -> int:
        return resolved(image, CRYSTAL, Settings(grains=table)).phases

    assert phases(Grains([None] * count)) == phases(Grains([None] * count, labels=range(1, count + 1))) == count
    every = resolved(image, CRYSTAL, Settings()).labels
    assert phases(Grains([None] * 14)) == phases(Grains([None] * 14, labels=every)) == 14
    with pytest.raises(ConfigError, match="has 2 rows for"):
        homogenize(image, CRYSTAL, Settings(grains=Grains([None] * 2), properties=("conductivity",)))


def test_grains_that_vanish_along_a_run(tmp_path: Path) -> None:
    labels, colour = grains()
    series = [image_of(k, colour).values for k in (labels, without_one(labels, colour))]
    data = xarray.DataArray(
        np.stack(series), dims=["time", "component_eta", "x", "y"], coords={"time": [0.0, 1.0]}, name="eta"
    )
    data.to_netcdf(tmp_path / "eta.nc")
    given = ["material.phases.a.conductivity={a: 1, c: 8}", "properties=conductivity", "two_grid=false", "voxel=sharp"]
    target, records, _ = command.run(tmp_path / "eta.nc", [*given, "times=all"])
    assert [len(r.fractions) for r in records] == [14, 13]
    with xarray.open_dataset(target, decode_times=False) as written:
        assert written.sizes["phase"] == 14
        share = written.volume_fraction.values
        np.testing.assert_allclose(share.sum(axis=1), 1)
        assert (share[0] > 0).all()
        assert (share[1] == 0).sum() == 1
        assert "13 connected pieces" in written.attrs["image_values"]
    last, _, _ = command.run(tmp_path / "eta.nc", [*given, f"output={tmp_path / 'last.nc'}"])
    with (
        xarray.open_dataset(last, decode_times=False) as alone,
        xarray.open_dataset(target, decode_times=False) as both,
    ):
        np.testing.assert_allclose(alone.conductivity[-1], both.conductivity[-1], rtol=1e-5, atol=1e-5)
