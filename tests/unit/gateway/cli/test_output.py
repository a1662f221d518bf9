import errno
import io
import os
import sys

import pytest

from gateway.cli.output import Lines, explained


class Full(io.StringIO):
    """A file on a disk that has room for nothing while `full`."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(text)


def test_lines_that_cannot_be_written_stop_nothing_and_are_told_as_soon_as_one_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = Full()
    monkeypatch.setattr(sys, "stdout", disk)
    lines = Lines()
    for line in ("a", "b"):
        lines.say(line)
    lines.tell_lost(lines.say)
    disk.full = False
    lines.tell_lost(lines.say)
    lines.tell_lost(lines.say)
    lines.say("c")
    lines.close()
    assert disk.getvalue() == "2 lines before this one could not be written: No space left on device\nc\n"


def test_a_program_without_standard_output_ends_as_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    lines = Lines()
    lines.say("a")
    lines.close()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "no room"), "standard output: no room. Make room, or write elsewhere, and do it again"),
        (
            PermissionError(errno.EACCES, "closed", "/there"),
            "'/there': closed. See that it is there, and that this user may use it, and do it again",
        ),
    ],
)
def test_an_error_says_what_to_do(error: OSError, told: str) -> None:
    assert explained(error) == told
