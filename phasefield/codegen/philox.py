"""Random numbers inside kernels: Philox, SplitMix and the Box-Muller transform, as statements that C and Python read alike.

A number depends on nothing but what it is asked for, which is the seed, the step, the component and the mode: not on threads,
devices, the order of loops or on whether a run was interrupted. Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy
as 1, 2, 3", SC '11, doi:10.1145/2063384.2063405) makes of the first three where a stream begins and its increment, once for all
modes. Along it every row of modes has a place, and every mode one from there on, hashed as SplitMix64 does (Steele, Lea and
Flood, "Fast splittable pseudorandom number generators", OOPSLA '14, doi:10.1145/2660193.2660195): three products of 64 bits a
mode in place of Philox's twenty, which vectorise.

What each language has to define: `WORD`, an unsigned number of 32 bits, and `LONG`, one of 64 (Python's both lie in 64 bits),
`PRODUCT` of two words in 64 bits, a number's `LOW` and `HIGH` words, `R` and `LESS_LOG`, minus the natural logarithm of a number
in (0, 1].
"""

from __future__ import annotations

import math
import re

#: Names of the scalars that are the key and the high parts of the counter, 16 bits each, which single precision holds exactly.
SEED, STEP = tuple(f"seed_{i}" for i in range(4)), tuple(f"step_{i}" for i in range(3))

_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10

#: SplitMix64: the golden ratio, and shifts and factors of its hash (Stafford's thirteenth).
_GOLDEN = 0x9E3779B97F4A7C15
_MIX = (30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)
_LAST_SHIFT = 31

#: Terms of the series of sine and cosine up to pi/4: to 1e-10 in double precision, which is finer than the angle's bits, and to
#: round-off in single; and of that of the logarithm, for round-off.
_ANGLE_TERMS = {"float64": 6, "float32": 5}
_LOG_TERMS = {"float64": 9, "float32": 5}

#: Bits of the angle; the other 40 of 64 are the radius's, which so reaches 7.5 standard deviations.
_ANGLE = 24

#: A statement: type (``WORD``, ``LONG`` or ``REAL``), name and value.
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
            lines.append(("LONG", f"{name}{i}", f"PRODUCT(WORD({factor}), {word})"))
        lines.append(("WORD", f"a{i}", f"HIGH(q{i}) ^ {b} ^ {first}"))
        lines.append(("WORD", f"c{i}", f"HIGH(p{i}) ^ {d} ^ {second}"))
        lines += [("WORD", f"b{i}", f"LOW(q{i})"), ("WORD", f"d{i}", f"LOW(p{i})")]
        a, b, c, d = (f"{word}{i}" for word in "abcd")
    return lines, (a, b, c, d)


def mix_lines(name: str, number: str) -> list[Statement]:
    """Statements that make ``name``, SplitMix64's hash of a number of 64 bits.

    Args:
        number: its name.
    """
    lines: list[Statement] = []
    for i, (shift, factor) in enumerate(_MIX):
        lines.append(("LONG", f"{name}_{i}", f"LONG(({number} ^ ({number} >> LONG({shift})))*LONG({factor:#x}))"))
        number = f"{name}_{i}"
    return [*lines, ("LONG", name, f"{number} ^ ({number} >> LONG({_LAST_SHIFT}))")]


def increment_lines(name: str, number: str) -> list[Statement]:
    """Statements that make ``name``, an increment for SplitMix64, of a random number of 64 bits: odd, and neighbouring bits of it
    differ at 24 places or more, for what has few changes is hashed less well (Steele, Lea and Flood, section 5).
    """
    twos, fours, eights = 0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F
    return [
        ("LONG", "odd", f"{number} | LONG(1)"),
        ("LONG", "changes", "odd ^ (odd >> LONG(1))"),  # whose bits are counted by twos, fours and eights
        ("LONG", "pairs", f"changes - ((changes >> LONG(1)) & LONG({twos:#x}))"),
        ("LONG", "nibbles", f"(pairs & LONG({fours:#x})) + ((pairs >> LONG(2)) & LONG({fours:#x}))"),
        ("LONG", "bytes", f"(nibbles + (nibbles >> LONG(4))) & LONG({eights:#x})"),
        ("LONG", "count", "LONG(bytes*LONG(0x0101010101010101)) >> LONG(56)"),
        ("LONG", name, "SELECT(count < LONG(24), odd ^ LONG(0xAAAAAAAAAAAAAAAA), odd)"),
    ]


