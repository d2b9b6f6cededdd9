"""What operators on a grid of voxels are in Fourier space, axis by axis: periodic, or with sines or cosines between walls."""

from __future__ import annotations

import numpy as np


def symbols(shape: tuple[int, ...], g: np.ndarray, full: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per axis and wavenumber: mean of squared values, of squared derivatives, of value times derivative, (3, longest axis)."""
    out = np.zeros((3, 3, max(shape)))
    for d, n in enumerate(shape):
        i = np.arange(n)
        sine, cosine = np.sin(np.pi * i / n), np.cos(np.pi * i / n)
        if n % 2 == 0:
            cosine[n // 2] = 0.0
        out[0, d, :n] = cosine**2 + (sine**2 / 3 if full else 0.0)
        out[1, d, :n] = (float(g[d]) * sine) ** 2
        out[2, d, :n] = float(g[d]) * sine * cosine
    return out[0], out[1], out[2]


def wall_symbols(
    walls: str, shape: tuple[int, ...], g: np.ndarray, full: bool
) -> tuple[list[np.ndarray], list[np.ndarray], float]:
    """Per axis and wavenumber: mean of squared values, of squared derivatives; and what a pair of transforms multiplies by.

    Wavenumbers are those of sines of nodes 1 to n - 1 (``kinematic``) or of cosines of all n nodes (``static``).
    """
    mass, second = [], []
    norm = 1.0
    for n, derivative in zip(shape, g, strict=True):
        if n == 1:
            mass.append(np.ones(1))
            second.append(np.zeros(1))
            continue
        cells = n if walls == "kinematic" else n - 1
        norm *= 2 * cells
        k = np.arange(1, n) if walls == "kinematic" else np.arange(n)
        sine2 = np.sin(np.pi * k / (2 * cells)) ** 2
        mass.append(1 - sine2 * (2 / 3 if full else 1.0))
        second.append(float(derivative) ** 2 * sine2)
    return mass, second, norm
