import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edgewire.iothub import sas
from edgewire.iothub.dps import Poll, Registrant
from gateway.dispatch.provisioning import Provisioning
from gateway.head.http_dps import HttpProvisioning
from gateway.identity.assignments import Assignments
from gateway.observe.head import HttpAction, HttpRequestsAnswered
from support.http_site import HttpSite, until
from support.provisioning_service import ScriptedService

REG = Registrant("0ne00ABCDEF", "reg-01")
BASE = "/0ne00ABCDEF/registrations/reg-01"
REGISTER = f"{BASE}/register?api-version=2019-03-31"
POLL = f"{BASE}/operations/4.x?api-version=2019-03-31"
BODY = b'{"registrationId":"reg-01"}'


class DpsSite(HttpSite):
    """A site with a provisioning service behind it."""

    service: ScriptedService

    def token(self, device: str = "", *, key: bytes = b"k" * 32, life_s: float = 3600) -> Any:
        return sas.make(device or str(REG), key, int(self.clock.now + life_s))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[DpsSite]:
    async with DpsSite.open(tmp_path) as site:
        site.service = ScriptedService()
        assignments = Assignments(tmp_path / "assignments.json", site.registry, site.events.append, site.clock)
        provisioning = Provisioning(
            site.service,
            assignments,
            gateway="pi.local",
            hub_names=("hub.test",),
            emit=site.events.append,
            clock=site.clock,
        )
        site.http.services = [HttpProvisioning(provisioning)]
        yield site


async def test_a_device_registers_and_asks_what_became_of_it(site: DpsSite) -> None:
    client = site.dial_http()
    client.ask("PUT", REGISTER, BODY, token=site.token())
    await until(lambda: bool(site.service.asked))
    assert site.service.asked[0][0].body == BODY
    site.service.answer(202, {"operationId": "4.x", "status": "assigning"}, 3)
    told = await client.answer()
    assert (told.status, told.headers["retry-after"]) == (202, "3")
    assert told.headers["content-type"].startswith("application/json")
    client.ask("GET", POLL, b"{}", token=site.token())  # as Node does
    await until(lambda: bool(site.service.asked))
    assert site.service.asked[0][0].request == Poll("4.x")
    state = {"assignedHub": "hub.test", "deviceId": "d"}
    site.service.answer(200, {"operationId": "4.x", "status": "assigned", "registrationState": state})
    told = await client.answer()
    assert json.loads(told.body)["registrationState"] == state | {"gatewayHostName": "pi.local"}
    site.http.report()
    counted = [event for event in site.events if isinstance(event, HttpRequestsAnswered)]
    assert {event.action for event in counted} == {HttpAction.PROVISION}


@pytest.mark.parametrize(
    ("method", "target", "body", "status"),
    [
        ("POST", REGISTER, BODY, 405),
        ("GET", REGISTER, b"", 405),
        ("PUT", POLL, BODY, 405),
        ("PUT", f"{BASE}/register", BODY, 400),
        ("PUT", f"{BASE}%2f/register?api-version=1", BODY, 400),
        ("PUT", REGISTER.replace("reg-01", "reg_"), BODY, 400),
        ("PUT", REGISTER, b"x" * 98_305, 413),
        ("PUT", REGISTER, b"{}", 400),
        ("PUT", REGISTER.replace("reg-01", "reg-02"), b'{"registrationId":"reg-02"}', 401),
        ("GET", POLL.replace("4.x", ".."), b"", 400),
    ],
)
async def test_what_is_no_request_is_refused_in_the_services_form(
    site: DpsSite, method: str, target: str, body: bytes, status: int
) -> None:
    client = site.dial_http()
    client.ask(method, target, body, token=site.token())
    told = await client.answer()
    assert told.status == status
    code = json.loads(told.body)["errorCode"]
    assert code // 1_000 == status
    assert told.headers["x-ms-error-code"] == str(code)
    assert site.service.asked == []


async def test_without_a_token_nothing_is_passed_on(site: DpsSite) -> None:
    client = site.dial_http(certificates=(b"\x30\x00",))
    client.ask("PUT", REGISTER, BODY, token=None)
    told = await client.answer()
    assert told.status == 401
    assert "certificate" in json.loads(told.body)["message"]


async def test_who_has_gone_is_not_waited_for(site: DpsSite) -> None:
    client = site.dial_http()
    client.ask("PUT", REGISTER, BODY, token=site.token())
    await until(lambda: bool(site.service.asked))
    client.lose()
    site.service.answer(202, {})


async def test_a_flood_of_one_address_is_told_when_to_come_again(site: DpsSite) -> None:
    clients = [site.dial_http() for _ in range(40)]
    for client in clients:
        client.ask("PUT", REGISTER, BODY, token=site.token())
    await until(lambda: sum(bool(client.wire.written) for client in clients) == 39)
    told = [client.answers()[0] for client in clients if client.wire.written]
    assert {each.status for each in told} <= {429, 503}
    assert all(int(each.headers["retry-after"]) > 0 for each in told)
    assert len(site.service.asked) == 1
