"""A term is one file: two trial terms, one quadratic in modes and one that couples distant cells nonlinearly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import sympy as sp
from verify import field_values, run, specify, steps

from phasefield.backend import Apply, Forward, Inverse, Layout, Operation
from phasefield.codegen import Kernel, Reduction, array_symbol
from phasefield.models.analysis import growth_rates
from phasefield.models.terms import TERMS, Term, Waves
from phasefield.simulation import Simulation
from phasefield.specs import RunSpec


class LongRange(Term):
    """gamma/2 int |grad v|^2 with -lap v = u - mean(u) (Ohta and Kawasaki, Macromolecules 19 (1986) 2621)."""

    name, title = "long_range", "long-range part"

    @dataclass
    class FieldKeys:
        long_range: Any = field(default=0.0, metadata={"expression": True})

    def symbol(self, i: int, waves: Waves) -> Any:
        return self.model.scalar("long_range", i) * waves.inverse


class Spread(Term):
    """1/2 sum_k B(k) |FT[u^2]_k|^2: modes of u^2 are stiff, B = 2 exp(-k^2), given as a table."""

    name, title = "spread", "spread of the square"
    temporaries = {"spread_square": 1}  # noqa: RUF012
    memory = {"spread_last": 1}  # noqa: RUF012

    def tables(self, layout: Layout) -> dict[str, np.ndarray]:
        k2 = sum(np.asarray(layout.axis_array(f"k2_{a}", "float64")).reshape(np.roll((-1, 1, 1), a)) for a in range(3))
        return {"spread_kernel": np.exp(-k2)[None]}

    def scalars(self, t: float) -> dict[str, float]:
        return {"spread_amplitude": 2.0}

    def prepare(self, array: str, waves: Waves) -> list[Operation]:
        state, square, kernel = (array_symbol(name, 0) for name in ("state", "spread_square", "spread_kernel"))
        kernel *= sp.Symbol("spread_amplitude", real=True)
        squared = Kernel("spread_cells", "real", {"state": 1, "spread_square": 1}, {"spread_square": [state**2]})
        filtered = Kernel(
            "spread_modes",
            "spectral",
            {"spread_square": 1, "spread_kernel": 1, "spread_last_next": 1},
            {"spread_square": [waves.scale * kernel * square], "spread_last_next": [waves.scale * square]},
            {"modes_spread": Reduction("sum", waves.weight * kernel * (waves.scale * square) ** 2 / 2)},
            ["scale", "spread_amplitude"],
        )
        return [
            Apply(squared, {"state": array}),
            Forward("spread_square", 1),
            Apply(filtered),
            Inverse("spread_square", 1),
        ]

    def force(self, i: int) -> Any:
        return 2 * self.model.unknowns[i] * array_symbol("spread_square", 0)


@pytest.fixture
def register() -> Iterator[Any]:
    known = list(TERMS)
    yield TERMS.append
    TERMS[:] = known


def specification(*keys: str, **values: float) -> RunSpec:
    spec = specify("model=cahn_hilliard_landau", "grid.shape=[24,16]", "initial.phi=0.1+0.2*cos(2*pi*x/24)", *keys)
    vars(spec.model.fields["phi"]).update(values)
    return spec


def total(sim: Simulation, cells: np.ndarray) -> float:
    """The spread energy of cells, by NumPy."""
    n, grid = cells.size, sim.grid
    k = [2 * np.pi * np.fft.fftfreq(m, grid.lengths[a] / m) for a, m in enumerate(cells.shape)]
    k2 = k[0][:, None] ** 2 + k[1][None, :] ** 2
    return float(grid.volume * (np.exp(-k2) * np.abs(np.fft.fft2(cells**2) / n) ** 2).sum())


def test_a_term_of_modes_is_in_l_in_the_energy_and_in_the_files(register: Any) -> None:
    """A mode decays at the rate of linear theory with the term's symbol, and history.nc has its energy."""
    register(LongRange)
    sim = Simulation(specification(long_range=0.3))
    amplitude, k = 1e-6, 2 * np.pi / 24
    x = sim.grid.axes[0].centers[:, None]
    buffer = sim.backend.buffer(sim.layout, 1)
    buffer[0, :, 0, :16] = (amplitude * np.cos(k * x)) / sim.grid.norm
    sim._to_modes({"u": buffer})
    sim.carry = sim.integrator.start(buffer, 0.0)
    seen = sim.observe(sim.carry)[1]
    assert seen["free_energy_long_range"] == pytest.approx(0.3 / 4 * amplitude**2 / k**2 * sim.grid.volume, rel=1e-12)
    assert seen["free_energy"] == pytest.approx(sum(v for n, v in seen.items() if n.startswith("free_energy_")))
    sim.integrator.accept(sim.carry, sim.integrator.attempt(sim.carry, 1e-3, 1e-3), 1e-3, 1e-3)
    rate = float(growth_rates(sim.model, {"phi": 0.0}, k)[0])
    without = float(growth_rates(Simulation(specification()).model, {"phi": 0.0}, k)[0])
    assert rate == pytest.approx(without - 0.3, rel=1e-12)
    measured = float(np.log(np.abs(field_values(sim)).max() / np.abs(amplitude * np.cos(k * x)).max()) / 1e-3)
    assert measured == pytest.approx(rate, rel=1e-3)
    assert sim.carry.energies.keys() == {"bulk", "gradient", "long_range"}
    assert sim.identity["model.fields.phi.long_range"] == 0.3


