"""Whatever input, output and folders are like, there is one message, and what was computed is kept."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from phasefield.cli import main
from phasefield.console import console

LONG = "x" * 300
TINY = ["run", "grid.shape=[8,8]", "time.end=0.02", "threads.cpu=1", "device=cpu"]


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return caught.value.code, out, err


def process(
    *arguments: str,
    cwd: Path | None = None,
    stdout: Any = subprocess.PIPE,
    limit: Callable[[], None] | None = None,
    **environment: str,
) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "phasefield.cli", *arguments],
        cwd=cwd, stdout=stdout, stderr=subprocess.PIPE, env={**os.environ, **environment}, preexec_fn=limit,
    )  # fmt: skip
    err = done.stderr.decode("utf-8", "replace")
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    return done.returncode, (done.stdout or b"").decode("utf-8", "replace"), err


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["config", "show"]])
def test_a_full_standard_output(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        code, _, err = process(*arguments, stdout=full)
    assert code == 2
    assert err == "phasefield: error: standard output cannot be written: No space left on device\n"


def test_a_pipe_that_nobody_reads() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        assert process("config", "show", stdout=pipe)[::2] == (0, "")


def test_streams_that_are_closed_before_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python has None for them; a run looks whether a person follows it there."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    with console():
        assert not sys.stderr.isatty()
        assert not sys.stdout.isatty()
        print("to nobody")
    assert sys.stdout is sys.stderr is None


def test_a_folder_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    code, _, err = call(capsys, *TINY)
    assert (code, err) == (
        2,
        "phasefield: error: the folder that the shell is in is gone\n  change into one that exists: cd DIR\n",
    )


def test_messages_that_nobody_reads_stop_no_run(tmp_path: Path) -> None:
    """As with ``phasefield run 2>&1 | head -1``."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        done = subprocess.run([sys.executable, "-m", "phasefield.cli", *TINY, "output.picture=false", "output.dir=run"],
                              cwd=tmp_path, stdout=pipe, stderr=pipe)  # fmt: skip
    assert done.returncode == 0
    assert "finished" in (tmp_path / "run" / "run.log").read_text()


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    "environment", [ASCII, pytest.param({"PYTHONIOENCODING": "ascii"}, marks=pytest.mark.slow)], ids=["C", "ascii"]
)
def test_a_locale_without_utf_8(tmp_path: Path, environment: dict[str, str]) -> None:
    """The folder, the title and a unit are not ASCII; they come into the files as they were typed."""
    where = "häufig"
    words = ["title=Ölfilm β", "grid.units=µm", f"output.dir={where}"]
    code, out, err = process(*TINY, *words, cwd=tmp_path, **environment)
    assert code == 0, err
    assert f"{where}: fields in fields.nc" in out if environment is ASCII else "fields.png" in out
    with xr.open_dataset(tmp_path / where / "fields.nc", decode_times=False) as data:
        assert (data.attrs["title"], data.x.attrs["units"]) == ("Ölfilm β", "µm")
    assert process("resume", where, "time.end=0.03", cwd=tmp_path, **environment)[0] == 0
    code, _, err = process("report", where, cwd=tmp_path, HOME="/proc", **environment)  # and no home for Matplotlib
    assert (code, err) == (0, "")
    assert process("config", "show", "title=Ölfilm", **environment)[0] == 0


