"""Attempts to be somebody else: by ids, tokens, certificates, topics, properties, bytes.

Each is refused with its code, says one line without a secret, is counted once, stores nothing, and does not disturb the
real device, which is connected all the time and publishes after each.
"""

import base64
import ssl
import warnings
from collections.abc import Awaitable, Callable

import pytest

from edgewire.iothub import sas
from support.attempts import (
    GROUP_KEY,
    MALLORY,
    MALLORY_KEY,
    MODULE_KEY,
    REAL,
    REAL_KEY,
    Answer,
    Attempt,
    Stage,
    new_authority,
)
from support.gateway_site import GatewaySite
from support.raw_mqtt import packet, publish, subscribe, text, user_property
from support.raw_peer import RawPeer
from support.websocket_client import request

AT_ONCE = 18
"""Attempts against one gateway: of one kind it writes 20 lines in ten seconds, and counts the rest."""

Act = Callable[[Stage, str], Awaitable[Answer]]
LOGINS = 'gateway_refused_logins_total{reason="%s"}'
CONNECTIONS = 'gateway_refused_connections_total{reason="%s"}'
MESSAGES = 'gateway_refused_messages_total{reason="%s"}'
SUBSCRIPTIONS = 'gateway_refused_subscriptions_total{reason="%s"}'
BROKEN = "gateway_broken_protocols_total"
OTHERS = f"devices/{REAL}/messages/events/"
OWN = f"devices/{MALLORY}/messages/events/"


def login(what: str, code: int, reason: str, **changes: object) -> Attempt:
    """A CONNECT of the real device with these fields changed; a callable is given the stage."""

    async def act(stage: Stage, source: str) -> Answer:
        given = {name: each(stage) if callable(each) else each for name, each in changes.items()}
        return await stage.connect(source, stage.hello(**given).wire)

    return Attempt(what, act, code, LOGINS % reason)


def with_token(what: str, make: Callable[[Stage], str], reason: str, device: str = REAL) -> Attempt:
    """A CONNECT as this device by a token that is not its own."""
    return login(what, 5, reason, client_id=device, username=lambda stage: stage.username(device), password=make)


def username(ending: str) -> Callable[[Stage], str]:
    return lambda stage: stage.site.hub.hub_name + ending


def named(name: str) -> dict[str, object]:
    """Client id and user name of somebody else, with the real device's token."""
    return {"client_id": name, "username": lambda stage: stage.username(name)}


IDS = [
    login("no password", 5, "no_credentials", password=None),
    login("an empty password", 5, "no_credentials", password=""),
    login("no user name", 4, "malformed_username", username=None, password=None),
    login("no api-version", 4, "malformed_username", username=username(f"/{REAL}/")),
    login("an empty api-version", 4, "malformed_username", username=username(f"/{REAL}/?api-version=")),
    login("another hub", 5, "foreign_hub", username=f"other.example/{REAL}/?api-version=2021-04-12"),
    login("another client id", 4, "malformed_username", client_id=MALLORY),
    login("the client id in capitals", 4, "malformed_username", client_id=REAL.upper()),
    login("client id and user name in capitals", 5, "foreign_audience", **named(REAL.upper())),
    login("a blank behind the id", 4, "malformed_username", **named(f"{REAL} ")),
    login("a dot behind the id", 5, "foreign_audience", **named(f"{REAL}.")),
    login("a slash behind the id", 4, "malformed_username", **named(f"{REAL}/")),
    login("a zero-width space behind the id", 4, "malformed_username", **named(f"{REAL}\u200b")),
    login("a composed letter", 4, "malformed_username", **named("r\u00e9al")),
    login("the same letter decomposed", 4, "malformed_username", **named("re\u0301al")),
    login("an escaped slash in the id", 5, "foreign_audience", **named(f"{REAL}%2Fm1")),
    login("the module without its name", 4, "malformed_username", client_id=f"{REAL}/m1"),
    login("an id of 200 characters", 4, "malformed_username", **named("x" * 200)),
    login("a user name of 60,000 characters", 4, "malformed_username", username=username("/" + "x" * 60_000)),
    login("SQL in the id", 4, "malformed_username", **named("x';DROP TABLE session--")),
    login("SQL that the id's alphabet allows", 5, "foreign_audience", **named("'OR(1=1)")),
    login("SQL's wildcards as the id", 5, "foreign_audience", **named("%")),
    login("one more of them", 5, "foreign_audience", **named("____")),
    login("dots as the id", 5, "foreign_audience", **named("..")),
]

