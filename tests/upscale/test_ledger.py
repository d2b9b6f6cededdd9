"""What is kept of results survives whatever ends the process, and files of others are left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasefield.errors import ConfigError
from phasefield.upscale.ledger import Ledger


def _of(path: Path, version: int = 1) -> Ledger:
    return Ledger(path, "numbers", version, "output", lambda entry: entry["value"])


def _put(ledger: Ledger, key: str, value: float) -> None:
    ledger.put({"key": key, "value": value}, value)


def test_a_kill_at_any_byte_loses_no_more_than_its_line(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "f.jsonl"
    for key, value in (("a", 1.0), ("b", 2.0)):
        _put(_of(path), key, value)
    whole = path.read_bytes()
    ends = [k + 1 for k, byte in enumerate(whole) if byte == ord("\n")]
    assert len(ends) == 3
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        ledger = _of(path)
        assert list(ledger.known) == ["a", "b"][: sum(end <= cut for end in ends[1:])]
        _put(ledger, "c", 3.0)  # behind what is whole, not behind what is torn
        assert _of(path).known == {**ledger.known, "c": 3.0}


def test_others_are_forgotten(tmp_path: Path) -> None:
    ledger = _of(path := tmp_path / "f.jsonl")
    for k in range(4):
        _put(ledger, str(k), k)
    ledger.keep({"1", "3"})
    _put(ledger, "5", 5)
    assert _of(path).known == ledger.known == {"1": 1, "3": 3, "5": 5}
    nowhere = Ledger(None, "numbers", 1, "output")
    _put(nowhere, "a", 1.0)
    assert nowhere.known == {"a": 1.0}


def test_what_is_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    for content, says in (
        ("mine", "no file of numbers"),
        ("a\nb\n", "no file of numbers"),
        ("\n", "no file of numbers"),
    ):
        path.write_text(content)
        with pytest.raises(ConfigError, match=says):
            _of(path)
        assert path.read_text() == content
    path.unlink()
    ledger = _of(path)
    _put(ledger, "a", 1.0)
    with pytest.raises(ConfigError, match="another version"):
        _of(path, 2)
    with open(path, "a") as file:
        file.write("torn {\n")
    _put(ledger, "b", 2.0)
    with pytest.raises(ConfigError, match="line 3 of it is damaged"):
        _of(path)
