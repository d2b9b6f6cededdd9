"""Random numbers inside kernels: Philox4x32-10 and the Box-Muller transform, as statements that C and Python read alike.

The generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC '11, doi:10.1145/2063384.2063405, is a function
of a counter and a key and has no state. So a number depends on nothing but what it is asked for: not on threads, devices, the
order of loops or on whether a run was interrupted. The counter holds the mode's last index, the number of its row, the
component with the high bits of the step, and the low bits of the step; the key is the seed.

What each language has to define: `WORD`, a 32-bit unsigned number (Python's lies in 64 bits), `PRODUCT` of two of them in
64 bits, its `LOW` and `HIGH` words, `R` and `LESS_LOG`, minus the natural logarithm of a number in (0, 1].
"""

from __future__ import annotations

import math
import re

#: Names of the scalars that are the key and the high parts of the counter, 16 bits each, which single precision holds exactly.
SEED, STEP = tuple(f"seed_{i}" for i in range(4)), tuple(f"step_{i}" for i in range(3))

_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10

#: Terms of the series of sine and cosine up to pi/4, and of that of the logarithm, for round-off of each precision.
_ANGLE_TERMS = {"float64": 8, "float32": 5}
_LOG_TERMS = {"float64": 10, "float32": 5}

#: A statement: type (``WORD``, ``PRODUCT`` or ``REAL``), name and value.
Statement = tuple[str, str, str]


def philox_lines(counter: tuple[str, ...], key: tuple[str, ...]) -> tuple[list[Statement], tuple[str, ...]]:
    """Statements of Philox4x32-10, and the names of the four words that it returns.

    Args:
        counter: names of four words. key: of two.
    """
    lines: list[Statement] = []
    a, b, c, d = counter
    first, second = key
    for i in range(_ROUNDS):
        if i:
            lines.append(("WORD", f"key{i}_0", f"LOW({first} + WORD({_WEYL[0]}))"))
            lines.append(("WORD", f"key{i}_1", f"LOW({second} + WORD({_WEYL[1]}))"))
            first, second = f"key{i}_0", f"key{i}_1"
        for name, factor, word in (("p", _MULTIPLIERS[0], a), ("q", _MULTIPLIERS[1], c)):
            lines.append(("PRODUCT", f"{name}{i}", f"PRODUCT(WORD({factor}), {word})"))
        lines.append(("WORD", f"a{i}", f"HIGH(q{i}) ^ {b} ^ {first}"))
        lines.append(("WORD", f"c{i}", f"HIGH(p{i}) ^ {d} ^ {second}"))
        lines += [("WORD", f"b{i}", f"LOW(q{i})"), ("WORD", f"d{i}", f"LOW(p{i})")]
        a, b, c, d = (f"{word}{i}" for word in "abcd")
    return lines, (a, b, c, d)


def normal_lines(words: tuple[str, ...], dtype: str) -> list[Statement]:
    """Statements that make ``one`` and ``other``, two independent standard normal numbers, of the first three of four words.

    Box and Muller, Ann. Math. Stat. 29 (1958) 610: the radius from 64 bits, so that it reaches 9.5 standard deviations, the angle
    from 32. The angle's first bits are its quadrant; sine and cosine are needed up to pi/4 alone, without branches.
    """
    high, low, angle, _ = words
    terms = _ANGLE_TERMS[dtype]
    cosine = [(-1) ** n / math.factorial(2 * n) for n in range(terms)]
    sine = [(-1) ** n / math.factorial(2 * n + 1) for n in range(terms)]
    return [
        ("REAL", "fraction", f"(R({high}) + (R({low}) + R(0.5))*R({2.0**-32!r}))*R({2.0**-32!r})"),
        ("REAL", "radius", "SQRT(R(2)*LESS_LOG(fraction))"),
        ("WORD", "turned", f"LOW({angle} + WORD({2**29}))"),  # quadrants begin at -pi/4
        ("WORD", "quadrant", "turned >> WORD(30)"),
        ("REAL", "within", f"(R(turned & WORD({2**30 - 1})) - R({2.0**29!r}))*R({2 * math.pi / 2**32!r})"),
        ("REAL", "square", "within*within"),
        ("REAL", "cosine", _horner("square", cosine)),
        ("REAL", "sine", f"within*{_horner('square', sine)}"),
        ("REAL", "along", "SELECT((quadrant & WORD(1)) == WORD(0), cosine, -sine)"),
        ("REAL", "across", "SELECT((quadrant & WORD(1)) == WORD(0), sine, cosine)"),
        ("REAL", "arm", "SELECT((quadrant & WORD(2)) == WORD(0), radius, -radius)"),
        ("REAL", "one", "arm*along"),
        ("REAL", "other", "arm*across"),
    ]


#: Arguments of `WHITE`: 1-D indices of the mode along the last axis and whether that is its own mirror image there; the numbers
#: of its row and of the mirror image; the component; the scalars.
_ARGUMENTS = ("number", "edge", "row", "mirror", "component", *SEED, *STEP)


