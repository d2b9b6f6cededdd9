"""A kernel is an expression: one intermediate form, printed as CUDA for the GPU and as a loop for the CPU compiler.

A `Kernel` visits every cell (``real``) or every mode (``spectral``) once, reads some arrays, assigns expressions to some and
reduces others. Arrays are float buffers ``(component, n0, n1, row)``; in spectral space a row holds real and imaginary parts
interleaved, and each expression is applied to both parts alike: coefficients are real, and a `Derivative` takes its number from
a mode's partner. Quantities of an axis (squared wavenumber, Parseval weight, coordinates) come from three 1-D arrays and are
combined inside the loop; none is stored as a field.
"""

from .cuda import WIDE, assign_source, cuda_scalars, cuda_source
from .form import AXIS_SYMBOLS, K2, K2_ALONG, K_ALONG, MASK, WEIGHT, Kernel, Reduction, array_symbol, embedded
from .functions import Derivative, GradientNorm, PerMode, Phi, White, step_scalars, white, white_scalars
from .loops import loop_source, table_scalars, table_values
from .lowering import Lowered, lower
from .profiles import profiled
from .reductions import reduce_source

__all__ = [
    "AXIS_SYMBOLS",
    "K2",
    "K2_ALONG",
    "K_ALONG",
    "MASK",
    "WEIGHT",
    "WIDE",
    "Derivative",
    "GradientNorm",
    "Kernel",
    "Lowered",
    "PerMode",
    "Phi",
    "Reduction",
    "White",
    "array_symbol",
    "assign_source",
    "cuda_scalars",
    "cuda_source",
    "embedded",
    "loop_source",
    "lower",
    "profiled",
    "reduce_source",
    "step_scalars",
    "table_scalars",
    "table_values",
    "white",
    "white_scalars",
]
