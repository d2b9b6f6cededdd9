"""Expressions: what is accepted, what is rejected and where the caret points, and that derivatives are right."""

from __future__ import annotations

import cmath
import math
import time

import numpy as np
import pytest
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from phasefield.errors import ConfigError, ExpressionError
from phasefield.symbolic import (
    MAX_LENGTH,
    MAX_NODES,
    RESERVED,
    Symbols,
    check_names,
    component_symbols,
    differentiate,
    formula,
    parse,
    written_out,
)

NAMES = Symbols({"c": None, "phi": None, "eta": 3, "psi": 2}, ("W", "kappa"), ("x", "t"))
c, phi, W, kappa = (sympy.Symbol(n, real=True) for n in ("c", "phi", "W", "kappa"))
ETA = component_symbols("eta", 3)
PSI = component_symbols("psi", 2)


def read(text: str) -> sympy.Expr:
    return parse(text, "model.free_energy", NAMES)


def slope(text: str, symbol: sympy.Symbol = c, **options: bool) -> sympy.Expr:
    return differentiate(read(text), symbol, "model.free_energy", text, **options)


def number(expr: sympy.Expr, **values: float) -> float:
    return float(expr.subs({sympy.Symbol(n, real=True): v for n, v in values.items()}))


# -- what is understood ------------------------------------------------------------------------------------------------


def test_component_symbols() -> None:
    assert component_symbols("c", None) == (c,)
    assert [s.name for s in component_symbols("eta", 3)] == ["eta_1", "eta_2", "eta_3"]
    assert all(s.is_real for s in ETA)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("W*c**2*(1-c)**2", W * c**2 * (1 - c) ** 2),
        ("-c + +phi - 2/3", -c + phi - sympy.Rational(2, 3)),
        ("1/2*kappa", kappa / 2),
        ("2*-c", -2 * c),
        ("-c**2", -(c**2)),
        ("c**2.0", c**2),
        ("c**-1", 1 / c),
        ("exp(c) + log(c) + tanh(c)", sympy.exp(c) + sympy.log(c) + sympy.tanh(c)),
        ("sin(c)/cos(c)", sympy.sin(c) / sympy.cos(c)),
        ("sqrt(c)", sympy.sqrt(c)),
        ("cos(2*pi*x)*t", sympy.cos(2 * sympy.pi * sympy.Symbol("x", real=True)) * sympy.Symbol("t", real=True)),
        ("eta_2 - psi_1", ETA[1] - PSI[0]),
        ("\n  c\n\t+ phi\r\n", c + phi),
        ("0x10 + 1_000", sympy.Integer(1016)),
        ("min(1, 2) + max(3, 2, 1) + abs(-4)", sympy.Integer(8)),
        ("piecewise(c, 1 < 2, phi)", c),
    ],
)  # fmt: skip
def test_accepted(text: str, expected: sympy.Expr) -> None:
    assert read(text) == expected


def test_literals_keep_their_kind() -> None:
    assert isinstance(read("0.25"), sympy.Float)
    assert isinstance(read("3"), sympy.Integer)
    assert read("1/3") == sympy.Rational(1, 3)


def test_powers_stay_unexpanded() -> None:
    assert read("(c + phi)**64") == sympy.Pow(c + phi, 64)
    assert read("(1-c)**2*(c+1)**2").is_Mul


def test_sum_runs_over_components() -> None:
    expected = sum(e**2 for e in ETA) ** 2 - sum(e**4 for e in ETA)
    assert read("sum(eta**2)**2 - sum(eta**4)") == expected
    assert read("sum(c*eta + eta_1)") == sympy.Add(*(c * e + ETA[0] for e in ETA))


def test_nested_sum_is_a_number_of_its_own() -> None:
    assert sympy.expand(read("sum(eta*sum(eta))")) == sympy.expand(sum(ETA) ** 2)
    assert sympy.expand(read("sum(eta*sum(psi))")) == sympy.expand(sum(ETA) * sum(PSI))


def test_square_root_of_a_square_has_no_abs() -> None:
    assert read("sqrt(c**2)") == sympy.Piecewise((c, c >= 0), (-c, True))


