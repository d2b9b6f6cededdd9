"""A new project: every command that its README names runs, and nothing that is there is touched."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from test_cli import Command, phasefield

from phasefield import config, presets
from phasefield.projects import TEMPLATE

__all__ = ["phasefield"]

SMALL = "grid.shape=[32,32] grid.length=32 time.end=20 output.every=5 device=cpu threads.cpu=1"


def commands(folder: Path) -> list[str]:
    found = re.findall(r"(?m)^    (\S.*)$", (folder / "README.md").read_text())
    assert len(found) == 5
    return found


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder first on the path with this package's command, this Python, and an sbatch that runs a script at once."""
    place = tmp_path / "bin"
    place.mkdir()
    python = shlex.quote(sys.executable)
    for name, line in (
        ("phasefield", f'exec {python} -m phasefield "$@"'),
        ("python", f'exec {python} "$@"'),
        ("sbatch", 'SLURM_SUBMIT_DIR=$PWD exec bash "$@"'),
    ):
        (place / name).write_text(f"#!/bin/bash\n{line}\n")
        (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    return tmp_path


@pytest.mark.slow  # seven processes
def test_every_command_of_the_readme_runs(phasefield: Command, shell: Path) -> None:
    answer = phasefield("new my-alloy")
    assert (answer.code, answer.err) == (0, "")
    folder = shell / "my-alloy"
    said = []
    for command in commands(folder):
        more = SMALL if re.match(r"\./run|sbatch|phasefield explain", command) else ""
        done = subprocess.run(["bash", "-c", f"{command} {more}"], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        said.append(done.stdout + done.stderr)
    explained, ran, analysed, reported, batch = said
    assert "my_alloy: phase separation in a double well" in explained
    assert "fields in fields.nc" in ran
    assert "growing as t^" in analysed
    assert "report.html" in reported
    assert "already ended" in batch  # the job goes on with what run.sh has begun
    made = {p.name for p in (folder / "runs" / "first").iterdir()}
    assert {"fields.nc", "analysis.png", "report.html"} <= made
    # Further experiments of one's own, with keys.
    (folder / "config/experiment/second.yaml").write_text((folder / "config/experiment/first.yaml").read_text())
    line = f"./run.sh second {SMALL} time.max_steps=1"
    subprocess.run(["bash", "-c", line], cwd=folder, check=True, capture_output=True)
    assert (folder / "runs/second/fields.nc").is_file()


@pytest.mark.parametrize("preset", presets.names("model"))
def test_a_project_from_a_preset(phasefield: Command, tmp_path: Path, preset: str) -> None:
    assert phasefield(f"new study model={preset}").code == 0
    own, theirs = (
        yaml.safe_load(p.read_text())
        for p in (tmp_path / "study/config/model/study.yaml", presets.folder("model") / f"{preset}.yaml")
    )
    assert own == theirs | {"name": "study"}
    shown = phasefield("config show --config-dir study/config experiment=first")
    assert yaml.safe_load(shown.out)["model"]["energy"] == theirs["energy"].strip()


def test_what_is_there_is_left_alone(phasefield: Command, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years")
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "no_model.yaml").write_text("a: 1\n")
    before = sorted(tmp_path.rglob("*"))
    for line, says in (
        ("new full", "is there already"),
        ("new file", "is there already"),
        ("new link", "is there already"),
        ("new ../up/../..", "does not name a project"),
        ("new 'a b'", "does not name a project"),
        ("new .hidden", "does not name a project"),
        ("new 7", "does not name a project"),
        ("new nowhere/x", "there is no folder nowhere"),
        ("new spinodal", "there is a preset 'spinodal'"),
        ("new x model=spinodl", "did you mean 'spinodal'?"),
        ("new x model=no_model.yaml", "holds no model"),
        ("new x model=none.yaml", "there is no file none.yaml"),
        ("new", "is missing"),
        ("new x y", "is no override"),
    ):
        answer = phasefield(line)
        assert (answer.code, says in answer.err) == (2, True), answer
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "empty").mkdir()
    assert phasefield("new empty").code == 0
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []
    mode = (tmp_path / "empty" / "run.sh").stat().st_mode
    assert mode & stat.S_IXUSR
    assert not (tmp_path / "empty" / "README.md").stat().st_mode & stat.S_IXUSR


def test_every_key_of_the_template_is_explained() -> None:
    for path in TEMPLATE.rglob("*.yaml"):
        lines = path.read_text().splitlines()
        for before, line in zip(["", *lines], lines, strict=False):
            if re.match(r"\s*\w+: *\S", line) and not re.match(r"(name|description|title|    description|  b):?", line):
                assert "#" in line + before, f"{path.name}: {line}"


def test_after_a_run_of_a_model_from_a_file(
    phasefield: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the store keeps of runs of this process is no group of `new`."""
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text("name: own\nenergy: c**2\nfields: {c: {kinetics: conserved, initial: 0.5}}\n")
    config.compose(["model=own.yaml"])
    answer = phasefield("new alloy model=spinodal")
    assert answer.code == 0, answer
