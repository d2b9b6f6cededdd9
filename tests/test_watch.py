"""``phasefield watch`` and ``view``: what is served and to whom, the page in a browser, a run in the terminal."""

from __future__ import annotations

import io
import json
import re
import shutil
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.console import Console
from test_cli import Command, phasefield, process
from test_export_fields import TIMES, run_folder

from phasefield.errors import OutputError
from phasefield.report.views import color_table
from phasefield.signals import Stop
from phasefield.store import RecordFile, RunFolder, Variable
from phasefield.watching.curves import POINTS, Panel, thinned
from phasefield.watching.look import Look
from phasefield.watching.server import POLICY, Site, serving
from phasefield.watching.terminal import follow, shades, sparkline

__all__ = ["phasefield"]

#: What a canvas c shows: rows, columns, colours.
READ = "return [c.height, c.width, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def watched(folder: Path, dimension: int = 2) -> dict[str, np.ndarray]:
    """A run's folder with fields.nc and history.nc; the values of the fields."""
    values = run_folder(folder, dimension)
    names = ("step", "dt", "free_energy", "free_energy_bulk", "min_c", "max_c", "mean_c")
    scalars = [Variable(name, ("time",), "f8") for name in ("time", *names)]
    of_eta = [Variable(f"{name}_eta", ("time", "component_eta"), "f8") for name in ("min", "max")]
    coords = {"component_eta": (np.arange(1, 4), {})}
    history = RecordFile.create(folder / "history.nc", coords, [*scalars, *of_eta], {})
    t = np.array([0.0, 1e-3, 0.5, 4.0])
    rows = {"time": t, "step": np.arange(4), "dt": 0.1 * (1 + t), "free_energy": 9 - t, "free_energy_bulk": 5 - t}
    history.append(
        {name: np.asarray(v, float) for name, v in rows.items()}
        | {"min_c": np.full(4, -0.5), "max_c": np.full(4, 1.5), "mean_c": np.full(4, 0.5)}
        | {"min_eta": np.tile([0.0, -1.0, -2.0], (4, 1)), "max_eta": np.tile([1.0, 2.0, 3.0], (4, 1))}
    )
    return values


