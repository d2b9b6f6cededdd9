"""Time-stepping schemes as tables of expressions.

Symbols: ``u, n`` state and N(u) at the start of the step; ``u_old, n_old`` one step earlier; ``n1, n2, ...`` N at the stages of
the step; ``z = dt L``, step size ``dt`` and step ratio ``w = dt/dt_old``. A multistep scheme with w = 0 is its own first-order
starter. ``error`` is the difference to a lower-order result made of the same data: it costs no transform.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from ..codegen import Phi

u, n, u_old, n_old, n1, n2, n3 = sp.symbols("u n u_old n_old n1 n2 n3", real=True)
z, dt, w = sp.symbols("z dt w", real=True)
SLOPES = (n1, n2, n3)


@dataclass(frozen=True)
class Scheme:
    """One scheme.

    Attributes:
        order: order of accuracy.
        update: the new state.
        error: an estimate of the local error of order ``error_order`` in dt.
        stages: states at which N is evaluated within the step, giving n1, n2, ...; nodes: their times in units of dt.
        reference: where the scheme comes from.
    """

    order: int
    update: sp.Expr
    error: sp.Expr
    error_order: int
    reference: str
    stages: tuple[sp.Expr, ...] = ()
    nodes: tuple[float, ...] = ()

    def history(self, adaptive: bool) -> list[str]:
        """Which of ``u_old`` and ``n_old`` are kept from the last step."""
        used = self.update.free_symbols | (self.error.free_symbols if adaptive else set())
        return [s.name for s in (u_old, n_old) if s in used]


def _multistep_error(estimate: sp.Expr) -> sp.Expr:
    """``estimate`` needs a previous step; the first one compares the two ways of treating L instead."""
    return sp.Piecewise((_imex1 - _etd1, w <= 0), (estimate, True))


E, phi1, phi2, phi3 = (Phi(k, z) for k in range(4))
E_half, phi1_half, phi2_half = (Phi(k, z / 2) for k in range(3))

_imex1 = (u + dt * n) / (1 - z)
# As an increment on u, which leaves the mean of a conserved field as it is to the last bit.
_sbdf2 = u + (w**2 / (1 + w) * (u - u_old) + z * u + dt * ((1 + w) * n - w * n_old)) / ((1 + 2 * w) / (1 + w) - z)
_etd1 = E * u + dt * phi1 * n
_etdms2_gain = dt * w * phi2 * (n - n_old)

SCHEMES: dict[str, Scheme] = {
    "imex1": Scheme(
        order=1,
        update=_imex1,
        error=_multistep_error(_imex1 - _etd1 - _etdms2_gain),
        error_order=2,
        reference="Stabilised semi-implicit Euler: Chen and Shen, Comput. Phys. Commun. 108 (1998) 147",
    ),
    "sbdf2": Scheme(
        order=2,
        update=_sbdf2,
        error=_multistep_error(_sbdf2 - _imex1),
        error_order=2,
        reference="Variable-step SBDF2: Wang and Ruuth, J. Comput. Math. 26 (2008) 838, eq. 2.9",
    ),
    "etd1": Scheme(
        order=1,
        update=_etd1,
        error=_multistep_error(_etdms2_gain),
        error_order=2,
        reference="Exponential Euler: Cox and Matthews, J. Comput. Phys. 176 (2002) 430, eq. 4",
    ),
    "etdms2": Scheme(
        order=2,
        update=_etd1 + _etdms2_gain,
        error=_multistep_error(_etdms2_gain),
        error_order=2,
        reference="Exponential Adams-Bashforth: Cox and Matthews (2002), eq. 6, for variable steps",
    ),
    "etdrk2": Scheme(
        order=2,
        update=_etd1 + dt * phi2 * (n1 - n),
        error=dt * phi2 * (n1 - n),
        error_order=2,
        stages=(_etd1,),
        nodes=(1.0,),
        reference="Cox and Matthews (2002), eq. 22",
    ),
    "etdrk4": Scheme(
        order=4,
        update=E * u
        + dt * ((phi1 - 3 * phi2 + 4 * phi3) * n + (2 * phi2 - 4 * phi3) * (n1 + n2) + (4 * phi3 - phi2) * n3),
        error=dt * (4 * phi3 - phi2) * (n - n1 - n2 + n3),
        error_order=3,
        stages=(
            E_half * u + dt / 2 * phi1_half * n,
            E_half * u + dt * ((phi1_half / 2 - phi2_half) * n + phi2_half * n1),
            E * u + dt * ((phi1 - 2 * phi2) * n + 2 * phi2 * n2),
        ),
        nodes=(0.5, 0.5, 1.0),
        reference="Krogstad, J. Comput. Phys. 203 (2005) 72, eq. 51",
    ),
}
