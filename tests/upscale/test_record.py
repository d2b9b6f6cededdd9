"""A property record holds what was computed, says what it knows of errors, and comes back from both of its files the same."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

from phasefield import cli
from phasefield.errors import ConfigError, PhasefieldError, Unreadable
from phasefield.homogenize import command as homogenize
from phasefield.homogenize.settings import Request
from phasefield.upscale import record_files
from phasefield.upscale.export import Export, export
from phasefield.upscale.macro.scales import ScaleKeys, scales_of
from phasefield.upscale.record import PARTS, to_dict
from phasefield.upscale.sources import read_record

MATERIAL = """
name: glass in epoxy
temperature: 20 degC
phases:
  epoxy: {stiffness: {E: 3.4 GPa, nu: 0.35}, conductivity: 0.2 W/(m K), expansion: 58 ppm/K, density: 1200 kg/m^3}
  glass: {stiffness: {E: 70 GPa, nu: 0.2}, conductivity: 1.1 W/(m K), expansion: 5 ppm/K, density: 2.55(2) g/cm^3}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffuse image whose properties were computed, the conductivity under all boundary conditions too, and its material."""
    folder = tmp_path_factory.mktemp("record")
    x, y = (np.mgrid[:16, :16] + 0.5) / 16 - 0.5
    np.save(folder / "image.npy", 0.5 * (1 + np.tanh((0.3 - np.hypot(x, 1.3 * y)) * 16)))
    (folder / "material.yaml").write_text(MATERIAL)
    made(folder, "properties=[stiffness,conductivity,expansion]", output="image_properties.nc")
    made(folder, "properties=conductivity", "boundary=all", output="bounded.nc")
    return folder


@pytest.fixture
def source(folder: Path) -> Path:
    return folder / "image_properties.nc"


def made(folder: Path, *keys: str, output: str = "other.nc") -> Path:
    """properties.nc of the image under other keys."""
    given = [f"material={folder / 'material.yaml'}", "levels=[0,1]", f"output={folder / output}", *keys]
    return homogenize.run(folder / "image.npy", given)[0]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["export", *map(str, words)])
    out, err = capsys.readouterr()
    return int(exit_.value.code or 0), out + err


def test_both_files_hold_the_same_record(source: Path, tmp_path: Path) -> None:
    (json_file, twin), record, _ = export(source, Export(output=str(tmp_path / "x.json")))
    assert (json_file.name, twin.name) == ("x.json", "x.nc")
    given = to_dict(record)
    assert given == to_dict(read_record(json_file)) == to_dict(read_record(twin))
    with xarray.open_dataset(twin) as data:  # as any program reads it
        stiffness = (
            data["stiffness"].sel(row=b"xx", column=b"yy") if data.row.dtype.kind == "S" else data["stiffness"][0, 1]
        )
        assert float(stiffness) == record.properties["stiffness"].value[0, 1]
        assert data["stiffness_numerical_std"].attrs["units"] == "Pa"


def test_what_a_record_says(source: Path, folder: Path) -> None:
    data = to_dict(read_record(source))
    fractions = {p["name"]: p["volume_fraction"]["value"] for p in data["phases"]}
    assert sum(fractions.values()) == pytest.approx(1, abs=1e-12)
    assert data["density"]["value"] == pytest.approx(1200 * fractions["epoxy"] + 2550 * fractions["glass"], rel=1e-12)
    assert data["density"]["unit"] == "kg/m^3"
    part = data["density"]["uncertainty"]["parameter"]
    assert part["std"] == pytest.approx(20 * fractions["glass"], rel=1e-9)
    assert part["lacks"] == ["epoxy.density"]
    assert data["reference_temperature"]["value"] == 293.15
    assert data["properties"]["stiffness"]["components"] == ["xx", "yy", "zz", "yz", "xz", "xy"]
    assert [data["properties"][n]["unit"] for n in ("stiffness", "conductivity", "expansion")] == [
        "Pa",
        "W/(m K)",
        "1/K",
    ]
    at = data["provenance"]
    hashes = {i["role"]: i["sha256"] for i in at["inputs"]}
    for role, name in (("effective properties", source.name), ("image", "image.npy"), ("material", "material.yaml")):
        assert hashes[role] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert "boundary: periodic" in at["config"]
    assert at["source"].startswith("phasefield ")
    assert data["boundary"] == "periodic"


@pytest.mark.parametrize(("file", "name"), [("image_properties.nc", "stiffness"), ("bounded.nc", "conductivity")])
def test_the_parts_follow_from_the_evidence(file: str, name: str, folder: Path) -> None:
    """The numbers written out once more, for one diagonal and one mixed component."""
    quantity = read_record(folder / file).properties[name]
    with xarray.open_dataset(folder / file) as data:
        data = data.isel(time=-1).load() if "time" in data.dims else data.load()
    value, parts = quantity.value, quantity.uncertainty
    assert parts["numerical"] is not None
    assert parts["model"] is not None
    d, spread = float(data[f"{name}_discretisation"]), float(data[f"{name}_mixing_spread"])
    gap = np.zeros_like(value)
    if bounded := f"{name}_static" in data:
        gap = data[f"{name}_kinematic"].values - data[f"{name}_static"].values
    for i, j in ((0, 0), (0, 1)):
        scale = math.sqrt(value[i, i] * value[j, j])
        assert parts["numerical"].std[i, j] == pytest.approx(scale * math.hypot(d / 2, 1e-6 / math.sqrt(3)), rel=1e-12)
        width = math.sqrt(gap[i, i] * gap[j, j])
        right = math.hypot(scale * spread / math.sqrt(3), width / math.sqrt(12))
        assert parts["model"].std[i, j] == pytest.approx(right, rel=1e-12)
    assert parts["model"].lacks == (() if bounded else ("boundary condition",))
    if bounded:  # what lies between the two boundaries is within the uniform distribution's width
        middle = (data[f"{name}_kinematic"].values + data[f"{name}_static"].values)[:2, :2] / 2
        assert (np.abs(value[:2, :2] - middle) <= math.sqrt(3) * parts["model"].std[:2, :2]).all()


def test_what_is_not_known_is_null(folder: Path, source: Path) -> None:
    data = to_dict(read_record(source))
    assert data["properties"]["stiffness"]["uncertainty"]["statistical"] is None
    assert data["properties"]["expansion"]["uncertainty"] == dict.fromkeys(PARTS)
    assert data["phases"][0]["volume_fraction"]["uncertainty"] == dict.fromkeys(PARTS)
    assert data["density"]["uncertainty"]["numerical"] is None
    model = to_dict(read_record(folder / "bounded.nc"))["properties"]["conductivity"]["uncertainty"]["model"]["std"]
    assert model[2][2] is None  # uniform flux was computed in the plane only
    assert model[0][0] > 0
    bare = to_dict(read_record(made(folder, "two_grid=false", "mixing=false", "properties=conductivity")))
    assert bare["properties"]["conductivity"]["uncertainty"] == dict.fromkeys(PARTS)
    part = to_dict(read_record(made(folder, "two_grid=false", "properties=conductivity")))
    model = part["properties"]["conductivity"]["uncertainty"]["model"]
    assert (model["contains"], model["lacks"]) == (["mixing rule"], ["boundary condition"])


@pytest.mark.parametrize(("kind", "lacks"), [("binary", ()), ("parameters", ("mixing rule",))])
def test_whether_there_is_anything_to_mix(kind: str, lacks: tuple[str, ...], folder: Path) -> None:
    """A field of two values has nothing to mix; order parameters have, but no estimate of it."""
    low = np.indices((8, 8)).sum(0) % 8 < 4
    if kind == "binary":
        values: Any = xarray.Dataset({"c": (("x", "y"), low.astype(float))})
    else:
        soft = np.where(low, 0.8, 0.2)
        values = xarray.Dataset({"eta": (("component_eta", "x", "y"), np.stack([soft, 1 - soft]))})
    values.to_netcdf(folder / f"{kind}.nc", engine="h5netcdf")
    keys = [f"material={folder / 'material.yaml'}", "properties=conductivity", "boundary=all", "two_grid=false"]
    keys += ["levels=[0,1]"] if kind == "binary" else []
    file = homogenize.run(folder / f"{kind}.nc", keys)[0]
    model = read_record(file).properties["conductivity"].uncertainty["model"]
    assert model is not None
    assert (model.contains, model.lacks) == (("boundary condition",), lacks)


def test_notes_reach_cards_and_summaries(folder: Path, tmp_path: Path) -> None:
    source = folder / "bounded.nc"
    with xarray.open_dataset(source) as data:
        data = data.load()
    data.attrs["notes"] = "beyond the training: contrast 40\n" + "word " * 60
    data["conductivity"].attrs["warnings"] = "the cell is small"
    data.to_netcdf(tmp_path / "noted.nc", engine="h5netcdf")
    keys = Export(format="calculix", output=str(tmp_path / "card.inp"))
    (card,), _, told = export(tmp_path / "noted.nc", keys)
    text = card.read_text()
    summary = export(tmp_path / "noted.nc")[2]
    for note in ("note: beyond the training: contrast 40", "note: the cell is small"):
        assert f"** {note}\n" in text
        assert note in told
        assert note in summary
    assert text.count("word") == 60
    assert max(len(line) for line in text.splitlines() if "word" in line) <= 120


def test_units_of_keys_from_python(folder: Path, tmp_path: Path) -> None:
    """As from the command line."""
    plain = tmp_path / "plain.yaml"
    plain.write_text("phases: {a: {conductivity: 1 W/(m K)}, b: {conductivity: 5 W/(m K)}}")
    file = made(folder, "properties=conductivity", "two_grid=false", "mixing=false", f"material={plain}")
    (target, _), record, _ = export(
        file, Export(density="1.6 g/cm^3", temperature="20 degC", output=str(tmp_path / "r"))
    )
    assert record.density is not None
    assert float(record.density.value) == pytest.approx(1600)
    assert float(read_record(target).reference_temperature.value) == 293.15  # type: ignore[union-attr]
    assert Request(material="al", spacing=["2 um"]).spacing == [2e-6]
    keys = ScaleKeys(length="15 mm", micro="30 um")
    assert scales_of("nowhere", keys).lengths == pytest.approx(2e-3)
    with pytest.raises(ConfigError, match="density"):
        Export(density="3 GPa")


def test_statistics_and_predictions(tmp_path: Path) -> None:
    rows = {"i": ["x", "y", "z"], "j": ["x", "y", "z"]}
    mean = np.stack([np.diag([1.0, 2.0, 3.0]), np.diag([1.1, 2.1, 3.1])])
    unit = {"units": "W/(m K)"}
    axes = ("size", "i", "j")
    group = xarray.Dataset(
        {
            "mean": (axes, mean, unit), "std": (axes, 0.1 * mean, unit), "ci_low": (axes, 0.9 * mean, unit),
            "ci_high": (axes, 1.1 * mean, unit), "samples": ("size", [64, 16]), "numerical_std": (axes, 0.02 * mean, unit),
            "model_std": (axes, 0.03 * mean, {**unit, "contains": "boundary condition", "lacks": "mixing rule, a, b"}),
        },
        {"size": ("size", [1e-6, 2e-6], {"units": "m"}), **rows},
    )  # fmt: skip
    root = xarray.Dataset(
        {"volume_fraction": (("size", "phase"), [[0.3, 0.7], [0.4, 0.6]])},
        {"size": [1e-6, 2e-6], "phase": ["a", "b"]},
        {
            "title": "Statistics of effective properties, 80 samples",
            "material": "m",
            "boundary": "periodic",
            "confidence": 0.95,
        },
    )
    root.to_netcdf(tmp_path / "s.nc", engine="h5netcdf")
    group.to_netcdf(tmp_path / "s.nc", mode="a", group="conductivity", engine="h5netcdf")
    record = read_record(tmp_path / "s.nc")
    q = record.properties["conductivity"]
    assert record.kind == "statistics"
    assert float(record.phases["a"].value) == 0.4
    assert np.array_equal(q.value, mean[1])
    assert q.uncertainty["statistical"] is not None
    assert np.allclose(q.uncertainty["statistical"].std, 0.1 * mean[1] / 4, rtol=1e-14)  # of the mean of 16
    assert q.between is not None
    assert (q.between.samples, q.between.size, q.between.size_unit, q.between.level) == (16, 2e-6, "m", 0.95)
    assert np.array_equal(q.between.std, 0.1 * mean[1])
    assert q.uncertainty["numerical"] is not None
    part = q.uncertainty["model"]
    assert part is not None
    assert (part.contains, part.lacks) == (("boundary condition",), ("mixing rule", "a", "b"))
    (file, twin), again, _ = export(tmp_path / "s.nc", Export(size=1e-6))
    assert again.properties["conductivity"].between.samples == 64  # type: ignore[union-attr]
    assert to_dict(read_record(file)) == to_dict(read_record(twin)) == to_dict(again)
    with pytest.raises(ConfigError, match=r"size: is 3e-06; the file has 1e-06, 2e-06"):
        read_record(tmp_path / "s.nc", size=3e-6)

    predicted = xarray.Dataset(
        {"conductivity": (("i", "j"), mean[0], unit), "conductivity_model_std": (("i", "j"), 0.03 * mean[0], unit)},
        rows,
        {
            "title": "Effective properties predicted for x",
            "material": "m",
            "inputs": json.dumps([{"role": "surrogate", "path": str(tmp_path / "s.nc"), "sha256": "0" * 64}]),
            "extrapolated": "contrast 40",
        },
    )
    predicted.to_netcdf(tmp_path / "p.nc", engine="h5netcdf")
    record = read_record(tmp_path / "p.nc")
    assert record.kind == "prediction"
    assert record.notes[0].endswith("not known there: contrast 40")
    # What it was when the prediction was made, not what lies there now.
    assert [(i.role, i.sha256) for i in record.provenance.inputs[1:]] == [("surrogate", "0" * 64)]
    q = record.properties["conductivity"]
    assert q.uncertainty["model"] is not None
    assert np.array_equal(q.uncertainty["model"].std, 0.03 * mean[0])
    assert [q.uncertainty[p] for p in ("numerical", "statistical", "parameter")] == [None] * 3


def test_uncertain_constants(source: Path, tmp_path: Path) -> None:
    """What uncertain constants leave in properties.nc; of a property that depends on none of them nothing is known."""
    with xarray.open_dataset(source) as data:
        data = data.load()
    dims = data["conductivity"].dims
    std = 0.01 * np.abs(data["conductivity"].values)
    data["conductivity_parameter_std"] = (dims, std)
    data["stiffness_parameter_std"] = xarray.zeros_like(data["stiffness"])
    data = data.assign_coords(parameter=["glass.conductivity", "epoxy.conductivity", "epoxy.E"])
    data["parameter_value"] = ("parameter", [1.1, 0.2, 3.4e9])
    data["parameter_std"] = ("parameter", [0.05, math.nan, math.nan])
    data["parameter_unit"] = ("parameter", ["W/(m K)", "W/(m K)", "Pa"])
    data["parameter_kind"] = ("parameter", ["epistemic", "", ""])
    slopes = np.stack([data["conductivity"].values * factor for factor in (0.5, 2.0, 0.0)])
    data["conductivity_sensitivity"] = (("parameter", *dims), slopes)
    data.to_netcdf(tmp_path / "u.nc", engine="h5netcdf")
    record = read_record(tmp_path / "u.nc")
    part = record.properties["conductivity"].uncertainty["parameter"]
    assert part is not None
    assert np.allclose(part.std, np.squeeze(std))
    assert part.lacks == ("epoxy.conductivity",)
    assert record.properties["stiffness"].uncertainty["parameter"] is None
    assert [(p.name, p.std, p.kind) for p in record.parameters] == [
        ("glass.conductivity", 0.05, "epistemic"), ("epoxy.conductivity", None, ""), ("epoxy.E", None, ""),
    ]  # fmt: skip
    (file, twin), written, _ = export(tmp_path / "u.nc", Export())
    assert to_dict(read_record(file)) == to_dict(read_record(twin)) == to_dict(written)


def changed(data: Any, path: str, value: Any) -> Any:
    """A copy of nested data with one place set, or removed where the value is ``...``."""
    data = json.loads(json.dumps(data))
    *way, last = path.split(".")
    place = data
    for word in way:
        place = place[int(word) if isinstance(place, list) else word]
    if value is ...:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        ("schema_version", 2, "schema version 2, newer than 1, the latest"),
        ("schema_version", "1", "schema_version '1'; a whole number"),
        ("schema", "other", "is no property record"),
        ("density", ..., "'density' is a required property"),
        ("properties.stiffness.uncertainty.model", ..., "'model' is a required property"),
        ("properties.stiffness.uncertainty.numerical.std", -1.0, "numerical"),
        ("properties.stiffness.components", ["xx", "yy", "zz", "xy", "xz", "yz"], "stiffness.components"),
        ("properties.stiffness.value.0.3", 1e9, "stiffness.value is not symmetric"),
        ("properties.conductivity.value", [[1, 0], [0, 1]], "conductivity.value"),
        (
            "properties.conductivity.uncertainty.numerical.std",
            [[1, 1, 1]] * 4,
            "uncertainty.numerical.std is not of 3 x 3",
        ),
        ("properties.hardness", {}, "hardness"),
        ("reference_temperature.unit", "degC", "reference_temperature"),
        ("provenance.inputs.0.sha256", "abc", "sha256"),
    ],
)
def test_what_is_no_record_is_refused(path: str, value: Any, match: str, source: Path, tmp_path: Path) -> None:
    good = to_dict(read_record(source))
    file = tmp_path / "bad.json"
    file.write_text(json.dumps(changed(good, path, value)))
    with pytest.raises(Unreadable, match=match) as error:
        read_record(file)
    assert str(file) in str(error.value)


def test_a_newer_twin_is_refused_and_nothing_is_replaced(source: Path, tmp_path: Path, capsys: Any) -> None:
    (_, twin), *_ = export(source, Export(output=str(tmp_path / "x.json")))
    with xarray.open_dataset(twin) as data:
        data = data.load()
    text = data["record"].item()
    rest = json.loads(text.decode() if isinstance(text, bytes) else text)
    data["record"] = ((), json.dumps(rest | {"schema_version": 7}))
    data.to_netcdf(tmp_path / "new.nc", engine="h5netcdf")
    code, told = run(capsys, tmp_path / "new.nc", "format=calculix")
    assert (code, "schema version 7, newer than 1" in told) == (2, True)
    assert not (tmp_path / "new_calculix.inp").exists()
    (tmp_path / "nan.json").write_text('{"schema": NaN}')
    with pytest.raises(Unreadable, match="NaN is no number there"):
        read_record(tmp_path / "nan.json")
    mine = tmp_path / "mine.json"
    mine.write_text('{"a": 1}')
    code, told = run(capsys, source, f"output={mine}")
    assert (code, "is no property record; only such are replaced" in told) == (2, True)
    assert mine.read_text() == '{"a": 1}'
    (tmp_path / "deck.inp").write_text("*NODE\n")
    code, told = run(capsys, source, "format=calculix", f"output={tmp_path / 'deck.inp'}")
    assert (code, "is no card of ours" in told) == (2, True)
    code, told = run(capsys, source, f"output={source.with_suffix('.json')}")
    assert (code, "is the source itself" in told) == (2, True)


def test_a_record_makes_the_same_card(source: Path, tmp_path: Path, capsys: Any) -> None:
    (file, twin), *_ = export(source, Export(output=str(tmp_path / "x.json")))
    cards = [tmp_path / f"{k}.inp" for k in range(3)]
    for given, card in zip((source, file, twin), cards, strict=True):
        code, told = run(capsys, given, "format=calculix", "units=mm-t-s", f"output={card}")
        assert code == 0, told
        assert str(card) in told
    assert cards[0].read_text() == cards[1].read_text() == cards[2].read_text()
    lines = cards[0].read_text().splitlines()
    assert f"{float(read_record(file).density.value) * 1e-12:.11e}" == lines[lines.index("*DENSITY") + 1]  # type: ignore[union-attr]
    assert any(line.startswith("*EXPANSION") and line.endswith("ZERO=293.15") for line in lines)


def test_sources_that_will_not_do(folder: Path, source: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "card.inp").write_text("** material card by phasefield for CalculiX\n")
    xarray.Dataset({"c": ("x", [1.0])}, attrs={"title": "Something else"}).to_netcdf(
        tmp_path / "c.nc", engine="h5netcdf"
    )
    sheet = made(folder, "plane=stress", "two_grid=false", "mixing=false", output="sheet.nc")
    plain = folder / "plain.yaml"
    plain.write_text("phases: {a: {conductivity: 1, density: 2}, b: {conductivity: 5, density: 3}}")
    unitless = homogenize.run(folder / "image.npy", [f"material={plain}", "properties=conductivity", "levels=[0,1]",
                                                     "two_grid=false", f"output={folder / 'plain.nc'}"])[0]  # fmt: skip
    assert read_record(unitless).properties["conductivity"].unit is None
    assert read_record(unitless).density.unit is None  # type: ignore[union-attr]
    for words, match in (
        ([tmp_path / "nothing"], "there is no such file or folder"),
        ([tmp_path / "empty"], "holds no properties.nc"),
        ([tmp_path / "c.nc"], "holds 'Something else'; one of these is expected: effective properties"),
        ([tmp_path / "card.inp"], "is no NetCDF file"),
        ([source, "format=nastran"], "expected one of json, calculix, abaqus, moose, ansys"),
        ([source, "format=calculix", "units=mm-s-t"], "'s' is no unit of mass"),
        ([source, "density=3 g/cm^3"], "density: is given, but the source tells"),
        ([source, "temperature=300"], "temperature: is given, but the source tells 293.15 K"),
        ([source, "time=3"], "the file has no times"),
        ([source, "size=3"], "size: is 3, but image_properties.nc is effective properties"),
        ([sheet, "format=abaqus"], "were not computed"),
        ([unitless, "format=moose"], "the units of the properties are not known"),
    ):
        code, told = run(capsys, *words)
        assert code == 2, words
        assert match in told, (words, told)
    assert run(capsys, unitless, "format=moose", "units=as-given", f"output={tmp_path / 'm.i'}")[0] == 0
    assert run(capsys, sheet, f"output={tmp_path / 'sheet.json'}")[0] == 0  # a record may be of a part


def test_densities_of_phases(folder: Path, tmp_path: Path) -> None:
    from phasefield.mechanics.materials import build

    whole = {"stiffness": {"E": "70 GPa", "nu": 0.3}}
    foam = build({"phases": {"a": {**whole, "density": "2 g/cm^3"}, "pore": "void"}})
    assert foam.density([0, 1], [0.25, 0.75])[0] == pytest.approx(500, rel=1e-14)
    some = build({"phases": {"a": {**whole, "density": "2 g/cm^3"}, "b": whole}})
    assert math.isnan(some.density([0, 1], [0.5, 0.5])[0])
    assert some.density([0, 1], [1.0, 0.0])[0] == pytest.approx(2000, rel=1e-14)
    spread = build({"phases": {n: {**whole, "density": f"2.0({d}) g/cm^3"} for n, d in (("a", 3), ("b", 4))}})
    assert spread.density([0, 1, 0], [0.25, 0.5, 0.25]) == pytest.approx((2000, 250), rel=1e-12)
    for spec, match in (
        ({"density": 3}, "some properties have units"),
        ({"density": "3 GPa"}, "cannot be converted to kg"),
        ({"density": "-3 kg/m^3"}, "cannot be negative"),
    ):
        with pytest.raises(PhasefieldError, match=match):
            build({"phases": {"a": {**whole, **spec}}})
    with pytest.raises(PhasefieldError, match=r"material.temperature: is '-300 degC'"):
        build({"temperature": "-300 degC", "phases": {"a": whole}})
    assert record_files.schema()["$id"].endswith(":1")
