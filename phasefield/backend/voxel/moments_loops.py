"""The loop of `moments`, compiled by numba like those of ``loops.py``, with the constant ``COMPONENTS``.

Contexts begin as those there.
"""

# ruff: noqa: F821
# mypy: disable-error-code="name-defined"
from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, cfunc, float64, int32, int64, njit, void

from phasefield.backend.intrinsics import NoAlias, pointer

_options: dict[str, Any] = {
    "nogil": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
    "error_model": "numpy",
}
_loop = njit(pipeline_class=NoAlias, **_options)
_entry = cfunc(void(int64, int64, int64), cache=True, fastmath=_options["fastmath"], error_model="numpy")

#: Columns that are gathered of a phase before their products are summed, the distance of rows, which keeps them from competing
#: for the same cache lines, and phases gathered for at a time.
_ROOM, _ROW, _SLOTS = 128, 136, 3
#: Components of the strain (gradient).
_SIZE = 6 if COMPONENTS == 3 else 3
#: Components that the polynomials 1, x, y, z have. Those of xy, xz and yz are the modes xyz times a factor, gathered once.
_COUNTS = (6, 5, 5, 5, 3) if COMPONENTS == 3 else (3, 2, 2, 2, 1)
_PLACES = (
    np.array([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0], [0, 2, 3, 4, 5, 0], [0, 1, 3, 4, 5, 0]])
    if COMPONENTS == 3
    else np.array([[0, 1, 2], [1, 2, 0], [0, 2, 0], [0, 1, 0]])
)
#: Where the modes xyz of u, v, w are found in the strain of the polynomials yz, xz, xy, by their derivative along x, y, z.
_HIGHEST = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]]) if COMPONENTS == 3 else np.array([[0], [1], [2]])
_GROUPS = 5


@njit(**_options)
def _constant(m, load, gx, gy, gz, means, e):
    """The constant strain (gradient) of a load, from its modes (loads, components, 7)."""
    if COMPONENTS == 1:
        e[load, 0] = gx * m[load, 0, 0] + means[load, 0]
        e[load, 1] = gy * m[load, 0, 1] + means[load, 1]
        e[load, 2] = gz * m[load, 0, 2] + means[load, 2]
        return
    e[load, 0] = gx * m[load, 0, 0] + means[load, 0]
    e[load, 1] = gy * m[load, 1, 1] + means[load, 1]
    e[load, 2] = gz * m[load, 2, 2] + means[load, 2]
    e[load, 3] = gz * m[load, 1, 2] + gy * m[load, 2, 1] + means[load, 3]
    e[load, 4] = gz * m[load, 0, 2] + gx * m[load, 2, 0] + means[load, 4]
    e[load, 5] = gy * m[load, 0, 1] + gx * m[load, 1, 0] + means[load, 5]


@njit(**_options)
def _higher(m, load, gx, gy, gz, x, n):
    """The strain (gradient) of the other polynomials as columns; modes 3 to 6 are xy, xz, yz, xyz."""
    if COMPONENTS == 1:
        xy, xz, yz = m[load, 0, 3], m[load, 0, 4], m[load, 0, 5]
        at = 2 * load
        x[1, at, n], x[1, at + 1, n] = gy * xy, gz * xz
        x[2, at, n], x[2, at + 1, n] = gx * xy, gz * yz
        x[3, at, n], x[3, at + 1, n] = gx * xz, gy * yz
        x[4, load, n] = m[load, 0, 6]
        return
    uxy, uxz, uyz = m[load, 0, 3], m[load, 0, 4], m[load, 0, 5]
    vxy, vxz, vyz = m[load, 1, 3], m[load, 1, 4], m[load, 1, 5]
    wxy, wxz, wyz = m[load, 2, 3], m[load, 2, 4], m[load, 2, 5]
    at = 5 * load
    x[1, at, n], x[1, at + 1, n], x[1, at + 2, n] = gy * vxy, gz * wxz, gz * vxz + gy * wxy
    x[1, at + 3, n], x[1, at + 4, n] = gz * uxz, gy * uxy
    x[2, at, n], x[2, at + 1, n], x[2, at + 2, n] = gx * uxy, gz * wyz, gz * vyz
    x[2, at + 3, n], x[2, at + 4, n] = gz * uyz + gx * wxy, gx * vxy
    x[3, at, n], x[3, at + 1, n], x[3, at + 2, n] = gx * uxz, gy * vyz, gy * wyz
    x[3, at + 3, n], x[3, at + 4, n] = gx * wxz, gy * uyz + gx * vxz
    at = 3 * load
    x[4, at, n], x[4, at + 1, n], x[4, at + 2, n] = m[load, 0, 6], m[load, 1, 6], m[load, 2, 6]


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
            for r, values in enumerate(((a0, a1, a2, a3), (b0, b1, b2, b3), (c0, c1, c2, c3), (d0, d1, d2, d3))):
                for s, value in enumerate(values):
                    out[i + r, j + s] = value


