"""The loops over voxels on the CPU, in the language of `phasefield.backend.compiler`.

Loops run over slabs of index 0, transforms and the Green operator over tiles of columns along it. A slab starts by repeating the
element layer below it, so that no two threads write to the same node and the result has the same bits for any number of
threads. Modes of a row of voxels lie in rows of one scratch array at constant distances, so that the compiler needs no alias
checks.

This file is not imported. `cpu.loops` puts constants and the functions of `element.loop_functions` into it and has the whole
compiled. The constants: ``COMPONENTS`` (1 or 3), ``FULL`` (all polynomials or the constant one alone), ``REAL`` (the working
precision), ``BLOCK`` (voxels of a row treated at once), ``ROW`` (distance between rows of scratch space).

The functions at the end are called by address with a range of indices and a context: 64-bit integers, of which the first are the
sizes of the grid, the number of loads, and the addresses of scalars (doubles) and of partial sums (loads, sums, indices). The
others each function names. Fields are (loads, components, n0, n1, n2), those in `padded` rows ``2*(n2//2 + 1)`` long.
"""

# ruff: noqa: F821
# mypy: disable-error-code="name-defined"
from __future__ import annotations

# -- stiffness ---------------------------------------------------------------------------------------------------------


@_function
def _row(number):
    """Where a row of the scratch space begins."""
    return uint64(number * ROW)


@_loop
def _xy_modes(u, component, i, j, z0, m, s, at):
    """Values of four node rows as 1, y, x, xy combinations: rows ``at`` to ``at + 3`` of the scratch space, m + 1 entries."""
    nx, ny, nz = u.shape[1:]
    i1, j1 = (i + 1) % nx, (j + 1) % ny
    first, o0, o1, o2, o3 = uint64(z0), _row(at), _row(at + 1), _row(at + 2), _row(at + 3)
    for z in range(uint64(m)):
        a, b = u[component, i, j, first + z], u[component, i, j1, first + z]
        c, d = u[component, i1, j, first + z], u[component, i1, j1, first + z]
        s[o0 + z] = (a + b) + (c + d)
        s[o1 + z] = (b - a) + (d - c)
        s[o2 + z] = (c + d) - (a + b)
        s[o3 + z] = (d - c) - (b - a)
    z = (z0 + m) % nz
    a, b, c, d = u[component, i, j, z], u[component, i, j1, z], u[component, i1, j, z], u[component, i1, j1, z]
    last = uint64(m)
    s[o0 + last] = (a + b) + (c + d)
    s[o1 + last] = (b - a) + (d - c)
    s[o2 + last] = (c + d) - (a + b)
    s[o3 + last] = (d - c) - (b - a)


@_loop
def _xy_scatter(s, at, low, high, component, j, z0, m):
    """The transpose of `_xy_modes`: rows ``at + 2q`` (lower z node) and ``at + 2q + 1`` (upper) go to the nodes around."""
    ny, nz = low.shape[1:]
    j1 = (j + 1) % ny
    o0, o1, o2, o3 = _row(at), _row(at + 1), _row(at + 2), _row(at + 3)
    o4, o5, o6, o7 = _row(at + 4), _row(at + 5), _row(at + 6), _row(at + 7)
    last = uint64(m)
    for o in (o0, o2, o4, o6):  # upper contributions lie one entry further
        s[o + last] = 0.0
    for o in (o1, o3, o5, o7):
        s[o] = 0.0
    for z in range(uint64(m + 1)):
        t0 = s[o0 + z] + s[o1 + z]
        t1 = s[o2 + z] + s[o3 + z]
        t2 = s[o4 + z] + s[o5 + z]
        t3 = s[o6 + z] + s[o7 + z]
        s[o0 + z] = (t0 - t1) - (t2 - t3)
        s[o1 + z] = (t0 + t1) - (t2 + t3)
        s[o2 + z] = (t0 - t1) + (t2 - t3)
        s[o3 + z] = (t0 + t1) + (t2 + t3)
    first = uint64(z0)
    # One target at a time: with one row of nodes (two-dimensional grids) the targets are the same.
    for z in range(last):
        low[component, j, first + z] += s[o0 + z]
    for z in range(last):
        low[component, j1, first + z] += s[o1 + z]
    for z in range(last):
        high[component, j, first + z] += s[o2 + z]
    for z in range(last):
        high[component, j1, first + z] += s[o3 + z]
    z = (z0 + m) % nz
    low[component, j, z] += s[o0 + last]
    low[component, j1, z] += s[o1 + last]
    high[component, j, z] += s[o2 + last]
    high[component, j1, z] += s[o3 + last]


