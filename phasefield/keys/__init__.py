"""What keys mean and may be: said once beside their default, read by the help, the grammar, the checks and completion."""

from .meaning import about, check_choices, key, keys_of, quantities, schema_at
from .suggestions import closest, guess, unknown

__all__ = ["about", "check_choices", "closest", "guess", "key", "keys_of", "quantities", "schema_at", "unknown"]
