import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from edgewire.iothub import sas
from edgewire.iothub.bag import Bag
from edgewire.iothub.http.batch import CONTENT_TYPE, Content, write_batch
from edgewire.iothub.http.paths import Action, DeviceRequest, write_request
from edgewire.message import Identity, identity
from edgewire.session.http.events import Headers, RequestReceived
from edgewire.session.http.server import Response
from edgewire.transport.pump import Peer
from standin.app import DEFAULT_HUB, Ports, StandIn
from standin.devicebound import C2dMessage
from standin.http import Router
from standin.http_device import DeviceApi
from support.gateway_site import KEY

D1 = identity("d1")
PEER = Peer(address="127.0.0.1", port=1)
FREE = Ports(mqtt=0, websocket=None, amqp=None)


class House:
    """The API of a stand-in, asked without a socket."""

    def __init__(self, standin: StandIn) -> None:
        self.standin = standin
        self.hub = standin.hub
        self.api = DeviceApi(standin.hub, standin._admission)
        self.router = Router([self.api], lambda error, _: pytest.fail(str(error)))

    async def ask(
        self,
        action: Action,
        who: Identity = D1,
        *,
        lock: str = "",
        token: str | None = "",
        body: bytes = b"",
        headers: Mapping[str, str] = {},
    ) -> Response:
        method, target = write_request(DeviceRequest(action=action, identity=who, lock_token=lock))
        fields = {"Host": DEFAULT_HUB, **headers}
        if token is not None:
            fields["Authorization"] = token or sign(who)
        path, _, query = target.partition("?")
        request = RequestReceived(
            method=method, path=path, query=query, headers=Headers(tuple(fields.items())), body=body
        )
        return await self.router.answer(request, PEER)


def sign(who: Identity, key: bytes = KEY, life_s: float = 600) -> str:
    return sas.make(sas.resource_of(DEFAULT_HUB, who), key, int(time.time() + life_s))


def header(response: Response, name: str) -> str | None:
    return Headers(response.headers).get(name)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with StandIn(tmp_path / "run", address="127.0.70.21", ports=FREE) as standin:
        standin.add_device("d1", keys=(sas.encode_key(KEY),))
        standin.add_device("d2")
        standin.add_module("caller", keys=(sas.encode_key(KEY),))
        yield House(standin)


async def test_telemetry_is_on_disk_when_it_is_answered(house: House) -> None:
    headers = {"iothub-app-Kind": "a", "IoTHub-MessageId": "m"}
    assert (await house.ask(Action.SEND, body=b"{}", headers=headers)).status == 204
    batch = write_batch([Content(Bag({"n": "1"}, {}), b"1"), Content(Bag({}, {}), b"2")])
    assert (await house.ask(Action.SEND, body=batch, headers={"Content-Type": CONTENT_TYPE})).status == 204
    events = house.standin.events.read()
    assert [event.body for event in events] == [b"{}", b"1", b"2"]
    assert events[0].properties == {"Kind": "a"}
    assert events[0].system["messageId"] == "m"


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"iothub-app-a": "1", "iothub-app-A": "1"}, b"", 400),
        ({"Content-Type": CONTENT_TYPE}, b"hello", 400),
        ({}, bytes(262_144), 413),
    ],
)
async def test_what_is_no_message_is_refused(house: House, headers: dict[str, str], body: bytes, status: int) -> None:
    assert (await house.ask(Action.SEND, body=body, headers=headers)).status == status
    assert house.standin.events.count() == 0


@pytest.mark.parametrize(
    ("token", "host", "counter"),
    [
        (None, DEFAULT_HUB, "no credentials"),
        (sign(D1, b"x" * 32), DEFAULT_HUB, "wrong key"),
        (sign(identity("d2")), DEFAULT_HUB, "token for another audience"),
        (sign(D1, life_s=-400), DEFAULT_HUB, "expired"),
        (sign(D1), "other.azure-devices.net", "foreign hub"),
        ("SharedAccessSignature sr=x", DEFAULT_HUB, "malformed token"),
    ],
)
async def test_who_does_not_prove_it_is_refused(house: House, token: str | None, host: str, counter: str) -> None:
    answer = await house.ask(Action.SEND, token=token, headers={"Host": host})
    assert (answer.status, header(answer, "iothub-errorcode")) == (401, "IotHubUnauthorizedAccess")
    assert house.standin.counters[f"refused: {counter}"] == 1


