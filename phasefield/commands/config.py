"""config show [COMMAND] [key=value ...]         print the configuration a command would use
config validate [COMMAND] [key=value ...]     check it without running

show prints the whole configuration that `phasefield run`, or COMMAND, with the same keys would use, as YAML. validate checks it
without running: expressions, initial conditions, memory, observables; of homogenize the material, and the image if it is named.
"""

from __future__ import annotations

from .. import commands
from ..command import Call, Command
from ..errors import PhasefieldError


def config(call: Call) -> int:
    from .. import config

    (action,) = call.words
    if action not in ("show", "validate"):
        raise PhasefieldError(
            f"config: expected 'show' or 'validate', not {action!r}; usage: phasefield {commands.head('config')[0][0][0]}"
        )
    name = next((word for word in call.rest if word in commands.names()), "")
    rest = list(call.rest)
    if name:
        rest.remove(name)
    name = name or "run"
    if commands.find(name).keys is None:
        raise PhasefieldError(f"config: {name} has no keys of its own")
    of = commands.call(name, rest, bare=True)
    if action == "show":
        print(config.to_yaml(of.config), end="")
        return 0
    of.keys  # noqa: B018 - values are checked where they are built
    print(f"valid: {of.command.validate(of) if of.command.validate else name}")
    return 0


COMMAND = Command(None, config, words={"show|validate": "'show' or 'validate'"}, others="*")
