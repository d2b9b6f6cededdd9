"""The loops over voxels on the CPU, compiled by numba.

Loops run over slabs of index 0. A slab starts by repeating the element layer below it, so that no two threads write to the same
node and the result has the same bits for any number of threads. Modes of a row of voxels lie in rows of one scratch array at
constant distances, so that the compiler needs no alias checks.

This file is not imported. `cpu.loops` puts the functions of `element.loop_functions` behind it, ``isotropic_scalar_full`` and so
on, and the constants ``BLOCK`` (voxels of a row treated at once) and ``ROW`` (distance between rows of scratch space), and loads
the whole from the cache folder: numba keeps compiled code by file, and a change of any part makes a new one.
"""

# ruff: noqa: F821
# mypy: disable-error-code="name-defined"
from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

# NaN must stay NaN: no nnan, ninf.
_options: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
    "error_model": "numpy",
}


# -- stiffness ---------------------------------------------------------------------------------------------------------


@njit(**_options)
def _xy_modes(u, i, j, z0, m, s, at):
    """Values of four node rows as 1, y, x, xy combinations: rows ``at`` to ``at + 3`` of the scratch space, m + 1 entries."""
    nx, ny, nz = u.shape
    i1, j1 = (i + 1) % nx, (j + 1) % ny
    o0, o1, o2, o3 = at * ROW, (at + 1) * ROW, (at + 2) * ROW, (at + 3) * ROW
    for z in range(m):
        a, b, c, d = u[i, j, z0 + z], u[i, j1, z0 + z], u[i1, j, z0 + z], u[i1, j1, z0 + z]
        s[o0 + z] = (a + b) + (c + d)
        s[o1 + z] = (b - a) + (d - c)
        s[o2 + z] = (c + d) - (a + b)
        s[o3 + z] = (d - c) - (b - a)
    z = (z0 + m) % nz
    a, b, c, d = u[i, j, z], u[i, j1, z], u[i1, j, z], u[i1, j1, z]
    s[o0 + m] = (a + b) + (c + d)
    s[o1 + m] = (b - a) + (d - c)
    s[o2 + m] = (c + d) - (a + b)
    s[o3 + m] = (d - c) - (b - a)


@njit(**_options)
def _xy_scatter(s, at, low, high, j, z0, m):
    """The transpose of `_xy_modes`: rows ``at + 2q`` (lower z node) and ``at + 2q + 1`` (upper) go to the nodes around."""
    ny, nz = low.shape
    j1 = (j + 1) % ny
    o = at * ROW
    for q in range(4):  # upper contributions lie one entry further
        s[o + (2 * q) * ROW + m] = 0.0
        s[o + (2 * q + 1) * ROW] = 0.0
    for z in range(m + 1):
        t0 = s[o + z] + s[o + ROW + z]
        t1 = s[o + 2 * ROW + z] + s[o + 3 * ROW + z]
        t2 = s[o + 4 * ROW + z] + s[o + 5 * ROW + z]
        t3 = s[o + 6 * ROW + z] + s[o + 7 * ROW + z]
        s[o + z] = (t0 - t1) - (t2 - t3)
        s[o + ROW + z] = (t0 + t1) - (t2 + t3)
        s[o + 2 * ROW + z] = (t0 - t1) + (t2 - t3)
        s[o + 3 * ROW + z] = (t0 + t1) + (t2 + t3)
    # One target at a time: with one row of nodes (two-dimensional grids) the targets are the same.
    for z in range(m):
        low[j, z0 + z] += s[o + z]
    for z in range(m):
        low[j1, z0 + z] += s[o + ROW + z]
    for z in range(m):
        high[j, z0 + z] += s[o + 2 * ROW + z]
    for z in range(m):
        high[j1, z0 + z] += s[o + 3 * ROW + z]
    z = (z0 + m) % nz
    low[j, z] += s[o + m]
    low[j1, z] += s[o + ROW + m]
    high[j, z] += s[o + 2 * ROW + m]
    high[j1, z] += s[o + 3 * ROW + m]


