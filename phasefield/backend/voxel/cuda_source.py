"""CUDA text of the operators on voxels.

Every thread strides over nodes. The stiffness is applied in gather form: a thread computes the forces of the eight voxels
around its node and adds up the parts of its corner, which takes eight times the arithmetic of visiting each voxel once but no
atomics, so the same bits come every time. Sizes are arguments: one compilation serves all grids. Sums are left as one number per
thread for `codegen.reduce_source`.

Index arithmetic is 64 bits wide where ``wide``. ``real`` is the working precision; ``g`` arrives divided by 8, for modes are
means over the corners.
"""

from __future__ import annotations

from collections.abc import Sequence

from .element import (
    AXES,
    COMPONENTS,
    GREEN_TINY,
    ISOTROPIC,
    MODES,
    STRESS,
    Statement,
    constants,
    green_mode,
    green_row,
    statements,
)

_REAL = {"float64": "double", "float32": "float"}
SIZES = "const int n0, const int n1, const int n2"
G = "const real gx, const real gy, const real gz"
#: The mean of a voxel's modes over its corners: sums and differences of nodal values along y, x and z.
CORNERS = """\
struct Modes { real x, y, z, xy, xz, yz, xyz; };
__device__ inline Modes modes_from(real a, real b, real c, real d, real e, real f, real g, real h) {
    const real low = (a + b) + (c + d), low_y = (b - a) + (d - c), low_x = (c + d) - (a + b), low_xy = (d - c) - (b - a);
    const real up = (e + f) + (g + h), up_y = (f - e) + (h - g), up_x = (g + h) - (e + f), up_xy = (h - g) - (f - e);
    return {low_x + up_x, low_y + up_y, up - low, low_xy + up_xy, up_x - low_x, up_y - low_y, up_xy - low_xy};
}
__device__ inline Modes modes_of(const real* at, index_t c00, index_t c01, index_t c10, index_t c11, index_t k0, index_t k1) {
    const real a = at[c00 + k0], b = at[c01 + k0], c = at[c10 + k0], d = at[c11 + k0];
    return modes_from(a, b, c, d, at[c00 + k1], at[c01 + k1], at[c10 + k1], at[c11 + k1]);
}
"""


def head(dtype: str, wide: bool) -> str:
    return f"typedef {_REAL[dtype]} real;\ntypedef {'long long' if wide else 'int'} index_t;\n"


