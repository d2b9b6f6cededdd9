"""From three kinds of input to a card: precipitates of a sweep, polycrystals, and a micrograph that the project did not make.

    K* = (C11 + 2 C12)/3 of any polycrystal of cubic grains

Each goes the whole way by the commands: statistics of its samples, a record, a material card for CalculiX. Cubic grains are all
compressed alike, so that the bulk modulus of nickel is that of its crystal, however the grains lie (Hill, Proc. Phys. Soc. A 65
(1952) 349). `python examples/real_inputs.py FOLDER` keeps all files.

Run time: 51 s on 2 cores. Picture: real_inputs.png
"""

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import phasefield as pf
from phasefield import cli

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
N, GRAINS, SAMPLES = (10, 12, 3) if QUICK else (20, 30, 4)
#: Scanning electron micrograph of nanoporous gold, see tests/data/README.md for its source and licence.
MICROGRAPH = Path(__file__).resolve().parents[1] / "tests" / "data" / "nanoporous_gold.png"
C11, C12, C44 = 246.5, 147.3, 124.7
NICKEL = {"C11": f"{C11} GPa", "C12": f"{C12} GPa", "C44": f"{C44} GPa"}
ALUMINIUM, SILICIDE = {"E": "70 GPa", "nu": 0.33}, {"E": "180 GPa", "nu": 0.25}
EPOXY, GOLD = {"E": "3.35 GPa", "nu": 0.35}, {"E": "79 GPa", "nu": 0.42}
MATERIALS = {
    "precipitates": {"matrix": {"stiffness": ALUMINIUM}, "precipitate": {"stiffness": SILICIDE}},
    "polycrystals": {"nickel": {"stiffness": NICKEL}},
    "micrograph": {"epoxy": {"stiffness": EPOXY}, "gold": {"stiffness": GOLD}},
}


def polycrystal(seed):
    """Voronoi cells of random points in a periodic cube: the number of the nearest point."""
    points = np.random.default_rng(seed).uniform(0, N, (GRAINS, 3))
    centres = np.stack(np.meshgrid(*[np.arange(N) + 0.5] * 3, indexing="ij"), -1)[..., None, :]
    apart = np.abs(centres - points)
    return (np.minimum(apart, N - apart) ** 2).sum(-1).argmin(-1).astype(np.uint8)


def command(*words):
    """A command as it is typed."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            cli.main([str(w) for w in words])
    except SystemExit as end:
        if end.code:
            raise


def main(folder):
    """By name, what the record says of the stiffness; the cards are in the folder."""
    runs, crystals, out = folder / "precipitates", folder / "polycrystals", {}
    precipitates = ["initial.c.count=4", "initial.eta.count=4", "time.end=20"]
    command("run", "-m", "model=precipitate", "grid.shape=[64,64]", *precipitates, "seed=1,2,3", f"output.dir={runs}")
    crystals.mkdir()
    for seed in range(SAMPLES):
        np.save(crystals / f"{seed}.npy", polycrystal(seed))
    inputs = {
        "precipitates": [runs],
        "polycrystals": [crystals, "spacing=2um"],
        "micrograph": [MICROGRAPH, "sizes=[64]", "levels=[94,137]", "spacing=1.0859nm"],
    }
    for name, words in inputs.items():
        (folder / f"{name}.yaml").write_text(json.dumps({"name": name, "phases": MATERIALS[name]}))
        target, record = folder / f"{name}.nc", folder / f"{name}_record.json"
        command("statistics", *words, f"material={folder / name}.yaml", f"output={target}")
        command("export", target)
        command("export", record, "format=calculix", "units=mm-t-s", f"output={folder / name}.inp")
        out[name] = json.loads(record.read_text())["properties"]["stiffness"]
    return out


if __name__ == "__main__":
    given = [word for word in sys.argv[1:] if not word.startswith("-")]
    with contextlib.nullcontext(given[0]) if given else tempfile.TemporaryDirectory() as where:
        Path(where).mkdir(parents=True, exist_ok=True)
        found = main(Path(where))
        precipitates = pf.open_run(f"{where}/precipitates/0").fields.eta.isel(time=-1).values
    figure, axes = plt.subplots(1, 4, figsize=(10, 2.9), layout="constrained")
    axes[0].imshow(precipitates.T, origin="lower", cmap="cividis")
    axes[1].imshow(polycrystal(0)[:, :, 0].T, origin="lower", cmap="tab20")
    axes[2].imshow(Image.open(MICROGRAPH), cmap="gray")
    for ax, name in zip(axes, found, strict=False):
        ax.set(title=name, xticks=[], yticks=[])
    for i, (name, stiffness) in enumerate(found.items()):
        mean, spread = (np.array(v) / 1e9 for v in (stiffness["value"], stiffness["uncertainty"]["statistical"]["std"]))
        axes[3].bar(i, mean[0, 0], yerr=spread[0, 0], color=f"C{i}", capsize=4)
        print(
            f"{name}: C11, C12, C66 = {mean[0, 0]:.4g}, {mean[0, 1]:.4g}, {mean[5, 5]:.4g} GPa, C11 +- {spread[0, 0]:.2g} GPa"
        )
        if name == "polycrystals":
            bulk = mean[:3, :3].mean()
    axes[3].set(xticks=range(3), xticklabels=["Al", "Ni", "Au + epoxy"], title="C11, GPa", ylim=(0, 320))
    figure.savefig("real_inputs.png", dpi=150)
    expected = (C11 + 2 * C12) / 3
    print(f"bulk modulus of the polycrystals: {bulk:.3f} GPa, expected {expected:.3f} GPa within 0.01 %")
    assert abs(bulk / expected - 1) < 1e-4
