"""The store keeps what was written: through crashes, full disks, concurrent readers and damaged files."""

from __future__ import annotations

import errno
import fcntl
import gc
import io
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

from phasefield.errors import CheckpointMismatch, ConfigError, OutputError, Unreadable
from phasefield.store import (
    RecordFile,
    RunFolder,
    Variable,
    Writer,
    checkpoint,
    journal,
    load_checkpoint,
    open_dataset,
    save_checkpoint,
)
from phasefield.store.reading import reordered

ROOT = Path(__file__).parents[1]
SHAPE = (6, 5)
LABELS = ("Fe", "Cr", "α")


def create(path: Path, eta: bool = False) -> RecordFile:
    """A file for `records`, with a field ``eta`` that has components if wanted."""
    return RecordFile.create(
        path,
        {
            "x": (np.arange(6.0), {"units": "m"}),
            "y": (np.arange(5.0), {}),
            "component": (np.array(LABELS), {}),
        },
        [
            Variable("time", ("time",), "f8", {"long_name": "time"}),
            Variable("step", ("time",), "i8"),
            Variable("mass", ("time", "component"), "f8"),
            Variable("c", ("time", "x", "y"), "f4", {"long_name": "composition", "units": "1"}),
            *[Variable("eta", ("time", "component", "x", "y"), "f4", {"long_name": "order", "units": "1"})][: int(eta)],
        ],
        {"title": "a run", "empty": "", "lengths": np.array([1.0, 2.0])},
    )


def records(first: int, count: int = 1, eta: bool = False) -> dict[str, np.ndarray]:
    """Records whose every value tells their number."""
    k = np.arange(first, first + count)
    values = {
        "time": k * 0.5,
        "step": k,
        "mass": k[:, None] + np.array([0.1, 0.2, 0.3]),
        "c": (k[:, None, None] + np.random.default_rng(0).random(SHAPE)).astype("f4"),
        "eta": (k[:, None, None, None] + np.random.default_rng(1).random((3, *SHAPE))).astype("f4"),
    }
    return values if eta else {name: v for name, v in values.items() if name != "eta"}


def check(path: Path, n: int) -> None:
    """The file holds exactly the records 0 .. n - 1."""
    with h5py.File(path) as data:
        for name, values in on_disk(records(0, n, "eta_Fe" in data)).items():
            assert np.array_equal(data[name][()], values)


