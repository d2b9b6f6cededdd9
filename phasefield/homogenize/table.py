"""The results in words and numbers for a terminal."""

from __future__ import annotations

import textwrap

import numpy as np

from . import tensors
from .dataset import mandel_factor
from .image import Image
from .materials import PROPERTIES, MaterialSystem
from .properties import Result
from .records import Record
from .tensors import Array

_SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"))


def _scaled(unit: str, values: Array) -> tuple[float, str]:
    """A factor and a unit that make the largest value a number between 1 and 1000."""
    if unit not in ("Pa", "S/m"):
        return 1.0, unit
    largest = float(np.abs(values).max())
    for factor, prefix in _SCALES:
        if largest >= factor:
            return factor, prefix + unit
    return 1.0, unit


_WIDTH = 80


def wrapped(head: str, text: str, indent: int = 0) -> str:
    """``head: text`` within the width of a terminal, what follows the first line set in."""
    return textwrap.fill(
        f"{head}: {text}", _WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def table(records: list[Record], system: MaterialSystem) -> str:
    """The results in words and numbers for a terminal."""
    out = []
    image = records[-1].image
    size = " x ".join(map(str, image.shape))
    shares = records[-1].fractions
    numbers = records[-1].phases
    sums = np.bincount(numbers, shares, minlength=len(system.phases))
    listed = ", ".join(f"{system.phases[k].name} {100 * sums[k]:.4g} %" for k in dict.fromkeys(numbers))
    more = f" in {len(shares)} grains" if len(set(numbers)) < len(shares) else ""
    out.append(f"{image.source}: {size} voxels; {listed}{more}")
    if len(records) > 1:
        out.append(_series(records))
    for result in records[-1].results:
        out.append(_block(result, records[-1].image))
    return "\n\n".join(out)


def _block(result: Result, image: Image) -> str:
    factor, unit = _scaled(result.unit, result.tensor)
    when = f" at time {image.time:g}" if image.time is not None else ""
    lines = [f"{result.name.replace('_', ' ')}{when}" + (f" [{unit}]" if unit != "1" else "")]
    if result.tensor.shape == (6, 6):
        values, labels = tensors.to_voigt(result.tensor) / factor, list(tensors.NAMES)
    else:
        values, labels = result.tensor / factor, list(tensors.AXES)
    floor = 1e-9 * float(np.abs(values).max())
    lines.append("      " + "".join(f"{label:>12}" for label in labels))
    for label, row in zip(labels, values, strict=True):
        lines.append(f"  {label:<4}" + "".join(f"{0.0 if abs(v) < floor else v:>12.5g}" for v in row))
    if result.moduli:
        m = result.moduli
        lines.append(
            "  nearest isotropic: "
            + ", ".join(f"{n} = {m[n] / factor:.5g} {unit}" for n in ("K", "G", "E"))
            + f", nu = {m['nu']:.4g}"
        )
    if "K_plane" in result.moduli:
        pair = ", ".join(f"{n} = {result.moduli[n] / factor:.5g} {unit}" for n in ("K_plane", "G_plane"))
        lines.append(f"  plane strain, nearest isotropic: {pair}")
    e = result.evidence
    if "distance_isotropic" in e:
        cubic = f", to cubic {100 * e['distance_cubic']:.2g} %" if "distance_cubic" in e else ""
        lines.append(f"  distance to isotropic {100 * e['distance_isotropic']:.2g} %{cubic}")
    parts = []
    if "discretisation" in e:
        parts.append(f"voxel size {100 * e['discretisation']:.2g} %")
    if "mixing_spread" in e:
        parts.append(f"mixing rule (spread to naive) {100 * e['mixing_spread']:.2g} %")
    if "scale_ratio" in e:
        parts.append(f"cell l/L = {e['scale_ratio']:.2g}")
    if parts:
        lines.append("  uncertainty: " + ", ".join(parts))
    checks = [f"Hill-Mandel {e['hill_mandel']:.1e}"]
    if "asymmetry" in e:
        checks.append(f"asymmetry {e['asymmetry']:.1e}")
    if "voigt_margin" in e:
        good = min(e["voigt_margin"], e["reuss_margin"]) > -1e-6
        checks.append("Reuss <= C <= Voigt" if good else "outside Reuss and Voigt")
    if "margin_static_reuss" in e:
        chain = min(v for n, v in e.items() if n.startswith("margin_"))
        checks.append(
            "Reuss <= TUBC <= PBC <= KUBC <= Voigt" if chain > -1e-6 else "order of boundary conditions violated"
        )
    if "levin" in e:
        checks.append(f"Levin {e['levin']:.1e}")
    checks.append(f"iterations {' '.join(map(str, result.iterations))} ({result.preconditioner})")
    lines.append("  checks: " + ", ".join(checks))
    for name, (low, high) in result.bounds.items():
        lines.append(
            f"  Hashin-Shtrikman {name}: {low / factor:.5g} to {high / factor:.5g} {unit}, if arranged isotropically"
        )
    if result.mean is not None:
        lines += _load_lines(result)
    lines += [f"  note: {warning}" for warning in result.warnings]
    return "\n".join(lines)


def _load_lines(result: Result) -> list[str]:
    """Mean gradient and flux under the load."""
    prop = PROPERTIES[result.name]
    assert result.mean is not None
    lines = ["  under the load" + (" (engineering shear strains)" if prop.order == 4 else "") + ":"]
    for name, unit, values in zip(
        (prop.gradient, prop.flux), prop.units, (result.mean.gradient, result.mean.flux), strict=True
    ):
        shown = values * mandel_factor(name, len(values))
        factor, scaled = _scaled(unit, shown[np.isfinite(shown)]) if result.unit != "1" else (1.0, "1")
        floor = 1e-9 * float(np.nanmax(np.abs(shown)))
        labels = tensors.NAMES if len(values) == 6 else tensors.AXES
        numbers = [
            f"{n} {0.0 if abs(v) < floor else v / factor:.5g}" for n, v in zip(labels, shown, strict=True) if v == v
        ]
        lines.append(f"    {name.replace('_', ' ')} {', '.join(numbers)}" + (f" {scaled}" if scaled != "1" else ""))
    return lines


def _series(records: list[Record]) -> str:
    heads, rows = ["time"], [[f"{r.image.time or 0:g}"] for r in records]
    for k, result in enumerate(records[0].results):
        keys = ("K", "G") if result.moduli else ("xx", "yy", "zz")
        factor, unit = _scaled(result.unit, result.tensor)
        for key in keys:
            heads.append(f"{key if result.moduli else result.name + ' ' + key} [{unit}]")
            for row, record in zip(rows, records, strict=True):
                r = record.results[k]
                value = (
                    r.moduli[key]
                    if result.moduli
                    else r.tensor[("xx", "yy", "zz").index(key),][("xx", "yy", "zz").index(key)]
                )
                row.append(f"{value / factor:.5g}")
    widths = [max(len(h), *(len(row[i]) for row in rows)) for i, h in enumerate(heads)]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in [heads, *rows])
