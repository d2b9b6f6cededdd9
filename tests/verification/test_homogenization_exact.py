"""Effective properties as a user computes them against results that are exact or known to all digits given.

Numbers written out were computed apart from this package. Disks and spheres: Rayleigh's multipoles (Perrins, McKenzie and
McPhedran, Proc. R. Soc. A 369 (1979) 207; McPhedran and McKenzie, Proc. R. Soc. A 359 (1978) 45), lattice sums from
q-series and by Ewald's method. Fibres and holes: Kolosov and Muskhelishvili's potentials as Laurent series of 50 terms either
way, collocated on the interface and the sides of the cell. Closed forms stand in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from phasefield.homogenize import (
    Image,
    Options,
    Settings,
    from_array,
    homogenize,
)
from phasefield.homogenize.grains import Grains
from phasefield.mechanics import tensors
from phasefield.verify.checks import media
from phasefield.verify.media import (
    ACROSS,
    INF,
    disk,
    disk_labels,
    effective,
    grid,
    inverted,
    isotropic,
    phases,
    random_tensors,
    tanh,
    word,
)

Array = np.ndarray


# -- laminates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dim", "axis"), [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)])
@pytest.mark.parametrize("order", [3, 6])
def test_four_layers_without_symmetry(dim: int, axis: int, order: int) -> None:
    assert media.laminate(None, dim, axis, order, 1e-12) < 1e-12


def test_strains_of_three_layers_without_symmetry() -> None:
    pure = [s * t for s, t in zip((1, 5, 20), random_tensors(6, 3), strict=True)]
    free = list(np.random.default_rng(8).normal(size=(3, 6)) * 1e-3)
    labels = np.broadcast_to(np.repeat(np.arange(3), [3, 5, 4])[:, None, None], (12, 3, 4)).copy()
    system = phases("stiffness", pure, expansion=free, eigenstrain=free)
    settings = Settings(properties=("expansion", "eigenstrain"), solver=Options(tolerance=1e-11))
    _, exact = inverted(pure, np.array([3, 5, 4]) / 12, ACROSS[0], free)
    for result in homogenize(from_array(labels), system, settings):
        np.testing.assert_allclose(result.tensor, tensors.to_matrix(exact), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("order", "allowed"), [(3, 1e-3), (6, 1e-3)])
def test_oblique_layers(order: int, allowed: float) -> None:
    """Diffuse layers along the diagonal of a square image: the exact tensor, rotated by 45 degrees."""
    n = 64
    phase = np.add.outer(np.arange(n), np.arange(n)) + 1.0
    field = tanh((0.2 - np.abs(phase / n % 1 - 0.5)) * n / math.sqrt(2))
    pure = [random_tensors(order, 2, 11)[0], 10 * random_tensors(order, 2, 11)[1]]
    turn = tensors.rotation_from_euler(math.pi / 4, 0, 0)
    straight = [tensors.rotate(c, turn.T) for c in pure]
    exact = tensors.rotate(inverted(straight, (0.6, 0.4), [0] if order == 3 else ACROSS[0]), turn)
    found = effective(field, pure, "stiffness" if order == 6 else "conductivity").tensor
    assert np.abs(found - exact).max() < allowed * np.abs(exact).max()


@pytest.mark.parametrize("diffuse", [False, True])
def test_layers_in_a_sheet(diffuse: bool) -> None:
    """Plane stress: the stress along z vanishes in every phase, also where layers cut voxels."""
    pure = [isotropic(K=1.0, G=0.7), isotropic(K=10.0, G=3.0)]
    x = np.arange(24) + 0.5
    field = np.broadcast_to(tanh(6.3 - np.abs(x - 12.1))[:, None], (24, 6)).copy()
    image = field if diffuse else (field > 0.5).astype(int)
    shares = from_array(image, levels=[0, 1] if diffuse else None).voxels().volume_fractions
    exact = inverted([tensors.plane_stress(c) for c in pure], shares, [0, 2])
    found = effective(image, pure, "stiffness", 1e-12, plane="stress")
    np.testing.assert_allclose(tensors.plane_strain(found.tensor), exact, atol=1e-11)
    assert not found.warnings


# -- squares -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1e-4, 0.01, 0.1, 2.0, 50.0, 1000.0])
def test_obnosov_at_all_contrasts(k: float) -> None:
    labels = np.zeros((128, 128), int)
    labels[:64, :64] = 1
    exact = math.sqrt((1 + 3 * k) / (3 + k))
    for scheme, allowed in (("rotated", 1.1e-6), ("q1", 5e-4)):
        found = effective(labels, [1.0, k], scheme=scheme, tolerance=1e-9).tensor
        assert np.abs(np.diag(found)[:2] / exact - 1).max() < allowed


@pytest.mark.parametrize("k", [(1.0, 2.0, 5.0, 3.0), (1.0, 4.0, 2.0, 1.0), (1.0, 10.0, 3.0, 30.0)])
def test_checkerboard_of_four_phases(k: tuple[float, ...]) -> None:
    """Mortola and Steffe 1985; Craster and Obnosov, SIAM J. Appl. Math. 61 (2001) 1839; Milton, J. Math. Phys. 42 (2001)."""

    def exact(a: float, b: float, c: float, d: float) -> float:
        return math.sqrt(
            (a * b * c + a * b * d + a * c * d + b * c * d)
            / (a + b + c + d)
            * ((a + d) * (b + c) / ((a + b) * (c + d)))
        )

    labels = np.repeat(np.repeat([[0, 3], [1, 2]], 64, 0), 64, 1)
    found = effective(labels, k, scheme="rotated", tolerance=1e-9).tensor
    pair = [exact(*k), exact(k[0], k[3], k[2], k[1])]
    np.testing.assert_allclose(np.diag(found)[:2], pair, rtol=3e-4 if max(k) > 9 else 1e-8)
    assert abs(found[0, 1]) < 1e-10


@pytest.mark.parametrize("k", [2.0, 20.0])
def test_determinant_of_a_plane_polycrystal(k: float) -> None:
    """det K* = det K for any grains of one crystal (Keller 1964; Dykhne 1971)."""
    labels = np.random.default_rng(0).integers(0, 6, (21, 21)).repeat(3, 0).repeat(3, 1)
    turns = np.array([tensors.rotation_from_euler(a, 0, 0) for a in np.random.default_rng(1).uniform(0, math.pi, 6)])
    found = effective(labels, [[1.0, k, 2.0]], scheme="rotated", tolerance=1e-11, grains=Grains(list(turns))).tensor
    assert np.linalg.det(found[:2, :2]) == pytest.approx(k, rel=1e-9)


# -- disks and spheres -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fraction", "k", "exact", "allowed"),
    [
        (0.05, 1e-3, 0.9049429743, 2.5e-3),
        (0.4, 0, 0.4253512266, 5e-3),
        (0.7, 2, 1.6153844985, 2e-5),
        (0.5, 50, 2.9145939783, 1.5e-3),
        (0.7, 50, 6.3359209117, 2e-3),
        (0.5, 1000, 3.0714034853, 1.5e-2),
        (0.4, INF, 2.3509982748, 1e-2),
    ],
)
def test_square_arrays_of_disks(fraction: float, k: float, exact: float, allowed: float) -> None:
    result = effective(disk(128, fraction), [1.0, word(k)])
    assert np.abs(np.diag(result.tensor)[:2] / exact - 1).max() < allowed
    assert not result.warnings


def test_rectangular_array_of_disks() -> None:
    x, y = grid((96, 144), (1, 1.5))
    found = effective(tanh((math.sqrt(0.6 / math.pi) - np.hypot(x, y)) * 96), [1.0, 10.0]).tensor
    np.testing.assert_allclose(np.diag(found)[:2], [2.3896089726, 1.7732451630], rtol=2e-4)


@pytest.mark.parametrize(
    ("fraction", "k", "exact", "allowed"), [(0.3, 10, 1.6506341475, 5e-4), (0.7, 50, 5.2146920351, 5e-3)]
)
def test_hexagonal_array_of_disks(fraction: float, k: float, exact: float, allowed: float) -> None:
    """Two disks in a cell 1 : sqrt(3), on voxels that are almost squares: isotropic."""
    height = math.sqrt(3)
    x, y = grid((112, 194), (1, height))
    radius = math.sqrt(fraction * height / 2 / math.pi)
    distance = radius - np.minimum(np.hypot(x, y), np.hypot(np.abs(x) - 0.5, np.abs(y) - height / 2))
    image = from_array(tanh(distance * 112), spacing=(1 / 112, height / 194), levels=[0, 1])
    found = effective(image, [1.0, float(k)]).tensor
    np.testing.assert_allclose(found[:2, :2], exact * np.eye(2), rtol=0, atol=allowed * exact)


@pytest.mark.parametrize(
    ("centres", "fraction", "k", "exact", "allowed"),
    [
        ([(0, 0, 0)], 0.4, 2, 1.335136771, 1e-4),
        ([(0, 0, 0)], 0.3, 0, 0.605661246, 4e-3),
        ([(0, 0, 0), (0.5, 0.5, 0.5)], 0.3, 10, 1.873233801, 3e-3),
        ([(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)], 0.3, 10, 1.872462955, 3e-3),
        ([(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)], 0.5, 20, 3.33403789, 1e-2),
    ],
)
def test_cubic_arrays_of_spheres(
    centres: list[tuple[float, ...]], fraction: float, k: float, exact: float, allowed: float
) -> None:
    n = 48
    x = np.stack(grid((n, n, n), (1, 1, 1)))
    radius = (3 * fraction / len(centres) / (4 * math.pi)) ** (1 / 3)
    away = [x - np.array(c)[:, None, None, None] for c in centres]
    distance = radius - np.min([np.linalg.norm(a - np.rint(a), axis=0) for a in away], axis=0)
    found = effective(tanh(distance * n), [1.0, word(k)], tolerance=1e-6).tensor
    np.testing.assert_allclose(found, exact * np.eye(3), rtol=0, atol=allowed * exact)


# -- coated cylinders, neutral in a matrix of their own effective property (Hashin 1962) ------------------------------


def coated_cylinder(n: int, core: float) -> Image:
    """Core, shell and matrix; ``core`` is the core's share of the cylinder."""
    outer = 0.42
    r = np.hypot(*grid((n, n), (1, 1)))
    inside, both = (tanh((a - r) * n, 1.5) for a in (outer * math.sqrt(core), outer))
    return Image("fields", np.array([inside, np.clip(both - inside, 0, 1), 1 - both]), (1.0, 1.0), ("periodic",) * 2)


