"""Time-stepping schemes as tables of expressions.

Symbols: ``u, n`` state and N(u) at the start of the step; ``u_old, n_old`` one step earlier, ``n_old2`` two, and so on;
``n1, n2, ...`` N at the stages of the step; ``z = dt L``, step size ``dt`` and step ratios ``w = dt/dt_old``,
``w_old = dt_old/dt_old2``, ... A ratio is 0 where there is no earlier step: that drops the terms that need it.
``error`` is the difference to a lower-order result made of the same data: it costs no transform.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from ..codegen import Phi

#: How many steps back a scheme may look.
DEPTH = 3

#: Weight of an estimate of a scheme's own error. The error of a result that the scheme improves upon counts once: rates then
#: are right to about a tenth of the tolerance. So they should be where nothing is improved upon.
OWN = 10

#: Weight of what damping leaves of an improvement. More would be `OWN` for what is not improved upon, but interfaces that creep
#: keep stiff modes in balance, where the error is that of a lower order, and every unit costs long runs a fifth of their steps.
DAMPED = 2

#: Scheme that starts fixed steps with noise.
NOISY_STARTER = "etdrk2"

STATES = u, u_old, u_old2, u_old3 = sp.symbols("u u_old u_old2 u_old3", real=True)
n, n_old, n_old2, n_old3 = sp.symbols("n n_old n_old2 n_old3", real=True)
n1, n2, n3 = sp.symbols("n1 n2 n3", real=True)
SLOPES = (n, n_old, n_old2, n_old3, n1, n2, n3)
RATIOS = w, w_old, w_old2 = sp.symbols("w w_old w_old2", real=True)
z, dt = sp.symbols("z dt", real=True)
E, phi1, phi2, phi3, phi4 = (Phi(k, z) for k in range(5))
E_half, phi1_half, phi2_half = (Phi(k, z / 2) for k in range(3))

# What an error that every step repeats does to a mode in which L and N hold almost in balance, N = -L u: an error e of a
# step is that of N by e/(dt phi1), and the rate is off by as much. (Extrapolated N remembers: a deficit of the rate fades by a
# factor of 1 - phi1 a step.) In stiff modes this is -z times what one step shows.
_lasting = 1 / phi1


@dataclass(frozen=True)
class Scheme:
    """One scheme.

    Attributes:
        order: order of accuracy.
        update: the new state.
        error: what is held against the tolerance, of order ``error_order`` in dt: an estimate of the local error of a result that
            the scheme improves upon, or `OWN` times that of the scheme itself.
        drift: factor per mode that makes of ``error`` what the rate of a mode is off by, times dt, if steps go on like this.
        stages: states at which N is evaluated within the step, giving n1, n2, ...; nodes: their times in units of dt.
        spread: mean square of what white noise of unit strength leaves in a mode after a step, over dt: what keeps the
            variance at rest of u' = L u + noise, 1/(-2 L), exact at any step. None for a scheme that does not take noise.
        starter: name of the one-step scheme that takes the first steps if they are fixed; adaptive ones start short instead. With
            noise `NOISY_STARTER` does, where this one takes none.
        reference: where the scheme comes from.
        uneven: the same for an L that stands for coefficients which vary in space, where it has to differ.
        extrapolated: what adaptive steps take instead, where an error estimate of the scheme itself makes more of it.
        bears: the largest curvature of the energy over S that stiff modes bear, see `phasefield.models.stabilizer`; None is 2
            without extrapolation of N, else 1.
    """

    order: int
    update: sp.Expr
    error: sp.Expr
    error_order: int
    reference: str
    drift: sp.Expr = _lasting
    stages: tuple[sp.Expr, ...] = ()
    nodes: tuple[float, ...] = ()
    starter: str | None = None
    uneven: Scheme | None = None
    spread: sp.Expr | None = None
    extrapolated: Scheme | None = None
    bears: float | None = None

    def taken(self, adaptive: bool, varies: bool) -> Scheme:
        """The scheme as a run takes it: with adaptive steps or fixed ones, with coefficients that vary in space or not."""
        scheme = self.extrapolated if adaptive and self.extrapolated is not None else self
        return scheme.uneven if varies and scheme.uneven is not None else scheme

    @property
    def memory(self) -> int:
        """How many earlier steps the update looks back on."""
        used = self.update.free_symbols
        return max(i for i in range(DEPTH + 1) if i == 0 or {STATES[i], SLOPES[i]} & used)

    @property
    def margin(self) -> float:
        """S over the largest curvature of the energy."""
        return 1 / (self.bears or (2.0 if self.memory == 0 else 1.0))

    @property
    def first(self) -> tuple[sp.Expr, sp.Expr] | None:
        """A step with no earlier one to look back on, and its error, if steps are adaptive; None where the scheme serves.

        It is the trapezoidal rule on N with n1, which is N where the scheme itself leads without a past, and the error that of
        the latter. Without this improvement, first steps would have to be `OWN` times shorter.
        """
        if self.stages or not {*STATES[1:], *SLOPES[1 : DEPTH + 1]} & self.error.free_symbols:
            return None
        better = _etd1 + dt * phi2 * (n1 - n)
        return better, self.update.xreplace(dict.fromkeys(RATIOS, sp.S.Zero)) - better

    def stage_buffers(self, adaptive: bool) -> int:
        """How many evaluations of N within a step are held at once."""
        return len(SCHEMES[self.starter].stages if self.starter and not adaptive else self.stages)

    def history(self, adaptive: bool) -> list[str]:
        """Which of ``u_old``, ``n_old``, ``n_old2``, ... are kept from earlier steps, newest first."""
        used = self.update.free_symbols | (self.error.free_symbols if adaptive else set())
        return [s.name for s in (*STATES[1:], *SLOPES[1 : DEPTH + 1]) if s in used]


_imex1 = (u + dt * n) / (1 - z)
# What white noise leaves of a step: with R(z) what a step makes of a mode without N, (1 - R^2)/(-2 z), which for exponential
# schemes is that of an Ornstein-Uhlenbeck process. N of multistep schemes does not see the noise of its own step, but all later
# steps see it as if it had come in the middle, so that they are of weak order 2; so are those with stages at the end of the
# step, which see it (Kloeden and Platen, Numerical Solution of Stochastic Differential Equations, 1992, section 15.1). Stages
# within a step would need increments of their own, and BDF formulas those of past steps: such schemes take no noise.
_exact_spread = phi1 * (1 + E) / 2
_imex1_spread = (1 - z / 2) / (1 - z) ** 2

# As an increment on u, which leaves the mean of a conserved field as it is to the last bit.
_sbdf2 = u + (w**2 / (1 + w) * (u - u_old) + z * u + dt * ((1 + w) * n - w * n_old)) / ((1 + 2 * w) / (1 + w) - z)
_etd1 = E * u + dt * phi1 * n
_etdms2_gain = dt * w * phi2 * (n - n_old)
_etdms2 = _etd1 + _etdms2_gain

# Newton's divided differences of N over the past steps, integrated exactly against the exponential:
# int_0^1 exp((1-s) z) s^k ds = k! phi_{k+1}(z); for equal steps see Hochbruck and Ostermann, Acta Numerica 19 (2010) 209.
_second = w_old / (1 + w_old) * (n - n_old - w_old * (n_old - n_old2))
_second_old = w_old**2 * w_old2 / (1 + w_old2) * (n_old - n_old2 - w_old2 * (n_old2 - n_old3))
_third = w_old2 / (1 + w_old2 + w_old * w_old2) * (_second - _second_old)
_etdms3_gain = dt * w * (phi2 + 2 * w * phi3) * _second
_etdms4_gain = dt * w * ((1 + w_old) * phi2 + 2 * w * (1 + 2 * w_old) * phi3 + 6 * w**2 * w_old * phi4) * _third

# Stiff modes (large -z) that L and N hold almost in balance, as across an interface at rest, set the limit of high
# orders. With N = -r L u, r just below 1, a step becomes for large -z u_{n+1} = r P(X) u_n, X the shift one step back
# and P = 1 - C (1 - X)^p the extrapolation of order p. Growth factors are 1/X with (1 - X)^p = -(1 - r)/(r C): bounded
# by 1 for p = 2, but for p >= 3 some exceed 1 at any r near 1, whatever the stabiliser. So the gain of third order is
# damped in stiff modes: for 0 <= r <= 1 and equal steps all roots stay within the unit circle with its whole up to
# -z = 5.9, with 0.90 of it at 8, 0.71 at 20, 0.63 at 40, 0.58 at 100 and 1/2 in the limit; that of fourth order
# beside it with its whole up to 2, with 0.7 at 3 and 0.19 at 8, the least. What is left undone is an error of second
# order in all that creeps, so the factor takes 1.05 to 1.1 times what it must, no more. Both factors are
# 1 + O(z^4), which takes nothing from the orders.
_damping3 = 1 - z**4 / (11700 + 26 * sp.Abs(z) ** 3 + sp.Rational(19, 10) * z**4)
_damping4 = 1 / (1 + (z / 3) ** 4)

# Where L stands for coefficients that vary in space (a mobility), N and L do not commute and r is complex near 1. Second order
# bears that far into stiff modes; what is above it must fade: a wavy slab with a degenerate mobility is then stable at 10^4 times
# the explicit limit, while the factors above blow it up from some 500 times on, and so does (z/10)^4 at 10^4 times.
_fading3 = 1 / (1 + (z / 4) ** 4)
_fading4 = 1 / (1 + (z / 2) ** 4)


def _left(damping: sp.Expr, weight: int) -> sp.Expr:
    """What counts of a gain: once where it is taken, ``weight`` times where it is damped."""
    return damping + weight * (1 - damping)


def _three_steps(damping: sp.Expr, uneven: Scheme | None = None) -> Scheme:
    return Scheme(
        order=3,
        update=_etdms2 + damping * _etdms3_gain,
        error=sp.Piecewise((_etdms2_gain, w_old <= 0), (_left(damping, DAMPED) * _etdms3_gain, True)),
        error_order=3,
        drift=_left(damping, OWN) / _left(damping, DAMPED) * _lasting,
        starter="etdrk2",
        spread=_exact_spread,
        uneven=uneven,
        reference="Exponential Adams-Bashforth with three steps for variable steps, damped in stiff modes",
    )


def _four_steps(third: sp.Expr, fourth: sp.Expr, uneven: Scheme | None = None) -> Scheme:
    own = OWN * ((1 - third) * _etdms3_gain + (1 - fourth) * _etdms4_gain)
    return Scheme(
        order=4,
        update=_etdms2 + third * _etdms3_gain + fourth * _etdms4_gain,
        error=sp.Piecewise(
            (_etdms2_gain, w_old <= 0),
            (_etdms3_gain, w_old2 <= 0),
            (own + fourth * _etdms4_gain, True),
        ),
        error_order=4,
        starter="etdrk4",
        spread=_exact_spread,
        uneven=uneven,
        reference="Exponential Adams-Bashforth with four steps for variable steps, damped in stiff modes",
    )


def _first_order(step: sp.Expr, error: sp.Expr, spread: sp.Expr, reference: str) -> Scheme:
    """A one-step scheme of first order; adaptive steps take its local extrapolation, twice two half steps less the whole one.

    The error of first order that an estimate finds is one of the rates of all that creeps, z/2 of them: by itself the scheme
    needs some 10^5 steps to get a front right to `OWN` times less than the tolerance.
    """
    half = step.xreplace({dt: dt / 2, z: z / 2})
    second = half.xreplace({u: half, n: n1})
    halves = Scheme(
        order=2,
        update=sp.expand(2 * second - step),
        error=sp.expand(second - step),
        error_order=2,
        stages=(half,),
        nodes=(0.5,),
        bears=1.5,  # stiff modes with N = -r L u are multiplied by 2 r^2 - r, which is within 1 from r = -1/2 on
        reference=f"{reference}; two half steps and a whole one, extrapolated: Hairer, Norsett and Wanner, Solving Ordinary "
        "Differential Equations I (1993), section II.4",
    )
    return Scheme(1, step, OWN * error, 2, reference, spread=spread, extrapolated=halves)


SCHEMES: dict[str, Scheme] = {
    "imex1": _first_order(
        _imex1,
        _imex1 - _etdms2,
        _imex1_spread,
        "Stabilised semi-implicit Euler: Chen and Shen, Comput. Phys. Commun. 108 (1998) 147",
    ),
    "sbdf2": Scheme(
        order=2,
        update=_sbdf2,
        error=OWN * sp.Piecewise((_sbdf2 - _etdms2, w_old <= 0), (_sbdf2 - _etdms2 - _etdms3_gain, True)),
        error_order=3,
        reference="Variable-step SBDF2: Wang and Ruuth, J. Comput. Math. 26 (2008) 838, eq. 2.9",
    ),
    "etd1": _first_order(
        _etd1,
        _etdms2_gain,
        _exact_spread,
        "Exponential Euler: Cox and Matthews, J. Comput. Phys. 176 (2002) 430, eq. 4",
    ),
    "etdms2": Scheme(
        order=2,
        update=_etdms2,
        error=OWN * sp.Piecewise((_etdms2_gain, w_old <= 0), (_etdms3_gain, True)),
        error_order=3,
        spread=_exact_spread,
        reference="Exponential Adams-Bashforth: Cox and Matthews (2002), eq. 6, for variable steps",
    ),
    "etdms3": _three_steps(_damping3, _three_steps(_fading3)),
    "etdms4": _four_steps(_damping3, _damping4, _four_steps(_fading3, _fading4)),
    "etdrk2": Scheme(
        order=2,
        update=_etd1 + dt * phi2 * (n1 - n),
        error=OWN * dt * phi2 * (n1 - n - w * (n - n_old)),
        error_order=3,
        stages=(_etd1,),
        nodes=(1.0,),
        spread=_exact_spread,
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
