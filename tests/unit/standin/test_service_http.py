from collections.abc import Sequence

import pytest

from edgewire.message import identity
from edgewire.session.http.events import Headers, RequestReceived
from edgewire.session.http.server import Response
from standin.errors import HubError
from standin.policies import Right
from standin.service_http import Call, Route, answer, call_of, check_etag, matching, route

VERSION = "api-version=2021-04-12"


def nothing(_: Call) -> Response:
    return Response(status=204)


def request(
    path: str, query: str = VERSION, headers: Sequence[tuple[str, str]] = (), body: bytes = b"", method: str = "GET"
) -> RequestReceived:
    return RequestReceived(method=method, path=path, query=query, headers=Headers(tuple(headers)), body=body)


def call(path: str = "/devices/d1", query: str = VERSION, *headers: tuple[str, str], body: bytes = b"") -> Call:
    return call_of(matching(ROUTES, request(path))[0], request(path, query, headers, body))


ROUTES: list[Route] = [
    route("GET", "/devices/*", Right.REGISTRY_READ, nothing),
    route("POST", "/devices/query", Right.REGISTRY_READ, nothing),
    route("GET", "/devices", Right.REGISTRY_READ, nothing),
    route("GET", "/devices/*/modules/*", Right.REGISTRY_READ, nothing),
]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/devices", ["/devices"]),
        ("/devices/", ["/devices"]),
        ("/Devices/d1", ["/devices/*"]),
        ("/devices/query", ["/devices/query", "/devices/*"]),
        ("/devices/d/modules/m", ["/devices/*/modules/*"]),
        ("/devices//modules/m", []),
        ("/devices/d/modules", []),
        ("/device", []),
        ("/", []),
    ],
)
def test_a_path_finds_its_routes_fixed_words_first(path: str, found: list[str]) -> None:
    assert ["/" + "/".join(each.path) for each in matching(ROUTES, request(path))] == found


def test_names_are_decoded_once() -> None:
    assert call("/devices/a%2541/modules/%24edgeAgent").names == ("a%41", "$edgeAgent")
    assert call("/devices/a%40b/modules/m").target() == identity("a@b", "m")


@pytest.mark.parametrize("path", ["/devices/a%2Fb", "/devices/a%20b", "/devices/" + "a" * 129])
def test_an_impossible_id_is_refused(path: str) -> None:
    with pytest.raises(HubError, match="impossible"):
        call(path).target()


@pytest.mark.parametrize("query", ["", "api-version=", "api-version=latest", "top=1", "&".join(["a=1"] * 30)])
def test_a_query_without_a_version_or_with_too_much_is_refused(query: str) -> None:
    with pytest.raises(HubError):
        call("/devices", query)


@pytest.mark.parametrize(
    ("sent", "read"),
    [('"*"', "*"), ("*", "*"), ('"NTY="', "NTY="), ("NTY=", "NTY="), ('W/"a"', "a"), (' "a" ', "a")],
)
def test_an_etag_is_read_with_quotes_and_without(sent: str, read: str) -> None:
    assert call("/devices/d", VERSION, ("if-match", sent)).etag() == read


def test_an_etag_that_is_another_one_is_refused() -> None:
    for sent in ("*", '"*"', '"now"'):
        check_etag(call("/devices/d", VERSION, ("If-Match", sent)), "now", "d")
    check_etag(call(), "now", "d")
    with pytest.raises(HubError, match="read it again") as caught:
        check_etag(call("/devices/d", VERSION, ("If-Match", '"then"')), "now", "d")
    assert caught.value.code == 412001


def test_bodies_are_objects() -> None:
    assert call(body=b'{"a":1}').object() == {"a": 1}
    for body in (b"", b"[]", b"{"):
        with pytest.raises(HubError, match="the body is not"):
            call(body=body).object()


def test_numbers_are_bounded() -> None:
    assert call("/devices", VERSION + "&top=7").number("top", most=10) == 7
    assert call("/devices").number("top", most=10) is None
    for text in ("0", "11", "x", "-1", "9" * 5000):
        with pytest.raises(HubError, match="from 1 to 10"):
            call("/devices", f"{VERSION}&top={text}").number("top", most=10)


def test_an_answer_has_its_etag_in_quotes() -> None:
    response = answer({"a": 1}, etag="x=")
    assert response.headers == (("ETag", '"x="'),)
    assert response.body == b'{"a":1}'
