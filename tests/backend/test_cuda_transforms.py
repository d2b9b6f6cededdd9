"""The GPU's transforms: plan parameters, the shared work area and the cosine logic, against FFTW."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from host_cuda import HostCuda, HostCufft, host_view

from phasefield.backend import DTYPES, Forward, Inverse, Layout, cells_of
from phasefield.backend.cpu import CpuBackend
from phasefield.backend.cuda_memory import WorkArea
from phasefield.backend.cuda_transforms import CufftTransform, cufft_plan
from phasefield.grid import Grid

PERIODIC = [(8,), (9,), (6, 8), (7, 5), (4, 6, 8), (5, 3, 7), (4, 4, 2)]
MIXED = [
    ((8,), ("no-flux",)),
    ((9,), ("fixed",)),
    ((8, 9), ("periodic", "no-flux")),
    ((7, 6), ("no-flux", "periodic")),
    ((6, 5), ("fixed", "no-flux")),
    ((7, 6), ("fixed-no-flux", "no-flux-fixed")),
    ((5, 6, 7), ("periodic", "fixed", "periodic")),
    ((4, 5, 6), ("no-flux", "periodic", "fixed")),
    ((2, 3, 2), ("periodic", "no-flux", "periodic")),
]
GRIDS = [(s, ("periodic",) * len(s)) for s in PERIODIC] + MIXED


def round_trip(backend: Any, layout: Layout, host: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Modes and, from there, cells again."""
    buffer = backend.buffer(layout, len(host))
    backend.from_host(host, buffer)
    backend.program(layout, [Forward("u", len(host))])({"u": buffer})
    modes = backend.to_host(buffer)
    backend.program(layout, [Inverse("u", len(host))])({"u": buffer})
    return modes, cells_of(layout, backend.to_host(buffer))


def noise(layout: Layout, components: int, precision: str) -> np.ndarray:
    host = np.zeros(layout.buffer_shape(components), DTYPES[precision])
    cells_of(layout, host)[...] = np.random.default_rng(1).normal(size=(components, *layout.grid.shape))
    return host


