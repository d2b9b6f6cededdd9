"""Trials of `reliability.py`: each starts a run under a fault, lets the same command go on, and compares bits.

A trial works in a folder of its own and returns what happened in words and what was wrong, nothing if all was right. Right is:
the command ended with an exit code of docs/cluster.md and at most one error message, and the same command, once the fault is
gone, ends with 0 and the bits of a run that nothing happened to (`bits`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
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


# -- what nothing happens to -------------------------------------------------------------------------------------------


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


# -- kills -------------------------------------------------------------------------------------------------------------


def at_operation(kind: str, fault: Fault, cache: Path, right: str) -> Found:
    """A kill, a signal or an error at one operation on files; then the same command."""
    with workshop(cache) as place:
        words = KINDS[kind]
        fault = replace(fault, below=str(place / "run"))
        code = faults.call(words, place, fault)
        found = Found(state(place))
        if fault.kind in ("kill", "torn"):
            found.fired = code == -signal.SIGKILL
            allowed: Sequence[int] = (0, -signal.SIGKILL)
        elif fault.kind == "signal":
            stopped = 85 if fault.number == signal.SIGUSR1 else 128 + fault.number
            allowed = (0, stopped)
            found.fired = code != 0
        else:
            allowed = (0, *ERROR)
            found.fired = code != 0
        found.wrong = complain(place, code, allowed) + goes_on(place, words, right)
        if found.wrong:
            found.wrong = [f"{kind} {fault.kind} {fault.number or ''} at {fault.at}: {w}" for w in found.wrong]
        return found


def real(words: Sequence[str], place: Path) -> subprocess.Popen[bytes]:
    """The command in a process that starts Python anew."""
    with open(place / "said.txt", "ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "phasefield", *words],
            cwd=place,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )


def at_moments(kind: str, cache: Path | None, seed: int, kills: int, lasts: float, right: str) -> Found:
    """Kills at ``kills`` random moments of as many starts of the same command, each within ``lasts`` seconds; then it goes on.

    Args:
        cache: None for an empty one, so that kernels are compiled under the kills; FFTW's plans are then made too, and the
            unbroken run that is compared with takes those of this cache.
    """
    draw = random.Random(seed)
    with workshop(cache) as place:
        seen, words = [], KINDS[kind]
        for _ in range(kills):
            child = real(words, place)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(draw.uniform(0.0, lasts))
            child.kill()
            code = child.wait()
            seen.append(state(place) if code == -signal.SIGKILL else "after the end")
            if code not in (0, -signal.SIGKILL):
                return Found("", [f"{kind} seed {seed}: exit code {code}: {said(place)[-1500:]}"])
        found = Found(", ".join(seen))
        if cache is None:
            # The bits belong to the plans of this cache.
            code = faults.call(words, place)
            mine = bits(place / "run") if code == 0 else ""
            shutil.rmtree(place / "run", ignore_errors=True)
            right = mine
        found.wrong = [f"{kind} seed {seed} ({found.what}): {w}" for w in goes_on(place, words, right)]
        return found


# -- signals -----------------------------------------------------------------------------------------------------------


def signalled(number: int, cache: Path, seed: int, lasts: float, right: str) -> Found:
    """A signal at a random moment, again and again until the run is done."""
    draw = random.Random(seed)
    with workshop(cache) as place:
        seen: list[str] = []
        wrong: list[str] = []
        while len(seen) < 8:
            pid = faults.start(LONG, place)
            time.sleep(draw.uniform(0.0, lasts))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            code = faults.wait(pid)
            # Before our handlers are in place, and once the work is done, a signal ends Python as it does any program.
            bare = code in (-number, 70)
            seen.append("by itself" if bare else f"exit code {code}")
            if not bare:
                wrong += complain(place, code, (0, 85 if number == signal.SIGUSR1 else 128 + number))
                if (place / "run" / "config.yaml").exists() and not (place / "run" / "checkpoint.npz").exists():
                    wrong.append("stopped without a checkpoint")
            if code == 0 or wrong:
                break
        wrong += goes_on(place, LONG, right)
        return Found(", ".join(seen), [f"signal {number} seed {seed}: {w}" for w in wrong], len(seen) > 1)


def walled(cache: Path, seed: int, lasts: float, right: str) -> Found:
    """A random time.wall, up to six times or until the run is done."""
    draw = random.Random(seed)
    with workshop(cache) as place:
        seen, wrong = [], []
        code = 85
        while code == 85 and not wrong and len(seen) < 6:
            limit = draw.uniform(0.6, 0.6 + lasts)
            code = faults.call([*LONG, f"time.wall={limit:.3f}"], place)
            seen.append(code)
            wrong += complain(place, code, (0, 85))
            if code == 85 and not (place / "run" / "checkpoint.npz").exists():
                wrong.append("stopped without a checkpoint")
        wrong += goes_on(place, LONG, right)
        stops = seen.count(85)
        return Found(f"{stops} stops", [f"time.wall seed {seed}: {w}" for w in wrong], stops > 0, {"stops": stops})


# -- disks -------------------------------------------------------------------------------------------------------------


def can_mount() -> bool:
    """Whether a small filesystem can be had."""
    with scratch() as place, contextlib.suppress(OSError):
        if (
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], capture_output=True).returncode
            == 0
        ):
            return subprocess.run(["umount", place], capture_output=True).returncode == 0
    return False


@contextlib.contextmanager
def small_disk(place: Path, size: int) -> Iterator[Callable[[], None]]:
    """A filesystem of ``size`` bytes at ``place``; yields what makes room on it."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place], check=True)
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=64m", place], check=True) and None
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def full(kind: str, pages: int, cache: Path, right: str) -> Found:
    """A disk that is full after so many pages; then it has room."""
    with workshop(cache) as place, small_disk(place / "disk", 4096 * pages) as make_room:
        disk = place / "disk"
        words = [w.replace("output.dir=run", f"output.dir={disk}/run") for w in KINDS[kind]]
        code = faults.call(words, place)
        found = Found(state(disk), fired=code != 0)
        found.wrong = complain(place, code, (0, *ERROR))
        if code == 2 and "No space left" not in said(place):
            found.wrong.append(f"the message does not say that the disk is full: {said(place)[-500:]}")
        make_room()
        (place / "said.txt").unlink()
        code = faults.call(words, place)
        found.wrong += complain(place, code, (0,))
        if not found.wrong and bits(disk / "run") != right:
            found.wrong.append("other bits than the unbroken run")
        found.wrong = [f"{kind} on {pages} pages: {w}" for w in found.wrong]
        return found


