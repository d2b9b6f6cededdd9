"""What ends the ranks of a machine where one of them is gone: the others would wait for it for ever.

Launchers do so too, some only if they are asked (``srun --kill-on-bad-exit``). Elsewhere than on Linux it is left to them.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time

from .world import World

#: Seconds that a launcher has to end all ranks by itself; seconds after which a rank leaves that could not tell its launcher.
_PATIENCE, _LAST = 2.0, 5.0


class Guard:
    """Looks after the other ranks of this machine, in a thread, until it is `dismissed`. All ranks make it together.

    Args:
        hint: what to do when a rank was lost, for the message.
    """

    def __init__(self, world: World, hint: str = "") -> None:
        self._world, self._hint = world, hint
        processes: list[tuple[int, int]] = world.node.allgather((world.rank, os.getpid()))
        self._ranks = {rank for rank, _ in processes}
        self._watched: dict[int, tuple[int, int]] = {}
        self._bell, self._ring = os.pipe()
        if hasattr(os, "pidfd_open"):
            for rank, pid in processes:
                if rank != world.rank:
                    try:
                        self._watched[os.pidfd_open(pid)] = rank, pid
                    except OSError:  # an old kernel; a process that is gone already ends this one with the next message
                        continue
        threading.Thread(target=self._look, name="phasefield-guard", daemon=True).start()

    def dismissed(self) -> None:
        """Looks no more: ranks may end from here on, once all have come by."""
        os.write(self._ring, b".")
        self._world.wait_for_all()

    def _look(self) -> None:
        poll = select.poll()
        for handle in (self._bell, *self._watched):
            poll.register(handle, select.POLLIN)
        gone = [handle for handle, _ in poll.poll()]
        if self._bell not in gone:
            self._end(*self._watched[gone[0]])
        for handle in (self._bell, self._ring, *self._watched):
            os.close(handle)

    def _end(self, rank: int, pid: int) -> None:
        """Ends all ranks, of all machines where the launcher can be told."""
        time.sleep(_PATIENCE)
        here = self._world
        if here.rank == min(self._ranks - {rank}):
            sys.stderr.write(
                f"phasefield: error: rank {rank} of {here.size}, process {pid}, has ended before its time{self._hint}\n"
            )
            sys.stderr.flush()
        threading.Timer(_LAST, os._exit, (2,)).start()
        here.comm.Abort(2)
