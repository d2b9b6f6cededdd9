"""The transform from the modes of a real field back to its values, by FFTW, for those who make many fields of one grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyfftw

from ..fftw import PLANNING


class RealInverse:
    """Modes, as of `numpy.fft.rfftn`, to values, in double precision on one thread; not divided by the number of values.

    The plan is FFTW's guess, not measured: found at once, the same in every process, and with it the last bits.

    Attributes:
        modes: complex, to be filled before each call, which overwrites it. values: what the last call made of it.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self.modes: np.ndarray = pyfftw.empty_aligned((*shape[:-1], shape[-1] // 2 + 1), np.complex128)
        self.values: np.ndarray = pyfftw.empty_aligned(tuple(shape), np.float64)
        axes = tuple(range(len(shape)))
        with PLANNING:
            self._plan = pyfftw.FFTW(
                self.modes, self.values, axes=axes, direction="FFTW_BACKWARD", flags=("FFTW_ESTIMATE",), threads=1
            )

    def __call__(self) -> np.ndarray:
        self._plan.execute()
        return self.values
