"""CUDA text of the solve on the nodes at the soft side of cut voxels, see `surface`.

Every thread strides over the listed nodes and gathers from the voxels around them, as in `cuda_source`; nodes that are not listed
are held. Fields of listed nodes are (components, count), symmetric blocks (packed, count). ``list`` holds the place of a listed
node in the grid, ``number`` that of every node in the list, or -1.
"""

from __future__ import annotations

from collections.abc import Sequence

from .cuda_source import CORNERS, NODES, PLACES, SIZES, VOXEL, G, fixed_source, forces_source, head, kernel, modes_used
from .element import COMPONENTS

#: Where a symmetric block of 3 x 3 holds its components.
_BLOCK = ((0, 5, 4), (5, 1, 3), (4, 3, 2))
_LISTED = (
    "const index_t flat = list[cell], k = flat % n2, outer = flat/n2;",
    PLACES[1],
)
_AROUND = tuple(
    f"const int p{4 * z + 2 * x + y} = number[c{x}{y} + k{z}];" for z in range(2) for x in range(2) for y in range(2)
)
_MATERIAL = "const int* __restrict__ index, const real* __restrict__ tensor, const int* __restrict__ kind"
_NODE_LIST = "const int* __restrict__ number, const long long* __restrict__ list"


def _place(components: int, row: int, column: int) -> int:
    return _BLOCK[row][column] if components == 3 else 0


def soft_side_source(dtype: str, wide: bool) -> str:
    """``soft_side(mark, index, stiff, whole, n0, n1, n2)``: whether a node touches cut voxels and no pure voxel as stiff."""
    body = [*PLACES, "double pure = 0, cut = 0;", "for (int corner = 0; corner < 8; corner++) {"]
    body += [f"    {line}" for line in (VOXEL[0], *(line.split(", i1")[0] + ";" for line in VOXEL[2:3]))]
    body += [
        "    const index_t j0 = dj ? (j > 0 ? j : n1) - 1 : j, k0 = dk ? (k > 0 ? k : n2) - 1 : k;",
        "    const int entry = index[(i0*n1 + j0)*n2 + k0];",
        "    const double size = stiff[entry];",
        "    if (whole[entry]) pure = size > pure ? size : pure; else cut = size > cut ? size : cut;",
        "}",
        "mark[cell] = cut > pure;",
    ]
    arguments = (
        "int* __restrict__ mark, const int* __restrict__ index, const double* __restrict__ stiff, const int* __restrict__ whole, "
        f"{SIZES}"
    )
    return head(dtype, wide) + kernel("soft_side", arguments, "nodes", body, NODES[:1])


def _loads(components: int, full: bool, values: str) -> list[str]:
    """The modes of a voxel from the nodes of the list; ``values`` is what node ``{p}`` has, of component ``{i}``."""
    out = list(_AROUND)
    for i, c in enumerate(COMPONENTS[components]):
        corners = ", ".join(values.format(p=f"p{at}", i=i) for at in range(8))
        out.append(f"const Modes {c}_modes = modes_from({corners});")
        out.append("const real " + ", ".join(f"{c}_{m} = {c}_modes.{m}" for m in modes_used(full)) + ";")
    return out


def surface_blocks_source(components: int, full: bool, anisotropic: bool, dtype: str, wide: bool) -> str:
    """``surface_blocks(inverse, number, list, index, tensor, kind, count, n0, .., gx, ..)``: inverses of the nodes' own blocks.

    A displacement without any stiffness, the third of a sheet, gets one of 1.
    """
    names = COMPONENTS[components]
    zero = "real " + ", ".join(f"node_{c} = 0" for c in names) + ";"
    body = [*_LISTED]
    body += [f"real {', '.join(f'b{n}' for n in range(6 if components == 3 else 1))};"]
    body += ["#pragma unroll 1", f"for (int column = 0; column < {components}; column++) {{", f"    {zero}"]
    loads = _loads(components, full, "(real)(column == {i} && {p} == cell)")
    body += [f"    {line}" for line in forces_source(components, full, anisotropic, loads, False)]
    for column in range(components):
        copies = " ".join(
            f"b{_place(components, row, column)} = node_{c};" for row, c in enumerate(names) if row <= column
        )
        body.append(f"    if (column == {column}) {{ {copies} }}")
    body.append("}")
    body += [f"if (b{n} == 0) b{n} = 1;" for n in range(components)]
    if components == 1:
        body.append("inverse[cell] = 1/b0;")
    else:
        # By cofactors: 0 1 2 3 4 5 are xx, yy, zz, yz, xz, xy.
        body += [
            "const real i0 = b1*b2 - b3*b3, i1 = b0*b2 - b4*b4, i2 = b0*b1 - b5*b5;",
            "const real i3 = b4*b5 - b0*b3, i4 = b3*b5 - b1*b4, i5 = b3*b4 - b2*b5;",
            "const real q = 1/(b0*i0 + b5*i5 + b4*i4);",
            *(f"inverse[(index_t){n}*count + cell] = q*i{n};" for n in range(6)),
        ]
    arguments = f"real* __restrict__ inverse, {_NODE_LIST}, {_MATERIAL}, const int count, {SIZES}, {G}"
    before = fixed_source(components, full)
    return head(dtype, wide) + CORNERS + kernel("surface_blocks", arguments, "count", body, before)


