"""The command line: finds the command and hands it the rest. Exit codes as in `phasefield.usage.CODES`."""

from __future__ import annotations

import os
import shlex
import signal
import sys

from . import commands
from .console import LEVEL, console, finish, give_up
from .errors import PhasefieldError
from .signals import Stopped, check, done, held, listening
from .tasks import OneOfMany, check_alone, first, started
from .wall import WANTS_MORE


def main(arguments: list[str] | None = None) -> None:
    """Entry point; exits the process with a documented code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [a for a in given if a != "--debug"]
    with console():
        sys.exit(_main(given, debug))


def _main(given: list[str], debug: bool) -> int:
    LEVEL[0] = "DEBUG" if debug else "INFO"
    try:
        with listening():
            code = _dispatch(given)
        if started() > 1:
            from .backend.ranks import met

            if met():  # ranks leave together, which takes them some tenths of a second
                done()
        finish()
        return code
    except OneOfMany as error:
        if error.first:
            print(f"phasefield: error: {error}", file=sys.stderr)
        return error.exit_code
    except PhasefieldError as error:
        if debug:
            import traceback

            traceback.print_exc()
        if first():  # what one of several processes says is said for all
            print(f"phasefield: error: {error}", file=sys.stderr)
        return error.exit_code
    except MemoryError as error:
        if debug:
            raise
        print(f"phasefield: error: out of memory: {error}\n  use fewer cells or precision=single", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        if first():
            print(f"phasefield: {error or 'interrupted'}", file=sys.stderr)
        return _stopped(error, given)
    except BrokenPipeError:
        give_up()
        return 0
    except OSError as error:  # a path with a name that is too long, a folder that may not be read, a full disk
        if debug:
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"phasefield: error: {where}{error.strerror or error}", file=sys.stderr)
        return 2


def _stopped(error: KeyboardInterrupt, given: list[str]) -> int:
    """The exit code after a signal."""
    number = getattr(error, "number", signal.SIGINT)
    # The notice of a batch system may come while kernels are compiled: the same command is to be run again all the same.
    return WANTS_MORE if number == signal.SIGUSR1 and _goes_on(given) else 128 + number


def _goes_on(given: list[str]) -> bool:
    """Whether the same command goes on with what it has begun."""
    return any(word.lstrip("+").replace(" ", "") == "output.resume=auto" for word in given)


def _dispatch(given: list[str]) -> int:
    known = commands.names()
    if {"-h", "--help"} & set(given) or given[:1] == ["help"]:
        return _help(given, known) if first() else 0
    if "--version" in given:
        return _version() if first() else 0
    if {"-sc", "--shell-completion", "--hydra-help", "--info", "-i"} & set(given):
        from . import completion

        return completion.answer(given)
    try:
        os.getcwd()
    except OSError as error:
        raise PhasefieldError(
            "the folder that the shell is in is gone\n  change into one that exists: cd DIR"
        ) from error
    given = _with_search_path(given)
    name = given[0] if given and given[0] in known else "run"
    if started() > 1 and not _apart(name, given):
        return _together(name, given)
    return _call(name, given)


def _apart(name: str, given: list[str]) -> bool:
    """Whether the tasks that were started have nothing to do with each other; then this one is the only one it knows of."""
    from .backend.ranks.apart import apart, leave
    from .config import unquoted

    key = commands.find(name).folder
    said = [value for word in given for at, _, value in [word.lstrip("+").partition("=")] if key and at.strip() == key]
    if not apart(given, unquoted(said[-1].strip()) if said else ""):
        return False
    leave()
    return True


def _together(name: str, given: list[str]) -> int:
    """A command of several processes: rank 0 does it with the help of the others.

    Raises:
        PhasefieldError: it is not for several, or they were not given the same.
    """
    if not commands.find(name).ranks or {"-m", "--multirun"} & set(given):
        check_alone()
    from .backend import together, world
    from .provenance import version

    asked = shlex.join(["phasefield", *given])

    def work() -> int:
        try:
            check()
            return _call(name, given)
        except Stopped as error:
            error.exit_code = _stopped(error, given)
            raise

    with held():  # a rank that left now would be waited for
        _check_same(world().everywhere((asked, version())))
        if not first():
            return together(work)
    return together(work)


def _check_same(asked: list[tuple[str, str]]) -> None:
    """Whether all ranks were given one command and have one version of the program. Raises PhasefieldError."""
    command, version = asked[0]
    for rank, (theirs, of) in enumerate(asked):
        if theirs != command:
            raise PhasefieldError(
                f"the ranks were not given the same: rank 0 `{command}`, rank {rank} `{theirs}`\n"
                "  start all with one command: mpirun -n N phasefield run ...\n"
                "  or, for runs of their own, unjoined: srun --mpi=none ..."
            )
        if of != version:
            raise PhasefieldError(
                f"the ranks have not the same phasefield: rank 0 version {version}, rank {rank} {of}\n"
                "  every rank needs the same environment"
            )


def _call(name: str, given: list[str]) -> int:
    call = commands.call(name, given[given[:1] == [name] :], shlex.join(["phasefield", *sys.argv[1:]]))
    if call.many:
        from . import sweep

        return sweep.launch(call)
    if name != "config" and any(word.startswith("hydra/launcher=") for word in (*call.overrides, *call.rest)):
        raise PhasefieldError(
            "hydra/launcher: says where the runs of a sweep are made\n"
            "  add -m: phasefield run -m KEY=VALUE,VALUE hydra/launcher=slurm; others take the sweep's folder"
        )
    return call.command.execute(call)


def _version() -> int:
    from .about import about

    print(about())
    return 0


def _help(given: list[str], known: list[str]) -> int:
    from . import usage

    asked = given[:1] == ["help"]
    words = given[1:] if asked else given
    if words and words[0] not in known and not words[0].startswith("-"):
        commands.call("run", words[:1])  # complains of what is neither a command nor a key
    print(usage.text(words[0] if words and words[0] in known else ""))
    return 0


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
            raise PhasefieldError(
                "--config-dir needs a folder, in which presets lie in model/, experiment/ and material/"
            )
        folders.append(os.path.abspath(os.path.expanduser(folder)))
    if not folders:
        return given
    if any(word.lstrip("+").startswith("hydra.searchpath=") for word in out):
        raise PhasefieldError("--config-dir and hydra.searchpath are the same; give one of them")
    quoted = (f"file://{folder}".replace("\\", "\\\\").replace("'", "\\'") for folder in folders)
    listed = ",".join("'" + folder + "'" for folder in quoted)
    return [*out, f"hydra.searchpath=[{listed}]"]


if __name__ == "__main__":
    main()
