"""A model of a step over many ranks: passes over memory, exchanges, latencies, with constants measured here. See docs/scaling.md.

    for n in 1 2 4; do mpirun -n $n python scripts/scaling_model.py measure; done      # into docs/results/scaling.json
    python scripts/scaling_model.py                                                    # measured, and predicted

A step of Cahn and Hilliard's equation transforms one component there and back:

    T(N) = (p + 6) s V / (N B) + 2 (f s V / (N X) + (N - m) a) + w,    f = (N - m) / (N - 1)

V cells of s bytes, N ranks, of which m read each other's memory; p passes over memory, and six of parts that are left for others;
B the memory bandwidth of a rank while all compute; X the rate at which a rank hands its part of a component over in one exchange
of messages, a the time for a message of no length; w for the word from rank 0 and the sums that come back. p is what one process
takes, in units of its own B.

Where there are more ranks than rows they have pencils: both ways are two exchanges, each of all that a rank has, among some
sqrt(N) ranks, and four passes more for what is left in between.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results" / "scaling.json"
#: Bytes of a number.
SIZE = 8
#: Cells along each axis of what is measured.
EDGE = 128
#: Passes over memory of parts that a transform there and back leaves for others: one copied each way, to be read and written, and
#: one that is transformed by itself.
LEFT = 6
#: More of them where a transform has two exchanges: copied once more each way, and transformed while it is in the cache.
BETWEEN = 4


@dataclass(frozen=True)
class Machine:
    """What the model knows of a machine.

    Attributes:
        passes: over memory that a step takes. memory: bytes a second of a rank while all compute. exchange: bytes a second of a
            rank in an exchange, copies and network; latency: seconds for a message of no length. word: seconds for a word to N
            ranks and the sums back, as a function of N. together: ranks that read each other's memory.
    """

    passes: float
    memory: float
    exchange: float
    latency: float
    word: Callable[[int], float]
    together: int = 1

    def parts(self, cells: float, ranks: int, rows: float = math.inf) -> tuple[float, float, float, float]:
        """Seconds of a step: passes over memory, exchanges by size, exchanges by number of messages, words.

        Args:
            rows: cells along the first axis; more ranks than that have pencils.
        """
        own = SIZE * cells / ranks
        several, far = ranks > 1, max(0, ranks - self.together)
        exchanges, partners, passes = 1.0, float(far), LEFT
        if ranks > rows:
            exchanges, partners, passes = 2.0, 2 * (math.sqrt(ranks) - 1), LEFT + BETWEEN
        return (
            (self.passes + (passes if several else 0)) * own / self.memory,
            2 * exchanges * own / self.exchange * far / (ranks - 1) if several else 0.0,
            2 * partners * self.latency,
            self.word(ranks) if several else 0.0,
        )

    def step(self, cells: float, ranks: int, rows: float = math.inf) -> float:
        """Seconds of a step."""
        return sum(self.parts(cells, ranks, rows))


# -- measuring ---------------------------------------------------------------------------------------------------------


def least(work: Callable[[], Any], rounds: int, before: Callable[[], Any] = lambda: None) -> float:
    """Least of the seconds that some work takes: what others do on the machine only adds."""
    times = []
    for _ in range(rounds + 1):
        before()
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def constants(edge: int, rounds: int) -> dict[str, float]:
    """Memory bandwidth, exchange and latency, measured by all ranks at once; the slowest rank's."""
    from phasefield.backend import world
    from phasefield.backend.layout import Layout, Part
    from phasefield.grid import Grid

    here = world()
    many = SIZE * 2**24  # far beyond caches
    a, b = np.ones(many // SIZE), np.ones(many // SIZE)
    copying = least(lambda: np.copyto(a, b), rounds, here.wait_for_all)
    found = {"memory": 2 * many / copying}
    if here.size > 1:
        from phasefield.backend.ranks.exchange import Exchange, machine_of

        def exchange(edges: tuple[int, int, int]) -> tuple[float, int]:
            grid = Grid(edges, tuple(float(n) for n in edges), ("periodic",) * 3)
            layout = Layout(grid, Part(here.rank, here.size))
            swap = Exchange(here, machine_of(here, 1), layout, np.dtype(float))
            field = np.ones(math.prod(layout.buffer_shape(1)))
            return least(lambda: swap.to_modes(0, field), rounds, here.wait_for_all), SIZE * field.size

        tiny, _ = exchange((here.size, 2 * here.size, 2))
        seconds, size = exchange((edge, edge, edge))
        found |= {"latency": tiny / (here.size - 1), "exchange": size / max(seconds - tiny, 1e-9)}
    slowest = {name: max(values) if name == "latency" else min(values) for name, values in _gathered(found)}
    return slowest


def _gathered(found: dict[str, float]) -> Iterator[tuple[str, list[float]]]:
    from phasefield.backend import world

    for name, value in found.items():
        yield name, world().everywhere(value)


def steps(edge: int, rounds: int) -> dict[str, float]:
    """Seconds of a step, with messages and with each other's memory, and of a word, at rank 0."""
    from ranks_benchmark import stepper

    from phasefield.backend import world
    from phasefield.backend.cpu import CpuBackend
    from phasefield.backend.ranks.backend import RanksBackend

    ranks, shape = world().size, (edge, edge, edge)
    ways: dict[str, Any] = {"step": CpuBackend("double", 1)}
    if ranks > 1:
        ways = {"step": RanksBackend("double", 1, 1), "beside": RanksBackend("double", 1)}
    steppers = {name: stepper(shape, backend, "etdms3") for name, backend in ways.items()}
    found = {name: min(step(3) for _ in range(rounds)) for name, step in steppers.items()}
    if ranks > 1:
        from phasefield.backend.ranks.team import team

        found["word"] = least(lambda: team().do("machines"), 100)
    return found


def measure(edge: int, rounds: int, out: Path) -> None:
    """Puts the figures of this number of ranks into a file."""
    from phasefield.backend import together, world

    known = constants(edge, rounds)
    known |= together(lambda: steps(edge, rounds))
    if world().rank == 0:
        everything = json.loads(out.read_text()) if out.exists() else {}
        everything |= {"edge": edge, str(world().size): known}
        out.write_text(json.dumps(everything, indent=1) + "\n")


# -- what comes of it --------------------------------------------------------------------------------------------------


def here(figures: dict[str, Any], ranks: int, together: int = 1) -> Machine:
    """This machine with so many ranks, which share its cores."""
    one, own = figures["1"], figures[str(ranks)]
    passes = one["step"] * one["memory"] / (SIZE * figures["edge"] ** 3)
    word = own.get("word", 0.0)
    return Machine(
        passes, own["memory"], own.get("exchange", math.inf), own.get("latency", 0.0), lambda _: word, together
    )


#: Clusters that are assumed, not measured: nodes of 64 cores with 300 GB/s of memory and 25 GB/s of network, of which an exchange
#: reaches half; 2 us for a message, 5 us for each level of a tree of words.
def cluster(passes: float) -> Machine:
    """A rank for each core."""
    return Machine(passes, 300e9 / 64, 0.5 * 25e9 / 64, 2e-6, _tree)


def gpus(passes: float) -> Machine:
    """A rank for each GPU: 3 TB/s of memory, of which kernels reach two thirds, and 25 GB/s of network each."""
    return Machine(passes, 2e12, 0.5 * 25e9, 5e-6, _tree)


def _tree(ranks: int) -> float:
    return 2 * 5e-6 * math.ceil(math.log2(max(ranks, 2)))


def compared(figures: dict[str, Any]) -> list[tuple[int, int, float, float]]:
    """Ranks, how many of them read each other's memory, modelled and measured seconds of a step."""
    found = []
    for n in sorted(int(key) for key in figures if key.isdigit()):
        for together, name in ((1, "step"), (n, "beside")):
            if name in figures[str(n)]:
                found.append(
                    (n, together, here(figures, n, together).step(figures["edge"] ** 3, n), figures[str(n)][name])
                )
    return found


def tell(figures: dict[str, Any]) -> None:
    print("ranks  together   modelled   measured   ratio   memory GB/s   exchange GB/s   message us   word us")
    for n, together, modelled, measured in compared(figures):
        own = figures[str(n)]
        rates = f"{own['memory'] / 1e9:13.2f} {own.get('exchange', math.nan) / 1e9:15.2f}"
        print(
            f"{n:5} {together:9} {1e3 * modelled:8.1f} ms {1e3 * measured:7.1f} ms {modelled / measured:7.2f} {rates}"
            f" {1e6 * own.get('latency', math.nan):12.1f}"
            f" {1e6 * own.get('word', math.nan):9.0f}"
        )
    passes = here(figures, 1).passes
    print(f"{passes:.0f} passes over memory a step")
    for name, machine, counts in (
        ("ranks of cores", cluster(passes), (64, 256, 1024, 4096)),
        ("GPUs", gpus(passes), (8, 32, 128, 512)),
    ):
        print(f"\n{name}: seconds of a step, share of exchanges, efficiency against {counts[0]}")
        for edge in (1024, 2048, 4096, 8192):
            cells, told = float(edge) ** 3, f"{edge}^3".rjust(8)
            for n in counts:
                parts = machine.parts(cells, n, edge)
                strong = machine.step(cells, counts[0]) * counts[0] / (sum(parts) * n)
                told += f" | {sum(parts):9.3g} {100 * sum(parts[1:3]) / sum(parts):3.0f} % {100 * strong:4.0f} %"
                told += "*" if n > edge else " "
            print(told)
    print("* more ranks than rows: pencils")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["measure"])
    parser.add_argument("--edge", type=int, default=EDGE, help="cells along each axis")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    if given.what:
        measure(given.edge, given.rounds, given.out)
    elif given.out.exists():
        tell(json.loads(given.out.read_text()))
    else:
        sys.exit(f"{given.out}: there is no such file; measure first")


if __name__ == "__main__":
    main()
