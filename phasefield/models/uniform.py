"""Sources that are the same in all cells, such as what a constant flux through walls supplies.

What such a source changes is the mean alone, the mode k = 0. There N = -q FT[...] of a conserved field is nothing, so that its
first channel has this place free: the source stands in it, and takes no channel, history and transform of its own. That holds
where constants are waves of the grid and modes are real; the two parts of a halved complex mode, of which only the real one would
have to be written, are alike to kernels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sympy as sp

from ..backend import Apply, Layout
from ..codegen import K2, Kernel, array_symbol
from .wall_data import COORDINATES
from .waves import SCALE

_EVEN = ("periodic", "no-flux")


def uniform(rate: sp.Expr, unknowns: Sequence[sp.Symbol], layout: Layout) -> bool:
    """Whether a source is the same in all cells and the mode k = 0 can hold it.

    Args:
        rate: the source. unknowns: symbols of the fields.
    """
    varies = any("@" in s.name or s in (*unknowns, *COORDINATES) for s in rate.free_symbols)
    return not varies and layout.parts == 1 and all(b in _EVEN for b in layout.grid.boundary)


def filled(array: str, channels: int, rates: Mapping[int, sp.Expr], scalars: Sequence[str]) -> list[Apply]:
    """What puts sources into the mode k = 0 of the transformed channels in ``array``, by the channel."""
    if not rates:
        return []
    outputs: list[sp.Expr | None] = [None] * channels
    for i, rate in rates.items():
        outputs[i] = sp.Piecewise((array_symbol("channels", i), K2 > 0), (rate / SCALE, True))
    kernel = Kernel("uniform", "spectral", {"channels": channels}, {"channels": outputs}, scalars=scalars)
    return [Apply(kernel, {"channels": array})]


def explicit(q: sp.Expr, channel: sp.Symbol) -> sp.Expr:
    """N of a conserved component from such a channel, with u' = -q dF/du."""
    return sp.Piecewise((-q, K2 > 0), (1, True)) * channel
