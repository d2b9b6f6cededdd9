"""Effective properties as observables of a run."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from ..errors import ConfigError, NotConverged, unknown
from ..grid import Grid
from ..mechanics import tensors
from ..mechanics.materials import system_of
from ..mechanics.phases import MaterialSystem
from ..mechanics.properties import PROPERTIES
from ..models import EnergyModel
from ..observables import Factory, Observable
from ..presets import names
from .problem import Problem
from .properties import results_of
from .reading import Image, from_array
from .result import Result, computed
from .settings import Request, along, no_material

log = logging.getLogger("phasefield")


def observables(keys: Mapping[str, Any], device: str = "auto") -> dict[str, Factory]:
    """The observables of all properties.

    Args:
        keys: those of ``homogenize.`` in a run, see `settings.Along`. They are read when an observable is made.
        device: the run's, for keys that name none.
    """
    return {name: partial(_observable, name, keys, device) for name in PROPERTIES}


def _observable(name: str, keys: Mapping[str, Any], device: str, model: EnergyModel, grid: Grid) -> Observable:
    with _under("homogenize"):
        given = along(keys, device)
        if given.material is None:
            raise no_material(
                "material", f"for output.observables={name}: a preset ({', '.join(names('material'))}) or a file"
            )
        request = given.request(name)
        if request.boundary == "all":
            raise ConfigError("boundary", "is all, but a row holds one tensor", "use periodic, kinematic or static")
        system = system_of(request.material)
    field, part = _field(request, model)
    spacing = tuple(length / n for length, n in zip(grid.lengths, grid.shape, strict=True))
    components = part.stop - part.start
    if components == 1 and request.levels is None:
        raise ConfigError(
            "homogenize.levels",
            f"is missing; values of {field} in the two phases are needed before the run has shown them",
            "e.g. homogenize.levels=[0,1]",
        )
    boundary = tuple(grid.boundary)

    def image_of(values: np.ndarray) -> Image:
        if components == 1:
            return from_array(values[0], spacing, boundary, request.levels, field)
        return Image("fields", values, spacing, boundary, source=field)

    with _under("homogenize"):  # what the first row would refuse is refused before the run
        blank = Problem.of(image_of(np.zeros((components, *(2 for _ in spacing)))), system, request)
    for note in blank.assignment.notes:
        log.warning("%s: %s", name, note)
    unit = system.unit(name)
    axes = ("row", "column") if PROPERTIES[name].order == 4 else ("i", "j")
    labels = tensors.NAMES if PROPERTIES[name].order == 4 else tensors.AXES
    scalars: tuple[str, ...] = ("K", "G", "E") if PROPERTIES[name].order == 4 else ("mean",)
    if request.plane == "stress" and grid.dim == 2 and PROPERTIES[name].order == 4:
        scalars = ()  # a sheet has no bulk modulus

    def measure(cells: np.ndarray) -> dict[str, Any]:
        image = image_of(np.asarray(cells[part], float))
        everything = _values(name, image, system, request)
        return {variable: everything[variable] for variable in attrs}

    attrs = {name: {"long_name": f"effective {PROPERTIES[name].title}", "units": unit}}
    what = {"K": "bulk modulus", "G": "shear modulus", "E": "Young's modulus", "mean": f"mean {PROPERTIES[name].title}"}
    for scalar in scalars:
        attrs[f"{name}_{scalar}"] = {"long_name": f"effective {what[scalar]}, nearest isotropic", "units": unit}
    return Observable(
        lambda values: {}, attrs=attrs, measure=measure, axes={name: axes}, labels=dict.fromkeys(axes, tuple(labels))
    )


@contextmanager
def _under(group: str) -> Iterator[None]:
    """Complaints about keys name the group they stand in."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{group}.{error.key}", error.problem, error.hint) from error


def _field(request: Request, model: EnergyModel) -> tuple[str, slice]:
    """The field that the phases are told by: one with components, else the first order parameter, else the first field."""
    parts = model.slices()
    known = model.order_parameters
    if request.field is not None and request.field not in parts:
        raise unknown("homogenize.field", request.field, list(parts), "field")
    many = [f.name for f in known if f.components is not None]
    order = [f.name for f in known if f.name.startswith(("eta", "phi"))]
    name = request.field or (many or order or [f.name for f in known])[0]
    return name, parts[name]


def _values(name: str, image: Image, system: MaterialSystem, request: Request) -> dict[str, Any]:
    """The variables of one state; NaN where the solver gave up, which is no reason to end the run.

    Always solved from nothing: a resumed run then has the same bits as an unbroken one.
    """
    elastic = PROPERTIES[name].order == 4
    try:
        (result,) = results_of(Problem.of(image, system, request))
    except NotConverged as error:
        log.warning("%s", error)
        result = Result(name, "", np.full((6, 6) if elastic else (3, 3), math.nan), [], math.nan)
    if not elastic:
        return {name: computed(result.tensor, result.components), f"{name}_mean": float(np.trace(result.tensor)) / 3}
    moduli = {f"{name}_{key}": result.moduli.get(key, math.nan) for key in ("K", "G", "E")}
    return {name: tensors.to_voigt(computed(result.tensor, result.components)), **moduli}
