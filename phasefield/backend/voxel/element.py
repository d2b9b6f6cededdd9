"""The mathematics of one voxel, written once as straight-line statements and printed for the CPU's loops and for CUDA.

The nodal values of a voxel are combined into the modes 1, x, y, z, xy, xz, yz, xyz (a Hadamard transform), in which the strain is
a sum of seven polynomials orthogonal over the voxel, with weights 1, 1/3 and 1/9: the constant, x, y, z (from the modes xy, xz,
yz) and xy, xz, yz (from xyz). The stress of each is a product with the material tensor, and the forces of the modes are what
these stresses do on them. Leaving all but the constant polynomial out is the rotated scheme.

A statement is a name and an expression of products, sums and differences, which Python and C read alike.

Names: ``u_x`` .. ``u_xyz`` (``v_``, ``w_``) the modes as sums of nodal values; ``gx, gy, gz`` derivatives of the modes;
``kappa`` or ``la, mu`` isotropic constants; ``t[0]`` .. packed anisotropic ones (see `tensor_field.pack`). Results: ``sxx`` ..
(``qx`` ..) the constant stress (flux) and ``fu_x`` .. ``fu_xyz`` the forces of the modes, those that are not there being zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Statement = tuple[str, str]
Law = Callable[[str, Sequence[str | None]], list[Statement]]

#: Modes of a component besides its mean.
MODES = ("x", "y", "z", "xy", "xz", "yz", "xyz")
_LINEAR = MODES[:3]
AXES = ("x", "y", "z")
_INDICES = (("x", "x"), ("y", "y"), ("z", "z"), ("y", "z"), ("x", "z"), ("x", "y"))
PAIRS = tuple(a + b for a, b in _INDICES)
_POSITION = {**{p: i for i, p in enumerate(PAIRS)}, "zy": 3, "zx": 4, "yx": 5}
#: Packed positions of the upper triangle, row by row.
_PACKED = {(i, j): 6 * i - i * (i - 1) // 2 + j - i for i in range(6) for j in range(i, 6)}
_PACKED |= {(j, i): at for (i, j), at in _PACKED.items()}
#: The packed constants of a scalar tensor by its indices.
_SCALAR = {**{p: f"t[{i}]" for i, p in enumerate(PAIRS)}, "zy": "t[3]", "zx": "t[4]", "yx": "t[5]"}

COMPONENTS = {1: ("u",), 3: ("u", "v", "w")}
#: Names of the constant stress, in the order of the sums.
STRESS = {1: tuple(f"q{a}" for a in AXES), 3: tuple(f"s{p}" for p in PAIRS)}
#: Constants of isotropic voxels, and packed positions they are found at.
ISOTROPIC = {1: {"kappa": 0}, 3: {"la": 1, "mu": 15}}


def _total(terms: Sequence[str | None]) -> str | None:
    """The sum of the terms that are there."""
    return " + ".join(there) if (there := [t for t in terms if t]) else None


def _isotropic(name: str, strain: Sequence[str | None]) -> list[Statement]:
    trace = _total(strain[:3])
    out = [(f"{name}tr", f"la*({trace})")]
    for pair, e in zip(PAIRS, strain, strict=True):
        if pair in PAIRS[:3]:
            out.append((name + pair, f"{name}tr" + (f" + mu2*({e})" if e else "")))
        elif e:
            out.append((name + pair, f"mu*({e})"))
    return out


def _anisotropic(name: str, strain: Sequence[str | None]) -> list[Statement]:
    out = [(f"{name}e{j}", e) for j, e in enumerate(strain) if e]
    for i, pair in enumerate(PAIRS):
        stress = _total([f"t[{_PACKED[i, j]}]*{name}e{j}" for j, e in enumerate(strain) if e])
        assert stress
        out.append((name + pair, stress))
    return out


def _elastic_higher(law: Law, isotropic: bool) -> list[Statement]:
    # The coefficient of x in a derivative by y comes from the mode xy, by z from xz: no derivative by x. Likewise y and z.
    def strain(axis: str) -> list[str | None]:
        derivative: dict[tuple[str, str], str] = {}
        for c in COMPONENTS[3]:
            for a in AXES:
                if a != axis:
                    derivative[c, a] = f"h{a}*{c}_{''.join(sorted(a + axis))}"
        of = dict(zip(AXES, COMPONENTS[3], strict=True))
        return [
            _total([derivative.get((of[a], b)), derivative.get((of[b], a)) if a != b else None]) for a, b in _INDICES
        ]

    out: list[Statement] = []
    for axis in AXES:
        out += law(axis, strain(axis))
    # C_abcb summed with the weight of b: what the modes xyz of the displacements a and c do on each other.
    if isotropic:
        out += [("la9", "la + mu"), ("mu9", "mu*(kx + ky + kz)")]
    for c, a in zip(COMPONENTS[3], AXES, strict=True):
        for first, second in (("x", "y"), ("x", "z"), ("y", "z")):
            force = f"g{second}*{first}{_pair(a, second)} + g{first}*{second}{_pair(a, first)}"
            out.append((f"f{c}_{first}{second}", force))
        if isotropic:
            out.append((f"f{c}_xyz", f"(mu9 + la9*k{a})*{c}_xyz"))
        else:
            terms = [f"({_block(a, b)})*{d}_xyz" for d, b in zip(COMPONENTS[3], AXES, strict=True)]
            out.append((f"f{c}_xyz", " + ".join(terms)))
    return out


def _pair(a: str, b: str) -> str:
    return PAIRS[_POSITION[a + b]]


def _block(a: str, b: str) -> str:
    return " + ".join(f"k{c}*t[{_PACKED[_POSITION[a + c], _POSITION[b + c]]}]" for c in AXES)


def _elastic(isotropic: bool, full: bool) -> list[Statement]:
    law = _isotropic if isotropic else _anisotropic
    components = dict(zip(AXES, COMPONENTS[3], strict=True))
    out = [(f"{c}{a}", f"g{a}*{c}_{a}") for c in COMPONENTS[3] for a in AXES]
    strain = [f"{components[a]}{b}" + (f" + {components[b]}{a}" if a != b else "") for a, b in _INDICES]
    out += law("s", strain)
    out += [(f"f{c}_{b}", f"g{b}*s{_pair(a, b)}") for a, c in components.items() for b in AXES]
    return out + (_elastic_higher(law, isotropic) if full else [])


def _scalar(isotropic: bool, full: bool) -> list[Statement]:
    def tensor(a: str, b: str) -> str | None:
        return ("kappa" if a == b else None) if isotropic else _SCALAR[a + b]

    def product(a: str) -> str:
        flux = _total([f"{value}*u{b}" for b in AXES if (value := tensor(a, b))])
        assert flux
        return flux

    def weighted(weights: str, axes: str) -> str:
        if isotropic:
            return f"({' + '.join(f'{weights}{a}' for a in axes)})*kappa"
        return f"({' + '.join(f'{weights}{a}*{tensor(a, a)}' for a in axes)})"

    out = [(f"u{a}", f"g{a}*u_{a}") for a in AXES]
    out += [(f"q{a}", product(a)) for a in AXES]
    out += [(f"fu_{a}", f"g{a}*q{a}") for a in AXES]
    if not full:
        return out
    for mode, rest in (("xy", "z"), ("xz", "y"), ("yz", "x")):
        terms = [f"{weighted('j', mode)}*u_{mode}"]
        for shared in mode:  # modes with one axis in common meet in that axis' polynomial
            own = mode.replace(shared, "")
            other = "".join(sorted(shared + rest))
            if value := tensor(own, rest):
                terms.append(f"h{own}*g{rest}*{value}*u_{other}")
        out.append((f"fu_{mode}", " + ".join(terms)))
    out.append(("fu_xyz", f"{weighted('k', 'xyz')}*u_xyz"))
    return out


def constants(components: int) -> list[Statement]:
    """Statements without anything of the voxel: ``h`` third, ``j`` third of the square, ``k`` ninth of the square of ``g``."""
    out = [(f"h{a}", f"third*g{a}") for a in AXES]
    if components == 1:
        out += [(f"j{a}", f"third*g{a}*g{a}") for a in AXES]
    return out + [(f"k{a}", f"ninth*g{a}*g{a}") for a in AXES]


def statements(components: int, isotropic: bool, full: bool) -> list[Statement]:
    """From the modes and the material to stress and forces.

    Args:
        components: 1 (scalar) or 3 (elastic). full: all polynomials or the constant one alone.
    """
    out = _scalar(isotropic, full) if components == 1 else _elastic(isotropic, full)
    return [("mu2", "mu + mu"), *out] if components == 3 and isotropic else out


# -- Green operator ----------------------------------------------------------------------------------------------------

#: Products of the symbols of the first two axes: mean square of the values ``m``, of the derivatives ``s``, of both ``f``.
GREEN_ROW: tuple[Statement, ...] = (
    ("xx", "s0*m1"), ("yy", "m0*s1"), ("zz", "m0*m1"), ("xy", "f0*f1"), ("xz", "f0*m1"), ("yz", "m0*f1"),
)  # fmt: skip


def green_row(components: int) -> list[Statement]:
    """What is the same for all modes along the last axis."""
    if components == 1:
        return [
            *GREEN_ROW,
            ("b0", "r[0]*xx + r[1]*yy + (r[5] + r[5])*xy"), ("c0", "(r[3] + r[3])*yz + (r[4] + r[4])*xz"), ("d0", "r[2]*zz"),
        ]  # fmt: skip
    out = list(GREEN_ROW)
    for i in range(6):
        out.append((f"b{i}", f"r[{6 * i}]*xx + r[{6 * i + 1}]*yy + r[{6 * i + 5}]*xy"))
        out.append((f"c{i}", f"r[{6 * i + 3}]*yz + r[{6 * i + 4}]*xz"))
        out.append((f"d{i}", f"r[{6 * i + 2}]*zz"))
    return out


def green_mode(components: int) -> list[Statement]:
    """From ``m2, f2, s2`` and the modes ``u_re`` .. to ``a_re`` .. (u), ``b_`` (v), ``c_`` (w) and ``dot``."""
    if components == 1:
        return [
            ("det", "b0*m2 + c0*f2 + d0*s2"), ("floor", "tiny"), ("q", ""),
            ("a_re", "q*u_re"), ("a_im", "q*u_im"), ("dot", "a_re*u_re + a_im*u_im"),
        ]  # fmt: skip
    out = [(name, f"b{i}*m2 + c{i}*f2 + d{i}*s2") for i, name in enumerate(("aa", "bb", "cc", "bc", "ac", "ab"))]
    # The inverse of a symmetric matrix by cofactors.
    out += [
        ("iaa", "bb*cc - bc*bc"), ("iab", "bc*ac - ab*cc"), ("iac", "ab*bc - bb*ac"),
        ("ibb", "aa*cc - ac*ac"), ("ibc", "ab*ac - aa*bc"), ("icc", "aa*bb - ab*ab"),
        ("det", "aa*iaa + ab*iab + ac*iac"), ("tr", "aa + bb + cc"), ("floor", "tiny*tr*tr*tr"), ("q", ""),
    ]  # fmt: skip
    for part in ("re", "im"):
        for a in "abc":
            terms = (f"i{min(a, b)}{max(a, b)}*{d}_{part}" for b, d in zip("abc", COMPONENTS[3], strict=True))
            out.append((f"{a}_{part}", f"q*({' + '.join(terms)})"))
    work = (f"{a}_{part}*{d}_{part}" for a, d in zip("abc", COMPONENTS[3], strict=True) for part in ("re", "im"))
    return [*out, ("dot", " + ".join(work))]


#: Below these a symbol, or a determinant over the trace's cube, counts as zero.
GREEN_TINY = {1: "1e-30", 3: "1e-24"}


# -- printed for the CPU -----------------------------------------------------------------------------------------------


def _rows(component: int, row: int) -> dict[str, str]:
    """Modes from rows of node values: 1, y, x and xy combinations of four rows, at the lower and upper node along z."""
    at = {m: (4 * component + i) * row for i, m in enumerate(("", "y", "x", "xy"))}
    out = {}
    for m in MODES:
        lower = f"s[{at[m.replace('z', '')]} + z]"
        upper = f"s[{at[m.replace('z', '')] + 1} + z]"
        out[m] = f"{upper} - {lower}" if "z" in m else f"{lower} + {upper}"
    return out


def _put(component: str, at: int, row: int, forces: Sequence[str]) -> list[str]:
    """Forces of the modes as rows of the lower and the upper node along z, see ``_xy_scatter``."""
    out = []
    for place, m in enumerate(("", "y", "x", "xy")):
        even, odd = (n if n in forces else "" for n in (f"f{component}_{m}", f"f{component}_{m}z"))
        lower = (f"{even} - {odd}" if even else f"-{odd}") if odd else even
        upper = f"{even} + {odd}" if even and odd else even or odd
        out.append(f"s[{at + 2 * place * row} + z] = {lower or '0.0'}")
        out.append(f"s[{at + (2 * place + 1) * row + 1} + z] = {upper or '0.0'}")
    return out


def _loop_body(components: int, isotropic: bool, full: bool, row: int) -> list[str]:
    names = COMPONENTS[components]
    body = statements(components, isotropic, full)
    forces = [n for n, _ in body if n.startswith("f")]
    used = MODES if full else _LINEAR
    out = [f"{c}_{m} = {text}" for i, c in enumerate(names) for m, text in _rows(i, row).items() if m in used]
    out += [f"{n} = {e}" for n, e in body]
    for i, c in enumerate(names):
        out += _put(c, (4 * components + 8 * i) * row, row, forces)
    return out


_LOOP_CONSTANTS = ("third, ninth = REAL(1.0 / 3.0), REAL(1.0 / 9.0)",)


def loop_functions(components: int, row: int) -> str:
    """Python source of the functions that work on a row of voxels, or on one anisotropic voxel of it, and on modes.

    ``isotropic_full(s, m, gx, gy, gz, stress)`` and ``isotropic_constant``; ``anisotropic_full(s, z, t, gx, gy, gz, stress)`` and
    ``anisotropic_constant``; ``green_columns``. The scratch space ``s`` holds rows at distance ``row``: four of each component
    with combinations of node values, eight for the forces, one for every isotropic constant.
    """
    out: list[str] = []
    sums = STRESS[components]
    for full, extent in ((True, "full"), (False, "constant")):
        fixed = [*_LOOP_CONSTANTS, *(f"{n} = {e}" for n, e in constants(components))] if full else []
        body = _loop_body(components, True, full, row)
        first = 12 * components * row
        material = [f"{n} = s[{first + i * row} + z]" for i, n in enumerate(ISOTROPIC[components])]
        out += ["@_function", f"def isotropic_{extent}(s, m, gx, gy, gz, stress):"]
        out += [f"    {line}" for line in fixed]
        out += [f"    p{i} = REAL(0)" for i in range(len(sums))]
        out += ["    for z in range(m):", *(f"        {line}" for line in material + body)]
        out += [f"        p{i} += {n}" for i, n in enumerate(sums)]
        out += [f"    stress[{i}] += p{i}" for i in range(len(sums))]
        out += ["", "", "@_function", f"def anisotropic_{extent}(s, z, t, gx, gy, gz, stress):"]
        out += [f"    {line}" for line in fixed + _loop_body(components, False, full, row)]
        out += [f"    stress[{i}] += {n}" for i, n in enumerate(sums)]
        out += ["", ""]
    return "\n".join([*out, *_loop_green(components)])


def _loop_green(components: int) -> list[str]:
    names = COMPONENTS[components]
    parts = [
        (f"{c}_{part}", f"w[{i}, i, 2*(column + z){' + 1' if part == 'im' else ''}]")
        for i, c in enumerate(names)
        for part in ("re", "im")
    ]
    results = [f"{a}_{part}" for a in "abc"[:components] for part in ("re", "im")]
    choice = "scale/det if det > floor else det*0"
    return [
        "@_function",
        "def green_columns(lo, hi, w, nz, mass, second, first, r, weight, scale):",
        '    """``w = G w`` in place on complex modes, columns ``lo`` to ``hi``; returns the sum of ``conj(w) G w``."""',
        f"    total, tiny, column = 0.0, REAL({GREEN_TINY[components]}), lo",
        "    while column < hi:",
        "        j, low = column//nz, column % nz",
        "        high, column = min(nz, low + hi - column), column - low",
        "        m1, s1, f1 = mass[1, j], second[1, j], first[1, j]",
        "        for i in range(w.shape[1]):",
        "            m0, s0, f0 = mass[0, i], second[0, i], first[0, i]",
        *(f"            {n} = {e}" for n, e in green_row(components)),
        "            for z in range(low, high):",
        "                m2, s2, f2 = mass[2, z], second[2, z], first[2, z]",
        *(f"                {n} = {e}" for n, e in parts),
        *(f"                {n} = {e or choice}" for n, e in green_mode(components)),
        "                total += weight[z]*dot",
        *(f"                {place} = {n}" for (_, place), n in zip(parts, results, strict=True)),
        "        column += high",
        "    return total",
        "",
    ]  # fmt: skip


def paired_functions(components: int) -> str:
    """Python source of ``green_paired_columns``, the Green operator on complex fields of pairs of loads."""
    names = COMPONENTS[components]
    body = green_mode(components)
    first = next(i for i, (name, _) in enumerate(body) if name == "q")
    entries = ["one"] if components == 1 else [n for n, _ in body if n in ("iaa", "iab", "iac", "ibb", "ibc", "icc")]
    products = [(n, e.replace("q*", "")) for n, e in body[first + 1 :] if n != "dot"]
    at = {
        f"{c}_{part}": f"w[q, {i}, i, 2*(lo + z){' + 1' if part == 'im' else ''}]"
        for i, c in enumerate(names)
        for part in ("re", "im")
    }
    if components == 1:
        products = [(n, f"one*{e}") for n, e in products]
    lines = [
        "@_loop",
        "def green_paired_columns(lo, hi, w, nz, mass, second, first, r, scale):",
        '    """``w = G w`` in place on complex fields of pairs of loads, columns ``lo`` to ``hi``."""',
        f"    tiny, g = REAL({GREEN_TINY[components]}), np.empty(({len(entries)}, hi - lo), REAL)",
        "    for i in range(w.shape[2]):",
        "        m0, s0, f0 = mass[0, i], second[0, i], first[0, i]",
        "        column = lo",
        "        while column < hi:",
        "            j, low = column//nz, column % nz",
        "            count, at = min(nz - low, hi - column), uint64(column - lo)",
        "            m1, s1, f1 = mass[1, j], second[1, j], first[1, j]",
        *(f"            {n} = {e}" for n, e in green_row(components)),
        "            for z in range(uint64(count)):",
        "                m2, s2, f2 = mass[2, low + z], second[2, low + z], first[2, low + z]",
        *(f"                {n} = {e}" for n, e in body[:first]),
        "                q = scale/det if det > floor else det*0",
        *(f"                g[{i}, at + z] = q{'' if e == 'one' else f'*{e}'}" for i, e in enumerate(entries)),
        "            column += count",
        "        for q in range(w.shape[0]):",
        "            for z in range(uint64(hi - lo)):",
        *(f"                {e} = g[{i}, z]" for i, e in enumerate(entries)),
        *(f"                {n} = {place}" for n, place in at.items()),
        *(f"                {n} = {e}" for n, e in products),
        *(f"                {place} = {n}" for (n, _), place in zip(_ordered(products), at.values(), strict=True)),
    ]  # fmt: skip
    return "\n".join([*lines, ""])


def _ordered(products: Sequence[Statement]) -> list[Statement]:
    """By component first, then real and imaginary part."""
    return sorted(products, key=lambda s: (s[0][0], s[0].endswith("im")))
