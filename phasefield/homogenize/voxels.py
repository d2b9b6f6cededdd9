"""From fields to voxels: which phases a voxel holds, in what fractions, and with which interface between them.

A phase field is diffuse, the material is not: mixing properties by the value of the field puts an error of several per cent
into the effective property. The field therefore only tells where the interface is. With ``psi = atanh(2 phi - 1)``, which
is linear across a tanh profile, the signed distance of a voxel's centre is ``psi/|grad psi|`` and the normal ``grad
psi/|grad psi|``; the plane they define cuts the voxel into two volumes (Scardovelli and Zaleski, J. Comput. Phys. 164
(2000) 228), and the voxel gets the exact effective tensor of the laminate with these fractions and this normal (Kabel,
Merkert and Schneider, Comput. Methods Appl. Mech. Eng. 294 (2015) 168).

Geometry is kept apart from properties: an image gives one `Voxels`, from which the table of every property is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backend.voxel import pack
from ..errors import ConfigError
from ..raster import cell_means
from . import tensors
from .pieces import Pieces
from .tensors import Array

RULES = ("laminate", "sharp", "arithmetic", "harmonic", "geometric")
#: Mean |difference| of neighbours' phi across the interface above which phi is taken for a volume fraction.
_STEEP = 0.4
#: Levels of the fraction for the rules that mix by it.
_LEVELS = 4096
#: Entries mixed at once: a table of full tensors would take more room than the solver.
_CHUNK = 1 << 14


@dataclass(frozen=True)
class Voxels:
    """Voxels as a table of distinct entries.

    Attributes:
        index: entry of every voxel, shape of the image.
        first, second: phase numbers of an entry, shape (entries,); equal for a pure voxel.
        fraction: volume fraction of ``first``. normal: unit normal, shape (entries, 3); zero for pure entries.
        spacing: edge lengths of a voxel. phases: number of phases; the first so many entries are the pure phases.
        rule: how the two phases of an entry are mixed.
    """

    index: NDArray[Any]
    first: NDArray[np.integer]
    second: NDArray[np.integer]
    fraction: Array
    normal: Array
    spacing: tuple[float, ...]
    phases: int
    rule: str

    @property
    def shape(self) -> tuple[int, ...]:
        return self.index.shape

    @cached_property
    def counts(self) -> NDArray[np.integer]:
        """Number of voxels of every entry."""
        return np.bincount(self.index.ravel(), minlength=len(self.first))

    @property
    def cut(self) -> NDArray[np.bool_]:
        """Whether an entry is a laminate."""
        return np.asarray((self.first != self.second) & (self.rule == "laminate"))

    @cached_property
    def volume_fractions(self) -> Array:
        """Volume fraction of every phase."""
        out = np.bincount(self.first, self.counts * self.fraction, minlength=self.phases)
        out = out + np.bincount(self.second, self.counts * (1 - self.fraction), minlength=self.phases)
        return np.asarray(out / self.index.size)

    def share(self, phase: int) -> Array:
        """Volume fraction of a phase in every voxel, shape of the image."""
        part = self.fraction * (self.first == phase) + (1 - self.fraction) * (self.second == phase)
        return np.asarray(part[self.index])

    def tensors(self, pure: Array) -> Array:
        """The property's tensor of every entry, (entries, n, n), from those of the phases, (phases, n, n)."""
        return mix(self.rule, pure[self.first], pure[self.second], self.fraction, self.normal)

    def packed(self, pure: Array) -> Array:
        """The same as constants (entries, 6) or (entries, 21), see `pack`."""
        parts = []
        for at in range(0, len(self.first), _CHUNK):
            a, b, f, n = (x[at : at + _CHUNK] for x in (self.first, self.second, self.fraction, self.normal))
            parts.append(pack(mix(self.rule, pure[a], pure[b], f, n)))
        return np.concatenate(parts)

    def stresses(self, stiffness: Array, strain: Array) -> Array:
        """Stress (entries, 6) that the stress-free strains (phases, 6) of the phases cause in entries held at zero strain."""
        stress = -np.einsum("pij,pj->pi", stiffness, strain)
        c1, c2 = stiffness[self.first], stiffness[self.second]
        s1, s2 = stress[self.first], stress[self.second]
        f = self.fraction[:, None]
        mean = f * s1 + (1 - f) * s2
        if self.rule in ("laminate", "sharp"):
            n = _normal_map(self.normal)
            acoustic = np.einsum("eia,eij,ejb->eab", n, f[..., None] * c2 + (1 - f[..., None]) * c1, n)
            jump = np.einsum("eia,ei->ea", n, s1 - s2)
            a = np.einsum("eab,eb->ea", _inverse(acoustic), jump)
            return np.asarray(mean - f * (1 - f) * np.einsum("eij,eja,ea->ei", c1 - c2, n, a))
        # The strain of an entry follows from its mixed compliance as for uniform strain (Voigt) or stress (Reuss).
        mixed = self.tensors(stiffness)
        if self.rule == "arithmetic":
            return np.asarray(mean)
        free = f * strain[self.first] + (1 - f) * strain[self.second]
        return -np.einsum("eij,ej->ei", mixed, free)


