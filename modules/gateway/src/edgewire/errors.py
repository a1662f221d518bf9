"""Whose fault it is: the peer's (`ProtocolError`) or ours (`UsageError`)."""


class ProtocolError(Exception):
    """The peer broke a rule of the protocol; answer it with `reply`, if there is one, and close."""

    def __init__(self, what: str, *, reply: int | str | None = None, spec: str = "") -> None:
        """`what` says what was wrong; `reply` is the protocol's own code for it (AMQP: a symbol); `spec` the rule."""
        super().__init__(what)
        self.what = what
        self.reply = reply
        self.spec = spec

    def __str__(self) -> str:
        return f"{self.what} [{self.spec}]" if self.spec else self.what


class UsageError(Exception):
    """We called something wrongly; nothing recovers from it, the task ends."""
