"""What a part of a model costs: a step with it against one without, and the transforms that each takes.

    python scripts/benchmark_coupled.py                       # the table, 256 x 256
    python scripts/benchmark_coupled.py noise electrodes      # some rows
    python scripts/benchmark_coupled.py --quick               # tiny, to see that it runs

Both steps alternate, on one thread, by the processor time of this process, and the least of the rounds counts: what other
processes take from a shared machine is in neither. A part may cost what its transforms do: the last column is the ratio of the
steps over that of the transforms, of which 1.3 is the target.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

from phasefield.api import spec_of
from phasefield.backend import Layout
from phasefield.backend.operations import transforms_of
from phasefield.models.split import SpectralSplit
from phasefield.problem import build_model
from phasefield.simulation import Simulation

CONSERVED = ("model=cahn_hilliard",)
WALLED = (*CONSERVED, "grid.boundary=no-flux")


@dataclass(frozen=True)
class Coupled:
    """A row: a model, what it is compared with, and the fields that a step of each transforms."""

    without: tuple[str, ...]
    more: tuple[str, ...]
    transforms: tuple[int, int]


COUPLED = {
    "noise": Coupled(("model=cahn_hilliard_landau",), ("model.fields.phi.noise=1e-3",), (2, 2)),
    "noise, real modes": Coupled(WALLED, ("model.fields.c.noise=1e-3",), (2, 2)),
    "values": Coupled((*CONSERVED, "grid.boundary=fixed"), ("model.fields.c.walls.left.value=0.1*sin(pi*y/256)",), (2, 3)),
    "flux": Coupled(WALLED, ("model.fields.c.walls={left: {flux: 0.002}, right: {flux: -0.001*cos(t)}}",), (2, 2)),
    "flux along the wall": Coupled(WALLED, ("model.fields.c.walls.left.flux=0.002*(1+cos(pi*y/16))",), (2, 3)),
    "flux, nonconserved": Coupled(
        ("model=allen_cahn", "grid.boundary=no-flux"), ("model.fields.eta.walls.left.flux=0.02",), (2, 2)
    ),
    "angle": Coupled(WALLED, ("model.fields.c.walls.bottom.angle=60",), (2, 2)),
    "uniform source": Coupled(WALLED, ("model.fields.c.source=1e-3*exp(-t)",), (2, 2)),
    "source": Coupled(CONSERVED, ("model.fields.c.source=1e-3*cos(x)",), (2, 3)),
    "charge": Coupled(WALLED, ("model.electric={charge: 0.3*(c-0.5), permittivity: 2}",), (2, 2)),
    "electrodes": Coupled(
        WALLED, ("model.electric={charge: 0.3*(c-0.5), permittivity: 2, potential: {left: 0, right: 1}}",), (2, 4)
    ),
}  # fmt: skip


def keys(row: Coupled, n: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The keys of the model without the part and with it."""
    own = (
        f"grid.shape=[{n},{n}]", "time.adaptive=false", "time.dt=0.01", "time.end=1e9", "threads.cpu=1",
        "output.observables=[free_energy]",
    )  # fmt: skip
    return (*row.without, *own), (*row.without, *row.more, *own)


def transforms(*given: str) -> int:
    """Fields that an evaluation of N transforms, there and back."""
    spec = spec_of(*given)
    model = build_model(spec)
    split = SpectralSplit(model, Layout(spec.grid.build()), [1.0] * len(model.components))
    return sum(t.components for t in transforms_of(split.operations("u")))


def measure(row: Coupled, n: int, rounds: int, steps: int) -> tuple[float, float]:
    """Seconds of a step without and with."""
    sims, least = [Simulation(spec_of(*given)) for given in keys(row, n)], [float("inf")] * 2
    for i in range(rounds + 1):
        for which, sim in enumerate(sims):
            start = time.process_time()
            for _ in range(steps):
                sim.integrator.step(sim.carry, 0.01, sim.carry.t + 0.01)
            if i:  # the first warms up
                least[which] = min(least[which], (time.process_time() - start) / steps)
    return least[0], least[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(COUPLED)}; all if none is given")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    if unknown := set(given.rows) - set(COUPLED):
        parser.error(f"no row {min(unknown)!r}; rows: {', '.join(COUPLED)}")
    n, rounds, steps = (32, 1, 3) if given.quick else (256, 15, 30)
    print("| part | transforms | with | step ms | with | ratio | over transforms |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in given.rows or COUPLED:
        row = COUPLED[name]
        without, more = measure(row, n, rounds, steps)
        before, after = (transforms(*each) for each in keys(row, n))
        ratio = more / without
        print(
            f"| {name} | {before} | {after} | {1e3 * without:.3f} | {1e3 * more:.3f} | {ratio:.2f} | "
            f"{ratio * before / after:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