TOKENS = [
    with_token("another device's token", lambda s: s.token(MALLORY, MALLORY_KEY), "foreign_audience"),
    with_token("the right resource signed with another's key", lambda s: s.token(REAL, MALLORY_KEY), "wrong_key"),
    with_token(
        "the token of a device whose id is a prefix",
        lambda s: s.token("dev1", MALLORY_KEY),
        "foreign_audience",
        "dev10",
    ),
    with_token(
        "the hub as resource, by another's key",
        lambda s: s.signed(s.site.hub.hub_name, MALLORY_KEY),
        "foreign_audience",
    ),
    with_token(
        "a policy's token", lambda s: s.signed(s.site.hub.hub_name, REAL_KEY, policy="iothubowner"), "policy_token"
    ),
    with_token("an invented policy", lambda s: s.token() + "&skn=device", "policy_token"),
    with_token(
        "a module's token for its device", lambda s: s.signed(s.resource(REAL, "m1"), MODULE_KEY), "foreign_audience"
    ),
    with_token("a module's key for its device", lambda s: s.token(REAL, MODULE_KEY), "wrong_key"),
    with_token(
        "another device's key for a module",
        lambda s: s.signed(s.resource(REAL, "m1"), MALLORY_KEY),
        "wrong_key",
        f"{REAL}/m1",
    ),
    with_token("the group's key itself", lambda s: s.token("fleet-1", GROUP_KEY), "unknown_device", "fleet-1"),
    with_token("the group's key for a device with its own", lambda s: s.token(REAL, GROUP_KEY), "wrong_key"),
    with_token("a device that nobody knows", lambda s: s.token("nobody", REAL_KEY), "unknown_device", "nobody"),
    with_token("a device that is disabled", lambda s: s.token("off", MALLORY_KEY), "disabled", "off"),
    with_token(
        "a token for a device with a certificate", lambda s: s.token("thumb", MALLORY_KEY), "wrong_method", "thumb"
    ),
    with_token("expired, the allowance for clocks included", lambda s: s.token(life_s=-301), "expired"),
    with_token("no expiry", lambda s: s.token().rpartition("&se=")[0], "malformed_token"),
    with_token("an empty expiry", lambda s: s.with_expiry(""), "malformed_token"),
    with_token("a negative expiry", lambda s: s.with_expiry("-1"), "malformed_token"),
    with_token("an expiry of 2^63", lambda s: s.with_expiry(str(1 << 63)), "malformed_token"),
    with_token("an expiry of 1e400", lambda s: s.with_expiry("1e400"), "malformed_token"),
    with_token("an expiry with a blank", lambda s: s.with_expiry(" 1900000000"), "malformed_token"),
    with_token("an expiry in hexadecimal", lambda s: s.with_expiry("0x713FB300"), "malformed_token"),
    with_token(
        "an expiry in other digits",
        lambda s: s.with_expiry("\u0661\u0669\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660"),
        "malformed_token",
    ),
    with_token("two expiries", lambda s: s.token() + "&se=1900000000", "malformed_token"),
    with_token("two resources", lambda s: s.token(MALLORY, MALLORY_KEY) + "&sr=" + s.resource(REAL), "malformed_token"),
    with_token("a later expiry than was signed", lambda s: s.token(life_s=-900)[:-10] + "1999999999", "wrong_key"),
    with_token("a signature cut short", lambda s: s.token().replace("%3D&se", "&se"), "wrong_key"),
    with_token("a signature with more padding", lambda s: s.token().replace("%3D&se", "%3D%3D&se"), "wrong_key"),
    with_token("a signature with bytes behind it", lambda s: s.token().replace("%3D&se", "%3DAAAA&se"), "wrong_key"),
    with_token("a signature in small letters", lambda s: _lower_signature(s.token()), "wrong_key"),
    with_token("an empty signature", lambda s: _signature(s.token(), ""), "malformed_token"),
    with_token("no signature", lambda s: s.token().replace("sig=", "gis="), "malformed_token"),
    with_token("another first word", lambda s: s.token().replace("SharedAccessSignature", "Bearer"), "malformed_token"),
    with_token("the key itself", lambda _: base64.b64encode(REAL_KEY).decode(), "malformed_token"),
    with_token("a token of 60,000 characters", lambda s: s.token() + "x" * 60_000, "malformed_token"),
]


