"""Trilinear finite elements on a periodic voxel grid, on the CPU: matrix-free stiffness, Green operator and PCG updates.

Every voxel is one element with 2x2x2 Gauss points; node (i, j, k) is the lower corner of voxel (i, j, k). The nodal values
of a voxel are combined into the modes 1, x, y, z, xy, xz, yz, xyz (a Hadamard transform), in which the strain is a sum of
seven polynomials orthogonal over the voxel: the exact integrals (those of the eight Gauss points) need seven sparse
products with the material tensor and no element matrix. Leaving all but the constant polynomial out is the rotated scheme
(Willot, C. R. Mecanique 343 (2015) 232), i.e. one Gauss point a voxel.

Loops run over slabs of index 0 on a thread pool. A slab starts by repeating the element layer below it, so that no two threads
write to the same node and the result has the same bits for any number of threads.

Tensors are in the order xx, yy, zz, yz, xz, xy with engineering shear strains. All sums over voxels are in double precision.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pyfftw
from numba import njit

from .base import cpu_threads
from .cache import cache_folder
from .voxel_surface import SurfaceSolver

#: Voxels of a row treated at once (its modes stay in the first-level cache) and the distance between rows of scratch space.
_BLOCK, _ROW = 128, 152
_SERIAL = 16384
# NaN must stay NaN: no nnan, ninf.
_FAST = {"contract", "reassoc", "nsz", "arcp"}
_options: dict[str, Any] = {"nogil": True, "cache": True, "fastmath": _FAST, "error_model": "numpy"}
_inline = njit(fastmath=_FAST, error_model="numpy", inline="always")


# -- stiffness ---------------------------------------------------------------------------------------------------------


@njit(**_options)
def _xy_modes(u, i, j, z0, m, s, at):
    """Values of four node rows as 1, y, x, xy combinations: rows ``at`` to ``at + 3`` of the scratch space, m + 1 entries."""
    nx, ny, nz = u.shape
    i1, j1 = (i + 1) % nx, (j + 1) % ny
    o0, o1, o2, o3 = at * _ROW, (at + 1) * _ROW, (at + 2) * _ROW, (at + 3) * _ROW
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
    o = at * _ROW
    for q in range(4):  # upper contributions lie one entry further
        s[o + (2 * q) * _ROW + m] = 0.0
        s[o + (2 * q + 1) * _ROW] = 0.0
    for z in range(m + 1):
        t0 = s[o + z] + s[o + _ROW + z]
        t1 = s[o + 2 * _ROW + z] + s[o + 3 * _ROW + z]
        t2 = s[o + 4 * _ROW + z] + s[o + 5 * _ROW + z]
        t3 = s[o + 6 * _ROW + z] + s[o + 7 * _ROW + z]
        s[o + z] = (t0 - t1) - (t2 - t3)
        s[o + _ROW + z] = (t0 + t1) - (t2 + t3)
        s[o + 2 * _ROW + z] = (t0 - t1) + (t2 - t3)
        s[o + 3 * _ROW + z] = (t0 + t1) + (t2 + t3)
    # One target at a time: with one row of nodes (two-dimensional grids) the targets are the same.
    for z in range(m):
        low[j, z0 + z] += s[o + z]
    for z in range(m):
        low[j1, z0 + z] += s[o + _ROW + z]
    for z in range(m):
        high[j, z0 + z] += s[o + 2 * _ROW + z]
    for z in range(m):
        high[j1, z0 + z] += s[o + 3 * _ROW + z]
    z = (z0 + m) % nz
    low[j, z] += s[o + m]
    low[j1, z] += s[o + _ROW + m]
    high[j, z] += s[o + 2 * _ROW + m]
    high[j1, z] += s[o + 3 * _ROW + m]


@njit(**_options)
def _isotropic_scalar(s, m, gx, gy, gz, flux):
    """Forces of the modes for voxels with conductivities in row 12."""
    third, ninth = s.dtype.type(1.0 / 3.0), s.dtype.type(1.0 / 9.0)
    px, py, pz = s.dtype.type(0), s.dtype.type(0), s.dtype.type(0)
    for z in range(m):
        k = s[12 * _ROW + z]
        qx = k * gx * (s[2 * _ROW + z] + s[2 * _ROW + z + 1])
        qy = k * gy * (s[_ROW + z] + s[_ROW + z + 1])
        qz = k * gz * (s[z + 1] - s[z])
        px += qx
        py += qy
        pz += qz
        fx, fy, fz = gx * qx, gy * qy, gz * qz
        a, b, c = gx * gx, gy * gy, gz * gz
        fxy = k * third * (a + b) * (s[3 * _ROW + z] + s[3 * _ROW + z + 1])
        fxz = k * third * (a + c) * (s[2 * _ROW + z + 1] - s[2 * _ROW + z])
        fyz = k * third * (b + c) * (s[_ROW + z + 1] - s[_ROW + z])
        fxyz = k * ninth * (a + b + c) * (s[3 * _ROW + z + 1] - s[3 * _ROW + z])
        s[4 * _ROW + z] = -fz
        s[5 * _ROW + z + 1] = fz
        s[6 * _ROW + z] = fy - fyz
        s[7 * _ROW + z + 1] = fy + fyz
        s[8 * _ROW + z] = fx - fxz
        s[9 * _ROW + z + 1] = fx + fxz
        s[10 * _ROW + z] = fxy - fxyz
        s[11 * _ROW + z + 1] = fxy + fxyz
    flux[0] += px
    flux[1] += py
    flux[2] += pz


@njit(**_options)
def _isotropic_scalar_rotated(s, m, gx, gy, gz, flux):
    """The same with the constant polynomial alone."""
    px, py, pz = s.dtype.type(0), s.dtype.type(0), s.dtype.type(0)
    for z in range(m):
        k = s[12 * _ROW + z]
        qx = k * gx * (s[2 * _ROW + z] + s[2 * _ROW + z + 1])
        qy = k * gy * (s[_ROW + z] + s[_ROW + z + 1])
        qz = k * gz * (s[z + 1] - s[z])
        px += qx
        py += qy
        pz += qz
        fx, fy, fz = gx * qx, gy * qy, gz * qz
        s[4 * _ROW + z] = -fz
        s[5 * _ROW + z + 1] = fz
        s[6 * _ROW + z] = fy
        s[7 * _ROW + z + 1] = fy
        s[8 * _ROW + z] = fx
        s[9 * _ROW + z + 1] = fx
        s[10 * _ROW + z] = 0.0
        s[11 * _ROW + z + 1] = 0.0
    flux[0] += px
    flux[1] += py
    flux[2] += pz


@njit(**_options)
def _scalar_layer(full, u, i, index, iso, rows, where, tensor, whole, g, s, low, high, flux):
    ny, nz = low.shape
    eighth = s.dtype.type(0.125)  # modes are means over the corners
    gx, gy, gz = g[0] * eighth, g[1] * eighth, g[2] * eighth
    third, ninth = s.dtype.type(1.0 / 3.0), s.dtype.type(1.0 / 9.0)
    for j in range(ny):
        first, last = rows[i * ny + j], rows[i * ny + j + 1]
        for z0 in range(0, nz, _BLOCK):
            m = min(_BLOCK, nz - z0)
            _xy_modes(u, i, j, z0, m, s, 0)
            for z in range(m):
                s[12 * _ROW + z] = iso[index[i, j, z0 + z]]
            if full:
                _isotropic_scalar(s, m, gx, gy, gz, flux)
            else:
                _isotropic_scalar_rotated(s, m, gx, gy, gz, flux)
            while first < last and where[first] < z0 + m:
                z = where[first] - z0
                e = index[i, j, where[first]]
                first += 1
                xx, yy, zz = tensor[e, 0], tensor[e, 1], tensor[e, 2]
                yz, xz, xy = tensor[e, 3], tensor[e, 4], tensor[e, 5]
                hx = gx * (s[2 * _ROW + z] + s[2 * _ROW + z + 1])
                hy = gy * (s[_ROW + z] + s[_ROW + z + 1])
                hz = gz * (s[z + 1] - s[z])
                qx = xx * hx + xy * hy + xz * hz
                qy = xy * hx + yy * hy + yz * hz
                qz = xz * hx + yz * hy + zz * hz
                flux[0] += qx
                flux[1] += qy
                flux[2] += qz
                fx, fy, fz = gx * qx, gy * qy, gz * qz
                fxy, fxz, fyz, fxyz = fx * 0, fx * 0, fx * 0, fx * 0
                if full and whole[e]:
                    mxy = s[3 * _ROW + z] + s[3 * _ROW + z + 1]
                    mxz = s[2 * _ROW + z + 1] - s[2 * _ROW + z]
                    myz = s[_ROW + z + 1] - s[_ROW + z]
                    mxyz = s[3 * _ROW + z + 1] - s[3 * _ROW + z]
                    a, b, c = gx * gx * xx, gy * gy * yy, gz * gz * zz
                    ab, ac, bc = gx * gy * xy, gx * gz * xz, gy * gz * yz
                    fxy = third * ((a + b) * mxy + bc * mxz + ac * myz)
                    fxz = third * ((a + c) * mxz + bc * mxy + ab * myz)
                    fyz = third * ((b + c) * myz + ac * mxy + ab * mxz)
                    fxyz = ninth * (a + b + c) * mxyz
                s[4 * _ROW + z] = -fz
                s[5 * _ROW + z + 1] = fz
                s[6 * _ROW + z] = fy - fyz
                s[7 * _ROW + z + 1] = fy + fyz
                s[8 * _ROW + z] = fx - fxz
                s[9 * _ROW + z + 1] = fx + fxz
                s[10 * _ROW + z] = fxy - fxyz
                s[11 * _ROW + z + 1] = fxy + fxyz
            _xy_scatter(s, 4, low, high, j, z0, m)


@njit(**_options)
def _apply_scalar(lo, hi, full, u, w, index, iso, rows, where, tensor, whole, g, partial):
    _, nx, ny, nz = u.shape
    s = np.empty(13 * _ROW, u.dtype)
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


@_inline
def _put(s, z, at, fx, fy, fz, fxy, fxz, fyz, fxyz):
    s[at * _ROW + z] = -fz
    s[(at + 1) * _ROW + z + 1] = fz
    s[(at + 2) * _ROW + z] = fy - fyz
    s[(at + 3) * _ROW + z + 1] = fy + fyz
    s[(at + 4) * _ROW + z] = fx - fxz
    s[(at + 5) * _ROW + z + 1] = fx + fxz
    s[(at + 6) * _ROW + z] = fxy - fxyz
    s[(at + 7) * _ROW + z + 1] = fxy + fxyz


@njit(**_options)
def _isotropic_elastic(s, m, gx, gy, gz, stress):
    """Forces of the modes for voxels with Lame constants in rows 36 and 37."""
    third, two = s.dtype.type(1.0 / 3.0), s.dtype.type(2)
    a, b, c = gx * gx, gy * gy, gz * gz
    p0, p1, p2 = s.dtype.type(0), s.dtype.type(0), s.dtype.type(0)
    p3, p4, p5 = s.dtype.type(0), s.dtype.type(0), s.dtype.type(0)
    for z in range(m):
        la, mu = s[36 * _ROW + z], s[37 * _ROW + z]
        # First derivatives of u, v, w: constant part.
        ux = gx * (s[2 * _ROW + z] + s[2 * _ROW + z + 1])
        uy = gy * (s[_ROW + z] + s[_ROW + z + 1])
        uz = gz * (s[z + 1] - s[z])
        vx = gx * (s[6 * _ROW + z] + s[6 * _ROW + z + 1])
        vy = gy * (s[5 * _ROW + z] + s[5 * _ROW + z + 1])
        vz = gz * (s[4 * _ROW + z + 1] - s[4 * _ROW + z])
        wx = gx * (s[10 * _ROW + z] + s[10 * _ROW + z + 1])
        wy = gy * (s[9 * _ROW + z] + s[9 * _ROW + z + 1])
        wz = gz * (s[8 * _ROW + z + 1] - s[8 * _ROW + z])
        tr = la * (ux + vy + wz)
        sxx, syy, szz = tr + two * mu * ux, tr + two * mu * vy, tr + two * mu * wz
        syz, sxz, sxy = mu * (vz + wy), mu * (uz + wx), mu * (uy + vx)
        p0 += sxx
        p1 += syy
        p2 += szz
        p3 += syz
        p4 += sxz
        p5 += sxy
        uxy = s[3 * _ROW + z] + s[3 * _ROW + z + 1]
        uxz = s[2 * _ROW + z + 1] - s[2 * _ROW + z]
        uyz = s[_ROW + z + 1] - s[_ROW + z]
        uxyz = s[3 * _ROW + z + 1] - s[3 * _ROW + z]
        vxy = s[7 * _ROW + z] + s[7 * _ROW + z + 1]
        vxz = s[6 * _ROW + z + 1] - s[6 * _ROW + z]
        vyz = s[5 * _ROW + z + 1] - s[5 * _ROW + z]
        vxyz = s[7 * _ROW + z + 1] - s[7 * _ROW + z]
        wxy = s[11 * _ROW + z] + s[11 * _ROW + z + 1]
        wxz = s[10 * _ROW + z + 1] - s[10 * _ROW + z]
        wyz = s[9 * _ROW + z + 1] - s[9 * _ROW + z]
        wxyz = s[11 * _ROW + z + 1] - s[11 * _ROW + z]
        la, mu = third * la, third * mu
        # Coefficient of x: derivatives by y (mode xy) and z (mode xz); likewise of y and z.
        tx = la * (gy * vxy + gz * wxz)
        xyy, xzz = tx + two * mu * gy * vxy, tx + two * mu * gz * wxz
        xyz = mu * (gz * vxz + gy * wxy)
        xxz, xxy = mu * gz * uxz, mu * gy * uxy
        ty = la * (gx * uxy + gz * wyz)
        yxx, yzz = ty + two * mu * gx * uxy, ty + two * mu * gz * wyz
        yxz = mu * (gz * uyz + gx * wxy)
        yyz, yxy = mu * gz * vyz, mu * gx * vxy
        tz = la * (gx * uxz + gy * vyz)
        zxx, zyy = tz + two * mu * gx * uxz, tz + two * mu * gy * vyz
        zxy = mu * (gy * uyz + gx * vxz)
        zyz, zxz = mu * gy * wyz, mu * gx * wxz
        la, mu = third * (la + mu), third * mu
        mu = mu * (a + b + c)
        _put(
            s, z, 12, gx * sxx, gy * sxy, gz * sxz,
            gy * xxy + gx * yxx, gz * xxz + gx * zxx, gz * yxz + gy * zxy, (mu + la * a) * uxyz,
        )  # fmt: skip
        _put(
            s, z, 20, gx * sxy, gy * syy, gz * syz,
            gy * xyy + gx * yxy, gz * xyz + gx * zxy, gz * yyz + gy * zyy, (mu + la * b) * vxyz,
        )  # fmt: skip
        _put(
            s, z, 28, gx * sxz, gy * syz, gz * szz,
            gy * xyz + gx * yxz, gz * xzz + gx * zxz, gz * yzz + gy * zyz, (mu + la * c) * wxyz,
        )  # fmt: skip
    stress[0] += p0
    stress[1] += p1
    stress[2] += p2
    stress[3] += p3
    stress[4] += p4
    stress[5] += p5


@njit(**_options)
def _isotropic_elastic_rotated(s, m, gx, gy, gz, stress):
    """The same with the constant polynomial alone."""
    two = s.dtype.type(2)
    p0, p1, p2 = s.dtype.type(0), s.dtype.type(0), s.dtype.type(0)
    p3, p4, p5 = s.dtype.type(0), s.dtype.type(0), s.dtype.type(0)
    for z in range(m):
        la, mu = s[36 * _ROW + z], s[37 * _ROW + z]
        # First derivatives of u, v, w: constant part.
        ux = gx * (s[2 * _ROW + z] + s[2 * _ROW + z + 1])
        uy = gy * (s[_ROW + z] + s[_ROW + z + 1])
        uz = gz * (s[z + 1] - s[z])
        vx = gx * (s[6 * _ROW + z] + s[6 * _ROW + z + 1])
        vy = gy * (s[5 * _ROW + z] + s[5 * _ROW + z + 1])
        vz = gz * (s[4 * _ROW + z + 1] - s[4 * _ROW + z])
        wx = gx * (s[10 * _ROW + z] + s[10 * _ROW + z + 1])
        wy = gy * (s[9 * _ROW + z] + s[9 * _ROW + z + 1])
        wz = gz * (s[8 * _ROW + z + 1] - s[8 * _ROW + z])
        tr = la * (ux + vy + wz)
        sxx, syy, szz = tr + two * mu * ux, tr + two * mu * vy, tr + two * mu * wz
        syz, sxz, sxy = mu * (vz + wy), mu * (uz + wx), mu * (uy + vx)
        p0 += sxx
        p1 += syy
        p2 += szz
        p3 += syz
        p4 += sxz
        p5 += sxy
        o = ux * 0
        _put(s, z, 12, gx * sxx, gy * sxy, gz * sxz, o, o, o, o)
        _put(s, z, 20, gx * sxy, gy * syy, gz * syz, o, o, o, o)
        _put(s, z, 28, gx * sxz, gy * syz, gz * szz, o, o, o, o)
    stress[0] += p0
    stress[1] += p1
    stress[2] += p2
    stress[3] += p3
    stress[4] += p4
    stress[5] += p5


@njit(**_options)
def _product(t, e0, e1, e2, e3, e4, e5):
    """Stress of a voxel from the 21 constants c11 c12 .. c16 c22 .. c66."""
    return (
        t[0] * e0 + t[1] * e1 + t[2] * e2 + t[3] * e3 + t[4] * e4 + t[5] * e5,
        t[1] * e0 + t[6] * e1 + t[7] * e2 + t[8] * e3 + t[9] * e4 + t[10] * e5,
        t[2] * e0 + t[7] * e1 + t[11] * e2 + t[12] * e3 + t[13] * e4 + t[14] * e5,
        t[3] * e0 + t[8] * e1 + t[12] * e2 + t[15] * e3 + t[16] * e4 + t[17] * e5,
        t[4] * e0 + t[9] * e1 + t[13] * e2 + t[16] * e3 + t[18] * e4 + t[19] * e5,
        t[5] * e0 + t[10] * e1 + t[14] * e2 + t[17] * e3 + t[19] * e4 + t[20] * e5,
    )


@njit(**_options)
def _anisotropic_elastic(full, s, z, t, gx, gy, gz, stress):
    """The same for one voxel with the 21 constants ``t``."""
    third, ninth = s.dtype.type(1.0 / 3.0), s.dtype.type(1.0 / 9.0)
    ux = gx * (s[2 * _ROW + z] + s[2 * _ROW + z + 1])
    uy = gy * (s[_ROW + z] + s[_ROW + z + 1])
    uz = gz * (s[z + 1] - s[z])
    vx = gx * (s[6 * _ROW + z] + s[6 * _ROW + z + 1])
    vy = gy * (s[5 * _ROW + z] + s[5 * _ROW + z + 1])
    vz = gz * (s[4 * _ROW + z + 1] - s[4 * _ROW + z])
    wx = gx * (s[10 * _ROW + z] + s[10 * _ROW + z + 1])
    wy = gy * (s[9 * _ROW + z] + s[9 * _ROW + z + 1])
    wz = gz * (s[8 * _ROW + z + 1] - s[8 * _ROW + z])
    sxx, syy, szz, syz, sxz, sxy = _product(t, ux, vy, wz, vz + wy, uz + wx, uy + vx)
    stress[0] += sxx
    stress[1] += syy
    stress[2] += szz
    stress[3] += syz
    stress[4] += sxz
    stress[5] += sxy
    if full:
        uxy = s[3 * _ROW + z] + s[3 * _ROW + z + 1]
        uxz = s[2 * _ROW + z + 1] - s[2 * _ROW + z]
        uyz = s[_ROW + z + 1] - s[_ROW + z]
        uxyz = s[3 * _ROW + z + 1] - s[3 * _ROW + z]
        vxy = s[7 * _ROW + z] + s[7 * _ROW + z + 1]
        vxz = s[6 * _ROW + z + 1] - s[6 * _ROW + z]
        vyz = s[5 * _ROW + z + 1] - s[5 * _ROW + z]
        vxyz = s[7 * _ROW + z + 1] - s[7 * _ROW + z]
        wxy = s[11 * _ROW + z] + s[11 * _ROW + z + 1]
        wxz = s[10 * _ROW + z + 1] - s[10 * _ROW + z]
        wyz = s[9 * _ROW + z + 1] - s[9 * _ROW + z]
        wxyz = s[11 * _ROW + z + 1] - s[11 * _ROW + z]
        o = ux * 0
        _, xyy, xzz, xyz, xxz, xxy = _product(
            t, o, gy * vxy, gz * wxz, gz * vxz + gy * wxy, gz * uxz, gy * uxy
        )  # fmt: skip
        yxx, _, yzz, yyz, yxz, yxy = _product(
            t, gx * uxy, o, gz * wyz, gz * vyz, gz * uyz + gx * wxy, gx * vxy
        )  # fmt: skip
        zxx, zyy, _, zyz, zxz, zxy = _product(
            t, gx * uxz, gy * vyz, o, gy * wyz, gx * wxz, gy * uyz + gx * vxz
        )  # fmt: skip
        a, b, c = ninth * gx * gx, ninth * gy * gy, ninth * gz * gz
        kxx = a * t[0] + b * t[20] + c * t[18]
        kyy = a * t[20] + b * t[6] + c * t[15]
        kzz = a * t[18] + b * t[15] + c * t[11]
        kxy = a * t[5] + b * t[10] + c * t[16]
        kxz = a * t[4] + b * t[17] + c * t[13]
        kyz = a * t[19] + b * t[8] + c * t[12]
        _put(
            s, z, 12, gx * sxx, gy * sxy, gz * sxz,
            third * (gy * xxy + gx * yxx), third * (gz * xxz + gx * zxx), third * (gz * yxz + gy * zxy),
            kxx * uxyz + kxy * vxyz + kxz * wxyz,
        )  # fmt: skip
        _put(
            s, z, 20, gx * sxy, gy * syy, gz * syz,
            third * (gy * xyy + gx * yxy), third * (gz * xyz + gx * zxy), third * (gz * yyz + gy * zyy),
            kxy * uxyz + kyy * vxyz + kyz * wxyz,
        )  # fmt: skip
        _put(
            s, z, 28, gx * sxz, gy * syz, gz * szz,
            third * (gy * xyz + gx * yxz), third * (gz * xzz + gx * zxz), third * (gz * yzz + gy * zyz),
            kxz * uxyz + kyz * vxyz + kzz * wxyz,
        )  # fmt: skip
    else:
        o = ux * 0
        _put(s, z, 12, gx * sxx, gy * sxy, gz * sxz, o, o, o, o)
        _put(s, z, 20, gx * sxy, gy * syy, gz * syz, o, o, o, o)
        _put(s, z, 28, gx * sxz, gy * syz, gz * szz, o, o, o, o)


@njit(**_options)
def _elastic_layer(full, u, i, index, iso, rows, where, tensor, whole, g, s, low, high, stress):
    _, ny, nz = low.shape
    eighth = s.dtype.type(0.125)  # modes are means over the corners
    gx, gy, gz = g[0] * eighth, g[1] * eighth, g[2] * eighth
    for j in range(ny):
        first, last = rows[i * ny + j], rows[i * ny + j + 1]
        for z0 in range(0, nz, _BLOCK):
            m = min(_BLOCK, nz - z0)
            for c in range(3):
                _xy_modes(u[c], i, j, z0, m, s, 4 * c)
            for z in range(m):
                e = index[i, j, z0 + z]
                s[36 * _ROW + z] = iso[e, 0]
                s[37 * _ROW + z] = iso[e, 1]
            if full:
                _isotropic_elastic(s, m, gx, gy, gz, stress)
            else:
                _isotropic_elastic_rotated(s, m, gx, gy, gz, stress)
            while first < last and where[first] < z0 + m:
                e = index[i, j, where[first]]
                _anisotropic_elastic(full and whole[e], s, where[first] - z0, tensor[e], gx, gy, gz, stress)
                first += 1
            for c in range(3):
                _xy_scatter(s, 12 + 8 * c, low[c], high[c], j, z0, m)


@njit(**_options)
def _apply_elastic(lo, hi, full, u, w, index, iso, rows, where, tensor, whole, g, partial):
    _, nx, ny, nz = u.shape
    s = np.empty(38 * _ROW, u.dtype)
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
def _load(lo, hi, w, index, table, g):
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
def _corner_mean(lo, hi, out, index, value):
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


# -- Green operator ----------------------------------------------------------------------------------------------------


@njit(**_options)
def _green_scalar(lo, hi, w, mass, second, first, k, weight, scale, partial):
    """``w = G w`` in place on interleaved complex modes; ``partial`` sums ``conj(w) G w``."""
    _, _, ny, row = w.shape
    nz = row // 2
    for i in range(lo, hi):
        dot = 0.0
        for j in range(ny):
            xx, yy = second[0, i] * mass[1, j], mass[0, i] * second[1, j]
            zz, xy = mass[0, i] * mass[1, j], first[0, i] * first[1, j]
            xz, yz = first[0, i] * mass[1, j], mass[0, i] * first[1, j]
            c0 = k[0] * xx + k[1] * yy + 2 * k[5] * xy
            c1 = 2 * (k[3] * yz + k[4] * xz)
            c2 = k[2] * zz
            for z in range(nz):
                d = c0 * mass[2, z] + c1 * first[2, z] + c2 * second[2, z]
                f = scale / d if d > 1e-30 else d * 0
                re, im = w[0, i, j, 2 * z], w[0, i, j, 2 * z + 1]
                dot += weight[z] * f * (re * re + im * im)
                w[0, i, j, 2 * z] = f * re
                w[0, i, j, 2 * z + 1] = f * im
        partial[0, i] = dot


@njit(**_options)
def _green_elastic(lo, hi, w, mass, second, first, k, weight, scale, partial):
    """The same for three displacements; ``k[ik, jl]`` is the reference C_ijkl summed over the orders of j, l."""
    _, _, ny, row = w.shape
    nz = row // 2
    for i in range(lo, hi):
        dot = 0.0
        for j in range(ny):
            xx, yy = second[0, i] * mass[1, j], mass[0, i] * second[1, j]
            zz, xy = mass[0, i] * mass[1, j], first[0, i] * first[1, j]
            xz, yz = first[0, i] * mass[1, j], mass[0, i] * first[1, j]
            m0 = k[0, 0] * xx + k[0, 1] * yy + k[0, 5] * xy
            m1 = k[1, 0] * xx + k[1, 1] * yy + k[1, 5] * xy
            m2 = k[2, 0] * xx + k[2, 1] * yy + k[2, 5] * xy
            m3 = k[3, 0] * xx + k[3, 1] * yy + k[3, 5] * xy
            m4 = k[4, 0] * xx + k[4, 1] * yy + k[4, 5] * xy
            m5 = k[5, 0] * xx + k[5, 1] * yy + k[5, 5] * xy
            f0 = k[0, 3] * yz + k[0, 4] * xz
            f1 = k[1, 3] * yz + k[1, 4] * xz
            f2 = k[2, 3] * yz + k[2, 4] * xz
            f3 = k[3, 3] * yz + k[3, 4] * xz
            f4 = k[4, 3] * yz + k[4, 4] * xz
            f5 = k[5, 3] * yz + k[5, 4] * xz
            s0, s1, s2 = k[0, 2] * zz, k[1, 2] * zz, k[2, 2] * zz
            s3, s4, s5 = k[3, 2] * zz, k[4, 2] * zz, k[5, 2] * zz
            for z in range(nz):
                m, f, s = mass[2, z], first[2, z], second[2, z]
                a, b, c = m0 * m + f0 * f + s0 * s, m1 * m + f1 * f + s1 * s, m2 * m + f2 * f + s2 * s
                d, e, h = m3 * m + f3 * f + s3 * s, m4 * m + f4 * f + s4 * s, m5 * m + f5 * f + s5 * s
                # Inverse of [[a, h, e], [h, b, d], [e, d, c]] by cofactors.
                ca, ch, ce = b * c - d * d, d * e - h * c, h * d - b * e
                cb, cd, cc = a * c - e * e, h * e - a * d, a * b - h * h
                det = a * ca + h * ch + e * ce
                t = a + b + c
                q = scale / det if det > 1e-24 * t * t * t else det * 0
                ca, ch, ce, cb, cd, cc = q * ca, q * ch, q * ce, q * cb, q * cd, q * cc
                xr, xi = w[0, i, j, 2 * z], w[0, i, j, 2 * z + 1]
                yr, yi = w[1, i, j, 2 * z], w[1, i, j, 2 * z + 1]
                zr, zi = w[2, i, j, 2 * z], w[2, i, j, 2 * z + 1]
                ar, ai = ca * xr + ch * yr + ce * zr, ca * xi + ch * yi + ce * zi
                br, bi = ch * xr + cb * yr + cd * zr, ch * xi + cb * yi + cd * zi
                cr, ci = ce * xr + cd * yr + cc * zr, ce * xi + cd * yi + cc * zi
                dot += weight[z] * (ar * xr + ai * xi + br * yr + bi * yi + cr * zr + ci * zi)
                w[0, i, j, 2 * z] = ar
                w[0, i, j, 2 * z + 1] = ai
                w[1, i, j, 2 * z] = br
                w[1, i, j, 2 * z + 1] = bi
                w[2, i, j, 2 * z] = cr
                w[2, i, j, 2 * z + 1] = ci
        partial[0, i] = dot


# -- conjugate gradients -----------------------------------------------------------------------------------------------


@njit(**_options)
def _advance(lo, hi, alpha, u, r, p, w, jacobi, partial):
    """``u += alpha p; r -= alpha w; w = jacobi r``; ``partial`` sums ``r r``."""
    components, _, ny, nz = u.shape
    scaled = jacobi.shape[0] > 1 or jacobi.shape[2] > 1
    for i in range(lo, hi):
        dot = 0.0
        for c in range(components):
            for j in range(ny):
                if scaled:
                    for z in range(nz):
                        u[c, i, j, z] += alpha * p[c, i, j, z]
                        t = r[c, i, j, z] - alpha * w[c, i, j, z]
                        r[c, i, j, z] = t
                        w[c, i, j, z] = jacobi[i, j, z] * t
                        dot += t * t
                else:
                    for z in range(nz):
                        u[c, i, j, z] += alpha * p[c, i, j, z]
                        t = r[c, i, j, z] - alpha * w[c, i, j, z]
                        r[c, i, j, z] = t
                        w[c, i, j, z] = t
                        dot += t * t
        partial[0, i] = dot


@njit(**_options)
def _direction(lo, hi, beta, p, w, jacobi):
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


# -- the object that owns threads and plans ----------------------------------------------------------------------------


class VoxelKernels:
    """The operators of one voxel grid, for one (scalar) or three (elastic) components.

    Args:
        shape: voxels along the three array axes. spacing: edge lengths of a voxel.
        components: 1 or 3.
        dtype: ``float64`` or ``float32``.
        full: all polynomials (2x2x2 Gauss points) or the constant one alone (rotated scheme).
        threads: number of threads; None takes the default of `cpu_threads`.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        spacing: tuple[float, float, float],
        components: int,
        dtype: str = "float64",
        full: bool = True,
        threads: int | None = None,
    ) -> None:
        self.shape, self.components, self.full = shape, components, full
        self.dtype = np.dtype(dtype)
        self.voxels = int(np.prod(shape))
        self.threads = cpu_threads(threads) if self.voxels > _SERIAL else 1
        self._pool = _pool(self.threads)
        # Derivatives in voxel coordinates -1..1; energies are means over the voxels, so volumes drop out.
        self.g = np.array([2.0 / h for h in spacing], self.dtype)
        self._partial = np.zeros((7, shape[0]))
        self.symbols = tuple(np.ascontiguousarray(t, self.dtype) for t in _symbols(shape, self.g, full))
        self.weight = np.full(shape[2] // 2 + 1, 2.0, self.dtype)
        self.weight[0] = 1.0
        if shape[2] % 2 == 0:
            self.weight[-1] = 1.0
        self._fft: tuple[Any, Any] | None = None

    def _run(self, task: Callable[..., None], *arguments: Any) -> None:
        self.spread(self.shape[0], task, *arguments)

    def spread(self, n: int, task: Callable[..., None], *arguments: Any) -> None:
        """Runs ``task(low, high, *arguments)`` on the threads, 0 to n in all."""
        chunks = max(1, min(self.threads, n))
        edges = [n * i // chunks for i in range(chunks + 1)]
        others = [self._pool.submit(task, lo, hi, *arguments) for lo, hi in pairwise(edges[1:])]
        task(edges[0], edges[1], *arguments)
        for other in others:
            other.result()

    def field(self) -> np.ndarray:
        """A zeroed field of the nodes, shape ``(components, n0, n1, n2)``."""
        return pyfftw.zeros_aligned((self.components, *self.shape), self.dtype, n=64)

    def spectral(self) -> np.ndarray:
        """A zeroed field with rows padded for in-place transforms."""
        return pyfftw.zeros_aligned((self.components, *self.shape[:2], 2 * (self.shape[2] // 2 + 1)), self.dtype, n=64)

    def apply(self, u: np.ndarray, w: np.ndarray, material: Material) -> tuple[float, np.ndarray]:
        """``w = K u``; returns ``u . w`` and the sum of the stress (flux) over the voxels, both for voxels of volume 1."""
        arguments = (
            material.index,
            material.iso,
            material.rows,
            material.where,
            material.tensor,
            material.whole,
        )
        task = _apply_scalar if self.components == 1 else _apply_elastic
        self._run(task, self.full, u, w, *arguments, self.g, self._partial)
        total = self._partial.sum(axis=1)
        return float(total[0]), total[1 : 1 + (3 if self.components == 1 else 6)].copy()

    def load(self, w: np.ndarray, index: np.ndarray, table: np.ndarray) -> None:
        """``w = B^T s`` for ``s = table[index]``; ``table`` has shape (entries, components, 3)."""
        self._run(_load, w, index, np.ascontiguousarray(table, dtype=self.dtype), self.g)

    def corner_mean(self, index: np.ndarray, value: np.ndarray) -> np.ndarray:
        """Mean of ``value[index]`` over the eight voxels around each node, shape of the grid."""
        out = np.empty(self.shape, self.dtype)
        self._run(_corner_mean, out, index, np.asarray(value, float))
        return out

    def surface(self, material: Material, stiff: np.ndarray) -> SurfaceSolver:
        """The solver on the soft side of cut voxels; ``stiff`` is the size of every entry's tensor."""
        return SurfaceSolver(self, material, stiff)

    def advance(self, alpha: float, u: Any, r: Any, p: Any, w: Any, jacobi: Any) -> float:
        """``u += alpha p; r -= alpha w; w = jacobi r``; returns ``r . r``."""
        self._run(_advance, self.dtype.type(alpha), u, r, p, w, jacobi, self._partial)
        return float(self._partial[0].sum())

    def direction(self, beta: float, p: Any, w: Any, jacobi: Any) -> None:
        """``p = jacobi w + beta p``"""
        self._run(_direction, self.dtype.type(beta), p, w, jacobi)

    def green(self, w: np.ndarray, reference: np.ndarray) -> float:
        """``w = G w`` with the Green operator of a homogeneous medium; returns ``w . G w``.

        Args:
            reference: shape (6,) xx, yy, zz, yz, xz, xy for scalars, else (6, 6), see `reference_table`.
        """
        if self._fft is None:
            self._fft = _plan(w[:1], self.shape[2], self.threads)
        forward, inverse = self._fft
        modes = w.view(np.result_type(self.dtype, np.complex64))
        for c in range(self.components):
            forward.update_arrays(w[c : c + 1, ..., : self.shape[2]], modes[c : c + 1])
            forward.execute()
        kernel = _green_scalar if self.components == 1 else _green_elastic
        scale = self.dtype.type(1.0 / self.voxels)
        self._run(
            kernel, w, *self.symbols, np.ascontiguousarray(reference, self.dtype), self.weight, scale, self._partial
        )
        for c in range(self.components):
            inverse.update_arrays(modes[c : c + 1], w[c : c + 1, ..., : self.shape[2]])
            inverse.execute()
        return float(self._partial[0].sum())


class WalledKernels(VoxelKernels):
    """The same for a cell with walls instead of periodic faces.

    ``kinematic``: the fluctuation vanishes on the faces (node layer 0, which is also the last). ``static``: the faces are
    free; the grid needs one layer of voids at the end of every axis with more than one voxel, behind which the first layer
    of nodes is not felt.

    The preconditioner is the Green operator of a homogeneous medium without coupling of the displacements, diagonal in
    sines or cosines of the nodes (DST-I, DCT-I).

    Args:
        walls: ``kinematic`` or ``static``. Others as for `VoxelKernels`.
    """

    def __init__(
        self,
        walls: str,
        shape: tuple[int, int, int],
        spacing: tuple[float, float, float],
        components: int,
        dtype: str = "float64",
        full: bool = True,
        threads: int | None = None,
    ) -> None:
        super().__init__(shape, spacing, components, dtype, full, threads)
        self.walls = walls
        self._axes = tuple(d for d, n in enumerate(shape) if n > 1)
        first = 1 if walls == "kinematic" else 0
        self._inner = tuple(slice(first if d in self._axes else 0, n) for d, n in enumerate(shape))
        self._symbol: np.ndarray | None = None
        self._plans: tuple[Any, Any] | None = None

    def _clear(self, w: np.ndarray) -> None:
        """Zero on the faces."""
        if self.walls == "kinematic":
            for d in self._axes:
                w[(slice(None),) * (d + 1) + (0,)] = 0.0

    def apply(self, u: np.ndarray, w: np.ndarray, material: Material) -> tuple[float, np.ndarray]:
        result = super().apply(u, w, material)
        self._clear(w)
        return result

    def load(self, w: np.ndarray, index: np.ndarray, table: np.ndarray) -> None:
        super().load(w, index, table)
        self._clear(w)

    def _prepare(self, w: np.ndarray, reference: np.ndarray) -> None:
        mass, second = [], []
        norm = 1.0
        for d, n in enumerate(self.shape):
            if d not in self._axes:
                mass.append(np.ones(1))
                second.append(np.zeros(1))
                continue
            cells = n if self.walls == "kinematic" else n - 1
            norm *= 2 * cells
            k = np.arange(1, n) if self.walls == "kinematic" else np.arange(n)
            sine2 = np.sin(np.pi * k / (2 * cells)) ** 2
            mass.append(1 - sine2 * (2 / 3 if self.full else 1.0))
            second.append(float(self.g[d]) ** 2 * sine2)
        products = []
        for d in range(3):
            parts = [second[a] if a == d else mass[a] for a in range(3)]
            products.append(parts[0][:, None, None] * parts[1][:, None] * parts[2])
        symbol = np.stack([sum(row[d] * products[d] for d in range(3)) for row in reference]) * norm
        floor = 1e-12 * symbol.max()
        self._symbol = np.where(symbol > floor, 1 / np.maximum(symbol, floor), 0.0).astype(self.dtype)
        kind = "FFTW_RODFT00" if self.walls == "kinematic" else "FFTW_REDFT00"
        block = w[(slice(None), *self._inner)]
        scratch = np.zeros_like(block)
        self._scratch = scratch
        axes = tuple(d + 1 for d in self._axes)
        options: dict[str, Any] = {"axes": axes, "threads": self.threads, "flags": ("FFTW_ESTIMATE", "FFTW_UNALIGNED")}
        plan = pyfftw.FFTW(scratch, scratch, direction=(kind,) * len(axes), **options)
        self._plans = (plan, plan)

    def green(self, w: np.ndarray, reference: np.ndarray) -> float:
        """``w = G w``; ``reference`` has shape (components, 3): stiffness of a component to its derivatives."""
        if self._plans is None:
            self._prepare(w, reference)
        assert self._plans is not None
        block = w[(slice(None), *self._inner)]
        before = block.copy()
        self._scratch[...] = block
        if self.walls == "static":
            for d in self._axes:
                for face in (0, -1):
                    self._scratch[(slice(None),) * (d + 1) + (face,)] *= 2
        self._plans[0].execute()
        self._scratch *= self._symbol
        self._plans[1].execute()
        w[...] = 0.0
        block[...] = self._scratch
        return float(np.vdot(before, block))


#: Row and column of the packed constants of symmetric matrices, and the packed position of every row and column.
_UPPER = {3: (np.array([0, 1, 2, 1, 0, 0]), np.array([0, 1, 2, 2, 2, 1])), 6: np.triu_indices(6)}


def _positions(order: int) -> np.ndarray:
    out = np.empty((order, order), int)
    rows, columns = _UPPER[order]
    out[rows, columns] = out[columns, rows] = np.arange(len(rows))
    return out


def pack(tensors: np.ndarray) -> np.ndarray:
    """(entries, 6, 6) or (entries, 3, 3) symmetric matrices as (entries, 21) or (entries, 6) constants."""
    rows, columns = _UPPER[tensors.shape[-1]]
    return np.ascontiguousarray(tensors[..., rows, columns])


def unpack(packed: np.ndarray) -> np.ndarray:
    """The inverse of `pack`."""
    return packed[..., _positions(6 if packed.shape[-1] == 21 else 3)]


class Material:
    """Material tensors by voxel: a table of entries and the entry of every voxel.

    Args:
        index: entry of every voxel, int32, shape of the grid.
        packed: (entries, 6) or, in engineering (Voigt) form, (entries, 21), see `pack`.
        dtype: of the tables.
        cut: per entry, whether it is a mixture of phases. The tensor of a mixture relates mean strain to mean stress; what the
            strain does within the voxel it does not know, so such voxels take the constant polynomial alone in any scheme.
            Measured on cylinders with laminate voxels this divides the error by four.
    """

    def __init__(
        self, index: np.ndarray, packed: np.ndarray, dtype: str = "float64", cut: np.ndarray | None = None
    ) -> None:
        self.index = index
        self.order = 6 if packed.shape[-1] == 21 else 3
        self.tensor = np.ascontiguousarray(packed, dtype=dtype)
        if self.order == 3:
            constants = packed[:, :1]
            expected = np.array([[1.0, 1, 1, 0, 0, 0]])
        else:
            constants = packed[:, [1, 15]]  # lambda, mu
            expected = np.zeros((2, 21))
            expected[0, [0, 1, 2, 6, 7, 11]] = 1
            expected[1, [0, 6, 11, 15, 18, 20]] = [2, 2, 2, 1, 1, 1]
        off = np.abs(packed - constants @ expected).max(axis=1)
        plain = off <= 1e-14 * np.abs(packed).max(axis=1)
        iso = np.where(plain[:, None], constants, 0.0)
        self.iso = np.ascontiguousarray(iso[:, 0] if self.order == 3 else iso, dtype=dtype)
        self.whole = np.ones(len(plain), bool) if cut is None else ~cut
        # Anisotropic voxels row by row: their positions in the row.
        rows = index.shape[0] * index.shape[1]
        if plain.all():
            self.rows, self.where = np.zeros(rows + 1, np.int64), np.zeros(0, np.int32)
        else:
            flat = np.flatnonzero(~plain[index.ravel()])
            self.where = (flat % index.shape[2]).astype(np.int32)
            self.rows = np.concatenate([[0], np.cumsum(np.bincount(flat // index.shape[2], minlength=rows))]).astype(
                np.int64
            )

    def product(self, strain: np.ndarray) -> np.ndarray:
        """Stress (entries, order) of every entry for one strain."""
        return np.stack([self.tensor[:, row] @ strain for row in _positions(self.order)], axis=1)

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in (self.index, self.iso, self.rows, self.where, self.tensor, self.whole))


def reference_table(stiffness: np.ndarray) -> np.ndarray:
    """The (6, 6) array ``k[ik, jl]`` of `VoxelKernels.green` for a stiffness in Voigt form."""
    voigt = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
    pairs = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
    k = np.empty((6, 6))
    for a, (i, m) in enumerate(pairs):
        for b, (j, n) in enumerate(pairs):
            k[a, b] = stiffness[voigt[i, j], voigt[m, n]]
            if j != n:
                k[a, b] += stiffness[voigt[i, n], voigt[m, j]]
    return k


def _symbols(shape: tuple[int, ...], g: np.ndarray, full: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per axis and wavenumber: mean of squared values, of squared derivatives, of value times derivative."""
    out = np.zeros((3, 3, max(shape)))
    for d, n in enumerate(shape):
        i = np.arange(n)
        sine, cosine = np.sin(np.pi * i / n), np.cos(np.pi * i / n)
        if n % 2 == 0:
            cosine[n // 2] = 0.0
        out[0, d, :n] = cosine**2 + (sine**2 / 3 if full else 0.0)
        out[1, d, :n] = (float(g[d]) * sine) ** 2
        out[2, d, :n] = float(g[d]) * sine * cosine
    return out[0], out[1], out[2]


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, threads - 1), thread_name_prefix="phasefield-voxel")


def _plan(buffer: np.ndarray, n: int, threads: int) -> tuple[Any, Any]:
    """In-place plans of one component; measured once and kept as wisdom in the cache folder."""
    shape = "x".join(map(str, (*buffer.shape[1:3], n)))
    path = cache_folder() / "fftw" / f"voxel-{shape}-{buffer.dtype}-t{threads}.wisdom"
    with contextlib.suppress(OSError, ValueError, SyntaxError, TypeError):
        pyfftw.import_wisdom(ast.literal_eval(path.read_text()))
    work = pyfftw.zeros_aligned(buffer.shape, buffer.dtype, n=64)
    modes = work.view(np.result_type(buffer.dtype, np.complex64))
    options: dict[str, Any] = {"axes": (1, 2, 3), "threads": threads, "planning_timelimit": 5.0}
    forward = pyfftw.FFTW(work[..., :n], modes, direction="FFTW_FORWARD", flags=("FFTW_MEASURE",), **options)
    flags = ("FFTW_MEASURE", "FFTW_DESTROY_INPUT")
    inverse = pyfftw.FFTW(modes, work[..., :n], direction="FFTW_BACKWARD", flags=flags, **options)
    if not path.exists():
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as handle:
                handle.write(repr(pyfftw.export_wisdom()))
            os.replace(handle.name, path)
    return forward, inverse
