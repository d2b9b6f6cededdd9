"""Tensors of voxels that hold two phases: mixing rules.

The exact effective tensor of a laminate with the voxel's fractions and normal (Kabel, Merkert and Schneider, Comput. Methods
Appl. Mech. Eng. 294 (2015) 168), or means by the fraction alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import tensors
from .tensors import Array


def mix(rule: str, first: Array, second: Array, fraction: Array, normal: Array) -> Array:
    """Tensors (entries, n, n) of two phases mixed with ``fraction`` of the first; n = 3 (order 2) or 6 (Mandel stiffness)."""
    f = fraction[:, None, None]
    mean = f * first + (1 - f) * second
    if rule == "arithmetic":
        return np.asarray(mean)
    if rule == "laminate":
        return np.asarray(mean - _laminate_correction(first, second, fraction, normal))
    if rule == "sharp":
        return np.asarray(np.where(f >= 0.5, first, second))
    with np.errstate(divide="ignore"):
        return np.asarray(_function_mean(rule, first, second, f))


def _normal_map(normal: Array) -> Array:
    """(entries, 6, 3) matrices of ``a -> sym(a x n)`` in Mandel form."""
    n = np.asarray(normal, float)
    out = np.zeros((len(n), 6, 3))
    for row, (i, j) in enumerate(tensors.PAIRS):
        out[:, row, i] += n[:, j] * tensors.FACTOR[row] / 2
        out[:, row, j] += n[:, i] * tensors.FACTOR[row] / 2
    return out


def _inverse(matrices: Array) -> Array:
    """Inverses; zero where a matrix vanishes (voids, no normal)."""
    out = np.zeros_like(matrices)
    scale = np.abs(matrices).max(axis=(1, 2))
    good = scale > 0
    safe = matrices[good] / scale[good, None, None]
    regular = np.abs(np.linalg.det(safe)) > 1e-14 if len(safe) else np.zeros(0, bool)
    inverse = np.zeros_like(safe)
    inverse[regular] = np.linalg.inv(safe[regular])
    if not regular.all():
        inverse[~regular] = np.linalg.pinv(safe[~regular], rcond=1e-10, hermitian=True)
    out[good] = inverse / scale[good, None, None]
    return out


def _laminate_correction(first: Array, second: Array, fraction: Array, normal: Array) -> Array:
    """What a rank-1 laminate lacks to the arithmetic mean, exact for any two tensors."""
    f = fraction[:, None, None]
    jump, other = first - second, f * second + (1 - f) * first
    if first.shape[-1] == 3:
        n = np.asarray(normal, float)[:, :, None]
        v = jump @ n
        d = np.swapaxes(n, 1, 2) @ other @ n
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(d > 0, f * (1 - f) * (v @ np.swapaxes(v, 1, 2)) / d, 0.0)
    n = _normal_map(normal)
    v = jump @ n
    acoustic = np.swapaxes(n, 1, 2) @ other @ n
    return np.asarray(f * (1 - f) * (v @ _inverse(acoustic) @ np.swapaxes(v, 1, 2)))


def _function_mean(rule: str, first: Array, second: Array, f: Array) -> Array:
    """Mean of the inverse (harmonic) or the logarithm (geometric); a void makes the mixture void."""

    def transform(matrix: Array, function: Any) -> Array:
        values, vectors = np.linalg.eigh(matrix)
        return np.asarray((vectors * function(values)[..., None, :]) @ np.swapaxes(vectors, -1, -2))

    there, back = (np.reciprocal, np.reciprocal) if rule == "harmonic" else (np.log, np.exp)
    tiny = np.finfo(float).tiny ** 0.25
    scale = max(float(np.abs(first).max()), float(np.abs(second).max()), tiny)

    def safe(values: Array) -> Array:
        return np.maximum(values / scale, 1e-30)

    a = transform(first, lambda v: there(safe(v)))
    b = transform(second, lambda v: there(safe(v)))
    mixed = transform(f * a + (1 - f) * b, back) * scale
    mixed[np.abs(mixed).max(axis=(1, 2)) < 1e-12 * scale] = 0.0
    pure = (f == 1) | (f == 0)
    return np.where(pure, np.where(f == 1, first, second), mixed)


def mixed_stress(
    rule: str, first: tuple[Array, Array], second: tuple[Array, Array], fraction: Array, normal: Array
) -> Array:
    """Stress (entries, 6) of mixtures that are held at zero strain.

    Args:
        first, second: stiffness (entries, 6, 6) and stress-free strain (entries, 6) of the two phases.
        fraction: of the first. normal: of the interface, (entries, 3).
    """
    (c1, e1), (c2, e2) = first, second
    s1, s2 = (-np.einsum("pij,pj->pi", c, e) for c, e in (first, second))
    f = fraction[:, None]
    mean = f * s1 + (1 - f) * s2
    if rule in ("laminate", "sharp"):
        n = _normal_map(normal)
        acoustic = np.einsum("eia,eij,ejb->eab", n, f[..., None] * c2 + (1 - f[..., None]) * c1, n)
        jump = np.einsum("eia,ei->ea", n, s1 - s2)
        a = np.einsum("eab,eb->ea", _inverse(acoustic), jump)
        return np.asarray(mean - f * (1 - f) * np.einsum("eij,eja,ea->ei", c1 - c2, n, a))
    # The strain of an entry follows from its mixed compliance as for uniform strain (Voigt) or stress (Reuss).
    if rule == "arithmetic":
        return np.asarray(mean)
    free = f * e1 + (1 - f) * e2
    return -np.einsum("eij,ej->ei", mix(rule, c1, c2, fraction, normal), free)
