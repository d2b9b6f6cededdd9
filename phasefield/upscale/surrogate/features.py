"""What the regression is given of an image and its phases: an estimate, and numbers that do not depend on the axes.

A block's target is the free matrix S (see `bracket`). Its estimate is the middle between the S of the two energies of third
order; the half distance between them says how much is open. What is left to learn is split into numbers that are the same in all
axes (`Block.scalars`), which a Gaussian process gives from invariants, and the rest, entry by entry a multiple of the same entry
of the estimate. Both change with the axes as the tensor does, exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...mechanics import tensors
from ...mechanics.tensors import Array
from .blocks import Block, blocks
from .bracket import Mixture, logit
from .moments import Moments

#: Added to the half distance that the scalars are measured in: the voxels' own part of what is left.
FLOOR = 0.05
_LEAST = 1e-6


@dataclass(frozen=True)
class Estimate:
    """Of one block.

    Attributes:
        middle, half: of S, (n, n). inputs: of the regression, without dimension and the same in all axes.
    """

    block: Block
    mixture: Mixture
    middle: Array
    half: Array
    inputs: Array

    @property
    def scale(self) -> Array:
        """What the scalars are measured in, (channels,)."""
        return np.maximum(self.block.scalars(self.half), 0) + FLOOR

    def terms(self) -> Array:
        """What the rest is a linear combination of, (terms, n, n): parts of the estimate that change with the axes, times
        invariants.
        """
        share, contrast = self.inputs[0], self.inputs[1]
        factors = np.array([1.0, share, contrast, share * share, share * contrast, contrast * contrast])
        parts = np.stack([self.block.rest(self.middle), self.block.rest(self.half)])
        return np.asarray((factors[:, None, None, None] * parts).reshape(-1, *self.middle.shape))


@dataclass(frozen=True)
class Query:
    """Two isotropic phases in an image.

    Attributes:
        first, second: their tensors, (6, 6) Mandel or (3, 3). moments: of the image, of the order that a block needs or above.
    """

    first: Array
    second: Array
    moments: Moments

    @property
    def order(self) -> int:
        return 4 if len(self.first) == 6 else 2

    @property
    def blocks(self) -> tuple[Block, ...]:
        return blocks(self.order, self.moments.dim)

    @property
    def _ordered(self) -> tuple[Array, Array, float]:
        """The softer and the stiffer phase, and the fraction of the latter."""
        c = self.moments.fraction
        if np.trace(self.second) >= np.trace(self.first):
            return self.first, self.second, c
        return self.second, self.first, 1 - c

    @property
    def ranges(self) -> dict[str, float]:
        """The numbers whose range is that of the surrogate, by names that a user knows."""
        soft, stiff, fraction = self._ordered
        named = {"fraction of the stiffer phase": fraction, "wave number (rad/voxel)": self.moments.fineness}
        if self.order == 2:
            return named | {"contrast": stiff[0, 0] / soft[0, 0]}
        a, b = tensors.isotropic_moduli(soft), tensors.isotropic_moduli(stiff)
        return named | {
            "contrast of E": b["E"] / a["E"],
            "Poisson's ratio of the softer phase": a["nu"],
            "Poisson's ratio of the stiffer phase": b["nu"],
        }

    @property
    def uniform(self) -> bool:
        return not 1e-9 < self.moments.fraction < 1 - 1e-9

    def estimate(self, block: Block) -> Estimate:
        moments = self.moments.gradients if block.order == 2 else self.moments
        mixture = Mixture(block.of(self.first), block.of(self.second), self.moments.fraction)
        lower, upper = map(logit, mixture.bracket(moments))
        middle, half = (lower + upper) / 2, (upper - lower) / 2
        soft, stiff, fraction = self._ordered
        channels = block.scalars(np.stack([block.of(soft), block.of(stiff), mixture.crossed]))[:, :2]
        n = len(middle)
        inputs = [
            [np.log(fraction / (1 - fraction))],
            np.log(channels[1] / channels[0]),
            np.log(channels[2, 1:] / channels[2, 0]),
            block.scalars(middle),
            np.log(np.maximum(block.scalars(half), _LEAST)),
            [np.linalg.norm(block.rest(m)) / n for m in (middle, half)],
            [self.moments.fineness],
        ]
        return Estimate(block, mixture, middle, half, np.concatenate(inputs))


def material_class(dim: int, order: int) -> str:
    """What a surrogate is for, in words."""
    body = "a body that does not vary along z" if dim == 2 else "three dimensions"
    return f"two isotropic phases, {body}, {'stiffness' if order == 4 else 'a property of order 2'}"


def extremes(queries: Sequence[Query]) -> dict[str, tuple[float, float]]:
    """The ranges of many."""
    rows = [q.ranges for q in queries]
    return {name: (min(r[name] for r in rows), max(r[name] for r in rows)) for name in rows[0]}


def outside(ranges: Mapping[str, Sequence[float]], query: Query) -> list[str]:
    """What of a query lies beyond ranges, by more than a fiftieth of their width."""
    out = []
    for name, value in query.ranges.items():
        low, high = ranges[name]
        room = (high - low) / 50 + 1e-9 * abs(high)
        if not low - room <= value <= high + room:
            out.append(f"{name} is {value:.4g}, trained with {low:.4g} to {high:.4g}")
    return out
