"""What clients send before they are let in, counted for all of them together."""

from typing import Final

MAX_BYTES: Final = 8_388_608
"""That all connections together have sent and that waits for their logins: thousands of large CONNECTs would fill the
memory of a small machine, and whoever reaches the port may send them."""
ALWAYS_BYTES: Final = 4_096
"""That each may send all the same: without a will CONNECT has some hundred bytes, and devices are let in meanwhile."""


class Strangers:
    """One for all sessions of a server. Those who hold little are never refused for what others do."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = 0
        """Bytes of all of them."""

    def hold(self, before: int, now: int) -> bool:
        """One that held `before` bytes holds `now`. False if there is no room for that: it is to be refused."""
        self.held += now - before
        return now <= ALWAYS_BYTES or self.held <= MAX_BYTES
