"""Grain growth: a grain with fewer than six neighbours shrinks, one with more grows, at the rate of von Neumann and Mullins.

    dη_i/dt = -L (∂f/∂η_i - κ ∇²η_i),   dA/dt = (π/3) L κ (n - 6)

The rate depends on the number of sides n alone, neither on size nor shape (von Neumann 1952; Mullins, J. Appl. Phys. 27 (1956)
900), where boundaries are sharp. At a finite width junctions move ahead of their boundaries, which adds 2/√3 · 0.907 widths times
the speed at which the grain's junctions move outwards (docs/theory.md). It is taken off here. Grains of Voronoi cells between
walls; those at the walls are left out, and those whose n changes meanwhile.

Run time: 26 s on 2 cores. Picture: grain_growth.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
N, GRAINS, SEEDS, FROM, TO = (144, 24, [1], 20, 50) if QUICK else (176, 14, [1, 2, 3, 4, 5, 6], 30, 80)
WIDTH = 1.0  # of boundaries, √(κ/(2m))


def grains(eta):
    """Numbers of the connected pieces of all order parameters, and of each the area."""
    owner = eta.argmax("component_eta").values
    number, areas = np.zeros(owner.shape, int), {}
    for i in np.unique(owner):
        pieces, _ = ndimage.label(owner == i)
        number += np.where(pieces > 0, pieces + number.max(), 0)
    for grain in np.unique(number):
        inside = number == grain
        reach = ndimage.binary_dilation(inside, iterations=8)  # as far as its order parameter does
        areas[grain] = float(eta.values[owner[inside][0]][reach].sum())
    return number, areas


def junctions(eta, number):
    """By grains that meet: all places where they do, each with the direction away from every one of them."""
    squares = eta.values**2
    overlap = (squares.sum(0) ** 3 - 3 * squares.sum(0) * (squares**2).sum(0) + 2 * (squares**3).sum(0)) / 6
    spots, count = ndimage.label(overlap > 3e-4)  # it is 0.002 in the middle of a junction and 0 across a boundary
    slopes, found = np.gradient(eta.values, axis=(1, 2)), {}
    for spot in range(1, count + 1):
        x, y = ndimage.center_of_mass(overlap, spots, spot)
        away = {}
        for grain in np.unique(number[spots == spot]):
            i = np.bincount(eta.argmax("component_eta").values[number == grain]).argmax()
            slope = np.array([ndimage.map_coordinates(s[i], [[x], [y]], order=1)[0] for s in slopes])
            away[grain] = -slope / np.linalg.norm(slope)
        found.setdefault(frozenset(away), []).append((np.array([x, y]), away))
    return found


rows = []
for seed in SEEDS:
    run = pf.run(
        "model=grain_growth",  # L = 1, κ = 2, m = 1, eight order parameters for any number of grains
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
    sides = {grain: len(set().union(*(three for three in are if grain in three))) - 1 for grain in new}
    walls = np.concatenate([before[0], before[-1], before[:, 0], before[:, -1]])
    for grain in np.setdiff1d(before, walls):
        now = same[grain]
        mine = {three for three in was if now in three}
        # No two junctions have run into one, or are of the same grains.
        clear = all(len(three) == 3 and len(was[three]) == 1 for three in mine)
        if clear and mine == {three for three in are if now in three}:
            moved = 0.0
            for three in mine:
                (place, away), (new_place, new_away) = was[three][0], are[three][0]
                moved += (new_place - place) @ (away[now] + new_away[now]) / 2
            rate, push = (new[now] - old[grain]) / (TO - FROM), 2 / np.sqrt(3) * 0.907 * WIDTH * moved / (TO - FROM)
            rows.append((len(mine), rate, rate - push))
n, plain, rate = np.array(rows).T
slope, with_push = (float((n - 6) @ r / ((n - 6) @ (n - 6))) for r in (rate, plain))
expected = 2 * np.pi / 3

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained", gridspec_kw={"wspace": 0.08})
shown = np.vectorize(sides.get)(after)
image = left.imshow(shown.T, origin="lower", cmap=plt.get_cmap("PiYG_r", 7), vmin=2.5, vmax=9.5, extent=(0, N, 0, N))
left.contourf(eta.x, eta.y, (eta**2).sum("component_eta").T, [0, 0.75], colors="k")  # the sum is 1 in grains
figure.colorbar(image, ax=left, label="number of neighbours n", ticks=range(3, 10))
left.set(xlabel="x", ylabel="y", title=f"t = {TO}")
line = np.array([n.min() - 0.5, n.max() + 0.5])
right.plot(line, expected * (line - 6), color="0.4", label=f"(π/3) L κ (n - 6), {expected:.3f}")
right.plot(n, plain, "o", ms=4, mfc="none", color="0.6", label=f"grains, slope {with_push:.3f}")
right.plot(n, rate, "o", ms=4, color="C3", alpha=0.6, label=f"without the junctions' push, {slope:.3f}")
right.axhline(0, color="0.8", lw=0.8, zorder=0)
right.set(xlabel="number of neighbours n", ylabel="dA/dt", title="rate of the area")
right.legend(loc="upper left", fontsize=8)
figure.savefig("grain_growth.png", dpi=150)

print(f"dA/dt per side of {len(n)} grains: {slope:.3f}, expected {expected:.3f} within {1 if QUICK else 0.5} %")
assert abs(slope / expected - 1) < (0.01 if QUICK else 0.005)
