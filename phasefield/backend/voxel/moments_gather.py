"""Second moments of all components, of voxels gathered as columns phase by phase; the layers of laminate voxels: a part of the
loops of `moments`, see ``moments_loops.py``.
"""

# ruff: noqa: F821
# mypy: disable-error-code="name-defined, call-overload"
from __future__ import annotations

#: Columns that are gathered of a phase before their products are summed, the distance of rows, which keeps them from competing
#: for the same cache lines, and phases gathered for at a time.
_ROOM, _ROW, _SLOTS = 128, 136, 3
#: Components that the polynomials 1, x, y, z have. Those of xy, xz and yz are the modes xyz times a factor, gathered once.
_COUNTS = [6, 5, 5, 5, 3] if COMPONENTS == 3 else [3, 2, 2, 2, 1]
_PLACES = (
    [[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0], [0, 2, 3, 4, 5, 0], [0, 1, 3, 4, 5, 0]]
    if COMPONENTS == 3
    else [[0, 1, 2], [1, 2, 0], [0, 2, 0], [0, 1, 0]]
)
#: Where the modes xyz of u, v, w are found in the strain of the polynomials yz, xz, xy, by their derivative along x, y, z.
_HIGHEST = [[0, 5, 4], [5, 1, 3], [4, 3, 2]] if COMPONENTS == 3 else [[0], [1], [2]]
_GROUPS = 5
#: Where the components of each polynomial are.
_AT = (
    [
        [7, 8, 9, 16, 17, 18],
        [10, 11, 19, 20, 21, 0],
        [12, 13, 22, 23, 24, 0],
        [14, 15, 25, 26, 27, 0],
        [4, 5, 6, 0, 0, 0],
    ]
    if COMPONENTS == 3
    else [[0, 1, 2], [3, 4, 0], [5, 6, 0], [7, 8, 0], [9, 0, 0]]
)


@_loop
def _products(x, rows, columns, out):
    """``out += x x^T`` of the first rows and columns, its lower triangle in blocks of four."""
    blocks = (rows + 3) // 4
    for bi in range(blocks):
        i = 4 * bi
        for bj in range(bi + 1):
            j = 4 * bj
            a0, a1, a2, a3, b0, b1, b2, b3 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            c0, c1, c2, c3, d0, d1, d2, d3 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for k in range(columns):
                p0, p1, p2, p3 = x[i, k], x[i + 1, k], x[i + 2, k], x[i + 3, k]
                q0, q1, q2, q3 = x[j, k], x[j + 1, k], x[j + 2, k], x[j + 3, k]
                a0 += p0 * q0
                a1 += p0 * q1
                a2 += p0 * q2
                a3 += p0 * q3
                b0 += p1 * q0
                b1 += p1 * q1
                b2 += p1 * q2
                b3 += p1 * q3
                c0 += p2 * q0
                c1 += p2 * q1
                c2 += p2 * q2
                c3 += p2 * q3
                d0 += p3 * q0
                d1 += p3 * q1
                d2 += p3 * q2
                d3 += p3 * q3
            out[i, j], out[i, j + 1], out[i, j + 2], out[i, j + 3] = a0, a1, a2, a3
            out[i + 1, j], out[i + 1, j + 1], out[i + 1, j + 2], out[i + 1, j + 3] = b0, b1, b2, b3
            out[i + 2, j], out[i + 2, j + 1], out[i + 2, j + 2], out[i + 2, j + 3] = c0, c1, c2, c3
            out[i + 3, j], out[i + 3, j + 1], out[i + 3, j + 2], out[i + 3, j + 3] = d0, d1, d2, d3


@_function
def _places(loads, groups, out):
    """The row of the moments that each gathered row of a polynomial belongs to; of xyz of its strain along x, y and z."""
    for group in range(groups):
        parts = _COUNTS[group]
        for row in range(loads * parts):
            base, part = row // parts * _SIZE, row % parts
            for axis in range(3 if group == 4 else 1):
                out[group + axis, row] = base + (_HIGHEST[axis, part] if group == 4 else _PLACES[group, part])
    out[0, loads * _SIZE] = loads * _SIZE


