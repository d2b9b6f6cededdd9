"""The blocks that a tensor falls into, and the tensor put together of them.

In three dimensions a tensor is one block. A body that does not vary along z has one of strains (gradients) in the plane, one of
antiplane shear, and what follows from these exactly: with two phases the strain along z acts in the plane like a stress-free
strain of two values, which a uniform field can take up (Hill, J. Mech. Phys. Solids 12 (1964) 199; Levin 1967).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import permutations, product

import numpy as np

from ...mechanics.tensors import PAIRS, PLANE, Array, rotation_mandel
from .bracket import Mixture

_ALONG = 2  # zz among the components


@dataclass(frozen=True)
class Block:
    """A block of a tensor.

    Attributes:
        name: what its loads are. order: of its moments, 4 for strains, 2 for gradients. dim: axes of the image.
        at: places of its components in the whole tensor.
    """

    name: str
    order: int
    dim: int
    at: tuple[int, ...]

    def of(self, tensor: Array) -> Array:
        return np.asarray(tensor[..., self.at, :][..., self.at])

    @cached_property
    def group(self) -> Array:
        """The permutations and reflections of the image's axes, as they act on the components: (8 or 48, n, n)."""
        return group(self.dim, self.order)

    @cached_property
    def channels(self) -> Array:
        """Projectors (channels, n, n), the matrices that are the same in all these axes: bulk and two kinds of shear, or one."""
        n = len(self.at)
        if self.order == 2:
            return np.eye(n)[None]
        normal = np.arange(n) < self.dim
        bulk = np.outer(normal, normal) / self.dim
        return np.stack([bulk, np.diag(normal.astype(float)) - bulk, np.diag((~normal).astype(float))])

    def scalars(self, matrices: Array) -> Array:
        """What of matrices (..., n, n) does not change with the axes: (..., channels)."""
        traces = np.trace(self.channels, axis1=1, axis2=2)
        return np.asarray(np.einsum("cij,...ij->...c", self.channels, matrices) / traces)

    def isotropic(self, scalars: Array) -> Array:
        """The matrices with these scalars."""
        return np.asarray(np.einsum("...c,cij->...ij", scalars, self.channels))

    def rest(self, matrices: Array) -> Array:
        """What does change with the axes."""
        return np.asarray(matrices - self.isotropic(self.scalars(matrices)))

    @cached_property
    def orbits(self) -> list[tuple[tuple[int, int], ...]]:
        """Entries on and above the diagonal that the axes' exchange carries into each other, up to signs."""
        moves = np.abs(self.group).argmax(axis=2)
        left = {(a, b) for a in range(len(self.at)) for b in range(a, len(self.at))}
        out = []
        while left:
            a, b = min(left)
            orbit = tuple(sorted({(min(m[a], m[b]), max(m[a], m[b])) for m in moves.tolist()}))
            left -= set(orbit)
            out.append(orbit)
        return out


@lru_cache
def group(dim: int, order: int) -> Array:
    """Signed permutations of the axes, as they act on vectors or on Mandel strains of ``dim`` axes."""
    out = []
    for order_ in permutations(range(dim)):
        for signs in product((1.0, -1.0), repeat=dim):
            q = np.eye(3)
            q[:dim, :dim] = np.eye(dim)[list(order_)] * np.array(signs)[:, None]
            out.append(q)
    turns = np.stack(out)
    if order == 2:
        return turns[:, :dim, :dim]
    at = [k for k, pair in enumerate(PAIRS) if max(pair) < dim]
    return np.asarray(np.rint(rotation_mandel(turns)[:, at][:, :, at]))


@lru_cache
def blocks(order: int, dim: int) -> tuple[Block, ...]:
    """Those of a property's tensor of an order (4: stiffness, 2: conductivity) for images of 2 or 3 axes."""
    if dim == 3:
        return (Block("all", order, 3, tuple(range(6 if order == 4 else 3))),)
    if order == 2:
        return (Block("in-plane", 2, 2, (0, 1)),)
    return Block("in-plane", 4, 2, PLANE), Block("antiplane", 2, 2, (4, 3))


def assembled(first: Array, second: Array, fraction: float, dim: int, found: Mapping[str, Array]) -> Array:
    """The whole tensor of two isotropic phases from the X of its blocks, by name."""
    order = 4 if len(first) == 6 else 2
    mean = (1 - fraction) * first + fraction * second
    if dim == 3:
        return Mixture(first, second, fraction).effective(found["all"])
    out = np.zeros_like(mean)
    for block in blocks(order, dim):
        mixture = Mixture(block.of(first), block.of(second), fraction)
        out[np.ix_(block.at, block.at)] = mixture.effective(found[block.name])
    out[_ALONG, _ALONG] = mean[_ALONG, _ALONG]
    if order == 4:
        plane = list(PLANE)
        mixture = Mixture(first[np.ix_(plane, plane)], second[np.ix_(plane, plane)], fraction)
        y = np.eye(len(plane)) - found["in-plane"]
        g = np.sqrt(fraction * (1 - fraction)) * mixture.root @ (second - first)[plane, _ALONG]
        out[plane, _ALONG] = out[_ALONG, plane] = mean[plane, _ALONG] - mixture.factor.T @ y @ g
        out[_ALONG, _ALONG] -= g @ y @ g
    return out
