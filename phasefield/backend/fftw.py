"""FFTW plans for pieces of a field, as addresses that compiled code calls.

pyFFTW brings the library, its wisdom and aligned memory. Its plan objects belong to Python and to whole arrays, so plans for
tiles (some rows, some columns) are made with FFTW's own guru interface (FFTW 3.3 manual, section 4.5), found through
pyFFTW's extension module.
"""

from __future__ import annotations

import ctypes
import functools
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyfftw

from ..errors import DeviceError

FORWARD, INVERSE = -1, 1
#: FFTW's numbers for real-to-real transforms, forward and inverse.
R2R_KINDS = {"halfcomplex": (0, 1), "dct": (5, 4), "dst": (9, 8), "dct4": (6, 6), "dst4": (10, 10)}
#: Bytes; plans are made for, and later run on, data aligned like this.
ALIGNMENT = 16
_MEASURE, _UNALIGNED, _WISDOM_ONLY = 0, 1 << 1, 1 << 21
_SECONDS = 20.0

#: (length, distance of two inputs, distance of two outputs), in elements.
Dimension = tuple[int, int, int]


class _Dimension(ctypes.Structure):
    _fields_ = (("n", ctypes.c_ssize_t), ("input", ctypes.c_ssize_t), ("output", ctypes.c_ssize_t))


#: FFTW's planner and its wisdom are one for the process, and threads may have runs of their own: held by whoever plans.
PLANNING = threading.RLock()
#: What all plans are made with.
_more_flags = 0


@contextmanager
def known_plans_only() -> Iterator[None]:
    """Within, what the wisdom at hand has no plan for is refused instead of being measured (FFTW 3.3 manual, section 4.3.2)."""
    global _more_flags
    with PLANNING:
        _more_flags = _WISDOM_ONLY
        try:
            yield
        finally:
            _more_flags = 0


@functools.cache
def _library() -> ctypes.PyDLL:
    """The library pyFFTW is linked to. Calls keep the interpreter's lock, so that no plan is destroyed while one is made."""
    library = ctypes.PyDLL(pyfftw.pyfftw.__file__)
    try:
        for prefix in ("fftw", "fftwf"):
            getattr(library, f"{prefix}_plan_guru64_dft")
            set_limit = getattr(library, f"{prefix}_set_timelimit")
            set_limit.argtypes, set_limit.restype = [ctypes.c_double], None
    except AttributeError as error:
        raise DeviceError(
            f"device=cpu: this pyFFTW ({pyfftw.__version__}) does not give access to the FFTW library it uses\n"
            "  Install pyFFTW from its wheels or from conda-forge, which link the library dynamically."
        ) from error
    return library


class Plan:
    """A planned transform; `address` and `execute` are what compiled code calls as ``execute(address, data, result)``.

    Args:
        kind: ``r2c``, ``c2r``, ``c2c`` or ``r2r``.
        dtype: of the real numbers.
        dimensions, repeats: the transform and how it is repeated.
        work: memory of the same layout and alignment, overwritten while planning.
        out: likewise for the result; None for a transform in place.
        direction: of ``c2c``; kinds: FFTW's numbers, one per dimension, of ``r2r``.
        aligned: whether all data is aligned to `ALIGNMENT`.
    """

    def __init__(
        self,
        kind: str,
        dtype: Any,
        dimensions: Sequence[Dimension],
        repeats: Sequence[Dimension],
        work: np.ndarray,
        *,
        direction: int = FORWARD,
        kinds: Sequence[int] = (),
        aligned: bool = True,
        out: np.ndarray | None = None,
    ) -> None:
        library = _library()
        prefix = "fftw" if np.dtype(dtype) == np.float64 else "fftwf"
        getattr(library, f"{prefix}_set_timelimit")(_SECONDS)
        getattr(library, f"{prefix}_plan_with_nthreads")(1)
        names = {"c2c": "dft", "r2r": "r2r", "r2c": "dft_r2c", "c2r": "dft_c2r"}
        make = getattr(library, f"{prefix}_plan_guru64_{names[kind]}")
        make.restype = ctypes.c_void_p
        data, result = (ctypes.c_void_p(a.ctypes.data) for a in (work, work if out is None else out))
        extra: tuple[Any, ...] = {"c2c": (direction,), "r2r": ((ctypes.c_int * len(kinds))(*kinds),)}.get(kind, ())
        sizes = (len(dimensions), _array(dimensions), len(repeats), _array(repeats))
        with PLANNING:
            flags = _more_flags | (_MEASURE if aligned else _MEASURE | _UNALIGNED)
            address = make(*sizes, data, result, *extra, ctypes.c_uint(flags))
        if not address:
            raise DeviceError(f"device=cpu: FFTW has no plan for {kind} of {list(dimensions)} x {list(repeats)}")
        self.address: int = address
        execute = getattr(library, f"{prefix}_execute_{names[kind]}")
        self.execute: int = ctypes.cast(execute, ctypes.c_void_p).value or 0
        destroy = getattr(library, f"{prefix}_destroy_plan")
        weakref.finalize(self, destroy, ctypes.c_void_p(address)).atexit = False


def _array(dimensions: Sequence[Dimension]) -> Any:
    return (_Dimension * max(1, len(dimensions)))(*(_Dimension(*d) for d in dimensions))
