"""What the terminal shows of a surrogate, a prediction and a check."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ...mechanics import tensors
from ...mechanics.tensors import Array
from ...units import scaled
from .checking import Checked
from .model import Surrogate
from .predicting import Answer
from .training import FEW


def percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def errors(surrogate: Surrogate) -> list[str]:
    """The held-out errors in two lines."""
    about = surrogate.about
    test = about["errors"]["test"]
    lines = [
        f"held-out error: median {percent(test['median'])}, p95 {percent(test['p95'])}, largest {percent(test['largest'])} of "
        f"the tensor's norm ({test['samples']} samples of {about['realisations']['test']} microstructures)"
    ]
    labels = about["components"]
    p95 = np.array(test["component_p95"])
    told = [(a, b) for a in range(len(labels)) for b in range(a, len(labels)) if p95[a, b] > 1e-9]
    listed = ", ".join(f"{labels[a]},{labels[b]} {percent(p95[a, b])}" for a, b in told)
    lines.append(f"  p95 per component, of the norm: {listed}")
    return lines


def card(surrogate: Surrogate) -> str:
    """What a surrogate is and how well it does."""
    about = surrogate.about
    lines = [
        f"surrogate of the effective {surrogate.prop.replace('_', ' ')}: two isotropic phases, {surrogate.dim} axes "
        f"({', '.join(about['shapes'])} voxels, voxel={about['voxel']}, boundary=periodic)",
        "trained with",
        *(f"  {name}: {low:.4g} to {high:.4g}" for name, (low, high) in surrogate.ranges.items()),
        f"{'part':<12}{'microstructures':>16}{'samples':>9}{'median':>10}{'p95':>10}{'largest':>10}",
    ]
    for name, e in about["errors"].items():
        row = "".join(f"{percent(e[k]):>10}" for k in ("median", "p95", "largest"))
        lines.append(f"{name:<12}{about['realisations'][name]:>16}{e['samples']:>9}{row}")
    lines += errors(surrogate)[1:]
    for third in about["by_contrast"]:
        lines.append(
            f"  test, contrast {third['from']:.3g} to {third['to']:.3g}: "
            f"median {percent(third['median'])}, p95 {percent(third['p95'])}"
        )
    lines.append(
        f"  {percent(about['coverage'])} of the test's components within two of the standard deviations that are told"
    )
    if about["errors"]["test"]["samples"] < FEW:
        lines.append(
            f"note: fewer than {FEW} test samples say little about a 95th percentile; train with more microstructures"
        )
    return "\n".join(lines)


def prediction(answer: Answer, target: Path | None) -> str:
    """The tensor with its uncertainty, and what it rests on."""
    p, surrogate = answer.prediction, answer.surrogate
    elastic = answer.query.order == 4
    unit = answer.problem.material.unit(surrogate.prop)
    values, std = (tensors.to_voigt(t) if elastic else t for t in (p.tensor, p.std))
    scale, name = scaled(unit, values)
    name = "units of the constants" if name == "1" else name
    names = answer.problem.names
    fraction = answer.query.moments.fraction
    lines = [
        f"{answer.source.name}: {'x'.join(map(str, answer.source.image.shape))} voxels, "
        f"{names[0]} {percent(1 - fraction)}, {names[1]} {percent(fraction)}; {answer.problem.material.name}",
        f"effective {surrogate.prop.replace('_', ' ')}, predicted, in {name}" + (" (Voigt form)" if elastic else ""),
        *_matrix(values / scale),
        "standard deviation, by the errors of the test part",
        *_matrix(std / scale),
    ]
    if elastic:
        moduli = tensors.isotropic_moduli(p.tensor)
        told = ", ".join(f"{k} {moduli[k] / scale:.4g}" for k in ("K", "G", "E"))
        lines.append(f"nearest isotropic: {told} {name}, nu {moduli['nu']:.3g}")
    lines += errors(surrogate)
    solve = surrogate.about.get("seconds", math.nan)
    took = (
        f"{1e3 * answer.seconds:.2g} ms with voxels and moments of the image, {1e3 * answer.of_process:.2g} ms without"
    )
    if math.isfinite(solve):
        ratios = f"{solve / answer.seconds:.3g} and {solve / answer.of_process:.3g} times as long"
        took += f"; solves of the training took {1e3 * solve:.3g} ms (median), {ratios}"
    lines.append(took)
    if p.outside:
        lines.append("warning: extrapolated, the errors above do not hold: " + "; ".join(p.outside))
    if target is not None:
        lines.append(f"{target}: tensor, standard deviation, bounds")
    return "\n".join(lines)


def checked(result: Checked) -> str:
    """Promises and errors."""
    p = result.promises
    lines = [card(result.surrogate), ""]
    lines.append(
        f"{p.queries} random queries, half of them beyond the training: {p.not_positive} not positive definite, "
        f"{p.beyond_voigt} above Voigt, {p.below_reuss} below Reuss; turned and mirrored images differ by {p.equivariance:.1e}"
    )
    lines += result.notes
    if result.seen:
        lines.append(f"{result.seen} of the microstructures given were trained with or tested on, and are left out")
    if result.scores is not None:
        s = result.scores.summary
        lines.append(
            f"new microstructures: median {percent(s['median'])}, p95 {percent(s['p95'])}, largest {percent(s['largest'])} "
            f"({s['samples']} samples)"
        )
    return "\n".join(lines)


def _matrix(values: Array) -> list[str]:
    return [
        "  " + "".join(f"{0.0 if abs(v) < 5e-7 * np.abs(values).max() else v:>11.4g}" for v in row) for row in values
    ]
