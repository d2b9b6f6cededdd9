"""From measured samples to the statistics of every property: by size and boundary condition, and what a wanted error takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..mechanics import tensors
from ..mechanics.phases import MaterialSystem
from ..mechanics.properties import PROPERTIES
from ..mechanics.tensors import Array
from ..units import quantity
from . import record_evidence
from .measuring import Measured, Values
from .record import Estimate as Part
from .samples import ORIGINAL
from .statistics import Estimate, Need, Scaling, enough, estimate, integral_range, need, scaling
from .statistics_settings import Request

#: Loewner differences below minus this are told: ten times the tolerance of the solver, as homogenize has it.
_SLACK = 10.0
#: Relative difference of numbers that are the same.
_ROUNDING = 1e-9
#: Correlation length over edge above which a sample is small.
_SMALL = 0.1


def scalars(tensor: Array, elastic: bool, axes: Sequence[int]) -> dict[str, float]:
    """Invariants that stand for a tensor: moduli of the nearest isotropic stiffness, in the plane of 2-D samples; else the mean
    of the principal values along the axes that anything varies along.
    """
    if not elastic:
        return {"mean": float(np.mean(np.diag(tensor)[list(axes)]))}
    if len(axes) == 2:
        order = (*axes, *({0, 1, 2} - set(axes)))  # the plane becomes xy
        pairs = [tuple(sorted((order[i], order[j]))) for i, j in tensors.PAIRS]
        turned = [tensors.PAIRS.index(p) for p in pairs]
        return tensors.plane_moduli(tensor[np.ix_(turned, turned)])
    if len(axes) == 3:
        return {k: v for k, v in tensors.isotropic_moduli(tensor).items() if k in ("K", "G")}
    return {"M": float(tensor[axes[0], axes[0]])}


@dataclass(frozen=True)
class AtSize:
    """Samples of one size.

    Attributes:
        edge: mean of their edges. tensor: of all components. scalar: of the invariants, in their order. others: means of the
            tensors under other boundary conditions and of the bounds, by name; other_scalars: their invariants.
        margin: the lowest Loewner difference of all samples; broken: names of samples that break the order.
        needs: of every invariant. gap: half of the difference between uniform strain and traction, relative, of every invariant.
        parts: standard uncertainties besides the scatter, means over the samples: ``numerical``, ``model``, ``parameter``.
        original: of those that reconstructions are compared with: how many, mean and standard deviation.
    """

    voxels: int
    edge: float
    tensor: Estimate
    scalar: Estimate
    others: dict[str, Array]
    other_scalars: dict[str, Array]
    margin: float
    broken: list[str]
    ratio: float
    needs: list[Need]
    gap: Array | None
    parts: dict[str, Part]
    original: tuple[int, Array, Array] | None = None


@dataclass(frozen=True)
class Property:
    """Statistics of one property.

    Attributes:
        names: of the invariants. fits: exponents of their variances. ranges: integral ranges, at the largest size.
    """

    name: str
    unit: str
    names: list[str]
    sizes: list[AtSize]
    fits: list[Scaling | None]
    ranges: list[float]

    @property
    def elastic(self) -> bool:
        return PROPERTIES[self.name].order == 4


@dataclass
class Summary:
    """All that came of the samples.

    Attributes:
        fractions: (sizes, phases), means. density: (sizes, 2), means and their standard uncertainties; NaN where not known.
        step: distance of windows, where some overlap. notes: warnings for the reader.
    """

    samples: list[Measured]
    properties: list[Property]
    sizes: list[int]
    phases: list[str]
    fractions: Array
    dim: int
    wanted: float
    density: Array
    step: int | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def own(self) -> list[Measured]:
        """The samples that the statistics are of, without the originals of reconstructions."""
        return [s for s in self.samples if not s.name.startswith(ORIGINAL)]

    @property
    def mismatch(self) -> dict[int, float]:
        """Mean mismatch of reconstructions by their edge in voxels; empty of other samples."""
        found: dict[int, list[float]] = {}
        for sample in self.samples:
            if np.isfinite(sample.mismatch):
                found.setdefault(sample.voxels, []).append(sample.mismatch)
        return {size: float(np.mean(values)) for size, values in found.items()}


def summarize(
    samples: Sequence[Measured], request: Request, system: MaterialSystem | None = None, step: int | None = None
) -> Summary:
    """The statistics of samples.

    Args:
        samples: with those whose names begin with `ORIGINAL`, which are compared with the others. system: their material, for the
            integral ranges; None if it is not known. step: distance in voxels, of samples that are windows of an image.

    Raises:
        ConfigError: samples that are not alike, or fewer than three of a size.
    """
    samples = [_in_unit_of(samples[0], sample) for sample in samples]
    _alike(samples)
    originals = [s for s in samples if s.name.startswith(ORIGINAL)]
    mine = [s for s in samples if not s.name.startswith(ORIGINAL)]
    if not mine:
        raise ConfigError("samples", f"there are originals alone; {samples[0].name} is one")
    sizes = sorted({s.voxels for s in mine})
    groups = [[s for s in mine if s.voxels == size] for size in sizes]
    for size, group in zip(sizes, groups, strict=True):
        enough(len(group), size)
    dim = mine[0].dim
    properties = []
    for name in mine[0].values:
        at = [_at_size(group, [o for o in originals if o.voxels == group[0].voxels], name, request) for group in groups]
        properties.append(_fitted(name, mine[0].values[name].unit, at, groups, dim, request, system))
    fractions = np.array([np.mean([s.fractions for s in group], axis=0) for group in groups])
    density = np.array([np.mean([s.density for s in group], axis=0) for group in groups])
    overlapping = step if step is not None and step < sizes[-1] else None
    out = Summary(
        list(samples), properties, sizes, mine[0].phases, fractions, dim, float(request.error), density, overlapping
    )
    out.notes = _notes(out, mine, request)
    return out


def _in_unit_of(first: Measured, sample: Measured) -> Measured:
    """A sample with its lengths in the unit of another's, where both are lengths."""
    theirs, unit = (str(s.facts.get("unit", "")) for s in (sample, first))
    try:
        factor = quantity(f"1 {theirs}", "m", "")[0] / quantity(f"1 {unit}", "m", "")[0] if theirs != unit else 1.0
    except ConfigError:  # a unit of something else: `_alike` says so
        return sample
    if factor == 1.0 or not theirs or not unit:
        return sample
    facts = {**sample.facts, "unit": unit, "spacing": [h * factor for h in sample.facts["spacing"]]}
    return replace(sample, edge=sample.edge * factor, length=sample.length * factor, facts=facts)


