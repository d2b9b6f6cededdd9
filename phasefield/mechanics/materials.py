"""Materials from what is written of them: presets, YAML files, mappings; with units and checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError, unknown
from ..presets import find, read
from ..units import temperature
from .constants import check_definite, read_order2, read_orientation, read_stiffness
from .phases import MaterialSystem, Phase
from .properties import PROPERTIES
from .recipes import Recipe
from .uncertain import Constant, read_number

_KEYS = ("name", "description", "source", "temperature", "phases")


def read_material(name: str) -> MaterialSystem:
    """A preset by its name, or a YAML file by its path.

    Raises:
        ConfigError: there is no such preset or file, or its content is unusable.
    """
    return build(_content(name))


def _content(name: str) -> Any:
    """What the file of a material holds."""
    return read(find("material", name), "material")[0]


def system_of(spec: Any) -> MaterialSystem:
    """A preset or file by its name, a mapping as `build` takes it, or ``{preset: NAME, phases: ...}``: phases of a preset with
    properties set or replaced.

    Raises:
        ConfigError: see `read_material` and `build`; a phase that the preset has not.
    """
    if not isinstance(spec, Mapping):
        return read_material(str(spec))
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
        if key not in _KEYS:
            raise unknown("material", str(key), list(_KEYS), "key")
    phases = [_phase(str(name), content) for name, content in spec["phases"].items()]
    united = {p.united for p in phases if p.values and any(not isinstance(v, float) for v in p.values.values())}
    if len(united) > 1:
        without = ", ".join(p.name for p in phases if not p.united)
        raise ConfigError(
            "material.phases", f"some phases have units, but not {without}", "give units everywhere or nowhere"
        )
    text = {key: " ".join(str(spec.get(key, "")).split()) for key in ("name", "description", "source")}
    at = spec.get("temperature")
    kelvin = None if at is None else temperature(at, "material.temperature")
    return MaterialSystem(text["name"] or "custom", phases, text["description"], text["source"], kelvin)


def _phase(name: str, content: Any) -> Phase:
    key = f"material.phases.{name}"
    content = _spelled_out(content)
    if not isinstance(content, Mapping):
        raise ConfigError(key, f"is {content!r}; a mapping of properties, 'void' or 'rigid' is expected")
    values: dict[str, Any] = {}
    recipes: dict[str, Recipe] = {}
    sources: dict[str, str] = {}
    units: list[tuple[str, bool]] = []
    for prop, given in content.items():
        if prop in ("orientation", "level", "density", "description", "source"):
            continue
        if prop not in PROPERTIES:
            raise unknown(key, str(prop), [*PROPERTIES, "density", "orientation", "level"], "property")
        at = f"{key}.{prop}"
        if isinstance(given, Mapping) and "source" in given:
            sources[prop] = str(given["source"])
            given = {k: v for k, v in given.items() if k != "source"}
        try:
            made, united = (
                read_stiffness(given, at) if prop == "stiffness" else read_order2(given, PROPERTIES[prop], at)
            )
            value = made.tensor(at) if isinstance(made, Recipe) else made
        except (TypeError, ValueError) as error:
            raise ConfigError(at, f"cannot be read: {error}") from error
        check_definite(value, PROPERTIES[prop], at, bool(united))
        values[prop] = value
        if isinstance(made, Recipe):
            recipes[prop] = made
        if united is not None and PROPERTIES[prop].unit != "1":
            units.append((prop, united))
    density = _density(content, key, units)
    if len({u for _, u in units}) > 1:
        without = ", ".join(p for p, u in units if not u)
        raise ConfigError(key, f"some properties have units, but not {without}", "give units everywhere or nowhere")
    level = content.get("level")
    if level is not None and (isinstance(level, bool) or not isinstance(level, int | float)):
        raise ConfigError(f"{key}.level", f"is {level!r}; the field's value in this phase is expected, a number")
    united_all = units[0][1] if units else True
    return Phase(
        name, values, read_orientation(content.get("orientation"), key), united_all, level, sources, recipes, density
    )


def _density(content: Mapping[str, Any], key: str, units: list[tuple[str, bool]]) -> Constant | None:
    """The density of a phase, None where it is not said; of a void that is called so it is 0."""
    given = content.get("density", "void" if content.get("stiffness") == "void" else None)
    if given is None:
        return None
    value, spread, united = (0.0, None, True) if given == "void" else read_number(given, "kg/m^3", f"{key}.density")
    if value < 0:
        raise ConfigError(f"{key}.density", f"is {given!r}; it cannot be negative")
    if value:
        units.append(("density", united))
    return Constant("density", value, "kg/m^3" if united else "1", spread)
