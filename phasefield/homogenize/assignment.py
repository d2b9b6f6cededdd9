"""Which phase of the material every phase of an image is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..images.image import Image
from ..images.levels import two_levels
from ..mechanics import tensors
from ..mechanics.phases import MaterialSystem
from ..mechanics.properties import PROPERTIES
from ..mechanics.tensors import Array
from .grains import Grains, match, read_grains
from .settings import Settings

#: Stiffness of rigid phases over that of the stiffest other one; the result is off by about its inverse.
RIGID = 1e6
#: Share of the image that may lie between the phases, or in none of its fields, without a word.
_BETWEEN, _NOWHERE = 0.5, 0.01
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
        if not known and (rigid := sorted({p for p, v in zip(self.phase, values, strict=True) if v})):
            raise ConfigError(
                "material.phases",
                f"no phase of the image has any {PROPERTIES[name].title} but {self.system.phases[rigid[0]].name}, which is "
                "rigid: there is nothing for it to be rigid against",
                f"give one of them a {name} in numbers",
            )
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


def resolved(image: Image, system: MaterialSystem, settings: Settings) -> Image:
    """The image as its material and the table of grains say what it is.

    Whole numbers are grains, however many, if the material has one phase or more than two, or if there is a table. Each connected
    piece of an order parameter is a grain if the material has one phase, unless a table gives one orientation to each
    order parameter. The levels of a field of two phases are those of the material if it has them.

    Raises:
        ConfigError: a uniform field of which no one says which phase it is.
    """
    known, table = len(system.phases), grains_of(settings)
    if image.kind == "field":
        if image.whole and (known != 2 or table is not None):
            return image.as_labels()
        named = [p.level for p in system.phases if p.level is not None]
        if image.found and len(named) == known == 2 and named[0] != named[1]:
            low, high = sorted(named)
            image = replace(image, levels=(low, high), found=False)
            image = image.told("values", f"a field of two phases, levels {low:.6g} and {high:.6g} (of the material)")
        if image.levels[0] == image.levels[1]:
            if known == 1:
                return image.as_labels()
            raise ConfigError(
                image.source,
                f"has the value {image.levels[0]:g} everywhere, which alone does not tell the phase",
                "give levels=[low,high], the values of the two phases",
            )
        return image
    if image.kind == "fields" and image.pieces is None and (known == 1 or table is not None):
        pieces = image.in_pieces()
        if table is None or _of_pieces(table, pieces):
            return pieces
        return image.told("values", f"{len(image.values)} order parameters, each of one orientation, by the table")
    return image


def grains_of(settings: Settings) -> Grains | None:
    """The table of grains, read if it is a file."""
    if settings.grains is None or isinstance(settings.grains, Grains):
        return settings.grains
    return read_grains(str(settings.grains))


def _of_pieces(table: Grains, image: Image) -> bool:
    """Whether a table is one of the pieces of order parameters rather than of the order parameters."""
    if table.labels is not None:
        return set(image.labels) <= {float(v) for v in table.labels}
    return len(table.rotations) != len(image.values) and len(table.rotations) >= image.phases


def assign(image: Image, system: MaterialSystem, settings: Settings) -> Assignment:
    """Matches the phases of an image with those of the material: by the table of grains, by their level, by their number, else in
    order; one phase makes a polycrystal.

    Args:
        image: as `resolved` gives it.

    Raises:
        ConfigError: the numbers do not fit, or leave open which phase is which.
    """
    assignment = _assigned(image, system, settings)
    return replace(assignment, notes=(*assignment.notes, *_oddities(image, settings)))


def _assigned(image: Image, system: MaterialSystem, settings: Settings) -> Assignment:
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
    if (table := grains_of(settings)) is not None:
        return Assignment(system, *match(table, image.labels, system, settings.seed, image.drawn))
    if image.kind == "labels" and image.names and not bare:
        return Assignment(system, _by_level(image, system))
    if count == known:
        order = range(known)
        if image.kind == "field" and not bare:
            order = sorted(range(known), key=lambda i: abs((system.phases[i].level or 0.0) - image.levels[0]))  # type: ignore[assignment]
        return Assignment(system, tuple(order))
    if known == 1:
        notes = (_TWO_GRAINS,) if image.kind == "field" else ()
        return Assignment(system, *match(None, image.labels, system, settings.seed, image.drawn), notes)
    if image.kind == "labels" and image.names and count < known:
        return _by_number(image, system)
    what = {"labels": f"{count} different values", "field": "two phases", "fields": f"{count} fields"}[image.kind]
    hint = (
        "give as many phases as the image has, in the order of its values, one phase for a polycrystal, or grains=FILE"
    )
    if image.kind == "labels" and known == 2 < count:
        low, high = two_levels(np.array(image.labels)[image.values], image.planes)
        hint += f"; if the values are grey levels of two phases, give theirs, as in levels=[{low:.4g},{high:.4g}]"
    raise ConfigError(
        "material.phases",
        f"has {known} phases ({', '.join(p.name for p in system.phases)}), but the image has {what}",
        hint,
    )


def _by_level(image: Image, system: MaterialSystem) -> tuple[int, ...]:
    by_level = {f"{p.level:g}": i for i, p in enumerate(system.phases) if p.level is not None}
    missing = [n for n in image.names if f"{float(n):g}" not in by_level]
    if missing:
        raise ConfigError(
            "material.phases",
            f"has no phase with the level {missing[0]}, which is in the image",
            f"levels: {', '.join(by_level)}; values of the image: {', '.join(image.names[:20])}",
        )
    return tuple(by_level[f"{float(n):g}"] for n in image.names)


def _by_number(image: Image, system: MaterialSystem) -> Assignment:
    """Fewer values than phases, as of a part of an image: the phases' numbers, if they show what they are counted from."""
    known = len(system.phases)
    values = [float(n) for n in image.names]
    whole = all(v == int(v) for v in values)
    for first, shown in ((0, 0 in values), (1, known in values)):
        if whole and shown and first <= min(values) and max(values) < known + first:
            note = f"the image has {len(values)} of the {known} phases; its values count them from {first}"
            return Assignment(system, tuple(int(v) - first for v in values), notes=(note,))
    listed, names = ", ".join(image.names[:20]), ", ".join(p.name for p in system.phases)
    raise ConfigError(
        "material.phases",
        f"has {known} phases ({names}), and the image the values {listed}: which phase each of them is stays open",
        f"tie every phase to its value, as in material.phases.{system.phases[0].name}.level={image.names[0]}",
    )