@njit(**_options)
def _places(groups, loads):
    """The row of the moments that each gathered row of a polynomial belongs to; of xyz of its strain along x, y and z."""
    out = np.zeros((groups if groups == 1 else _GROUPS + 2, loads * _SIZE + 4), int64)
    for load in range(loads):
        for group in range(min(groups, 4)):
            parts = _COUNTS[group]
            for part in range(parts):
                out[group, load * parts + part] = load * _SIZE + _PLACES[group, part]
        if groups > 4:
            parts = _COUNTS[4]
            for d in range(3):
                for part in range(parts):
                    out[4 + d, load * parts + part] = load * _SIZE + _HIGHEST[d, part]
    out[0, loads * _SIZE] = loads * _SIZE
    return out


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
            weight = g[d] * g[d] / 9.0 if group == 4 else 1.0 if group == 0 else 1.0 / 3.0
            for i in range(rows):
                a = places[group + d, i]
                for j in range(i + 1):
                    b = places[group + d, j]
                    out[max(a, b), min(a, b)] += weight * work[i, j]
    counts[:] = 0


@_loop
def _jump(e, normal, first, second, f, eigen_first, eigen_second, loads, out):
    """``a`` of every load, where the strain of a laminate jumps by ``-sym(a n)`` from its second phase to its first."""
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
    m = np.zeros((3, 6))
    m[0, 0], m[0, 4], m[0, 5] = n0, n2, n1
    m[1, 1], m[1, 3], m[1, 5] = n1, n2, n0
    m[2, 2], m[2, 3], m[2, 4] = n2, n1, n0
    jump, other, acoustic = np.zeros((3, 6)), np.zeros((3, 6)), np.zeros((3, 3))
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
            acoustic[i, :] = 0.0
            acoustic[:, i] = 0.0
            acoustic[i, i] = trace if trace > 0 else 1.0
    a, b, c = acoustic[0, 0], acoustic[1, 1], acoustic[2, 2]
    d, g, h = acoustic[1, 2], acoustic[0, 2], acoustic[0, 1]
    iaa, ibb, icc = b * c - d * d, a * c - g * g, a * b - h * h
    iab, iac, ibc = g * d - h * c, h * d - b * g, h * g - a * d
    det = a * iaa + h * iab + g * iac
    for load in range(loads):
        traction = np.zeros(3)
        for i in range(3):
            for q in range(6):
                traction[i] += jump[i, q] * e[load, q] + m[i, q] * (eigen_first[load, q] - eigen_second[load, q])
        out[load, 0] = (iaa * traction[0] + iab * traction[1] + iac * traction[2]) / det
        out[load, 1] = (iab * traction[0] + ibb * traction[1] + ibc * traction[2]) / det
        out[load, 2] = (iac * traction[0] + ibc * traction[1] + icc * traction[2]) / det