@pytest.mark.parametrize(("core", "share", "allowed"), [(100.0, 0.3, 2e-3), (0, 0.4, 5e-3), (INF, 0.2, 5e-3)])
def test_conducting_coated_cylinder(core: float, share: float, allowed: float) -> None:
    shell = 2.0
    beta = 1.0 if core == INF else (core - shell) / (core + shell)
    exact = shell * (1 + share * beta) / (1 - share * beta)
    found = effective(coated_cylinder(128, share), [word(core), shell, exact]).tensor
    np.testing.assert_allclose(np.diag(found)[:2], exact, rtol=allowed)


@pytest.mark.parametrize(("core", "shell", "share"), [((10.0, 4.0), (1.0, 0.5), 0.5), ((0.1, 0.05), (2.0, 1.0), 0.3)])
def test_bulk_modulus_of_a_coated_cylinder(core: tuple[float, float], shell: tuple[float, float], share: float) -> None:
    """Plane strain; the shear modulus of the matrix may be anything."""
    inner, outer = core[0] + core[1] / 3, shell[0] + shell[1] / 3
    exact = outer + share / (1 / (inner - outer) + (1 - share) / (outer + shell[1]))
    pure = [tensors.isotropic_stiffness(*c) for c in (core, shell, (exact - 0.3, 0.9))]
    found = effective(coated_cylinder(128, share), pure, "stiffness").tensor
    assert tensors.plane_moduli(found)["K_plane"] == pytest.approx(exact, rel=5e-4)


