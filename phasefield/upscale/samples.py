"""Where samples come from: the folder of a sweep, a list of images or of files of effective properties, windows of an image."""

from __future__ import annotations

import hashlib
import json
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import sweep
from ..errors import ConfigError, PhasefieldError
from ..homogenize.dataset import holds_properties
from ..homogenize.problem import varying
from ..homogenize.properties import VERSION
from ..homogenize.reading import Snapshots, read_file
from ..images.formats import Asked, is_image, is_netcdf
from ..images.image import Image
from ..mechanics import tensors
from ..mechanics.phases import MaterialSystem
from ..mechanics.properties import PROPERTIES
from ..store import expanded, open_dataset
from .measuring import Failed, Measured, Task, Values, length_of
from .reconstruction import Target, reconstruct
from .record_properties import parameter_part, sharp
from .statistics import enough
from .statistics_settings import Request
from .windows import edge_of, places, window, windows

#: Attributes of files of effective properties that must be the same of all samples.
_SAME = ("material", "reference_temperature", "voxel", "boundary", "plane", "scheme", "precision")
#: The unit of the spacing where a file has it nowhere else, in what it tells of where it is from: "1.0859 nm, of the file".
_UNIT = re.compile(r"([^\W\d_]\S*), of the file$")


@dataclass
class Source:
    """One thing that samples are made of.

    Attributes:
        path: of it. kind: ``image``, ``run`` or ``properties``.
    """

    path: Path
    kind: str

    @property
    def identity(self) -> str:
        """What changes when the content does."""
        file = self.path / "fields.nc" if self.kind == "run" else self.path
        stat = file.stat()
        return f"{file.resolve()} {stat.st_size} {stat.st_mtime_ns}"


@dataclass
class Batch:
    """All samples of a call.

    Attributes:
        failed: members of sweeps that did not come to an end, and why. kind: ``windows``, ``images``, ``members``,
            ``reconstructions`` or ``properties``.
        varied: keys besides the seed in which members of a sweep differ.
    """

    sources: list[Source]
    kind: str
    failed: list[Failed] = field(default_factory=list)
    varied: list[str] = field(default_factory=list)


def collect(words: Sequence[str | Path], request: Request) -> Batch:
    """The sources that words name.

    Raises:
        ConfigError: something that holds no samples, or sources of several kinds.
    """
    batch = Batch([], "images")
    for word in words:
        where = expanded(word)
        if not where.exists():
            raise ConfigError(str(where), "there is no such file or folder", "give a sweep's folder, runs or images")
        if sweep.is_sweep(where):
            batch.kind = "members"
            _members(where, request, batch)
        elif where.is_dir() and not (where / "fields.nc").exists():
            found = sorted(f for f in where.iterdir() if is_image(f) and not _ours(f))
            if not found:
                raise ConfigError(str(where), "holds no sweep, no run and no images", "give one of them")
            batch.sources += [_source(f, request) for f in found]
        else:
            batch.sources.append(_source(where, request))
    kinds = {s.kind == "properties" for s in batch.sources}
    if len(kinds) > 1:
        raise ConfigError("sources", "are files of effective properties and images; their samples would not be equal")
    if not batch.sources and batch.failed:
        raise ConfigError(str(words[0]), f"no member came to an end; {batch.failed[0].name}: {batch.failed[0].reason}")
    if kinds == {True}:
        batch.kind = "properties"
        if request.sizes or request.reconstructions:
            raise ConfigError("sizes", "are given, but effective properties cannot be cut", "give the images")
    elif request.material is None:
        from ..homogenize.settings import no_material

        raise no_material("material")
    if request.reconstructions:
        batch.kind = "reconstructions"
    elif request.sizes and batch.kind != "members":
        batch.kind = "windows"
    return batch


def _ours(path: Path) -> bool:
    """Whether a file among images is one of this program's results."""
    return is_netcdf(path) and path.stem.endswith(("properties", "statistics"))


def _source(where: Path, request: Request) -> Source:
    if where.is_dir():
        bare = request.material is None and (where / "properties.nc").exists()
        return Source(where / "properties.nc", "properties") if bare else Source(where, "run")
    if is_netcdf(where) and holds_properties(where):
        return Source(where, "properties")
    return Source(where, "image")


#: Keys of members whose values samples of one population may differ in: the seed, and sizes, which are told apart.
_OF_SAMPLES = ("seed", "grid.shape", "grid.length", "output.", "threads.", "device", "hydra")


