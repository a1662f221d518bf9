"""Messages that the gateway makes of others: their envelope, and how the others stand in a body.

`messageId` of what is made comes from the route and the entries it is made of: a batch's tells the first, the last and
how many, an aggregate's the first and the window. So what comes again after a crash is known by it.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from edgewire.message import Envelope, Identity, Message
from gateway.routing.body import codec_of
from gateway.sending.how import Items
from gateway.store.values import Entry

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"

ROUTE: Final = "sendRoute"
COUNT: Final = "sendCount"
KIND: Final = "sendKind"

_LINE_ENDS: Final = bytes.maketrans(b"\r\n", b"  ")
_IN_THE_ITEM: Final = frozenset({"connectionDeviceId", "connectionModuleId", "messageId"})
"""System properties that an item tells by names of its own."""
_OF_THE_BODY: Final = frozenset({"contentType", "contentEncoding"})
"""Those that say what an item shows, where its body stands there as JSON."""


@dataclass(frozen=True, slots=True)
class Made:
    """A message, and the entries that are settled once it is stored."""

    message: Message
    entries: tuple[Entry, ...]


def made_id(first: str, route: str, rest: str) -> str:
    """The id of what a route makes: two routes may make something of the same messages."""
    return f"{first}:{hashlib.blake2b(route.encode('utf-8', 'surrogatepass'), digest_size=4).hexdigest()}:{rest}"


def made_message(
    sender: Identity, body: bytes, *, message_id: str, content_type: str, properties: Mapping[str, str]
) -> Message:
    """A message that the gateway made, from `sender`."""
    system = {
        "connectionDeviceId": str(sender.device),
        "messageId": message_id,
        "contentType": content_type,
        "contentEncoding": "utf-8",
    }
    if sender.module is not None:
        system["connectionModuleId"] = sender.module
    return Message(Envelope(sender=sender, properties=dict(properties), system=system), body)


def as_it_is(entry: Entry) -> Made:
    """The message of an entry by itself, with an id that stays the same when it comes again."""
    envelope = entry.message.envelope
    if envelope.system.get("messageId"):
        return Made(entry.message, (entry,))
    system = {**envelope.system, "messageId": entry.entry_id}
    named = Envelope(sender=envelope.sender, properties=envelope.properties, system=system, source=envelope.source)
    return Made(Message(named, entry.message.body), (entry,))


def item(entry: Entry, items: Items) -> bytes:
    """What a batch has of a message: JSON on one line."""
    readable = _as_json(entry.message)
    if items is Items.BODIES:
        return readable if readable is not None else dumped(_unread(entry.message.body))
    envelope = entry.message.envelope
    found: dict[str, Any] = {"deviceId": envelope.sender.device}
    if envelope.sender.module is not None:
        found["moduleId"] = envelope.sender.module
    found["messageId"] = envelope.system.get("messageId") or entry.entry_id
    found["enqueuedTime"] = shown_time(entry.received_at_ms)
    found["properties"] = dict(envelope.properties)
    told = _IN_THE_ITEM if readable is None else _IN_THE_ITEM | _OF_THE_BODY
    system = {name: value for name, value in envelope.system.items() if name not in told}
    if system:
        found["systemProperties"] = system
    if readable is not None:
        return b'%b,"body":%b}' % (dumped(found)[:-1], readable)
    unread = _unread(entry.message.body)
    return dumped({**found, **(unread if isinstance(unread, dict) else {"body": unread})})


def shown_time(at_ms: int) -> str:
    """A time as IoT Hub writes it."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def dumped(value: Any) -> bytes:
    """JSON, whatever texts it holds."""
    try:
        return orjson.dumps(value)
    except TypeError:  # half a surrogate pair, as a device's JSON escapes may make: orjson writes none
        return json.dumps(value, separators=(",", ":")).encode()


def _as_json(message: Message) -> bytes | None:
    """The body as it came, if it says that it is JSON and is: numbers keep all their digits."""
    system = message.envelope.system
    if codec_of(system.get("contentType"), system.get("contentEncoding")) != "utf-8":
        return None
    try:
        orjson.loads(message.body)
    except orjson.JSONDecodeError:
        return None
    return message.body.translate(_LINE_ENDS)  # in JSON a line end is a blank: inside of a text it is escaped


def _unread(body: bytes) -> str | dict[str, str]:
    """A body that is no JSON: text if it is some, else base64."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {"bodyBase64": base64.b64encode(body).decode()}
