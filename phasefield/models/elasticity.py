"""What is written of elasticity: stress-free strains of fields, and the stiffness, load and plane of a model.

Nothing here imports SymPy. Components are named 11 22 33 23 13 12, or xx yy zz yz xz xy, and are those of the tensor: a shear is
half the engineering one. Numbers may be expressions in the parameters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, unknown

if TYPE_CHECKING:
    from ..mechanics.coherent import Load
    from .energy import Reader
    from .parameters import Course

KEY = "model.elastic"
NAMES = ("xx", "yy", "zz", "yz", "xz", "xy")
INTERPOLATIONS = ("linear", "smooth")
_KEYS = ("stiffness", "material", "phase", "phases", "orientation", "unit", "load", "plane", "tolerance", "every")
#: Error of the displacement that a solve may leave where phases differ, against what the step changes it by: energy norm.
TOLERANCE = 0.1
#: Steps from one solve to the next, at most: farther ahead the past says little.
MOST_EVERY = 16
#: A number with a unit behind it, which no expression is.
_UNITED = re.compile(r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*[A-Za-zµ]")

Strain = tuple[float, ...]
Stiffness = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Eigenstrain:
    """The stress-free strain of a field.

    Attributes:
        strains: six tensor components for all components of the field, or for each of its own.
        interpolation: what it is multiplied by: ``linear`` is the field, ``smooth`` is h = eta^3 (6 eta^2 - 15 eta + 10).
    """

    strains: tuple[Strain, ...]
    interpolation: str

    def of(self, component: int) -> Strain:
        """That of one component of the field."""
        return self.strains[component if len(self.strains) > 1 else 0]

    def __str__(self) -> str:
        return f"{self.interpolation} {self.strains}"


@dataclass(frozen=True)
class Elasticity:
    """Elasticity of a model.

    Attributes:
        stiffness: rows of the (6, 6) Mandel matrix, in the model's unit of energy density, of the matrix where phases differ.
        load: what holds the body. thin: a sheet without stress across it. axes: of the grid, along which alone there are waves.
        phases: name and stiffness of what fields are where they are 1: one for all, or one for every field with a stress-free
            strain; empty where there is one stiffness. courses: components of the load that depend on time: name -> kind, number,
            and how it does; ``load`` has their values at t = 0. tolerance: of the solve where phases differ, see `TOLERANCE`.
        every: steps from one solve to the next there. idle: keys that are set and that nothing heeds, and why.
    """

    stiffness: Stiffness
    load: Load
    thin: bool
    axes: int
    phases: tuple[tuple[str, Stiffness], ...] = ()
    tolerance: float = TOLERANCE
    courses: Mapping[str, tuple[str, int, Course]] = field(default_factory=dict)
    every: int = 1
    idle: tuple[tuple[str, str], ...] = ()

    def load_at(self, t: float, values: Mapping[str, float] | None = None) -> Load:
        """The load at time ``t``, or with the values of its moving components given by name."""
        found = {"strain": list(self.load.strain), "stress": list(self.load.stress)}
        for name, (kind, c, course) in self.courses.items():
            found[kind][c] = course.at(t) if values is None else values[name]
        return replace(self.load, strain=tuple(found["strain"]), stress=tuple(found["stress"]))

    @property
    def load_moved(self) -> Load:
        """The load with something in every component that moves, wherever that begins."""
        return self.load_at(0.0, dict.fromkeys(self.courses, 1.0))

    def __str__(self) -> str:
        told = f"stiffness {self.stiffness}, {self.load}, thin {self.thin}"
        return told + (f", phases {self.phases}" if self.phases else "")


# -- stress-free strains -----------------------------------------------------------------------------------------------


def read_eigenstrain(
    key: str, value: Any, components: int | None, conserved: bool, reader: Reader
) -> Eigenstrain | None:
    """The stress-free strain of a field.

    Args:
        value: a number (of the same strain in all directions), a list of 1 to 3 normal or of 6 components, a list of such lists,
            one for each component of the field, or ``{strain: ..., interpolation: ...}``; None for none.

    Raises:
        ConfigError, ExpressionError: with the key at fault.
    """
    if value is None:
        return None
    interpolation = "linear" if conserved else "smooth"
    if isinstance(value, Mapping):
        for name in value:
            if name not in ("strain", "interpolation"):
                raise unknown(key, str(name), ("strain", "interpolation"), "key")
        interpolation = str(value.get("interpolation") or interpolation)
        if interpolation not in INTERPOLATIONS:
            raise ConfigError(
                f"{key}.interpolation", f"is {interpolation!r}; expected one of {', '.join(INTERPOLATIONS)}"
            )
        if value.get("strain") is None:
            raise ConfigError(f"{key}.strain", "is missing", "e.g. {strain: 0.01, interpolation: smooth}")
        key, value = f"{key}.strain", value["strain"]
    if isinstance(value, list | tuple) and value and all(isinstance(part, list | tuple) for part in value):
        if len(value) != (components or 1):
            count = f"{components} components" if components else "no components"
            raise ConfigError(key, f"has {len(value)} strains, the field has {count}", "give one, or one for each")
        strains = tuple(_strain(f"{key}[{i}]", part, reader) for i, part in enumerate(value))
    else:
        strains = (_strain(key, value, reader),)
    return Eigenstrain(strains, interpolation)


def _strain(key: str, value: Any, reader: Reader) -> Strain:
    if not isinstance(value, list | tuple):
        number = reader.number(key, value, signed=True)
        return (number,) * 3 + (0.0,) * 3
    if len(value) not in (1, 2, 3, 6):
        raise ConfigError(
            key,
            f"has {len(value)} entries",
            "give one number for all directions, normal strains along x, y, z, or six components 11 22 33 23 13 12",
        )
    numbers = [reader.number(f"{key}[{i}]", part, signed=True) for i, part in enumerate(value)]
    return tuple(numbers + [0.0] * (6 - len(numbers)))


# -- stiffness, load and plane -----------------------------------------------------------------------------------------


def read_elasticity(given: Any, axes: int, reader: Reader) -> Elasticity | None:
    """What stands at ``model.elastic``; None for nothing.

    Args:
        axes: of the grid: with two of them the body is held along the third (plane strain) or free there (plane stress).

    Raises:
        ConfigError, ExpressionError: with the key at fault.
    """
    if given is None or (isinstance(given, Mapping) and not given):
        return None
    if not isinstance(given, Mapping):
        raise ConfigError(KEY, f"is {given!r}; a mapping is expected", "e.g. {stiffness: {E: 200, nu: 0.3}}")
    for name in given:
        if name not in _KEYS:
            raise unknown(KEY, str(name), _KEYS, "key")
    plane = given.get("plane")
    if plane not in (None, "strain", "stress"):
        raise ConfigError(f"{KEY}.plane", f"is {plane!r}; expected strain or stress")
    if plane is not None and axes != 2:
        raise ConfigError(f"{KEY}.plane", f"is {plane}, on a grid of {axes} axes", "leave it out: it is for two axes")
    unit, idle = _Unit(_unit(given.get("unit"))), list[tuple[str, str]]()
    (_, first), *phases = [(name, _rows(tensor)) for name, tensor in _stiffnesses(given, unit, idle)]
    load, courses = _load(given.get("load"), unit, axes == 2, plane == "stress", reader)
    tolerance = _tolerance(given, bool(phases), reader)
    every = _every(given, bool(phases), bool(courses))
    if unit.pascals is not None and not unit.used:
        idle.append((f"{KEY}.unit", "neither the stiffness nor the load has a unit"))
    return Elasticity(first, load, plane == "stress", axes, tuple(phases), tolerance, courses, every, tuple(idle))


def _tolerance(given: Mapping[str, Any], differ: bool, reader: Reader) -> float:
    key, value = f"{KEY}.tolerance", given.get("tolerance")
    if value is None:
        return TOLERANCE
    if not differ:
        raise ConfigError(key, "is of phases that differ in stiffness, and there is one stiffness", "leave it out")
    found = float(reader.number(key, value))
    if not 0 < found < 1:
        raise ConfigError(key, f"is {found:g}; a number between 0 and 1 is expected", f"the default is {TOLERANCE}")
    return found


def _every(given: Mapping[str, Any], differ: bool, moving: bool) -> int:
    key, value = f"{KEY}.every", given.get("every")
    if value is None:
        return 1
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_EVERY:
        raise ConfigError(
            key, f"is {value!r}; a whole number from 1 to {MOST_EVERY} is expected", "1 solves at every step"
        )
    if value > 1 and not differ:
        raise ConfigError(key, "is of phases that differ in stiffness, and there is one stiffness", "leave it out")
    if value > 1 and moving:
        raise ConfigError(
            key, f"is {value}, and the load depends on time, which is followed at every step", "leave it out"
        )
    return value


def _rows(tensor: Any) -> Stiffness:
    return tuple(tuple(float(v) for v in row) for row in tensor)


def _unit(value: Any) -> float | None:
    """Pa in the model's unit of energy density; None if it is not said."""
    from ..units import quantity

    if value is None:
        return None
    number, united = quantity(value, "Pa", f"{KEY}.unit")
    if not united or number <= 0:
        raise ConfigError(
            f"{KEY}.unit", f"is {value!r}; the energy density that is 1 in this model is expected", "e.g. '1 GPa'"
        )
    return number