class Client:
    """Asks a site, as a browser does."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str = "", address: str | None = None, **headers: str) -> tuple[int, Any, bytes]:
        request = urllib.request.Request((address or self.address) + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def json(self, path: str) -> Any:
        return json.loads(self.get(path)[2])

    def snapshot(self, query: str) -> tuple[dict[str, Any], np.ndarray]:
        """A snapshot: what is told of it, and its values as [right, up], as they lie in the run."""
        code, headers, content = self.get(f"snapshot?{query}")
        assert code == 200, content
        head = json.loads(headers["X-Picture"])
        kind = ("<f4", ()) if head["kind"] == "values" else ("u1", (3,))
        return head, np.frombuffer(content, kind[0]).reshape(head["rows"], head["columns"], *kind[1])[::-1].swapaxes(
            0, 1
        )


@contextmanager
def site(folder: Path, **more: Any) -> Iterator[Client]:
    with serving(Site(folder, **more)) as address:
        yield Client(address)


def test_who_is_served(tmp_path: Path) -> None:
    watched(tmp_path / "run")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").iterdir()}
    served = Site(tmp_path / "run")
    with serving(served) as address:
        client = Client(address)
        whole = re.fullmatch(r"(http://127\.0\.0\.1:(\d+)/)([\w-]{32,})/", client.address)
        assert whole
        root, port, token = whole.groups()
        for path in ("", "watch.js", "plot.js", "watch.css", "state", "snapshot?index=0"):
            code, headers, content = client.get(path)
            assert (code, bool(content)) == (200, True)
            assert headers["Content-Security-Policy"] == POLICY
            assert "default-src 'none'" in POLICY
            assert "unsafe" not in POLICY
            assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
            assert "Access-Control-Allow-Origin" not in headers
        # Nobody without the token, nobody whose browser was told that another name is this machine.
        for address in (root, f"{root}{token[:-1]}/", f"{root}state", f"{root}x/{token}/"):
            assert client.get(address=address)[0] == 404
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "", "[::2]"):
            assert client.get("state", Host=host)[0] == 421, host
        for host in (f"localhost:{port}", "127.0.0.1:9000", "[::1]:80"):  # as through ssh -L
            assert client.get("state", Host=host)[0] == 200
        # A browser is started with a ticket instead, for others see command lines; it is good for one call.
        ticket = served.ticket()
        with urllib.request.urlopen(f"{root}{ticket}/", timeout=10) as answer:
            assert (answer.status, answer.url) == (200, client.address)
        assert client.get(address=f"{root}{ticket}/")[0] == 404
        # No path becomes one of a file, nothing can be sent.
        for path in ("../fields.nc", "fields.nc", "%2e%2e/fields.nc", "page/watch.js", "watch.js/", "_look", "token"):
            assert client.get(path)[0] == 404, path
        request = urllib.request.Request(client.address + "state", data=b"{}", method="POST")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=10)
        assert caught.value.code == 501
        # Everything that the page needs comes from here.
        page = b"".join(client.get(name)[2] for name in ("", "watch.js", "plot.js", "watch.css"))
        assert set(re.findall(rb"(?:https?:)?//[a-z][\w.]+", page)) <= {b"http://www.w3.org"}  # the name of SVG
        with pytest.raises(OutputError, match="choose another port"), serving(Site(tmp_path), int(port)):
            pass
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run").iterdir()} == before


def test_what_is_served(tmp_path: Path) -> None:
    values = watched(tmp_path / "run")
    with site(tmp_path / "run") as client:
        state = client.json("state")
        assert (state["kind"], state["folder"], state["title"], state["clock"]) == ("run", "run", "T", "s")
        assert state["times"] == TIMES
        assert [(a["name"], a["low"], a["high"], a["cells"]) for a in state["space"]] == [
            ("x", -1, 11, 6),
            ("y", -1, 4, 5),
        ]
        c, eta = state["fields"]
        assert (c["name"], c["parts"], c["ranges"]) == ("c", [], [[-0.5, 1.5]])
        assert (eta["parts"], eta["ranges"]) == (["eta_1", "eta_2", "eta_3"], [[0, 1], [-1, 2], [-2, 3]])
        energy = state["curves"][0]
        assert [line["name"] for line in energy["lines"]] == ["total", "bulk"]
        assert energy["log"] == [True, False]
        assert energy["lines"][0]["y"] == [9, 9 - 1e-3, 8.5, 5]
        for index in range(3):
            head, shown = client.snapshot(f"index={index}")
            np.testing.assert_array_equal(shown, values["c"][index].astype("f4"))
            assert head["time"] == TIMES[index]
            assert head["limits"] == [values["c"][index].min(), values["c"][index].max()]
        np.testing.assert_array_equal(client.snapshot("index=1&field=eta_3")[1], values["eta"][1, 2])
        head, shown = client.snapshot("index=1&field=eta")
        assert (head["kind"], head["limits"], shown.shape) == ("colors", None, (6, 5, 3))
        head, shown = client.snapshot("index=-1&most=16")
        assert (head["cells"], shown.shape) == ([6, 5], (6, 5))  # never fewer than there are pixels for
        for query, code in (("index=3", 404), ("index=x", 400), ("field=d", 404), ("slice=z:0", 404)):
            assert client.get(f"snapshot?{query}")[0] == code, query
        assert np.array(client.json("colors")["maps"]["viridis"]).reshape(256, 3).tolist() == color_table().tolist()


def test_planes_lines_and_large_pictures(tmp_path: Path) -> None:
    values = watched(tmp_path / "box", 3)
    with site(tmp_path / "box") as client:
        np.testing.assert_array_equal(client.snapshot("index=0&slice=z:1")[1], values["c"][0, :, :, 3].astype("f4"))
        np.testing.assert_array_equal(client.snapshot("index=0&slice=y:0")[1], values["c"][0, :, 0].astype("f4"))
        np.testing.assert_array_equal(client.snapshot("index=0&slice=x:.5")[1], values["c"][0, 3].astype("f4"))
    values = watched(tmp_path / "line", 1)
    with site(tmp_path / "line") as client:
        np.testing.assert_array_equal(client.snapshot("index=2")[1][:, 0], values["c"][2].astype("f4"))
    large = np.random.default_rng(0).random((1, 40, 70))
    axes = {d: ((np.arange(n) + 0.5), {}) for d, n in (("x", 40), ("y", 70))}
    (tmp_path / "large").mkdir()
    variables = [Variable("time", ("time",), "f8"), Variable("c", ("time", "x", "y"), "f8")]
    RecordFile.create(tmp_path / "large" / "fields.nc", axes, variables, {}).append({"time": [0.0], "c": large})
    picture = Look(tmp_path / "large").picture(0, most=35)  # reduced to means, its range not
    assert (picture.image.shape, picture.cells) == ((35, 20), (40, 70))
    np.testing.assert_allclose(picture.image[::-1].T, large[0].reshape(20, 2, 35, 2).mean(axis=(1, 3)))
    assert picture.limits == (large.min(), large.max())


def test_news_of_a_run_and_readers_do_not_hold_it_up(tmp_path: Path) -> None:
    watched(tmp_path / "run")
    file, going = RecordFile.open(tmp_path / "run" / "fields.nc"), threading.Event()
    errors: list[str] = []
    with site(tmp_path / "run") as client, RunFolder(tmp_path / "run").lock():
        assert client.json("state")["standing"] == ["running", "running"]
        before = client.json("version")["version"]
        assert client.json("version")["version"] == before == client.json("state")["version"]

        def read() -> None:
            while not going.is_set():
                code, _, content = client.get("snapshot?index=0")
                state, _, told = client.get("state")
                errors.extend(str(c) for k, c in ((code, content), (state, told)) if k != 200)

        reader = threading.Thread(target=read)
        reader.start()
        took = []
        for k in range(20):
            start = time.monotonic()
            file.append({"time": [5.0 + k], "c": np.full((1, 6, 5), k), "eta": np.full((1, 3, 6, 5), k)})
            took.append(time.monotonic() - start)
        going.set()
        reader.join()
        assert errors == []
        assert client.json("version")["version"] != before
        assert len(client.json("state")["times"]) == 23
        assert client.snapshot("index=-1")[1].max() == 19
    assert np.median(took) < 0.3  # a writer waits half a second for a reader that stays


def test_a_run_that_has_just_begun_and_none(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no run"):
        Look(tmp_path).summary()
    with RunFolder(tmp_path).lock(), site(tmp_path) as client:
        state = client.json("state")
        assert (state["fields"], state["standing"]) == ([], ["running", "starting"])
        assert client.get("snapshot?index=0")[0] == 404
    watched(tmp_path / "run")
    RecordFile.open(tmp_path / "run" / "fields.nc").truncate(0)
    (tmp_path / "run" / "properties.nc").write_bytes(b"broken")
    state = Look(tmp_path / "run").summary()
    assert state["fields"] == []
    assert "properties.nc cannot be shown" in state["warnings"][0]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    folder = tmp_path / "many"
    watched(folder / "0")
    asked = [["seed=1", "model=a"], ["seed=2", "model=a"]]
    (folder / "sweep.yaml").write_text(yaml.safe_dump({"command": "phasefield", "members": asked}))
    return folder


def test_a_sweep(phasefield: Command, sweep: Path) -> None:
    from phasefield.watching.command import _members

    with site(sweep, members=lambda: _members(sweep)) as client:
        state = client.json("state")
        assert [(m["name"], m["asked"], m["standing"][0]) for m in state["members"]] == [
            ("0", "seed=1", "unknown"),
            ("1", "seed=2", "none"),
        ]
        assert client.json("state?run=0")["times"] == TIMES
        for name in ("2", "../many/0", "0/..", "/"):
            assert client.get(f"state?run={name}")[0] == 404
    answer = phasefield("watch many once=true")
    assert (answer.code, answer.out.splitlines()[1].split()) == (0, ["1", "not", "started", "seed=2"])


def test_in_the_terminal(phasefield: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched(tmp_path / "run")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    answer = phasefield("watch run once=true")
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[1].startswith("time 4  step 3  dt 0.5  free_energy 5")
    assert "▁" in lines[2]
    assert "snapshot 3 of 3" in lines[3]
    assert lines[-1] == "-0.5 ' ' to 1.5 '@'"  # the range of the run, from its history
    assert phasefield("watch run field=eta_2").out.splitlines()[-1] == "-1 ' ' to 2 '@'"
    # Without colours the map of grains is its brightness: what is shown by default is shown in any terminal.
    grains = phasefield("watch run field=eta").out.splitlines()
    assert grains[-1] == "the brightness of the map's colours"
    assert len({*"".join(grains[5:-1])}) > 1
    for line, says in (
        ("watch run/fields.nc", "is a file, not a run folder\n  Give the folder a run wrote: run"),
        ("view run field=d", "no field 'd'"),
        ("watch run once=true port=0", "port: means nothing to the terminal"),
        ("watch run port=70000", "port: is 70000"),
        ("watch run every=0", "every: is 0"),
        ("watch run field=d", "no field 'd'"),
        ("watch run slice=z:0", "has 2 dimensions"),
        ("watch run colormap=plasmo", "did you mean 'plasma'"),
        ("watch nowhere", "no such run folder"),
        ("watch .", "holds no run"),
        ("view run time=9", "there are snapshots from 0 to 4"),
        ("view .", "holds no run"),
    ):
        answer = phasefield(line)
        assert (answer.code, answer.out, says in answer.err) == (2, "", True), (line, answer)
    answer = phasefield("view run time=0.4")
    assert (answer.code, "t = 0.5 s" in answer.out) == (0, True)
    assert "phasefield export run format=vtkhdf|xdmf|png|mp4" in answer.out


def test_the_terminal_follows_a_run_to_its_end(tmp_path: Path) -> None:
    values = watched(tmp_path / "run")
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system="truecolor", width=60, height=20)
    held = threading.Event()

    def run() -> None:
        with RunFolder(tmp_path / "run").lock():
            held.set()
            while "snapshot 3 of 3" not in out.getvalue():
                time.sleep(0.01)
            row = {"time": [8.0], "c": values["c"][:1], "eta": values["eta"][:1]}
            RecordFile.open(tmp_path / "run" / "fields.nc").append(row)
            while "snapshot 4 of 4" not in out.getvalue():
                time.sleep(0.01)

    writer = threading.Thread(target=run, daemon=True)
    writer.start()
    held.wait()
    follow(Look(tmp_path / "run"), console, 0.1, Stop(), "eta", None, "viridis")
    writer.join()
    assert "run: running" in out.getvalue()
    assert "▀" in out.getvalue()
    assert out.getvalue().rindex("run: unknown") > out.getvalue().rindex("run: running")  # how it stands in the end


def test_paraview_is_opened_where_it_is(phasefield: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched(tmp_path / "run")
    program = tmp_path / "bin" / "paraview"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/asked\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("DISPLAY", ":99")
    answer = phasefield("view run")
    assert (answer.code, answer.out.startswith("ParaView opens run/fields.nc")) == (0, True)
    assert (tmp_path / "asked").read_text().strip() == "run/fields.nc"
    program.write_text("#!/bin/sh\nexit 1\n")
    answer = phasefield("view run")
    assert (answer.code, "does not start" in answer.err, "c; t" not in answer.out) == (0, True, True)
    assert "@" in answer.out
    assert not phasefield("view run paraview=false").err


def test_characters() -> None:
    curve = sparkline(np.array([0.0, 1, 2, np.nan, 7]), 5)
    assert curve == "▁▂▃ █"
    assert sparkline(np.arange(100.0), 8) == "▁▂▃▄▅▆▇█"
    assert str(shades(np.array([[0.0, 0.55, 1.0, np.nan]]), (0, 1))) == " +@?"


def test_long_histories_are_thinned_out() -> None:
    rows = thinned(10**6)
    assert POINTS / 2 < rows.size <= POINTS
    assert (rows[0], rows[-1]) == (0, 10**6 - 1)
    assert np.diff(rows).max() <= 2 * 10**6 / POINTS + 10
    assert (rows < 100).sum() > 20  # dense on a logarithmic axis too
    panel = Panel("")
    panel.add("eta", np.arange(3.0), np.ones((3, 40)))
    assert (len(panel.lines), panel.more) == (20, 20)


def test_interrupted_it_ends_well(tmp_path: Path) -> None:
    watched(tmp_path / "run")
    child = process("watch", str(tmp_path / "run"), "port=0", "browser=false")
    assert child.stdout
    address = re.search(r"http://\S+", child.stdout.readline())
    assert address
    assert Client(address.group()).json("version")["version"]
    child.send_signal(signal.SIGINT)
    assert child.stderr
    assert "Ctrl-C ends this" in child.stdout.read()
    assert (child.wait(20), child.stderr.read()) == (0, "")


def until(page: Any, script: str) -> None:
    """Waits for a script to be true; playwright's own way to wait is what the page's policy forbids."""
    end = time.monotonic() + 15
    while not page.evaluate(script):
        assert time.monotonic() < end, script
        page.wait_for_timeout(50)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_the_page_in_a_browser(tmp_path: Path, sweep: Path) -> None:
    """Draws what is in the files, follows a run, is driven by keys, and fits a telephone; not a complaint on its console."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    from phasefield.watching.command import _members

    values = watched(tmp_path / "run")
    box = watched(tmp_path / "box", 3)
    said: list[str] = []
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

        def opened(client: Client, width: int = 1280) -> Any:
            page = browser.new_page(viewport={"width": width, "height": 844})
            page.on("console", lambda message: message.type == "error" and said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("request", lambda request: request.url.startswith(client.address) or said.append(request.url))
            page.goto(client.address)
            page.wait_for_selector("#picture[aria-label*='time'], #members tr")
            return page

        def pixels(page: Any) -> np.ndarray:
            rows, columns, data = page.evaluate(f"() => {{ const c = document.getElementById('picture'); {READ} }}")
            return np.array(data).reshape(rows, columns, 4)[::-1, :, :3].swapaxes(0, 1)

        def expected(plane: np.ndarray, low: float, high: float, name: str = "viridis") -> np.ndarray:
            places = np.floor((plane.astype("f4") - low) / (high - low) * 256).astype(int)
            return color_table(name)[places.clip(0, 255)]

        with site(tmp_path / "run") as client, RunFolder(tmp_path / "run").lock():
            page = opened(client)
            assert page.inner_text("#standing") == "running"
            np.testing.assert_array_equal(pixels(page), expected(values["c"][2], -0.5, 1.5))
            page.keyboard.press("ArrowLeft")  # on the page: a snapshot back
            page.wait_for_selector("#picture[aria-label*='time 0.5']")
            np.testing.assert_array_equal(pixels(page), expected(values["c"][1], -0.5, 1.5))
            page.select_option("#map", "magma")
            page.select_option("#range", "fixed")
            page.fill("#from", "0")
            page.fill("#to", "1")
            np.testing.assert_array_equal(pixels(page), expected(values["c"][1], 0, 1, "magma"))
            page.select_option("#field", "eta")
            page.select_option("#part", "eta_2")
            page.wait_for_selector("#picture[aria-label^='eta_2']")
            np.testing.assert_array_equal(pixels(page), expected(values["eta"][1, 1], 0, 1, "magma"))
            # What comes is followed where the last snapshot is shown.
            page.focus("#index")
            page.keyboard.press("End")
            page.wait_for_selector("#picture[aria-label*='time 4']")
            file = RecordFile.open(tmp_path / "run" / "fields.nc")
            file.append({"time": [8.0], "c": values["c"][:1], "eta": values["eta"][:1]})
            page.wait_for_selector("#picture[aria-label*='time 8']", timeout=10000)
            page.focus("#play")
            page.keyboard.press("Enter")
            until(page, "document.getElementById('index').value == 3")
            page.wait_for_selector("#play[aria-pressed=false]")
            until(page, "document.querySelectorAll('.curve canvas').length >= 4")
            for data in page.eval_on_selector_all(".curve canvas", f"all => all.map(c => {{ {READ} }})"):
                assert sum(data[2][3::4]) > 0  # something is drawn
            page.close()
        with site(tmp_path / "box") as client:
            page = opened(client, 390)
            page.select_option("#normal", "x")
            page.fill("#place", "0.9")
            until(page, "document.getElementById('picture').width == 5")
            page.wait_for_timeout(300)
            np.testing.assert_array_equal(pixels(page), expected(box["c"][2, 5], -0.5, 1.5))
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            page.close()
        with site(sweep, members=lambda: _members(sweep)) as client:
            page = opened(client, 390)
            page.click("text=0")
            page.wait_for_selector("#picture[aria-label*='time 4']")
            page.click("#up a")
            page.wait_for_selector("#members tr")
            page.close()
        page = browser.new_page()
        with site(tmp_path / "run") as client:
            page.goto(client.address)
            page.wait_for_selector("#picture[aria-label*='time']")
        until(page, "document.getElementById('trouble').textContent.includes('has ended')")
        browser.close()
    assert said == []
