"""Many small runs in a few processes: each as if it ran alone, whatever becomes of the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from test_cli import process

import phasefield as pf

KEYS = ["model=allen_cahn", "grid.shape=[16,16]", "output.picture=false", "initial.eta={kind: noise, amplitude: 0.1}"]
LAUNCHER = ["hydra/launcher=ensemble", "hydra.launcher.processes=2", "output.dir=many", "output.resume=auto"]
LONG = ["time.adaptive=false", "time.dt=0.01", "time.end=40"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as many job scripts say, which is no bound on processes


def state(path: str) -> tuple[bytes, bytes]:
    run = pf.open_run(path)
    return run.fields.eta.values.tobytes(), run.history[["time", "free_energy"]].to_array().values.tobytes()


def until(found: object, seconds: float = 60) -> None:
    """Waits for a condition."""
    end = time.monotonic() + seconds
    while not found():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_members_are_as_if_alone() -> None:
    words = ["run", "-m", *KEYS, *LAUNCHER, "time.end=2", "model.fields.eta.mobility=1,2", "seed=1,2"]
    words.remove(KEYS[-1])
    made = process(*words, f"{KEYS[-1]},log(q)")
    out, err = made.communicate()
    assert made.returncode == 1
    table = err.strip().split("\n\n")[-1].splitlines()
    assert table[0] == "many: 8 runs, 4 done, 4 failed"
    assert all("unknown name 'q'" in row for row in table[2:])
    assert out.count("fields in fields.nc") == 4
    number = 0
    for mobility in (1, 2):
        for seed in (1, 2):
            alone = pf.run(
                *KEYS,
                "time.end=2",
                f"seed={seed}",
                f"model.fields.eta.mobility={mobility}",
                "output.dir=alone" + str(number),
            )
            member = next(p for p in Path("many").glob("*/config.yaml") if _of(p, seed, mobility))
            assert state(str(member.parent)) == state(str(alone.path))
            number += 1


def _of(path: Path, seed: int, mobility: int) -> bool:
    told = yaml.safe_load(path.read_text())
    return told["seed"] == seed and told["model"]["fields"]["eta"]["mobility"] == mobility


def test_who_is_killed_and_who_is_stopped_goes_on() -> None:
    words = ["run", "-m", *KEYS, *LAUNCHER, *LONG, "seed=range(4)"]
    made = process(*words)
    until(Path("many/1/checkpoint.npz").is_file)
    # The processes are known by the lock that a run holds.
    crew = children(made.pid)
    os.kill(crew[0], signal.SIGKILL)
    until(lambda: len({*children(made.pid)} - {crew[0]}) == 2)  # another takes its place
    time.sleep(0.5)
    made.send_signal(signal.SIGTERM)
    _, err = made.communicate()
    assert made.returncode == 143
    assert "its process was ended by signal 9" in err
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in crew))
    assert "lost: its process was killed" in err
    codes = [yaml.safe_load(p.read_text())["code"] for p in sorted(Path("many").glob("*/member.yaml"))]
    assert 143 in codes

    again = process(*words)
    _, err = again.communicate()
    assert (again.returncode, "4 runs, all done" in err) == (0, True)
    for seed in (0, 3):
        assert state(f"many/{seed}") == state(str(pf.run(*KEYS, *LONG, f"seed={seed}", f"output.dir=alone{seed}").path))


def test_number_of_processes() -> None:
    made = process("run", "-m", *KEYS, LAUNCHER[0], "seed=1,2", "hydra.launcher.processes=0")
    _, err = made.communicate()
    assert made.returncode == 2
    assert err.startswith("phasefield: error: hydra.launcher.processes: is 0")
    assert not Path("many").exists()


@pytest.mark.slow
def test_what_lockstep_would_cost_is_measured() -> None:
    """The script of docs/cluster.md; its passes are those of whole steps, so they are a part of them."""
    script = Path(__file__).parents[1] / "scripts" / "lockstep.py"
    words = ["--cells", "64", "--most", "8", "--rounds", "2", "--output", "found.json"]
    subprocess.run([sys.executable, script, *words], check=True, capture_output=True)
    rows = json.loads(Path("found.json").read_text())["rows"]
    assert [row["members"] for row in rows] == [1, 8]
    assert all(0 < row["passes"] < row["step"] for row in rows)
