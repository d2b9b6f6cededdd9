"""Cut voxels between phases of high contrast, merged with their neighbours.

A laminate voxel between phases of very different size is stiff along the interface and soft across it. There are about as
many nodes on its soft side that no pure voxel holds as there are such voxels, so at infinite contrast these nodes follow any
strain along the interface at no cost, or, hung up between stiff voxels, none: the whole layer of cut voxels turns void or
rigid, an error of the first order that grows with the contrast. What helps are voxels that belong to one phase, as in cut-cell
methods (small cells merge with their neighbours; Johansen and Colella, J. Comput. Phys. 147 (1998) 60):

- The voxel goes over to the phase that fills most of it, in part at finite contrast: in a voxel mostly stiff the softer direction
  is raised, ``C = (1 - t) C_laminate + t C_arithmetic``, in one mostly soft the stiffer direction is lowered, ``S = (1 - t)
  S_laminate + t S_harmonic``; both leave the other direction as it is.
- What it loses of the stiffness along the interface (of the compliance across it) is added to the neighbours of the phase
  that the loss was of: ``C += g C_phase``, ``S += g S_phase``. Layers along the axes stay exact.
- The boundary of voxels of one phase is a staircase, which acts like a plane up to a quarter of a voxel off its mean. How far
  was measured on periodic layers of ten inclinations, across a conductor and along a void; more is given to neighbours to make
  up for it (`_staircase`). What is left is below 0.02 voxels, on two of them 0.05.

``t`` is zero up to a contrast of `_LAMINATES`, where laminates are as accurate as anything found, and rises to 1: the tensors
are continuous in the contrast down to voids and up to rigid phases.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..backend.voxel import pack, unpack
from ..mechanics import tensors
from ..mechanics.mixing import mix
from ..mechanics.tensors import Array
from .mixture import Mixture

#: Contrast up to which cut voxels are laminates: in conduction they are the better ones up to 40, in elasticity up to 100.
_LAMINATES = 50.0
#: How closely what is lost keeps to the direction of the normal: power of the cosine.
_DIRECTED = 4
#: Shares of a voxel that are the tail of an interface and those that are a layer of their own, where no neighbour takes them.
_TAIL = (0.1, 0.3)
#: Contrast that stands for any above it where a number is needed.
_INFINITE = 1e12
#: Planes of neighbours that voxels and the plane beyond theirs depend on: they gain from those beside them, who look at theirs.
_BEYOND = 3
#: Entries mixed at once.
_CHUNK = 1 << 14


@dataclass(frozen=True)
class Merged(Mixture):
    """Voxels for one property.

    Attributes:
        merged: t of every entry. stiffer, softer: what its winning phase gains, in volumes of a voxel along every axis, (entries,
            3), from neighbours where that phase is the stiffer one, and from those where it is the softer one.
        loss: what an entry gave away of the phase that fills less of it. partner: the other phase of an entry, or of the
            neighbours that a pure one gains from. sizes: of the phases' tensors.
    """

    merged: Array
    stiffer: Array
    softer: Array
    loss: Array
    partner: NDArray[np.integer]
    sizes: Array

    BY_ENTRY: ClassVar[tuple[str, ...]] = (*Mixture.BY_ENTRY, "merged", "stiffer", "softer", "loss", "partner")

    @property
    def cut(self) -> NDArray[np.bool_]:
        """Whether an entry is more of a laminate than of one phase; voxel by voxel, for no kink at any contrast."""
        return super().cut & (self.loss < 0.5)

    @property
    def _gains(self) -> NDArray[np.bool_]:
        return np.asarray(self.stiffer.any(axis=1) | self.softer.any(axis=1))

    @property
    def winners(self) -> NDArray[np.integer]:
        """The phase that fills most of an entry."""
        return np.where(self.fraction >= 0.5, self.first, self.second)

    @property
    def losers(self) -> NDArray[np.integer]:
        return np.where(self.fraction >= 0.5, self.second, self.first)

    def tensors(self, pure: Array) -> Array:
        return unpack(self.packed(pure))

    def packed(self, pure: Array) -> Array:
        out = super().packed(pure)
        changed = np.flatnonzero((self.merged > 0) | self._gains)
        for at in range(0, len(changed), _CHUNK):
            some = changed[at : at + _CHUNK]
            out[some] = pack(self._changed(some, pure))
        return out

    def _changed(self, some: NDArray[np.integer], pure: Array) -> Array:
        """Tensors of some entries."""
        a, b = pure[self.first[some]], pure[self.second[some]]
        f, t = self.fraction[some][:, None, None], self.merged[some][:, None, None]
        sizes = self.sizes
        winner, other = self.winners[some], self.losers[some]
        out = mix("laminate", a, b, self.fraction[some], self.normal[some])
        stiff = (sizes[winner] >= sizes[other])[:, None, None]
        out += np.where(stiff, t * (f * a + (1 - f) * b - out), 0.0)
        out += _scaled(pure[winner], self.stiffer[some])
        soft = np.flatnonzero(~stiff[:, 0, 0] | self.softer[some].any(axis=1))
        void = sizes[winner[soft]] <= 0
        out[soft[void]] = 0.0
        soft = soft[~void]
        there = np.flatnonzero(np.einsum("pii->i", pure) > 0)  # of a sheet the plane alone
        block = np.ix_(soft, there, there)
        inverse = np.zeros_like(pure)
        solid = np.ix_(np.flatnonzero(sizes > 0), there, there)
        inverse[solid] = np.linalg.inv(pure[solid])
        own = _scaled(inverse[winner[soft]], self.softer[some][soft])[:, there[:, None], there]
        harmonic = f[soft] * inverse[self.first[some][soft]] + (1 - f[soft]) * inverse[self.second[some][soft]]
        lower = np.linalg.inv(out[block])
        lowered = t[soft] * (harmonic[:, there[:, None], there] - lower)
        lower += np.where(stiff[soft], 0.0, lowered) + own
        mixed = np.linalg.inv(lower)
        out[block] = (mixed + np.swapaxes(mixed, 1, 2)) / 2
        return out

    def stresses(self, stiffness: Array, strain: Array) -> Array:
        """As in `Mixture`. Where voxels are merged, from the one strain that two phases share without a fluctuation (Levin): an
        entry with the stiffness C has ``s0 - C e0`` if ``s0 = C_i (e0 - strain_i)`` in both of its phases.
        """
        out = super().stresses(stiffness, strain)
        stress = -np.einsum("pij,pj->pi", stiffness, strain)
        table = self.tensors(stiffness)
        pairs = np.stack([self.winners, self.partner], axis=1)
        for a, b in np.unique(pairs[self.cut & (pairs[:, 0] != pairs[:, 1])], axis=0):
            uniform = np.linalg.pinv(stiffness[a] - stiffness[b], rcond=1e-10, hermitian=True) @ (stress[b] - stress[a])
            here = self.cut & (pairs == (a, b)).all(axis=1)
            out[here] = stiffness[a] @ uniform + stress[a] - table[here] @ uniform
        return out


def merged(voxels: Mixture, pure: Array, periodic: bool = True, full: bool = True) -> Mixture:
    """Voxels for a property with the tensors ``pure`` (phases, n, n); the same ones if no two phases differ by much.

    Of several processes both are those of the process's planes, the result with a margin of one.

    Args:
        periodic: whether voxels at opposite faces are neighbours. full: whether voxels of one phase take all Gauss points.
    """
    if voxels.rule != "laminate":
        return voxels.widened(1)
    voxels, sizes = voxels.widened(_BEYOND), _sizes(pure)
    low, high = (pick(sizes[voxels.first], sizes[voxels.second]) for pick in (np.minimum, np.maximum))
    contrast = np.divide(high, low, out=np.full(len(low), np.inf), where=low > 0)
    share = np.where((high > 0) & (voxels.first != voxels.second), np.maximum(0.0, 1 - _LAMINATES / contrast), 0.0)
    if not voxels.planes.any(share.any()):
        return voxels.narrowed(1)
    return _with_neighbours(voxels, share, np.minimum(contrast, _INFINITE), sizes, periodic, full).narrowed(1)


def _sizes(pure: Array) -> Array:
    """Geometric means of the eigenvalues: a nearly incompressible phase is as stiff as it resists shear."""
    largest = np.abs(pure).max(axis=(1, 2))
    scaled = pure / np.where(largest > 0, largest, 1.0)[:, None, None]
    return np.asarray(largest * np.maximum(np.linalg.det(scaled), 0.0) ** (1 / pure.shape[-1]))


def preconditioner(voxels: Mixture, table: Array) -> str:
    """That of a cell problem: merged voxels hold stiffnesses between those of the phases, but no stiff shell on soft springs."""
    bare = ~table.any(axis=1) & (voxels.counts > 0)
    return "green-jacobi" if isinstance(voxels, Merged) and not voxels.planes.any(bare.any()) else "auto"


def _with_neighbours(
    voxels: Mixture, share: Array, contrast: Array, sizes: Array, periodic: bool, full: bool
) -> Merged:
    where = np.full(len(voxels.first), -1)
    where[voxels.index.ravel()] = np.arange(voxels.index.size)  # of laminates there is one voxel an entry
    givers = np.flatnonzero((share > 0) & (where >= 0))
    winners = np.where(voxels.fraction >= 0.5, voxels.first, voxels.second)
    losers = np.where(voxels.fraction >= 0.5, voxels.second, voxels.first)
    f = np.minimum(voxels.fraction, 1 - voxels.fraction)[givers]  # of the phase that fills less
    c = contrast[givers]
    loss = np.zeros(len(share))
    moved = share[givers] * f * (1 - f) * (c - 1) ** 2 / c
    moved /= 1 + moved
    loss[givers] = moved
    # What is lost, in volumes of the phase that it is of: along the interface (across it) the voxel has f + (1 - f)/c of them.
    hard = sizes[losers[givers]] >= sizes[winners[givers]]
    amount = (moved * (f + (1 - f) / c))[:, None] * _staircase(voxels.normal[givers], hard, full)
    sign = np.where(losers[givers] == voxels.second[givers], 1.0, -1.0)  # normals point to the second phase
    towards = sign[:, None] * voxels.normal[givers]
    shape, dim = voxels.index.shape, voxels.index.ndim
    around = [periodic and not (d == 0 and voxels.planes.shared) for d in range(dim)]
    here = np.unravel_index(where[givers], shape)
    takers, weights = [], []
    for step in product((-1, 0, 1), repeat=dim):
        if not any(step):
            continue
        at = [h + s for h, s in zip(here, step, strict=True)]
        inside = np.ones(len(givers), bool)
        for i, n, wrap in zip(at, shape, around, strict=True):
            if not wrap:
                inside &= (i >= 0) & (i < n)
        taker = np.ravel_multi_index([i % n for i, n in zip(at, shape, strict=True)], shape)
        length = float(np.linalg.norm(step))
        cosine = towards[:, :dim] @ np.array(step) / length
        fits = inside & (winners[voxels.index.ravel()[taker]] == losers[givers])
        takers.append(taker)
        weights.append(np.where(fits, np.maximum(cosine, 0.0) ** _DIRECTED / length**2, 0.0))
    weight = np.array(weights)
    total = weight.sum(axis=0)
    # Where no neighbour takes it the voxel keeps it, as in layers thinner than a voxel, but for the tails of an interface
    # that is no steeper than that, and for what has no end.
    lonely = (total == 0) & (c < _INFINITE)
    goes = 1 - np.clip((f[lonely] - _TAIL[0]) / (_TAIL[1] - _TAIL[0]), 0, 1)
    share = share.copy()
    share[givers[lonely]] *= goes
    loss[givers[lonely]] *= goes
    part = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
    stiffer, softer = np.zeros((2, voxels.index.size, 3))
    partner = np.zeros(voxels.index.size, int)
    for taker, shares in zip(takers, part, strict=True):
        for gain, which in ((stiffer, hard & (shares > 0)), (softer, ~hard & (shares > 0))):
            np.add.at(gain, taker[which], shares[which, None] * amount[which])
            partner[taker[which]] = winners[givers[which]]
    return _expanded(voxels, share, stiffer, softer, loss, partner, sizes)


def _expanded(
    voxels: Mixture,
    share: Array,
    stiffer: Array,
    softer: Array,
    loss: Array,
    partner: NDArray[np.integer],
    sizes: Array,
) -> Merged:
    """Pure voxels that gain something get entries of their own."""
    flat = voxels.index.ravel()
    gaining = np.flatnonzero(stiffer.any(axis=1) | softer.any(axis=1))
    fresh = gaining[flat[gaining] < voxels.phases]
    count = len(voxels.first)
    index = flat.copy()
    index[fresh] = count + np.arange(len(fresh))
    index = index.astype(voxels.index.dtype)
    own = flat[fresh]

    def extended(values: Array, more: Array) -> Array:
        return np.concatenate([values, more])

    def gained(values: Array) -> Array:
        out = np.zeros((count + len(fresh), 3))
        out[index[gaining]] = values[gaining]
        return out

    first, second = extended(voxels.first, voxels.first[own]), extended(voxels.second, voxels.second[own])
    fraction = extended(voxels.fraction, np.ones(len(fresh)))
    other = np.where(fraction >= 0.5, second, first)
    other[index[fresh]] = partner[fresh]
    return Merged(
        index.reshape(voxels.index.shape),
        first,
        second,
        fraction,
        extended(voxels.normal, np.zeros((len(fresh), 3))),
        voxels.spacing,
        voxels.phases,
        voxels.rule,
        extended(share, np.zeros(len(fresh))),
        gained(stiffer),
        gained(softer),
        extended(loss, np.zeros(len(fresh))),
        other,
        sizes,
        planes=voxels.planes,
    )


def _staircase(normal: Array, stiff: NDArray[np.bool_], full: bool) -> Array:
    """What is added to neighbours over what was lost, along every axis, for normals (m, 3).

    Nothing more is added along an axis that lies in the interface, where there are no steps.

    Args:
        stiff: whether it is the stiffer phase that the loss was of. full: see `merged`.
    """
    sizes = np.abs(normal)
    small, middle, large = np.sort(sizes, axis=1).T
    slope = np.divide(middle, large, out=np.zeros_like(large), where=large > 0)
    side = np.divide(small, middle, out=np.zeros_like(large), where=middle > 0)
    of_stiff = 2 * slope * (1 - slope) * (1 - slope / 2) * (1 - 0.4 * side)
    of_soft = 4.5 * slope * (1 - slope) + 1.9 * slope**2 + 1.25 * side * np.minimum(1, 2 * slope)
    if not full:  # conduction across a conductor is dual to that along a void, and so is its staircase
        of_stiff = of_soft = 2.8 * slope * (1 - slope) * (1 - side / 4) + 1.4 * slope * side * (1 - side)
    stepped = np.minimum(
        1.0, 2 * np.divide(sizes, middle[:, None], out=np.zeros_like(sizes), where=middle[:, None] > 0)
    )
    return np.asarray(1 + np.where(stiff, of_stiff, of_soft)[:, None] * stepped)


def _scaled(tensor: Array, gain: Array) -> Array:
    """Tensors (m, n, n) times a gain (m, 3) along every axis, one that keeps them positive."""
    if tensor.shape[-1] == 3:
        root = np.sqrt(gain)
    else:
        fourth = gain**0.25
        root = np.stack([fourth[:, i] * fourth[:, j] for i, j in tensors.PAIRS], axis=1)
    return np.asarray(root[:, :, None] * tensor * root[:, None, :])
