"""Console blocks of the pages: `$ ` and a command, below it what it says, where `…` stands for anything."""

import re


def steps(block: str) -> list[tuple[str, str]]:
    """The command lines of a console block, each with the output shown below it."""
    parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)
    assert parts[0] == "", "a console block begins with '$ '"
    return list(zip(parts[1::2], parts[2::2], strict=True))


def wanted_exit(info: str) -> int:
    """The exit code that a block's info string says, as in `console exit=1`; 0 if it says none."""
    return int(info.partition("exit=")[2] or 0)


def pattern_of(output: str) -> str:
    """A regular expression for output as a page shows it: `…` is anything, blanks count as one, ends do not count."""
    return "\n".join(".*".join(map(re.escape, line.split("…"))) for line in tidy(output).splitlines())


def tidy(output: str) -> str:
    """Output without what a page does not show: blanks in a row, and at the ends."""
    return "\n".join(" ".join(line.split()) for line in output.strip().splitlines())


def is_as_shown(output: str, shown: str) -> bool:
    """Whether a command said what its page shows."""
    return re.fullmatch(pattern_of(shown), tidy(output)) is not None
