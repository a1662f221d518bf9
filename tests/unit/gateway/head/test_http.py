import asyncio
import json
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from pathlib import Path

import pytest

from edgewire.iothub.http.batch import CONTENT_TYPE
from edgewire.message import Identity, identity
from gateway.dispatch.ingress import AppendResult
from gateway.head import http
from gateway.identity.roster import Registration, SymmetricKeys
from gateway.identity.tokens import PresentedTokens, Token
from gateway.identity.vouching import Vouchers, Vouching
from gateway.observe.head import (
    HttpAction,
    HttpRequestsAnswered,
    MessageRefused,
    ProtocolBroken,
    RefusedMessage,
    RefusedRequest,
    RequestRefused,
)
from gateway.observe.identity import LoginRefused, RefusalReason
from gateway.store.store import Done
from gateway.store.values import StoreLimits
from support.http_site import ADDRESS, DEVICEBOUND, EDGE_DEVICE, EVENTS, HttpClient, HttpSite, until
from support.mqtt_site import HUB, KEY
from support.way_back import QueueSource, RecordedRecipient, cloud_message

D1 = identity("d1")
OWN = EVENTS.format("d1")
METHODS = "/twins/d1/methods"
CALLER = identity(EDGE_DEVICE, "caller")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[HttpSite]:
    async with HttpSite.open(tmp_path) as ours:
        yield ours


@pytest.fixture
async def client(site: HttpSite) -> HttpClient:
    return site.dial_http()


# --- telemetry ----------------------------------------------------------------------------------------------------


async def test_a_message_is_answered_once_the_disk_has_it(site: HttpSite, client: HttpClient) -> None:
    client.ask("POST", OWN, b'{"t":1}', headers={"iothub-app-Kind": "a", "IoTHub-MessageId": "m"})
    assert client.answers() == []
    assert (await client.answer()).status == 204
    [entry] = site.stored()
    assert entry.message.body == b'{"t":1}'
    assert entry.message.envelope.properties == {"Kind": "a"}
    assert entry.message.envelope.system == {"messageId": "m", "connectionDeviceId": "d1"}
    assert not client.is_closed()


async def test_a_batch_is_stored_whole_or_not_at_all(site: HttpSite, client: HttpClient) -> None:
    batch = {"Content-Type": CONTENT_TYPE}
    client.ask("POST", OWN, b'[{"body":"aGk="},{"body":"?"}]', headers=batch)
    assert (await client.answer()).status == 400
    client.ask("POST", OWN, b'[{"body":"aGk="},{"body":"aG8="}]', headers=batch)
    assert (await client.answer()).status == 204
    assert [entry.message.body for entry in site.stored()] == [b"hi", b"ho"]
    assert site.reasons(MessageRefused) == [RefusedMessage.MALFORMED_MESSAGE]


async def test_a_module_sends_as_itself(site: HttpSite, client: HttpClient) -> None:
    site.registry.edit(
        lambda roster: roster.with_registration(Registration(identity("d1", "m1"), SymmetricKeys(KEY, KEY[::-1])))
    )
    client.ask("POST", OWN.replace("d1", "d1/modules/m1"), b"{}", token=site.sas("d1", "m1"))
    assert (await client.answer()).status == 204
    [entry] = site.stored()
    assert entry.message.envelope.sender == identity("d1", "m1")


async def test_requests_sent_ahead_are_answered_in_their_order(site: HttpSite, client: HttpClient) -> None:
    request = f"POST {OWN} HTTP/1.1\r\nHost: {HUB}\r\nAuthorization: {site.sas('d1')}\r\nContent-Length: 1\r\n\r\n"
    client.say(b"".join(request.encode() + b"%d" % number for number in range(8)))
    await until(lambda: client.wire.written.count(b"HTTP/1.1 204 ") == 8)
    assert [entry.message.body for entry in site.stored()] == [b"%d" % number for number in range(8)]


