"""Shared by all tests: one cache of compiled kernels for the session, and one thread per process.

Set before anything is imported and inherited by parallel workers (pytest-xdist) and the processes that tests start.
"""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """``PHASEFIELD_CACHE``, unless set, is a folder of this session's."""
    if hasattr(config, "workerinput"):
        return
    # Two FFTW threads in each of several processes would wait for each other more than they compute.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if "PHASEFIELD_CACHE" not in os.environ:
        os.environ["PHASEFIELD_CACHE"] = tempfile.mkdtemp(prefix="phasefield-tests-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ.pop("PHASEFIELD_CACHE"), ignore_errors=True))
