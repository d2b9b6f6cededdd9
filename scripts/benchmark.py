"""Cost of a time step against the bare pair of transforms it contains, and against memory, measured in one process.

    python scripts/benchmark.py                                # CPU: the table of docs/performance.md
    python scripts/benchmark.py --device gpu --output docs/results/benchmark_gpu
    python scripts/benchmark.py --peers                        # also homogenization, and other programs on the same work
    python scripts/benchmark.py --quick                        # tiny, to see that it runs

The bare pair is the planned, aligned, in-place real transform of all components and its inverse, with the same threads: pyFFTW's
on the CPU, cuFFT's on a GPU. Step and pair alternate, and the median of the rounds is reported with its spread, for machines
are shared and their speed drifts. Bytes are those of a step whose every pass goes to memory: each kernel's arrays, and two
reads and two writes of a field (three in 3-D on a CPU) per transform.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import platform
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import benchmark_homogenize as homogenization
import numpy as np
import sympy as sp
from benchmark_peers import PEERS
from waves import Problem, chirp, filled, release

from phasefield.api import spec_of
from phasefield.backend import Apply, Backend, Forward, Inverse, Layout, select
from phasefield.codegen import Kernel, array_symbol
from phasefield.errors import PhasefieldError
from phasefield.grid import Grid
from phasefield.mechanics.options import Options
from phasefield.provenance import version
from phasefield.simulation import Simulation

SCHEMES = ("imex1", "etdms2", "etdms3", "sbdf2")
CAHN_HILLIARD = ("model=cahn_hilliard",)


@dataclass(frozen=True)
class Case:
    """A row of the table: a problem and how it is stepped."""

    label: str
    shape: tuple[int, ...]
    scheme: str
    precision: str = "double"
    overrides: tuple[str, ...] = CAHN_HILLIARD
    adaptive: bool = False

    def spec(self, device: str, threads: int | None) -> Any:
        return spec_of(
            *self.overrides, f"grid.shape={list(self.shape)}", f"time.scheme={self.scheme}", f"precision={self.precision}",
            f"time.adaptive={str(self.adaptive).lower()}", "time.dt=0.01", "time.end=1e9", f"device={device}",
            "output.observables=[free_energy]", *([f"threads.cpu={threads}"] if threads else []),
        )  # fmt: skip


def fan_chen(components: int) -> tuple[str, ...]:
    return "model=grain_growth", f"model.fields.eta.components={components}"


def cases(device: str, quick: bool) -> list[Case]:
    if quick:
        return [Case("periodic", (64, 64), "etdms2"), Case("adaptive", (64, 64), "etdms2", adaptive=True)]
    walls = (*CAHN_HILLIARD, "grid.boundary=no-flux")
    if device == "gpu":
        return gpu_cases(walls)
    planes = ([256] * 2, [512] * 2, [1024] * 2, [2048] * 2, [128] * 3, [256] * 3)
    rows = [Case("periodic", tuple(s), scheme) for s in planes for scheme in SCHEMES]
    rows += [Case("periodic", tuple(s), "etdms2", "single") for s in planes]
    rows += [Case("adaptive", tuple(s), "etdms3", adaptive=True) for s in planes]
    rows += [
        Case("no-flux", s, "etdms2", overrides=walls) for s in ((256, 256), (512, 512), (1024, 1024), (128, 128, 128))
    ]
    return rows + [Case(f"{n} fields", (256, 256), "etdms2", overrides=fan_chen(n)) for n in (4, 20)]


def gpu_cases(walls: tuple[str, ...]) -> list[Case]:
    """Few, for a card may be lent for minutes; those that matter most first."""
    return [
        Case("periodic", (512,) * 3, "imex1", "single"),
        Case("periodic", (512,) * 3, "etd1", "single"),
        Case("periodic", (1024,) * 3, "imex1", "single"),
        Case("periodic", (1024,) * 3, "etd1", "single"),
        Case("periodic", (512,) * 3, "imex1"),
        Case("periodic", (512,) * 3, "etdms3"),
        Case("adaptive", (512,) * 3, "etdms3", adaptive=True),
        Case("periodic", (256,) * 3, "etdms3"),
        Case("adaptive", (256,) * 3, "etdms3", adaptive=True),
        Case("periodic", (512, 512), "imex1"),
        Case("adaptive", (512, 512), "etdms3", adaptive=True),
        Case("adaptive", (2048, 2048), "etdms3", adaptive=True),
        Case("no-flux", (512, 512), "etdms3", overrides=walls),
        Case("no-flux", (256,) * 3, "etdms3", overrides=walls),
        Case("20 fields", (256, 256), "etdms3", overrides=fan_chen(20)),
    ]


# -- measuring --------------------------------------------------------------------------------------------------------


def timed(function: Callable[[], Any], repeats: int, synchronize: Callable[[], None]) -> float:
    """Seconds per call."""
    synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    synchronize()
    return (time.perf_counter() - start) / repeats


def alternate(
    jobs: dict[str, Callable[[], Any]], rounds: int, seconds: float, backend: Backend
) -> dict[str, list[float]]:
    """Seconds per call of every job, round by round; each is warmed up again before it is timed."""
    repeats = {}
    for name, job in jobs.items():
        timed(job, 2, backend.synchronize)
        repeats[name] = max(3, int(seconds / max(timed(job, 3, backend.synchronize), 1e-6)))
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            timed(job, max(1, repeats[name] // 4), backend.synchronize)
            times[name].append(timed(job, repeats[name], backend.synchronize))
    return times


def bare_pair(backend: Backend, layout: Layout, components: int) -> Callable[[], None]:
    """The transforms of a step and nothing else."""
    work = backend.buffer(layout, components)
    if backend.name != "cpu":
        program = backend.program(layout, [Forward("u", components), Inverse("u", components)])
        return lambda: program({"u": work})  # type: ignore[return-value]
    import pyfftw

    cells = work[..., : layout.cells[2]]
    axes = tuple(1 + p for p in layout.places)
    options: dict[str, Any] = {"axes": axes, "threads": backend.threads, "flags": ("FFTW_MEASURE",)}  # type: ignore[attr-defined]
    if layout.parts == 2:
        modes = work.view(np.result_type(work.dtype, np.complex64))
        forward = pyfftw.FFTW(cells, modes, **options)
        inverse = pyfftw.FFTW(modes, cells, direction="FFTW_BACKWARD", **options)
    else:
        kinds = {"dct": ("FFTW_REDFT10", "FFTW_REDFT01"), "dst": ("FFTW_RODFT10", "FFTW_RODFT01")}
        both = [kinds[axis.basis] for axis in layout.grid.axes]
        forward = pyfftw.FFTW(cells, cells, direction=tuple(f for f, _ in both), **options)
        inverse = pyfftw.FFTW(cells, cells, direction=tuple(b for _, b in both), **options)
    work[...] = 0  # planning leaves noise behind, which would grow

    def pair() -> None:
        forward.execute()
        inverse.execute()

    return pair


def copy_bandwidth(backend: Backend, shape: tuple[int, ...], rounds: int) -> tuple[int, float]:
    """Bytes of an array, and bytes per second of a scaled copy ``b = s a`` through a compiled kernel, reads and writes counted.

    The numbers differ from cell to cell: of equal ones a device's memory needs less power, and runs faster.
    """
    layout = Layout(Grid(shape, (1.0,) * len(shape), ("periodic",) * len(shape)))
    # Reads one array and writes another, so that no compiler turns it into a library call.
    scale = sp.Symbol("scale", real=True)
    kernel = Kernel("scaled_copy", "real", {"a": 1, "b": 1}, {"b": [scale * array_symbol("a", 0)]}, scalars=["scale"])
    program = backend.program(layout, [Apply(kernel)])
    start = chirp(len(shape), amplitude=0.5)
    arrays = {name: filled(backend, layout, start, transform=False) for name in "ab"}
    times = alternate({"copy": lambda: program(arrays, {"scale": 1.5})}, rounds, 0.1, backend)["copy"]
    size = layout.grid.cells * np.dtype(backend.dtype).itemsize
    return size, 2 * size / statistics.median(times)


def traffic(sim: Simulation | Problem) -> float:
    """Bytes per cell of a step whose passes all go to memory."""
    kernels = [k.kernel for k in sim.integrator.kernels if not k.kernel.name.startswith("start_")]
    components, channels = sim.split.components, sim.split.channels
    evaluations = 1 + len(sim.scheme.stages)
    fields = sum(k.touches * (evaluations if k.space == "real" else 1) for k in kernels)
    passes = 3 if sim.backend.name != "cpu" and sim.grid.dim == 3 else min(2, sim.grid.dim)
    fields += 2 * passes * (components + channels) * evaluations
    if sim.backend.name == "cpu":  # the pointwise kernel and the rows around it are one pass
        fields -= 2 * (components + channels) * evaluations
    return fields * np.dtype(sim.backend.dtype).itemsize


def prepared(case: Case, device: str, threads: int | None) -> tuple[Simulation | Problem, float]:
    """A problem that has made its first steps, and the bytes it holds."""
    spec = case.spec(device, threads)
    if device != "cpu":  # filled there: initial values on the host would take longer than the measurement
        backend = select(device, case.precision, threads)  # type: ignore[arg-type]
        free = backend.memory_available()
        problem = Problem(spec, backend, chirp(len(case.shape)))
        stepping(problem, case.adaptive)
        return problem, free - backend.memory_available()
    Simulation(spec)  # compiles: what is left to the second one is arrays and plans
    tracemalloc.start()
    sim = Simulation(spec)
    stepping(sim, case.adaptive)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return sim, kept


def stepping(sim: Simulation | Problem, adaptive: bool) -> Callable[[], None]:
    """A step; some have been made, for the first ones may need what the later ones do not."""
    integrator, size = sim.integrator, 0.01

    def step() -> None:
        if adaptive:
            integrator.attempt(sim.carry, size, sim.carry.t + size)
        else:
            integrator.step(sim.carry, size, sim.carry.t + size)

    for _ in range(4):
        if adaptive:
            end = sim.carry.t + size
            integrator.accept(sim.carry, integrator.attempt(sim.carry, size, end), size, end)
        else:
            step()
    return step


def measure(case: Case, device: str, threads: int | None, rounds: int, seconds: float) -> dict[str, Any]:
    """One row of the table."""
    sim, kept = prepared(case, device, threads)
    backend, layout, step = sim.backend, sim.layout, stepping(sim, case.adaptive)
    jobs = {"pair": bare_pair(backend, layout, sim.split.components), "step": step}
    times = alternate(jobs, rounds, seconds, backend)
    ratios = [s / p for s, p in zip(times["step"], times["pair"], strict=True)]
    cells = math.prod(case.shape)
    step_time = statistics.median(times["step"])
    field = cells * sim.split.components * np.dtype(backend.dtype).itemsize
    return {
        **{k: v for k, v in asdict(case).items() if k != "overrides"},
        "device": backend.description, "threads": getattr(backend, "threads", None), "components": sim.split.components,
        "step_ms": 1e3 * step_time, "pair_ms": 1e3 * statistics.median(times["pair"]),
        "ratio": statistics.median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios),
        "cells_per_second": cells / step_time, "bytes_per_cell": traffic(sim),
        "bytes_per_second": traffic(sim) * cells / step_time, "fields_kept": kept / field,
    }  # fmt: skip


def peers(n: int, rounds: int, threads: int | None) -> list[dict[str, Any]]:
    """Seconds per step of every program that is installed, as ratios to the bare pair in the same run."""
    sim = Simulation(Case("", (n, n), "etdms2").spec("cpu", threads))
    jobs: dict[str, Callable[[], Any]] = {"pair": bare_pair(sim.backend, sim.layout, 1)}
    jobs["phasefield (etdms2)"] = lambda: sim.integrator.step(sim.carry, 0.01, sim.carry.t + 0.01)
    for name, (module, make) in PEERS.items():
        if module is None or importlib.util.find_spec(module):
            jobs[name] = make(n)
    times = alternate(jobs, rounds, 0.2, sim.backend)
    return [
        {
            "program": name, "shape": [n, n], "step_ms": 1e3 * statistics.median(values),
            "ratio": statistics.median(v / p for v, p in zip(values, times["pair"], strict=True)),
        }
        for name, values in times.items()
    ]  # fmt: skip


# -- output -----------------------------------------------------------------------------------------------------------

HEAD = (
    f"{'problem':>10} {'grid':>12} {'scheme':>7} {'prec.':>6} {'step ms':>9} {'pair ms':>9} {'ratio':>6} {'min-max':>11} "
    f"{'Mcells/s':>9} {'B/cell':>7} {'GB/s':>6} {'of copy':>7} {'fields':>7}"
)


def line(row: dict[str, Any], bandwidth: float) -> str:
    return (
        f"{row['label']:>10} {'x'.join(map(str, row['shape'])):>12} {row['scheme']:>7} {row['precision']:>6} "
        f"{row['step_ms']:9.3f} {row['pair_ms']:9.3f} {row['ratio']:6.2f} {row['ratio_min']:5.2f}-{row['ratio_max']:5.2f} "
        f"{row['cells_per_second'] / 1e6:9.1f} {row['bytes_per_cell']:7.0f} {row['bytes_per_second'] / 1e9:6.1f} "
        f"{row['bytes_per_second'] / bandwidth:7.2f} {row['fields_kept']:7.2f}"
    )


def markdown(record: dict[str, Any]) -> str:
    """The table for people."""
    bandwidth = record["copy_bytes_per_second"]
    out = [
        f"{record['rows'][0]['device']}, phasefield {record['version']}, {record['platform']}; scaled copy of "
        f"{record['copy_bytes'] >> 20} MiB {bandwidth / 1e9:.0f} GB/s; medians of {record['rounds']} rounds.",
        "",
        "| problem | grid | scheme | precision | step ms | pair ms | ratio | min-max | Mcells/s | B/cell | GB/s | fields kept |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in record["rows"]:
        out.append(
            f"| {r['label']} | {'x'.join(map(str, r['shape']))} | {r['scheme']} | {r['precision']} | {r['step_ms']:.3f} | "
            f"{r['pair_ms']:.3f} | {r['ratio']:.2f} | {r['ratio_min']:.2f}-{r['ratio_max']:.2f} | "
            f"{r['cells_per_second'] / 1e6:.0f} | {r['bytes_per_cell']:.0f} | {r['bytes_per_second'] / 1e9:.1f} | "
            f"{r['fields_kept']:.1f} |"
        )
    if "peers" in record:
        shape = "x".join(map(str, record["peers"][0]["shape"]))
        out += [
            "",
            f"A step at {shape}, in the same run:",
            "",
            "| program | step ms | of the pair |",
            "| --- | --- | --- |",
        ]
        out += [f"| {r['program']} | {r['step_ms']:.3f} | {r['ratio']:.2f} |" for r in record["peers"]]
    if "homogenization" in record:
        out += ["", "Homogenization, all in seconds:", "", homogenization.markdown(record["homogenization"]).rstrip()]
    return "\n".join(out) + "\n"


def roofline(record: dict[str, Any], path: Path) -> None:
    """Cell updates per second against bytes per cell; the line is what memory allows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    rows = record["rows"]
    span = np.array([0.8 * min(r["bytes_per_cell"] for r in rows), 1.25 * max(r["bytes_per_cell"] for r in rows)])
    bandwidth = record["copy_bytes_per_second"]
    axes.plot(span, bandwidth / span / 1e6, color="0.3", label=f"memory: scaled copy, {bandwidth / 1e9:.0f} GB/s")
    markers = {"periodic": "o", "adaptive": "s", "no-flux": "^"}
    sizes = sorted({math.prod(r["shape"]) for r in rows})
    colours = plt.get_cmap("viridis")
    for r in rows:
        shade = colours(sizes.index(math.prod(r["shape"])) / max(1, len(sizes) - 1))
        face = "none" if r["precision"] == "single" else shade
        point = (r["bytes_per_cell"], r["cells_per_second"] / 1e6)
        axes.plot(*point, markers.get(r["label"], "D"), mec=shade, mfc=face)
    for label, marker in [*markers.items(), ("many fields", "D")]:
        axes.plot([], [], marker, color="0.5", label=label)
    axes.plot([], [], "o", mec="0.5", mfc="none", label="single precision")
    scale = plt.cm.ScalarMappable(plt.Normalize(0, 1), colours)
    bar = figure.colorbar(scale, ax=axes, ticks=[0, 1], label="cells")
    bar.ax.set_yticklabels([f"{sizes[0]:.1e}", f"{sizes[-1]:.1e}"])
    axes.set(
        xscale="log", yscale="log", xlabel="bytes per cell and step", ylabel="cell updates per second (millions)",
        title=record["rows"][0]["device"],
    )  # fmt: skip
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def selected(rows: Sequence[Case], options: argparse.Namespace) -> list[Case]:
    """The cases asked for."""
    return [
        case
        for case in rows
        if (not options.schemes or case.scheme in options.schemes)
        and (not options.problems or case.label in options.problems)
        and (not options.grids or "x".join(map(str, case.shape)) in options.grids)
    ]


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    out.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    out.add_argument("--threads", type=int, help="threads on the CPU (default: all)")
    out.add_argument("--schemes", nargs="+", help="only these schemes")
    out.add_argument("--problems", nargs="+", help="only these: periodic, adaptive, no-flux, '20 fields' ...")
    out.add_argument("--grids", nargs="+", help="only these grids, e.g. 512x512")
    out.add_argument("--rounds", type=int, default=7)
    out.add_argument("--peers", action="store_true", help="time other programs that are installed, too")
    out.add_argument(
        "--output",
        type=Path,
        help="write OUTPUT.json and the table OUTPUT.md, after every row, and the roofline OUTPUT.png",
    )
    out.add_argument("--quick", action="store_true", help="tiny grids, to see that it runs")
    return out