# -- mixing ------------------------------------------------------------------------------------------------------------


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


# -- images ------------------------------------------------------------------------------------------------------------


def checked(field: Any, name: str) -> Array:
    image = np.asarray(field)
    if image.ndim not in (1, 2, 3):
        raise ConfigError(name, f"has {image.ndim} axes; an image of 1, 2 or 3 axes is expected")
    if max(image.shape) < 2 or min(image.shape) < 1:
        raise ConfigError(name, f"has the shape {image.shape}; along one of its axes at least 2 voxels are expected")
    if image.dtype.kind not in "fiub":
        raise ConfigError(name, f"holds {image.dtype}; numbers are expected")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        bad = int(image.size - np.isfinite(image).sum())
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(image))[0])
        raise ConfigError(
            name, f"has {bad} values that are not finite, the first at {where}", "repair or crop the image first"
        )
    return image


def _spacing(image: Array, spacing: Sequence[float] | None) -> tuple[float, ...]:
    return tuple(float(s) for s in spacing) if spacing is not None else (1.0,) * image.ndim


def _table(
    index: Array,
    first: Any,
    second: Any,
    fraction: Any,
    normal: Any,
    spacing: tuple[float, ...],
    phases: int,
    rule: str,
) -> Voxels:
    """Puts the pure entries in front."""
    pure = np.arange(phases)
    return Voxels(
        np.ascontiguousarray(index, np.int32),  # one type: one compiled kernel
        np.concatenate([pure, first]).astype(np.int32),
        np.concatenate([pure, second]).astype(np.int32),
        np.concatenate([np.ones(phases), fraction]),
        np.concatenate([np.zeros((phases, 3)), normal]),
        spacing,
        phases,
        rule,
    )


def from_labels(labels: Any, spacing: Sequence[float] | None = None, phases: int | None = None) -> Voxels:
    """Pure voxels from phase numbers 0, 1, ...

    Args:
        labels: integers, shape of the image. phases: how many there are (default: the highest number plus one).
    """
    image = checked(labels, "image").astype(np.int64)
    count = int(image.max()) + 1 if phases is None else phases
    if image.min() < 0 or image.max() >= count:
        raise ConfigError("image", f"holds phase numbers {image.min()} to {image.max()}; 0 to {count - 1} are expected")
    none = np.zeros(0)
    return _table(image, none, none, none, np.zeros((0, 3)), _spacing(image, spacing), count, "sharp")


def from_field(
    phi: Any,
    rule: str = "laminate",
    spacing: Sequence[float] | None = None,
    boundary: str | Sequence[str] = "periodic",
) -> Voxels:
    """Voxels of two phases from a diffuse indicator: phase 0 where it is 0, phase 1 where it is 1.

    A field that is two-valued gives pure voxels; one whose interface is about a voxel wide is taken for the volume fraction.

    Args:
        phi: shape of the image, 0 and 1 in the bulk; values beyond are clipped.
        boundary: per axis; how the gradient is taken at the faces (``periodic`` or anything else).
    """
    if rule not in RULES:
        raise ConfigError("voxel", f"is {rule!r}; expected one of {', '.join(RULES)}")
    image = np.clip(checked(phi, "field").astype(float), 0.0, 1.0)
    space = _spacing(image, spacing)
    if rule == "sharp" or not np.any((image > 0) & (image < 1)):
        return from_labels((image > 0.5).astype(np.uint8), space, 2)
    if rule != "laminate":
        levels, index = np.unique(np.rint(image * _LEVELS).astype(np.int32), return_inverse=True)
        inner = (levels > 0) & (levels < _LEVELS)
        number = np.where(levels == 0, 0, 1)
        number[inner] = 2 + np.arange(inner.sum())
        fraction = 1 - levels[inner] / _LEVELS
        count = int(inner.sum())
        zero, one = np.zeros(count, int), np.ones(count, int)
        entry = number[index.reshape(image.shape)]
        return _table(entry, zero, one, fraction, np.zeros((count, 3)), space, 2, rule)
    walls = [boundary] * image.ndim if isinstance(boundary, str) else list(boundary)
    fraction, normal = _cut(image, space, walls)
    return _laminates(fraction, normal, np.zeros(image.shape, int), np.ones(image.shape, int), space, 2)


