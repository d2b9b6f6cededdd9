"""What a person sees while a run goes on: a progress bar on a terminal, else a plain log line every so often."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .console import FOLLOWED
from .driver import Progress


def _speed(steps: int, seconds: float) -> str:
    return f"{steps / seconds:.3g} steps/s" if seconds > 0 and steps > 0 else "- steps/s"


def _left(p: Progress, start: float, seconds: float) -> str:
    done = (p.time - start) / (p.end - start) if p.end > start else 1.0
    return f"about {seconds * (1 - done) / done:.0f} s left" if done > 0 else "time left unknown"


@contextmanager
def progress(every: float = 10.0) -> Iterator[Callable[[Progress], None]]:
    """A function to call after every step.

    Args:
        every: seconds between log lines when standard error is not a terminal.
    """
    if not FOLLOWED[0]:
        yield lambda p: None
        return
    begin = time.monotonic()
    first: list[Progress] = []
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:5.1f} %"),
            TimeRemainingColumn(),
        )
        with Bar(*columns, console=Console(stderr=True), refresh_per_second=4, transient=True) as bar:
            task = bar.add_task("", total=1.0)
            shown = [0.0]

            def draw(p: Progress) -> None:
                first.append(p) if not first else None
                now = time.monotonic()
                if now - shown[0] > 0.2:
                    shown[0] = now
                    speed = _speed(p.step - first[0].step, now - begin)
                    text = f"t = {p.time:.6g}/{p.end:g}  dt = {p.dt:.3g}  {speed}  F = {p.energy:.8g}"
                    bar.update(task, completed=p.time / p.end, description=text)

            yield draw
        return
    last = [begin]

    def line(p: Progress) -> None:
        first.append(p) if not first else None
        now = time.monotonic()
        if now - last[0] >= every:
            last[0] = now
            seconds = now - begin
            print(
                f"t = {p.time:.6g} of {p.end:g} ({100 * p.time / p.end:.1f} %), step {p.step}, dt = {p.dt:.3g}, "
                f"{_speed(p.step - first[0].step, seconds)}, F = {p.energy:.8g}, {p.rejected} rejected, "
                f"{_left(p, first[0].time, seconds)}",
                file=sys.stderr,
                flush=True,
            )

    yield line


@contextmanager
def working() -> Iterator[Callable[[str], None] | None]:
    """A function to call with what is being done, shown with the time it has taken; on a terminal only, else None."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    from .mechanics.watch import watched

    columns = (SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Bar(*columns, console=Console(stderr=True), refresh_per_second=4, transient=True) as bar:
        task = bar.add_task("", total=None)
        what, shown = [""], [0.0]

        def say(text: str) -> None:
            what[0] = text
            bar.update(task, description=text)

        def follow(load: str, iteration: int, error: float, tolerance: float) -> None:
            if (now := time.monotonic()) - shown[0] > 0.2:
                shown[0] = now
                bar.update(
                    task, description=f"{what[0]}: {load}, iteration {iteration}, {error:.1e} of {tolerance:.0e}"
                )

        with watched(follow):
            yield say
