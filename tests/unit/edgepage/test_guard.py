import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web

from edgepage.guard import Guard, House, PageClosedError, Refusal
from support.page_visit import TOKEN, Visitor

ADDRESS = "192.168.1.7"
HOUSE = House(
    name="Gateway",
    cookie="gateway-page",
    home="/claims",
    names="127.0.0.1 and localhost",
    ending="Run gateway page: it shows the address.",
    open_to_all=frozenset({"/metrics"}),
)


@dataclass
class Rooms:
    """Two pages behind a guard, and its witness; `changed` counts what was let through to be changed."""

    token: str = TOKEN
    is_closed: bool = False
    changed: int = 0
    logins: list[str] = field(default_factory=list)
    refused_ones: list[tuple[str, Refusal]] = field(default_factory=list)

    def add_to(self, application: web.Application) -> None:
        application.router.add_get("/claims", self._show)
        application.router.add_post("/claims", self._change)

    def current(self) -> str:
        if self.is_closed:
            raise PageClosedError("page-token cannot be read. Check the disk")
        return self.token

    def entered(self, address: str) -> None:
        self.logins.append(address)

    def refused(self, address: str, refusal: Refusal) -> None:
        self.refused_ones.append((address, refusal))

    def refusals(self) -> list[Refusal]:
        return [refusal for _, refusal in self.refused_ones]

    async def _show(self, _request: web.Request) -> web.Response:
        return web.Response(text="inside")

    async def _change(self, request: web.Request) -> web.Response:
        await request.read()
        self.changed += 1
        return web.Response(text="changed")


@pytest.fixture
def rooms() -> Rooms:
    return Rooms()


@pytest.fixture
async def visitor(rooms: Rooms) -> AsyncIterator[Visitor]:
    guard = Guard(HOUSE, token=rooms.current, address=ADDRESS, witness=rooms)
    async with Visitor.at((guard, rooms)) as visitor:
        yield visitor


async def test_a_login_gives_a_cookie_that_is_not_the_token(visitor: Visitor, rooms: Rooms) -> None:
    answer = await visitor.log_in()
    assert (answer.status, answer.headers["Location"]) == (303, "/claims")
    port = visitor.host.partition(":")[2]
    value = hmac.new(TOKEN.encode(), b"edge-page-cookie-1", hashlib.sha256).hexdigest()
    cookie = {part.strip() for part in answer.headers["Set-Cookie"].split(";")}
    assert cookie == {f"gateway-page-{port}={value}", "HttpOnly", "Path=/", "SameSite=Strict"}
    assert (await visitor.ask("GET", "/claims")).text == "inside"
    assert (await visitor.ask("GET", "/")).headers["Location"] == "/claims"
    assert rooms.logins == ["127.0.0.1"]
    assert TOKEN not in str(answer)


@pytest.mark.parametrize(
    "query", ["", "?token=", f"?token={TOKEN[:-1]}", f"?token={TOKEN}x", "?token=%ff%00", f"?Token={TOKEN}", "?token=é"]
)
async def test_another_token_lets_nobody_in(visitor: Visitor, rooms: Rooms, query: str) -> None:
    answer = await visitor.ask("GET", f"/login{query}")
    assert answer.status == 403
    assert "Run gateway page" in answer.text
    assert "Set-Cookie" not in answer.headers
    assert rooms.refusals() == [Refusal.WRONG_TOKEN]


