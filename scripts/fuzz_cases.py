"""What the fuzzer hands to the program: command lines, expressions and files, right, nearly right and absurd, by Hypothesis."""

# ruff: noqa: E501 - what is tried stands in lines as long as it takes

from __future__ import annotations

import dataclasses
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_mechanisms import mechanisms
from hypothesis import strategies as st

# -- expressions -------------------------------------------------------------------------------------------------------

_ATOMS = [
    "c",
    "eta",
    "eta_1",
    "eta_9",
    "W",
    "kappa",
    "x",
    "t",
    "pi",
    "e",
    "0",
    "1",
    "2",
    "0.5",
    "1e308",
    "1e-320",
    "10**18",
    "3j",
    "_",
]
_GLUE = [
    "+",
    "-",
    "*",
    "/",
    "**",
    "(",
    ")",
    ",",
    " ",
    "<",
    ">=",
    "==",
    "^",
    "//",
    "%",
    "@",
    "~",
    "!",
    "\n",
    "#",
    ";",
    ":=",
    ".",
]
_CALLS = [
    "exp(",
    "log(",
    "sqrt(",
    "sin(",
    "tanh(",
    "abs(",
    "min(",
    "max(",
    "sum(",
    "piecewise(",
    "sinh(",
    "gamma(",
    "eval(",
    "f(",
]
_CODE = [
    "__import__('os').system('touch fuzzed')",
    "().__class__.__bases__[0].__subclasses__()",
    "open('fuzzed','w')",
    "[c for c in (1,2)]",
    "lambda: c",
    "c if c else W",
    "f'{c}'",
    "exec('1')",
    "c.func",
    "9**9**9**9",
    "exp(exp(exp(exp(9))))",
    "((((((((((c)**2)**2)**2)**2)**2)**2)**2)**2)**2)**2",
    "\N{GREEK SMALL LETTER ETA}**2",
    "c\u200b",
    "\x00",
]


