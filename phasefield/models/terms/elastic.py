"""The elastic term: the energy of a coherent body whose fields carry stress-free strains.

With one stiffness and phi_p = c or h(eta) the energy is 1/2 sum_k B_pq(n) phi_p^ phi_q^* and what the load makes of the means,
see `phasefield.mechanics.coherent` (Khachaturyan and Shatalov, Sov. Phys. JETP 29 (1969) 557; Cahn, Acta Metall. 9 (1961) 795).
Where phases differ in stiffness, equilibrium is solved for at every evaluation, see `phasefield.models.equilibrium`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ConfigError
from ...keys import key as _key
from ..elasticity import KEY, NAMES, Eigenstrain, Elasticity, Stiffness, read_eigenstrain, read_elasticity
from .term import Term, Waves

if TYPE_CHECKING:
    from ...backend import Operation
    from ...grid import Grid
    from ...mechanics.coherent import CoherentBody, Load, Polynomial
    from ..energy import EnergyModel, Reader
    from ..equilibrium import Equilibrium
    from ..parameters import Course

#: Largest slope of h, 15/8, curvature of it, 10/sqrt(3), and of (h^2)''/2 = h'^2 + h h'', 4.0, on 0 <= eta <= 1.
_SLOPE, _SECOND, _BEND = 1.875, 5.7735, 4.0


class Elastic(Term):
    """Elastic energy. One field that is linear in it has it in L; with others, or nonlinear ones, it is evaluated by way of the
    modes of phi_p, one pair of transforms for each.
    """

    name, title = "elastic", "elastic part"

    @dataclass
    class FieldKeys:
        """``eigenstrain``: stress-free strain of the field where it is 1: a number, normal strains, six components (11 22 33 23
        13 12, tensor shear), or ``{strain: ..., interpolation: linear|smooth}``; null for none.
        """

        eigenstrain: Any = field(default=None, metadata={"expression": True})

    @dataclass
    class ModelKeys:
        """``elastic``: ``{stiffness: ... or material: ..., load: {strain: ..., stress: ...}, plane: strain|stress}``."""

        elastic: Any = _key(
            None,
            "elasticity of fields with an eigenstrain: {stiffness: {E: , nu: } | {C11: , C12: , C44: } | 6 x 6, load: {strain: , "
            "stress: }, plane: strain|stress}, or material: NAME with unit: '1 GPa', phases: [MATRIX, WHERE FIELDS ARE 1], "
            "tolerance: 0.01; means of a load may be expressions in t",
            value="tree",
        )

        def check(self) -> None:
            """Its values are checked with the grid's axes known, by `Elastic.configure`."""

    @classmethod
    def read(cls, key: str, given: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
        conserved = given.get("kinetics") == "conserved"
        at, components = f"{key}.eigenstrain", given.get("components")
        return {"eigenstrain": read_eigenstrain(at, given.get("eigenstrain"), components, conserved, reader)}

    @classmethod
    def configure(cls, given: Mapping[str, Any], axes: int, reader: Reader) -> dict[str, Any]:
        return {"elastic": read_elasticity(given.get("elastic"), axes, reader)}

    def __init__(self, model: EnergyModel) -> None:
        super().__init__(model)
        places = [range(len(model.components))[part] for part in model.slices().values()]
        #: Components with a stress-free strain: number, interpolation, strain.
        self._members: list[tuple[int, str, tuple[float, ...]]] = []
        for f, part in zip(model.order_parameters, places, strict=True):
            free: Eigenstrain | None = f.values.get("eigenstrain")
            if free is not None:
                self._members += [(i, free.interpolation, free.of(c)) for c, i in enumerate(part)]
        self._elasticity: Elasticity | None = model.settings.get("elastic")
        if self._elasticity is not None and not self._members:
            name = model.order_parameters[0].name
            raise ConfigError(
                KEY, "is given, but no field has an eigenstrain", f"e.g. model.fields.{name}.eigenstrain=0.01"
            )
        if self._members and self._elasticity is None:
            name = model.components[self._members[0][0]][0].name
            raise ConfigError(
                f"model.fields.{name}.eigenstrain", f"needs {KEY}", f"e.g. {KEY}={{stiffness: {{E: 200, nu: 0.3}}}}"
            )

        if self._members and self._elasticity is not None and self._elasticity.phases:
            self._check_phases(self._elasticity)

    def _check_phases(self, elasticity: Elasticity) -> None:
        """Refuses another number of phases than one for the matrix and one for all fields, or for each."""
        names = list(dict.fromkeys(self.model.components[i][0].name for i, _, _ in self._members))
        if len(elasticity.phases) not in (1, len(names)):
            told = ", ".join(name for name, _ in elasticity.phases)
            raise ConfigError(
                f"{KEY}.phases",
                f"says besides the matrix {told}, and the fields with an eigenstrain are {', '.join(names)}",
                "give one phase for all of them, or one for each: model.elastic.phases=[MATRIX, PHASE, ...]",
            )

    @cached_property
    def _solved(self) -> Equilibrium | None:
        """The body whose phases differ in stiffness; None for one stiffness, which has a closed form."""
        return self._equilibrium() if self._elasticity is not None and self._elasticity.phases else None

    def _equilibrium(self) -> Equilibrium:
        from ...mechanics import tensors
        from ..equilibrium import Equilibrium, Part

        assert self._elasticity is not None
        given = self._elasticity
        phases = given.phases or (("", given.stiffness),)
        names = list(dict.fromkeys(self.model.components[i][0].name for i, _, _ in self._members))

        def of_sheet(rows: Any) -> np.ndarray:
            solid = np.array(rows)
            return tensors.embed_plane(tensors.plane_stress(solid)) if given.thin else solid

        parts = []
        for p, (i, _, strain) in enumerate(self._members):
            number = names.index(self.model.components[i][0].name) if len(phases) > 1 else 0
            parts.append(Part(self._part(p), np.array(strain) * tensors.FACTOR, of_sheet(phases[number][1])))

        body = Equilibrium(
            of_sheet(given.stiffness),
            parts,
            lambda t: _mandel(given.load_at(t)),
            _mandel(given.load_moved),
            given.axes,
            given.thin,
            given.tolerance,
            self.model.unknowns,
            self.model.argument,
        )
        if self.model.grid is not None:
            body.between(self.model.grid)
        return body

    @cached_property
    def _whole(self) -> Equilibrium:
        """The body as one that is solved for, for what has no closed form: fields of stress and strain."""
        return self._solved or self._equilibrium()

    @property
    def offers(self) -> Mapping[str, Mapping[str, Mapping[str, str]]]:  # type: ignore[override]
        if self._elasticity is None or not self._members:
            return {}
        thin = self._elasticity.thin
        names = [name for name in NAMES if not (thin and "z" in name)]
        stress = {f"stress_{name}": {"long_name": f"stress, {name}", "units": "energy density"} for name in names}
        strain = {f"strain_{name}": {"long_name": f"strain, {name}", "units": "1"} for name in names}
        equivalent = {"long_name": "equivalent stress of von Mises", "units": "energy density"}
        return {"stress": stress, "strain": strain, "von_mises": {"stress_von_mises": equivalent}}

    @property
    def deriving(self) -> Mapping[str, int]:  # type: ignore[override]
        return {} if self._solved is not None else {**self._whole.memory, **self._whole.temporaries}

    def derive(self, names: Sequence[str], array: str, into: str, waves: Waves) -> list[Operation]:
        return self._whole.derived(names, array, into, waves, cold=self._solved is None)

    @property
    def active(self) -> bool:
        return bool(self._members) or self._elasticity is not None

    def check(self, grid: Grid, given: Mapping[str, Mapping[str, Any]]) -> None:
        if any("fixed" in boundary for boundary in grid.boundary):
            raise ConfigError(
                "grid.boundary", "is fixed along an axis, which an elastic energy cannot be", "periodic or no-flux can"
            )
        if "no-flux" in grid.boundary:
            for axis, name in enumerate(grid.names):
                if not all(body.mirrored(axis) for body in self._bodies):
                    raise ConfigError(
                        "grid.boundary",
                        "has walls, which are planes of symmetry to elasticity; stiffness, eigenstrains or load have none across "
                        + name,
                        "choose grid.boundary=periodic, or an orientation and normal strains along the axes",
                    )

    @cached_property
    def _bodies(self) -> list[CoherentBody]:
        """The body of each stiffness, with all that its load may have."""
        assert self._elasticity is not None
        given = self._elasticity
        return [self._coherent(c, given.load_moved) for c in (given.stiffness, *(c for _, c in given.phases))]

    def _coherent(self, stiffness: Stiffness, load: Load) -> CoherentBody:
        from ...mechanics import tensors
        from ...mechanics.coherent import CoherentBody

        assert self._elasticity is not None
        strains = np.array([strain for _, _, strain in self._members]) * tensors.FACTOR
        return CoherentBody(np.array(stiffness), strains, load, self._elasticity.thin)

    def _body_at(self, t: float) -> CoherentBody:
        """That of one stiffness, under the load of time ``t``."""
        assert self._elasticity is not None
        given = self._elasticity
        return self._coherent(given.stiffness, given.load_at(t)) if given.courses else self.body

    @cached_property
    def body(self) -> CoherentBody:
        """That of one stiffness, or of the matrix, under the load of the time at hand."""
        assert self._elasticity is not None
        return self._coherent(self._elasticity.stiffness, self._elasticity.load_at(0.0, self.model.parameters))

    # -- B in kernels --------------------------------------------------------------------------------------------------

    @cached_property
    def _polynomials(self) -> tuple[list[list[Polynomial]], Polynomial]:
        """Numerators and denominator of B; its largest coefficient is 1, for powers of a stiffness may be too large a number."""
        assert self._elasticity is not None
        numerators, denominator = self.body.polynomials(self._elasticity.axes)
        scale = max(map(abs, denominator.values()))

        def scaled(polynomial: Polynomial) -> Polynomial:
            return {monomial: c / scale for monomial, c in polynomial.items()}

        return [[scaled(numerator) for numerator in row] for row in numerators], scaled(denominator)

    @cached_property
    def _largest(self) -> np.ndarray:
        """The largest B_pp, (members,)."""
        assert self._elasticity is not None
        return self.body.largest(self._elasticity.axes)

    def _uniform(self, p: int, q: int) -> float | None:
        """B_pq where it is the same in all directions, as for dilatations of what is isotropic; else None."""
        numerators, denominator = self._polynomials
        numerator = numerators[p][q]
        most = max(denominator, key=lambda monomial: abs(denominator[monomial]))
        ratio = numerator.get(most, 0.0) / denominator[most]
        scale = 1e-11 * float(np.sqrt(self._largest[p] * self._largest[q]))
        same = all(abs(numerator.get(m, 0.0) - ratio * c) <= scale for m, c in denominator.items())
        return ratio if same and set(numerator) <= set(denominator) else None

    @property
    def _pairs(self) -> list[tuple[int, int]]:
        count = len(self._members)
        return [(p, q) for p in range(count) for q in range(p, count)]

    @cached_property
    def constants(self) -> dict[str, float]:  # type: ignore[override]
        if self._solved is not None:
            return self._solved.constants
        found = self._loads(self.body)
        numerators, denominator = self._polynomials
        found |= {_coefficient("under", m): c for m, c in denominator.items()}
        for p, q in self._pairs:
            found[f"elastic_mean_{p}_{q}"] = float(self.body.mean_modulus[p, q])
            if (uniform := self._uniform(p, q)) is not None:
                found[f"elastic_wave_{p}_{q}"] = uniform
            else:
                found |= {_coefficient(f"over_{p}_{q}", m): c for m, c in numerators[p][q].items()}
        return found

    @staticmethod
    def _loads(body: CoherentBody) -> dict[str, float]:
        """Kernel arguments that the load sets."""
        found = {f"elastic_load_{p}": float(b) for p, b in enumerate(body.mean_force)}
        return {**found, "elastic_held": body.mean_energy}

    def scalars(self, t: float) -> Mapping[str, float]:
        if self._elasticity is None or not self._elasticity.courses or self._solved is not None:
            return {}
        return self._loads(self._body_at(t))

    @classmethod
    def courses(cls, settings: Mapping[str, Any]) -> Mapping[str, Course]:
        given: Elasticity | None = settings.get("elastic")
        return {} if given is None else {name: course for name, (_, _, course) in given.courses.items()}

    @property
    def driven(self) -> bool:  # type: ignore[override]
        """A load that changes does work."""
        return self._elasticity is not None and bool(self._elasticity.courses)

    def _modulus(self, p: int, q: int, waves: Waves) -> Any:
        """B_pq of a mode, A_pq of the mean; its numbers are kernel arguments."""
        mean = self._scalar(f"elastic_mean_{p}_{q}")
        if self._uniform(p, q) is not None:
            return waves.uniform(mean, self._scalar(f"elastic_wave_{p}_{q}"))
        from ...mechanics.coherent import value

        squares = [k2 * waves.inverse for k2 in waves.along]
        products = {
            (a, b): waves.signed[a] * waves.signed[b] * waves.inverse for a in range(3) for b in range(a + 1, 3)
        }

        def side(name: str, polynomial: Polynomial) -> Any:
            return value({m: self._scalar(_coefficient(name, m)) for m in polynomial}, squares, products)

        numerators, denominator = self._polynomials
        return waves.uniform(mean, side(f"over_{p}_{q}", numerators[p][q]) / side("under", denominator))

    # -- one linear field: in L ----------------------------------------------------------------------------------------

    @property
    def _direct(self) -> bool:
        return self._solved is None and len(self._members) == 1 and self._members[0][1] == "linear"

    def symbol(self, i: int, waves: Waves) -> Any | None:
        return self._modulus(0, 0, waves) if self._direct and i == self._members[0][0] else None

    # -- others: by way of the modes of phi_p --------------------------------------------------------------------------

    @property
    def temporaries(self) -> Mapping[str, int]:  # type: ignore[override]
        if self._solved is not None:
            return self._solved.temporaries
        return {} if self._direct else {"elastic_field": len(self._members)}

    @property
    def memory(self) -> Mapping[str, int]:  # type: ignore[override]
        return {} if self._solved is None else self._solved.memory

    @property
    def reduced(self) -> Sequence[str]:  # type: ignore[override]
        if self._solved is not None:
            return ("modes_elastic",)
        return () if self._direct else ("cells_elastic", "modes_elastic")[0 if self._loaded is not None else 1 :]

    def prepare(self, array: str, waves: Waves) -> list[Operation]:
        if self._solved is not None:
            return self._solved.operations(array, waves)
        if self._direct:
            return []
        from ...backend import Apply, Forward, Inverse
        from ...codegen import Kernel, PerMode, Reduction, array_symbol

        count, components = len(self._members), len(self.model.components)
        state = {s: array_symbol("state", i) for i, s in enumerate(self.model.unknowns)}
        cells = Kernel(
            "elastic_cells",
            "real",
            {"state": components, "elastic_field": count},
            {"elastic_field": [self._part(p).xreplace(state) for p in range(count)]},
            {} if self._loaded is None else {"cells_elastic": Reduction("sum", self._loaded.xreplace(state))},
            list(self.constants),
        )
        modes = [waves.scale * array_symbol("elastic_field", p) for p in range(count)]
        moduli = {pair: PerMode(self._modulus(*pair, waves)) for pair in self._pairs}
        stress = [sum(moduli[min(p, q), max(p, q)] * modes[q] for q in range(count)) for p in range(count)]
        energy = waves.weight / 2 * sum(u * s for u, s in zip(modes, stress, strict=True))
        filtered = Kernel(
            "elastic_modes",
            "spectral",
            {"elastic_field": count},
            {"elastic_field": stress},
            {"modes_elastic": Reduction("sum", energy)},
            [waves.scale.name, *self.constants],
        )
        return [
            Apply(cells, {"state": array}),
            Forward("elastic_field", count),
            Apply(filtered),
            Inverse("elastic_field", count),
        ]

    def force(self, i: int) -> Any | None:
        unknown = self.model.unknowns[i]
        local = None if self._loaded is None else self._loaded.diff(unknown)  # None where it is solved for
        if self._direct or (p := next((p for p, m in enumerate(self._members) if m[0] == i), None)) is None:
            return local
        from ...codegen import array_symbol

        coupled = self._part(p).diff(unknown) * array_symbol("elastic_field", p)
        return coupled if local is None else local + coupled

    # -- means ---------------------------------------------------------------------------------------------------------

    def _part(self, p: int) -> Any:
        """phi_p in the model's symbols."""
        i, interpolation, _ = self._members[p]
        u = self.model.unknowns[i]
        return u if interpolation == "linear" else u**3 * (6 * u**2 - 15 * u + 10)

    def _scalar(self, name: str) -> Any:
        """A kernel argument."""
        return self.model.argument(name)

    @property
    def density(self) -> Any | None:
        """Where operations of its own run, they reduce it."""
        return self._loaded if self._direct else None

    @cached_property
    def _loaded(self) -> Any | None:
        """Energy density that the load adds, linear in phi_p; None without one, and where equilibrium is solved for."""
        if self._solved is not None:
            return None
        forces = self.body.mean_force
        moving = self.driven
        if not forces.any() and not self.body.mean_energy and not moving:
            return None
        parts = (self._scalar(f"elastic_load_{p}") * self._part(p) for p, b in enumerate(forces) if b or moving)
        return sum(parts, self._scalar("elastic_held"))

    def curvature(self, i: int) -> float:
        """What covers the forces of the modes of phi_p, h'_p B_pq h'_q and h''_p times them, row by row."""
        if self._direct or (p := next((p for p, m in enumerate(self._members) if m[0] == i), None)) is None:
            return 0.0
        if self._solved is not None:
            now = self._elasticity.load_at(0.0, self.model.parameters)  # type: ignore[union-attr]
            return self._solved.body.slope(p, [kind == "linear" for _, kind, _ in self._members], *_mandel(now))
        roots = np.sqrt(np.maximum(self._largest, 0.0))
        slopes = np.array([1.0 if kind == "linear" else _SLOPE for _, kind, _ in self._members])
        others = float(roots[p] * slopes[p] * (roots @ slopes - roots[p] * slopes[p]))
        if self._members[p][1] == "linear":
            return others + float(roots[p] ** 2)
        return others + float(roots[p] ** 2) * _BEND + _SECOND * abs(float(self.body.mean_force[p]))

    @property
    def means(self) -> Mapping[str, Any]:  # type: ignore[override]
        return {} if self._solved is not None else {f"part_{p}": self._part(p) for p in range(len(self._members))}

    def look(self, array: str, waves: Waves) -> list[Operation]:
        return [] if self._solved is None else self._solved.looking(array, waves)

    def measures(self, means: Mapping[str, float]) -> dict[str, float]:
        if self._solved is not None:
            return {name: means[f"elastic_{name}"] for name in self.variables}
        from ...mechanics import tensors

        parts = np.array([means[f"part_{p}"] for p in range(len(self._members))])
        body = self._body_at(means["t"])
        found = {"stress": body.mean_stress(parts), "strain": body.mean_strain(parts)}
        return {
            f"mean_{kind}_{name}": float(v / factor)
            for kind, vector in found.items()
            for name, v, factor in zip(NAMES, vector, tensors.FACTOR, strict=True)
        }

    @property
    def variables(self) -> Mapping[str, Mapping[str, str]]:  # type: ignore[override]
        units = {"stress": "energy density", "strain": "1"}
        return {
            f"mean_{kind}_{name}": {"long_name": f"mean {kind}, {name}", "units": unit}
            for kind, unit in units.items()
            for name in NAMES
        }


def _mandel(load: Load) -> tuple[list[float | None], list[float]]:
    """Strains held, None where free, and stresses given, 0 where not."""
    from ...mechanics import tensors

    held = [None if v is None else float(v * f) for v, f in zip(load.strain, tensors.FACTOR, strict=True)]
    return held, [float((v or 0.0) * f) for v, f in zip(load.stress, tensors.FACTOR, strict=True)]


def _coefficient(side: str, monomial: tuple[int, int, int]) -> str:
    return f"elastic_{side}_{''.join(map(str, monomial))}"
