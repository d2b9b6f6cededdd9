"""Mechanical equilibrium of a body whose stiffness follows the fields, as operations of a step.

    C(x) = C_0 + sum_p g(phi_p(x)) (C_p - C_0),   e0(x) = sum_p phi_p(x) e_p,   sigma = C : (E + D u - e0),   div sigma = 0

where g(phi) is phi from 0 to 1 and bends beyond, so that a field that overshoots makes no stiffness indefinite.

The displacement u is kept in modes, D and div are the grid's own derivatives (`phasefield.codegen.Derivative`), which are each
other's negative transposes: the discrete energy W = <1/2 (strain - e0) : sigma> - (work of the load) is stationary in u and E,
so that its variation by phi_p is g'/2 e : (C_p - C_0) : e - sigma : e_p in every cell, exactly (e the elastic strain). Between
walls u_i is odd across those along i and even across the others. This is the spectral treatment of Moulinec and Suquet (Comput.
Methods Appl. Mech. Eng. 157 (1998) 69) for phase fields (Hu and Chen, Acta Mater. 49 (2001) 1879), with conjugate gradients
(Zeman, Vondrejc, Novak and Marek, J. Comput. Phys. 229 (2010) 8065).

Components of the mean strain E that are free are eliminated: whatever u is, E is such that the mean stress is the given one. What
is iterated for is u alone, preconditioned by the Green operator of the orthotropic part of the mean stiffness. It is

    z_i = G_ii r_i + D_i q_i,   q_i = sum over j != i of g_ij D_j r_j

with even functions G_ii and g_ij of the wavenumbers, which takes no complex number and holds in every basis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import sympy as sp

from ..backend import Apply, Forward, Inverse, Operation, Solve
from ..codegen import Derivative, Kernel, PerMode, Reduction, array_symbol
from ..errors import NotConverged
from ..grid import Grid
from ..mechanics import tensors
from .terms.term import Waves

Array = np.ndarray
Sums = Mapping[str, float]

#: Arrays: displacement now and before, in modes; its residual, what the preconditioner makes of it, direction and what the
#: preconditioner needs; strain and stress; what the energy changes by phi_p.
_U, _OLD, _OLDER = "elastic_u", "elastic_u_old", "elastic_u_old2"
_R, _Z, _P, _Q = (f"elastic_{name}" for name in ("residual", "z", "direction", "q"))
_NORMAL, FORCE = "elastic_normal", "elastic_field"

#: Error of the displacement, against what the step changed it by: energy norm.
_TOLERANCE = 0.01
#: The same where nothing is known to compare with, against the first guess.
_COLD = 1e-8
#: Squared error against the body's energy that is round-off, and that is no more than it where iterations make no progress.
_ROUND_OFF, _STALLED = 1e-24, 1e-10
#: Beyond 0 and 1, the most that the interpolation of stiffness goes on.
_MARGIN = 0.1
#: Added to the determinant of the Green operator's inverse, of unit waves in units of the stiffness: where no derivative sees a
#: mode its cofactors are 0 as well.
_NOTHING = 1e-30
#: Largest slope and curvature of h on 0 <= eta <= 1: 15/8 and 10/sqrt(3).
SLOPE, BEND = 1.875, 5.7735
#: Iterations that may pass without progress, and that are made at most.
_PATIENCE, _MOST = 15, 500


@dataclass(frozen=True)
class Part:
    """One phi_p.

    Attributes:
        phi: in the model's symbols. strain: stress-free strain where it is 1, Mandel. stiffness: there, Mandel (6, 6).
    """

    phi: sp.Expr
    strain: Array
    stiffness: Array


class Equilibrium:
    """The operations of a body.

    Args:
        matrix: C_0, Mandel (6, 6); in plane stress that of the sheet. parts: what it is made of.
        load: at a time, the mean strains that are held (None where free) and the mean stresses given where they are, Mandel.
        dim: of the grid. thin: plane stress. unknowns: the model's symbols. argument: makes kernel arguments.
    """

    def __init__(
        self,
        matrix: Array,
        parts: Sequence[Part],
        load: Callable[[float], tuple[Sequence[float | None], Sequence[float]]],
        dim: int,
        thin: bool,
        unknowns: Sequence[sp.Symbol],
        argument: Callable[[str], sp.Symbol],
    ) -> None:
        self._matrix, self._parts, self._load, self._dim = matrix, parts, load, dim
        self._unknowns, self._argument = unknowns, argument
        held, _ = load(0.0)
        self._body = [0, 1, 5] if thin else list(range(6))
        self._free = [c for c in self._body if held[c] is None]
        #: Squared wavenumbers beyond which a mode along an axis has no derivative. Shears that a wall makes odd.
        self._tops, self._odd = [math.inf] * dim, set[int]()
        apart = dim < 3 and not thin and not self._coupled(held)
        #: Axes that displacements have components along, and Mandel components of the strain that vary.
        self._along = list(range(dim)) if thin or apart else [0, 1, 2]
        self._varying = [c for c, pair in enumerate(tensors.PAIRS) if set(pair) <= set(self._along) and min(pair) < dim]
        self._shears = {c: f"elastic_{tensors.NAMES[c]}" for c in self._varying if c > 2}

    def between(self, grid: Grid) -> None:
        """Takes note of the boundaries. About walls a shear is odd: its mean over the mirror images is 0, its stress's too."""
        walls = {axis for axis, boundary in enumerate(grid.boundary) if boundary != "periodic"}
        cycles = [(1 if axis in walls else 2) * math.pi / length for axis, length in enumerate(grid.lengths)]
        highest = [
            n if axis in walls else n // 2 if n % 2 == 0 and n > 1 else math.inf for axis, n in enumerate(grid.shape)
        ]
        self._tops = [(cycle * (mode - 0.5)) ** 2 for cycle, mode in zip(cycles, highest, strict=True)]
        self._odd = {c for c, pair in enumerate(tensors.PAIRS) if c > 2 and walls & set(pair)}
        self._free = [c for c in self._free if c not in self._odd]

    def _coupled(self, held: Sequence[float | None]) -> bool:
        """Whether displacements across a plane (or a line) follow from strains in it."""
        plane = [0, 1, 2, 5] if self._dim == 2 else [0, 1, 2, 3]
        across = [c for c in range(6) if c not in plane]
        scale = np.abs(self._matrix).max()
        stiff = any(np.abs(c[np.ix_(plane, across)]).max() > 1e-9 * scale for c in self._stiffnesses)
        strains = any(np.abs(part.strain[across]).max() > 0 for part in self._parts)
        _, stress = self._load(0.0)
        return stiff or strains or any(held[c] for c in across) or any(stress[c] for c in across)

    @property
    def _stiffnesses(self) -> list[Array]:
        return [self._matrix, *(part.stiffness for part in self._parts)]

    def _weight(self, part: Part, phi: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
        """g and its derivative: at most a margin of phi beyond 0 and 1, half of what a stiffness bears."""
        contrast = 1.0
        body = np.ix_(self._body, self._body)
        for one, other in ((self._matrix, part.stiffness), (part.stiffness, self._matrix)):
            root = np.linalg.inv(np.linalg.cholesky(one[body]))
            contrast = max(contrast, float(np.linalg.eigvalsh(root @ other[body] @ root.T)[-1]))
        margin = min(_MARGIN, 0.5 / (len(self._parts) * max(contrast - 1.0, 1e-9)))
        below, above = 1 / (1 - phi / margin), 1 / (1 + (phi - 1) / margin)
        value = sp.Piecewise((phi * below, phi < 0), (1 + (phi - 1) * above, phi > 1), (phi, True))
        slope = sp.Piecewise((below**2, phi < 0), (above**2, phi > 1), (1, True))
        return value, slope

    # -- arrays and arguments ------------------------------------------------------------------------------------------

    @property
    def memory(self) -> dict[str, int]:
        """Warm starts: displacements of the last three evaluations, in modes."""
        return dict.fromkeys((_U, _OLD, _OLDER), len(self._along))

    @property
    def temporaries(self) -> dict[str, int]:
        count = len(self._along)
        vectors = dict.fromkeys((_R, _Z, _P, *((_Q,) if count > 1 else ())), count)
        return {
            **vectors,
            _NORMAL: min(self._dim, 3),
            **dict.fromkeys(self._shears.values(), 1),
            FORCE: len(self._parts),
        }

    @property
    def _strains(self) -> dict[str, int]:
        return {name: n for name, n in self.temporaries.items() if name == _NORMAL or name in self._shears.values()}

    def _strain(self, c: int) -> sp.Symbol:
        """Where a Mandel component of strain or stress lies."""
        return array_symbol(_NORMAL, c) if c < 3 else array_symbol(self._shears[c], 0)

    @property
    def constants(self) -> dict[str, float]:
        """Kernel arguments: stiffness of the matrix, what phases differ by, stress-free strains."""
        found: dict[str, float] = {}
        for name, tensor in (
            ("0", self._matrix),
            *((str(p + 1), part.stiffness - self._matrix) for p, part in enumerate(self._parts)),
        ):
            scale = max(np.abs(c).max() for c in self._stiffnesses)
            for a in self._body:
                for b in self._body:
                    if a <= b and abs(tensor[a, b]) > 1e-14 * scale:
                        found[f"elastic_c{name}_{a}{b}"] = float(tensor[a, b])
        for p, part in enumerate(self._parts):
            found |= {f"elastic_e{p}_{a}": float(part.strain[a]) for a in self._body if part.strain[a]}
        reference = self._reference()
        reference |= {f"top_{axis}": top for axis, top in enumerate(self._tops) if math.isfinite(top)}
        return found | {f"elastic_r_{name}": v for name, v in reference.items()}

    @cached_property
    def _stiffest(self) -> float:
        """The largest number that a phase is stiffer by than the reference: a bound of the spectrum with its Green operator."""
        reference, places = np.zeros((6, 6)), [(i, j) for i in range(6) for j in range(6) if i == j or max(i, j) < 3]
        for place in places:
            reference[place] = np.mean(self._stiffnesses, axis=0)[place]
        body = np.ix_(self._body, self._body)
        root = np.linalg.inv(np.linalg.cholesky(reference[body]))
        most = max(float(np.linalg.eigvalsh(root @ c[body] @ root.T)[-1]) for c in self._stiffnesses)
        return most * (1 + _MARGIN)

    def _reference(self) -> dict[str, float]:
        """Orthotropic part of the mean of the stiffnesses, over its largest entry: what the Green operator is of."""
        mean = np.mean(self._stiffnesses, axis=0)
        full = tensors.to_voigt(mean)
        place = {pair: c for c, pair in enumerate(tensors.PAIRS)} | {
            (j, i): c for c, (i, j) in enumerate(tensors.PAIRS)
        }
        scale = float(np.abs(full).max())
        found = {"scale": scale}
        for i in self._along:
            for j in range(self._dim):
                c = place[i, j]
                found[f"{i}{j}"] = float(full[c, c]) / scale
            for j in self._along:
                if i < j < self._dim:
                    found[f"m{i}{j}"] = float(full[i, j] + full[place[i, j], place[i, j]]) / scale
        return found

    def _tensor(self, name: str, vector: Mapping[int, sp.Expr]) -> dict[int, sp.Expr]:
        """A stiffness times a strain."""
        constants = self._constants
        out = {}
        for a in self._body:
            terms = [
                self._argument(key) * vector[b]
                for b in self._body
                if (key := f"elastic_c{name}_{min(a, b)}{max(a, b)}") in constants and vector.get(b, 0) != 0
            ]
            out[a] = sum(terms, sp.S.Zero)
        return out

    def slope(self, p: int, linear: Sequence[bool]) -> float:
        """A bound of the slope of the force on the field of a part: at strains that stay as they are, which is no less than when
        they follow, and as large as the misfit and the load make them.

        Args:
            linear: of every part, whether phi_p is its field; else h of it.
        """
        held, stress = self._load(0.0)
        body = np.ix_(self._body, self._body)
        softest = min(np.linalg.eigvalsh(c[body])[0] for c in self._stiffnesses)
        loaded = max(np.linalg.norm([v or 0.0 for v in held]), float(np.linalg.norm(stress)) / softest)

        def size(vector: Array, tensor: Array) -> float:
            """Root of vector : tensor : vector."""
            return math.sqrt(max(float(vector @ tensor @ vector), 0.0))

        stiffest = max(self._stiffnesses, key=lambda c: float(np.trace(c)))
        top = float(np.linalg.eigvalsh(stiffest)[-1])
        sizes = [size(part.strain, stiffest) for part in self._parts]
        elastic = max(sizes) + loaded * math.sqrt(top)
        apart = []
        for part in self._parts:
            values = np.linalg.eigvalsh(part.stiffness - self._matrix)
            apart.append(float(np.abs(values).max()) / top * elastic)
        slopes = [1.0 if one else SLOPE for one in linear]
        pulls = [s * (size_ + a) for s, size_, a in zip(slopes, sizes, apart, strict=True)]
        bent = 0.0 if linear[p] else BEND * (elastic * (sizes[p] + apart[p] / 2))
        return pulls[p] * sum(pulls) + bent

    # -- kernels in cells ----------------------------------------------------------------------------------------------

    def _stress(
        self, elastic: Mapping[int, sp.Expr], phis: Sequence[sp.Expr]
    ) -> tuple[dict[int, sp.Expr], list[dict[int, sp.Expr]]]:
        """Stress of an elastic strain, and what each part adds to it where phi_p is 1."""
        parts = [self._tensor(str(p + 1), elastic) for p in range(len(self._parts))]
        whole = self._tensor("0", elastic)
        for phi, part in zip(phis, parts, strict=True):
            whole = {a: s + phi * part[a] for a, s in whole.items()}
        return whole, parts

    def _cells(
        self, name: str, array: Mapping[str, int], outputs: Mapping[str, Any], sums: Mapping[str, sp.Expr]
    ) -> Kernel:
        reductions = {key: Reduction("sum", e) for key, e in sums.items()}
        return Kernel(f"elastic_{name}", "real", array, outputs, reductions, self._names)

    def _outputs(self, stress: Mapping[int, sp.Expr]) -> dict[str, list[sp.Expr]]:
        found = {_NORMAL: [stress[c] for c in range(self._strains[_NORMAL])]}
        return found | {name: [stress[c]] for c, name in self._shears.items()}

    # -- operations ----------------------------------------------------------------------------------------------------

    def operations(self, array: str, waves: Waves) -> list[Operation]:
        """What fills `FORCE` in cells from the cells of the state in ``array``, and tells ``modes_elastic``, the energy."""
        parts = self._made(array, waves)
        return [Solve(self._steer, parts, ("modes_elastic",))]

    def looking(self, array: str, waves: Waves) -> list[Operation]:
        """What fills the strain by that of the displacement in memory, and tells what `mean` reads; changes nothing else."""
        parts = self._made(array, waves)
        return [Solve(self._look, {name: parts[name] for name in ("strain", "means")}, self._told)]

    _told = tuple(f"elastic_mean_{kind}_{name}" for kind in ("stress", "strain") for name in tensors.NAMES)

    def _made(self, array: str, waves: Waves) -> dict[str, list[Operation]]:
        self._constants = self.constants
        shift = [f"elastic_mean_{a}" for a in self._body]
        self._names = [
            *self._constants,
            *shift,
            "elastic_alpha",
            "elastic_beta",
            "elastic_ahead",
            "elastic_bend",
            waves.scale.name,
        ]
        arg, count = self._argument, len(self._along)
        phis = [
            part.phi.xreplace({s: array_symbol("state", i) for i, s in enumerate(self._unknowns)})
            for part in self._parts
        ]
        weights = [self._weight(part, phi) for part, phi in zip(self._parts, phis, strict=True)]
        shares_of = [value for value, _ in weights]
        state = {"state": len(self._unknowns)}
        strains, zero = self._strains, sp.S.Zero
        free_strain = {
            a: sum(
                (phi * arg(key) for p, phi in enumerate(phis) if (key := f"elastic_e{p}_{a}") in self._constants), zero
            )
            for a in self._body
        }
        mean = {a: arg(f"elastic_mean_{a}") for a in self._body}
        local = {a: self._strain(a) if a in self._varying else zero for a in self._body}
        # The elastic strain of the displacement alone, and whole.
        bare = {a: local[a] - free_strain[a] for a in self._body}
        elastic = {a: bare[a] + mean[a] for a in self._body}
        turned = {a: local[a] + (mean[a] if a in self._free else zero) for a in self._body}
        shares = {f"share_{p}": share for p, share in enumerate(shares_of)}
        bare_stress, _ = self._stress(bare, shares_of)
        stress, each = self._stress(elastic, shares_of)
        energy = sum((elastic[a] * stress[a] for a in self._body), zero) / 2
        forces = [
            weights[p][1] * sum((elastic[a] * part[a] for a in self._body), zero) / 2
            - sum((stress[a] * arg(key) for a in self._body if (key := f"elastic_e{p}_{a}") in self._constants), zero)
            for p, part in enumerate(each)
        ]
        one = {"cells": sp.S.One}
        names = {"state": array}
        means = self._cells(
            "means", {**state, **strains}, {}, {**{f"stress_{a}": bare_stress[a] for a in self._body}, **shares, **one}
        )
        loaded = self._cells(
            "stress",
            {**state, **strains, FORCE: len(forces)},
            {**self._outputs(stress), FORCE: forces},
            {"energy": energy, **one},
        )
        force = self._cells(
            "force", {**state, **strains, FORCE: len(forces)}, {FORCE: forces}, {"energy": energy, **one}
        )
        line_stress, _ = self._stress(local, shares_of)
        lines = self._cells(
            "lines", {**state, **strains}, {}, {f"stress_{a}": line_stress[a] for a in self._free} | one
        )
        turned_stress, _ = self._stress(turned, shares_of)
        work = sum((local[a] * turned_stress[a] for a in self._varying), zero)
        multiply = self._cells(
            "multiply", {**state, **strains}, self._outputs(turned_stress), {"curvature": work, **one}
        )
        to_cells: list[Operation] = [Inverse(_NORMAL, strains[_NORMAL])]
        to_modes: list[Operation] = [Forward(_NORMAL, strains[_NORMAL])]
        for c, name in self._shears.items():
            flips = tuple(i for i in tensors.PAIRS[c] if i < self._dim)
            to_cells.append(Inverse(name, 1, flips))
            to_modes.append(Forward(name, 1, flips))
        gradient = Apply(self._gradient(), {"displacement": _U})
        vectors = {_R: count, _Z: count, _P: count, _U: count}

        def modes(
            name: str,
            arrays: Mapping[str, int],
            outputs: Mapping[str, Any],
            sums: Mapping[str, sp.Expr] | None = None,
            flips: tuple[int, ...] = (),
        ) -> Apply:
            reductions = {key: Reduction("sum", e) for key, e in (sums or {}).items()}
            return Apply(Kernel(f"elastic_{name}", "spectral", arrays, outputs, reductions, self._names), flips=flips)

        u, old, older, r, z, p = ([array_symbol(a, i) for i in range(count)] for a in (_U, _OLD, _OLDER, _R, _Z, _P))
        ahead = [arg("elastic_ahead") * (a - b) for a, b in zip(u, old, strict=True)]
        bend = [arg("elastic_bend") * (b - c) for b, c in zip(old, older, strict=True)]
        start = modes(
            "start",
            {_U: count, _OLD: count, _OLDER: count},
            {_U: [a + d - e for a, d, e in zip(u, ahead, bend, strict=True)], _OLD: u, _OLDER: old},
            {"change": PerMode(waves.weight * waves.k2 * arg("elastic_r_scale")) * sum(d**2 for d in ahead)},
        )
        divergence = [waves.scale * e for e in self._divergence()]
        preconditioned = self._preconditioned(waves, modes)
        residual = modes("residual", {**strains, _R: count}, {_R: divergence})
        step = arg("elastic_alpha")
        advance = modes(
            "advance",
            {**strains, **vectors},
            {
                _U: [a + step * b for a, b in zip(u, p, strict=True)],
                _R: [a + step * e for a, e in zip(r, divergence, strict=True)],
            },
        )
        turn = modes("turn", vectors, {_P: [a + arg("elastic_beta") * b for a, b in zip(z, p, strict=True)]})
        first = modes("first", vectors, {_P: z})
        along_p = Apply(self._gradient(), {"displacement": _P})
        return {
            "start": [start, gradient, *to_cells, Apply(means, names)],
            "strain": [gradient, *to_cells],
            "means": [Apply(means, names)],
            "residual": [Apply(loaded, names), *to_modes, residual, *preconditioned],
            "first": [first, along_p, *to_cells, Apply(lines, names)],
            "turn": [turn, along_p, *to_cells, Apply(lines, names)],
            "multiply": [Apply(multiply, names), *to_modes],
            "advance": [advance, *preconditioned],
            "force": [gradient, *to_cells, Apply(force, names)],
        }

    def _gradient(self) -> Kernel:
        """Strain of a displacement, in modes."""
        place = {axis: n for n, axis in enumerate(self._along)}

        def derivative(i: int, j: int) -> sp.Expr:
            """D_j u_i; u_i lies in the other basis along i."""
            if j >= self._dim:
                return sp.S.Zero
            u = array_symbol("displacement", place[i])
            return Derivative(u, j, 1) if i == j else Derivative(u, j)

        outputs: dict[str, list[sp.Expr]] = {_NORMAL: [derivative(i, i) for i in range(self._strains[_NORMAL])]}
        for c, name in self._shears.items():
            i, j = tensors.PAIRS[c]
            outputs[name] = [(derivative(i, j) + derivative(j, i)) / sp.sqrt(2).evalf(17)]
        return Kernel("elastic_gradient", "spectral", {"displacement": len(self._along), **self._strains}, outputs)

    def _divergence(self) -> list[sp.Expr]:
        """Divergence of the stress, in modes, before scaling."""
        place = {pair: c for c, pair in enumerate(tensors.PAIRS)} | {
            (j, i): c for c, (i, j) in enumerate(tensors.PAIRS)
        }
        out = []
        for i in self._along:
            terms = []
            for j in range(self._dim):
                c = place[i, j]
                stress = self._strain(c)
                terms.append(Derivative(stress, j) if i == j else Derivative(stress, j, 1) / sp.sqrt(2).evalf(17))
            out.append(sum(terms, sp.S.Zero))
        return out

    def _preconditioned(self, waves: Waves, modes: Callable[..., Apply]) -> list[Operation]:
        """z = G r, reducing z . r by components."""
        arg, along, count = self._argument, self._along, len(self._along)
        constants = self._constants
        # The highest mode, of an even number of cells or of sines, has no derivative.
        seen = [
            sp.Piecewise((k2, k2 < arg(f"elastic_r_top_{axis}")), (0, True)) if math.isfinite(self._tops[axis]) else k2
            for axis, k2 in enumerate(waves.along[: self._dim])
        ]
        square = [k2 * waves.inverse for k2 in seen] + [sp.S.Zero] * (3 - self._dim)
        diagonal = {i: sum((arg(f"elastic_r_{i}{j}") * square[j] for j in range(self._dim)), sp.S.Zero) for i in along}

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

        r, place = [array_symbol(_R, n) for n in range(count)], {axis: n for n, axis in enumerate(along)}
        out: list[Operation] = []
        inner = [i for i in along if i < self._dim]
        if count > 1 and len(inner) > 1:
            outputs = []
            for i in along:
                terms = [
                    green(cross[min(i, j), max(i, j)] * waves.inverse**2) * Derivative(r[place[j]], j, 1)
                    for j in inner
                    if i in inner and j != i
                ]
                outputs.append(sum(terms, sp.S.Zero))
            out.append(modes("cross", {_R: count, _Q: count}, {_Q: outputs}))
        for i in along:
            n = place[i]
            here = green(own[i] * waves.inverse) * r[n]
            if i in inner and len(inner) > 1:
                here += Derivative(array_symbol(_Q, n), i, 1)
            outputs = [None] * count
            outputs[n] = here
            arrays = {_R: count, _Z: count, **({_Q: count} if len(inner) > 1 else {})}
            flips = (i,) if i < self._dim else ()
            out.append(modes(f"green_{i}", arrays, {_Z: outputs}, {f"product_{i}": waves.weight * r[n] * here}, flips))
        return out

    # -- the iteration -------------------------------------------------------------------------------------------------

    def _means(self, found: Sums) -> tuple[Array, Array]:
        """Mean stiffness, and mean stress at no mean strain, of all components of the body, (6, 6) and (6,)."""
        n = found["cells"]
        mean = self._matrix.copy()
        for p, part in enumerate(self._parts):
            mean += found[f"share_{p}"] / n * (part.stiffness - self._matrix)
        stress = np.zeros(6)
        stress[self._body] = [found[f"stress_{a}"] / n for a in self._body]
        return mean, stress

    def _relaxed(self, mean: Array, stress: Array, t: float) -> Array:
        """The mean strain that leaves the given stress where it is free, (6,)."""
        held, given = self._load(t)
        strain = np.array([0.0 if v is None else v for v in held])
        if free := self._free:
            rest = np.array(given, float)[free] - stress[free] - mean[free] @ strain
            strain[free] = np.linalg.solve(mean[np.ix_(free, free)], rest)
        return strain

    def _shift(self, strain: Array) -> dict[str, float]:
        return {f"elastic_mean_{a}": float(strain[a]) for a in self._body}

    def _steer(self, scalars: Mapping[str, float]) -> Generator[tuple[str, Sums], Sums, Sums]:
        """Conjugate gradients from the displacement that the last ones lead to."""
        t, (ahead, bend) = scalars.get("t", 0.0), extrapolation(scalars.get("w", 0.0), scalars.get("w_old", 0.0))
        found = yield "start", {"elastic_ahead": ahead, "elastic_bend": bend}
        change = found["change"]
        mean, stress = self._means(found)
        strain = self._relaxed(mean, stress, t)
        found = yield "residual", self._shift(strain)
        energy = found["energy"] / found["cells"]
        rho = first = self._product(found)
        # What is left of the error, squared: a part of what the step changed.
        wanted = max(
            _TOLERANCE**2 * (change if ahead else first) if "w" in scalars else _COLD**2 * first,
            _ROUND_OFF * abs(energy),
        )
        beta, best, since, count = 0.0, rho, 0, 0
        while rho > wanted:
            found = yield ("turn" if count else "first"), {"elastic_beta": beta}
            line = np.zeros(6)
            line[self._free] = [found[f"stress_{a}"] / found["cells"] for a in self._free]
            turn = np.zeros(6)
            if free := self._free:
                turn[free] = -np.linalg.solve(mean[np.ix_(free, free)], line[free])
            found = yield "multiply", self._shift(turn)
            curvature = found["curvature"] / found["cells"]
            if not curvature > 0:
                self._give_up("a direction without stiffness: the stiffness is not positive definite somewhere")
            alpha = rho / curvature
            found = yield "advance", {"elastic_alpha": alpha}
            strain = strain + alpha * turn
            after = self._product(found)
            beta, rho, count = after / rho, after, count + 1
            best, since = (rho, 0) if rho < 0.9 * best else (best, since + 1)
            if since >= _PATIENCE and rho <= _STALLED * abs(energy):
                break  # round-off
            if since >= _PATIENCE or count >= _MOST or not math.isfinite(rho):
                self._give_up(f"{count} iterations without an end")
        if count:
            found = yield "force", self._shift(strain)
            energy = found["energy"] / found["cells"]
        _, given = self._load(t)
        work = sum(given[a] * strain[a] for a in self._free)
        # What is left of the error makes the energy too large by at least this.
        return {"modes_elastic": float(energy - work - rho / (2 * self._stiffest))}

    def _product(self, found: Sums) -> float:
        return sum(found[f"product_{i}"] for i in self._along)

    def _give_up(self, why: str) -> NoReturn:
        raise NotConverged(
            f"model.elastic: no mechanical equilibrium was found: {why}",
            "check the stiffness of the phases, and that fields stay between them (0 to 1)",
        )

    def _look(self, scalars: Mapping[str, float]) -> Generator[tuple[str, Sums], Sums, Sums]:
        """Mean stress and strain of the displacement at hand."""
        yield "strain", {}
        found = yield "means", {}
        mean, stress = self._means(found)
        strain = self._relaxed(mean, stress, scalars.get("t", 0.0))
        stress = stress + mean @ strain
        stress[list(self._odd)] = 0.0
        told = {}
        for a, name in enumerate(tensors.NAMES):
            told[f"elastic_mean_stress_{name}"] = float(stress[a] / tensors.FACTOR[a]) if a in self._body else 0.0
            told[f"elastic_mean_strain_{name}"] = float(strain[a] / tensors.FACTOR[a]) if a in self._body else math.nan
        return told


def extrapolation(ratio: float, before: float) -> tuple[float, float]:
    """Factors a, b of u + a (u - u_old) - b (u_old - u_old2), the parabola through the last three solutions; a line through two.

    Args:
        ratio: of the step to be taken to the last one. before: of the last one to that before; 0 where there is none.
    """
    step = min(ratio, 2.0)  # a longer one is no guess
    if not before:
        return step, 0.0
    curved = step * (step + 1) / (1 + 1 / before)
    return step + curved, curved * before
