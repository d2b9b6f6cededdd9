"""How the GPU's programs run: recorded once per binding, replayed with new scalars; what they move and hold."""

from __future__ import annotations

import gc
import inspect
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sympy as sp
from gpu_cases import CASES, STEPS, compare
from host_cuda import HAS_COMPILER, HostCuda, HostGraph, HostStream, TextCuda, text_integrator

from phasefield.api import spec_of
from phasefield.backend import Apply, Forward, Inverse, Layout, cells_of, traffic
from phasefield.backend.cpu import CpuBackend
from phasefield.backend.cuda import CudaBackend
from phasefield.backend.cuda_memory import Outbox
from phasefield.backend.cuda_programs import _GRAPHS, _PARTS, CudaProgram, Scalars
from phasefield.backend.cuda_transforms import CosineTransform, CufftTransform
from phasefield.codegen import Kernel, Reduction, array_symbol
from phasefield.errors import ConfigError
from phasefield.grid import Grid
from phasefield.integrators import SCHEMES
from phasefield.simulation import Simulation

needs_compiler = pytest.mark.skipif(not HAS_COMPILER, reason="g++ is not here")


def both(*overrides: str, precision: Any = "double") -> tuple[Simulation, Simulation]:
    spec = spec_of("time.end=1e6", "time.dt=0.01", "time.tolerance=1e-3", f"precision={precision}", *overrides)
    return Simulation(spec, backend=CpuBackend(precision)), Simulation(spec, backend=HostCuda(precision))


LAYOUT = Layout(Grid((6, 8), (1.0, 1.0), ("periodic",) * 2))


def scaled(space: Any = "real") -> Kernel:
    """u <- a*u + b, and what can be reduced from it."""
    u, a, b = array_symbol("u", 0), *sp.symbols("a b", real=True)
    new = a * u + b
    reductions = {"total": Reduction("sum", new), "least": Reduction("min", new), "most": Reduction("max", new)}
    return Kernel("scaled", space, {"u": 1}, {"u": [new]}, reductions, ["unused", "a", "b"])


def filled(backend: HostCuda, seed: int = 1) -> Any:
    buffer = backend.buffer(LAYOUT, 1)
    host = np.random.default_rng(seed).normal(size=buffer.shape)
    backend.from_host(host, buffer)
    return buffer


def values(a: float, b: float) -> dict[str, float]:
    return {"a": a, "b": b, "unused": float("nan")}


@needs_compiler
def test_recorded_on_the_second_call_and_replayed_with_new_scalars() -> None:
    backend = HostCuda()
    program = backend.program(LAYOUT, [Apply(scaled()), Forward("u", 1), Inverse("u", 1)])
    buffer = filled(backend)
    graphs: list[HostGraph] = backend.stream.graphs
    for call, (a, b) in enumerate([(0.5, 1.0), (2.0, -1.0), (0.25, 0.5), (0.25, 0.5), (-1.0, 0.0)]):
        cells = a * cells_of(LAYOUT, backend.to_host(buffer)) + b
        found = program({"u": buffer}, values(a, b))
        np.testing.assert_allclose(cells_of(LAYOUT, backend.to_host(buffer)), cells * 48, rtol=0, atol=1e-11)
        assert found == pytest.approx({"total": cells.sum(), "least": cells.min(), "most": cells.max()}, rel=1e-13)
        backend.from_host(backend.to_host(buffer) / 48, buffer)
        assert len(graphs) == (call > 0)
    assert graphs[0].launches == 4


@needs_compiler
def test_every_binding_has_a_graph_of_its_own_and_few_are_kept() -> None:
    backend = HostCuda()
    program = backend.program(LAYOUT, [Apply(scaled(), {"u": "v"})])
    buffers = [filled(backend, seed) for seed in range(_GRAPHS + 2)]
    for index in (0, 1, 0, 1, 0, 1):
        before = backend.to_host(buffers[index])
        program({"v": buffers[index]}, values(3.0, index))
        after = cells_of(LAYOUT, backend.to_host(buffers[index]))
        np.testing.assert_allclose(after, 3 * cells_of(LAYOUT, before) + index, rtol=1e-14)
    assert [g.launches for g in backend.stream.graphs] == [2, 2]
    # A view from the start of a buffer is the same binding: what counts is the address.
    program({"v": buffers[0][:1]}, values(1.0, 0.0))
    assert len(backend.stream.graphs) == 2
    for buffer in buffers * 3:
        program({"v": buffer}, values(1.0, 0.0))
    assert len(program._recorder.graphs) == _GRAPHS


