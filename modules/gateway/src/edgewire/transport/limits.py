"""What one listener allows its peers; every limit by name, with its reason."""

from dataclasses import dataclass
from typing import Final

ACCEPT_RETRY_S: Final = 1.0
"""How long accepting rests when the process is out of file descriptors: the queue in the kernel keeps the others."""

ACCEPT_BATCH: Final = 64
"""Connections taken in one turn of the loop, so that a storm of them leaves time for the connected."""

DISPLACEABLE_AFTER_S: Final = 1.0
"""A handshake younger than this is not displaced by a newer one: an honest peer answers within a round trip."""

TLS_PIECE: Final = 65_536
"""Bytes of the peer handled in one turn over TLS; bounds what the memory BIO of a connection grows to."""

WEBSOCKET_PIECE: Final = 16_384
"""The same over WebSocket: frames are taken apart in Python, and 16 KiB may hold 2,700 of them (some 30 ms)."""


PLAIN_PIECE: Final = 262_144
"""The same over plain TCP: what asyncio reads at once, so that nothing is copied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportLimits:
    """Limits of one listener."""

    backlog: int = 512
    """Connections that wait in the kernel: a site reconnecting at once after a power cut must fit."""
    max_connections: int = 10_000
    """Above this, new connections are closed at once; each costs a descriptor and up to 31 kB."""
    max_handshakes_per_address: int = 512
    """Connections of one address that have not finished their handshakes. Large enough for boards behind one NAT."""
    handshake_timeout_s: float = 20.0
    """For TLS and WebSocket together, from accept. An ESP8266 needs several seconds for an RSA handshake."""
    close_timeout_s: float = 3.0
    """For the last bytes to leave and the peer to close its side; after that the connection is cut."""
    sending_high_water: int = 65_536
    """Bytes not taken by the peer from which the owner is told to stop sending."""
    max_buffered: int = 2_097_152
    """Bytes not taken by the peer at which the connection is cut: 8 of the largest messages (256 KiB)."""
    max_http_head_bytes: int = 16_384
    """Request line and header fields of the first request on a WebSocket port. That of a device which speaks plain HTTP
    carries a token and the properties of a message: as much as `HttpLimits.max_head_bytes`."""
    max_websocket_message_bytes: int = 4_194_304
    """One WebSocket message. The session limits its own packets; several may come in one message."""
    max_idle_frames: int = 256
    """WebSocket frames without data (pings, empty ones) between two with data, in one piece of input."""
