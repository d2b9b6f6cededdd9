"""What `phasefield.models.equilibrium` does to modes: strains of displacements, divergences of stresses, the Green operator.

With the orthotropic part of the mean stiffness for a reference the Green operator is

    z_i = G_ii r_i + D_i q_i,   q_i = sum over j != i of g_ij D_j r_j

with even functions G_ii and g_ij of the wavenumbers, which takes no complex number and holds in every basis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import sympy as sp

from ...backend import Apply, Forward, Inverse, Operation
from ...codegen import Derivative, Kernel, PerMode, array_symbol
from ...mechanics import tensors
from ..terms.term import Waves
from .body import Body

#: Added to the determinant of the Green operator's inverse, of unit waves in units of the stiffness: where no derivative sees a
#: mode its cofactors are 0 as well.
_NOTHING = 1e-30


class Tensors:
    """The arrays of a symmetric tensor that varies in space: normal components, and every shear for itself, whose parity about
    walls is its own.

    Args:
        body: of which it is the strain or stress. name: what the arrays' names begin with.

    Attributes:
        arrays: name -> components. shears: Mandel component -> name.
    """

    def __init__(self, body: Body, name: str) -> None:
        self._normal = f"{name}_normal"
        self.shears = {c: f"{name}_{tensors.NAMES[c]}" for c in body.varying if c > 2}
        self.arrays = {self._normal: min(body.dim, 3), **dict.fromkeys(self.shears.values(), 1)}
        self._dim = body.dim

    def at(self, c: int) -> sp.Symbol:
        """Where a Mandel component lies."""
        return array_symbol(self._normal, c) if c < 3 else array_symbol(self.shears[c], 0)

    def outputs(self, values: Mapping[int, sp.Expr]) -> dict[str, list[sp.Expr]]:
        """What a kernel writes into the arrays."""
        found = {self._normal: [values[c] for c in range(self.arrays[self._normal])]}
        return found | {name: [values[c]] for c, name in self.shears.items()}

    def transforms(self, kind: type[Forward] | type[Inverse]) -> list[Operation]:
        """All of the arrays to modes, or to cells."""
        flips = {c: tuple(i for i in tensors.PAIRS[c] if i < self._dim) for c in self.shears}
        shears = [kind(name, 1, flips[c]) for c, name in self.shears.items()]
        return [kind(self._normal, self.arrays[self._normal]), *shears]


def gradient(body: Body, strain: Tensors) -> Kernel:
    """Strain of a displacement in the array ``displacement``, in modes."""
    place = {axis: n for n, axis in enumerate(body.along)}

    def derivative(i: int, j: int) -> sp.Expr:
        """D_j u_i; u_i lies in the other basis along i."""
        if j >= body.dim:
            return sp.S.Zero
        u = array_symbol("displacement", place[i])
        return Derivative(u, j, 1) if i == j else Derivative(u, j)

    values = {i: derivative(i, i) for i in range(min(body.dim, 3))}
    for c in strain.shears:
        i, j = tensors.PAIRS[c]
        values[c] = (derivative(i, j) + derivative(j, i)) / sp.sqrt(2).evalf(17)
    arrays = {"displacement": len(body.along), **strain.arrays}
    return Kernel("elastic_gradient", "spectral", arrays, strain.outputs(values))


def divergence(body: Body, stress: Tensors) -> list[sp.Expr]:
    """Divergence of a stress, in modes, before scaling."""
    place = {pair: c for c, pair in enumerate(tensors.PAIRS)} | {(j, i): c for c, (i, j) in enumerate(tensors.PAIRS)}
    out = []
    for i in body.along:
        terms = []
        for j in range(body.dim):
            here = stress.at(place[i, j])
            terms.append(Derivative(here, j) if i == j else Derivative(here, j, 1) / sp.sqrt(2).evalf(17))
        out.append(sum(terms, sp.S.Zero))
    return out


def preconditioned(
    body: Body,
    waves: Waves,
    argument: Callable[[str], sp.Symbol],
    modes: Callable[..., Apply],
    names: Sequence[str],
    name: str,
    arrays: Mapping[str, int],
    outputs: Mapping[str, Sequence[sp.Expr]],
) -> list[Operation]:
    """A pass over modes that writes r among others, and z = G r, reducing z . r by components as ``product_I``. Where there are
    no walls that is one pass: products of two derivatives are then real numbers.

    Args:
        argument: makes kernel arguments. modes: makes passes over modes. names: the arrays r, z and q.
        name, arrays, outputs: of the pass.
    """
    arg, along, count, constants = argument, body.along, len(body.along), body.constants
    residual, made, helper = names
    # The highest mode, of an even number of cells or of sines, has no derivative.
    seen = [
        sp.Piecewise((k2, k2 < arg(f"elastic_r_top_{axis}")), (0, True)) if math.isfinite(body.tops[axis]) else k2
        for axis, k2 in enumerate(waves.along[: body.dim])
    ]
    square = [k2 * waves.inverse for k2 in seen] + [sp.S.Zero] * (3 - body.dim)
    diagonal = {i: sum((arg(f"elastic_r_{i}{j}") * square[j] for j in range(body.dim)), sp.S.Zero) for i in along}

    def mixed(i: int, j: int) -> sp.Expr:
        key = f"elastic_r_m{min(i, j)}{max(i, j)}"
        return arg(key) if key in constants else sp.S.Zero

    # Inverse by cofactors of A_ii, A_ij = mixed_ij n_i n_j; an odd factor n_i n_j of a cofactor is made by derivatives.
    if count == 1:
        determinant, own, cross = diagonal[0], {0: sp.S.One}, {}
    elif count == 2:
        determinant = diagonal[0] * diagonal[1] - mixed(0, 1) ** 2 * square[0] * square[1]
        own, cross = {0: diagonal[1], 1: diagonal[0]}, {(0, 1): mixed(0, 1)}
    else:
        own, cross = {}, {}
        determinant = diagonal[0] * diagonal[1] * diagonal[2]
        determinant += 2 * mixed(0, 1) * mixed(1, 2) * mixed(0, 2) * square[0] * square[1] * square[2]
        for i in range(3):
            j, m = (a for a in range(3) if a != i)
            own[i] = diagonal[j] * diagonal[m] - mixed(j, m) ** 2 * square[j] * square[m]
            cross[j, m] = mixed(j, m) * diagonal[i] - mixed(i, j) * mixed(i, m) * square[i]
            determinant -= diagonal[i] * mixed(j, m) ** 2 * square[j] * square[m]
    size = arg("elastic_r_scale")

    def green(over: sp.Expr) -> sp.Expr:
        """What a mode is multiplied by: nothing is left of those that no derivative sees."""
        return PerMode(over / (determinant + _NOTHING) / size)

    place = {axis: n for n, axis in enumerate(along)}
    inner = [i for i in along if i < body.dim]

    def beside(i: int, j: int) -> sp.Expr:
        """g_ij."""
        return green(cross[min(i, j), max(i, j)] * waves.inverse**2)

    def products(r: Sequence[sp.Expr], z: Sequence[sp.Expr]) -> dict[str, sp.Expr]:
        return {f"product_{i}": waves.weight * a * b for i, a, b in zip(along, r, z, strict=True)}

    if body.periodic:
        r = list(outputs[residual])
        z = [
            green(own[i] * waves.inverse) * r[place[i]]
            - sum(
                (PerMode(waves.signed[i] * waves.signed[j]) * beside(i, j) * r[place[j]] for j in inner if j != i),
                sp.S.Zero,
            )
            * int(i in inner)
            for i in along
        ]
        return [modes(name, {**arrays, made: count}, {**outputs, made: z}, products(r, z))]
    out: list[Operation] = [modes(name, arrays, outputs)]
    r = [array_symbol(residual, n) for n in range(count)]
    if count > 1 and len(inner) > 1:
        mixtures = [
            sum((beside(i, j) * Derivative(r[place[j]], j, 1) for j in inner if i in inner and j != i), sp.S.Zero)
            for i in along
        ]
        out.append(modes("cross", {residual: count, helper: count}, {helper: mixtures}))
    for i in along:
        n = place[i]
        here = green(own[i] * waves.inverse) * r[n]
        if i in inner and len(inner) > 1:
            here += Derivative(array_symbol(helper, n), i, 1)
        only = [here if m == n else None for m in range(count)]
        whole = {residual: count, made: count, **({helper: count} if len(inner) > 1 else {})}
        flips = (i,) if i < body.dim else ()
        out.append(modes(f"green_{i}", whole, {made: only}, {f"product_{i}": waves.weight * r[n] * here}, flips))
    return out
