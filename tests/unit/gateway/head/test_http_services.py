import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewire.errors import ProtocolError
from edgewire.message import Identity, identity
from edgewire.session.http.events import HeadReceived, RequestReceived
from edgewire.session.http.server import JSON, Response
from edgewire.transport.pump import Peer
from gateway.head.http_services import Caller, LetIn, NotLetInError
from gateway.observe.head import HttpAction, RefusedRequest, RequestRefused
from gateway.observe.identity import LoginRefused, RefusalReason
from support.http_site import ADDRESS, HttpClient, HttpSite
from support.mqtt_site import HUB


class Echo:
    """Says who asks for what; below /echo/open without asking for credentials."""

    action = HttpAction.FIRMWARE
    max_body_bytes = 10

    def claims(self, path: str) -> bool:
        return path.startswith("/echo/")

    def caller(self, head: HeadReceived, peer: Peer) -> Caller | LetIn | None:
        if head.path == "/echo/broken":
            raise ProtocolError("broken", reply=404)
        if head.path.startswith("/echo/not"):
            raise NotLetInError(401, "no", 30.0 if head.path.endswith("late") else 0.0)
        if head.path == "/echo/judged":
            return LetIn(identity(peer.address))
        return None if head.path == "/echo/open" else Caller(identity("d1"), HUB)

    def refusal(self, status: int, what: str) -> Response:
        return Response(status=status, body=json.dumps({"said": what}).encode(), content_type=JSON)

    async def answer(self, request: RequestReceived, peer: Peer, who: Identity | None) -> Response:
        if request.body == b"no":
            raise ProtocolError("no is no", reply=409)
        return Response(status=200, body=f"{who} at {peer.address}: {request.body.decode()}".encode())


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[HttpSite]:
    async with HttpSite.open(tmp_path, services=[Echo()]) as ours:
        yield ours


@pytest.fixture
async def client(site: HttpSite) -> HttpClient:
    return site.dial_http()


async def test_a_service_gets_what_it_claims_with_who_was_let_in(client: HttpClient) -> None:
    client.ask("POST", "/echo/own", b"hello")
    answer = await client.answer()
    assert (answer.status, answer.body) == (200, f"d1 at {ADDRESS}: hello".encode())


async def test_a_service_may_let_in_by_the_head_or_not(site: HttpSite, client: HttpClient) -> None:
    client.ask("POST", "/echo/judged", b"hello", token=None)
    assert (await client.answer()).body == f"{ADDRESS} at {ADDRESS}: hello".encode()
    client.say(b"POST /echo/not HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
    answer = await client.answer()
    assert (answer.status, json.loads(answer.body)) == (401, {"said": "no"})
    assert client.is_closed()
    assert site.reasons(RequestRefused) == []


async def test_a_refusal_may_be_held_back_and_its_caller_may_go(site: HttpSite, client: HttpClient) -> None:
    client.ask("POST", "/echo/not-late", b"hello", token=None)
    assert client.wire.paused
    client.lose()
    assert client.answers() == []


async def test_a_service_may_judge_its_callers_itself(client: HttpClient) -> None:
    client.ask("POST", "/echo/open", b"hello", token=None)
    assert (await client.answer()).body == f"None at {ADDRESS}: hello".encode()


async def test_nobody_gets_to_a_service_without_what_it_asks_for(site: HttpSite, client: HttpClient) -> None:
    client.ask("POST", "/echo/own", token=site.sas("d2"))
    answer = await client.answer()
    assert (answer.status, json.loads(answer.body)) == (401, {"said": "Unauthorized"})
    assert LoginRefused("d1", ADDRESS, RefusalReason.FOREIGN_AUDIENCE, "") in site.events


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/echo/broken", {}, 404),
        ("/echo/open", {"Content-Length": "11"}, 413),
        ("/echo/own", {"Content-Length": "11"}, 413),
    ],
)
async def test_what_a_service_refuses_is_refused_before_its_body(
    site: HttpSite, client: HttpClient, target: str, headers: dict[str, str], status: int
) -> None:
    client.ask("POST", target, headers=headers)
    assert (await client.answer()).status == status
    assert client.is_closed()
    [refused] = [event for event in site.events if isinstance(event, RequestRefused)]
    assert refused.reason is RefusedRequest.MALFORMED


async def test_a_body_of_unknown_length_is_refused(client: HttpClient) -> None:
    client.say(b"POST /echo/open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert (await client.answer()).status == 411


async def test_a_service_may_say_no_late(client: HttpClient) -> None:
    client.ask("POST", "/echo/own", b"no")
    assert (await client.answer()).status == 409
    client.ask("POST", "/echo/own", b"yes")
    assert (await client.answer()).status == 200


async def test_requests_of_a_service_are_counted(site: HttpSite, client: HttpClient) -> None:
    client.ask("GET", "/echo/own")
    await client.answer()
    assert site.http.answered == {(HttpAction.FIRMWARE, 200): 1}


async def test_other_paths_are_the_device_apis(client: HttpClient) -> None:
    client.ask("GET", "/else")
    assert (await client.answer()).status == 404