def normal_lines(bits: str, dtype: str) -> list[Statement]:
    """Statements that make ``one`` and ``other``, two independent standard normal numbers, of 64 bits.

    Box and Muller, Ann. Math. Stat. 29 (1958) 610. The angle's first bits are its quadrant; sine and cosine are needed up to pi/4
    alone, without branches.
    """
    terms, rest = _ANGLE_TERMS[dtype], 32 - _ANGLE
    cosine = [(-1) ** n / math.factorial(2 * n) for n in range(terms)]
    sine = [(-1) ** n / math.factorial(2 * n + 1) for n in range(terms)]
    return [
        ("WORD", "high", f"HIGH({bits})"),
        ("WORD", "low", f"LOW({bits})"),
        ("REAL", "fraction", f"(R(high) + (R(low >> WORD({_ANGLE})) + R(0.5))*R({2.0**-rest!r}))*R({2.0**-32!r})"),
        ("REAL", "radius", "SQRT(R(2)*LESS_LOG(fraction))"),
        ("WORD", "quadrant", f"low >> WORD({_ANGLE - 2})"),
        ("WORD", "turned", f"low & WORD({2 ** (_ANGLE - 2) - 1})"),  # from -pi/4 on
        ("REAL", "within", f"(R(turned) - R({2.0 ** (_ANGLE - 3) - 0.5!r}))*R({2 * math.pi / 2**_ANGLE!r})"),
        ("REAL", "square", "within*within"),
        *_powers("square", terms),
        ("REAL", "cosine", _polynomial("square", cosine)),
        ("REAL", "sine", f"within*{_polynomial('square', sine)}"),
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
        ("WORD", "which", "WORD(component)"),
        ("WORD", "none", "WORD(0)"),
        ("WORD", "now", f"WORD({STEP[0]}) | (WORD({STEP[1]}) << WORD(16))"),
        ("WORD", "later", f"WORD({STEP[2]})"),
        ("WORD", "low_seed", f"WORD({SEED[0]}) | (WORD({SEED[1]}) << WORD(16))"),
        ("WORD", "high_seed", f"WORD({SEED[2]}) | (WORD({SEED[3]}) << WORD(16))"),
    ]
    stream, (a, b, c, d) = philox_lines(("which", "none", "now", "later"), ("low_seed", "high_seed"))
    words += [
        *stream,
        ("LONG", "origin", f"LONG({a}) | (LONG({b}) << LONG(32))"),
        ("LONG", "drawn", f"LONG({c}) | (LONG({d}) << LONG(32))"),
        *increment_lines("increment", "drawn"),
    ]
    for name in ("row", "mirror"):  # what does not change along a row stands by itself
        words.append(("LONG", f"{name}_place", f"LONG(origin + LONG(LONG({name})*LONG({_GOLDEN:#x})))"))
        words += mix_lines(f"{name}_origin", f"{name}_place")
    # Of a mode and its mirror image, which are conjugate, one gives the numbers.
    begin = "SELECT((edge > 0) & (mirror < row), mirror_origin, row_origin)" if parts == 2 else "row_origin"
    words.append(("LONG", "place", f"LONG({begin} + LONG(LONG(number)*increment))"))
    lines = [*words, *mix_lines("bits", "place"), *normal_lines("bits", dtype)]
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
    types = {"WORD": "word", "LONG": "longer", "REAL": "real"}
    *indices, _ = [f"const int {name}" for name in _ARGUMENTS[:6]]
    arguments = [
        *indices,
        *(f"const real {name}" for name in _ARGUMENTS[5:]),
        *(["real& imaginary"] if parts == 2 else []),
    ]
    out = [
        "typedef unsigned int word;",
        "typedef unsigned long long longer;",
        "#define WORD(x) ((word)(x))",
        "#define LONG(x) ((longer)(x))",
        "#define PRODUCT(a, b) ((longer)(a)*(b))",
        "#define LOW(x) ((word)(x))",
        "#define HIGH(x) ((word)((x) >> 32))",
        "#define LESS_LOG(x) (-log(x))",
        f"__device__ inline real WHITE({', '.join(arguments)}) {{",
    ]
    out += [f"    const {types[kind]} {name} = {text};" for kind, name, text in white_lines(parts, dtype)]
    return [*out, *(["    imaginary = im;"] if parts == 2 else []), "    return re;", "}"]


