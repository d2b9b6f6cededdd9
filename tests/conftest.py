"""Shared by all tests: compiled kernels are kept in one folder for the session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def kernel_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """``PHASEFIELD_CACHE``, unless set, is a folder of this session's."""
    given = os.environ.get("PHASEFIELD_CACHE")
    folder = Path(given) if given else tmp_path_factory.mktemp("cache")
    os.environ["PHASEFIELD_CACHE"] = str(folder)
    yield folder
    if not given:
        del os.environ["PHASEFIELD_CACHE"]
