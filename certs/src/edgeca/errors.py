"""What a person is told, and with which exit code the command ends."""


class CaError(Exception):
    """A wrong call, or a file that cannot be read: exit code 2."""

    exit_code = 2


class Refused(CaError):  # noqa: N818 — an answer, not an accident
    """The answer is no: not found, or it exists already and differs: exit code 1."""

    exit_code = 1
