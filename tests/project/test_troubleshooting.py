"""docs/troubleshooting.md: each message of the gateway that it quotes is one that the sources have."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from project_sources import ROOT, source_files

PAGE: Final = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
FIELD: Final = "\x00"
"""Stands for a field of an f-string."""
MIN_PIECE: Final = 6
"""Shorter pieces between two fields prove nothing."""


def literals(tree: ast.AST) -> Iterator[str]:
    """All texts, with a mark in the place of each field."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(
                part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else FIELD
                for part in node.values
            )


@cache
def texts() -> str:
    sources = [path.read_text(encoding="utf-8") for _, path in source_files()]
    return "\n".join(text for source in sources for text in literals(ast.parse(source)))


def quoted() -> list[str]:
    """What stands between backquotes in the first column and looks like a line of the log."""
    rows = [line.split(" | ")[0] for line in PAGE.splitlines() if line.startswith("| ")]
    found = [code for row in rows for code in re.findall(r"`([^`]+)`", row)]
    return [code for code in found if "…" in code]


def test_there_are_messages_enough() -> None:
    assert len(quoted()) >= 30


def test_each_message_that_is_quoted_is_in_the_sources() -> None:
    unknown = []
    for message in quoted():
        # The advice behind "was not let in" has a table of its own.
        pieces = [piece.strip(" '") for piece in re.split(r"…|(?<=was not let in: )", message)]
        missing = [piece for piece in pieces if len(piece) >= MIN_PIECE and piece not in texts()]
        if missing or not any(len(piece) >= MIN_PIECE for piece in pieces):
            unknown.append((message, missing))
    assert not unknown, "\n".join(map(str, unknown))
