"""Trials of `reliability.py` for runs over several processes, under the mpirun beside this Python or in the path.

A trial is right if besides what `reliability_trials` asks for no rank is left ten seconds after the fault. What goes on does so
on another number of ranks now and then, and all is compared with the bits of one process: ranks that share memory have these.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from reliability_trials import LONG, Found, bits, complain, said, small_disk, state, workshop

#: Seconds in which all ranks have to end.
LIMIT = 10.0
WORDS = ("run", *LONG)
#: Calls of every rank's before it is slow, and seconds of each then: some hundred times a step.
_DELAY = """
import os, sys, time
from phasefield.backend.ranks import member
from phasefield.cli import main
def slow(name):
    quick = getattr(member.Member, name)
    def run(*words, **more):
        time.sleep(0.03)
        return quick(*words, **more)
    setattr(member.Member, name, run)
if os.environ.get("PMI_RANK") == "1":
    slow("run_shared"), slow("run")
main()
"""


def mpirun() -> Path | None:
    """The launcher, if there is one."""
    found = shutil.which("mpirun", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    return None if found is None else Path(found).resolve()


class Ranks:
    """A command over several processes that has been started in a folder.

    Args:
        program: what each process runs, in Python.
    """

    def __init__(
        self, count: int, words: Sequence[str], place: Path, program: Sequence[str] = ("-m", "phasefield")
    ) -> None:
        launcher = mpirun()
        assert launcher is not None
        library = (
            launcher.parents[1] / "lib" / "libmpi.so.12"
        )  # of this very mpirun, of which a machine may have several
        own = {"MPI4PY_LIBMPI": str(library)} if library.exists() else {}
        with open(place / "said.txt", "ab") as output:
            self.child = subprocess.Popen(
                [launcher, "-n", str(count), sys.executable, *program, *words],
                cwd=place, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=os.environ | own,
            )  # fmt: skip
        self.count, self.pids = count, list[int]()

    def begun(self) -> list[int]:
        """The processes of the ranks, by number, once they are there."""
        end = time.monotonic() + 30
        while len(self.pids) < self.count and self.child.poll() is None and time.monotonic() < end:
            self.pids = [pid for proxy in _children(self.child.pid) for pid in _children(proxy)]
            time.sleep(0.02)
        return self.pids

    def ended(self, seconds: float) -> tuple[int | None, float]:
        """The exit code, None if it still runs after so many seconds, and how many it took until no rank was left."""
        start = time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(seconds)
        while any(_runs(pid) for pid in self.pids) and time.monotonic() < start + seconds:
            time.sleep(0.02)
        took = time.monotonic() - start
        left = [pid for pid in self.pids if _runs(pid)]
        code = None if left else self.child.poll()
        if code is None:
            for pid in (*left, self.child.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.child.wait()
        return code, took


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


@contextlib.contextmanager
def exchanging(way: str, cache: Path) -> Iterator[tuple[float, str]]:
    """While ranks exchange in this way: seconds and bits of an unbroken run over two."""
    os.environ["PHASEFIELD_RANKS_EXCHANGE"] = way
    try:
        with workshop(cache) as place:
            began = time.monotonic()
            code, _ = Ranks(2, WORDS, place).ended(300)
            assert code == 0, said(place)
            lasts, right = time.monotonic() - began, bits(place / "run")
        yield lasts, right
    finally:
        del os.environ["PHASEFIELD_RANKS_EXCHANGE"]


def in_parts(cache: Path, seed: int, kills: int, way: str) -> Found:
    """`killed` where ranks have parts: against the bits of an unbroken run over as many ranks."""
    with exchanging(way, cache) as (lasts, right):
        return killed(cache, seed, kills, lasts, right, (2,))


def delayed_in_parts(cache: Path, way: str) -> Found:
    """`delayed` where ranks have parts."""
    with exchanging(way, cache) as (_, right):
        return delayed(cache, right)


def lasting(cache: Path) -> float:
    """Seconds of an unbroken run over two ranks."""
    with workshop(cache) as place:
        began = time.monotonic()
        code, _ = Ranks(2, WORDS, place).ended(300)
        assert code == 0, said(place)
        return time.monotonic() - began


def _go_on(place: Path, right: str, count: int = 2, folder: str = "run", words: Sequence[str] = WORDS) -> list[str]:
    """Runs the same command to its end; what is wrong with that."""
    (place / "said.txt").unlink(missing_ok=True)
    code, _ = Ranks(count, words, place).ended(300)
    wrong = [f"still running: {said(place)[-800:]}"] if code is None else complain(place, code, (0,))
    if not wrong and bits(place / folder) != right:
        wrong = ["other bits than one process"]
    return [f"going on over {count}: {w}" for w in wrong]


def killed(cache: Path, seed: int, kills: int, lasts: float, right: str, counts: Sequence[int] = (1, 2, 2, 3)) -> Found:
    """SIGKILL of a random rank at ``kills`` random moments of as many starts; then the same command, over some of ``counts``."""
    draw, slowest, seen, wrong = random.Random(seed), 0.0, list[str](), list[str]()
    with workshop(cache) as place:
        for _ in range(kills):
            ranks = Ranks(2, WORDS, place)
            pids = ranks.begun()
            with contextlib.suppress(subprocess.TimeoutExpired):
                ranks.child.wait(draw.uniform(0.0, lasts))
            with contextlib.suppress(ProcessLookupError):
                os.kill(draw.choice(pids), signal.SIGKILL)
            code, took = ranks.ended(LIMIT + 10)
            slowest = max(slowest, took)
            if code is None or took > LIMIT:
                wrong.append(f"ranks left after {took:.1f} s: {said(place)[-800:]}")
            seen.append("after the end" if code == 0 else state(place))
            if "Traceback" in said(place):
                wrong.append(f"a traceback: {said(place)[-1500:]}")
        wrong += _go_on(place, right, draw.choice(counts))
        return Found(", ".join(seen), [f"seed {seed}: {w}" for w in wrong], figures={"slowest": slowest})


def signalled(number: int, cache: Path, seed: int, lasts: float, right: str) -> Found:
    """A signal to mpirun or to a random rank at a random moment, again and again until the run is done."""
    draw, slowest, seen, wrong = random.Random(seed), 0.0, list[str](), list[str]()
    allowed = (0, 85 if number == signal.SIGUSR1 else 128 + number)
    with workshop(cache) as place:
        while len(seen) < 4 and not wrong:
            ranks = Ranks(2, WORDS, place)
            pids = ranks.begun()
            time.sleep(2.0 + draw.uniform(0.0, lasts))  # Python has begun by then, and listens
            with contextlib.suppress(ProcessLookupError):
                os.kill(draw.choice([ranks.child.pid, *pids]), number)
            code, took = ranks.ended(LIMIT + 10)
            slowest = max(slowest, took if code else 0.0)
            # Once the work is done, a signal may end Python as it does any program, which mpirun gives on.
            bare = code == number and "fields in fields.nc" in said(place)
            seen.append("after the end" if bare else f"exit code {code}")
            if bare:
                break
            if code is None or took > LIMIT:
                wrong.append(f"ranks left after {took:.1f} s: {said(place)[-800:]}")
            else:
                wrong += complain(place, code, allowed)
            if (place / "run" / "config.yaml").exists() and not (place / "run" / "checkpoint.npz").exists():
                wrong.append("stopped without a checkpoint")
            if code == 0:
                break
        wrong += _go_on(place, right)
        return Found(
            ", ".join(seen), [f"signal {number} seed {seed}: {w}" for w in wrong], len(seen) > 1, {"slowest": slowest}
        )


def walled(cache: Path, seed: int, lasts: float, right: str) -> Found:
    """A random time.wall, requeued up to four times."""
    draw, stops, wrong, code = random.Random(seed), 0, list[str](), None
    with workshop(cache) as place:
        while stops < 4 and not wrong and code != 0:
            code, _ = Ranks(2, [*WORDS, f"time.wall={draw.uniform(2.0, 2.0 + lasts):.3f}"], place).ended(120)
            wrong += [f"still running: {said(place)}"] if code is None else complain(place, code, (0, 85))
            stops += code == 85
        wrong += _go_on(place, right)
        return Found(f"{stops} stops", [f"time.wall seed {seed}: {w}" for w in wrong], stops > 0, {"stops": stops})


def full(cache: Path, pages: int, right: str) -> Found:
    """A disk that is full after so many pages, for rank 0 alone writes; then it has room."""
    with workshop(cache) as place, small_disk(place / "disk", 4096 * pages) as make_room:
        words = [w.replace("output.dir=run", f"output.dir={place}/disk/run") for w in WORDS]
        ranks = Ranks(2, words, place)
        code, _ = ranks.ended(120)
        found = Found(state(place / "disk"), fired=code not in (0, None))
        found.wrong = [f"still running: {said(place)}"] if code is None else complain(place, code, (0, 2))
        make_room()
        found.wrong += _go_on(place, right, folder="disk/run", words=words)
        found.wrong = [f"on {pages} pages: {w}" for w in found.wrong]
        return found


def delayed(cache: Path, right: str) -> Found:
    """A rank that takes a hundred times as long as the other: stopped by time.wall, it goes on without that."""
    with workshop(cache) as place:
        began = time.monotonic()
        code, _ = Ranks(2, [*WORDS, "time.wall=20", "output.checkpoint=1"], place, ("-c", _DELAY)).ended(120)
        took = time.monotonic() - began
        wrong = [f"still running: {said(place)}"] if code is None else complain(place, code, (85,))
        if took > 25:
            wrong.append(f"ended after {took:.1f} s")
        return Found(f"exit code {code}", wrong + _go_on(place, right), figures={"seconds": round(took, 1)})
