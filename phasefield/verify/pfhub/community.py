"""What others have uploaded, see data/README.md."""

from __future__ import annotations

import csv
import math
from importlib.resources import files

import numpy as np

Array = np.ndarray


def curves(benchmark: str, x: str = "time", y: str = "free_energy", end: str = "") -> dict[str, tuple[Array, Array]]:
    """Name of the upload -> its points by rising x.

    Args:
        x, y: columns. end: of the files' names, before ``.csv``.
    """
    out = {}
    for path in sorted(files(__package__).joinpath("data").iterdir(), key=lambda p: p.name):
        if not path.name.startswith(f"{benchmark}_") or not path.name.endswith(f"{end}.csv"):
            continue
        table = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
        rows = [(float(row[x]), float(row[y])) for row in table if row[x] and row[y]]
        points = np.array(sorted(rows)).reshape(-1, 2)
        out[path.name.removeprefix(f"{benchmark}_").removesuffix(f"{end}.csv")] = (points[:, 0], points[:, 1])
    return out


def at(benchmark: str, time: float, y: str = "free_energy") -> list[float]:
    """What the uploads that reach a time have there."""
    reaching = (c for c in curves(benchmark, y=y).values() if c[0][0] <= time <= c[0][-1])
    return [float(np.interp(time, *c)) for c in reaching]


def spread(benchmark: str, time: float, y: str = "free_energy", digits: int = 5) -> str:
    """The same in words."""
    found = [v for v in at(benchmark, time, y) if math.isfinite(v)]
    if not found:
        return "no upload reaches it"
    return f"{len(found)} uploads: {min(found):.{digits}g} to {max(found):.{digits}g}"
