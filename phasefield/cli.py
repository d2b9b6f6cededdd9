"""The command line. Exit codes: 0 done, 2 error, 128 + n stopped by signal n (SIGINT, SIGTERM, SIGHUP, SIGUSR1)."""

from __future__ import annotations

import difflib
import os
import shlex
import sys
from collections.abc import Callable
from typing import Any

from .console import console, finish, give_up
from .errors import PhasefieldError
from .signals import listening

HELP = """\
phasefield - spectral phase-field simulation from free-energy expressions, on CPU and GPU

usage: phasefield [run] [key=value ...]         run the configured job (the default command)
       phasefield run -m key=v1,v2 ...          sweep: one run per combination
       phasefield resume DIR [key=value ...]    continue a stopped run from its checkpoint (--new-files: with a new fields.nc
                                                or history.nc in place of one that is missing or damaged)
       phasefield homogenize DIR|IMAGE material=NAME [key=value ...]   effective properties of a microstructure
       phasefield report DIR [--reference CSV]  pictures, curves and one HTML page from a run folder
       phasefield config show [key=value ...]   print the configuration a command would use
       phasefield config validate [key=value ...]   check it without running
       phasefield --version | --help

examples:
  phasefield                                             spinodal decomposition, about ten seconds
  phasefield model=grain_growth time.end=500 output.dir=grains
  phasefield experiment=pfhub/1b
  phasefield homogenize grains material=cu properties=[stiffness,expansion] times=all
  phasefield model=cahn_hilliard 'model.energy=W*(c-a)**2*(b-c)**2' model.parameters.W=5 grid.shape=[512,512]
  phasefield 'initial.c=0.5+0.1*cos(2*pi*x/256)' time.scheme=sbdf2 device=gpu precision=single

keys (phasefield config show prints all of them with their values; those of homogenize: phasefield homogenize --help):
  model=NAME           {models}
  model.energy         free-energy density: + - * / **, exp log sqrt sin cos tanh abs min max piecewise sum
  model.parameters.P, model.fields.F.(kinetics|mobility|kappa|components|source)
  initial.F            an expression in x, y, z, or {{kind: noise|circles|voronoi|slab|file|sum, ...}}
  grid.shape, grid.length, grid.boundary (periodic|no-flux|fixed), grid.dealias
  time.scheme (imex1|sbdf2|etd1|etdms2|etdms3|etdms4|etdrk2|etdrk4), time.adaptive, time.dt, time.tolerance, time.end, time.steady
  output.dir, output.every, output.history, output.checkpoint, output.observables, homogenize.KEY (of properties among these)
  device (auto|cpu|gpu), precision (double|single), seed, threads.cpu
  experiment=NAME      {experiments}
  hydra.searchpath=[file:///DIR]   adds presets of your own: DIR/model/NAME.yaml, DIR/experiment/NAME.yaml

options: --debug shows the traceback of an error; -sc install=bash prints how to install shell completion (bash, zsh, fish)
exit codes: 0 done; 2 error; 130, 143, 129, 138 stopped by SIGINT, SIGTERM, SIGHUP, SIGUSR1 after writing a checkpoint
"""


