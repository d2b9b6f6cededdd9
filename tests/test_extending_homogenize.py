"""What docs/extending_homogenize.md shows works, each in an interpreter of its own, for it changes what an interpreter knows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SNIPPETS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "extending_homogenize.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=["property", "format"])
def test_the_example_runs(snippet: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{snippet}"],
                          cwd=tmp_path, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(snippet.splitlines()) <= 16


def test_a_registered_format_is_read_for_initial_conditions(tmp_path: Path) -> None:
    """The same function serves both readers."""
    more = """
from phasefield import config
from phasefield.problem import initial_cells, build_model
spec = config.to_spec(config.compose(["grid.shape=[3,2]", "initial.c={kind: file, path: map.csv}"]))
model, grid = build_model(spec), spec.grid.build()
assert initial_cells(spec, model, grid)[0].tolist() == [[0, 1], [0, 1], [0, 0]]
"""
    text = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{SNIPPETS[1]}{more}"
    done = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
