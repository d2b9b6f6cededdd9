"""The grains of a polycrystal: their orientations."""

from __future__ import annotations

import numpy as np

from ..errors import ConfigError
from . import tensors
from .tensors import Array


def orientations_of(path: str | None) -> Array | None:
    """Rotations from a text file with three Euler angles (Bunge, degrees) a line."""
    if path is None:
        return None
    try:
        angles = np.radians(np.loadtxt(path, delimiter="," if path.endswith(".csv") else None, ndmin=2))
        if angles.shape[1] != 3:
            raise ValueError(f"{angles.shape[1]} columns")
    except (OSError, ValueError) as error:
        raise ConfigError(
            "orientations", f"{path} cannot be read: {error}", "three Euler angles (Bunge, degrees) a line are expected"
        ) from error
    return np.stack([tensors.rotation_from_euler(*map(float, row)) for row in angles])
