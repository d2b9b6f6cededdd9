"""The verification ladder: its machinery on a ladder of its own, cheap checks for real, and its tables in the documentation."""

from __future__ import annotations

import datetime
import json
import math
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from test_cli import Command, phasefield

from phasefield.errors import ConfigError, NotConverged
from phasefield.verify import LADDERS, Check, Machine, Skip, command, ladder, record, words
from phasefield.verify.pfhub import community
from phasefield.verify.pfhub.benchmark import Made
from phasefield.verify.pfhub.catalogue import NOT_BUILT, benchmarks
from phasefield.verify.pfhub.command import told
from phasefield.verify.pfhub.nucleation import SEEDS, circles, drawn
from phasefield.verify.settings import Settings

__all__ = ["phasefield"]

ROOT = Path(__file__).resolve().parents[1]
CPU = {"device": "cpu", "threads": 1}


def check(
    name: str, measure: Callable[[Machine], float], expected: float = 2.0, allowed: float = 0.1, **more: object
) -> Check:
    return Check(f"fake/{name}", f"what {name} is of", "a <formula>", measure, expected, allowed, **more)  # type: ignore[arg-type]


def wrong(_: Machine) -> float:
    raise NotConverged("the iteration stands still", "take more of them")


def broken(_: Machine) -> float:
    raise ZeroDivisionError("by zero")


def nowhere(_: Machine) -> float:
    raise Skip("there is no such thing here")


def stopped(_: Machine) -> float:
    os.kill(os.getpid(), signal.SIGINT)
    return math.nan


FAKES = [
    check("within", lambda m: 2.05, single=0.01),
    check("relative", lambda m: 2.15, relative=True, unit="m"),
    check("outside", lambda m: 2.15),
    check("no number", lambda m: math.nan),
    check("error", wrong),
    check("bug", broken),
    check("elsewhere", nowhere),
]


def outcomes(folder: Path) -> dict[str, str]:
    return {o.name.removeprefix("fake/"): o.verdict for o in record.read(folder / "verify.json")["checks"]}


def test_every_way_a_check_may_come_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = command.prepare("quick", Settings(output=str(tmp_path / "out"), **CPU), "a command", FAKES)
    job.run()
    expected = ["within", "within", "outside", "outside", "failed", "failed", "skipped"]
    assert outcomes(job.folder) == dict(zip([c.name.removeprefix("fake/") for c in FAKES], expected, strict=True))
    found = json.loads((job.folder / "verify.json").read_text())
    assert (found["complete"], found["ladder"], found["command"], found["precision"]) == (
        True,
        "quick",
        "a command",
        "double",
    )
    assert found["checks"][3]["got"] is None
    assert not job.record.good
    page = (job.folder / "verify.html").read_text()
    assert "a &lt;formula&gt;" in page
    assert re.search(r"(src|href)=\"(?!data:)", page) is None
    assert "not within what is allowed: fake/outside, fake/no number, fake/error, fake/bug" in page
    import sys

    words.tell(job.record, job.folder, sys.stdout)
    said = capsys.readouterr().out
    for text in ("fake/error: the iteration stands still\n  take more of them", "ZeroDivisionError: by zero", "2.15 m"):
        assert text in said
    assert "2 of 7 checks within what is allowed, 2 outside, 2 failed, 1 skipped" in said


def test_single_precision_has_limits_of_its_own(tmp_path: Path) -> None:
    settings = Settings(output=str(tmp_path / "out"), precision="single", only=["fake/within", "fake/outside"], **CPU)
    job = command.prepare("quick", settings, "", FAKES)
    job.run()
    assert outcomes(job.folder) == {"within": "outside", "outside": "skipped"}


def test_a_signal_keeps_what_is_done(tmp_path: Path) -> None:
    checks = [FAKES[0], check("stopped", stopped), FAKES[1]]
    job = command.prepare("quick", Settings(output=str(tmp_path / "out"), **CPU), "", checks)
    with pytest.raises(KeyboardInterrupt):
        job.run()
    assert outcomes(job.folder) == {"within": "within"}
    assert not job.record.good
    assert "not made: fake/stopped, fake/relative" in (job.folder / "verify.html").read_text()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for output, says in ((tmp_path, "holds something else"), (tmp_path / "mine.txt", "is a file")):
        with pytest.raises(ConfigError, match=says):
            command.prepare("quick", Settings(output=str(output), **CPU), "", FAKES)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("verify quik", "did you mean 'quick'?"),
        ("verify", "the ladder (quick, full or pfhub) is missing"),
        ("verify quick only=ordr", "no check is called 'ordr'; did you mean 'order'?"),
        ("verify quick device=tpu", "device: is 'tpu'; expected one of auto, cpu, gpu"),
        ("verify quick threads=0", "threads: is 0"),
        ("verify pfhub only=1c", "benchmark 1c is not built: it takes a T-shaped domain"),
        ("verify quick ouput=a", "did you mean output?"),
    ],
)
def test_mistakes(phasefield: Command, tmp_path: Path, line: str, says: str) -> None:
    answer = phasefield(line)
    assert (answer.code, answer.out) == (2, "")
    assert says in answer.err
    assert not (tmp_path / "runs").exists()


