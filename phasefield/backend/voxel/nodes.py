"""From nodal values to voxels, on the host."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def centre_gradient(u: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Derivatives of trilinear nodal values at the centres of periodic voxels, which are their means over each voxel.

    Args:
        u: (components, n0, n1, n2). spacing: edge lengths of a voxel.

    Returns:
        (components, 3, n0, n1, n2)
    """
    out = np.empty((u.shape[0], 3, *u.shape[1:]))
    for c, value in enumerate(u):
        for d in range(3):
            step = np.roll(value, -1, d) - value
            for other in {0, 1, 2} - {d}:
                step = (step + np.roll(step, -1, other)) / 2
            out[c, d] = step / spacing[d]
    return out
