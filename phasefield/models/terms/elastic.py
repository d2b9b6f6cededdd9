"""The elastic term: the energy of a coherent body whose fields carry stress-free strains.

One stiffness has a closed form (`elastic_closed`); where phases differ, equilibrium is solved for (`elastic_phases`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError
from ...keys import key as _key
from ..elasticity import KEY, NAMES, Elasticity, read_eigenstrain, read_elasticity
from .elastic_closed import Closed
from .elastic_members import coherent, members_of
from .elastic_phases import Phases, equilibrium
from .term import Term, Waves

if TYPE_CHECKING:
    from ...backend import Operation
    from ...grid import Grid
    from ...mechanics.coherent import CoherentBody
    from ..energy import EnergyModel, Reader
    from ..equilibrium import Equilibrium
    from ..parameters import Course


class Elastic(Term):
    """Elastic energy: keys and checks, and fields of stress and strain; all else is of its `_way`."""

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
            "tolerance: 0.03, every: 1; means of a load may be expressions in t",
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
        self._members = members_of(model)
        self._elasticity: Elasticity | None = model.settings.get("elastic")
        if self._elasticity is not None and not self._members:
            name = model.order_parameters[0].name
            raise ConfigError(
                KEY, "is given, but no field has an eigenstrain", f"e.g. model.fields.{name}.eigenstrain=0.01"
            )
        if self._members and self._elasticity is None:
            name = model.components[self._members[0].number][0].name
            raise ConfigError(
                f"model.fields.{name}.eigenstrain", f"needs {KEY}", f"e.g. {KEY}={{stiffness: {{E: 200, nu: 0.3}}}}"
            )

        if self._members and self._differ:
            assert self._elasticity is not None
            self._check_phases(self._elasticity)

    def _check_phases(self, elasticity: Elasticity) -> None:
        """Refuses another number of phases than one for the matrix and one for all fields, or for each."""
        names = list(dict.fromkeys(self.model.components[m.number][0].name for m in self._members))
        if len(elasticity.phases) not in (1, len(names)):
            told = ", ".join(name for name, _ in elasticity.phases)
            raise ConfigError(
                f"{KEY}.phases",
                f"says besides the matrix {told}, and the fields with an eigenstrain are {', '.join(names)}",
                "give one phase for all of them, or one for each: model.elastic.phases=[MATRIX, PHASE, ...]",
            )

    @cached_property
    def _way(self) -> Closed | Phases:
        """What answers for the term."""
        assert self._elasticity is not None
        return (Phases if self._differ else Closed)(self.model, self._members, self._elasticity)

    @property
    def _differ(self) -> bool:
        """Whether phases differ in stiffness."""
        return self._elasticity is not None and bool(self._elasticity.phases)

    @cached_property
    def _whole(self) -> Equilibrium:
        """The body as one that is solved for, for what has no closed form: fields of stress and strain."""
        assert self._elasticity is not None
        if isinstance(self._way, Phases):
            return self._way.solved
        return equilibrium(self.model, self._members, self._elasticity)

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
        return {} if self._differ else {**self._whole.alone, **self._whole.temporaries}

    def derive(self, names: Sequence[str], array: str, into: str, waves: Waves) -> list[Operation]:
        return self._whole.derived(names, array, into, waves, cold=not self._differ)

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
                if not all(body.mirrored(axis) for body in self._bodies()):
                    raise ConfigError(
                        "grid.boundary",
                        "has walls, which are planes of symmetry to elasticity; stiffness, eigenstrains or load have none across "
                        + name,
                        "choose grid.boundary=periodic, or an orientation and normal strains along the axes",
                    )

    def idle(self, given: Mapping[str, Mapping[str, Any]], end: float) -> Iterator[tuple[str, str]]:
        if self._elasticity is not None:
            yield from self._elasticity.idle

    def _bodies(self) -> list[CoherentBody]:
        """The body of each stiffness, with all that its load may have."""
        assert self._elasticity is not None
        given = self._elasticity
        stiffnesses = [given.stiffness, *(c for _, c in given.phases)]
        return [coherent(self._members, c, given.load_moved, given.thin) for c in stiffnesses]

    # -- of the way ----------------------------------------------------------------------------------------------------

    @property
    def constants(self) -> Mapping[str, float]:  # type: ignore[override]
        return self._way.constants

    def scalars(self, t: float) -> Mapping[str, float]:
        return {} if self._elasticity is None else self._way.scalars(t)

    @classmethod
    def courses(cls, settings: Mapping[str, Any]) -> Mapping[str, Course]:
        given: Elasticity | None = settings.get("elastic")
        return {} if given is None else {name: course for name, (_, _, course) in given.courses.items()}

    @property
    def driven(self) -> bool:  # type: ignore[override]
        """A load that changes does work."""
        return self._elasticity is not None and bool(self._elasticity.courses)

    def symbol(self, i: int, waves: Waves) -> Any | None:
        return self._way.symbol(i, waves)

    @property
    def temporaries(self) -> Mapping[str, int]:  # type: ignore[override]
        return self._way.temporaries

    @property
    def memory(self) -> Mapping[str, int]:  # type: ignore[override]
        return self._way.memory

    @property
    def reduced(self) -> Sequence[str]:  # type: ignore[override]
        return self._way.reduced

    def prepare(self, array: str, waves: Waves) -> list[Operation]:
        return self._way.prepare(array, waves)

    def force(self, i: int) -> Any | None:
        return self._way.force(i)

    @property
    def density(self) -> Any | None:
        return self._way.density

    def curvature(self, i: int) -> float:
        return self._way.curvature(i)

    @property
    def means(self) -> Mapping[str, Any]:  # type: ignore[override]
        return self._way.means

    def look(self, array: str, waves: Waves) -> list[Operation]:
        return self._way.look(array, waves)

    def measures(self, means: Mapping[str, float]) -> dict[str, float]:
        return self._way.measures(means)

    @property
    def variables(self) -> Mapping[str, Mapping[str, str]]:  # type: ignore[override]
        units = {"stress": "energy density", "strain": "1"}
        return {
            f"mean_{kind}_{name}": {"long_name": f"mean {kind}, {name}", "units": unit}
            for kind, unit in units.items()
            for name in NAMES
        }
