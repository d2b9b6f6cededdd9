"""Several ranks that meet a fault: one message, nobody is left waiting, and what was written stays."""

from __future__ import annotations

import importlib.util
import os
import signal
import time
from pathlib import Path

import pytest
import reliability_ranks as ranked
from reliability_trials import LONG, said

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("mpi4py") is None or ranked.mpirun() is None,
        reason="mpi4py or mpirun is not here: phasefield[mpi]",
    ),
]

#: ``python -c FAULT RANK KIND ...``: the command line with a fault at one rank.
FAULT = """
import os, sys
rank, kind, *sys.argv[1:] = sys.argv[1:]
if os.environ["PMI_RANK"] == rank:
    if kind in ("mpi4py", "pyfftw"):
        sys.modules[kind] = None
    elif kind == "other":
        sys.argv[1:] = ["report", "nowhere"]
    elif kind == "seed":
        sys.argv.append("seed=7")
    else:
        from phasefield.backend.ranks import member
        calls = []
        def failing(self, *words, **more):
            calls.append(1)
            if len(calls) == 2000:
                raise {"memory": MemoryError("of a test"), "bug": ZeroDivisionError("of a test")}[kind]
            return whole(self, *words, **more)
        whole, member.Member.run_shared = member.Member.run_shared, failing
from phasefield.cli import main
main()
"""


def fails(tmp_path: Path, rank: int, kind: str) -> tuple[int | None, float, str]:
    """Exit code, seconds and messages of a start over two ranks, one of which has a fault."""
    ranks = ranked.Ranks(2, [str(rank), kind, "run", *LONG], tmp_path, ("-c", FAULT))
    ranks.begun()
    return *ranks.ended(120), said(tmp_path)


@pytest.mark.parametrize(
    ("kind", "rank", "codes", "told"),
    [
        ("seed", 1, (2,), "the ranks were not given the same: rank 0 `phasefield run "),
        ("pyfftw", 1, (2,), "rank 1 of 2: import of pyfftw halted"),
        ("mpi4py", 0, (2, 9), "cannot be used: import of mpi4py halted"),
        ("mpi4py", 1, (2, 9), "not all of the 2 ranks have begun: one has ended before"),
        ("other", 1, (2, 9), "not all of the 2 ranks have begun: one has ended before"),
    ],
)
def test_ranks_that_do_not_fit_make_nothing(
    kind: str, rank: int, codes: tuple[int, ...], told: str, tmp_path: Path
) -> None:
    code, _, text = fails(tmp_path, rank, kind)
    assert code in codes, text
    assert text.count("phasefield: error:") == 1
    assert told in text
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(("kind", "expected"), [("memory", 2), ("bug", 1)])
def test_what_fails_on_one_rank_ends_all(kind: str, expected: int, rank: int, tmp_path: Path) -> None:
    code, _, text = fails(tmp_path, rank, kind)
    assert code == expected, text
    assert text.count("phasefield: error: rank ") == 1
    assert f"rank {rank} of 2: " in text
    assert ("Traceback" in text) == (kind == "bug")
    assert (tmp_path / "run" / "checkpoint.npz").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL])
def test_a_signal_to_one_rank_is_for_all(number: signal.Signals, tmp_path: Path) -> None:
    ranks = ranked.Ranks(2, ["run", *LONG, "time.end=4000"], tmp_path)
    pids = ranks.begun()
    end = time.monotonic() + 100
    while not (tmp_path / "run" / "checkpoint.npz").exists():
        assert time.monotonic() < end, said(tmp_path)
        time.sleep(0.1)
    os.kill(pids[1], number)
    code, took = ranks.ended(60)
    assert took < ranked.LIMIT
    assert code == {signal.SIGTERM: 143, signal.SIGUSR1: 85, signal.SIGKILL: 9}[number], said(tmp_path)
    assert (tmp_path / "run" / "checkpoint.npz").exists()