@_loop
def _flush(x, counts, loads, g, places, work, out):
    """Adds what was gathered of a phase to its moments."""
    for group in range(x.shape[0]):
        columns = counts[min(group, 1)]
        if columns == 0:
            continue
        rows = loads * _COUNTS[group] + (1 if group == 0 else 0)
        _products(x[group], rows, columns, work)
        for d in range(3 if group == 4 else 1):
            weight = g[d] * g[d] if group == 4 else 1.0
            for i in range(rows):
                a = places[group + d, i]
                for j in range(i + 1):
                    b = places[group + d, j]
                    out[max(a, b), min(a, b)] += weight * work[i, j]
    counts[:] = 0


@_loop
def _jump(e, normal, first, second, f, eigen_first, eigen_second, loads, m, jump, other, acoustic, out):
    """``a`` of every load, where the strain of a laminate jumps by ``-sym(a n)`` from its second phase to its first.

    Scratch space: m, jump and other (3, 6), acoustic (3, 3).
    """
    n0, n1, n2 = normal[0], normal[1], normal[2]
    if COMPONENTS == 1:
        stiff = 0.0
        for i in range(3):
            for j in range(3):
                stiff += normal[i] * (f * second[i, j] + (1 - f) * first[i, j]) * normal[j]
        for load in range(loads):
            t = 0.0
            for i in range(3):
                for j in range(3):
                    t += normal[i] * (first[i, j] - second[i, j]) * e[load, j]
            out[load, 0] = t / stiff if stiff > 0 else 0.0
        return
    # Rows: the traction's component; columns: stress components.
    m[:] = 0.0
    m[0, 0], m[0, 4], m[0, 5] = n0, n2, n1
    m[1, 1], m[1, 3], m[1, 5] = n1, n2, n0
    m[2, 2], m[2, 3], m[2, 4] = n2, n1, n0
    jump[:] = 0.0
    other[:] = 0.0
    acoustic[:] = 0.0
    for i in range(3):
        for p in range(6):
            if m[i, p] != 0.0:
                for q in range(6):
                    jump[i, q] += m[i, p] * (first[p, q] - second[p, q])
                    other[i, q] += m[i, p] * (f * second[p, q] + (1 - f) * first[p, q])
    for i in range(3):
        for j in range(3):
            for q in range(6):
                acoustic[i, j] += other[i, q] * m[j, q]
    trace = acoustic[0, 0] + acoustic[1, 1] + acoustic[2, 2]
    for i in range(3):  # what no traction acts on: the axis of a sheet
        if acoustic[i, i] <= 1e-14 * trace:
            for q in range(3):
                acoustic[i, q], acoustic[q, i] = 0.0, 0.0
            acoustic[i, i] = trace if trace > 0 else 1.0
    a, b, c = acoustic[0, 0], acoustic[1, 1], acoustic[2, 2]
    d, g, h = acoustic[1, 2], acoustic[0, 2], acoustic[0, 1]
    iaa, ibb, icc = b * c - d * d, a * c - g * g, a * b - h * h
    iab, iac, ibc = g * d - h * c, h * d - b * g, h * g - a * d
    det = a * iaa + h * iab + g * iac
    for load in range(loads):
        t0, t1, t2 = 0.0, 0.0, 0.0
        for q in range(6):
            strain, eigen = e[load, q], eigen_first[load, q] - eigen_second[load, q]
            t0 += jump[0, q] * strain + m[0, q] * eigen
            t1 += jump[1, q] * strain + m[1, q] * eigen
            t2 += jump[2, q] * strain + m[2, q] * eigen
        out[load, 0] = (iaa * t0 + iab * t1 + iac * t2) / det
        out[load, 1] = (iab * t0 + ibb * t1 + ibc * t2) / det
        out[load, 2] = (iac * t0 + ibc * t1 + icc * t2) / det


@_loop
def _gather(x, n, loads, group, scale, out, at):
    """A voxel's strains of a polynomial, as a column."""
    parts = _COUNTS[group]
    for load in range(loads):
        for part in range(parts):
            factor = scale[part] if group == 4 else 1.0
            out[group, load * parts + part, at] = factor * x[_line(load, _AT[group, part]) + uint64(n)]


@_function
def _strain(a, n, out):
    """``sym(a n)`` as a strain with engineering shear strains (``a n`` as a gradient)."""
    if COMPONENTS == 1:
        out[0], out[1], out[2] = n[0] * a[0], n[1] * a[0], n[2] * a[0]
    else:
        out[0], out[1], out[2] = n[0] * a[0], n[1] * a[1], n[2] * a[2]
        out[3], out[4], out[5] = n[2] * a[1] + n[1] * a[2], n[2] * a[0] + n[0] * a[2], n[1] * a[0] + n[0] * a[1]