# -- elasticity in the plane -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plane", "fraction", "matrix", "fibre", "exact", "allowed"),
    [
        ("strain", 0.2, (1, 0.35), (50, 0.2), (1.613206361, 0.548106113, 0.493126497), 2.5e-3),
        ("strain", 0.4, (1, 0.45), (0.05, 0.1), (0.462042868, 0.189821684, 0.110080120), 3.5e-3),
        ("stress", 0.2, (1, 0.35), (50, 0.2), (1.041488988, 0.529369639, 0.488009802), 2e-3),
        ("stress", 0.4, (1, 0.45), (0.05, 0.1), (0.296580307, 0.173484495, 0.100249508), 3.5e-3),
        ("stress", 0.3, (1, 0.3), (1000, 0.25), (1.185069457, 0.694772108, 0.586592248), 1e-2),
    ],
)
def test_square_arrays_of_fibres(
    plane: str,
    fraction: float,
    matrix: tuple[float, float],
    fibre: tuple[float, float],
    exact: tuple[float, ...],
    allowed: float,
) -> None:
    """(C11 + C12)/2, (C11 - C12)/2 and C66; phases by E and nu."""
    pure = [isotropic(E=e, nu=nu) for e, nu in (matrix, fibre)]
    c = tensors.to_voigt(effective(disk(128, fraction), pure, "stiffness", plane=plane).tensor)
    np.testing.assert_allclose([(c[0, 0] + c[0, 1]) / 2, (c[0, 0] - c[0, 1]) / 2, c[5, 5]], exact, rtol=allowed)