@pytest.mark.parametrize(
    "path", ["/claims", "/", "/none", "/asset", "/api/devices", "/claims/0a1b2c3d/revoke", "/metrics/", "//metrics"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD"])
async def test_without_a_login_nothing_is_told_of_any_page(visitor: Visitor, method: str, path: str) -> None:
    answer = await visitor.ask(method, path)
    assert answer.status == 401
    assert method == "HEAD" or "Run gateway page" in answer.text


async def test_the_counters_are_for_all_under_any_name(visitor: Visitor) -> None:
    assert (await visitor.ask("GET", "/metrics", Host="gateway:9600")).status == 200


async def test_another_token_ends_every_login_at_once(visitor: Visitor, rooms: Rooms) -> None:
    await visitor.log_in()
    rooms.token = TOKEN[::-1]
    assert (await visitor.ask("GET", "/claims")).status == 401
    assert (await visitor.log_in()).status == 403
    assert rooms.refusals() == [Refusal.WRONG_COOKIE, Refusal.WRONG_TOKEN]
    assert (await visitor.log_in(rooms.token)).status == 303
    assert (await visitor.ask("GET", "/claims")).status == 200


async def test_neither_the_token_nor_half_a_value_is_a_cookie(visitor: Visitor, rooms: Rooms) -> None:
    await visitor.log_in()
    name, _, value = visitor.cookie.partition("=")
    for wrong in (TOKEN, value[:-1], value.upper(), "", f"{value}0", "\u00e9"):
        visitor.cookie = f"{name}={wrong}"
        assert (await visitor.ask("GET", "/claims")).status == 401
    visitor.cookie = f"gateway-page-1={value}"  # that of a gateway at another port
    assert (await visitor.ask("GET", "/claims")).status == 401
    assert set(rooms.refusals()) == {Refusal.WRONG_COOKIE}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.9.8.7:9600", 200),
        ("LocalHost:80", 200),
        ("[::1]:9600", 200),
        (f"{ADDRESS}:9600", 200),
        ("192.168.1.8", 403),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.1", 403),
        ("2130706433", 403),
        ("0x7f.1", 403),
        ("127.0.0.1@evil.example", 403),
        ("127.0.0.1:port", 403),
        ("[::1", 403),
        ("[::1%25lo]", 403),
        ("[fe80::1]", 403),
    ],
)
async def test_the_page_answers_to_names_of_this_machine_alone(
    visitor: Visitor, rooms: Rooms, host: str, status: int
) -> None:
    await visitor.log_in()
    value = visitor.cookie.partition("=")[2]
    visitor.cookie = "; ".join(f"gateway-page-{port}={value}" for port in (80, 9600))
    answer = await visitor.ask("GET", "/claims", Host=host)
    assert answer.status == status
    assert rooms.refusals() == ([] if status == 200 else [Refusal.FOREIGN_HOST])
    if status == 403:
        assert (await visitor.ask("GET", f"/login?token={TOKEN}", Host=host)).status == 403
        assert rooms.changed == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://{host}"}, 200),
        ({"Origin": "http://{host}", "Sec_Fetch_Site": "same-origin"}, 200),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
        ({"Origin": "null", "Sec_Fetch_Site": "same-origin"}, 200),
        ({}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://{host}"}, 403),
        ({"Origin": "http://{host}.evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://evil.example", "Sec_Fetch_Site": "same-origin"}, 403),
        ({"Origin": "http://{host}", "Sec_Fetch_Site": "same-site"}, 403),
        ({"Origin": "http://{host}", "Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "none"}, 403),
    ],
)
async def test_only_a_page_of_ours_may_change_anything(
    visitor: Visitor, rooms: Rooms, headers: dict[str, str], status: int
) -> None:
    await visitor.log_in()
    sent = {name: value.format(host=visitor.host) for name, value in headers.items()}
    answer = await visitor.ask("POST", "/claims", body=None, **sent)
    assert (answer.status, rooms.changed) == (status, int(status == 200))
    assert rooms.refusals() == ([] if status == 200 else [Refusal.FOREIGN_ORIGIN])


async def test_every_answer_says_what_a_browser_may_do_with_it(visitor: Visitor) -> None:
    answers = [await visitor.ask("GET", "/claims"), await visitor.ask("GET", "/login"), await visitor.log_in()]
    answers += [await visitor.ask("GET", path) for path in ("/claims", "/none")]
    answers += [await visitor.send("/login"), await visitor.send("/claims", b"x" * 5_000)]
    assert [answer.status for answer in answers] == [401, 403, 303, 200, 404, 405, 413]
    for answer in answers:
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
        assert (policy["default-src"], policy["frame-ancestors"], policy["base-uri"]) == ("'none'",) * 3
        assert policy["form-action"] == "'self'"
        assert {policy[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"


async def test_a_script_reads_a_refusal_as_json(visitor: Visitor, rooms: Rooms) -> None:
    """A page cannot show a page that came in the place of an answer."""
    answers = [await visitor.ask("GET", "/api/devices"), await visitor.ask("GET", "/api/devices", Host="evil.example")]
    await visitor.log_in()
    answers += [
        await visitor.ask("GET", "/api/none"),
        await visitor.ask("POST", "/api/none", Origin="http://evil.example"),
    ]
    rooms.is_closed = True
    answers.append(await visitor.ask("GET", "/api/devices"))
    assert [answer.status for answer in answers] == [401, 403, 404, 403, 503]
    said = [json.loads(answer.text)["error"]["message"] for answer in answers]
    assert "Run gateway page" in said[0]
    assert "Check the disk" in said[-1]
    assert {answer.headers["Content-Type"] for answer in answers} == {"application/json; charset=utf-8"}


async def test_the_parts_are_given_to_whoever_asks_this_machine(visitor: Visitor, rooms: Rooms) -> None:
    """The page that says how to log in is made of them, and they are no secret."""
    answer = await visitor.ask("GET", "/assets/parts/parts.css")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/css; charset=utf-8")
    assert (await visitor.ask("GET", "/assets/parts/parts.css", Host="evil.example")).status == 403
    assert (await visitor.ask("GET", "/assets/../claims")).status == 401
    assert (await visitor.ask("GET", "/assets/none")).status == 404
    assert "Content-Security-Policy" in answer.headers


async def test_a_house_may_be_at_home_at_the_root(rooms: Rooms) -> None:
    guard = Guard(replace(HOUSE, home="/"), token=rooms.current, address=ADDRESS, witness=rooms)
    async with Visitor.at((guard, rooms)) as visitor:
        assert (await visitor.log_in()).headers["Location"] == "/"
        assert (await visitor.ask("GET", "/")).status == 404  # until somebody serves it


async def test_a_token_that_cannot_be_read_closes_the_page(visitor: Visitor, rooms: Rooms) -> None:
    await visitor.log_in()
    rooms.is_closed = True
    for answer in (await visitor.ask("GET", "/claims"), await visitor.log_in()):
        assert answer.status == 503
        assert "Check the disk" in answer.text


@pytest.mark.parametrize("hosts", [[], ["127.0.0.1", "127.0.0.1"], [""]])
def test_a_request_names_one_host(rooms: Rooms, hosts: list[str]) -> None:
    guard = Guard(HOUSE, token=rooms.current, address=ADDRESS, witness=rooms)
    request: Any = SimpleNamespace(headers=SimpleNamespace(getall=lambda _name, _default: hosts))
    assert not guard._is_asked_for_us(cast("web.Request", request))
