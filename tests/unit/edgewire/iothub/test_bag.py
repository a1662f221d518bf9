import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.errors import ProtocolError
from edgewire.iothub.bag import Bag, Direction, bag_size, merge_user_properties, read_bag, read_pairs, write_bag
from edgewire.iothub.limits import MAX_PROPERTIES
from project_sources import ROOT

VECTORS: dict[str, list[dict[str, Any]]] = json.loads((ROOT / "tests/vectors/bags.json").read_text())
NAMES = st.text(st.characters(exclude_categories=["Cs", "C", "Z"]), min_size=1).map(lambda name: f"p{name.lower()}")
VALUES = st.none() | st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize("row", VECTORS["read"], ids=lambda row: row["rule"])
def test_a_bag_is_read(row: dict[str, Any]) -> None:
    bag = read_bag(row["bag"])
    assert bag.properties == row["properties"]
    assert bag.system == row["system"]


@pytest.mark.parametrize("row", VECTORS["refused"], ids=lambda row: row["rule"])
def test_a_broken_bag_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        read_bag(row["bag"])


@pytest.mark.parametrize("row", VECTORS["written"], ids=lambda row: row["rule"])
def test_a_bag_is_written(row: dict[str, Any]) -> None:
    assert write_bag(row["properties"], row["system"]) == row["bag"]


def test_as_many_properties_as_the_limit_says() -> None:
    bag = "&".join(f"p{number}" for number in range(MAX_PROPERTIES))
    assert len(read_bag(bag).properties) == MAX_PROPERTIES


def test_a_device_reads_who_sent() -> None:
    bag = read_bag("%24.cdid=leaf-01&%24.cmid=m&%24.on=o", Direction.TO_DEVICE)
    assert bag == Bag({"$.on": "o"}, {"connectionDeviceId": "leaf-01", "connectionModuleId": "m"})


def test_a_sender_writes_its_output_and_not_its_identity() -> None:
    system = {"outputName": "o", "connectionDeviceId": "d"}
    assert write_bag({}, system, Direction.FROM_DEVICE) == "%24.on=o"


@pytest.mark.parametrize("direction", Direction)
@given(properties=st.dictionaries(NAMES, VALUES, max_size=8), message_id=VALUES)
def test_what_is_written_is_read(
    properties: dict[str, str | None], message_id: str | None, direction: Direction
) -> None:
    if len({name.lower() for name in properties}) < len(properties):
        return
    system = {} if message_id is None else {"messageId": message_id}
    assert read_bag(write_bag(properties, system, direction), direction) == Bag(properties, system)


@given(
    properties=st.dictionaries(NAMES | st.just("$.mid"), VALUES, max_size=4),
    system=st.dictionaries(st.sampled_from(["messageId", "contentType", "outputName", "other"]), VALUES.map(str)),
)
def test_the_size_of_a_bag_is_that_of_its_text(properties: dict[str, str | None], system: dict[str, str]) -> None:
    for direction in Direction:
        assert bag_size(properties, system, direction) == len(write_bag(properties, system, direction))


@given(st.text(st.sampled_from("a$.mid%24=&?+/é \0"), max_size=40) | st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ProtocolError):
        read_bag(text)


class TestUserPropertiesOfMqtt5:
    def test_they_join_the_topics_bag(self) -> None:
        bag = merge_user_properties(
            read_bag("%24.mid=1&a=1"), [("b", ""), ("$.ce", "utf-8"), ("100%", "%41")], "application/json"
        )
        assert bag.properties == {"a": "1", "b": "", "100%": "%41"}
        assert bag.system == {"messageId": "1", "contentEncoding": "utf-8", "contentType": "application/json"}

    def test_nothing_to_join(self) -> None:
        bag = read_bag("a=1")
        assert merge_user_properties(bag, [], None) == bag

    def test_the_content_type_may_be_said_by_both_if_it_is_the_same(self) -> None:
        bag = read_bag("$.ct=application%2Fjson&a=1")
        assert merge_user_properties(bag, [], "application/json") == bag

    @pytest.mark.parametrize(
        ("topic", "pairs", "content_type"),
        [
            ("a=1", [("a", "2")], None),
            ("a=1", [("A", "1")], None),
            ("", [("a", "1"), ("a", "1")], None),
            ("$.ct=x", [], "y"),
            ("", [("$.ct", "x")], "x"),
            ("", [("", "x")], None),
            ("", [("iothub-connection-device-id", "other")], None),
            ("", [("$connectionDeviceId", "other")], None),
            ("a", [(f"p{number}", "") for number in range(MAX_PROPERTIES)], None),
        ],
    )
    def test_what_a_topic_may_not_hold_they_may_not(
        self, topic: str, pairs: list[tuple[str, str]], content_type: str | None
    ) -> None:
        with pytest.raises(ProtocolError):
            merge_user_properties(read_bag(topic), pairs, content_type)


def test_properties_that_came_apart_are_sorted_like_those_of_a_bag() -> None:
    pairs = [("$.mid", "1"), ("$.cdid", "other"), ("a", None)]
    assert read_pairs(pairs, Direction.FROM_DEVICE) == Bag({"a": None}, {"messageId": "1"})
    assert read_pairs(pairs, Direction.TO_DEVICE).system == {"messageId": "1", "connectionDeviceId": "other"}
    with pytest.raises(ProtocolError, match="more than 256"):
        read_pairs([(f"p{number}", "") for number in range(MAX_PROPERTIES + 1)], Direction.FROM_DEVICE)
