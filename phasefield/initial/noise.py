"""Random numbers and sums that are the same for every part of the grid, on every machine."""

from __future__ import annotations

import math
from collections.abc import Callable
from hashlib import blake2b

import numpy as np

from .options import CHUNK, Array, Target


def cell_noise(seed: int, stream: str, start: int, count: int, distribution: str) -> Array:
    """Random numbers of the cells ``start <= i < start + count``; number ``i`` depends on ``(seed, stream, i)`` only.

    The generator is Philox4x64-10 (Salmon et al. 2011, doi:10.1145/2063384.2063405), keyed by the seed and BLAKE2b of
    the stream and advanced to the first cell. Uniform numbers are the top 53 bits of raw value ``i`` and the same on
    every platform; normal ones are Box-Muller transforms of raw values ``2i`` and ``2i + 1``, the same up to rounding.

    Args:
        seed: any integer, taken modulo 2**64.
        stream: name of the sequence; noise uses ``initial.<field>/<component>``, the component counted from 1.
        start: global index of the first cell, in C order.
        count: number of cells.
        distribution: ``uniform`` in [-1, 1) or ``normal`` with mean 0 and variance 1.

    Returns:
        Array of shape ``(count,)``.
    """
    per_cell = 2 if distribution == "normal" else 1
    skipped, offset = divmod(start * per_cell, 4)
    digest = blake2b(stream.encode(), digest_size=8).digest()
    generator = np.random.Philox(key=np.array([seed % 2**64, int.from_bytes(digest, "little")], dtype=np.uint64))
    generator.advance(skipped)  # in blocks of four raw values
    raw = generator.random_raw(offset + count * per_cell)[offset:]
    integers = (raw >> np.uint64(11)).astype(np.float64)
    if distribution == "uniform":
        return integers * 2.0**-52 - 1.0
    radius = np.sqrt(-2.0 * np.log((integers[0::2] + 1.0) * 2.0**-53))  # in (0, 1]: the logarithm is finite
    return radius * np.cos(integers[1::2] * (2.0 * math.pi * 2.0**-53))


def uniform_noise(target: Target, stream: str, start: int, count: int) -> Array:
    """Random numbers in [0, 1), the same for all fields but different in each term of a sum."""
    term = target.key.removeprefix(f"initial.{target.name}")
    return 0.5 + 0.5 * cell_noise(target.seed, f"{stream}{term}", start, count, "uniform")


def fixed_order_mean(values: Callable[[int, int], Array], size: int) -> float:
    """Mean by pairwise summation in a fixed order: np.mean follows the vector width of the processor.

    The second half is added to the first, to it the last number if that is over, and so on until one number is left.

    Args:
        values: gives the numbers ``start <= i < stop``; it is asked for a few thousand at a time. size: how many there are.
    """
    sizes = [size]
    while sizes[-1] > CHUNK:
        sizes.append(sizes[-1] // 2)

    def folded(level: int, start: int, stop: int) -> Array:
        if level == 0:
            return values(start, stop)
        half = sizes[level]
        total = folded(level - 1, start, stop) + folded(level - 1, half + start, half + stop)
        if start == 0 and sizes[level - 1] % 2:
            total[:1] += folded(level - 1, 2 * half, 2 * half + 1)
        return total

    step = max(1, CHUNK >> 4)
    parts = [folded(len(sizes) - 1, i, min(i + step, sizes[-1])) for i in range(0, sizes[-1], step)]
    total = np.concatenate(parts)
    while total.size > 1:
        half = total.size // 2
        rest = total[:half] + total[half : 2 * half]
        rest[: total.size % 2] += total[2 * half :]
        total = rest
    return float(total[0]) / size
