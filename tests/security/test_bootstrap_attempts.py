"""Attempts to get an identity at first contact (robustness.md §5.3, 2, 9, 15, 17, 19), held to `attempts.Stage`.

Each is refused, said in one line without a secret, counted once, changes no identity and disturbs nobody.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from edgewire.iothub.bootstrap import SecretKind
from gateway.identity.claim_codes import Code, Codes, Use
from gateway.identity.claims import CLAIMS_FILE, edit_claims, read_claims
from support.attempts import GROUP_KEY, MALLORY_KEY, REAL, REAL_KEY, Answer, Attempt, Stage
from support.gateway_site import GatewaySite
from support.http_reading import read_answers
from support.new_board import Board, ask, group_secret, secret_of
from support.raw_peer import PATIENCE_S, RawPeer

PORT: Final = 8443
CONTACT: Final = "/bootstrap/v1/contact"
CONTACTS: Final = 'gateway_refused_contacts_total{reason="%s"}'
REQUESTS: Final = 'gateway_refused_requests_total{reason="malformed"}'
NONCE: Final = "0123456789abcdef" * 2
OPEN, USED, EXPIRED, MODEL, PREFIX, NAMED = (secret_of(f"ABCD-EFGH-JKL{last}") for last in "MNPQRS")
SECRETS: Final = ("ABCD-EFGH", "ABCDEFGH", *(each.hex() for each in (OPEN, USED, GROUP_KEY)))
BOARD: Final = Board(device="node-1", secret=OPEN)
SAY: Final = "no identity for this board"

Make = Callable[[], bytes]


def codes() -> list[Code]:
    """What the operator has made; one is used up by a board of long ago."""
    now = time.time()
    use = Use(device="node-9", nonce=NONCE, at=now - 3_600)
    made = Code(name="00000000", kind=SecretKind.CLAIM, secret=OPEN, made_at=now - 7_200)
    return [
        made,
        replace(made, name="00000001", secret=USED, uses=(use,)),
        replace(made, name="00000002", secret=EXPIRED, expires_at=now - 1),
        replace(made, name="00000003", secret=MODEL, model="esp32"),
        replace(made, name="00000004", secret=PREFIX, id_prefix="sensor-"),
        replace(made, name="00000005", secret=NAMED, device="off"),
    ]


def says(what: str, make: Make, status: int, counter: str, *, method: str = "POST", path: str = CONTACT) -> Attempt:
    """One request with this body."""

    async def act(stage: Stage, source: str) -> Answer:
        tls = stage.site.client_tls()
        answer = await asyncio.to_thread(ask, stage.site.address, PORT, method, path, make(), tls=tls, source=source)
        assert "x-bootstrap-mac" not in answer.headers
        assert status != 401 or answer.body == b'{"message":"%s"}' % SAY.encode()
        return answer.status

    return Attempt(what, act, status, counter)


def refused(what: str, board: Board, reason: str, status: int = 401, nonce: str = "", **changes: Any) -> Attempt:
    """A contact that is well formed."""
    return says(what, lambda: board.contact(nonce, **changes), status, CONTACTS % reason)


def malformed(what: str, make: Make) -> Attempt:
    """A contact that is none."""
    return says(what, make, 400, CONTACTS % "malformed")


def wrong(what: str, **changes: Any) -> Attempt:
    """A contact with a member that it cannot have, and a good code."""
    return malformed(what, lambda: BOARD.contact(**changes))


def moved(board: Board, old: str, new: str) -> bytes:
    """A good request, with something else in it after its proof was made."""
    return board.contact(NONCE).replace(old.encode(), new.encode())


MEMBER: Final = Board(device="fleet-1", secret=group_secret(GROUP_KEY, "fleet-1"), kind="group")
STRANGER: Final = Board(device="x", secret=group_secret(GROUP_KEY, "x"), kind="group")
BY_SECRET: Final = [
    refused("a wrong proof", BOARD, "wrong_secret", mac="0" * 64),
    refused("a code that nobody made", replace(BOARD, secret=secret_of("AAAA-AAAA-AAAA")), "wrong_secret"),
    refused("the code itself for its hash", replace(BOARD, secret=b"ABCDEFGHJKLM"), "wrong_secret"),
    refused("nothing for a secret", replace(BOARD, secret=b""), "wrong_secret"),
    refused("a used code by another", replace(BOARD, secret=USED), "used"),
    refused("a used code by its board", Board(device="node-9", secret=USED), "used"),
    refused("what its board said an hour ago", Board(device="node-9", secret=USED), "used", nonce=NONCE),
    refused("an expired code", replace(BOARD, secret=EXPIRED), "expired"),
    refused("a code for another model", replace(BOARD, secret=MODEL), "wrong_board"),
    refused("a code for other ids", replace(BOARD, secret=PREFIX), "wrong_board"),
    refused("ids in another case", Board(device="Sensor-1", secret=PREFIX), "wrong_board"),
    refused("a code that names another board", replace(BOARD, secret=NAMED), "wrong_secret"),
    says("proof for another id", lambda: moved(BOARD, "node-1", "node-2"), 401, CONTACTS % "wrong_secret"),
    says("proof for another nonce", lambda: moved(BOARD, NONCE, "f" * 32), 401, CONTACTS % "wrong_secret"),
    refused("a code as a group's key", replace(BOARD, kind="group"), "wrong_secret"),
]
BY_IDENTITY: Final = [
    refused("the id of a device that is there", replace(BOARD, device=REAL), "taken", 409),
    refused("the id of a device by certificate", replace(BOARD, device="issued"), "taken", 409),
    refused("the id of a device of a group", replace(BOARD, device="fleet-1"), "taken", 409),
    refused("a device that was shut out, by name", Board(device="off", secret=NAMED), "taken", 409),
    refused("the device's own key as a code", Board(device=REAL, secret=REAL_KEY), "wrong_secret"),
    refused("the device's own key as a group's", Board(device=REAL, secret=REAL_KEY, kind="group"), "wrong_secret"),
    refused("the group's key itself", replace(MEMBER, secret=GROUP_KEY), "wrong_secret"),
    refused("another member's key", replace(MEMBER, device="fleet-2"), "wrong_secret"),
    refused("a member's key as a code", replace(MEMBER, kind="claim"), "wrong_secret"),
    refused("another's key", replace(MEMBER, secret=MALLORY_KEY), "wrong_secret"),
    refused(
        "a group that has not this id",
        Board(device="x", secret=group_secret(GROUP_KEY, "x"), kind="group"),
        "wrong_secret",
    ),
]
BY_TEXT: Final = [
    wrong("SQL", registrationId="x';DROP TABLE devices--"),
    wrong("SQL that is always true", registrationId='" OR ""="'),
    wrong("a line of the log", registrationId="x\r\n2026-11-21 ERROR root logged in"),
    wrong("ANSI", registrationId="x\x1b[31m"),
    wrong("NUL", registrationId="node-1\0"),
    wrong("a path", registrationId="../devices/real"),
    wrong("an id without end", registrationId="x" * 600),
    wrong("another's letters", registrationId="n\u043ede-1"),
    wrong("ANSI in the version", version="\x1b[2J"),
    wrong("a path in the model", model="../../firmware"),
    wrong("a token in the model", model="SharedAccessSignature sr=a&sig=b&se=1"),
    wrong("a short nonce", nonce="00"),
    malformed("no nonce", lambda: moved(BOARD, "nonce", "once")),
    wrong("a proof of another form", mac="é" * 64),
    malformed("no JSON", lambda: b"hello"),
    malformed("a list", lambda: b"[]"),
    malformed("a member twice", lambda: BOARD.contact(NONCE).replace(b'"model"', b'"model": "x", "model"')),
    malformed("nesting", lambda: b"[" * 1_000),
]
BY_REQUEST: Final = [
    says("too large", lambda: b" " * 2_000, 413, REQUESTS),
    says("GET", lambda: b"", 404, REQUESTS, method="GET"),
    says("PUT", BOARD.contact, 404, REQUESTS, method="PUT"),
    says("a dot segment", BOARD.contact, 404, REQUESTS, path="/bootstrap/v1/time/../contact"),
    says("an escape", BOARD.contact, 404, REQUESTS, path="/bootstrap/v1/%63ontact"),
    says("two slashes", BOARD.contact, 404, REQUESTS, path="/bootstrap/v1//contact"),
    says("another version", BOARD.contact, 404, REQUESTS, path="/bootstrap/v1/"),
]


@pytest.mark.parametrize(
    "attempts",
    [BY_SECRET, BY_IDENTITY, BY_TEXT, BY_REQUEST],
    ids=["secrets", "identities", "texts", "requests"],
)
async def test_each_attempt_is_refused_said_once_and_disturbs_nobody(
    site: GatewaySite, attempts: list[Attempt]
) -> None:
    async with Stage.open(site) as stage:
        path = site.data / CLAIMS_FILE
        edit_claims(path, lambda _: Codes().with_codes(codes()))
        before = path.read_bytes()
        problems = [problem for attempt in attempts for problem in await stage.problems_with(attempt)]
        assert path.read_bytes() == before
    assert problems == []
    told = site.gateway.transcript()
    assert [secret for secret in SECRETS if secret in told] == []


async def test_guesses_are_slowed_by_address_and_a_good_board_is_not(site: GatewaySite) -> None:
    async with Stage.open(site):
        took_s = [await good_after_guesses(site, NONCE)]
        while took_s[-1] >= 2 and len(took_s) < 3:  # the machine may have been busy; who is held back is so each time
            took_s.append(await good_after_guesses(site, f"{len(took_s)}" * 32))
        assert took_s[-1] < 2, took_s


async def good_after_guesses(site: GatewaySite, nonce: str) -> float:
    """How long a good board's answer takes behind guesses that were held back."""
    loop, tls = asyncio.get_running_loop(), site.client_tls()
    guess = replace(MEMBER, secret=MALLORY_KEY).contact()
    began_at = loop.time()
    answers = await asyncio.gather(
        *(asyncio.to_thread(ask, site.address, PORT, "POST", CONTACT, guess, tls=tls) for _ in range(14))
    )
    assert {answer.status for answer in answers} == {401}
    assert loop.time() - began_at >= 3  # 10 at once, then 1, 2, 3 and 4 s, less what was forgiven meanwhile
    began_at = loop.time()
    answer = await asyncio.to_thread(ask, site.address, PORT, "POST", CONTACT, MEMBER.contact(nonce), tls=tls)
    assert MEMBER.accept(answer, nonce)[1] == MEMBER.secret
    return loop.time() - began_at


