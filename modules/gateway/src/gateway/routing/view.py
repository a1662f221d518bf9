"""What conditions see of an envelope, worked out once for all messages that share it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from edgewire.message import Envelope, MessageSource
from gateway.routing.body import codec_of
from gateway.routing.text import folded
from gateway.routing.values import NO_TEXT, Value


@dataclass(slots=True)
class View:
    """What conditions read, besides the body.

    `properties` are by folded name, `source` is what FROM is compared with, folded too, `codec` is the body's.
    `shadows`: an application property begins with `$`, so it may win over a system property or a body value.
    """

    # Not frozen, though nothing changes it: where envelopes do not repeat, one is built for every message, and a
    # frozen one takes three times as long.

    properties: Mapping[str, Value]
    system: Mapping[str, Value]
    source: str
    codec: str | None
    shadows: bool


def source_of(envelope: Envelope) -> str:
    """The path that FROM is compared with (edgehub.md §2.1): always with a '/' at both ends."""
    path = f"/{envelope.source.value}/"
    module = envelope.sender.module
    if envelope.source is not MessageSource.TELEMETRY or module is None:
        return path
    output = envelope.system.get("outputName")
    return f"{path}modules/{module}/" + (f"outputs/{output}/" if output else "")


_LEAF_SOURCE: Final = "/MESSAGES/"
_EVERYTHING: Final = "/"
_CONNECTION_STATE_SOURCE: Final = folded(f"/{MessageSource.CONNECTION_STATE.value}/")


def view_of(envelope: Envelope) -> View:
    """The view of an envelope."""
    properties: dict[str, Value] = {}
    shadows = False
    for name, value in envelope.properties.items():
        properties[folded(name)] = NO_TEXT if value is None else value
        shadows = shadows or name[:1] == "$"
    system = envelope.system
    leaf = envelope.sender.module is None and envelope.source is MessageSource.TELEMETRY
    return View(
        properties,
        system,
        _LEAF_SOURCE if leaf else folded(source_of(envelope)),
        codec_of(system.get("contentType"), system.get("contentEncoding")),
        shadows,
    )


def covers(prefix: str, source: str) -> bool:
    """Whether a FROM takes messages of this source.

    `/*` takes what it takes at edgeHub, which has no connection states: they go only where a route names them.
    """
    return source.startswith(prefix) and (prefix != _EVERYTHING or not source.startswith(_CONNECTION_STATE_SOURCE))


def source_prefix(path: str) -> str:
    """The path of a FROM, as it is compared: without its '*' at the end, with one '/', folded (edgehub.md §2.1)."""
    trimmed = path.rstrip("*")
    return folded(trimmed.removesuffix("/") + "/")
