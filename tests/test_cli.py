"""The command line as a person meets it: help, messages, exit codes, sweeps, signals."""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import xarray as xr

from phasefield import cli, configs

TINY = "grid.shape=[8,8] threads.cpu=1 device=cpu time.end=0.1 output.picture=false"


class Answer(NamedTuple):
    code: object
    out: str
    err: str


Command = Callable[[str], Answer]


@pytest.fixture
def phasefield(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    log = logging.getLogger("phasefield")

    def call(line: str) -> Answer:
        log.handlers[:] = []  # bound to the standard error of an earlier test
        with pytest.raises(SystemExit) as exit_:
            cli.main(shlex.split(line))
        out, err = capsys.readouterr()
        return Answer(exit_.value.code, out, err)

    return call


def process(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    code = "import sys; from phasefield.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_help_is_quick_and_complete() -> None:
    start = time.monotonic()
    child = process("--help")
    out, err = child.communicate()
    assert (child.returncode, err) == (0, "")
    assert time.monotonic() - start < 1.5  # 0.1 s on a free machine
    for word in (
        "run",
        "resume",
        "report",
        "config show",
        "cahn_hilliard",
        "pfhub/1a",
        "time.scheme",
        "grid.boundary",
        "examples",
    ):
        assert word in out


@pytest.mark.parametrize("command", ["run", "resume", "report", "config", "homogenize"])
def test_every_command_has_help_of_its_own(phasefield: Command, command: str) -> None:
    answers = [phasefield(line).out for line in (f"{command} --help", f"{command} x=1 -h", f"help {command}")]
    assert len(set(answers)) == 1
    assert answers[0].splitlines()[0].startswith(f"usage: phasefield {'[run]' if command == 'run' else command}")
    assert answers[0] != phasefield("--help").out
    assert "did you mean" in phasefield(f"help {command}x").err
    assert "did you mean" in phasefield(f"{command}x --help").err


def test_that_there_is_no_gpu_is_said_once(
    phasefield: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from phasefield.backend import cuda, select, selection

    monkeypatch.setattr(cuda, "why_unavailable", lambda: "it is away")
    monkeypatch.setenv("PHASEFIELD_CACHE", str(tmp_path / "cache"))
    said = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append((record.levelname, record.getMessage()))  # type: ignore[method-assign]
    log = logging.getLogger("phasefield")
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        for _ in range(2):
            selection._say.cache_clear()  # as another process
            select("auto", "double", 1)
    finally:
        log.removeHandler(handler)
    text = "no GPU: it is away; running on the CPU"
    assert said == [("INFO", text), ("DEBUG", text)]


def test_a_tree_of_sources_in_the_folder_at_hand_is_complete(tmp_path: Path) -> None:
    """`python -m phasefield`, and what launchers start so, take it before what is installed."""
    package = Path(cli.__file__).parent
    shutil.copytree(package, tmp_path / "phasefield", ignore=shutil.ignore_patterns("configs", "__pycache__"))
    (tmp_path / "configs").symlink_to(next(iter(configs.__path__)))
    hidden = (
        "sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]"  # an editable installation
    )
    code = f"import runpy, sys; {hidden}; sys.path.insert(0, ''); runpy.run_module('phasefield', run_name='__main__')"
    ran = subprocess.run(
        [sys.executable, "-c", code, "config", "show", "model=precipitate"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, "precipitate" in ran.stdout) == (0, True), ran.stderr


def test_presets_in_a_folder_of_ones_own(phasefield: Command, tmp_path: Path) -> None:
    (tmp_path / "my presets" / "model").mkdir(parents=True)
    (tmp_path / "my presets" / "model" / "mine.yaml").write_text(
        "energy: c**4/4 - c**2/2\nfields: {c: {kinetics: conserved, initial: 0.1*sin(x)}}\n"
    )
    for flag in ("--config-dir 'my presets'", "--config-dir='my presets'"):
        answer = phasefield(f"config validate {flag} model=mine {TINY}")
        assert answer.code == 0, answer.err
    assert "there is no folder" in phasefield("config show --config-dir nowhere").err


def test_version_and_completion_script(phasefield: Command) -> None:
    assert re.match(r"phasefield \d+\.\d+", phasefield("--version").out)
    script = phasefield("-sc install=bash")
    assert script.code == 0
    assert "-F hydra_bash_completion" in script.out


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("phasefield re", "resume"),
        ("phasefield model=", "model=spinodal"),
        ("phasefield config sh", "show"),
        ("phasefield config show grid.bou", "grid.boundary="),
        ("phasefield run experiment=pfhub/", "experiment=pfhub/1b"),
    ],
)
def test_completion(line: str, offers: str) -> None:
    child = process("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    out, err = child.communicate()
    assert child.returncode == 0, err
    assert offers in out.split()


def test_run(phasefield: Command, tmp_path: Path) -> None:
    answer = phasefield(f"run {TINY} output.dir=out")
    assert answer.code == 0
    assert answer.out.startswith("out: fields in fields.nc")
    assert "finished at time 0.1" in answer.err
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {
        "config.yaml", "fields.nc", "history.nc", "checkpoint.npz", "run.log", "kernels",
    }  # fmt: skip
    assert "no GPU" not in answer.out
    # Without a command, and without a folder.
    assert phasefield(TINY).code == 0
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_the_plain_command_is_the_default_job(phasefield: Command) -> None:
    answer = phasefield("config show")
    assert answer.code == 0
    assert "name: cahn_hilliard" in answer.out
    assert phasefield("config validate").out.startswith("valid: cahn_hilliard, 256x256 cells")


def test_an_energy_of_ones_own(phasefield: Command, tmp_path: Path) -> None:
    energy = "model.energy=W*(c-a)**2*(b-c)**2"
    small = "grid.shape=[512,512] time.end=1e-6"
    line = f"run model=cahn_hilliard '{energy}' model.parameters.W=5 device=cpu {small} output.picture=false output.dir=big"
    assert phasefield(line).code == 0
    data = xr.load_dataset(tmp_path / "big" / "fields.nc")
    assert data.attrs["model_energy"] == "W*(c-a)**2*(b-c)**2"
    assert data.c.shape[1:] == (512, 512)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("rnu", "did you mean 'run'?"),
        ("run foo", "key=value"),
        ("run initial.c={kind: noise}", "quote the whole in the shell"),
        ("run --fast", "--help"),
        ("run grid.shpe=[8,8]", "grid.shpe: there is no such key; did you mean grid.shape?"),
        ("run time.dt=-1", "time.dt: is -1"),
        ("run 'model.parameters={W: 1}' model.parameters.W=2", "model.parameters.W: is given twice"),
        ("run initial.c.mean=0.5 initial.c=0.4", "initial.c: is given as a whole, 0.4, and in part"),
        ("run -m seed=1,2 time.dt=-1", "time.dt: is -1"),
        ("run -m model=spinodal,spinodl", "did you mean 'spinodal'?"),
        ("resume", "phasefield resume DIR"),
        ("resume nowhere", "nowhere: there is no such run folder"),
        ("resume .", "holds no run"),
        ("config", "show"),
        ("config validate time.scheme=euler", "etdms2"),
        ("report nowhere", "nowhere"),
    ],
)
def test_mistakes(phasefield: Command, tmp_path: Path, line: str, says: str) -> None:
    answer = phasefield(line)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.splitlines()[0].startswith("phasefield: error: ")
    assert says in answer.err
    assert "Traceback" not in answer.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("keys", "says", "made"),
    [
        ("model=spinodal model=allen_cahn", "model: is given twice, as spinodal and as allen_cahn", "name: allen_cahn"),
        ("seed=1 'grid.shape=[8,8]' ++seed=2", "seed: is given twice, as 1 and as 2", "seed: 2"),
        ("time.end=1 time.end=2", "time.end: is given twice, as 1 and as 2", "end: 2"),
    ],
)
def test_a_key_that_is_given_twice_is_told(
    phasefield: Command, caplog: pytest.LogCaptureFixture, keys: str, says: str, made: str
) -> None:
    """The last one counts, as in all programs of Hydra, and as scripts count on that add keys to a command."""
    answer = phasefield(f"config show {keys}")
    assert (answer.code, caplog.messages) == (0, [f"{says}; the last one counts"])
    assert made in answer.out
    caplog.clear()
    phasefield("config show seed=2 seed=2")
    assert not caplog.messages


