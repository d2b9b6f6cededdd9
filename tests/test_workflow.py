"""The workflow of examples/workflow by snakemake itself, stopped in the middle and started again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SNAKEFILE = Path(__file__).resolve().parents[1] / "examples" / "workflow" / "Snakefile"
FOUND = shutil.which("snakemake", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(FOUND is None, reason="snakemake is not installed (pip install 'phasefield[workflow]')")
def test_the_workflow_runs_what_is_missing(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def snakemake(*words: str) -> str:
        keys = ["--config", "members=3", "shape=[24,24]", "end=40"]
        line = [str(FOUND), "--snakefile", str(SNAKEFILE), "--cores", "2", "--directory", str(tmp_path), *words, *keys]
        done = subprocess.run(line, env=os.environ | {"PATH": path}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout + done.stderr

    snakemake("--until", "run")
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["1", "2", "3"]
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("runs/*/fields.nc")}
    snakemake()
    assert (tmp_path / "material.inp").read_text().count("*MATERIAL, NAME=") == 1
    assert {p: p.stat().st_mtime_ns for p in before} == before
    # What is lost is made again, out of what is there: a run that has ended is left, samples are not computed twice.
    for name in ("runs/2/done", "properties.nc", "material.inp"):
        (tmp_path / name).unlink()
    samples = (tmp_path / "properties.samples.jsonl").read_bytes()
    assert "already ended" in snakemake("--rerun-triggers", "mtime")
    assert (tmp_path / "properties.samples.jsonl").read_bytes() == samples
    assert "Nothing to be done" in snakemake("--rerun-triggers", "mtime")