def _signature(token: str, signature: str) -> str:
    head, _, tail = token.partition("sig=")
    return f"{head}sig={signature}&se{tail.partition('&se')[2]}"


def _lower_signature(token: str) -> str:
    return _signature(token, token.partition("sig=")[2].partition("&se")[0].lower())


def by_certificate(
    what: str, reason: str, device: str, show: Callable[[Stage], ssl.SSLContext], **changes: object
) -> Attempt:
    """A CONNECT as this device, by what it shows in TLS."""

    async def act(stage: Stage, source: str) -> Answer:
        given = {name: each(stage) if callable(each) else each for name, each in changes.items()}
        fields: dict[str, object] = {"client_id": device, "username": stage.username(device), "password": None, **given}
        return await stage.connect(source, stage.hello(**fields).wire, tls=show(stage))

    return Attempt(what, act, 5, LOGINS % reason)


def _leaf_as_authority(stage: Stage) -> ssl.SSLContext:
    leaf = stage.certificate("issued-2")
    return stage.tls_with(stage.certificate("issued", by=leaf), leaf)


def _foreign_chain(stage: Stage) -> ssl.SSLContext:
    other = new_authority("another root")
    return stage.tls_with(stage.certificate("issued", by=other), other)


CERTIFICATES = [
    by_certificate(
        "the right name by another authority",
        "certificate_untrusted",
        "issued",
        lambda s: s.tls_with(s.certificate("issued", by=new_authority("root of the site"))),
    ),
    by_certificate("the other authority shown along", "certificate_untrusted", "issued", _foreign_chain),
    by_certificate("signed by itself", "certificate_untrusted", "issued", lambda s: s.tls_with(s.thumb)),
    by_certificate(
        "expired", "certificate_expired", "issued", lambda s: s.tls_with(s.certificate("issued", days=(-2, -1)))
    ),
    by_certificate(
        "not valid yet", "certificate_expired", "issued", lambda s: s.tls_with(s.certificate("issued", days=(1, 2)))
    ),
    by_certificate(
        "for servers only",
        "certificate_untrusted",
        "issued",
        lambda s: s.tls_with(s.certificate("issued", server=True)),
    ),
    by_certificate(
        "another device's certificate",
        "certificate_mismatch",
        "issued",
        lambda s: s.tls_with(s.certificate("issued-2")),
    ),
    by_certificate(
        "the id in capitals", "certificate_mismatch", "issued", lambda s: s.tls_with(s.certificate("ISSUED"))
    ),
    by_certificate("issued by a device", "certificate_untrusted", "issued", _leaf_as_authority),
    by_certificate(
        "another certificate than the thumbprint's",
        "certificate_mismatch",
        "thumb",
        lambda s: s.tls_with(s.certificate("thumb")),
    ),
    by_certificate(
        "a certificate for a device with keys", "wrong_method", REAL, lambda s: s.tls_with(s.certificate(REAL))
    ),
    by_certificate(
        "a certificate for a module", "unknown_device", "issued/m1", lambda s: s.tls_with(s.certificate("issued"))
    ),
    by_certificate("no certificate", "no_credentials", "issued", lambda s: s.site.client_tls()),
    by_certificate(
        "somebody's certificate with another's token",
        "certificate_mismatch",
        MALLORY,
        lambda s: s.tls_with(s.certificate("issued")),
        password=lambda s: s.token(MALLORY, MALLORY_KEY),
    ),
    by_certificate(
        "a registered certificate with another's token",
        "certificate_mismatch",
        MALLORY,
        lambda s: s.tls_with(s.thumb),
        password=lambda s: s.token(MALLORY, MALLORY_KEY),
    ),
]


def sending(what: str, wire: bytes, answer: Answer, counter: str, level: int = 5) -> Attempt:
    """Bytes of a device that has logged in as itself."""

    async def act(stage: Stage, source: str) -> Answer:
        return await stage.as_mallory(source, wire, level=level)

    return Attempt(what, act, answer, counter)


def publishing(what: str, topic: str, code: int, reason: str, properties: bytes = b"") -> list[Attempt]:
    """A message in MQTT 5, which hears why, and in 3.1.1, which is closed."""
    five = publish(topic, properties=properties)
    found = [sending(what, five, ("PUBACK", code), MESSAGES % reason)]
    if not properties:
        found.append(sending(f"{what}, MQTT 3.1.1", publish(topic), None, MESSAGES % reason, level=4))
    return found


