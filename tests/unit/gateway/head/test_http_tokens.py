import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from edgewire.iothub import sas
from edgewire.iothub.minting import answer_mac, wish_mac
from edgewire.message import identity
from gateway.head.http_services import HttpService
from gateway.head.http_tokens import HttpTokens
from gateway.identity.authenticator import Authenticator
from gateway.identity.limiter import PAIR_BURST
from gateway.identity.minting import BURST, Mint
from gateway.identity.nonces import LIFE_S
from gateway.identity.roster import CaSigned, Group, Registration, Roster, SymmetricKeys
from gateway.observe.head import HttpAction
from gateway.observe.publishers import MintProof, MintRefusal, TokenMinted, TokenNotMinted
from support.http_reading import Answer
from support.http_site import ADDRESS, HttpClient, HttpSite
from support.mqtt_site import HUB, KEY

NONCE: Final = "/tokens/v1/nonce"
TOKEN: Final = "/tokens/v1/token"
ALL: Final = frozenset(MintProof)
NO_TOKEN: Final = {"message": "no token for this device"}


@dataclass
class Clock:
    """A clock that only grows, as the test sets it."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


class Doorman:
    """Passwords that a test knows."""

    closed = False
    busy = False

    async def __call__(self, user: str, password: str, address: str) -> MintRefusal | None:
        assert address == ADDRESS
        if self.busy:
            return MintRefusal.BUSY
        return None if (user, password) == ("d1", "open sesame") else MintRefusal.WRONG_PASSWORD

    def close(self) -> None:
        self.closed = True


class Desk:
    """A site whose HTTPS head makes tokens."""

    def __init__(self, site: HttpSite, proofs: frozenset[MintProof]) -> None:
        self.site = site
        self.clock = Clock()
        self.doorman = Doorman()
        mint = Mint(
            site.registry,
            Authenticator(site.registry, [HUB], None),
            hub=HUB,
            proofs=proofs,
            clock=site.clock,
            monotonic=self.clock,
        )
        self.tokens = HttpTokens(mint, self.doorman, emit=site.events.append, clock=site.clock)
        service: HttpService = self.tokens
        site.http.services = (service,)

    async def nonce(self, device: str = "d1") -> str:
        client = self.site.dial_http()
        client.ask("GET", f"{NONCE}?deviceId={device}", token=None)
        answer = await client.answer()
        document = json.loads(answer.body)
        assert (answer.status, document["expiresInSecs"]) == (200, 60)
        assert answer.headers["cache-control"] == "no-store"
        return str(document["nonce"])

    async def ask(self, wish: Mapping[str, Any] | bytes, client: HttpClient | None = None) -> Answer:
        client = client or self.site.dial_http()
        body = wish if isinstance(wish, bytes) else json.dumps(wish).encode()
        client.ask("POST", TOKEN, body, token=None)
        return await client.answer()

    async def proven(self, device: str = "d1", key: bytes = KEY, **more: Any) -> dict[str, Any]:
        """A wish with a good proof by key."""
        nonce = await self.nonce(device)
        return {"deviceId": device, "nonce": nonce, "mac": wish_mac(key, device, nonce), **more}

    def refused(self) -> list[MintRefusal]:
        return self.site.reasons(TokenNotMinted)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with HttpSite.open(tmp_path) as site:
        yield Desk(site, ALL)


async def test_a_board_that_knows_its_key_and_no_time_gets_a_token_that_lets_it_in(desk: Desk) -> None:
    wish = await desk.proven(lifetimeSecs=600)
    answer = await desk.ask(wish)
    document = json.loads(answer.body)
    now = int(desk.site.clock.now)
    resource = sas.resource_of(HUB, identity("d1"))
    assert document == {
        "deviceId": "d1",
        "token": sas.make(resource, KEY, now + 600),
        "expiresAt": now + 600,
        "time": now,
    }
    assert answer.headers["x-token-mac"] == answer_mac(KEY, wish["nonce"], answer.body)
    assert answer.headers["cache-control"] == "no-store"
    assert desk.site.login("d1", token=document["token"].encode()) is not None
    assert desk.site.http.answered[HttpAction.MINT, 200] == 2
    minted = TokenMinted(device="d1", address=ADDRESS, by=MintProof.KEY, lifetime_s=600)
    assert minted in desk.site.events
    assert document["token"] not in "".join(event.sentence() for event in desk.site.events)


async def test_the_secondary_key_proves_too_and_signs_what_it_gets(desk: Desk) -> None:
    second = b"fedcba9876543210" * 2
    document = json.loads((await desk.ask(await desk.proven(key=second))).body)
    assert document["token"] == sas.make(sas.resource_of(HUB, identity("d1")), second, document["expiresAt"])


async def test_a_device_of_a_group_proves_its_derived_key(desk: Desk) -> None:
    keys = SymmetricKeys(b"the key of the enrolment group..", b"another key of the same group...")
    for enabled in (True, False):
        group = Group("site", keys, "node-", enabled)
        desk.site.registry.edit(partial(Roster.with_group, group=group))
        derived = sas.derive_device_key(keys.primary, "node-1")
        assert (await desk.ask(await desk.proven("node-1", derived))).status == (200 if enabled else 401)
    assert desk.refused() == [MintRefusal.DISABLED]


async def test_a_longer_life_than_there_is_becomes_the_longest(desk: Desk) -> None:
    for wanted, life_s in ((3_600, 3_600), (10**9, 3_600), (60, 60)):
        document = json.loads((await desk.ask(await desk.proven(lifetimeSecs=wanted))).body)
        assert document["expiresAt"] == int(desk.site.clock.now) + life_s


async def test_a_proof_is_good_once(desk: Desk) -> None:
    wish = await desk.proven()
    answers = [await desk.ask(wish) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 401, 401]
    assert json.loads(answers[1].body) == NO_TOKEN
    assert desk.refused() == [MintRefusal.OLD_NONCE] * 2


async def test_a_proof_is_good_for_a_minute(desk: Desk) -> None:
    wishes = [await desk.proven() for _ in range(2)]
    desk.clock.now += LIFE_S - 1
    assert (await desk.ask(wishes[0])).status == 200
    desk.clock.now += 1
    assert (await desk.ask(wishes[1])).status == 401
    assert desk.refused() == [MintRefusal.OLD_NONCE]


async def test_whatever_is_wrong_with_a_proof_looks_the_same(desk: Desk) -> None:
    desk.site.register("off", enabled=False)
    certified = Registration(identity("x509"), CaSigned())
    desk.site.registry.edit(lambda roster: roster.with_registration(certified))
    good = await desk.proven()
    other = await desk.nonce("d2")
    forged = f"{'0' * 20}{good['nonce'][20:]}"
    asked: list[tuple[Mapping[str, Any], MintRefusal]] = [
        (await desk.proven(key=b"another key"), MintRefusal.WRONG_KEY),
        ({"deviceId": "d1", "nonce": other, "mac": wish_mac(KEY, "d1", other)}, MintRefusal.WRONG_NONCE),
        ({"deviceId": "d1", "nonce": forged, "mac": wish_mac(KEY, "d1", forged)}, MintRefusal.WRONG_NONCE),
        ({**good, "deviceId": "d2"}, MintRefusal.WRONG_NONCE),
        (await desk.proven("nobody"), MintRefusal.WRONG_KEY),
        (await desk.proven("D1"), MintRefusal.WRONG_KEY),
        (await desk.proven("x509"), MintRefusal.WRONG_KEY),
        (await desk.proven("off"), MintRefusal.DISABLED),
        ({"deviceId": "d1"}, MintRefusal.NO_PROOF),
        ({"deviceId": "d1", "password": "wrong"}, MintRefusal.WRONG_PASSWORD),
        ({"deviceId": "d2", "password": "open sesame"}, MintRefusal.WRONG_PASSWORD),
    ]
    for wish, reason in asked:
        answer = await desk.ask(wish)
        assert (answer.status, json.loads(answer.body)) == (401, NO_TOKEN)
        assert desk.refused()[-1] is reason
    assert (await desk.ask(good)).status == 200  # none of them has used it up


async def test_a_password_proves_the_device_of_its_users_name(desk: Desk) -> None:
    answer = await desk.ask({"deviceId": "d1", "password": "open sesame"})
    document = json.loads(answer.body)
    assert document["token"] == sas.make(sas.resource_of(HUB, identity("d1")), KEY, document["expiresAt"])
    assert "x-token-mac" not in answer.headers
    assert desk.site.reasons(TokenNotMinted) == []
    desk.doorman.busy = True
    again = await desk.ask({"deviceId": "d1", "password": "open sesame"})
    assert (again.status, again.headers["retry-after"]) == (503, "10")
    desk.tokens.close()
    assert desk.doorman.closed


async def test_a_proof_that_the_operator_does_not_allow_is_none(tmp_path: Path) -> None:
    async with HttpSite.open(tmp_path) as site:
        desk = Desk(site, frozenset({MintProof.CERTIFICATE}))
        assert (await desk.ask(await desk.proven())).status == 401
        assert (await desk.ask({"deviceId": "d1", "password": "open sesame"})).status == 401
        assert desk.refused() == [MintRefusal.NOT_ALLOWED] * 2


async def test_a_device_gets_some_tokens_at_once_and_then_one_each_ten_seconds(desk: Desk) -> None:
    statuses = [(await desk.ask(await desk.proven())).status for _ in range(BURST + 1)]
    assert statuses == [200] * BURST + [429]
    assert (await desk.ask(await desk.proven("d2"))).status == 200
    desk.clock.now += 10
    assert (await desk.ask(await desk.proven())).status == 200
    assert desk.refused() == [MintRefusal.TOO_MANY]


async def test_guessing_is_slowed_and_the_good_are_not(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    held_s: list[float] = []
    rest = asyncio.sleep

    async def sleep(delay: float) -> None:
        if delay < 1:
            await rest(delay)
        else:
            held_s.append(delay)
            await asyncio.get_running_loop().create_future()

    monkeypatch.setattr("gateway.head.http_tokens.asyncio.sleep", sleep)
    for _ in range(PAIR_BURST):
        assert (await desk.ask(await desk.proven(key=b"guess"))).status == 401
    held = desk.site.dial_http()
    held.ask("POST", TOKEN, json.dumps(await desk.proven(key=b"guess")).encode(), token=None)
    assert (await desk.ask(await desk.proven())).status == 200
    assert (held.answers(), held_s) == ([], [1.0])
    assert desk.refused() == [MintRefusal.WRONG_KEY] * PAIR_BURST + [MintRefusal.THROTTLED]
    held.lose()
    await asyncio.sleep(0)


MALFORMED: Final = {
    "no JSON": b"hello",
    "no object": b"[]",
    "nothing": b"{}",
    "a member twice": b'{"deviceId":"d1","deviceId":"d2","password":"x"}',
    "an unknown member": b'{"deviceId":"d1","publisher":"x"}',
    "no id": b'{"deviceId":"a/b","password":"x"}',
    "a number for an id": b'{"deviceId":1}',
    "a nonce alone": b'{"deviceId":"d1","nonce":"00"}',
    "two proofs": b'{"deviceId":"d1","nonce":"00","mac":"00","password":"x"}',
    "a short nonce": b'{"deviceId":"d1","nonce":"00","mac":"%s"}' % (b"0" * 64),
    "a short mac": b'{"deviceId":"d1","nonce":"%s","mac":"00"}' % (b"0" * 64),
    "an empty password": b'{"deviceId":"d1","password":""}',
    "a long password": b'{"deviceId":"d1","password":"%s"}' % (b"x" * 257),
    "a life that is none": b'{"deviceId":"d1","lifetimeSecs":59}',
    "a true life": b'{"deviceId":"d1","lifetimeSecs":true}',
    "half a second": b'{"deviceId":"d1","lifetimeSecs":60.5}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_no_wish_is_refused(desk: Desk, body: bytes) -> None:
    answer = await desk.ask(body)
    assert answer.status == 400
    assert "message" in json.loads(answer.body)
    assert desk.refused() == [MintRefusal.MALFORMED]


async def test_there_are_two_paths(desk: Desk) -> None:
    asked = {
        ("POST", NONCE): 404,
        ("GET", TOKEN): 404,
        ("GET", "/tokens/v1/"): 404,
        ("GET", f"{NONCE}?deviceId=a%2Fb"): 400,
        ("GET", f"{NONCE}?deviceId=a%2"): 400,
        ("GET", f"{NONCE}?device=d1"): 400,
        ("GET", f"{NONCE}?deviceId=d1&deviceId=d2"): 400,
        ("GET", NONCE): 400,
    }
    for (method, target), status in asked.items():
        client = desk.site.dial_http()
        client.ask(method, target, token=None)
        assert (await client.answer()).status == status, target


async def test_a_large_body_is_refused_by_its_length(desk: Desk) -> None:
    answer = await desk.ask(bytes(2_049))
    assert answer.status == 413
