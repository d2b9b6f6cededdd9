"""Mobilities that couple conserved fields: a matrix M over the fields, of which every field's mobility is a row.

    du_i/dt = div(sum_j M_ij grad mu_j)

M is symmetric (Onsager, Phys. Rev. 37 (1931) 405) and not negative, so that the energy falls at the rate
sum_ij <grad mu_i, M_ij grad mu_j>. It may be singular: with M_ij = c_i (delta_ij - c_j) the fluxes of all species add up to none.

L keeps one number a field, R_i, with diag(R) >= M, so that long steps bear what the fields exchange as they bear a mobility
that varies (`phasefield.models.mobility`). For numbers R_i = r M_ii, r the largest eigenvalue of M_ij/sqrt(M_ii M_jj); for a
matrix that varies R_i is the largest of M_ii + sum_j |M_ij| sqrt(R_i/R_j), by Gershgorin's theorem. Neither knows the units of
the fields.

Where modes are stiff a step multiplies a perturbation by 1 - lambda, lambda the eigenvalues of (R D)^-1 M (H + A), D = S + A
(`phasefield.models.stabilizer`). M and H no longer cancel against R and S one by one: with R = 1, S = diag(1, 1000) some lambda
exceed 10. With R_i S_i the same for all fields of a matrix the largest was 1.008 in 6 10^4 random M, H and A of two to four
fields with magnitudes that differ by up to 10^6; so S is raised to that (`balanced`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..errors import ConfigError
from .mobility import NEGATIVE, TIME, Law, state_text

if TYPE_CHECKING:
    from .energy import EnergyModel, OrderParameter

Array = NDArray[np.float64]

#: Eigenvalue of a matrix of numbers, over its largest, down to which it is round-off.
_ROUNDOFF = 1e-12


def row(key: str, value: Any, name: str, fields: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """The mobility of a field by itself, and those that couple it to others, from what stands at its key.

    Args:
        key: where it stands. value: as written. name: of the field. fields: names of all.

    Raises:
        ConfigError: a mapping of fields that lacks the field itself, or has one that there is not.
    """
    if not isinstance(value, Mapping) or not value or not set(value) - {"x", "y", "z"}:
        return value, {}
    if unknown := [str(other) for other in value if other not in fields]:
        raise ConfigError(key, f"is for {', '.join(unknown)}", f"give one for fields of the model: {', '.join(fields)}")
    if name not in value:
        raise ConfigError(
            key,
            f"has no entry for {name} itself",
            f"write {{{name}: M, {', '.join(f'{o}: {value[o]}' for o in value)}}}",
        )
    return value[name], {other: m for other, m in value.items() if other != name}


def coupled(
    fields: Sequence[OrderParameter], given: Mapping[str, Mapping[str, tuple[sp.Expr, str]]]
) -> tuple[OrderParameter, ...]:
    """The fields with the mobilities that couple them, each in both rows.

    Args:
        given: field -> other field -> entry and its text, as they stand.

    Raises:
        ConfigError: fields that cannot be coupled, a matrix that is not symmetric, or one of numbers with a negative eigenvalue.
    """
    if not any(given.values()):
        return tuple(fields)
    found: dict[str, dict[str, tuple[sp.Expr, str]]] = {f.name: {} for f in fields}
    known = {f.name: f for f in fields}
    for name, others in given.items():
        for other, (entry, text) in others.items():
            key = f"model.fields.{name}.mobility"
            for f in (known[name], known[other]):
                _check(key, name, other, f)
            back = given.get(other, {}).get(name)
            if back is not None and not _same(entry, back[0]):
                raise ConfigError(
                    key,
                    f"has {text} for {other}, and that of {other} has {back[1]} for {name}; a mobility matrix is symmetric",
                    "give the same in both rows, or in one of them alone",
                )
            if not entry.is_zero:  # a Float of 0 does not equal 0
                found[name][other] = found[other][name] = (entry, text)
    rows = tuple(_joined(f, found[f.name]) if found[f.name] else f for f in fields)
    return _numbered(rows)


def _check(key: str, name: str, other: str, f: OrderParameter) -> None:
    """Refuses a field that cannot be coupled."""
    problem = ""
    if not f.kinetics.conserved:
        problem = f"{f.name}, which is not conserved: only fields that flow exchange what drives them"
    elif f.components is not None:
        problem = f"{f.name}, which has components: write them as fields of their own"
    elif f.law is not None and len(f.law.entries) > 1:
        problem = f"{f.name}, which has one mobility per axis; give a single one"
    if problem:
        raise ConfigError(key, f"couples {name} and {other}", problem)


def _same(one: sp.Expr, other: sp.Expr) -> bool:
    return one == other or sp.simplify(one - other) == 0


def _joined(f: OrderParameter, cross: Mapping[str, tuple[sp.Expr, str]]) -> OrderParameter:
    law = f.law or Law((sp.Float(f.mobility, 17),), (repr(f.mobility),), (f.mobility,))
    names, texts = {o: e for o, (e, _) in cross.items()}, {o: t for o, (_, t) in cross.items()}
    return replace(f, law=replace(law, name=f.name, cross=names, cross_texts=texts))


def _numbered(fields: tuple[OrderParameter, ...]) -> tuple[OrderParameter, ...]:
    """With the references of blocks that are numbers."""
    result = list(fields)
    for block in blocks(fields):
        laws = [_law(fields[i]) for i in block]
        if any(law.varies for law in laws):
            continue
        matrix = np.array([[float(_entry(fields, i, j)) for j in block] for i in block])
        _definite(fields, block, matrix[None], _ROUNDOFF, lambda _: "")
        ratio = float(np.linalg.eigvalsh(_scaled(matrix, matrix.diagonal()))[-1])
        for i, law, m in zip(block, laws, matrix.diagonal(), strict=True):
            result[i] = replace(fields[i], mobility=ratio * m, law=replace(law, references=(ratio * float(m),)))
    return tuple(result)


def blocks(fields: Sequence[OrderParameter]) -> list[list[int]]:
    """Fields that are coupled, directly or through others, by their numbers."""
    place = {f.name: i for i, f in enumerate(fields)}
    found: list[set[int]] = []
    for i, f in enumerate(fields):
        if f.law is not None and f.law.cross:
            body = {i, *(place[name] for name in f.law.cross)}
            joined = [b for b in found if b & body]
            found = [*(b for b in found if b not in joined), body.union(*joined)]
    return [sorted(body) for body in found]


def constant(model: EnergyModel, i: int) -> bool:
    """Whether field ``i`` is of a matrix of numbers, whose references are known from its eigenvalues."""
    fields = model.order_parameters
    return any(i in block and not any(_law(fields[j]).varies for j in block) for block in blocks(fields))


def _law(f: OrderParameter) -> Law:
    assert f.law is not None
    return f.law


def _entry(fields: Sequence[OrderParameter], i: int, j: int) -> sp.Expr:
    law = _law(fields[i])
    return law.entries[0] if i == j else law.cross.get(fields[j].name, sp.S.Zero)


def _scaled(matrix: Array, size: Array) -> Array:
    """M_ij/sqrt(size_i size_j), 0 where a size is."""
    with np.errstate(all="ignore"):
        weight = np.where(size > 0, 1 / np.sqrt(size), 0.0)
    return np.asarray(matrix * weight[:, None] * weight)


def _definite(fields: Sequence[OrderParameter], block: list[int], matrices: Array, slack: float, at: Any) -> None:
    """Refuses matrices, shape ``(n, fields, fields)``, with a negative eigenvalue.

    Args:
        slack: part of the largest entries down to which one is none. at: says of which state the n-th is.
    """
    size = np.diagonal(matrices, axis1=1, axis2=2).max(axis=0)
    bare = (size <= 0)[:, None] & (np.abs(matrices).max(axis=0) > 0)  # coupled, but does not move by itself
    lowest = np.linalg.eigvalsh(_scaled(matrices, size))[:, 0]
    place = int(lowest.argmin())
    if lowest[place] >= -slack and not bare.any():
        return
    names = [fields[i].name for i in block]
    rows = ", ".join("[" + ", ".join(f"{m:.6g}" for m in line) + "]" for line in matrices[place])
    value = float(np.linalg.eigvalsh(matrices[place])[0])
    raise ConfigError(
        f"model.fields.{names[0]}.mobility",
        f"the mobility matrix of {', '.join(names)} is [{rows}]{at(place)}, with the eigenvalue {value:.6g}; none may be "
        "negative, or the energy would rise",
        f"weaken what couples them: {names[0]} and {names[1]} need |M_{names[0]}{names[1]}| <= "
        f"sqrt(M_{names[0]}{names[0]} M_{names[1]}{names[1]})",
    )


def balanced(model: EnergyModel, stabilizers: Sequence[float], mobilities: Sequence[float]) -> list[float]:
    """S of every component, raised where fields are coupled until R_i S_i is the same for all of them; a given S stays.

    Args:
        mobilities: R of every field.
    """
    result, parts = list(stabilizers), list(model.slices().values())
    for block in blocks(model.order_parameters):
        level = max(mobilities[i] * stabilizers[parts[i].start] for i in block)
        for i in block:
            if mobilities[i] > 0 and model.order_parameters[i].stabilizer is None:
                result[parts[i].start] = level / mobilities[i]
    return result


# -- matrices that vary ------------------------------------------------------------------------------------------------


def bounds(model: EnergyModel, i: int) -> sp.Expr:
    """M_ii + sum_j |M_ij| sqrt(R_i/R_j) of field ``i``, which diag(R) has to reach to be no less than M.

    In the model's symbols and the arguments of kernels.
    """
    law = _law(model.order_parameters[i])
    place = {other.name: j for j, other in enumerate(model.order_parameters)}
    own = sp.Symbol(f"mobility_{i}", real=True)
    total = law.entries[0]
    for name, entry in law.cross.items():
        total += sp.Abs(entry) * sp.sqrt(own / sp.Symbol(f"mobility_{place[name]}", real=True))
    return total


def pairs(model: EnergyModel) -> list[tuple[int, int]]:
    """Fields that are coupled to each other, the lower number first."""
    place = {f.name: i for i, f in enumerate(model.order_parameters)}
    laws = ((i, f.law) for i, f in enumerate(model.order_parameters) if f.law is not None)
    return sorted({(i, place[name]) for i, law in laws for name in law.cross if i < place[name]})


def slack(model: EnergyModel, i: int, j: int) -> sp.Expr:
    """sqrt(M_ii M_jj) - |M_ij|, which is not negative, nor is M of two fields then."""
    one, other = (_law(model.order_parameters[k]) for k in (i, j))
    entry = one.cross[model.order_parameters[j].name]
    return sp.sqrt(one.clipped[0] * other.clipped[0]) - sp.Abs(entry)


def limited(model: EnergyModel, i: int, j: int) -> sp.Expr:
    """M_ij of fields ``i`` and ``j``, no larger than sqrt(M_ii M_jj): where one of them oversteps its range and counts as 0, they
    part, and the energy falls there, too."""
    one, other = (_law(model.order_parameters[k]) for k in (i, j))
    entry, most = one.cross[model.order_parameters[j].name], one.clipped[0] * other.clipped[0]
    if most.is_number and entry.is_number:
        return entry
    return sp.Piecewise((entry, entry**2 <= most), (sp.sqrt(most), entry > 0), (-sp.sqrt(most), True))


def largest(model: EnergyModel, i: int, states: Array, times: Array, follow: bool) -> float:
    """R of field ``i`` for states, shape ``(components, n)``, at times, and the check of its matrix there.

    Args:
        follow: whether R follows a law in time along the run, so that only the first time counts.

    Raises:
        ConfigError: a matrix that is not finite, or with an eigenvalue that is negative by more than `NEGATIVE` of its largest
            entries.
    """
    fields = model.order_parameters
    if constant(model, i):
        return _law(fields[i]).references[0]
    block = next(b for b in blocks(fields) if i in b)
    entries = [model.values(_entry(fields, j, k)) for j in block for k in block]
    function = sp.lambdify([*model.unknowns, TIME], entries, modules="numpy", cse=True)
    with np.errstate(all="ignore"):
        values = function(*states[:, None, :], times[:, None])
    shape = len(times), states.shape[1]
    table = np.array([np.broadcast_to(np.asarray(v, dtype=float), shape) for v in values])
    n = len(block)
    matrices = np.moveaxis(table.reshape(n, n, *shape), (0, 1), (2, 3))
    flat = matrices.reshape(-1, n, n)
    good = np.isfinite(flat).all(axis=(1, 2))
    somewhere = good.reshape(shape)[:, good.reshape(shape).any(axis=0)]
    if not somewhere.size or not somewhere.all():
        when = f"does not stay finite until time.end = {times[-1]:g}" if somewhere.size else "is finite in no state"
        names = ", ".join(fields[j].name for j in block)
        raise ConfigError(f"model.fields.{fields[i].name}.mobility", f"the mobility matrix of {names} {when}")

    def at(place: int) -> str:
        when, which = divmod(int(np.flatnonzero(good)[place]), shape[1])
        time = f" and t = {times[when]:.6g}" if len(times) > 1 else ""
        return f" at {state_text(model, states[:, which])}{time}, where the run may come"

    _definite(fields, block, flat[good], NEGATIVE, at)
    counted = matrices[0] if follow else flat
    counted = np.abs(counted[np.isfinite(counted).all(axis=(1, 2))])
    size = np.maximum(np.diagonal(counted, axis1=1, axis2=2).max(axis=0), 0.0)
    place = block.index(i)
    with np.errstate(all="ignore"):
        weight = np.where(size > 0, np.sqrt(size[place] / size), 0.0)
    return float((counted[:, place] * weight).sum(axis=1).max())


def root(model: EnergyModel) -> Array:
    """The symmetric root of the mobilities of all components, shape ``(components, components)``; of a matrix that varies that of
    its reference, which is no less."""
    fields = [f for f, _ in model.components]
    matrix = np.diag([f.mobility for f in fields]).astype(float)
    place = {f.name: i for i, f in enumerate(fields)}
    for block in blocks(model.order_parameters):
        rows = [model.order_parameters[i] for i in block]
        if not any(_law(f).varies for f in rows):
            for i in block:
                for j in block:
                    one, other = (place[model.order_parameters[k].name] for k in (i, j))
                    matrix[one, other] = float(_entry(model.order_parameters, i, j))
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)
