"""Telemetry of one link: transfers and batches as messages, read once where they repeat themselves."""

from collections.abc import Sequence
from typing import Final

from edgewire.codec.amqp.conditions import DECODE_ERROR, MESSAGE_SIZE_EXCEEDED
from edgewire.codec.amqp.message import MESSAGE_FORMAT_BATCH, read_batch, read_message
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.messages import read_telemetry
from edgewire.iothub.limits import MAX_BATCH_BYTES, MAX_BATCH_MESSAGES, MAX_MESSAGE_BYTES
from edgewire.iothub.messages import envelope_for, envelope_size
from edgewire.message import Envelope, Identity, Message

_DATA: Final = b"\x00\x53\x75"
"""The descriptor of a data section in its shortest form. Spec: AMQP 1.0 §3.2.6."""
_VBIN8: Final = 0xA0
_VBIN32: Final = 0xB0


class TelemetryReader:
    """Reads what one identity sends on one link.

    Messages whose sections before the body are the same bytes as those of the message before share its envelope: they
    are compared, not read.
    """

    __slots__ = ("_before", "_envelope", "_room", "_sender")

    def __init__(self, sender: Identity) -> None:
        self._sender = sender
        self._before = b""
        self._envelope: Envelope | None = None
        self._room = 0
        """What the body of a message with this envelope may take."""

    def read(self, message_format: int, payload: bytes) -> Sequence[Message]:
        """The messages of one transfer, at least one. Raises ProtocolError for all of it if one is refused."""
        if message_format != MESSAGE_FORMAT_BATCH:
            return (self._read(payload),)
        if len(payload) > MAX_BATCH_BYTES:
            what = f"the batch has {len(payload)} bytes; the limit is {MAX_BATCH_BYTES}"
            raise ProtocolError(what, reply=MESSAGE_SIZE_EXCEEDED)
        parts = read_batch(payload)
        if not parts:
            raise ProtocolError("the batch is empty", reply=DECODE_ERROR)
        if len(parts) > MAX_BATCH_MESSAGES:
            what = f"the batch has {len(parts)} messages; the limit is {MAX_BATCH_MESSAGES}"
            raise ProtocolError(what, reply=MESSAGE_SIZE_EXCEEDED)
        return [self._read(part) for part in parts]

    def _read(self, data: bytes) -> Message:
        envelope = self._envelope
        before = self._before
        if envelope is None or not data.startswith(before) or (body := data_after(data, len(before))) is None:
            envelope, body = self._read_whole(data)
        if len(body) > self._room:
            size = len(body) + MAX_MESSAGE_BYTES - self._room
            what = f"the message counts {size} bytes with its properties; the limit is {MAX_MESSAGE_BYTES}"
            raise ProtocolError(what, reply=MESSAGE_SIZE_EXCEEDED)
        return Message(envelope, body)

    def _read_whole(self, data: bytes) -> tuple[Envelope, bytes]:
        message = read_message(data)
        content = read_telemetry(message)
        envelope = envelope_for(self._sender, content.bag)
        body = content.body
        self._room = MAX_MESSAGE_BYTES - envelope_size(envelope)
        self._envelope = None
        if message.body is body and message.footer is None:
            head = 2 if len(body) < 256 else 5
            before = data[: len(data) - len(body) - head]
            # Not so for a body of several sections, or one that is written longer than it need be.
            if before.endswith(_DATA) and data_after(data, len(before)) == body:
                self._before = before
                self._envelope = envelope
        return envelope, body


def data_after(data: bytes, at: int) -> bytes | None:
    """The bytes of the binary at `at`, if it is all that follows there. Spec: AMQP 1.0 §1.6.19."""
    code = data[at] if at < len(data) else None
    start = at + (2 if code == _VBIN8 else 5)
    if code not in (_VBIN8, _VBIN32) or int.from_bytes(data[at + 1 : start], "big") != len(data) - start:
        return None
    return data[start:]
