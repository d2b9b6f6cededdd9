"""``device=gpu`` in this folder is a real GPU if ``PHASEFIELD_TEST_DEVICE=gpu``, else the stand-in on host memory.

So what a card is judged by runs in every suite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from host_cuda import HAS_COMPILER, HostCuda, as_the_card

from phasefield.backend.cuda import why_unavailable


@pytest.fixture
def on_card(test_device: str) -> bool:
    """Whether the tests run on a real GPU, where images may be large."""
    return test_device == "gpu"


@pytest.fixture(autouse=True)
def _device(on_card: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if on_card:
        if reason := why_unavailable():
            pytest.fail(f"PHASEFIELD_TEST_DEVICE=gpu: {reason}")
    elif HAS_COMPILER:
        as_the_card(monkeypatch)
    else:
        pytest.skip("g++ is not here")


@pytest.fixture
def used_bytes(on_card: bool) -> Callable[[], int]:
    """Bytes of the device's memory in use."""

    def pool() -> Any:
        import cupy

        return cupy.get_default_memory_pool().used_bytes()

    return pool if on_card else HostCuda.used_bytes
