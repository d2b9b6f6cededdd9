"""Help for the commands, each its own. Nothing heavy is imported: help comes at once."""

from __future__ import annotations

from . import presets

GENERAL = """\
phasefield - spectral phase-field simulation from free-energy expressions, on CPU and GPU

usage: phasefield [run] [key=value ...]         run the configured job (the default command)
       phasefield run -m key=v1,v2 ...          sweep: one run per combination
       phasefield resume DIR [key=value ...]    continue a stopped run, or the runs of a sweep
       phasefield homogenize DIR|IMAGE material=NAME [key=value ...]   effective properties of a microstructure
       phasefield report DIR [--reference CSV]  pictures, curves and one HTML page from a run folder
       phasefield config show [key=value ...]   print the configuration a command would use
       phasefield config validate [key=value ...]   check it without running
       phasefield --version | --help            phasefield COMMAND --help tells more of a command

examples:
  phasefield                                             spinodal decomposition, about ten seconds
  phasefield model=grain_growth time.end=500 output.dir=grains
  phasefield experiment=pfhub/1b
  phasefield homogenize grains material=cu properties=[stiffness,expansion] times=all
  phasefield model=cahn_hilliard 'model.energy=W*(c-a)**2*(b-c)**2' model.parameters.W=5 grid.shape=[512,512]
  phasefield 'initial.c=0.5+0.1*cos(2*pi*x/256)' time.scheme=sbdf2 device=cpu precision=single

keys (phasefield config show prints all of them with their values; those of homogenize: phasefield homogenize --help):
{keys}

options: --debug shows all messages and the traceback of an error
         -sc install=bash prints how to install shell completion (bash, zsh, fish)
         --config-dir DIR adds presets of your own: DIR/model/NAME.yaml, DIR/experiment/NAME.yaml
{codes}
"""

CODES = """\
exit codes: 0 done; 1 members of a sweep failed; 2 error; 130, 143, 129, 138 stopped by SIGINT, SIGTERM, SIGHUP, SIGUSR1 after
            writing a checkpoint"""

KEYS = """\
  model=NAME|FILE.yaml {models}
  model.energy         free-energy density: + - * / **, exp log sqrt sin cos tanh abs min max piecewise sum
  model.parameters.P, model.fields.F.(kinetics|mobility|kappa|components|source|units)
  initial.F            an expression in x, y, z, or {{kind: noise|circles|voronoi|slab|file|sum, ...}}
  grid.shape, grid.length, grid.boundary (periodic|no-flux|fixed), grid.dealias, grid.units (nm, um, ...)
  time.scheme (imex1|sbdf2|etd1|etdms2|etdms3|etdms4|etdrk2|etdrk4), time.adaptive, time.dt, time.tolerance, time.end, time.steady
  output.dir, output.every, output.history, output.checkpoint, output.observables, homogenize.KEY (of properties among these)
  device (auto|cpu|gpu), precision (double|single), seed, threads.cpu
  experiment=NAME|FILE.yaml  {experiments}"""

RUN = """\
usage: phasefield [run] [key=value ...]
       phasefield run -m key=v1,v2 ...

Runs the configured job and writes a folder: fields.nc, history.nc, config.yaml, checkpoint.npz, run.log, a picture. Without
output.dir it is runs/TIME; a folder that holds a run already is refused.

With -m (--multirun) every combination of the values is a run of its own, in the folders 0, 1, ... below output.dir, without
it below runs/TIME_sweep. All are checked before the first one starts. One that fails does not stop the others; a table at the
end tells which, and the exit code is 1. Stopped by a signal, the sweep goes on with: phasefield resume DIR

keys:
{keys}

options:
  -m, --multirun       run all combinations
  --config-dir DIR     presets of your own in DIR/model/NAME.yaml and DIR/experiment/NAME.yaml, as hydra.searchpath=[file:///DIR]
  --debug              show all messages and the traceback of an error
{codes}
"""

RESUME = """\
usage: phasefield resume DIR [key=value ...]

Continues the run in DIR from its checkpoint, to the same bits that an unbroken run gives. A run that has ended is left as it is,
unless a key such as a later time.end lets it go on. What defines the problem (model, grid, scheme, ...) cannot be changed.

DIR may be the folder of a sweep: members that have not ended go on, and those that have not begun, or failed before their first
checkpoint, are run.

examples:
  phasefield resume runs/NAME
  phasefield resume runs/NAME time.end=5000 output.every=100

options:
  --new-files          begin a new fields.nc or history.nc at the checkpoint in place of one that is missing, damaged or foreign
  --debug              show all messages and the traceback of an error
{codes}
"""

REPORT = """\
usage: phasefield report DIR [--reference CSV ...]

Writes DIR/report.html, one page with pictures of the fields, curves of the history, effective properties where there are some,
configuration and log, and its pictures into DIR/report. A run that is still going can be reported as well; the page says so.

DIR may be the folder of a sweep: every member is reported, and DIR/index.html lists them.

options:
  --reference CSV      a curve of the free energy to draw along, columns time and free_energy; also reference=CSV; several times
  --debug              show all messages and the traceback of an error
"""

CONFIG = """\
usage: phasefield config show [key=value ...]
       phasefield config validate [key=value ...]

show prints the whole configuration that `phasefield run` with the same keys would use, as YAML. validate checks it without
running: expressions, initial conditions, memory, observables.

keys:
{keys}

options:
  --config-dir DIR     presets of your own in DIR/model/NAME.yaml and DIR/experiment/NAME.yaml, as hydra.searchpath=[file:///DIR]
  --debug              show all messages and the traceback of an error
"""

_TEXTS = {"": GENERAL, "run": RUN, "resume": RESUME, "report": REPORT, "config": CONFIG}


def text(command: str = "") -> str:
    """Help for a command, or for all without one."""
    if command == "homogenize":
        from .homogenize.settings import usage_text

        return usage_text()
    models, experiments = (", ".join(presets.names(group)) for group in ("model", "experiment"))
    return _TEXTS[command].format(keys=KEYS.format(models=models, experiments=experiments), codes=CODES).rstrip("\n")
