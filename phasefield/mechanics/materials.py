"""Materials: the properties of every phase, read from configs/material/*.yaml, with units and checks.

A phase holds tensors in the axes of its crystal; `Phase.tensor` gives them in Mandel form, rotated by its orientation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, unknown
from ..presets import folder
from ..presets import names as preset_names
from ..units import quantity
from . import tensors
from .tensors import Array


@dataclass(frozen=True)
class Property:
    """A property that can be homogenized.

    Attributes:
        order: 4 (stiffness) or 2. unit: SI unit. positive: whether its tensor must be positive definite.
        flux, gradient: names of the local fields of its cell problem. units: of gradient and flux.
    """

    name: str
    order: int
    unit: str
    positive: bool
    title: str
    flux: str = ""
    gradient: str = ""
    units: tuple[str, str] = ("1", "1")


PROPERTIES = {
    p.name: p
    for p in (
        Property("stiffness", 4, "Pa", True, "elastic stiffness", "stress", "strain", ("1", "Pa")),
        Property(
            "conductivity",
            2,
            "W/(m K)",
            True,
            "thermal conductivity",
            "heat_flux",
            "temperature_gradient",
            ("K/m", "W/m^2"),
        ),
        Property(
            "electrical_conductivity",
            2,
            "S/m",
            True,
            "electrical conductivity",
            "current",
            "electric_field",
            ("V/m", "A/m^2"),
        ),
        Property(
            "diffusivity",
            2,
            "m^2/s",
            True,
            "diffusivity",
            "diffusion_flux",
            "concentration_gradient",
            ("1/m^4", "1/(m^2 s)"),
        ),
        Property(
            "permittivity", 2, "1", True, "relative permittivity", "displacement", "electric_field", ("V/m", "V/m")
        ),
        Property("expansion", 2, "1/K", False, "thermal expansion"),
        Property("eigenstrain", 2, "1", False, "stress-free transformation strain"),
    )
}
#: Solved through the elastic problem with the property as stress-free strain.
STRAINS = ("expansion", "eigenstrain")

_CUBIC = ("C11", "C12", "C44")
_HEXAGONAL = ("C11", "C12", "C13", "C33", "C44")
_TETRAGONAL = ("C11", "C12", "C13", "C33", "C44", "C66")
_ORTHOTROPIC = ("C11", "C22", "C33", "C12", "C13", "C23", "C44", "C55", "C66")
_ENGINEERING = ("E1", "E2", "E3", "nu12", "nu13", "nu23", "G12", "G13", "G23")
_WORDS = {"void": 0.0, "rigid": math.inf, "infinite": math.inf}


@dataclass
class Phase:
    """One phase.

    Attributes:
        name: as the user calls it.
        values: tensors in crystal axes by property: (6, 6) Mandel stiffness, (3, 3) others. A scalar 0.0 or inf stands for a
            void or a rigid (perfectly conducting) phase.
        rotation: crystal axes in the sample frame (columns), or None.
        united: whether its values carry units (are SI).
    """

    name: str
    values: dict[str, Any]
    rotation: Array | None = None
    united: bool = True
    level: float | None = None
    sources: dict[str, str] = field(default_factory=dict)

    def tensor(self, name: str, rotation: Array | None = None) -> Array | float:
        """The tensor of a property in the sample frame (of a grain with ``rotation``); 0.0 or inf for void and rigid.

        Raises:
            ConfigError: the phase has no such property.
        """
        if name not in self.values:
            raise ConfigError(
                f"material.phases.{self.name}.{name}",
                f"is missing; it is needed for {PROPERTIES[name].title}",
                f"phase {self.name!r} has {', '.join(self.values) or 'no properties'}",
            )
        value = self.values[name]
        if isinstance(value, float):
            return value
        turn = rotation if rotation is not None else self.rotation
        return value if turn is None else tensors.rotate(value, turn)


@dataclass
class MaterialSystem:
    """The phases of a microstructure, in the order of their image values (lowest first)."""

    name: str
    phases: list[Phase]
    description: str = ""
    source: str = ""

    @property
    def united(self) -> bool:
        return all(p.united for p in self.phases)

    def unit(self, name: str) -> str:
        """SI unit of a property, ``1`` if the constants came without units."""
        return PROPERTIES[name].unit if self.united else "1"

    def phase(self, name: str) -> Phase:
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise unknown("material.phases", name, [p.name for p in self.phases], "phase")


def presets() -> list[str]:
    return preset_names("material")


def load(name: str) -> MaterialSystem:
    """A preset by its name, or a YAML file by its path.

    Raises:
        ConfigError: there is no such preset or file, or its content is unusable.
    """
    return build(_content(name))


def _content(name: str) -> Any:
    """What the file of a material holds."""
    import yaml

    path = Path(name).expanduser()
    if path.suffix not in (".yaml", ".yml"):
        path = folder("material") / f"{name}.yaml"
        if not path.is_file():
            raise unknown("material", name, presets(), "preset")
    try:
        text = path.read_text(encoding="utf-8")
        _unique(yaml.compose(text, Loader=yaml.SafeLoader), str(path))
        return yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError("material", f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _unique(node: Any, source: str) -> None:
    """Refuses keys given twice, of which YAML keeps the last without a word.

    Args:
        node: as composed by PyYAML.
    """
    waiting, done = [node], set()
    while waiting:
        node = waiting.pop()
        if id(node) in done or not isinstance(getattr(node, "value", None), list):
            continue
        done.add(id(node))
        keys: set[str] = set()
        for entry in node.value:
            if not isinstance(entry, tuple):
                waiting.append(entry)
                continue
            key, value = entry
            if str(key.value) in keys:
                line = key.start_mark.line + 1
                raise ConfigError("material", f"{source} gives {key.value!r} twice, the second time in line {line}")
            keys.add(str(key.value))
            waiting.append(value)


def system_of(spec: Any) -> MaterialSystem:
    """A preset or file by its name, a mapping as `build` takes it, or ``{preset: NAME, phases: ...}``: phases of a preset with
    properties set or replaced.

    Raises:
        ConfigError: see `load` and `build`; a phase that the preset has not.
    """
    if not isinstance(spec, Mapping):
        return load(str(spec))
    changes = {k: v for k, v in spec.items() if k != "preset"}
    if spec.get("preset") is None:
        return build(changes)
    # The whole is built anew, so that it is checked as one, its units above all.
    content = _content(str(spec["preset"]))
    system = build(content)
    phases = {str(name): phase for name, phase in content["phases"].items()}
    changed = changes.pop("phases", {})
    if not isinstance(changed, Mapping):
        raise ConfigError(
            "material.phases", f"is {changed!r}; a mapping of phase names to their properties is expected"
        )
    for name, change in changed.items():
        system.phase(str(name))
        before, after = _spelled_out(phases[str(name)]), _spelled_out(change)
        phases[str(name)] = {**before, **after} if isinstance(after, Mapping) else after
    return build({**content, **changes, "phases": phases})


def _spelled_out(content: Any) -> Any:
    """A phase as a mapping, also where it is called void or rigid."""
    if isinstance(content, str) and content in ("void", "rigid"):
        return {p.name: content for p in PROPERTIES.values() if p.positive}
    return content


def build(spec: Any) -> MaterialSystem:
    """A material system from its mapping, as in the YAML files.

    Raises:
        ConfigError: anything missing, unknown, of the wrong unit or not positive definite.
    """
    if not isinstance(spec, Mapping) or not isinstance(spec.get("phases"), Mapping) or not spec["phases"]:
        raise ConfigError("material.phases", "is missing; a mapping of phase names to their properties is expected")
    for key in spec:
        if key not in ("name", "description", "source", "phases"):
            raise unknown("material", str(key), ["name", "description", "source", "phases"], "key")
    phases = [_phase(str(name), content) for name, content in spec["phases"].items()]
    united = {p.united for p in phases if p.values and any(not isinstance(v, float) for v in p.values.values())}
    if len(united) > 1:
        without = ", ".join(p.name for p in phases if not p.united)
        raise ConfigError(
            "material.phases", f"some phases have units, but not {without}", "give units everywhere or nowhere"
        )
    text = {key: " ".join(str(spec.get(key, "")).split()) for key in ("name", "description", "source")}
    return MaterialSystem(text["name"] or "custom", phases, text["description"], text["source"])


def _phase(name: str, content: Any) -> Phase:
    key = f"material.phases.{name}"
    content = _spelled_out(content)
    if not isinstance(content, Mapping):
        raise ConfigError(key, f"is {content!r}; a mapping of properties, 'void' or 'rigid' is expected")
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    units: list[tuple[str, bool]] = []
    for prop, given in content.items():
        if prop in ("orientation", "level", "description", "source"):
            continue
        if prop not in PROPERTIES:
            raise unknown(key, str(prop), [*PROPERTIES, "orientation", "level"], "property")
        at = f"{key}.{prop}"
        if isinstance(given, Mapping) and "source" in given:
            sources[prop] = str(given["source"])
            given = {k: v for k, v in given.items() if k != "source"}
        try:
            value, united = _stiffness(given, at) if prop == "stiffness" else _order2(given, PROPERTIES[prop], at)
        except (TypeError, ValueError) as error:
            raise ConfigError(at, f"cannot be read: {error}") from error
        _check(value, PROPERTIES[prop], at, bool(united))
        values[prop] = value
        if united is not None and PROPERTIES[prop].unit != "1":
            units.append((prop, united))
    if len({u for _, u in units}) > 1:
        without = ", ".join(p for p, u in units if not u)
        raise ConfigError(key, f"some properties have units, but not {without}", "give units everywhere or nowhere")
    level = content.get("level")
    if level is not None and (isinstance(level, bool) or not isinstance(level, int | float)):
        raise ConfigError(f"{key}.level", f"is {level!r}; the field's value in this phase is expected, a number")
    united_all = units[0][1] if units else True
    return Phase(name, values, _orientation(content.get("orientation"), key), united_all, level, sources)


def _number(value: Any, unit: str, key: str, seen: list[bool]) -> float:
    number, united = quantity(value, unit, key)
    if number != 0 and unit != "1":
        seen.append(united)
    return number


def _uniform(seen: list[bool], key: str) -> bool | None:
    if len(set(seen)) > 1:
        raise ConfigError(
            key, "some of its constants have units and others have not", "give units everywhere or nowhere"
        )
    return seen[0] if seen else None


def _stiffness(given: Any, key: str) -> tuple[Any, bool | None]:
    if isinstance(given, str) and given in _WORDS:
        return _WORDS[given], None
    if isinstance(given, int | float) and not isinstance(given, bool) and given == 0:
        return 0.0, None
    seen: list[bool] = []
    if isinstance(given, list | tuple):
        return _full_stiffness(given, "Pa", key, seen), _uniform(seen, key)
    if not isinstance(given, Mapping):
        raise ConfigError(
            key,
            f"is {given!r}; a mapping of constants is expected",
            "e.g. {E: 70 GPa, nu: 0.33} or {C11: 108 GPa, C12: 61 GPa, C44: 28 GPa}",
        )
    names = set(given) - {"symmetry"}
    symmetry = given.get("symmetry")
    if "matrix" in names:
        return _full_stiffness(given["matrix"], "Pa", f"{key}.matrix", seen), _uniform(seen, key)
    if names <= set(tensors.ISOTROPIC):
        constants = {n: _number(given[n], "1" if n == "nu" else "Pa", f"{key}.{n}", seen) for n in sorted(names)}
        value = tensors.isotropic_stiffness(*tensors.bulk_and_shear(constants, key))
        _symmetry(symmetry, "isotropic", key)
        return value, _uniform(seen, key)
    if names == set(_ENGINEERING):
        c = {n: _number(given[n], "1" if n.startswith("nu") else "Pa", f"{key}.{n}", seen) for n in _ENGINEERING}
        s = np.zeros((6, 6))
        s[0, 0], s[1, 1], s[2, 2] = 1 / c["E1"], 1 / c["E2"], 1 / c["E3"]
        s[0, 1] = s[1, 0] = -c["nu12"] / c["E1"]
        s[0, 2] = s[2, 0] = -c["nu13"] / c["E1"]
        s[1, 2] = s[2, 1] = -c["nu23"] / c["E2"]
        s[3, 3], s[4, 4], s[5, 5] = 1 / c["G23"], 1 / c["G13"], 1 / c["G12"]
        _symmetry(symmetry, "orthotropic", key)
        return tensors.from_voigt(np.linalg.inv(s)), _uniform(seen, key)
    forms = {"cubic": _CUBIC, "hexagonal": _HEXAGONAL, "tetragonal": _TETRAGONAL, "orthotropic": _ORTHOTROPIC}
    for form, needed in forms.items():
        if names == set(needed):
            c = {n: _number(given[n], "Pa", f"{key}.{n}", seen) for n in needed}
            _symmetry(symmetry, form, key)
            return _crystal(form, c), _uniform(seen, key)
    if symmetry in forms:
        missing = ", ".join(sorted(set(forms[symmetry]) - names))
        surplus = ", ".join(sorted(names - set(forms[symmetry])))
        problem = " and ".join(t for t in (missing and f"lacks {missing}", surplus and f"has {surplus} too many") if t)
        raise ConfigError(key, f"symmetry {symmetry} {problem}", f"it takes {', '.join(forms[symmetry])}")
    lines = [f"isotropic: any two of {', '.join(tensors.ISOTROPIC)}"]
    lines += [f"{form}: {', '.join(needed)}" for form, needed in forms.items()]
    lines += [f"orthotropic: {', '.join(_ENGINEERING)}", "any: matrix (6 x 6, Voigt order 11 22 33 23 13 12)"]
    raise ConfigError(
        key, f"the constants {', '.join(sorted(map(str, names))) or '(none)'} fit no symmetry", "\n  ".join(lines)
    )


def _symmetry(given: Any, found: str, key: str) -> None:
    if given is not None and given != found:
        raise ConfigError(f"{key}.symmetry", f"is {given!r}, but the constants are those of {found} symmetry")


def _crystal(form: str, c: dict[str, float]) -> Array:
    if form == "cubic":
        return tensors.cubic_stiffness(c["C11"], c["C12"], c["C44"])
    if form == "hexagonal":
        return tensors.hexagonal_stiffness(c["C11"], c["C12"], c["C13"], c["C33"], c["C44"])
    if form == "tetragonal":
        a = (c["C11"], c["C11"], c["C33"], c["C12"], c["C13"], c["C13"], c["C44"], c["C44"], c["C66"])
        return tensors.orthotropic_stiffness(*a)
    return tensors.orthotropic_stiffness(*(c[n] for n in _ORTHOTROPIC))


def _full_stiffness(rows: Any, unit: str, key: str, seen: list[bool]) -> Array:
    if (
        not isinstance(rows, list | tuple)
        or len(rows) != 6
        or any(not isinstance(r, list | tuple) for r in rows)
        or [len(r) for r in rows] not in ([6] * 6, [6, 5, 4, 3, 2, 1])
    ):
        raise ConfigError(
            key, "6 rows of 6 numbers (or the upper triangle) are expected, Voigt order 11 22 33 23 13 12"
        )
    triangle = len(rows[-1]) == 1
    c = np.zeros((6, 6))
    for i, row in enumerate(rows):
        for j, value in enumerate(row, start=6 - len(row)):
            c[i, j] = _number(value, unit, f"{key}[{i}][{j}]", seen)
            if triangle:
                c[j, i] = c[i, j]
    if np.abs(c - c.T).max() > 1e-8 * np.abs(c).max():
        i, j = (int(k) for k in np.unravel_index(np.abs(c - c.T).argmax(), c.shape))
        raise ConfigError(key, f"is not symmetric: [{i}][{j}] = {c[i, j]:g}, [{j}][{i}] = {c[j, i]:g}")
    return tensors.from_voigt((c + c.T) / 2)


def _order2(given: Any, prop: Property, key: str) -> tuple[Any, bool | None]:
    seen: list[bool] = []
    if isinstance(given, str) and given in _WORDS:
        if not prop.positive:
            raise ConfigError(key, f"is {given!r}; a number or a tensor is expected")
        return _WORDS[given], None
    if isinstance(given, Mapping):
        names = set(given)
        if names == {"a", "c"}:
            a, c = (_number(given[n], prop.unit, f"{key}.{n}", seen) for n in ("a", "c"))
            value = np.diag([a, a, c])
        elif names and names <= set(tensors.NAMES):
            missing = [n for n in tensors.NAMES[:3] if n not in names]
            if prop.positive and missing:
                raise ConfigError(key, f"lacks {', '.join(missing)}", "write 0 for none along an axis")
            value = np.zeros((3, 3))
            for n in sorted(names):
                i, j = (tensors.AXES.index(letter) for letter in n)
                value[i, j] = value[j, i] = _number(given[n], prop.unit, f"{key}.{n}", seen)
        else:
            raise ConfigError(
                key,
                f"has the components {', '.join(map(str, given)) or '(none)'}",
                f"one number, three (diagonal), 3 x 3, {{a: , c: }}, or any of {', '.join(tensors.NAMES)} are expected",
            )
    elif isinstance(given, list | tuple) and len(given) == 3 and all(isinstance(r, list | tuple) for r in given):
        value = np.array(
            [[_number(v, prop.unit, f"{key}[{i}][{j}]", seen) for j, v in enumerate(r)] for i, r in enumerate(given)]
        )
        if value.shape != (3, 3) or np.abs(value - value.T).max() > 1e-8 * np.abs(value).max():
            raise ConfigError(key, "a symmetric 3 x 3 matrix is expected")
    elif isinstance(given, list | tuple) and len(given) == 3:
        value = np.diag([_number(v, prop.unit, f"{key}[{i}]", seen) for i, v in enumerate(given)])
    elif isinstance(given, list | tuple):
        raise ConfigError(key, f"has {len(given)} entries; one number, three (diagonal) or 3 x 3 are expected")
    else:
        number = _number(given, prop.unit, key, seen)
        if number == 0 and prop.positive:
            return 0.0, None
        value = number * np.eye(3)
    return value, _uniform(seen, key)


def _check(value: Any, prop: Property, key: str, united: bool) -> None:
    if isinstance(value, float) or not prop.positive:
        return
    if not tensors.is_positive_definite(value):
        lowest = float(np.linalg.eigvalsh(value)[0])
        unit = f" {prop.unit}" if united and prop.unit != "1" else ""
        raise ConfigError(
            key,
            f"is not positive definite: its lowest eigenvalue is {lowest:.4g}{unit}",
            "check the constants, their order and their signs; a pore is written as 'void'",
        )


def _orientation(given: Any, key: str) -> Array | None:
    if given is None:
        return None
    at = f"{key}.orientation"
    form = (
        "{euler: [phi1, Phi, phi2]} (Bunge, degrees), {quaternion: [w, x, y, z]} or {axis: [x, y, z], angle: degrees}"
    )
    form += " is expected"
    if not isinstance(given, Mapping):
        raise ConfigError(at, f"is {given!r}; {form}")
    try:
        if set(given) == {"euler"}:
            a, b, c = (math.radians(float(v)) for v in given["euler"])
            if not math.isfinite(a + b + c):
                raise ValueError("three finite angles are needed")
            return tensors.rotation_from_euler(a, b, c)
        if set(given) == {"quaternion"}:
            q = np.array([float(v) for v in given["quaternion"]])
        elif set(given) == {"axis", "angle"}:
            axis = np.array([float(v) for v in given["axis"]])
            if axis.shape != (3,) or not np.isfinite(axis).all() or not axis.any():
                raise ValueError("an axis of three numbers, not all zero, is needed")
            half = math.radians(float(given["angle"])) / 2
            q = np.concatenate([[math.cos(half)], math.sin(half) * axis / np.linalg.norm(axis)])
        else:
            raise ConfigError(at, f"has {', '.join(map(str, given))}; {form}")
        if q.shape != (4,) or not np.isfinite(q).all() or not np.linalg.norm(q):
            raise ValueError("four numbers, not all zero, are needed")
    except (TypeError, ValueError) as error:
        raise ConfigError(at, f"cannot be read ({error}); {form}") from error
    return tensors.rotation_from_quaternion(q)
