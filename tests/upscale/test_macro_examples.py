"""The examples say what docs/macro.md says they say: each asserted by its numbers."""

from __future__ import annotations

import itertools
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("skfem")
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def example(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def test_plate_with_hole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stretch, peak, apart, peaks_apart = example("plate_with_hole")["main"](tmp_path)
    assert (stretch, peak) == (pytest.approx(0.218779, rel=1e-4), pytest.approx(35.5343, rel=1e-4))
    if apart is None:
        pytest.skip("CalculiX (ccx) is not installed")
    assert apart < 1e-5
    assert peaks_apart < 1e-5


def test_fe2() -> None:
    force, linear, error, residuals, hill = example("fe2")["main"]()
    assert force == pytest.approx(0.137333, rel=1e-4)
    assert linear == pytest.approx(0.098664, rel=1e-4)
    assert error < 1e-8
    assert hill < 1e-8
    last = residuals[-3:]
    assert last[-1] < 1e-8
    assert all(b < max(a**2, 1e-9) for a, b in itertools.pairwise(last))


@pytest.mark.slow
def test_scales() -> None:
    errors, order = example("scales")["main"]()
    assert errors[16] == pytest.approx(-0.0038, abs=1e-4)
    assert order == pytest.approx(1.2, abs=0.05)
    assert errors[16] / errors[8] == pytest.approx(0.5, abs=0.05)


def test_scales_of_few_tiles(caplog: pytest.LogCaptureFixture) -> None:
    """The same up to 1/8: the error halves with the tile."""
    run: Callable[..., Any] = example("scales")["main"]
    errors, _ = run((4, 8))
    assert np.abs(list(errors.values())) == pytest.approx([0.0186, 0.0081], abs=2e-4)


def test_the_command_tells_the_scales(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    from phasefield import cli

    x = np.arange(32)
    np.save(tmp_path / "layers.npy", np.broadcast_to((x // 8 % 2).astype(np.uint8)[:, None], (32, 32)))
    (tmp_path / "m.yaml").write_text("phases: {a: {conductivity: 1 W/(m K)}, b: {conductivity: 9 W/(m K)}}\n")

    def answer(line: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(line.format(tmp_path).split())
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    made = "homogenize {0}/layers.npy material={0}/m.yaml properties=conductivity two_grid=false mixing=false"
    assert answer(f"{made} spacing=1um")[0] == 0
    code, out, _ = answer("scales {0}/layers_properties.nc length=1mm")
    assert code == 0
    assert "l/L" not in caplog.text
    micro = float(out.split("microstructure ")[1].split()[0])
    code, _, _ = answer("scales {0}/layers_properties.nc length=50um period=1s relaxation=20ms")
    assert code == 0
    assert f"l/L = {micro / 50e-6:.2g} is above 0.1" in caplog.text
    assert "tau/T = 0.02 is above 0.016" in caplog.text
    for bad, said in (
        ("", "length: is missing"),
        ("length=-1mm", "length: is -0.001"),
        ("length=1mm period=1s", "relaxation: is missing"),
    ):
        code, _, err = answer(f"scales {{0}}/layers_properties.nc {bad}")
        assert (code, said in err) == (2, True)
    assert answer(made)[0] == 0
    code, _, err = answer("scales {0}/layers_properties.nc length=1mm")
    assert (code, "lengths without a unit" in err) == (2, True)
    assert answer("scales {0}/layers_properties.nc length=1mm micro=10um")[0] == 0
