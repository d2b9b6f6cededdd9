"""Source of the sums of products of strains of some loads, for ``moments_loops.py``: three loads with three at once.

A loop over the voxels of a row is vectorised only if the one over the rows of strains is written out. Nine sums of six values
then stay in registers, where one pair at a time would read every value once for each load.
"""

from __future__ import annotations

#: Loads that go together.
TILE = 3
#: Ranges of rows of strains (see ``moments_strains.py``) whose products belong to one sum, by components of the field: of all
#: polynomials, and of the constant one alone.
_FULL = {3: ((0, 7), (4, 16), (16, 31)), 1: ((0, 10),)}
_CONSTANT = {3: ((0, 1), (7, 10), (16, 19)), 1: ((0, 3),)}


def tile_functions(components: int) -> str:
    """Python source of ``tile_full(x, a, b, m, d)`` and ``tile_constant``.

    They write, for the loads whose rows begin at ``a + i width`` and ``b + j width`` of x, the sum number k in the row
    ``(k TILE + i) TILE + j`` of d, for m voxels; and the constant ``TILE``. The text knows ``_LINE`` and ``_ROWS``.
    """
    kinds = (("full", _FULL[components]), ("constant", _CONSTANT[components]))
    return "\n".join([f"TILE = {TILE}", "", "", *(text for name, ranges in kinds for text in _function(name, ranges))])


def _function(name: str, ranges: tuple[tuple[int, int], ...]) -> list[str]:
    out = ["@_loop", f"def tile_{name}(x, a, b, m, d):"]
    pairs = [(i, j) for i in range(TILE) for j in range(TILE)]
    for k, (low, high) in enumerate(ranges):
        out.append("    for z in range(uint64(m)):")
        for row in range(low, high):
            for i in range(TILE):
                at = f"uint64(({i} * _ROWS + {row}) * _LINE) + z"
                out.append(f"        p{i}, q{i} = x[a + {at}], x[b + {at}]")
            out += [f"        t{i}{j} {'=' if row == low else '+='} p{i} * q{j}" for i, j in pairs]
        out += [f"        d[uint64({k * len(pairs) + n} * _LINE) + z] = t{i}{j}" for n, (i, j) in enumerate(pairs)]
    return [*out, "", ""]
