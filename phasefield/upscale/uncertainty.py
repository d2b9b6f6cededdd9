"""Uncertain constants carried to effective properties by further solves: Monte Carlo and polynomial chaos, with Sobol indices.

Samples are a scrambled Sobol sequence in Saltelli's arrangement (Comput. Phys. Commun. 145 (2002) 280), made and analysed by
SALib. Polynomial chaos is a least-squares fit of chaospy's polynomials, orthonormal under the constants' distributions, and its
Sobol indices come from Saltelli's samples of the polynomials. Every solve starts from the fields of the nearest one done.
Constants are independent of each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..homogenize.problem import Problem
from ..homogenize.propagation import Distribution, Propagation, first_order, quantities_of
from ..homogenize.properties import results_of
from ..homogenize.records import Record
from ..homogenize.result import Result
from ..homogenize.sensitivity import parameters
from ..mechanics.tensors import Array
from ..mechanics.uncertain import KINDS, Constant
from .extras import needed

#: Solves of Monte Carlo unless told; samples of the polynomials (a power of two) and of the bootstrap of Sobol indices.
_SOLVES, _POLYNOMIAL, _RESAMPLES = 256, 1024, 200
#: Bytes of fluctuations that are kept to start from.
_KEPT = 1 << 29
#: Relative difference of the standard uncertainty, and shift of the mean over it, beyond which first order is said to fail.
_DIFFERENT, _SHIFTED = 0.1, 0.25
#: Error of polynomials at points left out, over the standard uncertainty, that is told.
_POOR = 0.1
#: Standard uncertainties below this share of the largest output are rounding.
_ROUNDING = 1e-9


def propagate(
    problem: Problem, results: Sequence[Result], show: Callable[[str], None] | None = None
) -> dict[str, Propagation]:
    """Means, standard uncertainties and Sobol indices of the properties of a problem, by the method of its settings.

    Args:
        results: of the problem, with derivatives. show: is told how far it is.

    Raises:
        ConfigError: no constant has an uncertainty, too few samples, or a sample that no stable material has.
        PhasefieldError: chaospy or SALib is missing.
    """
    settings = problem.settings
    varied = {label: c for label, c in parameters(problem).items() if c.spread}
    if not varied:
        problem_ = f"is {settings.uncertainty}, but no constant of the material has an uncertainty"
        raise ConfigError("uncertainty", problem_, "write one as in E=70(2) GPa, or leave it out")
    needed("SALib", "chaospy")
    model = _Model(problem, results, varied, show)
    made = _by_polynomials(model) if settings.uncertainty == "pce" else _by_samples(model)
    return {r.name: _compared(made[r.name], r, parameters(problem)) for r in results}


def refine(record: Record, show: Callable[[str], None] | None = None) -> None:
    """Puts what `propagate` finds in the place of first order, in the results of a record; raises the same."""
    made = propagate(record.problem, record.results, show)
    for result in record.results:
        result.propagation = made[result.name]
        result.warnings += made[result.name].notes


class _Model:
    """Effective properties as a function of the constants that are uncertain."""

    def __init__(
        self,
        problem: Problem,
        results: Sequence[Result],
        varied: Mapping[str, Constant],
        show: Callable[[str], None] | None,
    ) -> None:
        self.varied, self.results, self.show = dict(varied), list(results), show
        plain: dict[str, Any] = {"two_grid": False, "mixing": False, "fields": False, "certify": False, "load": None}
        plain |= {"sensitivity": False, "uncertainty": "none", "boundary": problem.boundary}
        self.settings = problem.settings
        self._problem = replace(problem.with_material(problem.material), settings=replace(problem.settings, **plain))
        self._known: list[tuple[Array, dict[str, list[np.ndarray]]]] = []
        self.solves = 0
        self.groups = [kind for kind in KINDS if any(c.spread and c.spread.kind == kind for c in self.varied.values())]

    @property
    def dimension(self) -> int:
        return len(self.varied)

    def of_kind(self, kind: str) -> np.ndarray:
        return np.array([c.spread is not None and c.spread.kind == kind for c in self.varied.values()])

    def values(self, unit: Array) -> Array:
        """Constants (samples, parameters) for numbers between 0 and 1, by the inverses of their distributions."""
        return np.stack([_quantile(c, column) for c, column in zip(self.varied.values(), unit.T, strict=True)], axis=1)

    def __call__(self, unit: Array) -> Array:
        """All outputs, (samples, outputs), for samples (samples, parameters) between 0 and 1."""
        from scipy.stats import norm

        values, places = self.values(unit), norm.ppf(np.clip(unit, 1e-9, 1 - 1e-9))
        out: list[Array | None] = [None] * len(unit)
        left = list(range(len(unit)))
        here = np.zeros(self.dimension)
        while left:  # from each to the nearest, so that every start is close
            at = left.pop(int(np.linalg.norm(places[left] - here, axis=1).argmin()))
            here = places[at]
            out[at] = self._solve(values[at], here)
            if self.show:
                self.show(f"uncertainty: solve {self.solves}, {len(left)} to go")
        return np.array(out)

    def _solve(self, values: Array, place: Array) -> Array:
        given = dict(zip(self.varied, values.tolist(), strict=True))
        try:
            material = self._problem.material.with_constants(given)
        except ConfigError as error:
            where = ", ".join(f"{label} = {value:.4g}" for label, value in given.items())
            hint = "give smaller uncertainties, ranges {low: , high: }, or distribution: lognormal"
            raise ConfigError("uncertainty", f"the sample {where} is no stable material: {error}", hint) from error
        start: dict[str, list[np.ndarray]] = {}
        if self._known:
            start = min(self._known, key=lambda known: float(np.linalg.norm(known[0] - place)))[1]
        problem = self._problem.with_material(material)
        found = results_of(problem, start)
        kept = {r.name: r.fluctuations for r in found if r.fluctuations}
        self._known.append((place, kept))
        size = sum(f.nbytes for fields in kept.values() for f in fields)
        del self._known[: max(0, len(self._known) - max(1, _KEPT // max(1, size)))]
        self.solves += 1
        return np.concatenate([_outputs(like, r.tensor) for like, r in zip(self.results, found, strict=True)])


def _outputs(result: Result, tensor: Array) -> Array:
    """The upper triangle of a tensor and the quantities that it is told by."""
    return np.concatenate([tensor[np.triu_indices(len(tensor))], list(quantities_of(result, tensor).values())])


def _quantile(constant: Constant, unit: Array) -> Array:
    """The inverse of the distribution of a constant."""
    from scipy.stats import norm

    spread = constant.spread
    assert spread is not None
    if spread.distribution == "uniform":
        low, high = spread.interval(constant.value)
        return np.asarray(low + (high - low) * unit)
    if spread.distribution == "lognormal":
        sigma, mu = _lognormal(constant)
        return np.asarray(np.sign(constant.value) * np.exp(mu + sigma * norm.ppf(unit)))
    return np.asarray(constant.value + spread.std * norm.ppf(unit))


def _lognormal(constant: Constant) -> tuple[float, float]:
    """Standard deviation and mean of the logarithm."""
    assert constant.spread is not None
    if not constant.value:
        raise ConfigError("uncertainty", f"{constant.name} is 0, for which there is no lognormal distribution")
    sigma = math.sqrt(math.log1p((constant.spread.std / constant.value) ** 2))
    return sigma, math.log(abs(constant.value)) - sigma**2 / 2


def _saltelli(dimension: int, base: int, seed: int) -> Array:
    """Samples between 0 and 1, (base * (dimension + 2), dimension)."""
    from SALib.sample import sobol

    problem = {"num_vars": dimension, "names": [str(k) for k in range(dimension)], "bounds": [[0.0, 1.0]] * dimension}
    return np.asarray(sobol.sample(problem, base, calc_second_order=False, seed=seed))


def _indices(y: Array, dimension: int, seed: int) -> tuple[Array, Array, Array, Array]:
    """First and total Sobol indices of one output with the half widths of their intervals, each (dimension,)."""
    from SALib.analyze import sobol

    if not np.ptp(y) > 1e-9 * max(1e-300, float(np.abs(y).max())):
        return tuple(np.zeros(dimension) for _ in range(4))  # type: ignore[return-value]
    problem = {"num_vars": dimension, "names": [str(k) for k in range(dimension)], "bounds": [[0.0, 1.0]] * dimension}
    with np.errstate(all="ignore"):
        found = sobol.analyze(problem, y, calc_second_order=False, num_resamples=_RESAMPLES, seed=seed)
    return tuple(np.asarray(found[n]) for n in ("S1", "S1_conf", "ST", "ST_conf"))  # type: ignore[return-value]


@dataclass
class _Moments:
    """Of all outputs, (outputs,); parts by kind; indices (4, parameters, outputs); what of the variance parts were off by before
    they were cut to what is possible, if they are estimates.
    """

    mean: Array
    std: Array
    parts: dict[str, Array]
    indices: Array
    cut: Array | None = None


def _by_samples(model: _Model) -> dict[str, Propagation]:
    """Monte Carlo on Saltelli's samples; kinds apart by one block more, in which the epistemic constants alone are exchanged."""
    settings, d = model.settings, model.dimension
    wanted = settings.uncertainty_samples or _SOLVES
    mixed = len(model.groups) > 1
    base = 1 << int(math.log2(max(1, wanted // (d + 2 + mixed))))
    if base < 4:
        fewest = 4 * (d + 2 + mixed)
        raise ConfigError(
            "uncertainty_samples",
            f"is {wanted}; {d} uncertain constants take at least {fewest} solves",
            "or uncertainty=pce",
        )
    unit = _saltelli(d, base, settings.seed)
    blocks = unit.reshape(base, d + 2, d)
    first, second = blocks[:, 0], blocks[:, -1]
    if mixed:
        crossed = np.where(model.of_kind("epistemic"), second, first)
        unit = np.concatenate([unit, crossed])
    y = model(unit)
    table = y[: base * (d + 2)].reshape(base, d + 2, -1)
    own = np.concatenate([table[:, 0], table[:, -1]])
    std = own.std(axis=0, ddof=1)
    parts = {kind: std if kind in model.groups else np.zeros_like(std) for kind in KINDS}
    cut = np.zeros_like(std)
    if mixed:  # Saltelli's estimator of the variance of the mean for given epistemic constants
        # Its error is in proportion to the outputs: they are taken from their mean.
        share = ((table[:, -1] - own.mean(axis=0)) * (y[base * (d + 2) :] - table[:, 0])).mean(axis=0)
        kept = np.clip(share, 0.0, std**2)
        cut = np.divide(np.abs(share - kept), std**2, out=cut, where=std > _ROUNDING * np.abs(own).max())
        parts = {"epistemic": np.sqrt(kept), "aleatoric": np.sqrt(std**2 - kept)}
    indices = np.array([_indices(column, d, settings.seed) for column in y[: base * (d + 2)].T])
    moments = _Moments(own.mean(axis=0), std, parts, np.moveaxis(indices, 0, -1), cut)
    return _split(model, moments, replaced={"method": "montecarlo"}, error=1 / math.sqrt(2 * len(own)))


def _by_polynomials(model: _Model) -> dict[str, Propagation]:
    """Polynomial chaos by regression; means, variances and their parts come from the coefficients (Sudret, Reliab. Eng. Syst.
    Saf. 93 (2008) 964).
    """
    import chaospy
    from scipy.stats import qmc

    settings, d, order = model.settings, model.dimension, model.settings.uncertainty_order
    terms = math.comb(d + order, order)
    wanted = settings.uncertainty_samples or 2 * terms + 1
    if wanted < terms:
        problem = f"is {wanted}; polynomials of order {order} in {d} constants have {terms} coefficients"
        raise ConfigError("uncertainty_samples", problem, f"give at least {terms}, better {2 * terms}")
    # Standard variables: every distribution is a function of one of them, lognormal ones of a normal one.
    uniform = [c.spread is not None and c.spread.distribution == "uniform" for c in model.varied.values()]
    joint = chaospy.J(*(chaospy.Uniform(0, 1) if u else chaospy.Normal(0, 1) for u in uniform))

    def standard(unit: Array) -> Array:
        from scipy.stats import norm

        clipped = np.clip(unit, 1e-9, 1 - 1e-9)
        return np.where(uniform, unit, norm.ppf(clipped)).T

    unit = qmc.LatinHypercube(d, seed=settings.seed, optimization="random-cd").random(wanted)
    y = model(unit)
    basis = chaospy.generate_expansion(order, joint, normed=True)
    design = np.atleast_2d(basis(*standard(unit))).T
    coefficients, *_ = np.linalg.lstsq(design, y, rcond=None)
    variances = coefficients[1:] ** 2
    std = np.sqrt(variances.sum(axis=0))
    with np.errstate(invalid="ignore"):
        has_aleatoric = _exponents(basis, d)[1:][:, model.of_kind("aleatoric")].any(axis=1)
    parts = {
        "aleatoric": np.sqrt(variances[has_aleatoric].sum(axis=0)),
        "epistemic": np.sqrt(variances[~has_aleatoric].sum(axis=0)),
    }
    many = _saltelli(d, _POLYNOMIAL, settings.seed)
    sampled = np.atleast_2d(basis(*standard(many))).T @ coefficients
    indices = np.array([_indices(column, d, settings.seed) for column in sampled.T])
    moments = _Moments(coefficients[0], std, parts, np.moveaxis(indices, 0, -1))
    made = {"method": "pce", "order": order}
    return _split(model, moments, made, left_out=_left_out(design, y, coefficients, std))


def _exponents(basis: Any, dimension: int) -> np.ndarray:
    """Which variables every polynomial has, (terms, dimension)."""
    out = np.zeros((len(basis), dimension), bool)
    for k, polynomial in enumerate(basis):
        present = np.abs(np.asarray(polynomial.coefficients, float)) > 1e-12
        powers = np.asarray(polynomial.exponents)[present.ravel()].max(axis=0)
        names = [int(str(n)[1:]) for n in polynomial.names]
        out[k, names] = powers > 0
    return out


def _left_out(design: Array, y: Array, coefficients: Array, std: Array) -> Array:
    """Root mean square error at points left out of the fit, over the standard uncertainty, (outputs,)."""
    q, _ = np.linalg.qr(design)
    leverage = np.minimum((q**2).sum(axis=1), 1 - 1e-12)
    error = np.sqrt((((y - design @ coefficients) / (1 - leverage)[:, None]) ** 2).mean(axis=0))
    return np.divide(error, std, out=np.zeros_like(error), where=std > 1e-9 * np.abs(coefficients[0]).max())


def _split(
    model: _Model, moments: _Moments, replaced: dict[str, Any], error: float = math.nan, left_out: Array | None = None
) -> dict[str, Propagation]:
    """The outputs back as tensors and quantities, property by property."""
    out, at = {}, 0
    labels = list(parameters(model._problem))
    rows = [labels.index(label) for label in model.varied]
    for result in model.results:
        n = len(result.tensor)
        upper, names = np.triu_indices(n), list(quantities_of(result, result.tensor))
        where = np.arange(at, at + len(upper[0]))
        square = np.empty((n, n), int)
        square[upper] = square.T[upper] = where
        at += len(where)
        outputs = slice(at - len(where), at + len(names))

        def taken(places: Any) -> Distribution:
            indices = np.zeros((4, len(labels), *np.shape(places)))
            indices[:, rows] = moments.indices[:, :, places]
            return Distribution(
                moments.mean[places], moments.std[places], {k: v[places] for k, v in moments.parts.items()}, *indices
            )

        quantities = {name: taken(at + k) for k, name in enumerate(names)}
        own = error if left_out is None else float(left_out[at : at + len(names)].max())
        at += len(names)
        made = Propagation(tensor=taken(square), quantities=quantities, error=own, seed=model.settings.seed, **replaced)
        made.solves = model.solves
        if moments.cut is not None and (most := float(moments.cut[outputs].max())) > 0:
            made.notes.append(
                f"aleatoric and epistemic parts are known to no better than {100 * most:.2g} % of the variance: by so much the "
                "samples put one of them below zero, where it was cut; raise uncertainty_samples"
            )
        out[result.name] = made
    return out


def _compared(made: Propagation, result: Result, constants: Mapping[str, Constant]) -> Propagation:
    """With notes on where first order fails, and where the samples or polynomials do."""
    if made.method == "pce" and made.error > _POOR:
        made.notes.append(
            f"polynomials of order {made.order} miss points left out by {100 * made.error:.2g} % of the standard uncertainty: "
            "raise uncertainty_order or uncertainty_samples"
        )
    if result.sensitivity is None:
        return made
    linear = first_order(result, constants).quantities
    noise = 2 * made.error if made.method == "montecarlo" else 0.0
    for name, own in made.quantities.items():
        std, other = float(own.std), float(linear[name].std)
        if not std > 0:
            continue
        shift = (float(own.mean) - float(linear[name].mean)) / std
        off = other / std - 1
        mean_noise = 2 * made.error * math.sqrt(2.0) if made.method == "montecarlo" else 0.0
        if abs(off) > _DIFFERENT + noise or abs(shift) > _SHIFTED + mean_noise:
            made.notes.append(
                f"first order fails for {name}: its standard uncertainty is {100 * off:+.2g} % off, and the mean "
                f"{shift:+.2g} standard uncertainties from the value at the means of the constants"
            )
    return made
