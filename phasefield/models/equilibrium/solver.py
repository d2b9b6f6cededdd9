"""The operations of `phasefield.models.equilibrium`: passes over cells and modes, and transforms, in parts of a `Solve`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import sympy as sp

from ...backend import Apply, Forward, Inverse, Operation, Solve, leaned
from ...codegen import Kernel, PerMode, Reduction, array_symbol
from ...grid import Grid
from ...mechanics import tensors
from ..moduli import Moduli
from ..terms.term import Waves
from .body import Array, Body, Held, Loading, Part
from .bridge import NEXT, Bridge
from .iteration import LEAN, Iteration
from .modes import Tensors, divergence, gradient, preconditioned

#: Arrays: displacement of the last solves and of that at hand, in modes; its residual, what the preconditioner makes of it,
#: direction and what the preconditioner needs; what the energy changes by phi_p.
_U, _OLD, _OLDER = "elastic_u", "elastic_u_old", "elastic_u_old2"
_NEW = _U + NEXT
_R, _Z, _P, _Q = (f"elastic_{name}" for name in ("residual", "z", "direction", "q"))
FORCE = "elastic_field"


VON_MISES = "stress_von_mises"


def _von_mises(stress: Sequence[sp.Expr]) -> sp.Expr:
    """The equivalent stress of six Mandel components: sqrt(3/2 s : s), s the deviator."""
    mean = sum(stress[:3], sp.S.Zero) / 3
    return sp.sqrt(1.5 * (sum((s - mean) ** 2 for s in stress[:3]) + sum(s**2 for s in stress[3:])))


@dataclass(frozen=True)
class _Here:
    """What is known in a cell, in expressions.

    Attributes:
        shares: g(phi_p). slopes: their derivatives. free: the stress-free strain. local: the strain of the displacement.
        mean: the mean strain, an argument. All strains by Mandel component.
    """

    shares: Sequence[sp.Expr]
    slopes: Sequence[sp.Expr]
    free: Mapping[int, sp.Expr]
    local: Mapping[int, sp.Expr]
    mean: Mapping[int, sp.Expr]


class Equilibrium:
    """The operations of a body.

    Args:
        matrix: C_0, Mandel (6, 6); in plane stress that of the sheet. parts: what it is made of. load, moved: see `Body`.
        dim: of the grid. thin: plane stress. tolerance: of the displacement, against what a step changes it by: energy norm.
        unknowns: the model's symbols. argument: makes kernel arguments.
        every: steps from one solve to the next. mean: B of the mean stiffness, which bridges those between; None for 1.
    """

    def __init__(
        self,
        matrix: Array,
        parts: Sequence[Part],
        load: Loading,
        moved: Held,
        dim: int,
        thin: bool,
        tolerance: float,
        unknowns: Sequence[sp.Symbol],
        argument: Callable[[str], sp.Symbol],
        every: int = 1,
        mean: Moduli | None = None,
    ) -> None:
        self.body = Body(matrix, parts, load, moved, dim, thin)
        self._unknowns, self._argument = unknowns, argument
        # A solve sees what n steps change; its error, seen every n-th step alone, looks like one of the steps; and the line
        # through two solves, a + x (a - b) with x < 1, makes up to three of it.
        self._iteration = Iteration(self.body, tolerance if every == 1 else tolerance / (3 * every**2))
        phis = [part.phi for part in parts]
        self._bridge = Bridge(mean, every, unknowns, phis, FORCE) if mean is not None else None
        #: Strain of the displacement; that of a direction, and stresses.
        self._strain, self._work = Tensors(self.body, "elastic"), Tensors(self.body, "elastic_work")

    def between(self, grid: Grid) -> None:
        """Takes note of the boundaries."""
        self.body.between(grid)

    @property
    def constants(self) -> dict[str, float]:
        """Kernel arguments."""
        return {**self.body.constants, **(self._bridge.constants if self._bridge is not None else {})}

    @property
    def memory(self) -> dict[str, int]:
        """Warm starts: displacements of the last three solves, in modes, and what leads over the steps between."""
        bridge = self._bridge.memory if self._bridge is not None else {}
        return {**dict.fromkeys((_U, _OLD, _OLDER), len(self.body.along)), **bridge}

    @property
    def alone(self) -> dict[str, int]:
        """Arrays of a displacement that is solved for from nothing, beside the temporaries."""
        return dict.fromkeys((_U, _OLD, _OLDER, _NEW), len(self.body.along))

    @property
    def temporaries(self) -> dict[str, int]:
        """Arrays of the iteration, name -> components."""
        count = len(self.body.along)
        helper = () if count == 1 or self.body.periodic else (_Q,)
        vectors = dict.fromkeys((_R, _Z, _P, *helper), count)
        return {**vectors, **self._strain.arrays, **self._work.arrays, FORCE: len(self.body.parts)}

    def operations(self, array: str, waves: Waves) -> list[Operation]:
        """What fills `FORCE` in cells from the cells of the state in ``array``, and tells ``modes_elastic``, the
        energy, and ``inexact_elastic``, by how much at most it is too large for what the solve left; both per volume.
        """
        parts = self._made(array, waves)
        lean = self.temporaries.keys() - {FORCE}
        parts |= {LEAN + name: leaned(parts[name], lean) for name in Iteration.leaning}
        bridge = self._bridge
        if bridge is None:
            return [Solve(self._iteration.steer, parts, Iteration.solved)]
        parts |= bridge.parts(array, waves, self._argument, self._names)
        return [Solve(lambda s: bridge.steer(s, partial(self._iteration.solve, s)), parts, bridge.told)]

    def looking(self, array: str, waves: Waves) -> list[Operation]:
        """What fills the strain by that of the displacement in memory, and tells the means; changes nothing else."""
        parts = self._made(array, waves)
        return [Solve(self._iteration.look, {name: parts[name] for name in ("strain", "means")}, self._iteration.told)]

    def derived(self, names: Sequence[str], array: str, into: str, waves: Waves, cold: bool = False) -> list[Operation]:
        """What fills an array by components of stress and strain in cells: ``stress_xx``, ``strain_xy``, ``stress_von_mises`` ...

        Args:
            cold: solves for the displacement first, instead of taking that in memory.
        """
        parts = self._made(array, waves)
        here = self._here()
        elastic = {a: here.local[a] - here.free[a] + here.mean[a] for a in self.body.components}
        stress, _ = self._stress(elastic, here.shares)
        found = {}
        for a, name in enumerate(tensors.NAMES):
            there = a in self.body.components
            found[f"stress_{name}"] = stress[a] / tensors.FACTOR[a] if there else sp.S.Zero
            found[f"strain_{name}"] = (here.local[a] + here.mean[a]) / tensors.FACTOR[a] if there else sp.nan
        found[VON_MISES] = _von_mises([stress.get(a, sp.S.Zero) for a in range(6)])
        whole = {"state": len(self._unknowns), **self._strain.arrays, into: len(names)}
        kernel = Kernel("elastic_derived", "real", whole, {into: [found[name] for name in names]}, {}, self._names)
        u = dict.fromkeys((_U, _OLD, _OLDER), len(self.body.along))
        rest = Kernel("elastic_rest", "spectral", u, {name: [sp.S.Zero] * len(self.body.along) for name in u})
        parts |= {"derived": [Apply(kernel, {"state": array})], "rest": [Apply(rest)]}
        if cold:
            return [Solve(self._iteration.derive_cold, parts)]
        return [Solve(self._iteration.derive, {name: parts[name] for name in ("strain", "means", "derived")})]

    # -- in cells ------------------------------------------------------------------------------------------------------

    def _here(self) -> _Here:
        """What kernels know of a cell, from the array ``state``."""
        body, arg = self.body, self._argument
        symbols = {s: array_symbol("state", i) for i, s in enumerate(self._unknowns)}
        phis = [part.phi.xreplace(symbols) for part in body.parts]
        weights = [body.weight(part, phi) for part, phi in zip(body.parts, phis, strict=True)]
        free = {
            a: sum((phi * arg(f"elastic_e{p}_{a}") for p, phi in enumerate(phis) if self._strained(p, a)), sp.S.Zero)
            for a in body.components
        }
        local = {a: self._strain.at(a) if a in body.varying else sp.S.Zero for a in body.components}
        mean = {a: arg(f"elastic_mean_{a}") for a in body.components}
        return _Here([g for g, _ in weights], [s for _, s in weights], free, local, mean)

    def _strained(self, p: int, a: int) -> bool:
        return f"elastic_e{p}_{a}" in self._constants

    def _tensor(self, name: str, vector: Mapping[int, sp.Expr]) -> dict[int, sp.Expr]:
        """A stiffness times a strain."""
        out = {}
        for a in self.body.components:
            terms = [
                self._argument(key) * vector[b]
                for b in self.body.components
                if (key := f"elastic_c{name}_{min(a, b)}{max(a, b)}") in self._constants and vector.get(b, 0) != 0
            ]
            out[a] = sum(terms, sp.S.Zero)
        return out

    def _stress(
        self, elastic: Mapping[int, sp.Expr], shares: Sequence[sp.Expr]
    ) -> tuple[dict[int, sp.Expr], list[dict[int, sp.Expr]]]:
        """Stress of an elastic strain, and what each part adds to it where its share is 1."""
        parts = [self._tensor(str(p + 1), elastic) for p in range(len(self.body.parts))]
        whole = self._tensor("0", elastic)
        for share, part in zip(shares, parts, strict=True):
            whole = {a: s + share * part[a] for a, s in whole.items()}
        return whole, parts

    def _loaded(self, here: _Here, local: Mapping[int, sp.Expr]) -> tuple[dict[int, sp.Expr], list[sp.Expr], sp.Expr]:
        """Stress, forces on the fields and energy density where the displacement's strain is ``local``."""
        body = self.body
        elastic = {a: local[a] - here.free[a] + here.mean[a] for a in body.components}
        stress, each = self._stress(elastic, here.shares)
        forces = [
            here.slopes[p] * sum((elastic[a] * part[a] for a in body.components), sp.S.Zero) / 2
            - sum(
                (stress[a] * self._argument(f"elastic_e{p}_{a}") for a in body.components if self._strained(p, a)),
                sp.S.Zero,
            )
            for p, part in enumerate(each)
        ]
        return stress, forces, sum((elastic[a] * stress[a] for a in body.components), sp.S.Zero) / 2

    def _cells(
        self,
        name: str,
        array: str,
        arrays: Mapping[str, int],
        outputs: Mapping[str, Any],
        sums: Mapping[str, sp.Expr],
    ) -> Apply:
        reductions = {key: Reduction("sum", e) for key, e in {**sums, "cells": sp.S.One}.items()}
        whole = {"state": len(self._unknowns), **arrays}
        return Apply(Kernel(f"elastic_{name}", "real", whole, outputs, reductions, self._names), {"state": array})

    def _in_cells(self, array: str) -> dict[str, Apply]:
        """The passes over cells."""
        body, arg, strain, work = self.body, self._argument, self._strain, self._work
        here, zero, step = self._here(), sp.S.Zero, arg("elastic_alpha")
        bare, _ = self._stress({a: here.local[a] - here.free[a] for a in body.components}, here.shares)
        shares = {f"share_{p}": share for p, share in enumerate(here.shares)}
        stress, forces, energy = self._loaded(here, here.local)
        # Of a direction, whose strain is in the other arrays; the mean strain is what follows it.
        along = {a: work.at(a) if a in body.varying else zero for a in body.components}
        line, _ = self._stress(along, here.shares)
        turned, _ = self._stress(
            {a: along[a] + (here.mean[a] if a in body.free else zero) for a in body.components}, here.shares
        )
        moved = {a: here.local[a] + step * along[a] for a in body.components}
        _, last_forces, last_energy = self._loaded(here, moved)
        both, force = {**strain.arrays, **work.arrays}, {FORCE: len(forces)}
        bend = sum((along[a] * line[a] for a in body.varying), zero)
        return {
            "means": self._cells(
                "means", array, strain.arrays, {}, {f"stress_{a}": bare[a] for a in body.components} | shares
            ),
            "stress": self._cells(
                "stress", array, both | force, work.outputs(stress) | {FORCE: forces}, {"energy": energy}
            ),
            "force": self._cells("force", array, strain.arrays | force, {FORCE: forces}, {"energy": energy}),
            "lines": self._cells(
                "lines", array, work.arrays, {}, {f"line_{a}": line[a] for a in body.free} | {"bend": bend}
            ),
            "multiply": self._cells("multiply", array, both, strain.outputs(moved) | work.outputs(turned), {}),
            "finish": self._cells("finish", array, both | force, {FORCE: last_forces}, {"energy": last_energy}),
        }

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _made(self, array: str, waves: Waves) -> dict[str, list[Operation]]:
        """Every part by its name."""
        body, arg, strain, work = self.body, self._argument, self._strain, self._work
        self._constants, count = self.constants, len(body.along)
        steering = [f"elastic_{name}" for name in ("alpha", "beta", "ahead", "bend")]
        means = [f"elastic_mean_{a}" for a in body.components]
        self._names = [*self._constants, *means, *steering, waves.scale.name]
        cells = self._in_cells(array)

        def modes(
            name: str,
            arrays: Mapping[str, int],
            outputs: Mapping[str, Any],
            sums: Mapping[str, sp.Expr] | None = None,
            flips: tuple[int, ...] = (),
        ) -> Apply:
            reductions = {key: Reduction("sum", e) for key, e in (sums or {}).items()}
            return Apply(Kernel(f"elastic_{name}", "spectral", arrays, outputs, reductions, self._names), flips=flips)

        names = (_U, _OLD, _OLDER, _NEW, _R, _Z, _P)
        u, old, older, new, r, z, p = ([array_symbol(a, i) for i in range(count)] for a in names)
        ahead = [arg("elastic_ahead") * (a - b) for a, b in zip(u, old, strict=True)]
        bend = [arg("elastic_bend") * (b - c) for b, c in zip(old, older, strict=True)]
        began = [a + d - e for a, d, e in zip(u, ahead, bend, strict=True)]
        norm = PerMode(waves.weight * waves.k2 * arg("elastic_r_scale"))
        start = modes(
            "start",
            dict.fromkeys((_U, _OLD, _OLDER, _NEW), count),
            {_NEW: began},
            {"change": norm * sum(d**2 for d in ahead), "size": norm * sum(a**2 for a in began)},
        )
        out = [waves.scale * e for e in divergence(body, work)]
        step, beta = arg("elastic_alpha"), arg("elastic_beta")
        move = {_NEW: [a + step * b for a, b in zip(new, p, strict=True)]}
        following = partial(preconditioned, body, waves, arg, modes, (_R, _Z, _Q))
        advance = following(
            "advance",
            {**work.arrays, **dict.fromkeys((_NEW, _R, _P), count)},
            {**move, _R: [a + step * e for a, e in zip(r, out, strict=True)]},
        )
        pair, both = dict.fromkeys((_Z, _P), count), dict.fromkeys((_NEW, _P), count)
        improved = {_NEW: [a + step * b for a, b in zip(new, z, strict=True)]}
        slopes = gradient(body, strain)
        renamed = dict(zip(strain.arrays, work.arrays, strict=True))
        to_strain = {name: [Apply(slopes, {"displacement": name}), *strain.transforms(Inverse)] for name in (_U, _NEW)}
        to_line = [Apply(slopes, {"displacement": _P, **renamed}), *work.transforms(Inverse), cells["lines"]]
        to_modes = work.transforms(Forward)
        return {
            "start": [start],
            "begin": [*to_strain[_NEW], cells["means"]],
            "strain": to_strain[_U],
            "means": [cells["means"]],
            "residual": [cells["stress"], *to_modes, *following("residual", {**work.arrays, _R: count}, {_R: out})],
            "first": [modes("first", pair, {_P: z}), *to_line],
            "turn": [modes("turn", pair, {_P: [a + beta * b for a, b in zip(z, p, strict=True)]}), *to_line],
            "multiply": [cells["multiply"], *to_modes, *advance],
            "finish": [cells["finish"], modes("move", both, move)],
            "force": [cells["force"]],
            "improve": [modes("improve", dict.fromkeys((_NEW, _Z), count), improved)],
        }
