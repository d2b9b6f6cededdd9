"""The members of a sweep: what each was asked, how it runs, and how it came out, which stands in its folder."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from .. import config
from ..errors import OutputError, PhasefieldError
from ..store import MEMBER, SWEEP, expanded, write_text
from ..wall import WANTS_MORE
from .folder import read


@dataclass
class Member:
    """A run of a sweep.

    Attributes:
        name: of its folder. number: in the order of the sweep. overrides: what it was asked.
        error: why it failed, empty if it did not. code: its exit code, None if it has not ended. text: how it came out.
    """

    name: str
    number: int
    overrides: list[str] = field(default_factory=list)
    error: str = ""
    code: int | None = None
    text: str = "not started"


def members(path: str | Path) -> list[Member]:
    """All members of a sweep, in order.

    Raises:
        OutputError: its file cannot be read.
    """
    where = expanded(path)
    told = read(where / SWEEP, required=True)
    command = str(told.get("name") or "run")
    jobs = [config.current(list(map(str, job)), command, earlier=True) for job in told.get("members") or []]
    found = {n: Member(str(n), n, job) for n, job in enumerate(jobs)}
    inner = [file.parent for file in where.glob(f"**/*/{SWEEP}")]  # a member may hold a sweep of its own
    for file in sorted(f for f in where.glob(f"**/{MEMBER}") if not any(i in f.parents for i in inner)):
        seen = {key: value for key, value in read(file).items() if key in Member.__dataclass_fields__}
        if isinstance(seen.get("number"), int):
            seen["overrides"] = config.current(list(map(str, seen.get("overrides") or [])), command, earlier=True)
            found[seen["number"]] = Member(**{**seen, "name": file.parent.relative_to(where).as_posix()})
    return [found[number] for number in sorted(found)]


def run_member(folder: Path, number: int, overrides: Sequence[str], go: Callable[[], int]) -> int:
    """Runs a member and writes down how it came out; its exit code.

    Errors end here, for the other members' sake. An interruption goes on to the caller, written down too.
    """
    member = Member(folder.name, number, list(map(config.original, overrides)), text="running")
    _write(folder, member)
    try:
        member.code = go()
        member.text = _outcome(member.code)
        if member.code and not stops(member.code):
            member.error = f"ended with exit code {member.code}, of which its messages tell"
    except PhasefieldError as error:
        member.code, member.error, member.text = error.exit_code, str(error), "failed"
        print(f"phasefield: error: {error}", file=sys.stderr)
    except Exception as error:  # a fault of ours, which must not take the other members along
        import traceback

        traceback.print_exc()
        member.code, member.text = 2, "failed"
        member.error = f"{type(error).__name__}: {error} (a fault of the program; its traceback is above)"
    except BaseException as stop:
        member.code, member.text = 128 + getattr(stop, "number", signal.SIGINT), "interrupted"
        raise
    finally:
        _write(folder, member)
    return member.code


def _outcome(code: int) -> str:
    if code == WANTS_MORE:
        return "stopped to be continued"
    if code >= 128:
        return f"stopped by signal {code - 128}"
    return "failed" if code else "done"


def stops(code: int | None) -> bool:
    """Whether what stopped a member stops the others as well."""
    return code is not None and (code >= 128 or code == WANTS_MORE)


def _write(folder: Path, member: Member) -> None:
    import yaml

    told = {key: value for key, value in vars(member).items() if key != "name"}
    with suppress(OSError, OutputError):  # on a full disk the run itself has told it
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / MEMBER, yaml.safe_dump(told, sort_keys=False, allow_unicode=True))
