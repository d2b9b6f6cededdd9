"""The language of loops is a part of Python: what is compiled does what Python does with the same text."""

from __future__ import annotations

import ctypes
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phasefield.backend import cache, compiler
from phasefield.backend.compiler import machine

#: Every construct, for both precisions; ``context`` is the address of the addresses of an array, of indices and of results.
SOURCE = """
ROWS, WHOLE = 3, {whole}
WEIGHTS = [[0.25, 0.5], [1.0, 2.0]]
FIRST, LAST = (0, ROWS - 1)


def _square(x):
    return x * x


def _place(row):
    "Where a row begins."
    return uint64(row * 8)


def _chosen(x):
    if WHOLE:
        return x + REAL(1)
    return x - REAL(1)


@_loop
def _sums(lo, hi, a, b):
    even, odd = 0.0, 0.0
    for i in range(lo, hi):
        for z in range(a.shape[1]):
            if z % 2 == 0:
                even += a[i, z] * b[i, z]
            else:
                odd -= a[i, z] / (b[i, z] + 2)
    return even, odd


@_loop
def _moved(lo, hi, a, out):
    n0, n1 = a.shape
    below, here = np.empty(n1, REAL), np.zeros((1, n1), REAL)
    here = here.reshape(n1)
    below[:] = 0.0
    for i in range(lo, hi):
        for z in range(uint64(n1)):
            here[z] = _chosen(a[i, z]) + below[uint64(n1) - uint64(1) - z]
        for z in range(n1):
            out[i, z] += here[z] * REAL(WEIGHTS[z % 2, 1])
        out[(i - 1) % n0, 0] += a[(i + 1) % n0, n1 - 1]
        below, here = here, below


@_loop
def _searched(index, out):
    for start in (FIRST, LAST):
        place = start
        while place < index.size and index[place] >= 0:
            if index[place] == 7:
                place += 2
                continue
            place += 1
        out[start] = place
    for step in (1, 2, 3):
        if index[step] == 7:
            continue
        out[3 + step] = step


@_entry
def work(lo, hi, context):
    at = array_at(context, (4,), int64)
    n = at[3]
    a, index = array_at(at[0], (ROWS, n), REAL), array_at(at[1], (n,), int32)
    out = array_at(at[2], (ROWS + 3, n), REAL)
    _moved(lo, hi, a, out)
    even, odd = _sums(lo, hi, a, out)
    _searched(index, out[ROWS])
    row = out[ROWS + 1]
    row[0], row[1] = even, odd
    row[2] = exp(a[0, 0]) + log(a[0, 1]) + sin(a[0, 2]) + cos(a[1, 0]) + tanh(a[1, 1]) + sqrt(a[1, 2])
    row[3] = max(a[0, 0], a[0, 1], a[0, 2]) - min(a[0, 0], a[0, 1]) + abs(-a[2, 0]) + _square(a[2, 1]) ** 1.5
    row[4] = (n - 9) // 4 * 100 + (n - 9) % 4
    row[5] = 1.0 if n > 2 and not index[0] == 5 or index[1] < 0 else -1.0
    row[6] = float64((uint64(n) << uint64(3) ^ uint64(5)) >> uint64(1) & uint64(31) | uint64(64))
    row[7] = len(out) + _place(2) + (a[0, 0] if n > 100 else REAL(index[2]))
    last = out[ROWS + 2]
    bits = bits_of(a[0, 3])
    last[0] = number_of(bits)
    last[1] = float64(a[1, 1] < a[1, 2]) + (2 if (a[0, 0] < a[0, 1]) & (n != 3) else 5)
    last[2] = -a[0, 0] / 3 + (n / 3)
    last[3] = inf if n < 0 else 0.5
    marks = np.zeros(2, bool)
    large = n > 100
    if n > 5:
        large = n > 7
        marks[1] = index[0] > 2
    last[4] = 3 if large else 4
    last[5] = 5 if marks[1] else 6
    last[6] = 5 if marks[0] else 6
"""


