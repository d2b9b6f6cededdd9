"""PFHub benchmarks 1a and 1b against the community's uploads: runs both, draws the curves, prints the table of docs/pfhub.md.

python scripts/pfhub.py [--end 1e4] [--out docs/results]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from matplotlib.figure import Figure

import phasefield as pf
from phasefield.report.reading import reference_of

DATA = Path(__file__).resolve().parents[1] / "docs" / "data" / "pfhub"
TIMES = (0.0, 1.0, 10.0, 100.0, 1000.0, 10000.0)


def community(benchmark: str) -> dict[str, np.ndarray]:
    """Upload -> array of (time, free energy)."""
    curves = {}
    for path in sorted(DATA.glob(f"{benchmark}_*.csv")):
        _, t, f = reference_of(path)
        rows = np.column_stack([t, f])
        curves[path.stem.removeprefix(f"{benchmark}_")] = rows[np.argsort(rows[:, 0], kind="stable")]
    return curves


def row(name: str, t: np.ndarray, f: np.ndarray, note: str = "") -> str:
    """A line of the table; a dash where the curve does not reach."""
    cells = [f"{np.interp(x, t, f):.2f}" if t[0] <= x <= t[-1] else "-" for x in TIMES]
    return f"| {name} | {' | '.join(cells)} | {note} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--end", type=float, default=1e4)
    parser.add_argument("--out", type=Path, default=DATA.parents[1] / "results")
    options = parser.parse_args()
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    for axes, benchmark in zip(figure.subplots(1, 2, sharey=True), ("1a", "1b"), strict=True):
        with TemporaryDirectory() as folder:
            start = time.perf_counter()
            run = pf.run(f"experiment=pfhub/{benchmark}", f"time.end={options.end}", f"output.dir={folder}/run")
            seconds = time.perf_counter() - start
            history = run.history
            t, f = history.time.values, history.free_energy.values
        print(
            f"\n| {benchmark} | "
            + " | ".join(f"F({x:g})" for x in TIMES)
            + " | |\n"
            + "| --- " * (len(TIMES) + 2)
            + "|"
        )
        print(row("**phasefield**", t, f, f"{int(history.step[-1])} steps, {seconds:.1f} s in all"))
        for name, curve in community(benchmark).items():
            print(row(name, curve[:, 0], curve[:, 1]))
            axes.plot(curve[:, 0], curve[:, 1], lw=1, alpha=0.7, label=name)
        axes.plot(t, f, "k", lw=1.8, label="phasefield")
        axes.set(
            xscale="log", xlim=(0.5, options.end), ylim=(0, 340), xlabel="time", title=f"PFHub benchmark {benchmark}"
        )
        axes.legend(fontsize=7.5, loc="lower left")
    figure.axes[0].set_ylabel("free energy")
    options.out.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out / "pfhub_1.png", dpi=130)


if __name__ == "__main__":
    main()
