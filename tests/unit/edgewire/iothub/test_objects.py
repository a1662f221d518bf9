import pytest

from edgewire.errors import ProtocolError
from edgewire.iothub.objects import read_object


def test_an_object_is_read() -> None:
    assert read_object(b'{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":2}}',
        b"\xff",
        b"[" * 100_000,
        b'{"a":' + b"9" * 5_000,
    ],
)
def test_what_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError) as refused:
        read_object(body)
    assert refused.value.reply == 400
