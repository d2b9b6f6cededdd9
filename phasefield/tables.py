"""Tables of numbers in text files: commas, semicolons, tabs or blanks between the cells, decimal points or commas."""

from __future__ import annotations

import csv
import math
from pathlib import Path


def read_table(path: Path) -> list[tuple[int, list[str]]]:
    """The rows of a table with the numbers of their lines, without empty ones and those that begin with ``#``.

    Between semicolons, as spreadsheets write where a comma parts decimals, numbers come out with a point.

    Raises:
        OSError, UnicodeDecodeError: the file cannot be read.
    """
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return [(n, _cells(line)) for n, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")]


def is_number(text: str) -> bool:
    """Whether a cell holds a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _cells(line: str) -> list[str]:
    separator = next((s for s in ";,\t" if s in line), None)
    if separator is None:
        return line.split()
    cells = [c.strip() for c in next(csv.reader([line], delimiter=separator))]
    if separator == ",":
        return cells
    return [point if is_number(point := c.replace(",", ".")) else c for c in cells]