def _alike(samples: Sequence[Measured]) -> None:
    """Refuses samples whose properties do not belong together."""
    first = samples[0]
    for sample in samples[1:]:
        if sample.axes != first.axes:  # before the spacing, which has as many numbers
            raise ConfigError(sample.name, f"has other axes than {first.name}: {sample.axes} and {first.axes}")
        for name, value in first.facts.items():
            other = sample.facts.get(name)
            if not _equal(value, other):
                which = ""
                if isinstance(value, dict) and isinstance(other, dict):
                    names = [n for n in {**value, **other} if not _equal(value.get(n), other.get(n))]
                    which = f": {', '.join(names)}"
                told = which or f": {other or 'none'} and {value or 'none'}"
                raise ConfigError(
                    sample.name, f"differs from {first.name} in its {name}{told}",
                    "statistics need samples of one material, spacing and method",
                )  # fmt: skip
        for name, one, other in (
            ("phases", first.phases, sample.phases), ("properties", sorted(first.values), sorted(sample.values)),
        ):  # fmt: skip
            if one != other:
                raise ConfigError(sample.name, f"has other {name} than {first.name}: {other} and {one}")


def _equal(one: Any, other: Any) -> bool:
    """Whether two facts are the same, numbers but for rounding: relative to the largest of a tensor, whatever its unit."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(v, other[n]) for n, v in one.items())
    if not all(isinstance(each, list | float) for each in (one, other)):
        return bool(one == other)
    a, b = np.asarray(one, float), np.asarray(other, float)
    if a.shape != b.shape:
        return False
    scale = float(np.abs(np.concatenate([a[np.isfinite(a)], b[np.isfinite(b)]])).max(initial=0.0))
    return bool(np.allclose(a, b, rtol=0.0, atol=_ROUNDING * scale, equal_nan=True))


def _at_size(group: Sequence[Measured], originals: Sequence[Measured], name: str, request: Request) -> AtSize:
    elastic, axes = PROPERTIES[name].order == 4, group[0].axes

    def numbers(tensor: Array) -> list[float]:
        return list(scalars(tensor, elastic, axes).values())

    values = [s.values[name] for s in group]
    stack = np.stack([v.tensor for v in values])
    made = estimate(stack, request.confidence, request.resamples, request.seed)
    scalar = estimate(np.array([numbers(t) for t in stack]), request.confidence, request.resamples, request.seed)
    others: dict[str, Array] = {}
    for other in ("reuss", "static", "kinematic", "voigt"):
        found = [v.others[other] for v in values if other in v.others]
        if len(found) == len(values):
            others[other] = np.mean(found, axis=0)
    other_scalars = {n: np.array(numbers(t)) for n, t in others.items()}
    gap = None
    if {"static", "kinematic"} <= set(other_scalars):
        gap = (other_scalars["kinematic"] - other_scalars["static"]) / (2 * np.abs(scalar.mean))
    allowed = max(request.solver.tolerance * _SLACK, 1e-6)
    broken = [
        s.name
        for s, v in zip(group, values, strict=True)
        if v.margin < -allowed - 2 * v.parts.get("discretisation", 0.0)
    ]
    original = None
    if originals:
        theirs = np.stack([o.values[name].tensor for o in originals])
        spread = theirs.std(axis=0, ddof=1) if len(theirs) > 1 else np.full(theirs.shape[1:], np.nan)
        original = (len(theirs), theirs.mean(axis=0), spread)
    ratios = [s.ratio for s in group if np.isfinite(s.ratio)]
    return AtSize(
        group[0].voxels, float(np.mean([s.edge for s in group])), made, scalar, others, other_scalars,
        float(np.nanmin([v.margin for v in values])) if np.isfinite([v.margin for v in values]).any() else math.nan, broken,
        float(np.mean(ratios)) if ratios else math.nan, [], gap, _parts(values, name), original,
    )  # fmt: skip


def _parts(values: Sequence[Values], name: str) -> dict[str, Part]:
    """Standard uncertainties besides the scatter, where they are known of every sample: means, for they are common to all."""
    found: dict[str, list[Part | None]] = {"numerical": [], "model": [], "parameter": []}
    for v in values:
        if PROPERTIES[name].positive:  # of stress-free strains no energy is estimated
            faces = v.others.get("kinematic"), v.others.get("static")
            found["numerical"].append(record_evidence.numerical(v.tensor, v.parts, v.tolerance))
            found["model"].append(record_evidence.model(v.tensor, v.parts, *faces, sharp=v.sharp))
        constants = ("constants of the phases",)
        own = None if v.parameter_std is None else Part(v.parameter_std, constants, tuple(v.unknown))
        found["parameter"].append(own)
    out = {}
    for part, each in found.items():
        known = [p for p in each if p is not None]
        if known and len(known) == len(values):
            lacks = tuple(dict.fromkeys(n for p in known for n in p.lacks))
            contains = tuple(dict.fromkeys(n for p in known for n in p.contains if n not in lacks))
            out[part] = Part(np.mean([p.std for p in known], axis=0), contains, lacks)
    return out


def _fitted(
    name: str, unit: str, at: list[AtSize], groups: Sequence[Sequence[Measured]], dim: int, request: Request,
    system: MaterialSystem | None,
) -> Property:  # fmt: skip
    """Exponents, integral ranges and what a wanted error takes."""
    axes = groups[0][0].axes
    names = list(scalars(at[0].tensor.mean, PROPERTIES[name].order == 4, axes))
    edges, counts = [a.edge for a in at], [a.tensor.samples for a in at]
    fits = [
        scaling(edges, [float(a.scalar.std[k]) ** 2 for a in at], counts, request.confidence) for k in range(len(names))
    ]
    sheet = request.plane == "stress" and groups[0][0].facts.get("axes") == 2
    points = _point_variances(name, axes, groups[-1], system, sheet)
    last = at[-1]
    ranges = [integral_range(float(last.scalar.std[k]) ** 2, last.edge, dim, points[k]) for k in range(len(names))]
    made = []
    for a in at:
        needs = []
        for k in range(len(names)):
            fit = fits[k]
            exponent = float(dim) if fit is None or fit.includes(dim) or fit.exponent <= 0 else fit.exponent
            bias = float(a.gap[k]) if a.gap is not None else _bias(a, last, k, request.interval)
            needs.append(
                need(
                    float(a.scalar.mean[k]),
                    float(a.scalar.std[k]),
                    a.edge,
                    float(request.error),
                    exponent,
                    bias,
                    request.confidence,
                )
            )
        made.append(AtSize(**{**vars(a), "needs": needs}))
    return Property(name, unit, names, made, fits, ranges)


def _bias(a: AtSize, last: AtSize, k: int, kind: str) -> float:
    """Relative difference of a size's mean to that of the largest, where their intervals are apart."""
    (low, high), (least, most) = a.scalar.interval(kind), last.scalar.interval(kind)
    apart = low[k] > most[k] or high[k] < least[k]
    return float(a.scalar.mean[k] / last.scalar.mean[k] - 1) if apart else 0.0


