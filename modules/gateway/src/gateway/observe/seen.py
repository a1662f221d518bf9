"""A routed message as somebody sees it: numbered, dated, and written out so that it cannot grow."""

import base64
import codecs
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway.observe.log import without_secrets
from gateway.observe.tap import Routed
from gateway.observe.timeline import iso

MAX_SHOWN_BODY: Final = 2_048
"""Characters of a body that is text, bytes of one that is not."""
MAX_SHOWN_PROPERTIES: Final = 64
MAX_SHOWN_VALUE: Final = 512
"""Characters of a property's name or value: a topic may bring 65,535."""
_NAMES_AND_NUMBERS: Final = 600
"""Bytes that the objects of a message take beside its texts, roughly."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A message that somebody saw. `number` counts all messages that were seen; `at` in seconds since 1970."""

    number: int
    at: float
    routed: Routed

    @property
    def size(self) -> int:
        """What it takes in memory, roughly."""
        message = self.routed.message
        texts = sum(len(name) + len(value or "") for name, value in message.envelope.properties.items())
        return len(message.body) + texts + _NAMES_AND_NUMBERS

    def written(self) -> bytes:
        """The row as JSON; half a character, which a careless program may send in a name, does not stop it."""
        row = self.row()
        try:
            return orjson.dumps(row)
        except TypeError:
            return json.dumps(row).encode("ascii")

    def row(self) -> dict[str, Any]:
        """For programs; texts are cut."""
        message, envelope = self.routed.message, self.routed.message.envelope
        topic = envelope.properties.get("topic")
        return {
            "n": self.number,
            "at": iso(self.at),
            "device": envelope.sender.device,
            "module": envelope.sender.module,
            "source": envelope.source.value,
            "topic": None if topic is None else without_secrets(topic)[:MAX_SHOWN_VALUE],
            "contentType": _cut(envelope.system.get("contentType")),
            "contentEncoding": _cut(envelope.system.get("contentEncoding")),
            "properties": _cut_all(envelope.properties),
            "propertiesCut": _is_cut(envelope.properties),
            "system": _cut_all(envelope.system),
            "bytes": len(message.body),
            **_body(message.body),
            "routes": list(self.routed.routes),
            "endpoints": [str(delivery.endpoint) for delivery in self.routed.deliveries],
        }


def holds(routed: Routed, text: str) -> bool:
    """Whether a message holds this text, by any case: in its sender, its properties or its body."""
    message, wanted = routed.message, text.lower()
    if wanted in str(message.envelope.sender).lower():
        return True
    for name, value in message.envelope.properties.items():
        if wanted in name.lower() or wanted in (value or "").lower():
            return True
    return wanted.encode("utf-8", "replace") in message.body.lower()


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= MAX_SHOWN_VALUE else text[:MAX_SHOWN_VALUE] + "…"


def _cut_all(values: Mapping[str, str | None] | Mapping[str, str]) -> dict[str, str | None]:
    return {_cut(name) or "": _cut(value) for name, value in list(values.items())[:MAX_SHOWN_PROPERTIES]}


def _is_cut(values: Mapping[str, str | None]) -> bool:
    texts: Iterable[str | None] = (*values, *values.values())
    return len(values) > MAX_SHOWN_PROPERTIES or any(len(text or "") > MAX_SHOWN_VALUE for text in texts)


def _body(body: bytes) -> dict[str, Any]:
    """As text if it is any, or else as base64."""
    beginning = body[: 4 * MAX_SHOWN_BODY]
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(beginning, final=len(beginning) == len(body))
    except UnicodeDecodeError:
        shown = body[:MAX_SHOWN_BODY]
        return {
            "body": None,
            "bodyBase64": base64.b64encode(shown).decode("ascii"),
            "bodyCut": len(body) > len(shown),
        }
    is_cut = len(text) > MAX_SHOWN_BODY or len(beginning) < len(body)
    return {"body": text[:MAX_SHOWN_BODY], "bodyBase64": None, "bodyCut": is_cut}