def main(arguments: list[str] | None = None) -> None:
    """Entry point; exits the process with a documented code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [a for a in given if a != "--debug"]
    with console():
        sys.exit(_main(given, debug))


def _main(given: list[str], debug: bool) -> int:
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
        print(_help("homogenize" in (given[:1] + given[1:2] if given[0] == "help" else given[:1])))
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
    name = given[0] if given and given[0] in COMMANDS else "run"
    rest = given[1:] if given and given[0] in COMMANDS else given
    if name == "run" or rest[:1] == ["show"] or rest[:1] == ["validate"]:
        _refuse_words(rest if name == "run" else rest[1:])
    return COMMANDS[name](rest)


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

    from .config import presets

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
        print("\n".join(f"{group}={preset}" for preset in presets(group) if preset.startswith(name)))
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


def _help(homogenize: bool = False) -> str:
    if homogenize:
        from .homogenize.settings import usage_text

        return usage_text()
    from .config import presets

    return HELP.format(
        models=", ".join(presets("model")),
        experiments=", ".join(presets("experiment")),
    )


def _command_line() -> str:
    return shlex.join(["phasefield", *sys.argv[1:]])


def _announce() -> None:
    """Log messages of the package go to standard error, plain."""
    import logging

    log = logging.getLogger("phasefield")
    log.disabled = False  # Hydra's logging setup switches off every logger it does not know
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False


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
    _announce()
    if {"-m", "--multirun"} & set(rest):
        return _hydra(rest, _sweep_job)
    _refuse_flags(rest, "run")
    from . import api, config

    return _finish(api.run_config(config.compose(rest), _command_line(), progress=True))


def _check_sweep(given: list[str]) -> list[str]:
    """Checks every run of a sweep before the first one starts; returns the overrides Hydra needs besides."""
    from . import config

    overrides = given[1:] if given[:1] == ["run"] else given
    _refuse_words(overrides)
    own = [o for o in overrides if not o.startswith("hydra")]
    config.parse(own)
    if len(own) == len(overrides):  # other sweepers choose their values as they go
        for job in config.combinations(own):
            config.to_spec(config.compose(job))
    folder = [o for o in own if o.startswith("output.dir=")]
    if folder or any(o.startswith("hydra.sweep.dir=") for o in overrides):
        return []
    import datetime

    return [f"hydra.sweep.dir=runs/{datetime.datetime.now():%Y-%m-%d_%H-%M-%S}_sweep"]


def _sweep_job(composed: Any) -> None:
    from hydra.core.hydra_config import HydraConfig

    from . import api

    _announce()
    at = HydraConfig.get()
    print(f"run {at.job.num}: {' '.join(o.lstrip('+') for o in at.overrides.task)}", file=sys.stderr)
    code = _finish(api.run_config(composed, _command_line(), at.runtime.output_dir, progress=True))
    if code:
        raise SystemExit(code)


def resume(rest: list[str]) -> int:
    """``phasefield resume``"""
    if not rest or "=" in rest[0]:
        raise PhasefieldError("resume: the run folder is missing; usage: phasefield resume DIR [key=value ...]")
    new_files = "--new-files" in rest
    rest = [argument for argument in rest if argument != "--new-files"]
    _refuse_flags(rest, "resume")
    _announce()
    from . import api

    return _finish(api.resume(rest[0], *rest[1:], progress=True, command=_command_line(), new_files=new_files))


def homogenize(rest: list[str]) -> int:
    """``phasefield homogenize``"""
    if not rest or ("=" in rest[0] and not os.path.exists(rest[0])):
        raise PhasefieldError(
            "homogenize: the run folder or image is missing; usage: phasefield homogenize DIR|IMAGE material=NAME [key=value ...]"
        )
    _refuse_flags(rest, "homogenize")
    from .homogenize import command

    def show(text: str) -> None:
        if sys.stderr.isatty():
            print(text, file=sys.stderr)

    outcome = command.execute(rest[0], rest[1:], _command_line(), show)
    print(outcome.text, flush=True)
    if outcome.failure is not None:
        raise outcome.failure
    return 0


def report(rest: list[str]) -> int:
    """``phasefield report``"""
    references = []
    while "--reference" in rest:
        at = rest.index("--reference")
        if at + 1 >= len(rest):
            raise PhasefieldError("report: --reference needs a CSV file with the columns time, free_energy")
        references.append(rest[at + 1])
        rest = rest[:at] + rest[at + 2 :]
    _refuse_flags(rest, "report")
    if len(rest) != 1:
        raise PhasefieldError("report: one run folder is expected; usage: phasefield report DIR [--reference CSV ...]")
    from .report import report as write

    print(write(rest[0], references))
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
            raise PhasefieldError(f"{command}: unknown option {argument}\n  phasefield --help lists the options")


def _hydra(arguments: list[str], task: Callable[[Any], None]) -> int:
    """Hands over to Hydra, which does sweeps, launchers and shell completion."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from . import config

    if {"-m", "--multirun"} & set(arguments):
        arguments = [*arguments, *_check_sweep([a for a in arguments if not a.startswith("-")])]
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
