"""The members of a sweep: what each was asked, how it runs, and how it came out, which stands in its folder."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import config
from ..errors import Busy, OutputError, PhasefieldError
from ..store import MEMBER, SWEEP, expanded, write_text
from ..wall import WANTS_MORE
from .folder import listed, read


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
    """All members of a sweep, in order. Of several folders that tell of one member, as a copy and what it was made of, the one
    that is done counts, else the one that was written last.

    Raises:
        OutputError: its file cannot be read.
    """
    where = expanded(path)
    told = read(where / SWEEP, required=True)
    command = str(told.get("name") or "run")
    jobs = [config.current(job, command, earlier=True) for job in listed(told, where / SWEEP)]
    found = {n: Member(str(n), n, job) for n, job in enumerate(jobs)}
    best: dict[int, tuple[bool, float]] = {}
    for file, seen in _words(where):
        number, rank = seen["number"], (seen.get("code") == 0, _written(file))
        if jobs and number not in found:
            continue  # a sweeper of others' tells of its members as it goes, one of ours at the beginning
        if rank >= best.get(number, rank):
            best[number] = rank
            overrides = config.current(list(map(str, seen.get("overrides") or [])), command, earlier=True)
            name = seen.get("name") if file.parent == where else None
            place = str(name or file.parent.relative_to(where).as_posix())
            found[number] = Member(**{**seen, "overrides": overrides, "name": place})
    return [found[number] for number in sorted(found)]


def _words(where: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The files that tell how members of a sweep came out, with what they say; what cannot be read says nothing."""
    inner = [file.parent for file in where.glob(f"**/*/{SWEEP}")]  # a member may hold a sweep of its own
    # A member may have been moved, and be a link now: `**` does not follow links.
    files = {f for way in ("*", "**") for f in where.glob(f"{way}/{MEMBER}") if not any(i in f.parents for i in inner)}
    for file in [*sorted(files), *sorted(where.glob(f"*.{MEMBER}"))]:
        seen = {key: value for key, value in read(file).items() if key in Member.__dataclass_fields__}
        kinds = (("number", int), ("overrides", list), ("code", int | None), ("error", str), ("text", str))
        if "number" in seen and all(isinstance(seen[key], kind) for key, kind in kinds if key in seen):
            yield file, seen


def _written(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:  # it has just been removed
        return 0.0


def run_member(
    folder: Path, number: int, overrides: Sequence[str], go: Callable[[], int], where: Path | None = None
) -> int:
    """Runs a member and writes down how it came out; its exit code.

    Errors end here, for the other members' sake. An interruption goes on to the caller, written down too.

    Args:
        where: the folder of the sweep, by default the one above the member's.
    """
    where = folder.parent if where is None else where
    member = Member(folder.name, number, list(map(config.original, overrides)), text="running")
    with suppress(OSError):  # the run itself will tell it
        folder.mkdir(parents=True, exist_ok=True)
    _write(where, folder, member)
    ours = True
    try:
        _check_own(where, folder, number)
        member.code = go()
        member.text = _outcome(member.code)
        if member.code and not stops(member.code):
            member.error = f"ended with exit code {member.code}, of which its messages tell"
    except Busy as error:  # whoever has the folder writes down how the member came out
        ours = False
        member.code = error.exit_code
        print(f"phasefield: error: {error}", file=sys.stderr)
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
        if ours:
            _write(where, folder, member)
    return member.code


def _check_own(where: Path, folder: Path, number: int) -> None:
    """Whether a folder is that of one member alone.

    Raises:
        OutputError: it is not in the sweep's, or another member's.
    """
    if (whose := _whose(where, folder, number)) is not None:
        raise OutputError(
            f"{folder}: is {whose}, and cannot be that of run {number} too\n"
            "  hydra.sweep.subdir has to name a folder of its own for each run; without it they are 0, 1, ...\n"
            f"  a folder that was renamed or copied to this name has to go: {MEMBER} in it tells whose it was"
        )


def _whose(where: Path, folder: Path, number: int) -> str | None:
    """Whose a folder is, if it is not that of a member: the sweep's, something outside it, another run's."""
    inside, sweeps = folder.absolute().resolve(), where.absolute().resolve()
    if inside == sweeps:
        return "the folder of the sweep"
    if folder.is_symlink():  # somebody has moved a member to where there is more room
        inside = folder.parent.resolve() / folder.name
    if sweeps not in inside.parents:
        return "outside the folder of the sweep"
    other = read(folder / MEMBER).get("number", number)
    return None if other == number else f"that of run {other}"


def _outcome(code: int) -> str:
    if code == WANTS_MORE:
        return "stopped to be continued"
    if code >= 128:
        return f"stopped by signal {code - 128}"
    return "failed" if code else "done"


def stops(code: int | None) -> bool:
    """Whether what stopped a member stops the others as well."""
    return code is not None and (code >= 128 or code == WANTS_MORE)


def _write(where: Path, folder: Path, member: Member) -> None:
    """Writes a member's file in its folder, or beside the sweep's own if the folder is another's or cannot be written."""
    import yaml

    told = {key: value for key, value in vars(member).items() if key != "name"}
    apart, own = where / f"{member.number}.{MEMBER}", _whose(where, folder, member.number) is None
    if own:
        with suppress(OSError, OutputError):
            if folder.is_dir():  # one that was removed meanwhile stays so
                write_text(folder / MEMBER, yaml.safe_dump(told, sort_keys=False, allow_unicode=True))
                apart.unlink(missing_ok=True)
                return
    # Taken up again, a member without a folder of its own gets one.
    told["name"] = folder.relative_to(where).as_posix() if own and where in folder.parents else str(member.number)
    with suppress(OSError, OutputError):  # on a full disk the run itself has told it
        if where.is_dir():
            write_text(apart, yaml.safe_dump(told, sort_keys=False, allow_unicode=True))
