"""Libraries of the optional extra ``upward``."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import PhasefieldError

#: What libraries are called where that is not the name of their module.
_NAMES = {"sklearn": "scikit-learn", "skfem": "scikit-fem"}


def needed(*modules: str) -> None:
    """Refuses to go on without some libraries, before anything is computed.

    Raises:
        PhasefieldError: one of them is not installed.
    """
    missing = [_NAMES.get(name, name) for name in modules if find_spec(name) is None]
    if missing:
        raise PhasefieldError(
            f"{' and '.join(missing)} {'are' if missing[1:] else 'is'} not installed\n  pip install 'phasefield[upward]'"
        )