def _product(components: int, vector: Sequence[str]) -> list[str]:
    """A node's inverse block times a vector."""
    out = []
    for row in range(components):
        terms = (f"inverse[(index_t){_place(components, row, d)}*count + cell]*{v}" for d, v in enumerate(vector))
        out.append(" + ".join(terms))
    return out


def surface_step_source(components: int, full: bool, anisotropic: bool, dtype: str, wide: bool) -> str:
    """``surface_step(y, right, step, out, inverse, number, list, index, tensor, kind, count, n0, .., gx, .., c1, c2)``.

    ``step = c1 step + c2 (right - D^-1 A y)``, ``out = y + step``.
    """
    names = COMPONENTS[components]
    body = [*_LISTED, "real " + ", ".join(f"node_{c} = 0" for c in names) + ";"]
    loads = _loads(components, full, "{p} < 0 ? 0 : y[(index_t){i}*count + {p}]")
    body += forces_source(components, full, anisotropic, loads, False)
    for i, product in enumerate(_product(components, [f"node_{c}" for c in names])):
        at = f"[(index_t){i}*count + cell]"
        body.append(f"const real s{i} = c1*step{at} + c2*(right{at} - ({product}));")
        body.append(f"step{at} = s{i};")
        body.append(f"out{at} = y{at} + s{i};")
    arguments = (
        "const real* __restrict__ y, const real* __restrict__ right, real* __restrict__ step, real* __restrict__ out, "
        f"const real* __restrict__ inverse, {_NODE_LIST}, {_MATERIAL}, const int count, {SIZES}, {G}, "
        "const real c1, const real c2"
    )
    before = fixed_source(components, full)
    return head(dtype, wide) + CORNERS + kernel("surface_step", arguments, "count", body, before)


def _padded(components: int) -> list[str]:
    return [f"const index_t at{i} = ((index_t){i}*n0 + i)*n1*row + j*row + k;" for i in range(components)]


def surface_start_source(components: int, dtype: str, wide: bool) -> str:
    """``surface_start(w, residual, right, step, solution, inverse, list, count, n0, n1, n2, scale)``.

    The residual of the listed nodes out of padded fields, ``right = D^-1 residual``, ``step = solution = scale right``.
    """
    body = [*_LISTED, *_padded(components)]
    body += [f"const real r{i} = w[at{i}];" for i in range(components)]
    for i, product in enumerate(_product(components, [f"r{i}" for i in range(components)])):
        at = f"[(index_t){i}*count + cell]"
        body += [f"const real d{i} = {product};", f"residual{at} = r{i};", f"right{at} = d{i};"]
        body.append(f"step{at} = solution{at} = scale*d{i};")
    arguments = (
        "const real* __restrict__ w, real* __restrict__ residual, real* __restrict__ right, real* __restrict__ step, "
        "real* __restrict__ solution, const real* __restrict__ inverse, const long long* __restrict__ list, const int count, "
        f"{SIZES}, const real scale"
    )
    return head(dtype, wide) + kernel("surface_start", arguments, "count", body, NODES[1:])


def surface_add_source(components: int, dtype: str, wide: bool) -> str:
    """``surface_add(w, residual, solution, list, partial, count, n0, n1, n2)``: w += solution; the sum of residual solution."""
    body = [*_LISTED, *_padded(components)]
    for i in range(components):
        at = f"[(index_t){i}*count + cell]"
        body += [f"w[at{i}] += solution{at};", f"sum_0 += (double)residual{at}*solution{at};"]
    arguments = (
        "real* __restrict__ w, const real* __restrict__ residual, const real* __restrict__ solution, "
        f"const long long* __restrict__ list, double* __restrict__ partial, const int count, {SIZES}"
    )
    before = [*NODES[1:], "double sum_0 = 0;"]
    return head(dtype, wide) + kernel("surface_add", arguments, "count", body, before)


def surface_scale_source(dtype: str, wide: bool) -> str:
    """``surface_scale(x, y, partial, total, scale)``: x = scale y for ``total`` numbers; the sum of y y."""
    body = ["const real value = y[cell];", "x[cell] = scale*value;", "sum_0 += (double)value*value;"]
    arguments = "real* __restrict__ x, const real* __restrict__ y, double* __restrict__ partial, const int total, "
    arguments += "const real scale"
    return head(dtype, wide) + kernel("surface_scale", arguments, "total", body, ["double sum_0 = 0;"])