@pytest.mark.parametrize(
    "text", ["abs(abs(c) - 1)", "max(max(c, phi), 0, W)", "piecewise(1, abs(c) < phi, sqrt(c**2))"]
)
def test_conditions_are_single_smooth_comparisons(text: str) -> None:
    for piece in read(text).atoms(sympy.Piecewise):
        for _, condition in piece.args:
            assert condition == sympy.true or (condition.is_Relational and not condition.has(sympy.Piecewise))


@pytest.mark.parametrize("at", [-1.7, -0.4, 0.0, 0.6, 1.0, 2.5])
def test_branches_have_the_right_values(at: float) -> None:
    assert number(read("abs(abs(c) - 1)"), c=at) == pytest.approx(abs(abs(at) - 1))
    assert number(read("max(c, phi, 0.2)"), c=at, phi=0.5) == max(at, 0.5)
    assert number(read("min(c, phi, max(c, 0.2))"), c=at, phi=0.5) == min(at, 0.5, max(at, 0.2))
    assert number(read("piecewise(1, c < 0, 2, c <= 1, 3)"), c=at) == (1 if at < 0 else 2 if at <= 1 else 3)
    assert number(read("piecewise(1, c > 0, 2, abs(c) >= 1, 3)"), c=at) == (1 if at > 0 else 2 if abs(at) >= 1 else 3)


def test_long_polynomials_are_not_deep() -> None:
    terms = [f"{i}*c**{i % 7}*phi" for i in range(300)]
    assert number(read(" + ".join(terms)), c=1, phi=1) == sum(range(300))


def test_formula() -> None:
    assert formula(read("eta_1**2/2")) == r"\frac{\eta_{1}^{2}}{2}"


# -- what is rejected, and where ---------------------------------------------------------------------------------------