@needs_compiler
def test_scalars_that_stay_are_not_sent_again() -> None:
    backend = HostCuda()
    program = backend.program(LAYOUT, [Forward("u", 1), Apply(scaled("spectral"))])
    buffer, graphs = filled(backend), backend.stream.graphs
    for _ in range(3):
        program({"u": buffer}, values(1.0, 2.0))
    before = backend.stream.queued
    program({"u": buffer}, values(1.0, 2.0))
    # The graph (a transform, a kernel and its second stage) and the copy of its results.
    assert backend.stream.queued - before == len(graphs[0].actions) + 1 == 4
    before = backend.stream.queued
    program({"u": buffer}, values(1.0, float("nan")))
    assert backend.stream.queued - before == 5


@needs_compiler
def test_many_scalars_take_several_launches_and_arrive_in_order() -> None:
    backend = HostCuda("single")
    names = [f"s{i}" for i in range(75)]
    scalars = Scalars(backend, names)
    with backend.stream:
        scalars.set({name: float(i) for i, name in enumerate(names)})
        backend.synchronize()
        assert np.array_equal(scalars.device[:75], np.arange(75, dtype=np.float32))
        before = backend.stream.queued
        scalars.set({name: float(i) + (i == 70) for i, name in enumerate(names)})
        assert backend.stream.queued == before + 1
        backend.synchronize()
    assert scalars.device[70] == 71


@needs_compiler
@pytest.mark.parametrize("graphs", [True, False])
def test_without_reductions_nothing_waits(graphs: bool) -> None:
    backend = HostCuda(graphs=graphs)
    u, a = array_symbol("u", 0), sp.Symbol("a", real=True)
    program = backend.program(LAYOUT, [Apply(Kernel("grow", "real", {"u": 1}, {"u": [a * u]}, scalars=["a"]))])
    buffer = filled(backend)
    start, done = cells_of(LAYOUT, backend.to_host(buffer)), backend.stream.done
    for a_ in (2.0, 3.0, 5.0, 7.0):
        assert program({"u": buffer}, {"a": a_}) == {}
    assert backend.stream.done == done, "work was waited for"
    # Each launch is still to run, with the scalar of its own call.
    np.testing.assert_allclose(cells_of(LAYOUT, backend.to_host(buffer)), 210 * start, rtol=1e-14)
    assert bool(backend.stream.graphs) == graphs


def refusal(text: str) -> Exception:
    return type("CUDARuntimeError", (RuntimeError,), {"__module__": "cupy_backends.cuda.api.runtime"})(text)