@dataclass
class _Unit:
    """The model's unit of energy density in Pa, None if it is not said, and whether anything has needed it."""

    pascals: float | None
    used: bool = False


def _in_unit(value: float, united: bool | None, unit: _Unit, key: str) -> float:
    """A number as the model counts it: what has a unit needs the model's."""
    if not united:
        return value
    unit.used = True
    if unit.pascals is None:
        raise ConfigError(
            key,
            "has a unit, but the model's unit of energy density is not known",
            f"set {KEY}.unit to the energy density that is 1 in this model, e.g. '1 GPa', or give plain numbers",
        )
    return value / unit.pascals


def _stiffnesses(given: Mapping[str, Any], unit: _Unit, idle: list[tuple[str, str]]) -> list[tuple[str, Any]]:
    """Name and stiffness of the phases, (6, 6) Mandel: one, or the matrix and what fields are where they are 1.

    Args:
        idle: gets what nothing heeds, and why.
    """
    material, constants = given.get("material"), given.get("stiffness")
    if (material is None) == (constants is None):
        others = ", ".join(key for key in _KEYS if given.get(key) is not None) or "nothing"
        problem = (
            f"has {others}, but no stiffness and no material: nothing is elastic"
            if material is None
            else "gives both stiffness and material"
        )
        others = f", or leave {others} out" if material is None else ""
        raise ConfigError(KEY, problem, f"give one: stiffness: {{E: 200, nu: 0.3}}, or material: NAME{others}")
    if constants is None:
        return _material(given, unit)
    for key in ("phase", "phases"):
        if given.get(key) is not None:
            raise ConfigError(f"{KEY}.{key}", "is of a material, and a stiffness is given", f"give {KEY}.material")
    return [("", _constants(constants, given.get("orientation"), unit, idle))]