def reported(fault: Fault, cache: Path, right: str) -> Found:
    """A kill or an error while a report is written; then the same command, and the run is as it was."""
    with workshop(cache) as place:
        if faults.call(KINDS["run"], place):
            return Found("", [f"the run ended with an error: {said(place)}"])
        page, words = place / "run" / "report.html", ["report", "run"]
        code = faults.call(words, place, replace(fault, below=str(page.parent)))
        found = Found("no page yet" if not page.exists() else "a page", fired=code != 0)
        found.wrong = complain(place, code, (0, -signal.SIGKILL) if fault.kind == "kill" else (0, 2))
        if page.exists() and "</html>" not in page.read_text():
            found.wrong.append("half a page")
        (place / "said.txt").unlink(missing_ok=True)
        found.wrong += complain(place, faults.call(words, place), (0,))
        if not page.exists() or "</html>" not in page.read_text():
            found.wrong.append("no whole page afterwards")
        if bits(place / "run") != right:
            found.wrong.append("the run was changed")
        found.wrong = [f"report, {fault.kind} at {fault.at}: {w}" for w in found.wrong]
        return found


# -- network filesystems -----------------------------------------------------------------------------------------------


def begun(place: Path, kind: str) -> None:
    """A run that was killed on its way, after a checkpoint."""
    count = faults.call(KINDS[kind], place, Fault("kill", 3, name="checkpoint.npz.tmp", below=str(place / "run")))
    assert count == -signal.SIGKILL, said(place)


