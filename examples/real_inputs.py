"""From three kinds of input to a card: precipitates of a sweep, polycrystals, and a micrograph that the project did not make.

Each goes the whole way by the commands: statistics of its samples, a record, and a material card for CalculiX. What CalculiX
takes from the cards is compared with the records in tests/upscale/test_real_inputs.py.
"""

import argparse
import contextlib
import io
import json
import tempfile
from pathlib import Path

import numpy as np

from phasefield import cli

#: Scanning electron micrograph of nanoporous gold, see tests/data/README.md for its source and licence.
MICROGRAPH = Path(__file__).resolve().parents[1] / "tests" / "data" / "nanoporous_gold.png"
NICKEL = {"C11": "246.5 GPa", "C12": "147.3 GPa", "C44": "124.7 GPa"}
MATERIALS = {
    "precipitates": {
        "matrix": {"stiffness": {"E": "70 GPa", "nu": 0.33}},
        "precipitate": {"stiffness": {"E": "180 GPa", "nu": 0.25}},
    },
    "polycrystals": {"nickel": {"stiffness": NICKEL}},
    "micrograph": {
        "epoxy": {"stiffness": {"E": "3.35 GPa", "nu": 0.35}},
        "gold": {"stiffness": {"E": "79 GPa", "nu": 0.42}},
    },
}


def polycrystal(seed, n=20, grains=30):
    """Voronoi cells of random points in a periodic cube: the number of the nearest point."""
    points = np.random.default_rng(seed).uniform(0, n, (grains, 3))
    centres = np.stack(np.meshgrid(*[np.arange(n) + 0.5] * 3, indexing="ij"), -1)[..., None, :]
    apart = np.abs(centres - points)
    return (np.minimum(apart, n - apart) ** 2).sum(-1).argmin(-1).astype(np.uint8)


def command(*words):
    """A command as it is typed; what it prints is returned."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            cli.main([str(w) for w in words])
        except SystemExit as end:
            if end.code:
                raise
    return said.getvalue()


def inputs(folder):
    """By name, the words that say which samples there are."""
    runs = folder / "precipitates"
    words = ["model=precipitate", "grid.shape=[64,64]", "initial.c.count=4", "initial.eta.count=4", "time.end=20"]
    command("run", "-m", *words, "seed=1,2,3", f"output.dir={runs}")
    crystals = folder / "polycrystals"
    crystals.mkdir()
    for seed in range(4):
        np.save(crystals / f"{seed}.npy", polycrystal(seed))
    return {
        "precipitates": [runs],
        "polycrystals": [crystals, "spacing=2um"],
        "micrograph": [MICROGRAPH, "sizes=[64]", "levels=[94,137]", "spacing=1.0859nm"],
    }


def main(folder):
    """By name, what the record says of the stiffness; the cards are in the folder."""
    folder, out = Path(folder), {}
    for name, words in inputs(folder).items():
        (folder / f"{name}.yaml").write_text(json.dumps({"name": name, "phases": MATERIALS[name]}))
        target, record = folder / f"{name}.nc", folder / f"{name}_record.json"
        command("statistics", *words, f"material={folder / name}.yaml", f"output={target}")
        command("export", target)
        command("export", record, "format=calculix", "units=mm-t-s", f"output={folder / name}.inp")
        out[name] = json.loads(record.read_text())["properties"]["stiffness"]
    return out


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", nargs="?", help="where everything goes; a temporary one unless told")
    given = options.parse_args()
    where = Path(given.folder or tempfile.mkdtemp())
    where.mkdir(parents=True, exist_ok=True)
    for what, stiffness in main(where).items():
        mean, spread = np.array(stiffness["value"]) / 1e9, stiffness["uncertainty"]["statistical"]["std"]
        print(f"{what}: C11, C12, C66 = {mean[0, 0]:.4g}, {mean[0, 1]:.4g}, {mean[5, 5]:.4g} GPa,", end=" ")
        print(f"standard uncertainty of C11 {np.array(spread)[0, 0] / 1e9:.2g} GPa")
    print(f"cards in {where}")
