"""One device or module on an AMQP connection, which many may share (iothub_wire.md §2.3, §2.5)."""

from collections.abc import Callable
from typing import Final, Protocol

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.kinds import Symbol
from edgewire.iothub.amqp.addresses import Purpose
from edgewire.message import Identity
from edgewire.session.amqp.events import MessageReceived
from edgewire.session.amqp.link import Link, Role
from standin.documents import JsonObject
from standin.hub import Closing

CONDITIONS: Final[dict[Closing, Symbol]] = {
    Closing.TAKEN_OVER: conditions.STOLEN,
    Closing.NO_LONGER_ALLOWED: conditions.UNAUTHORIZED_ACCESS,
    Closing.TOKEN_EXPIRED: conditions.UNAUTHORIZED_ACCESS,
    Closing.NOT_KEPT: conditions.DEVICE_CONTAINER_THROTTLED,
    Closing.THROTTLED: conditions.DEVICE_CONTAINER_THROTTLED,
    Closing.SHUT_DOWN: conditions.CONNECTION_FORCED,
}
"""What a peer is told; which of them IoT Hub gives for a second connection is not written down."""

Key = tuple[Purpose, Role]
"""What an identity has one link for at a time."""

DIRECTIONS: Final[dict[Purpose, frozenset[Role]]] = {
    Purpose.EVENTS: frozenset({Role.RECEIVER}),
    Purpose.DEVICEBOUND: frozenset({Role.SENDER}),
    Purpose.METHODS: frozenset(Role),
    Purpose.TWIN: frozenset(Role),
}
"""Our end of the links that a device may have; a module receives on the address of its telemetry, too."""


def serves(who: Identity, key: Key) -> bool:
    """Whether there is such a link for this identity."""
    purpose, role = key
    return role in DIRECTIONS[purpose] or (purpose is Purpose.EVENTS and who.module is not None)


class Connection(Protocol):
    """The connection as its clients see it."""

    def cut(self, who: Identity, reason: Closing) -> None:
        """Detach all links of this identity; it leaves the hub."""

    def abort(self) -> None:
        """End the connection as a cut cable does."""


class AmqpClient:
    """What the hub knows of one identity on a connection. Implements `hub.Client`.

    Nothing is sent to it: C2D, inputs, methods and twins over AMQP are issue 5's.
    """

    def __init__(self, connection: Connection, who: Identity) -> None:
        self._connection = connection
        self._who = who
        self.links: dict[Key, Link] = {}

    @property
    def identity(self) -> Identity:
        """Who this is."""
        return self._who

    def close(self, reason: Closing) -> None:
        """Detach its links; its neighbours on the connection stay."""
        self._connection.cut(self._who, reason)

    def abort(self) -> None:
        """End the connection as a cut cable does: there is no smaller way to do that."""
        self._connection.abort()

    def send_desired(self, patch: JsonObject) -> None:
        """It is not notified over AMQP."""

    def send_method(self, request_id: str, name: str, payload: bytes) -> bool:  # noqa: ARG002 - the hub's interface
        """It takes no methods over AMQP."""
        return False

    def send_inputs(self) -> None:
        """It is sent no inputs over AMQP."""

    def send_devicebound(self) -> None:
        """It is sent no messages from the cloud over AMQP."""


class Attachment:
    """What a link is to the stand-in: kept as `link.owner`. `take` gets its messages."""

    __slots__ = ("client", "key", "take")

    def __init__(self, client: AmqpClient | None, key: Key | None, take: Callable[[MessageReceived], None]) -> None:
        self.client = client
        self.key = key
        self.take = take
