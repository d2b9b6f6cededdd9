"""Loops that are ready to run on certain arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..workers import Job


class Context(NamedTuple):
    """What a loop finds at its last argument, see ``loops.py``."""

    words: np.ndarray
    scalars: np.ndarray
    partial: np.ndarray


class Call(NamedTuple):
    """A loop that is ready to run on certain arrays.

    Attributes:
        scalars: read by the loop. partial: what it leaves, (loads, sums, indices).
    """

    run: Job
    scalars: np.ndarray
    partial: np.ndarray
