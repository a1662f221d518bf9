import pytest

from edgewire.message import identity
from edgewire.session.mqtt.events import Will
from gateway.head.mqtt_wills import BRIDGE_STATE, may_will


@pytest.mark.parametrize(
    ("topic", "may"),
    [
        ("devices/d1/messages/events/", True),
        ("devices/d1/messages/events/a=b", True),
        ("devices/d2/messages/events/", False),
        (f"{BRIDGE_STATE}d1/state", True),
        ("somewhere/else", False),
    ],
)
def test_a_will_is_telemetry_of_its_own_device_or_a_bridges_state(topic: str, may: bool) -> None:  # noqa: FBT001 - a column of the table
    will = Will(topic=topic, payload=b"gone", qos=1, retain=False)
    assert may_will(identity("d1"), will) is may