def _laminates(
    fraction: Array, normal: Array, low: Array, high: Array, spacing: tuple[float, ...], phases: int
) -> Voxels:
    """Entries from the fraction of ``high`` in every voxel and the normal field (dim, ...)."""
    inner = (fraction > 1e-9) & (fraction < 1 - 1e-9)
    index = np.where(fraction >= 0.5, high, low).astype(np.int64)
    count = int(inner.sum())
    index[inner] = phases + np.arange(count)
    n = np.zeros((count, 3))
    n[:, : fraction.ndim] = normal[:, inner].T
    return _table(index, low[inner], high[inner], 1 - fraction[inner], n, spacing, phases, "laminate")


def gradient(field: Array, spacing: Sequence[float], walls: Sequence[str]) -> Array:
    """Central differences (dim, ...), one-sided at faces that are not periodic."""
    out = np.empty((field.ndim, *field.shape))
    for d in range(field.ndim):
        ahead, behind = np.roll(field, -1, d), np.roll(field, 1, d)
        out[d] = (ahead - behind) / (2 * spacing[d])
        if walls[d] != "periodic" and field.shape[d] > 1:
            at: list[Any] = [slice(None)] * field.ndim
            for edge, inside in ((0, 1), (-1, -2)):
                at[d] = edge
                inner = at.copy()
                inner[d] = inside
                sign = 1 if edge == 0 else -1
                out[(d, *at)] = sign * (field[tuple(inner)] - field[tuple(at)]) / spacing[d]
    return out


def _cut(phi: Array, spacing: tuple[float, ...], walls: Sequence[str]) -> tuple[Array, Array]:
    """Fraction of phase 1 in every voxel and the normal towards it, from the level set phi = 1/2."""
    if _steep(phi, walls):
        g = gradient(_smoothed(phi, walls), spacing, walls)
        norm = np.sqrt(np.sum(g**2, axis=0))
        normal = g / np.where(norm > 0, norm, 1.0)
        return np.where(norm > 0, phi, np.rint(phi)), normal
    near = np.flatnonzero(_beside(phi > 0.5, walls))

    def psi(at: tuple[Array, ...]) -> Array:
        value = np.clip(phi[at], 1e-7, 1 - 1e-7)
        return np.asarray(0.5 * np.log(value / (1 - value)))

    cut, part, n = _planes(near, psi, phi.shape, spacing, walls)
    fraction = np.rint(phi)
    fraction.reshape(-1)[near[cut]] = part
    normal = np.zeros((phi.ndim, *phi.shape))
    normal.reshape(phi.ndim, -1)[:, near[cut]] = n.T
    return fraction, normal


def _steep(phi: Array, walls: Sequence[str]) -> bool:
    """Whether the interface is about a voxel wide, so that phi is a volume fraction."""
    at = np.nonzero((phi > 0.25) & (phi < 0.75))
    if not len(at[0]):
        return True
    squares = np.zeros(len(at[0]))
    for d, n in enumerate(phi.shape):
        ahead, behind = list(at), list(at)
        ahead[d] = (at[d] + 1) % n if walls[d] == "periodic" else np.minimum(at[d] + 1, n - 1)
        behind[d] = (at[d] - 1) % n if walls[d] == "periodic" else np.maximum(at[d] - 1, 0)
        squares += ((phi[tuple(ahead)] - phi[tuple(behind)]) / 2) ** 2
    return float(np.median(np.sqrt(squares))) > _STEEP


def _beside(inside: NDArray[np.bool_], walls: Sequence[str]) -> NDArray[np.bool_]:
    """Voxels with both phases among themselves and all their neighbours, corners included: only those can be cut."""
    some, all_ = inside, inside
    for d, n in enumerate(inside.shape):
        i = np.arange(n)
        edge = "wrap" if walls[d] == "periodic" else "clip"

        def beside(a: NDArray[np.bool_], step: int, i: Any = i, d: int = d, edge: Any = edge) -> NDArray[np.bool_]:
            return np.take(a, i + step, axis=d, mode=edge)

        some = some | beside(some, -1) | beside(some, 1)
        all_ = all_ & beside(all_, -1) & beside(all_, 1)
    return np.asarray(some & ~all_)


