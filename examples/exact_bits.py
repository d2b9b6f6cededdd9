"""The exact bits: a run that was stopped and resumed is the run that was not, and no other.

    u_resumed(t) - u_unbroken(t) = 0,   |δu(t)| ~ |δu(0)| exp(σ_max t),   σ_max = M f''²/(4κ)

Structures form by instability: the smallest difference grows until it is seen, at the rate of the fastest wave. So nothing but
the same bits is the same run. The third run differs from the first by 1e-13 in one cell.

Run time: 5 s on 2 cores. Picture: exact_bits.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
N, END = (48, 30) if QUICK else (128, 60)
keys = (
    "model=cahn_hilliard",
    "time.adaptive=false",
    "time.dt=0.05",
    f"output.every={END / 30}",
    "output.picture=false",
)

start = 0.5 + 1e-5 * np.random.default_rng(1).standard_normal((N, N))
nudged = start.copy()
nudged[N // 2, N // 2] += 1e-13


def simulate(values, **more):
    return pf.run(*keys, initial={"c": values}, grid={"shape": [N, N]}, time={"end": END}, **more)


unbroken = simulate(start).fields.c
stopped = simulate(start, callbacks=[({"times": [END / 2]}, lambda moment: moment.stop())])
resumed = pf.resume(stopped.path).fields.c
other = simulate(nudged).fields.c
bits = int(np.count_nonzero(resumed.values.view(np.uint64) != unbroken.values.view(np.uint64)))
apart = np.abs(other - unbroken).max(["x", "y"])

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained", gridspec_kw={"wspace": 0.08})
image = left.imshow(unbroken[-1].T, origin="lower", cmap="RdBu_r", vmin=0, vmax=1, extent=(0, N, 0, N))
figure.colorbar(image, ax=left, label="concentration c")
left.set(xlabel="x", ylabel="y", title=f"t = {END}")
right.semilogy(apart.time, apart, "o-", ms=3, color="C3", label="1e-13 in one cell")
grows = apart.time[8:22]
right.semilogy(grows, 5 * apart[8] * np.exp(0.25 * (grows - grows[0])), "k--", lw=1, label="exp(σ_max t)")
right.axhline(1e-18, color="C0", lw=3, label="stopped and resumed: exactly 0")
right.set(xlabel="time t", ylabel="largest difference from the unbroken run", ylim=(3e-19, 1))
right.legend(fontsize=8)
figure.savefig("exact_bits.png", dpi=150)

print(
    f"values of {resumed.size} that differ after resuming: {bits}, expected 0; one nudged cell: {apart.values[-1]:.0e}"
)
assert bits == 0
assert apart[-1] > 0
