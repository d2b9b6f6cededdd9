"""Rows of local strains of the loads, from nodal values: a part of the loops of `moments`, see ``moments_loops.py``.

A voxel's strain is a polynomial in its coordinates -1 to 1; what is written are the coefficients of each polynomial in every
voxel of a row, in the precision of the fields.
"""

# ruff: noqa: F821
# mypy: disable-error-code="name-defined"
from __future__ import annotations

#: Voxels of a row treated at once, and the distance between rows of products; voxels whose strains, which the cache of the first
#: level then holds, are known at the same time, and the distance between rows of strains.
_MOST, _LONG = 64, 72
_PART, _LINE = 256 // BYTES, 256 // BYTES + 8
#: Components of the strain (gradient).
_SIZE = 6 if COMPONENTS == 3 else 3

#: Rows of strains of a load, times the root of the polynomial's weight (1, 1/3, 1/9), so that sums over a voxel are sums of
#: products of rows: traces of 1, x, y, z; normal strains of xyz, of 1, of x, y and z; shear strains of 1, of x, y and z, of xyz;
#: and normal strains with half the shear strains of all but 1: of three pairs of modes, of six modes alone, and of xyz.
#: For scalars the gradient of 1, of x, y and z, of xyz all in one, and of each of the modes xy, xz, yz in one.
_ROWS = 43 if COMPONENTS == 3 else 13


@_function
def _line(load, row):
    """Where a row of strains of a load begins."""
    return uint64((load * _ROWS + row) * _LINE)


@_loop
def _xy_modes(u, component, i, j, z0, m, s):
    """Values of four node rows as 1, y, x, xy combinations, sums over the corners, m + 1 entries, in the component's rows."""
    nx, ny, nz = u.shape[1:]
    i1, j1 = (i + 1) % nx, (j + 1) % ny
    first, line = uint64(z0), uint64(_LINE)
    o0 = uint64(4 * component * _LINE)
    o1, o2, o3 = o0 + line, o0 + line + line, o0 + line + line + line
    for z in range(uint64(m)):
        a, b = u[component, i, j, first + z], u[component, i, j1, first + z]
        c, d = u[component, i1, j, first + z], u[component, i1, j1, first + z]
        s[o0 + z] = (a + b) + (c + d)
        s[o1 + z] = (b - a) + (d - c)
        s[o2 + z] = (c + d) - (a + b)
        s[o3 + z] = (d - c) - (b - a)
    z, last = (z0 + m) % nz, uint64(m)
    a, b = u[component, i, j, z], u[component, i, j1, z]
    c, d = u[component, i1, j, z], u[component, i1, j1, z]
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
    hx, hy, hz = REAL(root * gx), REAL(root * gy), REAL(root * gz)
    if COMPONENTS == 1:
        o3, o4, o5, o6 = _line(load, 3), _line(load, 4), _line(load, 5), _line(load, 6)
        o7, o8, o9 = _line(load, 7), _line(load, 8), _line(load, 9)
        all_axes = REAL(np.sqrt(gx * gx + gy * gy + gz * gz) / 3.0)
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
        _line(load, 4), _line(load, 5), _line(load, 6), _line(load, 28), _line(load, 29), _line(load, 30)
    )  # fmt: skip
    kx, ky, kz = REAL(gx / 3.0), REAL(gy / 3.0), REAL(gz / 3.0)
    lx, ly, lz = REAL(np.sqrt(ky * ky + kz * kz)), REAL(np.sqrt(kx * kx + kz * kz)), REAL(np.sqrt(kx * kx + ky * ky))
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