def _planes(
    near: NDArray[np.integer],
    psi: Callable[[tuple[Array, ...]], Array],
    shape: tuple[int, ...],
    space: tuple[float, ...],
    walls: Sequence[str],
) -> tuple[NDArray[np.bool_], Array, Array]:
    """The planes psi = 0 through voxels.

    The plane is moved for the volume that the curved interface cuts off: it lies off its tangent plane by half the
    curvature times the squared distance, whose mean over a voxel is h^2/12 per direction. Left out, a disk of radius R
    voxels is 1/(12 R^2) too large.

    Args:
        near: flat numbers of the voxels to look at. psi: its values at given indices.

    Returns:
        Which of them are cut, and of those the part where psi > 0, and the unit normals (cut, dim).
    """
    here = np.unravel_index(near, shape)

    def moved(*steps: tuple[int, int]) -> Array:
        """psi at neighbours, ``(axis, +-1)``; beyond a wall at the wall."""
        at = list(here)
        for d, s in steps:
            at[d] = (at[d] + s) % shape[d] if walls[d] == "periodic" else np.clip(at[d] + s, 0, shape[d] - 1)
        return psi(tuple(at))

    dim = len(shape)
    value = psi(here)
    ahead, behind = [moved((d, 1)) for d in range(dim)], [moved((d, -1)) for d in range(dim)]
    width = [2.0 if walls[d] == "periodic" else 2.0 - (here[d] == 0) - (here[d] == shape[d] - 1) for d in range(dim)]
    g = np.stack([(ahead[d] - behind[d]) / (np.maximum(width[d], 1.0) * space[d]) for d in range(dim)], axis=-1)
    norm = np.linalg.norm(g, axis=1)
    safe = np.where(norm > 0, norm, 1.0)
    n = g / safe[:, None]
    # psi curves by H over the tangent plane, P H P with P = 1 - n n^T; its mean over the voxel is that of h^2/12 per axis.
    straight = [(ahead[d] - 2 * value + behind[d]) / space[d] ** 2 for d in range(dim)]
    along = np.stack([straight[d] * n[:, d] for d in range(dim)], axis=-1)  # H n
    for d in range(dim):
        for e in range(d):
            cross = moved((d, 1), (e, 1)) - moved((d, 1), (e, -1)) - moved((d, -1), (e, 1)) + moved((d, -1), (e, -1))
            cross /= 4 * space[d] * space[e]
            along[:, d] += cross * n[:, e]
            along[:, e] += cross * n[:, d]
    across = np.sum(n * along, axis=1)
    bulge = np.zeros(len(near))
    for d in range(dim):
        bulge += (straight[d] - 2 * n[:, d] * along[:, d] + n[:, d] ** 2 * across) * space[d] ** 2 / 24
    bulge = np.clip(bulge / safe, -max(space) / 48, max(space) / 48)
    reach = 0.5 * np.sqrt(np.sum(np.square(space)))
    cut = (norm > 0) & (np.abs(value) < reach * norm)
    return cut, cut_fraction(n[cut], value[cut] / norm[cut] + bulge[cut], space), n[cut]


def _smoothed(phi: Array, walls: Sequence[str]) -> Array:
    """[1 2 1]/4 along every axis: steadies the normal of a volume fraction (Parker and Youngs 1992)."""
    for d in range(phi.ndim):
        if walls[d] == "periodic":
            phi = (np.roll(phi, 1, d) + 2 * phi + np.roll(phi, -1, d)) / 4
        else:
            pad = [(1, 1) if a == d else (0, 0) for a in range(phi.ndim)]
            wide = np.pad(phi, pad, mode="edge")
            n = phi.shape[d]
            below, here, above = (np.take(wide, range(k, k + n), axis=d) for k in range(3))
            phi = (below + 2 * here + above) / 4
    return phi


def cut_fraction(normal: Array, distance: Array, spacing: Sequence[float]) -> Array:
    """Part of a box on the positive side of a plane.

    Args:
        normal: unit normals (m, dim). distance: of the box's centre from the plane, positive on the positive side, (m,).
        spacing: edge lengths of the box (dim).
    """
    m = np.abs(normal) * np.asarray(spacing)
    total = m.sum(axis=1)
    # The formula divides by the product of the components; tiny ones are raised, which moves nothing within its accuracy.
    m = np.maximum(m, 2e-4 * total[:, None])
    total = m.sum(axis=1)
    dim = m.shape[1]
    side = np.abs(distance)
    alpha = np.clip(total / 2 - side, 0.0, None)  # of the smaller part
    volume = np.zeros(len(m))
    for corner in np.ndindex(*(2,) * dim):
        offset = alpha - m @ np.array(corner, float)
        volume += (-1) ** sum(corner) * np.clip(offset, 0.0, None) ** dim
    volume /= np.prod(m, axis=1) * [1, 1, 2, 6][dim]
    small = np.clip(volume, 0.0, 0.5)
    return np.asarray(np.where(distance >= 0, 1 - small, small))