@njit(**_options)
def _scalar_layer(full, u, i, index, iso, rows, where, tensor, whole, g, s, low, high, flux):
    ny, nz = low.shape
    eighth = s.dtype.type(0.125)  # modes are means over the corners
    gx, gy, gz = g[0] * eighth, g[1] * eighth, g[2] * eighth
    for j in range(ny):
        first, last = rows[i * ny + j], rows[i * ny + j + 1]
        for z0 in range(0, nz, BLOCK):
            m = min(BLOCK, nz - z0)
            _xy_modes(u, i, j, z0, m, s, 0)
            for z in range(m):
                s[12 * ROW + z] = iso[index[i, j, z0 + z]]
            if full:
                isotropic_scalar_full(s, m, gx, gy, gz, flux)
            else:
                isotropic_scalar_constant(s, m, gx, gy, gz, flux)
            while first < last and where[first] < z0 + m:
                e = index[i, j, where[first]]
                if full and whole[e]:
                    anisotropic_scalar_full(s, where[first] - z0, tensor[e], gx, gy, gz, flux)
                else:
                    anisotropic_scalar_constant(s, where[first] - z0, tensor[e], gx, gy, gz, flux)
                first += 1
            _xy_scatter(s, 4, low, high, j, z0, m)


@njit(**_options)
def apply_scalar(lo, hi, full, u, w, index, iso, rows, where, tensor, whole, g, partial):
    _, nx, ny, nz = u.shape
    s = np.empty(13 * ROW, u.dtype)
    low = np.zeros((ny, nz), u.dtype)
    high = np.zeros((ny, nz), u.dtype)
    flux = np.zeros(3)
    _scalar_layer(full, u[0], (lo - 1) % nx, index, iso, rows, where, tensor, whole, g, s, low, high, flux)
    for i in range(lo, hi):
        low[:], high[:] = high, 0.0
        flux[:] = 0.0
        _scalar_layer(full, u[0], i, index, iso, rows, where, tensor, whole, g, s, low, high, flux)
        dot = 0.0
        for j in range(ny):
            for z in range(nz):
                w[0, i, j, z] = low[j, z]
                dot += u[0, i, j, z] * low[j, z]
        partial[0, i] = dot
        partial[1:4, i] = flux


@njit(**_options)
def _elastic_layer(full, u, i, index, iso, rows, where, tensor, whole, g, s, low, high, stress):
    _, ny, nz = low.shape
    eighth = s.dtype.type(0.125)  # modes are means over the corners
    gx, gy, gz = g[0] * eighth, g[1] * eighth, g[2] * eighth
    for j in range(ny):
        first, last = rows[i * ny + j], rows[i * ny + j + 1]
        for z0 in range(0, nz, BLOCK):
            m = min(BLOCK, nz - z0)
            for c in range(3):
                _xy_modes(u[c], i, j, z0, m, s, 4 * c)
            for z in range(m):
                e = index[i, j, z0 + z]
                s[36 * ROW + z] = iso[e, 0]
                s[37 * ROW + z] = iso[e, 1]
            if full:
                isotropic_elastic_full(s, m, gx, gy, gz, stress)
            else:
                isotropic_elastic_constant(s, m, gx, gy, gz, stress)
            while first < last and where[first] < z0 + m:
                e = index[i, j, where[first]]
                if full and whole[e]:
                    anisotropic_elastic_full(s, where[first] - z0, tensor[e], gx, gy, gz, stress)
                else:
                    anisotropic_elastic_constant(s, where[first] - z0, tensor[e], gx, gy, gz, stress)
                first += 1
            for c in range(3):
                _xy_scatter(s, 12 + 8 * c, low[c], high[c], j, z0, m)


