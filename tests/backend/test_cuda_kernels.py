"""Every kernel compiles for a GPU, none of which is needed: no warnings, no spills where it counts, no stray double precision."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Iterator

import pytest
from device_compiler import Usage, architectures, available, compile_all, nvrtc, run_nvrtc
from host_cuda import kernel_texts

from phasefield.api import spec_of
from phasefield.backend import DTYPES, Layout
from phasefield.codegen import K2_ALONG, K_ALONG, Derivative, Kernel, array_symbol, cuda_source, embedded
from phasefield.grid import Grid
from phasefield.integrators import SCHEMES
from phasefield.specs import GridSpec, RunSpec

PRESETS = (
    "cahn_hilliard", "spinodal", "cahn_hilliard_landau", "flory_huggins", "allen_cahn", "grain_growth", "precipitate",
    "block_copolymer", "phase_field_crystal",
)  # fmt: skip
GRIDS = (
    GridSpec([64], boundary="periodic"),
    GridSpec([33, 48], boundary="periodic"),
    GridSpec([16, 20, 31], boundary="periodic", dealias=True),
    GridSpec([64], boundary="no-flux"),
    GridSpec([33, 48], boundary=["periodic", "no-flux"]),
    GridSpec([16, 20, 31], boundary=["fixed", "no-flux", "periodic"]),
    GridSpec([2048, 2048, 1024], boundary="periodic"),
    GridSpec([2048, 2048, 1024], boundary="no-flux"),
)
SOURCE = "0.01*cos(x)*exp(-t)*tanh(y) + 0.1*piecewise(sin(c), c < 0.5, sqrt(abs(c)))*log(1.5 + c**2)"


def variants(spec: RunSpec) -> Iterator[RunSpec]:
    """The specification with every scheme, adaptive and fixed, each on the next grid."""
    grids = itertools.cycle(GRIDS)
    for scheme, adaptive in itertools.product(SCHEMES, (True, False)):
        time = dataclasses.replace(spec.time, scheme=scheme, adaptive=adaptive, dt=0.1)
        yield dataclasses.replace(spec, time=time, grid=next(grids))


def spec_for(preset: str, precision: str) -> RunSpec:
    overrides = ["model.fields.eta.components=3"] if preset == "grain_growth" else []
    return spec_of(f"model={preset}", f"precision={precision}", "threads.cpu=1", *overrides)


def numbered(texts: Iterator[dict[str, str]]) -> dict[str, str]:
    """Distinct texts under names that can name a kernel."""
    found = {text: name for part in texts for name, text in part.items()}
    return {f"k{i}_{name}": text for i, (text, name) in enumerate(found.items())}


def compiled(sources: dict[str, str], compiler: str | None = None) -> dict[str, Usage]:
    if not available():
        pytest.skip("neither NVRTC (pip install nvidia-cuda-nvrtc) nor nvcc is here")
    usage = compile_all(compiler or available()[0], sources)
    assert set(usage) == set(sources)
    return usage


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_compiles(preset: str, precision: str) -> None:
    usage = compiled(numbered(kernel_texts(s) for s in variants(spec_for(preset, precision))))
    assert max(u.registers for u in usage.values()) <= 255


@pytest.mark.parametrize("precision", ["double", "single"])
def test_every_function_compiles_in_a_source(precision: str) -> None:
    spec = spec_of("model=cahn_hilliard", f"model.fields.c.source={SOURCE}", f"precision={precision}")
    compiled(numbered(kernel_texts(s) for s in variants(spec)))


def directed(precision: str) -> dict[str, str]:
    """Kernels that know directions, on every kind of basis and with 32 and 64 bits to an index."""
    found: dict[str, str] = {}
    u, v, dtype = array_symbol("u", 0), array_symbol("v", 0), DTYPES[precision]
    for number, boundary in enumerate((("periodic",) * 3, ("periodic", "no-flux", "fixed"), ("fixed",))):
        for n in (32, 2048):
            layout = Layout(Grid((n,) * len(boundary), (1.0,) * len(boundary), boundary))
            turned = sum(Derivative(u, d) + Derivative(v, d, 1) for d in range(3)) + sum(K2_ALONG) * u
            turned += K_ALONG[0] * K_ALONG[1] * v if layout.parts == 2 else v
            kernel = Kernel(f"turned{number}_{n}", "spectral", {"u": 1, "v": 1, "w": 1}, {"w": [turned]})
            kernel = embedded(kernel, layout.places, layout.parts)
            extent, lengths = layout.extent("spectral"), layout.lengths("spectral")
            found[kernel.name] = cuda_source(kernel, layout.parts, dtype, extent, lengths, math.prod(lengths))
    return found


@pytest.mark.parametrize("precision", ["double", "single"])
def test_noise_compiles(precision: str) -> None:
    spec = spec_of("model=cahn_hilliard", "model.fields.c.noise=1e-3", f"precision={precision}")
    fixed = [s for s in variants(spec) if not s.time.adaptive and SCHEMES[s.time.scheme].spread is not None]
    for name, usage in compiled(numbered(map(kernel_texts, fixed))).items():
        assert usage.spilled == 0, name
        assert usage.registers <= 128, name


@pytest.mark.parametrize("precision", ["double", "single"])
def test_directions_compile(precision: str) -> None:
    for name, usage in compiled(directed(precision)).items():
        assert usage.spilled == 0, name
        assert usage.registers <= 64, name


@pytest.mark.parametrize("compiler", ["nvrtc", "nvcc"])
def test_steps_of_cahn_hilliard_spill_nothing(compiler: str) -> None:
    if compiler not in available():
        pytest.skip(f"{compiler} is not here")
    spec = spec_for("cahn_hilliard", "double")
    specs = [dataclasses.replace(s, grid=GridSpec([512, 512, 512])) for s in variants(spec)]
    for name, usage in compiled(numbered(map(kernel_texts, specs)), compiler).items():
        assert usage.spilled == 0, name
        assert usage.registers <= 128, name


@pytest.mark.parametrize("architecture", ["sm_70", "sm_75", "sm_80", "sm_90", "sm_100"])
def test_kernels_compile_for_every_generation(architecture: str) -> None:
    """Of every kind of kernel one: steps in both precisions, exponentials, stages, 64-bit indices, all reductions, helpers."""
    if nvrtc() is None or architecture not in architectures():
        pytest.skip(f"NVRTC for {architecture} is not here")
    large = GridSpec([2048, 2048, 1024], boundary="periodic")
    cases = [("cahn_hilliard", "double", "etdms2", True), ("flory_huggins", "single", "etdrk4", False)]
    specs = []
    for preset, precision, scheme, adaptive in cases:
        spec = spec_for(preset, precision)
        time = dataclasses.replace(spec.time, scheme=scheme, adaptive=adaptive, dt=0.1)
        specs.append(dataclasses.replace(spec, time=time, grid=spec.grid if adaptive else large))
    usage = compile_all("nvrtc", numbered(map(kernel_texts, specs)), architecture)
    assert {"attempt", "stage3", "nonlinear", "reduce", "assign"} <= {name.split("_", 1)[1] for name in usage}
    assert max(u.spilled for u in usage.values()) == 0


def test_single_precision_never_computes_in_double() -> None:
    """In the assembly nothing but the accumulation of reductions is 64 bits wide."""
    if nvrtc() is None:
        pytest.skip("NVRTC (pip install nvidia-cuda-nvrtc) is not here")
    allowed = re.compile(r"^(cvt\.f64\.f32|(add|add\.rn|neg|min|max|selp|mov|st\.global|setp\.\w+)\.f64)$")
    for preset, scheme in itertools.product(("cahn_hilliard", "flory_huggins", "precipitate"), ("etdms2", "etdrk4")):
        spec = spec_for(preset, "single")
        spec = dataclasses.replace(spec, time=dataclasses.replace(spec.time, scheme=scheme))
        for name, text in (kernel_texts(spec) | directed("single")).items():
            if name == "reduce":  # adds up what was accumulated
                continue
            _, ptx = run_nvrtc(text, "-arch=compute_90", kind="PTX")
            operations = [line.split()[0] for line in ptx.decode().splitlines() if line.strip()[:1].isalpha()]
            assert any("f32" in operation for operation in operations)
            for operation in operations:
                assert "f64" not in operation or allowed.match(operation), (name, operation)


def test_indices_are_wide_where_the_grid_is_large() -> None:
    large = spec_for("cahn_hilliard", "double")
    for shape, wide in (([2048, 1024, 1000], False), ([2048, 1024, 1022], True), ([1 << 20, 32, 16], False)):
        texts = kernel_texts(dataclasses.replace(large, grid=GridSpec(shape)))
        assert all(("typedef long long index_t" in text) == wide for text in texts.values() if "index_t" in text)
    eight = spec_for("grain_growth", "double")
    texts = kernel_texts(dataclasses.replace(eight, grid=GridSpec([1024, 1024, 700])))
    assert "typedef long long index_t" in texts["nonlinear"]