def _constants(constants: Any, orientation: Any, unit: _Unit, idle: list[tuple[str, str]]) -> Any:
    """The stiffness of constants."""
    from ..mechanics import tensors
    from ..mechanics.constants import check_definite, read_orientation, read_stiffness
    from ..mechanics.properties import PROPERTIES

    key = f"{KEY}.stiffness"
    made, united = read_stiffness(constants, key)
    if isinstance(made, float):
        raise ConfigError(key, f"is {constants!r}; a stiffness that is finite and not 0 is expected")
    tensor = made.tensor(key)
    check_definite(tensor, PROPERTIES["stiffness"], key, bool(united))
    rotation = read_orientation(orientation, KEY)
    if rotation is not None:
        turned = tensors.rotate(tensor, rotation)
        if abs(turned - tensor).max() <= 1e-12 * abs(tensor).max():
            idle.append((f"{KEY}.orientation", "the stiffness is the same in it"))
        tensor = turned
    return tensor * _in_unit(1.0, united, unit, key)


def _material(given: Mapping[str, Any], unit: _Unit) -> list[tuple[str, Any]]:
    """The stiffness of one phase of a material, or of several."""
    from ..mechanics.materials import system_of

    if given.get("orientation") is not None:
        raise ConfigError(f"{KEY}.orientation", "is for stiffness; a phase of a material has its own")
    if given.get("phase") is not None and given.get("phases") is not None:
        raise ConfigError(f"{KEY}.phases", f"is given, and {KEY}.phase too", "give phase for one stiffness everywhere")
    try:
        system = system_of(given["material"])
        names = [phase.name for phase in system.phases]
        if (one := given.get("phase")) is not None:
            chosen = [str(one)]
        elif (some := given.get("phases")) is not None:
            if not isinstance(some, list | tuple) or len(some) < 2:
                raise ConfigError(
                    f"{KEY}.phases",
                    f"is {some!r}; two or more are expected: the matrix, and what fields are where they are 1",
                    f"e.g. {KEY}.phases=[{', '.join((names * 2)[:2])}]",
                )
            chosen = [str(name) for name in some]
        else:
            chosen = names
        found = []
        for name in chosen:
            phase = system.phase(name)
            tensor = phase.tensor("stiffness")
            if isinstance(tensor, float):
                raise ConfigError(
                    f"{KEY}.material",
                    f"phase {name} is void or rigid; a finite stiffness is expected",
                    "take a soft one",
                )
            found.append((name, tensor * _in_unit(1.0, phase.united, unit, f"{KEY}.material")))
    except ConfigError as error:
        if error.key.startswith("material"):
            raise ConfigError(f"model.elastic.{error.key}", error.problem, error.hint) from None
        raise
    return found


