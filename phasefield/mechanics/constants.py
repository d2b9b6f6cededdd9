"""Tensors from the constants that are written for a phase, with units and checks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..units import quantity
from . import tensors
from .properties import Property
from .tensors import Array

_CUBIC = ("C11", "C12", "C44")
_HEXAGONAL = ("C11", "C12", "C13", "C33", "C44")
_TETRAGONAL = ("C11", "C12", "C13", "C33", "C44", "C66")
_ORTHOTROPIC = ("C11", "C22", "C33", "C12", "C13", "C23", "C44", "C55", "C66")
_ENGINEERING = ("E1", "E2", "E3", "nu12", "nu13", "nu23", "G12", "G13", "G23")
#: Phases without a number: 0 and infinity of anything.
WORDS = {"void": 0.0, "rigid": math.inf, "infinite": math.inf}


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


def read_stiffness(given: Any, key: str) -> tuple[Any, bool | None]:
    """A stiffness, (6, 6) Mandel, or 0.0 or inf for void and rigid; and whether its constants have units, None if none could.

    Raises:
        ConfigError: constants that fit no symmetry, units of another kind, or only some with units.
    """
    if isinstance(given, str) and given in WORDS:
        return WORDS[given], None
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


def read_order2(given: Any, prop: Property, key: str) -> tuple[Any, bool | None]:
    """The same of a tensor of order 2, (3, 3)."""
    seen: list[bool] = []
    if isinstance(given, str) and given in WORDS:
        if not prop.positive:
            raise ConfigError(key, f"is {given!r}; a number or a tensor is expected")
        return WORDS[given], None
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


def check_definite(value: Any, prop: Property, key: str, united: bool) -> None:
    """Refuses a tensor that is not positive definite though it must be.

    Raises:
        ConfigError: such a tensor.
    """
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


def read_orientation(given: Any, key: str) -> Array | None:
    """The rotation of a crystal, (3, 3), from Euler angles, a quaternion, or axis and angle.

    Raises:
        ConfigError: anything else.
    """
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
