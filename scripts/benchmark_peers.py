"""A step of other programs on the same work, for those that are installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def numpy_script(n: int) -> Callable[[], Any]:
    """The semi-implicit Cahn-Hilliard step as it is commonly written."""
    rng = np.random.default_rng(1)
    k = 2 * np.pi * np.fft.fftfreq(n)
    k2 = k[:, None] ** 2 + (2 * np.pi * np.fft.rfftfreq(n)) ** 2
    u_hat = np.fft.rfft2(0.01 * rng.standard_normal((n, n)))
    dt, kappa = 0.01, 1.0
    state = [u_hat]

    def step() -> None:
        u = np.fft.irfft2(state[0], s=(n, n))
        state[0] = (state[0] - dt * k2 * np.fft.rfft2(u**3 - u)) / (1 + dt * kappa * k2**2)

    return step


def pde_step(n: int) -> Callable[[], Any]:
    """py-pde: finite differences, explicit Euler; its step is one evaluation of the right-hand side."""
    import pde

    grid = pde.CartesianGrid([[0, n], [0, n]], [n, n], periodic=True)
    equation = pde.CahnHilliardPDE()
    state = pde.ScalarField(grid, 0.01 * np.random.default_rng(1).standard_normal((n, n)))
    if hasattr(equation, "make_pde_rhs_numba"):
        rhs = equation.make_pde_rhs_numba(state)
        return lambda: rhs(state.data, 0.0)
    return lambda: equation.evolution_rate(state)


def exponax_step(n: int) -> Callable[[], Any]:
    """exponax: ETDRK2 of the Allen-Cahn equation in single precision, two pairs a step (it has no Cahn-Hilliard step)."""
    import equinox
    import exponax
    import jax

    stepper = equinox.filter_jit(exponax.stepper.reaction.AllenCahn(2, float(n), n, 0.01, order=2))
    state = [0.01 * jax.random.normal(jax.random.PRNGKey(1), (1, n, n))]

    def step() -> None:
        state[0] = stepper(state[0]).block_until_ready()

    return step


def evoxels_step(n: int) -> Callable[[], Any]:
    """evoxels: its pseudo-spectral semi-implicit Cahn-Hilliard step through JAX, in single precision."""
    from evoxels.pdes import CahnHilliard
    from evoxels.solvers import TimeDependentSolver
    from evoxels.timesteppers import PseudoSpectralIMEX
    from evoxels.voxelfields import VoxelFields

    fields = VoxelFields((n, n, 1))
    fields.add_field("c", 0.5 + 0.01 * np.random.default_rng(1).standard_normal((n, n, 1)))
    solver = TimeDependentSolver(fields, "c", "jax", CahnHilliard, PseudoSpectralIMEX, device="cpu")
    problem = {"eps": 3.0, "D": 1.0, "mu_hom": None, "bc": ("periodic",) * 3}
    state, advance = [solver._init_fields()], solver._init_stepper(0.01, problem, True)

    def step() -> None:
        state[0] = advance(0.0, state[0]).block_until_ready()

    return step


PEERS: dict[str, tuple[str | None, Callable[[int], Callable[[], Any]]]] = {
    "numpy script": (None, numpy_script),
    "py-pde (explicit)": ("pde", pde_step),
    "exponax (ETDRK2)": ("exponax", exponax_step),
    "evoxels": ("evoxels", evoxels_step),
}
