"""The terms that models are made of, one file each. A new one is a file here and a line in `TERMS`."""

from .bulk import Bulk
from .driving import Driving
from .elastic import Elastic
from .electric import Electric, Electrodes
from .gradient import Gradient
from .noise import Noise
from .nucleation import Nucleating
from .operator import Operator
from .source import Source
from .term import Term, Waves, keys_of
from .walls import Walls

#: All terms, in the order in which their energies are written.
TERMS: list[type[Term]] = [
    Bulk,
    Gradient,
    Operator,
    Elastic,
    Electric,
    Electrodes,
    Walls,
    Driving,
    Source,
    Noise,
    Nucleating,
]

__all__ = [
    "TERMS",
    "Bulk",
    "Driving",
    "Elastic",
    "Electric",
    "Electrodes",
    "Gradient",
    "Noise",
    "Nucleating",
    "Operator",
    "Source",
    "Term",
    "Walls",
    "Waves",
    "keys_of",
]
