"""The client's side of WebSocket in memory, by wsproto; and requests as text."""

from collections.abc import Iterable

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Request

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
"""The sample of RFC 6455 §1.3."""
ACCEPT = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

FIELDS = {
    "Host": "gateway:443",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "mqtt",
}


def request(*, line: str = "GET /$iothub/websocket HTTP/1.1", **changes: str | None) -> bytes:
    """An upgrade request; a change names a field with _ for -, None leaves it out."""
    fields = dict(FIELDS)
    for name, value in changes.items():
        key = next((key for key in FIELDS if key.lower() == name.replace("_", "-").lower()), name.replace("_", "-"))
        fields.pop(key, None)
        if value is not None:
            fields[key] = value
    return "\r\n".join([line, *(f"{name}: {value}" for name, value in fields.items()), "", ""]).encode("latin-1")


class MemoryWebSocket:
    """A client that has sent its request; feed it the answer."""

    def __init__(self, protocols: Iterable[str] = ("mqtt",)) -> None:
        self._connection = WSConnection(ConnectionType.CLIENT)
        self.request = self._connection.send(Request(host="gateway", target="/", subprotocols=list(protocols)))
        self.accepted: AcceptConnection | None = None
        self.closed: CloseConnection | None = None

    def message(self, data: bytes, *, finished: bool = True) -> bytes:
        """The frame of a message, or of a part of one."""
        return self._connection.send(BytesMessage(data=data, message_finished=finished))

    def send(self, event: Event) -> bytes:
        """Any other frame."""
        return self._connection.send(event)

    def read(self, data: bytes) -> bytes:
        """The payload in what the server sent; notes the answer to the request, and Close."""
        self._connection.receive_data(data)
        payload: list[bytes] = []
        for event in self._connection.events():
            if isinstance(event, AcceptConnection):
                self.accepted = event
            elif isinstance(event, CloseConnection):
                self.closed = event
            elif isinstance(event, BytesMessage):
                payload.append(bytes(event.data))
        return b"".join(payload)
