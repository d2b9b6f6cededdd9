"""Mechanical equilibrium of a body whose stiffness follows the fields, as operations of a step.

    C(x) = C_0 + sum_p g(phi_p(x)) (C_p - C_0),   e0(x) = sum_p phi_p(x) e_p,   sigma = C : (E + D u - e0),   div sigma = 0

where g(phi) is phi from 0 to 1 and bends beyond, so that a field that overshoots makes no stiffness indefinite.

The displacement u is kept in modes, D and div are the grid's own derivatives (`phasefield.codegen.Derivative`), which are each
other's negative transposes: the discrete energy W = <1/2 (strain - e0) : sigma> - (work of the load) is stationary in u and E,
so that its variation by phi_p is g'/2 e : (C_p - C_0) : e - sigma : e_p in every cell, exactly (e the elastic strain). Between
walls u_i is odd across those along i and even across the others. This is the spectral treatment of Moulinec and Suquet (Comput.
Methods Appl. Mech. Eng. 157 (1998) 69) for phase fields (Hu and Chen, Acta Mater. 49 (2001) 1879), with conjugate gradients
(Zeman, Vondrejc, Novak and Marek, J. Comput. Phys. 229 (2010) 8065).

Components of the mean strain E that are free are eliminated: whatever u is, E is such that the mean stress is the given one. What
is iterated for is u alone, preconditioned by the Green operator of the orthotropic part of the mean stiffness. Its strain is kept
in cells beside it, so that an iteration transforms the strain of its direction and the stress of that, and nothing else.

`body` has the numbers, `modes` what is done to modes, `solver` the operations, `iteration` their order.
"""

from .body import Part
from .solver import Equilibrium

__all__ = ["Equilibrium", "Part"]
