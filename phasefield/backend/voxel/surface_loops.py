"""The loops of `surface`, in the language of `phasefield.backend.compiler`, with the constants ``REAL`` and ``COMPONENTS``.

Contexts begin as those of ``loops.py``.
"""

# ruff: noqa: F821
# mypy: disable-error-code="name-defined"
from __future__ import annotations


@_function
def _context(address):
    return array_at(address, (20,), int64)


@_entry
def soft_side(lo, hi, context):
    """Marks nodes that touch cut voxels and no pure voxel as stiff as these: the stiff phase is stiffer than any mixture.

    Context: mark, index, stiff, whole; number of entries.
    """
    at = _context(context)
    nx, ny, nz = at[0], at[1], at[2]
    mark = array_at(at[6], (nx, ny, nz), int8)
    index = array_at(at[7], (nx, ny, nz), int32)
    stiff = array_at(at[8], (at[10],), float64)
    whole = array_at(at[9], (at[10],), int8)
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


@_function
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


@_entry
def blocks(lo, hi, context):
    """Rows of the stiffness between the marked nodes.

    Context: nodes, number, index, tensor, whole, position, g, norms, neighbour, block; number of nodes, of entries, whether the
    scheme has all polynomials. ``neighbour`` is (nodes, 27), -1 beyond the last; ``block`` (nodes, 27, components, components);
    ``position[i, k, j, l]`` is where a packed tensor holds the constant C_ikjl.
    """
    at = _context(context)
    nx, ny, nz = at[0], at[1], at[2]
    count, entries, full = at[16], at[17], at[18]
    nodes = array_at(at[6], (count,), int64)
    number = array_at(at[7], (nx, ny, nz), int32)
    index = array_at(at[8], (nx, ny, nz), int32)
    tensor = array_at(at[9], (entries, 21 if COMPONENTS == 3 else 6), REAL)
    whole = array_at(at[10], (entries,), int8)
    position = array_at(at[11], (COMPONENTS, 3, COMPONENTS, 3), int64)
    g = array_at(at[12], (3,), float64)
    norms = array_at(at[13], (7,), float64)
    neighbour = array_at(at[14], (count, 27), int32)
    block = array_at(at[15], (count, 27, COMPONENTS, COMPONENTS), float64)
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
                place = 0
                while neighbour[row, place] >= 0 and neighbour[row, place] != other:
                    place += 1
                neighbour[row, place] = other
                for c in range(COMPONENTS):
                    for d in range(COMPONENTS):
                        t = 0.0
                        for k in range(3):
                            for m in range(3):
                                weight = 0.0
                                for q in range(polynomials):
                                    weight += norms[q] * gradient[a, q, k] * gradient[b, q, m]
                                t += weight * tensor[e, position[c, k, d, m]]
                        block[row, place, c, d] += t


@_loop
def _chebyshev(lo, hi, start, neighbour, block, right, y, step, c1, c2, out):
    for row in range(lo, hi):
        for c in range(COMPONENTS):
            t = right[row, c]
            for place in range(start[row], start[row + 1]):
                for d in range(COMPONENTS):
                    t -= block[place, c, d] * y[neighbour[place], d]
            s = c1 * step[row, c] + c2 * t
            step[row, c] = s
            out[row, c] = y[row, c] + s


@_entry
def chebyshev(lo, hi, context):
    """``step = c1 step + c2 (right - D^-1 A y)``, ``out = y + step``.

    Scalars: c1, c2. Context: start, neighbour, block, right, y, step, out; number of nodes, of blocks. The last four arrays are
    (loads, nodes, components).
    """
    at = _context(context)
    nodes, count = at[13], at[14]
    scalars = array_at(at[4], (2,), float64)
    start = array_at(at[6], (nodes + 1,), int64)
    neighbour = array_at(at[7], (count,), int32)
    block = array_at(at[8], (count, COMPONENTS, COMPONENTS), float32)
    fields = (at[3], nodes, COMPONENTS)
    right, y = array_at(at[9], fields, float64), array_at(at[10], fields, float64)
    step, out = array_at(at[11], fields, float64), array_at(at[12], fields, float64)
    for load in range(at[3]):
        _chebyshev(lo, hi, start, neighbour, block, right[load], y[load], step[load], scalars[0], scalars[1], out[load])
