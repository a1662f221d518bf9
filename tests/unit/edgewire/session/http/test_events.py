import pytest

from edgewire.errors import ProtocolError
from edgewire.session.http.events import Headers, HeadReceived, RequestReceived

HEADERS = Headers((("Host", "h"), ("IoTHub-App-Kind", "a"), ("twice", "1"), ("Twice", "1")))


def test_a_header_is_found_whatever_its_case() -> None:
    assert HEADERS.get("iothub-app-kind") == "a"
    assert HEADERS.get("absent") is None


def test_one_that_came_twice_has_no_value() -> None:
    with pytest.raises(ProtocolError, match="came 2 times") as refused:
        HEADERS.get("TWICE")
    assert refused.value.reply == 400


def test_names_are_listed_as_they_were_sent() -> None:
    assert HEADERS.items()[1] == ("IoTHub-App-Kind", "a")


def test_no_header_and_no_body_shows_in_a_text() -> None:
    headers = Headers((("Authorization", "SharedAccessSignature sig=x"),))
    head = HeadReceived(method="GET", path="/", query="", headers=headers)
    whole = RequestReceived(method="GET", path="/", query="", headers=headers, body=b"secret")
    assert "Shared" not in repr(head) + repr(whole)
    assert "secret" not in repr(whole)
