"""Functions of a user's own that are called between the steps of a run.

A callback is given a `Moment`, the state between two steps. It may read all that this tells, keep or write what it makes of it,
and ask the run to stop; it cannot change the state. What it raises ends the run: the records made so far are written, the last
checkpoint stays, and the exception reaches whoever started the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from . import schedule
from .backend import cells_of
from .errors import ConfigError
from .recorder import warn_shifted
from .schedule import Schedule
from .simulation import Simulation


class Moment:
    """A run between two steps.

    Attributes:
        time: simulated time. step: number of steps so far. dt: size of the last one, 0 before the first.
        stopping: whether a callback has asked the run to stop.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        carry = simulation.carry
        self.time, self.step, self.dt = carry.t, carry.step, carry.dt_old
        self.stopping = False

    @cached_property
    def fields(self) -> dict[str, np.ndarray]:
        """Every field by its name: arrays of their own, of the grid's shape, before it one axis for components."""
        sim = self._simulation
        cells, _ = sim.observe(sim.carry, measure=False)
        host, parts = cells_of(sim.layout, np.array(sim.backend.to_host(cells))), sim.model.slices()
        return {
            f.name: host[parts[f.name]][0 if f.components is None else slice(None)] for f in sim.model.order_parameters
        }

    @cached_property
    def values(self) -> Mapping[str, Any]:
        """What a row of history.nc would hold by name: the variables of ``output.observables``, effective properties too."""
        return self._simulation.observe(self._simulation.carry)[1]

    def stop(self) -> None:
        """Lets the run end here as a signal would: with a checkpoint, to be resumed."""
        self.stopping = True


#: When, as ``output.every`` says it, and what.
Callback = tuple[Any, Callable[[Moment], Any]]


class Callbacks:
    """Functions with their schedules. Steps land on the times of these as they do on those of outputs.

    Args:
        wanted: pairs of a schedule, anything that ``output.every`` takes, and a function.

    Raises:
        ConfigError: something else than that.
    """

    def __init__(self, wanted: Sequence[Callback] = ()) -> None:
        self._plans: list[tuple[Schedule, Callable[[Moment], Any], Any]] = []
        if not isinstance(wanted, Sequence) or isinstance(wanted, str):
            raise ConfigError("callbacks", f"is {wanted!r}; a list of pairs is expected", "e.g. [(10.0, print)]")
        for number, pair in enumerate(wanted):
            key = f"callbacks[{number}]"
            if not isinstance(pair, Sequence) or len(pair) != 2 or not callable(pair[1]):
                raise ConfigError(key, f"is {pair!r}; a pair (every, function) is expected", "e.g. (10.0, print)")
            self._plans.append((schedule.build(pair[0], key), pair[1], pair[0]))

    def begin(self, simulation: Simulation, resumed: bool) -> None:
        """At the start of a run: a resumed one has called already what is due at the state at hand."""
        carry, beat = simulation.carry, simulation.beat
        for number, (plan, _, given) in enumerate(self._plans):
            if beat is not None:
                warn_shifted(plan, f"callbacks[{number}]", f"= {given}", beat, simulation.spec.time.end)
            if resumed:
                plan.due(simulation.reached, carry.step)

    @property
    def next_time(self) -> float:
        """Simulated time at which one is due next; infinite if none is."""
        return min((plan.next_time for plan, *_ in self._plans), default=float("inf"))

    def __call__(self, simulation: Simulation) -> bool:
        """Calls what is due; whether the run is to stop."""
        carry = simulation.carry
        due = [f for plan, f, _ in self._plans if plan.due(simulation.reached, carry.step)]
        if not due:
            return False
        simulation.check()
        moment = Moment(simulation)
        for function in due:
            function(moment)
        return moment.stopping
