"""What is wrong with a route, or a trap in it, said so that a person can repair it (style §13.7)."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.routing.tree import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteProblem:
    """One error or warning: where it stands (line and column from 1), what is wrong, and what to write instead."""

    route: str
    line: int
    column: int
    length: int
    message: str
    fix: str
    source_line: str = ""

    def place(self) -> str:
        """`column 24`, with the line where the route has several."""
        return f"column {self.column}" if self.line == 1 else f"line {self.line}, column {self.column}"

    def rendered(self) -> str:
        """The message, the line it is about with a mark under the place, and the fix."""
        text = f"route '{self.route}', {self.place()}: {self.message}"
        if self.source_line:
            shown = self.source_line.replace("\t", " ")
            room = max(1, len(shown) - self.column + 2)
            mark = " " * (self.column - 1) + "^" * max(1, min(self.length, room))
            text += f"\n  {shown}\n  {mark}"
        return f"{text}\n  {self.fix}" if self.fix else text


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem as a stage of the compiler sees it: a span of the text, not yet a line and a column."""

    span: Span
    message: str
    fix: str = ""


class SyntaxRefused(Exception):  # noqa: N818 - it is an answer about the operator's text, not a fault of ours
    """The text is no route; `finding` says why. Never leaves this room."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def located(route: str, text: str, finding: Finding) -> RouteProblem:
    """`finding` with its line and column in `text`."""
    start = min(finding.span.start, len(text))
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", start)
    source_line = text[line_start : line_end if line_end >= 0 else len(text)].rstrip("\r")
    return RouteProblem(
        route=route,
        line=text.count("\n", 0, start) + 1,
        column=start - line_start + 1,
        length=max(1, finding.span.end - start),
        message=finding.message,
        fix=finding.fix,
        source_line=source_line,
    )


def near_match(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be, in its own spelling."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    plain = {candidate.replace("_", ""): candidate for candidate in by_lower}
    lowered = name.lower()
    if lowered.replace("_", "") in plain:
        return by_lower[plain[lowered.replace("_", "")]]
    swapped = [candidate for candidate in by_lower if sorted(candidate) == sorted(lowered)]
    found = swapped or difflib.get_close_matches(lowered, by_lower, n=1, cutoff=0.7)
    return by_lower[found[0]] if found else None