TOPICS = [
    *publishing("another device's topic", OTHERS, 0x87, "foreign_device"),
    *publishing("dots in the topic", f"devices/{MALLORY}/../{REAL}/messages/events/", 0x90, "unknown_topic"),
    *publishing("an empty id in the topic", f"devices//{REAL}/messages/events/", 0x90, "unknown_topic"),
    *publishing("the topic in capitals", f"DEVICES/{MALLORY}/messages/events/", 0x90, "unknown_topic"),
    *publishing("a module of another device", f"devices/{REAL}/modules/m1/messages/events/", 0x87, "foreign_device"),
    *publishing(
        "a module of its own that it is not", f"devices/{MALLORY}/modules/m1/messages/events/", 0x87, "foreign_device"
    ),
    *publishing("SQL in the topic", "devices/x';DROP TABLE session--/messages/events/", 0x87, "foreign_device"),
    sending(
        "a retained message on another's topic",
        publish(OTHERS, retain=True, properties=b""),
        ("PUBACK", 0x87),
        MESSAGES % "foreign_device",
    ),
    sending(
        "another's topic under an alias",
        publish(OTHERS, properties=b"\x23\x00\x01"),
        ("PUBACK", 0x87),
        MESSAGES % "foreign_device",
    ),
    sending(
        "another's topic without acknowledgement",
        publish(OTHERS, qos=0, properties=b""),
        ("DISCONNECT", 0x87),
        MESSAGES % "foreign_device",
    ),
    sending(
        "C2D of another device",
        publish(f"devices/{REAL}/messages/devicebound/", properties=b""),
        ("PUBACK", 0x90),
        MESSAGES % "unknown_topic",
    ),
]

FILTERS = [
    (f"devices/{REAL}/messages/devicebound/#", "foreign_device"),
    (f"devices/{REAL}/modules/m1/#", "foreign_device"),
    ("devices/+/messages/devicebound/#", "unknown_filter"),
    ("#", "unknown_filter"),
    ("+/#", "unknown_filter"),
    (f"$share/g/devices/{REAL}/messages/devicebound/#", "unknown_filter"),
    (f"devices/{REAL}/messages/events/#", "unknown_filter"),
    ("$SYS/#", "unknown_filter"),
    ("devices/x' OR '1'='1/messages/devicebound/#", "foreign_device"),
]
SUBSCRIBING = [
    sending(f"SUBSCRIBE {each}", subscribe([each]), ("SUBACK", 0x80), SUBSCRIPTIONS % reason, level=4)
    for each, reason in FILTERS
]

WILLS = [
    Attempt(
        f"a will for {topic}, level {level}",
        lambda stage, source, topic=topic, level=level: stage.connect(  # type: ignore[misc] # bound early
            source,
            stage.hello(
                client_id=MALLORY,
                username=stage.username(MALLORY),
                password=stage.token(MALLORY, MALLORY_KEY),
                will_topic=topic,
                level=level,
            ).wire,
        ),
        code,
        LOGINS % "foreign_will",
    )
    for topic in (OTHERS, "$iothub/twin/GET/?$rid=1", "a")
    for level, code in ((4, 5), (5, 0x90))
]

PROPERTIES = [
    attempt
    for what, bag in [
        ("the sender's id as a property", f"iothub-connection-device-id={REAL}"),
        ("the sender's id escaped", f"iothub%2Dconnection%2Ddevice%2Did={REAL}"),
        ("the way of its login as a property", "iothub-connection-auth-method=x"),
        ("the time of arrival as a property", "iothub-enqueuedtime=2020-01-01"),
        ("a name that routes read as the sender", f"$connectionDeviceId={REAL}"),
        ("a message id twice", "$.mid=1&%24.mid=2"),
        ("a second equals sign", "a=b=c"),
        ("a name with CR and LF", "a%0D%0Ab=1"),
        ("a name twice but for its case", "a=1&A=2"),
        ("10,000 properties", "&".join(f"{number}" for number in range(10_000))),
    ]
    for attempt in publishing(what, OWN + bag, 0x90, "malformed_properties")
] + [
    *publishing(
        "the sender's id as a user property",
        OWN,
        0x90,
        "malformed_properties",
        user_property("iothub-connection-device-id", REAL),
    ),
    *publishing(
        "a system property in the topic and again",
        OWN + "$.mid=1",
        0x90,
        "malformed_properties",
        user_property("$.mid", "2"),
    ),
]


