"""From a request to the messages of its authenticated sender, or the reason why not."""

from typing import Final

from edgewire.errors import ProtocolError
from edgewire.iothub.http.batch import Content, is_batch, read_batch
from edgewire.iothub.http.properties import read_headers
from edgewire.iothub.limits import MAX_MESSAGE_BYTES
from edgewire.iothub.messages import NO_MARKS, envelope_for, passing_size
from edgewire.message import Identity, Message, Properties
from edgewire.session.http.events import RequestReceived
from gateway.observe.head import RefusedMessage

TOO_LARGE: Final = 413


class RefusedTelemetryError(Exception):
    """The messages cannot be taken, none of them; the text is for the device and for the log."""

    def __init__(self, reason: RefusedMessage, status: int, detail: str) -> None:
        super().__init__(reason, status, detail)
        self.reason = reason
        self.status = status
        self.detail = detail


def read_messages(sender: Identity, request: RequestReceived) -> list[Message]:
    """The messages in a request, one or those of a batch. Raises RefusedTelemetryError."""
    malformed = RefusedMessage.MALFORMED_PROPERTIES
    try:
        if is_batch(request.headers.get("Content-Type")):
            malformed = RefusedMessage.MALFORMED_MESSAGE
            contents = read_batch(request.body)
        else:
            contents = [Content(read_headers(request.headers.items()), request.body)]
    except ProtocolError as error:
        if error.reply == TOO_LARGE:
            raise RefusedTelemetryError(RefusedMessage.TOO_LARGE, TOO_LARGE, error.what) from error
        raise RefusedTelemetryError(malformed, 400, error.what) from error
    return [message_of(sender, content) for content in contents]


def message_of(sender: Identity, content: Content, *, marks: Properties = NO_MARKS) -> Message:
    """The message that `sender` sends with this content, and with `marks`. Raises RefusedTelemetryError."""
    envelope = envelope_for(sender, content.bag, marks=marks)
    try:
        size = passing_size(envelope) + len(content.body)
    except ProtocolError as error:
        raise RefusedTelemetryError(RefusedMessage.TOO_LARGE, TOO_LARGE, error.what) from error
    if size > MAX_MESSAGE_BYTES:
        what = (
            f"it counts {size} bytes with its properties and room for its sender's names; the limit is "
            f"{MAX_MESSAGE_BYTES}"
        )
        raise RefusedTelemetryError(RefusedMessage.TOO_LARGE, TOO_LARGE, what)
    return Message(envelope, content.body)
