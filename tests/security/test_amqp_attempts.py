"""Attempts to be somebody else by AMQP; what each must leave behind is what `test_attempts` asks for, too."""

import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from edgewire.codec.amqp.conditions import (
    ARGUMENT_ERROR,
    DECODE_ERROR,
    MESSAGE_SIZE_EXCEEDED,
    NOT_ALLOWED,
    UNAUTHORIZED_ACCESS,
)
from edgewire.codec.amqp.message import MESSAGE_FORMAT_BATCH, AmqpMessage, write_batch, write_message
from edgewire.codec.amqp.performatives import Rejected
from support.amqp_device import AmqpDevice
from support.attempts import GROUP_KEY, MALLORY, MALLORY_KEY, MODULE_KEY, REAL, REAL_KEY, Answer, Attempt, Stage
from support.gateway_site import GatewaySite
from support.raw_peer import RawPeer

Act = Callable[[Stage, str], Awaitable[Answer]]
Make = Callable[[Stage], str]
LOGINS = 'gateway_refused_logins_total{reason="%s"}'
LINKS = 'gateway_refused_links_total{reason="%s"}'
MESSAGES = 'gateway_refused_messages_total{reason="%s"}'
BROKEN = "gateway_broken_protocols_total"
EVENTS = f"/devices/{REAL}/messages/events"
OWN = f"/devices/{MALLORY}/messages/events"
AMQP_PORT = 5671
AUTH = ("SASL", 1)


def plain_name(what: str, name: str, reason: str, make: Make = Stage.token) -> Attempt:
    """A SASL PLAIN login by this user name with a token."""

    async def act(stage: Stage, source: str) -> Answer:
        hub = stage.site.hub.hub_name.partition(".")[0]
        response = b"\0".join((b"", name.format(hub=hub).encode(), make(stage).encode()))
        async with AmqpDevice.dial(stage.site, "PLAIN", response, source=source) as device:
            return "SASL", device.sasl_code

    return Attempt(f"PLAIN: {what}", act, AUTH, LOGINS % reason)


def plain(what: str, make: Make, reason: str, device: str = REAL) -> Attempt:
    """A SASL PLAIN login as this device with a token that is not its own."""
    return plain_name(what, f"{device}@sas.{{hub}}", reason, make)


def put(what: str, make: Make, status: int, reason: str) -> Attempt:
    """A token put to CBS."""

    async def act(stage: Stage, source: str) -> Answer:
        async with AmqpDevice.dial(stage.site, "MSSBCBS", source=source) as device:
            return (await device.put(await device.begin(), make(stage))).status

    return Attempt(f"CBS: {what}", act, status, LOGINS % reason)


def linking(what: str, address: str, answer: str, counter: str, *, receive: bool = False) -> Attempt:
    """A link of somebody who is let in as himself, by CBS."""

    async def act(stage: Stage, source: str) -> Answer:
        async with AmqpDevice.dial(stage.site, "ANONYMOUS", source=source) as device:
            session = await device.begin()
            assert (await device.put(session, stage.token(MALLORY, MALLORY_KEY))).status == 200
            link = await (device.receiver if receive else device.sender)(session, address)
            return link if isinstance(link, str) else "granted"

    return Attempt(f"link: {what}", act, answer, counter)


async def _nothing_shown(stage: Stage, source: str) -> Answer:
    async with AmqpDevice.dial(stage.site, "ANONYMOUS", source=source) as device:
        link = await device.sender(await device.begin(), EVENTS)
        return link if isinstance(link, str) else "granted"


async def _after_plain(stage: Stage, source: str) -> Answer:
    token = stage.token(MALLORY, MALLORY_KEY)
    async with AmqpDevice.plain(stage.site, MALLORY, token, source=source) as device:
        link = await device.sender(await device.begin(), EVENTS)
        return link if isinstance(link, str) else "granted"


async def _put_after_plain(stage: Stage, source: str) -> Answer:
    token = stage.token(MALLORY, MALLORY_KEY)
    async with AmqpDevice.plain(stage.site, MALLORY, token, source=source) as device:
        return (await device.put(await device.begin(), stage.token())).status


def by_certificate(what: str, device: str, show: Callable[[Stage], ssl.SSLContext], reason: str) -> Attempt:
    """A link by what is shown in TLS."""

    async def act(stage: Stage, source: str) -> Answer:
        async with AmqpDevice.dial(stage.site, "EXTERNAL", tls=show(stage), source=source) as connection:
            link = await connection.sender(await connection.begin(), f"/devices/{device}/messages/events")
            return link if isinstance(link, str) else "granted"

    return Attempt(f"certificate: {what}", act, UNAUTHORIZED_ACCESS, LOGINS % reason)


