"""The microstructure of a point as the class that the Micro Manager of preCICE takes, so that any coupled solver can have cells.

A file of two lines is all that the Micro Manager needs::

    from phasefield.upscale.macro.precice import Exchange, micro_simulation
    MicroSimulation = micro_simulation(make_cell, Exchange.stress())

Written for version 0.12 of the Micro Manager (Desai, Scheurer, Bringedal and Uekermann, J. Open Source Softw. 8 (2023)
5842), whose interface is `MicroSimulationInterface`; without that package the class works as it is, and can be tried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ConfigError
from ...mechanics.tensors import FACTOR, PLANE, Array
from .micro import Micro, Response


@dataclass(frozen=True)
class Exchange:
    """Names of the data that preCICE brings and takes, with the components in them. A name with one component is scalar data.

    Strains have engineering shear components, stresses and tangents are in Voigt form; the order is xx yy zz yz xz xy
    unless other names are given.

    Attributes:
        reads: components of the strain or gradient. fluxes: of the stress or flux. tangents: rows and columns of the tangent.
        factor: Mandel component over that of the stress, (n,).
    """

    reads: Mapping[str, tuple[int, ...]]
    fluxes: Mapping[str, tuple[int, ...]]
    tangents: Mapping[str, tuple[tuple[int, int], ...]]
    factor: Array

    @classmethod
    def stress(cls, order: tuple[int, ...] = (0, 1, 2, 3, 4, 5)) -> Exchange:
        """Three dimensions, as vectors of three: ``strains1to3``, ``strains4to6``; ``stresses1to3``, ``stresses4to6``;
        ``cmat1`` to ``cmat7``, the rows of the tangent's upper triangle one behind the other.

        Args:
            order: of the components; (0, 1, 2, 5, 4, 3) is 11 22 33 12 13 23.
        """
        if sorted(order) != list(range(6)):
            raise ConfigError("order", f"is {order}; the numbers 0 to 5 in some order are expected")
        upper = [(order[i], order[j]) for i in range(6) for j in range(i, 6)]
        halves = {"1to3": order[:3], "4to6": order[3:]}
        return cls(
            {f"strains{name}": part for name, part in halves.items()},
            {f"stresses{name}": part for name, part in halves.items()},
            {f"cmat{k + 1}": tuple(upper[3 * k : 3 * k + 3]) for k in range(7)},
            FACTOR,
        )

    @classmethod
    def plane(cls) -> Exchange:
        """Plane strain, as scalars: ``strain_xx``, ``strain_yy``, ``strain_xy``; ``stress_xx`` ...; ``c_xx_xx`` ...
        ``c_xy_xy``."""
        names = ("xx", "yy", "xy")
        return cls(
            {f"strain_{name}": (i,) for i, name in enumerate(names)},
            {f"stress_{name}": (i,) for i, name in enumerate(names)},
            {f"c_{a}_{b}": ((i, j),) for i, a in enumerate(names) for j, b in enumerate(names) if i <= j},
            FACTOR[list(PLANE)],
        )

    @classmethod
    def conduction(cls, dimension: int) -> Exchange:
        """``gradient`` and ``flux`` (tensor times gradient, no minus sign) as vectors, the tangent as scalars ``k_00``,
        ``k_01``, ..."""
        every = tuple(range(dimension))
        tangents = {f"k_{i}{j}": ((i, j),) for i in every for j in every}
        return cls({"gradient": every}, {"flux": every}, tangents, np.ones(dimension))

    @property
    def size(self) -> int:
        return len(self.factor)

    def strain(self, data: Mapping[str, Any]) -> Array:
        """The Mandel strain, or gradient, in what preCICE brought.

        Raises:
            ConfigError: data that are missing, of another size or not finite.
        """
        out = np.zeros(self.size)
        for name, components in self.reads.items():
            if name not in data:
                raise ConfigError(name, f"is missing; the macro solver sent {', '.join(map(str, data)) or 'nothing'}")
            values = np.atleast_1d(np.asarray(data[name], float))
            if values.shape != (len(components),) or not np.isfinite(values).all():
                raise ConfigError(name, f"is {data[name]}; {len(components)} finite numbers are expected")
            out[list(components)] = values
        return np.asarray(out / self.factor)

    def answer(self, flux: Array, tangent: Array) -> dict[str, Any]:
        """What preCICE takes back."""
        stress, matrix = flux / self.factor, tangent / np.outer(self.factor, self.factor)
        out: dict[str, Any] = {}
        for name, parts in self.fluxes.items():
            out[name] = float(stress[parts[0]]) if len(parts) == 1 else stress[list(parts)]
        for name, places in self.tangents.items():
            values = np.array([matrix[i, j] for i, j in places])
            out[name] = float(values[0]) if len(places) == 1 else values
        return out


def micro_simulation(
    make: Callable[[], Micro], exchange: Exchange, folder: str | Path | None = None, name: str = "MicroSimulation"
) -> type:
    """The class of micro simulations for the Micro Manager: ``Class(sim_id)`` is one point.

    Args:
        make: makes the microstructure; called once in a process, for all its points share it and differ in their states.
        folder: where `output` writes the last mean strain, stress and local fluctuation of each point, ``micro_ID.npz``; without
            it there is no output.
        name: of the class; the Micro Manager looks for ``MicroSimulation``.
    """
    shared = cache(make)

    def initialize(self: Any, initial_data: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer to the given or no strain, for a first guess and for adaptivity; no state comes of it."""
        strain = np.zeros(exchange.size) if initial_data is None else exchange.strain(initial_data)
        response = self._micro().solve(strain)
        return exchange.answer(response.flux, response.tangent)

    def output(self: Any) -> None:
        """Writes the last solution."""
        assert folder is not None
        if self._last is None:
            return
        strain, response = self._last
        where = Path(folder)
        where.mkdir(parents=True, exist_ok=True)
        local = getattr(response.state, "fluctuation", np.zeros(0))
        np.savez(where / f"micro_{self._sim_id}.npz", strain=strain, flux=response.flux, fluctuation=local)

    body: dict[str, Any] = {
        "initialize": initialize,
        "_exchange": exchange,
        "_micro": staticmethod(lambda: _sized(shared(), exchange)),
    }
    if folder is not None:
        body["output"] = output
    return type(name, (_Point, _interface()), body)


