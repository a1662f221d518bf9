"""Attempts to be somebody else over HTTPS (robustness.md §5.3, 15), held to what `test_attempts` asks for."""

import ssl
from collections.abc import Callable, Mapping
from typing import Final

import pytest

from support.attempts import GROUP_KEY, MALLORY, MALLORY_KEY, MODULE_KEY, REAL, REAL_KEY, Answer, Attempt, Stage
from support.gateway_site import GatewaySite
from support.http_attempts import exchange, written

Make = Callable[[Stage], str | None]
LOGINS: Final = 'gateway_refused_logins_total{reason="%s"}'
REQUESTS: Final = 'gateway_refused_requests_total{reason="%s"}'
MESSAGES: Final = 'gateway_refused_messages_total{reason="%s"}'
BROKEN: Final = "gateway_broken_protocols_total"
VERSION: Final = "?api-version=2021-04-12"
EVENTS: Final = f"/devices/{REAL}/messages/events{VERSION}"
OWN: Final = f"/devices/{MALLORY}/messages/events{VERSION}"
BATCH: Final = {"Content-Type": "application/vnd.microsoft.iothub.json"}


def own(stage: Stage) -> str:
    """Mallory's own good token."""
    return stage.token(MALLORY, MALLORY_KEY)


def asking(
    what: str,
    target: str,
    make: Make,
    status: int,
    counter: str,
    *,
    method: str = "POST",
    headers: Mapping[str, str] = {},
    body: bytes = b"stolen",
) -> Attempt:
    """One request with this token as its Authorization."""

    async def act(stage: Stage, source: str) -> Answer:
        fields = {"Host": stage.site.hub.hub_name, **headers}
        token = make(stage)
        if token is not None:
            fields["Authorization"] = token
        return await exchange(stage, source, written(method, target, list(fields.items()), body))

    return Attempt(what, act, status, counter)


def login(what: str, make: Make, reason: str, target: str = EVENTS, **more: Mapping[str, str]) -> Attempt:
    """A request that does not prove who it comes from."""
    return asking(what, target, make, 401, LOGINS % reason, **more)  # type: ignore[arg-type] # headers alone


def path(what: str, target: str, status: int, reason: str, method: str = "POST") -> Attempt:
    """A target that is none, with a good token of Mallory's."""
    return asking(what, target, own, status, REQUESTS % reason, method=method)


def raw(what: str, text: str, status: int | None) -> Attempt:
    """Bytes that are no single good request; `{token}` is Mallory's good one, `{hub}` the hub."""

    async def act(stage: Stage, source: str) -> Answer:
        filled = text.replace("{token}", own(stage)).replace("{hub}", stage.site.hub.hub_name)
        return await exchange(stage, source, filled.encode("latin-1"))

    return Attempt(what, act, status, BROKEN)


def shown(what: str, issue: Callable[[Stage], ssl.SSLContext], reason: str, target: str = EVENTS) -> Attempt:
    """A request with a certificate instead of a token."""

    async def act(stage: Stage, source: str) -> Answer:
        data = written("POST", target, [("Host", stage.site.hub.hub_name)], b"stolen")
        return await exchange(stage, source, data, issue(stage))

    return Attempt(f"certificate: {what}", act, 401, LOGINS % reason)


def called(what: str, caller: str, make: Make, status: int, counter: str) -> Attempt:
    """A method of the real device, called by who says that it is `caller`."""
    body = b'{"methodName":"open"}'
    headers = {"x-ms-edge-moduleId": caller} if caller else {}
    return asking(f"method: {what}", f"/twins/{REAL}/methods", make, status, counter, headers=headers, body=body)