@_loop
def _isotropic(s, load, m, gx, gy, gz, mean, x):
    """What the sums of isotropic tensors need: the constant strain (gradient), traces, and a row for each mode of the others."""
    root, half = np.sqrt(1.0 / 3.0), np.sqrt(0.5)
    hx, hy, hz = root * gx, root * gy, root * gz
    if COMPONENTS == 1:
        o0, o1, o2 = _line(load, 0), _line(load, 1), _line(load, 2)
        o3, o4, o5, o6 = _line(load, 9), _line(load, 10), _line(load, 11), _line(load, 12)
        qxy, qxz, qyz = (
            REAL(np.sqrt(hx * hx + hy * hy)), REAL(np.sqrt(hx * hx + hz * hz)), REAL(np.sqrt(hy * hy + hz * hz))
        )  # fmt: skip
        all_axes, m0, m1, m2 = (
            REAL(np.sqrt(gx * gx + gy * gy + gz * gz) / 3.0),
            mean[load, 0],
            mean[load, 1],
            mean[load, 2],
        )
        for z in range(uint64(m)):
            ux, uy, uz, xy, xz, yz, xyz = _modes(s, 0, z)
            x[o0 + z], x[o1 + z], x[o2 + z] = gx * ux + m0, gy * uy + m1, gz * uz + m2
            x[o3 + z], x[o4 + z], x[o5 + z], x[o6 + z] = all_axes * xyz, qxy * xy, qxz * xz, qyz * yz
        return
    m0, m1, m2, m3, m4, m5 = mean[load, 0], mean[load, 1], mean[load, 2], mean[load, 3], mean[load, 4], mean[load, 5]
    t0, t1, t2, t3 = _line(load, 0), _line(load, 1), _line(load, 2), _line(load, 3)
    e0, e1, e2, n0, n1, n2 = (
        _line(load, 4), _line(load, 5), _line(load, 6), _line(load, 7), _line(load, 8), _line(load, 9)
    )  # fmt: skip
    s0, s1, s2, a0, a1, a2 = (
        _line(load, 16), _line(load, 17), _line(load, 18), _line(load, 31), _line(load, 32), _line(load, 33)
    )  # fmt: skip
    b0, b1, b2, b3, b4, b5 = (
        _line(load, 34), _line(load, 35), _line(load, 36), _line(load, 37), _line(load, 38), _line(load, 39)
    )  # fmt: skip
    c0, c1, c2 = _line(load, 40), _line(load, 41), _line(load, 42)
    xx, yy, zz = hx * hx, hy * hy, hz * hz
    uxy_, vxy_ = REAL(np.sqrt(xx + 0.5 * yy)), REAL(np.sqrt(yy + 0.5 * xx))
    uxz_, wxz_ = REAL(np.sqrt(xx + 0.5 * zz)), REAL(np.sqrt(zz + 0.5 * xx))
    vyz_, wyz_ = REAL(np.sqrt(yy + 0.5 * zz)), REAL(np.sqrt(zz + 0.5 * yy))
    third, both = 1.0 / 3.0, 0.5 * (xx + yy + zz)
    uxyz_, vxyz_, wxyz_ = (
        REAL(np.sqrt(third * (both + 0.5 * xx))), REAL(np.sqrt(third * (both + 0.5 * yy))),
        REAL(np.sqrt(third * (both + 0.5 * zz))),
    )  # fmt: skip
    kx, ky, kz = REAL(third * gx), REAL(third * gy), REAL(third * gz)
    px, py, pz = REAL(half * hx), REAL(half * hy), REAL(half * hz)
    hx, hy, hz = REAL(hx), REAL(hy), REAL(hz)
    for z in range(uint64(m)):
        ux, uy, uz, uxy, uxz, uyz, uxyz = _modes(s, 0, z)
        vx, vy, vz, vxy, vxz, vyz, vxyz = _modes(s, 1, z)
        wx, wy, wz, wxy, wxz, wyz, wxyz = _modes(s, 2, z)
        a, b, c = gx * ux + m0, gy * vy + m1, gz * wz + m2
        x[t0 + z], x[n0 + z], x[n1 + z], x[n2 + z] = a + b + c, a, b, c
        x[s0 + z], x[s1 + z], x[s2 + z] = gz * vz + gy * wy + m3, gz * uz + gx * wx + m4, gy * uy + gx * vx + m5
        x[t1 + z], x[t2 + z], x[t3 + z] = hy * vxy + hz * wxz, hx * uxy + hz * wyz, hx * uxz + hy * vyz
        x[e0 + z], x[e1 + z], x[e2 + z] = kx * uxyz, ky * vxyz, kz * wxyz
        x[a0 + z], x[a1 + z], x[a2 + z] = pz * vxz + py * wxy, pz * uyz + px * wxy, py * uyz + px * vxz
        x[b0 + z], x[b1 + z], x[b2 + z] = uxy_ * uxy, vxy_ * vxy, uxz_ * uxz
        x[b3 + z], x[b4 + z], x[b5 + z] = wxz_ * wxz, vyz_ * vyz, wyz_ * wyz
        x[c0 + z], x[c1 + z], x[c2 + z] = uxyz_ * uxyz, vxyz_ * vxyz, wxyz_ * wxyz
