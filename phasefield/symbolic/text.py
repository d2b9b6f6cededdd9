"""The text of an expression as a syntax tree, and errors that point into it."""

from __future__ import annotations

import ast
import warnings
from typing import NoReturn

from phasefield.errors import ExpressionError

MAX_LENGTH = 10_000  # characters of one expression
MAX_NODES = 5_000  # operations, names and numbers in it


class Text:
    """A text and where in it one is.

    Args:
        text: the expression; line breaks count as blanks.
        key: the configuration key that holds it.
    """

    def __init__(self, text: str, key: str) -> None:
        self.text, self.key = text, key

    def tree(self) -> ast.expr:
        """The syntax tree.

        Raises:
            ExpressionError: the text is no expression, too long or too deep.
        """
        if len(self.text) > MAX_LENGTH:
            self.fail(MAX_LENGTH, f"the expression is longer than {MAX_LENGTH} characters")
        for position, char in enumerate(self.text):
            if char == "#":
                self.fail(
                    position, "comments are not allowed inside an expression", "move it to a line of its own in YAML"
                )
            if not char.isprintable() and char not in "\t\r\n":
                self.fail(position, f"invalid character U+{ord(char):04X}")
        # One blank per line break keeps every position, and spares us Python's rules on indentation.
        blanked = self.text.translate(dict.fromkeys(map(ord, "\t\r\n"), " "))
        source = blanked.lstrip(" ")
        self.start, self.utf8 = len(blanked) - len(source), source.encode()
        if not source:
            self.fail(0, "the expression is empty")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                root = ast.parse(source, mode="eval").body
        except SyntaxError as error:
            position = min(self.start + max((error.offset or 1) - 1, 0), len(self.text))
            self.fail(
                position, f"cannot read this: {error.msg.split(';')[0]}", "check the parentheses; a product needs *"
            )
        except (RecursionError, MemoryError, ValueError):
            self.fail(self.start, "the expression is nested too deeply")
        if sum(isinstance(n, ast.expr) for n in ast.walk(root)) > MAX_NODES:
            self.fail(self.start, f"the expression has more than {MAX_NODES} operations, names and numbers")
        return root

    def fail(self, at: ast.expr | ast.keyword | int, problem: str, hint: str = "") -> NoReturn:
        """Refuses the expression, pointing at a node or a character."""
        position = at if isinstance(at, int) else self.position(at.col_offset)
        # One column per character, and nothing that a terminal refuses.
        shown = "".join(c if c.isprintable() or c == "\n" else " " if c in "\t\r" else "\ufffd" for c in self.text)
        raise ExpressionError(self.key, shown, position, problem, hint) from None

    def position(self, byte: int | None) -> int:
        """Which character of the text an offset in a node means."""
        return self.start + len(self.utf8[:byte].decode())

    def after(self, node: ast.expr) -> int:
        """Position of the operator, dot or bracket that follows a node and the parentheses around it."""
        end = self.position(node.end_col_offset)
        rest = self.text[end:]
        return end + len(rest) - len(rest.lstrip(" \t\r\n)"))
