#!/usr/bin/env bash
# A sweep over seeds: many small runs in a few processes, and what only their mean shows.
#
#     <η²>(t) = <η²>(0) (1/N) Σ_k exp(2 (1 - k²) t)
#
# White noise in an unstable state: every wave grows or decays at its own rate, -L (f'' + κ k²), and the mean over seeds follows
# the sum over the waves of the grid. On a cluster: `sbatch examples/sweep.sh`; with hydra/launcher=slurm instead of ensemble
# every member is a job of its own. The same command again runs what is missing.
#
# Run time: 33 s on 2 cores. Picture: sweep.png
#SBATCH --job-name=phasefield-sweep
#SBATCH --time=00:10:00
#SBATCH --cpus-per-task=2
set -euo pipefail
members=64
[ "${1:-}" = --quick ] && members=8 # smaller, for the tests of this project

runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT
phasefield run -m model=allen_cahn 'grid.shape=[64,64]' 'initial.eta={kind: noise, amplitude: 1e-4, conserve_mean: false}' \
    time.end=4 time.tolerance=0.005 output.every=0.5 output.picture=false "seed=range($members)" \
    output.dir="$runs/seeds" output.resume=auto hydra/launcher=ensemble > /dev/null

python - "$runs/seeds" << 'END'
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

members = [pf.open_run(path.parent).fields.eta for path in sorted(Path(sys.argv[1]).glob("*/fields.nc"))]
square = np.array([(eta**2).mean(["x", "y"]).values for eta in members])
growth, time = square / square[:, :1], members[0].time.values
wave = 2 * np.pi * np.fft.fftfreq(64)
rate = 1 - wave[:, None] ** 2 - wave**2
theory = np.array([np.exp(2 * rate * t).mean() for t in time])
mean, error = growth.mean(axis=0)[-1], growth.std(axis=0, ddof=1)[-1] / np.sqrt(len(members))

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained", gridspec_kw={"wspace": 0.08})
image = left.imshow(1e4 * members[0][-1].T, origin="lower", cmap="coolwarm", extent=(0, 64, 0, 64))
figure.colorbar(image, ax=left, label="order η, 10⁻⁴")
left.set(xlabel="x", ylabel="y", title=f"one of {len(members)} members, t = {time[-1]:g}")
right.semilogy(time, growth.T, color="C0", alpha=0.2, lw=0.8)
right.semilogy(time, growth.mean(axis=0), "o", color="C3", label="mean of the members")
right.semilogy(time, theory, "k--", lw=1, label="sum over waves")
right.set(xlabel="time t", ylabel="<η²> / <η²>(0)", title="growth of the mean square")
right.legend()
figure.savefig("sweep.png", dpi=150)

print(f"growth of the mean square: {mean:.2f} +- {error:.2f}, expected {theory[-1]:.2f} within three standard errors and 1 %")
assert abs(mean - theory[-1]) < 3 * error + 0.01 * theory[-1]
END