def _point_variances(
    name: str, axes: Sequence[int], group: Sequence[Measured], system: MaterialSystem | None, sheet: bool
) -> list[float]:
    """Variance of the invariants from point to point of the material; NaN where a phase has none.

    Args:
        sheet: the samples are under plane stress, so that stiffnesses are those of the sheet, as they are mixed.
    """
    elastic = PROPERTIES[name].order == 4
    size = 6 if elastic else 3
    unknown = [math.nan] * len(scalars(np.eye(size), elastic, axes))
    if system is None or name not in system.phases[0].values:
        return unknown
    shares = np.mean([s.fractions for s in group], axis=0)
    found = []
    for phase in system.phases:
        if name not in phase.values or not np.isfinite(phase.values[name]).all():
            return unknown
        value = phase.tensor(name)
        tensor = np.zeros((size, size)) if isinstance(value, float) else np.asarray(value, float)
        if sheet and elastic:
            tensor = tensors.embed_plane(tensors.plane_stress(tensor))
        found.append(list(scalars(tensor, elastic, axes).values()))
    table = np.array(found)
    return list(shares @ table**2 - (shares @ table) ** 2)


def _notes(out: Summary, mine: Sequence[Measured], request: Request) -> list[str]:
    notes = []
    for prop in out.properties:
        for name, fit in zip(prop.names, prop.fits, strict=True):
            if fit is not None and not fit.includes(out.dim):
                notes.append(
                    f"the variance of {prop.name} {name} goes as L^-a with a = {fit.exponent:.2f} "
                    f"({fit.low:.2f} to {fit.high:.2f}), not yet {out.dim}: "
                    "the samples are not many correlation lengths wide; sizes that follow are rough"
                )
        broken = [n for a in prop.sizes for n in a.broken]
        if broken:
            more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
            notes.append(
                f"the order of bounds and boundary conditions of {prop.name} is violated in {', '.join(broken[:3])}{more}"
            )
    ratios = [s for s in mine if s.ratio > _SMALL]
    if ratios:
        worst = max(ratios, key=lambda s: s.ratio)
        notes.append(
            f"{len(ratios)} of {len(mine)} samples are small, l/L > {_SMALL:g}; the smallest has l/L = {worst.ratio:.2g}"
        )
    if np.isnan([s.ratio for s in mine]).any():
        notes.append(
            f"{int(np.isnan([s.ratio for s in mine]).sum())} samples have no correlation length: they hold one phase alone"
        )
    if out.step is not None:
        notes.append(
            f"windows overlap (distances of {out.step} voxels) and are not independent: intervals, the exponent's too, are too "
            "short, as if there were more samples; those of an image are no more than the windows that fit beside each other"
        )
    if any(s.name.startswith(ORIGINAL) for s in out.samples):
        notes.append(
            "reconstructions share the volume fraction and the two-point function: their scatter is less than that of "
            "samples, and what else the microstructure is (connectivity) is not in them"
        )
    small = [a for a in out.properties[0].sizes if a.tensor.samples < 10]
    if small and request.interval == "bca":
        notes.append("bootstrap intervals of fewer than 10 samples are too short; take interval=t")
    counts: dict[str, int] = {}
    for sample in mine:
        for warning in sample.warnings:
            counts[warning] = counts.get(warning, 0) + 1
    notes += [f"{w} ({n} of {len(mine)} samples)" for w, n in list(counts.items())[:6]]
    return notes
