from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgewire.errors import ProtocolError
from edgewire.iothub import sas
from edgewire.iothub.bag import Bag
from edgewire.iothub.http.batch import Content
from edgewire.iothub.http.publisher import (
    PublisherAudience,
    PublisherRequest,
    is_batch,
    is_hub,
    is_publisher_path,
    read_audience,
    read_batch,
    read_request,
    read_single,
    resource_of,
)

LEAF = PublisherRequest("telemetry", "leaf-01")
HOST = "contoso-ns.servicebus.windows.net"


def test_the_forms_of_the_documentation_are_read() -> None:
    query = "timeout=60&api-version=2014-01"
    for path in ("/Telemetry/publishers/leaf-01/messages", "/telemetry/Publisher/leaf%2D01/Messages"):
        assert is_publisher_path(path)
        assert read_request("POST", path, query) == LEAF
    for path in ("/telemetry/messages", "/telemetry/partitions/0/messages", "/telemetry/Partitions/1999/messages"):
        assert is_publisher_path(path)
        assert read_request("POST", path, "") == PublisherRequest("telemetry")


@pytest.mark.parametrize(
    "path",
    [
        "/devices/leaf-01/messages/events",
        "/devices/messages",
        "/devices/publishers/leaf-01/messages",
        "/twins/leaf-01/methods",
        "/messages/deviceBound",
        "/0ne00ABCDEF/registrations/leaf-01/register",
        "/firmware/v1/messages",
        "/tokens/messages",
        "/$iothub/websocket",
        "/telemetry/consumergroups/a/messages",
        "/telemetry/publishers/leaf-01/messages/",
        "/telemetry/publishers/messages",
        "telemetry/messages",
        "/",
    ],
)
def test_other_paths_are_left_to_others(path: str) -> None:
    assert not is_publisher_path(path)


@pytest.mark.parametrize("name", ["a", "A1", "tele.metry-1_x", "a" * 256])
def test_names_of_hubs(name: str) -> None:
    assert is_hub(name)


@pytest.mark.parametrize("name", ["", ".a", "a-", "a b", "a/b", "ä", "a" * 257, "Devices", "messages", "a\n"])
def test_names_that_are_none(name: str) -> None:
    assert not is_hub(name)


@pytest.mark.parametrize("query", ["timeout=", "timeout=-1", "api-version=", "api-version=2014", "a=1&a=2", "x=%"])
def test_a_query_is_read_as_far_as_it_matters(query: str) -> None:
    if query == "x=%":
        assert read_request("POST", "/telemetry/messages", query) == PublisherRequest("telemetry")
        return
    with pytest.raises(ProtocolError) as refused:
        read_request("POST", "/telemetry/messages", query)
    assert refused.value.reply == 400


# --- tokens -----------------------------------------------------------------------------------------------------------


def audience(resource: str) -> PublisherAudience:
    """What a token with this resource, encoded once, is for."""
    return read_audience(sas.parse(sas.make(resource, b"key", 1_900_000_000, "SendRule")))


def test_the_resource_that_is_written_covers_itself_alone() -> None:
    for request in (LEAF, PublisherRequest("telemetry"), PublisherRequest("telemetry", "a%?b")):
        found = audience(resource_of(HOST, request))
        assert found.covers(request)
        assert not found.covers(PublisherRequest("other", request.publisher))
        assert not found.covers(PublisherRequest("telemetry", "leaf-02")) or request.publisher is None


SEGMENTS = st.sampled_from(
    ["telemetry", "publishers", "publisher", "leaf-01", "leaf-0", "messages", "", "..", "x", "%2e"]
)


@given(st.lists(SEGMENTS, max_size=6), st.sampled_from(["https", "sb", "http", "HTTPS", "amqp", ""]))
@example(["telemetry", "publishers", "leaf-01"], "https")
def test_what_covers_is_a_whole_beginning_of_the_path(segments: list[str], scheme: str) -> None:
    try:
        found = audience(f"{scheme}://{HOST}/{'/'.join(segments)}")
    except ProtocolError:
        return
    assert scheme.lower() in ("https", "sb", "http")
    path = ["publishers" if part == "publisher" else part for part in segments if part]
    whole = ["telemetry", "publishers", "leaf-01", "messages"]
    assert found.covers(LEAF) == (path == whole[: len(path)])


