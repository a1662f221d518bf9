from dataclasses import dataclass

import pytest
from azure.iot.device.iothub.pipeline.mqtt_topic_iothub import encode_message_properties_in_topic

from edgewire.iothub.bag import read_bag
from edgewire.iothub.limits import MAX_MESSAGE_BYTES
from edgewire.message import Envelope, Identity, Message, Properties, SystemProperties, identity
from gateway.upstream.module_message import NotCarriedError, carry

LEAF = identity("leaf1")


@dataclass(frozen=True, slots=True)
class Stored:
    entry_id: str
    message: Message
    received_at_ms: int = 0


def stored(
    properties: Properties | None = None,
    system: SystemProperties | None = None,
    *,
    sender: Identity = LEAF,
    body: bytes = b"hi",
) -> Stored:
    envelope = Envelope(sender=sender, properties=properties or {}, system=system or {})
    return Stored("e-7", Message(envelope, body))


def wire(entry: Stored, *below: Identity) -> tuple[Properties, SystemProperties]:
    """The properties as edgeHub reads them from the topic the SDK makes."""
    topic: str = encode_message_properties_in_topic(carry(entry, "upstream", below), "")
    return read_bag(topic)


def test_the_body_is_sent_as_it_came() -> None:
    assert carry(stored(body=b"\x00\xff"), "upstream").data == b"\x00\xff"


def test_system_properties_keep_their_meaning() -> None:
    system = {
        "messageId": "m1",
        "cid": "c1",
        "userId": "u1",
        "contentType": "application/json",
        "contentEncoding": "utf-8",
        "absolute-expiry-time": "2031-01-01T00:00:00Z",
        "creationTime": "2030-01-01T00:00:00Z",
        "messageSchema": "s1",
        "dt-subject": "thermo",
        "iothub-interface-id": "urn:x:y",
        "to": "/x",
        "ack": "full",
        "operation": "op",
    }

    _, carried = wire(stored(system=system))

    assert carried == system | {"outputName": "upstream"}


def test_without_a_message_id_the_entry_id_is_sent() -> None:
    _, carried = wire(stored())

    assert carried["messageId"] == "e-7"


def test_application_properties_are_kept_and_the_leaf_is_named() -> None:
    properties, _ = wire(stored({"kind": "alert", "a b": "c/d&e", "größe": "ü"}))

    assert properties == {"kind": "alert", "a b": "c/d&e", "größe": "ü", "leafDeviceId": "leaf1"}


def test_a_module_is_named_with_its_output() -> None:
    entry = stored(system={"outputName": "out1"}, sender=identity("edge", "detector"))

    properties, system = wire(entry)

    assert properties == {"leafDeviceId": "edge", "leafModuleId": "detector", "leafOutputName": "out1"}
    assert system["outputName"] == "upstream"


LOWER = identity("edge-2", "gateway")


def from_below(**properties: str) -> Stored:
    """A message of the gateway below, as it leaves there."""
    return stored(properties, {"outputName": "upstream"}, sender=LOWER)


def test_whom_a_gateway_below_names_stays_named() -> None:
    entry = from_below(leafDeviceId="board-1", leafModuleId="m", leafOutputName="o", kind="alert")

    properties, system = wire(entry, LOWER)

    leaf = {"leafDeviceId": "board-1", "leafModuleId": "m", "leafOutputName": "o", "leafGatewayId": "edge-2/gateway"}
    assert properties == {"kind": "alert", **leaf}
    assert system["outputName"] == "upstream"


def test_of_several_gateways_the_one_that_has_logged_in_here_is_the_last() -> None:
    properties, _ = wire(from_below(leafDeviceId="board-1", leafGatewayId="edge-3/gateway"), LOWER)

    assert properties == {"leafDeviceId": "board-1", "leafGatewayId": "edge-3/gateway,edge-2/gateway"}


def test_what_a_gateway_below_says_of_itself_is_its_own() -> None:
    properties, _ = wire(from_below(kind="mean"), LOWER)

    its_own = {"leafDeviceId": "edge-2", "leafModuleId": "gateway", "leafOutputName": "upstream"}
    assert properties == {"kind": "mean", **its_own}


@pytest.mark.parametrize("sender", [identity("edge-2"), identity("edge-2", "other"), identity("edge-3", "gateway")])
def test_nobody_else_is_believed(sender: Identity) -> None:
    properties, _ = wire(stored({"leafDeviceId": "boss", "leafGatewayId": "edge-2/gateway"}, sender=sender), LOWER)

    assert properties["leafDeviceId"] == sender.device
    assert "leafGatewayId" not in properties


@pytest.mark.parametrize("name", ["leafDeviceId", "LEAFDEVICEID", "leafmoduleid", "leafOutputname", "leafGatewayID"])
def test_a_leaf_cannot_claim_to_be_another(name: str) -> None:
    properties, _ = wire(stored({name: "boss"}))

    assert properties == {"leafDeviceId": "leaf1"}


def test_a_property_without_a_value_becomes_an_empty_one() -> None:
    properties, _ = wire(stored({"flag": None}))

    assert properties["flag"] == ""


def test_an_application_property_cannot_pose_as_a_system_property() -> None:
    properties, system = wire(stored({"$.mid": "forged", "$.cdid": "other"}))

    assert properties == {"leafDeviceId": "leaf1"}
    assert system["messageId"] == "e-7"


def test_the_largest_message_that_edgehub_takes_is_carried() -> None:
    assert len(carry(stored(body=bytes(MAX_MESSAGE_BYTES - 2000)), "upstream").data) == MAX_MESSAGE_BYTES - 2000


def test_a_message_that_edgehub_would_acknowledge_and_lose_is_not_sent() -> None:
    with pytest.raises(NotCarriedError, match=r"it counts 26\d{4} bytes .* at most 261632"):
        carry(stored(body=bytes(MAX_MESSAGE_BYTES)), "upstream")


def test_a_packet_on_which_edgehub_would_close_the_connection_is_not_sent() -> None:
    entry = stored({"p": "ü" * 4000}, body=bytes(250_000))

    with pytest.raises(NotCarriedError, match="a packet to edgeHub"):
        carry(entry, "upstream")


def test_a_topic_longer_than_mqtt_allows_is_not_sent() -> None:
    entry = stored({f"p{number}": "ü" * 1000 for number in range(12)})

    with pytest.raises(NotCarriedError, match="an MQTT topic takes at most 65535"):
        carry(entry, "upstream")


def test_many_properties_that_fit_are_carried() -> None:
    properties, _ = wire(stored({f"p{number}": "x" * 1000 for number in range(12)}))

    assert len(properties) == 13
