"""new NAME [model=PRESET]     a commented project: a model, an experiment, scripts to run and to analyse

Makes the folder NAME with config/model/NAME.yaml and config/experiment/first.yaml, each key explained, run.sh, job.sbatch for
Slurm, analyse.py and a README.md that says what to type. With model=PRESET (or FILE.yaml) the model is a copy of that one.
A folder that is there and not empty is refused.

examples:
  phasefield new coarsening
  phasefield new blend model=flory_huggins
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from ..command import Call, Command
from ..keys import key


@dataclass
class New:
    """What a project starts from."""

    model: str = key(
        "", "a preset, or FILE.yaml, that the model is a copy of; empty is a commented double well", value="text"
    )


def new(call: Call) -> int:
    from ..projects import create

    folder = create(call.words[0], call.keys.model)
    print(f"{folder}: model, experiment and scripts; next: cd {shlex.quote(str(folder))} && cat README.md")
    return 0


COMMAND = Command(New, new, words={"NAME": "the name of the project"})
