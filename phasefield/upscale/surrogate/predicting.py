"""``surrogate predict``: from an image and a material to a tensor with its uncertainty."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ConfigError
from ...homogenize.dataset import density_variables
from ...homogenize.inputs import rests_on
from ...homogenize.problem import Problem
from ...homogenize.reading import Image
from ...homogenize.settings import no_material
from ...mechanics import tensors
from ...mechanics.materials import system_of
from ...mechanics.options import Options
from ...mechanics.phases import MaterialSystem
from ...mechanics.properties import PROPERTIES
from ...provenance import git_commit, version
from ...store import expanded, sha256, write_dataset
from ..titles import PREDICTION as TITLE
from .features import Query
from .fitting import replaceable
from .images import Microstructure, Reading, microstructure
from .labels import isotropic_pair, method
from .model import Prediction, Surrogate
from .settings import Settings


@dataclass(frozen=True)
class Answer:
    """A prediction for an image and a material.

    Attributes:
        seconds: from the image in memory to the tensor: voxels, moments, process. of_process: the last of these.
    """

    surrogate: Surrogate
    source: Microstructure
    problem: Problem
    query: Query
    prediction: Prediction
    seconds: float
    of_process: float


def predict(surrogate: Surrogate, image: Image, material: MaterialSystem, extrapolate: bool = False) -> Answer:
    """The effective tensor of an image.

    Raises:
        ConfigError: the image or the material is not of the surrogate's class, or beyond its range.
    """
    prop = surrogate.prop
    missing = [p.name for p in material.phases if prop not in p.values]
    if missing:
        raise ConfigError(
            "material",
            f"has no {PROPERTIES[prop].title} for {', '.join(missing)}; the surrogate is of {prop}",
            "fit one of the property you need",
        )
    rule = surrogate.about.get("voxel", "laminate")
    begin = time.perf_counter()
    source = microstructure(image, rule)
    problem = Problem.of(source.image, material, method(prop, rule, Options()))
    query = Query(*isotropic_pair(problem, prop), source.moments)
    middle = time.perf_counter()
    prediction = surrogate.predict(query, extrapolate)
    end = time.perf_counter()
    return Answer(surrogate, source, problem, query, prediction, end - begin, end - middle)


def execute(words: Sequence[str], settings: Settings, command: str) -> tuple[Answer, Path | None]:
    """What the command does: reads, predicts, writes ``output`` if it is given."""
    if settings.material is None:
        raise no_material("material")
    model = expanded(words[0])
    surrogate = Surrogate.load(model)
    target = expanded(settings.output) if settings.output else None
    if target is not None and target.exists():
        replaceable(target, TITLE, "a prediction")
    levels = tuple(settings.levels) if settings.levels is not None else None
    where = expanded(words[1])
    if not where.exists():
        raise ConfigError(str(where), "there is no such file or folder", "give a run folder or an image file")
    (image,) = Reading(settings.field, levels).images(where)
    material = system_of(settings.material)
    predict(
        surrogate, image, material, settings.extrapolate
    )  # tables are made by the first, which its time is not meant to tell
    answer = predict(surrogate, dataclasses.replace(image), material, settings.extrapolate)
    if target is not None:
        write_dataset(dataset(answer, command).assign_attrs(_origin(where, model, settings)), target)
    return answer, target


def _origin(image: Path, model: Path, settings: Settings) -> dict[str, str]:
    """The files that a prediction rests on, as they are now: the surrogate among them."""
    attrs = rests_on(image, settings)
    own = {"role": "surrogate", "path": os.path.abspath(model), "sha256": sha256(model)}
    inputs = json.dumps([*json.loads(attrs["inputs"]), own], ensure_ascii=False)
    return attrs | {"inputs": inputs, "surrogate": own["path"]}


def dataset(answer: Answer, command: str) -> Any:
    """A prediction as one `xarray.Dataset`: the tensor, its standard deviation from the test part, bounds, phases."""
    import xarray

    prop, problem, prediction = answer.surrogate.prop, answer.problem, answer.prediction
    elastic = answer.query.order == 4
    dims = ("row", "column") if elastic else ("i", "j")
    unit = problem.material.unit(prop)
    labels = list(tensors.NAMES if elastic else tensors.AXES)
    coords: dict[str, Any] = {d: (d, labels) for d in dims}
    if elastic:
        coords["row"] = ("row", labels, {"long_name": "stress component"})
        coords["column"] = ("column", labels, {"long_name": "engineering strain component"})
    form = tensors.to_voigt if elastic else np.asarray
    comment = {"comment": "Voigt form: engineering shear strains"} if elastic else {}

    def entry(value: Any, text: str) -> tuple[tuple[str, ...], Any, dict[str, Any]]:
        return dims, form(value), {"units": unit, "long_name": text, **comment}

    title = prop.replace("_", " ")
    pure = np.stack([form(answer.query.first), form(answer.query.second)])
    coords["phase"] = ("phase", problem.names)
    coords["constituent"] = ("constituent", [p.name for p in problem.material.phases])
    fraction = answer.query.moments.fraction
    density = np.array(problem.material.density(problem.assignment.phase, [1 - fraction, fraction]))
    variables: dict[str, Any] = {
        prop: entry(prediction.tensor, f"effective {title}, predicted"),
        f"{prop}_model_std": entry(prediction.std, "standard deviation by the errors of the surrogate's test part"),
        f"{prop}_voigt": entry(prediction.voigt, "Voigt bound"),
        f"{prop}_reuss": entry(prediction.reuss, "Reuss bound"),
        "volume_fraction": (("phase",), [1 - fraction, fraction], {"units": "1"}),
        f"constituent_{prop}": (("phase", *dims), pure, {"units": unit}),
        **density_variables(problem.material, density, ()),
    }
    errors = answer.surrogate.about["errors"]["test"]
    attrs = {
        "title": f"{TITLE} for {answer.source.name}",
        "source": f"phasefield {version()}",
        "git_commit": git_commit(),
        "command": command,
        "history": f"{datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')} created by phasefield",
        "surrogate_median_error": errors["median"],
        "surrogate_p95_error": errors["p95"],
        "surrogate_test_samples": errors["samples"],
        "extrapolated": "; ".join(prediction.outside),
        "material": problem.material.name,
        "material_source": problem.material.source,
        "voxel": answer.surrogate.about["voxel"],
        "scheme": answer.surrogate.about["scheme"],
        "boundary": "periodic",
        "plane": "strain" if answer.surrogate.dim == 2 else "",
        "image_shape": list(answer.source.image.shape),
        "image_spacing": list(answer.source.image.spacing),
    }
    if problem.material.temperature is not None:
        attrs["reference_temperature"] = problem.material.temperature
    return xarray.Dataset(variables, coords, attrs)
