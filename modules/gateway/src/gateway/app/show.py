"""A routed message as one line for a person."""

from typing import Final

from gateway.observe.log import clean
from gateway.observe.tap import Routed

MAX_BODY_CHARS: Final = 100


def shown(routed: Routed) -> str:
    """Sender, the beginning of the body, and each endpoint with the routes that want the message there."""
    sender = str(routed.message.envelope.sender)
    if not routed.routes:
        return f"{sender:<12} {_body(routed.message.body)}  → no route, ends here"
    places = ", ".join(str(delivery.endpoint) for delivery in routed.deliveries)
    return f"{sender:<12} {_body(routed.message.body)}  → {' + '.join(routed.routes)} → {places}"


def _body(body: bytes) -> str:
    text = clean(body[: 4 * MAX_BODY_CHARS].decode("utf-8", "replace"))
    return text if len(text) <= MAX_BODY_CHARS else f"{text[:MAX_BODY_CHARS]}… ({len(body)} bytes)"
