import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from edgewire.session.http.events import Headers, RequestReceived
from edgewire.session.http.server import JSON, Response
from edgewire.transport.pump import Peer
from standin.dps_http import DpsHttp
from support.dps_house import REG, dps_house, dps_of, request, token
from support.hub_line import House

PEER = Peer(address="127.0.0.1", port=1)
REGISTER = f"/{REG}/register"


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[House]:
    async with dps_house(tmp_path) as hall:
        yield hall


def call(method: str, path: str, body: bytes = b"", authorization: str | None = "", **changes: str) -> RequestReceived:
    fields = () if authorization is None else (("Authorization", authorization or token()),)
    return RequestReceived(
        method=method,
        path=path,
        query=changes.get("query", "api-version=2019-03-31"),
        headers=Headers(fields),
        body=body,
    )


async def answer(hall: House, asked: RequestReceived) -> tuple[Response, Any]:
    api = DpsHttp(dps_of(hall))
    assert api.claims(asked)
    response = await api.answer(asked, PEER)
    assert response.content_type == JSON
    return response, orjson.loads(response.body)


async def test_a_device_registers_as_it_is_written_down(hall: House) -> None:
    response, body = await answer(hall, call("PUT", REGISTER, request(payload={"a": 1})))
    assert (response.status, response.headers) == (202, (("Retry-After", "0"),))
    assert (set(body), body["status"]) == ({"operationId", "status"}, "assigning")
    await dps_of(hall).until_idle()
    # Node sends two bytes with its GET.
    response, last = await answer(hall, call("GET", f"/{REG}/operations/{body['operationId']}", b"{}"))
    assert (response.status, response.headers) == (200, ())
    assert last["registrationState"]["payload"] == {"a": 1}


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        (call("PUT", REGISTER, b"{}"), 400, 400004),
        (call("PUT", REGISTER, request(), query=""), 400, 400004),
        (call("PUT", "/0ne00STANDIN/registrations/a%20b/register", request()), 400, 400004),
        (call("GET", f"/{REG}/operations/4.x", b"{ }"), 400, 400004),
        (call("PUT", REGISTER, request(), None), 401, 401002),
        (call("PUT", REGISTER, request(), "nonsense"), 401, 401002),
        (call("GET", f"/{REG}/operations/4.x"), 404, 404001),
        (call("POST", REGISTER, request()), 405, 405001),
        (call("PUT", f"/{REG}/operations/4.x"), 405, 405001),
    ],
)
async def test_a_refusal_says_its_code_in_body_and_header(
    hall: House, asked: RequestReceived, status: int, code: int
) -> None:
    response, body = await answer(hall, asked)
    assert (response.status, body["errorCode"]) == (status, code)
    assert ("x-ms-error-code", str(code)) in response.headers


async def test_a_throttled_request_says_when_to_come_back(hall: House) -> None:
    hall.hub.faults.throttling = True
    response, _ = await answer(hall, call("PUT", REGISTER, request()))
    assert response.status == 429
    assert response.headers == (("Retry-After", "0"), ("x-ms-error-code", "429001"))


async def test_a_service_that_refuses_answers_503_and_one_that_is_stalled_nothing(hall: House) -> None:
    hall.hub.faults.refusing = True
    response, _ = await answer(hall, call("PUT", REGISTER, request()))
    assert response.status == 503
    hall.hub.faults.refusing, hall.hub.faults.stalled = False, True
    waiting = asyncio.create_task(answer(hall, call("PUT", REGISTER, request())))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_other_paths_are_for_others(hall: House) -> None:
    api = DpsHttp(dps_of(hall))
    assert not api.claims(call("PUT", "/devices/reg-01"))
    assert not api.claims(call("PUT", f"/{REG}"))
