"""What conditions see of an envelope, worked out once for all messages that share it."""

from collections.abc import Mapping
from dataclasses import dataclass

from edgewire.message import Envelope, MessageSource
from gateway.routing.body import codec_of
from gateway.routing.text import folded
from gateway.routing.values import NO_TEXT, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Properties by folded name, the source that FROM matches (folded too), and the codec of the body.

    `shadows`: an application property begins with `$`, so it may win over a system property or a body value.
    """

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


def view_of(envelope: Envelope) -> View:
    """The view of an envelope."""
    properties: dict[str, Value] = {
        folded(name): NO_TEXT if value is None else value for name, value in envelope.properties.items()
    }
    system: dict[str, Value] = {folded(name): value for name, value in envelope.system.items()}
    kind, encoding = system.get("CONTENTTYPE"), system.get("CONTENTENCODING")
    return View(
        properties=properties,
        system=system,
        source=folded(source_of(envelope)),
        codec=codec_of(
            kind if isinstance(kind, str) else None,
            encoding if isinstance(encoding, str) else None,
        ),
        shadows=any(name.startswith("$") for name in properties),
    )


def source_prefix(path: str) -> str:
    """The path of a FROM, as it is compared: without its '*' at the end, with one '/', folded (edgehub.md §2.1)."""
    trimmed = path.rstrip("*")
    return folded(trimmed.removesuffix("/") + "/")
