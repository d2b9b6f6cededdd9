"""The exponential-integrator functions written out as assignments without branches."""

from __future__ import annotations

import math


def _series(variable: str, order: int, terms: int) -> str:
    """Horner form of the Taylor series of phi_order at 0, ``sum_j variable^j/(j + order)!``."""
    coefficients = [repr(1 / math.factorial(j + order)) for j in range(terms)]
    text = f"R({coefficients[-1]})"
    for c in reversed(coefficients[:-1]):
        text = f"(R({c}) + {variable}*{text})"
    return text


def phi_lines(prefix: str, z: str, highest: int) -> list[tuple[str, str]]:
    """Assignments for phi_0 .. phi_highest at z <= 0, without branches so that compilers vectorise them.

    exp is its Taylor series at z/64 squared six times, with z cut at -40 where it is below round-off of 1. For z < -1 the others
    follow from the defining recurrence, which loses no digits there; above, from the series of the highest one downwards.
    """
    lines = [(f"{prefix}x", f"R(0.015625)*MAX({z}, R(-40))"), (f"{prefix}e0", _series(f"{prefix}x", 0, 13))]
    lines += [(f"{prefix}e{i + 1}", f"{prefix}e{i}*{prefix}e{i}") for i in range(6)]
    if not highest:
        return [*lines, (f"{prefix}0", f"{prefix}e6")]
    lines += [(f"{prefix}s", f"MAX({z}, R(-1))"), (f"{prefix}i", f"R(1)/MIN({z}, R(-1))")]
    lines.append((f"{prefix}t{highest}", _series(f"{prefix}s", highest, 17 - highest)))
    for n in range(highest - 1, 0, -1):
        lines.append((f"{prefix}t{n}", f"R({1 / math.factorial(n)!r}) + {prefix}s*{prefix}t{n + 1}"))
    # Squaring multiplies round-off by 64, which slow modes would gather step by step.
    lines.append((f"{prefix}0", f"SELECT({z} < R(-1), {prefix}e6, R(1) + {prefix}s*{prefix}t1)"))
    recurrence = f"{prefix}e6"
    for n in range(1, highest + 1):
        lines.append((f"{prefix}r{n}", f"({recurrence} - R({1 / math.factorial(n - 1)!r}))*{prefix}i"))
        lines.append((f"{prefix}{n}", f"SELECT({z} < R(-1), {prefix}r{n}, {prefix}t{n})"))
        recurrence = f"{prefix}r{n}"
    return lines
