import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from edgepage.guard import Guard
from gateway.dashboard.answers import NotAnsweredError
from gateway.dashboard.api import LISTED, LISTED_DEVICES, MAX_LISTED, MAX_LISTED_DEVICES, ApiPages, Shown
from gateway.dashboard.door import HOUSE, Reporter
from gateway.observe.events import Event
from gateway.observe.page import DeviceAction, DeviceDeed, PageDeviceUsed
from support.page_visit import TOKEN, PageAnswer, Visitor


class Desk:
    """Tells what it was asked; a device of the name `away` is."""

    def overview(self) -> Mapping[str, Any]:
        return {"overview": True}

    def devices(self, search: str, limit: int, shown: Shown) -> Mapping[str, Any]:
        return {"search": search, "limit": limit, "shown": shown.value}

    def device(self, name: str) -> Mapping[str, Any]:
        return {"name": name}

    def routes(self) -> Mapping[str, Any]:
        return {"routes": []}

    def messages(self, last: int, device: str) -> Mapping[str, Any]:
        return {"last": last, "device": device}

    def message(self, number: int) -> Mapping[str, Any]:
        if number == 404:
            raise NotAnsweredError(404, "it is not kept any more")
        return {"n": number}

    def events(self, last: int) -> Mapping[str, Any]:
        return {"last": last}

    async def try_routes(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"tried": asked}

    async def replay(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"replayed": asked}

    async def twin(self, name: str) -> Mapping[str, Any]:
        return {"twin": name}

    async def edit_twin(self, name: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"edited": name, **asked}

    async def send(self, name: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        if name == "away":
            raise NotAnsweredError(409, "it is away")
        return {"sent": name, **asked}

    async def call(self, name: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"called": name, **asked}


GETS = (
    *("/api/overview", "/api/devices", "/api/devices/d1", "/api/devices/d1/twin", "/api/routes", "/api/messages"),
    *("/api/messages/7", "/api/events"),
)
CHANGES = (
    *(("POST", "/api/try"), ("POST", "/api/replay"), ("POST", "/api/devices/d1/messages")),
    *(("POST", "/api/devices/d1/methods"), ("PATCH", "/api/devices/d1/twin")),
)
JSON = "application/json"


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
async def stranger(events: list[Event]) -> AsyncIterator[Visitor]:
    guard = Guard(HOUSE, token=lambda: TOKEN, address="127.0.0.1", witness=Reporter(lambda _event: None))
    async with Visitor.at((guard, ApiPages(Desk(), events.append))) as visitor:
        yield visitor


@pytest.fixture
async def visitor(stranger: Visitor) -> Visitor:
    await stranger.log_in()
    return stranger


async def change(visitor: Visitor, method: str, path: str, body: bytes = b"{}", **headers: str) -> PageAnswer:
    """As a page of ours asks for it, but for these headers."""
    ours = {"Origin": f"http://{visitor.host}", "Content_Type": JSON}
    return await visitor.ask(method, path, body=body, **ours | headers)


async def test_nothing_is_told_or_done_without_a_login(stranger: Visitor, events: list[Event]) -> None:
    for path in GETS:
        answer = await stranger.ask("GET", path)
        assert (answer.status, answer.headers["Content-Type"].split(";")[0]) == (401, JSON)
        assert "gateway page" in json.loads(answer.text)["error"]["message"]
    for method, path in CHANGES:
        assert (await change(stranger, method, path)).status == 401
    assert events == []


async def test_every_path_that_is_there_is_named_above(visitor: Visitor) -> None:
    for path in GETS:
        answer = await visitor.ask("GET", path)
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
    for method, path in CHANGES:
        assert (await change(visitor, method, path)).status == 200


async def test_a_page_of_another_site_changes_nothing(visitor: Visitor, events: list[Event]) -> None:
    for method, path in CHANGES:
        for origin in ("", "null", "http://evil.example"):
            assert (await change(visitor, method, path, Origin=origin)).status == 403
        assert (await change(visitor, method, path, Host="evil.example")).status == 403
        assert (await change(visitor, method, path, Content_Type="text/plain")).status == 415
    assert events == []


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/api/devices?search=Lab&limit=5", {"search": "Lab", "limit": 5, "shown": "all"}),
        ("/api/devices?shown=away", {"search": "", "limit": LISTED_DEVICES, "shown": "away"}),
        ("/api/devices?limit=99999", {"search": "", "limit": MAX_LISTED_DEVICES, "shown": "all"}),
        ("/api/devices/d1%2Fm1", {"name": "d1/m1"}),
        ("/api/devices/a%25b%23c", {"name": "a%b#c"}),
        ("/api/messages?last=1000", {"last": MAX_LISTED, "device": ""}),
        ("/api/messages?last=5&device=d1%2Fm1", {"last": 5, "device": "d1/m1"}),
        ("/api/events", {"last": LISTED}),
        ("/api/messages/12", {"n": 12}),
    ],
)
async def test_what_is_asked_reaches_the_desk(visitor: Visitor, path: str, told: Mapping[str, Any]) -> None:
    answer = await visitor.ask("GET", path)
    assert (answer.status, json.loads(answer.text)) == (200, told)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/messages/404", 404),
        ("/api/nothing", 404),
        ("/api/devices/a%2Fb%2Fc", 404),
        ("/api/devices/%0A", 404),
        ("/api/devices/" + "x" * 200, 404),
        ("/api/devices?search=" + "x" * 500, 400),
        ("/api/devices?shown=nobody", 400),
        ("/api/messages?last=x", 400),
    ],
)
async def test_a_refusal_is_json_and_says_why(visitor: Visitor, path: str, status: int) -> None:
    answer = await visitor.ask("GET", path)
    assert answer.status == status
    assert json.loads(answer.text)["error"]["message"]


async def test_what_is_done_to_devices_is_written_down_done_or_not(visitor: Visitor, events: list[Event]) -> None:
    secret = b'{"body": "top secret"}'
    assert (await change(visitor, "POST", "/api/devices/d1/messages", secret)).status == 200
    assert (await change(visitor, "POST", "/api/devices/away/messages", secret)).status == 409
    assert (await change(visitor, "POST", "/api/devices/d1/methods", secret)).status == 200
    assert (await change(visitor, "PATCH", "/api/devices/d1%2Fm1/twin", secret)).status == 200
    sent, called, edited = DeviceAction.MESSAGE_SENT, DeviceAction.METHOD_CALLED, DeviceAction.TWIN_EDITED
    done, refused = DeviceDeed.DONE, DeviceDeed.REFUSED
    assert events == [
        PageDeviceUsed(address="127.0.0.1", action=action, identity=name, outcome=outcome)
        for action, name, outcome in (
            (sent, "d1", done),
            (sent, "away", refused),
            (called, "d1", done),
            (edited, "d1/m1", done),
        )
    ]
    assert "secret" not in str(events)