def on_disk(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Records as they lie in the file: y before x, a variable for each component of a field."""
    parts = {f"eta_{label}": values["eta"][:, k] for k, label in enumerate(LABELS) if "eta" in values}
    rest = {name: v for name, v in values.items() if name != "eta"}
    return {name: v.swapaxes(-1, -2) if v.shape[1:] == SHAPE else v for name, v in (rest | parts).items()}


def leftovers(path: Path) -> list[str]:
    return sorted(p.name for p in path.parent.iterdir() if p.name not in (path.name, ".lock"))


# Records


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
def test_records_read_back_with_xarray(tmp_path, engine):
    path = tmp_path / "a.nc"
    file = create(path, eta=True)
    check(path, 0)
    file.append(records(0, 3, True))
    RecordFile.open(path).append(records(3, 1, True))
    with open_dataset(path, engine=engine) as data:
        assert data.encoding["unlimited_dims"] == {"time"}
        for name, values in records(0, 4, True).items():
            np.testing.assert_array_equal(data[name].values, values)
            assert data[name].dtype == values.dtype
        assert data["eta"].dims == ("time", "component", "x", "y")
        assert data["eta"].attrs == {"long_name": "order", "units": "1"}
        assert list(data["component"].values) == ["Fe", "Cr", "α"]
        assert data["x"].attrs == {"units": "m"}
        assert data["c"].attrs == {"long_name": "composition", "units": "1"}
        assert data.attrs["Conventions"] == "CF-1.11"
        assert data.attrs["title"] == "a run"
        assert data.attrs["empty"] == ""
    assert leftovers(path) == []


def test_records_read_back_with_netcdf4(tmp_path):
    path = tmp_path / "a.nc"
    create(path, eta=True).append(records(0, 2, True))
    with netCDF4.Dataset(path) as data:
        assert data.data_model == "NETCDF4"
        assert data.dimensions["time"].isunlimited()
        assert not data.dimensions["x"].isunlimited()
        for name, values in on_disk(records(0, 2, True)).items():
            np.testing.assert_array_equal(data[name][:], values)
        assert data["c"].dimensions == ("time", "y", "x")
        assert data["eta_α"].long_name == "order α"
        assert data["c"].chunking()[1:] == list(SHAPE[::-1])
        assert data["time"].chunking() == [1024]
        assert not data["time"].filters()["zlib"]


def test_netcdf4_can_append_to_our_file_and_we_to_its(tmp_path):
    path = tmp_path / "a.nc"
    create(path, eta=True).append(records(0, 1, True))
    with netCDF4.Dataset(path, "a") as data:
        for name, values in on_disk(records(1, 1, True)).items():
            data[name][1:2] = values
    file = RecordFile.open(path)
    assert len(file) == 2
    file.append(records(2, 1, True))
    check(path, 3)


@pytest.mark.parametrize("shape", [(2048,), (1000, 1000), (128, 128, 128), (3, 700, 301)])
def test_big_fields_have_one_record_per_chunk_and_bounded_compressed_chunks(tmp_path, shape):
    path = tmp_path / "a.nc"
    dims = tuple("abc"[: len(shape)])
    RecordFile.create(
        path,
        {d: (np.arange(n), {}) for d, n in zip(dims, shape, strict=True)},
        [Variable("time", ("time",), "f8"), Variable("u", ("time", *dims), "f8")],
        {},
    )
    with h5py.File(path) as data:
        u = data["u"]
        assert u.chunks[0] == 1
        assert np.prod(u.chunks) * 8 <= 4 << 20
        assert np.prod(u.chunks) * 8 > 1 << 20 or u.chunks[1:] == shape
        assert (u.compression, u.compression_opts, u.shuffle) == ("gzip", 4, True)


def test_an_axis_whose_coordinate_is_gone_is_opened_or_refused(tmp_path):
    create(tmp_path / "a.nc")
    with h5py.File(tmp_path / "a.nc", "a") as file:
        scale = file["c"].dims[1][0].name
        del file[scale]
        assert file["c"].dims[1][0].name is None
    RecordFile.open(tmp_path / "a.nc")


def test_compression_is_optional(tmp_path):
    axis = {"x": (np.arange(512), {})}
    RecordFile.create(
        tmp_path / "a.nc", axis, [Variable("time", ("time",), "f8"), Variable("u", ("time", "x"), "f8")], {}, 0
    )
    with h5py.File(tmp_path / "a.nc") as data:
        assert data["u"].compression is None


def test_scalars_fill_more_than_one_chunk(tmp_path):
    path = tmp_path / "a.nc"
    file = create(path)
    file.append(records(0, 1023))
    file.append(records(1023, 1030))
    file.append(records(2053))
    check(path, 2054)


def test_attributes_can_be_set_many_times(tmp_path):
    path = tmp_path / "a.nc"
    file = create(path)
    file.append(records(0))
    for k in range(20):  # beyond HDF5's limit for compact attributes
        file.set_attrs({"status": f"step {k}" * (k % 3), f"key{k}": k})
    file.append(records(1))
    check(path, 2)
    with netCDF4.Dataset(path) as data:
        assert data.getncattr("status") == "step 19"
        assert all(data.getncattr(f"key{k}") == k for k in range(20))
        assert data.getncattr("title") == "a run"


def test_an_attribute_that_cannot_be_stored_changes_nothing(tmp_path):
    path = tmp_path / "a.nc"
    file = create(path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        file.set_attrs({"status": "ok", "bad": {"a": 1}})
    assert path.read_bytes() == before
    assert leftovers(path) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("mass"), "mass"),
        (lambda r: r.update(other=np.zeros(1)), "other"),
        (lambda r: r.update(step=np.zeros(2, int)), "step"),
        (lambda r: r.update(c=np.zeros((1, 5, 6))), r"c: shape \(1, 5, 6\), expected \(1, 6, 5\)"),
        (lambda r: r.update(time=np.float64(1)), "time"),
        (lambda r: r.update(records(0, 0)), "time"),
    ],
)
def test_unfitting_records_are_refused(tmp_path, change, message):
    path = tmp_path / "a.nc"
    file = create(path)
    file.append(records(0))
    wrong = records(1)
    change(wrong)
    with pytest.raises(ValueError, match=message):
        file.append(wrong)
    file.append(records(1))
    check(path, 2)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ([Variable("u", ("time", "x"), "f8")], "time"),
        ([Variable("time", ("time",), "f8"), Variable("u", ("x",), "f8")], "u: dims"),
        ([Variable("time", ("time",), "f8"), Variable("u", ("time", "q"), "f8")], "u: dims"),
    ],
)
def test_unfitting_variables_are_refused(tmp_path, variables, message):
    with pytest.raises(ValueError, match=message):
        RecordFile.create(tmp_path / "a.nc", {"x": (np.arange(3), {})}, variables, {})
    assert not list(tmp_path.iterdir())


def test_truncate(tmp_path):
    path = tmp_path / "a.nc"
    file = create(path)
    file.append(records(0, 9))
    file.truncate(9)
    assert len(file) == 9
    for n in (6, 1, 0):
        file.truncate(n)
        assert len(file) == len(RecordFile.open(path)) == n
        check(path, n)
        file.append(records(n, 2))
        check(path, n + 2)
    with pytest.raises(OutputError, match="holds 2 records, 3 were expected"):
        file.truncate(3)
    with pytest.raises(OutputError):
        file.truncate(-1)


def test_another_process_reads_between_appends(tmp_path):
    path = tmp_path / "a.nc"
    file = create(path)
    code = (
        "import sys, xarray as xr\n"
        "for line in sys.stdin:\n"
        "    with xr.open_dataset(line.strip()) as data:\n"
        "        print(data.sizes['time'], float(data['step'].sum()), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        for n in range(1, 5):
            file.append(records(n - 1))
            reader.stdin.write(f"{path}\n")
            reader.stdin.flush()
            assert reader.stdout.readline().split() == [str(n), str(float(sum(range(n))))]
        reader.stdin.close()
    assert reader.returncode == 0


def test_polling_readers_never_see_a_half_changed_file(tmp_path):
    path = tmp_path / "a.nc"
    file = create(path)
    code = (
        "import sys, time, xarray as xr\n"
        "print('ready', flush=True)\n"
        "end = time.monotonic() + 2\n"
        "while time.monotonic() < end:\n"
        "    try:\n"
        "        opened = xr.open_dataset(sys.argv[1], engine='netcdf4')\n"
        "    except OSError as error:\n"
        "        assert 'HDF error' in str(error) or error.errno == 11, error  # met the lock: try again\n"
        "        continue\n"
        "    with opened as data:\n"
        "        n = data.sizes['time']\n"
        "        assert (data['step'].values == range(n)).all()\n"
        "        assert (data['c'].values[:, 0, 0] // 1 == range(n)).all()\n"
        "    time.sleep(0.01)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as reader:
        reader.stdout.readline()
        n = 0
        while reader.poll() is None:
            file.append(records(n))
            n += 1
            time.sleep(0.02)
    assert reader.returncode == 0
    check(path, n)


def test_a_change_waits_for_a_reader(tmp_path):
    path = tmp_path / "a.nc"
    file = create(path)
    before = path.read_bytes()
    with open(path, "rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)  # as HDF5 does
        append = threading.Thread(target=file.append, args=(records(0),))
        append.start()
        append.join(0.2)
        assert append.is_alive()
        assert path.read_bytes()[: len(before)] == before
    append.join()
    check(path, 1)


def test_old_bytes_change_under_the_lock_only(tmp_path, monkeypatch):
    path = tmp_path / "a.nc"
    file = create(path)
    size = path.stat().st_size
    original, changes = os.pwrite, []

    def pwrite(descriptor, data, offset):
        if offset < size and os.readlink(f"/proc/self/fd/{descriptor}") == str(path):
            with open(path, "rb") as reader, pytest.raises(BlockingIOError):
                fcntl.flock(reader, fcntl.LOCK_SH | fcntl.LOCK_NB)
            changes.append(offset)
        return original(descriptor, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "pwrite", pwrite)
        file.append(records(0))
    assert changes
    check(path, 1)


def test_a_reader_that_stays_does_not_stop_the_run(tmp_path):
    path = tmp_path / "a.nc"
    file = create(path)
    file.append(records(0))
    with netCDF4.Dataset(path):
        file.append(records(1))
        start = time.monotonic()
        for n in range(2, 10):
            file.append(records(n))
        assert time.monotonic() - start < 4 * journal.READER_PATIENCE  # waited for once, not each time
    check(path, 10)


# Crashes

APPENDER = """
import sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from test_store import records
from phasefield.store import RecordFile
file = RecordFile.open(sys.argv[1])
while True:
    n = len(file)
    file.append(records(n, 1 + n % 3))
    print(len(file), flush=True)
"""


def test_killed_appenders_lose_nothing_acknowledged(tmp_path):
    path = tmp_path / "a.nc"
    create(path)
    rng = random.Random(1)
    started = 0
    for _ in range(10):
        with subprocess.Popen(
            [sys.executable, "-c", APPENDER, str(path), str(ROOT), str(ROOT / "tests")],
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            acknowledged = int(child.stdout.readline())
            time.sleep(rng.uniform(0, 0.1))
            child.send_signal(signal.SIGKILL)
            acknowledged = max([acknowledged, *map(int, child.stdout.read().split())])
        n = len(RecordFile.open(path))
        assert n >= acknowledged > started
        check(path, n)
        assert leftovers(path) == []
        started = n


def crash_everywhere(monkeypatch, path: Path, change) -> list[Path]:
    """Copies of the folder as a kill would leave it before each low-level operation of ``change``, and half-way it."""
    copies: list[Path] = []

    def snapshot() -> Path:
        copy = path.parent.with_name(f"crash{len(copies)}")
        shutil.copytree(path.parent, copy)
        copies.append(copy / path.name)
        return copy

    def spied(name):
        original = getattr(os, name)

        def operation(*args):
            snapshot()
            if name == "pwrite":
                descriptor, data, offset = args
                torn = snapshot() / Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
                with open(torn, "r+b") as file:
                    file.seek(offset)
                    file.write(data[: len(data) // 2])
            return original(*args)

        return operation

    with monkeypatch.context() as patch:
        for name in ("pwrite", "ftruncate", "fsync", "unlink"):
            patch.setattr(journal.os, name, spied(name))
        change()
    snapshot()
    return copies


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        (lambda f: f.append(records(3, 2)), 3, 5),
        (lambda f: f.append(records(3, 1025)), 3, 1028),
        (lambda f: f.truncate(1), 3, 1),
        (lambda f: f.truncate(0), 3, 0),
        (lambda f: f.set_attrs({"status": "finished", "title": "x" * 5000}), 3, 3),
    ],
    ids=["append", "append-many", "truncate", "truncate-all", "attributes"],
)
def test_a_crash_at_any_operation_recovers(tmp_path, monkeypatch, change, before, after):
    path = tmp_path / "run" / "a.nc"
    path.parent.mkdir()
    file = create(path)
    file.append(records(0, before))
    copies = crash_everywhere(monkeypatch, path, lambda: change(file))
    check(path, after)
    assert len(copies) > 15
    states = []
    for copy in copies:
        recovered = RecordFile.open(copy)
        states.append(len(recovered))
        check(copy, len(recovered))
        assert leftovers(copy) == []
        recovered.append(records(len(recovered)))
        check(copy, len(recovered))
    # One switch from the old state to the new one, and no third state.
    done = states.index(after) if after != before else len(states)
    assert set(states[:done]) <= {before}
    assert set(states[done:]) <= {after}


def test_before_the_commit_even_unrecovered_files_are_readable(tmp_path, monkeypatch):
    path = tmp_path / "run" / "a.nc"
    path.parent.mkdir()
    file = create(path)
    file.append(records(0, 2))
    before = path.read_bytes()
    first_change = None
    for k, copy in enumerate(crash_everywhere(monkeypatch, path, lambda: file.append(records(2)))):
        if copy.read_bytes()[: len(before)] != before:
            first_change = k
            break
        check(copy, 2)
    assert first_change is not None
    assert first_change > 5


def test_a_crash_during_the_recovery_recovers(tmp_path, monkeypatch):
    path = tmp_path / "run" / "a.nc"
    path.parent.mkdir()
    file = create(path)
    file.append(records(0, 2))
    copies = crash_everywhere(monkeypatch, path, lambda: file.append(records(2)))
    worst = next(c for c in reversed(copies) if journal.journal_of(c).exists())
    again = tmp_path / "again"
    shutil.copytree(worst.parent, again / "run")
    for copy in crash_everywhere(monkeypatch, again / "run" / "a.nc", lambda: RecordFile.open(again / "run" / "a.nc")):
        assert len(RecordFile.open(copy)) == 2
        check(copy, 2)


@pytest.mark.parametrize("junk", [b"", b"pf", b"x" * 100, b"pfjournl" + bytes(12)])
def test_a_foreign_journal_is_dropped(tmp_path, junk):
    path = tmp_path / "a.nc"
    create(path).append(records(0))
    before = path.read_bytes()
    journal.journal_of(path).write_bytes(junk)
    assert len(RecordFile.open(path)) == 1
    assert path.read_bytes() == before
    assert leftovers(path) == []


def test_a_damaged_journal_is_not_applied(tmp_path, monkeypatch):
    path = tmp_path / "run" / "a.nc"
    path.parent.mkdir()
    file = create(path)
    file.append(records(0, 2))
    before = path.read_bytes()
    copies = crash_everywhere(monkeypatch, path, lambda: file.append(records(2)))
    # The fullest journal of those over a file that is still the old one.
    untouched = [c for c in copies if journal.journal_of(c).exists() and c.read_bytes()[: len(before)] == before]
    copy = max(untouched, key=lambda c: journal.journal_of(c).stat().st_size)
    saved = bytearray(journal.journal_of(copy).read_bytes())
    assert len(saved) > 4096
    saved[2000] ^= 255
    journal.journal_of(copy).write_bytes(saved)
    assert len(RecordFile.open(copy)) == 2
    assert copy.read_bytes() == before


def test_creation_drops_the_journal_of_the_file_it_replaces(tmp_path, monkeypatch):
    path = tmp_path / "run" / "a.nc"
    path.parent.mkdir()
    file = create(path)
    file.append(records(0, 1500))
    file.set_attrs({"title": "an older run"})
    for copy in crash_everywhere(monkeypatch, path, lambda: file.append(records(1500)))[::3]:
        new = create(copy)
        fresh = copy.read_bytes()
        assert leftovers(copy) == []
        assert len(RecordFile.open(copy)) == 0
        assert copy.read_bytes() == fresh
        new.append(records(0, 2))
        check(copy, 2)


# Full disks


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def failing_at(k: int, name: str, calls: list[str]):
    """``os.<name>`` that raises ENOSPC when it is the k-th of all ``calls``, and works otherwise."""
    original = getattr(os, name)

    def operation(*args):
        calls.append(name)
        return full() if len(calls) == k else original(*args)

    return operation


@pytest.mark.parametrize("operations", [["pwrite"], ["ftruncate"], ["fsync"], ["unlink"]])
def test_a_full_disk_at_any_operation_rolls_back(tmp_path, monkeypatch, operations):
    path = tmp_path / "a.nc"
    file = create(path)
    file.append(records(0, 2))
    before = path.read_bytes()
    # Otherwise a folder that cannot be synced, which is no failure, would count.
    monkeypatch.setattr(journal, "sync_folder", lambda _: None)

    def attempt(k: int) -> tuple[str, int]:
        calls: list[str] = []
        with monkeypatch.context() as patch:
            for name in operations:
                patch.setattr(journal.os, name, failing_at(k, name, calls))
            try:
                file.append(records(2))
            except OutputError as error:
                return str(error), len(calls)
        return "", len(calls)

    for k in range(1, 1000):
        message, calls = attempt(k)
        if not message:
            break
        assert "No space left on device" in message
        assert "2 earlier records are safe" in message
        assert path.read_bytes() == before
        assert leftovers(path) == []
        assert len(file) == 2
    assert k > calls > 0
    check(path, 3)


def test_when_undoing_fails_too_the_next_change_does_it(tmp_path, monkeypatch):
    path = tmp_path / "a.nc"
    file = create(path)
    file.append(records(0, 2))
    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "unlink", full)
        with pytest.raises(OutputError, match="tried again at the next open"):
            file.append(records(2))
    assert journal.journal_of(path).exists()
    file.append(records(2))
    check(path, 3)
    assert leftovers(path) == []


def limited(size: int, code: str, *args: str) -> list[str]:
    """Lines printed by ``code`` in a process whose files cannot grow beyond ``size`` bytes."""
    result = subprocess.run(
        [sys.executable, "-c", code, *args],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_a_real_size_limit_rolls_back_and_leaves_hdf5_usable(tmp_path):
    path = tmp_path / "a.nc"
    create(path).append(records(0, 2))
    code = """
import sys
from test_store import records, check
from phasefield.errors import OutputError
from phasefield.store import RecordFile
file = RecordFile.open(sys.argv[1])
for _ in range(1000):
    try:
        file.append(records(len(file), 7))
    except OutputError as error:
        print(len(file)); print(error)
        break
check(sys.argv[1], len(file))
for _ in range(3):
    try:
        file.append(records(len(file), 1000))
    except OutputError:
        print("again")
"""
    n, first, _, *again = limited(path.stat().st_size + 30_000, code, str(path))
    assert int(n) > 2
    assert "File too large" in first
    assert f"its {n} earlier records are safe" in first
    assert again == ["again"] * 3
    file = RecordFile.open(path)
    assert len(file) == int(n)
    file.append(records(int(n)))
    check(path, int(n) + 1)
    assert leftovers(path) == []


def test_failed_creation_leaves_nothing(tmp_path):
    code = """
import sys
from pathlib import Path
from test_store import create
from phasefield.errors import OutputError
from phasefield.store import save_checkpoint
import numpy as np
for call in (lambda: create(Path(sys.argv[1])), lambda: save_checkpoint(sys.argv[2], {"a": np.zeros(99999)}, {})):
    try:
        call()
    except OutputError as error:
        print(error)
"""
    save_checkpoint(tmp_path / "b.npz", {"a": np.ones(3)}, {})
    one, two = limited(5000, code, str(tmp_path / "a.nc"), str(tmp_path / "b.npz"))
    assert "a.nc: cannot be written: File too large" in one
    assert "b.npz: cannot be written: File too large" in two
    assert [p.name for p in tmp_path.iterdir()] == ["b.npz"]
    np.testing.assert_array_equal(load_checkpoint(tmp_path / "b.npz")[0]["a"], np.ones(3))


def test_creation_in_a_missing_folder_fails_clearly(tmp_path):
    with pytest.raises(OutputError, match="No such file"):
        create(tmp_path / "none" / "a.nc")


# Foreign and damaged record files


def test_missing_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / "a.nc"
    with pytest.raises(OutputError, match="No such file"):
        RecordFile.open(path)
    with pytest.raises(OutputError):
        RecordFile.open(tmp_path)
    path.write_bytes(b"hello" * 100)
    with pytest.raises(OutputError, match="cannot be opened as a NetCDF-4 file"):
        RecordFile.open(path)
    with netCDF4.Dataset(path, "w") as data:
        data.createDimension("x", 3)
        data.createVariable("u", "f8", ("x",))
    with pytest.raises(OutputError, match="not a phasefield record file"):
        RecordFile.open(path)


def test_a_record_file_with_a_variable_cut_short_is_refused(tmp_path):
    path = tmp_path / "a.nc"
    create(path).append(records(0, 3))
    with h5py.File(path, "r+") as data:
        data["c"].resize(2, axis=0)
    with pytest.raises(OutputError, match="damaged"):
        RecordFile.open(path)


def test_truncated_record_files_are_refused(tmp_path):
    path = tmp_path / "a.nc"
    create(path).append(records(0, 3))
    whole = path.read_bytes()
    for size in [*range(0, len(whole), len(whole) // 25), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(OutputError):
            RecordFile.open(path)


# The writer


def test_writer_runs_jobs_in_order_in_one_other_thread():
    done = []
    with Writer(depth=2) as writer:
        for k in range(50):
            writer.submit(lambda k: done.append((k, threading.current_thread())), k)
        writer.flush()
        assert [k for k, _ in done] == list(range(50))
        assert {t.name for _, t in done} == {"phasefield-writer"}
        writer.submit(done.append, "last")
    assert done[-1] == "last"
    with pytest.raises(RuntimeError, match="closed"):
        writer.submit(print)
    writer.close()


def test_writer_queue_is_bounded():
    gate = threading.Event()
    submitted = []

    def feed():
        for k in range(10):
            writer.submit(gate.wait)
            submitted.append(k)

    writer = Writer(depth=3)
    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    time.sleep(0.2)
    assert len(submitted) <= 4  # three wait, one runs
    gate.set()
    feeder.join(5)
    writer.close()
    assert len(submitted) == 10


def fail(error: BaseException) -> None:
    raise error


def submit_on(writer: Writer, done: list[int]) -> None:
    for _ in range(100):
        writer.submit(done.append, 1)
        time.sleep(0.01)


@pytest.mark.parametrize("where", ["submit", "flush", "close"])
def test_writer_raises_the_first_error_and_drops_later_jobs(where):
    done = []
    mine = OutputError("disk full")
    writer = Writer(depth=1)
    gate = threading.Event()
    writer.submit(gate.wait)
    writer.submit(lambda: fail(mine))
    gate.set()
    call = {"submit": lambda: submit_on(writer, done), "flush": writer.flush, "close": writer.close}[where]
    with pytest.raises(OutputError) as caught:
        call()
    assert caught.value is mine
    assert done == []
    writer.close()
    assert not writer._thread.is_alive()


def test_writer_keeps_phasefield_errors_and_wraps_others():
    writer = Writer()
    writer.submit(fail, ConfigError("a.b", "wrong"))
    with pytest.raises(ConfigError, match=r"a\.b"):
        writer.flush()
    writer.close()
    for error in (ZeroDivisionError("oops"), SystemExit(3)):
        writer = Writer()
        writer.submit(fail, error)
        with pytest.raises(OutputError, match=type(error).__name__) as caught:
            writer.flush()
        assert caught.value.__cause__ is error
        with pytest.raises(OutputError):
            writer.submit(print)
        writer.close()


def raise_after(job, error: Exception) -> None:
    with Writer() as writer:
        writer.submit(job)
        raise error


def test_writer_does_not_hide_the_callers_error():
    done = []
    with pytest.raises(KeyError, match="first") as caught:
        raise_after(lambda: fail(OutputError("disk full")), KeyError("first"))
    assert caught.value.__notes__ == ["besides, disk full"]
    with pytest.raises(KeyError):
        raise_after(lambda: done.append(1), KeyError("first"))
    assert done == [1]  # what was submitted is written even then


def test_an_unclosed_writer_does_not_keep_the_process(tmp_path):
    code = "from phasefield.store import Writer; import time; w = Writer(); w.submit(time.sleep, 60)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=30)


# Checkpoints

ARRAYS = {
    "c": np.random.default_rng(0).standard_normal((4, 3)),
    "hat": np.random.default_rng(1).standard_normal((3, 2)) + 1j,
    "single": np.float32([[1.5], [np.nan]]),
    "single_complex": np.zeros((2, 0, 3), np.complex64),
    "count": np.array(7),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "strided": np.arange(10)[::3],
}
META = {"step": 12, "time": 0.1, "scheme": {"name": "etd", "order": [1, 2]}, "note": "α", "none": None}


def test_checkpoint_round_trip(tmp_path):
    path = tmp_path / "c.npz"
    save_checkpoint(path, ARRAYS, META)
    arrays, meta = load_checkpoint(path)
    assert meta == META
    assert set(arrays) == set(ARRAYS)
    for name, values in ARRAYS.items():
        assert arrays[name].dtype == values.dtype
        assert arrays[name].shape == values.shape
        np.testing.assert_array_equal(arrays[name], values)
    with np.load(path) as plain:
        np.testing.assert_array_equal(plain["c"], ARRAYS["c"])
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_STORED}
    assert leftovers(path) == []


def test_checkpoints_of_equal_content_are_equal_bytes(tmp_path, monkeypatch):
    one, two = tmp_path / "1.npz", tmp_path / "2.npz"
    save_checkpoint(one, ARRAYS, META)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    save_checkpoint(
        two,
        {k: np.asfortranarray(v) if v.ndim else v for k, v in reversed(ARRAYS.items())},
        dict(reversed(META.items())),
    )
    assert one.read_bytes() == two.read_bytes()
    save_checkpoint(two, ARRAYS, {**META, "step": 13})
    assert one.read_bytes() != two.read_bytes()


def test_truncated_and_lengthened_checkpoints_are_refused(tmp_path):
    path = tmp_path / "c.npz"
    save_checkpoint(path, ARRAYS, META)
    whole = path.read_bytes()
    for size in [*range(0, len(whole), 61), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointMismatch, match=r"truncated or damaged|not a phasefield checkpoint"):
            load_checkpoint(path)
    path.write_bytes(whole + b"0")
    with pytest.raises(CheckpointMismatch, match="damaged"):
        load_checkpoint(path)


def test_bit_flips_are_refused(tmp_path):
    path = tmp_path / "c.npz"
    save_checkpoint(path, ARRAYS, META)
    whole = path.read_bytes()
    rng = random.Random(0)
    for position in [*range(0, len(whole), 37), *range(len(whole) - 100, len(whole))]:
        flipped = bytearray(whole)
        flipped[position] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(CheckpointMismatch, match=r"truncated or damaged|not a phasefield checkpoint"):
            load_checkpoint(path)


def test_missing_and_foreign_checkpoints_are_refused(tmp_path):
    path = tmp_path / "c.npz"
    with pytest.raises(CheckpointMismatch, match="there is no checkpoint"):
        load_checkpoint(path)
    with pytest.raises(CheckpointMismatch, match="cannot be read"):
        load_checkpoint(tmp_path)
    np.savez(path, a=np.arange(3))
    with pytest.raises(CheckpointMismatch, match="not a phasefield checkpoint"):
        load_checkpoint(path)
    path.write_bytes(b"\x89HDF\r\n")
    with pytest.raises(CheckpointMismatch, match="not a phasefield checkpoint"):
        load_checkpoint(path)


def test_a_newer_checkpoint_format_is_named(tmp_path, monkeypatch):
    path = tmp_path / "c.npz"
    monkeypatch.setattr(checkpoint, "_VERSION", 2)
    save_checkpoint(path, ARRAYS, META)
    monkeypatch.undo()
    with pytest.raises(CheckpointMismatch, match="format 2, this version of phasefield reads 1"):
        load_checkpoint(path)


def test_pickled_arrays_are_refused(tmp_path):
    path = tmp_path / "c.npz"
    with pytest.raises(ValueError, match="allow_pickle"):
        save_checkpoint(path, {"a": np.array([{}], dtype=object)}, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("operation", ["fsync", "replace"])
def test_a_failed_checkpoint_leaves_the_older_one(tmp_path, monkeypatch, operation):
    path = tmp_path / "c.npz"
    save_checkpoint(path, ARRAYS, META)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(journal.os, operation, full)
        with pytest.raises(OutputError, match="No space left on device"):
            save_checkpoint(path, {}, {})
    assert path.read_bytes() == before
    assert leftovers(path) == []


# The folder


def test_names():
    run = RunFolder(Path("r"))
    names = [p.name for p in (run.config, run.history, run.fields, run.checkpoint, run.log, run.kernels)]
    assert names == ["config.yaml", "history.nc", "fields.nc", "checkpoint.npz", "run.log", "kernels"]


def test_create_makes_parents_and_accepts_unrelated_content(tmp_path):
    run = RunFolder.create(tmp_path / "a" / "b")
    assert run.path.is_dir()
    assert not list(run.path.iterdir())
    (run.path / ".hydra").mkdir()
    (run.path / "notes.txt").touch()
    with run.lock():
        pass
    assert RunFolder.create(str(run.path)) == run


@pytest.mark.parametrize("name", ["config.yaml", "history.nc", "fields.nc", "checkpoint.npz", "run.log", "kernels"])
def test_create_refuses_a_folder_that_holds_a_run(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(OutputError) as caught:
        RunFolder.create(tmp_path)
    message = str(caught.value)
    assert f"already holds a run ({name})" in message
    assert "output.dir" in message
    assert f"phasefield resume {tmp_path}" in message
    assert "delete" in message


def test_create_with_a_file_in_the_way(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "a" / "b"):
        with pytest.raises(OutputError, match="Not a directory"):
            RunFolder.create(path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_create_where_nothing_can_be_written():
    for path in ("/proc/run", "/proc"):
        with pytest.raises(OutputError, match="cannot be used as the run folder"):
            RunFolder.create(path)


def test_create_removes_the_parents_it_made_when_it_fails(tmp_path):
    with pytest.raises(OutputError, match="too long"):
        RunFolder.create(tmp_path / "a" / "b" / ("x" * 300))
    assert not list(tmp_path.iterdir())


def test_open_names_what_is_missing(tmp_path):
    with pytest.raises(OutputError, match="no such run folder"):
        RunFolder.open(tmp_path / "none")
    with pytest.raises(OutputError, match=r"config\.yaml and checkpoint\.npz missing"):
        RunFolder.open(tmp_path)
    (tmp_path / "config.yaml").touch()
    with pytest.raises(OutputError, match=r": checkpoint\.npz missing"):
        RunFolder.open(tmp_path)
    (tmp_path / "checkpoint.npz").touch()
    assert RunFolder.open(tmp_path).path == tmp_path


def test_lock_excludes_other_writers_and_dies_with_its_process(tmp_path):
    run = RunFolder.create(tmp_path / "r")
    code = (
        "import sys; from phasefield.store import RunFolder; from pathlib import Path\n"
        "with RunFolder(Path(sys.argv[1])).lock():\n    print('locked', flush=True); sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(run.path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout.readline() == b"locked\n"
        with pytest.raises(OutputError, match="another process is writing this run"), run.lock():
            pass
        child.kill()
    with run.lock(), pytest.raises(OutputError, match="another process"), run.lock():
        pass
    with run.lock():
        pass


def test_lock_does_without_where_the_filesystem_has_none(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    run = RunFolder(tmp_path)
    with run.lock(), run.lock():
        pass
    file = create(tmp_path / "a.nc")
    file.append(records(0))
    check(tmp_path / "a.nc", 1)


def test_lock_in_a_missing_folder(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"), RunFolder(tmp_path / "none").lock():
        pass


# The file object under HDF5, against one in memory


def test_transaction_behaves_like_a_plain_file(tmp_path):
    for seed in range(30):
        rng = random.Random(seed)
        path = tmp_path / "f"
        content = rng.randbytes(rng.choice([0, 1, 4095, 4096, 4097, 10_000]))
        path.write_bytes(content)
        mine, model = journal.Transaction(path), io.BytesIO(content)
        for _ in range(40):
            kind, at = rng.choice(["write", "write", "read", "truncate"]), rng.randrange(15_000)
            size = mine.seek(0, os.SEEK_END)
            assert size == model.seek(0, os.SEEK_END)
            if kind == "write":
                data = rng.randbytes(rng.randrange(6000))
                at = min(at, size)
                mine.seek(at)
                model.seek(at)
                assert mine.write(data) == model.write(data)
            elif kind == "read":
                at = min(at, size)
                mine.seek(at)
                model.seek(at)
                assert mine.read() == model.read()
                assert mine.tell() == model.tell()
            elif at > size - 3000:  # cutting below what was written is HDF5's promise not to read it again
                mine.truncate(max(at, size))
                model.write(bytes(max(at, size) - size))
        mine.commit(0.0)
        mine.close()
        assert path.read_bytes() == model.getvalue()
        assert not journal.journal_of(path).exists()


@pytest.mark.parametrize(
    "key",
    [{}, {"time": 1}, {"time": -1, "y": slice(None, None, -1)}, {"x": [4, 0, 2], "z": [1, 1]}, {"y": 3, "x": 2}],
    ids=str,
)
@pytest.mark.parametrize("dims", [("z", "y", "time", "x"), ("time", "z", "y", "x"), ("x", "y", "z", "time")], ids=str)
def test_axes_are_turned_without_reading(tmp_path: Path, dims: tuple[str, ...], key: dict[str, Any]) -> None:
    sizes = {"time": 2, "x": 5, "y": 4, "z": 3}
    values = np.random.default_rng(1).random([sizes[d] for d in dims])
    xr.Dataset({"c": (dims, values)}).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf", cache=False) as file:
        found = reordered(file.c.variable, ("time", "x", "y", "z"))
        assert not found._in_memory
        expected = xr.Variable(dims, values).transpose("time", "x", "y", "z").isel(key)
        np.testing.assert_array_equal(found.isel(key).values, expected.values)
        assert found.isel(key).dims == expected.dims


def test_a_snapshot_is_read_in_little_memory(tmp_path: Path) -> None:
    """xarray's own transposition of what is not read yet took eight times the snapshot."""
    values = np.zeros((2, 400, 500))
    data = xr.Dataset({"c": (("time", "y", "x"), values)})
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf", encoding={"c": {"_FillValue": None}})
    with open_dataset(tmp_path / "a.nc", engine="h5netcdf", cache=False) as data:
        assert data.c.dims == ("time", "x", "y")
        data.c.isel(time=0).values  # noqa: B018 (imports)
        tracemalloc.start()
        try:
            data.c.isel(time=1).values  # noqa: B018
            assert tracemalloc.get_traced_memory()[1] < 2.5 * values[1].nbytes
        finally:
            tracemalloc.stop()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
def test_a_dataset_let_go_leaves_its_file(tmp_path: Path) -> None:
    """A file that stays open is read again as it was."""
    xr.Dataset({"c": (("time", "y", "x"), np.zeros((2, 4, 5)))}).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    opened = len(os.listdir("/proc/self/fd"))
    gc.disable()
    try:
        data = open_dataset(tmp_path / "a.nc")
        assert data.c.dims == ("time", "x", "y")
        assert len(os.listdir("/proc/self/fd")) > opened
        del data
        assert len(os.listdir("/proc/self/fd")) == opened
    finally:
        gc.enable()


def test_values_that_cannot_be_read_are_told_with_their_file(tmp_path: Path) -> None:
    path = tmp_path / "fields.nc"
    values = np.random.default_rng(1).random((3, 4000))
    xr.Dataset({"c": (("time", "x"), values)}).to_netcdf(path, encoding={"c": {"zlib": True}})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes(64) + whole[len(whole) // 2 + 64 :])
    opened = open_dataset(path)
    with pytest.raises(Unreadable, match=rf"{path}: is damaged: "):
        opened.c.load()
