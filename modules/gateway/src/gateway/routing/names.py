"""The system properties that a message may have, by edgeHub's names (edgehub.md §2.4)."""

from collections.abc import Mapping
from typing import Final

from gateway.routing.text import folded

SYSTEM_PROPERTIES: Final = (
    *("messageId", "cid", "to", "userId", "ack", "contentType", "contentEncoding", "messageSchema", "creationTime"),
    *("operation", "outputName", "inputName", "connectionDeviceId", "connectionModuleId", "enqueuedTime"),
    *("deliveryCount", "sequenceNumber", "lockToken", "absolute-expiry-time", "iothub-interface-id", "dt-subject"),
    *("modelId", "messageType", "edgeMessageId", "edgeHubOriginInterface", "rpSenderDeviceId", "rpSenderModuleId"),
    *("version", "statusCode"),
)

_BY_FOLDED: Final[Mapping[str, str]] = {folded(name): name for name in SYSTEM_PROPERTIES}


def system_name(name: str) -> str:
    """The spelling under which an envelope holds the system property `name`; its own if it is not known."""
    return _BY_FOLDED.get(folded(name), name)
