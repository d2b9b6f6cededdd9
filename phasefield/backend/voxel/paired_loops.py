"""The loops of `paired`, in the language of `phasefield.backend.compiler`, with the constants of ``loops.py``.

Contexts begin as those there, and fields lie as there. The functions of `element.paired_functions` are put in front of the last
part.
"""

# ruff: noqa: F821
# mypy: disable-error-code="name-defined"
from __future__ import annotations


@_function
def _context(address):
    return array_at(address, (20,), int64)


@_function
def _padded(at, address, load):
    row = 2 * (at[2] // 2 + 1)
    size = COMPONENTS * at[0] * at[1] * row * BYTES
    return array_at(address + load * size, (COMPONENTS, at[0], at[1], row), REAL)


@_function
def _paired(at, address, pair, stride):
    """The complex fields of a pair of loads, planes ``stride`` complex numbers apart."""
    size = COMPONENTS * at[0] * 2 * stride * BYTES
    return array_at(address + pair * size, (COMPONENTS, at[0], 2 * stride), REAL)


@_loop
def _pair(lo, hi, c, nz, weight, a, b, fields):
    for i in range(lo, hi):
        for j in range(a.shape[2]):
            first = uint64(2 * j * nz)
            for z in range(uint64(nz)):
                fields[c, i, first + 2 * z] = a[c, i, j, z]
                fields[c, i, first + 2 * z + 1] = weight * b[c, i, j, z]


@_loop
def _unpair(lo, hi, c, nz, of_even, of_odd, a, b, fields):
    even, odd = 0.0, 0.0
    for i in range(lo, hi):
        for j in range(a.shape[2]):
            first = uint64(2 * j * nz)
            for z in range(uint64(nz)):
                re, im = of_even * fields[c, i, first + 2 * z], of_odd * fields[c, i, first + 2 * z + 1]
                even += a[c, i, j, z] * re
                odd += b[c, i, j, z] * im
                a[c, i, j, z] = re
                b[c, i, j, z] = im
    return even, odd


@_function
def _norms(at):
    """Sums of squares of every load, by component and tile."""
    return array_at(at[8], (at[3], COMPONENTS * at[11]), float64)


@_function
def _sum(row):
    total = 0.0
    for k in range(row.size):
        total += row[k]
    return total


@_function
def _weights(at, pair):
    """What the second load of a pair is multiplied by to be of the first one's size; what both are multiplied by to have their
    own again, zero where they are zero, which the partner's rounding must not change.
    """
    norms = _norms(at)
    first, second = _sum(norms[2 * pair]), _sum(norms[2 * pair + 1])
    weight = (first / second) ** 0.5 if first > 0 and second > 0 else 1.0
    return weight, 1.0 if first > 0 else 0.0, 1.0 / weight if second > 0 else 0.0


@_entry
def norms(lo, hi, context):
    """Sums of squares of all loads. Context of this and the next two: w, complex fields, these sums; stride, planes of a tile,
    tiles of a field.
    """
    at = _context(context)
    span, tiles = at[10], at[11]
    sums, out = COMPONENTS * tiles, _norms(at)
    for tile in range(lo, hi):
        load, place, first = tile // sums, tile % sums, tile % tiles * span
        w = _padded(at, at[6], load)
        total = 0.0
        for i in range(first, min(first + span, at[0])):
            for j in range(at[1]):
                for z in range(at[2]):
                    total += float64(w[place // tiles, i, j, z]) ** 2
        out[load, place] = total


@_entry
def pair(lo, hi, context):
    """The fields of two loads as real and imaginary part, of about the same size."""
    at = _context(context)
    stride, span, tiles = at[9], at[10], at[11]
    for tile in range(lo, hi):
        number, c, first = tile // (tiles * COMPONENTS), tile // tiles % COMPONENTS, tile % tiles * span
        a, b = _padded(at, at[6], 2 * number), _padded(at, at[6], 2 * number + 1)
        fields, weight = _paired(at, at[7], number, stride), REAL(_weights(at, number)[0])
        _pair(first, min(first + span, at[0]), c, at[2], weight, a, b, fields)


@_entry
def unpair(lo, hi, context):
    """The reverse; sums of the products of what was there and what comes, by component and tile."""
    at = _context(context)
    stride, span, tiles = at[9], at[10], at[11]
    sums = COMPONENTS * tiles
    partial = array_at(at[5], (at[3], sums), float64)
    for tile in range(lo, hi):
        number, place, first = tile // sums, tile % sums, tile % tiles * span
        a, b = _padded(at, at[6], 2 * number), _padded(at, at[6], 2 * number + 1)
        fields = _paired(at, at[7], number, stride)
        _, of_even, of_odd = _weights(at, number)
        even, odd = _unpair(
            first, min(first + span, at[0]), place // tiles, at[2], REAL(of_even), REAL(of_odd), a, b, fields
        )
        partial[2 * number, place], partial[2 * number + 1, place] = even, odd


# -- Green operator ----------------------------------------------------------------------------------------------------


@_entry
def green_paired(lo, hi, context):
    """``w = G w`` on one tile of columns of the complex fields of all pairs.

    Context: complex fields, symbols (3, 3, length), reference medium; length, stride, pairs, columns.
    """
    at = _context(context)
    stride, pairs = at[10], at[11]
    table = array_at(at[7], (3, 3, at[9]), REAL)
    medium = array_at(at[8], (36 if COMPONENTS == 3 else 6,), REAL)
    fields = array_at(at[6], (pairs, COMPONENTS, at[0], 2 * stride), REAL)
    scale = REAL(1.0 / (at[0] * at[1] * at[2]))
    green_paired_columns(lo, hi, fields, at[2], table[0], table[1], table[2], medium, scale)
