"""The loop of `moments`, in the language of `phasefield.backend.compiler` as those of ``loops.py``, with the constants
``COMPONENTS``, ``FULL``, ``REAL`` and ``BYTES``.

Contexts begin as those there. Before it come ``moments_strains.py`` and ``moments_gather.py``; what `moments_text` prints stands
at the mark.
"""

# ruff: noqa: F821
# mypy: disable-error-code="name-defined"
from __future__ import annotations

#: Sums that tell the energy of a tensor of cubic symmetry: of products of traces, of normal and half the shear strains, which
#: are all that isotropic ones need, and of shear strains.
_SUMS = 3 if COMPONENTS == 3 else 1


# -- pairs of loads


@_loop
def _products_of_pairs(x, loads, m, shears, d, at):
    """The products of m voxels, for the sums of every pair of loads, from place ``at`` of the rows of d on."""
    o = uint64(at)
    for a in range(0, loads, TILE):
        for b in range(0, a + 1, TILE):
            first, other = _line(a, 0), _line(b, 0)
            if a == b:
                tile_own(x, first, other, m, d, o)
            else:
                tile(x, first, other, m, d, o)
            if shears:
                tile_shear(x, first, other, m, d, o)
            o += uint64(_SUMS * TILE * TILE * _LONG)


@_loop
def _by_phase(loads, phases, w, present, m, sums, d, out):
    """Adds the products of the voxels of some phases, whose voxels have weights 1 in w, to out (phases, pairs, sums)."""
    tile = uint64(0)
    for a in range(0, loads, TILE):
        for b in range(0, a + 1, TILE):
            for here in range(present):
                o = uint64(here * _LONG)
                for i in range(a, min(a + TILE, loads)):
                    for j in range(b, min(b + TILE, i + 1)):
                        pair = i * (i + 1) // 2 + j
                        for k in range(sums):
                            t, p = REAL(0), tile + uint64(((k * TILE + i - a) * TILE + j - b) * _LONG)
                            for z in range(uint64(m)):
                                t += w[o + z] * d[p + z]
                            out[phases[here], pair, k] += t
            tile += uint64(_SUMS * TILE * TILE * _LONG)


