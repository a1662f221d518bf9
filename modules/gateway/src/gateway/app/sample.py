"""A message written down as JSON, for `explain` and for the tests that stand beside routes."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, Final

from edgewire.message import Envelope, Message, MessageSource, identity
from gateway.app.document_rows import Anything, Entries, Items, Row, Text, names
from gateway.routing.names import system_name
from gateway.routing.problems import near_match

DEFAULT_DEVICE: Final = "device"
"""Who sends a sample that does not say it."""

BODY_ROWS: Final = (
    Row(name="body", shape=Anything(), help="the body: a text as it stands, anything else as JSON"),
    Row(name="bodyBase64", shape=Text(), help="or its bytes in Base64"),
)
NOTE_ROWS: Final = (
    Row(name="id", shape=Anything(), help="for whoever reads it"),
    Row(name="name", shape=Anything(), help="for whoever reads it"),
    Row(name="comment", shape=Anything(), help="for whoever reads it"),
)
ROWS: Final = (
    *BODY_ROWS,
    Row(name="properties", shape=Entries(shape=Text()), help="application properties"),
    Row(name="systemProperties", shape=Entries(shape=Text()), help="as contentType and contentEncoding"),
    Row(name="device", shape=Text(), default=DEFAULT_DEVICE, help="who sends it"),
    Row(name="module", shape=Text(), help="the module of that device which sends it"),
    Row(name="output", shape=Text(), help="by this output"),
    Row(name="source", shape=Text(), help="what it is, where it is no telemetry: routes.md"),
    *NOTE_ROWS,
)
EXPECT_ROW: Final = Row(
    name="expect",
    shape=Items(shape=Text(examples=("$upstream",))),
    help="the endpoints it must go to, and no other; [] for none",
)
"""Of a test that stands beside routes."""
_JSON_BODY: Final = {"contentType": "application/json", "contentEncoding": "utf-8"}


class SampleError(Exception):
    """The JSON describes no message; `where` is the key it is about, and the text says what to write."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}" if where else what)


def read_sample(sample: Any) -> Message:
    """The message that `sample` describes.

    `body` is text, sent as UTF-8 (or `bodyBase64`), or any other JSON value, which is written as JSON and marked as
    such unless `systemProperties` say otherwise. A text body is never marked: what the topic does not say, it lacks.

    Raises SampleError.
    """
    if not isinstance(sample, dict):
        raise SampleError("", "a message is a JSON object with 'body', 'properties' and 'systemProperties'")
    _check_keys(sample)
    body, defaults = body_of(sample)
    system = {**defaults, **_system(sample.get("systemProperties"))}
    for key, name in (("device", "connectionDeviceId"), ("module", "connectionModuleId"), ("output", "outputName")):
        if sample.get(key) is not None:
            system[name] = text_of(sample[key], key)
    system.setdefault("connectionDeviceId", DEFAULT_DEVICE)
    envelope = Envelope(
        sender=identity(system["connectionDeviceId"], system.get("connectionModuleId")),
        properties=_properties(sample.get("properties")),
        system=system,
        source=_source(sample.get("source")),
    )
    return Message(envelope, body)


def _check_keys(sample: Mapping[str, Any]) -> None:
    for key in sample:
        if key not in names(ROWS):
            near = near_match(key, names(ROWS))
            hint = f"did you mean '{near}'?" if near else "the keys are " + ", ".join(names(ROWS)[:8])
            raise SampleError(key, f"a message has no '{key}'; {hint}")


def body_of(sample: Mapping[str, Any]) -> tuple[bytes, Mapping[str, str]]:
    """The bytes, and the system properties that go with a body given as JSON. Raises SampleError."""
    if "body" in sample and "bodyBase64" in sample:
        raise SampleError("bodyBase64", "give either 'body' or 'bodyBase64'")
    if "bodyBase64" in sample:
        try:
            return base64.b64decode(text_of(sample["bodyBase64"], "bodyBase64"), validate=True), {}
        except binascii.Error:
            raise SampleError("bodyBase64", "this is not base64") from None
    body = sample.get("body", "")
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass"), {}
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"), _JSON_BODY


def text_of(value: Any, where: str) -> str:
    """`value` if it is text. Raises SampleError."""
    if not isinstance(value, str):
        shown = json.dumps(value)[:40]
        raise SampleError(where, f'{shown} is not text; write "{shown}"' if _is_plain(value) else "this must be text")
    return value


def _is_plain(value: Any) -> bool:
    return isinstance(value, (int, float))


def object_of(value: Any, where: str) -> Mapping[str, Any]:
    """`value` if it is an object; null is an empty one. Raises SampleError."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SampleError(where, 'this must be an object: {"name": "value"}')
    return value


def _properties(value: Any) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name, text in object_of(value, "properties").items():
        if name.lower() in {other.lower() for other in found}:
            raise SampleError(f"properties.{name}", "two properties of one message may not differ only in case")
        found[name] = None if text is None else text_of(text, f"properties.{name}")
    return found


def _system(value: Any) -> dict[str, str]:
    entries = object_of(value, "systemProperties").items()
    return {
        system_name(name): text_of(text, f"systemProperties.{name}")
        for name, text in entries
        if text is not None  # an absent one
    }


def _source(value: Any) -> MessageSource:
    if value is None:
        return MessageSource.TELEMETRY
    for source in MessageSource:
        if isinstance(value, str) and value.strip("/").lower() == source.value.lower():
            return source
    known = " or ".join(f"'{source.value}'" for source in MessageSource)
    raise SampleError("source", f"this must be {known}; the module and its output are keys of their own")