@pytest.mark.slow
def test_properties_in_a_locale_without_utf_8(tmp_path: Path) -> None:
    np.save(tmp_path / "würfel.npy", np.arange(512).reshape(8, 8, 8) // 256)
    material = ["material=epoxy_glass", "properties=[conductivity]"]
    for words in (
        ["homogenize", "würfel.npy", *material],
        ["export", "würfel_properties.nc"],
        ["statistics", "würfel.npy", "sizes=[4]", "output=maß.nc", "picture=false", *material],
        ["export", "maß.nc"],
    ):
        code, _, err = process(*words, cwd=tmp_path, **ASCII)
        assert code == 0, err
    assert "würfel.npy" in json.loads((tmp_path / "würfel_properties_record.json").read_text())["title"]


@pytest.mark.parametrize(
    "arguments",
    [
        [*TINY, f"output.dir={LONG}"],
        [*TINY, f"output.dir=a/{LONG}/b"],
        [*TINY, f"initial.c={{kind: file, path: {LONG}.npy}}"],
        ["resume", LONG],
        ["report", LONG],
        ["homogenize", LONG, "material=cu"],
        ["homogenize", f"{LONG}.npy", "material=cu"],
        ["homogenize", "image.npy", f"material={LONG}.yaml"],
        ["homogenize", "image.npy", "material=cu", f"grains={LONG}"],
    ],
    ids=lambda a: " ".join(a).replace(LONG, "LONG")[-40:],
)
def test_names_that_are_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("image.npy", np.arange(16).reshape(4, 4) % 2)
    code, _, err = call(capsys, *arguments)
    assert code == 2
    assert LONG in err
    assert [p.name for p in tmp_path.iterdir()] == ["image.npy"]


@pytest.mark.parametrize(
    "line", ["-sc", "-sc install=tcsh", "-sc install", "-sc bash", "--shell-completion", "run -sc"]
)
def test_completion_of_a_shell_that_is_not_known(capsys: pytest.CaptureFixture[str], line: str) -> None:
    code, out, err = call(capsys, *line.split())
    assert (code, out) == (2, "")
    assert "bash, zsh, fish" in err


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In every key that is a path, for a shell expands it neither in key=~/x nor within braces."""
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir(), here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    np.save(home / "c.npy", 0.5 + 0.1 * np.random.default_rng(1).random((8, 8)))
    np.save(home / "image.npy", np.arange(64).reshape(8, 8) // 32)
    (home / "m.yaml").write_text("phases:\n  a: {conductivity: 1}\n  b: {conductivity: 3}\n")
    picture = "output.picture=false"
    assert call(capsys, *TINY, picture, "output.dir=~/run", "initial.c={kind: file, path: ~/c.npy}")[0] == 0
    assert call(capsys, "resume", "~/run", "time.end=0.03", picture)[0] == 0
    assert call(capsys, "report", "~/run")[0] == 0
    code, _, err = call(
        capsys, "homogenize", "~/image.npy", "material=~/m.yaml", "properties=[conductivity]", "output=~/p.nc"
    )
    assert code == 0, err
    assert {"run", "p.nc"} <= {p.name for p in home.iterdir()}
    assert not list(here.iterdir())


@pytest.mark.parametrize("size", [0, 3000, 10**9])
def test_results_survive_a_disk_that_is_full(tmp_path: Path, size: int) -> None:
    """The table comes first; the file goes to the folder at hand if only its own place is at fault."""
    np.save(tmp_path / "image.npy", np.arange(64).reshape(8, 8) // 32)
    (tmp_path / "m.yaml").write_text("phases:\n  a: {conductivity: 1}\n  b: {conductivity: 3}\n")
    here = tmp_path / "here"
    here.mkdir()
    output = "/proc/nowhere/p.nc" if size > 10**6 else f"{tmp_path}/p.nc"
    arguments = ["homogenize", "../image.npy", "material=../m.yaml", "properties=[conductivity]", f"output={output}"]
    code, out, err = process(
        *arguments, cwd=here, TMPDIR=str(here), limit=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    )
    assert code == 2
    assert "image.npy: 8 x 8 voxels; a 50 %, b 50 %" in out
    assert "Reuss <=" in out
    assert f"{output}: cannot be written" in err
    files = list(here.glob("*.nc"))
    if size > 10**6:
        assert f"the results are in {files[0]}" in err
        with xr.open_dataset(files[0]) as data:
            assert data.conductivity.shape[-2:] == (3, 3)
    else:
        assert not files
        assert "output=NAME.nc" in err