def seen_late(name: str, looks: int, number: int, cache: Path, right: str) -> Found:
    """A file of a run killed on another host is not seen, or answers with an error, at the first ``looks`` looks at it."""
    with workshop(cache) as place:
        begun(place, "plain")
        fault = Fault("error", 1, looks, number, looks=True, name=name, below=str(place / "run"))
        code = faults.call(KINDS["plain"], place, fault)
        found = Found(f"exit code {code}")
        found.wrong = complain(place, code, (0, 2)) + goes_on(place, KINDS["plain"], right)
        found.wrong = [f"{name or 'any file'} seen late, {looks} looks, errno {number}: {w}" for w in found.wrong]
        return found


def cache_late(name: str, at: int, looks: bool, number: int, cache: Path, right: str) -> Found:
    """The cache answers with an error, or does not show a file that is there, at one operation or look."""
    with scratch() as place:
        own = place / "cache"
        shutil.copytree(cache, own)
        os.environ["PHASEFIELD_CACHE"] = str(own)
        fault = Fault("error", at, 3, number, looks=looks, name=name, below=str(own))
        code = faults.call(KINDS["plain"], place, fault)
        found = Found(f"exit code {code}")
        found.wrong = complain(place, code, (0,))
        if not found.wrong and bits(place / "run") != right:
            found.wrong.append("other bits than the unbroken run")
        found.wrong = [f"cache, {name or 'any file'}, errno {number} at {at}: {w}" for w in found.wrong]
        return found


