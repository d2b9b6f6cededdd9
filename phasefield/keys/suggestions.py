"""Did you mean: the one place that guesses what a slip of the pen was to be."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ConfigError


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
