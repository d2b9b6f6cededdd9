"""Effective properties of periodic media that are known to all digits, for any contrast, voids and rigid phases among them.

Disks and spheres: Rayleigh's multipoles (Perrins, McKenzie and McPhedran, Proc. R. Soc. A 369 (1979) 207; McPhedran and McKenzie,
Proc. R. Soc. A 359 (1978) 45); fibres: Kolosov and Muskhelishvili's potentials as Laurent series, collocated on the interface
and the sides of the cell. A contrast of 0 is a void, of infinity a rigid (perfectly conducting) phase; the matrix has 1.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from scipy.special import lpmv

Array = np.ndarray

#: Centres of the spheres of cubic lattices in the unit cell.
CUBIC: dict[str, list[tuple[float, float, float]]] = {
    "sc": [(0, 0, 0)],
    "bcc": [(0, 0, 0), (0.5, 0.5, 0.5)],
    "fcc": [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)],
}
_ORDER_2D, _ORDER_3D, _REACH = 25, 13, 14


def _sigma(n: int) -> int:
    return sum(d for d in range(1, n + 1) if n % d == 0)


@functools.cache
def _sums_2d(ratio: float, centred: bool) -> tuple[dict[int, float], float, float]:
    """Sums of z^-l over the lattice (l >= 4), what the one of order 2 has beyond that of a square, and the area of a cell.

    Cells 1 : ratio; ``centred`` has a second disk in the middle.
    """
    m = np.arange(-150, 151)
    z = (m[:, None] + 1j * ratio * m[None, :]).ravel()
    if centred:
        z = np.concatenate([z, z + 0.5 + 0.5j * ratio])
    z = z[np.abs(z) > 1e-9]
    z = z[np.abs(z) < 140]
    sums = {p: float((z ** (-float(p))).sum().real) for p in range(4, 4 * _ORDER_2D + 2, 2)}
    if centred:  # used for ratio sqrt(3) alone, a hexagonal lattice
        return sums, 0.0, ratio / 2
    q = math.exp(-2 * math.pi * ratio)
    second = math.pi**2 / 3 * (1 - 24 * sum(_sigma(n) * q**n for n in range(1, 40)))
    return sums, second - math.pi / ratio, ratio


def disks(fraction: float, k: float, ratio: float = 1.0, centred: bool = False) -> tuple[float, float]:
    """Conductivity along x and y of disks in cells 1 : ratio."""
    sums, extra, area = _sums_2d(ratio, centred)
    radius = math.sqrt(fraction * area / math.pi)
    chi = -1.0 if math.isinf(k) else (1 + k) / (1 - k)
    out = []
    # Derivatives of the sums along y come with the sign of i^l.
    for sign in (1.0, -1.0):
        a = np.zeros((_ORDER_2D, _ORDER_2D))
        for i in range(_ORDER_2D):
            for j in range(_ORDER_2D):
                n, m = 2 * i + 1, 2 * j + 1
                total = math.pi / area + sign * extra if n + m == 2 else sums[n + m] * sign ** ((n + m) // 2)
                a[i, j] = math.comb(n + m - 1, n) * total * radius ** (n + m)
            a[i, i] += chi
        first = np.linalg.solve(a, np.eye(_ORDER_2D)[0])[0]
        out.append(1 - 2 * math.pi * radius**2 / area * float(first))
    return out[0], out[1]


@functools.cache
def _sums_3d(kind: str) -> tuple[dict[tuple[int, int], float], float]:
    m = np.arange(-_REACH, _REACH + 1)
    g = np.stack(np.meshgrid(m, m, m, indexing="ij"), -1).reshape(-1, 3)
    p = np.concatenate([g + np.array(b) for b in CUBIC[kind]])
    r = np.linalg.norm(p, axis=1)
    p, r = p[(r > 1e-9) & (r < _REACH)], r[(r > 1e-9) & (r < _REACH)]
    cosine, angle = p[:, 2] / r, np.arctan2(p[:, 1], p[:, 0])
    sums = {}
    for degree in range(4, 2 * _ORDER_3D + 1, 2):
        for order in range(0, degree + 1, 4):
            terms = lpmv(order, degree, cosine) * np.cos(order * angle) / r ** (degree + 1)
            value = math.factorial(degree - order) * (-1) ** order * float(terms.sum())
            sums[degree, order] = sums[degree, -order] = value
    return sums, 1 / len(CUBIC[kind])


def spheres(kind: str, fraction: float, k: float) -> float:
    """Conductivity of spheres on a cubic lattice ``sc``, ``bcc`` or ``fcc``."""
    sums, volume = _sums_3d(kind)
    radius = (3 * fraction * volume / (4 * math.pi)) ** (1 / 3)
    modes = [(n, m) for n in range(1, _ORDER_3D + 1, 2) for m in range(-(n // 4) * 4, n + 1, 4)]
    matrix, right = np.eye(len(modes)), np.zeros(len(modes))
    norm = {(n, m): math.sqrt(math.factorial(n - m) * math.factorial(n + m)) for n, m in modes}
    for i, (n, m) in enumerate(modes):
        chi = 1.0 if math.isinf(k) else (k - 1) / (k + (n + 1) / n)
        before = -chi * radius ** (n + 0.5) / norm[n, m]
        right[i] = before if (n, m) == (1, 0) else 0.0
        for j, (p, o) in enumerate(modes):
            value = -4 * math.pi / (3 * volume) if p == n == 1 else (-1) ** (p - m) * sums.get((p + n, o - m), 0.0)
            matrix[i, j] -= before * value * radius ** (p + 0.5) / norm[p, o]
    return 1 - 4 * math.pi * float(np.linalg.solve(matrix, right)[0]) * radius**1.5 / volume


def obnosov(k: float) -> float:
    """Squares that fill a quarter (Obnosov, SIAM J. Appl. Math. 59 (1999) 1267)."""
    return math.sqrt(3.0) if math.isinf(k) else math.sqrt((1 + 3 * k) / (3 + k))


def fibres(
    fraction: float, matrix: tuple[float, float], fibre: tuple[float, float] | str, plane: str = "strain"
) -> tuple[float, float, float]:
    """(C11 + C12)/2, (C11 - C12)/2 and C66 of fibres in a square array; phases by (E, nu), a fibre may be void or rigid."""
    radius, corner, order, points = math.sqrt(fraction / math.pi), math.sqrt(0.5), 51, 240

    def plane_constants(e: float, nu: float) -> tuple[float, float]:
        return e / 2 / (1 + nu), 3 - 4 * nu if plane == "strain" else (3 - nu) / (1 + nu)

    mu, kappa = plane_constants(*matrix)
    outer, inner = [n for n in range(-order, order + 1) if n % 2], [n for n in range(1, order + 1) if n % 2]
    held = isinstance(fibre, str)
    room = np.zeros((points, 0 if held else 2 * len(inner)))

    def columns(z: Array, powers: Sequence[int], inside: bool, unit: complex, m: float, k: float) -> list[Array]:
        """Of every unknown: displacement times 2 mu of the matrix, force, s_xx + s_yy, s_yy - s_xx + 2i s_xy."""
        parts: list[list[Array]] = [[], [], [], []]
        for kind in ("phi", "psi"):
            for n in powers:
                s = radius if n < 0 or inside else corner
                w, w1, w2 = (unit * c * (z / s) ** (n - d) for d, c in ((0, 1), (1, n / s), (2, n * (n - 1) / s**2)))
                if kind == "phi":
                    values = ((k * w - z * np.conj(w1)) * mu / m, w + z * np.conj(w1), 4 * w1.real, 2 * np.conj(z) * w2)
                else:
                    values = (-np.conj(w) * mu / m, np.conj(w), 0 * z.real, 2 * w1)
                for part, value in zip(parts, values, strict=True):
                    part.append(value)
        return [np.array(part).T for part in parts]

    angle, along = (np.arange(points) + 0.5) / points * math.pi / 2, (np.arange(points) + 0.5) / points / 2
    out = []
    for load in ("bulk", "deviator", "shear"):
        unit = 1j if load == "shear" else 1.0
        circle = radius * np.exp(1j * angle)
        u, force, _, _ = columns(circle, outer, False, unit, mu, kappa)
        rows, right = [], []
        if isinstance(fibre, str):
            rows += [(force if fibre == "void" else u).real, (force if fibre == "void" else u).imag]
            right += [np.zeros(points)] * 2
        else:
            ui, forcei, _, _ = columns(circle, inner, True, unit, *plane_constants(*fibre))
            for both in (np.hstack([u, -ui]), np.hstack([force, -forcei])):
                rows += [both.real, both.imag]
                right += [np.zeros(points)] * 2
        mean = np.zeros(0)
        for side, z in (("x", 0.5 + 1j * along), ("y", along + 0.5j)):
            u, _, total, difference = columns(z, outer, False, unit, mu, kappa)
            normal = (total - difference.real) / 2 if side == "x" else (total + difference.real) / 2
            shear = difference.imag / 2
            across, tangential = (u.real, u.imag) if side == "x" else (u.imag, u.real)
            given, free, stress = (tangential, normal, shear) if load == "shear" else (across, shear, normal)
            rows += [np.hstack([given, room]), np.hstack([free, room])]
            right += [np.full(points, -mu if load == "deviator" and side == "y" else mu), np.zeros(points)]
            mean = np.hstack([stress, room]).mean(axis=0) if side == "x" else mean
        a = np.vstack(rows)
        scale = np.linalg.norm(a, axis=0)
        x = np.linalg.lstsq(a / scale, np.concatenate(right), rcond=1e-15)[0] / scale
        out.append(float(mean @ x) / 2)
    return out[0], out[1], out[2]
