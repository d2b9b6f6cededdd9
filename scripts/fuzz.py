"""Tries to break the program with inputs that nobody would write, and keeps what did.

    python scripts/fuzz.py configurations|expressions|files [--count 1000] [--seed 1] [--json FILE]
    python scripts/fuzz.py expressions --count 10000 --record FILE [--slice 500] [--processes 2] [--minutes 9]

With --record the inputs are tried slice by slice, each with a seed and a process of its own, and a line is written for each:
the same command goes on where it was broken off, until all slices together have tried --count inputs.

An input is handled well if it is taken or refused with a message of ours, within ten seconds, no process is started, and
nothing is written where it was not told to. What is not is made as small as it gets and printed; add it to tests/data/fuzz,
whose contents are tried with every suite (tests/test_fuzz.py).
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import fuzz_cases
import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings

#: Longest time for one input, s of the processor; of the clock it is six times as much, for machines that are busy.
LIMIT = 10
#: What no input may cause, as the interpreter's audit hooks call it.
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "socket.connect", "pty.spawn")
#: Programs that say what a run's folder tells of its origin.
ALLOWED = ("git", "uname")


class Fault(AssertionError):
    """An input that was not handled well, and how."""


class Guard:
    """Watches what the interpreter does while an input is handled: no processes, no files but those below some folders."""

    def __init__(self) -> None:
        self.folders: tuple[str, ...] | None = None
        self.seen = ""
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if self.folders is None:
            return
        if event in FORBIDDEN and not (event == "subprocess.Popen" and args[0] in ALLOWED):
            self.seen = f"{event}{args!r:.200}"
        elif event == "open" and isinstance(args[0], str | bytes | os.PathLike):
            path, mode, flags = args
            writes = any(m in str(mode or "") for m in "wax+") or (
                isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
            )
            if writes and not os.path.abspath(os.fsdecode(path)).startswith((*self.folders, "/dev/", "/proc/")):
                self.seen = f"opened {os.fsdecode(path)!r} to write"

    @contextlib.contextmanager
    def watching(self, *folders: str) -> Iterator[None]:
        self.folders, self.seen = tuple(map(os.path.abspath, folders)), ""
        try:
            yield
        finally:
            self.folders = None
        if self.seen:
            raise Fault(self.seen)


_guard: Guard | None = None


def guard() -> Guard:
    """The one of this process: audit hooks stay for good."""
    global _guard
    _guard = _guard or Guard()
    return _guard


def _late(*_: Any) -> NoReturn:
    raise TimeoutError


def judge(handle: Callable[[], Any], *folders: str) -> bool:
    """Whether an input was taken; False if it was refused.

    Raises:
        Fault: it was neither, took too long, started a process or wrote where it should not.
    """
    from phasefield.errors import PhasefieldError

    before = {number: signal.signal(number, _late) for number in (signal.SIGALRM, signal.SIGPROF)}
    signal.setitimer(signal.ITIMER_REAL, 6 * LIMIT)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    try:
        with guard().watching(*folders):
            handle()
        return True
    except PhasefieldError as error:
        str(error).encode()
        return False
    except Fault:
        raise
    except TimeoutError:
        raise Fault(f"takes longer than {LIMIT} s") from None
    except BaseException as error:  # that is what is looked for
        if isinstance(error, KeyboardInterrupt):
            raise
        frames = traceback.extract_tb(error.__traceback__)
        ours = [f for f in frames if f"{os.sep}phasefield{os.sep}" in f.filename] or frames
        where = " < ".join(f"{f.filename}:{f.lineno}" for f in reversed(ours[-3:]))
        raise Fault(f"{type(error).__name__}: {error} in {where}") from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


# -- what is done with an input ----------------------------------------------------------------------------------------


def configuration(overrides: list[str]) -> None:
    """Composes and checks a run as the command line does, with arrays that take no memory, and small initial values."""
    from phasefield import config
    from phasefield.backend import Rehearsal, select
    from phasefield.simulation import Simulation, initial_cells

    spec = config.to_spec(config.compose(overrides))
    simulation = Simulation(spec, backend=Rehearsal(select("cpu", spec.precision, 1)))
    if simulation.grid.cells <= 2**16:
        initial_cells(spec, simulation.model, simulation.grid)


def expression(text: str) -> None:
    """Takes a text for the free energy of a model with a field of one and one of two components, and derives all from it."""
    from phasefield.models import EnergyModel

    fields = [
        {"name": "c", "kinetics": "conserved", "mobility": 1.0, "kappa": 1.0, "components": None},
        {"name": "eta", "kinetics": "nonconserved", "mobility": 1.0, "kappa": 1.0, "components": 2},
    ]
    model = EnergyModel.build("fuzzed", text, fields, {"W": 1.5, "kappa": 1.0})
    model.evaluate([model.values(e) for e in (*model.potentials, *model.hessian)], np.array([[0.3], [0.2], [0.7]]))


RUN_FILES = ("fields.nc", "history.nc", "checkpoint.npz", "config.yaml")


def file(path: Path) -> None:
    """Reads a file in all ways in which one of its name is read."""
    import phasefield as pf
    from phasefield.grid import Grid
    from phasefield.homogenize.grains import read_grains
    from phasefield.homogenize.reading import read_file
    from phasefield.initial import initial_field
    from phasefield.mechanics.materials import system_of
    from phasefield.models.parameters import read_points

    ways: list[Callable[[], Any]] = []
    if path.name in RUN_FILES:
        ways += [lambda: pf.open_run(path.parent).fields.load(), lambda: pf.open_run(path.parent).history.load()]
        ways.append(lambda: pf.resume(path.parent, "time.end=1.1"))
    if path.name == "course.csv":
        ways.append(lambda: read_points("model.parameters.W", str(path)))
    elif path.suffix == ".csv":
        grid = Grid((8, 8), (8.0, 8.0), ("periodic",) * 2)
        drops = {"kind": "circles", "inside": 1, "outside": 0, "width": 1, "path": str(path)}
        ways += [lambda: read_grains(str(path)), lambda: initial_field("c", drops, None, grid, 1, {})]
    elif path.name == "model.yaml":
        ways.append(lambda: configuration([f"model={path}", "grid.shape=[8,8]"]))
    elif path.name == "material.yaml":
        ways.append(lambda: system_of(str(path)))
    elif path.name in ("record.json", "record.nc", "properties.nc"):
        from phasefield.upscale.sources import read_record

        ways.append(lambda: read_record(path))
    elif path.name not in RUN_FILES or path.suffix == ".nc":
        volume = path.suffix in (".tif", ".mha", ".mhd", ".vti", ".h5", ".dream3d") and path.name != "packed.tif"
        shape = (8, 8, 3) if volume else (8, 8)
        grid_of_it = Grid(shape, tuple(map(float, shape)), ("periodic",) * len(shape))
        spec = {"kind": "file", "path": str(path), "range": [0, 1], "resample": True}
        ways += [lambda: read_file(path), lambda: initial_field("eta", spec, None, grid_of_it, 1, {})]
    if path.suffix == ".dream3d":
        ways.append(lambda: read_grains(str(path)))
    from phasefield.errors import PhasefieldError

    refused: list[PhasefieldError] = []
    for way in ways:
        try:
            way()
        except PhasefieldError as error:
            refused.append(error)
    if len(refused) == len(ways):
        raise refused[0]


def isolated(handle: Callable[[], bool]) -> bool:
    """The same in a process of its own, for what libraries written in C may do with damaged files.

    Raises:
        Fault: as told by the process, or that it was killed.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            # Damaged headers ask for any amount; so much is refused as on a machine that is full.
            import resource

            resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, 8 * 2**30))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 2)
            said = json.dumps(handle())
        except BaseException as error:  # the parent tells it
            said = json.dumps(str(error))
        os.write(writing, said.encode()[:60000])
        os._exit(0)
    os.close(writing)
    end = time.monotonic() + 6 * LIMIT + 5
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(reading)
            raise Fault(f"takes longer than {LIMIT} s, and no signal ends it")
        time.sleep(0.002)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    if not said:
        raise Fault("its process was killed by a signal")
    told = json.loads(said)
    if isinstance(told, str):
        raise Fault(told)
    return bool(told)


