"""Shared by all tests: one cache of compiled kernels for the session, one thread per process, and the device.

Set before anything is imported and inherited by parallel workers (pytest-xdist) and the processes that tests start.

``PHASEFIELD_TEST_DEVICE`` says where tests run that do not name a device: ``cpu`` (the default; GPUs are hidden, so that the
suite does the same on every machine), ``gpu`` (for `tests/gpu` and `tests/verification`, see scripts/gpu_session.sh), or
``stand-in``, which plays a GPU on host memory.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
import turns

DEVICE = os.environ.get("PHASEFIELD_TEST_DEVICE", "cpu")

#: What takes long runs in turns, but on a card everything at once.
IN_TURNS = turns.in_turns(turns.measured())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--share", metavar="K/N", help="every N-th of the tests chosen, from the K-th on: long ones in turns"
    )
    parser.addoption("--record-seconds", action="store_true", help="write what tests cost (see tests/turns.py)")


def pytest_itemcollected(item: pytest.Item) -> None:
    everything = DEVICE == "gpu" or item.config.getoption("--record-seconds")
    name = item.nodeid.removeprefix("tests/")
    if not everything and name in IN_TURNS:
        item.add_marker("slow")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if share := config.getoption("--share"):
        first, count = map(int, share.split("/"))
        config.hook.pytest_deselected(items=[item for i, item in enumerate(items) if i % count != first % count])
        items[:] = items[first % count :: count]


def pytest_configure(config: pytest.Config) -> None:
    """``PHASEFIELD_CACHE``, unless set, is a folder of this session's."""
    if config.getoption("--record-seconds"):
        config.pluginmanager.register(turns.Recorder(writes=not hasattr(config, "workerinput")))
    if hasattr(config, "workerinput"):
        return
    if DEVICE != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    # Two FFTW threads in each of several processes would wait for each other more than they compute.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if "PHASEFIELD_CACHE" not in os.environ:
        os.environ["PHASEFIELD_CACHE"] = tempfile.mkdtemp(prefix="phasefield-tests-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ.pop("PHASEFIELD_CACHE"), ignore_errors=True))


@pytest.fixture(scope="session")
def test_device() -> str:
    """``PHASEFIELD_TEST_DEVICE``."""
    return DEVICE


@pytest.fixture(scope="session", autouse=True)
def _stand_in() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if DEVICE == "stand-in":
            from host_cuda import as_the_card

            as_the_card(patch)
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests recorded with ``record_property``; prints would be lost in parallel workers."""
    passed = terminalreporter.getreports("passed")
    for report in (r for r in passed if r.user_properties):
        found = ", ".join(f"{name} {value}" for name, value in report.user_properties)
        terminalreporter.write_line(f"{report.nodeid}: {found}")


@pytest.fixture(autouse=True)
def _messages() -> Iterator[None]:
    """The package's messages go where they went before a test, which the command line changes for its process."""
    log = logging.getLogger("phasefield")
    before = log.handlers[:], log.propagate, log.level
    yield
    log.handlers[:], log.propagate = before[0], before[1]
    log.setLevel(before[2])
    log.disabled = False  # Hydra disables loggers that it does not know