def test_debug_shows_the_traceback(phasefield: Command) -> None:
    answer = phasefield("run time.dt=-1 --debug")
    assert answer.code == 2
    assert "Traceback" in answer.err
    assert answer.err.splitlines()[-1].startswith("phasefield: error: time.dt")


def test_sweep(phasefield: Command, tmp_path: Path) -> None:
    energies = "'model.energy=W*(c-a)**2*(b-c)**2,W*min(c**2, (1-c)**2)+c**4'"
    answer = phasefield(f"run -m {TINY} seed=1,2 {energies} output.dir=many")
    assert answer.code == 0, answer.err
    found = [xr.load_dataset(tmp_path / "many" / str(k) / "fields.nc") for k in range(4)]
    assert [f.attrs["seed"] for f in found] == [1, 1, 2, 2]
    assert [f.attrs["model_energy"] for f in found[:2]] == ["W*(c-a)**2*(b-c)**2", "W*min(c**2, (1-c)**2)+c**4"]
    assert not np.array_equal(found[0].c, found[2].c)
    assert "run 3: " in answer.err
    # Again into the same folders.
    answer = phasefield(f"run -m {TINY} seed=1,2 output.dir=many")
    assert answer.code == 2
    assert "already holds a run or a sweep" in answer.err


def test_presets_of_ones_own(phasefield: Command, tmp_path: Path) -> None:
    for group in ("model", "experiment"):
        (tmp_path / "mine" / group).mkdir(parents=True)
    (tmp_path / "mine" / "model" / "two.yaml").write_text(
        "energy: c**4/4 - c**2/2 + d**2\n"
        "fields:\n"
        "  c: {kinetics: conserved, initial: 0.1*sin(x)}\n"
        "  d: {kinetics: nonconserved, initial: {kind: noise, mean: 0, amplitude: 1}}\n"
    )
    (tmp_path / "mine" / "experiment" / "more.yaml").write_text(
        "# @package _global_\nmodel: {fields: {d: {kinetics: nonconserved, initial: 0.1*sin(x)}}}\n"
    )
    where = f"hydra.searchpath=[file://{tmp_path}/mine]"
    for choice in ("model=two", "experiment=more"):
        answer = phasefield(f"config validate {where} {choice} {TINY}")
        assert answer.code == 0, answer.err
    assert "d:" in phasefield(f"config show {where} experiment=more").out