@njit(**_options)
def apply_elastic(lo, hi, full, u, w, index, iso, rows, where, tensor, whole, g, partial):
    _, nx, ny, nz = u.shape
    s = np.empty(38 * ROW, u.dtype)
    low = np.zeros((3, ny, nz), u.dtype)
    high = np.zeros((3, ny, nz), u.dtype)
    stress = np.zeros(6)
    _elastic_layer(full, u, (lo - 1) % nx, index, iso, rows, where, tensor, whole, g, s, low, high, stress)
    for i in range(lo, hi):
        low[:], high[:] = high, 0.0
        stress[:] = 0.0
        _elastic_layer(full, u, i, index, iso, rows, where, tensor, whole, g, s, low, high, stress)
        dot = 0.0
        for c in range(3):
            for j in range(ny):
                for z in range(nz):
                    w[c, i, j, z] = low[c, j, z]
                    dot += u[c, i, j, z] * low[c, j, z]
        partial[0, i] = dot
        partial[1:7, i] = stress


@njit(**_options)
def load(lo, hi, w, index, table, g):
    """``w = B^T s`` for a stress (or flux) that is constant over a voxel: ``table[entry, component, axis]``."""
    components, nx, ny, nz = w.shape[0], index.shape[0], index.shape[1], index.shape[2]
    gx, gy, gz = g[0] / 8, g[1] / 8, g[2] / 8
    for c in range(components):
        for i in range(lo, hi):
            for j in range(ny):
                for z in range(nz):
                    w[c, i, j, z] = 0.0
                for di in range(2):
                    for dj in range(2):
                        ii, jj = (i - 1 + di) % nx, (j - 1 + dj) % ny
                        sx, sy = 1.0 - 2.0 * di, 1.0 - 2.0 * dj
                        for z in range(nz):
                            below = index[ii, jj, z - 1 if z > 0 else nz - 1]
                            above = index[ii, jj, z]
                            w[c, i, j, z] += (
                                sx * gx * (table[below, c, 0] + table[above, c, 0])
                                + sy * gy * (table[below, c, 1] + table[above, c, 1])
                                + gz * (table[below, c, 2] - table[above, c, 2])
                            )


@njit(**_options)
def corner_mean(lo, hi, out, index, value):
    """Mean over the eight voxels around a node of ``value[entry]``."""
    nx, ny, nz = index.shape
    for i in range(lo, hi):
        for j in range(ny):
            for z in range(nz):
                t = 0.0
                for di in range(2):
                    for dj in range(2):
                        for dz in range(2):
                            t += value[index[(i - di) % nx, (j - dj) % ny, (z - dz) % nz]]
                out[i, j, z] = t / 8


# -- conjugate gradients -----------------------------------------------------------------------------------------------


@njit(**_options)
def advance(lo, hi, alpha, u, r, p, w, jacobi):
    """``u += alpha p; r -= alpha w; w = jacobi r``"""
    components, _, ny, nz = u.shape
    scaled = jacobi.shape[0] > 1 or jacobi.shape[2] > 1
    for i in range(lo, hi):
        for c in range(components):
            for j in range(ny):
                if scaled:
                    for z in range(nz):
                        u[c, i, j, z] += alpha * p[c, i, j, z]
                        t = r[c, i, j, z] - alpha * w[c, i, j, z]
                        r[c, i, j, z] = t
                        w[c, i, j, z] = jacobi[i, j, z] * t
                else:
                    for z in range(nz):
                        u[c, i, j, z] += alpha * p[c, i, j, z]
                        t = r[c, i, j, z] - alpha * w[c, i, j, z]
                        r[c, i, j, z] = t
                        w[c, i, j, z] = t


@njit(**_options)
def direction(lo, hi, beta, p, w, jacobi):
    """``p = jacobi w + beta p``"""
    components, _, ny, nz = p.shape
    scaled = jacobi.shape[0] > 1 or jacobi.shape[2] > 1
    for i in range(lo, hi):
        for c in range(components):
            for j in range(ny):
                if scaled:
                    for z in range(nz):
                        p[c, i, j, z] = jacobi[i, j, z] * w[c, i, j, z] + beta * p[c, i, j, z]
                else:
                    for z in range(nz):
                        p[c, i, j, z] = w[c, i, j, z] + beta * p[c, i, j, z]


