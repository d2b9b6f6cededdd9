"""What measures a card works, in small, before there is one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import benchmark
import gpu_checks
import gpu_environment
import gpu_session
import pytest
from gpu_cases import CASES

from phasefield.backend import select


def test_checks_pass_in_small(on_card: bool) -> None:
    """Every check, with cases for seconds; times that have a target are of cases left out here."""
    from phasefield.backend import cuda

    if on_card:
        pytest.skip("the session runs them in full")
    rows = {
        "agreement": gpu_checks.agreement("gpu", {"plane": (*CASES["plane"], "time.scheme=etdms3")}, 5),
        "graphs": gpu_checks.graphs(lambda on: cuda.CudaBackend("double", graphs=on), ([24, 17],), 5),
        "large": gpu_checks.large("gpu", ((24, "double", "imex1"), (20, "single", "imex1")), 16, 2),
        "homogenize": gpu_checks.homogenization(
            "gpu", (("conductivity", 8, 100.0, 1, 60.0),), (("q1", (5, 6, 7), ("double",)),)
        ),
        "pairs": gpu_checks.pairs(select("gpu", "single"), 12, (14, 18), 2),
        "profile": gpu_checks.profile(
            lambda precision: select("gpu", precision),  # type: ignore[arg-type]
            ((12, "single", "imex1", False), (12, "double", "etdms2", True)),
            2,
        ),
    }
    assert set(rows) == set(gpu_checks.CHECKS)
    found = {name: list(each) for name, each in rows.items()}
    for name, each in found.items():
        assert each, name
        assert all(row["passed"] for row in each), (name, each)
        json.dumps(each)
    operations = found["profile"][0]["operations"]
    assert [o["operation"] for o in operations] == ["step", "inverse", "nonlinear", "forward"]
    assert all(o["milliseconds"] > 0 for o in operations)
    assert [(r["row"], r["in_place"]) for r in found["pairs"]] == [(14, True), (18, True), (14, False)]


def run_benchmark(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--device", "gpu", "--quick", "--rounds", "1", *arguments])
    return benchmark.main()


def test_benchmark_keeps_every_row_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plain, rows = benchmark.measure, 0

    def measure(*arguments: Any) -> Any:
        nonlocal rows
        rows += 1
        if rows == 2:
            raise KeyboardInterrupt
        return plain(*arguments)

    monkeypatch.setattr(benchmark, "measure", measure)
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(monkeypatch, "--output", str(tmp_path / "found"))
    record = json.loads((tmp_path / "found.json").read_text())
    assert len(record["rows"]) == 1
    assert record["rows"][0]["step_ms"] > 0
    assert record["copy_bytes_per_second"] > 0
    assert "| periodic | 64x64 |" in (tmp_path / "found.md").read_text()


def test_the_benchmark_of_a_card_fits_its_time() -> None:
    """Those that matter most come first, and there are few: each takes some seconds to compile, fill and time."""
    cases = benchmark.cases("gpu", False)
    assert len(cases) <= 16
    assert [(c.shape[0], c.precision) for c in cases[:3]] == [(512, "single"), (512, "single"), (1024, "single")]
    assert {c.label for c in cases} == {"periodic", "adaptive", "no-flux", "20 fields"}


def test_parts_are_called_with_options_they_have(tmp_path: Path) -> None:
    for name in gpu_session.LIMITS:
        script, *options = gpu_session.commands(name, tmp_path / "found.json", True)
        if script == "-m":
            assert (gpu_session.CHECKOUT / options[-1]).is_dir()
            continue
        module = {"scripts/gpu_checks.py": gpu_checks, "scripts/benchmark.py": benchmark}[script]
        parsed = module.parser().parse_args(options)
        assert (
            parsed.json if name in gpu_session.CHECKS else parsed.output.with_suffix(".json")
        ) == tmp_path / "found.json"
    # Two calls of nine minutes, and a third for what is left.
    for parts in (("tests", "graphs", "large", "homogenize"), ("benchmark", "pairs", "verification")):
        assert sum(gpu_session.LIMITS[p] for p in parts) <= 600


def test_a_part_that_hangs_is_ended_and_keeps_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = tmp_path / "graphs.json"
    code = (
        f"import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(measured)!r}).write_text('[1]'); print('begun', flush=True); time.sleep(60)"
    )
    monkeypatch.setattr(gpu_session, "commands", lambda *_: ["-c", code])
    monkeypatch.setattr(gpu_session, "GRACE", 1)
    outcome = gpu_session.perform("graphs", tmp_path, False, 1)
    assert outcome["exit_status"] in (124, 137, -9)
    assert outcome["seconds"] < 20
    assert not outcome["passed"]
    assert outcome["found"] == [1]
    assert outcome["summary"] == "begun"


def test_a_session_records_after_every_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = SimpleNamespace(
        getDevice=lambda: 1,
        getDeviceProperties=lambda d: {"name": b"Card X-1", "major": 9, "minor": 0, "multiProcessorCount": d},
        deviceGetPCIBusId=lambda d: f"0000:0{d}:00.0",
    )
    asked: list[str] = []
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)))
    monkeypatch.setattr(gpu_session, "versions", lambda: {"numpy": "2"})
    monkeypatch.setattr(gpu_session, "smi", lambda bus: asked.append(bus) or {"name": "X"})
    monkeypatch.setattr("phasefield.backend.cuda.why_unavailable", lambda: None)
    outcome = {"command": "c", "exit_status": 0, "seconds": 1.0, "summary": "a|b", "failures": [], "passed": True}
    monkeypatch.setattr(gpu_session, "perform", lambda *_: outcome | {"found": [{"case": 1}]})
    options = SimpleNamespace(out=tmp_path, parts=["tests", "pairs"], quick=False)
    assert gpu_session.session(options, float("inf")) == 0  # type: ignore[arg-type]
    assert set(asked) == {"0000:01:00.0"}, "the card in use, not the first"
    record = json.loads((tmp_path / "gpu-card-x-1.json").read_text())
    assert list(record["parts"]) == ["tests", "pairs"]
    options.parts = ["graphs"]
    assert gpu_session.session(options, 0.0) == 1, "out of time"  # type: ignore[arg-type]
    assert gpu_session.session(options, float("inf")) == 0  # type: ignore[arg-type]
    assert list(json.loads((tmp_path / "gpu-card-x-1.json").read_text())["parts"]) == ["tests", "pairs", "graphs"]
    assert '- {"case": 1}' in (tmp_path / "gpu-card-x-1.md").read_text()


def test_a_bare_checkout_is_a_package(tmp_path: Path) -> None:
    """Nothing is built or installed: the environment has links into the checkout and this python's packages."""
    gpu_environment.link(tmp_path)
    code = "import phasefield as p; from phasefield import presets; print(p.__file__, len(presets.names('model')))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    file, presets = done.stdout.split()
    assert Path(file).parent == tmp_path / "phasefield"
    assert int(presets) > 5