def main() -> int:
    options = parser().parse_args()
    seconds = 0.005 if options.quick else 0.15
    chosen = selected(cases(options.device, options.quick), options)
    if not chosen:
        parser().error("no case is left; see --schemes, --problems and --grids")

    # Far more than a cache holds.
    shape = (64, 64) if options.quick else (512, 512, 512) if options.device == "gpu" else (4096, 2048)
    backend = select(options.device, "double", options.threads)
    size, bandwidth = copy_bandwidth(backend, shape, options.rounds)
    print(f"{backend.description}; scaled copy of {size >> 20} MiB: {bandwidth / 1e9:.1f} GB/s\n{HEAD}")
    del backend
    release(options.device)
    record: dict[str, Any] = {
        "version": version(), "platform": platform.platform(), "numpy": np.__version__, "rounds": options.rounds,
        "copy_bytes": size, "copy_bytes_per_second": bandwidth, "rows": [], "errors": [],
    }  # fmt: skip
    for case in chosen:
        try:
            record["rows"].append(measure(case, options.device, options.threads, options.rounds, seconds))
            print(line(record["rows"][-1], bandwidth), flush=True)
        except PhasefieldError as error:  # the others are worth having
            record["errors"].append(f"{case.label} {case.shape} {case.scheme} {case.precision}: {error}")
            print(record["errors"][-1], flush=True)
        release(options.device)
        write(record, options.output)  # at once: what was found stays if a later case fails or comes too late
    if options.peers:
        record["peers"] = peers(64 if options.quick else 512, options.rounds, options.threads)
        print(f"\n{'program':>20} {'step ms':>9} {'of the pair':>11}")
        for row in record["peers"]:
            print(f"{row['program']:>20} {row['step_ms']:9.3f} {row['ratio']:11.2f}")
    if options.device == "cpu" and (options.peers or options.quick):
        print(f"\n{homogenization.HEAD}")
        solver = Options(tolerance=homogenization.TOLERANCE, threads=options.threads)
        grid = 16 if options.quick else None
        record["homogenization"] = homogenization.measure(grid, options.rounds, options.peers, solver)
    write(record, options.output)
    if options.output and record["rows"]:
        roofline(record, options.output.with_suffix(".png"))
    return 1 if record["errors"] else 0


def write(record: dict[str, Any], output: Path | None) -> None:
    """The data and the table."""
    if output and record["rows"]:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
        output.with_suffix(".md").write_text(markdown(record))


if __name__ == "__main__":
    sys.exit(main())
