"""What notebooks show: runs, sweeps, and a run while it goes on."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from test_cli import TINY, Command, phasefield

import phasefield as pf
from phasefield import api, notebook

__all__ = ["phasefield"]

RUN = (*TINY.split(), "grid.shape=[16,16]", "time.end=2")
HOSTILE = '<script>alert("1")</script>'


class Pictures(list[bytes]):
    """Takes pictures in place of a notebook."""

    def __call__(self, png: bytes) -> None:
        assert png.startswith(b"\x89PNG")
        self.append(png)


def test_a_run_shows_itself(tmp_path: Path) -> None:
    run = pf.run(*RUN, f"title='{HOSTILE}'", output={"dir": tmp_path / "<b>bold"}, model={"description": HOSTILE})
    page = run._repr_html_()
    assert "&lt;b&gt;bold" in page
    assert "<b>bold" not in page
    assert "<script" not in page
    assert "<div>finished</div>\n<div>11 snapshots from time 0 to 2</div>" in page
    assert re.search(r"free_energy</td><td[^>]*>\d", page)
    assert re.findall(r'(?:src|href)="(.{22})', page) == ["data:image/png;base64,"]
    assert not (run.path / "fields.png").exists()
    # What is not there, or not yet whole, is said.
    (run.path / "fields.nc").write_bytes(b"\x89HDF")
    assert "cannot be read" in run._repr_html_() or "truncated" in run._repr_html_()
    assert "not started" in api.Run(tmp_path / "none")._repr_html_()


def test_a_sweep_shows_itself(phasefield: Command, tmp_path: Path) -> None:
    assert phasefield(f"run -m {TINY} seed=1,2 model.fields.c.mobility=1,-1 output.dir=many").code == 1
    sweep = pf.open_sweep("many")
    assert (len(sweep), len(list(sweep))) == (4, 2)
    assert sweep[2].history.attrs["seed"] == 2
    page = sweep._repr_html_()
    assert (page.count(">done<"), page.count("a finite number &gt;= 0")) == (2, 2)
    assert page.index(">seed<") < page.index(">model.fields.c.mobility<") < page.index(">-1<")
    with pytest.raises(KeyError, match="members of the sweep are 0, 1, 2, 3"):
        sweep["4"]
    with pytest.raises(pf.PhasefieldError, match="holds no sweep"):
        pf.open_sweep("many/0")
    with pytest.raises(pf.PhasefieldError, match="open_sweep"):
        pf.open_run("many")


@pytest.mark.parametrize(
    "given",
    [
        ("model=spinodal", "grid.units=nm"),
        ("grid.shape=[16]", "initial.c=0.5+0.1*cos(2*pi*x/16)", "output.observables=[statistics]"),
        (
            "model=grain_growth",
            "model.fields.eta.components=3",
            "initial.eta.grains=2",
            "grid.shape=[8,8,8]",
            "time.end=0.2",
        ),
    ],
    ids=["plane", "line", "components of a body"],
)
def test_a_picture_of_the_state_at_hand(
    tmp_path: Path, given: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    shown = Pictures()
    view = notebook.Live(api.spec_of(*RUN, *given), shown, share=1)
    given = (*given, "time.max_steps=9")
    run = pf.run(*RUN, *given, output={"dir": tmp_path / "run"}, callbacks=[({"steps": 4}, view)])
    view.finish(run.path)
    assert len(set(shown)) == len(shown) == 4  # each another state
    assert "cannot be drawn" not in caplog.text


def test_a_picture_that_fails_ends_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken(png: bytes) -> None:
        raise RuntimeError("no room")

    view = notebook.Live(api.spec_of(*RUN), broken)
    with caplog.at_level(logging.WARNING, "phasefield"):
        run = pf.run(*RUN, output={"dir": tmp_path / "run"}, callbacks=[({"steps": 1}, view)])
    assert run.outcome is not None
    assert run.outcome.reason == "finished"
    assert caplog.text.count("no room") == 1


def test_drawing_takes_its_share_of_the_time(tmp_path: Path) -> None:
    shown = Pictures()
    view = notebook.Live(api.spec_of(*RUN), shown, share=1e-6)
    pf.run(*RUN, output={"dir": tmp_path / "run"}, callbacks=[({"steps": 1}, view)])
    assert len(shown) == 1


def test_live_without_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    followed = []
    real = api.run
    monkeypatch.setattr(api, "run", lambda *a, progress=False, **k: (followed.append(progress), real(*a, **k))[1])
    run = pf.live(*RUN, "time.max_steps=3", output={"dir": tmp_path / "run"})
    assert followed == [True]
    assert pf.live(run, "time.max_steps=5").history.step[-1] == 5
    with pytest.raises(pf.ConfigError, match="every"):
        pf.live(*RUN, every=0)


@pytest.mark.slow  # starts a kernel
def test_in_a_notebook(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    import nbformat

    cells = [
        "import phasefield as pf\nfrom phasefield.notebook import live\n"
        "drawn = []\nreal = live.picture\nlive.picture = lambda *a: (drawn.append(a[2]), real(*a))[1]",
        f"run = pf.live(*{RUN!r}, every=1e-3, output={{'dir': 'run'}})",
        "run",
        "print(len(drawn), drawn[-1], drawn == sorted(drawn))",
        "run = pf.live(run, time={'end': 3}); print(drawn[-1])",
        f"pf.explain(*{RUN!r}, measure=False)",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbclient.NotebookClient(
        book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [cell.outputs for cell in book.cells]
    # One picture, however often it was drawn.
    assert [list(o.data) for o in outputs[1] if o.output_type == "display_data"] == [["image/png", "text/plain"]]
    assert "finished" in outputs[2][0].data["text/html"]
    count, last, ordered = outputs[3][0].text.split()
    assert (int(count) >= 2, last, ordered) == (True, "2.0", "True")
    assert outputs[4][-1].text.strip() == "3.0"
    assert "inside the spinodal" in outputs[5][0].data["text/html"]
