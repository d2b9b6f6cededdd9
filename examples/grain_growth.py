"""Grain growth: a grain with fewer than six neighbours shrinks, one with more grows, at the rate of von Neumann and Mullins.

    dη_i/dt = -L (∂f/∂η_i - κ ∇²η_i),   dA/dt = (π/3) L κ (n - 6)

The rate depends on the number of sides n alone, neither on size nor shape (von Neumann 1952; Mullins, J. Appl. Phys. 27 (1956)
900), where boundaries are sharp. Junctions of finite width would run ahead of their boundaries; the preset's energy makes up
for it (docs/theory.md). Grains of Voronoi cells between walls; those at the walls are left out, those whose n changes
meanwhile, and those with a junction that is about to meet another.

Run time: 40 s on 2 cores. Picture: grain_growth.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
N, GRAINS, SEEDS, FROM, TO = (144, 24, [1], 20, 50) if QUICK else (240, 14, [2, 3, 4, 5], 50, 110)
WIDTH = 1.25  # √(κ/(2m)) of boundaries, in cells
APART = (7.0 if QUICK else 12.0) * WIDTH


def grains(eta):
    """Numbers of the connected pieces of all order parameters, and of each the area."""
    owner = eta.argmax("component_eta").values
    number, areas = np.zeros(owner.shape, int), {}
    for i in np.unique(owner):
        pieces, _ = ndimage.label(owner == i)
        number += np.where(pieces > 0, pieces + number.max(), 0)
    for grain in np.unique(number):
        inside = number == grain
        reach = ndimage.binary_dilation(inside, iterations=10)  # as far as its order parameter does
        areas[grain] = float(eta.values[owner[inside][0]][reach].sum())
    return number, areas


def junctions(eta, number):
    """Grains that meet, and where, one pair for every place where some do."""
    squares = eta.values**2
    overlap = (squares.sum(0) ** 3 - 3 * squares.sum(0) * (squares**2).sum(0) + 2 * (squares**3).sum(0)) / 6
    spots, count = ndimage.label(overlap > 2e-4)  # it is 0.001 in the middle of a junction and 0 across a boundary
    places = ndimage.center_of_mass(overlap, spots, range(1, count + 1))
    return [(frozenset(np.unique(number[spots == i])), np.array(place)) for i, place in enumerate(places, 1)]


rows = []
for seed in SEEDS:
    run = pf.run(
        "model=grain_growth",  # L = 1, κ = 2
        f"model.parameters.m={1 / WIDTH**2}",
        f"grid.shape=[{N},{N}]",
        "grid.boundary=no-flux",
        f"initial.eta={{kind: voronoi, grains: {GRAINS}, width: 1.5}}",
        f"seed={seed}",
        f"time.end={TO}",
        f"output.every={{times: [{FROM}]}}",
    )
    first, eta = run.fields.eta.sel(time=FROM), run.fields.eta.isel(time=-1)
    (before, old), (after, new) = grains(first), grains(eta)
    same = {grain: np.bincount(after[before == grain]).argmax() for grain in old}
    was, are = junctions(first, np.vectorize(same.get)(before)), junctions(eta, after)
    sides = {grain: len(set().union(*(three for three, _ in are if grain in three))) - 1 for grain in new}
    walls = np.concatenate([before[0], before[-1], before[:, 0], before[:, -1]])
    for grain in np.setdiff1d(before, walls):
        now = same[grain]
        mine, then = ([three for three, _ in found if now in three] for found in (are, was))
        apart = [np.linalg.norm(a - b) for three, a in are if now in three for _, b in are if b is not a]
        # No two junctions have run into one, are of the same grains, or near each other.
        clear = len(set(mine)) == len(mine) and all(len(three) == 3 for three in mine) and min(apart) > APART
        if clear and set(mine) == set(then):
            rows.append((len(mine), (new[now] - old[grain]) / (TO - FROM)))
n, rate = np.array(rows).T
slope = float((n - 6) @ rate / ((n - 6) @ (n - 6)))
expected = 2 * np.pi / 3

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained", gridspec_kw={"wspace": 0.08})
shown = np.vectorize(sides.get)(after)
image = left.imshow(shown.T, origin="lower", cmap=plt.get_cmap("PiYG_r", 7), vmin=2.5, vmax=9.5, extent=(0, N, 0, N))
left.contourf(eta.x, eta.y, (eta**2).sum("component_eta").T, [0, 0.75], colors="k")  # the sum is 1 in grains
figure.colorbar(image, ax=left, label="number of neighbours n", ticks=range(3, 10))
left.set(xlabel="x", ylabel="y", title=f"t = {TO}")
line = np.array([n.min() - 0.5, n.max() + 0.5])
right.plot(line, expected * (line - 6), color="0.4", label=f"(π/3) L κ (n - 6), {expected:.3f}")
right.plot(n, rate, "o", ms=4, color="C3", alpha=0.6, label=f"grains, slope {slope:.3f}")
right.axhline(0, color="0.8", lw=0.8, zorder=0)
right.set(xlabel="number of neighbours n", ylabel="dA/dt", title="rate of the area")
right.legend(loc="upper left", fontsize=8)
figure.savefig("grain_growth.png", dpi=150)

print(f"dA/dt per side of {len(n)} grains: {slope:.3f}, expected {expected:.3f} within {1 if QUICK else 0.5} %")
assert abs(slope / expected - 1) < (0.01 if QUICK else 0.005)
