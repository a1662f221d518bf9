import pytest

from edgewire.codec.amqp.conditions import INVALID_FIELD
from edgewire.codec.amqp.kinds import Symbol, UInt
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.links import LinkProperties, read_link_properties, write_link_properties
from edgewire.iothub.limits import MAX_LINK_PROPERTY_CHARS

CHANNEL = Symbol("com.microsoft:channel-correlation-id")


def test_what_the_clients_say_of_a_link() -> None:
    said = read_link_properties(
        {
            Symbol("com.microsoft:client-version"): "iothubclient/1.15.0 (native; Linux; x86_64)",
            Symbol("com.microsoft:api-version"): "2020-09-30",
            CHANNEL: "twin:8dddb302-bdc4-46d7-9866-d2ea193e9f8c",
            Symbol("com.microsoft:model-id"): "dtmi:com:x;1",
            Symbol("com.microsoft:auth-chain"): "leaf1;edge2;edge1",
            Symbol("com.microsoft:timeout"): UInt(60000),
        }
    )
    assert said == LinkProperties(
        client_version="iothubclient/1.15.0 (native; Linux; x86_64)",
        api_version="2020-09-30",
        model_id="dtmi:com:x;1",
        channel="twin:8dddb302-bdc4-46d7-9866-d2ea193e9f8c",
        auth_chain=("leaf1", "edge2", "edge1"),
    )


@pytest.mark.parametrize("nothing", [None, {}, {CHANNEL: None}, {CHANNEL: ""}, {Symbol("other"): []}])
def test_a_client_need_not_say_anything(nothing: dict[Symbol, object] | None) -> None:
    assert read_link_properties(nothing) == LinkProperties()


@pytest.mark.parametrize(
    ("channel", "pair"),
    [("twin:8ddd", "8ddd"), ("methods:a:b", "a:b"), ("dev1", ""), ("", ""), (Symbol("twin:x"), "x")],
)
def test_two_links_are_a_pair_by_what_follows_the_first_colon(channel: str, pair: str) -> None:
    assert read_link_properties({CHANNEL: channel}).pair == pair


@pytest.mark.parametrize("value", [UInt(1), b"x", ["x"], "x" * (MAX_LINK_PROPERTY_CHARS + 1)])
@pytest.mark.parametrize("name", ["client-version", "api-version", "model-id", "channel-correlation-id", "auth-chain"])
def test_what_is_no_text_or_too_long_is_refused(name: str, value: object) -> None:
    with pytest.raises(ProtocolError, match=name) as refused:
        read_link_properties({Symbol(f"com.microsoft:{name}"): value})
    assert refused.value.reply == INVALID_FIELD


def test_what_is_written_is_read_and_nothing_is_written_for_nothing() -> None:
    full = LinkProperties(
        client_version="v", api_version="2021-04-12", model_id="m", channel="methods:1", auth_chain=("a", "b")
    )
    written = write_link_properties(full)
    assert all(isinstance(name, Symbol) for name in written)
    assert read_link_properties(written) == full
    assert write_link_properties(LinkProperties()) == {}
