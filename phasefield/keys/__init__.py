"""What keys mean and may be: said once beside their default, read by the help, the grammar, the checks and completion."""

from .meaning import about, check_choices, convert, in_unit, key, keys_of, schema_at

__all__ = ["about", "check_choices", "convert", "in_unit", "key", "keys_of", "schema_at"]
