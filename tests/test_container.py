"""Images: what their definitions say, and what the program makes of a container's limits, without an engine.

`scripts/container_check.sh` runs an image itself.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import subprocess
import tempfile
import tomllib
from pathlib import Path

import pytest

from phasefield.backend import cache, selection

ROOT = Path(__file__).resolve().parents[1]


def stages() -> dict[str, list[str]]:
    """The instructions of each stage of the Dockerfile, those of the stages below it first, and those before all under ''."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", (ROOT / "Dockerfile").read_text()))
    found: dict[str, list[str]] = {"": []}
    name = ""
    for line in filter(None, text.splitlines()):
        if match := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            below, name = match.groups()
            found[name] = list(found.get(below, []))
        else:
            found[name].append(line)
    return found


def sections() -> dict[str, list[str]]:
    """The lines of each section of phasefield.def, of both stages."""
    found: dict[str, list[str]] = {"": []}
    name = ""
    for line in (ROOT / "phasefield.def").read_text().splitlines():
        if line.startswith("%"):
            found.setdefault(name := line, [])
        elif line.startswith("Bootstrap:"):
            name = ""
        if line.strip() and line[0] not in "#%":
            found[name].append(line.strip())
    return found


def copied(instructions: list[str]) -> set[str]:
    words = (line.split()[1:] for line in instructions if line.startswith("COPY") and "--from" not in line)
    return {source for line in words for source in line[:-1]}


def test_both_definitions_make_the_same_image() -> None:
    docker, apptainer = stages(), sections()
    base = "python:3.12-slim"
    assert docker[""] == [f"ARG BASE_IMAGE={base}"]
    assert f"BASE_IMAGE={base}" in apptainer["%arguments"]

    run = [line.removeprefix("RUN ") for line in docker["build-cpu"] if line.startswith("RUN")]
    assert run == [line for line in apptainer["%post"] if line.startswith("sh ")]
    assert copied(docker["build-cpu"]) - {"constraints.tx[t]"} == {line.split()[0] for line in apptainer["%files"]}

    (entry,) = (line.removeprefix("ENTRYPOINT ") for line in docker["cpu"] if line.startswith("ENTRYPOINT"))
    assert entry == '["phasefield"]', "a shell would keep signals to itself"
    assert apptainer["%runscript"] == ['exec phasefield "$@"']
    (path,) = re.findall(r"PATH=(\S+)", next(line for line in docker["cpu"] if line.startswith("ENV")))[:1]
    assert f"export PATH={path}" in apptainer["%environment"]

    (labels,) = (shlex.split(line)[1:] for line in docker["cpu"] if line.startswith("LABEL"))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"ARG VERSION={version}" in docker["cpu"]
    plain = [label.replace("=", " ", 1).replace("${VERSION}", version) for label in labels if "REVISION" not in label]
    assert plain == apptainer["%labels"]


def test_what_is_copied_is_sent_to_the_builder() -> None:
    docker = stages()
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    sent = {name.split("/")[0] for stage in docker.values() for name in copied(stage)}
    assert {name.replace("[t]", "t") for name in sent} == kept
    assert list(docker)[-1] == "cpu", "the last one is what `docker build .` makes"
    for script in (ROOT / "scripts").glob("container_*.sh"):
        shell = script.read_text().splitlines()[0].rpartition("/")[2].split()[-1]
        subprocess.run([shell, "-n", script], check=True)


@pytest.mark.parametrize(
    ("memberships", "files", "threads"),
    [
        ("0::/slice/job\n", {"slice/cpu.max": "150000 100000\n", "slice/job/cpu.max": "max 100000\n"}, 2),
        ("0::/slice/job\n", {"slice/cpu.max": "900000 100000\n", "slice/job/cpu.max": "50000 100000\n"}, 1),
        ("0::/of/the/host\n", {"cpu.max": "300000 100000\n"}, 3),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 64),
        ("0::/\n", {}, 64),
        (
            "4:memory:/x\n3:cpu,cpuacct:/job\n",
            {"cpu/job/cpu.cfs_quota_us": "250000\n", "cpu/job/cpu.cfs_period_us": "100000\n"},
            3,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
    ],
)
def test_threads_follow_what_control_groups_grant(
    memberships: str, files: dict[str, str], threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine of 64 cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    for name, content in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / "self").write_text(memberships)
    assert selection.cores_at_hand(tmp_path / "cgroup", tmp_path / "self") == threads


def test_threads_follow_the_cores_that_a_process_is_bound_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    (tmp_path / "cpu.max").write_text("800000 100000")
    (tmp_path / "self").write_text("0::/")
    assert selection.cores_at_hand(tmp_path, tmp_path / "self") == 1


class TestWithoutAHome:
    @pytest.fixture(params=["file", "unset"])
    def home(self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A home that cannot be written, or none: the user is in no list. Temporary files go to the folder returned."""
        for name in ("PHASEFIELD_CACHE", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        if request.param == "file":
            (tmp_path / "home").write_text("")
            monkeypatch.setenv("HOME", str(tmp_path / "home"))
        else:
            monkeypatch.delenv("HOME")
            monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        cache._of_the_user.cache_clear()
        return tmp_path / f"phasefield-{os.getuid()}"

    def test_the_cache_is_a_folder_of_the_users_own(self, home: Path, caplog: pytest.LogCaptureFixture) -> None:
        assert cache.cache_folder() == cache.cache_folder() == home
        assert home.stat().st_mode & 0o777 == 0o700
        (told,) = caplog.messages
        assert "set PHASEFIELD_CACHE" in told

    def test_nothing_is_run_that_others_could_have_written(self, home: Path, caplog: pytest.LogCaptureFixture) -> None:
        home.mkdir()
        home.chmod(0o777)
        assert cache.cache_folder() != home
        assert not caplog.messages
