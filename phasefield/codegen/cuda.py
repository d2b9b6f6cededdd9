"""A kernel as CUDA C++ for NVRTC. The same text compiles as C++ on the host, which is how it is tested without a card."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .form import Kernel, is_index
from .functions import ELEMENTARY
from .lowering import Lowered, lower, white_symbol
from .philox import SEED, STEP, cuda_white
from .printing import (
    STARTS,
    CudaPrinter,
    accumulate,
    combine,
    derivative_name,
    gradient_text,
    partner_of,
    power_chain,
    power_closure,
    printed,
    slope_of,
)

#: Thread counters run past the last cell by at most one stride; 32-bit ones must have room for it.
WIDE = 2**31 - 2**24

_REAL = {"float64": "double", "float32": "float"}

_PRELUDE = """\
#define R(x) ((real)(x))
#define DOUBLE(x) ((double)(x))
#define SELECT(c, a, b) ((c) ? (a) : (b))
#define SQRT(x) sqrt(x)
#define POW(x, y) pow(x, y)
#ifndef INFINITY
#define INFINITY __longlong_as_double(0x7ff0000000000000LL)
#endif
struct __align__(2*sizeof(real)) Mode { real re, im; };
template <typename T> __device__ inline T MAX(T a, T b) { return a < b ? b : a; }
template <typename T> __device__ inline T MIN(T a, T b) { return a < b ? a : b; }
template <typename T> __device__ inline T SQUARE(T x) { return x*x; }
"""


def prelude(real: str) -> str:
    """What every source begins with: the type of numbers and what the printed names mean.

    Args:
        real: C's name of the type.
    """
    functions = "".join(f"#define {text}(x) {name}(x)\n" for name, text in ELEMENTARY.items())
    return f"typedef {real} real;\n{functions}{_PRELUDE}"


def cuda_source(
    kernel: Kernel, parts: int, dtype: str, shape: tuple[int, int, int], lengths: tuple[int, int, int], apart: int
) -> str:
    """CUDA source of ``extern "C" __global__ void <name>(arrays..., axis arrays..., scalars, partial)``.

    Every thread strides over the cells or modes and keeps its own partial reduction, so the result does not depend on timing.
    Scalars, those of `cuda_scalars`, lie in device memory, for arguments are part of a recorded launch and could not change.
    All components of a cell or mode are read before any is written; the arrays must not overlap.

    Args:
        parts: numbers per mode (2 complex, 1 real) in spectral space; cells always have 1.
        dtype: ``float64`` or ``float32``.
        shape: extent of the visited index space (cells or modes). lengths: of the memory of a component. apart: numbers from
            one component to the next.
    """
    code = lower(kernel)
    n0, n1, n2 = shape
    wide = apart * max([1, *kernel.arrays.values()]) >= WIDE
    out = [prelude(_REAL[dtype]), f"typedef {'long long' if wide else 'int'} index_t;"]
    for n in power_closure(code.powers):
        out.append(f"template <typename T> __device__ inline T POW{n}(T x) {{ return {power_chain(n)}; }}")
    if kernel.whites:
        out += cuda_white(parts, dtype)
    out += [
        f"#define AT(c, i, j, k) ((index_t)(c)*{apart} + ((index_t)(i)*{lengths[1]} + (j))*{lengths[2]} + (k))",
        f'extern "C" __global__ void {kernel.name}({", ".join(_arguments(kernel))}) {{',
        "    const index_t threads = (index_t)gridDim.x*blockDim.x;",
        "    const index_t thread = (index_t)blockIdx.x*blockDim.x + threadIdx.x;",
    ]
    out += [f"    const real {s} = scalars[{at}];" for at, s in enumerate(cuda_scalars(kernel))]
    out += [f"    double sum_{name} = {STARTS[r.op]};" for name, r in kernel.reductions.items()]
    out += [
        f"    for (index_t cell = thread; cell < {n0 * n1 * n2}{'LL' if wide else ''}; cell += threads) {{",
        f"        const index_t k = cell % {n2}, outer = cell / {n2};",
        f"        const index_t j = outer % {n1}, i = outer / {n1};",
        *_body(kernel, code, parts if kernel.space == "spectral" else 1),
        "    }",
    ]
    out += [f"    partial[{r}*threads + thread] = sum_{name};" for r, name in enumerate(kernel.reductions)]
    out.append("}")
    return "\n".join(out) + "\n"


def _arguments(kernel: Kernel) -> list[str]:
    written = {a for a, _ in kernel.writes}
    # The prefix keeps names such as "new" from being keywords.
    arguments = [f"{'' if a in written else 'const '}real* __restrict__ all_{a}" for a in kernel.arrays]
    arguments += [f"const {'int' if is_index(a) else 'real'}* __restrict__ {a}" for a in kernel.axis_arrays]
    if cuda_scalars(kernel):
        arguments.append("const real* __restrict__ scalars")
    if kernel.reductions:
        arguments.append("double* __restrict__ partial")
    return arguments


def _body(kernel: Kernel, code: Lowered, parts: int) -> list[str]:
    """What is done at i, j, k."""
    pad, printer = " " * 8, CudaPrinter()
    out = [f"{pad}const real {s} = {combine(s)};" for s in kernel.axis_symbols]
    out += [f"{pad}const real {name} = {printed(printer, e)};" for name, e in code.shared]
    out += _whites(kernel, parts, pad)
    if parts == 1:
        values = {(a, c): f"all_{a}[AT({c}, i, j, k)]" for a, c in kernel.reads}
        out += [f"{pad}real new_{a}_{c};" for a, c, _ in code.outputs]
        out += _part(kernel, code, pad, values, lambda a, c: f"new_{a}_{c}")
        return out + [f"{pad}all_{a}[AT({c}, i, j, k)] = new_{a}_{c};" for a, c, _ in code.outputs]
    # Real and imaginary part move as one, for half of every transaction would be idle otherwise.
    out += [f"{pad}const Mode mode_{a}_{c} = *(const Mode*)(all_{a} + AT({c}, i, j, 2*k));" for a, c in kernel.reads]
    out += [f"{pad}Mode new_{a}_{c};" for a, c, _ in code.outputs]
    for part in ("re", "im"):
        values = {(a, c): f"mode_{a}_{c}.{part}" for a, c in kernel.reads}
        out += _part(kernel, code, pad, values, lambda a, c, part=part: f"new_{a}_{c}.{part}", part)  # type: ignore[misc]
    return out + [f"{pad}*(Mode*)(all_{a} + AT({c}, i, j, 2*k)) = new_{a}_{c};" for a, c, _ in code.outputs]


def _whites(kernel: Kernel, parts: int, pad: str) -> list[str]:
    """The noise at i, j, k: of a complex mode both parts, by the names of its numbers and ``_re`` and ``_im``."""
    out = []
    mode = "number_2[k], edge_2[k], number_0[i] + number_1[j], mirror_0[i] + mirror_1[j]"
    for call in kernel.whites:
        name, arguments = white_symbol(call).name, ", ".join([mode, str(call.component), *SEED, *STEP])
        if parts == 1:
            out.append(f"{pad}const real {name} = WHITE({arguments});")
        else:
            out.append(f"{pad}real {name}_im;")
            out.append(f"{pad}const real {name}_re = WHITE({arguments}, {name}_im);")
    return out


def _part(
    kernel: Kernel,
    code: Lowered,
    pad: str,
    values: Mapping[tuple[str, int], str],
    target: Callable[[str, int], str],
    part: str = "",
) -> list[str]:
    """The block that computes outputs and reductions from the ``values`` of one part, ``re`` or ``im`` of a complex mode."""
    printer = CudaPrinter()
    out = [f"{pad}{{"]
    inner = pad + "    "
    for (a, c), value in values.items():
        out.append(f"{inner}const real {a}_{c} = {value};")
        if kernel.gradients:
            gradient = gradient_text(lambda i, j, k, a=a, c=c: f"all_{a}[AT({c}, {i}, {j}, {k})]")  # type: ignore[misc]
            out.append(f"{inner}const real grad_{a}_{c} = {gradient};")
    for call in kernel.derivatives:
        a, _, c = call.array.name.partition("@")
        partner = f"all_{a}[AT({c}, {', '.join(partner_of(call))})]"
        value = {"re": f"-mode_{a}_{c}.im", "im": f"mode_{a}_{c}.re"}.get(part, partner)
        out.append(f"{inner}const real {derivative_name(call, f'{a}_{c}')} = {slope_of(call)}*{value};")
    if part:
        names = [white_symbol(call).name for call in kernel.whites]
        out += [f"{inner}const real {name} = {name}_{part};" for name in names]
    out += [f"{inner}const real {name} = {printed(printer, e)};" for name, e in code.per_part]
    out += [f"{inner}{target(a, c)} = {printed(printer, e)};" for a, c, e in code.outputs]
    out += [f"{inner}{accumulate(op, f'sum_{name}', printed(printer, e))};" for name, op, e in code.reductions]
    return [*out, f"{pad}}}"]


def cuda_scalars(kernel: Kernel) -> list[str]:
    """A kernel's scalars in the order in which it finds them."""
    return list(kernel.scalars)


def assign_source(dtype: str, count: int) -> str:
    """CUDA source of ``assign(scalars, value 0, value 1, ...)``, run by one thread."""
    values = ", ".join(f"const real v{i}" for i in range(count))
    body = "".join(f"    scalars[{i}] = v{i};\n" for i in range(count))
    return f'typedef {_REAL[dtype]} real;\nextern "C" __global__ void assign(real* __restrict__ scalars, {values}) {{\n{body}}}\n'
