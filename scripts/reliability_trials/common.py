"""The runs of the trials, what came of them, and what is right."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import reliability_faults as faults
from reliability_faults import Fault

#: A run that takes about a second, nearly all of it the start.
PROBLEM = (
    "model=allen_cahn",
    "grid.shape=[16,16]",
    "output.observables=[free_energy]",
    "threads.cpu=1",
    "device=cpu",
    "output.resume=auto",
    "output.dir=run",
)
#: Three steps with a checkpoint after each, so that its operations on files can be gone through one by one.
SHORT = (*PROBLEM, "time.max_steps=3", "output.every={steps: 2}", "output.history={steps: 1}", "output.checkpoint=0")
#: Steps enough for moments among them.
LONG = (
    *PROBLEM,
    "time.adaptive=false",
    "time.dt=0.01",
    "time.end=40",
    "output.checkpoint=0.02",
    "output.picture=false",
)
MEMBERS = 2
KINDS = {
    "run": SHORT,
    "plain": (*SHORT, "output.picture=false", "output.kernels=false"),
    "array": ("run", "-m", *SHORT, "seed=1,2", "output.picture=false"),
    "long": LONG,
}
#: Exit codes of a command that met an error, in a run and in a member of a sweep.
ERROR = (1, 2)


@dataclass
class Found:
    """What came of a trial.

    Attributes:
        what: in words, to be counted. wrong: what was not right. fired: whether the fault happened at all.
    """

    what: str = ""
    wrong: list[str] = field(default_factory=list)
    fired: bool = True
    #: Measured numbers by name.
    figures: dict[str, float] = field(default_factory=dict)


def bits(folder: Path) -> str:
    """One hash of all values in the fields.nc and history.nc, and of every byte of the checkpoint, of all runs below a folder."""
    from phasefield.store import open_dataset

    found = hashlib.sha256()
    for run in sorted(p.parent for p in folder.rglob("config.yaml")):
        found.update(str(run.relative_to(folder)).encode())
        for name in ("fields.nc", "history.nc"):
            with open_dataset(run / name) as data:
                for key in sorted(map(str, data.variables)):
                    values = data[key].values
                    found.update(f"{name} {key} {values.dtype} {values.shape}".encode())
                    found.update(values.astype(str).tobytes() if values.dtype.kind == "O" else values.tobytes())
        found.update((run / "checkpoint.npz").read_bytes())
    return found.hexdigest()


@contextlib.contextmanager
def workshop(cache: Path | None) -> Iterator[Path]:
    """A folder for one trial, with ``PHASEFIELD_CACHE`` set to ``cache``, or to an empty folder of its own."""
    with scratch() as place:
        os.environ["PHASEFIELD_CACHE"] = str(cache or place / "cache")
        yield place


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A new folder, removed afterwards. The names of what is made are told apart by the process."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="phasefield-reliability-", ignore_cleanup_errors=True) as name:
        yield Path(name).resolve()


def said(place: Path) -> str:
    """What the processes of a trial have printed."""
    with contextlib.suppress(OSError):
        return (place / "said.txt").read_text(errors="replace")
    return ""


def complain(place: Path, code: int, allowed: Sequence[int]) -> list[str]:
    """What is wrong with how a command ended: its code, a traceback, more than one error message or none."""
    text = said(place)
    wrong = [] if code in allowed else [f"exit code {code}, not one of {list(allowed)}: {text[-800:]}"]
    if "Traceback" in text:
        wrong.append(f"a traceback: {text[-1500:]}")
    told = text.count("phasefield: error: ")
    if code == 2 and told != 1:
        wrong.append(f"{told} error messages with code 2: {text[-800:]}")
    return wrong


def goes_on(place: Path, words: Sequence[str], whole: str) -> list[str]:
    """Runs the same command with nothing in its way; what is wrong with its end."""
    with contextlib.suppress(OSError):
        (place / "said.txt").unlink()
    code = faults.call(words, place)
    wrong = complain(place, code, (0,))
    if not wrong and (found := bits(place / "run")) != whole:
        wrong = [f"other bits than the unbroken run: {found[:12]}, not {whole[:12]}"]
    return [f"going on: {w}" for w in wrong]


def state(place: Path) -> str:
    """How far the run in a folder is, by its files alone."""
    run = place / "run"
    if not run.exists():
        return "no folder yet"
    return "after a checkpoint" if any(run.rglob("checkpoint.npz")) else "before the first checkpoint"


def whole(kind: str, cache: Path, extra: Sequence[str] = ()) -> str:
    """The bits of the unbroken run of a kind."""
    with workshop(cache) as place:
        words = [*KINDS[kind], *extra]
        if code := faults.call(words, place):
            raise RuntimeError(f"the unbroken run ended with {code}: {said(place)}")
        return bits(place / "run")


def operations(kind: str, cache: Path, looks: bool = False, name: str = "") -> list[str]:
    """Operations on files of a run of a kind, each as its name and the file's name."""
    with workshop(cache) as place:
        fault = Fault(below=str(place), looks=looks, name=name)
        faults.call(KINDS[kind], place, fault, seen="seen.txt")
        lines = (place / "seen.txt").read_text().splitlines()
        return [line.replace(f"{place}/", "") for line in lines]