def test_a_sweep_without_a_folder_adds_a_field(phasefield: Command, tmp_path: Path) -> None:
    answer = phasefield(f"run -m {TINY} seed=1,2 model.fields.d.kinetics=nonconserved initial.d=0.1")
    assert answer.code == 0, answer.err
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("_sweep")
    assert list(xr.load_dataset(folder / "1" / "fields.nc").data_vars) == ["c", "d"]


def test_resume(phasefield: Command) -> None:
    phasefield(f"run {TINY} output.dir=out")
    answer = phasefield("resume out")
    assert answer.code == 0
    assert "nothing to do" in answer.err
    answer = phasefield("resume out time.end=0.2")
    assert answer.code == 0
    assert "resuming at time 0.1" in answer.err
    assert "finished at time 0.2" in answer.err


def test_progress_lines_when_not_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from phasefield.display import progress
    from phasefield.driver import Progress

    with progress(every=0.0) as show:
        for step in range(3):
            show(Progress(time=0.1 * step, end=1.0, step=step, dt=0.1, energy=2.5, rejected=1))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[2].startswith("t = 0.2 of 1 (20.0 %), step 2, dt = 0.1")
    assert "s left" in lines[2]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)])
def test_signals_leave_a_run_to_resume(tmp_path: Path, phasefield: Command, number: int, code: int) -> None:
    rows = "'output.history={steps: 5}'"  # so that the last row tells where the run was stopped
    line = f"run {TINY.replace('0.1', '1e9')} time.dt_max=1e-3 output.every=1e8 {rows} output.dir=out"
    child = process(*shlex.split(line))
    deadline = time.monotonic() + 60
    while not (tmp_path / "out" / "checkpoint.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.1)
    child.send_signal(number)
    out, err = child.communicate(timeout=60)
    assert child.returncode == code, err
    assert out == ""
    assert "continue with: phasefield resume out" in err
    assert "Traceback" not in err
    steps = xr.load_dataset("out/history.nc").step
    answer = phasefield(f"resume out time.max_steps={int(steps[-1]) + 50}")
    assert answer.code == 0, answer.err
    assert int(xr.load_dataset("out/history.nc").step[-1]) == int(steps[-1]) + 50