def white_lines(parts: int, dtype: str) -> list[Statement]:
    """Statements that make ``re`` and ``im``, or ``re`` alone, of the arguments: what `White` stands for."""
    words: list[Statement] = [
        # Of a mode and its mirror image, which are conjugate, one gives the numbers.
        ("WORD", "place", "WORD(SELECT((edge > 0) & (mirror < row), mirror, row))" if parts == 2 else "WORD(row)"),
        ("WORD", "along_row", "WORD(number)"),
        ("WORD", "stream", f"WORD(component) | (WORD({STEP[2]}) << WORD(16))"),
        ("WORD", "now", f"WORD({STEP[0]}) | (WORD({STEP[1]}) << WORD(16))"),
        ("WORD", "low_seed", f"WORD({SEED[0]}) | (WORD({SEED[1]}) << WORD(16))"),
        ("WORD", "high_seed", f"WORD({SEED[2]}) | (WORD({SEED[3]}) << WORD(16))"),
    ]
    rounds, found = philox_lines(("along_row", "place", "stream", "now"), ("low_seed", "high_seed"))
    lines = [*words, *rounds, *normal_lines(found, dtype)]
    if parts == 1:
        return _needed([*lines, ("REAL", "re", "one")], {"re"})
    half = f"R({math.sqrt(0.5)!r})"
    lines += [
        # Real where the mode is its own mirror image; the image of another is its conjugate.
        ("REAL", "re", f"SELECT((edge > 0) & (mirror == row), one, {half}*one)"),
        ("REAL", "sense", "SELECT(mirror < row, R(-1), SELECT(mirror == row, R(0), R(1)))"),
        ("REAL", "im", f"SELECT(edge > 0, sense, R(1))*{half}*other"),
    ]
    return _needed(lines, {"re", "im"})


def _needed(lines: list[Statement], wanted: set[str]) -> list[Statement]:
    """The statements that some results are made of."""
    kept: list[Statement] = []
    for kind, name, text in reversed(lines):
        if name in wanted:
            wanted = wanted | set(re.findall(r"[A-Za-z_]\w*", text))
            kept.insert(0, (kind, name, text))
    return kept


def cuda_white(parts: int, dtype: str) -> list[str]:
    """The function ``WHITE`` in CUDA C++: returns the real part and, of complex modes, puts the imaginary one at ``im``."""
    types = {"WORD": "word", "PRODUCT": "unsigned long long", "REAL": "real"}
    *indices, _ = [f"const int {name}" for name in _ARGUMENTS[:6]]
    arguments = [
        *indices,
        *(f"const real {name}" for name in _ARGUMENTS[5:]),
        *(["real& imaginary"] if parts == 2 else []),
    ]
    out = [
        "typedef unsigned int word;",
        "#define WORD(x) ((word)(x))",
        "#define PRODUCT(a, b) ((unsigned long long)(a)*(b))",
        "#define LOW(x) ((word)(x))",
        "#define HIGH(x) ((word)((x) >> 32))",
        "#define LESS_LOG(x) (-log(x))",
        f"__device__ inline real WHITE({', '.join(arguments)}) {{",
    ]
    out += [f"    const {types[kind]} {name} = {text};" for kind, name, text in white_lines(parts, dtype)]
    return [*out, *(["    imaginary = im;"] if parts == 2 else []), "    return re;", "}"]


def loop_white(parts: int, dtype: str) -> list[str]:
    """The function ``WHITE`` for numba, with what it needs; returns a tuple of two for complex modes, else a number.

    The logarithm is written out, for loops that call one do not vectorise: log u = e log 2 + log m with u = 2^e m, m between
    sqrt(1/2) and sqrt(2), and log m = 2 artanh((m - 1)/(m + 1)).
    """
    integer, digits = {"float64": ("int64", 52), "float32": ("int32", 23)}[dtype]
    below = {"float64": 0x3FE6A09E667F3BCD, "float32": 0x3F3504F3}[dtype]  # the bits of sqrt(1/2)
    series = _horner("z", [2 / (2 * n + 1) for n in range(_LOG_TERMS[dtype])])
    head = f"def WHITE({', '.join(_ARGUMENTS)}):"
    jit = "@njit(**OPTIONS)"
    return [
        f"from numpy import {integer} as BITS, uint64 as WORD",
        "",
        *(jit, "def LOW(x):", "    return x & WORD(0xFFFFFFFF)", ""),
        *(jit, "def HIGH(x):", "    return x >> WORD(32)", ""),
        *(jit, "def PRODUCT(a, b):", "    return a*b", ""),
        *(jit, "def LESS_LOG(u):"),
        "    bits = bits_of(u)",
        f"    e = (bits - BITS({below})) >> BITS({digits})",
        f"    m = number_of(BITS(bits - (e << BITS({digits}))))",
        "    s = (m - R(1))/(m + R(1))",
        "    z = s*s",
        f"    return -(R(e)*R({math.log(2)!r}) + s*{series})",
        "",
        *(jit, head),
        *(f"    {name} = {text}" for _, name, text in white_lines(parts, dtype)),
        f"    return {'re, im' if parts == 2 else 're'}",
        "",
    ]


def _horner(variable: str, coefficients: list[float]) -> str:
    text = f"R({coefficients[-1]!r})"
    for c in reversed(coefficients[:-1]):
        text = f"(R({c!r}) + {variable}*{text})"
    return text
