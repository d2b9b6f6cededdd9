"""explain [key=value ...]     what the configured run is in theory, and what it will cost, without running it

Prints the equations with the actual energy and kinetics; phases, spinodal and where the start lies; energy and width of the
interfaces, in cells too; what grows fastest; the critical nucleus; the stabiliser, the scheme, memory, the time of a step,
and the files that would be written. What is not defined for a model, or not known beforehand, says so. Keys are those of run.

Nothing is written. A few steps of a copy are timed, unless the state has more than 2^24 numbers.

examples:
  phasefield explain model=spinodal
  phasefield explain model=flory_huggins initial.phi.mean=0.2 --theory
  phasefield explain model=cahn_hilliard model.parameters.W=0.5 --json
"""

from __future__ import annotations

from dataclasses import dataclass

from ..command import Call, Command
from ..keys import key


@dataclass
class Explain:
    """How much is explained, and how it is printed."""

    theory: bool = key(False, "the theory alone, at once: the run is not built, no step is timed", flag="--theory")
    json: bool = key(False, "as JSON, for programs", flag="--json")


def explain(call: Call) -> int:
    from .. import api, config
    from ..console import columns

    found = api.explain_config(config.compose(call.rest), measure=not call.keys.theory)
    print(found.to_json() if call.keys.json else found.to_text(columns(110)))
    return 0


COMMAND = Command(Explain, explain, others="run")
