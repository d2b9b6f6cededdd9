"""The command line.

Exit codes: 0 done, 1 members of a sweep failed, 2 error, 128 + n stopped by signal n (SIGINT, SIGTERM, SIGHUP, SIGUSR1).
"""

from __future__ import annotations

import difflib
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .console import console, finish, give_up
from .errors import PhasefieldError
from .signals import listening


def main(arguments: list[str] | None = None) -> None:
    """Entry point; exits the process with a documented code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [a for a in given if a != "--debug"]
    with console():
        sys.exit(_main(given, debug))


def _main(given: list[str], debug: bool) -> int:
    _level[0] = "DEBUG" if debug else "INFO"
    try:
        with listening():
            code = _dispatch(given)
        finish()
        return code
    except PhasefieldError as error:
        if debug:
            import traceback

            traceback.print_exc()
        print(f"phasefield: error: {error}", file=sys.stderr)
        return error.exit_code
    except MemoryError as error:
        if debug:
            raise
        print(f"phasefield: error: out of memory: {error}\n  use fewer cells or precision=single", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print(f"phasefield: {error or 'interrupted'}", file=sys.stderr)
        return 128 + getattr(error, "number", 2)
    except BrokenPipeError:
        give_up()
        return 0
    except OSError as error:  # a path with a name that is too long, a folder that may not be read, a full disk
        if debug:
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"phasefield: error: {where}{error.strerror or error}", file=sys.stderr)
        return 2


def _dispatch(given: list[str]) -> int:
    if {"-h", "--help"} & set(given) or given[:1] == ["help"]:
        from . import usage

        words = given[1:] if given[:1] == ["help"] else given
        if given[:1] == ["help"] and words and words[0] not in COMMANDS:
            _refuse_words(words[:1])
        print(usage.text(words[0] if words and words[0] in COMMANDS else ""))
        return 0
    if "--version" in given:
        from .provenance import version

        print(f"phasefield {version()}")
        return 0
    if "COMP_LINE" in os.environ and "-sc" in given:
        return _complete(given, os.environ["COMP_LINE"])
    if {"-sc", "--shell-completion"} & set(given):
        _check_completion(given)
    if any(a in ("-sc", "--shell-completion", "--hydra-help", "--info", "-i") for a in given):
        return _hydra(given, lambda config: None)
    given = _with_search_path(given)
    name = given[0] if given and given[0] in COMMANDS else "run"
    rest = given[1:] if given and given[0] in COMMANDS else given
    if name == "run" or rest[:1] == ["show"] or rest[:1] == ["validate"]:
        _refuse_words(rest if name == "run" else rest[1:])
    return COMMANDS[name](rest)


def _with_search_path(given: list[str]) -> list[str]:
    """``--config-dir DIR`` as the key that it is short for."""
    out, folders = [], []
    rest = iter(given)
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag not in ("--config-dir", "-cd"):
            out.append(word)
            continue
        folder = value if equals else next(rest, "")
        if not folder:
            raise PhasefieldError("--config-dir needs a folder, in which presets lie in model/ and experiment/")
        folders.append(os.path.abspath(os.path.expanduser(folder)))
    if not folders:
        return given
    if any(word.lstrip("+").startswith("hydra.searchpath=") for word in out):
        raise PhasefieldError("--config-dir and hydra.searchpath are the same; give one of them")
    quoted = (f"file://{folder}".replace("\\", "\\\\").replace("'", "\\'") for folder in folders)
    listed = ",".join("'" + folder + "'" for folder in quoted)
    return [*out, f"hydra.searchpath=[{listed}]"]


def _check_completion(given: list[str]) -> None:
    at = min(given.index(a) for a in ("-sc", "--shell-completion") if a in given)
    action, _, shell = (given[at + 1] if at + 1 < len(given) else "").partition("=")
    if action not in ("install", "uninstall", "query") or shell not in ("bash", "zsh", "fish"):
        asked = f" {given[at + 1]}" if at + 1 < len(given) else ""
        raise PhasefieldError(
            f"{given[at]}{asked}: install=SHELL or uninstall=SHELL is expected, SHELL one of bash, zsh, fish\n"
            '  e.g. eval "$(phasefield -sc install=bash)"'
        )


def _complete(given: list[str], line: str) -> int:
    """Offers for the last word of a line: commands and presets from here, keys and values from Hydra."""
    import re

    from . import presets

    words = line.split(" ")
    last = words[-1]
    if len(words) == 2:
        print("\n".join(command for command in COMMANDS if command.startswith(last)))
    elif words[1:-1] == ["config"]:
        print("\n".join(word for word in ("show", "validate") if word.startswith(last)))
        return 0
    elif words[1] in ("report", "homogenize") or words[1:-1] == ["resume"]:
        return 0  # folders are the shell's to complete
    group, _, name = last.partition("=")
    if group == "experiment":  # Hydra offers no presets in subfolders
        print("\n".join(f"{group}={preset}" for preset in presets.names(group) if preset.startswith(name)))
        return 0
    # Hydra knows of keys alone.
    os.environ["COMP_LINE"] = re.sub(r"^(\S+) +(run|config +\w+|resume +\S+) +", r"\1 ", line)
    os.environ["COMP_POINT"] = str(len(os.environ["COMP_LINE"]))
    try:
        return _hydra(given, lambda config: None)
    except PhasefieldError:
        return 0  # half a word is no mistake


def _refuse_words(arguments: list[str]) -> None:
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if "=" in argument or argument.startswith(("-", "~")):
            continue
        hint = "phasefield --help shows both"
        if "=" in before or argument == "=":
            hint = "if it belongs to the value before it, quote the whole in the shell: 'key=value with blanks'"
        if argument in COMMANDS:
            raise PhasefieldError(
                f"{argument!r} is a command and comes first: phasefield {argument} ...\n  phasefield {argument} --help"
            )
        close = difflib.get_close_matches(argument, COMMANDS, 1)
        guess = f"; did you mean {close[0]!r}?" if close else ""
        raise PhasefieldError(
            f"{argument!r} is neither a command ({', '.join(COMMANDS)}) nor an override key=value{guess}\n  {hint}"
        )


def _command_line() -> str:
    return shlex.join(["phasefield", *sys.argv[1:]])


#: Of the messages shown; a list, for one command sets it and the runs of its sweep read it.
_level = ["INFO"]


def _announce() -> None:
    """Log messages of the package go to standard error, plain."""
    import logging

    log = logging.getLogger("phasefield")
    log.disabled = False  # Hydra's logging setup switches off every logger it does not know
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
        log.propagate = False
    log.setLevel(_level[0])


def _finish(run: Any) -> int:
    """Draws the picture, says where things are, and gives the exit code."""
    if run.outcome.signal is not None:
        print(
            f"stopped by signal {run.outcome.signal}; continue with: phasefield resume {shlex.quote(str(run.path))}",
            file=sys.stderr,
        )
        return 128 + run.outcome.signal
    picture = ""
    if run.picture_wanted:
        from .report import picture as draw

        try:
            picture = f", picture in {draw(run.path).name}"
        except OSError as error:  # the run is complete without it
            print(f"phasefield: the picture cannot be written: {error.strerror or error}", file=sys.stderr)
    more = f"phasefield report {shlex.quote(str(run.path))} shows more"
    print(f"{run.path}: fields in fields.nc, history in history.nc{picture}; {more}")
    return 0


def run(rest: list[str]) -> int:
    """``phasefield run``"""
    words = [word for word in rest if word not in ("-m", "--multirun")]
    _refuse_flags(words, "run")
    _announce()
    if len(words) < len(rest):
        return _sweep(words)
    from . import api, config

    return _finish(api.run_config(config.compose(rest), _command_line(), progress=True))


def _sweep(words: list[str]) -> int:
    """``phasefield run -m``: all runs are checked before the first one starts."""
    from . import config, sweep

    keys = [word.lstrip("+") for word in words]
    config.parse([key for key in keys if not key.startswith("hydra")])
    # Other sweepers choose their values as they go.
    jobs = [] if any(key.startswith("hydra/sweeper=") for key in keys) else sweep.combinations(words)
    named = {key.partition("=")[0].strip(): key.partition("=")[2].strip() for key in keys}
    folder = named.get("hydra.sweep.dir") or named.get("output.dir")
    path = [key for key in keys if key.startswith("hydra.searchpath=")]
    where = sweep.prepare(folder and config.unquoted(folder), jobs, path, _command_line())
    more = [] if folder else [f"hydra.sweep.dir={where}"]
    try:
        _hydra(["-m", *words, *more], _sweep_job)
    except PhasefieldError:
        sweep.abandon(where)
        raise
    except (SystemExit, KeyboardInterrupt) as stop:
        code = sweep.summary(where)
        if isinstance(stop, KeyboardInterrupt):
            raise
        return code
    return sweep.summary(where)


def _sweep_job(composed: Any) -> None:
    from hydra.core.hydra_config import HydraConfig

    from . import api, sweep

    _announce()
    at = HydraConfig.get()
    own = list(at.overrides.task)
    print(f"run {at.job.num}: {' '.join(sweep.readable(o) for o in own if not o.endswith('=null'))}", file=sys.stderr)
    near = os.path.relpath(at.runtime.output_dir)
    folder = at.runtime.output_dir if near.startswith("..") else near
    code = sweep.run_member(
        Path(folder), at.job.num, own, lambda: _finish(api.run_config(composed, _command_line(), folder, progress=True))
    )
    if code >= 128:
        raise SystemExit(code)


def resume(rest: list[str]) -> int:
    """``phasefield resume``"""
    if not rest or "=" in rest[0]:
        raise PhasefieldError("resume: the run folder is missing; usage: phasefield resume DIR [key=value ...]")
    new_files = "--new-files" in rest
    rest = [argument for argument in rest if argument != "--new-files"]
    _refuse_flags(rest, "resume")
    _announce()
    from . import api, sweep

    if sweep.is_sweep(rest[0]):
        return sweep.resume(rest[0], rest[1:], _finish, _command_line(), new_files)
    return _finish(api.resume(rest[0], *rest[1:], progress=True, command=_command_line(), new_files=new_files))


def homogenize(rest: list[str]) -> int:
    """``phasefield homogenize``"""
    if not rest or ("=" in rest[0] and not os.path.exists(rest[0])):
        raise PhasefieldError(
            "homogenize: the run folder or image is missing; usage: phasefield homogenize DIR|IMAGE material=NAME [key=value ...]"
        )
    _refuse_flags(rest, "homogenize")
    from . import display
    from .homogenize import command

    with display.working() as show:
        outcome = command.execute(rest[0], rest[1:], _command_line(), show)
    print(outcome.text, flush=True)
    if outcome.failure is not None:
        raise outcome.failure
    return 0


def report(rest: list[str]) -> int:
    """``phasefield report``"""
    references, folders = [], []
    words = iter(rest)
    for word in words:
        key, equals, value = word.partition("=")
        if key not in ("--reference", "reference"):
            folders.append(word)
            continue
        file = value if equals else next(words, "")
        if not file:
            raise PhasefieldError("report: --reference needs a CSV file with the columns time, free_energy")
        references.append(file)
    _refuse_flags(folders, "report")
    if len(folders) != 1:
        raise PhasefieldError("report: one run folder is expected; usage: phasefield report DIR [--reference CSV ...]")
    from .report import report as write

    if os.path.isfile(os.path.join(folders[0], "sweep.yaml")):
        from . import sweep

        return sweep.report(folders[0], references, write)
    print(write(folders[0], references))
    return 0


def show_config(rest: list[str]) -> int:
    """``phasefield config``"""
    if not rest or rest[0] not in ("show", "validate"):
        raise PhasefieldError(
            "config: expected 'show' or 'validate'; usage: phasefield config show|validate [key=value ...]"
        )
    _refuse_flags(rest, "config")
    from . import config

    composed = config.compose(rest[1:])
    if rest[0] == "show":
        print(config.to_yaml(composed), end="")
        return 0
    from .api import simulation_of

    sim = simulation_of(config.to_spec(composed))
    print(
        f"valid: {sim.model.name}, {'x'.join(map(str, sim.grid.shape))} cells, {sim.backend.name} ({sim.backend.description})"
    )
    return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "run": run,
    "resume": resume,
    "homogenize": homogenize,
    "report": report,
    "config": show_config,
}


def _refuse_flags(rest: list[str], command: str) -> None:
    for argument in rest:
        if argument.startswith("-"):
            raise PhasefieldError(
                f"{command}: unknown option {argument}\n  phasefield {command} --help lists the options"
            )


def _hydra(arguments: list[str], task: Callable[[Any], None]) -> int:
    """Hands over to Hydra, which does sweeps, launchers and shell completion."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from . import config

    new = config.register([a for a in arguments if "=" in a and not a.startswith("-")])
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come to us as exceptions, and one message goes out
    rest = arguments[1:] if arguments[:1] == ["run"] else arguments
    before = sys.argv
    sys.argv = [before[0], *config.prepare(rest, sweep=True)]
    try:
        hydra.main(version_base="1.3", config_path="pkg://phasefield.configs", config_name="config")(
            lambda composed: task(config.arrange(composed, new))
        )()
    except (HydraException, OmegaConfBaseException) as error:
        raise config.config_error(error) from error
    finally:
        sys.argv = before
    return 0


if __name__ == "__main__":
    main()
