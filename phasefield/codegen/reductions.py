"""The second stage of reductions in CUDA C++."""

from __future__ import annotations

from collections.abc import Sequence

from .cuda import prelude
from .printing import STARTS

#: What follows it is run by every thread of a block and starts when all threads have finished what came before; nothing else of
#: theirs outlasts it than shared memory. Where threads take turns, as in tests on the host, it is a loop over them.
_PHASE = """\
#ifndef PHASE
#define PHASE __syncthreads();
#endif
"""


#: Numbers a thread of the second stage asks for before it waits for the first of them: there are too few threads to hide it.
_AT_ONCE = 8


def reduce_source(ops: Sequence[str], block: int, parts: int) -> str:
    """CUDA source of ``reduce(partial, total, count)``: the second stage of reductions, the same for every run.

    Row r of ``partial`` holds ``count`` numbers; blocks ``r*parts`` and following, of ``block`` threads (a power of two), leave
    ``parts`` numbers in row r of ``total``. Which numbers are combined in which order depends on nothing but these sizes.
    """
    rows = dict(enumerate(ops))
    combined = {"sum": "a + b", "min": "MIN(a, b)", "max": "MAX(a, b)"}
    cases = [f"row == {r} ? {combined[op]} : " for r, op in rows.items() if op != "sum"]
    starts = [f"row == {r} ? {STARTS[op]} : " for r, op in rows.items() if op != "sum"]
    return f"""\
{prelude("double")}{_PHASE}\
__device__ inline double combine(int row, double a, double b) {{ return {"".join(cases)}a + b; }}
extern "C" __global__ void reduce(const double* __restrict__ partial, double* __restrict__ total, const int count) {{
    __shared__ double kept[{block}];
    const int row = blockIdx.x/{parts}, part = blockIdx.x%{parts};
    PHASE {{
        const double start = {"".join(starts)}0.0;
        double found = start;
        for (int first = part*{block} + threadIdx.x; first < count; first += {_AT_ONCE * parts * block}) {{
            double values[{_AT_ONCE}];
            #pragma unroll
            for (int i = 0; i < {_AT_ONCE}; i++) {{
                const int at = first + i*{parts * block};
                values[i] = at < count ? partial[(long long)row*count + at] : start;
            }}
            #pragma unroll
            for (int i = 0; i < {_AT_ONCE}; i++) found = combine(row, found, values[i]);
        }}
        kept[threadIdx.x] = found;
    }}
    for (unsigned half = {block // 2}; half > 0; half /= 2) {{
        PHASE {{
            if (threadIdx.x < half) kept[threadIdx.x] = combine(row, kept[threadIdx.x], kept[threadIdx.x + half]);
        }}
    }}
    PHASE {{
        if (threadIdx.x == 0) total[blockIdx.x] = kept[0];
    }}
}}
"""
