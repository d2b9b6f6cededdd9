"""Every failure a user can meet: one clear message that names the culprit, what was expected and what to do.

The command line prints ``str(error)`` and exits with ``exit_code``; ``--debug`` shows the traceback.
"""

from __future__ import annotations

from collections.abc import Sequence


class PhasefieldError(Exception):
    """Base of all errors that are shown to the user as one message."""

    exit_code = 2


class ConfigError(PhasefieldError):
    """A configuration value is unusable.

    Args:
        key: the dotted configuration key (or file) at fault, e.g. ``model.fields.c.mobility``.
        problem: what is wrong and what was expected.
        hint: what to do about it.
    """

    def __init__(self, key: str, problem: str, hint: str = "") -> None:
        self.key, self.problem, self.hint = key, problem, hint
        super().__init__(f"{key}: {problem}" + (f"\n  {hint}" if hint else ""))


class ExpressionError(ConfigError):
    """An expression cannot be used; points at the offending character.

    Args:
        key: the configuration key that holds the expression.
        text: the expression.
        position: zero-based column of the fault in ``text``.
        problem: what is wrong and what was expected.
    """

    def __init__(self, key: str, text: str, position: int, problem: str, hint: str = "") -> None:
        self.text, self.position = text, position
        start = max(0, position - 60)
        window = text[start : start + 100].replace("\n", " ")
        pointer = f"  {window}\n  {' ' * (position - start)}^"
        super().__init__(key, f"{problem}\n{pointer}", hint)


class DeviceError(PhasefieldError):
    """The requested device or one of its libraries is not usable here."""


class OutputError(PhasefieldError):
    """The run folder cannot be written (permissions, full disk) or already holds a run."""


class Unwritable(OutputError):
    """A file cannot be written; what to do then depends on what is left.

    Args:
        what: which file, and why. more: what of it is left, and what to do.
    """

    def __init__(self, what: str, more: str = "") -> None:
        self.what = what
        super().__init__(what + more)


class Busy(OutputError):
    """Another process is writing the run folder; what it says of the run is the other's to say."""


class Occupied(OutputError):
    """A folder for a new run already holds one."""


class Unreadable(OutputError):
    """A NetCDF file cannot be read.

    Args:
        path: of the file. reason: what is wrong with it. hint: what to do about it.
    """

    def __init__(self, path: object, reason: str, hint: str = "") -> None:
        self.reason, self.hint = reason, hint
        super().__init__(f"{path}: {reason}" + (f"\n  {hint}" if hint else ""))


class CheckpointMismatch(PhasefieldError):
    """A checkpoint is truncated, foreign, or belongs to another problem."""


class Diverged(PhasefieldError):
    """The solution became non-finite and the step size cannot be reduced further.

    Args:
        step: number of good steps, ``time``: simulated time they reached, ``field``: name of the field at fault.
        reason: what was seen.
        hint: what to do.
    """

    def __init__(self, step: int, time: float, field: str, reason: str, hint: str = "") -> None:
        self.step, self.time, self.field, self.reason, self.hint = step, time, field, reason, hint
        message = f"diverged after step {step} at time {time:.6g}, field {field!r}: {reason}"
        super().__init__(message + (f"\n  {hint}" if hint else ""))

    def advise(self, hint: str) -> Diverged:
        """The same with one more line of advice."""
        return Diverged(self.step, self.time, self.field, self.reason, f"{self.hint}\n  {hint}")


class NotConverged(PhasefieldError):
    """An iterative solver stopped before reaching its tolerance.

    Args:
        problem: what was solved and how far it came. hint: what to do. history: the measure of convergence per iteration.
    """

    def __init__(self, problem: str, hint: str = "", history: Sequence[float] = ()) -> None:
        self.history = list(history)
        tail = ", ".join(f"{value:.2g}" for value in self.history[-5:])
        super().__init__(
            problem + (f"\n  {hint}" if hint else "") + (f"\n  last values: {tail}" if len(self.history) > 1 else "")
        )


def closest(word: str, known: Sequence[str], cutoff: float = 0.6) -> str:
    """The name that a word may be a slip of; empty if none is so close. ``cutoff`` as in `difflib.get_close_matches`."""
    import difflib  # help needs none

    return next(iter(difflib.get_close_matches(word, known, 1, cutoff)), "")


def guess(word: str, known: Sequence[str], cutoff: float = 0.6) -> str:
    """The end of a complaint, ``; did you mean 'NAME'?``, or nothing; of presets in folders also one that ends or begins so."""
    close = closest(word, known, cutoff) or next(
        (k for k in known if k.split("/")[-1] == word or k.startswith(word + "/")), ""
    )
    return f"; did you mean {close!r}?" if close else ""


def unknown(key: str, name: str, known: Sequence[str], what: str) -> ConfigError:
    """The error for a name that does not exist, with the one it may be a slip of, if there is one so close."""
    return ConfigError(key, f"there is no {what} {name!r}{guess(name, known, 0.8)}", f"known: {', '.join(known)}")