async def test_a_flood_of_contacts_is_bounded_and_the_site_goes_on(site: GatewaySite) -> None:
    """64 connections of one address say 20 guesses each without waiting for an answer."""
    async with Stage.open(site) as stage:
        edit_claims(site.data / CLAIMS_FILE, lambda _: Codes().with_codes(codes()))
        memory = site.gateway.rss_kb()
        peers = [await RawPeer.dial(site, port=PORT) for _ in range(64)]
        for number, peer in enumerate(peers):
            peer.send(b"".join(written(f"guess-{number % 3}") for _ in range(20)))
        assert await site.counted('gateway_http_requests_total{action="bootstrap",status="429"}') >= 1
        await stage.problems_with(refused("one more", replace(BOARD, secret=USED), "used"))  # the real device sends
        assert site.gateway.rss_kb() - memory < 20_000
        for peer in peers:
            peer.abort()
        known, _ = read_claims(site.data / CLAIMS_FILE)
        assert [code.name for code in known.by_name.values() if code.uses] == ["00000001"]


def written(device: str) -> bytes:
    """A guess as it is sent."""
    body = Board(device=device, secret=MALLORY_KEY).contact()
    return b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (CONTACT.encode(), len(body)) + body


async def test_smuggled_contacts_are_refused(site: GatewaySite) -> None:
    async with Stage.open(site):
        peer = await RawPeer.dial(site, port=PORT)
        hidden = written("node-1")
        peer.send(
            b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            % CONTACT.encode()
            + hidden
        )
        async with asyncio.timeout(PATIENCE_S):
            told = await peer.reader.read()
        (answer,) = read_answers(told, "POST")
        assert answer.status == 400
