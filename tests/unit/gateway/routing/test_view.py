import pytest

from edgewire.message import Envelope, MessageSource, identity
from gateway.routing.values import NO_TEXT
from gateway.routing.view import source_of, source_prefix, view_of


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("/*", "/"),
        ("/**", "/"),
        ("/messages/*", "/MESSAGES/"),
        ("/messages", "/MESSAGES/"),
        ("/messages/m*", "/MESSAGES/M/"),
        ("/messages/modules/*/outputs/o1", "/MESSAGES/MODULES/*/OUTPUTS/O1/"),
    ],
)
def test_what_a_from_is_compared_as(path: str, prefix: str) -> None:
    assert source_prefix(path) == prefix


def test_where_messages_come_from() -> None:
    leaf = Envelope(sender=identity("d"), properties={}, system={"outputName": "ignored"})
    module = Envelope(sender=identity("d", "m"), properties={}, system={})
    output = Envelope(sender=identity("d", "m"), properties={}, system={"outputName": "o"})
    twin = Envelope(sender=identity("d", "m"), properties={}, system={}, source=MessageSource.TWIN_CHANGE)
    assert [source_of(envelope) for envelope in (leaf, module, output, twin)] == [
        "/messages/",
        "/messages/modules/m/",
        "/messages/modules/m/outputs/o/",
        "/twinChangeNotifications/",
    ]
    for envelope in (leaf, module, output, twin):
        assert view_of(envelope).source == source_of(envelope).upper()


def test_names_are_folded_and_values_are_not() -> None:
    envelope = Envelope(sender=identity("d"), properties={"Café": "Über", "empty": None}, system={})
    view = view_of(envelope)
    assert dict(view.properties) == {"CAFÉ": "Über", "EMPTY": NO_TEXT}
    assert not view.shadows
    assert view.codec is None


def test_a_property_that_begins_with_a_dollar_may_shadow() -> None:
    system = {"contentType": "application/json", "contentEncoding": "utf-8"}
    view = view_of(Envelope(sender=identity("d"), properties={"a": "", "$b": ""}, system=system))
    assert view.shadows
    assert view.codec == "utf-8"