REJECTED = [
    # text, position, part of the message
    ("", 0, "empty"),
    (" \n ", 0, "empty"),
    ("c + bogus", 4, "unknown name 'bogus'"),
    ("é + c", 0, "unknown name"),
    ("(c)+\n  ααα", 7, "unknown name"),
    ("c*kapa", 2, "did you mean 'kappa'"),
    ("eta_4", 0, "eta_1 ... eta_3"),
    ("ex(c)", 0, "did you mean 'exp'"),
    ("1 + __import__('os')", 4, "unknown function"),
    ("open('a')", 0, "unknown function"),
    ("c^2", 1, "**"),
    ("(c + 1) ^ 2", 8, "**"),
    ("c//2", 1, "operator"),
    ("c % 2", 2, "operator"),
    ("c @ c", 2, "operator"),
    ("c | c", 2, "operator"),
    ("~c", 0, "operator"),
    ("not c", 0, "operator"),
    ("c and c", 0, "'and'"),
    ("c.real", 1, "attribute"),
    ("().__class__.__base__", 12, "attribute"),
    ("(c).__init__.__globals__", 12, "attribute"),
    ("c.conjugate()", 1, "attribute"),
    ("eta[0]", 3, "eta_3"),
    ("lambda: 1", 0, "lambda"),
    ("(lambda: 1)()", 11, "cannot be called"),
    ("exp(c)(c)", 6, "cannot be called"),
    ("2(c)", 1, "needs *"),
    ("c(1 - c)", 1, "needs *"),
    ("2c", 0, "decimal literal"),
    ("exp(x=c)", 4, "keyword"),
    ("exp(**c)", 4, "keyword"),
    ("max(c, *c)", 7, "starred"),
    ("'c'", 0, "str"),
    ("b'c'", 0, "bytes"),
    ("f'{c}'", 0, "text"),
    ("(c := 1)", 1, "assignment"),
    ("c = 1", 2, "cannot read"),
    ("import os", 0, "cannot read"),
    ("c; c", 1, "cannot read"),
    ("((c)", 0, "never closed"),
    ("c + (c))", 7, "unmatched"),
    ("[c for c in c]", 0, "ListComp"),
    ("{c: c}", 0, "Dict"),
    ("1,5*c", 0, "comma"),
    ("c if c else c", 0, "piecewise"),
    ("await c", 0, "Await"),
    ("1j*c", 0, "complex"),
    ("c*True", 2, "bool"),
    ("None", 0, "NoneType"),
    ("...", 0, "ellipsis"),
    ("1e999", 0, "too large"),
    ("c*" + "9" * 30, 2, "integer"),
    ("9" * 5000, 0, "cannot read"),
    ("c # comment", 2, "comments"),
    ("c\x00", 1, "U+0000"),
    ("c\u00a0+c", 1, "U+00A0"),
    ("c\ud800", 1, "U+D800"),
    ("c\u22121", 1, "U+2212"),
    ("c \\\n + 1", 3, "cannot read"),
    ("exp", 0, "exp(...)"),
    ("exp()", 0, "one argument"),
    ("exp(c, c)", 0, "one argument"),
    ("max(c)", 0, "two arguments"),
    ("c < 1", 2, "only as a condition"),
    ("exp(0 < c)", 6, "only as a condition"),
    ("piecewise(1, c < 0)", 0, "otherwise"),
    ("piecewise(1)", 0, "otherwise"),
    ("piecewise(1, c, 2)", 13, "one comparison"),
    ("piecewise(1, 0 < c < 1, 2)", 13, "chain"),
    ("piecewise(1, c == 0, 2)", 15, "< <= > >="),
    ("piecewise(1, c is c, 2)", 15, "< <= > >="),
    ("piecewise(c < 1, c < 0, 2)", 12, "only as a condition"),
    ("eta", 0, "outside sum"),
    ("sum(eta) + eta", 11, "outside sum"),
    ("sum(c)", 0, "no field with components"),
    ("sum(eta_1)", 0, "no field with components"),
    ("sum(sum(eta))", 0, "no field with components"),
    ("sum(eta*psi)", 8, "3 components and 'psi' has 2"),
    ("sum(eta, psi)", 0, "one argument"),
    ("c**65", 3, "exponent"),
    ("c**-65.0", 3, "exponent"),
    ("9**9**9**9", 6, "exponent"),
    ("2**(2**(2**(2**(2**2))))", 8, "exponent"),
    ("(c**20)**20", 0, "exponent"),
    ("c**60*c**60", 0, "exponent"),
    ("(10**60)**64", 0, "finite"),
    ("c*1e200*1e200", 0, "finite"),
    ("1/0", 2, "division by zero"),
    ("c/0.0", 2, "division by zero"),
    ("c/(phi - phi)", 3, "division by zero"),
    ("0**-1", 0, "finite"),
    ("log(0)", 0, "finite"),
    ("log(c - c)", 0, "finite"),
    ("1 + log(-1)", 4, "finite"),
    ("sqrt(-2)", 0, "finite"),
    ("(-8)**(1/3)", 0, "finite"),
    ("sqrt(-c**2)", 0, "finite"),
    ("(-2)**c", 1, "negative"),
    ("exp(1000)", 0, "finite"),
    ("exp(exp(exp(exp(99.0))))", 8, "finite"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "position", "message"), REJECTED, ids=lambda v: ascii(v)[:30])