@needs_compiler
def test_a_driver_that_records_nothing_gets_plain_launches(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(self: HostStream) -> None:
        self._recorded = None
        raise refusal("cudaErrorStreamCaptureUnsupported: operation not permitted")

    monkeypatch.setattr(HostStream, "end_capture", fails)
    backend = HostCuda()
    program = backend.program(LAYOUT, [Apply(scaled())])
    buffer = filled(backend)
    least = cells_of(LAYOUT, backend.to_host(buffer)).min()
    for call in range(4):
        assert program({"u": buffer}, values(2.0, 0.0))["least"] == pytest.approx(least * 2 ** (call + 1))
    assert len(caplog.records) == 1
    assert "StreamCaptureUnsupported" in caplog.text


def test_names_are_those_of_cupy() -> None:
    """What the stand-ins play has these names and arguments in the CuPy that is installed."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")

    def arguments(function: Any) -> list[str]:
        return list(inspect.signature(function).parameters)

    assert {"non_blocking"} <= set(arguments(cupy.cuda.Stream.__init__))
    assert {"block", "disable_timing"} <= set(arguments(cupy.cuda.Event.__init__))
    assert arguments(cupy.cuda.Event.record) == ["self", "stream"]
    assert arguments(cupy.cuda.Stream.wait_event) == ["self", "event"]
    assert {"begin_capture", "end_capture", "synchronize", "__enter__", "__exit__"} <= set(dir(cupy.cuda.Stream))
    assert "launch(self, stream=None)" in cupy.cuda.Graph.launch.__doc__
    assert "get(self, stream=None, order='C', out=None, blocking=True)" in cupy.ndarray.get.__doc__
    assert "num_regs" in dir(cupy.RawKernel)
    assert arguments(cupy.cuda.PinnedMemory.__init__)[:2] == ["self", "size"]
    locked = cupy.cuda.PinnedMemoryPointer(cupy.cuda.PinnedMemory(0), 0)  # of no size, which needs no driver
    assert np.ndarray((0,), buffer=locked).size == 0
    assert callable(cupy.cuda.MemoryPool.malloc)
    assert callable(cupy.cuda.MemoryPool.free_all_blocks)


def test_graphs_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHASEFIELD_GPU_GRAPHS", "0")
    assert not HostCuda().graphs
    assert HostCuda(graphs=True).graphs
    monkeypatch.delenv("PHASEFIELD_GPU_GRAPHS")
    assert HostCuda().graphs
    assert not HostCuda(graphs=False).graphs


@needs_compiler
def test_steps_of_changing_size_agree_with_the_cpu() -> None:
    """dt, w and t all change between replays, and a source reads t."""
    cpu, gpu = both(*CASES["conserved source"], "time.adaptive=false")
    for sim in (cpu, gpu):
        t = 0.0
        for step in range(STEPS):
            size = 0.01 * (1 + 0.5 * np.sin(step))
            t += size
            sim.integrator.step(sim.carry, size, t)
    assert gpu.backend.stream.graphs  # type: ignore[attr-defined]
    compare(cpu, gpu, 1e-10)


@needs_compiler
@pytest.mark.parametrize(("op", "numpy"), [("sum", np.sum), ("min", np.min), ("max", np.max)])
@pytest.mark.parametrize("shape", [(5,), (61, 67), (300, 301)])
def test_reductions_over_many_threads(shape: Any, op: Any, numpy: Any) -> None:
    layout = Layout(Grid(shape, (1.0,) * len(shape), ("periodic",) * len(shape)))
    backend = HostCuda(processors=40)
    u = array_symbol("u", 0)
    kernel = Kernel("reduced", "real", {"u": 1}, {}, {"a": Reduction(op, u), "b": Reduction("sum", u**2)})
    program = backend.program(layout, [Apply(kernel)])
    buffer = backend.buffer(layout, 1)
    host = np.random.default_rng(3).normal(size=buffer.shape) - 7.0
    backend.from_host(host, buffer)
    cells = cells_of(layout, host)
    for _ in range(3):
        found = program({"u": buffer})
        assert found["a"] == pytest.approx(numpy(cells), rel=1e-13)
        assert found["b"] == pytest.approx((cells**2).sum(), rel=1e-13)
    assert program._total.shape == (2, _PARTS)


@pytest.mark.parametrize(
    ("registers", "resident"), [(16, 8), (32, 8), (33, 6), (40, 6), (41, 5), (64, 4), (72, 3), (126, 2), (255, 1)]
)
def test_blocks_are_a_multiple_of_what_runs_at_once(registers: int, resident: int) -> None:
    """65536 registers a multiprocessor, given to threads by the eight; 2048 threads; blocks of 256."""
    backend, function = HostCuda(processors=132), SimpleNamespace(num_regs=registers)
    assert backend.blocks(function, 256, 10**9, summing=True) == 132 * resident
    assert backend.blocks(function, 256, 10**9, summing=False) % (132 * resident) == 0
    assert backend.blocks(function, 256, 1000, summing=True) == 4
    assert backend.blocks(function, 256, 1, summing=False) == 1


@needs_compiler
def test_memory_goes_with_the_simulation_and_not_with_a_later_collection() -> None:
    """The check of memory before the next run counts what is free."""
    spec = spec_of(*CASES["plane"], "time.end=1e6", "time.scheme=etdms2")
    before = HostCuda.used_bytes()
    gc.disable()
    try:
        sim = Simulation(spec, backend=HostCuda())
        for _ in range(8):
            sim.advance(1e6)
        sim.backend.snapshot(sim.carry.u)()  # type: ignore[attr-defined]
        sim.backend.synchronize()
        assert HostCuda.used_bytes(collect=False) > before
        del sim
        assert HostCuda.used_bytes(collect=False) == before
    finally:
        gc.enable()


# -- memory ------------------------------------------------------------------------------------------------------------


def fixed(scheme: str, precision: str, dim: int = 3) -> Any:
    return spec_of(
        "model=cahn_hilliard", f"grid.shape={[64] * dim}", "time.adaptive=false", "time.dt=0.1", "time.end=1",
        f"time.scheme={scheme}", f"precision={precision}",
    )  # fmt: skip


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize(("scheme", "most", "history"), [("imex1", 18, 0), ("etd1", 18, 0), ("etdms2", 20, 1)])
def test_traffic_and_buffers_of_a_step(
    scheme: str, most: int, history: int, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In u, the bytes of one real field: six passes of transforms and two kernels; three buffers and the history."""
    sizes: list[int] = []
    plain = TextCuda.buffer
    monkeypatch.setattr(TextCuda, "buffer", lambda *a: sizes.append(a[2]) or plain(*a))
    integrator, _ = text_integrator(fixed(scheme, precision))
    programs: list[CudaProgram] = [*integrator._method.stages, integrator._method.update]  # type: ignore[list-item]
    moved = sum(traffic(integrator.layout, p.operations) for p in programs)
    assert moved <= most
    assert moved == 12 + 2 + 4 + history
    monkeypatch.setattr(integrator, "_evaluate", lambda *_: {})
    monkeypatch.setattr(integrator.backend, "copy", lambda *_: None)
    integrator.start(plain(integrator.backend, integrator.layout, 1), 0.0)
    bytes_per_cell = (sum(sizes) + 1) * {"double": 8, "single": 4}[precision]
    assert bytes_per_cell == {"double": 24, "single": 12}[precision] + history * {"double": 8, "single": 4}[precision]


def test_traffic_counts_every_array_once_and_every_axis_twice() -> None:
    assert traffic(LAYOUT, [Forward("u", 3)]) == 12
    assert traffic(LAYOUT, [Apply(scaled())]) == 2
    assert traffic(LAYOUT, [Inverse("u", 1), Apply(scaled()), Forward("u", 1)]) == 10


def test_memory_is_asked_for_the_work_area_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CpuBackend().transform_memory(100, True) == 0
    assert HostCuda().transform_memory(100, True) == 100
    assert HostCuda().transform_memory(100, False) == 900
    field = 8 * 64 * 64 * 66
    monkeypatch.setattr(HostCuda, "memory_available", lambda self: 5 * field - 1)
    with pytest.raises(ConfigError, match="are free"):
        Simulation(fixed("etdms2", "double"), backend=HostCuda())


@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_check_of_memory_asks_for_no_less_than_there_is(
    scheme: str, adaptive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    plain = TextCuda.buffer
    monkeypatch.setattr(TextCuda, "buffer", lambda *a: sizes.append(a[2]) or plain(*a))
    spec = fixed(scheme, "double")
    spec.time.adaptive = adaptive
    integrator, _ = text_integrator(spec)
    monkeypatch.setattr(integrator, "_evaluate", lambda *_: {})
    monkeypatch.setattr(integrator.backend, "copy", lambda *_: None)
    integrator.start(plain(integrator.backend, integrator.layout, 1), 0.0)
    method = integrator.scheme
    counted = (4 if adaptive else 3) + method.stage_buffers(adaptive) + len(method.history(adaptive))
    assert sum(sizes) + 1 == counted


# -- the stream --------------------------------------------------------------------------------------------------------


class Watched:
    """A stream that knows whether it is the current one, and arrays that insist on it."""

    def __init__(self) -> None:
        self.depth, self.seen = 0, list[str]()

    def __enter__(self) -> Watched:
        self.depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.depth -= 1

    def synchronize(self) -> None:
        self.seen.append("synchronize")

    def needed(self, name: str) -> Any:
        def call(*_: Any, **__: Any) -> Any:
            assert self.depth, f"{name} on the default stream"
            self.seen.append(name)
            return SimpleNamespace(shape=(1, 1, 1, 4))

        return call


def test_the_backend_asks_cupy_on_its_own_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """`CudaBackend` itself, with a CuPy that only watches."""
    stream = Watched()
    backend = object.__new__(CudaBackend)
    backend.xp = SimpleNamespace(**{name: stream.needed(name) for name in ("zeros", "asnumpy", "asarray")})
    backend.xp.get_default_memory_pool = lambda: SimpleNamespace(malloc=None)
    backend._set_up("double", "watched", 1, (2048, 65536), stream, None)
    array = type("Array", (), {"__setitem__": stream.needed("setitem"), "set": stream.needed("set")})()
    backend.buffer(LAYOUT, 1)
    backend.to_host(array)
    backend.from_host(np.zeros(1), array)
    backend.copy(array, array)
    assert stream.seen == ["zeros", "asnumpy", "set", "synchronize", "setitem"]
    monkeypatch.setattr(Outbox, "send", stream.needed("send"))
    for kind in ("CufftTransform", "CosineTransform", "CudaProgram"):
        monkeypatch.setattr(f"phasefield.backend.cuda.{kind}", stream.needed(kind))
    backend.snapshot(array)
    backend.transform(LAYOUT, 1)
    backend.transform(Layout(Grid((4,), (1.0,), ("no-flux",))), 1)
    backend.program(LAYOUT, [])
    assert stream.seen[5:] == ["send", "CufftTransform", "CosineTransform", "CudaProgram"]
    for method in (CudaProgram.__call__, CufftTransform.forward, CufftTransform.inverse, CosineTransform.forward):
        inside = inspect.unwrap(method, stop=lambda f: f.__code__.co_name == "streaming")
        assert inside.__code__.co_name == "streaming", method
    assert not stream.depth
