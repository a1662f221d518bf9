import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.errors import ProtocolError
from edgewire.line.names import BagNames, TopicCache, check_topic_name, decode_text, sort_pairs, split_bag

NAMES = BagNames(
    most=3,
    system={"$.mid": "messageId"},
    reserved=frozenset({"hub"}),
    reserved_starts=("$own",),
    dropped=frozenset({"$.cdid"}),
)


@pytest.mark.parametrize("raw", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"a\0"])
def test_bad_text_is_refused(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_text(raw)


@pytest.mark.parametrize("topic", ["a", "/", "//", "a b", "$SYS/x", "devices/d/messages/events/%24.ct=a%2Fb"])
def test_these_are_topic_names(topic: str) -> None:
    assert check_topic_name(topic) == topic


@pytest.mark.parametrize("topic", ["", "#", "+", "a/#", "a+"])
def test_these_are_none(topic: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_topic_name(topic)
    assert caught.value.reply == 0x81


def test_a_cached_topic_is_the_same_object_each_time() -> None:
    cache = TopicCache()
    assert cache[b"a/b"] is cache[b"a/b"]


def test_the_cache_is_bounded_in_number_and_size() -> None:
    cache = TopicCache()
    for number in range(1_000):
        assert cache[str(number).encode()] == str(number)
    assert len(cache) <= 8
    cache.clear()
    assert cache[b"x" * 1_000] == "x" * 1_000
    assert not cache


def test_what_is_refused_is_not_cached() -> None:
    cache = TopicCache()
    for raw in (b"\xff", b"a/#", b"", b"a\0"):
        with pytest.raises(ProtocolError):
            cache[raw]
    assert not cache


def test_names_are_sorted_by_what_they_mean() -> None:
    assert split_bag("?a%20b=1%2B&%24.mid&$.cdid=x", NAMES) == ({"a b": "1+"}, {"messageId": ""})
    assert split_bag("", NAMES) == split_bag("?", NAMES) == ({}, {})
    assert sort_pairs([("A", None), ("$.mid", "7")], NAMES) == ({"A": None}, {"messageId": "7"})


@pytest.mark.parametrize("bag", ["a&b&c&d", "a=b=c", "=x", "a%00", "a&A", "HUB=1", "$OwnName", "%", "a=%ff"])
def test_a_bag_is_refused_whole(bag: str) -> None:
    with pytest.raises(ProtocolError):
        split_bag(bag, NAMES)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_a_bag_or_a_protocol_error(text: str, more: str) -> None:
    for bag in (text, f"{text}={more}", f"{text}&{more}"):
        try:
            properties, system = split_bag(bag, NAMES)
        except ProtocolError:
            continue
        assert len(properties) + len(system) <= NAMES.most
