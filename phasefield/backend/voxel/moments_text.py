"""Source of the sums of products of strains of some loads, for ``moments_loops.py``: three loads with three at once.

A loop over the voxels of a row is vectorised only if the one over the rows of strains is written out. Nine sums of six values
then stay in registers, where one pair at a time would read every value once for each load.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

#: Loads that go together.
TILE = 3


class _Sum(NamedTuple):
    """Products of rows of strains (see ``moments_strains.py``): of ranges of them, and half of those of others."""

    rows: tuple[tuple[int, int], ...]
    halved: tuple[tuple[int, int], ...] = ()


#: The sums, by components of the field, of all polynomials and of the constant one alone: of traces, of normal and half the shear
#: strains, which is all that isotropic tensors need, and of shear strains. Of scalars one tells everything.
_FULL = {3: (_Sum(((0, 7),)), _Sum(((7, 10), (31, 43)), ((16, 19),)), _Sum(((16, 31),))), 1: (_Sum(((0, 3), (9, 13))),)}
_CONSTANT = {3: (_Sum(((0, 1),)), _Sum(((7, 10),), ((16, 19),)), _Sum(((16, 19),))), 1: (_Sum(((0, 3),)),)}


def tile_functions(components: int) -> str:
    """Python source of ``tile(x, a, b, m, d, o)``, and the same with ``_own`` and ``_shear``, of all polynomials if ``FULL``.

    They write, for the loads whose rows begin at ``a + i width`` and ``b + j width`` of x, the sum number k from place o of
    the row ``(k TILE + i) TILE + j`` of d on, for m voxels; ``_own`` for a = b and j <= i alone. The last of three sums is
    ``_shear``'s, which does it for all i and j. And the constant ``TILE``. The text knows ``_LINE``, ``_ROWS`` and ``_LONG``.
    """
    every = [(i, j) for i in range(TILE) for j in range(TILE)]
    lower = [(i, j) for i, j in every if j <= i]
    out = [f"TILE = {TILE}", "", ""]
    for extent, sums in (("full", _FULL[components]), ("constant", _CONSTANT[components])):
        first = sums[:2]
        out += [*_function(extent, first, 0, every), *_function(f"{extent}_own", first, 0, lower)]
        out += _function(f"{extent}_shear", sums[2:], 2, every)
    for kind in ("", "_own", "_shear"):
        out += ["@_function", f"def tile{kind}(x, a, b, m, d, o):", "    if FULL:"]
        out += [
            f"        tile_full{kind}(x, a, b, m, d, o)",
            "    else:",
            f"        tile_constant{kind}(x, a, b, m, d, o)",
            "",
            "",
        ]
    return "\n".join(out)


def _function(name: str, sums: Sequence[_Sum], number: int, pairs: Sequence[tuple[int, int]]) -> list[str]:
    """Of sums from a number on, for some pairs of loads."""
    out = ["@_loop", f"def tile_{name}(x, a, b, m, d, o):"]
    own = len(pairs) < TILE * TILE
    for k, each in enumerate(sums, start=number):
        out.append("    for z in range(uint64(m)):")
        begun = False
        for ranges, last in ((each.halved, True), (each.rows, False)):
            for row in (row for low, high in ranges for row in range(low, high)):
                for i in range(TILE):
                    at = f"uint64(({i} * _ROWS + {row}) * _LINE) + z"
                    out.append(
                        f"        p{i} = x[a + {at}]" if own else f"        p{i}, q{i} = x[a + {at}], x[b + {at}]"
                    )
                other = "p" if own else "q"
                out += [f"        t{i}{j} {'+=' if begun else '='} p{i} * {other}{j}" for i, j in pairs]
                begun = True
            if last and ranges:
                out += [f"        t{i}{j} *= REAL(0.5)" for i, j in pairs]
        out += [f"        d[o + uint64({(k * TILE + i) * TILE + j} * _LONG) + z] = t{i}{j}" for i, j in pairs]
    return [*out, *([] if sums else ["    return"]), "", ""]