def sending(what: str, payload: bytes, condition: str, reason: str, message_format: int = 0) -> Attempt:
    """A message of somebody who is let in as himself."""

    async def act(stage: Stage, source: str) -> Answer:
        token = stage.token(MALLORY, MALLORY_KEY)
        async with AmqpDevice.plain(stage.site, MALLORY, token, source=source) as device:
            link = await device.telemetry(await device.begin(), MALLORY)
            state: Any = await device.outcome(device.send(link, payload, message_format=message_format))
            assert isinstance(state, Rejected)
            assert state.error is not None
            return state.error.condition

    return Attempt(f"message: {what}", act, condition, MESSAGES % reason)


def saying(what: str, wire: bytes) -> Attempt:
    """Bytes in place of a login."""

    async def act(stage: Stage, source: str) -> Answer:
        peer = await RawPeer.dial(stage.site, source=source, port=AMQP_PORT)
        peer.send(wire)
        await peer.reader.read()
        peer.abort()
        return None

    return Attempt(f"bytes: {what}", act, None, BROKEN)


def said(**properties: object) -> bytes:
    return write_message(AmqpMessage(application_properties=properties, body=b"{}"))


BY_PLAIN = [
    plain("another device's token", lambda s: s.token(MALLORY, MALLORY_KEY), "foreign_audience"),
    plain("the right resource signed with another's key", lambda s: s.token(REAL, MALLORY_KEY), "wrong_key"),
    plain("a prefix's token", lambda s: s.token("dev1", MALLORY_KEY), "foreign_audience", "dev10"),
    plain("the hub's token", lambda s: s.signed(s.site.hub.hub_name, MALLORY_KEY), "foreign_audience"),
    plain("an invented policy", lambda s: s.token() + "&skn=device", "policy_token"),
    plain("a module's key for its device", lambda s: s.token(REAL, MODULE_KEY), "wrong_key"),
    plain("the group's key itself", lambda s: s.token("fleet-1", GROUP_KEY), "unknown_device", "fleet-1"),
    plain("nobody", lambda s: s.token("nobody", REAL_KEY), "unknown_device", "nobody"),
    plain("disabled", lambda s: s.token("off", MALLORY_KEY), "disabled", "off"),
    plain("a token for a certificate", lambda s: s.token("thumb", MALLORY_KEY), "wrong_method", "thumb"),
    plain("expired", lambda s: s.token(life_s=-301), "expired"),
    plain("the key itself", lambda _: "bm90aGluZyBidXQgYSBrZXk=", "malformed_token"),
    plain_name("another hub", f"{REAL}@sas.another", "foreign_hub"),
    plain_name("a policy of the hub", "iothubowner@sas.root.{hub}", "malformed_username"),
    plain_name("the id in capitals", f"{REAL.upper()}@sas.{{hub}}", "foreign_audience"),
    plain_name("no hub", REAL, "malformed_username"),
    plain_name("a token as the name", "SharedAccessSignature sr=x&sig=c2VjcmV0", "malformed_username"),
]
BY_CBS = [
    put("the right resource signed with another's key", lambda s: s.token(REAL, MALLORY_KEY), 401, "wrong_key"),
    put("expired", lambda s: s.token(life_s=-301), 401, "expired"),
    put("disabled", lambda s: s.token("off", MALLORY_KEY), 401, "disabled"),
    put("nobody", lambda s: s.token("nobody", REAL_KEY), 401, "unknown_device"),
    put("a policy's token for a device", lambda s: s.token() + "&skn=device", 401, "policy_token"),
    put("a token for a certificate", lambda s: s.token("thumb", MALLORY_KEY), 401, "wrong_method"),
    put("the hub's token", lambda s: s.signed(s.site.hub.hub_name, REAL_KEY), 400, "malformed_token"),
    put("no token", lambda _: "letmein", 400, "malformed_token"),
    put("an expiry of 2^63", lambda s: s.with_expiry(str(1 << 63)), 400, "malformed_token"),
    Attempt("CBS: another's token after PLAIN", _put_after_plain, 401, LOGINS % "foreign_audience"),
]
BY_LINK = [
    Attempt("link: nothing was shown", _nothing_shown, NOT_ALLOWED, LOGINS % "no_credentials"),
    Attempt("link: another device after PLAIN", _after_plain, NOT_ALLOWED, LINKS % "foreign_device"),
    linking("another device after CBS", EVENTS, NOT_ALLOWED, LOGINS % "no_credentials"),
    linking(
        "another's C2D", f"/devices/{REAL}/messages/devicebound", NOT_ALLOWED, LOGINS % "no_credentials", receive=True
    ),
    linking("another's twin", f"/devices/{REAL}/twin", NOT_ALLOWED, LOGINS % "no_credentials", receive=True),
    linking("dots", f"/devices/{MALLORY}/../{REAL}/messages/events", NOT_ALLOWED, LINKS % "unknown_address"),
    linking(
        "an escaped slash", f"/devices/{MALLORY}%2F..%2F{REAL}/messages/events", NOT_ALLOWED, LINKS % "unknown_address"
    ),
    linking("the hub's own node", "/messages/serviceBound", NOT_ALLOWED, LINKS % "unknown_address"),
    linking(
        "a device's serviceBound", f"/devices/{REAL}/messages/serviceBound", NOT_ALLOWED, LINKS % "unknown_address"
    ),
    linking("the wrong way", OWN, NOT_ALLOWED, LINKS % "unknown_address", receive=True),
    linking(
        "a log line of its own", "/x\r\n2030-01-01T00:00:00.000Z ERROR   forged", NOT_ALLOWED, LINKS % "unknown_address"
    ),
    linking(
        "a token as the address", "/SharedAccessSignature sr=x&sig=c2VjcmV0", NOT_ALLOWED, LINKS % "unknown_address"
    ),
    linking(
        "SQL as the id", "/devices/x';DROP TABLE session--/messages/events", NOT_ALLOWED, LINKS % "unknown_address"
    ),
]
BY_CERTIFICATE = [
    by_certificate(
        "another device's", "issued", lambda s: s.tls_with(s.certificate("issued-2")), "certificate_mismatch"
    ),
    by_certificate("for a device with keys", REAL, lambda s: s.tls_with(s.certificate(REAL)), "wrong_method"),
    by_certificate(
        "expired", "issued", lambda s: s.tls_with(s.certificate("issued", days=(-2, -1))), "certificate_expired"
    ),
    by_certificate("signed by itself", "issued", lambda s: s.tls_with(s.thumb), "certificate_untrusted"),
]
BY_MESSAGE = [
    sending("the sender's id", said(**{"iothub-connection-device-id": REAL}), ARGUMENT_ERROR, "malformed_properties"),
    sending("a system property of a topic", said(**{"$.mid": "1"}), ARGUMENT_ERROR, "malformed_properties"),
    sending("a name twice but for its case", said(a="1", A="2"), ARGUMENT_ERROR, "malformed_properties"),
    sending("a name with CR and LF", said(**{"a\r\nb": "1"}), ARGUMENT_ERROR, "malformed_properties"),
    sending("too many properties", said(**{f"p{n}": "" for n in range(300)}), ARGUMENT_ERROR, "malformed_properties"),
    sending("no message", b"\xff" * 40, DECODE_ERROR, "malformed_message"),
    sending("too large", write_message(AmqpMessage(body=bytes(300_000))), MESSAGE_SIZE_EXCEEDED, "too_large"),
    sending(
        "a good one in a batch with another's id",
        write_batch([said(a="1"), said(**{"iothub-connection-device-id": REAL})]),
        ARGUMENT_ERROR,
        "malformed_properties",
        MESSAGE_FORMAT_BATCH,
    ),
]
BY_BYTES = [
    saying("MQTT on AMQP's port", b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04real"),
    saying("AMQP 0-9-1", b"AMQP\x00\x00\x09\x01"),
    saying("an open before the header", b"\0\0\0\x0d\x02\0\0\0\0\x53\x10\xc0\x01\x00"),
    saying("a frame of 4 GB", b"AMQP\x00\x01\x00\x00\xff\xff\xff\xff\x02\0\0\0"),
    saying(
        "a SASL mechanism that is not offered",
        b"AMQP\x03\x01\x00\x00" + bytes.fromhex("0000001e02010000005341c01101a30e435241") + b"M-MD5-AND-SO",
    ),
]


@pytest.mark.parametrize(
    "attempts",
    [BY_PLAIN, BY_CBS, BY_LINK, BY_CERTIFICATE, BY_MESSAGE, BY_BYTES],
    ids=["plain", "cbs", "links", "certificates", "messages", "bytes"],
)
async def test_each_attempt_is_refused_said_once_and_disturbs_nobody(
    site: GatewaySite, attempts: list[Attempt]
) -> None:
    async with Stage.open(site) as stage:
        problems = [problem for attempt in attempts for problem in await stage.problems_with(attempt)]
    assert problems == []
