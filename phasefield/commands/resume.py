"""resume DIR [key=value ...]     continue a stopped run, or the runs of a sweep

Continues the run in DIR from its checkpoint, to the same bits that an unbroken run gives. A run that has ended is left as it is,
unless a key such as a later time.end lets it go on. Keys are those of run; what defines the problem (model, grid, scheme, ...)
cannot be changed.

DIR may be the folder of a sweep: members that have not ended go on, and those that have not begun, or failed before their first
checkpoint, are run.

examples:
  phasefield resume runs/NAME
  phasefield resume runs/NAME time.end=5000 output.every=100
"""

from __future__ import annotations

from dataclasses import dataclass

from .. import commands
from ..command import Call, Command
from ..console import messages
from ..errors import OutputError
from ..keys import key
from ..wall import STARTED
from .run import finish


@dataclass
class Resume:
    """How a run is continued."""

    new_files: bool = key(
        False,
        "begin a new fields.nc or history.nc at the checkpoint in place of one that is missing, damaged or foreign",
        flag="--new-files",
    )


def resume(call: Call) -> int:
    messages()
    from .. import api, sweep

    (where,) = call.words
    if not sweep.is_sweep(where):
        run = api.resume(
            where, *call.rest, progress=True, command=call.line, new_files=call.keys.new_files, began=STARTED
        )
        return finish(run)
    name, words, path = sweep.asked(where)
    if name not in commands.names():
        raise OutputError(
            f"{where}: is a sweep of {name}, of which this version knows nothing\n  take the version that made it"
        )
    if name != "run":
        return _again(call, name, words, path)
    sweep.check_resume(where, call.rest)
    return sweep.again(where, lambda folder, member: _member(call, path, folder, member))


def _member(call: Call, path: list[str], folder, member) -> int:  # type: ignore[no-untyped-def]
    """Continues a run of a sweep, or begins it."""
    from .. import api, config, running

    if not running.cleared(folder):
        new, line = call.keys.new_files, call.line
        return finish(api.resume(folder.path, *call.rest, progress=True, command=line, new_files=new, began=STARTED))
    own = [o for o in member.overrides if not o.lstrip("+").startswith("output.dir=")]
    composed = config.compose([*path, *own, *call.rest])
    return finish(api.run_config(composed, call.line, folder.path, progress=True, began=STARTED))


def _again(call: Call, name: str, words: list[str], path: list[str]) -> int:
    """Lets another command's members that are not done be computed again."""
    from .. import sweep

    command = commands.find(name)

    def go(folder, member) -> int:  # type: ignore[no-untyped-def]
        if member.code == 0 and not call.rest:
            return 0
        given = [*path, *member.overrides, *call.rest]
        return command.execute(Call(name, command, words, given, line=call.line, folder=folder.path))

    return sweep.again(call.words[0], go)


COMMAND = Command(Resume, resume, words={"DIR": "the run folder"}, others="run", ranks=True)
