"""The grain of six faces between sharp boundaries, which keeps its shape while it shrinks: how fast it does.

Six faces in the symmetry of a cube, and boundaries out of its edges along the planes through the middle. A surface that shrinks
by its curvature and keeps its shape has the mean curvature x.n (in units of its size), and that is where its area in the metric
exp(-|x|^2/2) is stationary (Huisken, J. Differ. Geom. 31 (1990) 285). With the area of the outer boundaries added, the angles
of 120 degrees at the edges are what makes the sum stationary.
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial import legendre


def shrinking_rate(degree: int = 4, points: int = 40) -> float:
    """G of dV/dt = G L kappa V^(1/3), -5.7045.

    A face is z(p, q) (p, q, 1) for p, q from -1 to 1, with z a sum of even Legendre polynomials up to twice ``degree`` in p
    and q, alike in both; found by Newton's method. What follows is for a quarter of a face, and half of two outer boundaries.
    """
    nodes, weights = legendre.leggauss(points)
    x, w = (nodes + 1) / 2, weights / 2
    identity = np.eye(2 * degree + 1)[::2]
    values = np.array([legendre.legval(x, c) for c in identity])
    slopes = np.array([legendre.legval(x, legendre.legder(c)) for c in identity])
    pairs = [(i, j) for i in range(degree + 1) for j in range(i, degree + 1)]

    def products(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.array([np.outer(first[i], second[j]) + np.outer(first[j], second[i]) for i, j in pairs])

    along_p, along_q = products(slopes, values), products(values, slopes)
    face, edge = products(values, values), products(np.ones((degree + 1, 1)), values)[:, 0]
    p, q, weight = *np.meshgrid(x, x, indexing="ij"), np.outer(w, w)

    def gradient(z_of: np.ndarray) -> np.ndarray:
        z, z_p, z_q = (np.tensordot(z_of, basis, 1) for basis in (face, along_p, along_q))
        # The area of a face is z sqrt(z_p^2 + z_q^2 + out^2) dp dq.
        out, squared = z + p * z_p + q * z_q, 1 + p**2 + q**2
        slant, metric = np.sqrt(z_p**2 + z_q**2 + out**2), weight * np.exp(-(z**2) * squared / 2)
        by = (
            slant - z**2 * squared * slant + z * out / slant,
            z * (z_p + out * p) / slant,
            z * (z_q + out * q) / slant,
        )
        found = sum(np.tensordot(b, metric * d, 2) for b, d in zip((face, along_p, along_q), by, strict=True))
        # That of an outer boundary, from the edge out to infinity, is sqrt(2)/(2 + q^2) exp(-z^2 (2 + q^2)/2) dq.
        z = z_of @ edge
        return found - edge @ (w * np.sqrt(2) * z * np.exp(-(z**2) * (2 + x**2) / 2))

    z_of, change = np.zeros(len(pairs)), np.ones(1)
    z_of[0] = 0.35  # half of what a cube has, since the products count twice
    for _ in range(30):
        moves = 1e-6 * np.eye(len(pairs))
        hessian = np.array([(gradient(z_of + m) - gradient(z_of - m)) / 2e-6 for m in moves])
        change = np.linalg.solve(hessian, -gradient(z_of))
        z_of += change * min(1.0, 0.1 / np.abs(change).max())
        if np.abs(change).max() < 1e-9:
            break
    assert np.abs(change).max() < 1e-9
    volume = 8 * float((weight * np.tensordot(z_of, face, 1) ** 3).sum())
    return -3 * volume ** (2 / 3)
