"""[run] [key=value ...]     run the configured job (the default command)
run -m key=v1,v2 ...     sweep: one run per combination

Runs the configured job and writes a folder: fields.nc, history.nc, config.yaml, checkpoint.npz, run.log, a picture. Without
output.dir it is runs/TIME; a folder that holds a run already is refused.

With -m (--multirun) every combination of the values is a run of its own, in the folders 0, 1, ... below output.dir, without
it below runs/TIME_sweep. All are checked before the first one starts. One that fails does not stop the others; a table at the
end tells which, and the exit code is 1. Stopped by a signal, the sweep goes on with: phasefield resume DIR

With output.resume=auto the same command starts a run, goes on with it where it was stopped, and leaves it as it is once it has
ended; with -m it runs what is missing. With time.wall=2h it stops in time with exit code 85: more is left to do. So does SIGUSR1
then, the notice that batch systems send.

experiment=NAME|FILE.yaml sets many keys at once; model=NAME|FILE.yaml chooses the model.
"""

from __future__ import annotations

import shlex
import signal
import sys
from typing import Any

from ..command import Call, Command
from ..console import messages
from ..wall import STARTED, WANTS_MORE


def run(call: Call) -> int:
    messages()
    from .. import api

    run = api.run_config(call.config, call.line, call.folder, progress=True, began=STARTED)
    return finish(run, call.config.output.resume == "auto")


def finish(run: Any, automatic: bool = False) -> int:
    """Draws the picture, says where things are, and gives the exit code.

    Args:
        automatic: whether the same command goes on with the run.
    """
    again = f"phasefield resume {shlex.quote(str(run.path))}" + " or the same command" * automatic
    if run.outcome.signal is not None:
        print(f"stopped by signal {run.outcome.signal}; continue with: {again}", file=sys.stderr)
        return WANTS_MORE if automatic and run.outcome.signal == signal.SIGUSR1 else 128 + run.outcome.signal
    if run.outcome.reason == "wall":
        print(f"stopped, time.wall is over; continue with: {again}", file=sys.stderr)
        return WANTS_MORE
    picture = ""
    if run.picture_wanted:
        from ..report import picture as draw

        try:
            picture = f", picture in {draw(run.path).name}"
        except OSError as error:  # the run is complete without it
            print(f"phasefield: the picture cannot be written: {error.strerror or error}", file=sys.stderr)
    more = f"phasefield report {shlex.quote(str(run.path))} shows more"
    print(f"{run.path}: fields in fields.nc, history in history.nc{picture}; {more}")
    return 0


def validate(call: Call) -> str:
    from .. import config
    from ..running import simulation_of

    sim = simulation_of(config.to_spec(call.config))
    shape = "x".join(map(str, sim.grid.shape))
    return f"{sim.model.name}, {shape} cells, {sim.backend.name} ({sim.backend.description})"


COMMAND = Command(
    "phasefield.specs:RunSpec",
    run,
    sweeps=True,
    folder="output.dir",
    again="output.resume",
    ranks=True,
    validate=validate,
)
