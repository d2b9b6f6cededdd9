"""Samples that are simulated for statistics: a sweep over seeds and sizes that goes on where it was stopped."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import api, config, running, sweep
from ..command import Call, Command
from ..errors import ConfigError, OutputError
from ..store import RunFolder
from ..wall import STARTED, WANTS_MORE
from .statistics import enough
from .statistics_settings import Request

#: Keys of a run that the samples differ in, with the key that says how.
_OURS = {"grid.shape": "sizes=[L,...]", "output.dir": "output=FILE.nc"}


def jobs_of(request: Request, rest: Sequence[str]) -> list[list[str]]:
    """What every run is asked, checked: for every seed all sizes, so that more members are added behind.

    Raises:
        ConfigError: a run that cannot be made, or fewer members than an interval takes.
    """
    enough(request.members)
    keys = [o.lstrip("+").partition("=")[0] for o in rest]
    for key, instead in _OURS.items():
        if key in keys:
            raise ConfigError(key, "is another for every sample", f"give {instead} instead")
    if request.device is not None:
        rest = [*rest, f"device={request.device}"]
    base = config.to_spec(config.compose(rest))
    dim, sizes = len(base.grid.shape), request.sizes or [int(base.grid.shape[0])]
    steps = None
    if base.grid.length is not None:  # the cells stay as large as they are
        given = base.grid.length if isinstance(base.grid.length, list | tuple) else [base.grid.length] * dim
        steps = [v / n for v, n in zip(given, base.grid.shape, strict=True)]
        rest = [o for o in rest if not o.lstrip("+").startswith("grid.length=")]
    jobs = []
    for number in range(request.members):
        for size in sizes:
            job = [*rest, f"seed={request.seed + number}", f"grid.shape=[{','.join([str(size)] * dim)}]"]
            jobs.append(job if steps is None else [*job, f"grid.length=[{','.join(repr(s * size) for s in steps)}]"])
    for job in jobs[: len(sizes)]:
        config.to_spec(config.compose(job))
    return jobs


def simulate(request: Request, rest: Sequence[str], folder: Path, line: str) -> int:
    """Runs what is not done yet; a member that fails is written down, and the rest goes on. The exit code, 128 and more if
    stopped by a signal, `WANTS_MORE` if by ``time.wall``.

    Raises:
        OutputError: the folder holds something else, or a sweep that was asked for other things.
    """
    jobs = jobs_of(request, rest)
    _prepare(folder, jobs, line)
    done = {m.number: m for m in sweep.members(folder)}
    failed = 0
    for number, job in enumerate(jobs):
        member = done.get(number)
        if member is not None and member.code == 0:
            continue
        place = RunFolder(folder / str(number))
        print(
            f"sample {number + 1} of {len(jobs)}: {' '.join(o for o in job if o.startswith(('seed=', 'grid.shape=')))}",
            file=sys.stderr,
        )
        code = sweep.run_member(place.path, number, job, lambda p=place, j=job: _run(p, j, line))  # type: ignore[misc]
        if sweep.stops(code):
            return code
        failed += code != 0
    return 1 if failed else 0


def _run(place: RunFolder, job: Sequence[str], line: str) -> int:
    """A member from its beginning, or from its checkpoint."""
    if not running.cleared(place):
        run = api.resume(place.path, progress=True, command=line, began=STARTED)
    else:
        run = api.run_config(config.compose(job), line, place.path, progress=True, began=STARTED)
    if run.outcome is None:
        return 0
    stopped = run.outcome.signal
    if run.outcome.reason == "wall" or stopped == signal.SIGUSR1:  # the notice of a batch system
        return WANTS_MORE
    return 0 if stopped is None else 128 + stopped


def _prepare(folder: Path, jobs: Sequence[Sequence[str]], line: str) -> None:
    """The folder of the sweep: a new one, or one that was asked for the same, or for fewer members."""
    call = Call("run", Command(None, lambda call: 0, folder="output"), line=line)
    if not sweep.is_sweep(folder):
        sweep.prepare(str(folder), jobs, call)
        return
    before = [list(map(str, m.overrides)) for m in sweep.members(folder)]
    asked = [list(map(config.original, job)) for job in jobs]
    shared = min(len(before), len(asked))
    if before[:shared] != asked[:shared]:
        raise OutputError(
            f"{folder}: holds samples that were asked for other things\n  choose another output, or delete the folder"
        )
    if len(asked) > len(before):
        sweep.extend(folder, asked, line)
