#!/usr/bin/env bash
# Killed and resumed: a run that dies without warning goes on from its checkpoint, to the bits of one that was left alone.
#
#     u_resumed(t) - u_unbroken(t) = 0
#
# `kill -9` leaves no time to write anything. The checkpoint is always whole, and fields.nc is cut back to it. With
# `output.resume=auto` the same command would start the run, go on with it, and leave it once it has ended.
#
# Run time: 16 s on 2 cores. Picture: resume.png
set -euo pipefail
cells=256 end=100 step=0.02
[ "${1:-}" = --quick ] && cells=96 end=50 step=0.001 # smaller and longer, for the tests of this project

keys=("grid.shape=[$cells,$cells]" "time.end=$end" time.adaptive=false time.dt=$step "output.every=$((end / 10))")
runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT

phasefield run "${keys[@]}" output.dir="$runs/unbroken" > /dev/null

phasefield run "${keys[@]}" output.dir="$runs/killed" output.checkpoint=0.2 > /dev/null &
run=$!
until [ -f "$runs/killed/checkpoint.npz" ]; do kill -0 "$run"; sleep 0.05; done
touch "$runs/mark"
until [ "$runs/killed/checkpoint.npz" -nt "$runs/mark" ]; do kill -0 "$run"; sleep 0.05; done # one from its midst
kill -KILL "$run" # an error here, or above: the run had ended; make it longer
wait "$run" 2> /dev/null || true
phasefield resume "$runs/killed" > /dev/null 2> "$runs/messages"

python - "$runs" << 'END'
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

unbroken, killed = (pf.open_run(Path(sys.argv[1]) / name) for name in ("unbroken", "killed"))
messages = Path(sys.argv[1], "messages").read_text()
again = float(messages.split("resuming at time ")[1].split(",")[0])
differ = int(np.count_nonzero(unbroken.fields.c.values != killed.fields.c.values))

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained", gridspec_kw={"wspace": 0.08})
c = killed.fields.c.isel(time=-1)
image = left.imshow(c.T, origin="lower", cmap="RdBu_r", vmin=0, vmax=1, extent=(0, len(c.x), 0, len(c.y)))
figure.colorbar(image, ax=left, label="concentration c")
left.set(xlabel="x", ylabel="y", title=f"t = {float(c.time):.0f}")
for run, style, label in ((unbroken, {"lw": 4, "color": "0.75"}, "unbroken"), (killed, {"color": "C0"}, "killed and resumed")):
    right.plot(run.history.time, run.history.free_energy, label=label, **style)
right.axvline(again, color="C3", ls="--", lw=1, label=f"resumed at t = {again:.1f}")
right.set(xlabel="time t", ylabel="free energy F", title="history.nc")
right.legend()
figure.savefig("resume.png", dpi=150)

print(f"values of {c.size * len(killed.fields.time)} that differ, resumed at t = {again:.1f}: {differ}, expected 0")
assert differ == 0
END
