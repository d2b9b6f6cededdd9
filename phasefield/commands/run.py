"""[run] [key=value ...]     run the configured job (the default command)
run -m key=v1,v2 ...     sweep: one run per combination

Runs the configured job and writes a folder: fields.nc, history.nc, config.yaml, checkpoint.npz, run.log, a picture. Without
output.dir it is runs/TIME; a folder that holds a run already is refused.

With -m (--multirun) every combination of the values is a run of its own, in the folders 0, 1, ... below output.dir, without
it below runs/TIME_sweep. All are checked before the first one starts. One that fails does not stop the others; a table at the
end tells which, and the exit code is 1. Stopped by a signal, the sweep goes on with: phasefield resume DIR

experiment=NAME|FILE.yaml sets many keys at once; model=NAME|FILE.yaml chooses the model.
"""

from __future__ import annotations

import shlex
import sys
from typing import Any

from ..command import Call, Command
from ..console import messages


def run(call: Call) -> int:
    messages()
    from .. import api

    return finish(api.run_config(call.config, call.line, call.folder, progress=True))


def finish(run: Any) -> int:
    """Draws the picture, says where things are, and gives the exit code."""
    if run.outcome.signal is not None:
        print(
            f"stopped by signal {run.outcome.signal}; continue with: phasefield resume {shlex.quote(str(run.path))}",
            file=sys.stderr,
        )
        return 128 + run.outcome.signal
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
    from ..api import simulation_of

    sim = simulation_of(config.to_spec(call.config))
    shape = "x".join(map(str, sim.grid.shape))
    return f"{sim.model.name}, {shape} cells, {sim.backend.name} ({sim.backend.description})"


COMMAND = Command("phasefield.specs:RunSpec", run, sweeps=True, folder="output.dir", validate=validate)