def matrices(basis: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Forward and inverse transform of one axis as the FFTW manual defines them (section 4.8)."""
    j, k = np.arange(n), np.arange(n)[:, None]
    if basis == "dct":
        inverse = 2 * np.cos(np.pi * j * (k + 0.5) / n)
        inverse[:, 0] = 1
        return 2 * np.cos(np.pi * (j + 0.5) * k / n), inverse
    if basis == "dst":
        inverse = 2 * np.sin(np.pi * (j + 1) * (k + 0.5) / n)
        inverse[:, -1] = (-1.0) ** np.arange(n)
        return 2 * np.sin(np.pi * (j + 0.5) * (k + 1) / n), inverse
    if basis in ("dct4", "dst4"):
        quarter = 2 * {"dct4": np.cos, "dst4": np.sin}[basis](np.pi * (j + 0.5) * (k + 0.5) / n)
        return quarter, quarter
    half = n // 2 + 1
    angle = 2 * np.pi * j * k / n
    forward = np.concatenate([np.cos(angle)[:half], -np.sin(angle)[1 : (n + 1) // 2][::-1]])
    counts = np.where((k[:, 0] == 0) | (2 * k[:, 0] == n), 1.0, 2.0)
    return forward, (forward * counts[:, None]).T


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize(("shape", "boundary"), MIXED)
def test_cosine_transforms_follow_their_definition(shape: Any, boundary: Any, components: int, precision: Any) -> None:
    layout = Layout(Grid(shape, (1.0,) * len(shape), boundary))
    host = noise(layout, components, precision)
    modes, cells = round_trip(HostCuda(precision), layout, host)
    expected = host.astype(float)
    for place, axis in zip(layout.places, layout.grid.axes, strict=True):
        forward, inverse = matrices(axis.basis, axis.n)
        np.testing.assert_allclose(inverse @ forward, axis.norm * np.eye(axis.n), atol=1e-11)
        expected = np.moveaxis(np.tensordot(forward, expected, (1, 1 + place)), 0, 1 + place)
    tolerance = {"double": 1e-13, "single": 1e-5}[precision]
    np.testing.assert_allclose(modes, expected, rtol=0, atol=tolerance * np.abs(expected).max())
    np.testing.assert_allclose(cells / layout.grid.norm, cells_of(layout, host), rtol=0, atol=10 * tolerance)
    assert modes.dtype == DTYPES[precision]


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize(("shape", "boundary"), GRIDS)
def test_transforms_agree_with_the_cpu(shape: Any, boundary: Any, components: int, precision: Any) -> None:
    layout = Layout(Grid(shape, (1.0,) * len(shape), boundary))
    host = noise(layout, components, precision)
    modes, cells = round_trip(CpuBackend(precision), layout, host)
    others = round_trip(HostCuda(precision), layout, host)
    tolerance = {"double": 1e-13, "single": 1e-5}[precision]
    np.testing.assert_allclose(others[0], modes, rtol=0, atol=tolerance * np.abs(modes).max())
    np.testing.assert_allclose(others[1], cells, rtol=0, atol=tolerance * np.abs(cells).max())


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("shape", PERIODIC)
def test_both_kinds_of_plan_agree(shape: Any, precision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(Grid(shape, (1.0,) * len(shape), ("periodic",) * len(shape)))
    backend = HostCuda(precision)
    results = []
    for limit in (2**31, 0):
        monkeypatch.setattr("phasefield.backend.cuda_transforms._INT", limit)
        buffer = backend.buffer(layout, 2)
        host_view(buffer)[...] = np.random.default_rng(1).normal(size=buffer.shape)
        transform = CufftTransform(backend, layout.grid.shape, 2)
        transform.forward(buffer)
        transform.inverse(buffer)
        results.append(cells_of(layout, backend.to_host(buffer)))
    assert np.array_equal(*results)


def test_plan_has_the_parameters_of_a_padded_in_place_transform() -> None:
    class Cufft:
        CUFFT_R2C, CUFFT_C2R, CUFFT_D2Z, CUFFT_Z2D = "R2C", "C2R", "D2Z", "Z2D"
        PlanNd = staticmethod(lambda *args: args)

    layout = Layout(Grid((4, 6, 9), (1.0,) * 3, ("periodic",) * 3))
    forward = ((4, 6, 9), (4, 6, 10), 1, 240, (4, 6, 5), 1, 120, "D2Z", 3, "C", 2, 5)
    inverse = ((4, 6, 9), (4, 6, 5), 1, 120, (4, 6, 10), 1, 240, "Z2D", 3, "C", 2, 9)
    assert cufft_plan(Cufft, layout.grid.shape, 3, "double", True) == forward
    assert cufft_plan(Cufft, layout.grid.shape, 3, "double", False) == inverse
    assert cufft_plan(Cufft, layout.grid.shape, 3, "single", True)[7] == "R2C"
    assert cufft_plan(Cufft, layout.grid.shape, 3, "single", False)[7] == "C2R"


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("shape", [(2048, 2048, 1024), (1300, 1300, 1300)])
def test_plans_of_large_grids_stay_within_their_types(shape: Any, forward: bool) -> None:
    layout = Layout(Grid(shape, (1.0,) * 3, ("periodic",) * 3))
    assert cufft_plan(HostCufft, layout.grid.shape, 2, "double", forward).batch == 2


def test_parameters_are_those_of_cupy() -> None:
    """The signatures in CuPy's own source, where that is shipped."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    from pathlib import Path

    source = Path(cupy.__file__).parent / "cuda" / "cufft.pyx"
    if not source.exists():
        pytest.skip("this CuPy ships no source")
    text = " ".join(source.read_text().split())
    assert (
        "cdef class PlanNd: def __init__(self, object shape, object inembed, int istride, int idist, object onembed, "
        "int ostride, int odist, int fft_type, int batch, str order, int last_axis, last_size,"
    ) in text
    assert (
        "cdef class XtPlanNd: def __init__(self, shape, inembed, long long int istride, long long int idist, idtype, "
        "onembed, long long int ostride, long long int odist, odtype, long long int batch, edtype, *, "
        "str order, int last_axis, last_size,"
    ) in text
    assert text.count("def fft(self, a, out, direction):") >= 2
    assert text.count("work_area = memory.alloc(work_size)") >= 2


def test_work_area_is_shared_and_grows() -> None:
    asked: list[int] = []

    def allocate(size: int) -> str:
        asked.append(size)
        return f"{size} bytes"

    area = WorkArea(allocate)
    assert [area(n) for n in (10, 8, 10, 20, 15)] == ["10 bytes", "10 bytes", "10 bytes", "20 bytes", "20 bytes"]
    assert asked == [10, 20]


@pytest.mark.parametrize(("forward", "inverse", "planned"), [(10, 8, 2), (8, 10, 3), (8, 8, 2)])
def test_forward_and_inverse_share_one_work_area(forward: int, inverse: int, planned: int) -> None:
    plans: list[Any] = []
    backend = SimpleNamespace(dtype="float64", stream=None, area=WorkArea(lambda size: object()))

    def plan(layout: Layout, components: int, forward_: bool) -> Any:
        plans.append(SimpleNamespace(memory=backend.area(forward if forward_ else inverse)))
        return plans[-1]

    backend.plan = lambda shape, components, forward: plan(shape, components, forward)
    transform = CufftTransform(backend, None, 1)  # type: ignore[arg-type]
    assert transform._forward.memory is transform._inverse.memory
    assert len(plans) == planned


def test_plans_are_made_through_the_allocator_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """`CudaBackend.plan` itself, with a CuPy that only counts."""
    from phasefield.backend import cuda

    inside: list[Any] = []
    made: list[Any] = []

    @contextlib.contextmanager
    def using_allocator(allocator: Any) -> Any:
        inside.append(allocator)
        yield
        inside.pop()

    class Cufft(HostCufft):
        @classmethod
        def PlanNd(cls, *args: Any) -> Any:
            made.append(inside[-1](100))
            return super().PlanNd(*args)

    backend = HostCuda()
    pool = SimpleNamespace(malloc=lambda size: bytearray(size))
    backend.xp = SimpleNamespace(
        cuda=SimpleNamespace(
            using_allocator=using_allocator, runtime=SimpleNamespace(deviceSynchronize=lambda: made.append(made[-1]))
        ),
        get_default_memory_pool=lambda: pool,
    )
    monkeypatch.setattr(cuda.importlib, "import_module", lambda name: {"cupy.cuda.cufft": Cufft}[name])
    monkeypatch.setattr(HostCuda, "plan", cuda.CudaBackend.plan)
    layout = Layout(Grid((4, 6), (1.0, 1.0), ("periodic",) * 2))
    transform = backend.transform(layout, 1)
    assert backend.transform(Layout(layout.grid), 1) is transform
    assert backend.transform(layout, 2) is not transform
    assert len(made) == 8, "every plan is made once and waited for"
    assert all(area is made[0] for area in made)
