"""A Gaussian process: scikit-learn finds it, numpy evaluates it from stored arrays.

Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), ch. 2 and 4: Matern's kernel of order 5/2 with a length
for each input, shared by all outputs, and noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...mechanics.tensors import Array
from ..extras import needed

#: Samples that lengths are found from, and steps of the search.
_FEW, _STEPS = 300, 40
_FIVE = np.sqrt(5.0)


@dataclass(frozen=True)
class Process:
    """What has been learnt.

    Attributes:
        centre, spread: of the inputs, (d,). points: training inputs in these units, over their lengths, (samples, d).
        lengths: (d,). amplitude: variance of the kernel. noise: variance per sample and output, (samples, outputs).
        offset, unit: of the outputs, (outputs,). weights: (samples, outputs).
    """

    centre: Array
    spread: Array
    lengths: Array
    points: Array
    amplitude: float
    noise: Array
    offset: Array
    unit: Array
    weights: Array

    def mean(self, inputs: Array) -> Array:
        """Of the outputs at inputs (..., d)."""
        return np.asarray(self._kernel(inputs) @ self.weights * self.unit + self.offset)

    def std(self, inputs: Array) -> Array:
        """Of the outputs, as far as the training samples leave them open; without noise."""
        k = self._kernel(inputs)
        left = self.amplitude - ((k @ self._whitening.T) ** 2).sum(-1)
        return np.asarray(np.sqrt(np.maximum(left, 0))[..., None] * self.unit)

    def _kernel(self, inputs: Array) -> Array:
        z = (np.asarray(inputs) - self.centre) / self.spread / self.lengths
        return self.amplitude * _matern(z, self.points)

    @cached_property
    def _whitening(self) -> Array:
        """Inverse of the Cholesky factor of the training samples' covariance, with the noise of the best known output."""
        covariance = self.amplitude * _matern(self.points, self.points) + np.diag(self.noise.min(1))
        return np.linalg.inv(np.linalg.cholesky(covariance))

    @property
    def arrays(self) -> dict[str, Array]:
        return {k: np.asarray(v) for k, v in vars(self).items() if k != "_whitening"}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Any]) -> Process:
        values: dict[str, Any] = {k: float(v) if k == "amplitude" else np.asarray(v, float) for k, v in arrays.items()}
        return cls(**values)


def _matern(a: Array, b: Array) -> Array:
    squares = (a**2).sum(-1)[..., None] + (b**2).sum(-1) - 2 * a @ b.T
    r = _FIVE * np.sqrt(np.maximum(squares, 0))
    return np.asarray((1 + r + r**2 / 3) * np.exp(-r))


def learn(inputs: Array, outputs: Array, noise: Array, seed: int) -> Process:
    """The process of samples.

    Args:
        inputs: (samples, d). outputs: (samples, o). noise: known variances of the outputs, (samples, o).

    Raises:
        PhasefieldError: scikit-learn is missing.
    """
    needed("sklearn")
    import warnings

    from scipy.optimize import minimize
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    def search(objective: Any, start: Array, bounds: Array) -> tuple[Array, float]:
        found = minimize(objective, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": _STEPS})
        return found.x, found.fun

    centre, spread = inputs.mean(0), inputs.std(0)
    spread = np.where(spread > 1e-9 * np.maximum(np.abs(centre), 1), spread, 1.0)
    weight = 1 / (noise + np.median(outputs.var(0)) / 100 + 1e-12)
    offset = (weight * outputs).sum(0) / weight.sum(0)
    unit = np.sqrt((weight * (outputs - offset) ** 2).sum(0) / weight.sum(0)) + 1e-12
    z, y, known = (inputs - centre) / spread, (outputs - offset) / unit, noise / unit**2
    d = z.shape[1]
    kernel = ConstantKernel(3.0, (1e-2, 1e3)) * Matern(np.full(d, 5.0), (0.3, 1e3), nu=2.5) + WhiteKernel(
        0.05, (1e-6, 2)
    )
    some = np.random.default_rng(seed).permutation(np.argsort(known.max(1), kind="stable")[: max(len(z) * 4 // 5, 2)])[
        :_FEW
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound: an input that says nothing
        first = GaussianProcessRegressor(kernel, alpha=known[some].max(1) + 1e-10, optimizer=search).fit(
            z[some], y[some]
        )
    fixed = first.kernel_.k1
    variance = known + first.kernel_.k2.noise_level
    weights = [
        GaussianProcessRegressor(fixed, alpha=v, optimizer=None).fit(z, column).alpha_
        for v, column in zip(variance.T, y.T, strict=True)
    ]
    lengths = np.broadcast_to(fixed.k2.length_scale, (d,)).copy()
    amplitude = float(fixed.k1.constant_value)
    return Process(centre, spread, lengths, z / lengths, amplitude, variance, offset, unit, np.stack(weights, 1))
