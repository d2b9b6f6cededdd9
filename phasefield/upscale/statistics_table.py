"""Statistics in words and numbers for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..homogenize.table import rows_of, wrapped
from ..mechanics import tensors
from ..units import scaled
from .statistics_summary import AtSize, Property, Summary


def table(summary: Summary) -> str:
    """The results in words and numbers for a terminal."""
    mine = summary.own
    shares = ", ".join(f"{n} {100 * f:.4g} %" for n, f in zip(summary.phases, summary.fractions[-1], strict=True))
    counts = [sum(s.voxels == v for s in mine) for v in summary.sizes]
    listed = ", ".join(f"{n} of {v} voxels" for n, v in zip(counts, summary.sizes, strict=True))
    out = [f"{wrapped('samples', listed)}\n{wrapped('phases', shares, 2)}\n{wrapped('boundary', mine[0].boundary, 2)}"]
    for prop in summary.properties:
        out.append(_block(prop, summary))
    if mismatch := summary.mismatch:
        text = ", ".join(f"{m:.2g} (edge {size})" for size, m in sorted(mismatch.items()))
        out.append(wrapped("mismatch of the two-point functions, root mean square of the normalised covariance", text))
    if summary.notes:
        out.append("\n".join(wrapped("note", note) for note in summary.notes))
    return "\n\n".join(out)


def _block(prop: Property, summary: Summary) -> str:
    last = prop.sizes[-1]
    factor, unit = scaled(prop.unit, last.tensor.mean)
    shown = f" [{unit}]" if unit != "1" else ""
    known = [k for k in range(len(last.tensor.mean)) if np.isfinite(last.tensor.mean[k, k])]
    many = f"{last.tensor.samples} samples of {last.voxels} voxels"
    lines = [f"{prop.name.replace('_', ' ')}{shown}, mean of {many}"]
    lines += rows_of(last.tensor.mean / factor, known)
    low, high = last.tensor.t
    lines.append("  half width of its confidence interval (t)")
    lines += rows_of((high - low) / 2 / factor, known)
    lines.append("")
    lines += _columns(prop, factor, unit)
    lines.append("")
    if last.original is not None:
        lines += _originals(prop, factor)
    lines += [wrapped(*line, 2) for line in _sentences(prop, summary)]
    return "\n".join(lines)


def _columns(prop: Property, factor: float, unit: str) -> list[str]:
    """A table of the invariants over the size."""
    bounded = [n for n in ("static", "kinematic") if all(n in a.others for a in prop.sizes)]
    titles = {"static": "TUBC", "kinematic": "KUBC"}
    out = []
    for k, name in enumerate(prop.names):
        head = [
            "voxels",
            "samples",
            name + (f" [{unit}]" if unit != "1" else ""),
            "+-",
            "std %",
            *(titles[n] for n in bounded),
            "l/L",
            "one +- %",
            "needed",
        ]
        rows = [head]
        for a in prop.sizes:
            low, high = a.scalar.t
            mean = float(a.scalar.mean[k])
            need = a.needs[k]
            rows.append([
                str(a.voxels), str(a.tensor.samples), f"{mean / factor:.5g}", f"{(high[k] - low[k]) / 2 / factor:.2g}",
                _percent(float(a.scalar.std[k]) / abs(mean) if mean else math.nan),
                *(f"{a.other_scalars[n][k] / factor:.5g}" for n in bounded),
                "-" if math.isnan(a.ratio) else f"{a.ratio:.2g}", _percent(need.error), _count(need.samples),
            ])  # fmt: skip
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        out += ["  " + "  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    return out


def _count(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0f}"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.2g}"


def _originals(prop: Property, factor: float) -> list[str]:
    """What the originals of reconstructions have."""
    lines = []
    for a in prop.sizes:
        if a.original is None:
            continue
        count, mean, _std = a.original
        names = tensors.NAMES if prop.elastic else tensors.AXES
        known = [k for k in range(len(mean)) if np.isfinite(mean[k, k]) and np.isfinite(a.tensor.mean[k, k])]
        parts = [
            f"{names[k]}{names[k]} {mean[k, k] / factor:.5g} ({100 * (a.tensor.mean[k, k] / mean[k, k] - 1):+.2g} %)"
            for k in known
        ]
        many = f"{count} original" + ("s" if count > 1 else "")
        lines.append(wrapped(f"{many} of {a.voxels} voxels (reconstructions are off by)", ", ".join(parts), 2))
    return lines


def _sentences(prop: Property, summary: Summary) -> list[tuple[str, str]]:
    out = []
    for name, fit in zip(prop.names, prop.fits, strict=True):
        if fit is not None:
            kept = f"holds d = {summary.dim}" if fit.includes(summary.dim) else f"is not d = {summary.dim} yet"
            out.append(
                (
                    f"Var({name}) ~ L^-a",
                    f"a = {fit.exponent:.2f} ({fit.low:.2f} to {fit.high:.2f}, which {kept})",
                )
            )
    found = [f"{n} {r:.4g}" for n, r in zip(prop.names, prop.ranges, strict=True) if np.isfinite(r)]
    if found:
        out.append(("integral range", f"{', '.join(found)} (edge of the samples {prop.sizes[-1].edge:.4g})"))
    if (sentence := _representative(prop.sizes, prop.names, summary.wanted)) is not None:
        out.append(sentence)
    margins = [a.margin for a in prop.sizes if np.isfinite(a.margin)]
    if margins:
        broken = sum(len(a.broken) for a in prop.sizes)
        whole = all("kinematic" in a.others for a in prop.sizes)
        order = "Reuss <= TUBC <= PBC <= KUBC <= Voigt" if whole else "Reuss <= C <= Voigt"
        held = "holds for every sample" if not broken else f"is violated by {broken} samples"
        out.append((order, f"{held} (lowest margin {min(margins):.1e})"))
    return out


def _representative(sizes: Sequence[AtSize], names: Sequence[str], wanted: float) -> tuple[str, str] | None:
    """Whether a sample is representative, and what would be."""
    head = f"for an error of {100 * wanted:g} %"
    single = [a for a in sizes if all(n.single for n in a.needs)]
    if single:
        return head, f"one sample of {single[0].voxels} voxels is representative"
    last = sizes[-1]
    worst = max(range(len(names)), key=lambda k: last.needs[k].error if np.isfinite(last.needs[k].error) else -1.0)
    need = last.needs[worst]
    if not np.isfinite(need.error):
        return None
    biased = last.gap is not None and float(np.max(np.abs(last.gap))) > wanted
    edge = math.ceil(last.voxels * need.size / last.edge) if np.isfinite(need.size) else None
    larger = f" or one of about {edge} voxels" if edge is not None and edge > last.voxels else ""
    text = (
        f"no sample is representative; {need.samples:.0f} of {last.voxels} voxels would do{larger} (by {names[worst]})"
    )
    if biased and last.gap is not None:
        most = f"{100 * float(np.max(last.gap)):.2g} %"
        text += f", but the boundary condition alone may be off by {most}, which only larger samples cure"
    return head, text
