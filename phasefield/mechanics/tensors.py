"""Tensors of elasticity and transport in Mandel form: constructors, rotation, projection, reduction to two dimensions.

A symmetric tensor of order 2 is the vector (xx, yy, zz, sqrt2 yz, sqrt2 xz, sqrt2 xy), a stiffness the 6 x 6 matrix that
maps strain to stress. In this form (Mandel) double contraction is the dot product, a rotation is an orthogonal matrix and
inversion of the matrix is inversion of the tensor; none of this holds in Voigt form, which is used for input and output
only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

Array = NDArray[Any]

#: Index pairs of the Mandel components, and their names.
PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
NAMES = ("xx", "yy", "zz", "yz", "xz", "xy")
AXES = ("x", "y", "z")
_ROOT = math.sqrt(2.0)
#: Mandel component = factor * tensor component.
FACTOR = np.array([1.0, 1.0, 1.0, _ROOT, _ROOT, _ROOT])
_OUTER = np.outer(FACTOR, FACTOR)

#: Projectors on the spherical and the deviatoric part.
SPHERICAL = np.zeros((6, 6))
SPHERICAL[:3, :3] = 1.0 / 3.0
DEVIATORIC = np.eye(6) - SPHERICAL


# -- forms -------------------------------------------------------------------------------------------------------------


def from_matrix(tensor: Array) -> Array:
    """Symmetric (..., 3, 3) tensors as Mandel vectors (..., 6)."""
    t = np.asarray(tensor, float)
    return np.stack([t[..., i, j] for i, j in PAIRS], axis=-1) * FACTOR


def to_matrix(vector: Array) -> Array:
    """Mandel vectors (..., 6) as symmetric (..., 3, 3) tensors."""
    v = np.asarray(vector, float) / FACTOR
    out = np.empty((*v.shape[:-1], 3, 3))
    for a, (i, j) in enumerate(PAIRS):
        out[..., i, j] = out[..., j, i] = v[..., a]
    return out


def from_voigt(stiffness: Array) -> Array:
    """A stiffness in Voigt form (engineering shear strains; order 11 22 33 23 13 12) as a Mandel matrix."""
    return np.asarray(stiffness, float) * _OUTER


def to_voigt(stiffness: Array) -> Array:
    """The inverse of `from_voigt`."""
    return np.asarray(stiffness, float) / _OUTER


# -- stiffness from constants ------------------------------------------------------------------------------------------


def isotropic_stiffness(bulk: float, shear: float) -> Array:
    """Stiffness of an isotropic material from its bulk and shear modulus."""
    return 3.0 * bulk * SPHERICAL + 2.0 * shear * DEVIATORIC


#: Isotropic constants: bulk modulus K, shear modulus G, Young's modulus E, Poisson's ratio nu, Lame's first lambda, P-wave M.
ISOTROPIC = ("K", "G", "E", "nu", "lambda", "M")


def bulk_and_shear(constants: Mapping[str, float], key: str = "stiffness") -> tuple[float, float]:
    """Bulk and shear modulus from any two isotropic constants of `ISOTROPIC`.

    Raises:
        ConfigError: not two constants, an unknown one, or a pair that no stable material has.
    """
    names = sorted(constants, key=lambda n: ISOTROPIC.index(n) if n in ISOTROPIC else 99)
    unknown = [n for n in names if n not in ISOTROPIC]
    if unknown or len(names) != 2:
        raise ConfigError(
            key,
            f"has the constants {', '.join(names) or 'none'}; exactly two of {', '.join(ISOTROPIC)} are expected",
            "e.g. {E: 70 GPa, nu: 0.33}",
        )
    a, b = constants[names[0]], constants[names[1]]
    with np.errstate(all="ignore"):
        k, g = bulk_and_shear_of(names[0], names[1], np.float64(a), np.float64(b))
    if not (math.isfinite(k) and math.isfinite(g) and k > 0 and g > 0):
        raise ConfigError(
            key,
            f"{names[0]} = {a:g} with {names[1]} = {b:g} gives K = {k:g}, G = {g:g}; both must be positive",
            "check the values and their units",
        )
    return float(k), float(g)


def bulk_and_shear_of(first: str, second: str, a: Any, b: Any) -> tuple[Any, Any]:
    """The same from two numbers of NumPy, real or complex, in the order of `ISOTROPIC`; without checks."""
    match (first, second):
        case ("K", "G"):
            return a, b
        case ("K", "E"):
            return a, 3 * a * b / (9 * a - b)
        case ("K", "nu"):
            return a, 3 * a * (1 - 2 * b) / (2 * (1 + b))
        case ("K", "lambda"):
            return a, 1.5 * (a - b)
        case ("K", "M"):
            return a, 0.75 * (b - a)
        case ("G", "E"):
            return a * b / (3 * (3 * a - b)), a
        case ("G", "nu"):
            return 2 * a * (1 + b) / (3 * (1 - 2 * b)), a
        case ("G", "lambda"):
            return b + 2 * a / 3, a
        case ("G", "M"):
            return b - 4 * a / 3, a
        case ("E", "nu"):
            return a / (3 * (1 - 2 * b)), a / (2 * (1 + b))
        case ("E", "lambda"):
            root = np.sqrt(a**2 + 9 * b**2 + 2 * a * b)
            return (a + 3 * b + root) / 6, (a - 3 * b + root) / 4
        case ("E", "M"):
            # Of the two solutions the one with nu >= 0.
            root = np.sqrt(a**2 + 9 * b**2 - 10 * a * b)
            return (3 * b - a + root) / 6, (3 * b + a - root) / 8
        case ("nu", "lambda"):
            return b * (1 + a) / (3 * a), b * (1 - 2 * a) / (2 * a)
        case ("nu", "M"):
            return b * (1 + a) / (3 * (1 - a)), b * (1 - 2 * a) / (2 * (1 - a))
    return (b + 2 * a) / 3, (b - a) / 2  # lambda, M


def cubic_stiffness(c11: float, c12: float, c44: float) -> Array:
    """Stiffness of a cubic crystal in its own axes, from Voigt constants."""
    return orthotropic_stiffness(c11, c11, c11, c12, c12, c12, c44, c44, c44)


def hexagonal_stiffness(c11: float, c12: float, c13: float, c33: float, c44: float) -> Array:
    """Stiffness of a hexagonal crystal (c axis along z), which is also transverse isotropy."""
    return orthotropic_stiffness(c11, c11, c33, c12, c13, c13, c44, c44, (c11 - c12) / 2)


def orthotropic_stiffness(
    c11: float, c22: float, c33: float, c12: float, c13: float, c23: float, c44: float, c55: float, c66: float
) -> Array:
    """Stiffness of an orthotropic material in its own axes, from Voigt constants."""
    c = np.zeros((6, 6))
    c[0, 0], c[1, 1], c[2, 2] = c11, c22, c33
    c[0, 1] = c[1, 0] = c12
    c[0, 2] = c[2, 0] = c13
    c[1, 2] = c[2, 1] = c23
    c[3, 3], c[4, 4], c[5, 5] = c44, c55, c66
    return from_voigt(c)


# -- rotation ----------------------------------------------------------------------------------------------------------


def rotation_mandel(rotation: Array) -> Array:
    """The orthogonal (..., 6, 6) matrices that rotate Mandel vectors like ``R t R^T`` rotates tensors."""
    r = np.asarray(rotation, float)
    out = np.empty((*r.shape[:-2], 6, 6))
    for a, (i, j) in enumerate(PAIRS):
        for b, (k, m) in enumerate(PAIRS):
            product = r[..., i, k] * r[..., j, m] + r[..., i, m] * r[..., j, k]
            out[..., a, b] = product * FACTOR[a] * FACTOR[b] / 2
    return out


def rotate(tensor: Array, rotation: Array) -> Array:
    """Components in the sample frame of a tensor given in a frame rotated by ``rotation`` (its columns are the frame's axes).

    Args:
        tensor: shape (..., 3, 3) of order 2 or (..., 6, 6) Mandel stiffness. rotation: shape (..., 3, 3).
    """
    r = np.asarray(rotation, float)
    q = r if np.shape(tensor)[-1] == 3 else rotation_mandel(r)
    return q @ tensor @ np.swapaxes(q, -1, -2)


def rotation_from_euler(phi1: float, theta: float, phi2: float) -> Array:
    """Rotation from Bunge's Euler angles (z, x', z'') in radians, crystal to sample."""
    c1, s1, c, s, c2, s2 = (f(a) for a in (phi1, theta, phi2) for f in (math.cos, math.sin))
    return np.array(
        [
            [c1 * c2 - s1 * s2 * c, -c1 * s2 - s1 * c2 * c, s1 * s],
            [s1 * c2 + c1 * s2 * c, -s1 * s2 + c1 * c2 * c, -c1 * s],
            [s2 * s, c2 * s, c],
        ]
    )


def euler_from_rotation(rotation: Array) -> tuple[float, float, float]:
    """Bunge's angles in radians of a rotation: the inverse of `rotation_from_euler`; phi2 = 0 where Phi is 0 or pi."""
    theta = math.atan2(math.hypot(rotation[2, 0], rotation[2, 1]), rotation[2, 2])
    if math.sin(theta) < 1e-9:
        return math.atan2(rotation[1, 0], rotation[0, 0]), 0.0 if rotation[2, 2] > 0 else math.pi, 0.0
    phi1, phi2 = math.atan2(rotation[0, 2], -rotation[1, 2]), math.atan2(rotation[2, 0], rotation[2, 1])
    return phi1, theta, phi2