def _grown(child: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(child, child)
    return st.one_of(
        st.tuples(child, st.sampled_from(["+", "-", "*", "/", "**"]), child).map(lambda p: f"({p[0]}{p[1]}{p[2]})"),
        st.tuples(st.sampled_from(["exp", "log", "sqrt", "sin", "cos", "tanh", "abs", "sum"]), child).map(
            lambda p: f"{p[0]}({p[1]})"
        ),
        st.tuples(st.sampled_from(["min", "max"]), pair).map(lambda p: f"{p[0]}({p[1][0]},{p[1][1]})"),
        st.tuples(child, child, child, child).map(lambda p: f"piecewise({p[0]},{p[1]}<{p[2]},{p[3]})"),
        st.tuples(child, st.sampled_from(["2", "3", "-1", "0.5", "64", "-64"])).map(lambda p: f"({p[0]})**{p[1]}"),
    )


_leaves = st.sampled_from([a for a in _ATOMS if a not in ("_", "3j", "e")]) | st.floats(-9, 9, width=16).map(
    lambda v: f"({v!r})"
)
#: Texts for the place of an energy: trees that are mostly well formed, scraps that are not, attempts to run code.
expressions: st.SearchStrategy[str] = st.one_of(
    st.recursive(_leaves, _grown, max_leaves=24),
    st.recursive(_leaves, _grown, max_leaves=24),
    st.lists(st.sampled_from(_ATOMS + _GLUE + _CALLS), max_size=24).map("".join),
    st.tuples(st.recursive(_leaves, _grown, max_leaves=6), st.sampled_from(_CODE)).map("+".join),
    st.text(max_size=30),
)

# -- command lines -----------------------------------------------------------------------------------------------------


def keys() -> list[str]:
    """Every key of a run, to the last level, those of the fields and of initial conditions among them."""
    from phasefield.specs import FieldSpec, RunSpec

    def below(schema: Any, prefix: str) -> Iterator[str]:
        for field in dataclasses.fields(schema):
            name = f"{prefix}{field.name}"
            default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default  # type: ignore[misc]
            yield name
            if dataclasses.is_dataclass(default):
                yield from below(type(default), f"{name}.")

    own = list(below(RunSpec, ""))
    fields = [f"model.fields.c.{f.name}" for f in dataclasses.fields(FieldSpec)]
    conditions = [
        "kind",
        "mean",
        "amplitude",
        "count",
        "radius",
        "centers",
        "radii",
        "width",
        "inside",
        "outside",
        "path",
        "value",
        "terms",
    ]
    others = [
        "model",
        "experiment",
        "hydra/launcher",
        "initial.c",
        "initial.eta",
        "model.parameters.W",
        "initial.zz",
        "homogenize.material",
    ]
    return own + fields + [f"initial.c.{k}" for k in conditions] + others


_SCALARS = [
    "0", "1", "-1", "2", "3.5", "-0.0", "1e-320", "1e308", "1e400", "inf", "-inf", "nan", ".nan", "true", "false", "null", "None", "",
    "''", "'a b'", "a", "c", "eta", "conserved", "nonconserved", "periodic", "no-flux", "fixed", "etdms3", "imex1", "cpu", "single",
    "auto", "spinodal", "allen_cahn", "grain_growth", "precipitate", "flory_huggins", "noise", "circles", "slab", "voronoi", "file",
    "30m", "2h", "5 um", "nm", "0x10", "1_000", "9223372036854775808", "1" * 40, "~", "/", "..", "/dev/null", "/dev/zero", "/proc/self/mem",
    "\N{SNOWMAN}", "\\", "'", '"', "{", "}", "[", "]", ",", ":", "=", "a=b", "*", "&a", "!!python/object/apply:os.system [touch fuzzed]",
    "${seed}", "${oc.env:HOME}", "${nothing}", "${", "$(touch fuzzed)", "`touch fuzzed`", "{_target_: os.system, command: touch fuzzed}",
]  # fmt: skip
_values = st.one_of(
    st.sampled_from(_SCALARS),
    expressions.map(lambda text: f"'{text}'" if "'" not in text else text),
    st.integers(-(2**65), 2**65).map(str),
    st.floats(allow_nan=True).map(repr),
    st.lists(st.sampled_from(_SCALARS), max_size=4).map(lambda v: f"[{','.join(v)}]"),
    st.dictionaries(
        st.sampled_from(["kind", "mean", "amplitude", "count", "radius", "axis", "from", "to", "path", "raw", "x", "preset", "phases", "1"]),
        st.sampled_from(_SCALARS),
        max_size=4,
    ).map(lambda d: "{" + ",".join(f"{k}: {v}" for k, v in d.items()) + "}"),
    st.text(max_size=12),
)  # fmt: skip


#: What a key could well be, by how its name ends; any other takes a number.
_LIKELY = {
    "shape": ["[8,8]", "[6]", "[4,5,6]", "[16,3]"],
    "length": ["8", "[1.5,3]", "1e-9", "1e9", "null"],
    "boundary": ["periodic", "no-flux", "[fixed,periodic]", "fixed"],
    "model": ["allen_cahn", "cahn_hilliard", "spinodal", "flory_huggins", "cahn_hilliard_landau"],
    "experiment": ["pfhub/1b", "pfhub/1a", "shrinking_circle"],
    "scheme": ["imex1", "etd1", "etdms2", "etdms4", "etdrk2", "etdrk4", "sbdf2"],
    "kinetics": ["conserved", "nonconserved"],
    "initial.c": ["0.5", "'0.5+0.1*cos(2*pi*x/8)'", "{kind: noise, mean: 0.5, amplitude: 0.1}"],
    "kind": ["noise", "circles", "slab", "expression", "file", "voronoi", "sum"],
    "every": ["1", "0.5", "[0.1,0.5]", "1e-3", "{kind: log, count: 5}"],
    "history": ["1", "0.1", "steps"],
    "observables": ["[free_energy]", "[free_energy,mean,interface_area]", "[stiffness]"],
    "adaptive": ["true", "false"],
    "dealias": ["true", "false"],
    "precision": ["double", "single"],
    "components": ["2", "null", "1"],
    "source": ["'0.01*cos(t)'", "0", "'x*c'", "null"],
    "kappa": ["1", "[1,2]", "0", "1e-6"],
    "stabilizer": ["auto", "1", "0"],
    "units": ["nm", "um", "s", "1", "J/m^3"],
    "resume": ["never", "auto"],
}


def _likely(key: str) -> st.SearchStrategy[str]:
    name = next((n for n in (key, key.rsplit(".", 1)[-1]) if n in _LIKELY), None)
    if name is not None:
        return st.sampled_from(_LIKELY[name])
    return st.sampled_from(["0", "1", "2", "10", "0.3", "1e-3", "null", "true", "[1,2]"])


def _slips(key: str) -> list[str]:
    return [f"+{key}", f"++{key}", f"~{key}", key[:-1], f"{key}.x", key.replace(".", "/"), f"{key}[0]", key.upper()]


def _joined(parts: tuple[list[str], ...]) -> list[str]:
    return [override for part in parts for override in part]


def configurations() -> st.SearchStrategy[list[str]]:
    """Command lines of a run: likely ones for most of the keys, and one to three that are not; mechanisms put together."""
    known = st.sampled_from(keys())
    likely = known.flatmap(lambda k: st.tuples(st.just(k), _likely(k))).map("=".join)
    absurd = st.one_of(
        st.tuples(known, _values).map("=".join),
        st.tuples(known, _values).map("=".join),
        st.tuples(known.flatmap(lambda k: st.sampled_from(_slips(k))), _values).map("=".join),
        st.text(max_size=20),
    )
    small = st.just(["grid.shape=[8,8]", "device=cpu"])
    sound = st.tuples(small, st.lists(likely, max_size=4)).map(_joined)
    broken = st.tuples(small, st.lists(likely, max_size=3), st.lists(absurd, min_size=1, max_size=3)).map(_joined)
    combined = mechanisms(_values)
    return st.one_of(sound, broken, broken.map(lambda given: given[2:]), combined, combined)


# -- files -------------------------------------------------------------------------------------------------------------


#: Where the numbers of image.mhd lie, beside it.
VOLUME = "volume.raw"
#: Files that `originals` leaves besides a run.
MADE = ("scratch.h5", "scan.npy", "scan_properties.nc", "record.json", "record.nc")


def originals(folder: Path) -> dict[str, bytes]:
    """A sound file of each kind that the program reads, by its name; a run makes some of them in ``folder``."""
    import h5py
    import tifffile
    from PIL import Image

    import phasefield as pf
    from phasefield.homogenize.command import run as run_homogenize
    from phasefield.upscale.record_files import write
    from phasefield.upscale.sources import read_record

    run = pf.run(
        "model=allen_cahn",
        "grid.shape=[8,8]",
        "time.end=1",
        f"output.dir={folder / 'run'}",
        "threads.cpu=1",
        "device=cpu",
    )
    made = {
        name: (run.path / name).read_bytes() for name in ("fields.nc", "history.nc", "checkpoint.npz", "config.yaml")
    }
    image = np.where(np.arange(64).reshape(8, 8) % 7 < 3, 0, 255).astype(np.uint8)
    volume = np.repeat(image[..., None], 3, axis=2)

    def through(write: Callable[[io.BytesIO], Any]) -> bytes:
        buffer = io.BytesIO()
        write(buffer)
        return buffer.getvalue()

    made["image.npy"] = through(lambda b: np.save(b, image))
    made["image.png"] = through(lambda b: Image.fromarray(image).save(b, "PNG"))
    made["image.jpg"] = through(lambda b: Image.fromarray(image).save(b, "JPEG"))
    made["image.bmp"] = through(lambda b: Image.fromarray(image).save(b, "BMP"))
    made["image.tif"] = through(
        lambda b: tifffile.imwrite(b, volume.T, imagej=True, resolution=(2, 2), metadata={"unit": "um", "spacing": 2})
    )
    made["packed.tif"] = through(lambda b: Image.fromarray(image).save(b, "TIFF", compression="tiff_lzw"))
    head = "ObjectType = Image\nNDims = 3\nDimSize = 8 8 3\nElementType = MET_UCHAR\nCompressedData = {z}\nElementSpacing = 1 1 2\nElementDataFile = LOCAL\n"
    made["image.mha"] = head.format(z="False").encode() + volume.T.tobytes()
    made["packed.mha"] = head.format(z="True").encode() + zlib.compress(volume.T.tobytes())
    made["image.mhd"] = (head.format(z="False").replace("LOCAL", VOLUME)).encode()
    points = " ".join(map(str, volume.T.ravel()))
    made["image.vti"] = (
        '<VTKFile type="ImageData" version="1.0"><ImageData WholeExtent="0 8 0 8 0 3" Origin="0 0 0" Spacing="1 1 2">'
        '<Piece Extent="0 8 0 8 0 3"><CellData Scalars="a"><DataArray type="UInt8" Name="a" format="ascii">'
        f"{points}</DataArray></CellData></Piece></ImageData></VTKFile>\n"
    ).encode()
    path = folder / "scratch.h5"
    with h5py.File(path, "w") as file:
        file["entry/data"] = volume.T
    made["image.h5"] = path.read_bytes()
    with h5py.File(path, "w") as file:
        file["DataContainers/V/CellData/FeatureIds"] = (volume.T[..., None] // 255 + 1).astype(np.int32)
        file["DataContainers/V/_SIMPL_GEOMETRY/DIMENSIONS"], file["DataContainers/V/_SIMPL_GEOMETRY/SPACING"] = (
            [8, 8, 3],
            [1.0, 1.0, 2.0],
        )
        file["DataContainers/V/CellFeatureData/AvgEulerAngles"] = np.zeros((3, 3), np.float32)
    made["grains.dream3d"] = path.read_bytes()
    made["grains.csv"] = b"label,phase,phi1,Phi,phi2\n0,a,0,45,0\n255,b,10,20,30\n"
    made["drops.csv"] = b"x;y;radius\n2,5;3;1\n6;6;1,5\n"
    made["course.csv"] = b"t,value\n0,0.5\n10,0.5\n20,1.0\n"
    made["model.yaml"] = (
        b"name: own\nenergy: W*c**2*(1-c)**2\nparameters: {W: 1.0}\nfields:\n  c: {kinetics: conserved, kappa: 1.0, initial: 0.5}\n"
    )
    made["material.yaml"] = (
        b"name: own\nphases:\n  a: {conductivity: 1 W/(m K), stiffness: {E: 70(2) GPa, nu: 0.3}}\n"
        b"  b: {conductivity: 2 W/(m K), stiffness: void}\n"
    )
    (folder / "scan.npy").write_bytes(made["image.npy"])
    keys = [
        "material=epoxy_glass",
        "properties=[stiffness]",
        "two_grid=false",
        "mixing=false",
        "device=cpu",
        "threads=1",
    ]
    properties, _, _ = run_homogenize(folder / "scan.npy", keys)
    made["properties.nc"] = properties.read_bytes()
    as_json, as_netcdf = write(read_record(properties), folder / "record.json")
    made["record.json"], made["record.nc"] = as_json.read_bytes(), as_netcdf.read_bytes()
    return made


@st.composite
def mutated(draw: st.DrawFn, sound: dict[str, bytes]) -> tuple[str, bytes]:
    """One of the sound files, damaged: bytes changed, cut out, doubled, or its end lost."""
    name = draw(st.sampled_from(sorted(sound)))
    data = bytearray(sound[name])
    for _ in range(draw(st.integers(1, 4))):
        if not data:
            break
        # Most of what a format says of itself stands at its beginning.
        reach = draw(st.sampled_from([64, 512, len(data)]))
        at = draw(st.integers(0, min(reach, len(data)) - 1))
        match draw(st.sampled_from(["byte", "byte", "word", "cut", "end", "double", "zeros", "text"])):
            case "byte":
                data[at] = draw(st.integers(0, 255))
            case "word":
                value = draw(st.sampled_from([0, 1, 2**31 - 1, 2**32 - 1, 2**16]) | st.integers(0, 2**32 - 1))
                data[at : at + 4] = struct.pack(draw(st.sampled_from(["<I", ">I"])), value)
            case "cut":
                del data[at : at + draw(st.integers(1, 64))]
            case "end":
                del data[at:]
            case "double":
                data[at:at] = data[at : at + draw(st.integers(1, 64))]
            case "zeros":
                data[at : at + 16] = bytes(min(16, len(data) - at))
            case "text":
                data[at:at] = draw(
                    st.sampled_from([b"nan", b"-1", b"99999999999", b"\xff\xfe", b"../", b"\n", b"!!python/none"])
                )
    return name, bytes(data)
