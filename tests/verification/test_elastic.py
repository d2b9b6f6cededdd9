"""Elastic energies of one stiffness against closed forms, against a solver of mechanical equilibrium, and along runs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from verify import field_values, run, specify, steps

from phasefield.errors import ConfigError
from phasefield.mechanics import ElasticBody, Options, tensors
from phasefield.mechanics.coherent import CoherentBody
from phasefield.simulation import Simulation

NICKEL = "{C11: 246.5, C12: 147.3, C44: 124.7}"
#: A stiffness and strains without any symmetry: what holds for them holds.
TURNED = f"{{stiffness: {NICKEL}, orientation: {{euler: [20, 40, 70]}}"
TWO = (
    "model=precipitate",
    "initial.c=0.5+0.1*cos(2*pi*x/9)*cos(2*pi*(y/7+x/9))+0.03*sin(4*pi*y/7)",
    "initial.eta=0.5+0.3*cos(2*pi*x/9)*sin(2*pi*y/7)",
    "grid.shape=[20,18]",
    "grid.length=[9,7]",
    "model.fields.c.eigenstrain=[0.02,-0.03,0.01,0.004,0.002,0.015]",
    "model.fields.eta.eigenstrain=0.04",
)
#: What compiles least, for an energy alone.
STILL = ("time.adaptive=false", "time.scheme=etd1", "time.dt=1")
MIXED = "load: {strain: {xx: 0.01, xy: 0.004}, stress: {yy: 0.3, zz: -0.1}}"


def smooth(eta: np.ndarray) -> np.ndarray:
    return eta**3 * (6 * eta**2 - 15 * eta + 10)


def seen(sim: Simulation) -> dict[str, Any]:
    return sim.observe(sim.carry)[1]


def vector(values: dict[str, Any], name: str) -> np.ndarray:
    """A mean tensor of the history, Mandel."""
    return np.array([values[f"mean_{name}_{c}"] for c in tensors.NAMES]) * tensors.FACTOR


# -- closed forms ------------------------------------------------------------------------------------------------------


def test_inclusions_have_eshelbys_energies() -> None:
    """Per volume of the inclusion, in an infinite isotropic matrix (Eshelby, Proc. R. Soc. A 241 (1957) 376): a sphere or a
    cylinder averages B over its directions, whatever the strain.
    """
    bulk, mu, e = 100.0, 40.0, 0.01
    nu = (3 * bulk - 2 * mu) / (2 * (3 * bulk + mu))
    strains = np.array([[e, e, e, 0, 0, 0], [e, e, 0, 0, 0, 0], [0, 0, 0, 0, 0, math.sqrt(2) * e]])
    body = CoherentBody(tensors.isotropic_stiffness(bulk, mu), strains)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    angle = np.arange(16) * math.pi / 8
    ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    sphere = sum(
        w / 2 * body.modulus(np.sqrt(1 - z**2) * ring + [0, 0, z]).mean(axis=0)
        for z, w in zip(nodes, weights, strict=True)
    )
    cylinder = body.modulus(ring).mean(axis=0)
    assert sphere[0, 0] / 2 == pytest.approx(2 * mu * (1 + nu) / (1 - nu) * e**2, rel=1e-12)
    assert sphere[2, 2] / 2 == pytest.approx(2 * mu * e**2 * (7 - 5 * nu) / (15 * (1 - nu)), rel=1e-12)
    assert cylinder[1, 1] / 2 == pytest.approx(mu * e**2 / (1 - nu), rel=1e-12)
    thin = CoherentBody(tensors.isotropic_stiffness(bulk, mu), strains, thin=True)
    assert thin.modulus(ring).mean(axis=0)[0, 0] / 2 == pytest.approx(mu * (1 + nu) * e**2, rel=1e-12)


def test_soft_directions_of_a_cubic_crystal() -> None:
    """2 eta^2 Y(n) of Cahn (1961) for a dilatation: <100> costs least where 2 C44 > C11 - C12, <111> most."""
    c11, c12, c44, e = 246.5, 147.3, 124.7, 0.01
    body = CoherentBody(tensors.cubic_stiffness(c11, c12, c44), np.array([[e, e, e, 0, 0, 0]]))
    b100, b110, b111 = body.modulus([[1, 0, 0], [1, 1, 0], [1, 1, 1]])[:, 0, 0]
    whole = c11 + 2 * c12
    assert b100 == pytest.approx(2 * e**2 * whole * (c11 - c12) / c11, rel=1e-12)
    assert b110 == pytest.approx(e**2 * whole * (3 - 2 * whole / (c11 + c12 + 2 * c44)), rel=1e-12)
    assert b111 == pytest.approx(12 * e**2 * c44 * whole / (whole + 4 * c44), rel=1e-12)
    assert b100 < b110 < b111


@pytest.mark.parametrize(("shape", "plane"), [([8, 8, 8], ""), ([16, 16], ", plane: stress"), ([16, 16], "")])
def test_energy_of_a_misfitting_inclusion(shape: list[int], plane: str) -> None:
    """A dilatation of an isotropic body costs B/2 <(c - <c>)^2>, whatever the shape (Crum's theorem), and in plane strain
    E/2 e^2 <c>^2 besides.
    """
    young, nu, e = 210.0, 0.3, 0.01
    distance = "sqrt(" + "+".join(f"({x}-4)**2" for x in "xyz"[: len(shape)]) + ")"
    sim = Simulation(
        specify(
            *STILL,
            "model=cahn_hilliard",
            f"grid.shape={shape}",
            "grid.length=8",
            f"initial.c=(1-tanh(4*({distance}-2)))/2",
            f"model.fields.c.eigenstrain={e}",
            f"model.elastic={{stiffness: {{E: {young}, nu: {nu}}}{plane}}}",
        )
    )
    c = field_values(sim)
    modulus = young * e**2 * (1 if plane else 2 / (1 - nu))
    held = 0.0 if plane or len(shape) == 3 else young * e**2 * c.mean() ** 2
    assert c.var() > 0.02
    expected = (modulus * c.var() + held) / 2 * sim.grid.volume
    assert seen(sim)["free_energy_elastic"] == pytest.approx(expected, rel=1e-12)


# -- equilibrium -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("load", ["", MIXED])
@pytest.mark.parametrize("alone", [True, False])
def test_energy_stress_and_strain_are_those_of_equilibrium(alone: bool, load: str) -> None:
    """Against the iterative solver of `ElasticBody` on the same trigonometric interpolants, at the mean strain that is told."""
    keys = ["model.fields.eta.eigenstrain=null"] if alone else []
    sim = Simulation(specify(*TWO, *STILL, *keys, f"model.elastic={TURNED}, {load}}}"))
    values, (c, eta) = seen(sim), field_values(sim)
    strain = np.array([0.02, -0.03, 0.01, 0.004, 0.002, 0.015]) * tensors.FACTOR
    free = np.multiply.outer(strain, c)
    if not alone:
        free += np.multiply.outer([0.04, 0.04, 0.04, 0, 0, 0], smooth(eta))
    rotation = tensors.rotation_from_euler(*np.radians([20, 40, 70]))
    stiffness = tensors.rotate(tensors.cubic_stiffness(246.5, 147.3, 124.7), rotation)
    body = ElasticBody(sim.grid.shape, (0.45, 7 / 18), Options(scheme="fourier", tolerance=1e-10))
    mean = vector(values, "strain")
    found = body.solve(stiffness[None], free, np.zeros(sim.grid.shape, np.int32), mean)
    stress = vector(values, "stress")
    work = stress @ mean - stress[0] * mean[0] - stress[5] * mean[5] if load else 0.0
    given = stress[[1, 2, 3, 4]] @ mean[[1, 2, 3, 4]] if load else 0.0
    assert given == pytest.approx(work)
    np.testing.assert_allclose(found.mean_stress, stress, atol=1e-9)
    if load:
        assert mean[[0, 5]] == pytest.approx([0.01, 0.004 * math.sqrt(2)], rel=1e-12)
        assert stress[[1, 2]] == pytest.approx([0.3, -0.1], rel=1e-12)
    else:
        np.testing.assert_allclose(stress[[0, 1, 5]], 0, atol=1e-12)
        assert mean[2] == 0
    expected = (found.energy.mean() - work) * sim.grid.volume
    assert values["free_energy_elastic"] == pytest.approx(expected, rel=1e-9)
    assert values["free_energy"] == pytest.approx(sum(v for k, v in values.items() if k.startswith("free_energy_")))


@pytest.mark.parametrize("fields", [("c",), ("eta",), ("c", "eta")])
def test_n_and_l_are_the_variation_of_the_energy(fields: tuple[str, ...]) -> None:
    """The rate of change along the equation of motion is the energy's derivative: differences of it to 1e-8."""
    keys = [f"model.fields.{name}.eigenstrain=null" for name in ("c", "eta") if name not in fields]
    keys += [f"model.elastic={TURNED}, {MIXED}}}", "model.energy=c**2/1000+eta**2/1000"]
    keys += [f"model.fields.{name}.{key}" for name in ("c", "eta") for key in ("kappa=0", "stabilizer=0")]

    def energies(cells: np.ndarray) -> float:
        sim = Simulation(specify(*TWO, *STILL, *keys))
        load(sim, cells)
        return float(seen(sim)["free_energy"])

    def load(sim: Simulation, cells: np.ndarray) -> None:
        buffer = sim.backend.buffer(sim.layout, 2)
        buffer[:, :, 0, : cells.shape[2]] = cells / sim.grid.norm
        sim._to_modes({"u": buffer})
        sim.carry = sim.integrator.start(buffer, 0.0)

    dt = 1e-6
    spec = specify(*TWO, *keys, "time.adaptive=false", "time.scheme=etdrk4", f"time.dt={dt}")
    sim = Simulation(spec)
    before = field_values(sim).copy()
    sim.advance(1.0)
    rate = (field_values(sim) - before) / dt
    middle, h = (field_values(sim) + before) / 2, 1e-3 / np.abs(rate).max()
    wide, narrow = ((energies(middle + s * rate) - energies(middle - s * rate)) / (2 * s) for s in (2 * h, h))
    slope = (4 * narrow - wide) / 3
    # dF/dt = - sum over fields of the rate times mu; mu of c from lap mu = rate/M, mode by mode.
    k = [2 * np.pi * np.fft.fftfreq(n, d) for n, d in zip(sim.grid.shape, (0.45, 7 / 18), strict=True)]
    k2 = k[0][:, None] ** 2 + k[1][None, :] ** 2
    modes = np.abs(np.fft.fft2(rate[0])) ** 2 / rate[0].size ** 2
    flux = (modes[k2 > 0] / k2[k2 > 0]).sum() / 5.0
    expected = -(flux + (rate[1] ** 2).mean() / 5.0) * sim.grid.volume
    assert slope == pytest.approx(expected, rel=1e-8)


def test_variants_are_components_or_fields() -> None:
    """A field with a strain for each component is as many fields; in three dimensions, on a line, in single precision."""

    def energy(*keys: str) -> float:
        common = ("model=allen_cahn", *STILL, "model.elastic={stiffness: {C11: 1.977, C12: 1.181, C44: 1.0}}", *keys)
        return float(seen(Simulation(specify(*common)))["free_energy_elastic"])

    space = ("grid.shape=[6,8,10]", "grid.length=8")
    starts = ("0.5+0.3*cos(pi*x/4)*cos(pi*y/4)", "0.5+0.2*cos(pi*(x+z)/4)")
    strains = ("[0.02,-0.01,-0.01]", "[-0.01,0.02,-0.01,0,0,0.01]")
    one = energy(
        *space,
        "model.energy=sum(eta**4)",
        "model.fields.eta.components=2",
        f"model.fields.eta.eigenstrain=[{','.join(strains)}]",
        f"initial.eta=[{','.join(starts)}]",
    )
    two = energy(
        *space,
        "model.energy=eta**4+phi**4",
        f"+model.fields.phi={{kinetics: nonconserved, eigenstrain: {strains[1]}}}",
        f"model.fields.eta.eigenstrain={strains[0]}",
        *(f"initial.{name}={start}" for name, start in zip(("eta", "phi"), starts, strict=True)),
    )
    assert one == pytest.approx(two, rel=1e-12)
    line = ("grid.shape=[16]", "grid.length=8", "initial.eta=0.5+0.3*cos(pi*x/4)")
    line += ("model.fields.eta.eigenstrain={strain: 0.02, interpolation: linear}",)
    whole = 1.977 + 2 * 1.181
    modulus = 2 * 0.02**2 * whole * (1.977 - 1.181) / 1.977
    assert energy(*line) == pytest.approx(8 * modulus / 2 * 0.09 / 2, rel=1e-12)
    assert energy(*line, "precision=single") == pytest.approx(8 * modulus / 2 * 0.09 / 2, rel=1e-5)


# -- runs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["x", "x+y"])
def test_spinodal_waves_grow_at_cahns_rate(direction: str) -> None:
    """R = -M k^2 (f'' + kappa k^2 + 2 eta^2 Y(n)), 2 eta^2 Y = B (Cahn 1961), to 1e-6 of it."""
    e, length = 0.02, 32.0
    sim = Simulation(
        specify(
            "model=cahn_hilliard_landau",
            "grid.shape=[16,16]",
            f"grid.length={length}",
            f"initial.phi=1e-5*cos(2*pi*({direction})/{length})",
            f"model.fields.phi.eigenstrain={e}",
            f"model.elastic={{stiffness: {NICKEL}}}",
            "time.adaptive=false",
            "time.scheme=etdrk4",
            "time.dt=0.05",
        )
    )
    n = [1, 0, 0] if direction == "x" else [1, 1, 0]
    body = CoherentBody(tensors.cubic_stiffness(246.5, 147.3, 124.7), np.array([[e, e, e, 0, 0, 0]]))
    f = sim.model.order_parameters[0]
    k2 = (2 * math.pi / length) ** 2 * sum(n)
    curvature = float(sim.model.function(sim.model.curvatures)(np.zeros((1, 1)))[0, 0])
    rate = -f.mobility * k2 * (curvature + f.kappa * k2 + float(body.modulus(n)[0, 0]))
    before = np.abs(field_values(sim)).max()
    run(sim, 2.0)
    assert math.log(np.abs(field_values(sim)).max() / before) / 2.0 == pytest.approx(rate, rel=1e-6)


def test_energy_falls_and_a_run_goes_on_to_the_same_bits() -> None:
    """Two fields with strains of their own, under load, at the step sizes that the run chooses."""
    spec = specify(*TWO, f"model.elastic={TURNED}, {MIXED}}}", "time.end=2")
    sim = Simulation(spec)
    before = sim.carry.energy
    for s in steps(sim, 1.0):
        assert s.carry.energy <= before + 1e-11 * abs(before)
        before = s.carry.energy
    state = sim.state()
    again = Simulation(spec, ({k: v.copy() for k, v in state[0].items()}, state[1]))
    assert again.carry.energies == sim.carry.energies
    assert np.array_equal(field_values(run(again, 2.0)), field_values(run(sim, 2.0)))


@pytest.mark.parametrize(("scheme", "order"), [("sbdf2", 2), ("etdms3", 3), ("etdrk4", 4)])
def test_schemes_keep_their_order(scheme: str, order: int) -> None:
    def at(dt: float, scheme: str = scheme) -> np.ndarray:
        keys = (f"time.scheme={scheme}", "time.adaptive=false", f"time.dt={dt}")
        sim = Simulation(specify(*TWO, f"model.elastic={TURNED}, {MIXED}}}", "grid.shape=[6,6]", *keys))
        return field_values(run(sim, 0.125))

    exact = at(1 / 4096, "etdrk4")
    errors = [np.abs(at(dt) - exact).max() for dt in (1 / 512, 1 / 1024)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


def test_walls_are_planes_of_symmetry() -> None:
    """A body between walls is a quarter of the periodic one that its mirror images make."""
    common = (
        "model=precipitate",
        "model.fields.c.eigenstrain=[0.05,0.02,0]",
        "model.fields.eta.eigenstrain=[-0.03,0.04,0.01]",
        f"model.elastic={{stiffness: {NICKEL}, load: {{stress: [0.2,0]}}}}",
        "initial.c=0.5+0.2*cos(pi*x/8)*cos(pi*y/6)+0.1*cos(pi*y/6)",
        "initial.eta=0.5+0.4*cos(pi*x/8)*cos(2*pi*y/6)",
        "model.fields.c.stabilizer=20",
        "model.fields.eta.stabilizer=20",
        "time.scheme=etd1",
        "time.adaptive=false",
        "time.dt=0.01",
    )
    walls = Simulation(specify(*common, "grid.shape=[12,10]", "grid.length=[8,6]", "grid.boundary=no-flux"))
    whole = Simulation(specify(*common, "grid.shape=[24,20]", "grid.length=[16,12]"))
    for sim in (walls, whole):
        run(sim, 0.1)
    np.testing.assert_allclose(field_values(walls), field_values(whole)[:, :12, :10], atol=1e-12)
    assert 4 * seen(walls)["free_energy_elastic"] == pytest.approx(seen(whole)["free_energy_elastic"], rel=1e-11)


def test_the_variant_that_a_stress_favours_grows() -> None:
    """Two tetragonal variants of the same start: tension along x prefers the one that is long along x, compression the other."""

    def share(stress: float) -> float:
        sim = Simulation(
            specify(
                "model=allen_cahn",
                "model.energy=(eta**2+phi**2-1)**2/4+eta**2*phi**2",
                "+model.fields.phi={kinetics: nonconserved, kappa: 1.0, eigenstrain: [-0.02, 0.02]}",
                "model.fields.eta.eigenstrain=[0.02,-0.02]",
                f"model.elastic={{stiffness: {{E: 200, nu: 0.3}}, load: {{stress: {{xx: {stress}}}}}}}",
                "initial.eta=0.5+0.4*cos(2*pi*(x+y)/32)",
                "initial.phi=0.5-0.4*cos(2*pi*(x+y)/32)",
                "grid.shape=[16,16]",
                "grid.length=32",
                "time.end=20",
            )
        )
        eta, phi = field_values(run(sim, 20.0))
        return float(smooth(eta).mean() - smooth(phi).mean())

    assert abs(share(0.0)) < 1e-9
    assert share(2.0) > 0.05
    assert share(-2.0) < -0.05


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "key", "words"),
    [
        (["model.fields.c.eigenstrain=[1,2,3,4]"], "model.fields.c.eigenstrain", "4 entries"),
        (["model.fields.c.eigenstrain={strain: 1, interpolation: cubic}"], "model.fields.c.eigenstrain.interp", "linear, smooth"),
        (["model.fields.c.eigenstrain=[[1,1],[1,1]]"], "model.fields.c.eigenstrain", "2 strains"),
        (["model.fields.c.eigenstrain=null"], "model.elastic", "no field has an eigenstrain"),
        (["model.elastic=null"], "model.fields.c.eigenstrain", "needs model.elastic"),
        (["model.elastic={stiffness: {C11: 1, C12: 2, C44: 1}}"], "model.elastic.stiffness", "not positive definite"),
        (["model.elastic={stiffness: {E: 70 GPa, nu: 0.3}}"], "model.elastic.stiffness", "has a unit"),
        (["model.elastic={stiffness: void}"], "model.elastic.stiffness", "not 0"),
        (["model.elastic={}"], "model.fields.c.eigenstrain", "needs model.elastic"),
        (["model.elastic={stifness: {E: 1, nu: 0.3}}"], "model.elastic", "did you mean"),
        (["model.elastic={material: ni_ni3al, phase: gama, unit: 1 GPa}"], "model.elastic.material.phases", "gamma_prime"),
        (["model.elastic={material: al}"], "model.elastic.material", "has a unit"),
        (["model.elastic.load={strain: {xx: 0}, stress: {xx: 1}}"], "model.elastic.load.strain.xx", "give one of them"),
        (["model.elastic.load={stress: [1,2,3,4]}"], "model.elastic.load.stress", "4 entries"),
        (["model.elastic.load={stress: {xx: 5 MPa}}"], "model.elastic.load.stress.xx", "model.elastic.unit"),
        (["model.elastic.load={strain: {xw: 1}}"], "model.elastic.load.strain", "xx, yy"),
        (["model.elastic.plane=stress", "model.elastic.load.stress={zz: 1}"], "model.elastic.load", "plane stress"),
        (["model.elastic.plane=strain", "grid.shape=[8,8,8]"], "model.elastic.plane", "3 axes"),
        (["grid.boundary=fixed"], "grid.boundary", "no-flux can"),
        (["grid.boundary=no-flux", "model.fields.c.eigenstrain=[0,0,0,0,0,1]"], "grid.boundary", "symmetry"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(keys: list[str], key: str, words: str) -> None:
    common = ["model=cahn_hilliard", "grid.shape=[8,8]", "model.fields.c.eigenstrain=0.01"]
    with pytest.raises(ConfigError) as told:
        Simulation(specify(*common, "model.elastic={stiffness: {E: 1, nu: 0.3}}", *keys))
    assert told.value.key.startswith(key)
    assert words in str(told.value)


def test_units_a_material_and_parameters() -> None:
    """70 GPa in units of 2 GPa are 35; a phase of a preset is in them too; strains may be expressions."""
    common = ["model=cahn_hilliard", "grid.shape=[8,8]", *STILL]

    def energy(*keys: str) -> float:
        return float(seen(Simulation(specify(*common, "initial.c=0.5+0.1*cos(pi*x/4)", *keys)))["free_energy_elastic"])

    plain = energy(
        "model.fields.c.eigenstrain=0.01", "model.elastic={stiffness: {C11: 123.25, C12: 73.65, C44: 62.35}}"
    )
    material = "model.elastic={material: ni_ni3al, phase: gamma, unit: 2 GPa}"
    assert energy("model.fields.c.eigenstrain=0.01", material) == pytest.approx(plain, rel=1e-12)
    found = energy("+model.parameters.e=0.02", "model.fields.c.eigenstrain={strain: [e/2, e/2, e/2]}", material)
    assert found == pytest.approx(plain, rel=1e-12)
