"""The microstructures that a surrogate is trained with: images of runs, sweeps, folders and files, with what is known of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from ... import sweep
from ...errors import ConfigError, PhasefieldError
from ...homogenize.dataset import holds_properties
from ...homogenize.reading import Image, Snapshots, read_file
from ...images.formats import FORMATS, Asked, is_netcdf
from ...images.voxels import Voxels
from ...mechanics.tensors import Array
from ...store import expanded
from .moments import Moments


@dataclass
class Microstructure:
    """An image of two phases, as its voxels hold them.

    Attributes:
        name: what messages call it. origin: the run or file it is of; what has one origin stays in one part.
        properties: files of effective properties that may be of this image.
    """

    name: str
    origin: str
    image: Image
    voxels: Voxels
    properties: list[Path] = field(default_factory=list)

    @cached_property
    def hash(self) -> str:
        """Of the voxels: equal for equal ones."""
        digest = hashlib.sha256(repr((self.voxels.shape, self._ratios, self.voxels.rule)).encode())
        digest.update(np.round(self.share, 9).tobytes())
        cut = self.voxels.cut[self.voxels.index]
        digest.update(np.round(self.voxels.normal[self.voxels.index[cut]], 9).tobytes())
        return digest.hexdigest()[:32]

    @property
    def _ratios(self) -> list[float]:
        return [round(h / self.voxels.spacing[0], 9) for h in self.voxels.spacing]

    @cached_property
    def share(self) -> Array:
        """Volume fraction of the second phase in every voxel."""
        return self.voxels.share(1)

    @cached_property
    def moments(self) -> Moments:
        return Moments.of(self.share, self.voxels.spacing)


def microstructure(image: Image, rule: str, name: str = "", origin: str = "") -> Microstructure:
    """The microstructure of an image.

    Raises:
        ConfigError: it is not one of two phases with two or three periodic axes.
    """
    name = name or image.source
    if image.phases != 2 or image.pieces is not None:
        raise ConfigError(name, f"has {image.phases} phases; a surrogate is of two")
    if image.kind == "field" and image.levels[0] == image.levels[1]:
        raise ConfigError(
            name, "has one value everywhere, which does not tell the phase", "give levels=[low,high], or leave it out"
        )
    if len(image.shape) < 2 or min(image.shape) < 4:
        raise ConfigError(
            name, f"has {'x'.join(map(str, image.shape))} voxels; two or three axes of 4 and more are expected"
        )
    if any(b != "periodic" for b in image.boundary):
        raise ConfigError(name, "ends at walls; a surrogate is of periodic cells")
    return Microstructure(name, origin or name, image, image.voxels(rule))


@dataclass(frozen=True)
class Reading:
    """How images are read: the keys ``field``, ``levels``, ``times``, and the rule that voxels are made by."""

    field: str | None = None
    levels: tuple[float, ...] | None = None
    times: str = "last"
    rule: str = "laminate"

    def images(self, path: Path) -> Iterator[Image]:
        """Those of a run folder or a file."""
        if path.is_dir() or is_netcdf(path):
            if path.is_file() and holds_properties(path):
                raise ConfigError(str(path), "holds effective properties, not an image")
            snapshots = Snapshots(path, self.field, self.levels)
            for k in range(len(snapshots)) if self.times == "all" else [len(snapshots) - 1]:
                yield snapshots[k]
        else:
            yield read_file(path, self.levels, asked=Asked(variable=self.field))


def collect(paths: Sequence[str], reading: Reading, skip: bool, say: Callable[[str], None]) -> list[Microstructure]:
    """All microstructures of sweeps, runs, folders of them, and images; each once.

    Args:
        skip: leave out what cannot be used. say: is told of each that was left out.

    Raises:
        ConfigError: a path that holds none, or one that cannot be used.
    """
    out: list[Microstructure] = []
    for path, properties in _sources(paths):
        try:
            for image in reading.images(path):
                when = "" if image.time is None or reading.times == "last" else f" at time {image.time:g}"
                made = microstructure(image, reading.rule, f"{path}{when}", str(path))
                made.properties = properties
                out.append(made)
        except PhasefieldError as error:
            if not skip:
                raise ConfigError(str(path), str(error), "skip=true leaves out what cannot be used") from error
            say(f"left out: {str(error).splitlines()[0]}")
    return _merged(out)


def _merged(found: list[Microstructure]) -> list[Microstructure]:
    """Each microstructure once, those with a common origin or a common image under one origin."""
    kept: dict[str, Microstructure] = {}
    same: dict[str, str] = {}

    def root(origin: str) -> str:
        while same.get(origin, origin) != origin:
            origin = same[origin]
        return origin

    for made in found:
        before = kept.setdefault(made.hash, made)
        if before is not made:
            before.properties = list(dict.fromkeys([*before.properties, *made.properties]))
            a, b = root(before.origin), root(made.origin)
            same[b] = a
    for made in kept.values():
        made.origin = root(made.origin)
    return list(kept.values())


def _sources(paths: Sequence[str]) -> Iterator[tuple[Path, list[Path]]]:
    """Run folders and image files, with the files of effective properties beside them."""
    for given in paths:
        where = expanded(given)
        if not os.path.exists(where):
            raise ConfigError(
                str(given), "there is no such file or folder", "give a sweep, runs, a folder of them, or images"
            )
        found = list(_within(where))
        if not found:
            raise ConfigError(
                str(given), "holds no run and no image", "give a sweep, runs, a folder of them, or images"
            )
        yield from found


def _within(where: Path) -> Iterator[tuple[Path, list[Path]]]:
    if not where.is_dir() or (where / "fields.nc").is_file():
        yield where, _beside(where)
    elif sweep.is_sweep(where):
        name, words, _ = sweep.asked(where)
        members = [where / m.name for m in sweep.members(where)]
        if name == "homogenize":  # one image with several materials
            image = expanded(words[0])
            own = [m / "properties.nc" for m in members if (m / "properties.nc").is_file()]
            yield image, [*_beside(image), *own]
        else:
            yield from ((m, _beside(m)) for m in members if (m / "fields.nc").is_file())
    else:
        for entry in sorted(where.iterdir()):
            if entry.is_dir() and ((entry / "fields.nc").is_file() or sweep.is_sweep(entry)):
                yield from _within(entry)
            elif entry.suffix.lower() in FORMATS:
                yield entry, _beside(entry)


def _beside(path: Path) -> list[Path]:
    file = path / "properties.nc" if path.is_dir() else path.with_name(f"{path.stem}_properties.nc")
    return [file] if file.is_file() else []
