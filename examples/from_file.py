"""Start from another program's file: the same picture as PNG, TIFF, NumPy array and NetCDF is the same initial condition.

    c(x, y, 0) = grey value / full scale,   dc/dt = M ∇² μ,   <c> = const.

An electron micrograph (tests/data tells its source), written as other programs would; of pictures columns are x, rows y upwards.
Cahn-Hilliard dynamics then sharpens it, and keeps its mean grey, which Pillow tells.

Run time: 4 s on 2 cores. Picture: from_file.png
"""

import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tifffile
import xarray as xr
from PIL import Image, ImageStat

import phasefield as pf

QUICK = "--quick" in sys.argv  # smaller, for the tests of this project
N, END = (64, 4) if QUICK else (256, 40)

picture = (
    Image.open(Path(__file__).parents[1] / "tests" / "data" / "nanoporous_gold.png").convert("L").crop((0, 0, N, N))
)
rows = np.asarray(picture)  # rows from the top
runs = {}
with tempfile.TemporaryDirectory() as folder:
    picture.save(f"{folder}/start.png")
    tifffile.imwrite(f"{folder}/start.tif", rows)
    np.save(f"{folder}/start.npy", rows[::-1].T / 255)  # arrays are indexed x, y
    xr.Dataset({"grey": (("y", "x"), rows[::-1] / 255)}).to_netcdf(f"{folder}/start.nc")
    for suffix, keys in {
        ".png": "",
        ".tif": "",
        ".npy": "range: [0, 1], scale: [0, 1]",
        ".nc": "variable: grey",
    }.items():
        runs[suffix] = pf.run(
            f"initial.c={{kind: file, path: {folder}/start{suffix}, {keys or 'range: [0, 1]'}}}",
            f"grid.shape=[{N},{N}]",
            f"time.end={END}",
            "output.picture=false",
        )
first = runs[".png"].fields.c
for suffix, run in runs.items():
    assert (run.fields.c[0].values == first[0].values).all(), f"{suffix} starts otherwise"
mean, expected = float(first[-1].mean()), ImageStat.Stat(picture).mean[0] / 255

figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained", gridspec_kw={"wspace": 0.08})
for ax, shown, title in zip(axes, (first[0], first[-1]), ("the file", f"t = {END}"), strict=True):
    image = ax.imshow(shown.T, origin="lower", cmap="bone", vmin=0, vmax=1, extent=(0, N, 0, N))
    ax.set(xlabel="x", ylabel="y", title=title)
figure.colorbar(image, ax=axes, label="grey value, concentration c")
figure.savefig("from_file.png", dpi=150)

print(f"mean of the field at the end: {mean:.9f}, expected {expected:.9f} (of the picture, by Pillow) within 1e-9")
assert abs(mean - expected) < 1e-9