@_loop
def _layer(u, i, index, iso, rows, where, tensor, whole, g, s, low, high, stress):
    """Forces of the element layer i, added to the nodes below and above it."""
    ny, nz = index.shape[1], index.shape[2]
    eighth = REAL(0.125)  # modes are means over the corners
    gx, gy, gz = g[0] * eighth, g[1] * eighth, g[2] * eighth
    for j in range(ny):
        first, last = rows[i * ny + j], rows[i * ny + j + 1]
        for z0 in range(0, nz, BLOCK):
            m = min(BLOCK, nz - z0)
            for c in range(COMPONENTS):
                _xy_modes(u, c, i, j, z0, m, s, 4 * c)
            for q in range(ISOTROPIC):
                o, first_z = _row(12 * COMPONENTS + q), uint64(z0)
                for z in range(uint64(m)):
                    s[o + z] = iso[index[i, j, first_z + z] * ISOTROPIC + q]
            if FULL:
                isotropic_full(s, m, gx, gy, gz, stress)
            else:
                isotropic_constant(s, m, gx, gy, gz, stress)
            while first < last and where[first] < z0 + m:
                e = index[i, j, where[first]]
                if FULL and whole[e]:
                    anisotropic_full(s, where[first] - z0, tensor[e], gx, gy, gz, stress)
                else:
                    anisotropic_constant(s, where[first] - z0, tensor[e], gx, gy, gz, stress)
                first += 1
            for c in range(COMPONENTS):
                _xy_scatter(s, 4 * COMPONENTS + 8 * c, low, high, c, j, z0, m)


@_loop
def _apply(lo, hi, u, w, index, iso, rows, where, tensor, whole, g, partial):
    nx, ny, nz = u.shape[1:]
    s = np.empty((12 * COMPONENTS + ISOTROPIC) * ROW, REAL)
    low = np.zeros((COMPONENTS, ny, nz), REAL)
    high = np.zeros((COMPONENTS, ny, nz), REAL)
    stress = np.zeros(6 if COMPONENTS == 3 else 3)
    _layer(u, (lo - 1) % nx, index, iso, rows, where, tensor, whole, g, s, low, high, stress)
    for i in range(lo, hi):
        low[:], high[:] = high, 0.0
        stress[:] = 0.0
        _layer(u, i, index, iso, rows, where, tensor, whole, g, s, low, high, stress)
        dot = 0.0
        for c in range(COMPONENTS):
            for j in range(ny):
                for z in range(nz):
                    w[c, i, j, z] = low[c, j, z]
                    dot += u[c, i, j, z] * low[c, j, z]
        partial[0, i] = dot
        for q in range(len(stress)):
            partial[1 + q, i] = stress[q]


@_loop
def _stress_plane(index, i, table, c, gx, gy, gz, out):
    """What the stresses on a component do in the voxels of a plane, along x, y and z, as three planes one after the other."""
    ny, nz = index.shape[1:]
    plane, entries, places = uint64(ny * nz), index[i].reshape(ny * nz), uint64(c)
    for k in range(plane):
        e = uint64(entries[k])
        out[k] = gx * table[e, places, uint64(0)]
        out[plane + k] = gy * table[e, places, uint64(1)]
        out[plane + plane + k] = gz * table[e, places, uint64(2)]