def from_fields(
    fields: Any,
    rule: str = "laminate",
    spacing: Sequence[float] | None = None,
    boundary: str | Sequence[str] = "periodic",
    pieces: Pieces | None = None,
) -> Voxels:
    """Voxels of many phases from one indicator per phase, e.g. the order parameters of a polycrystal.

    Each voxel is a laminate of its two dominant phases; what a third has in it near a junction goes to these two. Where the two
    give no normal the voxel belongs to the dominant one.

    Args:
        fields: shape (phases, ...), each 1 in its phase and 0 elsewhere.
        pieces: of the fields, if each of them is a phase of its own.
    """
    if rule not in ("laminate", "sharp"):
        raise ConfigError("voxel", f"is {rule!r}; fields of several phases take laminate or sharp")
    stack = np.asarray(fields, float)
    if stack.ndim < 2:
        raise ConfigError("field", f"has the shape {stack.shape}; one image per phase is expected")
    for number, image in enumerate(stack):
        checked(image, f"field {number}")
    stack = np.clip(stack, 0.0, None)
    space = _spacing(stack[0], spacing)
    phases, shape = len(stack), stack.shape[1:]
    if phases == 1:
        return from_labels(np.zeros(shape, np.uint8), space, 1)
    order = (
        np.argpartition(stack, phases - 2, axis=0)[-2:]
        if phases > 2
        else np.array([np.zeros(shape, int), np.ones(shape, int)])
    )
    winner = stack.argmax(axis=0)
    second = np.where(order[0] == winner, order[1], order[0])
    walls = [boundary] * len(shape) if isinstance(boundary, str) else list(boundary)
    whole, count = (winner, phases) if pieces is None else (_piece_numbers(pieces, winner, walls), len(pieces.labels))
    if rule == "sharp":
        return from_labels(whole, space, count)
    best, next_ = (np.take_along_axis(stack, w[None], axis=0)[0] for w in (winner, second))
    near = np.flatnonzero(next_ > 0.02 * best)  # psi < 2: further away the interface cannot cut the voxel
    a, b = winner.ravel()[near], second.ravel()[near]

    def psi(at: tuple[Array, ...]) -> Array:
        va, vb = stack[(a, *at)], stack[(b, *at)]
        return np.asarray(0.5 * np.log(np.maximum(va, 1e-7) / np.maximum(vb, 1e-7)))

    cut, part, n = _planes(near, psi, shape, space, walls)
    at = near[cut]
    other = second
    if pieces is not None:  # of the second field the piece that the interface is one of
        beside = pieces.nearest(b[cut], at, [w == "periodic" for w in walls])
        part = np.where(beside < 0, 1.0, part)
        other = whole.copy()
        other.reshape(-1)[at] = np.where(beside < 0, whole.ravel()[at], beside)
    fraction = np.ones(stack[0].size)
    normal = np.zeros((len(shape), stack[0].size))
    fraction[at] = part
    normal[:, at] = n.T
    full_normal = normal.reshape(len(shape), *shape)
    return _laminates(fraction.reshape(shape), full_normal, other, whole, space, count)


def _piece_numbers(pieces: Pieces, winner: Array, walls: Sequence[str]) -> NDArray[np.integer]:
    """The piece of every voxel; one of the field that is the largest there, where the pieces come from a finer image."""
    number = pieces.number.astype(np.int64)
    astray = np.flatnonzero(pieces.owner[number] != winner)
    found = pieces.nearest(winner.ravel()[astray], astray, [w == "periodic" for w in walls])
    number.reshape(-1)[astray] = np.where(found < 0, number.ravel()[astray], found)
    return number


def coarsened(field: Array, axes: Sequence[int]) -> Array:
    """The field on half as many voxels along ``axes``: exact means over the coarse voxels, also where they cut fine ones."""
    out = np.asarray(field, float)
    for d in axes:
        out = cell_means(out, d, max(1, round(out.shape[d] / 2)))
    return out