async def test_the_hub_s_address_is_a_name_of_it_too(house: House) -> None:
    assert (await house.ask(Action.SEND, headers={"Host": "127.0.70.21:443"})).status == 204


async def test_a_message_is_locked_until_it_is_settled(house: House) -> None:
    assert (await house.ask(Action.RECEIVE)).status == 204
    bag = Bag({"Level": "5", "iothub-ack": "full"}, {"messageId": "m"})
    house.hub.send_c2d(D1, C2dMessage(bag, b"on"))
    answer = await house.ask(Action.RECEIVE)
    assert (answer.status, answer.body) == (200, b"on")
    etag = header(answer, "ETag") or ""
    assert etag[0] == etag[-1] == '"'
    expected = {
        "iothub-messageid": "m",
        "iothub-to": "/devices/d1/messages/devicebound",
        "iothub-ack": "full",
        "iothub-deliverycount": "0",
        "iothub-sequencenumber": "1",
        "iothub-app-Level": "5",
    }
    assert {name: header(answer, name) for name in expected} == expected
    assert header(answer, "iothub-expiry") is not None
    assert header(answer, "iothub-enqueuedtime") is not None
    assert (await house.ask(Action.RECEIVE)).status == 204
    lock = etag.strip('"')
    assert (await house.ask(Action.ABANDON, lock=lock)).status == 204
    assert (await house.ask(Action.COMPLETE, lock=lock)).status == 412
    answer = await house.ask(Action.RECEIVE)
    assert header(answer, "iothub-deliverycount") == "1"
    assert (await house.ask(Action.REJECT, lock=(header(answer, "ETag") or "").strip('"'))).status == 204
    assert house.hub.c2d_waiting(D1) == 0


async def test_a_lock_that_is_none_is_lost(house: House) -> None:
    assert (await house.ask(Action.COMPLETE, lock="no-uuid")).status == 412


async def test_a_module_calls_through_edge_hub(house: House) -> None:
    target, caller = D1, identity("edge-1", "caller")

    async def call(said: str, token: str | None, body: Any) -> Response:
        headers = {"x-ms-edge-moduleId": said}
        return await house.ask(Action.INVOKE, target, token=token, body=json.dumps(body).encode(), headers=headers)

    answer = await call("edge-1/caller", sign(caller), {"methodName": "open"})
    assert (answer.status, json.loads(answer.body).keys()) == (404, {"message"})
    assert header(answer, "X-Content-Type-Options") == "nosniff"
    assert (await call("edge-1/caller", sign(caller), {})).status == 400
    assert (await call("edge-1/caller", sign(D1), {"methodName": "open"})).status == 401
    assert (await call("d1/caller", sign(caller), {"methodName": "open"})).status == 401


async def test_only_its_own_paths_are_claimed(house: House) -> None:
    def claims(path: str, *headers: tuple[str, str]) -> bool:
        return house.api.claims(RequestReceived(method="GET", path=path, query="", headers=Headers(headers)))

    assert claims("/devices/d1/messages/events")
    assert not claims("/devices/d1")
    assert not claims("/twins/d1/methods")
    assert claims("/twins/d1/methods", ("x-ms-edge-moduleId", "edge-1/caller"))


async def test_faults_are_those_of_other_protocols(house: House) -> None:
    house.standin.throttle()
    assert (await house.ask(Action.SEND)).status == 429
    house.standin.refuse_connections()
    assert (await house.ask(Action.RECEIVE)).status == 503
    house.standin.behave()
    house.standin.stall()
    asking = asyncio.ensure_future(house.ask(Action.SEND))
    done, _ = await asyncio.wait([asking], timeout=0.05)
    assert not done
    asking.cancel()
