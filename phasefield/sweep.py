"""Sweeps: one run for each combination of values, in numbered folders below one that tells of all.

``sweep.yaml`` in that folder holds the command and what every member was asked; ``member.yaml`` in a member's folder how it came
out. Members may run in other processes, by a launcher (`phasefield.launchers`): what they have to tell goes through these files.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from . import config, running
from .command import Call
from .console import messages
from .errors import ConfigError, OutputError, PhasefieldError
from .report.standing import standing
from .runs import SWEEP
from .store import RunFolder, expanded, write_new, write_text
from .wall import WANTS_MORE

MEMBER = "member.yaml"


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


def launch(call: Call) -> int:
    """All combinations of a call's values, by Hydra; all are checked before the first one starts. The exit code."""
    call, language = _with_hydra(call), call.language
    keys = [word.lstrip("+") for word in call.overrides]
    config.parse([key for key in keys if not key.startswith("hydra")], language)
    launcher = config.launcher(call.overrides)
    # Other sweepers choose their values as they go.
    jobs = [] if any(key.startswith("hydra/sweeper=") for key in keys) else combinations(call)
    named = {key.partition("=")[0].strip(): key.partition("=")[2].strip() for key in keys}
    folder = named.get("hydra.sweep.dir") or named.get(call.command.folder)
    goes_on = config.unquoted(named.get(call.command.again, "")) == "auto"
    where = prepare(folder and config.unquoted(folder), jobs, call, goes_on)
    place = str(where).replace("\\", "\\\\").replace("'", "\\'")
    more = [] if "hydra.sweep.dir" in named else [f"hydra.sweep.dir='{place}'"]
    given = {override: config.original(override) for job in jobs for override in job}
    restarts = bool(getattr(launcher, "restarts", False))
    known = {m.number for m in members(where) if _done(where, m)} if goes_on else set()
    if launcher and known:
        print(f"{where}: {len(known)} of {len(jobs)} runs are done", file=sys.stderr)
    try:
        config.launch(
            [*call.overrides, *more],
            lambda composed: _job(call, composed, given, restarts),
            language,
            done=known,
        )
    except PhasefieldError:
        abandon(where)
        raise
    except (SystemExit, KeyboardInterrupt) as stop:
        code = summary(where)
        if isinstance(stop, KeyboardInterrupt):
            raise
        return code
    return summary(where)


def _with_hydra(call: Call) -> Call:
    """The call with Hydra's keys among its own, of a command that takes another's keys besides.

    Raises:
        ConfigError: one of the other's, whose values are not combined.
    """
    others = [o for o in call.rest if not o.lstrip("+").startswith("hydra")]
    if others:
        key = others[0].lstrip("+").partition("=")[0]
        raise ConfigError(
            key, f"is no key of {call.name}, whose keys alone are combined by -m", f"leave out -m, or {key}=..."
        )
    return replace(call, overrides=[*call.overrides, *call.rest], rest=[])


def _done(where: Path, member: Member) -> bool:
    """Whether a member came to its end, and what it made is still there."""
    return member.code == 0 and RunFolder(where / member.name).checkpoint.is_file()


def _job(call: Call, composed: Any, given: Mapping[str, str], restarts: bool) -> None:
    """A member, in whatever process Hydra calls it.

    Args:
        given: overrides as Hydra has them -> as they were given. restarts: whether the member may be started anew in its folder.
    """
    from hydra.core.hydra_config import HydraConfig

    messages()
    at = HydraConfig.get()
    own = [given.get(override, override) for override in at.overrides.task]
    print(f"run {at.job.num}: {' '.join(readable(o) for o in own if not o.endswith('=null'))}", file=sys.stderr)
    near = os.path.relpath(at.runtime.output_dir)
    folder = Path(at.runtime.output_dir if near.startswith("..") else near)
    if restarts and call.command.again:
        config.put(composed, call.command.again, "auto")
    member = replace(call, composed=composed, folder=folder, many=False)
    code = run_member(folder, at.job.num, own, lambda: call.command.execute(member))
    if stops(code):
        raise SystemExit(code)


