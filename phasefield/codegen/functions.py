"""Functions that expressions of kernels know beside the elementary ones."""

from __future__ import annotations

import sympy as sp


class Phi(sp.Function):
    r"""Phi(n, z): the exponential-integrator function phi_n(z), phi_0 = exp, for z <= 0.

    phi_{n+1}(z) = (phi_n(z) - 1/n!) / z (Hochbruck and Ostermann, Acta Numerica 2010, eq. 2.10).
    """

    nargs = 2


class PerMode(sp.Function):
    """PerMode(c): c, which contains no array, computed once for all numbers of a mode and of its mirror images."""

    nargs = 1


class GradientNorm(sp.Function):
    """GradientNorm(u): |grad u| by central differences over the neighbouring cells; real space only, ``u`` an array."""

    nargs = 1