def test_fibres_in_a_nearly_incompressible_matrix() -> None:
    """nu = 0.4999: the rotated scheme does not lock; the result of q1, a fifth too stiff, says so."""
    pure = [isotropic(E=1, nu=0.4999), isotropic(E=20, nu=0.2)]
    rotated, q1 = (effective(disk(128, 0.3), pure, "stiffness", scheme=s) for s in ("rotated", "q1"))
    c = tensors.to_voigt(rotated.tensor)
    exact = [46.15450636, 0.75528734, 0.51735522]
    np.testing.assert_allclose([(c[0, 0] + c[0, 1]) / 2, (c[0, 0] - c[0, 1]) / 2, c[5, 5]], exact, rtol=4e-3)
    assert not rotated.warnings
    assert any("incompressible" in w for w in q1.warnings)


def test_rectangular_array_of_fibres() -> None:
    x, y = grid((100, 140), (1, 1.4))
    field = tanh((math.sqrt(0.42 / math.pi) - np.hypot(x, y)) * 100)
    pure = [isotropic(E=1, nu=0.3), isotropic(E=20, nu=0.2)]
    c = tensors.to_voigt(effective(field, pure, "stiffness").tensor)
    exact = [2.30155894, 2.06899823, 0.76588568, 0.56970687]
    np.testing.assert_allclose([c[0, 0], c[1, 1], c[0, 1], c[5, 5]], exact, rtol=2e-3)


@pytest.mark.parametrize("ratio", [10.0, 0.05])
def test_fibres_along_their_axis(ratio: float) -> None:
    """C44 and C55 are the conductivity of disks (Rayleigh), C13 and C33 follow from the plane's bulk modulus for any fibres
    (Hill, J. Mech. Phys. Solids 12 (1964) 199).
    """
    exact = {10.0: 1.0836124, 0.05: 0.31056582}[ratio]
    pure = [tensors.isotropic_stiffness(1, 0.6), tensors.isotropic_stiffness(0.8 * ratio, 0.6 * ratio)]
    field = disk(128, 0.35)
    c = tensors.to_voigt(effective(field, pure, "stiffness", 1e-9).tensor)
    np.testing.assert_allclose([c[3, 3], c[4, 4]], exact, rtol=4e-4)
    share = from_array(field, levels=[0, 1]).voxels().volume_fractions
    v = [tensors.to_voigt(p) for p in pure]
    bulk, cross = [(p[0, 0] + p[0, 1]) / 2 for p in v], np.array([p[0, 2] for p in v])
    slope = (cross[0] - cross[1]) / (bulk[0] - bulk[1])
    c13 = cross[0] + ((c[0, 0] + c[0, 1]) / 2 - bulk[0]) * slope
    c33 = share @ [p[2, 2] for p in v] + (c13 - share @ cross) * slope
    np.testing.assert_allclose([c[0, 2], c[1, 2], c[2, 2]], [c13, c13, c33], rtol=1e-8)


