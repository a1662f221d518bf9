from typing import Any

import orjson
import pytest
from aiohttp.test_utils import make_mocked_request

from standin.control_calls import CallError, answer, body_of, number_of, seconds_of, texts_of


class Given:
    """A request with this body."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self) -> bytes:
        return self._body


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7"])
async def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    given: Any = Given(body)
    with pytest.raises(CallError):
        await body_of(given)


async def test_an_object_is_read() -> None:
    given: Any = Given(b'{"a":1}')
    assert await body_of(given) == {"a": 1}


def test_a_number_of_the_query_is_never_below_0() -> None:
    request = make_mocked_request("GET", "/?a=2.5&b=-1&c=x&i=inf&n=nan&h=1e30")
    assert (number_of(request, "a", 0), number_of(request, "b", 0), number_of(request, "d", 7)) == (2.5, 0, 7)
    for name in ("c", "i", "n", "h"):
        with pytest.raises(CallError, match=f"{name}=.* is no number"):
            number_of(request, name, 0)


@pytest.mark.parametrize("value", ["1", None, True, -1, 11])
def test_a_time_of_the_body_is_a_number_within_bounds(value: Any) -> None:
    assert seconds_of({}, "t", 5, 10) == 5
    with pytest.raises(CallError, match="at most 10"):
        seconds_of({"t": value}, "t", 5, 10)


def test_texts_of_the_body_are_a_list() -> None:
    assert (texts_of({}, "t"), texts_of({"t": ["a", 1]}, "t")) == ([], ["a", "1"])
    with pytest.raises(CallError, match="t is 'ab'; it is a list of texts"):
        texts_of({"t": "ab"}, "t")


def test_an_answer_is_json() -> None:
    said = answer({"a": 1}, 201)
    assert isinstance(said.body, bytes)
    assert (said.status, said.content_type, orjson.loads(said.body)) == (201, "application/json", {"a": 1})
