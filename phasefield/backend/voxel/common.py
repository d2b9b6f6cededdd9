"""What all ranks do together, each of them with the same program on its own planes of an image.

Elsewhere rank 0 leads and tells the others what of each array is theirs to do. Where it is the image that is shared, every rank
runs the program: what it decides by, it decides by numbers that are the same on all. Then no rank has the whole of anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ...errors import DeviceError, PhasefieldError
from ...planes import Planes
from ...signals import listening
from ..ranks import World, world
from ..ranks.exchange import asked_for
from ..ranks.team import team
from .grid import VoxelGrid
from .slab import Slab

T = TypeVar("T")

#: Seconds that a rank which failed waits for the others to fail alike, and between looks.
_PATIENCE, _NAP = 10.0, 1e-3


class Common:
    """The ranks as a `planes.Group`."""

    def __init__(self, of: World) -> None:
        self._world, self.rank, self.size = of, of.rank, of.size
        self._ends = of.comm.Dup()

    def everywhere(self, value: Any) -> list[Any]:
        """What all hand in, by rank."""
        self._heed()
        found: list[Any] = self._world.everywhere(value)
        return found

    def exchange(self, values: list[Any]) -> list[Any]:
        """What every rank hands in for this one, by rank."""
        own, values[self.rank] = values[self.rank], None  # which need not be sent
        found: list[Any] = self._world.comm.alltoall(values)
        found[self.rank] = own
        return found

    def _heed(self) -> None:
        """Ends all where a signal has come: until the end there is nothing to keep."""
        if self.rank == 0:
            with listening() as stop:
                for number in self._world.notices():
                    stop.note(number)
                if stop.received is not None:
                    self._world.abort(f"stopped by signal {stop.received}", 128 + stop.received)

    def ended(self, error: PhasefieldError | None) -> None:
        """Waits for all to end. What has failed here alone, while others wait for this rank, ends all after a message."""
        asked, start = self._ends.Ibarrier(), time.monotonic()
        while not asked.Test():
            if error is not None and time.monotonic() - start > _PATIENCE:
                self._world.abort(str(error), error.exit_code)
            time.sleep(_NAP)
        self._ends.Free()


class _Ended:
    """What came of a piece of work at one rank."""

    def __init__(self, of: World, work: Callable[..., Any], *arguments: Any) -> None:
        group, before = Common(of), of.leading
        self.result: Any = None
        self.error: PhasefieldError | None = None
        of.leading = False  # what is computed meanwhile is every rank's own
        try:
            self.result = work(group, *arguments)
        except PhasefieldError as error:
            self.error = error
        finally:
            of.leading = before
        group.ended(self.error)
        if of.rank != 0:
            self.result = None


def in_common(work: Callable[..., T], *arguments: Any) -> T:
    """What ``work(group, *arguments)`` gives at rank 0, done by all ranks alike; to be called by the one that leads.

    Args:
        work: a function of a module, for the others get its name. What fails must fail on all, see `Planes.agreed`.

    Raises:
        PhasefieldError: what ``work`` raises.
    """
    lead = team()
    number = lead.number()
    lead.do("make", number, _Ended, work, *arguments)
    ended: _Ended = lead.own.take(number)
    lead.drop(number)
    if ended.error is not None:
        raise ended.error
    return ended.result


class CommonSlab(Slab):
    """The operators of a periodic grid whose planes the ranks share, see `VoxelOperators`, for ranks that all run the solver.

    Values on the host are those of the rank's own planes; an index has one plane more beyond either end, in the order of
    `voxel.slab_order`. What is returned is that of the whole, on all ranks.

    Args:
        planes: the share. grid: that of all. threads: of every rank.
    """

    has_surface = False

    def __init__(self, planes: Planes, grid: VoxelGrid, threads: int) -> None:
        super().__init__(world(), grid, threads, asked_for()[1])
        self._group = planes.group

    def _total(self, what: str, partial: np.ndarray) -> np.ndarray:
        """Sums over the planes of all ranks in their order, of those (loads, sums, planes) of each.

        Raises:
            DeviceError: the ranks are not at the same place of the program.
        """
        found = self._group.everywhere(((what, len(partial)), partial))
        if len({said for said, _ in found}) > 1:
            told = ", ".join(f"{name} of {loads}" for (name, loads), _ in found)
            raise DeviceError(
                f"ranks disagree on what to compute ({told})\n  their processors round differently: use one kind of them"
            )
        return np.asarray(np.concatenate([part for _, part in found], axis=-1).sum(axis=-1))

    def assign(self, field: np.ndarray, values: np.ndarray | None) -> None:
        if values is None:
            field[...] = 0.0
        else:
            field[..., : self.rows, :, : self.shape[2]] = values

    def to_host(self, field: np.ndarray) -> np.ndarray:
        return field[..., : self.rows, :, : self.shape[2]].copy()

    def apply(self, u: np.ndarray, w: np.ndarray, tensors: Any) -> tuple[np.ndarray, np.ndarray]:
        self._beyond(u)
        call = self.apply_call(u, w, tensors)
        call.run()
        total = self._total("stiffness", call.partial[:, :, : self.rows])
        return total[:, 0], total[:, 1:]

    def dot(self, u: np.ndarray, w: np.ndarray) -> np.ndarray:
        call = self.kept(self._loops.dot, (u, w), loads=len(u), sums=1)
        call.run()
        return self._total("product", call.partial[:, 0, : self.rows])

    def green(self, w: np.ndarray, reference: np.ndarray) -> np.ndarray:
        return self._total("green", self.own_green(w, reference))
