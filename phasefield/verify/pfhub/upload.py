"""What is handed to PFHub: tables as CSV, and two descriptions, of the site's repository and of the uploads' schema.

``meta.yaml`` is as in ``_data/simulations/NAME`` of the repository usnistgov/pfhub, ``pfhub.yaml`` as the command ``pfhub`` of
usnistgov/pfhub-cli takes it. Who hands them in fills in the author, and the addresses of the files.
"""

from __future__ import annotations

import datetime
import platform
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ...provenance import git_commit, version
from ...store import write_text
from .benchmark import Benchmark, Made, Runs, Table

_SCHEMA = "https://github.com/usnistgov/pfhub-schema/tree/2b06531/project"


def write(benchmark: Benchmark, runs: Runs, folder: Path, cores: int, gpu: bool) -> None:
    """Writes the files of a benchmark into a folder.

    Args:
        cores: that the runs had. gpu: whether they were on one.

    Raises:
        OutputError: one cannot be written.
    """
    folder.mkdir(exist_ok=True)
    tables = benchmark.tables(runs)
    for table in tables:
        write_text(folder / table.file, csv_of(table))
    first = runs[benchmark.cases[0].name]
    for name, content in (
        ("meta.yaml", _site(benchmark, tables, first, cores, gpu)),
        ("pfhub.yaml", _schema(benchmark, tables, first, cores)),
    ):
        write_text(folder / name, yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100))


def csv_of(table: Table) -> str:
    """The columns of a table with all their digits."""
    columns = [np.asarray(c, dtype=float) for c in table.columns.values()]
    rows = zip(*(c.tolist() for c in columns), strict=True)
    return "\n".join([",".join(table.columns), *(",".join(map(repr, row)) for row in rows)]) + "\n"


def _site(benchmark: Benchmark, tables: Any, run: Made, cores: int, gpu: bool) -> dict[str, Any]:
    """The description as the site's repository has it; its values are text."""
    return {
        "benchmark": {"id": benchmark.name, "version": str(benchmark.version)},
        "data": [
            {"name": "run_time", "values": [{"sim_time": f"{run.time[-1]:g}", "wall_time": f"{run.seconds:.1f}"}]},
            {"name": "memory_usage", "values": [{"unit": "KB", "value": str(run.memory)}]},
            *(_data(table) for table in tables),
        ],
        "metadata": {
            "author": {"email": "", "first": "", "github_id": "", "last": ""},
            "hardware": {
                "acc_architecture": "gpu" if gpu else "none",
                "clock_rate": "",
                "cores": str(cores),
                "cpu_architecture": platform.machine(),
                "nodes": "1",
                "parallel_model": "threaded" if cores > 1 else "serial",
            },
            "implementation": {
                "container_url": "",
                "name": "phasefield",
                "repo": {"url": "", "version": git_commit() or version()},
            },
            "summary": summary(benchmark, run),
            "timestamp": _today().strftime("%d %B, %Y"),
        },
    }


def _data(table: Table) -> dict[str, Any]:
    formulas = (("x", table.x), ("y", table.y))
    return {
        "name": table.name,
        "description": table.what,
        "url": table.file,
        "format": {"type": "csv", "parse": dict.fromkeys(table.columns, "number")},
        "type": "line",
        "transform": [{"type": "formula", "expr": f"datum.{column}", "as": axis} for axis, column in formulas],
    }


def _schema(benchmark: Benchmark, tables: Any, run: Made, cores: int) -> dict[str, Any]:
    """The description as the schema of uploads has it."""
    return {
        "id": "",
        "benchmark_problem": f"{benchmark.name}.{benchmark.version}",
        "date_created": _today().isoformat(),
        "schema": {"url": _SCHEMA},
        "summary": summary(benchmark, run),
        "contributors": [{"id": "", "name": "", "affiliation": [], "email": ""}],
        "framework": [{"url": "", "name": "phasefield", "download": "", "version": version()}],
        "implementation": {"url": ""},
        "results": {
            # All tables, whatever their abscissa: it is the only list that the command reads, x and y from the first two columns.
            "dataset_temporal": [{"name": t.file, "columns": list(t.columns)} for t in tables],
            "hardware": {"architecture": platform.machine(), "cores": cores, "nodes": 1},
            "fictive_time": float(run.time[-1]),
            "memory_in_kb": run.memory,
            "time_in_s": round(run.seconds, 1),
        },
    }


def summary(benchmark: Benchmark, run: Made) -> str:
    """How it was computed, in words."""
    attrs = run.history.attrs
    parts = [
        f"{benchmark.title[0].upper()}{benchmark.title[1:]}",
        f"Spectral in space; exponential time differencing of third order, {run.steps} steps to t = {run.time[-1]:g}",
        f"phasefield {version()} on {attrs['device']}, {attrs['precision']} precision",
        f"Run by: phasefield verify pfhub only={benchmark.name}",
    ]
    return ". ".join(parts)


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()
