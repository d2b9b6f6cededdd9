"""Inputs that nobody would write are taken or refused in good time with a message, run no code and write nothing.

What once was not stands in tests/data/fuzz, a file for each kind. `scripts/fuzz.py` tries thousands; here are some, and others on
each day that the slow ones run.
"""

from __future__ import annotations

import datetime
import importlib.util
import json
from pathlib import Path
from typing import Any

import fuzz
import fuzz_cases
import pytest

DATA = Path(__file__).parent / "data" / "fuzz"
CORPUS = [
    (kind, case)
    for kind in ("configurations", "expressions", "files")
    for case in json.loads((DATA / f"{kind}.json").read_text())
]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("kind", "case"), CORPUS, ids=[f"{kind}-{n}" for n, (kind, _) in enumerate(CORPUS)])
def test_what_once_failed(kind: str, case: Any, tmp_path: Path) -> None:
    _, handle = fuzz.kinds(tmp_path)[kind]
    handle((case[0], bytes.fromhex(case[1])) if kind == "files" else case)
    assert not (tmp_path / "fuzzed").exists()


@pytest.mark.parametrize(("kind", "count"), [("configurations", 24), ("expressions", 300)])
def test_some(kind: str, count: int, tmp_path: Path) -> None:
    told = fuzz.attack(kind, count, 1, tmp_path)
    assert told["fault"] is None
    assert told["taken"] > count // 20
    assert told["refused"] > count // 4
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_sound_files_are_taken(tmp_path: Path) -> None:
    """What is damaged is sound at first, or else nothing would be tried but the refusal."""
    _, handle = fuzz.kinds(tmp_path)["files"]
    sound = fuzz_cases.originals(tmp_path)
    if importlib.util.find_spec("vtkmodules") is None:
        del sound["image.vti"]
    assert not [name for name, data in sound.items() if not handle((name, data))]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("kind", "count"), [("configurations", 300), ("expressions", 2000), ("files", 200)])
def test_more(kind: str, count: int, tmp_path: Path) -> None:
    told = fuzz.attack(kind, count, datetime.date.today().toordinal(), tmp_path)
    assert told["fault"] is None


def test_the_judge_sees_what_it_looks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import subprocess
    import time

    from phasefield.errors import ConfigError

    def refuse() -> None:
        raise ConfigError("key", "is wrong")

    assert fuzz.judge(lambda: None)
    assert not fuzz.judge(refuse)
    for deed, word in (
        (lambda: 1 / 0, "ZeroDivisionError"),
        (lambda: os.system("true"), "os.system"),
        (lambda: subprocess.run(["true"], check=True), "subprocess.Popen"),
        (lambda: open(tmp_path / "other", "w").close(), "to write"),
    ):
        with pytest.raises(fuzz.Fault, match=word):
            fuzz.judge(deed, str(tmp_path / "allowed"))
    monkeypatch.setattr(fuzz, "LIMIT", 0.1)
    with pytest.raises(fuzz.Fault, match="longer than"):
        fuzz.judge(lambda: time.sleep(5))
    with pytest.raises(fuzz.Fault, match="killed by a signal"):
        fuzz.isolated(lambda: bool(os.kill(os.getpid(), 9)))
