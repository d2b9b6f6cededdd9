"""Runs what needs a GPU and records it in gpu-<device name>.json in the output folder; see gpu_session.sh.

Parts run one after another, each in a process and with a time limit of its own, and the record is written after each: what was
found stays when the session is cut off. A later call with other parts and the same folder adds to the record.
"""

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

#: Parts in order, with the seconds each may take.
LIMITS = {
    "agreement": 120,
    "graphs": 90,
    "large": 240,
    "homogenize": 180,
    "tests": 300,
    "benchmark": 240,
    "verification": 300,
}
CHECKS = ("agreement", "graphs", "large", "homogenize")
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


def part(command: list[str], limit: float, **environment: str) -> dict[str, Any]:
    """Runs one part with its output shown; its exit status (124: out of time), duration and last lines."""
    shown = " ".join([*(f"{k}={v}" for k, v in environment.items()), "python", *command])
    print(f"\n$ {shown}", flush=True)
    start = time.monotonic()
    last: list[str] = []
    with subprocess.Popen(
        ["timeout", f"{limit:.0f}", sys.executable, *command],
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
    outcome = {"command": shown, "exit_status": process.returncode, "seconds": round(time.monotonic() - start, 1)}
    return outcome | {"summary": last[-1] if last else "", "failures": failures}


def tested(outcome: dict[str, Any]) -> bool:
    """Whether tests ran and all passed: skipping every one of them is no success."""
    return outcome["exit_status"] == 0 and bool(re.search(r"\d+ passed", outcome["summary"]))


def perform(name: str, folder: Path, quick: bool, limit: float) -> dict[str, Any]:
    """One part, with whether it passed and what it measured."""
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
    measured = folder / f"{name}.json"
    measured.unlink(missing_ok=True)
    if name == "tests":
        outcome = part([*pytest, "-n", "4", "-s", "-m", "gpu", "tests"], limit)
        return outcome | {"passed": tested(outcome)}
    if name == "verification":
        outcome = part([*pytest, "-n", "4", "tests/verification"], limit, PHASEFIELD_TEST_DEVICE="gpu")
        return outcome | {"passed": tested(outcome)}
    if name in CHECKS:
        command = ["scripts/gpu_checks.py", name]
    else:
        command = ["scripts/benchmark.py", "--device", "gpu", *(["--quick"] if quick else [])]
    outcome = part([*command, "--json", str(measured)], limit)
    found = json.loads(measured.read_text()) if measured.exists() else None
    measured.unlink(missing_ok=True)
    return outcome | {"passed": outcome["exit_status"] == 0 and found is not None, "found": found}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="folder of the record")
    parser.add_argument("--parts", nargs="+", choices=list(LIMITS), default=list(LIMITS))
    parser.add_argument("--minutes", type=float, help="of the whole call; parts that come too late are left out")
    parser.add_argument("--quick", action="store_true", help="a tiny benchmark")
    options = parser.parse_args()
    end = time.monotonic() + 60 * (options.minutes or 1e6)
    facts = smi()
    for name, value in facts.items():
        print(f"{name:>20} {value}")
    if reason := why_unavailable():
        print(f"no GPU: {reason}", file=sys.stderr)
        return 2
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(0)
    device = properties["name"].decode()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"gpu-{re.sub(r'[^a-z0-9]+', '-', device.lower()).strip('-')}.json"
    record = {
        "device": device,
        "compute_capability": f"{properties['major']}.{properties['minor']}",
        "multiprocessors": properties["multiProcessorCount"],
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "nvidia_smi": facts,
        "versions": versions(),
        "parts": json.loads(path.read_text()).get("parts", {}) if path.exists() else {},
    }
    skipped = []
    for name in options.parts:
        left = end - time.monotonic()
        if left < 30:
            skipped.append(name)
            continue
        record["parts"][name] = perform(name, options.out, options.quick, min(LIMITS[name], left - 10))
        record["nvidia_smi_afterwards"] = smi()
        path.write_text(json.dumps(record, indent=1) + "\n")
    print()
    for name in options.parts:
        outcome = "left out" if name in skipped else "passed" if record["parts"][name]["passed"] else "FAILED"
        print(f"{name}: {outcome}")
    print(path)
    return 0 if not skipped and all(record["parts"][name]["passed"] for name in options.parts) else 1


if __name__ == "__main__":
    sys.exit(main())
