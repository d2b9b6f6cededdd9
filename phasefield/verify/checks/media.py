"""Effective properties of media that are known exactly."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np

from ...homogenize import Settings, build, from_array, homogenize
from ...mechanics import tensors
from ..check import Check
from ..exact_media import CUBIC, disks, fibres, obnosov, spheres
from ..media import ACROSS, INF, disk, effective, grid, inverted, isotropic, phases, random_tensors, tanh, word
from ..problems import Machine

Array = np.ndarray


def laminate(machine: Machine | None, dim: int, axis: int, order: int, tolerance: float) -> float:
    """Largest error of four layers of tensors without symmetry, of conductivity or stiffness (order 6), relative to the largest
    component.
    """
    shape = [3, 4, 5][:dim]
    shape[axis] = 17
    layers = np.repeat(np.arange(4), [5, 3, 7, 2])
    labels = np.broadcast_to(layers.reshape([-1 if d == axis else 1 for d in range(dim)]), shape).copy()
    pure = [s * t for s, t in zip((1, 10, 0.1, 100), random_tensors(order, 4), strict=True)]
    found = effective(labels, pure, "stiffness" if order == 6 else "conductivity", tolerance, machine).tensor
    exact = inverted(pure, list(np.array([5, 3, 7, 2]) / 17), [axis] if order == 3 else ACROSS[axis])
    return float(np.abs(found - exact).max() / np.abs(exact).max())


def _laminate(machine: Machine, order: int) -> float:
    return laminate(machine, 3, 0, order, 1e-12 if machine.precision == "double" else 1e-5)


def disk_array(machine: Machine, n: int, contrast: float) -> float:
    """Conductivity of a square array of disks that fill 30 %."""
    return float(effective(disk(n, 0.3), [1.0, word(contrast)], tolerance=1e-5, machine=machine).tensor[0, 0])


def hill_mandel(machine: Machine) -> float:
    """Largest relative difference of the mean energy from the energy of the means, of fibres under six loads."""
    pure = [isotropic(E=1, nu=0.3), isotropic(E=10, nu=0.2)]
    return effective(disk(24, 0.3), pure, "stiffness", 1e-9 if machine.precision == "double" else 1e-4, machine).hill


def sphere_array(machine: Machine, kind: str, fraction: float, contrast: float, n: int = 40) -> float:
    """Conductivity of a cubic lattice of spheres."""
    x = np.stack(grid((n, n, n), (1, 1, 1)))
    away = [x - np.array(c)[:, None, None, None] for c in CUBIC[kind]]
    radius = (3 * fraction / len(away) / (4 * math.pi)) ** (1 / 3)
    distance = radius - np.min([np.linalg.norm(a - np.rint(a), axis=0) for a in away], axis=0)
    found = effective(tanh(distance * n), [1.0, word(contrast)], tolerance=1e-5, machine=machine).tensor
    return float(np.trace(found)) / 3


def fibre_array(machine: Machine) -> float:
    """Largest relative error of (C11 + C12)/2, (C11 - C12)/2 and C66 of a square array of fibres."""
    matrix, fibre = (1.0, 0.3), (10.0, 0.3)
    pure = [isotropic(E=e, nu=nu) for e, nu in (matrix, fibre)]
    c = tensors.to_voigt(effective(disk(128, 0.3), pure, "stiffness", 1e-5, machine).tensor)
    found = np.array([(c[0, 0] + c[0, 1]) / 2, (c[0, 0] - c[0, 1]) / 2, c[5, 5]])
    return float(np.abs(found / fibres(0.3, matrix, fibre) - 1).max())


def square_array(machine: Machine) -> float:
    """Conductivity of squares of 10 that fill a quarter."""
    labels = np.zeros((128, 128), int)
    labels[:64, :64] = 1
    return float(effective(labels, [1.0, 10.0], machine=machine, scheme="rotated").tensor[0, 0])


def uncovered(machine: Machine) -> float:
    """How many of twenty arrays of disks are further from the truth than the uncertainty printed with them."""
    missed = 0
    for fraction in (0.1, 0.25, 0.4, 0.6):
        for contrast in (0.0, 0.01, 10.0, 1e3, INF):
            image = from_array(disk(48, fraction), levels=[0, 1])
            settings = Settings(properties=("conductivity",), solver=machine.solver(), mixing=False)
            (result,) = homogenize(image, phases("conductivity", [1.0, word(contrast)]), settings)
            error = abs(result.tensor[0, 0] / disks(fraction, contrast)[0] - 1)
            missed += error > result.evidence["discretisation"]
    return float(missed)


def uncertain(machine: Machine) -> float:
    """Standard deviation of the conductivity across layers of 1.0(1) and 5.0(5) in equal parts."""
    labels = np.repeat([[0, 1]], 4, 0).T.repeat(4, 0)
    material = build({"phases": {"a": {"conductivity": "1.0 +/- 0.1"}, "b": {"conductivity": "5.0 +/- 0.5"}}})
    settings = Settings(properties=("conductivity",), solver=machine.solver(), two_grid=False, mixing=False)
    (result,) = homogenize(from_array(labels), material, settings)
    assert result.propagation is not None
    return float(result.propagation.tensor.std[0, 0])


def _disk_check(contrast: float, full: bool) -> Check:
    name = "voids" if contrast == 0 else "rigid disks" if contrast == INF else f"disks of {contrast:g}"
    return Check(
        f"media/{name}",
        f"conductivity of a square array of {name} that fill 30 %, 96 x 96 voxels",
        "Rayleigh's multipoles (Perrins, McKenzie and McPhedran, Proc. R. Soc. A 369 (1979) 207)",
        functools.partial(disk_array, n=96, contrast=contrast),
        disks(0.3, contrast)[0],
        allowed=5e-3,
        single=5e-3,
        relative=True,
        full=full,
    )


def checks() -> Iterator[Check]:
    for order, name in ((3, "conductivity"), (6, "stiffness")):
        yield Check(
            f"media/layers, {name}",
            f"largest error of the {name} of four layers without symmetry, of its largest component",
            "partial inversion (Backus, J. Geophys. Res. 67 (1962) 4427)",
            functools.partial(_laminate, order=order),
            0.0,
            allowed=1e-12,
            single=1e-4,
        )
    yield _disk_check(10.0, full=False)
    yield Check(
        "media/Hill-Mandel",
        "largest difference of the mean energy from the energy of the means, fibres, six loads",
        "Hill, J. Mech. Phys. Solids 11 (1963) 357",
        hill_mandel,
        0.0,
        allowed=1e-9,
        single=1e-4,
    )
    for contrast in (0.0, 1000.0, INF):
        yield _disk_check(contrast, full=True)
    for kind, fraction, contrast in (("sc", 0.3, 10.0), ("bcc", 0.4, 0.01), ("fcc", 0.5, 50.0)):
        yield Check(
            f"media/spheres, {kind}",
            f"conductivity of spheres of {contrast:g}, {kind} lattice, fraction {fraction:g}, 40^3 voxels",
            "multipoles (McPhedran and McKenzie, Proc. R. Soc. A 359 (1978) 45)",
            functools.partial(sphere_array, kind=kind, fraction=fraction, contrast=contrast),
            spheres(kind, fraction, contrast),
            allowed=0.02,
            single=0.02,
            relative=True,
            full=True,
        )
    yield Check(
        "media/squares",
        "conductivity of squares of 10 that fill a quarter",
        "Obnosov, SIAM J. Appl. Math. 59 (1999) 1267",
        square_array,
        obnosov(10.0),
        allowed=1e-5,
        single=1e-4,
        relative=True,
        full=True,
    )
    yield Check(
        "media/fibres",
        "largest relative error of three moduli of a square array of fibres, 128 x 128 voxels",
        "potentials of Kolosov and Muskhelishvili as Laurent series",
        fibre_array,
        0.0,
        allowed=4e-3,
        single=4e-3,
        full=True,
    )
    yield Check(
        "media/uncertainty of the voxels",
        "of twenty arrays of disks, those further off than the uncertainty printed with them",
        "one of 20 is meant to be",
        uncovered,
        0.0,
        allowed=1.0,
        single=1.0,
        full=True,
    )
    yield Check(
        "media/uncertain constants",
        "standard deviation of the conductivity across layers of 1.0(1) and 5.0(5)",
        "2 [(k2^2 s1)^2 + (k1^2 s2)^2]^(1/2)/(k1 + k2)^2",
        uncertain,
        2 * math.hypot(25 * 0.1, 1 * 0.5) / 36,
        allowed=1e-6,
        single=1e-4,
        relative=True,
        full=True,
    )
