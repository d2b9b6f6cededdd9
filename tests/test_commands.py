"""One language for commands: what a schema says is its help, its grammar, its checks and its completion; homogenize sweeps."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import yaml
from hydra.core.config_store import ConfigStore
from test_cli import Command, phasefield, process

from phasefield import commands, config, usage
from phasefield.api import spec_of
from phasefield.errors import ConfigError, PhasefieldError
from phasefield.homogenize.settings import Along, Request
from phasefield.keys import keys_of, schema_at
from phasefield.specs import RunSpec
from phasefield.store import open_dataset

__all__ = ["phasefield"]

FAST = "properties=conductivity two_grid=false mixing=false descriptors=false levels=[0,1]"


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """An image, and a preset of one's own, in the folder that `phasefield` runs in."""
    x = (np.arange(12) + 0.5) / 12 - 0.5
    np.save(tmp_path / "disk.npy", 0.5 * (1 + np.tanh((0.3 - np.hypot(x[:, None], x)) * 12)))
    (tmp_path / "own" / "material").mkdir(parents=True)
    (tmp_path / "own" / "material" / "mine.yaml").write_text("phases: {a: {conductivity: 1}, b: {conductivity: 4}}\n")
    return tmp_path


def test_a_sweep_of_homogenize(phasefield: Command, disk: Path) -> None:
    line = f"homogenize disk.npy --config-dir own material=mine,ni_ni3al voxel=laminate,sharp {FAST} -m output=many"
    answer = phasefield(line)
    assert answer.code == 1
    *_, last = answer.err.strip().split("\n\n")
    assert last.splitlines()[0] == "many: 4 runs, 2 done, 2 failed"
    assert [row.split()[:3] for row in last.splitlines()[2:]] == [
        [number, "material=ni_ni3al", f"voxel={rule}"] for number, rule in (("2", "laminate"), ("3", "sharp"))
    ]
    found = [open_dataset(disk / "many" / k / "properties.nc").load() for k in "01"]
    assert [f.attrs["voxel"] for f in found] == ["laminate", "sharp"]
    assert all(1 < f.conductivity.values[0, 0, 0] < 4 for f in found)
    told = yaml.safe_load((disk / "many" / "2" / "member.yaml").read_text())
    assert (told["code"], told["error"].split(": is missing")[0]) == (2, "material.phases.gamma_prime.conductivity")
    # What is done stays; what failed is tried again, with the preset found where it was.
    before = (disk / "many" / "0" / "properties.nc").stat().st_mtime_ns
    answer = phasefield("resume many")
    assert (answer.code, "2 done, 2 failed" in answer.err) == (1, True)
    assert (disk / "many" / "0" / "properties.nc").stat().st_mtime_ns == before
    again = phasefield(f"homogenize disk.npy material=cu,al {FAST} -m output=many")
    assert (again.code, "choose another output, continue with" in again.err) == (2, True)
    assert phasefield("report many").code == 0
    assert "gamma_prime" in (disk / "many" / "index.html").read_text()


def test_nothing_starts_unless_all_can(phasefield: Command, disk: Path) -> None:
    answer = phasefield(f"homogenize disk.npy material=cu,unobtainium {FAST} -m output=many")
    assert (answer.code, answer.out) == (2, "")
    assert "1 (material=unobtainium): material: there is no preset 'unobtainium'" in answer.err
    assert not (disk / "many").exists()


def test_config_shows_and_validates_a_command(phasefield: Command, disk: Path) -> None:
    shown = phasefield("config show homogenize material=cu 'spacing=[2 um, 500 nm]' properties=stiffness,conductivity")
    content = yaml.safe_load(shown.out)
    assert (content["material"], content["properties"]) == ("cu", ["stiffness", "conductivity"])
    assert set(content) == {k.path.split(".")[0] for k in keys_of(Request)}
    for line, code, says in (
        ("validate homogenize disk.npy --config-dir own material=mine properties=conductivity", 0, "12x12 voxels"),
        ("material=cu properties=conductivity validate homogenize disk.npy", 0, "12x12 voxels"),
        ("validate homogenize material=cu", 0, "valid: Cu (Cu), stiffness"),
        ("validate homogenize disk.npy material=ni_ni3al properties=conductivity", 2, "gamma_prime.conductivity"),
        ("validate homogenize material=cu voxl=sharp", 2, "did you mean voxel?"),
        ("validate homogenize none.npy material=cu", 2, "there is no such file"),
        ("show report", 0, "reference: []"),
        ("show config", 2, "has no keys"),
    ):
        answer = phasefield(f"config {line}")
        assert (answer.code, says in answer.out + answer.err) == (code, True), answer
    assert not (disk / "disk_properties.nc").exists()


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("homogenize.voxl=sharp", "homogenize.voxl: there is no such key; did you mean homogenize.voxel?"),
        ("homogenize.solver.tolerence=1", "did you mean homogenize.solver.tolerance?"),
        ("homogenize.levels=[0,x]", "homogenize.levels[1]: is 'x'; a number is expected"),
        ("homogenize.material=cuu", "homogenize.material: there is no preset 'cuu'; did you mean 'cu'?"),
        ("homogenize={voxl: sharp}", "did you mean homogenize.voxel?"),
        ("homogenize.times=all", "homogenize.times: means nothing along a run"),
    ],
)
def test_the_section_of_a_run_is_checked_where_it_is_composed(override: str, says: str) -> None:
    """By the schema of the command, although the run computes no property."""
    with pytest.raises(ConfigError) as caught:
        config.compose([override])
    assert says in str(caught.value)