@_loop
def _moments(lo, hi, full, u, index, pairs, geometry, tensors, stress, means, g, out):
    """Moments of the planes lo to hi; u: addresses of the loads' fields."""
    nx, ny, nz = index.shape
    loads = len(means)
    x = np.zeros((_SLOTS, _GROUPS if full else 1, loads * _SIZE + 4, _ROW))
    work = np.zeros((loads * _SIZE + 4, loads * _SIZE + 4))
    counts, slots, turn = np.zeros((_SLOTS, 2), int64), np.full(_SLOTS, -1, int64), 0
    places = _places(_GROUPS if full else 1, loads)
    modes, b = np.zeros((loads, COMPONENTS, 7)), np.zeros((1, COMPONENTS, 7))
    e, a, jump, nothing = np.zeros((loads, _SIZE)), np.zeros((loads, 3)), np.zeros((1, _SIZE)), np.zeros((1, _SIZE))
    gx, gy, gz = g[0], g[1], g[2]
    for i in range(lo, hi):
        i1 = (i + 1) % nx
        for j in range(ny):
            j1 = (j + 1) % ny
            for z in range(nz):
                z1 = z + 1 if z + 1 < nz else 0
                entry = index[i, j, z]
                for load in range(loads):
                    field = carray(pointer(u[load]), (COMPONENTS, nx, ny, nz), float64)
                    for c in range(COMPONENTS):
                        p0, p1 = field[c, i, j, z], field[c, i, j, z1]
                        p2, p3 = field[c, i, j1, z], field[c, i, j1, z1]
                        p4, p5 = field[c, i1, j, z], field[c, i1, j, z1]
                        p6, p7 = field[c, i1, j1, z], field[c, i1, j1, z1]
                        s0, s1, s2, s3 = p0 + p1, p2 + p3, p4 + p5, p6 + p7
                        t0, t1, t2, t3 = p1 - p0, p3 - p2, p5 - p4, p7 - p6
                        modes[load, c, 0] = ((s2 + s3) - (s0 + s1)) * 0.125  # x
                        modes[load, c, 1] = ((s1 + s3) - (s0 + s2)) * 0.125  # y
                        modes[load, c, 2] = ((t0 + t1) + (t2 + t3)) * 0.125  # z
                        modes[load, c, 3] = ((s0 - s1) + (s3 - s2)) * 0.125  # xy
                        modes[load, c, 4] = ((t2 + t3) - (t0 + t1)) * 0.125  # xz
                        modes[load, c, 5] = ((t1 + t3) - (t0 + t2)) * 0.125  # yz
                        modes[load, c, 6] = ((t0 - t1) + (t3 - t2)) * 0.125  # xyz
                    _constant(modes, load, gx, gy, gz, means, e)
                first, second, f = pairs[entry, 0], pairs[entry, 1], geometry[entry, 0]
                normal, pure = geometry[entry, 1:], first == second or f == 1.0
                if not pure:
                    a[:] = 0.0
                    if normal[0] != 0.0 or normal[1] != 0.0 or normal[2] != 0.0:
                        _jump(e, normal, tensors[first], tensors[second], f, stress[first], stress[second], loads, a)
                for part in range(1 if pure else 2):
                    phase, share, back = (first, f, f - 1) if part == 0 else (second, 1 - f, f)
                    s = -1
                    for k in range(_SLOTS):
                        if slots[k] == phase:
                            s = k
                    if s < 0:
                        s = turn
                        turn = (turn + 1) % _SLOTS
                    if slots[s] != phase or counts[s, 0] == _ROOM:  # the phase that has been here longest makes room
                        if slots[s] >= 0:
                            _flush(x[s], counts[s], loads, g, places, work, out[slots[s]])
                        slots[s] = phase
                    n = counts[s, 0]
                    counts[s, 0] += 1
                    if pure:
                        for load in range(loads):
                            for q in range(_SIZE):
                                x[s, 0, load * _SIZE + q, n] = e[load, q]
                        x[s, 0, loads * _SIZE, n] = 1.0
                        if full and pairs[entry, 2] != 0:
                            n = counts[s, 1]
                            counts[s, 1] += 1
                            for load in range(loads):
                                _higher(modes, load, gx, gy, gz, x[s], n)
                        continue
                    root = np.sqrt(share)
                    for load in range(loads):
                        for c in range(COMPONENTS):
                            for r in range(3):
                                b[0, c, r] = normal[r] * a[load, c]
                        _constant(b, 0, back, back, back, nothing, jump)
                        for q in range(_SIZE):
                            x[s, 0, load * _SIZE + q, n] = root * (e[load, q] + jump[0, q])
                    x[s, 0, loads * _SIZE, n] = root
    for s in range(_SLOTS):
        if slots[s] >= 0:
            _flush(x[s], counts[s], loads, g, places, work, out[slots[s]])


@_entry
def moments(lo, hi, context):
    """Sums over the voxels of the products of all components of all loads and 1, phase by phase, block by block.

    Context: addresses of the fields, index, pairs, geometry, tensors, stress, means, g, out; number of entries, of
    phases, of blocks, whether there are all polynomials.
    """
    at = carray(pointer(context), (20,), int64)
    loads, entries, phases, blocks = at[3], at[15], at[16], at[17]
    rows = loads * _SIZE + 1
    u = carray(pointer(at[6]), (loads,), int64)
    index = carray(pointer(at[7]), (at[0], at[1], at[2]), int32)
    pairs, geometry = carray(pointer(at[8]), (entries, 3), int32), carray(pointer(at[9]), (entries, 4), float64)
    tensors = carray(pointer(at[10]), (phases, _SIZE, _SIZE), float64)
    stress = carray(pointer(at[11]), (phases, loads, _SIZE), float64)
    means, g = carray(pointer(at[12]), (loads, _SIZE), float64), carray(pointer(at[13]), (3,), float64)
    out = carray(pointer(at[14]), (blocks, phases, rows, rows), float64)
    for block in range(lo, hi):
        first, last = block * at[0] // blocks, (block + 1) * at[0] // blocks
        _moments(first, last, at[18] != 0, u, index, pairs, geometry, tensors, stress, means, g, out[block])