@given(st.text(alphabet="htps:/sb%2F3A?#@.\\ \x00é[]", max_size=60))
def test_no_mangled_resource_raises_anything_else(text: str) -> None:
    try:
        found = read_audience(sas.Sas(resource=text, expiry="1", signature=""))
    except ProtocolError:
        return
    assert not found.covers(LEAF)


# --- messages ---------------------------------------------------------------------------------------------------------


def single(*fields: tuple[str, str], content_type: str | None = None, broker: str | None = None) -> Bag:
    return read_single(LEAF, fields, b"", content_type=content_type, broker=broker).bag


def test_headers_become_properties_and_keep_their_case() -> None:
    bag = single(
        ("Room", '"kitchen"'), ("Floor", "2"), ("Open", "true"), ("Note", "null"), ("Host", "x"), ("Text", r'"\u00fc"')
    )
    assert bag == Bag({"Room": "kitchen", "Floor": "2", "Open": "true", "Note": None, "Text": "ü"}, {})


def test_the_digits_of_a_number_are_kept_as_they_came() -> None:
    bag = single(("A", "18446744073709551617"), ("B", " 1.50 "), ("C", "-0"), ("D", "1e2"))
    assert bag.properties == {"A": "18446744073709551617", "B": "1.50", "C": "-0", "D": "1e2"}


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (None, {}),
        ("", {}),
        ("application/json", {"contentType": "application/json", "contentEncoding": "utf-8"}),
        ('Application/JSON; charset="UTF-8"', {"contentType": "application/json", "contentEncoding": "utf-8"}),
        ("application/json;charset=utf-16", {"contentType": "application/json;charset=utf-16"}),
        ("text/plain", {"contentType": "text/plain"}),
    ],
)
def test_a_content_type_is_kept_and_json_says_its_encoding(said: str | None, kept: dict[str, str]) -> None:
    assert single(content_type=said).system == kept


def test_the_requests_content_type_counts_more_than_the_brokers() -> None:
    broker = '{"ContentType":"text/plain","MessageId":"1","CorrelationId":"2","TimeToLive":5,"PartitionKey":"leaf-01"}'
    assert single(broker=broker).system == {"contentType": "text/plain", "messageId": "1", "cid": "2"}
    assert single(broker=broker, content_type="a/b").system["contentType"] == "a/b"


def test_a_batch_is_told_by_its_content_type() -> None:
    assert is_batch("Application/vnd.microsoft.servicebus.json ; charset=utf-8")
    assert not is_batch("application/vnd.microsoft.iothub.json")
    assert not is_batch(None)


BATCH = b'[{"Body":"one","UserProperties":{"a":1},"BrokerProperties":{"MessageId":"7"}},{"Body":"\xc3\xbc"}]'


def test_a_batch_is_read_in_its_order() -> None:
    assert read_batch(LEAF, BATCH) == [
        Content(Bag({"a": "1"}, {"messageId": "7"}), b"one"),
        Content(Bag({}, {}), "ü".encode()),
    ]


@pytest.mark.parametrize("cut", range(len(BATCH)))
def test_a_batch_that_is_cut_short_is_refused_whole(cut: int) -> None:
    with pytest.raises(ProtocolError) as refused:
        read_batch(LEAF, BATCH[:cut])
    assert refused.value.reply == 400


def test_what_is_wrong_in_a_batch_is_said_with_its_place() -> None:
    with pytest.raises(ProtocolError, match="message 2 of 2 in the batch: the property 'a' is neither"):
        read_batch(LEAF, b'[{"Body":""},{"Body":"","UserProperties":{"a":[]}}]')


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Body", "UserProperties", "BrokerProperties", "PartitionKey", "$.ct", ""]), inner
        )
    ),
    max_leaves=12,
)


@settings(max_examples=100)
@given(JSON)
def test_no_mangled_batch_raises_anything_else(document: Any) -> None:
    try:
        said: object = len(read_batch(LEAF, orjson.dumps(document)))
    except ProtocolError as error:
        said = error.reply
    assert said in ((len(document), 400, 413) if isinstance(document, list) else (400,))


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(st.text("aBx-$.", min_size=1, max_size=8), st.text(' "1[]{}:,nulltrueé', max_size=8)), max_size=4
    )
)
def test_no_mangled_headers_raise_anything_else(fields: list[tuple[str, str]]) -> None:
    try:
        said: object = single(*fields)
    except ProtocolError as error:
        said = error.reply
    assert said == 400 or isinstance(said, Bag)