def _sized(micro: Micro, exchange: Exchange) -> Micro:
    if micro.size != exchange.size:
        raise ConfigError("exchange", f"has {exchange.size} components, the microstructure {micro.size}")
    return micro


def _interface() -> type:
    """`MicroSimulationInterface` of the Micro Manager; `object` without it."""
    try:
        from micro_manager.micro_simulation import MicroSimulationInterface
    except ImportError:
        return object
    found: type = MicroSimulationInterface
    return found


class _Point:
    """One micro simulation; the state is where its next solve starts, and nothing that its answer depends on."""

    _exchange: Exchange
    _micro: Callable[[], Micro]

    def __init__(self, sim_id: int) -> None:
        self._sim_id = int(sim_id)
        self._state: Any = None
        self._last: tuple[Array, Response] | None = None

    def solve(self, macro_data: Mapping[str, Any], dt: float) -> dict[str, Any]:
        """Stress (flux) and tangent for the strain (gradient) in ``macro_data``; nothing depends on the time step.

        Raises:
            ConfigError: data that are missing. NotConverged: see the microstructure.
        """
        strain = self._exchange.strain(macro_data)
        response = self._micro().solve(strain, self._state)
        self._state, self._last = response.state, (strain, response)
        return self._exchange.answer(response.flux, response.tangent)

    def get_state(self) -> Any:
        """What `set_state` takes, also of another point or in another process."""
        return self._state

    def set_state(self, state: Any) -> None:
        self._state = state

    def get_global_id(self) -> int:
        return self._sim_id

    def set_global_id(self, global_id: int) -> None:
        self._sim_id = int(global_id)