def held_elsewhere(cache: Path, right: str) -> Found:
    """A lock that a dead host's server still holds: the run refuses, and goes on when it is given back."""
    import fcntl

    with workshop(cache) as place:
        begun(place, "plain")
        descriptor = os.open(place / "run" / ".lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        code = faults.call(KINDS["plain"], place)
        wrong = complain(place, code, (2,))
        os.close(descriptor)
        return Found(f"exit code {code}", wrong + goes_on(place, KINDS["plain"], right))


# -- clocks ------------------------------------------------------------------------------------------------------------


def jumping_clock(seed: int) -> None:
    """From here on the time of day jumps by up to a day, forwards and backwards, whenever it is asked for."""
    draw, now, now_ns = random.Random(seed), time.time, time.time_ns
    time.time = lambda: now() + draw.uniform(-86400, 86400)  # type: ignore[assignment]
    time.time_ns = lambda: now_ns() + draw.randrange(-86400, 86400) * 10**9  # type: ignore[assignment]


def clocked(cache: Path, seed: int, right: str) -> Found:
    """Runs stopped by time.wall, with checkpoints by their cost, under a jumping clock, their files dated years off."""
    draw = random.Random(seed)
    with scratch() as place:
        own = place / "cache"
        shutil.copytree(cache, own)
        os.environ["PHASEFIELD_CACHE"] = str(own)
        words = [w for w in LONG if not w.startswith("output.checkpoint")]
        wrong, stops, code = [], 0, 85
        while code == 85 and stops < 4 and not wrong:
            began = time.monotonic()
            code = faults.call([*words, "time.wall=0.9"], place, before=lambda s=seed + stops: jumping_clock(s))  # type: ignore[misc]
            took = time.monotonic() - began
            wrong += complain(place, code, (0, 85))
            if code == 85 and took > 30:
                wrong.append(f"stopped after {took:.1f} s")
            stops += code == 85
            for file in [*own.rglob("*"), *(place / "run").rglob("*")]:
                # numba takes a source of another date for another source: its compiled code is then made anew.
                if file.suffix != ".py":
                    os.utime(file, (t := time.time() + draw.uniform(-3e8, 3e8), t))
        if not wrong and stops == 0:
            wrong.append("never stopped by time.wall")
        wrong += goes_on(place, words, right)
        return Found(f"{stops} stops", [f"clock seed {seed}: {w}" for w in wrong], figures={"stops": stops})


# -- many at once ------------------------------------------------------------------------------------------------------


def together(starts: int, cache: Path | None, one_folder: bool, resume: str, left: bool, right: str) -> Found:
    """Starts at the same moment, on an empty cache or a common one, in folders of their own or all in one.

    Args:
        left: whether the one folder holds the beginning of a run that was killed before its first checkpoint.
    """
    words = [w for w in KINDS["plain"] if not w.startswith("output.resume")] + [f"output.resume={resume}"]
    with workshop(cache) as place:
        if left:
            faults.call(words, place, Fault("kill", 1, name="fields.nc.tmp", below=str(place / "run")))
        gate, hold = os.pipe()
        os.set_inheritable(hold, False)
        children = []
        for number in range(starts):
            folder = place / ("" if one_folder else str(number))
            folder.mkdir(exist_ok=True)
            children.append(
                faults.start(words, folder, before=lambda: os.close(hold), gate=gate, said=f"said.{number}.txt")
            )
        time.sleep(0.3)
        os.close(hold)
        os.close(gate)
        codes = [faults.wait(pid, 280) for pid in children]
        texts = [(place / ("" if one_folder else str(n)) / f"said.{n}.txt").read_text() for n in range(starts)]
        wrong = [f"start {n}: a traceback: {t[-1500:]}" for n, t in enumerate(texts) if "Traceback" in t]
        counts = {code: codes.count(code) for code in sorted(set(codes))}
        if one_folder:
            # With output.resume=auto one that comes late finds the run ended, and that is no error.
            ran = [
                t for t in texts if "history in history.nc" in t and "already ended" not in t and "resuming" not in t
            ]
            if set(counts) - {0, 2} or not counts.get(0) or len(ran) != 1 or (resume == "never" and counts.get(0) != 1):
                wrong.append(f"exit codes {counts}, {len(ran)} ran from the start")
            wrong += [
                f"start {n} said {t.count('phasefield: error: ')} errors: {t[-500:]}"
                for n, (c, t) in enumerate(zip(codes, texts, strict=True))
                if c == 2 and t.count("phasefield: error: ") != 1
            ]
            results = {bits(place / "run")}
        else:
            if counts != {0: starts}:
                wrong.append(f"exit codes {counts}: {[t[-500:] for c, t in zip(codes, texts, strict=True) if c][:2]}")
            results = {bits(place / str(n) / "run") for n in range(starts)}
        if len(results) != 1 or (cache is not None and results != {right}):
            wrong.append(f"{len(results)} different results")
        return Found(", ".join(f"{n} of code {c}" for c, n in counts.items()), wrong)


# -- endurance ---------------------------------------------------------------------------------------------------------


#: Seconds after which a run has made all that it keeps.
_STARTING = 5.0


def endures(steps: int, size: int, outputs: int, every: float, cache: Path) -> Found:
    """A run of very many steps, whose memory and open files are looked at every ``every`` seconds."""
    with workshop(cache) as place:
        words = [
            *(w for w in PROBLEM if not w.startswith("grid")),
            f"grid.shape=[{size},{size}]",
            "time.adaptive=false",
            "time.dt=0.01",
            f"time.end={0.01 * steps!r}",
            f"output.every={{steps: {max(1, steps // 10)}}}",
            f"output.history={{steps: {max(1, steps // outputs)}}}",
            "output.checkpoint=10",
            "output.picture=false",
        ]
        began = time.monotonic()
        child = real(words, place)
        memory: list[tuple[float, int, int]] = []
        while child.poll() is None:
            time.sleep(every)
            with contextlib.suppress(OSError, StopIteration, ValueError):
                status = Path(f"/proc/{child.pid}/status").read_text().splitlines()
                resident = int(next(line for line in status if line.startswith("VmRSS")).split()[1])
                memory.append((time.monotonic() - began, resident, len(os.listdir(f"/proc/{child.pid}/fd"))))
        took = time.monotonic() - began
        found = Found(f"{steps} steps", complain(place, child.returncode, (0,)))
        # What starting takes is no growth: a tenth of the time, and seconds, have to pass before.
        settled = [m for m in memory if m[0] > max(0.1 * took, _STARTING)] or memory[-1:]
        start, end = settled[0][1], settled[-1][1]
        files = [m[2] for m in settled]
        found.figures = {
            "steps": steps, "rows": outputs, "seconds": round(took, 1), "ms_per_step": round(1e3 * took / steps, 4),
            "samples": len(settled), "resident_kB_first": start, "resident_kB_last": end,
            "growth_percent": round(100 * (end / start - 1), 3), "files_least": min(files), "files_most": max(files),
            "history_bytes_per_row": round((place / "run" / "history.nc").stat().st_size / outputs, 1),
        }  # fmt: skip
        if end > 1.01 * start:
            found.wrong.append(f"memory grew from {start} to {end} kB")
        return found
