import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from edgewire.iothub.bootstrap import SecretKind
from edgewire.message import identity
from edgewire.session.http.server import Response
from gateway.head import http_bootstrap
from gateway.head.http_bootstrap import BootstrapService, NothingElse
from gateway.head.http_services import HttpService
from gateway.identity.claim_codes import Code, Codes
from gateway.identity.claims import edit_claims
from gateway.identity.limiter import PAIR_BURST
from gateway.identity.reception import Reception
from gateway.identity.registry import Registry
from gateway.identity.roster import SymmetricKeys
from gateway.observe.bootstrap import AdmittedBy, BoardAdmitted, ContactRefusal, ContactRefused
from gateway.observe.head import HttpAction, RefusedRequest, RequestRefused
from support.http_reading import Answer
from support.http_site import ADDRESS, HttpClient, HttpSite
from support.mqtt_site import HUB, KEY
from support.new_board import Board, secret_of

CONTACT = "/bootstrap/v1/contact"
TIME = "/bootstrap/v1/time"
NONCE = "0123456789abcdef" * 2
CODE = Code(name="0a1b2c3d", kind=SecretKind.CLAIM, secret=secret_of("ABCD-EFGH-JKLM"), made_at=0)
BOARD = Board(device="node-1", secret=CODE.secret)
TOLD: Mapping[str, Any] = {
    "hub": HUB,
    "gateway": "gateway.local",
    "mqttPort": 8884,
    "httpsPort": 8444,
    "root": {"n": "c1", "e": 65_537},
    "settings": {"i": 5},
}
FIRMWARE = {"version": "1.1.0", "manifest": "/firmware/v1/manifests/nodemcu/1.1.0"}


def firmware(device: str, model: str) -> Mapping[str, str] | None:
    assert device == "node-1"
    return FIRMWARE if model == "nodemcu" else None


@dataclass
class Desk:
    """A site whose HTTPS head serves first contact."""

    site: HttpSite
    folder: Path
    told: Mapping[str, Any] | None = field(default_factory=lambda: TOLD)

    def codes(self, *codes: Code) -> None:
        edit_claims(self.folder / "claims.json", lambda _: Codes().with_codes(codes))

    async def ask(self, body: bytes, client: HttpClient | None = None) -> Answer:
        client = client or self.site.dial_http()
        client.ask("POST", CONTACT, body, token=None)
        return await client.answer()

    def refused(self) -> list[ContactRefusal]:
        return [event.reason for event in self.site.events if isinstance(event, ContactRefused)]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with HttpSite.open(tmp_path) as site:
        desk = Desk(site, tmp_path)
        service: HttpService = BootstrapService(
            Reception(site.registry, tmp_path, site.events.append),
            told=lambda: desk.told,
            firmware=firmware,
            emit=site.events.append,
            clock=site.clock,
        )
        site.http.services = (service,)
        desk.codes(CODE)
        yield desk


async def test_a_board_is_told_all_that_it_needs(desk: Desk) -> None:
    answer = await desk.ask(BOARD.contact(NONCE))
    document, key = BOARD.accept(answer, NONCE)
    del document["key"]
    now = int(desk.site.clock.now)
    assert document == {"deviceId": "node-1", **TOLD, "time": now, "firmware": FIRMWARE}
    assert answer.headers["cache-control"] == "no-store"
    found = desk.site.registry.find(identity("node-1"))
    if found is None:
        desk.site.registry.reload()
        found = desk.site.registry.find(identity("node-1"))
    assert found is not None
    assert isinstance(found.credential, SymmetricKeys)
    assert found.credential.primary == key
    assert key not in answer.body
    assert (
        BoardAdmitted(
            device="node-1",
            address=ADDRESS,
            model="nodemcu",
            version="1.0.0",
            by=AdmittedBy.CLAIM,
            code=CODE.name,
        )
        in desk.site.events
    )
    assert desk.site.http.answered == {(HttpAction.BOOTSTRAP, 200): 1}


async def test_a_gateway_without_a_root_key_gives_no_identity_and_burns_no_code(
    desk: Desk,
) -> None:
    desk.told = None
    answer = await desk.ask(BOARD.contact(NONCE))
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    refused = [event for event in desk.site.events if isinstance(event, ContactRefused)]
    assert [event.reason for event in refused] == [ContactRefusal.NO_ROOT]
    assert "GATEWAY_CONSTRAINED_CERTIFICATE" in refused[0].sentence()
    desk.told = TOLD
    BOARD.accept(await desk.ask(BOARD.contact(NONCE)), NONCE)