def test_a_cheap_check_for_real(phasefield: Command, tmp_path: Path) -> None:
    answer = phasefield("verify quick only=order/imex1,order/etd1 device=cpu threads=1 output=out")
    assert answer.code == 0, answer
    assert "quick: 2 of 2 checks within what is allowed" in answer.out
    assert {o.name: o.verdict for o in record.read(tmp_path / "out" / "verify.json")["checks"]} == {
        "order/imex1": "within", "order/etd1": "within",
    }  # fmt: skip
    again = phasefield("verify quick only=order/imex1 output=out")
    assert (again.code, "out holds a verification" in again.err) == (2, True)
    assert "26 checks on cpu" in phasefield("config validate verify quick device=cpu").out


@pytest.mark.slow
def test_a_benchmark_goes_on_and_is_handed_in(phasefield: Command, tmp_path: Path) -> None:
    """In small: the runs of 7a, two calls, and the files that PFHub takes."""
    line = "verify pfhub only=7a device=cpu threads=1 output=out"
    first = phasefield(line)
    assert first.code == 0, first
    assert "7a 0.2 min" in first.err
    wrote = (tmp_path / "out/7a/default/history.nc").stat().st_mtime_ns
    before = (tmp_path / "out/7a/default.json").read_text()
    second = phasefield(line)
    assert second.code == 0, second
    assert (tmp_path / "out/7a/default/history.nc").stat().st_mtime_ns == wrote
    assert (tmp_path / "out/7a/default.json").read_text() == before
    assert set(json.loads((tmp_path / "out/verify.json").read_text())["made"]["7a"]) == {"git_commit", "created"}
    upload = tmp_path / "out/7a/upload"
    meta, schema = (yaml.safe_load((upload / name).read_text()) for name in ("meta.yaml", "pfhub.yaml"))
    assert meta["benchmark"] == {"id": "7a", "version": "0"}
    assert [d["name"] for d in meta["data"]] == ["run_time", "memory_usage", "spatial", "temporal"]
    assert schema["benchmark_problem"] == "7a.0"
    assert schema["results"]["memory_in_kb"] > 10_000
    for table in schema["results"]["dataset_temporal"]:
        data = np.genfromtxt(upload / table["name"], delimiter=",", names=True)
        assert list(data.dtype.names) == table["columns"]
        assert data.size == 3
    other = phasefield("verify pfhub only=7a device=cpu threads=1 precision=single output=out")
    assert (other.code, "holds runs of precision double" in other.err) == (2, True)


def test_the_catalogue() -> None:
    made = benchmarks()
    assert [b.name for b in made] == [
        *("1a", "1b", "2a", "2b", "3a"),
        *(f"4{c}" for c in "abcdefgh"),
        "6a",
        "7a",
        "7b",
        "7c",
        "8a",
        "8b",
        "8c",
    ]
    assert not set(NOT_BUILT) & {b.name for b in made}
    assert "min in all" in told(made)
    assert len(community.curves("1a")) == 9
    assert "uploads: " in community.spread("2a", 10.0)


def test_realisations_are_judged_by_their_mean(tmp_path: Path) -> None:
    """8c: transformations 1 - exp(-k t^3) of ten rates k have the exponent 3, 1 - exp(-k t^2) are told."""
    (many,) = (b for b in benchmarks() if b.name == "8c")
    time = np.linspace(0, 600, 301)

    def runs(n: float) -> dict[str, Made]:
        made = {}
        for number, case in enumerate(many.cases):
            fraction = 1 - np.exp(-np.log(2) * (time / (250 + 4 * number)) ** n)
            data = xr.Dataset({"mean_eta": ("time", fraction), "free_energy": ("time", -fraction)}, {"time": time})
            made[case.name] = Made(tmp_path, data, 1.0, 1)
        return made

    question, _ = many.questions
    assert question.found(runs(3.0)) == pytest.approx(3.0, abs=0.02)
    assert abs(question.found(runs(2.0)) - question.expected({})) > question.allowed
    assert "3.00 3.00" in question.note(runs(3.0))  # type: ignore[misc]
    assert len(many.tables(runs(3.0))) == len(many.cases) - 1 == 10


def test_circles_that_grow() -> None:
    """One that reaches R at t - R - ln(R - 1) = const, and two at one place."""
    radius = np.array([10.0, 30.0, 60.0])
    time = radius + np.log(radius - 1) - 2.2 - np.log(1.2)
    one = circles(time, (np.zeros(1), np.array([[150.0, 20.0]])), 200.0, 1.0)
    np.testing.assert_allclose(one, np.pi * radius**2 / 200**2, rtol=0.02)
    two = circles(time, (np.array([0.0, 5.0]), np.array([[150.0, 20.0]] * 2)), 200.0, 1.0)
    np.testing.assert_array_equal(one, two)


@pytest.mark.slow
def test_the_seeds_of_8c_draw_a_hundred_nuclei() -> None:
    seed = SEEDS[datetime.date.today().toordinal() % len(SEEDS)]
    times, centres = drawn(seed)
    assert centres.shape == (100, 2)
    assert times[0] > 0
    assert times[-1] <= 600
    assert len(set(times)) > 70


@pytest.mark.parametrize("name", ["quick", "full"])
def test_the_documentation_holds_the_ladder(name: str) -> None:
    text = (ROOT / "docs" / "verification.md").read_text()
    block = text.partition(f"<!-- verify {name} -->")[2].partition("<!-- end -->")[0]
    listed = [line.split("|")[1].strip() for line in block.splitlines() if line.startswith("| ")][2:]
    assert listed == [c.name for c in ladder(name)]
    assert set(LADDERS) == {"quick", "full", "pfhub"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_quick_ladder(phasefield: Command, tmp_path: Path) -> None:
    answer = phasefield("verify quick device=cpu threads=1 output=out")
    assert answer.code == 0, answer.out
