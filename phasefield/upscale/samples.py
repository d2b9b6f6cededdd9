"""Samples one at a time: whole images, windows of them, reconstructions; and what decides their numbers."""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import ConfigError, PhasefieldError
from ..homogenize.properties import VERSION
from ..homogenize.reading import Snapshots, read_file
from ..images.formats import Asked
from ..images.image import Image
from ..mechanics.phases import MaterialSystem
from .batches import Batch, Source
from .measuring import Failed, Task, length_of
from .reconstruction import Target, reconstruct
from .statistics import enough
from .statistics_settings import Request
from .windows import edge_of, places, window, windows


def fingerprint(request: Request, material: MaterialSystem | None) -> str:
    """What of the settings decides a sample's numbers."""
    names = (
        "voxel",
        "plane",
        "boundary",
        "seed",
        "grains",
        "field",
        "levels",
        "properties",
        "spacing",
        "two_grid",
        "mixing",
    )
    told = {n: getattr(request, n) for n in names}
    solver = replace(request.solver, threads=None, device="auto")
    phases = [
        [
            p.name,
            p.level,
            None if p.rotation is None else p.rotation.tolist(),
            {n: np.asarray(v).tolist() for n, v in p.values.items()},
            {c.name: vars(c.spread) for r in p.recipes.values() for c in r.constants if c.spread},
            None if p.density is None else vars(p.density),
        ]
        for p in (material.phases if material else ())
    ]
    return json.dumps([VERSION, told, vars(solver), phases], default=repr, sort_keys=True)


class Tasks:
    """The samples of a batch, read one at a time.

    Args:
        known: keys of samples that are computed already. settings: their `fingerprint`.

    Attributes:
        keys: of all samples so far, in their order, with those that are known.
    """

    def __init__(self, batch: Batch, request: Request, settings: str, known: set[str]) -> None:
        self._batch, self._request, self._settings, self._known = batch, request, settings, known
        self.keys: list[str] = []

    def _key(self, *parts: Any) -> str:
        key = hashlib.sha256(
            "\n".join([self._settings, *map(str, parts)]).encode("utf-8", "surrogateescape")
        ).hexdigest()[:24]
        self.keys.append(key)
        return key

    def planned(self) -> tuple[int, int]:
        """How many samples there are, and about how many voxels each has, by the first source.

        Raises:
            ConfigError: samples that are too few, or windows that are larger than the image.
        """
        sources, kind = self._batch.sources, self._batch.kind
        if not sources:
            return 0, 0
        if kind in ("images", "members") and not self._request.sizes:
            enough(len(sources))
        try:
            image = self._read(sources[0])
        except PhasefieldError:  # told when its turn comes
            return len(sources), 0
        voxels, sizes = math.prod(image.shape), self._request.sizes
        if kind == "windows":
            counts = {size: len(places(image, size, self._request.step)) for size in sizes or ()}
            if len(sources) == 1:
                for size, count in counts.items():
                    enough(count, size)
            return len(sources) * sum(counts.values()), math.prod(edge_of(image, max(counts)))
        if kind == "reconstructions":
            enough(len(sources) * self._request.reconstructions)
            edge = max(sizes) if sizes else _edge(image)
            return len(sources) * len(sizes or [1]) * self._request.reconstructions, edge ** sum(
                n > 1 for n in image.shape
            )
        return len(sources), voxels

    def __iter__(self) -> Iterator[Task | Failed]:
        yield from self._batch.failed
        for source in self._batch.sources:
            identity = source.identity
            whole = self._batch.kind in ("images", "members")
            key = self._key(identity, "own orientations") if whole else ""
            if whole and key in self._known:
                continue
            try:
                image = self._read(source)
            except PhasefieldError as error:
                yield Failed(str(source.path), str(error))
                continue
            if whole:
                yield Task(str(source.path), key, _edge(image), image, seed=_own_seed(self._request.seed, image))
            elif self._batch.kind == "windows":
                yield from self._windows(source, identity, image)
            else:
                yield from self._reconstructions(source, identity, image)

    def _windows(
        self, source: Source, identity: str, image: Image, sizes: Sequence[int] | None = None
    ) -> Iterator[Task]:
        length = None
        for size, corner in windows(image, sizes or self._request.sizes or (), self._request.step):
            key = self._key(identity, size, corner)
            if key in self._known:
                continue
            if length is None:  # the windows' own would be biased, for their mean is not that of the image
                length = _length(image)
            yield Task(
                f"{source.path} {size} at {','.join(map(str, corner))}", key, size, window(image, corner, size), length
            )

    def _reconstructions(self, source: Source, identity: str, image: Image) -> Iterator[Task]:
        request = self._request
        sizes = request.sizes or [_edge(image)]
        smaller = [s for s in sizes if s < _edge(image)]
        if smaller:
            for task in self._windows(source, identity, image, smaller):
                yield replace(task, name=f"{ORIGINAL}{task.name}")
        if len(smaller) < len(sizes):
            key = self._key(identity, "whole")
            if key not in self._known:
                yield Task(f"{ORIGINAL}{source.path}", key, _edge(image), image)
        target = Target.of_image(image)
        for size in sizes:
            for number in range(request.reconstructions):
                key = self._key(identity, "reconstruction", size, number)
                if key in self._known:
                    continue
                made = reconstruct(target, size, request.seed + number)
                phases = made.phases.reshape(tuple(size if n > 1 else 1 for n in image.shape))
                values = np.asarray(phases, np.uint8)
                sharp = replace(
                    image, kind="field", values=values.astype(float), levels=(0.0, 1.0), boundary=("periodic",) * values.ndim,
                    whole=False, found=False, pieces=None, names=(), source=f"{image.source}, reconstruction {number}",
                )  # fmt: skip
                yield Task(f"{source.path} reconstruction {number} of {size}", key, size, sharp, None, made.mismatch)

    def _read(self, source: Source) -> Image:
        request = self._request
        path = source.path
        if source.kind == "run":
            image = Snapshots(path, request.field, request.levels)[-1]
        else:
            image = read_file(path, request.levels, asked=Asked(variable=request.field))
        if request.spacing is not None:
            steps = request.spacing * len(image.shape) if len(request.spacing) == 1 else request.spacing
            if len(steps) != len(image.shape) or not all(0 < s < math.inf for s in steps):
                raise ConfigError(
                    "spacing", f"is {request.spacing}; one positive number, or {len(image.shape)}, are expected"
                )
            image = replace(image, spacing=tuple(steps), unit="m")
        return replace(image, source=str(path))


#: How the names of samples begin that reconstructions are compared with.
ORIGINAL = "original: "


def _own_seed(seed: int, image: Image) -> int:
    """Of the random orientations of an image that is a sample by itself: grains of one number in two samples are not one
    grain. It depends on the image alone, so that samples that are added or left out do not change others.
    """
    return seed + zlib.crc32(np.ascontiguousarray(image.values).tobytes())


def _edge(image: Image) -> int:
    """The edge of an image in voxels: the dim-th root of their number."""
    wide = [n for n in image.shape if n > 1]
    return round(math.prod(wide) ** (1 / len(wide)))


def _length(image: Image) -> float:
    """The largest correlation length of an image's phases."""
    if image.kind == "field":
        return length_of((image.indicator >= 0.5).astype(float), image)
    if image.kind == "labels":
        found = [length_of((image.values == k).astype(float), image) for k in np.unique(image.values)[:8]]
        return max((v for v in found if np.isfinite(v)), default=np.nan)
    return length_of((image.values.argmax(axis=0) == 0).astype(float), image)
