"""Rafting: a load gives a coherent precipitate of another stiffness a direction, with the load or across it.

    ∂c/∂t = M ∇² (f' - κ ∇²c + ∂e/∂c),   e = ½ (ε - ε₀ c δ) : C(c) : (ε - ε₀ c δ),   ∇·σ = 0,   <σ_xx> = s

A disk lengthens along the axis of the load s where s ε₀ (E_precipitate - E_matrix) is positive, and across it where that is
negative (A. Pineau, Acta Metall. 24 (1976) 559). The free energy, which counts the work of the load, never rises. Colours are
the stress of von Mises, a field of its own in fields.nc.

Run time: 15 s on 2 cores. Picture: rafting.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
CELLS, RADIUS, END = (32, 7, 15) if QUICK else (64, 14, 120)
START = (
    f"{{kind: circles, centers: [[{CELLS / 2},{CELLS / 2}]], radii: [{RADIUS}], inside: 1, outside: 0.02, width: 3}}"
)
MISFIT, YOUNG, LOAD = 0.02, 2.5, 0.03  # energies in units of C44, as those of the preset

figure, panels = plt.subplots(2, 2, figsize=(7, 6.2), layout="constrained", sharex=True, sharey=True)
lengths = {}
for row, ratio in zip(panels, (2.0, 0.5), strict=True):
    for axes, load in zip(row, (LOAD, -LOAD), strict=True):
        stiffness = ", ".join(
            f"{name}: {{stiffness: {{E: {young}, nu: 0.3}}}}"
            for name, young in (("matrix", YOUNG), ("particle", YOUNG * ratio))
        )
        run = pf.run(
            "model=cuboids",
            "model.elastic.stiffness=null",
            f"model.parameters.misfit={MISFIT}",
            f"model.elastic={{material: {{phases: {{{stiffness}}}}}, load: {{stress: {{xx: {load}}}}}}}",
            f"grid.shape=[{CELLS},{CELLS}]",
            f"initial.c={START}",
            "output.fields=[stress_xx,von_mises]",
            f"time.end={END}",
        )
        last = run.fields.isel(time=-1)
        c = last.c.transpose("x", "y").values
        weight, x = np.clip((c - 0.1) / 0.8, 0, 1), np.arange(CELLS) + 0.5 - CELLS / 2
        along, across = (weight * x[:, None] ** 2).sum(), (weight * x[None, :] ** 2).sum()
        lengths[load, ratio] = (along - across) / (along + across)
        energy = run.history.free_energy.values
        assert (np.diff(energy) <= 1e-9 * np.abs(energy[1:])).all()  # no rise: the load's work is part of it
        assert abs(float(last.stress_xx.mean()) / load - 1) < 1e-6
        last.stress_von_mises.plot(x="x", ax=axes, cmap="magma", cbar_kwargs={"label": "von Mises stress"})
        axes.contour(last.x, last.y, c.T, [0.5], colors="w")
        axes.set(
            aspect="equal",
            title=f"{'hard' if ratio > 1 else 'soft'}, {'tension' if load > 0 else 'compression'} along x",
        )
figure.savefig("rafting.png", dpi=150)

for (load, ratio), length in lengths.items():
    print(f"load {load:+.2f}, E ratio {ratio}: (<x²> - <y²>)/(<x²> + <y²>) = {length:+.3f}")
agree = [np.sign(length) == np.sign(load * MISFIT * (ratio - 1)) for (load, ratio), length in lengths.items()]
print(f"direction as of the sign of load x misfit x difference of stiffness: {sum(agree)} of {len(agree)}, expected 4")
assert all(agree)
assert min(map(abs, lengths.values())) > 0.01
