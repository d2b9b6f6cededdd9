"""What docs/extending.md says of a new term, done to a copy of the package: one file and one line, and everything knows it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from test_docs import snippets

import phasefield

PACKAGE = Path(phasefield.__file__).parent
JOB = "model=cahn_hilliard grid.shape=[16,16] time.end=1 output.picture=false output.kernels=false device=cpu"


def test_a_term_is_one_file_and_one_line(tmp_path: Path) -> None:
    copy = tmp_path / "phasefield"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    if not (copy / "configs").exists():
        shutil.copytree(PACKAGE.parent / "configs", copy / "configs", ignore=shutil.ignore_patterns("__pycache__"))
    (term,) = [s.text for s in snippets("docs/extending.md") if "class LongRange" in s.text]
    folder = copy / "models" / "terms"
    (folder / "long_range.py").write_text(term)
    text = (folder / "__init__.py").read_text()
    line = "from .long_range import LongRange\nTERMS.append(LongRange)\n"
    (folder / "__init__.py").write_text(text.replace("\n__all__", f"\n{line}\n__all__"))

    def command(*words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200"}
        done = subprocess.run(
            [sys.executable, "-m", "phasefield", *words], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        return f"{done.returncode} {done.stdout}{done.stderr}"

    key = "model.fields.c.long_range"
    assert command(*JOB.split(), f"{key}=0.02*W", "output.dir=run").startswith("0 ")
    assert command("resume", "run", "time.end=1.5").startswith("0 ")
    with phasefield.open_run(tmp_path / "run").history as history:
        assert (history.free_energy_long_range > 0).all()
        parts = history.free_energy_bulk + history.free_energy_gradient + history.free_energy_long_range
        assert abs(history.free_energy - parts).max() < 1e-12 * abs(parts).max()
        assert float(history.time[-1]) == 1.5
    assert f"{key}: is -1.0; a finite number >= 0" in command("config", "validate", *JOB.split(), f"{key}=-1")
    assert f"did you mean {key}?" in command("config", "validate", *JOB.split(), "model.fields.c.long_rang=1")
    refused = command("resume", "run", f"{key}=0.5")
    assert refused.startswith("2 ")
    assert key in refused
