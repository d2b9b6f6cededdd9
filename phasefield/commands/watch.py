"""watch DIR [key=value ...]     show a run that goes on, or one that has ended, in the browser or in the terminal

Serves a page to this machine alone (127.0.0.1, at an address that begins with a
random token), opens it in the browser and ends with Ctrl-C; the run goes on.
The page shows every snapshot of every field, curves of the history and
effective properties where there are some, and what is new as it comes. Nothing
is written, and nothing is loaded from elsewhere.

Without a display (over ssh), or with --terminal, the last snapshot and the
last row of the history are shown in the terminal as long as the run goes on.
From elsewhere, `ssh -L 8000:127.0.0.1:8000 HOST phasefield watch DIR port=8000`
prints the address to open.

DIR may be the folder of a sweep: its members are listed.
"""

from __future__ import annotations

from ..command import Call, Command


def watch(call: Call) -> int:
    from ..watching.command import watch as show

    return show(call.words[0], call.keys)


COMMAND = Command("phasefield.watching.settings:Watch", watch, words={"DIR": "the folder of a run or a sweep"})