def _oddities(image: Image, settings: Settings) -> list[str]:
    """Notes on what in the image is not as its material is."""
    out = []
    walls = [(a, b) for a, b in zip("xyz", image.boundary, strict=False) if b != "periodic"]
    if walls and settings.boundary == "periodic":
        where = ", ".join(f"{a} ({b})" for a, b in walls)
        out.append(
            f"the image ends at walls along {where}, but the cell is repeated as if it were periodic; a body that ends there "
            "lies between boundary=static and boundary=kinematic"
        )
    if image.kind == "field" and image.values.strides != (0,) * image.values.ndim:
        indicator = image.indicator
        planes, size = image.planes, math.prod(image.shape)
        share = planes.sum(int(np.count_nonzero((indicator > 0.25) & (indicator < 0.75)))) / size
        if share > _BETWEEN:
            low, high = float(planes.least(image.values.min())), float(planes.most(image.values.max()))
            out.append(
                f"{100 * share:.3g} % of the image lie between its phases: the field runs from {low:.4g} to {high:.4g}, the "
                f"levels are {image.levels[0]:.4g} and {image.levels[1]:.4g}"
            )
    if image.kind == "fields" and any(image.values.strides):
        largest = image.values.max(axis=0)
        bulk = image.planes.quantile(largest, 0.98)
        share = image.planes.sum(int(np.count_nonzero(largest < 0.25 * bulk))) / math.prod(image.shape)
        if share > _NOWHERE:
            out.append(
                f"in {100 * share:.3g} % of the image no field comes near its value in the bulk; the largest one is taken all "
                "the same"
            )
    return out
