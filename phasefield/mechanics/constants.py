"""The constants that are written for a phase, with units, uncertainties and checks: recipes of its tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import ConfigError
from . import tensors
from .properties import Property
from .recipes import CRYSTALS, ENGINEERING, Recipe
from .tensors import Array
from .uncertain import Constant, is_number, read_number

#: Phases without a number: 0 and infinity of anything.
WORDS = {"void": 0.0, "rigid": math.inf, "infinite": math.inf}


class _Reader:
    """Reads the constants of one tensor and remembers which of them have units."""

    def __init__(self) -> None:
        self.seen: list[bool] = []

    def __call__(self, value: Any, unit: str, key: str, name: str) -> Constant:
        number, spread, united = read_number(value, unit, key)
        if number != 0 and unit != "1":
            self.seen.append(united)
        return Constant(name, number, unit, spread)

    def recipe(self, form: str, constants: Sequence[Constant], key: str) -> tuple[Recipe, bool | None]:
        """The recipe, and whether its constants have units, None if none could."""
        if len(set(self.seen)) > 1:
            problem = "some of its constants have units and others have not"
            raise ConfigError(key, problem, "give units everywhere or nowhere")
        united = self.seen[0] if self.seen else None
        if united is False:
            constants = [replace(c, unit="1") for c in constants]
        return Recipe(form, tuple(constants)), united


def read_stiffness(given: Any, key: str) -> tuple[Recipe | float, bool | None]:
    """A stiffness, or 0.0 or inf for void and rigid; and whether its constants have units, None if none could.

    Raises:
        ConfigError: constants that fit no symmetry, units of another kind, or only some with units.
    """
    if isinstance(given, str) and given in WORDS:
        return WORDS[given], None
    if isinstance(given, int | float) and not isinstance(given, bool) and given == 0:
        return 0.0, None
    read = _Reader()
    if isinstance(given, list | tuple):
        return _full_stiffness(given, "Pa", key, read)
    if not isinstance(given, Mapping):
        raise ConfigError(
            key,
            f"is {given!r}; a mapping of constants is expected",
            "e.g. {E: 70 GPa, nu: 0.33} or {C11: 108 GPa, C12: 61 GPa, C44: 28 GPa}",
        )
    names = set(given) - {"symmetry"}
    symmetry = given.get("symmetry")
    if "matrix" in names:
        return _full_stiffness(given["matrix"], "Pa", f"{key}.matrix", read)
    if names <= set(tensors.ISOTROPIC):
        constants = [read(given[n], "1" if n == "nu" else "Pa", f"{key}.{n}", n) for n in sorted(names)]
        _symmetry(symmetry, "isotropic", key)
        return read.recipe("isotropic", constants, key)
    if names == set(ENGINEERING):
        constants = [read(given[n], "1" if n.startswith("nu") else "Pa", f"{key}.{n}", n) for n in ENGINEERING]
        _symmetry(symmetry, "orthotropic", key)
        return read.recipe("engineering", constants, key)
    for form, needed in CRYSTALS.items():
        if names == set(needed):
            constants = [read(given[n], "Pa", f"{key}.{n}", n) for n in needed]
            _symmetry(symmetry, form, key)
            return read.recipe(form, constants, key)
    if symmetry in CRYSTALS:
        missing = ", ".join(sorted(set(CRYSTALS[symmetry]) - names))
        surplus = ", ".join(sorted(names - set(CRYSTALS[symmetry])))
        problem = " and ".join(t for t in (missing and f"lacks {missing}", surplus and f"has {surplus} too many") if t)
        raise ConfigError(key, f"symmetry {symmetry} {problem}", f"it takes {', '.join(CRYSTALS[symmetry])}")
    lines = [f"isotropic: any two of {', '.join(tensors.ISOTROPIC)}"]
    lines += [f"{form}: {', '.join(needed)}" for form, needed in CRYSTALS.items()]
    lines += [f"orthotropic: {', '.join(ENGINEERING)}", "any: matrix (6 x 6, Voigt order 11 22 33 23 13 12)"]
    raise ConfigError(
        key, f"the constants {', '.join(sorted(map(str, names))) or '(none)'} fit no symmetry", "\n  ".join(lines)
    )


def _symmetry(given: Any, found: str, key: str) -> None:
    if given is not None and given != found:
        raise ConfigError(f"{key}.symmetry", f"is {given!r}, but the constants are those of {found} symmetry")


def _symmetric(rows: Sequence[Sequence[Constant]], first: int) -> Array:
    """The numbers of a square of constants, or of its upper triangle, whose rows end at the last column."""
    n = len(rows)
    c = np.zeros((n, n))
    for i, row in enumerate(rows):
        for j, constant in enumerate(row, start=first * i):
            c[i, j] = constant.value
            if first:
                c[j, i] = constant.value
    return c


def _full_stiffness(rows: Any, unit: str, key: str, read: _Reader) -> tuple[Recipe, bool | None]:
    if (
        not isinstance(rows, list | tuple)
        or len(rows) != 6
        or any(not isinstance(r, list | tuple) for r in rows)
        or [len(r) for r in rows] not in ([6] * 6, [6, 5, 4, 3, 2, 1])
    ):
        raise ConfigError(
            key, "6 rows of 6 numbers (or the upper triangle) are expected, Voigt order 11 22 33 23 13 12"
        )
    first = int(len(rows[-1]) == 1)
    table = [
        [read(v, unit, f"{key}[{i}][{j}]", f"C{i + 1}{j + 1}") for j, v in enumerate(row, start=first * i)]
        for i, row in enumerate(rows)
    ]
    c = _symmetric(table, first)
    if np.abs(c - c.T).max() > 1e-8 * np.abs(c).max():
        i, j = (int(k) for k in np.unravel_index(np.abs(c - c.T).argmax(), c.shape))
        raise ConfigError(key, f"is not symmetric: [{i}][{j}] = {c[i, j]:g}, [{j}][{i}] = {c[j, i]:g}")
    return read.recipe("matrix", _upper(table, first, (c + c.T) / 2, key), key)


def _upper(table: Sequence[Sequence[Constant]], first: int, values: Array, key: str) -> list[Constant]:
    """The constants of a symmetric square: its upper triangle, without zeros that are certain.

    Raises:
        ConfigError: an uncertainty below the diagonal, where it would be another constant's.
    """
    out = []
    for i, row in enumerate(table):
        for j, constant in enumerate(row, start=first * i):
            if j >= i and (values[i, j] or constant.spread):
                out.append(replace(constant, value=float(values[i, j])))
            elif j < i and constant.spread != table[j][i].spread:
                problem = f"[{i}][{j}] has another uncertainty than [{j}][{i}], the same constant"
                raise ConfigError(key, problem, "give both the same, or the upper triangle alone")
    return out


def read_order2(given: Any, prop: Property, key: str) -> tuple[Recipe | float, bool | None]:
    """The same of a tensor of order 2."""
    read, name = _Reader(), prop.name
    if isinstance(given, str) and given in WORDS:
        if not prop.positive:
            raise ConfigError(key, f"is {given!r}; a number or a tensor is expected")
        return WORDS[given], None
    if isinstance(given, Mapping) and not is_number(given):
        names = set(given)
        if names == {"a", "c"}:
            constants = [read(given[n], prop.unit, f"{key}.{n}", f"{name}.{n}") for n in ("a", "c")]
            return read.recipe("axial", constants, key)
        if not names or not names <= set(tensors.NAMES):
            raise ConfigError(
                key,
                f"has the components {', '.join(map(str, given)) or '(none)'}",
                f"one number, three (diagonal), 3 x 3, {{a: , c: }}, or any of {', '.join(tensors.NAMES)} are expected",
            )
        missing = [n for n in tensors.NAMES[:3] if n not in names]
        if prop.positive and missing:
            raise ConfigError(key, f"lacks {', '.join(missing)}", "write 0 for none along an axis")
        constants = [read(given[n], prop.unit, f"{key}.{n}", f"{name}.{n}") for n in sorted(names)]
        return read.recipe("components", constants, key)
    if isinstance(given, list | tuple) and len(given) == 3 and all(isinstance(r, list | tuple) for r in given):
        if any(len(row) != 3 for row in given):
            raise ConfigError(key, "a symmetric 3 x 3 matrix is expected")
        table = [
            [read(v, prop.unit, f"{key}[{i}][{j}]", f"{name}.{_pair(i, j)}") for j, v in enumerate(r)]
            for i, r in enumerate(given)
        ]
        value = _symmetric(table, 0)
        if np.abs(value - value.T).max() > 1e-8 * np.abs(value).max():
            raise ConfigError(key, "a symmetric 3 x 3 matrix is expected")
        return read.recipe("components", _upper(table, 0, (value + value.T) / 2, key), key)
    if isinstance(given, list | tuple) and len(given) == 3:
        constants = [read(v, prop.unit, f"{key}[{i}]", f"{name}.{_pair(i, i)}") for i, v in enumerate(given)]
        return read.recipe("components", constants, key)
    if isinstance(given, list | tuple):
        raise ConfigError(key, f"has {len(given)} entries; one number, three (diagonal) or 3 x 3 are expected")
    number = read(given, prop.unit, key, name)
    if number.value == 0 and prop.positive and number.spread is None:
        return 0.0, None
    return read.recipe("scalar", [number], key)


def _pair(i: int, j: int) -> str:
    """Letters of a component of a symmetric tensor, in the order of their names."""
    return next(n for n, (a, b) in zip(tensors.NAMES, tensors.PAIRS, strict=True) if {a, b} == {i, j})


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