def combinations(call: Call) -> list[list[str]]:
    """What every member is asked, checked.

    Raises:
        PhasefieldError: some cannot run; says which.
    """
    own = [o for o in call.overrides if not o.lstrip("+~").startswith("hydra")]
    config.register(call.overrides, call.language)
    jobs = config.combinations(own, call.language)
    wrong: dict[int, PhasefieldError] = {}
    for number, job in enumerate(jobs):
        try:
            config.to_object(config.compose([*_path(call), *job], call.language), call.language.schema)
        except PhasefieldError as error:
            wrong[number] = error
    texts = {str(error) for error in wrong.values()}
    if len(wrong) == len(jobs) and len(texts) == 1:
        raise next(iter(wrong.values()))
    if wrong:
        shown = _varying(jobs)
        lines = [f"  {number} ({' '.join(shown[number])}): {_indented(error)}" for number, error in wrong.items()]
        raise PhasefieldError(
            f"{len(wrong)} of {len(jobs)} runs of the sweep cannot be made; none was started\n" + "\n".join(lines)
        )
    return jobs


def _path(call: Call) -> list[str]:
    """Where presets of one's own are found."""
    return [o for o in call.overrides if o.lstrip("+").startswith("hydra.searchpath=")]


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
        "searchpath": _path(call),
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

    told = _read(where / SWEEP, required=True) | {"command": line, "members": list(map(list, jobs))}
    write_text(where / SWEEP, yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=1000))


def _same(where: Path, jobs: Sequence[Sequence[str]], call: Call) -> bool:
    """Whether a folder holds this very sweep.

    Raises:
        OutputError: it holds another one.
    """
    if not (where / SWEEP).is_file():
        return False
    told = _read(where / SWEEP, required=True)
    asked = [list(map(config.original, job)) for job in jobs]
    if told.get("name", "run") == call.name and _problems(told.get("members") or []) == _problems(asked):
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


def abandon(where: Path) -> None:
    """Removes the folder of a sweep of which nothing came."""
    if not any(where.glob(f"**/{MEMBER}")):
        for name in (SWEEP, "multirun.yaml"):
            with suppress(OSError):
                (where / name).unlink()
        with suppress(OSError):
            where.rmdir()


def _held(where: Path) -> str:
    """What of a run or a sweep lies in a folder."""
    own = (SWEEP, "multirun.yaml", *(p.name for p in RunFolder(where).files()))
    found = [name for name in own if (where / name).exists()]
    members = [p for p in where.glob("*") if p.is_dir() and any(f.exists() for f in (p / MEMBER, RunFolder(p).config))]
    return ", ".join([*found, *sorted(p.name for p in members)][:4])


def is_sweep(path: str | Path) -> bool:
    """Whether a folder is a sweep's."""
    return (expanded(path) / SWEEP).is_file()


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


def members(path: str | Path) -> list[Member]:
    """All members of a sweep, in order.

    Raises:
        OutputError: its file cannot be read.
    """
    where = expanded(path)
    told = _read(where / SWEEP, required=True)
    found = {n: Member(str(n), n, list(map(str, job))) for n, job in enumerate(told.get("members") or [])}
    inner = [file.parent for file in where.glob(f"**/*/{SWEEP}")]  # a member may hold a sweep of its own
    for file in sorted(f for f in where.glob(f"**/{MEMBER}") if not any(i in f.parents for i in inner)):
        seen = {key: value for key, value in _read(file).items() if key in Member.__dataclass_fields__}
        if isinstance(seen.get("number"), int):
            found[seen["number"]] = Member(**{**seen, "name": file.parent.relative_to(where).as_posix()})
    return [found[number] for number in sorted(found)]


def _read(path: Path, required: bool = False) -> dict[str, Any]:
    import yaml

    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        if required:
            raise OutputError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
        return {}
    return told if isinstance(told, dict) else {}


def asked(path: str | Path) -> tuple[str, list[str], list[str]]:
    """Of which command a sweep is, the words before the keys, and where its presets are found."""
    told = _read(expanded(path) / SWEEP, required=True)
    name, words, where = told.get("name") or "run", told.get("words") or [], told.get("searchpath") or []
    return str(name), list(map(str, words)), list(map(str, where))


def check_resume(path: str | Path, overrides: Sequence[str]) -> None:
    """Refuses overrides that a run of a sweep cannot take: a slip of the pen must not be the end of all of them.

    Raises:
        ConfigError: such an override.
    """
    config.parse(overrides)
    for member in members(path):
        if (there := RunFolder(expanded(path) / member.name).config).is_file():
            config.to_spec(config.of_run(there, overrides))