# -- many of them ------------------------------------------------------------------------------------------------------


def kinds(folder: Path) -> dict[str, tuple[Any, Callable[[Any], bool]]]:
    """For each kind of input the strategy that makes them and the judge."""
    cache = os.environ["PHASEFIELD_CACHE"]

    def try_file(case: tuple[str, bytes]) -> bool:
        place = folder / "damaged"
        shutil.rmtree(place, ignore_errors=True)
        if case[0] in RUN_FILES:
            shutil.copytree(folder / "run", place)
        place.mkdir(exist_ok=True)
        path = place / case[0]
        path.write_bytes(case[1])
        if path.suffix == ".mhd":
            (place / fuzz_cases.VOLUME).write_bytes(bytes(192))
        return isolated(lambda: judge(lambda: file(path), cache, *([str(place)] if case[0] in RUN_FILES else [])))

    return {
        "configurations": (fuzz_cases.configurations(), lambda case: judge(lambda: configuration(case), cache)),
        "expressions": (fuzz_cases.expressions, lambda case: judge(lambda: expression(case), cache)),
        "files": (None, try_file),
    }


def attack(kind: str, count: int, start: int, folder: Path) -> dict[str, Any]:
    """Tries ``count`` inputs of a kind; returns how many were taken and refused, the slowest, and the smallest fault."""
    strategy, try_one = kinds(folder)[kind]
    if kind == "files":
        strategy = fuzz_cases.mutated(fuzz_cases.originals(folder))
    told = {"taken": 0, "refused": 0, "slowest_s": 0.0}
    faulty: dict[str, Any] = {}

    @seed(start)
    @settings(
        max_examples=count,
        deadline=None,
        report_multiple_bugs=False,
        print_blob=False,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(strategy)
    def handled(case: Any) -> None:
        began = time.perf_counter()
        try:
            taken = try_one(case)
        except Fault as error:  # of those that Hypothesis makes smaller the last is the smallest
            faulty.update(error=str(error), case=[case[0], case[1].hex()] if kind == "files" else case)
            raise
        told["slowest_s"] = max(told["slowest_s"], time.perf_counter() - began)
        told["taken" if taken else "refused"] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of cases too large to print
        try:
            handled()
        except BaseException:
            if not faulty:
                raise
    return {"kind": kind, "inputs": told["taken"] + told["refused"], "seed": start, **told, "fault": faulty or None}


@dataclass
class Ledger:
    """The slices of a kind that are done, a line of JSON each."""

    path: Path
    kind: str

    def done(self) -> list[dict[str, Any]]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [entry for entry in map(json.loads, lines) if entry["kind"] == self.kind]

    def put(self, entry: dict[str, Any]) -> None:
        with open(self.path, "a") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def slices(ledger: Ledger, count: int, size: int, processes: int, minutes: float) -> int:
    """Tries slices until ``count`` inputs are recorded or the time is over; the exit code: 1 of faults, 75 if more is left."""
    end = time.monotonic() + 60 * minutes
    used = {entry["seed"] for entry in ledger.done()}
    going: dict[int, subprocess.Popen[str]] = {}
    tried = sum(entry["inputs"] for entry in ledger.done())
    seeds = (n for n in itertools.count(1) if n not in used)
    while going or (tried < count and time.monotonic() < end):
        while len(going) < processes and tried + size * len(going) < count and time.monotonic() < end:
            number = next(seeds)
            words = [sys.executable, __file__, ledger.kind, "--count", str(size), "--seed", str(number)]
            going[number] = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        for number, process in list(going.items()):
            if process.poll() is not None:
                said = process.stdout.read() if process.stdout else ""
                entry = (
                    json.loads(said) if said else {"kind": ledger.kind, "inputs": 0, "seed": number, "fault": "killed"}
                )
                ledger.put(entry)
                tried += entry["inputs"]
                del going[number]
        time.sleep(0.1)
    entries = ledger.done()
    faults = [e["fault"] for e in entries if e["fault"]]
    sums = {key: sum(e.get(key, 0) for e in entries) for key in ("inputs", "taken", "refused")}
    slowest = max((e.get("slowest_s", 0.0) for e in entries), default=0.0)
    print(
        json.dumps(
            {"kind": ledger.kind, "slices": len(entries), **sums, "slowest_s": slowest, "faults": faults}, indent=1
        )
    )
    return 1 if faults or any(e.get("left_behind") for e in entries) else 0 if tried >= count else 75


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["configurations", "expressions", "files"])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="the file to write the result to")
    parser.add_argument("--record", type=Path, help="the file to which each slice adds a line")
    parser.add_argument("--slice", type=int, default=500, help="inputs of a slice")
    parser.add_argument("--processes", type=int, default=1, help="slices at a time")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no slice after so many")
    given = parser.parse_args()
    if given.record:
        return slices(
            Ledger(given.record.absolute(), given.kind), given.count, given.slice, given.processes, given.minutes
        )
    report = given.json and given.json.absolute()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name:
        os.environ.setdefault("PHASEFIELD_CACHE", f"{name}/cache")
        os.chdir(name)
        result = attack(given.kind, given.count, given.seed, Path(name))
        left = sorted(os.listdir(name))
    result["left_behind"] = [f for f in left if f not in ("cache", "damaged", "run", *fuzz_cases.MADE)]
    text = json.dumps(result, indent=1, ensure_ascii=False)
    if report:
        report.write_text(text + "\n")
    print(text)
    return 0 if result["fault"] is None and not result["left_behind"] else 1


if __name__ == "__main__":
    sys.exit(main())
