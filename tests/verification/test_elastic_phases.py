"""Elastic energies of phases that differ in stiffness: against the closed form, another solver and Eshelby, and along runs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from test_elastic import MIXED, NICKEL, STILL, TURNED, TWO, seen, smooth, vector
from verify import field_values, run, specify, steps

from phasefield.backend import Solve
from phasefield.errors import ConfigError
from phasefield.mechanics import ElasticBody, Options, tensors
from phasefield.models.equilibrium.iteration import Iteration, damping, extrapolation
from phasefield.simulation import Simulation

ROTATION = tensors.rotation_from_euler(*np.radians([20, 40, 70]))
SOFT = tensors.rotate(tensors.cubic_stiffness(246.5, 147.3, 124.7), ROTATION)
HARD = tensors.rotate(tensors.cubic_stiffness(500.0, 247.3, 324.7), ROTATION)


def material(*phases: str, more: str = "") -> str:
    """``model.elastic`` of phases, the matrix first."""
    each = ", ".join(f"p{i}: {{stiffness: {phase}}}" for i, phase in enumerate(phases))
    return f"model.elastic={{material: {{phases: {{{each}}}}}{', ' + more if more else ''}}}"


def turned(*phases: str, more: str = MIXED) -> str:
    each = ", ".join(
        f"p{i}: {{stiffness: {phase}, orientation: {{euler: [20, 40, 70]}}}}" for i, phase in enumerate(phases)
    )
    return f"model.elastic={{material: {{phases: {{{each}}}}}, {more}}}"


#: The matrix's stiffness where eta is, another where c is 1, without any symmetry and under a mixed load.
DIFFERENT = turned(NICKEL, "{C11: 500, C12: 247.3, C44: 324.7}", NICKEL)


# -- equilibrium -------------------------------------------------------------------------------------------------------


def test_phases_of_one_stiffness_are_the_closed_form() -> None:
    closed = seen(Simulation(specify(*TWO, *STILL, f"model.elastic={TURNED}, {MIXED}}}")))
    solved = seen(Simulation(specify(*TWO, *STILL, turned(NICKEL, NICKEL, NICKEL))))
    assert solved["free_energy_elastic"] == pytest.approx(closed["free_energy_elastic"], rel=1e-12)
    for name in ("stress", "strain"):
        np.testing.assert_allclose(
            vector(solved, name), vector(closed, name), atol=1e-6 * abs(vector(closed, name)).max()
        )


def test_phases_that_differ_are_in_equilibrium() -> None:
    """Against the iterative solver of `ElasticBody` on the same trigonometric interpolants, at the mean strain that is told."""
    sim = Simulation(specify(*TWO, *STILL, DIFFERENT))
    values, (c, eta) = seen(sim), field_values(sim)
    stiffness = SOFT[..., None, None] + c * (HARD - SOFT)[..., None, None]
    free = np.multiply.outer(np.array([0.02, -0.03, 0.01, 0.004, 0.002, 0.015]) * tensors.FACTOR, c)
    free += np.multiply.outer([0.04, 0.04, 0.04, 0, 0, 0], smooth(eta))
    body = ElasticBody(sim.grid.shape, (0.45, 7 / 18), Options(scheme="fourier", tolerance=1e-10))
    mean, stress = vector(values, "strain"), vector(values, "stress")
    found = body.solve(stiffness, free, None, mean)
    np.testing.assert_allclose(found.mean_stress, stress, atol=1e-8)
    assert mean[[0, 5]] == pytest.approx([0.01, 0.004 * math.sqrt(2)], rel=1e-12)
    assert stress[[1, 2]] == pytest.approx([0.3, -0.1], rel=1e-6)
    expected = (found.energy.mean() - stress[[1, 2, 3, 4]] @ mean[[1, 2, 3, 4]]) * sim.grid.volume
    assert values["free_energy_elastic"] == pytest.approx(expected, rel=1e-12)


def test_energy_falls_and_a_run_goes_on_to_the_same_bits() -> None:
    """At the steps that the run chooses, each of which starts from the solutions of earlier ones."""
    spec = specify(*TWO, DIFFERENT, "time.end=0.4")
    sim = Simulation(spec)
    before = sim.carry.energy
    for s in steps(sim, 0.2):
        assert s.carry.energy <= before + 1e-11 * abs(before)
        before = s.carry.energy
    state = sim.state()
    again = Simulation(spec, ({k: v.copy() for k, v in state[0].items()}, state[1]))
    assert again.carry.energies == sim.carry.energies
    assert np.array_equal(field_values(run(again, 0.4)), field_values(run(sim, 0.4)))


def test_the_force_is_the_variation_of_the_energy() -> None:
    """The rate of change along the equation of motion is the energy's derivative: differences of it to 1e-7."""
    keys = [DIFFERENT, "model.energy=c**2/1000+eta**2/1000"]
    keys += [f"model.fields.{name}.{key}" for name in ("c", "eta") for key in ("kappa=0", "stabilizer=0")]
    dt = 1e-6

    sim, probe = (
        Simulation(specify(*TWO, *keys, "time.adaptive=false", "time.scheme=etd1", f"time.dt={dt}")) for _ in range(2)
    )

    def energy(cells: np.ndarray) -> float:
        buffer = probe.backend.buffer(probe.layout, 2)
        buffer[:, :, 0, : cells.shape[2]] = cells / probe.grid.norm
        probe._to_modes({"u": buffer})
        probe.carry = probe.integrator.start(buffer, 0.0)
        return float(seen(probe)["free_energy"])

    before = field_values(sim).copy()
    sim.advance(1.0)
    rate = (field_values(sim) - before) / dt
    h = 1e-3 / np.abs(rate).max()

    def slope(s: float) -> float:
        return (energy(before + s * rate) - energy(before - s * rate)) / (2 * s)

    found = (4 * slope(h) - slope(2 * h)) / 3
    # dF/dt = - sum over fields of the rate times mu; mu of c from lap mu = rate/M, mode by mode.
    k = [2 * np.pi * np.fft.fftfreq(n, d) for n, d in zip(sim.grid.shape, (0.45, 7 / 18), strict=True)]
    k2 = k[0][:, None] ** 2 + k[1][None, :] ** 2
    modes = np.abs(np.fft.fft2(rate[0])) ** 2 / rate[0].size ** 2
    flux = (modes[k2 > 0] / k2[k2 > 0]).sum() / 5.0
    assert found == pytest.approx(-(flux + (rate[1] ** 2).mean() / 5.0) * sim.grid.volume, rel=1e-6)


