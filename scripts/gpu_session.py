"""Runs what needs a GPU and records it in gpu-<device name>.json and .md in the output folder; see gpu_session.sh.

Parts run one after another, each in a process and with a time limit of its own. The record is written after each part, and by
the parts after every row, in files of their own: what was found stays when the session is cut off. A later call with other
parts and the same folder adds to the record.
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
import tempfile
import time
from pathlib import Path
from typing import Any

from gpu_environment import CHECKOUT, collect, complete, prepare

#: Parts in order, with the seconds each may take: first what shows whether all works, last what compiles for the CPU as well.
LIMITS = {
    "tests": 240,
    "graphs": 90,
    "large": 150,
    "homogenize": 120,
    "benchmark": 270,
    "pairs": 60,
    "verification": 240,
    "agreement": 240,
    "profile": 90,
}
CHECKS = ("graphs", "large", "homogenize", "pairs", "agreement", "profile")
#: Seconds a part has to end after it was told to, and that the session needs for itself.
GRACE = 10
FACTS = (
    "name", "driver_version", "memory.total", "clocks.sm", "clocks.mem", "clocks.max.sm", "clocks.max.mem",
    "persistence_mode", "power.limit", "ecc.mode.current",
)  # fmt: skip
PACKAGES = ("cupy-cuda13x", "cupy-cuda12x", "nvidia-cufft", "nvidia-cuda-nvrtc", "numpy", "numba", "sympy")


def smi(bus: str) -> dict[str, str]:
    """What nvidia-smi knows of the GPU at an address on the bus; empty without it."""
    command = ["nvidia-smi", "-i", bus, f"--query-gpu={','.join(FACTS)}", "--format=csv,noheader"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    except (OSError, subprocess.SubprocessError) as error:
        print(f"nvidia-smi: {error}")
        return {}
    return dict(zip(FACTS, (part.strip() for part in lines[0].split(", ")), strict=False)) if lines else {}


def versions() -> dict[str, Any]:
    import cupy
    from cupy.cuda import cufft, nvrtc

    from phasefield.provenance import git_commit, version

    found: dict[str, Any] = {"phasefield": version(), "commit": git_commit(), "python": platform.python_version()}
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
    """Runs one part with its output shown; its exit status (124 or 137: out of time), duration and last lines."""
    shown = " ".join([*(f"{k}={v}" for k, v in environment.items()), "python", *command])
    print(f"\n$ {shown}", flush=True)
    start = time.monotonic()
    last: list[str] = []
    with subprocess.Popen(
        ["timeout", "-k", str(GRACE), f"{limit:.0f}", sys.executable, *command],
        env=os.environ | environment,
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            last = [*last, line.rstrip()][-200:]
    failures = [line for line in last if line.startswith(("FAILED", "ERROR"))]
    outcome = {"command": shown, "exit_status": process.returncode, "seconds": round(time.monotonic() - start, 1)}
    return outcome | {"summary": last[-1] if last else "", "failures": failures[:20]}


def tested(outcome: dict[str, Any]) -> bool:
    """Whether tests ran and all passed: skipping every one of them is no success."""
    return outcome["exit_status"] == 0 and bool(re.search(r"\d+ passed", outcome["summary"]))


def commands(name: str, measured: Path, quick: bool) -> list[str]:
    """What a part runs; it leaves its rows in ``measured``, if it has any."""
    if name in ("tests", "verification"):
        # A few processes share the card; a test of the CPU that cannot be imported keeps nobody from running.
        pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "4", "--continue-on-collection-errors"]
        return [*pytest, "tests/gpu" if name == "tests" else "tests/verification"]
    if name in CHECKS:
        return ["scripts/gpu_checks.py", name, "--json", str(measured)]
    output = str(measured.with_suffix(""))
    return ["scripts/benchmark.py", "--device", "gpu", "--output", output, *(["--quick"] if quick else [])]


def perform(name: str, folder: Path, quick: bool, limit: float) -> dict[str, Any]:
    """One part, with whether it passed and what it measured."""
    measured = folder / f"{name}.json"
    measured.unlink(missing_ok=True)
    command = commands(name, measured, quick)
    if "pytest" in command:
        outcome = part(command, limit, PHASEFIELD_TEST_DEVICE="gpu")
        return outcome | {"passed": tested(outcome)}
    outcome = part(command, limit)
    found = json.loads(measured.read_text()) if measured.exists() else None
    return outcome | {"passed": outcome["exit_status"] == 0 and found is not None, "found": found}


def markdown(record: dict[str, Any]) -> str:
    """The record for people: what passed, and what every check found."""
    out = [f"{record['device']}, {record['date']}, {json.dumps(record['versions'])}", ""]
    out += ["| part | passed | seconds | exit status | last line |", "| --- | --- | --- | --- | --- |"]
    for name, outcome in record["parts"].items():
        cells = (
            name,
            "yes" if outcome["passed"] else "NO",
            outcome["seconds"],
            outcome["exit_status"],
            outcome["summary"],
        )
        out.append("| " + " | ".join(str(c).replace("|", "/")[:160] for c in cells) + " |")
    for name, outcome in record["parts"].items():
        rows = outcome.get("found")
        if isinstance(rows, list):
            out += ["", f"{name}:", "", *(f"- {json.dumps(row)}" for row in rows)]
    return "\n".join(out) + "\n"


def write(record: dict[str, Any], path: Path) -> None:
    """Both forms, each as a whole: a session may be cut off at any moment."""
    for suffix, text in ((".json", json.dumps(record, indent=1) + "\n"), (".md", markdown(record))):
        aside = path.with_suffix(f"{suffix}.new")
        aside.write_text(text)
        aside.replace(path.with_suffix(suffix))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="folder of the record")
    parser.add_argument("--parts", nargs="+", choices=list(LIMITS), default=list(LIMITS))
    parser.add_argument("--minutes", type=float, help="of the whole call; parts that come too late are left out")
    parser.add_argument("--quick", action="store_true", help="a tiny benchmark")
    parser.add_argument("--wheels", type=Path, help="folder of wheels for what this python lacks")
    parser.add_argument(
        "--collect", type=Path, metavar="FOLDER", help="gather those wheels here, with a network, and end"
    )
    parser.add_argument("--without", nargs="+", default=[], help="with --collect: projects that the device has")
    parser.add_argument("--prepared", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    start = time.monotonic() - float(os.environ.pop("PHASEFIELD_SESSION_SPENT", "0"))
    if options.collect:
        collect(options.collect, options.without)
        return 0
    scratch = Path(tempfile.gettempdir()) / f"phasefield-gpu-session-{os.getuid()}"
    # One for all parts, of kernels for both devices; HOME may not be there to be written to.
    os.environ.setdefault("PHASEFIELD_CACHE", str(scratch / "cache"))
    if not (options.prepared or complete()):
        python = prepare(scratch / "environment", options.wheels)
        os.environ["PHASEFIELD_SESSION_SPENT"] = str(time.monotonic() - start)
        os.environ.pop("PYTHONPATH", None)
        os.execv(python, [python, str(Path(__file__).resolve()), "--prepared", *sys.argv[1:]])
    return session(options, start + 60 * (options.minutes or 1e6))


def session(options: argparse.Namespace, end: float) -> int:
    """All parts, until ``end``."""
    from phasefield.backend.cuda import why_unavailable

    if reason := why_unavailable():
        print(f"no GPU: {reason}", file=sys.stderr)
        return 2
    import cupy

    device_id = cupy.cuda.runtime.getDevice()
    properties = cupy.cuda.runtime.getDeviceProperties(device_id)
    bus = cupy.cuda.runtime.deviceGetPCIBusId(device_id)
    facts = smi(bus)
    for name, value in facts.items():
        print(f"{name:>20} {value}")
    device = properties["name"].decode()
    options.out = options.out.resolve()
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
        left = end - time.monotonic() - 2 * GRACE
        if left < 20:
            skipped.append(name)
            continue
        record["parts"][name] = perform(name, options.out, options.quick, min(LIMITS[name], left))
        record["nvidia_smi_afterwards"] = smi(bus)
        write(record, path)
    print()
    for name in options.parts:
        outcome = "left out" if name in skipped else "passed" if record["parts"][name]["passed"] else "FAILED"
        print(f"{name}: {outcome}")
    print(path)
    return 0 if not skipped and all(record["parts"][name]["passed"] for name in options.parts) else 1


if __name__ == "__main__":
    sys.exit(main())
