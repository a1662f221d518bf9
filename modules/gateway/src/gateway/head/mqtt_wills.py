"""What a device may leave as its will."""

from typing import Final

from edgewire.message import Identity
from edgewire.session.mqtt.events import Will
from gateway.head.publications import Publications, RefusedPublishError

BRIDGE_STATE: Final = "$SYS/broker/connection/"
"""Where mosquitto's bridge announces itself, before anything else; closing on it makes the bridge loop for ever."""


def may_will(owner: Identity, will: Will) -> bool:
    """A will must be the device's own telemetry; a bridge's state is dropped when its time comes."""
    if will.topic.startswith(BRIDGE_STATE):
        return True
    try:
        Publications(owner).will_message(will)
    except RefusedPublishError:
        return False
    return True
