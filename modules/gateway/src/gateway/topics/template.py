"""Texts with places to fill: `{room}`; a brace that is meant itself is written twice."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MAX_TEMPLATE_CHARS: Final = 1_024
"""As long as a pattern may be: there is nothing else to repeat in it."""

_PIECE: Final = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}|[^{}]+")


class TemplateError(ValueError):
    """The text is no template: what is wrong, and what to write instead."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Template:
    """A template as `str.format` fills it: names alone stand in its braces."""

    text: str
    names: frozenset[str]

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with the values in their places."""
        return self.text.format_map(values) if self.names else self.text


def parse_template(text: str) -> Template:
    """The template that a person wrote. Raises TemplateError."""
    if len(text) > MAX_TEMPLATE_CHARS:
        raise TemplateError(f"the text has {len(text)} characters", f"{MAX_TEMPLATE_CHARS} are the most")
    names: set[str] = set()
    pieces: list[str] = []
    at = 0
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            raise _misplaced(text, at)
        if piece[1] is not None:
            names.add(piece[1])
        pieces.append(piece[0])
        at = piece.end()
    if names:
        return Template(text, frozenset(names))
    return Template("".join(pieces).replace("{{", "{").replace("}}", "}"), frozenset())


def _misplaced(text: str, at: int) -> TemplateError:
    end = text.find("}", at)
    if text[at] == "}" or end < 0:
        return TemplateError(
            f"the brace in column {at + 1} has no other", "write {name} for a capture, {{ or }} for a brace itself"
        )
    inside = text[at + 1 : end]
    return TemplateError(
        f"'{inside}' in column {at + 2} is no name of a capture: letters, digits and _, no digit first",
        "write {name} with the name of a capture, {{ for a brace itself",
    )
