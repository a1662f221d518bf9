import pytest

from edgewire.codec.mqtt.connect import Protocol, read_connect, read_protocol, write_connect
from edgewire.codec.mqtt.packets import Connect
from edgewire.errors import ProtocolError, UsageError
from support.mqtt_vectors import wire


@pytest.mark.parametrize(
    ("body", "protocol", "exists"),
    [
        ("0004 'MQTT' 04", Protocol("MQTT", 4, bridge=False), True),
        ("0004 'MQTT' 84", Protocol("MQTT", 4, bridge=True), True),
        ("0006 'MQIsdp' 03", Protocol("MQIsdp", 3, bridge=False), True),
        ("0006 'MQIsdp' 83", Protocol("MQIsdp", 3, bridge=True), True),
        ("0004 'MQTT' 05", Protocol("MQTT", 5, bridge=False), True),
        ("0004 'MQTT' 06", Protocol("MQTT", 6, bridge=False), False),
        ("0004 'MQTT' 03", Protocol("MQTT", 3, bridge=False), False),
        ("0006 'MQIsdp' 05", Protocol("MQIsdp", 5, bridge=False), False),
    ],
)
def test_the_version_is_known_before_the_rest_is_read(body: str, protocol: Protocol, exists: object) -> None:
    assert read_protocol(wire(body)) == protocol
    assert protocol.exists is exists


@pytest.mark.parametrize("body", ["", "0004", "0004 'MQT'", "0004 'MQTT'", "0005 'MQTTX' 04", "FFFF"])
def test_what_is_no_mqtt_is_refused(body: str) -> None:
    with pytest.raises(ProtocolError):
        read_protocol(wire(body))


def test_a_bridge_reads_back_as_one() -> None:
    bridge = Connect(client_id="dev", level=4, bridge=True, clean_start=False, keep_alive_s=60)
    written = write_connect(bridge)
    assert written[8] == 0x84
    assert read_connect(written[2:]) == bridge


@pytest.mark.parametrize(
    "packet",
    [
        Connect(client_id="d", level=6, clean_start=True, keep_alive_s=0),
        Connect(client_id="d", level=4, clean_start=True, keep_alive_s=0, password=b"p"),
    ],
)
def test_we_cannot_write_what_does_not_exist(packet: Connect) -> None:
    with pytest.raises(UsageError):
        write_connect(packet)