@_loop
def _moments(lo, hi, asked, u, index, pairs, geometry, tensors, stress, means, g, out, sums):
    """Moments of the planes lo to hi; u: addresses of the loads' fields; asked: see `moments`."""
    simple, shears, others = asked & 1 != 0, asked & 2 != 0, asked & 4 != 0
    every = shears or others
    nx, ny, nz = index.shape
    loads = len(means)
    tiles = -(-loads // TILE)
    s, d = (
        np.zeros(4 * COMPONENTS * _LINE, REAL),
        np.zeros(tiles * (tiles + 1) // 2 * _SUMS * TILE * TILE * _LONG, REAL),
    )
    rows, w = np.zeros(tiles * TILE * _ROWS * _LINE, REAL), np.zeros(_MOST * _LONG, REAL)
    number = _SUMS if shears else min(_SUMS, 2)
    kinds = np.zeros(_MOST, int64)
    x = np.zeros((_SLOTS, _GROUPS if FULL else 1, loads * _SIZE + 4, _ROW))
    work = np.zeros((loads * _SIZE + 4, loads * _SIZE + 4))
    counts, slots, turn = np.zeros((_SLOTS, 2), int64), np.zeros(_SLOTS, int64), 0
    slots[:] = -1
    places = np.zeros((_GROUPS + 2, loads * _SIZE + 1), int64)
    _places(loads, len(x[0]), places)
    e, a, jump = np.zeros((loads, _SIZE)), np.zeros((loads, 3)), np.zeros(_SIZE)
    gx, gy, gz = REAL(g[0] / 8), REAL(g[1] / 8), REAL(g[2] / 8)  # modes are means over the corners
    mean = np.zeros((loads, _SIZE), REAL)
    mean[:] = means
    scale, normal, acoustic = np.zeros(3), np.zeros(3), np.zeros((3, 3))
    traction, stiff, soft = np.zeros((3, 6)), np.zeros((3, 6)), np.zeros((3, 6))
    for k in range(3):
        scale[k] = 1.0 / g[k] if COMPONENTS == 3 else 1.0 / np.sqrt(g[0] * g[0] + g[1] * g[1] + g[2] * g[2])
    for i in range(lo, hi):
        for j in range(ny):
            for z0 in range(0, nz, _MOST):
                most, present, last = min(_MOST, nz - z0), 0, 0
                for p0 in range(0, most, _PART):
                    m = min(_PART, most - p0)
                    for load in range(loads):
                        field = array_at(u[load], (COMPONENTS, nx, ny, nz), REAL)
                        for c in range(COMPONENTS):
                            _xy_modes(field, c, i, j, z0 + p0, m, s)
                        if every or not FULL:
                            _constant(s, load, m, gx, gy, gz, mean, rows)
                        if every and FULL:
                            _higher(s, load, m, gx, gy, gz, rows)
                        if simple and FULL:
                            _isotropic(s, load, m, gx, gy, gz, mean, rows)
                    for n in range(m):
                        entry = index[i, j, z0 + p0 + n]
                        first = pairs[entry, 0]
                        if pairs[entry, 3] != 0:
                            if present == 0 or kinds[last] != first:
                                last = 0
                                while last < present and kinds[last] != first:
                                    last += 1
                                if last == present:
                                    kinds[last] = first
                                    present += 1
                                    for z in range(most):
                                        w[last * _LONG + z] = 0.0
                            w[last * _LONG + p0 + n] = 1.0
                            continue
                        second, f = pairs[entry, 1], geometry[entry, 0]
                        pure = first == second or f == 1.0
                        for k in range(3):
                            normal[k] = geometry[entry, 1 + k]
                        if not pure:
                            for load in range(loads):
                                for q in range(_SIZE):
                                    e[load, q] = rows[_line(load, _AT[0, q]) + uint64(n)]
                            a[:] = 0.0
                            if normal[0] != 0.0 or normal[1] != 0.0 or normal[2] != 0.0:
                                eigen, other = stress[first], stress[second]
                                one, two = tensors[first], tensors[second]
                                _jump(e, normal, one, two, f, eigen, other, loads, traction, stiff, soft, acoustic, a)
                        for part in range(1 if pure else 2):
                            phase, share = first if part == 0 else second, f if part == 0 else 1 - f
                            back = f - 1 if part == 0 else f
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
                                if FULL and pairs[entry, 2] != 0:
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
                        _products_of_pairs(rows, loads, m, shears, d, p0)
                if present > 0:
                    _by_phase(loads, kinds, w, present, most, number, d, sums)
    for slot in range(_SLOTS):
        if slots[slot] >= 0:
            _flush(x[slot], counts[slot], loads, g, places, work, out[slots[slot]])


@_entry
def moments(lo, hi, context):
    """Sums over the voxels of the products of all components of all loads and 1, phase by phase, block by block.

    Context: addresses of the fields, index, pairs, geometry, tensors, stress, means, g, out, sums; number of entries, of
    phases, of blocks, and what is asked: 1 where voxels of the cubic sums are, 2 where these need the shear strains, 4 where
    other voxels are.
    """
    at = array_at(context, (20,), int64)
    loads, entries, phases, blocks = at[3], at[16], at[17], at[18]
    rows = loads * _SIZE + 1
    u = array_at(at[6], (loads,), int64)
    index = array_at(at[7], (at[0], at[1], at[2]), int32)
    pairs, geometry = array_at(at[8], (entries, 4), int32), array_at(at[9], (entries, 4), float64)
    tensors = array_at(at[10], (phases, _SIZE, _SIZE), float64)
    stress = array_at(at[11], (phases, loads, _SIZE), float64)
    means, g = array_at(at[12], (loads, _SIZE), float64), array_at(at[13], (3,), float64)
    out = array_at(at[14], (blocks, phases, rows, rows), float64)
    sums = array_at(at[15], (blocks, phases, loads * (loads + 1) // 2, _SUMS), float64)
    for block in range(lo, hi):
        first, last = block * at[0] // blocks, (block + 1) * at[0] // blocks
        _moments(first, last, at[19], u, index, pairs, geometry, tensors, stress, means, g, out[block], sums[block])
