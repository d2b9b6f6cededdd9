"""The results in words and numbers for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np

from ..mechanics import tensors
from ..mechanics.properties import PROPERTIES
from ..mechanics.tensors import Array
from ..units import scaled
from .dataset import mandel_factor
from .parameters import parameter_lines
from .problem import Problem
from .records import Record
from .result import Result

_WIDTH = 80
_BOUNDARIES = {
    "kinematic": "uniform strain or gradient on the faces (KUBC)",
    "static": "uniform traction or flux on the faces (TUBC)",
}


def wrapped(head: str, text: str, indent: int = 0) -> str:
    """``head: text`` within the width of a terminal, what follows the first line set in."""
    return textwrap.fill(
        f"{head}: {text}", _WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def table(records: list[Record]) -> str:
    """The results in words and numbers for a terminal."""
    out = []
    problem = records[-1].problem
    image, system = problem.image, problem.material
    size = " x ".join(map(str, image.shape))
    shares = records[-1].fractions
    numbers = problem.assignment.phase
    sums = np.bincount(numbers, shares, minlength=len(system.phases))
    listed = ", ".join(f"{system.phases[k].name} {100 * sums[k]:.4g} %" for k in dict.fromkeys(numbers))
    more = f" in {len(shares)} grains" if len(set(numbers)) < len(shares) else ""
    head = [wrapped(image.source, f"{size} voxels; {listed}{more}")]
    out.append("\n".join([*head, *(wrapped(what, text, 2) for what, text in image.taken)]))
    if len(records) > 1:
        out.append(_series(records))
    results = records[-1].results
    shared = [w for w in results[0].warnings if len(results) > 1 and all(w in r.warnings for r in results)]
    for result in results:
        out.append(_block(result, problem, shared))
    if shared:
        out.append("\n".join(wrapped("note", note) for note in shared))
    return "\n\n".join(out)


def rows_of(tensor: Array, components: Sequence[int]) -> list[str]:
    """A tensor, its components named; those that were not computed are left out."""
    elastic = tensor.shape == (6, 6)
    values = tensors.to_voigt(tensor) if elastic else tensor
    names = tensors.NAMES if elastic else tensors.AXES
    kept = list(components) or list(range(len(names)))
    floor = 1e-9 * float(np.nanmax(np.abs(values)))
    lines = ["      " + "".join(f"{names[k]:>12}" for k in kept)]
    for k in kept:
        lines.append(f"  {names[k]:<4}" + "".join(f"{0.0 if abs(v) < floor else v:>12.5g}" for v in values[k, kept]))
    return lines


def _block(result: Result, problem: Problem, elsewhere: Sequence[str]) -> str:
    image, united = problem.image, problem.material.united
    factor, unit = scaled(result.unit, result.tensor)
    when = f" at time {image.time:g}" if image.time is not None else ""
    lines = [f"{result.name.replace('_', ' ')}{when}" + (f" [{unit}]" if unit != "1" else "")]
    lines += rows_of(result.tensor / factor, result.components)
    unit = "" if unit == "1" else f" {unit}"
    if result.moduli:
        m = result.moduli
        parts = [f"{n} = {m[n] / factor:.5g}{unit}" for n in ("K", "G", "E")]
        lines.append(wrapped("nearest isotropic", ", ".join([*parts, f"nu = {m['nu']:.4g}"]), 2))
    if "K_plane" in result.moduli:
        pair = ", ".join(f"{n} = {result.moduli[n] / factor:.5g}{unit}" for n in ("K_plane", "G_plane"))
        lines.append(f"  plane strain, nearest isotropic: {pair}")
    e = result.evidence
    if "distance_isotropic" in e:
        cubic = f", to cubic {100 * e['distance_cubic']:.2g} %" if "distance_cubic" in e else ""
        lines.append(f"  distance to isotropic {100 * e['distance_isotropic']:.2g} %{cubic}")
    parts = []
    if "discretisation" in e:
        parts.append(f"voxel size {100 * e['discretisation']:.2g} %")
    if "mixing_spread" in e:
        spread = e["mixing_spread"]
        text = "not applicable" if np.isnan(spread) else f"(spread to naive) {100 * spread:.2g} %"
        parts.append(f"mixing rule {text}")
    if "scale_ratio" in e:
        parts.append(f"cell l/L = {e['scale_ratio']:.2g}")
    if "certified_gap" in e:
        parts.append(f"certified bounds of the voxel image {100 * e['certified_gap']:.2g} % apart")
    if parts:
        lines.append(wrapped("uncertainty", ", ".join(parts), 2))
    checks = [f"Hill-Mandel {e['hill_mandel']:.1e}"]
    if "asymmetry" in e:
        checks.append(f"asymmetry {e['asymmetry']:.1e}")
    if "voigt_margin" in e:
        good = min(e["voigt_margin"], e["reuss_margin"]) > -max(1e-6, e.get("discretisation", 0.0))
        checks.append("Reuss <= C <= Voigt" if good else "outside Reuss and Voigt")
    if "margin_static_reuss" in e:
        chain = min(v for n, v in e.items() if n.startswith("margin_"))
        checks.append(
            "Reuss <= TUBC <= PBC <= KUBC <= Voigt" if chain > -1e-6 else "order of boundary conditions violated"
        )
    if "levin" in e:
        checks.append(f"Levin {e['levin']:.1e}")
    checks.append(f"iterations {' '.join(map(str, result.iterations))} ({result.preconditioner})")
    lines.append(wrapped("checks", ", ".join(checks), 2))
    for name, (low, high) in result.bounds.items():
        text = f"{low / factor:.5g} to {high / factor:.5g}{unit}, if arranged isotropically"
        lines.append(wrapped(f"Hashin-Shtrikman {name}", text, 2))
    lines += _parameter_lines(result, problem, factor, unit)
    if result.mean is not None:
        lines += _load_lines(result, united)
    lines += _boundary_lines(result, factor)
    lines += [wrapped("note", warning, 2) for warning in result.warnings if warning not in elsewhere]
    return "\n".join(lines)


def _parameter_lines(result: Result, problem: Problem, factor: float, unit: str) -> list[str]:
    """What is told of uncertain constants, set in."""
    told = parameter_lines(result, problem, factor, unit)
    parts = [line.partition(": ") for line in told[1:]]
    return [f"  {line}" for line in told[:1]] + [wrapped(a, b, 4) if sep else f"    {a}" for a, sep, b in parts]


def _boundary_lines(result: Result, factor: float) -> list[str]:
    """The tensors under other boundary conditions."""
    lines = []
    for name, title in _BOUNDARIES.items():
        if name in result.boundary:
            lines += [f"  {title}:", *rows_of(result.boundary[name] / factor, result.faces)]
    if "boundary_gap" in result.evidence:
        lines.append(f"  gap between the two: {100 * result.evidence['boundary_gap']:.3g} % of the energy")
    return lines


def _load_lines(result: Result, united: bool) -> list[str]:
    """Mean gradient and flux under the load, with units where the material has them."""
    prop = PROPERTIES[result.name]
    assert result.mean is not None
    lines = ["  under the load" + (" (engineering shear strains)" if prop.order == 4 else "") + ":"]
    for name, unit, values in zip(
        (prop.gradient, prop.flux), prop.units, (result.mean.gradient, result.mean.flux), strict=True
    ):
        shown = values * mandel_factor(name, len(values))
        factor, label = scaled(unit, shown) if united else (1.0, "1")
        floor = 1e-9 * float(np.nanmax(np.abs(shown)))
        labels = tensors.NAMES if len(values) == 6 else tensors.AXES
        numbers = [
            f"{n} {0.0 if abs(v) < floor else v / factor:.5g}" for n, v in zip(labels, shown, strict=True) if v == v
        ]
        text = f"{', '.join(numbers)}" + (f" {label}" if label != "1" else "")
        lines.append(wrapped(name.replace("_", " "), text, 4))
    return lines


def _series(records: list[Record]) -> str:
    """Main numbers over time, in as many tables as the width needs."""
    times = ["time", *(f"{r.image.time or 0:g}" for r in records)]
    columns: list[list[str]] = []
    for k, result in enumerate(records[0].results):
        series = [r.results[k] for r in records]
        factor, unit = scaled(result.unit, result.tensor)
        for number, key in enumerate(("K", "G") if result.moduli else ("xx", "yy", "zz")):
            head = key if result.moduli else f"{result.name} {key}"
            values = [r.moduli[key] if result.moduli else r.tensor[number, number] for r in series]
            shown = f"{head} [{unit}]" if unit != "1" else head
            if not result.components or number in result.components:
                columns.append([shown, *(f"{v / factor:.5g}" for v in values)])
    groups: list[list[list[str]]] = []
    for column in columns:
        if not groups or sum(max(map(len, c)) + 2 for c in (*groups[-1], column)) > _WIDTH + 2:
            groups.append([times])
        groups[-1].append(column)
    return "\n\n".join(_columns(group) for group in groups)


def _columns(columns: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in columns]
    return "\n".join(
        "  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in zip(*columns, strict=True)
    )