@pytest.mark.parametrize("plane", ["strain", "stress"])
@pytest.mark.parametrize("diffuse", [False, True])
def test_uniform_shear_modulus_of_three_phases_and_of_sheets(plane: str, diffuse: bool) -> None:
    """Hill 1964: any number of phases in any arrangement; in a sheet with its own bulk modulus 9KG/(3K + 4G)."""
    shear, bulk = 1.3, np.array([1.0, 20.0, 5.0])[: 2 if diffuse else 3]
    labels = np.random.default_rng(0).integers(0, 3, (21, 21)).repeat(3, 0).repeat(3, 1)
    image = disk(63, 0.3) if diffuse else labels
    pure = [tensors.isotropic_stiffness(k, shear) for k in bulk]
    found = tensors.plane_strain(effective(image, pure, "stiffness", 1e-10, plane=plane, scheme="rotated").tensor)
    share = from_array(image, levels=[0, 1] if diffuse else None).voxels().volume_fractions
    flat = bulk + shear / 3 if plane == "strain" else 9 * bulk * shear / (3 * bulk + 4 * shear)
    k = 1 / (share @ (1 / (flat + shear))) - shear
    exact = np.array([[k + shear, k - shear, 0], [k - shear, k + shear, 0], [0, 0, 2 * shear]])
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-9 * k)


def test_shift_of_the_compliance() -> None:
    """Cherkaev, Lurie and Milton, Proc. R. Soc. A 438 (1992) 519: adding one and the same rotation-like tensor to the plane
    compliances of the phases adds it to the effective one.
    """
    x, y = grid((96, 96), (1, 1))
    apart = np.maximum(0.28 - np.hypot(x, 1.3 * y + 0.2 * x), 0.12 - np.hypot(np.abs(x) - 0.5, np.abs(y) - 0.5))
    shift = 0.02
    compliance = []
    for s in (0.0, shift):
        flat = [(1 / (1 / k + 2 * s), 1 / (1 / g - 2 * s)) for k, g in ((2.0, 1.0), (12.0, 7.0))]
        pure = [tensors.isotropic_stiffness(k - g / 3, g) for k, g in flat]
        found = effective(tanh(apart * 96), pure, "stiffness", 1e-9, scheme="rotated").tensor
        compliance.append(np.linalg.inv(tensors.plane_strain(found)))
    added = shift * np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1.0]])
    np.testing.assert_allclose(compliance[1] - compliance[0], added, atol=1e-7)


def test_perforated_sheet() -> None:
    """E* of a sheet with holes does not depend on the matrix' nu (Day, Snyder, Garboczi and Thorpe 1992; CLM theorem), which
    the rotated scheme keeps exactly; its value is that of the series.
    """
    moduli = []
    for nu in (0.0, 0.3, 0.45):
        image = disk_labels(127, 0.1)
        found = effective(image, [isotropic(E=1, nu=nu), "void"], "stiffness", 1e-9, plane="stress", scheme="rotated")
        s = np.linalg.inv(tensors.plane_strain(found.tensor))
        moduli.append((1 / s[0, 0], s[0, 1] + nu))
    np.testing.assert_allclose(moduli, [moduli[0]] * 3, rtol=1e-7)
    c = tensors.to_voigt(
        effective(disk_labels(128, 0.1), [isotropic(E=1, nu=0.3), "void"], "stiffness", plane="stress").tensor
    )
    exact = [0.542159864, 0.296833080, 0.273721352]
    np.testing.assert_allclose([(c[0, 0] + c[0, 1]) / 2, (c[0, 0] - c[0, 1]) / 2, c[5, 5]], exact, rtol=7e-3)


