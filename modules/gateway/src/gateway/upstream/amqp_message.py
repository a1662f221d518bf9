"""A device's message as it leaves on behalf of the device: with an id by which a repetition is known.

Envelopes repeat, ids do not: all before the body is encoded once per envelope and length of id, and the id put in.
"""

from edgewire.iothub.amqp.messages import write_sections
from edgewire.iothub.bag import Bag, Direction
from edgewire.message import Envelope
from gateway.upstream.proxy import Entry


class Form:
    """The encoded sections of an envelope around a message id of `id_chars`; 0 where the id is the envelope's own."""

    __slots__ = ("after", "before", "id_chars")

    def __init__(self, envelope: Envelope, id_chars: int) -> None:
        self.id_chars = id_chars
        self.after = b""
        if not id_chars:
            self.before = _encode(envelope, None)
            return
        # Two ids that differ in every character: what comes before the first difference comes before the id.
        one, two = "0" * id_chars, "1" * id_chars
        encoded, other = _encode(envelope, one), _encode(envelope, two)
        at = next(index for index, (a, b) in enumerate(zip(encoded, other, strict=True)) if a != b)
        self.before, self.after = encoded[:at], encoded[at + id_chars :]


def carry(entry: Entry) -> bytes:
    """The encoded message of `entry`; one without a message id gets the store's entry id, as on the way as the module.

    Whether it is too large is the other end's to say: it counts by its own rules, not by what the encoding takes.
    """
    message = entry.message
    envelope, body = message.envelope, message.body
    message_id = b"" if envelope.system.get("messageId") else entry.entry_id.encode()
    form = envelope.notes.carried
    if not isinstance(form, Form) or form.id_chars != len(message_id):
        form = envelope.notes.carried = Form(envelope, len(message_id))
    size = len(body)
    # A data section: AMQP 1.0 §3.2.6, its binary §1.6.19.
    head = b"\x00Su\xa0" + size.to_bytes(1) if size < 256 else b"\x00Su\xb0" + size.to_bytes(4)
    return b"".join((form.before, message_id, form.after, head, body))


def _encode(envelope: Envelope, message_id: str | None) -> bytes:
    system = envelope.system if message_id is None else {**envelope.system, "messageId": message_id}
    return write_sections(Bag(envelope.properties, system), Direction.FROM_DEVICE)