async def test_a_board_without_firmware_of_its_own_is_told_none(desk: Desk) -> None:
    board = replace(BOARD, model="other")
    document, _ = board.accept(await desk.ask(board.contact(NONCE)), NONCE)
    assert document["firmware"] is None


async def test_the_same_request_has_the_same_key(desk: Desk) -> None:
    keys = [BOARD.accept(await desk.ask(BOARD.contact(NONCE)), NONCE)[1] for _ in range(3)]
    assert len(set(keys)) == 1


async def test_all_refusals_of_credentials_look_the_same(desk: Desk) -> None:
    other = replace(CODE, name="ffffffff", secret=secret_of("ABCD-EFGH-JKLX"), expires_at=desk.site.clock.now)
    third = replace(CODE, name="eeeeeeee", secret=secret_of("ABCD-EFGH-JKLY"), model="esp32")
    desk.codes(CODE, other, third)
    await desk.ask(BOARD.contact(NONCE))
    asked = [
        BOARD.contact(mac="0" * 64),
        replace(BOARD, device="node-2").contact(),
        replace(BOARD, device="node-2", secret=other.secret).contact(),
        replace(BOARD, device="node-2", secret=third.secret).contact(),
        replace(BOARD, kind="group").contact(),
    ]
    answers = [await desk.ask(body) for body in asked]
    first = answers[0]
    assert (first.status, json.loads(first.body)) == (401, {"message": "no identity for this board"})
    assert {(answer.status, answer.body, *answer.headers) for answer in answers} == {
        (first.status, first.body, *first.headers)
    }
    assert desk.refused() == [
        ContactRefusal.WRONG_SECRET,
        ContactRefusal.USED,
        ContactRefusal.EXPIRED,
        ContactRefusal.WRONG_BOARD,
        ContactRefusal.WRONG_SECRET,
    ]


async def test_an_id_that_is_anothers_is_409(desk: Desk) -> None:
    board = replace(BOARD, device="d1")
    answer = await desk.ask(board.contact())
    assert (answer.status, json.loads(answer.body)) == (409, {"message": "the id belongs to another device"})
    assert desk.refused() == [ContactRefusal.TAKEN]


async def test_what_is_malformed_is_400_and_said_without_its_text(desk: Desk) -> None:
    answer = await desk.ask(BOARD.contact(registrationId="x';DROP TABLE devices--\r\n"))
    assert answer.status == 400
    assert b"DROP" not in answer.body
    [event] = [event for event in desk.site.events if isinstance(event, ContactRefused)]
    assert (event.reason, event.board) == (ContactRefusal.MALFORMED, "")
    assert "DROP" not in event.sentence()


async def test_guesses_wait_and_the_board_does_not(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[float] = []
    rest = asyncio.sleep

    async def sleep(delay: float) -> None:
        held.append(delay)
        await rest(0)

    monkeypatch.setattr("gateway.head.http_bootstrap.asyncio.sleep", sleep)
    for _ in range(PAIR_BURST + 5):
        answer = await desk.ask(BOARD.contact(mac="0" * 64))
        assert answer.status == 401
    assert [hold for hold in held if hold >= 1] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert (await desk.ask(BOARD.contact())).status == 200


async def test_a_flood_is_told_to_come_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_bootstrap, "MAX_CONTACTS", 0)
    answer = await desk.ask(BOARD.contact())
    assert (answer.status, answer.headers["retry-after"]) == (429, "5")
    assert desk.refused() == [ContactRefusal.BUSY]
    monkeypatch.setattr(http_bootstrap, "MAX_CONTACTS", 1)
    assert (await desk.ask(BOARD.contact())).status == 200


