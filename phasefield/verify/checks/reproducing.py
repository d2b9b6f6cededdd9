"""The same bits: of runs that were stopped and resumed, and on any number of threads; and what single precision is worth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ... import api
from ...backend import gpu_wanted
from ...callbacks import Moment
from ...signals import Stopped
from ..check import Check, Skip
from ..problems import Machine, field_values, run

#: A mixture that goes on coarsening.
_PROBLEM = ("model=cahn_hilliard_landau", "initial.phi.amplitude=0.05", "seed=3")


def resumed(machine: Machine) -> float:
    """Cells that differ between an unbroken run and one that was stopped after 40 steps and resumed from its checkpoint."""
    keys = (
        *machine.overrides,
        *_PROBLEM,
        "grid.shape=[32,32]",
        "time.end=40",
        "output.picture=false",
        "output.kernels=false",
    )

    def stop(moment: Moment) -> None:
        if moment.step == 40:
            moment.stop()

    with TemporaryDirectory() as folder:
        whole, broken = Path(folder, "whole"), Path(folder, "broken")
        unbroken = _done(api.run(*keys, f"output.dir={whole}"))
        first = api.run(*keys, f"output.dir={broken}", callbacks=[({"steps": 40}, stop)])
        if first.outcome is None or first.outcome.reason != "stopped":
            raise RuntimeError(f"the run was not stopped after 40 steps: {first.outcome}")
        again = _done(api.resume(broken))
        fields = [r.fields.phi.isel(time=-1).values for r in (unbroken, again)]
        for r in (unbroken, again):
            r.fields.close()
        return float((fields[0] != fields[1]).sum()) if fields[0].shape == fields[1].shape else float(fields[0].size)


def _done(made: Any) -> Any:
    """A run that came to its end. Raises Stopped where a signal ended it."""
    if made.outcome is not None and made.outcome.signal is not None:
        raise Stopped(made.outcome.signal)
    return made


def _mixture(machine: Machine, end: float, n: int = 64) -> np.ndarray:
    return field_values(run(machine.simulation(*_PROBLEM, f"grid.shape=[{n},{n}]", f"time.end={end}"), end))[0]


def single(machine: Machine) -> float:
    """Largest distance of a mixture in single precision from that in double, relative to its phases."""
    double = _mixture(replace(machine, precision="double"), 20.0, 32)
    return float(np.abs(_mixture(replace(machine, precision="single"), 20.0, 32) - double).max())


def threads(machine: Machine) -> float:
    """Cells that differ between one and two threads."""
    if machine.device != "cpu" and gpu_wanted(machine.device):
        raise Skip("the run is on a GPU")
    one, two = (_mixture(replace(machine, threads=n), 20.0) for n in (1, 2))
    return float((one != two).sum())


def checks() -> Iterator[Check]:
    yield Check(
        "reproducing/resume",
        "cells that differ after a stop at step 40 and a resumption",
        "none, to the bit",
        resumed,
        0.0,
        allowed=0.0,
        single=0.0,
    )
    yield Check(
        "reproducing/single precision",
        "largest distance of a mixture in single precision from that in double",
        "round-off, 6e-8, times some hundred steps",
        single,
        0.0,
        allowed=1e-3,
        single=1e-3,
    )
    yield Check(
        "reproducing/threads",
        "cells that differ between one thread and two",
        "none, to the bit",
        threads,
        0.0,
        allowed=0.0,
        single=0.0,
        full=True,
    )
