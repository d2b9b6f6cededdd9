"""A cuboid: a coherent precipitate of another lattice constant, in a crystal that is soft along its axes.

    ∂c/∂t = M ∇² (f' - κ ∇²c + ∂e/∂c),   e = ½ (ε - ε₀ c δ) : C : (ε - ε₀ c δ),   ∇·σ = 0

The misfit ε₀ strains both phases. Stiffness is cubic with C44 > (C11 - C12)/2, so that strain costs least across <100>, and a
circle becomes a square with these sides. Nothing holds the body but its thickness along z, so that the mean strain in the plane
is that of Vegard's law, ε₀ times the mean c, times (C11 + 2 C12)/(C11 + C12).

Run time: 5 s on 2 cores. Picture: cuboid.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
CELLS, RADIUS, END = (48, 11, 60) if QUICK else (96, 22, 500)
MISFIT, C11, C12 = 0.035, 1.977, 1.181  # the stiffnesses of the preset, over C44

run = pf.run(
    "model=cuboids",
    f"model.parameters.misfit={MISFIT}",
    f"grid.shape=[{CELLS},{CELLS}]",
    f"initial.c={{kind: circles, centers: [[{CELLS / 2},{CELLS / 2}]], radii: [{RADIUS}], inside: 1, outside: 0.02, width: 4}}",
    f"time.end={END}",
    f"output.every={END / 4}",
)
history, fields = run.history, run.fields
strain = float(history.mean_strain_xx[-1])
expected = MISFIT * float(history.mean_c[-1]) * (C11 + 2 * C12) / (C11 + C12)

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained", gridspec_kw={"wspace": 0.1})
fields.c.isel(time=-1).plot(x="x", ax=left, cmap="cividis", cbar_kwargs={"label": "composition c"})
left.contour(fields.x, fields.y, fields.c.isel(time=0).transpose("y", "x"), [0.5], colors="w", linestyles="--")
left.set(aspect="equal", xlabel="x", ylabel="y", title=f"t = {END}; at first, dashed")
elastic = history.free_energy_elastic
right.plot(history.time, elastic / float(elastic[0]))
right.set(xlabel="time t", ylabel="elastic energy over that of the circle", title="corners that cost less")
figure.savefig("cuboid.png", dpi=150)

x, y = np.meshgrid(fields.x - CELLS / 2, fields.y - CELLS / 2, indexing="ij")
inside = fields.c.isel(time=-1).transpose("x", "y").values > 0.5
print(
    f"cos 4φ, mean over the precipitate: {np.cos(4 * np.arctan2(y, x))[inside].mean():.3f}, 0 of a circle, less of a square"
)
print(f"mean strain: {strain:.8f}, expected {expected:.8f} within 1e-8")
assert abs(strain - expected) < 1e-8