def rotation_from_quaternion(quaternion: Array) -> Array:
    """Rotations (..., 3, 3) from quaternions (..., 4) w, x, y, z of any length."""
    q = np.asarray(quaternion, float)
    w, x, y, z = np.moveaxis(q / np.linalg.norm(q, axis=-1, keepdims=True), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def random_rotations(n: int, seed: int) -> Array:
    """``n`` rotations uniform over all orientations (normalised Gaussian quaternions), shape (n, 3, 3)."""
    return rotation_from_quaternion(np.random.default_rng(seed).standard_normal((n, 4)))


# -- projections -------------------------------------------------------------------------------------------------------


def nearest_isotropic(tensor: Array) -> tuple[Array, float]:
    """The nearest isotropic tensor in the Frobenius norm and its relative distance.

    The projection of a stiffness keeps the bulk modulus ``tr(J C)/3`` and the shear modulus ``tr(K C)/10``.
    """
    c = np.asarray(tensor, float)
    if c.shape == (6, 6):
        near = np.trace(SPHERICAL @ c) * SPHERICAL + np.trace(DEVIATORIC @ c) / 5 * DEVIATORIC
    else:
        near = np.trace(c) / len(c) * np.eye(len(c))
    return near, _distance(c, near)


def nearest_cubic(stiffness: Array) -> tuple[Array, float]:
    """The nearest stiffness with cubic symmetry about the sample axes and its relative distance."""
    c = np.asarray(stiffness, float)
    normal = np.mean(np.diag(c)[:3])
    cross = np.mean([c[0, 1], c[0, 2], c[1, 2]])
    near = np.zeros((6, 6))
    near[:3, :3] = cross
    near[range(3), range(3)] = normal
    near[range(3, 6), range(3, 6)] = np.mean(np.diag(c)[3:])
    return near, _distance(c, near)


def _distance(tensor: Array, near: Array) -> float:
    norm = float(np.linalg.norm(tensor))
    return float(np.linalg.norm(tensor - near)) / norm if norm else 0.0


def isotropic_moduli(stiffness: Array) -> dict[str, float]:
    """K, G, E and nu of the nearest isotropic stiffness."""
    near, _ = nearest_isotropic(stiffness)
    k, g = float(np.trace(SPHERICAL @ near)) / 3, float(np.trace(DEVIATORIC @ near)) / 10
    e = 9 * k * g / (3 * k + g) if 3 * k + g else 0.0
    return {"K": k, "G": g, "E": e, "nu": (3 * k - 2 * g) / (2 * (3 * k + g)) if 3 * k + g else 0.0}


# -- two dimensions ----------------------------------------------------------------------------------------------------

#: Positions of xx, yy, xy among the Mandel components.
PLANE = (0, 1, 5)


def plane_strain(stiffness: Array) -> Array:
    """The (3, 3) Mandel matrix of xx, yy, xy at zero strain along z."""
    return np.asarray(stiffness, float)[np.ix_(PLANE, PLANE)]


def plane_moduli(stiffness: Array) -> dict[str, float]:
    """Bulk and shear modulus of the nearest isotropic plane-strain stiffness in the plane xy."""
    c = plane_strain(stiffness)
    bulk = (c[0, 0] + c[1, 1] + 2 * c[0, 1]) / 4
    return {"K_plane": float(bulk), "G_plane": float(np.trace(c) - 2 * bulk) / 4}


def plane_stress(stiffness: Array) -> Array:
    """The (..., 3, 3) Mandel matrix of xx, yy, xy at zero stress along z (static condensation)."""
    c = np.asarray(stiffness, float)
    rest = (2, 3, 4)
    a = c[..., PLANE, :][..., PLANE]
    b = c[..., PLANE, :][..., rest]
    d = c[..., rest, :][..., rest]
    if not np.any(d):
        return a
    return a - b @ np.linalg.pinv(d, hermitian=True) @ np.swapaxes(b, -1, -2)


def embed_plane(matrix: Array) -> Array:
    """A (..., 3, 3) plane matrix in a (..., 6, 6) one that is zero elsewhere."""
    out = np.zeros((*np.shape(matrix)[:-2], 6, 6))
    for a, i in enumerate(PLANE):
        for b, j in enumerate(PLANE):
            out[..., i, j] = matrix[..., a, b]
    return out


def is_positive_definite(tensor: Array) -> bool:
    """Whether all eigenvalues of the symmetric part are positive beyond rounding."""
    values = np.linalg.eigvalsh((tensor + np.swapaxes(tensor, -1, -2)) / 2)
    return bool(values[0] > 1e-12 * max(abs(values[-1]), 1e-300))


def compliance(stiffness: Array) -> Array:
    """The inverse; zero on the subspace that has no stiffness (pseudo-inverse)."""
    return np.linalg.pinv(stiffness, rcond=1e-12, hermitian=True)
