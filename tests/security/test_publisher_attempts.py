"""Attempts to send as another publisher, or to get a token that is not due, held to what `test_attempts` asks for."""

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import pytest

from edgewire.iothub import sas
from edgewire.iothub.minting import wish_mac
from gateway.identity.publisher_hubs import Hub, Hubs, Rule
from gateway.identity.publishers import PUBLISHERS_FILE, edit_publishers
from support.attempts import GROUP_KEY, MALLORY, MALLORY_KEY, REAL, REAL_KEY, Answer, Attempt, Stage
from support.gateway_site import GatewaySite
from support.http_attempts import PORT, exchange, written
from support.raw_peer import RawPeer

RULE: Final = "SendRule"
RULE_KEY: Final = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
NAMESPACE: Final = "contoso-ns.servicebus.windows.net"
HUBS: Final = Hubs(
    {
        "telemetry": Hub(
            name="telemetry", hosts=(NAMESPACE,), rules={RULE: Rule(RULE_KEY, RULE_KEY[::-1])}, revoked={"gone": 1}
        ),
        "other": Hub(name="other", hosts=(NAMESPACE,), rules={"OtherRule": Rule(RULE_KEY[::-1], RULE_KEY[::-1])}),
    }
)
PUBLISHERS: Final = 'gateway_refused_publishers_total{reason="%s"}'
MINTS: Final = 'gateway_refused_mints_total{reason="%s"}'
REQUESTS: Final = 'gateway_refused_requests_total{reason="%s"}'
MESSAGES: Final = 'gateway_refused_messages_total{reason="%s"}'
BROKEN: Final = "gateway_broken_protocols_total"
BATCH: Final = {"Content-Type": "application/vnd.microsoft.servicebus.json"}
NONCE: Final = "00" * 32


def token(resource: str = f"https://{NAMESPACE}/telemetry/publishers/{MALLORY}", key: bytes = RULE_KEY.encode()) -> str:
    """Mallory's own good token, unless another is asked for."""
    return sas.make(resource, key, int(time.time()) + 60, RULE)


def path_of(publisher: str = MALLORY, hub: str = "telemetry") -> str:
    return f"/{hub}/publishers/{publisher}/messages"


def posting(
    what: str,
    status: int | None,
    counter: str,
    make: Callable[[], str] = token,
    target: str = path_of(),
    *,
    headers: dict[str, str] | None = None,
    body: bytes = b"stolen",
) -> Attempt:
    """One request of a publisher."""

    async def act(stage: Stage, source: str) -> Answer:
        fields = {"Host": NAMESPACE, "Authorization": make(), **(headers or {})}
        return await exchange(stage, source, written("POST", target, list(fields.items()), body))

    return Attempt(what, act, status, counter)


def foreign(what: str, resource: str, target: str = path_of(REAL), reason: str = "foreign_audience") -> Attempt:
    """A token of Mallory's that is for something else than what it is used for."""
    return posting(what, 401, PUBLISHERS % reason, partial(token, resource), target)


def by_device_key() -> str:
    return token(f"https://{NAMESPACE}/telemetry", REAL_KEY)


def by_decoded_key() -> str:
    return token(f"https://{NAMESPACE}/telemetry", sas.decode_key(RULE_KEY))


BASE: Final = f"https://{NAMESPACE}/telemetry/publishers"
BY_TOKEN = [
    foreign("Mallory's for the real publisher", f"{BASE}/{MALLORY}"),
    foreign("the beginning of its name", f"{BASE}/rea"),
    foreign("in another case", f"{BASE}/REAL"),
    foreign("of a device whose id goes on", f"{BASE}/dev1", path_of("dev10")),
    foreign("a name that is escaped twice", f"{BASE}/re%2561l"),
    foreign("of another namespace", f"https://evil.example/telemetry/publishers/{REAL}"),
    foreign("of a host that begins alike", f"https://{NAMESPACE}.evil.example/telemetry"),
    foreign("another scheme", f"ftp://{NAMESPACE}/telemetry", reason="malformed_token"),
    foreign("no scheme", f"{NAMESPACE}/telemetry", reason="malformed_token"),
    foreign("encoded twice", f"https%3A%2F%2F{NAMESPACE}%2Ftelemetry", reason="malformed_token"),
    foreign("a dot segment", f"{BASE}/{MALLORY}/../{REAL}", reason="malformed_token"),
    foreign("an escaped slash", f"https://{NAMESPACE}/telemetry%2Fpublishers%2F{REAL}", reason="malformed_token"),
    foreign("somebody before the host", f"https://{NAMESPACE}@evil.example/telemetry", reason="malformed_token"),
    posting("another hub's rule", 401, PUBLISHERS % "unknown_rule", target=path_of(REAL, "other")),
    posting("a device's key", 401, PUBLISHERS % "wrong_key", by_device_key, path_of(REAL)),
    posting("the key decoded", 401, PUBLISHERS % "wrong_key", by_decoded_key, path_of(REAL)),
]
BY_STATE = [
    foreign("revoked, by the hub's token", f"https://{NAMESPACE}/telemetry", path_of("gone"), "revoked"),
    foreign("disabled", f"{BASE}/off", path_of("off"), "disabled"),
    foreign("no publisher", f"https://{NAMESPACE}/telemetry", "/telemetry/messages", "no_publisher"),
    posting("a Host of another hub", 401, PUBLISHERS % "not_ours", headers={"Host": "evil.example"}),
    posting("no token", 401, PUBLISHERS % "no_token", str),
    posting(
        "a device's token for a hub", 401, PUBLISHERS % "malformed_token", lambda: sas.make("h/devices/d", b"k", 1)
    ),
]
BY_PATH = [
    posting(
        "a dot segment", 404, REQUESTS % "unknown_path", target=f"/telemetry/publishers/{MALLORY}/../{REAL}/messages"
    ),
    posting("dots", 400, REQUESTS % "malformed", target=path_of("%2e%2e")),
    posting("an escaped slash", 400, REQUESTS % "malformed", target=path_of(f"{MALLORY}%2F..%2F{REAL}")),
    posting("a line", 400, REQUESTS % "malformed", target=path_of("a%0d%0aX:y")),
    posting("NUL", 400, REQUESTS % "malformed", target=path_of("a%00")),
    posting("SQL for a hub", 404, REQUESTS % "malformed", target=path_of(hub="x';DROP%20TABLE--")),
    posting("two tokens", 400, REQUESTS % "malformed", headers={"authorization": "SharedAccessSignature x"}),
]
BY_MESSAGE = [
    posting(
        "the sender's id", 400, MESSAGES % "malformed_properties", headers={"iothub-connection-device-id": '"real"'}
    ),
    posting("one that hides it", 400, MESSAGES % "malformed_properties", headers={"$connectionDeviceId": '"real"'}),
    posting(
        "another's partition key",
        400,
        MESSAGES % "malformed_properties",
        headers={"BrokerProperties": '{"PartitionKey":"real"}'},
    ),
    posting(
        "the sender's id in a batch",
        400,
        MESSAGES % "malformed_message",
        headers=BATCH,
        body=b'[{"Body":"a"},{"Body":"b","UserProperties":{"iothub-connection-device-id":"real"}}]',
    ),
    posting("a batch that is none", 400, MESSAGES % "malformed_message", headers=BATCH),
    posting("too large", 413, MESSAGES % "too_large", body=bytes(262_145)),
    posting("two lengths", 400, BROKEN, headers={"Content-Length": "4294967296"}),
    posting("length and chunks", 400, BROKEN, headers={"Transfer-Encoding": "chunked"}),
]


