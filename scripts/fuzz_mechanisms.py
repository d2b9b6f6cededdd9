"""Command lines that put mechanisms together: elasticity of phases, walls, noise, nuclei, charge, operators, what varies in time.

A mechanism is a key and the values that it takes, mostly sound ones; about one leaf in twelve is absurd.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

#: Models, the fields they have, the first of which carries the mechanisms, and one of their parameters.
MODELS = {
    "allen_cahn": (("eta",), "W"),
    "cahn_hilliard": (("c",), "W"),
    "cahn_hilliard_landau": (("phi",), "B"),
    "block_copolymer": (("phi",), "gamma"),
    "cuboids": (("c",), "misfit"),
    "precipitate": (("c", "eta"), "rho"),
    "grain_growth": (("eta",), "m"),
}
BOUNDARIES = ["periodic", "no-flux", "fixed", "fixed-no-flux", "no-flux-fixed", "[no-flux,periodic]", "[fixed,no-flux]"]
WALLS = ["left", "right", "bottom", "top", "front", "middle"]
PHASES = [
    "{stiffness: {C11: 250, C12: 150, C44: 100}}",
    "{E: 70, nu: 0.3}",
    "{E: 7, nu: 0.3}",
    "{E: 70 GPa, nu: 0.3}",
    "{E: 70, nu: 0.5}",
    "void",
    "{E: -1, nu: 0.3}",
]
STIFFNESS = ["{C11: 1.9, C12: 1.1, C44: 1}", "{E: 1, nu: 0.3}", "{C11: 1, C12: 2, C44: 1}", "null", "{E: e, nu: 0}"]


def _mapping(leaves: dict[str, st.SearchStrategy[str]], needed: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    """A mapping of some of the keys, of those that are needed nearly always."""
    parts = {
        name: value if name in needed else st.one_of(st.none(), value)  # type: ignore[arg-type]
        for name, value in leaves.items()
    }
    return st.fixed_dictionaries(parts).map(_written)


def _written(values: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{k}: {v}" for k, v in values.items() if v is not None) + "}"


def _quoted(text: str) -> str:
    return f"'{text}'"


def mechanisms(absurd: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    """Keys of one to three mechanisms upon a model, on grids of a few cells.

    Args:
        absurd: what stands now and then where it should not.
    """

    def leaf(*sound: str) -> st.SearchStrategy[str]:
        common = st.sampled_from(sound)
        return st.integers(0, 11).flatmap(lambda n: absurd if n == 0 else common)

    def law(*texts: str) -> st.SearchStrategy[str]:
        return leaf(*map(_quoted, texts))

    number = leaf("1", "0.1", "2.5", "1e-3", "0")
    table = leaf("table")
    in_time = st.one_of(law("1+t/50", "sin(t)", "piecewise(1, t < 2, 2)", "exp(-t)", "1/t"), number)
    data = {
        "value": st.one_of(in_time, law("y/8", "x", "sin(y)*t")),
        "slope": in_time,
        "flux": st.one_of(in_time, law("0.002*(1+cos(pi*y/8))")),
        "potential": in_time,
        "energy": law("@**2", "0.1*@", "@**3/3", "t*@", "d"),
        "angle": leaf("60", "0", "90", "180", "200"),
    }
    one = st.sampled_from(sorted(data)).flatmap(lambda name: _mapping({name: data[name]}, needed=(name,)))
    two = st.sampled_from([("flux", "slope"), ("flux", "angle"), ("flux", "energy"), ("value", "potential")])
    wall = st.one_of(one, one, two.flatmap(lambda pair: _mapping({n: data[n] for n in pair}, pair)), _mapping(data))
    material = st.fixed_dictionaries({"matrix": leaf(*PHASES), "hard": leaf(*PHASES)}).map(
        lambda phases: _written({"phases": _written(phases)})
    )
    elastic = _mapping(
        {
            "stiffness": leaf(*STIFFNESS),
            "material": st.one_of(material, leaf("ni_ni3al", "cu", "epoxy_glass")),
            "phase": leaf("gamma", "matrix"),
            "phases": leaf("[matrix,hard]", "[hard]", "[gamma,gamma_prime]"),
            "unit": leaf("1 GPa", "1 MPa", "1 m"),
            "orientation": leaf("{euler: [30,0,0]}", "[[1,0,0],[0,1,0],[0,0,1]]", "{axis: [0,0,1], angle: 45}"),
            "load": leaf("{stress: {xx: 0.1}}", "{strain: {xy: 0.01}, stress: {xx: 1}}", "{strain: {zz: 0.1}}"),
            "plane": leaf("strain", "stress"),
        }
    )
    nucleation = _mapping(
        {
            "rate": law("1e-3", "1e-4*exp(-t)", "2e-4*exp(-0.05/@**2)", "sum(@)", "x*y", "t"),
            "radius": leaf("2", "2.2", "100"),
            "every": leaf("1", "0.1", "1e-9"),
            "width": number,
            "inside": leaf("1", "-1", "0"),
            "outside": leaf("0", "1"),
            "clearance": leaf("0", "4"),
        },
        needed=("rate", "radius", "every"),
    )
    electric = _mapping(
        {
            "charge": law("@", "0.3*(@-0.5)", "2*@_1-@_2", "c+eta", "@**2", "2", "t*@"),
            "permittivity": leaf("2", "90", "0", "-1"),
            "potential": leaf("{left: 0, right: 1}", "{left: 0, right: sin(y/7)}", "{right: t}", "{top: x}", "{}"),
        },
        needed=("charge", "permittivity"),
    )
    kappa = law(
        "(1 + 0.02*cos(4*theta))**2", "(1 + 0.2*cos(4*theta))**2", "1 + 0.2*n_x*n_y", "1 + n_z", "cos(theta/2)",
        "-1 + n_x", "(1 + 0.02*(n_x**4+n_y**4+n_z**4))**2", "#*n_x**2 + 1", "t", "@",
    )  # fmt: skip
    operator = law(
        "1/k2", "(1-k2)**2", "k2**2", "-k2", "kx", "kx*ky", "exp(-k2)", "kx**2/k2", "log(k2)", "t*k2", "#/k2"
    )
    mobility = st.one_of(
        law("1+@**2", "@**2", "16*@**2*(1-@)**2", "1/(1+sum(@**2))", "1+sin(t)/2", "exp(-t)", "1/@", "x"),
        leaf("[1,2]", "['1+@**2',0.25]", "[1,2,3]"),
    )
    course = st.one_of(
        in_time, st.tuples(table, leaf("[[0, 1], [10, 2]]", "[[1, 1], [1, 2]]", "nothing.csv")).map(_table)
    )
    eigenstrain = st.one_of(
        leaf("0.01", "[0.02,-0.01]", "[0.02,-0.01,0,0,0,0.005]", "0", "#", "[[0.01],[0.02]]"),
        _mapping({"strain": leaf("0.01", "[0.01,0]"), "interpolation": leaf("linear", "smooth")}, needed=("strain",)),
    )
    initial = leaf("0.5", "0.2+0.1*cos(x)", "{kind: noise, mean: 0.5, amplitude: 0.1}", "0", "x/8")
    fixed_steps = st.sampled_from([["time.adaptive=false", "time.dt=0.1"]] * 4 + [[]])

    def keys(drawn: tuple[str, str, str, str, str]) -> st.SearchStrategy[list[str]]:
        model, shape, boundary, scheme, precision = drawn
        fields, known = MODELS[model]
        of = f"model.fields.{fields[0]}"
        last = f"model.fields.{fields[-1]}"
        offers = [
            st.tuples(eigenstrain, elastic).map(lambda v: [f"{of}.eigenstrain={v[0]}", f"model.elastic={v[1]}"]),
            st.tuples(st.sampled_from(WALLS), wall).map(lambda v: [f"{of}.walls.{v[0]}={v[1]}"]),
            st.tuples(wall, wall).map(lambda v: [f"{of}.walls={{left: {v[0]}, right: {v[1]}}}"]),
            st.tuples(in_time, fixed_steps).map(lambda v: [f"{of}.noise={v[0]}", *v[1]]),
            nucleation.map(lambda v: [f"{last}.nucleation={v}"]),
            electric.map(lambda v: [f"model.electric={v}"]),
            st.tuples(kappa, leaf("true", "false")).map(lambda v: [f"{of}.kappa={v[0]}", f"{of}.convexify={v[1]}"]),
            kappa.map(lambda v: [f"{last}.kappa={v}"]),
            operator.map(lambda v: [f"{of}.operator={v}"]),
            mobility.map(lambda v: [f"{of}.mobility={v}"]),
            course.map(lambda v: [f"model.parameters.#={v}"]),
            law("0.01*cos(t)", "x*@", "0.1*@", "1-@", "-t", "sin(100*t)*x").map(lambda v: [f"{of}.source={v}"]),
        ]
        head = [f"model={model}", f"grid.shape={shape}", "device=cpu", f"grid.boundary={boundary}"]
        tail = [f"time.scheme={scheme}", f"precision={precision}"]
        start = st.tuples(*(initial for _ in fields)).map(
            lambda values: [f"initial.{name}={value}" for name, value in zip(fields, values, strict=True)]
        )
        some = st.tuples(start, st.lists(st.one_of(offers), min_size=1, max_size=3))
        return some.map(
            lambda parts: (
                head
                + parts[0]
                + [key.replace("@", fields[0]).replace("#", known) for part in parts[1] for key in part]
                + tail
            )
        )

    return st.tuples(
        st.sampled_from(sorted(MODELS)),
        st.sampled_from(["[8,8]"] * 4 + ["[16]", "[4,6,8]"]),
        st.sampled_from(["periodic"] * 3 + BOUNDARIES),
        st.sampled_from(["etdms3"] * 3 + ["imex1", "etd1", "etdms2", "etdrk2", "etdrk4", "sbdf2"]),
        st.sampled_from(["double"] * 3 + ["single"]),
    ).flatmap(keys)


def _table(parts: tuple[str, str]) -> str:
    kind, rows = parts
    return _written({"kind": kind, "path" if rows.endswith("csv") else "points": rows})