@pytest.mark.parametrize("plane", ["strain", "stress"])
def test_bulk_modulus_of_a_plane_polycrystal(plane: str) -> None:
    """Crystals of square symmetry, turned about z, keep the bulk modulus of the plane."""
    turns = np.array([tensors.rotation_from_euler(a, 0, 0) for a in np.random.default_rng(1).uniform(0, math.pi, 6)])
    labels = np.random.default_rng(0).integers(0, 6, (40, 40))
    crystal = tensors.cubic_stiffness(223, 148, 125)
    found = effective(labels, [crystal], "stiffness", 1e-9, plane=plane, grains=Grains(list(turns))).tensor
    exact = (223 + 148) / 2 - (148**2 / 223 if plane == "stress" else 0)
    assert (found[0, 0] + 2 * found[0, 1] + found[1, 1]) / 4 == pytest.approx(exact, rel=1e-9)


# -- what no number may depend on --------------------------------------------------------------------------------------


def test_the_same_image_seen_otherwise() -> None:
    """Transposed, mirrored, moved, tiled, in other units, with its phases swapped, or as a body of three dimensions."""
    n, spacing = (24, 20), (1.0, 1.3)
    rng = np.random.default_rng(3)
    waves = sum(
        a * np.cos(2 * np.pi * (i * x + j * y) + p)
        for (x, y) in [grid(n, (1, 1))]
        for a, p, i, j in zip(*rng.normal(size=(2, 6)), *rng.integers(-2, 3, (2, 6)), strict=True)
    )
    field = tanh(waves, 1.0)
    pure = [random_tensors(6, 2)[0], 5 * random_tensors(6, 2)[1]]

    def tensor(values: Array, parts: Sequence[Array], steps: Sequence[float], turn: Array | None = None) -> Array:
        back = np.eye(3) if turn is None else turn
        image = from_array(values, spacing=steps, levels=[0, 1])
        found = effective(image, [tensors.rotate(c, back) for c in parts], "stiffness", 1e-11).tensor
        return tensors.rotate(found, back.T)

    here = tensor(field, pure, spacing)
    swap = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]])
    lift = np.array([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
    others = {
        "transposed": tensor(field.T.copy(), pure, spacing[::-1], swap),
        "mirrored": tensor(field[::-1].copy(), pure, spacing, np.diag([-1.0, 1, 1])),
        "moved": tensor(np.roll(field, (5, 7), (0, 1)), pure, spacing),
        "tiled": tensor(np.tile(field, (2, 2)), pure, spacing),
        "small": tensor(field, pure, [1e-7 * s for s in spacing]),
        "swapped": tensor(1 - field, pure[::-1], spacing),
        "body": tensor(np.repeat(field[:, :, None], 3, 2), pure, (*spacing, 0.7)),
        "upright": tensor(np.repeat(field[:, None, :], 3, 1), pure, (spacing[0], 0.7, spacing[1]), lift),
    }
    for name, there in others.items():
        np.testing.assert_allclose(there, here, rtol=0, atol=1e-8 * np.abs(here).max(), err_msg=name)


@pytest.mark.parametrize("contrast", [10.0, 1e4, 1e-6])
@pytest.mark.parametrize("kind", ["random", "disk"])
def test_the_tolerance_is_kept(contrast: float, kind: str) -> None:
    image = np.random.default_rng(7).integers(0, 2, (64, 64)) if kind == "random" else disk(64, 0.3)
    rough, fine = (effective(image, [1.0, contrast], tolerance=t).tensor for t in (1e-6, 1e-11))
    np.testing.assert_allclose(np.diag(rough), np.diag(fine), rtol=1e-6)
    np.testing.assert_allclose(rough, fine, rtol=0, atol=1e-6 * fine[:2, :2].max())
