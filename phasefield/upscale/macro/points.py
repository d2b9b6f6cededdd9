"""Many points with a microstructure each, solved side by side; their states are kept here.

A solve is a trial: states change with `accept` only, so that a step that is given up changes nothing. Workers hold no state
of a point; states go to them and come back, some tens of kilobytes each.
"""

from __future__ import annotations

import multiprocessing
import pickle
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from ...errors import ConfigError, NotConverged, PhasefieldError
from ...mechanics.tensors import Array
from ..workers import whole
from .micro import Homogenized, Micro, Response

#: Portions of work for each worker and solve: more of them are fairer, and cost more.
_PORTIONS = 4

_here = threading.local()  # the microstructure that a worker solves, one of its own for every thread and process


def _receive(pickled: bytes) -> None:
    _here.micro = pickle.loads(pickled)


def _solve(micro: Micro, work: Sequence[tuple[int, Array, Any]]) -> list[Response]:
    out = []
    for point, gradient, state in work:
        try:
            out.append(micro.solve(gradient, state))
        except (NotConverged, ConfigError) as error:
            where = f"point {point} at ({', '.join(f'{v:.4g}' for v in gradient)})"
            if isinstance(error, NotConverged):
                raise NotConverged(f"{where}: {error}", history=error.history) from None
            raise ConfigError(where, str(error)) from None
    return out


def _solve_here(work: Sequence[tuple[int, Array, Any]]) -> list[Response] | Exception:
    try:
        return _solve(_here.micro, work)
    except PhasefieldError as error:  # as a value: not every exception survives the way between processes
        return NotConverged(str(error)) if isinstance(error, NotConverged) else _plain(error)


def _plain(error: PhasefieldError) -> ConfigError:
    return (
        ConfigError(error.key, error.problem, error.hint)
        if isinstance(error, ConfigError)
        else ConfigError("micro", str(error))
    )


class Points:
    """The microstructures below the points of a model.

    Args:
        micro: that of every point; they differ in their states. count: how many points.
        workers: how many are solved at a time.
        kind: ``processes`` (started afresh: scripts need ``if __name__ == "__main__"``) or ``threads`` (which share Python's
            lock: good where cells are large).

    Attributes:
        states: of every point, as last accepted. hill: largest Hill-Mandel residual of the last solve, one per point.
        iterations: Newton steps and iterations of conjugate gradients of all solves.

    Raises:
        ConfigError: no such kind, or a microstructure that cannot be sent to a process.
    """

    def __init__(self, micro: Micro, count: int, workers: int = 1, kind: str = "processes") -> None:
        if kind not in ("processes", "threads"):
            raise ConfigError("kind", f"is {kind!r}; processes or threads is expected")
        if workers < 1:
            raise ConfigError("workers", f"is {workers}; at least 1 is expected")
        self.micro, self.count, self.workers = micro, count, workers
        self.states: list[Any] = [None] * count
        self.hill = np.full(count, np.nan)
        self.iterations = np.zeros(2, int)
        self._trial: list[Any] = list(self.states)
        self._executor: Executor | None = None
        if workers > 1:
            try:
                sent = pickle.dumps(micro)
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                raise ConfigError(
                    "micro", f"cannot be sent to workers: {error}", "define its functions in a module, or use workers=1"
                ) from None
            start: Callable[[], None] = partial(_receive, sent)
            if kind == "threads":
                self._executor = ThreadPoolExecutor(workers, initializer=start)
            else:
                spawn = multiprocessing.get_context("spawn")  # threads of ours do not survive a fork
                self._executor = ProcessPoolExecutor(workers, mp_context=spawn, initializer=start)

    def solve(self, gradients: Array) -> tuple[Array, Array]:
        """Fluxes (points, n) and tangents (points, n, n) for gradients (points, n).

        Raises:
            NotConverged: names the point. ConfigError: of a microstructure.
        """
        if np.shape(gradients) != (self.count, self.micro.size):
            raise ConfigError(
                "gradients", f"have the shape {np.shape(gradients)}; {(self.count, self.micro.size)} is expected"
            )
        if isinstance(self.micro, Homogenized):  # a law without states
            return self.micro.solve_all(gradients)
        work = [(i, gradients[i], self._trial[i]) for i in range(self.count)]
        answers = self._beside(self._executor, work) if self._executor else _solve(self.micro, work)
        self._trial = [a.state for a in answers]
        self.hill = np.array([a.hill for a in answers])
        self.iterations += np.sum([a.iterations for a in answers], axis=0)
        return np.stack([a.flux for a in answers]), np.stack([a.tangent for a in answers])

    def _beside(self, executor: Executor, work: list[tuple[int, Array, Any]]) -> list[Response]:
        each = max(1, -(-len(work) // (_PORTIONS * self.workers)))
        answers: list[Response] = []
        with whole("use kind=threads"):
            for some in executor.map(_solve_here, [work[i : i + each] for i in range(0, len(work), each)]):
                if isinstance(some, Exception):
                    raise some
                answers += some
        return answers

    def accept(self) -> None:
        """The states of the last solve become those that later ones start from."""
        self.states = list(self._trial)

    def reject(self) -> None:
        """Back to the states as last accepted."""
        self._trial = list(self.states)

    def close(self) -> None:
        """Ends the workers."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def __enter__(self) -> Points:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