BY_CREDENTIALS = [
    login("no token", lambda _: None, "no_credentials"),
    login("an empty token", lambda _: "", "no_credentials"),
    login("another scheme", lambda _: "Basic cmVhbDpyZWFs", "malformed_token"),
    login("Bearer before the token", lambda stage: f"Bearer {stage.token()}", "malformed_token"),
    login("A's token for B's path", own, "foreign_audience"),
    login("signed with another device's key", lambda stage: stage.token(REAL, MALLORY_KEY), "wrong_key"),
    login("a group's key", lambda stage: stage.token(REAL, GROUP_KEY), "wrong_key"),
    login("its module's key", lambda stage: stage.token(REAL, MODULE_KEY), "wrong_key"),
    login("its module's token", lambda s: s.signed(s.resource(REAL, "m1"), MODULE_KEY), "foreign_audience"),
    login("expired", lambda stage: stage.token(life_s=-400), "expired"),
    login("a prefix", lambda s: s.token("dev1", MALLORY_KEY), "foreign_audience", EVENTS.replace(REAL, "dev10")),
    login("the hub's own", lambda stage: stage.signed(stage.site.hub.hub_name, REAL_KEY), "foreign_audience"),
    login("a policy", lambda s: s.signed(s.resource(REAL), REAL_KEY, policy="iothubowner"), "policy_token"),
    login("nobody", lambda s: s.token("nobody", MALLORY_KEY), "unknown_device", EVENTS.replace(REAL, "nobody")),
    login("disabled", lambda s: s.token("off", MALLORY_KEY), "disabled", EVENTS.replace(REAL, "off")),
    login("in another case", lambda stage: stage.token(), "foreign_audience", EVENTS.replace(REAL, "Real")),
    login("the token in the query", lambda _: None, "no_credentials", f"{EVENTS}&sig=abc&sr=hub&se=1"),
    login("a Host of another hub", Stage.token, "foreign_hub", headers={"Host": "other.azure-devices.net"}),
    login("an address as Host", Stage.token, "foreign_hub", headers={"Host": "10.1.2.3"}),
    login(
        "from elsewhere, it says",
        lambda stage: stage.token(REAL, MALLORY_KEY),
        "wrong_key",
        headers={"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "hub", "Forwarded": "for=127.0.0.1"},
    ),
]
BY_OTHERS_PATHS = [  # apart: the log says so many lines of one kind (LINES_PER_PERIOD)
    login(
        "a certificate in a header",
        lambda _: None,
        "no_credentials",
        headers={"x-ms-edge-clientcert": "MIIB", "X-ARR-ClientCert": "MIIB"},
    ),
    asking(
        "another's messages",
        f"/devices/{REAL}/messages/devicebound{VERSION}",
        own,
        401,
        LOGINS % "foreign_audience",
        method="GET",
    ),
    asking(
        "another's lock",
        f"/devices/{REAL}/messages/devicebound/6d2e{VERSION}",
        own,
        401,
        LOGINS % "foreign_audience",
        method="DELETE",
    ),
]
BY_CERTIFICATE = [
    shown(
        "of another device",
        lambda s: s.tls_with(s.certificate("issued-2")),
        "certificate_mismatch",
        EVENTS.replace(REAL, "issued"),
    ),
    shown("for a device with a key", lambda s: s.tls_with(s.certificate(REAL)), "wrong_method"),
    shown("of nobody", lambda s: s.tls_with(s.certificate("nobody")), "unknown_device", EVENTS.replace(REAL, "nobody")),
]
BY_PATH = [
    path("a dot segment", f"/devices/{MALLORY}/../{REAL}/messages/events{VERSION}", 404, "unknown_path"),
    path("an escaped dot segment", f"/devices/{MALLORY}/%2e%2e/{REAL}/messages/events{VERSION}", 404, "unknown_path"),
    path("dots for an id", f"/devices/%2e%2e/messages/events{VERSION}", 400, "malformed"),
    path("an empty id", f"/devices//messages/events{VERSION}", 404, "unknown_path"),
    path("two slashes in front", f"//devices/{REAL}/messages/events{VERSION}", 404, "unknown_path"),
    path("an escaped slash", f"/devices/{MALLORY}%2f..%2f{REAL}/messages/events{VERSION}", 400, "malformed"),
    login("a slash escaped twice", own, "foreign_audience", f"/devices/{MALLORY}%252f{REAL}/messages/events{VERSION}"),
    path("a blank behind the id", f"/devices/{REAL}%20/messages/events{VERSION}", 400, "malformed"),
    path("NUL behind the id", f"/devices/{REAL}%00/messages/events{VERSION}", 400, "malformed"),
    path("a line in the id", f"/devices/{REAL}%0d%0aX:%20y/messages/events{VERSION}", 400, "malformed"),
    path("SQL for an id", f"/devices/x';DROP%20TABLE%20devices--/messages/events{VERSION}", 400, "malformed"),
    path("no version", f"/devices/{MALLORY}/messages/events", 400, "malformed"),
    path("a method that it does not have", OWN, 405, "malformed", "PUT"),
    path("the registry", f"/devices/{REAL}{VERSION}", 404, "unknown_path", "GET"),
    path("the service's messages", f"/messages/deviceBound{VERSION}", 404, "unknown_path"),
    path("the root", "/", 404, "unknown_path", "GET"),
    asking(
        "a method in a header",
        f"/devices/{MALLORY}/messages/devicebound/6d2e{VERSION}",
        own,
        405,
        REQUESTS % "malformed",
        headers={"X-HTTP-Method-Override": "DELETE", "X-HTTP-Method": "DELETE"},
    ),
]
BY_CALL = [
    called("nobody calls", "", own, 400, REQUESTS % "malformed"),
    called("a caller that is none", "edge-1", own, 400, REQUESTS % "malformed"),
    called("a device calls", f"{MALLORY}/m1", own, 401, REQUESTS % "foreign_caller"),
    called("a module elsewhere", f"{REAL}/m1", own, 401, REQUESTS % "foreign_caller"),
    called("a device's token", "edge-1/caller", own, 401, LOGINS % "foreign_audience"),
    called("no token", "edge-1/caller", lambda _: None, 401, LOGINS % "no_credentials"),
    called(
        "a key that is not its own",
        "edge-1/caller",
        lambda s: s.signed(s.resource("edge-1", "caller"), MALLORY_KEY),
        401,
        LOGINS % "unknown_device",
    ),
]
BY_MESSAGE = [
    asking(
        what,
        OWN,
        own,
        status,
        MESSAGES % reason,
        headers=headers,
        body=body,  # in one row each, as a table
    )
    for what, status, reason, headers, body in (
        ("the sender's id", 400, "malformed_properties", {"iothub-app-iothub-connection-device-id": REAL}, b""),
        ("one that hides it in routes", 400, "malformed_properties", {"iothub-app-$connectionDeviceId": REAL}, b""),
        ("a system property of a topic", 400, "malformed_properties", {"iothub-app-$.mid": "1"}, b""),
        ("a name twice", 400, "malformed_properties", {"iothub-app-a": "1", "iothub-app-A": "2"}, b""),
        ("too many", 400, "malformed_properties", {f"iothub-app-p{n}": "" for n in range(260)}, b""),
        ("too large", 413, "too_large", {}, bytes(262_145)),
        ("a batch that is none", 400, "malformed_message", BATCH, b"hello"),
        (
            "a batch with another's id in it",
            400,
            "malformed_message",
            BATCH,
            b'[{"body":""},{"body":"","properties":{"iothub-app-iothub-connection-device-id":"real"}}]',
        ),
    )
]
HEAD = f"POST {OWN} HTTP/1.1\r\nHost: {{hub}}\r\nAuthorization: {{token}}\r\n"
HIDDEN = f"POST {EVENTS} HTTP/1.1\r\nHost: {{hub}}\r\nAuthorization: {{token}}\r\nContent-Length: 0\r\n\r\n"
BY_BYTES = [
    raw("length and chunks", HEAD + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN, 400),
    raw("chunks and length", HEAD + "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n" + HIDDEN, 400),
    raw("two lengths", HEAD + "Content-Length: 0\r\nContent-Length: 6\r\n\r\n" + HIDDEN, 400),
    raw("chunks with another name", HEAD + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN, 501),
    raw("a blank before the colon", HEAD + "Content-Length : 6\r\n\r\n" + HIDDEN, 400),
    raw("a folded header", HEAD + "X: y\r\n Content-Length: 6\r\n\r\n" + HIDDEN, 400),
    raw("a line that ends with LF", HEAD + "X: y\nContent-Length: 6\r\n\r\n" + HIDDEN, 400),
    raw("a last chunk that ends with LF", HEAD + "Transfer-Encoding: chunked\r\n\r\n0\r\n\n" + HIDDEN, 400),
    raw("another host in the target", f"POST http://other{OWN} HTTP/1.1\r\nHost: {{hub}}\r\n\r\n", 400),
    raw("a body to be unpacked", HEAD + "Content-Encoding: gzip\r\nContent-Length: 6\r\n\r\nstolen", 415),
    raw("a body of 4 GB", HEAD + "Content-Length: 4294967296\r\n\r\n", 413),
    raw("two hosts", HEAD + "Host: other\r\n\r\n", 400),
]
TWICE = [
    asking("two tokens", OWN, own, 400, REQUESTS % "malformed", headers={"authorization": "SharedAccessSignature x"}),
]


@pytest.mark.parametrize(
    "attempts",
    [BY_CREDENTIALS, BY_OTHERS_PATHS, BY_CERTIFICATE, BY_PATH, BY_CALL, BY_MESSAGE, BY_BYTES, TWICE],
    ids=["credentials", "others", "certificates", "paths", "calls", "messages", "bytes", "twice"],
)
async def test_each_attempt_is_refused_said_once_and_disturbs_nobody(
    site: GatewaySite, attempts: list[Attempt]
) -> None:
    async with Stage.open(site) as stage:
        problems = [problem for attempt in attempts for problem in await stage.problems_with(attempt)]
    assert problems == []
