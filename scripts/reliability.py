"""What runs survive: kills, signals, full disks, power cuts, late files, jumping clocks, crowds, very many steps.

See docs/reliability.md.

Every part is a set of trials (`reliability_trials`): a run meets a fault, the same command goes on, and the bits of fields.nc,
history.nc and checkpoint.npz are compared with those of a run that nothing happened to. Random moments come from ``--seed``.
Results go to docs/results/reliability.json, each part in place of its former one.

python scripts/reliability.py [PART ...] [--quick] [--seed 1] [--workers 2] [--cache DIR] [--out FILE]
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import datetime
import errno
import json
import multiprocessing
import os
import platform
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import reliability_faults as faults
import reliability_mount as mounts
import reliability_ranks as ranked
import reliability_trials as trials
from reliability_faults import ERRORS, Fault
from reliability_trials import Found

#: A trial, to be run in another process.
Trial = Callable[[], Found]
SIGNALS = {name: getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGINT", "SIGHUP")}


class Bench:
    """Processes that runs are forked from, the cache that they share, and unbroken runs.

    Args:
        workers: how many. seed: of random moments. quick: a few trials of each kind.
        mounts: two folders that are one on a network filesystem, mounted twice; or none.
    """

    def __init__(self, workers: int, seed: int, quick: bool, cache: Path, mounts: Sequence[Path] = ()) -> None:
        self.seed, self.quick, self.cache, self.mounts = seed, quick, cache, mounts
        context = multiprocessing.get_context("spawn")
        problems = (trials.SHORT, (*trials.LONG, "time.max_steps=5"))
        self._pool = concurrent.futures.ProcessPoolExecutor(
            workers, context, initializer=faults.ready, initargs=(problems, cache)
        )
        #: In these every run has its kernels from the cache.
        self._fresh = concurrent.futures.ProcessPoolExecutor(workers, context, initializer=faults.warm)
        self._bits: dict[str, str] = {}

    def ask(self, function: Callable[..., Any], *args: Any) -> Any:
        """The result of a function in one of the processes."""
        return self._pool.submit(function, *args).result()

    def ask_fresh(self, function: Callable[..., Any], *args: Any) -> Any:
        """Likewise, in one that loads or compiles its kernels."""
        return self._fresh.submit(function, *args).result()

    def whole(self, kind: str) -> str:
        """The bits of the unbroken run of a kind."""
        if kind not in self._bits:
            self._bits[kind] = self.ask(trials.whole, kind, self.cache)
        return self._bits[kind]

    def lasts(self, kind: str, forked: bool = True) -> float:
        """Seconds that an unbroken run of a kind takes here, with everything compiled."""
        self.whole(kind)
        return self.ask(lasting, kind, self.cache, forked)

    def some(self, numbers: list[Any], few: int) -> list[Any]:
        """All of them, or with ``--quick`` a few spread over them."""
        return numbers[:: max(1, len(numbers) // few)][:few] if self.quick else numbers

    def run(self, work: list[Trial], fresh: bool = False) -> list[Found]:
        """All trials, side by side; ``fresh``: of runs that load or compile their kernels."""
        pending = [(self._fresh if fresh else self._pool).submit(trial) for trial in work]
        results = []
        for number, done in enumerate(pending):
            try:
                results.append(done.result())
            except Exception as error:  # of the trial itself
                results.append(Found("the trial failed", [f"{type(error).__name__}: {error}"]))
            if sys.stderr.isatty():
                print(f"\r{number + 1}/{len(pending)}", end="", file=sys.stderr)
        return results

    def close(self) -> None:
        self._pool.shutdown()
        self._fresh.shutdown()


def lasting(kind: str, cache: Path, forked: bool) -> float:
    """Seconds of a run of a kind, forked or started anew."""
    with trials.workshop(cache) as place:
        began = time.monotonic()
        if forked:
            faults.call(trials.KINDS[kind], place)
        else:
            trials.real(trials.KINDS[kind], place).wait()
        return time.monotonic() - began


def told(found: list[Found], **more: Any) -> dict[str, Any]:
    """The record of a set of trials."""
    outcomes = collections.Counter(f.what for f in found)
    return {
        "trials": len(found),
        "right": sum(not f.wrong for f in found),
        "fault_happened": sum(f.fired for f in found),
        "outcomes": dict(outcomes.most_common(12)),
        "wrong": [w for f in found for w in f.wrong][:20],
        **more,
    }


# -- the parts ---------------------------------------------------------------------------------------------------------


def kills(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """SIGKILL at random moments of real processes, from the start of Python to after the end."""
    each = 2
    for kind, cache, count in (("run", bench.cache, 40), ("array", bench.cache, 30), ("run", None, 30)):
        count = 2 if bench.quick else count
        right = bench.whole(kind)
        lasts = bench.lasts(kind, forked=False) * (1.1 if cache else 3.0)
        seeds = range(bench.seed, bench.seed + count // each)
        found = bench.run([partial(trials.at_moments, kind, cache, s, each, lasts, right) for s in seeds])
        moments = collections.Counter(moment for f in found for moment in f.what.split(", "))
        name = {"run": "a run", "array": f"an array of {trials.MEMBERS}"}[kind] + (
            ", empty cache" if cache is None else ""
        )
        yield name, told(found, kills=count, within_seconds=round(lasts, 2), moments=dict(moments))


def operations(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """SIGKILL before every operation on files in turn, after every opening, amid every third write in place."""
    for kind in ("run", "array"):
        right, seen = bench.whole(kind), bench.ask(trials.operations, kind, bench.cache)
        places = range(1, len(seen) + 1)
        if kind == "array":  # the members' own operations are those of a run: all that are not, and a share of those
            places = [
                n
                for n in places
                if n % 7 == 0 or "member.yaml" in seen[n - 1] or not re.search(r"run/\d/", seen[n - 1])
            ]
        work = [Fault("kill", n) for n in places]
        work += [Fault("torn", n) for n in places if seen[n - 1].startswith("pwrite")][::3]
        work += [Fault("torn", n) for n in places if seen[n - 1].startswith("open")]
        found = bench.run([partial(trials.at_operation, kind, f, bench.cache, right) for f in bench.some(work, 5)])
        yield {"run": "a run", "array": f"an array of {trials.MEMBERS}"}[kind], told(found, operations=len(seen))


def signals(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """Signals at random moments, again and again until the run is done."""
    right, lasts = bench.whole("long"), bench.lasts("long")
    count = 2 if bench.quick else 30
    seeds = range(bench.seed, bench.seed + count)
    for name, number in SIGNALS.items():
        found = bench.run([partial(trials.signalled, number, bench.cache, s, lasts, right) for s in seeds])
        yield name, told(found)


def walls(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """A random time.wall, requeued up to six times or until the run is done."""
    right, lasts = bench.whole("long"), bench.lasts("long")
    seeds = range(bench.seed, bench.seed + (2 if bench.quick else 30))
    found = bench.run([partial(trials.walled, bench.cache, s, lasts, right) for s in seeds])
    yield "time.wall", told(found, stops=sum(int(f.figures["stops"]) for f in found if f.figures))


def handlers(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """Signals at every eighth operation on files."""
    right, seen = bench.whole("plain"), bench.ask(trials.operations, "plain", bench.cache)
    for name, number in SIGNALS.items():
        every = [Fault("signal", n, number=number) for n in range(1, len(seen) + 1, 8)]
        found = bench.run([partial(trials.at_operation, "plain", f, bench.cache, right) for f in bench.some(every, 2)])
        yield name, told(found)


def disks(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """A disk that is full after any number of pages, and errors at every operation on files."""
    right = bench.whole("run")
    if bench.ask(trials.can_mount):
        pages = bench.some(list(range(1, 110, 2)), 3)
        found = bench.run([partial(trials.full, "run", n, bench.cache, right) for n in pages])
        yield "a full tmpfs, a run", told(found)
        right = bench.whole("array")
        pages = bench.some(list(range(2, 180, 8)), 2)
        found = bench.run([partial(trials.full, "array", n, bench.cache, right) for n in pages])
        yield "a full tmpfs, an array", told(found)
    right, seen = bench.whole("run"), bench.ask(trials.operations, "run", bench.cache)
    for name, step in (("ENOSPC", 1), ("EDQUOT", 7), ("EIO", 7), ("ESTALE", 7)):
        every = [Fault("error", n, 10**6, ERRORS[name]) for n in range(1, len(seen) + 1, step)]
        every += [Fault("error", n, 1, ERRORS[name]) for n in range(2, len(seen) + 1, 2 * step + 7)]
        found = bench.run([partial(trials.at_operation, "run", f, bench.cache, right) for f in bench.some(every, 2)])
        yield f"{name} at operations on files, once or from then on", told(found)


def reports(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """SIGKILL and a full disk at every operation on files of `phasefield report`."""
    right = bench.whole("run")
    for name, kind in (("SIGKILL", "kill"), ("ENOSPC", "error")):
        # Four pictures and the page, five operations each.
        every = bench.some([Fault(kind, n, 10**6, errno.ENOSPC) for n in range(1, 26)], 3)
        yield name, told(bench.run([partial(trials.reported, f, bench.cache, right) for f in every]))


def late(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """Files of a network filesystem that are seen late or answer with an error, and its locks."""
    right = bench.whole("plain")
    names = ("config.yaml", "checkpoint.npz", "history.nc", "fields.nc", "")
    work: list[Trial] = [
        partial(trials.seen_late, name, looks, number, bench.cache, right)
        for name in names
        for number in (errno.ENOENT, errno.ESTALE, errno.EIO)
        for looks in (1, 2, 3, 5, 8)
    ]
    yield "files of the run seen late", told(bench.run(bench.some(work, 3)))
    yield "a lock that lingers", told(bench.run([partial(trials.held_elsewhere, bench.cache, right)]))
    work = [
        partial(trials.cache_late, name, at, looks, number, bench.cache, right)
        for name in (".sums", ".nbi", ".nbc", ".py", ".wisdom")
        for looks, number in ((True, errno.ENOENT), (True, errno.ESTALE), (False, errno.EIO), (False, errno.EROFS))
        for at in (1, 4)
    ]
    yield "files of the cache seen late", told(bench.run(bench.some(work, 3), fresh=True))


def clocks(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """A time of day that jumps by up to a day whenever it is asked for, and files dated up to ten years off."""
    right = bench.whole("long")
    seeds = range(bench.seed, bench.seed + (1 if bench.quick else 10))
    yield (
        "stopped by time.wall",
        told(bench.run([partial(trials.clocked, bench.cache, s, right) for s in seeds], fresh=True)),
    )


def crowds(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """Many starts at the same moment."""
    right, starts = bench.whole("plain"), 4 if bench.quick else 16
    if not bench.quick:
        found = bench.run([partial(trials.together, starts, None, False, "auto", False, right)], fresh=True)
        yield f"{starts} folders, empty cache", told(found)
    for name, resume, left in (
        ("output.resume=never", "never", False),
        ("output.resume=auto", "auto", False),
        ("output.resume=auto, over a beginning", "auto", True),
    ):
        rounds = 1 if bench.quick else 5
        work = [partial(trials.together, starts, bench.cache, True, resume, left, right) for _ in range(rounds)]
        yield f"{starts} in one folder, {name}", told(bench.run(work))


def power(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """The power cut behind every change of a file or a name, with all that was not synced lost, or some of it."""
    if not mounts.can_mount():
        return
    every = {"nothing": 1, "names": 1, "sizes": 1, "contents": 1, "some": 1}
    kinds = (
        ("plain", "a run", False),
        ("plain", "a run that goes on amid a change", True),
        ("array", "an array", False),
    )
    for kind, name, begun in kinds:
        start, changes, right = bench.ask(trials.recorded, kind, bench.cache, begun)
        cuts = bench.ask(trials.states, start, changes, every)
        if kind == "array":  # what is not of the sweep itself is as in a run
            cuts = cuts[::4]
        work = [partial(trials.cut, kind, start, changes, *c, bench.cache, right) for c in bench.some(cuts, 5)]
        found = bench.run([*work, partial(trials.ended, start, changes, right)])
        if right != bench.whole(kind):
            found.append(Found("the unbroken run", [f"{kind}, {name}: other bits on the mounted disk: {right}"]))
        yield name, told(found, changes=len(changes), states=len(cuts))
    start, changes, right = bench.ask_fresh(trials.recorded, "plain", None)
    at = len(changes)
    cuts = [(at, "nothing", 0), (at, "names", 0), (at, "sizes", 0), *((at - 40 * n, "some", n) for n in range(5))]
    work = [partial(trials.cut, "plain", start, changes, *c, None, right) for c in bench.some(cuts, 1)]
    yield "a run and its cache on one disk", told(bench.run(work, fresh=True), changes=at)


def hosts(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """A network filesystem as two hosts see it: runs that move between them, two at once in one folder, a cache in common."""
    if not bench.mounts:
        return
    right, lasts = bench.whole("long"), bench.lasts("long")
    seeds = range(bench.seed, bench.seed + (1 if bench.quick else 10))
    work: list[Trial] = [partial(trials.moved, bench.mounts, bench.cache, s, 3, lasts, right) for s in seeds]
    yield "killed, and taken up on the other host at once", told(bench.run(work), kills=3 * len(work))
    work = [partial(trials.both, bench.mounts, bench.cache, right) for _ in bench.some(list(seeds[:5]), 1)]
    yield "started on both at once, in one folder", told(bench.run(work))
    starts = 4 if bench.quick else 16
    yield (
        f"{starts} starts, an empty cache in common",
        told(bench.run([partial(trials.crowd, bench.mounts, starts)], True)),
    )


def ranks(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """Runs over two processes: kills, signals and limits at random moments, full disks, a slow rank."""
    if ranked.mpirun() is None:
        return
    right, lasts = bench.whole("long"), bench.ask(ranked.lasting, bench.cache)
    seeds = list(range(bench.seed, bench.seed + 10))
    each = 1 if bench.quick else 5
    found = bench.run(
        [partial(ranked.killed, bench.cache, s, each, 1.1 * lasts, right) for s in bench.some(seeds, 1)], fresh=True
    )
    moments = collections.Counter(moment for f in found for moment in f.what.split(", "))
    kinds: list[tuple[str, list[Trial]]] = [
        (
            name,
            [partial(ranked.signalled, SIGNALS[name], bench.cache, s, lasts, right) for s in bench.some(seeds[:5], 1)],
        )
        for name in ("SIGTERM", "SIGUSR1")
    ]
    slowest = max(f.figures["slowest"] for f in found)
    yield "SIGKILL of a random rank", told(found, kills=each * len(found), moments=dict(moments), slowest=slowest)
    for way in ("alltoall", "alltoall:1"):
        found = bench.run(
            [partial(ranked.in_parts, bench.cache, s, each, way) for s in bench.some(seeds[:5], 1)], fresh=True
        )
        slowest = max(f.figures["slowest"] for f in found)
        yield f"SIGKILL of a random rank that has a part, {way}", told(found, kills=each * len(found), slowest=slowest)
        (slow,) = bench.run([partial(ranked.delayed_in_parts, bench.cache, way)], fresh=True)
        yield f"a rank a hundred times slower, {way}", told([slow], **slow.figures)
    for name, work in kinds:
        found = bench.run(work, fresh=True)
        yield f"{name} to mpirun or a random rank", told(found, slowest=max(f.figures.get("slowest", 0) for f in found))
    found = bench.run(
        [partial(ranked.walled, bench.cache, s, lasts, right) for s in bench.some(seeds[:5], 1)], fresh=True
    )
    yield "time.wall", told(found, stops=sum(int(f.figures.get("stops", 0)) for f in found))
    if bench.ask(trials.can_mount):
        pages = bench.some(list(range(2, 60, 6)), 1)
        yield "a full tmpfs", told(bench.run([partial(ranked.full, bench.cache, n, right) for n in pages], fresh=True))
    (slow,) = bench.run([partial(ranked.delayed, bench.cache, right)], fresh=True)
    yield "a rank a hundred times slower", told([slow], **slow.figures)


def endurance(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """Very many steps: memory, open files, the cost of a row."""
    for steps, size, rows in ((10**6, 16, 100), (10**5, 16, 10**5)):
        steps, rows = (steps // 10, rows // 10) if bench.quick else (steps, rows)
        every = 0.5 if bench.quick else 5.0
        (found,) = bench.run([partial(trials.endures, steps, size, max(rows, 10), every, bench.cache)])
        yield f"{steps} steps of {size} x {size}, {max(rows, 10)} rows", told([found], **found.figures)


PARTS: dict[str, Callable[[Bench], Iterator[tuple[str, dict[str, Any]]]]] = {
    part.__name__: part
    for part in (
        kills,
        operations,
        signals,
        walls,
        handlers,
        disks,
        reports,
        late,
        power,
        hosts,
        clocks,
        crowds,
        ranks,
        endurance,
    )
}


def record(path: Path, part: str, rows: dict[str, Any], seed: int, seconds: float) -> None:
    """Puts the results of a part into the file, in place of its former ones."""
    from phasefield.provenance import version

    everything = json.loads(path.read_text()) if path.exists() else {}
    everything[part] = {
        "what": (PARTS[part].__doc__ or "").strip(),
        "date": datetime.date.today().isoformat(),
        "phasefield": version(),
        "python": platform.python_version(),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "seed": seed,
        "seconds": round(seconds),
        "rows": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({p: everything[p] for p in PARTS if p in everything}, indent=1) + "\n")


def processor() -> str:
    """The name of the processor."""
    with open("/proc/cpuinfo") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all")
    parser.add_argument("--quick", action="store_true", help="a few trials of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="trials at a time")
    parser.add_argument("--cache", type=Path, help="a cache of compiled kernels to begin with; one that is thrown away")
    parser.add_argument(
        "--mounts", nargs=2, type=Path, default=(), help="of `hosts`: a network filesystem, mounted twice"
    )
    parser.add_argument("--out", type=Path, default=Path("docs/results/reliability.json"))
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    os.environ["OMP_NUM_THREADS"] = "1"
    wrong = 0
    print(f"seed {given.seed}")
    with tempfile.TemporaryDirectory(prefix="phasefield-reliability-") as folder:
        bench = Bench(given.workers, given.seed, given.quick, (given.cache or Path(folder)).resolve(), given.mounts)
        try:
            for part in given.parts or PARTS:
                began, rows = time.monotonic(), {}
                for name, row in PARTS[part](bench):
                    rows[name] = row
                    record(given.out, part, rows, given.seed, time.monotonic() - began)
                    wrong += len(row["wrong"])
                    print(f"{part}: {name}: {row['right']} of {row['trials']} right", flush=True)
                    for text in row["wrong"][:5]:
                        print(f"  {text}", flush=True)
        finally:
            bench.close()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
