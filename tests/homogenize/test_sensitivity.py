"""Derivatives of effective properties by constants: closed forms, and differences of whole solves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from phasefield.homogenize import CellProblem, Options, Settings, build, from_array, homogenize
from phasefield.homogenize.problem import Problem
from phasefield.homogenize.sensitivity import parameters
from phasefield.mechanics import tensors
from phasefield.mechanics.derivatives import Layers, PhaseMoments, TableProducts
from phasefield.mechanics.mixing import mix

ROTATED = {"euler": [30, 40, 50]}
SOFT = {
    "a": {"stiffness": {"E": 3.0, "nu": 0.35}, "conductivity": 1.0, "expansion": 2e-2},
    "b": {
        "stiffness": {"C11": 20.0, "C12": 9.0, "C44": 8.0},
        "conductivity": {"xx": 7.0, "yy": 5.0, "zz": 4.0, "xy": 1.0},
        "expansion": {"a": 1e-2, "c": 2e-2},
        "orientation": ROTATED,
    },
}
#: A contrast at which cut voxels are merged with their neighbours.
HARD = {
    "a": {"stiffness": {"K": 3.0, "G": 1.0}, "conductivity": 1.0, "expansion": 2e-2},
    "b": {"stiffness": {"E": 900.0, "nu": 0.2}, "conductivity": 300.0, "expansion": 1e-2},
}
ENGINEERING = {"E1": 20, "E2": 10, "E3": 5, "nu12": 0.2, "nu13": 0.3, "nu23": 0.1, "G12": 4, "G13": 3, "G23": 2}
POROUS = {
    "a": {"stiffness": ENGINEERING, "conductivity": [7.0, 5.0, 4.0], "orientation": ROTATED},
    "b": "void",
}
RIGID = {"a": {"stiffness": {"lambda": 3.0, "G": 1.0}, "conductivity": 1.0}, "b": "rigid"}
CRYSTAL = {"a": {**SOFT["b"], "conductivity": {"a": 1.0, "c": 3.0}, "orientation": None}}
TENSORS, ALL = ("stiffness", "conductivity"), ("stiffness", "conductivity", "expansion")


def inclusion(n: int, dim: int):
    x = (np.arange(n) + 0.5) / n - 0.5
    grid = np.meshgrid(*[x] * dim, indexing="ij")
    r = np.sqrt(sum((a - 0.03 * k) ** 2 * (1 + 0.3 * k) for k, a in enumerate(grid)))
    return from_array(0.5 * (1 + np.tanh((0.3 - r) * n * 0.6)), levels=[0, 1])


def settings(properties=("stiffness",), solver=None, **more):
    options = Options(**{"tolerance": 1e-10, **(solver or {})})
    return Settings(properties=properties, two_grid=False, mixing=False, solver=options, **more)


def difference(image, material, wanted, direction, step=1e-4):
    """Central differences of fourth order of whole solves along a direction in all constants, over their values."""
    constants = material.constants
    off = replace(wanted, sensitivity=False)

    def tensors_at(t):
        values = {label: c.value * (1 + t * direction[label]) for label, c in constants.items()}
        return [r.tensor for r in homogenize(image, material.with_constants(values), off)]

    near, far = ([a - b for a, b in zip(tensors_at(k * step), tensors_at(-k * step), strict=True)] for k in (1, 2))
    return [(8 * a - b) / (12 * step) for a, b in zip(near, far, strict=True)]


CASES = {
    "laminate 2-D": (SOFT, ALL, 16, 2, {}),
    "laminate 3-D, rotated scheme": (SOFT, ("stiffness", "expansion"), 8, 3, {"solver": {"scheme": "rotated"}}),
    "sharp 3-D": (SOFT, TENSORS, 8, 3, {"voxel": "sharp"}),
    "plane stress": (SOFT, ("stiffness",), 16, 2, {"plane": "stress"}),
    "kinematic": (SOFT, TENSORS, 12, 2, {"boundary": "kinematic"}),
    "static": (SOFT, TENSORS, 12, 2, {"boundary": "static"}),
    "kinematic 3-D": (SOFT, ("stiffness",), 6, 3, {"boundary": "kinematic"}),
    "static 3-D": (SOFT, ("stiffness",), 6, 3, {"boundary": "static"}),
    "merged 3-D": (HARD, ALL, 8, 3, {}),
    "void 3-D": (POROUS, TENSORS, 8, 3, {}),
    "merged": (HARD, ALL, 16, 2, {}),
    "merged plane stress": (HARD, ("stiffness",), 16, 2, {"plane": "stress"}),
    "void": (POROUS, TENSORS, 16, 2, {}),
    "rigid": (RIGID, TENSORS, 16, 2, {"solver": {"tolerance": 1e-9}}),
    "geometric": (SOFT, ALL, 16, 2, {"voxel": "geometric"}),
    "fourier": (SOFT, ("conductivity",), 9, 2, {"voxel": "sharp", "solver": {"scheme": "fourier"}}),
}


@pytest.mark.parametrize("case", CASES)
def test_differences_of_whole_solves(case):
    phases, properties, n, dim, more = CASES[case]
    _against_differences(inclusion(n, dim), build({"phases": phases}), settings(properties, sensitivity=True, **more))


def test_differences_of_grains():
    grains = np.random.default_rng(3).integers(0, 5, (4, 4, 4)).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    _against_differences(from_array(grains), build({"phases": CRYSTAL}), settings(ALL, sensitivity=True))


def _against_differences(image, material, wanted):
    rng = np.random.default_rng(5)
    direction = {label: rng.uniform(0.5, 1.5) * rng.choice([-1, 1]) for label in material.constants}
    found = homogenize(image, material, wanted)
    labels = list(parameters(Problem.of(image, material, wanted)))
    weights = np.array([direction[label] * material.constants[label].value for label in labels])
    for result, expected in zip(found, difference(image, material, wanted, direction), strict=True):
        assert result.sensitivity.shape == (len(labels), *result.tensor.shape)
        change = np.tensordot(weights, result.sensitivity, 1)
        assert np.abs(change).max() > 1e-3 * np.abs(result.tensor).max()
        assert np.abs(change - expected).max() < 1e-6 * np.abs(change).max(), result.name


def test_layers_in_closed_form():
    """Across layers resistances add up, along them conductances; of expansion likewise."""
    image = from_array(np.repeat([0, 1], [3, 5])[:, None, None] * np.ones((1, 2, 2), int))
    f, a, b = 3 / 8, 2.0, 7.0
    material = build({"phases": {"a": {"conductivity": a}, "b": {"conductivity": b}}})
    (result,) = homogenize(image, material, settings(("conductivity",), sensitivity=True))
    across = 1 / (f / a + (1 - f) / b)
    expected = [np.diag([across**2 * f / a**2, f, f]), np.diag([across**2 * (1 - f) / b**2, 1 - f, 1 - f])]
    np.testing.assert_allclose(result.sensitivity, expected, atol=1e-9)


@pytest.mark.parametrize("size", [3, 6])
def test_laminate_formula(size):
    """A body of like laminate voxels is that laminate: the derivative of the rank-one formula, for anisotropic phases."""
    rng = np.random.default_rng(size)
    roots = rng.standard_normal((2, size, size))
    pure = roots @ np.swapaxes(roots, 1, 2) + 0.5 * np.eye(size)
    change = rng.standard_normal((2, size, size))
    change = change + np.swapaxes(change, 1, 2)
    normal = np.array([[0, 0, 0], [0, 0, 0], [0.48, -0.6, 0.64]])
    first, second, fraction = np.array([0, 1, 0]), np.array([0, 1, 1]), np.array([1.0, 1.0, 0.3])

    def mixed(t):
        return mix("laminate", (pure + t * change)[first], (pure + t * change)[second], fraction, normal)

    index = np.full((2, 3, 2), 2, np.int32)
    cell = CellProblem(index, mixed(0), (1.0, 1.0, 1.0), Options(), np.array([False, False, True]))
    fields = [np.zeros((size // 3 if size == 3 else 3, *index.shape))] * size
    expected = ((mixed(1e-4) - mixed(-1e-4)) * 8 - (mixed(2e-4) - mixed(-2e-4))) / 12e-4
    layers = PhaseMoments(cell, Layers(first, second, fraction, normal, pure), fields, np.eye(size))
    np.testing.assert_allclose(layers.products(change), expected[2], atol=1e-9 * np.abs(expected).max())
    np.testing.assert_allclose(TableProducts(cell, fields, np.eye(size)).products(expected), expected[2], atol=1e-12)


@pytest.mark.parametrize(
    ("size", "scheme", "shear"), [(6, "q1", 0.35), (6, "q1", 0.2), (6, "rotated", 0.35), (3, "q1", 0.35)]
)
def test_sums_of_fewer_products(size, scheme, shear):
    """Changes that are isotropic or of cubic symmetry need fewer sums, which say the same; general phases and laminates too."""
    rng = np.random.default_rng(size)
    roots = rng.standard_normal((3, size, size))
    pure = roots @ np.swapaxes(roots, 1, 2) + 0.5 * np.eye(size)
    block = np.zeros((size, size))
    block[:3, :3] = size == 6
    cubic = 0.3 * block + np.diag([0.7] * 3 + [shear] * (size - 3))
    changes = np.stack([[cubic, -2 * cubic, 0 * cubic], [0.5 * cubic, 0 * cubic, pure[2]]])
    first, second, fraction = np.array([0, 1, 2, 0]), np.array([0, 1, 2, 1]), np.array([1.0, 1.0, 1.0, 0.4])
    normal = np.array([[0, 0, 0]] * 3 + [[0.48, -0.6, 0.64]])
    index = rng.integers(0, 4, (3, 2, 70)).astype(np.int32)
    table, cut = mix("laminate", pure[first], pure[second], fraction, normal), np.arange(4) == 3
    cell = CellProblem(index, table, (1.0, 1.5, 0.8), Options(scheme=scheme), cut)
    fields = rng.standard_normal((size, size // 3 if size == 3 else 3, *index.shape))
    layers = Layers(first, second, fraction, normal, pure)
    whole, fewer = (PhaseMoments(cell, layers, list(fields), np.eye(size), changes=c) for c in (None, changes))
    for change in changes:
        expected = whole.products(change)
        np.testing.assert_allclose(fewer.products(change), expected, rtol=0, atol=1e-13 * np.abs(expected).max())
    other = np.stack([roots[0] + roots[0].T, np.zeros((size, size)), np.zeros((size, size))])
    assert np.abs(fewer.products(other) - whole.products(other)).max() > 1e-3  # and no more than that


def test_homogeneity():
    """A tensor is of degree one in the moduli: what they change of it adds up to itself, at any tolerance's own accuracy."""
    material = build({"phases": {"a": {"stiffness": {"K": 1.0, "G": 1.0}}, "b": {"stiffness": {"K": 9.0, "G": 4.0}}}})
    (result,) = homogenize(
        inclusion(8, 3), material, settings(sensitivity=True, solver={"precision": "single", "tolerance": 1e-5})
    )
    values = [c.value for c in material.constants.values()]
    np.testing.assert_allclose(np.tensordot(values, result.sensitivity, 1), result.tensor, atol=3e-4)


