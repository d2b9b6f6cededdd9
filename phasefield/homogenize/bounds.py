"""Bounds on effective properties from volume fractions alone.

Voigt and Reuss hold for every microstructure. The bounds of Hashin and Shtrikman (J. Mech. Phys. Solids 11 (1963) 127; J.
Appl. Phys. 33 (1962) 3125), in the form of Walpole (1966), hold for isotropic phases whose arrangement is statistically
isotropic in a large volume.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..mechanics import tensors
from ..mechanics.tensors import Array


def voigt(fractions: Array, phases: Array) -> Array:
    """Mean of the tensors (phases, n, n): an upper bound in the Loewner sense."""
    return np.asarray(np.einsum("p,pij->ij", fractions, phases))


def reuss(fractions: Array, phases: Array) -> Array:
    """Inverse of the mean of the inverses: a lower bound; zero where a phase has no stiffness."""
    present = fractions > 0
    lowest = np.linalg.eigvalsh(phases[present])[:, 0]
    if lowest.min() <= 1e-14 * np.abs(phases[present]).max():
        return np.zeros(phases.shape[1:])
    inverse = np.linalg.inv(phases[present])
    return np.asarray(np.linalg.inv(np.einsum("p,pij->ij", fractions[present], inverse)))


def loewner_margin(upper: Array, lower: Array) -> float:
    """Lowest eigenvalue of ``upper - lower``, relative to the norm of ``upper``; not negative if the order holds."""
    scale = float(np.linalg.norm(upper, 2)) or 1.0
    return float(np.linalg.eigvalsh((upper - lower + (upper - lower).T) / 2)[0]) / scale


def energy_difference(tensor: Array, reference: Array) -> float:
    """Largest difference of the energies ``e.tensor.e`` and ``e.reference.e`` over all loads e, relative to the second.

    Loads without energy in the reference (beyond rounding) are left out.

    Args:
        tensor, reference: (n, n), symmetric; the reference positive semidefinite.
    """
    values, vectors = np.linalg.eigh(reference)
    carried = values > 1e-10 * max(float(values[-1]), 0.0)
    if not carried.any():
        return 0.0
    scaled = vectors[:, carried] / np.sqrt(values[carried])
    return float(np.abs(np.linalg.eigvalsh(scaled.T @ (tensor - reference) @ scaled)).max())


def _walpole(fractions: Sequence[float], values: Sequence[float], comparison: float) -> float:
    total = sum(f / (v + comparison) for f, v in zip(fractions, values, strict=True) if f > 0 and v + comparison > 0)
    void = any(f > 0 and v + comparison == 0 for f, v in zip(fractions, values, strict=True))
    return 0.0 if void or total == 0 else 1 / total - comparison


def hashin_shtrikman_conductivity(
    fractions: Sequence[float], values: Sequence[float], dim: int = 3
) -> tuple[float, float]:
    """Lower and upper bound of the conductivity in ``dim`` dimensions."""
    present = [v for f, v in zip(fractions, values, strict=True) if f > 0]
    low, high = ((dim - 1) * v for v in (min(present), max(present)))
    return _walpole(fractions, values, low), _walpole(fractions, values, high)


def hashin_shtrikman_moduli(
    fractions: Sequence[float], bulk: Sequence[float], shear: Sequence[float], dim: int = 3
) -> dict[str, tuple[float, float]]:
    """Lower and upper bounds of K and G; in two dimensions K is the plane-strain bulk modulus K + G/3 (Hill 1964, Hashin
    1965).
    """
    used = [(k, g) for f, k, g in zip(fractions, bulk, shear, strict=True) if f > 0]
    out_k, out_g = [], []
    for pick in (min, max):
        k, g = pick(k for k, _ in used), pick(g for _, g in used)
        if dim == 3:
            out_k.append(_walpole(fractions, bulk, 4 * g / 3))
            out_g.append(_walpole(fractions, shear, g * (9 * k + 8 * g) / (6 * (k + 2 * g)) if k + 2 * g else 0.0))
        else:
            out_k.append(_walpole(fractions, bulk, g))
            out_g.append(_walpole(fractions, shear, g * k / (k + 2 * g) if k + 2 * g else 0.0))
    return {"K": (out_k[0], out_k[1]), "G": (out_g[0], out_g[1])}


def hashin_shtrikman(fractions: Array, phases: Array, dim: int) -> dict[str, tuple[float, float]]:
    """The bounds that exist for these phases: {} if one that is present is not isotropic.

    Args:
        phases: (phases, 3, 3) or (phases, 6, 6) Mandel. dim: 2 for a microstructure that does not vary along one axis.
    """
    for f, tensor in zip(fractions, phases, strict=True):
        if f > 0 and tensors.nearest_isotropic(tensor)[1] > 1e-8:
            return {}
    shares = [float(f) for f in fractions]
    if phases.shape[-1] == 3:
        return {"k": hashin_shtrikman_conductivity(shares, [float(t[0, 0]) for t in phases], dim)}
    moduli = [tensors.isotropic_moduli(t) for t in phases]
    bulk = [m["K"] + (m["G"] / 3 if dim == 2 else 0.0) for m in moduli]
    found = hashin_shtrikman_moduli(shares, bulk, [m["G"] for m in moduli], dim)
    return {f"{name}_plane" if dim == 2 else name: pair for name, pair in found.items()}