@pytest.mark.parametrize(
    "keys",
    [
        (
            "model.energy=eta**2*(1-eta)**2",
            "model.fields.eta.kinetics=conserved",
            "model.fields.eta.mobility=0.1+eta**2",
        ),
        ("model.energy=eta*log(eta)+(1-eta)*log(1-eta)+2.5*eta*(1-eta)", "model.fields.eta.kinetics=conserved"),
    ],
    ids=["mobility", "logarithm"],
)
def test_models_that_are_rebuilt_keep_their_grid(keys: tuple[str, ...]) -> None:
    """A mobility that varies and an energy that is continued make other models of one: the highest modes have no derivative in
    any, without which equilibrium is not found and energy rises.
    """
    common = ("model=allen_cahn", "model.fields.eta.eigenstrain=[0.05,0.02]", "grid.shape=[16,12]", "grid.length=[8,6]")
    two = material("{E: 10, nu: 0.3}", "{E: 30, nu: 0.3}", more="tolerance: 0.001")
    start = "initial.eta=0.5+0.25*cos(pi*x/4)*cos(pi*y/3)+0.1*sin(pi*x/2)"
    sim = Simulation(specify(*common, two, start, *keys, "time.end=1"))
    before = sim.carry.energy
    for s in steps(sim, 0.2):
        assert s.carry.energy <= before + 1e-11 * abs(before)
        before = s.carry.energy
    assert sim.carry.step < 200


