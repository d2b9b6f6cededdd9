"""What came of an experiment: python analyse.py [RUN_FOLDER] prints a summary and draws analysis.png into the folder."""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "runs" / "first"
run = pf.open_run(folder)
history, fields = run.history, run.fields  # xarray datasets: print them to see what they hold

energy = history.free_energy
print(f"{folder}: time {float(history.time[-1]):g}, {int(history.step[-1])} steps")
print(f"free energy {float(energy[0]):.6g} -> {float(energy[-1]):.6g}")

# Coarsening: how the characteristic length grows over the second half of the rows, L ~ t^n.
late = history.isel(time=slice(history.sizes["time"] // 2, None))
for name in (str(n) for n in history if str(n).startswith("characteristic_length")):
    length = late[name].values.reshape(late.sizes["time"], -1).mean(axis=1)
    good = np.isfinite(length) & (length > 0) & (late.time.values > 0)
    if good.sum() > 2:
        exponent = np.polyfit(np.log(late.time.values[good]), np.log(length[good]), 1)[0]
        print(f"{name}: {length[good][-1]:.4g} at the end, growing as t^{exponent:.2f}")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
energy.plot(ax=left)
last = next(iter(fields.values())).isel(time=-1)
while last.ndim > 2:  # the middle plane of a body, the first of several components
    last = last.isel({last.dims[0]: last.sizes[last.dims[0]] // 2})
last.plot(ax=right, **({"x": "x"} if last.ndim == 2 and "x" in last.dims else {}))
figure.savefig(folder / "analysis.png", dpi=150)
print(f"{folder / 'analysis.png'}: free energy over time, and the last snapshot")
