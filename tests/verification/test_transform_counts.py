"""How many fields a step of every coupled model transforms: what its cost is held against."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
from benchmark_coupled import COUPLED, keys, transforms


@pytest.mark.parametrize("name", COUPLED)
def test_transforms(name: str) -> None:
    assert tuple(transforms(*given) for given in keys(COUPLED[name], 16)) == COUPLED[name].transforms
