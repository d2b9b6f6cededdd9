"""What an image is taken for: levels, labels, grains; and what is refused because a guess would change a number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from PIL import Image as Picture

from phasefield import config
from phasefield.errors import ConfigError
from phasefield.homogenize import Settings, Snapshots, build, from_array, homogenize
from phasefield.homogenize.grains import Grains
from phasefield.homogenize.problem import Problem
from phasefield.homogenize.reading import Image, read_file
from phasefield.homogenize.records import measure
from phasefield.homogenize.wells import wells
from phasefield.images.levels import best_separated

TWO = build({"phases": {"a": {"conductivity": 1}, "b": {"conductivity": 10}}})
THREE = build({"phases": {k: {"conductivity": v} for k, v in {"a": 1, "b": 4, "c": 9}.items()}})
CRYSTAL = build({"phases": {"a": {"conductivity": {"a": 1, "c": 4}}}})


def conductivity(image: Image, system: Any, **settings: Any) -> np.ndarray:
    chosen = Settings(properties=("conductivity",), **{"two_grid": False, "mixing": False, **settings})
    return homogenize(image, system, chosen)[0].tensor


def droplet(radius: float, n: int = 24) -> np.ndarray:
    x = np.arange(n) - n / 2 + 0.5
    return 0.5 * (1 + np.tanh(np.hypot(x[:, None], x) - radius))


def test_levels_of_a_run_that_ends_uniform(tmp_path: Path) -> None:
    """The droplet of 1 has gone: what is left is the phase of 10, at any value that is nearly its level."""
    series = np.stack([np.full((24, 24), 0.5), droplet(7), droplet(5), np.full((24, 24), 0.98)])
    series[0] += 1e-3 * np.random.default_rng(0).normal(size=(24, 24))
    data = xarray.DataArray(series, dims=["time", "x", "y"], coords={"time": np.arange(4.0)}, name="c")
    data.to_netcdf(tmp_path / "c.nc")
    last = Snapshots(tmp_path / "c.nc")[-1]
    assert last.levels == pytest.approx((0, 1), abs=0.02)
    assert "of the snapshot of time 2" in dict(last.taken)["values"]
    np.testing.assert_allclose(conductivity(last, TWO), 10 * np.eye(3), rtol=1e-9)
    assert best_separated([(0, series[1]), (1, series[2]), (2, series[3])])[0] == 1
    rounded = data.isel(time=[-1]) * (1 + 1e-15 * np.random.default_rng(0).normal(size=(24, 24)))
    rounded.rename("c").to_netcdf(tmp_path / "one.nc")
    with pytest.raises(ConfigError, match=r"(?s)0\.98 everywhere, which alone does not tell the phase.*levels="):
        conductivity(Snapshots(tmp_path / "one.nc")[-1], TWO)
    np.testing.assert_allclose(conductivity(from_array(series[3], levels=[0, 1]), TWO), 10 * np.eye(3), rtol=1e-9)


@pytest.mark.parametrize(
    ("given", "field", "expected"),
    [
        (["model=spinodal"], "c", (0.3, 0.7)),
        (["model=cahn_hilliard", "model.parameters.a=40", "model.parameters.b=60"], "c", (40, 60)),
        (["model=allen_cahn"], "eta", (-1, 1)),
        (["model=precipitate"], "eta", None),
        (["model=allen_cahn", "model.energy=W*(1-eta**2)**2*(2-eta)**2"], "eta", None),  # three wells
    ],
)
def test_wells_of_the_model(tmp_path: Path, given: list[str], field: str, expected: Any) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml(config.compose(given)))
    middle = 0.0 if expected is None else sum(expected) / 2
    found = wells(path, field, middle - 0.01, middle + 0.01)
    assert found is None if expected is None else found == pytest.approx(expected, abs=1e-9)


def test_labels_keep_their_number() -> None:
    """Of three phases a crop shows two: counted from 0, from 1, or nobody can say."""
    layers = np.repeat([0, 1], 4)[:, None] * np.ones((1, 4), int)

    def mean(values: list[int], system: Any = THREE) -> float:
        return float(conductivity(from_array(np.array(values)[layers]), system)[1, 1])  # along the layers

    assert mean([0, 1]) == pytest.approx((1 + 4) / 2)
    assert mean([0, 2]) == pytest.approx((1 + 9) / 2)
    assert mean([2, 3]) == pytest.approx((4 + 9) / 2)
    assert mean([1, 3]) == pytest.approx((1 + 9) / 2)
    for values in ([1, 2], [2, 2], [0, 3], [7, 8]):
        with pytest.raises(ConfigError, match=r"(?s)which phase each of them is stays open.*level="):
            mean(values)
    levelled = build(
        {"phases": {k: {"conductivity": v, "level": n} for k, v, n in (("a", 1, 1), ("b", 4, 2), ("c", 9, 3))}}
    )
    assert mean([1, 2], levelled) == pytest.approx((1 + 4) / 2)


def test_labels_of_all_snapshots_are_one_set(tmp_path: Path) -> None:
    labels = np.stack([np.arange(16).reshape(4, 4) % 3 + 4, np.arange(16).reshape(4, 4) % 2 + 5])
    xarray.DataArray(labels, dims=["time", "x", "y"], name="c").to_netcdf(tmp_path / "c.nc")
    assert Snapshots(tmp_path / "c.nc")[1].names == ("4", "5", "6")
    assert conductivity(Snapshots(tmp_path / "c.nc")[1], THREE)[2, 2] == pytest.approx((4 + 9) / 2)


@pytest.mark.parametrize("kind", ["8 bit", "float"])
def test_many_grains_are_grains_if_the_material_or_a_table_says_so(tmp_path: Path, kind: str) -> None:
    grains = (np.arange(1600).reshape(40, 40) // 40).astype(np.uint8 if kind == "8 bit" else np.float32)
    image = from_array(grains)
    assert image.kind == "field"
    record = measure(Problem.of(image, CRYSTAL, Settings(properties=("conductivity",), two_grid=False)))
    assert len(record.fractions) == 40
    np.testing.assert_allclose(conductivity(image, CRYSTAL), conductivity(from_array(grains.astype(int)), CRYSTAL))
    table = Grains([None] * 40, phases=["a"] * 30 + ["b"] * 10)
    assert conductivity(image, TWO, grains=table)[2, 2] == pytest.approx(0.75 * 1 + 0.25 * 10)
    grey = measure(Problem.of(image, TWO, Settings(properties=("conductivity",), two_grid=False)))
    assert "a field of 40 grey values of two phases, levels" in dict(grey.image.taken)["values"]


def test_levels_of_the_material_are_those_of_the_field() -> None:
    levelled = build({"phases": {"a": {"conductivity": 1, "level": 0.7}, "b": {"conductivity": 10, "level": 0.3}}})
    field = 0.35 + 0.3 * droplet(7)  # between the levels: found ones would be 0.35 and 0.65
    image = measure(Problem.of(from_array(field), levelled, Settings(properties=("conductivity",)))).image
    assert image.levels == (0.3, 0.7)
    assert dict(image.taken)["phases"] == "b is low, a is high"


def test_colours_and_their_numbers(tmp_path: Path) -> None:
    labels = (np.arange(48).reshape(6, 8) % 5).astype(np.uint8)
    picture = Picture.fromarray(labels)
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 200])
    picture.save(tmp_path / "p.png")
    picture.save(tmp_path / "p.tif")
    for name in ("p.png", "p.tif"):
        assert read_file(tmp_path / name).names == ("0", "1", "2", "3", "4")
    Picture.fromarray(labels % 4 * 85).save(tmp_path / "two_bits.png", bits=2)
    assert read_file(tmp_path / "two_bits.png").names == ("0", "1", "2", "3")
    Picture.fromarray(labels % 2 * 255).convert("1").save(tmp_path / "one_bit.png")
    assert read_file(tmp_path / "one_bit.png").names == ("0", "1")
    colours = np.zeros((6, 8, 4), np.uint8)
    colours[..., 3] = 255
    colours[0, 0, :3], colours[1, 1, :3] = (100, 0, 0), (0, 51, 0)  # equally bright
    Picture.fromarray(colours).save(tmp_path / "c.png")
    with pytest.raises(ConfigError, match="has 3 colours, but only 2 of different brightness"):
        read_file(tmp_path / "c.png")
    colours[2, 2, 3] = 0
    Picture.fromarray(colours).save(tmp_path / "c.png")
    with pytest.raises(ConfigError, match="1 transparent pixels"):
        read_file(tmp_path / "c.png")


def test_walls_and_what_lies_between_the_phases_are_told() -> None:
    walls = from_array(np.eye(8, dtype=int), boundary=("no-flux", "periodic"))

    def notes(image: Image, **settings: Any) -> str:
        chosen = Settings(properties=("conductivity",), two_grid=False, mixing=False, **settings)
        return " ".join(homogenize(image, TWO, chosen)[0].warnings)

    assert "walls along x (no-flux), but the cell is repeated" in notes(walls)
    assert "walls" not in notes(walls, boundary="kinematic")
    early = from_array(0.5 + 0.01 * droplet(7), levels=[0, 1])
    assert "100 % of the image lie between its phases" in notes(early)


def test_rigid_against_nothing_is_refused() -> None:
    labels = np.eye(8, dtype=int)
    for phases in ({"a": "void", "b": "rigid"}, {"a": "rigid", "b": "rigid"}):
        for name in ("stiffness", "conductivity"):
            with pytest.raises(ConfigError, match="nothing for it to be rigid against"):
                homogenize(from_array(labels), build({"phases": phases}), Settings(properties=(name,)))


@pytest.mark.parametrize("name", ["resistivity", "thermal_conductivity", "density", "permeability"])
def test_no_property_is_suggested_that_is_another(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings(properties=(name,))
    assert "did you mean" not in str(caught.value)
    assert "known: stiffness, conductivity" in str(caught.value)
