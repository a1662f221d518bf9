"""The server's side of a connection as tables; what is not in them is refused. Spec: MQTT 3.1.1 §4, MQTT 5 §4."""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from edgewire.codec.mqtt.packets import PacketType


class State(Enum):
    """How far a connection has come."""

    CONNECT_AWAITED = "connect awaited"
    CONNECT_RECEIVED = "connect received"
    """CONNECT waits for `accept` or `refuse`; what follows it waits too."""
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    """Dead: nothing is read and nothing more is sent."""


class Call(Enum):
    """What the owner of a session asks of it, as far as it needs a state."""

    ACCEPT = "accept"
    REFUSE = "refuse"
    SEND = "send"
    DISCONNECT = "disconnect"


RECEIVED: Final[Mapping[tuple[State, PacketType], State]] = {
    (State.CONNECT_AWAITED, PacketType.CONNECT): State.CONNECT_RECEIVED,
    (State.CONNECTED, PacketType.PUBLISH): State.CONNECTED,
    (State.CONNECTED, PacketType.PUBACK): State.CONNECTED,
    (State.CONNECTED, PacketType.SUBSCRIBE): State.CONNECTED,
    (State.CONNECTED, PacketType.UNSUBSCRIBE): State.CONNECTED,
    (State.CONNECTED, PacketType.PINGREQ): State.CONNECTED,
    (State.CONNECTED, PacketType.DISCONNECT): State.DISCONNECTED,
}
"""What each packet does. PUBREC, PUBREL and PUBCOMP belong to QoS 2, which is neither taken nor sent here; AUTH to an
authentication method, which CONNECT is refused for; the rest is a server's to send."""

CALLED: Final[Mapping[tuple[State, Call], State]] = {
    (State.CONNECT_RECEIVED, Call.ACCEPT): State.CONNECTED,
    (State.CONNECT_RECEIVED, Call.REFUSE): State.DISCONNECTED,
    (State.CONNECTED, Call.SEND): State.CONNECTED,
    (State.CONNECTED, Call.DISCONNECT): State.DISCONNECTED,
    # Nothing may be said before CONNACK (MQTT5-3.14.0-1): the connection just closes.
    (State.CONNECT_AWAITED, Call.DISCONNECT): State.DISCONNECTED,
    (State.CONNECT_RECEIVED, Call.DISCONNECT): State.DISCONNECTED,
    # The connection may end while its owner asks others: late calls do nothing.
    (State.DISCONNECTED, Call.ACCEPT): State.DISCONNECTED,
    (State.DISCONNECTED, Call.REFUSE): State.DISCONNECTED,
    (State.DISCONNECTED, Call.SEND): State.DISCONNECTED,
    (State.DISCONNECTED, Call.DISCONNECT): State.DISCONNECTED,
}
"""What each call does; one that is not here is a mistake of ours."""


def taken_in(state: State) -> frozenset[PacketType]:
    """The packets that this state takes."""
    return frozenset(kind for (where, kind) in RECEIVED if where is state)