def minting(what: str, status: int, counter: str, wish: dict[str, object], *, key: bytes | None = None) -> Attempt:
    """One wish for a token; with `key`, over a fresh nonce that was given to the device in it."""

    async def act(stage: Stage, source: str) -> Answer:
        said = dict(wish)
        if key is not None:
            device = str(said["deviceId"])
            nonce = await nonce_of(stage, source, str(said.pop("nonceOf", device)))
            said |= {"nonce": nonce, "mac": wish_mac(key, device, nonce)}
        host = stage.site.hub.hub_name
        return await exchange(
            stage, source, written("POST", "/tokens/v1/token", [("Host", host)], json.dumps(said).encode())
        )

    return Attempt(what, act, status, counter)


async def nonce_of(stage: Stage, source: str, device: str) -> str:
    peer = await RawPeer.dial(stage.site, source=source, port=PORT)
    peer.send(written("GET", f"/tokens/v1/nonce?deviceId={device}", [("Host", "gateway")]))
    told = (await peer.reader.read()).decode()
    return str(json.loads(told.partition("\r\n\r\n")[2])["nonce"])


BY_WISH = [
    minting("another's key", 401, MINTS % "wrong_key", {"deviceId": REAL}, key=MALLORY_KEY),
    minting("the group's key", 401, MINTS % "wrong_key", {"deviceId": "fleet-1"}, key=GROUP_KEY),
    minting("another's nonce", 401, MINTS % "wrong_nonce", {"deviceId": REAL, "nonceOf": MALLORY}, key=REAL_KEY),
    minting("a nonce made up", 401, MINTS % "wrong_nonce", {"deviceId": REAL, "nonce": NONCE, "mac": NONCE}),
    minting("nobody", 401, MINTS % "wrong_key", {"deviceId": "nobody"}, key=MALLORY_KEY),
    minting("disabled", 401, MINTS % "disabled", {"deviceId": "off"}, key=MALLORY_KEY),
    minting("nothing shown", 401, MINTS % "no_proof", {"deviceId": REAL}),
    minting("a password where none counts", 401, MINTS % "not_allowed", {"deviceId": REAL, "password": "x"}),
]


async def replayed(stage: Stage, source: str) -> Answer:
    """A good proof of Mallory's own, said twice."""
    nonce = await nonce_of(stage, source, MALLORY)
    wish = {"deviceId": MALLORY, "nonce": nonce, "mac": wish_mac(MALLORY_KEY, MALLORY, nonce)}
    data = written("POST", "/tokens/v1/token", [("Host", "gateway")], json.dumps(wish).encode())
    assert await exchange(stage, source, data) == 200
    return await exchange(stage, source, data)


BY_WISH.append(minting("no id", 400, MINTS % "malformed", {"deviceId": "a" * 129}))
BY_WISH.append(Attempt("said again", replayed, 401, MINTS % "old_nonce"))


@pytest.mark.parametrize(
    "attempts",
    [
        BY_TOKEN,
        [*BY_STATE, *BY_PATH, *BY_MESSAGE],
        BY_WISH,
    ],  # the log says so many lines of one kind (LINES_PER_PERIOD)
    ids=["tokens", "requests", "wishes"],
)
async def test_each_attempt_is_refused_said_once_and_disturbs_nobody(
    site: GatewaySite, attempts: list[Attempt]
) -> None:
    edit_publishers(site.data / PUBLISHERS_FILE, lambda _: HUBS)
    async with Stage.open(site) as stage:
        problems = [problem for attempt in attempts for problem in await stage.problems_with(attempt)]
        assert RULE_KEY not in site.gateway.transcript()
    assert problems == []
