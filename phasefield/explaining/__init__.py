"""A configured run explained before it is run: its equations, what theory says of it, what it will cost and write."""

from .explanation import Cost, Explanation, FieldFacts, Output, Stepping
from .making import explanation

__all__ = ["Cost", "Explanation", "FieldFacts", "Output", "Stepping", "explanation"]
