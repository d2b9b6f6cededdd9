"""view DIR [key=value ...]     the fields of a run in ParaView, or its last snapshot in the terminal

Opens DIR/fields.nc in ParaView where that is installed and there is a display.
Elsewhere the last snapshot is printed in the terminal, in half blocks of
colour, or in characters of growing weight where there are no colours, and the
ways to look closer are named.
"""

from __future__ import annotations

from ..command import Call, Command


def view(call: Call) -> int:
    from ..watching.command import view as show

    return show(call.words[0], call.keys)


COMMAND = Command("phasefield.watching.settings:Glance", view, words={"DIR": "the run folder"})
