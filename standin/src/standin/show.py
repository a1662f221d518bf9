"""What arrives, as lines for a person."""

from datetime import datetime
from typing import Final
from urllib.parse import quote

from standin.events import Event

MAX_BODY_CHARS: Final = 120
_HIDDEN: Final = frozenset({"connectionDeviceId", "connectionModuleId", "outputName"})
"""System properties that stand elsewhere in the line."""


def event_line(event: Event) -> str:
    """One event on one line: time, number, sender, output, properties, the beginning of the body."""
    time = datetime.fromtimestamp(event.enqueued_at).astimezone().strftime("%H:%M:%S")
    sender = event.device if event.module is None else f"{event.device}/{event.module}"
    output = f" output={event.output}" if event.output else ""
    return f"{time} #{event.sequence} {sender}{output} {_properties(event)}{_body(event.body)}"


def _properties(event: Event) -> str:
    """The properties in brackets; nothing a device sends may move the cursor or start a new line."""
    pairs = [(f"${name}", value) for name, value in event.system.items() if name not in _HIDDEN]
    pairs += [(name, value or "") for name, value in event.properties.items()]
    if not pairs:
        return ""
    return "[" + " ".join(f"{_safe(name)}={_safe(value)}" for name, value in pairs) + "] "


def _body(body: bytes) -> str:
    try:
        text = body[: 4 * MAX_BODY_CHARS].decode()
    except UnicodeDecodeError:
        text = ""
    if body and (not text or not text.isprintable()):
        return f"({len(body)} bytes, no text)"
    if len(text) > MAX_BODY_CHARS:
        return f"{text[:MAX_BODY_CHARS]}… ({len(body)} bytes)"
    return text


def _safe(text: str) -> str:
    return text if text.isprintable() else quote(text)