@_loop
def _nodal_row(below, here, j, ny, nz, node, above):
    """What the voxels around a row of nodes do to it: those that end there along z, and those that begin there."""
    plane, o, p = uint64(ny * nz), uint64(((j - 1) % ny) * nz), uint64(j * nz)
    oy, py, oz, pz = o + plane, p + plane, o + plane + plane, p + plane + plane
    for z in range(uint64(nz)):
        across = (below[o + z] + below[p + z]) - (here[o + z] + here[p + z])
        across += (below[oy + z] - below[py + z]) + (here[oy + z] - here[py + z])
        along = (below[oz + z] + below[pz + z]) + (here[oz + z] + here[pz + z])
        node[z] = across - along
        above[z] = across + along


@_loop
def _nodal_forces(lo, hi, w, index, table, g):
    components, nx, ny, nz = w.shape[0], index.shape[0], index.shape[1], index.shape[2]
    gx, gy, gz = g[0] / 8, g[1] / 8, g[2] / 8
    node, above = np.empty(nz, REAL), np.empty(nz, REAL)
    below, here = np.empty(3 * ny * nz, REAL), np.empty(3 * ny * nz, REAL)
    for c in range(components):
        _stress_plane(index, (lo - 1) % nx, table, c, gx, gy, gz, below)
        for i in range(lo, hi):
            _stress_plane(index, i, table, c, gx, gy, gz, here)
            for j in range(ny):
                _nodal_row(below, here, j, ny, nz, node, above)
                w[c, i, j, 0] = node[0] + above[nz - 1]
                for z in range(1, nz):
                    w[c, i, j, z] = node[z] + above[z - 1]
            below, here = here, below


# -- entries -----------------------------------------------------------------------------------------------------------


@_function
def _context(address):
    return array_at(address, (20,), int64)


@_function
def _index(at, address):
    return array_at(address, (at[0], at[1], at[2]), int32)


@_function
def _field(at, address, load):
    """One load of a field."""
    size = COMPONENTS * at[0] * at[1] * at[2] * BYTES
    return array_at(address + load * size, (COMPONENTS, at[0], at[1], at[2]), REAL)


