"""The loop of `moments`, compiled by numba like those of ``loops.py``, with the constant ``COMPONENTS``.

Contexts begin as those there.
"""

# ruff: noqa: F821
# mypy: disable-error-code="name-defined"
from __future__ import annotations

import numpy as np
from numba import carray, float64, int32, int64, uint64

from phasefield.backend.intrinsics import pointer

#: Voxels of a row treated at once, and the distance between rows of strains.
_MOST, _LINE = 64, 72
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

# Rows of strains of a load, times the root of the polynomial's weight (1, 1/3, 1/9), so that sums over a voxel are sums of
# products of rows: traces of 1, x, y, z; normal strains of xyz, of 1, of x, y and z; shear strains of 1, of x, y and z, of xyz.
# For scalars the gradient of 1, of x, y and z, and of xyz all in one.
_ROWS = 31 if COMPONENTS == 3 else 10
#: Where the components of each polynomial are.
_AT = (
    np.array([
        [7, 8, 9, 16, 17, 18], [10, 11, 19, 20, 21, 0], [12, 13, 22, 23, 24, 0], [14, 15, 25, 26, 27, 0], [4, 5, 6, 0, 0, 0]
    ])
    if COMPONENTS == 3
    else np.array([[0, 1, 2], [3, 4, 0], [5, 6, 0], [7, 8, 0], [9, 0, 0]])
)  # fmt: skip
#: Sums that tell the energy of a tensor of cubic symmetry: of products of traces, of normal and of shear strains.
_SUMS = 3 if COMPONENTS == 3 else 1


