"""Libraries of the optional extra ``upward``."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import PhasefieldError


def needed(*modules: str) -> None:
    """Refuses to go on without some libraries, before anything is computed.

    Raises:
        PhasefieldError: one of them is not installed.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise PhasefieldError(f"{', '.join(missing)} is not installed\n  pip install 'phasefield[upward]'")