async def test_a_thousand_polls_sent_ahead_do_not_nest(site: HttpSite, client: HttpClient) -> None:
    site.delivery.subscribe(D1, RecordedRecipient(), 1)  # so that each is answered at once
    target = DEVICEBOUND.format("d1", "")
    one = f"GET {target} HTTP/1.1\r\nHost: {HUB}\r\nAuthorization: {site.sas('d1')}\r\n\r\n".encode()
    for _ in range(1_000 // 200):
        client.say(one * 200)
        await until(lambda: client.wire.written.count(b"HTTP/1.1 409 ") == 200)
        client.wire.written.clear()
    assert client.wire.crashed is None


async def test_a_full_store_says_when_to_come_again(tmp_path: Path) -> None:
    async with HttpSite.open(tmp_path, limits=StoreLimits(max_bytes=65_536, segment_bytes=16_384)) as site:
        client = site.dial_http()
        stored = 0
        while True:
            client.ask("POST", OWN, bytes(4_096))
            answer = await client.answer()
            if answer.status != 204:
                break
            stored += 1
            assert stored < 100
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert len(site.stored()) == stored
        assert site.reasons(MessageRefused) == [RefusedMessage.STORE_FULL]
        assert not client.is_closed()


@pytest.mark.plain
async def test_a_store_that_fails_acknowledges_nothing(
    site: HttpSite, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_batch: object, done: Done) -> None:
        done(AppendResult.FAILED)

    monkeypatch.setattr(site.store, "append", fail)
    client.ask("POST", OWN)
    assert (await client.answer()).status == 503
    assert site.reasons(MessageRefused) == [RefusedMessage.STORE_FAILED]


# --- who asks -----------------------------------------------------------------------------------------------------


async def test_a_body_is_not_read_before_its_sender_is_let_in(site: HttpSite, client: HttpClient) -> None:
    client.say(f"POST {OWN} HTTP/1.1\r\nHost: {HUB}\r\nContent-Length: 300000\r\n\r\n".encode())
    assert (await client.answer()).status == 401
    assert client.is_closed()
    assert site.reasons(LoginRefused) == [RefusalReason.NO_CREDENTIALS]


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (lambda site: site.sas("d2"), RefusalReason.FOREIGN_AUDIENCE),
        (lambda site: site.sas("d1", key=b"x" * 32), RefusalReason.WRONG_KEY),
        (lambda site: site.sas("d1", life_s=-301), RefusalReason.EXPIRED),
        (lambda _: None, RefusalReason.NO_CREDENTIALS),
    ],
)
async def test_everybody_who_is_not_let_in_hears_the_same(
    site: HttpSite, token: Callable[[HttpSite], str | None], reason: RefusalReason
) -> None:
    client = site.dial_http()
    client.ask("POST", OWN, token=token(site))
    answer = await client.answer()
    assert (answer.status, json.loads(answer.body)["Message"]) == (
        401,
        "ErrorCode:IotHubUnauthorizedAccess;Unauthorized",
    )
    assert site.reasons(LoginRefused) == [reason]
    assert site.stored() == []


