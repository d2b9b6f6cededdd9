"""How well surrogates do: trained with and tested on microstructures that are made here, tables for docs/surrogate.md.

    python scripts/surrogate_validation.py FOLDER [--axes 2 3] [--property stiffness conductivity] [--queries 10000]

makes images in FOLDER (thresholded Gaussian fields, stretched ones, spinodal-like ones, particles), labels them (kept there, so
that a second call goes on), fits, and prints held-out errors, random queries and times. Two minutes of a core for two axes,
six for three.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from phasefield.homogenize import build, read_file
from phasefield.upscale.surrogate import Settings, fit, predict
from phasefield.upscale.surrogate.checking import try_promises

SHAPES = {2: (64, 64), 3: (32, 32, 32)}
COUNTS = {2: 400, 3: 200}
KINDS = ("gaussian", "stretched", "spinodal", "particles")


def microstructure(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Labels 0 and 1; fractions 0.15 to 0.85, lengths from 4 voxels (3.5 in 3-D) to an eighth of the edge (a fifth)."""
    dim = len(shape)
    rng = np.random.default_rng([dim, seed])
    kind = KINDS[seed % len(KINDS)]
    fraction = rng.uniform(0.15, 0.85)
    low, high = (4.0, shape[0] / 8) if dim == 2 else (3.5, shape[0] / 5)
    length = rng.uniform(low, high)
    if kind == "particles":
        places = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
        solid, wanted = np.zeros(shape, bool), min(fraction, 1 - fraction)
        while solid.mean() < wanted:
            centre = rng.uniform(0, 1, dim) * shape
            solid |= (
                sum(((x - c + n / 2) % n - n / 2) ** 2 for x, c, n in zip(places, centre, shape, strict=True))
                < length**2
            )
        return (solid if fraction < 0.5 else ~solid).astype(np.int8)
    k = 2 * np.pi * np.stack(np.meshgrid(*[np.fft.fftfreq(n) for n in shape], indexing="ij"))
    if kind == "stretched":
        logs = rng.uniform(-0.6, 0.6, dim)
        turn, _ = np.linalg.qr(rng.standard_normal((dim, dim)))
        k = np.exp(logs - logs.mean()).reshape(-1, *[1] * dim) * np.tensordot(turn, k, 1)
    size = np.sqrt((k**2).sum(0))
    peak = 2 * np.pi / (2.2 * length)
    weight = (
        np.exp(-(((size - peak) / (0.25 * peak)) ** 2) / 2)
        if kind == "spinodal"
        else np.exp(-((size * length) ** 2) / 8)
    )
    values = np.fft.ifftn(np.fft.fftn(rng.standard_normal(shape)) * weight).real
    return (values > np.quantile(values, 1 - fraction)).astype(np.int8)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--axes", type=int, nargs="+", default=[2, 3])
    options.add_argument("--property", nargs="+", default=["stiffness", "conductivity"])
    options.add_argument("--queries", type=int, default=10000)
    given = options.parse_args()
    for dim in given.axes:
        images = given.folder / f"axes{dim}"
        images.mkdir(parents=True, exist_ok=True)
        for seed in range(COUNTS[dim]):
            if not (path := images / f"{seed:04d}.npy").exists():
                np.save(path, microstructure(SHAPES[dim], seed))
        for prop in given.property:
            one(images, dim, prop, given.queries)


def one(images: Path, dim: int, prop: str, queries: int) -> None:
    """A surrogate and its row of the table."""
    settings = Settings(
        property=prop, samples=3, test=0.35, validation=0.1, threads=1, device="cpu",
        output=str(images / f"{prop}.nc"), cache=str(images / f"{prop}_labels.jsonl"),
    )  # fmt: skip
    begin = time.process_time()
    surrogate, _, notes = fit([str(images)], settings)
    about, test = surrogate.about, surrogate.about["errors"]["test"]
    print(f"\n{'x'.join(map(str, SHAPES[dim]))} {prop}: {notes[-1]}; {time.process_time() - begin:.0f} s of CPU time")
    print("| test samples | median | p95 | largest |")
    print(f"| {test['samples']} | {test['median']:.4f} | {test['p95']:.4f} | {test['largest']:.4f} |")
    for third in about["by_contrast"]:
        print(f"| contrast {third['from']:.3g} to {third['to']:.3g} | {third['median']:.4f} | {third['p95']:.4f} |")
    print("p95 per component", np.round(test["component_p95"], 5).tolist())
    print("coverage of two standard deviations", about["coverage"])
    image = read_file(images / "0000.npy")
    value = {"stiffness": [{"E": 1.0, "nu": 0.3}, {"E": 8.0, "nu": 0.25}], "conductivity": [1.0, 8.0]}[prop]
    material = build({"phases": {"a": {prop: value[0]}, "b": {prop: value[1]}}})
    answers = [predict(surrogate, image, material, True) for _ in range(30)]
    whole, process = (float(np.min([getattr(a, k) for a in answers])) for k in ("seconds", "of_process"))
    ratios = f"{about['seconds'] / whole:.0f} and {about['seconds'] / process:.0f} times"
    print(
        f"prediction {1e3 * whole:.2f} ms with the image's voxels and moments, {1e3 * process:.2f} ms without (least of 30); "
        f"solve {1e3 * about['seconds']:.1f} ms (median): {ratios}"
    )
    print(try_promises(surrogate, queries, 1), flush=True)


if __name__ == "__main__":
    main()
