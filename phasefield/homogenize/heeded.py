"""Keys that a request sets and nothing heeds, given its other keys, the material and the image; told as a run's are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from ..mechanics.properties import PROPERTIES
from .assignment import assign
from .records import Record
from .settings import SOLVING, Request

#: Why nothing heeds a key, empty where something does.
Rule = Callable[[Request, Record], str]


def idle(request: Request, record: Record) -> Iterator[str]:
    """Notes on the keys that are set and that nothing has heeded in a record."""
    defaults = {f.name: f.default for f in dataclasses.fields(request)}
    for key, rule in _RULES.items():
        if getattr(request, key) != defaults[key] and (why := rule(request, record)):
            yield f"{key} is set, and nothing heeds it: {why}"


def _seed(request: Request, record: Record) -> str:
    problem = record.problem
    other = dataclasses.replace(problem.settings, seed=request.seed + 1)
    turns = assign(problem.image, problem.material, other).turns
    drawn = (turns != problem.assignment.turns).any() or request.uncertainty in SOLVING
    return "" if drawn else "no orientation is random, nor are constants drawn"


def _samples(request: Request, record: Record) -> str:
    return "" if request.uncertainty in SOLVING else f"uncertainty is {request.uncertainty}, which does not solve again"


def _order(request: Request, record: Record) -> str:
    return "" if request.uncertainty == "pce" else f"uncertainty is {request.uncertainty}, which has no polynomials"


def _plane(request: Request, record: Record) -> str:
    thin = any(PROPERTIES[name].order == 4 for name in request.properties)
    return "" if thin else f"{' and '.join(request.properties)} of a thin sheet is that of a body"


def _voxel(request: Request, record: Record) -> str:
    return "" if record.diffuse else "the image has no diffuse interface"


_RULES: dict[str, Rule] = {
    "seed": _seed,
    "uncertainty_samples": _samples,
    "uncertainty_order": _order,
    "plane": _plane,
    "voxel": _voxel,
}
