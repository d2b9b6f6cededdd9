"""`phasefield scales`: how far microstructure and structure are apart, and where it warns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


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
