"""Hypothesis strategies for the packets of MQTT 3.1.1 and MQTT 5, whole and right."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from edgewire.codec.mqtt import packets as p
from edgewire.codec.mqtt import properties as props
from edgewire.codec.mqtt import reasons

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
names = st.text(st.characters(exclude_characters="\0+#", exclude_categories=["Cs"]), min_size=1, max_size=12)
filters = st.one_of(names.filter(lambda text: not text.startswith("$")), st.sampled_from(["#", "+", "a/+/b", "a/#"]))
ids = st.integers(1, 65_535)
blobs = st.binary(max_size=12)
users = st.lists(st.tuples(texts, texts), max_size=3).map(tuple)

_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "payload_format": st.integers(0, 1),
    "maximum_qos": st.integers(0, 1),
    "subscription_identifier": st.integers(1, 268_435_455),
    "subscription_identifiers": st.lists(st.integers(1, 268_435_455), max_size=2).map(tuple),
    "response_topic": names,
    "correlation_data": blobs,
    "authentication_data": blobs,
    "receive_maximum": ids,
    "topic_alias_maximum": st.integers(0, 65_535),
    "topic_alias": ids,
    "server_keep_alive_s": st.integers(0, 65_535),
    "maximum_packet_size": st.integers(1, 0xFFFFFFFF),
    "user_properties": users,
}


def _value(name: str) -> st.SearchStrategy[Any]:
    if name in _VALUES:
        return _VALUES[name]
    if name.endswith("_s"):
        return st.integers(0, 0xFFFFFFFF)
    return st.booleans() if name.endswith("available") or name.startswith("request_") else texts


def properties(make: Callable[..., Any], level: int) -> st.SearchStrategy[Any]:
    """Property values of this class, some of them set; None in MQTT 3."""
    if level < 5:
        return st.none()
    fields: tuple[str, ...] = make.__slots__  # type: ignore[attr-defined] # every slotted dataclass has them
    return st.fixed_dictionaries({}, optional={name: _value(name) for name in fields}).map(lambda found: make(**found))


def _codes(allowed: frozenset[reasons.ReasonCode], level: int) -> st.SearchStrategy[int]:
    return st.sampled_from(sorted(map(int, allowed))) if level == 5 else st.just(0)


def _connect(level: int) -> st.SearchStrategy[p.Connect]:
    will = st.builds(
        p.Will,
        topic=names,
        payload=blobs,
        qos=st.integers(0, 2),
        retain=st.booleans(),
        properties=properties(props.WillProperties, level),
    )

    def whole(connect: p.Connect) -> bool:
        one = connect.properties
        lonely = one is not None and one.authentication_data is not None and not one.authentication_method
        return not lonely and (level == 5 or connect.username is not None or connect.password is None)

    return st.builds(
        p.Connect,
        client_id=texts.filter(bool),
        level=st.just(level),
        bridge=st.booleans(),
        clean_start=st.booleans(),
        keep_alive_s=st.integers(0, 65_535),
        will=st.none() | will,
        username=st.none() | texts,
        password=st.none() | blobs,
        properties=properties(props.ConnectProperties, level),
    ).filter(whole)


@st.composite
def publishes(draw: st.DrawFn, level: int) -> p.Publish:
    """PUBLISH."""
    qos = draw(st.integers(0, 2))
    return p.Publish(
        draw(names),
        draw(blobs),
        qos,
        draw(st.booleans()),
        draw(st.booleans()) if qos else False,
        draw(ids) if qos else 0,
        draw(properties(props.PublishProperties, level)),
    )


def _filter(level: int) -> st.SearchStrategy[p.SubscribeFilter]:
    if level < 5:
        return st.builds(p.SubscribeFilter, filter=filters, qos=st.integers(0, 2))
    return st.builds(
        p.SubscribeFilter,
        filter=filters,
        qos=st.integers(0, 2),
        no_local=st.booleans(),
        retain_as_published=st.booleans(),
        retain_handling=st.integers(0, 2),
    )


def packets(level: int) -> st.SearchStrategy[p.Packet]:
    """Any packet of this version."""
    ack = properties(props.AckProperties, level)
    suback = st.sampled_from([0, 1, 2, 0x80])
    choices: list[st.SearchStrategy[p.Packet]] = [
        _connect(level),
        st.builds(
            p.Connack,
            session_present=st.just(value=False),
            code=_codes(reasons.CONNACK_CODES, level),
            properties=properties(props.ConnackProperties, level),
        ),
        publishes(level),
        st.builds(p.Puback, packet_id=ids, reason=_codes(reasons.PUBACK_CODES, level), properties=ack),
        st.builds(p.Pubrec, packet_id=ids, reason=_codes(reasons.PUBACK_CODES, level), properties=ack),
        st.builds(p.Pubrel, packet_id=ids, reason=_codes(reasons.PUBREL_CODES, level), properties=ack),
        st.builds(p.Pubcomp, packet_id=ids, reason=_codes(reasons.PUBREL_CODES, level), properties=ack),
        st.builds(
            p.Subscribe,
            packet_id=ids,
            filters=st.lists(_filter(level), min_size=1, max_size=3).map(tuple),
            properties=properties(props.SubscribeProperties, level),
        ),
        st.builds(p.Suback, packet_id=ids, codes=st.lists(suback, min_size=1, max_size=3).map(tuple), properties=ack),
        st.builds(
            p.Unsubscribe,
            packet_id=ids,
            filters=st.lists(filters, min_size=1, max_size=3).map(tuple),
            properties=properties(props.UnsubscribeProperties, level),
        ),
        st.builds(p.Pingreq),
        st.builds(p.Pingresp),
        st.builds(
            p.Disconnect,
            reason=_codes(reasons.DISCONNECT_CODES, level),
            properties=properties(props.DisconnectProperties, level),
        ),
    ]
    if level == 5:
        unsuback = st.lists(_codes(reasons.UNSUBACK_CODES, 5), min_size=1, max_size=3).map(tuple)
        auth = properties(props.AuthProperties, 5).filter(lambda found: found.authentication_method is not None)
        choices.append(st.builds(p.Unsuback, packet_id=ids, codes=unsuback, properties=ack))
        choices.append(st.builds(p.Auth, reason=_codes(reasons.AUTH_CODES, 5), properties=auth))
    else:
        choices.append(st.builds(p.Unsuback, packet_id=ids))
    return st.one_of(choices)