async def _refused_with_more(stage: Stage, source: str) -> Answer:
    wrong = stage.hello(password=stage.token(REAL, MALLORY_KEY)).wire
    return await stage.connect(source, wrong + publish(OTHERS, b"pipelined") * 3)


async def _plain(stage: Stage, source: str) -> Answer:
    peer = await RawPeer.dial(stage.site, source=source, plain=True)
    peer.send(stage.hello().wire)
    assert await peer.ended() == []
    return None


def _old_tls(version: ssl.TLSVersion) -> Act:
    async def act(stage: Stage, source: str) -> Answer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # that is the point
            context.minimum_version = context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises(ssl.SSLError):
            await RawPeer.dial(stage.site, source=source, tls=context)
        return None

    return act


def _weak_cipher(name: str) -> Act:
    async def act(stage: Stage, source: str) -> Answer:
        context = stage.site.client_tls(version=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(f"{name}:@SECLEVEL=0")
        with pytest.raises(ssl.SSLError):
            await RawPeer.dial(stage.site, source=source, tls=context)
        return None

    return act


def _websocket(wire: bytes, begin: bytes) -> Act:
    async def act(stage: Stage, source: str) -> Answer:
        peer = await RawPeer.dial(stage.site, source=source, port=8443)
        peer.send(wire)
        assert (await peer.reader.readuntil(b"\r\n\r\n")).startswith(begin)
        if begin.startswith(b"HTTP/1.1 101"):
            peer.send(b"\x81\x85\0\0\0\0hello")
            assert (await peer.reader.readexactly(4)) == b"\x88\x02\x03\xeb"
        peer.abort()
        return None

    return act


async def _hello_again(stage: Stage, source: str) -> Answer:
    return await stage.as_mallory(source, stage.hello(level=5).wire)


BYTES = [
    Attempt("messages behind a CONNECT that is refused", _refused_with_more, 5, LOGINS % "wrong_key"),
    Attempt("a second CONNECT as somebody else", _hello_again, ("DISCONNECT", 0x82), BROKEN),
    Attempt("plain MQTT to the TLS port", _plain, None, CONNECTIONS % "not_tls"),
    Attempt("TLS 1.0", _old_tls(ssl.TLSVersion.TLSv1), None, CONNECTIONS % "tls_version"),
    Attempt("TLS 1.1", _old_tls(ssl.TLSVersion.TLSv1_1), None, CONNECTIONS % "tls_version"),
    Attempt("a CBC cipher", _weak_cipher("ECDHE-ECDSA-AES128-SHA"), None, CONNECTIONS % "tls_cipher"),
    Attempt("static RSA", _weak_cipher("AES128-GCM-SHA256"), None, CONNECTIONS % "tls_cipher"),
    Attempt(
        "NUL in the client id", lambda s, source: s.connect(source, s.hello(client_id=f"{REAL}\0").wire), None, BROKEN
    ),
    Attempt(
        "a client id of 65,535 bytes",
        lambda s, source: s.connect(source, s.hello(client_id="x" * 65_535).wire),
        4,
        LOGINS % "malformed_username",
    ),
    Attempt(
        "an id of a megabyte", lambda s, source: s.connect(source, b"\x10\x80\x80\x40" + bytes(1 << 20)), None, BROKEN
    ),
    Attempt("a first packet that is no CONNECT", lambda s, source: s.connect(source, publish(OTHERS)), None, BROKEN),
    Attempt("AUTH before CONNECT", lambda s, source: s.connect(source, packet(0xF0, b"\x00\x00")), None, BROKEN),
    Attempt(
        "a method of authentication that is none of ours",
        lambda s, source: s.connect(source, s.hello(level=5, properties=b"\x15" + text("GS2-KRB5")).wire),
        0x8C,
        BROKEN,
    ),
    Attempt("MQTT 6", lambda s, source: s.connect(source, s.hello(level=6).wire), 0x84, BROKEN),
    Attempt(
        "WebSocket without a sub-protocol",
        _websocket(request(Sec_WebSocket_Protocol=None), b"HTTP/1.1 400"),
        None,
        CONNECTIONS % "no_subprotocol",
    ),
    Attempt(
        "text over WebSocket",
        _websocket(request(line="GET /?sig=x HTTP/1.1", Origin="https://elsewhere.example"), b"HTTP/1.1 101"),
        None,
        'gateway_cut_connections_total{reason="websocket_broken"}',
    ),
]

LOG = [
    login(
        "a line of its own in the client id",
        4,
        "malformed_username",
        client_id="x\r\n2030-01-01T00:00:00.000Z ERROR   forged",
    ),
    login("escapes of a terminal in the client id", 4, "malformed_username", client_id="\x1b[2J\x1b]0;owned\x07"),
    login("a token as the client id", 4, "malformed_username", client_id=lambda s: s.token()),
    login("a token as the user name", 4, "malformed_username", username=lambda s: s.token()),
    login("a key as the client id", 4, "malformed_username", client_id=base64.b64encode(REAL_KEY).decode()),
    login(
        "user name and password the other way round",
        4,
        "malformed_username",
        username=lambda s: s.token(),
        password=lambda s: s.username(),
    ),
    Attempt(
        "a token in the topic",
        lambda s, source: s.as_mallory(source, publish(s.token(), properties=b"")),
        ("PUBACK", 0x90),
        MESSAGES % "unknown_topic",
    ),
    Attempt(
        "a token in the topic, MQTT 3.1.1",
        lambda s, source: s.as_mallory(source, publish(s.token()), level=4),
        None,
        MESSAGES % "unknown_topic",
    ),
    Attempt(
        "a token in a filter",
        lambda s, source: s.as_mallory(source, subscribe([s.token()]), level=4),
        ("SUBACK", 0x80),
        SUBSCRIPTIONS % "unknown_filter",
    ),
    Attempt(
        "a token in a property",
        lambda s, source: s.as_mallory(source, publish(f"{OWN}a={s.token()}", properties=b"")),
        ("PUBACK", 0x90),
        MESSAGES % "malformed_properties",
    ),
    Attempt(
        "a token in a will's topic",
        lambda s, source: s.connect(
            source,
            s.hello(
                client_id=MALLORY,
                username=s.username(MALLORY),
                password=s.token(MALLORY, MALLORY_KEY),
                will_topic=s.token(),
            ).wire,
        ),
        5,
        LOGINS % "foreign_will",
    ),
]

TABLE = {
    "ids": IDS,
    "tokens": TOKENS,
    "certificates": CERTIFICATES,
    "topics": TOPICS,
    "subscriptions and wills": SUBSCRIBING + WILLS,
    "properties": PROPERTIES,
    "bytes": BYTES,
    "log": LOG,
}
ROUNDS = [
    pytest.param(rows[first : first + AT_ONCE], id=f"{name} {first + 1} to {min(first + AT_ONCE, len(rows))}")
    for name, rows in TABLE.items()
    for first in range(0, len(rows), AT_ONCE)
]


@pytest.mark.parametrize("attempts", ROUNDS)
async def test_each_attempt_is_refused_told_once_counted_once_and_disturbs_nobody(
    site: GatewaySite, attempts: list[Attempt]
) -> None:
    async with Stage.open(site) as stage:
        problems = [problem for attempt in attempts for problem in await stage.problems_with(attempt)]
    assert problems == []


async def test_whoever_is_what_it_says_is_let_in(site: GatewaySite) -> None:
    """Without this, all of the above would be refused by a gateway that refuses everybody."""
    async with Stage.open(site) as stage:
        key = sas.derive_device_key(GROUP_KEY, "fleet-1")
        by_token = {
            MALLORY: stage.token(MALLORY, MALLORY_KEY),
            f"{REAL}/m1": stage.signed(stage.resource(REAL, "m1"), MODULE_KEY),
            "fleet-1": stage.token("fleet-1", key),
            "dev1": stage.token("dev1", MALLORY_KEY, life_s=-200),  # expired, but within the allowance for clocks
        }
        for device, password in by_token.items():
            assert await _let_in(stage, device, password, stage.site.client_tls())
        for device, context in {
            "issued": stage.tls_with(stage.certificate("issued")),
            "thumb": stage.tls_with(stage.thumb),
        }.items():
            assert await _let_in(stage, device, None, context)


async def _let_in(stage: Stage, device: str, password: str | None, tls: ssl.SSLContext) -> bool:
    peer = await RawPeer.dial(stage.site, tls=tls)
    peer.send(stage.hello(client_id=device, username=stage.username(device), password=password).wire)
    code = await peer.connack()
    await peer.close()
    return code == 0
