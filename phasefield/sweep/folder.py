"""The folder of a sweep: its beginning, and ``sweep.yaml``, which tells what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .. import config, running
from ..command import Call
from ..errors import OutputError
from ..resuming import UNSAID
from ..store import MEMBER, SWEEP, RunFolder, expanded, leads_nowhere, sync_folder, write_new, write_text


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
            known = is_sweep(where) or RunFolder(where).config.is_file()
            again = f"continue with `phasefield resume {where}`, " * known
            raise OutputError(
                f"{where}: already holds a run or a sweep ({held})\n"
                f"  choose another {call.command.folder}, {again}or delete it"
            )
    told = {
        "command": call.line,
        "name": call.name,
        "words": call.words,
        "searchpath": search_path(call),
        "members": [list(map(config.original, job)) for job in jobs],
    }
    try:
        new = [place for place in (where, *where.parents) if not place.exists()]
        where.mkdir(parents=True, exist_ok=True)
        for made in new:
            sync_folder(made.parent)  # what is synced within it would be lost with its name
        write_new(where / SWEEP, yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=1000))
    except FileExistsError:
        if not where.is_dir():
            what = "a link that leads nowhere" if leads_nowhere(where) else "a file"
            raise OutputError(f"{where}: is {what}\n  choose another {call.command.folder}") from None
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
    """Of which command a sweep is, the words before the keys, and where its presets are found.

    Raises:
        OutputError: its file cannot be read.
    """
    told = read(expanded(path) / SWEEP, required=True)
    name, words, where = told.get("name") or "run", told.get("words") or [], told.get("searchpath") or []
    return str(name), list(map(str, words)), list(map(str, where))


def listed(told: dict[str, Any], path: Path) -> list[list[str]]:
    """What every member was asked, of what the file of a sweep tells.

    Raises:
        OutputError: that is no list of lists.
    """
    jobs = told.get("members")
    if not isinstance(jobs, list) or not all(isinstance(job, list) for job in jobs):
        raise OutputError(
            f"{path}: is damaged: its members are no list of what each was asked\n"
            "  the runs themselves may be whole: phasefield resume FOLDER/0, ...; or delete the sweep and start it again"
        )
    return [list(map(str, job)) for job in jobs]


def abandon(where: Path) -> None:
    """Removes the folder of a sweep of which nothing came."""
    if not any(where.glob(f"**/*{MEMBER}")):
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
    theirs = [config.current(job, call.name, earlier=True) for job in listed(told, where / SWEEP)]
    if told.get("name", "run") == call.name and _problems(theirs, call) == _problems(asked, call):
        return True
    raise OutputError(
        f"{where}: holds another sweep, of {len(theirs)} runs\n"
        f"  choose another {call.command.folder}, or continue that one with `phasefield resume {where}`"
    )


def _problems(jobs: Sequence[Sequence[str]], call: Call) -> list[list[str]]:
    """What the members were asked, but for what says nothing of their problem: where they lie, how long they may run."""
    unsaid = {call.command.folder, call.command.again, "threads", "threads.cpu", *UNSAID}
    return [[o for o in job if o.lstrip("+").partition("=")[0].strip() not in unsaid] for job in jobs]


def _held(where: Path) -> str:
    """What of a run or a sweep lies in a folder."""
    own = (SWEEP, "multirun.yaml", *(p.name for p in RunFolder(where).files()))
    found = [name for name in own if (where / name).exists()]
    members = [p for p in where.glob("*") if p.is_dir() and any(f.exists() for f in (p / MEMBER, RunFolder(p).config))]
    return ", ".join([*found, *sorted(p.name for p in members)][:4])


def read(path: Path, required: bool = False) -> dict[str, Any]:
    """A file of a sweep; empty where it cannot be read and is not required.

    Raises:
        OutputError: it cannot be read, and is required.
    """
    import yaml

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a thousand members are a file of ten thousand lines
        told = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        if required:
            raise OutputError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
        return {}
    return told if isinstance(told, dict) else {}


def search_path(call: Call) -> list[str]:
    """Where presets of one's own are found."""
    return [o for o in call.overrides if o.lstrip("+").startswith("hydra.searchpath=")]