def loop_white(parts: int, dtype: str) -> list[str]:
    """The function ``WHITE`` for the CPU, with what it needs; returns a tuple of two for complex modes, else a number.

    The logarithm is written out, for loops that call one do not vectorise: log u = e log 2 + log m with u = 2^e m, m between
    sqrt(1/2) and sqrt(2), and log m = 2 artanh((m - 1)/(m + 1)).
    """
    integer, digits = {"float64": ("int64", 52), "float32": ("int32", 23)}[dtype]
    below = {"float64": 0x3FE6A09E667F3BCD, "float32": 0x3F3504F3}[dtype]  # the bits of sqrt(1/2)
    terms = _LOG_TERMS[dtype]
    head = f"def WHITE({', '.join(_ARGUMENTS)}):"
    return [
        f"BITS, WORD, LONG = {integer}, uint64, uint64",
        "",
        *("def LOW(x):", "    return x & WORD(0xFFFFFFFF)", ""),
        *("def HIGH(x):", "    return x >> WORD(32)", ""),
        *("def PRODUCT(a, b):", "    return a*b", ""),
        "def LESS_LOG(u):",
        "    bits = bits_of(u)",
        f"    e = (bits - BITS({below})) >> BITS({digits})",
        f"    m = number_of(BITS(bits - (e << BITS({digits}))))",
        "    s = (m - R(1))/(m + R(1))",
        "    z = s*s",
        *(f"    {name} = {text}" for _, name, text in _powers("z", terms)),
        f"    return -(R(e)*R({math.log(2)!r}) + s*{_polynomial('z', [2 / (2 * n + 1) for n in range(terms)])})",
        "",
        head,
        *(f"    {name} = {text}" for _, name, text in white_lines(parts, dtype)),
        f"    return {'re, im' if parts == 2 else 're'}",
        "",
    ]


def _polynomial(variable: str, coefficients: list[float]) -> str:
    """Halved again and again (Estrin), for a chain of as many products as Horner's has terms would be waited for.

    Args:
        variable: name; those of its powers are this with the exponent behind it, see `_powers`.
    """
    if len(coefficients) == 1:
        return f"R({coefficients[0]!r})"
    half = 1 << (len(coefficients) - 1).bit_length() - 1
    low, high = (_polynomial(variable, part) for part in (coefficients[:half], coefficients[half:]))
    return f"({low} + {variable if half == 1 else f'{variable}{half}'}*{high})"


def _powers(variable: str, terms: int) -> list[Statement]:
    """The powers that a polynomial of so many terms needs: second, fourth, ..."""
    exponents = [2**i for i in range(1, (terms - 1).bit_length())]
    return [
        ("REAL", f"{variable}{n}", "*".join([variable if n == 2 else f"{variable}{n // 2}"] * 2)) for n in exponents
    ]
