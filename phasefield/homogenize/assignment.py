"""Which phase of the material every phase of an image is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from . import tensors
from .grains import Grains, match, read_grains
from .image import Image, two_levels
from .materials import PROPERTIES, MaterialSystem
from .settings import Settings
from .tensors import Array

#: Stiffness of rigid phases over that of the stiffest other one; the result is off by about its inverse.
RIGID = 1e6
_TWO_GRAINS = "the material has one phase: the two phases of the field are taken for two grains of random orientation"


@dataclass(frozen=True)
class Assignment:
    """Which material phase (and rotation) every phase of the image is; notes: on what that means, where it may surprise."""

    system: MaterialSystem
    phase: tuple[int, ...]
    rotations: Array | None = None
    notes: tuple[str, ...] = ()

    @property
    def turns(self) -> Array:
        """Rotation of the crystals of every phase of the image, (phases, 3, 3)."""
        if self.rotations is not None:
            return self.rotations
        own = [self.system.phases[k].rotation for k in self.phase]
        return np.stack([np.eye(3) if r is None else r for r in own])

    def names(self, image: Image) -> list[str]:
        """What to call the phases of the image: by their names, grains by their labels besides."""
        names = [self.system.phases[k].name for k in self.phase]
        if len(set(names)) == len(names):
            return names
        return [f"{name} in grain {label:g}" for name, label in zip(names, image.labels, strict=True)]

    def pure(self, name: str) -> tuple[Array, NDArray[np.bool_]]:
        """Tensors of the image's phases, (phases, n, n), and which of them are void or rigid."""
        n = 6 if PROPERTIES[name].order == 4 else 3
        values = []
        for number, phase in enumerate(self.phase):
            turn = None if self.rotations is None else self.rotations[number]
            values.append(self.system.phases[phase].tensor(name, turn))
        extreme = np.array([isinstance(v, float) for v in values])
        known = [v for v in values if not isinstance(v, float)]
        stiffest = max(known, key=np.trace, default=np.eye(n))
        out = np.zeros((len(values), n, n))
        for number, value in enumerate(values):
            if not isinstance(value, float):
                out[number] = value
            elif value > 0:
                out[number] = RIGID * stiffest
        return out, extreme

    def strain(self, name: str) -> Array:
        """Stress-free strains (phases, 6) Mandel; zero for voids."""
        out = np.zeros((len(self.phase), 6))
        for number, phase in enumerate(self.phase):
            entry = self.system.phases[phase]
            if isinstance(entry.values.get("stiffness"), float) and name not in entry.values:
                continue
            turn = None if self.rotations is None else self.rotations[number]
            out[number] = tensors.from_matrix(np.asarray(entry.tensor(name, turn)))
        return out


def assign(image: Image, system: MaterialSystem, settings: Settings) -> Assignment:
    """Matches the image's phases with those of the material: by the table of grains, by their level, else in order; one phase
    makes a polycrystal.

    Raises:
        ConfigError: the numbers do not fit.
    """
    count, known = image.phases, len(system.phases)
    bare = [p.name for p in system.phases if p.level is None]
    if len(bare) < known and image.kind == "fields":
        raise ConfigError(
            "material.phases",
            "has levels, which are values of one field, but the image has several fields",
            "leave level out and give the phases in the order of the fields",
        )
    if 0 < len(bare) < known:
        raise ConfigError("material.phases", f"has no level for {', '.join(bare)}, but for others", "give all or none")
    if settings.grains is not None:
        grains = settings.grains if isinstance(settings.grains, Grains) else read_grains(str(settings.grains))
        return Assignment(system, *match(grains, image.labels, system, settings.seed))
    if image.kind == "labels" and image.names:
        by_level = {f"{p.level:g}": i for i, p in enumerate(system.phases) if p.level is not None}
        if by_level:
            missing = [n for n in image.names if f"{float(n):g}" not in by_level]
            if missing:
                raise ConfigError(
                    "material.phases",
                    f"has no phase with the level {missing[0]}, which is in the image",
                    f"levels: {', '.join(by_level)}; values of the image: {', '.join(image.names[:20])}",
                )
            return Assignment(system, tuple(by_level[f"{float(n):g}"] for n in image.names))
        numbers = [float(n) for n in image.names]
        if known > 1 and count < known and all(v == int(v) and 0 <= v < known for v in numbers):
            return Assignment(system, tuple(int(v) for v in numbers))
    if count == known:
        order = range(known)
        if image.kind == "field" and all(p.level is not None for p in system.phases):
            order = sorted(range(known), key=lambda i: abs((system.phases[i].level or 0.0) - image.levels[0]))  # type: ignore[assignment]
        return Assignment(system, tuple(order))
    if known == 1:
        notes = (_TWO_GRAINS,) if image.kind == "field" else ()
        return Assignment(system, *match(None, image.labels, system, settings.seed), notes)
    what = {"labels": f"{count} different values", "field": "two phases", "fields": f"{count} fields"}[image.kind]
    hint = (
        "give as many phases as the image has, in the order of its values, one phase for a polycrystal, or grains=FILE"
    )
    if image.kind == "labels" and known == 2 < count:
        low, high = two_levels(np.array(image.labels)[image.values])
        hint += f"; if the values are grey levels of two phases, give theirs, as in levels=[{low:.4g},{high:.4g}]"
    raise ConfigError(
        "material.phases",
        f"has {known} phases ({', '.join(p.name for p in system.phases)}), but the image has {what}",
        hint,
    )
