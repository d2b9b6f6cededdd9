"""Sweeps begun, and gone on with: Hydra calls their members, by whatever launcher."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import config
from ..command import Call
from ..console import messages
from ..errors import ConfigError, OutputError, PhasefieldError
from ..store import RunFolder, expanded
from .checking import complaints
from .folder import abandon, prepare, search_path
from .member import Member, members, run_member, stops
from .telling import differences, readable, summary


def launch(call: Call) -> int:
    """All combinations of a call's values, by Hydra; all are checked before the first one starts. The exit code."""
    call, language = _with_hydra(call), call.language
    keys = [word.lstrip("+") for word in call.overrides]
    config.parse([key for key in keys if not key.startswith("hydra")], language)
    launcher = config.launcher(call.overrides)
    # Other sweepers choose their values as they go.
    searches = any(key.startswith("hydra/sweeper=") for key in keys)
    jobs = [] if searches else combinations(call)
    named = {key.partition("=")[0].strip(): key.partition("=")[2].strip() for key in keys}
    folder = named.get("hydra.sweep.dir") or named.get(call.command.folder)
    goes_on = config.unquoted(named.get(call.command.again, "")) == "auto"
    where = prepare(folder and config.unquoted(folder), jobs, call, goes_on)
    more = [] if "hydra.sweep.dir" in named else [f"hydra.sweep.dir={config.in_quotes(str(where))}"]
    given = {override: config.original(override) for job in jobs for override in job}
    restarts = bool(getattr(launcher, "restarts", False))
    known = {m.number for m in members(where) if _done(where, m)} if goes_on else set()
    if launcher and known:
        print(f"{where}: {len(known)} of {len(jobs)} runs are done", file=sys.stderr)
    try:
        config.launch(
            [*call.overrides, *more],
            lambda composed: _job(call, where, composed, given, restarts),
            language,
            done=known,
            checked=not searches,
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


def _job(call: Call, where: Path, composed: Any, given: Mapping[str, str], restarts: bool) -> None:
    """A member, in whatever process Hydra calls it.

    Args:
        where: the folder of the sweep. given: overrides as Hydra has them -> as they were given.
        restarts: whether the member may be started anew in its folder.
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
    code = run_member(folder, at.job.num, own, lambda: call.command.execute(member), where)
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
    if not jobs:
        raise PhasefieldError(
            "the sweep has no runs: one of its keys has no values\n  give every key a value, or several"
        )

    def build(job: Sequence[str]) -> Any:
        return config.to_object(config.compose([*search_path(call), *job], call.language), call.language.schema)

    wrong = complaints(jobs, build)
    texts = {str(error) for error in wrong.values()}
    if len(wrong) == len(jobs) and len(texts) == 1:
        raise next(iter(wrong.values()))
    if wrong:
        shown = differences(jobs)
        lines = [f"  {number} ({' '.join(shown[number])}): {_indented(error)}" for number, error in wrong.items()]
        raise PhasefieldError(
            f"{len(wrong)} of {len(jobs)} runs of the sweep cannot be made; none was started\n" + "\n".join(lines)
        )
    return jobs


def _indented(error: PhasefieldError) -> str:
    return str(error).replace("\n", "\n    ")


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
    for member, words in zip(found, differences([m.overrides for m in found]), strict=True):
        folder = RunFolder(where / member.name)
        print(f"run {member.name}: {' '.join(words)}", file=sys.stderr)
        before = replace(member)
        if stops(run_member(folder.path, member.number, member.overrides, lambda f=folder, m=before: go(f, m), where)):  # type: ignore[misc]
            break
    return summary(where)