def again(path: str | Path, go: Callable[[RunFolder, Member], int]) -> int:
    """Lets all members of a sweep go on, each in its folder; the exit code."""
    where = expanded(path)
    found = members(where)
    if not found:
        raise OutputError(f"{where}: this sweep has no members\n  delete the folder and start it again")
    for member, words in zip(found, _varying([m.overrides for m in found]), strict=True):
        folder = RunFolder(where / member.name)
        print(f"run {member.name}: {' '.join(words)}", file=sys.stderr)
        before = replace(member)
        if stops(run_member(folder.path, member.number, member.overrides, lambda f=folder, m=before: go(f, m))):  # type: ignore[misc]
            break
    return summary(where)


def report(path: str | Path, references: Sequence[str], write: Callable[..., Path]) -> int:
    """Reports all members and lists them on a page; the exit code."""
    from .report.index import Row, index
    from .report.reading import reference_of

    where = expanded(path)
    for reference in references:
        reference_of(expanded(reference))
    rows, code = [], 0
    found = members(where)
    for member, shown in zip(found, _varying([m.overrides for m in found]), strict=True):
        folder = where / member.name
        page, problem = None, member.error
        try:
            if standing(folder).kind != "none":
                page = write(folder, references)
                print(page)
        except PhasefieldError as error:
            problem, code = str(error), 1
            print(f"phasefield: error: {error}", file=sys.stderr)
        state = standing(folder)
        rows.append(Row(member.name, shown, state.text if state.kind != "none" else member.text, problem, page))
    print(index(where, rows))
    return code


def summary(path: str | Path) -> int:
    """Says how a sweep came out, a row for every member that is not done; its exit code."""
    found = [_settled(expanded(path), member) for member in members(path)]
    bad = [m for m in found if m.code != 0]
    place = shlex.quote(str(path))
    if not bad:
        print(f"{path}: {_runs(found)}, all done; phasefield report {place} shows more", file=sys.stderr)
        return 0
    failed = [m for m in bad if m.error]
    print(
        f"\n{path}: {_runs(found)}, {len(found) - len(bad)} done, {len(failed)} failed"
        + (f", {len(bad) - len(failed)} stopped or not started" if len(bad) > len(failed) else ""),
        file=sys.stderr,
    )
    print("\n".join(table(found, bad)), file=sys.stderr)
    if len(bad) > len(failed):
        print(f"continue with: phasefield resume {place}", file=sys.stderr)
    stopped = [m.code for m in bad if m.code is not None and stops(m.code)]
    return stopped[0] if stopped else 1


def overview(path: str | Path) -> list[tuple[str, list[str], str]]:
    """Of every member its name, the overrides that tell it from the others, and how it came out."""
    found = [_settled(expanded(path), member) for member in members(path)]
    words = _varying([m.overrides for m in found]) if found else []
    return [(m.name, shown, m.error.split("\n")[0] or m.text) for m, shown in zip(found, words, strict=True)]


def _settled(where: Path, member: Member) -> Member:
    """A member whose process ended without a word (killed, or with its machine) is not running."""
    if member.text == "running" and not standing(where / member.name).running:
        return replace(member, text="lost: its process was killed")
    return member


def _runs(found: Sequence[Member]) -> str:
    return f"{len(found)} run{'s' if len(found) != 1 else ''}"


def table(found: Sequence[Member], shown: Sequence[Member]) -> Iterator[str]:
    """Lines: the run, what tells it from the others, its exit code, how it came out."""
    words = dict(zip([m.number for m in found], _varying([m.overrides for m in found]), strict=True))
    rows = [("run", "overrides", "code", "outcome")]
    for m in shown:
        reason = m.error.split("\n")[0] if m.error else m.text
        rows.append((m.name, " ".join(words[m.number]), "-" if m.code is None else str(m.code), reason))
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    for row in rows:
        yield "  " + "  ".join([*(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=False)), row[3]]).rstrip()


def _varying(jobs: Sequence[Sequence[str]]) -> list[list[str]]:
    """Of every job the overrides that not all have, as people write them; of a job alone all."""
    shared = set(jobs[0]).intersection(*jobs) if len(jobs) > 1 else set()
    return [[readable(o) for o in job if o not in shared and not o.endswith("=null")] for job in jobs]


def readable(override: str) -> str:
    """An override without what was put there for Hydra."""
    return config.original(override).lstrip("+")


def _indented(error: PhasefieldError) -> str:
    return str(error).replace("\n", "\n    ")