def test_a_nonlocal_term_drives_the_field_down_its_energy(register: Any) -> None:
    """N is the derivative of the energy, found by differences; the energy that is judged and written holds it; it falls."""
    register(Spread)
    spec = specification("model.fields.phi.stabilizer=6", "time.end=3")
    sim = Simulation(spec)
    cells = field_values(sim)[0]
    assert sim.carry.energies["spread"] == pytest.approx(total(sim, cells), rel=1e-12)
    force = sim.model.function(sim.model.potentials)(cells.reshape(1, -1))[0].reshape(cells.shape)
    point, h = (5, 3), 1e-5
    moved = [
        total(sim, cells + s * h * (np.indices(cells.shape) == np.reshape(point, (2, 1, 1))).all(axis=0))
        for s in (1, -1)
    ]
    local = sim.backend.buffer(sim.layout, 1)
    sim.backend.copy(sim.carry.n, local)
    sim._to_cells({"u": local})
    channel = sim.backend.to_host(local)[0, :, 0, :16] / sim.grid.norm + 6 * cells
    slope = (moved[0] - moved[1]) / (2 * h) / sim.grid.cell_volume
    assert channel[point] - force[point] == pytest.approx(slope, rel=1e-6)

    before = sim.carry.energy
    for s in steps(sim, 2.0):
        assert s.carry.energy <= before * (1 + 1e-12)
        before = s.carry.energy
    seen = sim.observe(sim.carry)[1]
    assert seen["free_energy_spread"] == pytest.approx(total(sim, field_values(sim)[0]), rel=1e-10)
    assert seen["free_energy"] == pytest.approx(sim.carry.energy, rel=1e-12)

    sim.integrator.attempt(sim.carry, 0.5, sim.carry.t + 0.5)  # leaves no trace in the memory
    arrays, numbers = sim.state()
    assert arrays.keys() >= {"u", "n", "memory_spread_last"}
    square = sim.backend.buffer(sim.layout, 1)
    square[0, :, 0, :16] = field_values(sim)[0] ** 2 / sim.grid.norm
    sim._to_modes({"u": square})
    assert np.abs(arrays["memory_spread_last"] - sim.backend.to_host(square))[..., :16].max() < 1e-12
    again = Simulation(spec, (arrays, numbers))
    assert again.carry.energies == sim.carry.energies
    assert np.array_equal(field_values(run(again, 3.0)), field_values(run(sim, 3.0)))