async def test_too_many_of_one_address_are_told_the_same(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.head.http.MAX_REQUESTS_PER_SENDER", 0)
    answer = await desk.ask(BOARD.contact())
    assert (answer.status, answer.headers["retry-after"]) == (429, "5")


async def test_a_disk_that_takes_nothing_costs_the_board_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("gateway.identity.locked_file.os.fsync", full)
        answer = await desk.ask(BOARD.contact(NONCE))
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert desk.refused() == [ContactRefusal.NOT_KEPT]
    assert (await desk.ask(BOARD.contact(NONCE))).status == 200


async def test_codes_and_ids_that_go_meanwhile(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = asyncio.to_thread
    registry = Registry(desk.folder / "devices.json")
    known = registry.roster.registrations[identity("d1")]

    def take() -> None:
        registry.edit(lambda roster: roster.with_registration(replace(known, identity=identity("node-1"))))

    def late(meanwhile: Callable[[], None]) -> Callable[..., Awaitable[Any]]:
        async def run(admit: Callable[..., Any], *arguments: Any) -> Any:
            meanwhile()
            return await rest(admit, *arguments)

        return run

    monkeypatch.setattr("gateway.head.http_bootstrap.asyncio.to_thread", late(take))
    assert (await desk.ask(BOARD.contact())).status == 409
    registry.edit(lambda roster: roster.without(identity("node-1")))
    desk.codes(CODE)
    monkeypatch.setattr("gateway.head.http_bootstrap.asyncio.to_thread", late(desk.codes))
    assert (await desk.ask(BOARD.contact())).status == 401
    assert desk.refused() == [ContactRefusal.TAKEN, ContactRefusal.USED]


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", CONTACT, 404),
        ("PUT", CONTACT, 404),
        ("POST", TIME, 404),
        ("POST", CONTACT + "/", 404),
        ("POST", "/bootstrap/v1/../v1/contact", 404),
        ("POST", "/bootstrap/v1/%63ontact", 404),
        ("GET", "/bootstrap/v1/", 404),
    ],
)
async def test_nothing_else_is_there(desk: Desk, method: str, target: str, status: int) -> None:
    client = desk.site.dial_http()
    client.ask(method, target, token=None)
    assert (await client.answer()).status == status


async def test_a_large_contact_is_refused_unread(desk: Desk) -> None:
    answer = await desk.ask(b"{" + b" " * 1_024)
    assert answer.status == 413


# --- the time ---


async def time_of(desk: Desk, query: str = "") -> Answer:
    client = desk.site.dial_http()
    client.ask("GET", TIME + query, token=None)
    return await client.answer()


async def test_the_time_is_told_to_everybody(desk: Desk) -> None:
    answer = await time_of(desk)
    assert json.loads(answer.body) == {"time": int(desk.site.clock.now)}
    assert "x-bootstrap-mac" not in answer.headers


async def test_the_time_is_proven_to_a_device(desk: Desk) -> None:
    for device, secret in (("d1", KEY), ("d%31", KEY), ("nobody", None)):
        answer = await time_of(desk, f"?registrationId={device}&nonce={NONCE}")
        text = b"edge-bootstrap-answer-1\n" + NONCE.encode() + b"\n" + answer.body
        mac = answer.headers["x-bootstrap-mac"]
        assert len(mac) == 64
        assert secret is None or hmac.new(secret, text, hashlib.sha256).hexdigest() == mac


@pytest.mark.parametrize(
    "query",
    [
        f"?nonce={NONCE}",
        "?registrationId=d1",
        f"?registrationId=d1&nonce={NONCE[1:]}",
        f"?registrationId=a%20b&nonce={NONCE}",
        f"?registrationId=%zz&nonce={NONCE}",
        f"?registrationId=d1&nonce={NONCE}&more=1",
    ],
)
async def test_who_asks_for_the_time_says_who_it_is_or_not(desk: Desk, query: str) -> None:
    assert (await time_of(desk, query)).status == 400


# --- a port for boards alone ---


async def test_a_plain_port_serves_first_contact_and_nothing_else(desk: Desk) -> None:
    desk.site.http.services = (*desk.site.http.services, NothingElse())
    for target in ("/devices/d1/messages/events?api-version=2021-04-12", "/", "/twins/d1/methods"):
        client = desk.site.dial_http()
        client.ask("POST", target, b"")
        assert (await client.answer()).status == 404
    assert [event.reason for event in desk.site.events if isinstance(event, RequestRefused)] == [
        RefusedRequest.MALFORMED
    ] * 3
    assert (await desk.ask(BOARD.contact())).status == 200


def test_the_last_service_refuses_in_the_form_of_boards() -> None:
    nothing: HttpService = NothingElse()
    assert nothing.claims("/any")
    assert isinstance(nothing.refusal(404, "no"), Response)