def test_same_bits_for_any_threads():
    image, material = inclusion(24, 3), build({"phases": {k: {"stiffness": SOFT[k]["stiffness"]} for k in SOFT}})
    both = [
        homogenize(image, material, settings(sensitivity=True, solver={"tolerance": 1e-2, "threads": n}))[0]
        for n in (1, 2)
    ]
    assert np.array_equal(both[0].sensitivity, both[1].sensitivity)


ISOTROPIC_PAIRS = [(a, b) for k, a in enumerate(tensors.ISOTROPIC) for b in tensors.ISOTROPIC[k + 1 :]]
MODULI = {"K": 2.0, "G": 1.0, "E": 18 / 7, "nu": 2 / 7, "lambda": 4 / 3, "M": 10 / 3}


@pytest.mark.parametrize("pair", ISOTROPIC_PAIRS, ids="-".join)
def test_recipes_of_isotropic_constants(pair):
    phase = build({"phases": {"a": {"stiffness": {n: MODULI[n] for n in pair}}}}).phases[0]
    recipe = phase.recipes["stiffness"]
    for name in pair:
        ends = [recipe.with_values({name: MODULI[name] * (1 + t)}).tensor("") for t in (1e-5, -1e-5)]
        expected = (ends[0] - ends[1]) / (2e-5 * MODULI[name])
        np.testing.assert_allclose(recipe.derivative(name), expected, atol=1e-8)


@pytest.mark.parametrize("precision", ["double", "single"])
def test_derivatives_by_energy_take_no_more_iterations(precision):
    """The fields that the tolerance of the energy leaves serve the derivatives, in both precisions, read as they are."""
    image, material = inclusion(8, 3), build({"phases": SOFT})
    (exact,) = homogenize(image, material, settings(voxel="sharp", sensitivity=True))
    solver = {"criterion": "energy", "tolerance": 1e-4, "precision": precision}
    plain, derived = (
        homogenize(image, material, settings(solver=solver, voxel="sharp", sensitivity=wanted))[0]
        for wanted in (False, True)
    )
    assert derived.iterations == plain.iterations
    assert_close(derived.tensor, plain.tensor, 1e-6)
    for row, value in zip(derived.sensitivity, exact.sensitivity, strict=True):
        assert_close(row, value, 2e-2)


def assert_close(found, wanted, share):
    assert np.abs(found - wanted).max() <= share * np.abs(wanted).max()
