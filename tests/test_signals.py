"""A signal at any moment: nothing was started, or a run is left to resume; never is one lost."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phasefield as pf
from phasefield import driver, recorder, runfiles, running, signals, simulation
from phasefield.backend import compiler, workers
from phasefield.signals import Stopped

JOB = ("grid.shape=[8,8]", "threads.cpu=1", "device=cpu", "output.picture=false", "time.end=0.3")


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def send_in_callback(number: int) -> None:
    """From Python that C calls, where what is raised gets lost."""
    ctypes.CFUNCTYPE(None)(lambda: send(number))()


def send_in_finaliser(number: int) -> None:
    class Thing:
        def __del__(self) -> None:
            send(number)

    Thing()


def send_amid_error(number: int) -> None:
    """A library whose clean-up stumbles over what was raised."""
    try:
        send(number)
        found = 1
    finally:
        found += 1  # UnboundLocalError: cannot access local variable


WAYS = (send, send_in_callback, send_in_finaliser, send_amid_error)
EARLY = ((running, "simulation_of"), (compiler, "load"), (simulation, "initial_of"), (simulation, "energy_terms"))
LATE = ((running.RunFolder, "create"), (driver, "provenance"), (runfiles.RecordFile, "create"), (driver, "_write_kernels"),
        (driver.Recorder, "after_step"), (driver.Recorder, "checkpoint"), (simulation.Simulation, "advance"))  # fmt: skip


def at(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, act: Callable[[], object], before: bool) -> list[int]:
    """Does something once when a function is called, before it works or after."""
    original, calls = getattr(where, name), []

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        first = not calls
        calls.append(1)
        if first and before:
            act()
        result = original(*args, **kwargs)
        if first and not before:
            act()
        return result

    monkeypatch.setattr(where, name, wrapped)
    return calls


@pytest.mark.parametrize("way", WAYS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("point", EARLY, ids=lambda p: p[1])
def test_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], point: Any, way: Any
) -> None:
    calls = at(monkeypatch, *point, lambda: way(signal.SIGINT), before=True)
    with pytest.raises(Stopped, match="stopped by signal 2; nothing was started"):
        pf.run(*JOB, f"output.dir={tmp_path}/run")
    assert calls
    assert not list(tmp_path.iterdir())
    assert "Traceback" not in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pf.Run:
    return pf.run(*JOB, f"output.dir={tmp_path_factory.mktemp('whole')}/run")


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("point", LATE, ids=lambda p: p[1])
def test_once_there_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: pf.Run, point: Any, before: bool
) -> None:
    with monkeypatch.context() as patch:
        assert not at(patch, *point, lambda: send_in_callback(signal.SIGHUP), before)
        run = pf.run(*JOB, f"output.dir={tmp_path}/run")
    assert run.outcome is not None
    assert (run.outcome.reason, run.outcome.signal) == ("stopped", signal.SIGHUP)
    resumed = pf.resume(run.path)
    assert resumed.outcome is not None
    assert (resumed.outcome.reason, resumed.outcome.signal) == ("finished", None)
    assert np.array_equal(resumed.fields.c, whole.fields.c)
    assert np.array_equal(resumed.history.free_energy, whole.history.free_energy)


def test_during_the_last_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is complete, and whoever started it hears of the signal."""
    at(monkeypatch, driver, "_loop", lambda: send(signal.SIGTERM), before=False)
    run = pf.run(*JOB, f"output.dir={tmp_path}/run")
    assert run.outcome is not None
    assert (run.outcome.reason, run.outcome.signal) == ("finished", signal.SIGTERM)


def test_in_the_writer_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, recorder, "save_checkpoint", lambda: send(signal.SIGUSR1), before=True)
    run = pf.run(*JOB, f"output.dir={tmp_path}/run")
    assert run.outcome is not None
    assert run.outcome.signal == signal.SIGUSR1
    assert pf.resume(run.path).outcome.reason == "finished"  # type: ignore[union-attr]


def test_asked_twice_it_stops_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def twice() -> None:
        send(signal.SIGINT)
        send(signal.SIGINT)

    at(monkeypatch, simulation.Simulation, "advance", twice, before=True)
    with pytest.raises(Stopped):
        pf.run(*JOB, f"output.dir={tmp_path}/run")
    monkeypatch.undo()
    assert pf.resume(tmp_path / "run").outcome.reason == "finished"  # type: ignore[union-attr]


def test_what_is_ignored_stays_so() -> None:
    """nohup ignores SIGHUP, a shell SIGINT of what runs in the background."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.listening() as stop:
            send(signal.SIGHUP)
            assert stop.received is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_before_what_is_to_be_done_within(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is raised once, and not again into nowhere when what listens is let go of unused."""
    unheard: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", unheard.append)
    before = signal.getsignal(signal.SIGUSR1)
    listening = signals.listening()
    listening.__enter__()
    with pytest.raises(Stopped):
        signal.raise_signal(signal.SIGUSR1)
    del listening
    assert not unheard
    assert signal.getsignal(signal.SIGUSR1) is before
    signals.check()


def test_errors_of_another_cause_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that waits for the end of a step does not hide what goes wrong in the step."""
    at(monkeypatch, simulation.Simulation, "advance", lambda: send(signal.SIGTERM) or 1 / 0, before=True)
    with pytest.raises(ZeroDivisionError):
        pf.run(*JOB, f"output.dir={tmp_path}/run")


def test_long_work_looks_for_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Solves of homogenization run jobs of compiled code; a signal that got lost is raised by the next one."""
    crew = workers.workers(1)
    done: list[int] = []
    monkeypatch.setattr(crew, "_native", type("Native", (), {"alone": staticmethod(lambda *_: done.append(1))}))
    table = np.zeros(1, np.int64)

    def work() -> None:
        with signals.listening():
            crew.run(table, table, table, table)
            send_in_callback(signal.SIGTERM)
            crew.run(table, table, table, table)

    with pytest.raises(Stopped):
        work()
    assert done == [1]


def test_other_threads_are_left_alone() -> None:
    heard: list[Any] = []
    with signals.listening() as outer:

        def work() -> None:
            with signals.listening() as stop, signals.deferred():
                heard.append(stop is outer)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert heard == [False]


@pytest.mark.parametrize(
    ("number", "delay"), [(signal.SIGINT, 0.4), (signal.SIGHUP, 0.8), (signal.SIGTERM, 1.2), (signal.SIGINT, 1.6)]
)
def test_processes(tmp_path: Path, number: int, delay: float) -> None:
    """A new cache folder, so that the signal comes while kernels are compiled, as a rule."""
    child = subprocess.Popen(
        [sys.executable, "-m", "phasefield.cli", *JOB[:-1], "time.end=1e9", "time.dt_max=1e-3", "output.dir=run"],
        cwd=tmp_path, env={**os.environ, "PHASEFIELD_CACHE": str(tmp_path / "cache")}, text=True, stderr=subprocess.PIPE,
    )  # fmt: skip
    time.sleep(delay)
    child.send_signal(number)
    _, err = child.communicate(timeout=120)
    assert "Traceback" not in err
    if child.returncode == -number:  # so early that Python itself was starting
        assert err == "" or "KeyboardInterrupt" in err
    else:
        assert child.returncode == 128 + number, err
        assert "stopped by signal" in err
    assert (tmp_path / "run").exists() == (tmp_path / "run" / "checkpoint.npz").exists()