# -- warm starts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("contrast", [1.1, 2.0, 3.0, 10.0, 100.0])
def test_errors_of_solutions_die_out_although_starts_are_made_of_them(contrast: float) -> None:
    """An error of an eigenvector, of which a solve leaves 1 - w L, in equal steps: the companion matrix of starts from three
    solutions has no eigenvalue beyond 1, for any L; the whole parabola has, from a contrast of 2.3 on.
    """
    soft, stiff = 2 / (1 + contrast), 2 * contrast / (1 + contrast)

    def growth(share: float, length: float) -> float:
        ahead, bend = extrapolation(1.0, 1.0, share)
        start = np.array([1 + ahead, -ahead - bend, bend])
        left = [1 - length * eigenvalue for eigenvalue in np.linspace(soft, stiff, 50)]
        return max(float(np.abs(np.linalg.eigvals([c * start, [1, 0, 0], [0, 1, 0]])).max()) for c in left)

    share, length = damping(soft, stiff)
    assert growth(share, length) <= 1 + 1e-9
    if contrast > 1.5:
        assert growth(share, length) == pytest.approx(1.0, abs=1e-9)
    assert 0.5 < share <= 1
    best = min(growth(1.0, w) for w in np.linspace(0.3, 1.5, 60))
    assert (best > 1.0 + 1e-9) == (contrast > 16 / 7)


