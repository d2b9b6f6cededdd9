"""Which samples a call names: the folder of a sweep, runs, images, or files of effective properties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .. import sweep
from ..errors import ConfigError
from ..homogenize.dataset import holds_properties
from ..images.formats import is_image, is_netcdf
from ..store import expanded, open_dataset
from ..store.files import sha256
from .measuring import Failed
from .statistics_settings import Request


@dataclass
class Source:
    """One thing that samples are made of.

    Attributes:
        path: of it. kind: ``image``, ``run`` or ``properties``.
    """

    path: Path
    kind: str

    @property
    def file(self) -> Path:
        """The file that the sample is in."""
        return self.path / "fields.nc" if self.kind == "run" else self.path

    @property
    def identity(self) -> str:
        """What changes when the content does."""
        stat = self.file.stat()
        return f"{self.file.resolve()} {stat.st_size} {stat.st_mtime_ns}"


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
        ConfigError: something that holds no samples, sources of several kinds, or one sample twice.
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
    _distinct(batch.sources)
    kinds = {s.kind == "properties" for s in batch.sources}
    if len(kinds) > 1:
        _readable(batch.sources)
        one, other = (next(s.path for s in batch.sources if (s.kind == "properties") is of) for of in (True, False))
        raise ConfigError(
            "sources", f"hold effective properties ({one}) and images ({other}); their samples would not be equal"
        )
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


def _distinct(sources: Sequence[Source]) -> None:
    """Refuses a sample that is given twice, also as a copy: it would count as two, and all intervals be too short."""
    sizes: dict[int, list[Source]] = {}
    for source in sources:
        sizes.setdefault(source.file.stat().st_size, []).append(source)
    for alike in sizes.values():
        seen: dict[str, Source] = {}
        for source in alike if len(alike) > 1 else ():
            first = seen.setdefault(sha256(source.file), source)
            if first is not source:
                raise ConfigError(
                    str(source.path), f"holds the same as {first.path}", "samples must be independent: give each once"
                )


def _ours(path: Path) -> bool:
    """Whether a file among images is one of this program's results."""
    return is_netcdf(path) and path.stem.endswith(("properties", "statistics"))


def _readable(sources: Sequence[Source]) -> None:
    """Raises for a NetCDF file that cannot be read, of which nobody knows what it holds."""
    for source in sources:
        if source.kind == "image" and is_netcdf(source.path):
            open_dataset(source.path).close()


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