# -- the soft side of cut voxels, see `surface` -------------------------------------------------------------------------


@njit(**_options)
def soft_side(lo, hi, mark, index, stiff, whole):
    """Marks nodes that touch cut voxels and no pure voxel as stiff as these: the stiff phase is stiffer than any mixture."""
    nx, ny, nz = index.shape
    for i in range(lo, hi):
        for j in range(ny):
            for z in range(nz):
                pure, cut = 0.0, 0.0
                for di in range(2):
                    for dj in range(2):
                        for dz in range(2):
                            e = index[(i - di) % nx, (j - dj) % ny, (z - dz) % nz]
                            if whole[e]:
                                pure = max(pure, stiff[e])
                            else:
                                cut = max(cut, stiff[e])
                mark[i, j, z] = cut > pure


@njit(**_options)
def _gradients(g, corner, out):
    """Gradient of a corner's shape function: coefficients of the polynomials 1, x, y, z, yz, xz, xy, shape (7, 3)."""
    sx, sy, sz = 2.0 * (corner >> 2 & 1) - 1.0, 2.0 * (corner >> 1 & 1) - 1.0, 2.0 * (corner & 1) - 1.0
    gx, gy, gz = 0.125 * g[0] * sx, 0.125 * g[1] * sy, 0.125 * g[2] * sz
    out[:] = 0.0
    out[0, 0], out[0, 1], out[0, 2] = gx, gy, gz
    out[1, 1], out[1, 2] = gy * sx, gz * sx
    out[2, 0], out[2, 2] = gx * sy, gz * sy
    out[3, 0], out[3, 1] = gx * sz, gy * sz
    out[4, 0], out[5, 1], out[6, 2] = gx * sy * sz, gy * sx * sz, gz * sx * sy


@njit(**_options)
def blocks(lo, hi, nodes, number, index, tensor, whole, full, position, g, norms, neighbour, block):
    """Rows of the stiffness between the marked nodes.

    ``neighbour`` (nodes, 27), -1 beyond the last; ``block`` (nodes, 27, components, components);
    ``position[i, k, j, l]`` is where a packed tensor holds the constant C_ikjl.
    """
    nx, ny, nz = index.shape
    components = block.shape[2]
    gradient = np.empty((8, 7, 3))
    for corner in range(8):
        _gradients(g, corner, gradient[corner])
    for row in range(lo, hi):
        flat = nodes[row]
        i, j, z = flat // (ny * nz), flat // nz % ny, flat % nz
        for a in range(8):
            x0, y0, z0 = (i - (a >> 2 & 1)) % nx, (j - (a >> 1 & 1)) % ny, (z - (a & 1)) % nz
            e = index[x0, y0, z0]
            polynomials = 7 if full and whole[e] else 1
            for b in range(8):
                other = number[(x0 + (b >> 2 & 1)) % nx, (y0 + (b >> 1 & 1)) % ny, (z0 + (b & 1)) % nz]
                if other < 0:
                    continue
                at = 0
                while neighbour[row, at] >= 0 and neighbour[row, at] != other:
                    at += 1
                neighbour[row, at] = other
                for c in range(components):
                    for d in range(components):
                        t = 0.0
                        for k in range(3):
                            for m in range(3):
                                weight = 0.0
                                for q in range(polynomials):
                                    weight += norms[q] * gradient[a, q, k] * gradient[b, q, m]
                                t += weight * tensor[e, position[c, k, d, m]]
                        block[row, at, c, d] += t


@njit(**_options)
def chebyshev(lo, hi, start, neighbour, block, right, y, step, c1, c2, out):
    """``step = c1 step + c2 (right - D^-1 A y)``, ``out = y + step``."""
    components = y.shape[1]
    for row in range(lo, hi):
        for c in range(components):
            t = right[row, c]
            for at in range(start[row], start[row + 1]):
                for d in range(components):
                    t -= block[at, c, d] * y[neighbour[at], d]
            s = c1 * step[row, c] + c2 * t
            step[row, c] = s
            out[row, c] = y[row, c] + s