async def test_a_credential_is_verified_once_in_a_second_and_again_when_it_changes(
    site: HttpSite, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    judge = site.http.authenticator._judge_token

    def counted(*args: object) -> object:
        nonlocal calls
        calls += 1
        return judge(*args)  # type: ignore[arg-type] # what the authenticator calls it with

    monkeypatch.setattr(type(site.http.authenticator), "_judge_token", lambda _, *args: counted(*args))
    for _ in range(3):
        client.ask("POST", OWN)
        assert (await client.answer()).status == 204
    assert calls == 1
    site.clock.now += http.VERIFIED_S
    client.ask("POST", OWN)
    assert (await client.answer()).status == 204
    assert calls == 2
    client.ask("POST", EVENTS.format("d2"), device="d2")
    assert (await client.answer()).status == 204
    assert calls == 3


async def test_who_is_disabled_is_refused_within_a_second(site: HttpSite, client: HttpClient) -> None:
    client.ask("POST", OWN)
    assert (await client.answer()).status == 204
    site.register("d1", enabled=False)
    site.clock.now += http.VERIFIED_S
    client.ask("POST", OWN)
    assert (await client.answer()).status == 401
    assert client.is_closed()


async def test_a_token_that_expires_between_two_requests_is_refused(site: HttpSite, client: HttpClient) -> None:
    site.clock.now += 0.5
    token = site.sas("d1", life_s=-299.4)  # whole seconds: half a second is left
    client.ask("POST", OWN, token=token)
    assert (await client.answer()).status == 204
    site.clock.now += 0.6
    client.ask("POST", OWN, token=token)
    assert (await client.answer()).status == 401


async def test_guessing_is_slowed(site: HttpSite, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def recorded(delay: float, *args: object) -> asyncio.TimerHandle:
        waits.append(delay)
        return call_later(0, *args)  # type: ignore[arg-type] # what the head calls it with

    monkeypatch.setattr(loop, "call_later", recorded)
    for _ in range(14):
        client = site.dial_http()
        client.ask("POST", OWN, token=site.sas("d1", key=b"x" * 32))
        await until(client.is_closed)
        assert [answer.status for answer in client.answers()] == [401]
    assert [wait for wait in waits if 1 <= wait < 10] == [1.0, 2.0, 3.0, 4.0]


class Asked:
    """A voucher that answers when the test says so."""

    def __init__(self) -> None:
        self.answers: list[Callable[[Vouching], None]] = []

    def ask(self, who: Identity, token: Token, answer: Callable[[Vouching], None]) -> None:
        assert str(who) == "new"
        assert token.text
        self.answers.append(answer)


@pytest.mark.parametrize(
    ("said", "status"), [(Vouching.GOOD, 204), (Vouching.REFUSED, 401), (Vouching.AWAY, 503)], ids=str
)
async def test_a_device_that_is_unknown_here_waits_for_what_the_hub_says(
    tmp_path: Path, said: Vouching, status: int
) -> None:
    asked = Asked()
    presented = PresentedTokens(tmp_path / "tokens.json", lambda _: None, lambda: 0.0)
    async with HttpSite.open(tmp_path, vouchers=Vouchers(presented, asked)) as site:
        client = site.dial_http()
        client.ask("POST", EVENTS.format("new"), b"{}", device="new")
        assert [client.wire.paused] == [True]
        asked.answers.pop()(said)
        answer = await client.answer()
        assert answer.status == status
        assert [client.wire.paused] == [False]
        assert len(site.stored()) == (status == 204)
        assert ("retry-after" in answer.headers) == (status == 503)


async def test_a_device_that_has_gone_meanwhile_is_not_answered(tmp_path: Path) -> None:
    asked = Asked()
    presented = PresentedTokens(tmp_path / "tokens.json", lambda _: None, lambda: 0.0)
    async with HttpSite.open(tmp_path, vouchers=Vouchers(presented, asked)) as site:
        client = site.dial_http()
        client.ask("POST", EVENTS.format("new"), b"{}", device="new")
        client.lose()
        asked.answers.pop()(Vouching.GOOD)
        for _ in range(3):
            await asyncio.sleep(0)
        assert client.answers() == []
        assert site.stored() == []


@pytest.mark.parametrize(
    ("method", "target", "status", "reason"),
    [
        ("GET", "/", 404, RefusedRequest.UNKNOWN_PATH),
        ("POST", "/devices/d1/../d2/messages/events?api-version=2021-04-12", 404, RefusedRequest.UNKNOWN_PATH),
        ("POST", "/devices/d1/messages/events", 400, RefusedRequest.MALFORMED),
        ("PUT", OWN, 405, RefusedRequest.MALFORMED),
    ],
)
async def test_what_is_not_served_is_refused(
    site: HttpSite, method: str, target: str, status: int, reason: RefusedRequest
) -> None:
    client = site.dial_http()
    client.ask(method, target)
    assert (await client.answer()).status == status
    assert client.is_closed()
    assert site.reasons(RequestRefused) == [reason]


async def test_a_method_that_is_not_served_is_answered_with_those_that_are(client: HttpClient) -> None:
    client.ask("PUT", DEVICEBOUND.format("d1", "/6d2e"))
    answer = await client.answer()
    assert (answer.status, answer.headers["allow"]) == (405, "DELETE")


async def test_a_broken_protocol_is_said_and_ends_the_connection(site: HttpSite, client: HttpClient) -> None:
    client.ask("POST", OWN, headers={"Transfer-Encoding": "chunked"})
    assert (await client.answer()).status == 400
    assert client.is_closed()
    [event] = [event for event in site.events if isinstance(event, ProtocolBroken)]
    assert "Transfer-Encoding" in event.detail


async def test_a_request_that_never_ends_is_cut(site: HttpSite) -> None:
    begun, silent = site.dial_http(), site.dial_http()
    begun.say(b"POST ")
    for client in (begun, silent):
        client.pump.wake(asyncio.get_running_loop().time() + site.http.limits.idle_s)
        assert client.is_closed()
    assert [answer.status for answer in begun.answers()] == [408]
    assert silent.answers() == []
    assert [event for event in site.events if isinstance(event, ProtocolBroken)] == [
        ProtocolBroken("", ADDRESS, "a request was not whole within 60 s")
    ]


async def test_so_many_requests_of_one_sender_wait_at_once_and_no_more(
    site: HttpSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MAX_REQUESTS_PER_SENDER", 2)
    head = f"POST {OWN} HTTP/1.1\r\nHost: {HUB}\r\nAuthorization: {site.sas('d1')}\r\nContent-Length: 1\r\n\r\n"
    first, second, third = (site.dial_http() for _ in range(3))
    for client in (first, second, third):
        client.say(head.encode())
    answer = await third.answer()
    assert (answer.status, answer.headers["retry-after"], third.is_closed()) == (503, "5", True)
    assert site.reasons(RequestRefused) == [RefusedRequest.TOO_MANY]
    other = site.dial_http()
    other.ask("POST", EVENTS.format("d2"), device="d2")
    assert (await other.answer()).status == 204
    first.say(b"1")
    assert (await first.answer()).status == 204
    second.lose()
    for client in (first, site.dial_http()):
        client.ask("POST", OWN)
        assert (await client.answer()).status == 204
    assert site.http._total == 0
    assert not site.http._busy


async def test_so_many_of_all_wait_at_once_and_no_more(site: HttpSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_REQUESTS", 0)
    client = site.dial_http()
    client.ask("GET", DEVICEBOUND.format("d1", ""))
    assert (await client.answer()).status == 503


# --- messages from the cloud --------------------------------------------------------------------------------------


@pytest.fixture
def source(site: HttpSite) -> QueueSource:
    ours = QueueSource(site.delivery)
    site.delivery.use(ours)
    return ours


async def test_a_message_is_polled_with_its_headers_and_completed(
    site: HttpSite, client: HttpClient, source: QueueSource
) -> None:
    source.send(D1, cloud_message(b"on", properties={"Level": "5"}, system={"messageId": "m"}, lock_token="6d2e"))
    client.ask("GET", DEVICEBOUND.format("d1", ""))
    answer = await client.answer()
    assert (answer.status, answer.body) == (200, b"on")
    assert answer.headers["etag"] == '"6d2e"'
    assert answer.headers["iothub-messageid"] == "m"
    assert answer.headers["iothub-app-level"] == "5"
    client.ask("DELETE", DEVICEBOUND.format("d1", "/6d2e"), headers={"If-Match": "6d2e"})
    assert (await client.answer()).status == 204
    assert [how.value for _, how in source.settled] == ["completed"]
    client.ask("DELETE", DEVICEBOUND.format("d1", "/6d2e"))
    assert (await client.answer()).status == 412
    site.http.report()
    counted = [event for event in site.events if isinstance(event, HttpRequestsAnswered)]
    assert HttpRequestsAnswered(HttpAction.SETTLE, HTTPStatus.PRECONDITION_FAILED, 1) in counted
    assert HttpRequestsAnswered(HttpAction.RECEIVE, HTTPStatus.OK, 1) in counted


@pytest.mark.parametrize(
    ("method", "end", "how"), [("DELETE", "/6d2e&reject", "rejected"), ("POST", "/6d2e/abandon", "abandoned")]
)
async def test_a_message_is_rejected_or_abandoned(
    client: HttpClient, source: QueueSource, method: str, end: str, how: str
) -> None:
    path, _, more = end.partition("&")
    source.send(D1, cloud_message(b"on", lock_token="6d2e"))
    client.ask("GET", DEVICEBOUND.format("d1", ""))
    assert (await client.answer()).status == 200
    client.ask(method, DEVICEBOUND.format("d1", path) + (f"&{more}" if more else ""))
    assert (await client.answer()).status == 204
    assert [each.value for _, each in source.settled] == [how]


async def test_nothing_is_handed_to_a_connection_that_has_gone(
    site: HttpSite, client: HttpClient, source: QueueSource
) -> None:
    client.ask("GET", DEVICEBOUND.format("d1", ""))
    client.lose()
    source.send(D1, cloud_message(b"on", lock_token="6d2e"))
    again = site.dial_http()
    again.ask("GET", DEVICEBOUND.format("d1", ""))
    assert (await again.answer()).body == b"on"


async def test_another_device_cannot_settle_it(site: HttpSite, client: HttpClient, source: QueueSource) -> None:
    source.send(D1, cloud_message(b"on", lock_token="6d2e"))
    client.ask("GET", DEVICEBOUND.format("d1", ""))
    assert (await client.answer()).status == 200
    other = site.dial_http()
    other.ask("DELETE", DEVICEBOUND.format("d2", "/6d2e"), device="d2")
    assert (await other.answer()).status == 412
    assert source.settled == []


async def test_who_listens_by_a_connection_does_not_poll_besides(site: HttpSite, client: HttpClient) -> None:
    site.delivery.subscribe(D1, RecordedRecipient(), 1)
    client.ask("GET", DEVICEBOUND.format("d1", ""))
    assert (await client.answer()).status == 409
    assert site.reasons(RequestRefused) == [RefusedRequest.ALREADY_LISTENING]


# --- methods ------------------------------------------------------------------------------------------------------


class Callee:
    """A device that takes calls and answers when the test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, bytes]] = []

    def call(self, rid: str, name: str, payload: bytes) -> bool:
        self.calls.append((rid, name, payload))
        return True


@pytest.fixture
def caller(site: HttpSite) -> Identity:
    keys = SymmetricKeys(KEY, KEY[::-1])
    for who in (identity(EDGE_DEVICE), CALLER):
        site.registry.edit(lambda roster, who=who: roster.with_registration(Registration(who, keys)))  # type: ignore[misc] # a default binds it
    return CALLER


def invoke(site: HttpSite, client: HttpClient, body: bytes = b'{"methodName":"open","payload":{"a":1}}') -> None:
    headers = {"x-ms-edge-moduleId": str(CALLER)}
    client.ask("POST", METHODS, body, headers=headers, token=site.sas(EDGE_DEVICE, "caller"))


@pytest.mark.usefixtures("caller")
async def test_a_module_calls_a_method_and_gets_its_result(site: HttpSite, client: HttpClient) -> None:
    callee = Callee()
    site.methods.subscribe(D1, callee)
    invoke(site, client)
    await until(lambda: bool(callee.calls))
    [(rid, name, payload)] = callee.calls
    assert (name, payload) == ("open", b'{"a":1}')
    site.methods.answered(D1, rid, 207, b'{"b":2}')
    answer = await client.answer()
    assert (answer.status, json.loads(answer.body)) == (200, {"status": 207, "payload": {"b": 2}})
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not client.is_closed()


@pytest.mark.usefixtures("caller")
@pytest.mark.parametrize(
    ("body", "status"),
    [(b'{"methodName":"open"}', 404), (b"{}", 400), (b'{"methodName":"m","responseTimeoutInSeconds":1}', 400)],
)
async def test_a_call_without_a_result_has_edge_hubs_answer(
    site: HttpSite, client: HttpClient, body: bytes, status: int
) -> None:
    invoke(site, client, body)
    answer = await client.answer()
    assert answer.status == status
    assert json.loads(answer.body).keys() == {"message"}
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.usefixtures("caller")
async def test_a_call_ends_when_its_caller_goes(site: HttpSite, client: HttpClient) -> None:
    callee = Callee()
    site.methods.subscribe(D1, callee)
    invoke(site, client)
    await until(lambda: bool(callee.calls))
    client.lose()
    await until(lambda: site.methods._total == 0)


@pytest.mark.parametrize(
    ("said", "status"), [(None, 400), ("edge-1", 400), ("edge-2/caller", 401), ("edge-1/caller", 401)]
)
async def test_only_a_module_of_this_edge_device_calls(
    site: HttpSite, client: HttpClient, said: str | None, status: int
) -> None:
    client.ask("POST", METHODS, b"{}", headers={} if said is None else {"x-ms-edge-moduleId": said})
    assert (await client.answer()).status == status


async def test_a_gateway_that_stops_closes_its_connections(site: HttpSite, client: HttpClient) -> None:
    client.ask("GET", DEVICEBOUND.format("d1", ""))
    client.pump.stop()
    assert client.is_closed()
    site.http.close()
    assert client.answers() == []
