"""What is shown while something takes its time."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np


def test_homogenize_shows_how_far_it_is_on_a_terminal(tmp_path: Path) -> None:
    np.save(tmp_path / "scan.npy", np.random.default_rng(1).integers(0, 2, (24, 24)))
    arguments = ["homogenize", "scan.npy", "material=epoxy_glass", "solver.tolerance=1e-8"]
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "phasefield", *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=theirs, text=True
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert child.stdout is not None
    out = child.stdout.read()
    assert child.wait() == 0, shown.decode()
    assert "homogenizing" in shown.decode()
    assert "iteration " in shown.decode()
    assert "nearest isotropic" in out
    assert "homogenizing" not in out


def test_who_watches_sees_every_iteration() -> None:
    from phasefield.homogenize import Settings, build, from_array, homogenize
    from phasefield.mechanics.watch import watched

    x = (np.arange(16) + 0.5) / 16 - 0.5
    image = from_array((np.hypot(x[:, None], x) < 0.3).astype(int))
    material = build({"phases": {"a": {"conductivity": 1}, "b": {"conductivity": 10}}})
    seen: list[tuple[str, int, float, float]] = []
    settings = Settings(properties=("conductivity",), two_grid=False, mixing=False)
    with watched(lambda *told: seen.append(told)):
        (result,) = homogenize(image, material, settings)
    assert len(seen) == sum(result.iterations)
    assert seen[-1][2] <= seen[-1][3] == settings.solver.tolerance
    homogenize(image, material, settings)
    assert len(seen) == sum(result.iterations)
