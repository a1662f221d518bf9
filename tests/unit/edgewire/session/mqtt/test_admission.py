import pytest

from edgewire.codec.mqtt.connect import Protocol
from edgewire.codec.mqtt.packets import Connect, Subscribe, SubscribeFilter, Will
from edgewire.codec.mqtt.properties import ConnackProperties, ConnectProperties, SubscribeProperties, WillProperties
from edgewire.codec.mqtt.reasons import ReasonCode
from edgewire.errors import ProtocolError, UsageError
from edgewire.session.mqtt import admission
from edgewire.session.mqtt.limits import ServerLimits

ALL = ServerLimits()
ONLY_311 = ServerLimits(levels=frozenset({4}), bridge_bit=False)


def connect(
    level: int = 5,
    *,
    client_id: str = "d",
    will: Will | None = None,
    properties: ConnectProperties | None = None,
) -> Connect:
    if level == 5 and properties is None:
        properties = ConnectProperties()
    return Connect(
        client_id=client_id, level=level, clean_start=True, keep_alive_s=60, will=will, properties=properties
    )


@pytest.mark.parametrize(
    ("name", "level", "bridge", "all_levels", "only_311"),
    [
        ("MQTT", 4, False, True, True),
        ("MQTT", 4, True, True, False),
        ("MQIsdp", 3, False, True, False),
        ("MQIsdp", 3, True, True, False),
        ("MQTT", 5, False, True, False),
        ("MQTT", 6, False, False, False),
        ("MQIsdp", 4, False, False, False),
    ],
)
def test_versions_are_taken_as_the_limits_say(
    name: str, level: int, bridge: object, all_levels: object, only_311: object
) -> None:
    protocol = Protocol(name, level, bool(bridge))
    assert admission.speaks(protocol, ALL) is all_levels
    assert admission.speaks(protocol, ONLY_311) is only_311


def test_a_version_is_refused_in_words_that_its_client_knows() -> None:
    assert admission.answer_level(Protocol("MQTT", 6, bridge=False), ALL) == 5
    assert admission.answer_level(Protocol("MQTT", 5, bridge=False), ONLY_311) == 4
    assert admission.answer_level(Protocol("MQIsdp", 3, bridge=False), ONLY_311) == 4
    assert admission.answer_level(Protocol("MQTT", 2, bridge=False), ALL) == 4


@pytest.mark.parametrize(
    ("asked_s", "silence_s", "told_s"),
    [(60, 90.0, None), (1, 1.5, None), (1_178, 1_767.0, None), (1_179, 1_767.0, 1_178), (0, 1_767.0, 1_178)],
)
def test_silence_is_borne_for_half_as_long_again_and_never_beyond_the_ceiling(
    asked_s: int, silence_s: float, told_s: int | None
) -> None:
    assert admission.watch(asked_s, ALL) == (silence_s, told_s)


def test_a_ceiling_beyond_what_keep_alive_can_say_is_told_as_the_most() -> None:
    assert admission.watch(0, ServerLimits(keep_alive_ceiling_s=200_000))[1] == 65_535


@pytest.mark.parametrize(
    ("properties", "reply"),
    [
        (ConnectProperties(authentication_method="SCRAM-SHA-256"), ReasonCode.BAD_AUTHENTICATION_METHOD),
        (ConnectProperties(maximum_packet_size=63), ReasonCode.PACKET_TOO_LARGE),
    ],
)
def test_what_we_do_not_do_is_refused(properties: ConnectProperties, reply: ReasonCode) -> None:
    with pytest.raises(ProtocolError) as caught:
        admission.check(connect(properties=properties), ALL)
    assert caught.value.reply == reply


def test_a_will_with_qos_2_is_refused_where_the_client_can_hear_why() -> None:
    will = Will(topic="t", payload=b"", qos=2, retain=False)
    with pytest.raises(ProtocolError) as caught:
        admission.check(connect(will=will), ALL)
    assert caught.value.reply == ReasonCode.QOS_NOT_SUPPORTED
    admission.check(connect(4, will=will), ALL)
    kept = admission.kept_will(connect(4, will=will), ALL)
    assert kept is not None
    assert kept.qos == 1


def test_a_will_waits_no_longer_than_its_session_lives() -> None:
    will = Will(topic="t", payload=b"", qos=1, retain=False, properties=WillProperties(will_delay_s=30))
    for expiry_s, delay_s in [(None, 0), (10, 10), (60, 30)]:
        kept = admission.kept_will(connect(will=will, properties=ConnectProperties(session_expiry_s=expiry_s)), ALL)
        assert kept is not None
        assert kept.delay_s == delay_s


def test_a_session_lives_as_long_as_asked_up_to_the_limit() -> None:
    never = connect(properties=ConnectProperties(session_expiry_s=0xFFFFFFFF))
    assert admission.session_expiry_s(never, ALL) == ALL.max_session_expiry_s
    assert admission.connack_properties(never, ALL, None, None).session_expiry_s == ALL.max_session_expiry_s


def test_the_client_is_told_what_differs_from_what_it_presumes() -> None:
    assert admission.connack_properties(connect(), ALL, None, None) == ConnackProperties(
        receive_maximum=1_000,
        maximum_qos=1,
        maximum_packet_size=ALL.max_packet_bytes,
        topic_alias_maximum=10,
        subscription_identifiers_available=False,
        shared_subscription_available=False,
    )


def test_a_client_without_an_identifier_must_be_given_one() -> None:
    with pytest.raises(UsageError):
        admission.connack_properties(connect(client_id=""), ALL, None, None)
    told = admission.connack_properties(connect(client_id=""), ALL, None, "given")
    assert told.assigned_client_id == "given"


def subscribe(text: str, identifier: int | None = None) -> Subscribe:
    return Subscribe(
        packet_id=1,
        filters=(SubscribeFilter(filter=text, qos=1),),
        properties=SubscribeProperties(subscription_identifier=identifier),
    )


@pytest.mark.parametrize(
    ("packet", "limits", "reply"),
    [
        (subscribe("a", 1), ALL, ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED),
        (subscribe("$share/g/a"), ALL, ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED),
        (subscribe("a/#"), ServerLimits(wildcard_subscriptions=False), ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED),
    ],
)
def test_subscriptions_that_are_not_available_are_refused(
    packet: Subscribe, limits: ServerLimits, reply: ReasonCode
) -> None:
    with pytest.raises(ProtocolError) as caught:
        admission.check_subscription(packet, limits)
    assert caught.value.reply == reply


def test_subscriptions_that_are_available_pass() -> None:
    admission.check_subscription(subscribe("a/#"), ALL)
    open_limits = ServerLimits(shared_subscriptions=True, subscription_identifiers=True)
    admission.check_subscription(subscribe("$share/g/a", 7), open_limits)


@pytest.mark.parametrize("filters", [["a"] * 65, ["a" * 1_025], ["a/" * 16_000 + "a"]])
def test_too_many_or_too_long_filters_are_refused(filters: list[str]) -> None:
    with pytest.raises(ProtocolError):
        admission.check_filters(filters, ALL)