def test_rejected(text: str, position: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        read(text)
    assert caught.value.position == position
    assert message in str(caught.value)
    assert caught.value.key == "model.free_energy"
    str(caught.value).encode()


def test_caret_stands_below_the_fault() -> None:
    with pytest.raises(ExpressionError) as caught:
        read("c +\n\tbogus*c")
    lines = str(caught.value).splitlines()
    assert lines[1][lines[2].index("^") :].startswith("bogus")


@pytest.mark.parametrize(
    "text",
    [
        "c" * (MAX_LENGTH + 1),
        "(" * 4000 + "c" + ")" * 4000,
        "-" * 9999 + "c",
        "sin(" * 100 + "c" + ")" * 100,
        "c**" * 100 + "c",
        ",".join(["c"] * (MAX_NODES // 2 + 1)).join(["max(", "*c" * 2500 + ")"])[:MAX_LENGTH],
        "(" * 150 + "c" + "**64)" * 150,
        "abs(1-" * 25 + "c" + ")" * 25,
        "max(" + ",".join(f"c*phi**{i}" for i in range(40)) + ")",
        "sum(eta*" * 20 + "sum(eta)" + ")" * 20,
        "*".join(["sum(eta**2*(1-eta)**2 + c)"] * 300),
        "(1/3)**" * 80 + "2",
    ],
    ids=range(12),
)
def test_size_is_bounded(text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(ExpressionError):
        read(text)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    "text", ["(1/3)**" * 50 + "2", "1/(1+sqrt(" * 19 + "2" + "))" * 19, "cos(" * 50 + "1" + ")" * 50]
)
def test_nested_constants_take_no_time(text: str) -> None:
    start = time.perf_counter()
    functions = {"sqrt": math.sqrt, "cos": math.cos, "__builtins__": {}}
    assert float(read(text)) == pytest.approx(eval(text, functions))
    assert time.perf_counter() - start < 5


def test_text_is_required() -> None:
    with pytest.raises(ConfigError, match="expected an expression"):
        parse(1.5, "initial.c", NAMES)  # type: ignore[arg-type]


# -- names -------------------------------------------------------------------------------------------------------------


def test_good_names_pass() -> None:
    check_names(NAMES, "model")
    check_names(Symbols({"η": None, "c2": 1, "eta_4": None, "eta": 3}, ["Lambda", "E", "I"]), "model")


@pytest.mark.parametrize(
    "symbols",
    [
        Symbols({"2c": None}),
        Symbols({"c-d": None}),
        Symbols({"": None}),
        Symbols({"_c": None}),
        Symbols({}, ["__class__"]),
        Symbols({}, ["lambda"]),
        Symbols({"exp": None}),
        Symbols({}, ["piecewise"]),
        Symbols({}, ["pi"]),
        Symbols({"c": None}, ["c"]),
        Symbols({}, ["W", "W"]),
        Symbols({"eta": 3, "eta_2": None}),
        Symbols({"eta_2": None, "eta": 3}),
        Symbols({"eta": 3}, ["eta_1"]),
        Symbols({"eta": 0}),
        Symbols({"eta": True}),
        Symbols({"ﬁ": None}),
        Symbols({}, ["r"], ["r"]),
        *(Symbols({name: None}) for name in RESERVED),
    ],
)
def test_bad_names(symbols: Symbols) -> None:
    with pytest.raises(ConfigError) as caught:
        check_names(symbols, "model")
    assert caught.value.key == "model"


# -- derivatives -------------------------------------------------------------------------------------------------------

SMOOTH = [
    ("W*c**2*(1-c)**2", lambda c: 1.3 * c**2 * (1 - c) ** 2),
    ("c*log(c) + (1-c)*log(1-c)", lambda c: c * cmath.log(c) + (1 - c) * cmath.log(1 - c)),
    ("exp(-c**2)*sin(3*c)/(1+c)", lambda c: cmath.exp(-(c**2)) * cmath.sin(3 * c) / (1 + c)),
    ("tanh(c/0.1)**3 + cos(c)**-2", lambda c: cmath.tanh(c / 0.1) ** 3 + cmath.cos(c) ** -2),
    ("c**c + c**0.37 + sqrt(1+c**4)", lambda c: c**c + c**0.37 + cmath.sqrt(1 + c**4)),
]


@pytest.mark.parametrize(("text", "function"), SMOOTH, ids=[t for t, _ in SMOOTH])
@pytest.mark.parametrize("at", [0.13, 0.5, 0.88])
def test_derivative_equals_complex_step(text: str, function, at: float) -> None:
    exact = function(complex(at, 1e-30)).imag / 1e-30
    assert number(slope(text), c=at, W=1.3) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize(
    "text", ["abs(c - 0.3)", "max(c, phi)**3 + min(c, 0, phi)", "piecewise(0, c < 0.2, (c - 0.2)**3)"]
)
@pytest.mark.parametrize("at", [-0.71, 0.11, 0.83])
def test_first_and_second_derivative_beside_kinks(text: str, at: float) -> None:
    h = 1e-4
    below, here, above = (number(read(text), c=at + d, phi=0.45) for d in (-h, 0, h))
    first, second = slope(text), sympy.diff(slope(text), c)
    assert number(first, c=at, phi=0.45) == pytest.approx((above - below) / (2 * h), abs=1e-6)
    assert number(second, c=at, phi=0.45) == pytest.approx((above - 2 * here + below) / h**2, abs=1e-5)
    assert not second.has(sympy.Derivative, sympy.DiracDelta, sympy.Abs, sympy.sign)


def test_derivative_with_respect_to_a_component() -> None:
    expected = 4 * ETA[0] * sum(e**2 for e in ETA) - 4 * ETA[0] ** 3
    assert sympy.expand(slope("sum(eta**2)**2 - sum(eta**4)", ETA[0]) - expected) == 0
    assert slope("c**2", ETA[0]) == 0


@pytest.mark.parametrize(
    "text",
    [
        "abs(c)",
        "sqrt((c - phi)**2)",
        "max(eta_1, c, phi)*min(c, 0.1, 0.3)",
        "piecewise(c, c < 0.5, 1 - c)",
        "piecewise(c**2, c < W, W**2)",
        "piecewise(0, c < 0.3, (c - 0.1 - 0.2)**2)",
        "piecewise(c**0.37, c < W, W**0.37)",
        "piecewise(exp(c), c*phi < 0.3, exp(0.3/phi))",
        "c*piecewise(0, c < 0, 1)",
        "piecewise(c, phi < 0.5, 2*c)",
        "tanh(1e6*c)*piecewise(1, c < phi, 1)",
        "piecewise(0, abs(c) < 0.5, abs(c) - 0.5)",
    ],
)
def test_continuous_energies_are_differentiable(text: str) -> None:
    assert not slope(text).has(sympy.nan, sympy.zoo, sympy.oo)


def test_what_is_written_out_cancels_and_keeps_its_functions() -> None:
    x, t = sympy.symbols("x t", real=True)
    pulse = sympy.exp(-((t - 50) ** 2) / sympy.Float(0.25)) * sympy.sqrt(x * (1 + t))
    assert written_out((x + 1) ** 2 - x**2 - 2 * x - 1) == 0
    assert written_out(pulse * (x + 1) - pulse * x) == pulse


@pytest.mark.parametrize(
    "text",
    [
        "piecewise(0, c < 0.5, 1)",
        "1e-20*piecewise(0, c < 0.5, 1)",
        "c + piecewise(c**2, c < W, W**2 + 0.01)",
        "piecewise(1, c*phi <= 0.2, 0)",
        "piecewise(1, c**2 < 0.25, 0)",
        "piecewise(0, abs(c) < 0.5, abs(c))",
        "exp(piecewise(c, c < kappa*log(W), 0))",
        "piecewise(log(c), c > 0, 0)",
    ],
)
def test_jumps_are_not_differentiable(text: str) -> None:
    with pytest.raises(ExpressionError, match="not differentiable") as caught:
        slope(text)
    assert caught.value.position == text.index("piecewise")


def test_second_derivative_of_a_kink_needs_leave() -> None:
    first = slope("abs(c)")
    with pytest.raises(ExpressionError, match="not differentiable"):
        differentiate(first, c, "key", "abs(c)")
    assert differentiate(first, c, "key", "abs(c)", allow_jumps=True) == 0


def test_singular_derivative() -> None:
    with pytest.raises(ExpressionError, match="no ordinary finite expression"):
        slope("0**c")


# -- fuzzing -----------------------------------------------------------------------------------------------------------

PIECES = [
    *"c()+-*/^.,<>=[]{}:;'\"\\#@!~%&|_0123456789 \n\t",
    *("**", "eta", "psi_1", "phi", "W", "(c-c)", "9**9", "1e999", "1j", "True", "é", "−", "\x00", "\ud800", "f'{c}'"),
    *("sum(", "abs(", "max(", "min(", "piecewise(", "exp(", "log(", "sqrt(", "sin(", "lambda ", "if ", " else ", ":="),
    *("__class__", "__import__('os')", "__globals__", ".x", " for c in ", "await "),
]


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.lists(st.sampled_from(PIECES), max_size=14).map("".join), st.text(max_size=20)))
def test_any_text_gives_an_expression_or_a_clear_error(text: str) -> None:
    try:
        result = read(text)
    except ConfigError as error:
        str(error).encode()
        return
    assert isinstance(result, sympy.Expr)
    assert {s.name for s in result.free_symbols} <= {*"cWxt", "phi", "kappa", *(s.name for s in (*ETA, *PSI))}


VALUES = {"c": 0.37, "phi": -0.81, "W": 1.9, "eta_1": 0.2, "eta_2": -0.6, "eta_3": 1.3}
leaves = st.one_of(
    st.sampled_from([*VALUES, "pi"]),
    st.integers(0, 9).map(str),
    st.floats(0.125, 4, width=16).map(repr),
)  # fmt: skip
trees = st.recursive(
    leaves,
    lambda t: st.one_of(
        st.tuples(st.sampled_from(["+", "-", "*", "/"]), t, t),
        st.tuples(st.sampled_from(["min", "max"]), t, t, t),
        st.tuples(st.sampled_from(["neg", "sin", "cos", "tanh", "abs", "exp", "log", "sqrt", "sum"]), t),
        st.tuples(st.just("**"), t, st.integers(0, 3)),
        st.tuples(st.just("piecewise"), t, t, t, t),
    ),
    max_leaves=12,
)


def render(tree) -> str:
    """The text of a tree; functions are kept in their domain and quotients away from zero."""
    if isinstance(tree, str):
        return tree
    head, *args = tree
    texts = [str(a) if isinstance(a, int) else render(a) for a in args]
    if head == "/":
        return f"({texts[0]})/(2 + ({texts[1]})**2)"
    if head in ("+", "-", "*", "**"):
        return f"({texts[0]}){head}({texts[1]})"
    special = {
        "neg": "-({0})",
        "exp": "exp(sin({0}))",
        "log": "log(1 + ({0})**2)",
        "sqrt": "sqrt(1 + ({0})**2)",
        "sum": "sum(eta*({0}))",
        "piecewise": "piecewise({0}, {1} < {2}, {3})",
    }
    return special.get(head, head + "(" + ", ".join(texts) + ")").format(*texts)


class Meaning:
    """The value of the same tree with NumPy's functions, and the largest number met on the way."""

    def __init__(self) -> None:
        self.largest = 1.0

    def __call__(self, tree) -> float:
        if isinstance(tree, str):
            value = VALUES.get(tree, np.pi if tree == "pi" else None)
            return float(tree) if value is None else value
        head, *args = tree
        a, *more = (x if isinstance(x, int) else self(x) for x in args)
        if head == "piecewise":
            assume(abs(more[0] - more[1]) > 1e-3)
            result = a if more[0] < more[1] else more[2]
        else:
            result = {
                "+": lambda b: a + b,
                "-": lambda b: a - b,
                "*": lambda b: a * b,
                "/": lambda b: a / (2 + b**2),
                "**": lambda b: a**b,
                "neg": lambda: -a,
                "min": lambda *b: min(a, *b),
                "max": lambda *b: max(a, *b),
                "abs": lambda: np.abs(a),
                "sin": lambda: np.sin(a),
                "cos": lambda: np.cos(a),
                "tanh": lambda: np.tanh(a),
                "exp": lambda: np.exp(np.sin(a)),
                "log": lambda: np.log(1 + a**2),
                "sqrt": lambda: np.sqrt(1 + a**2),
                "sum": lambda: sum(VALUES[e.name] for e in ETA) * a,
            }[head](*more)
        self.largest = max(self.largest, abs(float(result)))
        assume(self.largest < 1e6)
        return float(result)


@settings(max_examples=100, deadline=None)
@given(trees)
def test_parse_means_what_the_tree_means(tree) -> None:
    meaning = Meaning()
    expected = meaning(tree)
    function = sympy.lambdify([sympy.Symbol(n, real=True) for n in VALUES], read(render(tree)), "math")
    assert function(*VALUES.values()) == pytest.approx(expected, rel=1e-9, abs=1e-9 * meaning.largest)