def kernel(name: str, arguments: str, count: str, body: Sequence[str], before: Sequence[str] = ()) -> str:
    """A loop over ``count`` cells after some statements; ``sum_i`` in the text are sums over all of them."""
    rows = sum(f"double sum_{i} = 0;" in "\n".join(before) for i in range(7))
    lines = [
        f'extern "C" __global__ void {name}({arguments}) {{',
        "    const index_t threads = (index_t)gridDim.x*blockDim.x;",
        "    const index_t thread = (index_t)blockIdx.x*blockDim.x + threadIdx.x;",
        *(f"    {line}" for line in before),
        f"    for (index_t cell = thread; cell < {count}; cell += threads) {{",
        *(f"        {line}" for line in body),
        "    }",
        *(f"    partial[{i}*threads + thread] = sum_{i};" for i in range(rows)),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _constants(lines: Sequence[Statement]) -> list[str]:
    return [f"const real {name} = {text};" for name, text in lines]


PLACES = ("const index_t k = cell % n2, outer = cell/n2;", "const index_t j = outer % n1, i = outer/n1;")
NODES = ("const index_t nodes = (index_t)n0*n1*n2;", "const int row = n2/2*2 + 2;")
#: The voxel for which this node is the upper corner along x, y, z if di, dj, dk, else the lower one; and where its nodes lie.
VOXEL = (
    "const int di = corner >> 2, dj = corner >> 1 & 1, dk = corner & 1;",
    "const real sx = di ? 1 : -1, sy = dj ? 1 : -1, sz = dk ? 1 : -1;",
    "const index_t i0 = di ? (i > 0 ? i : n0) - 1 : i, i1 = di ? i : i + 1 < n0 ? i + 1 : 0;",
    "const index_t j0 = dj ? (j > 0 ? j : n1) - 1 : j, j1 = dj ? j : j + 1 < n1 ? j + 1 : 0;",
    "const index_t k0 = dk ? (k > 0 ? k : n2) - 1 : k, k1 = dk ? k : k + 1 < n2 ? k + 1 : 0;",
    "const index_t c00 = (i0*n1 + j0)*n2, c01 = (i0*n1 + j1)*n2, c10 = (i1*n1 + j0)*n2, c11 = (i1*n1 + j1)*n2;",
)
#: Nodes on the faces of a cell with kinematic walls.
_ON_FACE = "const bool face = (n0 > 1 && i == 0) || (n1 > 1 && j == 0) || (n2 > 1 && k == 0);"


def _gather(component: str, forces: Sequence[str]) -> str:
    """What the forces of the modes add to the node at the corner sx, sy, sz."""
    terms = []
    for mode in MODES:
        if (force := f"f{component}_{mode}") in forces:
            terms.append("*".join([*(f"s{axis}" for axis in mode), force]))
    return f"node_{component} += {' + '.join(terms)};"


def _branch(components: int, lines: Sequence[Statement], sums: bool) -> list[str]:
    """Statements, what they add to the node, and to the mean stress."""
    forces = [n for n, _ in lines if n.startswith("f")]
    out = _constants(lines) + [_gather(c, forces) for c in COMPONENTS[components]]
    if sums:  # each voxel counts once: at its lowest node
        adds = " ".join(f"sum_{i + 1} += {name};" for i, name in enumerate(STRESS[components]))
        out.append(f"if (corner == 0) {{ {adds} }}")
    return out


def forces_source(components: int, full: bool, anisotropic: bool, modes: Sequence[str], sums: bool) -> list[str]:
    """Statements that add to ``node_u`` .. what the voxels around the node i, j, k do to it, voxel by voxel.

    Args:
        anisotropic: whether there are voxels of kind 1 (anisotropic) or 2 (anisotropic, constant polynomial alone), not only of
            kind 0 (isotropic).
        modes: statements that define a voxel's modes ``u_x`` .. from where its nodes lie. sums: whether to add up the stress.
    """
    packed = {1: 6, 3: 21}[components]
    pad = "    "
    voxel = [
        *VOXEL,
        "const int entry = index[c00 + k0];",
        f"const real* __restrict__ t = tensor + (long long){packed}*entry;",
        *modes,
    ]
    known = _constants([(n, f"t[{at}]") for n, at in ISOTROPIC[components].items()])
    isotropic = known + _branch(components, statements(components, True, full), sums)
    if anisotropic:
        first = statements(components, False, False)
        rest = statements(components, False, full)[len(first) :]
        voxel += ["const int sort = kind[entry];", "if (sort == 0) {", *(pad + line for line in isotropic), "} else {"]
        voxel += [pad + line for line in _branch(components, first, sums)]
        if rest:
            branch = _branch(components, rest, False)
            voxel += [f"{pad}if (sort == 1) {{", *(2 * pad + x for x in branch), f"{pad}}}"]
        voxel.append("}")
    else:
        voxel += isotropic
    return ["#pragma unroll 1", "for (int corner = 0; corner < 8; corner++) {", *(pad + line for line in voxel), "}"]


def modes_used(full: bool) -> Sequence[str]:
    """The modes that have forces."""
    return MODES if full else MODES[:3]


def fixed_source(components: int, full: bool) -> list[str]:
    """Statements before any voxel."""
    if not full:
        return []
    return ["const real third = (real)1/3, ninth = (real)1/9;", *_constants(constants(components))]


def apply_source(components: int, full: bool, anisotropic: bool, clamped: bool, dtype: str, wide: bool) -> str:
    """``apply(u, w, index, tensor, kind, partial, n0, n1, n2, gx, gy, gz)``: w = K u, with the sums of u w and of the stress.

    Args:
        anisotropic: see `forces_source`. clamped: whether the nodes on the faces are held.
    """
    names = COMPONENTS[components]
    body = [*PLACES, "real " + ", ".join(f"node_{c} = 0" for c in names) + ";"]
    modes = []
    for i, c in enumerate(names):
        start = f"u + {i}*nodes" if i else "u"
        modes.append(f"const Modes {c}_modes = modes_of({start}, c00, c01, c10, c11, k0, k1);")
        modes.append("const real " + ", ".join(f"{c}_{m} = {c}_modes.{m}" for m in modes_used(full)) + ";")
    body += forces_source(components, full, anisotropic, modes, True)
    place = "outer*row + k"
    if clamped:
        body.append(_ON_FACE)
    for i, c in enumerate(names):
        at, to = (f"u[{i}*nodes + cell]", f"w[(index_t){i}*n0*n1*row + {place}]") if i else ("u[cell]", f"w[{place}]")
        body.append(f"sum_0 += (double){at}*node_{c};")
        body.append(f"{to} = {f'face ? 0 : node_{c}' if clamped else f'node_{c}'};")
    before = [*NODES, *(f"double sum_{i} = 0;" for i in range(1 + len(STRESS[components])))]
    before += fixed_source(components, full)
    arguments = (
        "const real* __restrict__ u, real* __restrict__ w, const int* __restrict__ index, const real* __restrict__ tensor, "
        f"const int* __restrict__ kind, double* __restrict__ partial, {SIZES}, {G}"
    )
    return head(dtype, wide) + CORNERS + kernel("apply", arguments, "nodes", body, before)


def nodal_forces_source(components: int, clamped: bool, dtype: str, wide: bool) -> str:
    """``nodal_forces(w, index, table, n0, n1, n2, gx, gy, gz)``: w = B^T s for the stress ``table[entry, component, axis]``."""
    names = COMPONENTS[components]
    body = [*PLACES, "real " + ", ".join(f"node_{c} = 0" for c in names) + ";"]
    body += [
        "#pragma unroll 1",
        "for (int corner = 0; corner < 8; corner++) {",
        *(f"    {line}" for line in VOXEL[:-1]),
    ]
    body.append(f"    const real* s = table + (long long){3 * components}*index[(i0*n1 + j0)*n2 + k0];")
    for i, c in enumerate(names):
        terms = " + ".join(f"s{a}*g{a}*s[{3 * i + d}]" for d, a in enumerate(AXES))
        body.append(f"    node_{c} += {terms};")
    body += ["}", *([_ON_FACE] if clamped else [])]
    for i, c in enumerate(names):
        body.append(
            f"w[(index_t){i}*n0*n1*row + outer*row + k] = {f'face ? 0 : node_{c}' if clamped else f'node_{c}'};"
        )
    arguments = f"real* __restrict__ w, const int* __restrict__ index, const real* __restrict__ table, {SIZES}, {G}"
    return head(dtype, wide) + kernel("nodal_forces", arguments, "nodes", body, NODES)


def corner_mean_source(dtype: str, wide: bool) -> str:
    """``corner_mean(out, index, value, power, n0, n1, n2)``: mean of value[entry] over the voxels around a node, to a power."""
    body = [*PLACES, "double total = 0;", "for (int corner = 0; corner < 8; corner++) {"]
    body += [
        f"    const index_t {a}0 = corner >> {s} & 1 ? ({a} > 0 ? {a} : n{d}) - 1 : {a};"
        for d, (a, s) in enumerate(zip("ijk", (2, 1, 0), strict=True))
    ]
    body += ["    total += value[index[(i0*n1 + j0)*n2 + k0]];", "}", "out[cell] = (real)pow(total/8, power);"]
    arguments = (
        "real* __restrict__ out, const int* __restrict__ index, const double* __restrict__ value, "
        f"const double power, {SIZES}"
    )
    return head(dtype, wide) + kernel("corner_mean", arguments, "nodes", body, NODES[:1])


def _all(components: int) -> tuple[str, ...]:
    return (f"const index_t nodes = (index_t)n0*n1*n2, count = {components}*nodes;", NODES[1])


_PADDED = "const index_t at = cell/n2*row + cell % n2;"


def advance_source(components: int, scaled: bool, dtype: str, wide: bool) -> str:
    """``advance(u, r, p, w, [jacobi,] alpha, n0, n1, n2)``: u += alpha p; r -= alpha w; w = jacobi r."""
    body = [
        _PADDED,
        "u[cell] += alpha*p[cell];",
        "const real left = r[cell] - alpha*w[at];",
        "r[cell] = left;",
        f"w[at] = {'jacobi[cell % nodes]*' if scaled else ''}left;",
    ]
    scaling = "const real* __restrict__ jacobi, " if scaled else ""
    arguments = (
        "real* __restrict__ u, real* __restrict__ r, const real* __restrict__ p, real* __restrict__ w, "
        f"{scaling}const real alpha, {SIZES}"
    )
    return head(dtype, wide) + kernel("advance", arguments, "count", body, _all(components))


def direction_source(components: int, scaled: bool, dtype: str, wide: bool) -> str:
    """``direction(p, w, [jacobi,] beta, n0, n1, n2)``: p = jacobi w + beta p."""
    body = [_PADDED, f"p[cell] = {'jacobi[cell % nodes]*' if scaled else ''}w[at] + beta*p[cell];"]
    scaling = "const real* __restrict__ jacobi, " if scaled else ""
    arguments = f"real* __restrict__ p, const real* __restrict__ w, {scaling}const real beta, {SIZES}"
    return head(dtype, wide) + kernel("direction", arguments, "count", body, _all(components))


def dot_source(components: int, dtype: str, wide: bool) -> str:
    """``dot(u, w, partial, n0, n1, n2)``: the sum of u w."""
    body = [_PADDED, "sum_0 += (double)u[cell]*w[at];"]
    arguments = f"const real* __restrict__ u, const real* __restrict__ w, double* __restrict__ partial, {SIZES}"
    return head(dtype, wide) + kernel("dot", arguments, "count", body, [*_all(components), "double sum_0 = 0;"])


def green_source(components: int, dtype: str, wide: bool) -> str:
    """``green(w, symbols, r, partial, longest, n0, n1, n2, scale)``: w = G w on modes, with the sum of conj(w) G w.

    ``symbols`` holds, for values, derivatives and both, what `symbols.symbols` gives for three axes of ``longest`` numbers.
    """
    names = COMPONENTS[components]
    body = ["const index_t k = cell % half, outer = cell/half;", PLACES[1]]
    for d, at in enumerate("ijk"):
        parts = (f"{n}{d} = symbols[{3 * kind + d}*longest + {at}]" for kind, n in enumerate("msf"))
        body.append(f"const real {', '.join(parts)};")
    for i, c in enumerate(names):
        body.append(f"Mode* const {c}_at = (Mode*)(w + (index_t){i}*n0*n1*row + outer*row + 2*k);")
        body += [f"const Mode {c}_mode = *{c}_at;", f"const real {c}_re = {c}_mode.re, {c}_im = {c}_mode.im;"]
    body += _constants(green_row(components))
    body += _constants([(n, e or "det > floor ? scale/det : det*0") for n, e in green_mode(components)])
    body += [f"*{c}_at = {{{a}_re, {a}_im}};" for c, a in zip(names, "abc", strict=False)]
    body.append("sum_0 += (k == 0 || 2*k == n2 ? 1.0 : 2.0)*dot;")
    before = [
        "const int half = n2/2 + 1, row = 2*half;",
        "const index_t count = (index_t)n0*n1*half;",
        f"const real tiny = (real){GREEN_TINY[components]};",
        "double sum_0 = 0;",
    ]
    arguments = (
        "real* __restrict__ w, const real* __restrict__ symbols, const real* __restrict__ r, double* __restrict__ partial, "
        f"const int longest, {SIZES}, const real scale"
    )
    mode = "struct __align__(2*sizeof(real)) Mode { real re, im; };\n"
    return head(dtype, wide) + mode + kernel("green", arguments, "count", body, before)


# -- walls -------------------------------------------------------------------------------------------------------------

#: Where a line along an axis begins in a padded field, and how far apart its nodes lie.
_LINE = (
    "const index_t base = axis == 2 ? line*row : axis == 1 ? line/n2*n1*row + line % n2 : line/n2*row + line % n2;",
    "const index_t step = axis == 2 ? 1 : axis == 1 ? row : (index_t)n1*row;",
)
_LINES = (
    NODES[1],
    "const int n = axis == 0 ? n0 : axis == 1 ? n1 : n2;",
    "const index_t first = (index_t)chunk*each, every = (index_t)n0*n1*n2/n;",
)
_CHUNK = f"const int axis, const int chunk, const int each, {SIZES}"


def extend_source(odd: bool, dtype: str, wide: bool) -> str:
    """``extend(w, lines, axis, chunk, each, n0, n1, n2, face)``: lines along an axis, continued to a period.

    Oddly about the nodes 0 and n (sines of the nodes between), or evenly about 0 and n - 1 (cosines), whose values count
    ``face`` times. ``lines`` has ``each`` rows, padded for a transform; those without a line are zero.
    """
    period = "2*n" if odd else "2*(n - 1)"
    value = "p == 0 || p == n ? 0 : p < n ? w[base + p*step] : -w[base + (length - p)*step]"
    if not odd:
        value = "(p == 0 || p == n - 1 ? face : 1)*w[base + (p < n ? p : length - p)*step]"
    # Neighbouring threads read neighbouring numbers: along the line, or across lines.
    body = [
        "const index_t p = axis == 2 ? cell % length : cell/each, local = axis == 2 ? cell/length : cell % each;",
        "const index_t line = first + local;",
        *_LINE,
        f"lines[local*(length + 2) + p] = line < every ? {value} : 0;",
    ]
    before = [*_LINES, f"const int length = {period};", "const index_t count = (index_t)length*each;"]
    arguments = f"const real* __restrict__ w, real* __restrict__ lines, {_CHUNK}, const real face"
    return head(dtype, wide) + kernel("extend", arguments, "count", body, before)


def restrict_lines_source(odd: bool, dtype: str, wide: bool) -> str:
    """``restrict_lines(w, lines, axis, chunk, each, n0, n1, n2)``: transformed lines back to nodes, as sines or cosines."""
    value = "p == 0 ? 0 : -lines[local*(length + 2) + 2*p + 1]" if odd else "lines[local*(length + 2) + 2*p]"
    body = [
        "const index_t p = axis == 2 ? cell % n : cell/each, local = axis == 2 ? cell/n : cell % each;",
        "const index_t line = first + local;",
        *_LINE,
        f"if (line < every) w[base + p*step] = {value};",
    ]
    before = [*_LINES, f"const int length = {'2*n' if odd else '2*(n - 1)'};", "const index_t count = (index_t)n*each;"]
    arguments = f"real* __restrict__ w, const real* __restrict__ lines, {_CHUNK}"
    return head(dtype, wide) + kernel("restrict_lines", arguments, "count", body, before)


def wall_source(odd: bool, dtype: str, wide: bool) -> str:
    """``wall(w, symbols, partial, longest, n0, n1, n2, rx, ry, rz, floor, norm)``: division by the symbol of one component.

    ``symbols`` holds `symbols.wall_symbols` of the values and of the derivatives, in the places of the nodes; the sum is that of
    w G w over the nodes. Symbols up to ``floor`` count as zero.
    """
    body = list(PLACES)
    for d, at in enumerate("ijk"):
        body.append(f"const real m{d} = symbols[{d}*longest + {at}], s{d} = symbols[{3 + d}*longest + {at}];")
    body += [
        "const real symbol = rx*(s0*m1*m2) + ry*(m0*s1*m2) + rz*(m0*m1*s2);",
        "const real before = w[outer*row + k], after = symbol > floor ? before/(symbol*norm) : symbol*0;",
        "w[outer*row + k] = after;",
    ]
    weight = ""
    if not odd:
        for n, at in zip(("n0", "n1", "n2"), "ijk", strict=True):
            weight += f"*({n} > 1 && ({at} == 0 || {at} == {n} - 1) ? 0.5 : 1.0)"
    body.append(f"sum_0 += (double)before*after{weight};")
    arguments = (
        "real* __restrict__ w, const real* __restrict__ symbols, double* __restrict__ partial, const int longest, "
        f"{SIZES}, const real rx, const real ry, const real rz, const real floor, const real norm"
    )
    return head(dtype, wide) + kernel("wall", arguments, "nodes", body, [*NODES, "double sum_0 = 0;"])
