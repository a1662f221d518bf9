"""What comes back from a peer is known again: by its way where it carries one, else by its likeness."""

import pytest

from gateway.dispatch.echoes import MAX_HOPS, MAX_SAME, ROUND_S, VIA, Echoes, has_been_here, with_our_name


def test_what_comes_back_from_where_it_was_sent_is_an_echo_once() -> None:
    echoes = Echoes()
    echoes.sent("bridge", "a/b", b"1", 0.0)
    assert echoes.is_echo("bridge", "a/b", b"1", 0.1)
    assert not echoes.is_echo("bridge", "a/b", b"1", 0.2)


@pytest.mark.parametrize(
    ("peer", "topic", "payload"), [("other", "a/b", b"1"), ("bridge", "a/c", b"1"), ("bridge", "a/b", b"2")]
)
def test_another_peer_topic_or_payload_is_no_echo(peer: str, topic: str, payload: bytes) -> None:
    echoes = Echoes()
    echoes.sent("bridge", "a/b", b"1", 0.0)
    assert not echoes.is_echo(peer, topic, payload, 0.1)


def test_as_many_come_back_as_were_sent() -> None:
    echoes = Echoes()
    for at in range(3):
        echoes.sent("bridge", "a", b"1", float(at))
    assert [echoes.is_echo("bridge", "a", b"1", 3.0) for _ in range(4)] == [True, True, True, False]


def test_what_comes_after_the_window_is_no_echo() -> None:
    echoes = Echoes(window_s=10)
    echoes.sent("bridge", "a", b"1", 0.0)
    assert not echoes.is_echo("bridge", "a", b"1", 10.1)


def test_a_younger_sending_is_still_due_when_an_older_one_that_came_back_is_forgotten() -> None:
    echoes = Echoes(window_s=10)
    echoes.sent("bridge", "a", b"1", 0.0)
    assert echoes.is_echo("bridge", "a", b"1", 1.0)
    echoes.sent("bridge", "a", b"1", 8.0)
    assert echoes.is_echo("bridge", "a", b"1", 12.0)


def test_of_too_many_the_oldest_are_forgotten_and_asking_forgets_none() -> None:
    echoes = Echoes(max_remembered=2)
    for payload in (b"1", b"2", b"3"):
        echoes.sent("bridge", "a", payload, 0.0)
    assert not echoes.is_echo("bridge", "a", b"1", 0.0)
    assert echoes.is_echo("bridge", "a", b"2", 0.0)
    assert echoes.is_echo("bridge", "a", b"3", 0.0)


def test_of_the_same_message_a_hundred_are_remembered() -> None:
    echoes = Echoes(window_s=10)
    for number in range(MAX_SAME + 5):
        echoes.sent("bridge", "a", b"1", number // 200)
    assert sum(echoes.is_echo("bridge", "a", b"1", 1.0) for _ in range(2 * MAX_SAME)) == MAX_SAME
    assert not echoes.is_echo("bridge", "a", b"1", 11.0)
    echoes.sent("bridge", "a", b"1", 12.0)
    assert echoes.is_echo("bridge", "a", b"1", 12.0)


def test_a_relay_between_two_peers_is_no_loop() -> None:
    """A sensor behind one peer says the same each second; each is sent on to the other peer."""
    echoes = Echoes()
    for second in range(5):
        assert not echoes.is_echo("west", "t", b"21.5", float(second))
        echoes.sent("east", "t", b"21.5", float(second))


def test_what_went_to_a_bridge_comes_round_over_its_broker_at_once() -> None:
    echoes = Echoes()
    echoes.sent("bridge", "t", b"1", 0.0)
    assert echoes.has_come_round("t", b"1", ROUND_S)
    assert not echoes.has_come_round("t", b"1", ROUND_S)


def test_a_message_may_come_back_both_ways() -> None:
    """The bridge's broker publishes it for us to hear, and its bridge brings it as well."""
    echoes = Echoes()
    echoes.sent("bridge", "t", b"1", 0.0)
    assert echoes.is_echo("bridge", "t", b"1", 0.1)
    assert echoes.has_come_round("t", b"1", 0.1)
    assert not echoes.is_echo("bridge", "t", b"1", 0.1)


def test_what_comes_later_over_another_way_is_a_message_of_its_own() -> None:
    echoes = Echoes()
    echoes.sent("bridge", "t", b"1", 0.0)
    assert not echoes.has_come_round("t", b"1", ROUND_S + 0.1)
    assert echoes.is_echo("bridge", "t", b"1", ROUND_S + 0.1)


def test_a_message_that_names_us_has_been_here() -> None:
    properties = with_our_name([("unit", "C")], "gw1")
    assert properties == [("unit", "C"), (VIA, "gw1")]
    assert has_been_here(properties, "gw1")
    assert not has_been_here(properties, "gw2")
    assert with_our_name(properties, "gw2") == [("unit", "C"), (VIA, "gw1;gw2")]


def test_names_in_several_properties_are_one_way() -> None:
    properties = [(VIA, "gw1"), (VIA, "gw2")]
    assert has_been_here(properties, "gw1")
    assert with_our_name(properties, "gw3") == [(VIA, "gw1;gw2;gw3")]


def test_a_message_without_a_way_has_not_been_here() -> None:
    assert not has_been_here([("unit", "C")], "gw1")


def test_a_message_over_more_gateways_than_any_site_has_circles() -> None:
    properties: list[tuple[str, str]] = []
    for hop in range(MAX_HOPS):
        assert not has_been_here(properties, "me")
        properties = with_our_name(properties, f"gw{hop}")
    assert has_been_here(properties, "me")
