"""Gateways of ours directly above and below this one: none may be upstream of its own upstream.

Messages would go round for ever. Each gateway makes itself a name at its start and says it in the open of every AMQP
connection, dialled or dialling. Names prove nothing, and nobody is let in by one: whoever borrows the name of the
gateway above is only refused himself.
"""

import os
from collections.abc import Callable


class Neighbours:
    """Who is above, and whose connections from below stand.

    name: what this gateway calls itself.
    """

    __slots__ = ("_above", "_below", "name")

    def __init__(self) -> None:
        self.name = f"gateway-{os.urandom(16).hex()}"
        self._above = ""
        self._below: dict[object, tuple[str, Callable[[], None]]] = {}

    def is_above(self, name: str) -> bool:
        """Whether a connection comes from this gateway itself, or from the one that it sends to."""
        return name in (self.name, self._above)

    def joined(self, name: str) -> bool:
        """This gateway's way upstream leads to `name`; False if that is itself.

        Connections that came from there before end: both had dialled at once.
        """
        self._above = name
        for from_below, end in tuple(self._below.values()):
            if from_below == name:
                end()
        return name != self.name

    def came(self, connection: object, name: str, end: Callable[[], None]) -> None:
        """A connection came from `name`; `end` is called if that turns out to be above."""
        self._below[connection] = name, end

    def left(self, connection: object) -> None:
        """It is gone."""
        self._below.pop(connection, None)