def test_the_section_of_a_run_takes_what_the_command_takes(tmp_path: Path) -> None:
    (tmp_path / "material").mkdir()
    (tmp_path / "material" / "mine.yaml").write_text("phases: {a: void, b: {conductivity: 4}}\n")
    (tmp_path / "more.yaml").write_text("homogenize: {material: mine, levels: [0, 1]}\n")
    path = f"hydra.searchpath=[file://{tmp_path}]"
    spec = spec_of(path, f"experiment={tmp_path}/more.yaml", "homogenize.threads=2")
    assert spec.homogenize["material"] == str(tmp_path / "material" / "mine.yaml")
    assert spec.homogenize["levels"] == [0, 1]
    spec = spec_of(
        path, f"experiment={tmp_path}/more.yaml", "homogenize.material=fe", "homogenize.material.phases.Fe.level=1"
    )
    assert spec.homogenize["material"] == {"preset": "fe", "phases": {"Fe": {"level": 1}}}
    assert set(spec.homogenize) == {k.path.split(".")[0] for k in keys_of(Along)}
    assert spec_of().homogenize == {}


def test_every_key_says_what_it_means_and_is_in_the_help() -> None:
    for name in commands.names():
        schema = commands.find(name).keys
        text = usage.text(name)
        for key in keys_of(schema_at(schema)) if schema else ():
            if key.path.startswith("model."):
                continue  # told with `model`
            assert key.metadata, f"{name}: {key.path} does not say what it means"
            assert f"\n  {key.flag or key.path + '='}" in text
    named = [re.sub(r"\.(F|P)\b", "", word).removesuffix(".mobility") for word in usage.USED_MOST.split()]
    known = {k.path for k in keys_of(RunSpec)} | {f"homogenize.{k.path}" for k in keys_of(Along)}
    assert set(named) <= known


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("phasefield homogenize disk.npy vox", {"voxel="}),
        ("phasefield homogenize disk.npy voxel=la", {"voxel=laminate"}),
        ("phasefield homogenize disk.npy --config-dir own material=m", {"material=mine"}),
        ("phasefield config show homogenize solver.t", {"solver.tolerance=", "solver.threads="}),
        ("phasefield run homogenize.pl", {"homogenize.plane="}),
        ("phasefield resume out time.e", {"time.end="}),
        ("phasefield homogenize di", set()),
    ],
)
def test_completion_knows_the_schema(disk: Path, monkeypatch: pytest.MonkeyPatch, line: str, offers: set[str]) -> None:
    monkeypatch.chdir(disk)
    out, err = process("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line))).communicate()
    assert (set(out.split()), err) == (offers, "")


def test_a_parameter_given_as_a_word_is_told(phasefield: Command, disk: Path) -> None:
    answer = phasefield("homogenize disk.npy material.phases.a.conductivity=1 W")
    assert (answer.code, "quote the whole in the shell" in answer.err) == (2, True)
    assert "unknown option --fast" in phasefield("homogenize disk.npy --fast").err
    assert "report: --reference needs a value" in phasefield(f"report . --reference {''}").err


PAGE = Path(__file__).parents[1] / "docs" / "extending_commands.md"


def test_the_example_of_a_command(phasefield: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file that the page shows is a command as soon as it is there: help, configuration, sweep, checks and all."""
    (text,) = re.findall(r"```python\n(\"\"\"spacing.*?)```", PAGE.read_text(), re.S)
    place = tmp_path / "more"
    place.mkdir()
    (place / "spacing.py").write_text(text)
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(place)])
    monkeypatch.setattr(commands, "FOLDERS", [*commands.FOLDERS, str(place)])
    store = ConfigStore.instance()  # which processes of launchers are sent, and would look for the module in vain
    monkeypatch.setattr(store, "repo", dict(store.repo))
    assert len([line for line in text.splitlines() if line.strip()]) <= 13
    assert "spacing" in phasefield("--help").out
    assert "edge of the body" in phasefield("spacing --help").out
    assert phasefield("spacing length='2 mm' cells=100").out.split() == ["2e-05", "m"]
    assert "did you mean cells?" in phasefield("spacing cels=3").err
    assert "length: has the unit 's', which cannot be converted to m" in phasefield("spacing 'length=2 s'").err
    answer = phasefield("spacing cells=10 'length=1,10 cm' -m")
    assert (answer.code, answer.out.split()) == (0, ["0.1", "m", "0.01", "m"])
    assert yaml.safe_load(phasefield("config show spacing cells=7").out) == {"length": 1.0, "cells": 7}


def test_the_example_of_a_key() -> None:
    """A line more in a schema is all of a key: it is composed, checked, told and refused like the others."""
    from dataclasses import make_dataclass

    from phasefield.keys import key

    (line,) = re.findall(r"```python\n(    \w+: .*?)```", PAGE.read_text(), re.S)
    names: dict[str, object] = {"key": key}
    exec(textwrap.dedent(line).replace(": str =", " =", 1), names)
    field = names["finish"]
    schema = make_dataclass("More", [("finish", str, field)], bases=(Request,), frozen=True)
    language = config.Language("homogenize", schema)
    assert config.compose(["finish=ground"], language).finish == "ground"
    (said,) = (k for k in keys_of(schema) if k.path == "finish")
    assert "\n".join(usage.described(said)).startswith("  finish=polished\n      of the surface")
    with pytest.raises(ConfigError, match="finish: is 'rough'; expected one of polished, ground"):
        config.to_object(config.compose(["finish=rough"], language), schema)
    with pytest.raises(ConfigError, match=r"did you mean finish\?"):
        config.compose(["finis=ground"], language)


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("homogenize", ["material=cu", "x.npy", "voxel=sharp"], ["x.npy"]),
        ("resume", ["time.end=3", "--new-files", "runs/1"], ["runs/1"]),
        ("statistics", ["material=cu", "disk.npy", "sizes=[4]", "disk.npy"], ["disk.npy", "disk.npy"]),
        (
            "surrogate",
            ["seed=1", "predict", "disk.npy", "material=cu", "disk.npy"],
            ["predict", "disk.npy", "disk.npy"],
        ),
        ("report", [""], "report: a word is empty"),
        ("report", ["output=x", "disk.npy", "um"], "report: 'um' is no override"),
        ("homogenize", ["material=cu", "spacing=2", "um", "disk.npy"], "homogenize: 'um' is no override"),
        ("homogenize", ["x.npy", "material=cu", "y.npy"], "homogenize: 'y.npy' is no override"),
        ("statistics", ["material=cu", "spacing=2", "um"], "statistics: 'um' is no override"),
    ],
)
def test_words_and_keys_come_in_any_order(
    disk: Path, monkeypatch: pytest.MonkeyPatch, name: str, given: list[str], words: list[str] | str
) -> None:
    """Only what is left of a value that the shell has cut in two is refused."""
    monkeypatch.chdir(disk)
    if isinstance(words, list):
        assert commands.call(name, given).words == words
        return
    with pytest.raises(PhasefieldError, match=words):
        commands.call(name, given)


def test_a_whole_and_its_parts_come_in_any_order() -> None:
    whole, part = "initial.c={kind: noise, mean: 0.4}", "initial.c.amplitude=0.3"
    for given in ([whole, part], [part, whole], ["initial.c.mean=0.4", part, "initial.c.kind=noise"]):
        made = config.compose(["model=cahn_hilliard", *given]).initial.c
        assert dict(made) == {"kind": "noise", "mean": 0.4, "amplitude": 0.3}


def test_keys_of_two_commands_go_by_their_whole_path() -> None:
    """A command that takes another's keys besides has ``output`` where that has ``output.dir``."""
    given = ["output=F.nc", "output.dir=D", "solver.tolerance=1e-3", "material.phases.a.conductivity=1",
             "solver={precision: double}",
             "model.parameters.rho=2", "model=spinodal", "time.end=3", "members=4", "hydra.searchpath=[x]"]  # fmt: skip
    call = commands.call("statistics", given)
    assert call.rest == [
        "output.dir=D",
        "model.parameters.rho=2",
        "model=spinodal",
        "time.end=3",
        "hydra.searchpath=[x]",
    ]
    assert call.overrides == [g for g in given if g not in call.rest]
    # What neither knows is a slip of the closest.
    assert commands.call("statistics", ["membrs=4"]).overrides == ["membrs=4"]
    assert commands.call("statistics", ["tme.end=4"]).rest == ["tme.end=4"]
    assert commands.call("resume", ["DIR", "new_files=true", "time.end=3"]).rest == ["time.end=3"]