def _load(
    given: Any, unit: _Unit, flat: bool, thin: bool, reader: Reader
) -> tuple[Load, dict[str, tuple[str, int, Course]]]:
    """The load at t = 0, and the components of it that depend on time."""
    from ..mechanics.coherent import Load

    key = f"{KEY}.load"
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        raise ConfigError(key, f"is {given!r}; a mapping is expected", "e.g. {stress: {xx: 0.1}}")
    for name in given:
        if name not in ("strain", "stress"):
            raise unknown(key, str(name), ("strain", "stress"), "key")

    courses: dict[str, tuple[str, int, Course]] = {}

    def strain(at: str, value: Any) -> float:
        found = reader.course(at, value, signed=True)
        if isinstance(found, int | float):
            return float(found)
        _, kind, name = at.rsplit(".", 2)
        courses[f"elastic_load_{kind}_{name}"] = (kind, NAMES.index(name), found)
        if not math.isfinite(start := found.at(0.0)):
            raise ConfigError(at, f"is {start} at t = 0; a finite number is expected")
        return start

    def stress(at: str, value: Any) -> float:
        if isinstance(value, str) and _UNITED.match(value):
            from ..units import quantity

            return _in_unit(*quantity(value, "Pa", at), unit, at)
        return strain(at, value)

    strains = _components(f"{key}.strain", given.get("strain"), strain)
    stresses = _components(f"{key}.stress", given.get("stress"), stress)
    for name, one, other in zip(NAMES, strains, stresses, strict=True):
        if one is not None and other is not None:
            raise ConfigError(f"{key}.strain.{name}", f"is given, and {key}.stress.{name} too", "give one of them")
    if thin and any(v is not None for values in (strains, stresses) for v in values[2:5]):
        raise ConfigError(key, "has components along z, where plane stress leaves the body free", "leave them out")
    if flat and not thin:
        strains = [0.0 if c in (2, 3, 4) and stresses[c] is None and v is None else v for c, v in enumerate(strains)]
    return Load(tuple(strains), tuple(stresses)), courses


def _components(key: str, given: Any, number: Any) -> Sequence[float | None]:
    """Six components, None for what is not given."""
    if given is None:
        return [None] * 6
    if isinstance(given, Mapping):
        for name in given:
            if name not in NAMES:
                raise unknown(key, str(name), NAMES, "component")
        values = [given.get(name) for name in NAMES]
    elif isinstance(given, list | tuple):
        if len(given) not in (2, 3, 6):
            raise ConfigError(
                key,
                f"has {len(given)} entries",
                "give normal ones along x, y, z, or six: 11 22 33 23 13 12; null is free",
            )
        values = [*given, *[None] * (6 - len(given))]
    else:
        values = [given] * 3 + [None] * 3
    return [None if v is None else number(f"{key}.{name}", v) for name, v in zip(NAMES, values, strict=True)]
