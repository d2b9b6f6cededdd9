"""Runs what needs a GPU and records it in docs/results/gpu-<device name>.json; see gpu_session.sh."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from phasefield.backend.cuda import why_unavailable
from phasefield.provenance import version

RESULTS = Path("docs/results")
FACTS = (
    "name", "driver_version", "memory.total", "clocks.sm", "clocks.mem", "clocks.max.sm", "clocks.max.mem",
    "persistence_mode", "power.limit", "ecc.mode.current",
)  # fmt: skip
PACKAGES = ("cupy-cuda13x", "cupy-cuda12x", "nvidia-cufft", "nvidia-cuda-nvrtc", "numpy", "sympy")


def smi() -> dict[str, str]:
    """What nvidia-smi knows of the first GPU; empty without it."""
    command = ["nvidia-smi", f"--query-gpu={','.join(FACTS)}", "--format=csv,noheader"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    except (OSError, subprocess.SubprocessError) as error:
        print(f"nvidia-smi: {error}")
        return {}
    return dict(zip(FACTS, (part.strip() for part in lines[0].split(", ")), strict=False)) if lines else {}


def versions() -> dict[str, Any]:
    import cupy
    from cupy.cuda import cufft, nvrtc

    found: dict[str, Any] = {"phasefield": version(), "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    runtime = cupy.cuda.runtime
    found["cuda"] = {
        "driver_api": runtime.driverGetVersion(), "runtime": runtime.runtimeGetVersion(),
        "cufft": cufft.getVersion(), "nvrtc": list(nvrtc.getVersion()),
    }  # fmt: skip
    return found


def part(command: list[str], **environment: str) -> dict[str, Any]:
    """Runs one part with its output shown; its exit status, duration and last lines."""
    shown = " ".join([*(f"{k}={v}" for k, v in environment.items()), *command])
    print(f"\n$ {shown}", flush=True)
    start = time.monotonic()
    last: list[str] = []
    with subprocess.Popen(
        [sys.executable, *command],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            last = [*last, line.rstrip()][-20:]
    failures = [line for line in last if line.startswith(("FAILED", "ERROR"))]
    outcome = {
        "command": f"python {shown}",
        "exit_status": process.returncode,
        "seconds": round(time.monotonic() - start, 1),
    }
    return outcome | {"summary": last[-1] if last else "", "failures": failures}


def tested(outcome: dict[str, Any]) -> bool:
    """Whether tests ran and all passed: skipping every one of them is no success."""
    return outcome["exit_status"] == 0 and bool(re.search(r"\d+ passed", outcome["summary"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tiny benchmark")
    options = parser.parse_args()
    facts = smi()
    for name, value in facts.items():
        print(f"{name:>20} {value}")
    if reason := why_unavailable():
        print(f"no GPU: {reason}", file=sys.stderr)
        return 2
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(0)
    device = properties["name"].decode()
    slug = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    RESULTS.mkdir(parents=True, exist_ok=True)
    benchmark = RESULTS / f"gpu-{slug}-benchmark.json"
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
    parts = {"tests": part([*pytest, "-s", "-m", "gpu", "tests"])}
    parts["verification"] = part([*pytest, "tests/verification"], PHASEFIELD_TEST_DEVICE="gpu")
    quick = ["--quick"] if options.quick else []
    parts["benchmark"] = part(["scripts/benchmark.py", "--device", "gpu", "--json", str(benchmark), *quick])
    passed = {
        "tests": tested(parts["tests"]),
        "verification": tested(parts["verification"]),
        "benchmark": parts["benchmark"]["exit_status"] == 0 and benchmark.exists(),
    }
    record = {
        "device": device,
        "compute_capability": f"{properties['major']}.{properties['minor']}",
        "multiprocessors": properties["multiProcessorCount"],
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "nvidia_smi": facts,
        "nvidia_smi_afterwards": smi(),
        "versions": versions(),
        "passed": passed,
        "parts": parts,
        "benchmark": json.loads(benchmark.read_text()) if passed["benchmark"] else None,
    }
    path = RESULTS / f"gpu-{slug}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    benchmark.unlink(missing_ok=True)
    print()
    for name, ok in passed.items():
        print(f"{name}: {'passed' if ok else 'FAILED'}")
    print(path)
    return 0 if all(passed.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
