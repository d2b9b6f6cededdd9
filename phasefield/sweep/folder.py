"""The folder of a sweep: its beginning, and ``sweep.yaml``, which tells what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .. import config, running
from ..command import Call
from ..errors import OutputError
from ..store import MEMBER, SWEEP, RunFolder, expanded, write_new, write_text


def is_sweep(path: str | Path) -> bool:
    """Whether a folder is a sweep's."""
    return (expanded(path) / SWEEP).is_file()


def prepare(folder: str | None, jobs: Sequence[Sequence[str]], call: Call, goes_on: bool = False) -> Path:
    """The folder of a sweep, with its file.

    Args:
        folder: the one asked for; None makes one under runs/.
        jobs: what every member is asked, as far as it is known.
        goes_on: whether the folder may hold this very sweep already.

    Raises:
        OutputError: it holds a sweep or a run already, or cannot be written.
    """
    import yaml

    if folder is None:
        where, _ = running.new_folder("_sweep", call.command.folder)
    elif "${" in folder:
        raise OutputError(
            f"{call.command.folder}: {folder} would be another folder for every run; name one for the sweep\n"
            "  runs lie in 0, 1, ... below it; hydra.sweep.subdir=... names them otherwise"
        )
    else:
        where = expanded(folder)
        if goes_on and _same(where, jobs, call):
            return where
        if held := _held(where):
            raise OutputError(
                f"{where}: already holds a run or a sweep ({held})\n"
                f"  choose another {call.command.folder}, continue with `phasefield resume {where}`, or delete it"
            )
    told = {
        "command": call.line,
        "name": call.name,
        "words": call.words,
        "searchpath": search_path(call),
        "members": [list(map(config.original, job)) for job in jobs],
    }
    try:
        where.mkdir(parents=True, exist_ok=True)
        write_new(where / SWEEP, yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=1000))
    except FileExistsError:
        if not where.is_dir():
            raise OutputError(f"{where}: is a file\n  choose another {call.command.folder}") from None
        raise OutputError(
            f"{where}: another sweep has just begun there\n  choose another {call.command.folder}"
        ) from None
    except OSError as error:
        raise OutputError(
            f"{where}: cannot be used as the folder of a sweep: {error.strerror or error}\n  choose another {call.command.folder}"
        ) from error
    return where


def extend(where: Path, jobs: Sequence[Sequence[str]], line: str) -> None:
    """Tells the file of a sweep of more members, behind those that it has.

    Raises:
        OutputError: it cannot be read or written.
    """
    import yaml

    told = read(where / SWEEP, required=True) | {"command": line, "members": list(map(list, jobs))}
    write_text(where / SWEEP, yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=1000))


def asked(path: str | Path) -> tuple[str, list[str], list[str]]:
    """Of which command a sweep is, the words before the keys, and where its presets are found."""
    told = read(expanded(path) / SWEEP, required=True)
    name, words, where = told.get("name") or "run", told.get("words") or [], told.get("searchpath") or []
    return str(name), list(map(str, words)), list(map(str, where))


def abandon(where: Path) -> None:
    """Removes the folder of a sweep of which nothing came."""
    if not any(where.glob(f"**/{MEMBER}")):
        for name in (SWEEP, "multirun.yaml"):
            with suppress(OSError):
                (where / name).unlink()
        with suppress(OSError):
            where.rmdir()


def _same(where: Path, jobs: Sequence[Sequence[str]], call: Call) -> bool:
    """Whether a folder holds this very sweep.

    Raises:
        OutputError: it holds another one.
    """
    if not (where / SWEEP).is_file():
        return False
    told = read(where / SWEEP, required=True)
    asked = [list(map(config.original, job)) for job in jobs]
    theirs = [config.current(list(map(str, job)), call.name, earlier=True) for job in told.get("members") or []]
    if told.get("name", "run") == call.name and _problems(theirs) == _problems(asked):
        return True
    raise OutputError(
        f"{where}: holds another sweep, of {len(told.get('members') or [])} runs\n"
        f"  choose another {call.command.folder}, or continue that one with `phasefield resume {where}`"
    )


def _problems(jobs: Sequence[Sequence[str]]) -> list[list[str]]:
    """What the members were asked, but for how long they may run."""
    return [
        [o for o in map(str, job) if not o.lstrip("+").startswith(("time.wall=", "output.resume="))] for job in jobs
    ]


def _held(where: Path) -> str:
    """What of a run or a sweep lies in a folder."""
    own = (SWEEP, "multirun.yaml", *(p.name for p in RunFolder(where).files()))
    found = [name for name in own if (where / name).exists()]
    members = [p for p in where.glob("*") if p.is_dir() and any(f.exists() for f in (p / MEMBER, RunFolder(p).config))]
    return ", ".join([*found, *sorted(p.name for p in members)][:4])


def read(path: Path, required: bool = False) -> dict[str, Any]:
    import yaml

    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        if required:
            raise OutputError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
        return {}
    return told if isinstance(told, dict) else {}


def search_path(call: Call) -> list[str]:
    """Where presets of one's own are found."""
    return [o for o in call.overrides if o.lstrip("+").startswith("hydra.searchpath=")]