@pytest.mark.slow
@pytest.mark.parametrize(("contrast", "most"), [(3.0, 0.4), (10.0, 0.7)])
def test_few_solves_need_an_iteration(contrast: float, most: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those before the first step included, to 1e-8; yet a run takes the steps of one with a hundredth of the tolerance, and its
    energy comes out the same.
    """
    made: list[str] = []
    whole = Iteration.solve

    def counted(self: Iteration, *given: Any) -> Any:
        parts = whole(self, *given)
        part = next(parts)
        made.append("solve")
        while True:
            made.append(part[0])
            found = yield part
            try:
                part = parts.send(found)
            except StopIteration as end:
                return end.value

    monkeypatch.setattr(Iteration, "solve", counted)

    def ran(*more: str) -> tuple[Simulation, float]:
        made.clear()
        two = material("{E: 2.5, nu: 0.3}", f"{{E: {2.5 * contrast}, nu: 0.3}}")
        sim = run(
            Simulation(specify(*BRIDGED, "grid.shape=[32,32]", "grid.length=32", two, "time.end=10", *more)), 10.0
        )
        counts = [sum(part.endswith(name) for part in made) for name in ("multiply", "finish", "solve")]
        return sim, (counts[0] + counts[1] / 2) / counts[2]

    (loose, few), (tight, many) = ran(), ran("model.elastic.tolerance=2e-4")
    assert few < most
    assert many > 1.5
    assert abs(loose.carry.step - tight.carry.step) <= 0.03 * tight.carry.step
    assert loose.carry.energy == pytest.approx(tight.carry.energy, rel=1e-5)


@pytest.mark.slow
def test_lean_solves_find_what_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the tolerance allows for their round-off; where it doesn't, arrays are as they were."""
    two = material("{E: 2.5, nu: 0.3}", "{E: 25, nu: 0.3}", more="tolerance: 1e-3")
    common = (*BRIDGED, "grid.shape=[32,32]", "grid.length=32", two, "time.end=1")
    lean = Simulation(specify(*common))
    solves = next(o for o in lean.integrator.split.operations("work") if isinstance(o, Solve))
    assert {"begin", "lean_begin", "residual", "lean_residual"} <= set(solves.parts)
    run(lean, 1.0)
    monkeypatch.setattr("phasefield.models.equilibrium.iteration._LEAN", 1e9)
    full = run(Simulation(specify(*common)), 1.0)
    assert lean.carry.step == full.carry.step
    # As far apart as round-off is, but not the same: these were solves of another precision.
    apart = np.abs(field_values(lean) - field_values(full)).max()
    assert 0 < apart < 1e-7
    assert lean.carry.energy == pytest.approx(full.carry.energy, rel=1e-8)


# -- between solves ----------------------------------------------------------------------------------------------------

#: Two particles.
PARTICLES = "{kind: circles, centers: [[10,13],[23,21]], radii: [6,4], inside: 1, outside: 0.02, width: 4}"
BRIDGED = ("model=cuboids", "model.elastic.stiffness=null", "model.parameters.misfit=0.02", f"initial.c={PARTICLES}")


def bridged(every: int, *more: str, load: str = "stress: {xx: 0.01}") -> Simulation:
    """Particles three times as stiff as the matrix."""
    two = material("{E: 2.5, nu: 0.3}", "{E: 7.5, nu: 0.3}", more=f"every: {every}, load: {{{load}}}")
    return Simulation(specify(*BRIDGED, "grid.shape=[32,32]", "grid.length=32", two, *more))


def test_every_nth_step_is_solved_for_and_those_between_are_bridged() -> None:
    """In as many steps as where every one is, nearly; the energy falls from step to step and comes out the same."""
    each, other = bridged(1, "time.end=10"), bridged(2, "time.end=10")
    solved, before, since = 0, other.carry.energy, 0.0
    run(each, 10.0)
    for s in steps(other, 10.0):
        since = s.carry.notes["note_elastic_since"]
        solved += since == 0
        # What bridging missed is told, and by no more may the energy rise: here it doesn't.
        assert s.carry.energy <= before + 1e-10 * abs(before)
        before = s.carry.energy
    assert solved <= 0.75 * other.carry.step <= 0.75 * 1.3 * each.carry.step
    assert other.carry.energy == pytest.approx(each.carry.energy, rel=2e-5)
    assert np.abs(field_values(other) - field_values(each)).max() < 1e-3


@pytest.mark.slow
def test_what_bridging_gets_wrong_falls_with_the_square_of_equal_steps() -> None:
    def off(dt: float) -> float:
        keys = ("time.adaptive=false", "time.scheme=etdms3", f"time.dt={dt}", "time.end=1")
        one, two = (bridged(n, *keys, "model.elastic.tolerance=1e-5") for n in (1, 4))
        return float(np.abs(field_values(run(one, 1.0)) - field_values(run(two, 1.0))).max())

    assert math.log2(off(1 / 16) / off(1 / 32)) > 1.7


def test_a_bridged_run_goes_on_to_the_same_bits() -> None:
    """From between two solves, with what the steps ahead are bridged by; another `every` starts warm arrays anew."""
    sim = bridged(3, "time.end=3")
    while not (sim.carry.t > 1 and sim.carry.notes["note_elastic_since"] == 1):
        sim.advance(3.0)
    arrays, numbers = sim.state()
    again = Simulation(sim.spec, ({k: v.copy() for k, v in arrays.items()}, numbers))
    assert np.array_equal(field_values(run(again, 3.0)), field_values(run(sim, 3.0)))
    alone = bridged(1, "time.end=3").spec
    fewer = Simulation(alone, ({k: v.copy() for k, v in arrays.items()}, numbers))
    np.testing.assert_allclose(field_values(run(fewer, 3.0)), field_values(sim), atol=1e-3)


CUBIC = ("{C11: 250, C12: 150, C44: 100}", "{C11: 275, C12: 165, C44: 110}")


@pytest.mark.parametrize("boundary", ["no-flux", "[no-flux,periodic]"])
def test_walls_are_planes_of_symmetry(boundary: str) -> None:
    """A body between walls is a part of the periodic one that its mirror images make."""
    common = (
        *("model=allen_cahn", "model.energy=eta**2*(1-eta)**2", "model.fields.eta.eigenstrain=[0.05,0.02,0]", *STILL),
        material(CUBIC[0], "{C11: 550, C12: 165, C44: 210}", more="load: {stress: [0.2,0]}"),
        "initial.eta=0.5+0.25*cos(pi*x/8)*cos(pi*y/6)+0.15*cos(pi*y/6)",
    )
    walls = Simulation(
        specify(*common, "grid.shape=[16,14]" if boundary == "no-flux" else "grid.shape=[16,28]",
                "grid.length=[8,6]" if boundary == "no-flux" else "grid.length=[8,12]", f"grid.boundary={boundary}")
    )  # fmt: skip
    whole = Simulation(specify(*common, "grid.shape=[32,28]", "grid.length=[16,12]"))
    one, other = seen(walls), seen(whole)
    share = whole.grid.volume / walls.grid.volume
    assert share * one["free_energy_elastic"] == pytest.approx(other["free_energy_elastic"], rel=1e-10)
    assert one["mean_strain_xx"] == pytest.approx(other["mean_strain_xx"], rel=1e-6)
    part, mirrored = (field_values(run(sim, 1.0)) for sim in (walls, whole))
    assert np.abs(part - mirrored[:, : part.shape[1], : part.shape[2]]).max() < 1e-6


# -- Eshelby -----------------------------------------------------------------------------------------------------------


def inclusion(dim: int, cells: int, radius: float, ratio: float) -> tuple[float, float, float, float]:
    """Strain along x within a dilating cylinder or sphere of another stiffness, and its energy per volume of the inclusion, each
    followed by what is expected: in the middle of a cylinder or sphere of the matrix that is free of traction outside, of which
    it is the same share as of the periodic cell (Eshelby, Proc. R. Soc. A 241 (1957) 376).
    """
    e, young, nu = 0.01, 100.0, 0.3
    distance = "sqrt(" + "+".join(f"({x}-{cells / 2})**2" for x in "xyz"[:dim]) + ")"
    sim = Simulation(
        specify(
            *("model=allen_cahn", "model.energy=eta**2*(1-eta)**2", *STILL),
            f"grid.shape={[cells] * dim}",
            f"grid.length={cells}",
            f"initial.eta=(1-tanh(({distance}-{radius})/0.7))/2",
            f"model.fields.eta.eigenstrain={[e] * dim}",
            material(f"{{E: {young}, nu: {nu}}}", f"{{E: {young * ratio}, nu: {nu}}}"),
        )
    )
    share = smooth(field_values(sim)).mean()
    lame, shear = young * nu / ((1 + nu) * (1 - 2 * nu)), young / (2 * (1 + nu))
    # Inside u = A r, outside u = C r + B r^(1-dim); traction 2 (lame + shear) A = dim k A of a dilatation, k the bulk modulus.
    k = lame + 2 * shear / dim
    matrix = np.array(
        [
            [1.0, -1.0, -1.0],
            [dim * k * ratio, -dim * k, 2 * shear * (dim - 1)],
            [0.0, dim * k, -2 * shear * (dim - 1) * share],
        ]
    )
    a, _, _ = np.linalg.solve(matrix, [0.0, dim * k * ratio * e, 0.0])
    expected = 0.5 * dim * k * ratio * (e - a) * dim * e  # half of the stress times the stress-free strain
    values = seen(sim)
    # Which leaves the strain of the displacement in cells, less its mean.
    centre = sim.integrator._own["elastic_normal"][0, cells // 2, cells // 2 if dim == 3 else 0, cells // 2]
    energy = values["free_energy_elastic"] / (share * sim.grid.volume)
    return float(centre + values["mean_strain_xx"]), float(a), float(energy), float(expected)


@pytest.mark.parametrize(
    ("dim", "cells", "radius", "ratio", "near"),
    [
        (2, 128, 16.0, 0.25, 0.005),
        (2, 128, 16.0, 4.0, 0.005),
        pytest.param(3, 64, 10.0, 0.25, 0.005, marks=pytest.mark.slow),
        pytest.param(3, 64, 10.0, 4.0, 0.02, marks=pytest.mark.slow),
    ],
)
def test_inclusions_of_another_stiffness_have_eshelbys_strain(
    dim: int, cells: int, radius: float, ratio: float, near: float
) -> None:
    """What is left is of the interface's width over the radius: twice the radius halves it."""
    strain, expected, energy, of_energy = inclusion(dim, cells, radius, ratio)
    assert strain == pytest.approx(expected, rel=near)
    assert energy == pytest.approx(of_energy, rel=0.02)


# -- runs --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_particles_raft_along_the_load_or_across_it() -> None:
    """A disk lengthens along the axis of the load if load, misfit and what it is stiffer by have the sign of their product
    positive, and across it if negative (Pineau, Acta Metall. 24 (1976) 559; Schmidt and Gross, J. Mech. Phys. Solids 45 (1997)
    1521); with one stiffness a load does nothing.
    """

    def length(load: float, ratio: float) -> float:
        """Second moments along and across: their difference over their sum."""
        sim = Simulation(
            specify(
                "model=cuboids",
                "model.parameters.misfit=0.02",
                "model.elastic.stiffness=null",
                material(
                    "{E: 2.5, nu: 0.3}", f"{{E: {2.5 * ratio}, nu: 0.3}}", more=f"load: {{stress: {{xx: {load}}}}}"
                ),
                "initial.c={kind: circles, centers: [[16,16]], radii: [7], inside: 1, outside: 0.02, width: 3}",
                "grid.shape=[32,32]",
                "time.end=15",
            )
        )
        weight, x = np.clip((field_values(run(sim, 15.0)) - 0.1) / 0.8, 0, 1), np.arange(32) - 15.5
        along, across = (weight * x[:, None] ** 2).sum(), (weight * x[None, :] ** 2).sum()
        return float((along - across) / (along + across))

    assert abs(length(0.03, 1.0)) < 1e-6
    assert min(length(0.03, 2.0), length(-0.03, 0.5)) > 0.01
    assert max(length(-0.03, 2.0), length(0.03, 0.5)) < -0.01


# -- what is refused ---------------------------------------------------------------------------------------------------

_ONE = "{stiffness: {E: 1, nu: 0.3}}"
_TWO_PHASES = "material: {phases: {a: {stiffness: {E: 1, nu: 0.3}}, b: {stiffness: {E: 2, nu: 0.3}}}}"


@pytest.mark.parametrize(
    ("elastic", "key", "words"),
    [
        ("{material: {phases: {a: {stiffness: {E: 1, nu: 0.3}}, b: {stiffness: {C11: 1, C12: 2, C44: 1}}}}}",
         "model.elastic.material.phases.b.stiffness", "not positive definite"),
        ("{material: {phases: {a: {stiffness: {E: 1, nu: 0.3}}, b: {conductivity: 1}}}}",
         "model.elastic.material.phases.b.stiffness", "is missing"),
        ("{material: {phases: {a: {stiffness: {E: 1, nu: 0.3}}, b: void}}}", "model.elastic.material", "void"),
        (f"{{material: {{phases: {{a: {_ONE}, b: {_ONE}, c: {_ONE}}}}}}}",
         "model.elastic.phases", "besides the matrix b, c"),
        (f"{{{_TWO_PHASES}, phases: [a]}}", "model.elastic.phases", "two or more"),
        (f"{{{_TWO_PHASES}, phases: [a, c]}}", "model.elastic.material.phases", "'c'"),
        (f"{{{_TWO_PHASES}, phases: [a, b], phase: a}}", "model.elastic.phases", "phase too"),
        ("{stiffness: {E: 1, nu: 0.3}, phases: [a, b]}", "model.elastic.phases", "a stiffness is given"),
        (f"{{{_TWO_PHASES}, load: {{strain: {{xx: 1}}, stress: {{xx: 1}}}}}}",
         "model.elastic.load.strain.xx", "give one of them"),
        (f"{{{_TWO_PHASES}, tolerance: 2}}", "model.elastic.tolerance", "between 0 and 1"),
        ("{stiffness: {E: 1, nu: 0.3}, tolerance: 0.1}", "model.elastic.tolerance", "one stiffness"),
        ("{stiffness: {E: 1, nu: 0.3}, every: 2}", "model.elastic.every", "one stiffness"),
        (f"{{{_TWO_PHASES}, every: 0}}", "model.elastic.every", "from 1 to 16"),
        (f"{{{_TWO_PHASES}, every: 2, load: {{stress: {{xx: 't'}}}}}}", "model.elastic.every", "depends on time"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(elastic: str, key: str, words: str) -> None:
    common = ("model=cahn_hilliard", "grid.shape=[8,8]", "model.fields.c.eigenstrain=0.01")
    with pytest.raises(ConfigError) as told:
        Simulation(specify(*common, f"model.elastic={elastic}"))
    assert told.value.key.startswith(key)
    assert words in str(told.value)