@_function
def _padded(at, address, load):
    row = 2 * (at[2] // 2 + 1)
    size = COMPONENTS * at[0] * at[1] * row * BYTES
    return array_at(address + load * size, (COMPONENTS, at[0], at[1], row), REAL)


@_function
def _partial(at, load, sums):
    return array_at(at[5] + load * sums * at[0] * 8, (sums, at[0]), float64)


@_entry
def apply(lo, hi, context):
    """``w = K u``; sums: of ``u w`` and of the stress.

    Context: u, w, index, isotropic constants, rows and where of anisotropic voxels, tensor, whole, g; number of anisotropic
    voxels, of entries.
    """
    at = _context(context)
    sums, packed = (7, 21) if COMPONENTS == 3 else (4, 6)
    entries = at[16]
    index = _index(at, at[8])
    iso = array_at(at[9], (entries * ISOTROPIC,), REAL)
    rows = array_at(at[10], (at[0] * at[1] + 1,), int64)
    where = array_at(at[11], (at[15],), int32)
    tensor = array_at(at[12], (entries, packed), REAL)
    whole = array_at(at[13], (entries,), int8)
    g = array_at(at[14], (3,), REAL)
    for load in range(at[3]):
        u, w = _field(at, at[6], load), _padded(at, at[7], load)
        _apply(lo, hi, u, w, index, iso, rows, where, tensor, whole, g, _partial(at, load, sums))


@_entry
def nodal_forces(lo, hi, context):
    """``w = B^T s`` for a stress (or flux) that is constant over a voxel: ``table[load, entry, component, axis]``.

    Context: w, index, table, g; number of entries.
    """
    at = _context(context)
    index, g = _index(at, at[7]), array_at(at[9], (3,), REAL)
    for load in range(at[3]):
        size = at[10] * COMPONENTS * 3 * BYTES
        table = array_at(at[8] + load * size, (at[10], COMPONENTS, 3), REAL)
        _nodal_forces(lo, hi, _padded(at, at[6], load), index, table, g)


@_entry
def corner_mean(lo, hi, context):
    """Mean over the eight voxels around a node of ``value[entry]``. Context: out, index, value; number of entries."""
    at = _context(context)
    out = array_at(at[6], (at[0], at[1], at[2]), REAL)
    index, value = _index(at, at[7]), array_at(at[8], (at[9],), float64)
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


@_loop
def _advance(lo, hi, alpha, u, r, p, w, jacobi):
    components, _, ny, nz = u.shape
    for i in range(lo, hi):
        for c in range(components):
            for j in range(ny):
                if jacobi.size > 0:
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


@_loop
def _direction(lo, hi, beta, p, w, jacobi):
    components, _, ny, nz = p.shape
    for i in range(lo, hi):
        for c in range(components):
            for j in range(ny):
                if jacobi.size > 0:
                    for z in range(nz):
                        p[c, i, j, z] = jacobi[i, j, z] * w[c, i, j, z] + beta * p[c, i, j, z]
                else:
                    for z in range(nz):
                        p[c, i, j, z] = w[c, i, j, z] + beta * p[c, i, j, z]


@_function
def _scaling(at, address):
    """A field of one number per node, or an empty one."""
    return array_at(address, (at[0] if address else 0, at[1], at[2]), REAL)


@_entry
def advance(lo, hi, context):
    """``u += alpha p; r -= alpha w; w = jacobi r``. Scalars: alpha. Context: u, r, p, w, jacobi or 0."""
    at = _context(context)
    alpha, jacobi = array_at(at[4], (at[3],), float64), _scaling(at, at[10])
    for load in range(at[3]):
        u, r, p = _field(at, at[6], load), _field(at, at[7], load), _field(at, at[8], load)
        _advance(lo, hi, REAL(alpha[load]), u, r, p, _padded(at, at[9], load), jacobi)


@_entry
def direction(lo, hi, context):
    """``p = jacobi w + beta p``. Scalars: beta. Context: p, w, jacobi or 0."""
    at = _context(context)
    beta, jacobi = array_at(at[4], (at[3],), float64), _scaling(at, at[8])
    for load in range(at[3]):
        _direction(lo, hi, REAL(beta[load]), _field(at, at[6], load), _padded(at, at[7], load), jacobi)


@_entry
def dot(lo, hi, context):
    """Sums of ``u w``. Context: u, w."""
    at = _context(context)
    for load in range(at[3]):
        u, w, partial = _field(at, at[6], load), _padded(at, at[7], load), _partial(at, load, 1)
        for i in range(lo, hi):
            total = 0.0
            for c in range(COMPONENTS):
                for j in range(at[1]):
                    for z in range(at[2]):
                        total += u[c, i, j, z] * w[c, i, j, z]
            partial[0, i] = total


@_entry
def green(lo, hi, context):
    """``w = G w`` on one tile of columns of modes of one load; sums of ``conj(w) G w`` by tile.

    Context: w, symbols (3, 3, length), reference medium, weights of the modes of a row; the three lengths of w in modes, length,
    columns of a tile, tiles of a load. Scalars: what the operator is multiplied by, as transforms are not normalised.
    """
    at = _context(context)
    n0, n1, nz, width, tiles = at[10], at[11], at[12], at[14], at[15]
    table = array_at(at[7], (3, 3, at[13]), REAL)
    medium = array_at(at[8], (36 if COMPONENTS == 3 else 6,), REAL)
    weight = array_at(at[9], (nz,), REAL)
    partial = array_at(at[5], (at[3] * tiles,), float64)
    tile = lo // width
    load, first = tile // tiles, tile % tiles * width
    size = COMPONENTS * n0 * n1 * 2 * nz * BYTES
    w = array_at(at[6] + load * size, (COMPONENTS, n0, n1 * 2 * nz), REAL)
    last = min(first + width, n1 * nz)
    scale = REAL(array_at(at[4], (1,), float64)[0])
    partial[tile] = green_columns(first, last, w, nz, table[0], table[1], table[2], medium, weight, scale)
