import pytest

from edgewire.iothub.limits import MAX_ADDRESS_CHARS
from standin.eventhub_addresses import (
    PartitionAddress,
    is_management,
    is_old_management,
    parse_partition,
    path_of,
)


@pytest.mark.parametrize(
    ("text", "entity", "group"),
    [
        ("hub/ConsumerGroups/$Default/Partitions/0", "hub", "$Default"),
        ("/hub/ConsumerGroups/$Default/Partitions/0", "hub", "$Default"),
        ("amqps://127.0.0.7/hub/ConsumerGroups/$Default/Partitions/0", "hub", "$Default"),
        ("amqps://hub.test:5671/hub/consumergroups/live/partitions/0", "hub", "live"),
        ("hub/ConsumerGroups/%24Default/Partitions/0", "hub", "$Default"),
        ("/messages/events/ConsumerGroups/$Default/Partitions/0", "messages/events", "$Default"),
    ],
)
def test_a_partition_is_known_in_every_form_that_clients_write(text: str, entity: str, group: str) -> None:
    assert parse_partition(text) == PartitionAddress(entity, group, "0")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hub",
        "hub/ConsumerGroups/$Default",
        "ConsumerGroups/$Default/Partitions/0",
        "hub/ConsumerGroups/%zz/Partitions/0",
        "hub/ConsumerGroups/a/b/Partitions/0",
        "/devices/d1/messages/events",
        "x" * MAX_ADDRESS_CHARS + "/ConsumerGroups/$Default/Partitions/0",
    ],
)
def test_other_addresses_are_none_of_a_partition(text: str) -> None:
    assert parse_partition(text) is None


def test_the_management_is_below_the_host_or_at_its_old_place() -> None:
    assert [is_management(each) for each in ("$management", "/$Management", "amqps://h/$management", "hub")] == [
        True,
        True,
        True,
        False,
    ]
    assert is_old_management("/messages/events/$management")
    assert not is_old_management("$management")


def test_a_partition_has_the_same_place_below_another_entity() -> None:
    address = PartitionAddress("messages/events", "$Default", "3")
    assert address.path("hub") == "hub/ConsumerGroups/$Default/Partitions/3"


def test_an_address_longer_than_any_leads_nowhere() -> None:
    assert path_of("x" * (MAX_ADDRESS_CHARS + 1)) == ""
