"""Motion with a mobility that varies, as operations of a step.

A constant reference M_ref stays in L; with mu the whole variational derivative, h = df/du - S u and q_ref = M_ref k^2,

    conserved:     N = -q_ref FT[h] + FT[div((M - M_ref) grad mu)] + FT[s]
    nonconserved:  N = -FT[M_ref h + (M - M_ref) mu - s]

The sum with L u is div(M grad mu) + s, or -M mu + s, whatever M_ref is. Gradient and divergence are each other's negative
transposes on every grid (`phasefield.codegen.Derivative`), so that the discrete energy falls: its rate is -<grad mu, M grad mu>,
and what the grid's highest modes, whose derivative vanishes, lose besides by M_ref. The mean is not touched. A component takes
2 + 2 d transforms in d dimensions, one that is not conserved 3, and more where M depends on the normal
(`phasefield.models.kinetic`).

Where fields are coupled (`phasefield.models.onsager`), the flux of one has the gradients of the others' mu besides. With numbers
alone none of it leaves the modes, and no transform is added:

    N_i = -R_i k^2 FT[h_i] - sum_j (M_ij - R_i delta_ij) k^2 FT[mu_j] + FT[s_i]

(The Laplacian form div(M grad mu) = [lap(M mu) + M lap mu -
mu lap M]/2 needs no derivatives, but 8 transforms, and its energy may rise where M vanishes.)

L with a constant coefficient and the rest explicit is the classical treatment of a mobility that varies, in Fourier space: Zhu,
Chen, Shen and Tikare, Phys. Rev. E 60 (1999) 3564.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import sympy as sp

from ..backend import Apply, Forward, Inverse, Operation
from ..codegen import Derivative, Kernel, PerMode, array_symbol
from . import kinetic
from .onsager import limited

if TYPE_CHECKING:
    from .energy import EnergyModel
    from .mobility import Law
    from .terms import Waves

#: Arrays of the operations: mobilities less their references and potentials of fields that relax, in cells; the part of
#: potentials that L knows, in modes; fluxes along the axes.
_EXCESS, _BEND, _LINEAR, _FLUX = "flow_excess", "flow_bend", "flow_linear", "flow_flux"


class Transport:
    """What a split does for components whose mobility varies; nothing if there are none.

    Args:
        symbols: A of every component as L has it, see `phasefield.models.split`. dim: of the grid. potentials: what else there is
            of mu in modes. arrays: that these are made of, name -> components.

    Attributes:
        divergences: components whose first channel is N when the operations have ended.
        temporaries: as those of a `Split`.
    """

    def __init__(
        self,
        model: EnergyModel,
        symbols: Sequence[sp.Expr],
        dim: int,
        waves: Waves,
        potentials: Sequence[sp.Expr] = (),
        arrays: Mapping[str, int] | None = None,
    ) -> None:
        self._arrays = dict(arrays or {})
        self._model, self._symbols, self._waves = model, symbols, waves
        self._potentials = list(potentials) or [sp.S.Zero] * len(symbols)
        self._axes = range(dim)
        partial = [i for i, (f, _) in enumerate(model.components) if f.law is not None and f.law.partial]
        self.divergences = [i for i in partial if model.components[i][0].kinetics.conserved]
        self._relaxing = [i for i in partial if i not in self.divergences]
        self._turned = kinetic.members(model)
        self._cross = {i: self._coupled(i) for i in self.divergences}
        # Rows of numbers stay in modes. The others flow by gradients of their own and of those that they are coupled to.
        flowing = [i for i in self.divergences if self._law(i).varies]
        self._closed = [i for i in self.divergences if i not in flowing]
        self._flowing = flowing
        self._sloped = [*flowing, *(i for i in self._closed if any(i in self._cross[j] for j in flowing))]
        # Components of a field share their mobility; so do the axes, unless they have entries of their own.
        self._places: dict[str, int] = {}
        for i in flowing:
            name = model.components[i][0].name
            if name not in self._places:
                self._places[name] = sum(self._entries(name) for name in self._places)
        entries = sum(self._entries(name) for name in self._places)
        pairs = sorted({(min(i, j), max(i, j)) for i in flowing for j in self._cross[i]})
        self._pairs = {pair: entries + n for n, pair in enumerate(pairs)}
        counts = {
            _EXCESS: entries + len(pairs),
            _BEND: len(self._relaxing),
            _LINEAR: len(self.divergences),
            **{self._flux(a): len(self._sloped) for a in self._axes},
        }
        found = {name: count for name, count in counts.items() if count}
        self.temporaries: Mapping[str, int] = {**found, **kinetic.temporaries(model, dim)}

    def _entries(self, name: str) -> int:
        return next(len(f.law.entries) for f in self._model.order_parameters if f.name == name and f.law is not None)

    def _law(self, i: int) -> Law:
        law = self._model.components[i][0].law
        assert law is not None
        return law

    def _coupled(self, i: int) -> list[int]:
        """Components that component ``i`` is coupled to."""
        names = [f.name for f, _ in self._model.components]
        return sorted(names.index(name) for name in self._law(i).cross)

    def _field(self, i: int) -> int:
        return self._model.order_parameters.index(self._model.components[i][0])

    @staticmethod
    def _flux(axis: int) -> str:
        return f"{_FLUX}_{'xyz'[axis]}"

    def _place(self, i: int, axis: int) -> int:
        """The component of `_EXCESS` that component ``i`` flows with along an axis."""
        f = self._model.components[i][0]
        return self._places[f.name] + (axis if self._entries(f.name) > 1 else 0)

    def _excess(self, i: int) -> list[sp.Expr]:
        """M - M_ref of every entry."""
        return [m - r for m, r in zip(self._law(i).clipped, mobilities(self._model, i), strict=True)]

    # -- in cells ------------------------------------------------------------------------------------------------------

    def relaxation(self, i: int, force: sp.Expr) -> sp.Expr:
        """What a mobility that varies adds to the channel of a component that is not conserved; 0 for all others."""
        if i not in self._relaxing:
            return sp.S.Zero
        if i in self._turned:
            excess: sp.Expr = array_symbol(kinetic.MOBILITY, self._turned.index(i))
        else:
            (excess,) = self._excess(i)
        return excess * (force + array_symbol(_BEND, self._relaxing.index(i)))

    def cells(self) -> dict[str, list[sp.Expr]]:
        """What else is evaluated in cells, in the model's symbols: array -> expressions."""
        found = []
        for name in self._places:
            i = next(i for i in self._flowing if self._model.components[i][0].name == name)
            found += self._excess(i)
        found += [limited(self._model, self._field(i), self._field(j)) for i, j in self._pairs]
        return {_EXCESS: found} if found else {}

    # -- operations ----------------------------------------------------------------------------------------------------

    def before(self, array: str, scalars: Sequence[str]) -> list[Operation]:
        """While the state is in modes: A u for mu in cells, (S + A) u beside h."""
        outputs: dict[str, list[sp.Expr]] = {}
        for name, components in ((_BEND, self._relaxing), (_LINEAR, self.divergences)):
            if components:
                outputs[name] = [
                    PerMode(self._symbols[i] + (0 if name == _BEND else self._model.scalar("stabilizer", i)))
                    * array_symbol("state", i)
                    + (self._waves.scale * self._potentials[i] if name == _BEND else 0)
                    for i in components
                ]
        if not outputs:
            return []
        arrays = {"state": len(self._model.components), **{name: len(found) for name, found in outputs.items()}}
        arrays |= self._arrays
        kernel = Kernel("flow_potential", "spectral", arrays, outputs, scalars=scalars)
        bend = [Inverse(_BEND, len(self._relaxing))] if self._relaxing else []
        turned = kinetic.operations(self._model, array, len(self._axes), scalars)
        return [Apply(kernel, {"state": array}), *bend, *turned]

    def _driven(self, i: int, axis: int) -> sp.Expr:
        """What walls add to the gradient of mu along an axis, in cells."""
        lifting = self._model.lifting
        return sp.S.Zero if lifting is None else lifting.slope(i, axis).xreplace(self._model.on(""))

    def after(self, array: str, channels: int, scalars: Sequence[str]) -> list[Operation]:
        """Makes N of h in the first channels of ``array``, all in modes: gradients, fluxes, divergence."""
        if not self.divergences:
            return []
        linear, scale = {_LINEAR: len(self.divergences)}, self._waves.scale
        fluxes = {self._flux(a): len(self._sloped) for a in self._axes} if self._sloped else {}
        slopes = {
            flux: [
                scale * Derivative(array_symbol("channels", i), a) + Derivative(self._known(i), a) for i in self._sloped
            ]
            for a, flux in enumerate(fluxes)
        }
        operations: list[Operation] = []
        if fluxes:
            arrays = {"channels": channels, **linear, **fluxes}
            kernel = Kernel("flow_gradient", "spectral", arrays, slopes, scalars=scalars)
            operations.append(Apply(kernel, {"channels": array}))
        for a, flux in enumerate(fluxes):
            kernel = Kernel(
                f"flow_flux_{'xyz'[a]}",
                "real",
                {flux: len(self._sloped), _EXCESS: self.temporaries[_EXCESS]},
                {flux: [self._flow(i, a) for i in self._flowing]},
                scalars=scalars,
            )
            operations += [
                Inverse(flux, len(self._sloped), flips=(a,)),
                Apply(kernel),
                Forward(flux, len(self._flowing), flips=(a,)),
            ]
        rates: list[sp.Expr | None] = [None] * channels
        for i in self.divergences:
            q = operator(self._model, i, self._waves)
            rates[i] = (self._exchanged(i) if i in self._closed else self._divergence(i)) - PerMode(q) * array_symbol(
                "channels", i
            )
        arrays = {"channels": channels, **(linear if self._closed else {}), **fluxes}
        kernel = Kernel("flow_divergence", "spectral", arrays, {"channels": rates}, scalars=scalars)
        return [*operations, Apply(kernel, {"channels": array})]

    def _known(self, i: int) -> sp.Symbol:
        """(S + A) u of component ``i``, which mu has besides h."""
        return array_symbol(_LINEAR, self.divergences.index(i))

    def _flow(self, i: int, axis: int) -> sp.Expr:
        """The flux of component ``i`` along an axis, less that of its reference, in cells."""

        def slope(j: int) -> sp.Expr:
            return array_symbol(self._flux(axis), self._sloped.index(j)) + self._driven(j, axis)

        own = slope(i) * array_symbol(_EXCESS, self._place(i, axis))
        pairs = ((j, self._pairs[min(i, j), max(i, j)]) for j in self._cross[i])
        return own + sum((slope(j) * array_symbol(_EXCESS, place) for j, place in pairs), sp.S.Zero)

    def _divergence(self, i: int) -> sp.Expr:
        place = self._sloped.index(i)
        return sum((Derivative(array_symbol(self._flux(a), place), a, 1) for a in self._axes), sp.S.Zero)

    def _exchanged(self, i: int) -> sp.Expr:
        """The same divergence where the row of component ``i`` is numbers, in modes as they come from the transforms."""
        total: sp.Expr = sp.S.Zero
        for j in (i, *self._cross[i]):
            m = sp.Symbol(f"coupling_{self._field(i)}_{self._field(j)}", real=True)
            m -= self._model.scalar("mobility", i) if i == j else 0
            k2 = self._waves.k2
            total -= PerMode(m * k2) * array_symbol("channels", j) + PerMode(m * k2 / self._waves.scale) * self._known(
                j
            )
        return total


def mobilities(model: EnergyModel, i: int) -> list[sp.Symbol]:
    """Kernel arguments that hold the mobility of component ``i``, that of L where it varies: one, or one along every axis."""
    law = model.components[i][0].law
    if law is None or len(law.entries) == 1:
        return [model.scalar("mobility", i)]
    return [model.scalar(f"mobility_{a}", i) for a, _ in zip("xyz", law.entries, strict=False)]


def operator(model: EnergyModel, i: int, waves: Waves) -> sp.Expr:
    """q of component ``i``."""
    kinetics, values = model.components[i][0].kinetics, mobilities(model, i)
    if len(values) == 1:
        return kinetics.operator(values[0], waves.k2)
    return sum((kinetics.operator(m, k2) for m, k2 in zip(values, waves.along, strict=False)), sp.S.Zero)