def _members(where: Path, request: Request, batch: Batch) -> None:
    members = sweep.members(where)
    asked = [{o.lstrip("+") for o in m.overrides} for m in members]
    keys = {o.partition("=")[0] for own in asked for o in own if not all(o in other for other in asked)}
    batch.varied += sorted(k for k in keys if not k.startswith(_OF_SAMPLES) and k not in batch.varied)
    for member in members:
        folder = where / member.name
        if member.code != 0:
            reason = member.error.split("\n")[0] if member.error else member.text
            batch.failed.append(Failed(str(folder), reason))
        elif (folder / "fields.nc").exists() or (folder / "properties.nc").exists():
            bare = not (folder / "fields.nc").exists()
            batch.sources.append(Source(folder / "properties.nc", "properties") if bare else _source(folder, request))
        else:
            batch.failed.append(Failed(str(folder), "holds no fields.nc"))


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
            ConfigError: windows that are too few or larger than the image.
        """
        sources, kind = self._batch.sources, self._batch.kind
        if not sources:
            return 0, 0
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


# -- samples that are computed already ---------------------------------------------------------------------------------


def of_properties(source: Source, key: str) -> Measured:
    """A sample from a file of effective properties, its last snapshot.

    Raises:
        Unreadable: it cannot be read.
    """
    with open_dataset(source.path) as data:
        data = data.isel(time=-1) if "time" in data.dims else data
        data.load()
    attrs = data.attrs
    shape = [int(n) for n in np.atleast_1d(attrs["image_shape"])]
    spacing = [float(h) for h in np.atleast_1d(attrs["image_spacing"])]
    pairs = [(n, h) for n, h in zip(shape, spacing, strict=True) if n > 1]
    edge = math.prod(n * h for n, h in pairs) ** (1 / len(pairs))
    values = {str(n): _values_of(data, str(n)) for n in data.data_vars if n in PROPERTIES}
    ratio = next((float(data[n]) for n in data.data_vars if str(n).endswith("_scale_ratio")), math.nan)
    least = min(n * h for n, h in pairs)
    names, shares = [str(p) for p in data["phase"].values], data["volume_fraction"].values
    phases = [str(p) for p in data["material_phase"].values] if "material_phase" in data else names
    sums: dict[str, float] = {}
    for name, share in zip(phases, shares, strict=True):
        sums[name] = sums.get(name, 0.0) + float(share)
    facts: dict[str, Any] = {n: str(attrs.get(n, "")) for n in _SAME}
    facts |= {"constants of the phases": _constants(data), "spacing": spacing, "unit": _unit(attrs), "axes": len(shape)}
    facts["unit of density"] = str(data["density"].attrs.get("units", "1")) if "density" in data else ""
    text = "\n".join(str(data[n].attrs.get("warnings", "")) for n in values)
    warnings = [w for w in dict.fromkeys(text.split("\n")) if w and not w.startswith("the cell is small")]
    return Measured(
        str(source.path), key, round(math.prod(n for n, _ in pairs) ** (1 / len(pairs))), edge, varying(shape), ratio * least,
        str(attrs.get("boundary", "periodic")), list(sums), list(sums.values()), values, facts, warnings,
        density=(_number(data, "density"), _number(data, "density_parameter_std")),
    )  # fmt: skip


def _number(data: Any, name: str) -> float:
    return float(data[name]) if name in data else math.nan


def _constants(data: Any) -> dict[str, Any]:
    """The tensors of the phases, by property and phase."""
    names = [n for n in map(str, data.data_vars) if n.startswith("constituent_") and "constituent" in data[n].dims]
    return {
        f"{name.removeprefix('constituent_')} of {phase}": np.asarray(values, float).tolist()
        for name in names
        for phase, values in zip(data["constituent"].values, data[name].values, strict=True)
    }


def _unit(attrs: Any) -> str:
    """The unit of the lengths of an image that was homogenized; empty where nobody told one."""
    if "image_spacing_unit" in attrs:
        return str(attrs["image_spacing_unit"])
    told = str(attrs.get("image_spacing_from", ""))
    found = _UNIT.search(told)
    return "m" if told.endswith("given") else found.group(1) if found else ""


def _values_of(data: Any, name: str) -> Values:
    variable = data[name]
    elastic = PROPERTIES[name].order == 4

    def tensor(of: str) -> Any:
        found = np.asarray(data[of].values, float)
        return tensors.from_voigt(found) if elastic else found

    others = {n: tensor(f"{name}_{n}") for n in ("voigt", "reuss", "kinematic", "static") if f"{name}_{n}" in data}
    margins = [float(data[v]) for v in data.data_vars if str(v).startswith(f"{name}_margin_")]
    margins = margins or [float(data[f"{name}_{n}"]) for n in ("voigt_margin", "reuss_margin") if f"{name}_{n}" in data]
    parts = {n: float(data[f"{name}_{n}"]) for n in ("discretisation", "mixing_spread") if f"{name}_{n}" in data}
    spread = parameter_part(data, name)
    return Values(
        str(variable.attrs.get("units", "1")), tensor(name), others, min(margins, default=math.nan), parts,
        float(data.attrs.get("tolerance", 0.0)), sharp(data),
        None if spread is None else tensor(f"{name}_parameter_std"), [] if spread is None else list(spread.lacks),
    )  # fmt: skip
