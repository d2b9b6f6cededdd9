"""Homogenization by several processes, each of which has its planes of the image alone, gives what one gives."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import shares_cases
from test_ranks import HERE, MPIRUN, mpirun

from phasefield.store import open_dataset

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        importlib.util.find_spec("mpi4py") is None or MPIRUN is None,
        reason="mpi4py or mpirun is not here: phasefield[mpi]",
    ),
]
#: What is not computed of shares, what is all rounding, and what rounding decides.
OTHER = ("phase_", "scale_ratio", "hill_mandel", "asymmetry")


def differences(one: Path, other: Path) -> dict[str, float]:
    """Relative differences of tensors and evidence; of margins over what they are margins of, which is about one."""
    a, b = open_dataset(one).load(), open_dataset(other).load()
    out = {}
    for name, values in a.data_vars.items():
        if values.dtype.kind != "f" or any(part in str(name) for part in OTHER):
            continue
        x, y = values.values, b[name].values
        assert np.array_equal(np.isnan(x), np.isnan(y)), name
        scale = max(float(np.nanmax(np.abs(x), initial=0)), 1.0 if str(name).endswith(("margin", "levin")) else 0.0)
        out[str(name)] = float(np.nanmax(np.abs(x - y), initial=0)) / (scale or 1.0)
    return out


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shares")
    for name in shares_cases.CASES:
        shares_cases.make(name, folder, folder)
    return folder


@pytest.mark.parametrize("count", [2, 3, 5])
def test_every_case(count: int, alone: Path) -> None:
    done = mpirun(count, sys.executable, str(HERE / "shares_cases.py"), str(alone))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stdout
    for way in shares_cases.WAYS:
        for name in shares_cases.CASES:
            found = differences(alone / f"{name}.nc", alone / way / f"{name}.nc")
            least = 1e-6 if name == "single" else 1e-10
            tensors = {n: d for n, d in found.items() if n in ("conductivity", "stiffness", "expansion")}
            assert tensors
            assert max(tensors.values()) < least, (way, name, tensors)
            assert max(found.values()) < 1e-6, (way, name, found)