def arrays(dtype: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {
        "a": rng.uniform(0.2, 1.5, (3, 8)).astype(dtype),
        "index": np.array([3, 7, 1, 7, 2, -1, 4, 7], np.int32),
        "out": np.zeros((6, 8), dtype),
    }


def as_python(text: str, dtype: str, data: Mapping[str, np.ndarray]) -> None:
    """Runs the same text as Python."""
    places = dict(enumerate(data.values()))
    context = np.array([0, 1, 2, 8], np.int64)

    def array_at(address: int, shape: tuple[int, ...], kind: Any) -> np.ndarray:
        return context if address == -1 else places[int(address)].reshape(shape)

    def signed(x: Any) -> int:
        return int(x)

    kind: Any = np.dtype(dtype).type
    integer = {"float32": np.int32, "float64": np.int64}[dtype]
    names = {
        **{name: getattr(math, name) for name in ("exp", "log", "sin", "cos", "tanh", "sqrt", "inf")},
        "array_at": array_at, "int64": signed, "uint64": signed, "int32": np.int32, "float64": float, "np": np,
        "_loop": lambda f: f, "_entry": lambda f: f, dtype: kind,
        "bits_of": lambda x: np.asarray(x).view(integer)[()], "number_of": lambda x: np.asarray(x).view(kind)[()],
    }  # fmt: skip
    exec(text.replace("WEIGHTS[z % 2, 1]", "WEIGHTS[z % 2][1]"), names)
    names["work"](0, 3, -1)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_is_python(dtype: str, whole: bool) -> None:
    source = f"REAL = {dtype}\n" + SOURCE.replace("{whole}", str(whole))
    expected, found = arrays(dtype), arrays(dtype)
    as_python(source, dtype, expected)
    context = np.array([*(x.ctypes.data for x in found.values()), 8], np.int64)
    entry = compiler.load(source, "tests_language")["work"]
    ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(entry)(0, 3, context.ctypes.data)
    assert np.abs(expected["out"]).min(axis=1).max() > 0
    np.testing.assert_allclose(found["out"], expected["out"], rtol={"float64": 1e-13, "float32": 2e-6}[dtype])


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("x = nowhere", "line 4: nowhere is not known here"),
        ("x = [i for i in range(3)]", "line 4: [i for i in range(3)]"),
        ("with lo:\n        pass", "line 4: With"),
        ("at[0.5] = 1", "line 4: an index of type float64"),
        ("at[0, 1] = 1", "line 4: 2 indices of an array of 1 axes"),
        ("a, b = 1, 2, 3", "line 4: as many names as values"),
        ("for i in range(3):\n        b = np.empty(3)", "line 5: memory is made outside of loops"),
        ("b = lo\n    if lo > 1:\n        b = at", "line 6: a name that changes its type"),
        ("x = 1.5 % lo", "line 4: % of floating-point numbers"),
        ("x = ~lo", "line 4: ~lo"),
        ("x = lo @ hi", "line 4: the operator MatMult"),
        ("x = lo in (1, 2)", "line 4: the operator In"),
        ("b = np.zeros(3, dtype=int64)", "line 4: np.zeros(3, dtype=int64): arguments go by their place"),
        ("for i in range(3):\n        at[0] = 1\n    else:\n        at[0] = 2", "line 4: else of a loop"),
        ("if lo > 1:\n        return\n    at[0] = 1", "line 5: a function returns once, at its end"),
        ("for i in range(3):\n        at[0] = i\n    at[1] = i", "line 6: i is not known here"),
    ],
)
def test_says_what_is_not_of_the_language(statement: str, complaint: str) -> None:
    head = "@entry\ndef work(lo, hi, context):\n    at = array_at(context, (3,), int64)\n"
    with pytest.raises(compiler.LoopError) as error:
        compiler.load(f"{head}    {statement}\n", "tests_wrong")
    assert str(error.value) == f"work: {complaint}"


ENTRY = "@entry\ndef work(lo, hi, context):\n    at = array_at(context, (1,), int64)\n    at[0] = {number}\n"


def worth(number: int) -> int:
    """What the entry leaves, in a process that has loaded none."""
    machine._loaded.cache_clear()
    entry, found = compiler.load(ENTRY.format(number=number), "tests_kept")["work"], np.zeros(1, np.int64)
    ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(entry)(0, 0, found.ctypes.data)
    return int(found[0])


def test_code_is_kept_and_damage_costs_time_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PHASEFIELD_CACHE", str(tmp_path))
    made: list[str] = []
    make = machine._made
    monkeypatch.setattr(machine, "_made", lambda source, stem: made.append(stem) or make(source, stem))
    assert [worth(3), worth(3), worth(4), worth(3)] == [3, 3, 4, 3]
    assert len(made) == 2
    assert caplog.text == ""
    for damage in (b"", b"\0" * 4, b"nothing of the sort"):
        for file in tmp_path.rglob("*.o"):
            file.write_bytes(damage)
        cache._told.clear()
        with caplog.at_level(logging.WARNING, "phasefield"):
            assert worth(4) == 4
        assert caplog.text.count("made anew") == 1
        caplog.clear()
        assert worth(4) == 4
        assert caplog.text == ""
    monkeypatch.setenv("PHASEFIELD_CACHE", "/proc/nowhere")
    cache._told.clear()
    assert worth(5) == 5
    assert "cannot be used" in caplog.text