@_function
def _zeros(count):
    """Doubles from the start of a cache line on: loads of whole vectors then touch one line each."""
    room = np.zeros(count + 7)
    first = (-(room.ctypes.data // 8)) % 8
    return room[first : first + count]


@_function
def _line(load, row):
    """Where a row of strains of a load begins."""
    return uint64((load * _ROWS + row) * _LINE)


@_loop
def _xy_modes(u, component, i, j, z0, m, s):
    """Values of four node rows as 1, y, x, xy combinations, means over the corners, m + 1 entries, in the component's rows."""
    nx, ny, nz = u.shape[1:]
    i1, j1 = (i + 1) % nx, (j + 1) % ny
    # Of unsigned indices numba asks no sign, which would keep loops from being vectorised.
    first, line = uint64(z0), uint64(_LINE)
    o0 = uint64(4 * component * _LINE)
    o1, o2, o3 = o0 + line, o0 + line + line, o0 + line + line + line
    for z in range(uint64(m)):
        a, b = 0.125 * u[component, i, j, first + z], 0.125 * u[component, i, j1, first + z]
        c, d = 0.125 * u[component, i1, j, first + z], 0.125 * u[component, i1, j1, first + z]
        s[o0 + z] = (a + b) + (c + d)
        s[o1 + z] = (b - a) + (d - c)
        s[o2 + z] = (c + d) - (a + b)
        s[o3 + z] = (d - c) - (b - a)
    z, last = (z0 + m) % nz, uint64(m)
    a, b = 0.125 * u[component, i, j, z], 0.125 * u[component, i, j1, z]
    c, d = 0.125 * u[component, i1, j, z], 0.125 * u[component, i1, j1, z]
    s[o0 + last] = (a + b) + (c + d)
    s[o1 + last] = (b - a) + (d - c)
    s[o2 + last] = (c + d) - (a + b)
    s[o3 + last] = (d - c) - (b - a)


@_function
def _modes(s, component, z):
    """The modes x, y, z, xy, xz, yz, xyz of a component."""
    one, line = uint64(1), uint64(_LINE)
    o = uint64(4 * component * _LINE) + z
    oy, ox, oxy = o + line, o + line + line, o + line + line + line
    y, x, xy = s[oy], s[ox], s[oxy]
    above, y1, x1, xy1 = s[o + one], s[oy + one], s[ox + one], s[oxy + one]
    return x + x1, y + y1, above - s[o], xy + xy1, x1 - x, y1 - y, xy1 - xy


@_loop
def _constant(s, load, m, gx, gy, gz, mean, x):
    """The constant strain (gradient) of a load."""
    m0, m1, m2 = mean[load, 0], mean[load, 1], mean[load, 2]
    if COMPONENTS == 1:
        o0, o1, o2 = _line(load, 0), _line(load, 1), _line(load, 2)
        for z in range(uint64(m)):
            ux, uy, uz, _, _, _, _ = _modes(s, 0, z)
            x[o0 + z], x[o1 + z], x[o2 + z] = gx * ux + m0, gy * uy + m1, gz * uz + m2
        return
    m3, m4, m5 = mean[load, 3], mean[load, 4], mean[load, 5]
    o, o0, o1, o2 = _line(load, 0), _line(load, 7), _line(load, 8), _line(load, 9)
    o3, o4, o5 = _line(load, 16), _line(load, 17), _line(load, 18)
    for z in range(uint64(m)):
        ux, uy, uz, _, _, _, _ = _modes(s, 0, z)
        vx, vy, vz, _, _, _, _ = _modes(s, 1, z)
        wx, wy, wz, _, _, _, _ = _modes(s, 2, z)
        a, b, c = gx * ux + m0, gy * vy + m1, gz * wz + m2
        x[o + z], x[o0 + z], x[o1 + z], x[o2 + z] = a + b + c, a, b, c
        x[o3 + z], x[o4 + z], x[o5 + z] = gz * vz + gy * wy + m3, gz * uz + gx * wx + m4, gy * uy + gx * vx + m5


@_loop
def _higher(s, load, m, gx, gy, gz, x):
    """The strain (gradient) of the other polynomials."""
    root = np.sqrt(1.0 / 3.0)
    hx, hy, hz = root * gx, root * gy, root * gz
    if COMPONENTS == 1:
        o3, o4, o5, o6 = _line(load, 3), _line(load, 4), _line(load, 5), _line(load, 6)
        o7, o8, o9 = _line(load, 7), _line(load, 8), _line(load, 9)
        all_axes = np.sqrt(gx * gx + gy * gy + gz * gz) / 3.0
        for z in range(uint64(m)):
            _, _, _, xy, xz, yz, xyz = _modes(s, 0, z)
            x[o3 + z], x[o4 + z], x[o5 + z] = hy * xy, hz * xz, hx * xy
            x[o6 + z], x[o7 + z], x[o8 + z] = hz * yz, hx * xz, hy * yz
            x[o9 + z] = all_axes * xyz
        return
    t1, t2, t3 = _line(load, 1), _line(load, 2), _line(load, 3)
    n0, n1, n2, n3, n4, n5 = (
        _line(load, 10), _line(load, 11), _line(load, 12), _line(load, 13), _line(load, 14), _line(load, 15)
    )  # fmt: skip
    a0, a1, a2, b0, b1, b2 = (
        _line(load, 19), _line(load, 20), _line(load, 21), _line(load, 22), _line(load, 23), _line(load, 24)
    )  # fmt: skip
    c0, c1, c2 = _line(load, 25), _line(load, 26), _line(load, 27)
    e0, e1, e2, e3, e4, e5 = (
        _line(load, 4),
        _line(load, 5),
        _line(load, 6),
        _line(load, 28),
        _line(load, 29),
        _line(load, 30),
    )
    kx, ky, kz = gx / 3.0, gy / 3.0, gz / 3.0
    lx, ly, lz = np.sqrt(ky * ky + kz * kz), np.sqrt(kx * kx + kz * kz), np.sqrt(kx * kx + ky * ky)
    for z in range(uint64(m)):
        _, _, _, uxy, uxz, uyz, uxyz = _modes(s, 0, z)
        _, _, _, vxy, vxz, vyz, vxyz = _modes(s, 1, z)
        _, _, _, wxy, wxz, wyz, wxyz = _modes(s, 2, z)
        p, q = hy * vxy, hz * wxz
        x[n0 + z], x[n1 + z], x[t1 + z] = p, q, p + q
        p, q = hx * uxy, hz * wyz
        x[n2 + z], x[n3 + z], x[t2 + z] = p, q, p + q
        p, q = hx * uxz, hy * vyz
        x[n4 + z], x[n5 + z], x[t3 + z] = p, q, p + q
        x[a0 + z], x[a1 + z], x[a2 + z] = hz * vxz + hy * wxy, hz * uxz, hy * uxy
        x[b0 + z], x[b1 + z], x[b2 + z] = hz * vyz, hz * uyz + hx * wxy, hx * vxy
        x[c0 + z], x[c1 + z], x[c2 + z] = hy * wyz, hx * wxz, hy * uyz + hx * vxz
        x[e0 + z], x[e1 + z], x[e2 + z] = kx * uxyz, ky * vxyz, kz * wxyz
        x[e3 + z], x[e4 + z], x[e5 + z] = lx * uxyz, ly * vxyz, lz * wxyz


@_function
def _sum(x, a, b, lo, hi, z):
    """The sum of products of some rows of two loads."""
    t = 0.0
    for row in range(lo, hi):  # unrolled
        o = uint64(row * _LINE) + z
        t += x[a + o] * x[b + o]
    return t


@_loop
def _pair(x, load, other, m, full, d):
    """What the energy of two loads in each voxel is made of: rows of d."""
    a, b, d1, d2 = _line(load, 0), _line(other, 0), uint64(_LINE), uint64(2 * _LINE)
    if COMPONENTS == 1:
        if full:
            for z in range(uint64(m)):
                d[z] = _sum(x, a, b, 0, 10, z)
        else:
            for z in range(uint64(m)):
                d[z] = _sum(x, a, b, 0, 3, z)
    elif full:
        for z in range(uint64(m)):
            highest = _sum(x, a, b, 4, 7, z)
            d[z] = _sum(x, a, b, 0, 4, z) + highest
            d[d1 + z] = _sum(x, a, b, 7, 16, z) + highest
            d[d2 + z] = _sum(x, a, b, 16, 31, z)
    else:
        for z in range(uint64(m)):
            d[z] = _sum(x, a, b, 0, 1, z)
            d[d1 + z] = _sum(x, a, b, 7, 10, z)
            d[d2 + z] = _sum(x, a, b, 16, 19, z)


@_loop
def _cubic(x, loads, phases, w, present, m, full, d, out):
    """Adds the sums of the voxels of some phases, whose voxels have weights 1 in w, to out (phases, pairs, sums)."""
    pair = 0
    for load in range(loads):
        for other in range(load + 1):
            _pair(x, load, other, m, full, d)
            for here in range(present):
                for k in range(_SUMS):
                    t, o, p = 0.0, uint64(here * _LINE), uint64(k * _LINE)
                    for z in range(uint64(m)):
                        t += w[o + z] * d[p + z]
                    out[phases[here], pair, k] += t
            pair += 1


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


@_loop
def _moments(lo, hi, full, u, index, pairs, geometry, tensors, stress, means, g, out, sums):
    """Moments of the planes lo to hi; u: addresses of the loads' fields."""
    nx, ny, nz = index.shape
    loads = len(means)
    s, d = _zeros(4 * COMPONENTS * _LINE), _zeros(_SUMS * _LINE)
    rows, w = _zeros(loads * _ROWS * _LINE), _zeros(_MOST * _LINE)
    kinds = np.zeros(_MOST, int64)
    x = np.zeros((_SLOTS, _GROUPS if full else 1, loads * _SIZE + 4, _ROW))
    work = np.zeros((loads * _SIZE + 4, loads * _SIZE + 4))
    counts, slots, turn = np.zeros((_SLOTS, 2), int64), np.full(_SLOTS, -1, int64), 0
    places = np.zeros((_GROUPS + 2, loads * _SIZE + 1), int64)
    _places(loads, len(x[0]), places)
    e, a, jump = np.zeros((loads, _SIZE)), np.zeros((loads, 3)), np.zeros(_SIZE)
    gx, gy, gz = g[0], g[1], g[2]
    scale = 1.0 / g if COMPONENTS == 3 else np.full(3, 1.0 / np.sqrt(gx * gx + gy * gy + gz * gz))
    for i in range(lo, hi):
        for j in range(ny):
            for z0 in range(0, nz, _MOST):
                m = min(_MOST, nz - z0)
                for load in range(loads):
                    field = carray(pointer(u[load]), (COMPONENTS, nx, ny, nz), float64)
                    for c in range(COMPONENTS):
                        _xy_modes(field, c, i, j, z0, m, s)
                    _constant(s, load, m, gx, gy, gz, means, rows)
                    if full:
                        _higher(s, load, m, gx, gy, gz, rows)
                present = 0
                for n in range(m):
                    entry = index[i, j, z0 + n]
                    first, second, f = pairs[entry, 0], pairs[entry, 1], geometry[entry, 0]
                    if pairs[entry, 3] != 0:
                        here = 0
                        while here < present and kinds[here] != first:
                            here += 1
                        if here == present:
                            kinds[here] = first
                            present += 1
                            for k in range(m):
                                w[here * _LINE + k] = 0.0
                        w[here * _LINE + n] = 1.0
                        continue
                    normal, pure = geometry[entry, 1:], first == second or f == 1.0
                    if not pure:
                        for load in range(loads):
                            for q in range(_SIZE):
                                e[load, q] = rows[_line(load, _AT[0, q]) + uint64(n)]
                        a[:] = 0.0
                        if normal[0] != 0.0 or normal[1] != 0.0 or normal[2] != 0.0:
                            _jump(
                                e, normal, tensors[first], tensors[second], f, stress[first], stress[second], loads, a
                            )
                    for part in range(1 if pure else 2):
                        phase, share, back = (first, f, f - 1) if part == 0 else (second, 1 - f, f)
                        slot = -1
                        for k in range(_SLOTS):
                            if slots[k] == phase:
                                slot = k
                        if slot < 0:
                            slot = turn
                            turn = (turn + 1) % _SLOTS
                        if (
                            slots[slot] != phase or counts[slot, 0] == _ROOM
                        ):  # the one that has been here longest makes room
                            if slots[slot] >= 0:
                                _flush(x[slot], counts[slot], loads, g, places, work, out[slots[slot]])
                            slots[slot] = phase
                        at = counts[slot, 0]
                        counts[slot, 0] += 1
                        if pure:
                            _gather(rows, n, loads, 0, scale, x[slot], at)
                            x[slot, 0, loads * _SIZE, at] = 1.0
                            if full and pairs[entry, 2] != 0:
                                at = counts[slot, 1]
                                counts[slot, 1] += 1
                                for group in range(1, _GROUPS):
                                    _gather(rows, n, loads, group, scale, x[slot], at)
                            continue
                        root = np.sqrt(share)
                        for load in range(loads):
                            _strain(a[load], normal, jump)
                            for q in range(_SIZE):
                                x[slot, 0, load * _SIZE + q, at] = root * (e[load, q] + back * jump[q])
                        x[slot, 0, loads * _SIZE, at] = root
                if present > 0:
                    _cubic(rows, loads, kinds, w, present, m, full, d, sums)
    for slot in range(_SLOTS):
        if slots[slot] >= 0:
            _flush(x[slot], counts[slot], loads, g, places, work, out[slots[slot]])


@_entry
def moments(lo, hi, context):
    """Sums over the voxels of the products of all components of all loads and 1, phase by phase, block by block.

    Context: addresses of the fields, index, pairs, geometry, tensors, stress, means, g, out, sums; number of entries, of
    phases, of blocks, whether there are all polynomials.
    """
    at = carray(pointer(context), (20,), int64)
    loads, entries, phases, blocks = at[3], at[16], at[17], at[18]
    rows = loads * _SIZE + 1
    u = carray(pointer(at[6]), (loads,), int64)
    index = carray(pointer(at[7]), (at[0], at[1], at[2]), int32)
    pairs, geometry = carray(pointer(at[8]), (entries, 4), int32), carray(pointer(at[9]), (entries, 4), float64)
    tensors = carray(pointer(at[10]), (phases, _SIZE, _SIZE), float64)
    stress = carray(pointer(at[11]), (phases, loads, _SIZE), float64)
    means, g = carray(pointer(at[12]), (loads, _SIZE), float64), carray(pointer(at[13]), (3,), float64)
    out = carray(pointer(at[14]), (blocks, phases, rows, rows), float64)
    sums = carray(pointer(at[15]), (blocks, phases, loads * (loads + 1) // 2, _SUMS), float64)
    for block in range(lo, hi):
        first, last = block * at[0] // blocks, (block + 1) * at[0] // blocks
        _moments(
            first, last, at[19] != 0, u, index, pairs, geometry, tensors, stress, means, g, out[block], sums[block]
        )
