"""More attempts over AMQP, frame by frame: what is pipelined behind a refused login, odd names, tokens and addresses.

As in `test_attempts` and `test_amqp_attempts`: each is refused with its code or condition, says one line without a
secret, is counted once, stores nothing, and does not disturb the real device, which publishes after each.
"""

from collections.abc import Callable
from typing import Any, Final

import pytest

from edgewire.codec.amqp.frames import AMQP_HEADER, SASL_HEADER, write_frame
from edgewire.codec.amqp.message import AmqpMessage, Value, read_message, write_message
from edgewire.codec.amqp.performatives import (
    Accepted,
    Attach,
    Close,
    Coordinator,
    Detach,
    Rejected,
    SaslInit,
    SaslOutcome,
    Transfer,
)
from edgewire.codec.amqp.types import Symbol
from edgewire.iothub.amqp.cbs import read_reply
from support.attempts import (
    MALLORY,
    MALLORY_KEY,
    MODULE_KEY,
    REAL,
    REAL_KEY,
    Answer,
    Attempt,
    Stage,
)
from support.gateway_site import GatewaySite
from support.raw_amqp import AmqpPeer, attach_of, condition_of, events_of, plain_init

AT_ONCE: Final = 18
"""Attempts against one gateway: of one kind it writes 20 lines in ten seconds, and counts the rest."""
LOGINS: Final = 'gateway_refused_logins_total{reason="%s"}'
LINKS: Final = 'gateway_refused_links_total{reason="%s"}'
BROKEN: Final = "gateway_broken_protocols_total"
TO_NODE: Final = 8
"""The handle of the link to `$cbs`."""
FRAMING: Final = "amqp:connection:framing-error"
NOT_ALLOWED: Final = "amqp:not-allowed"

Make = Callable[[Stage], str]


# Ways to try: each gives what the gateway has answered.


async def by_sasl(stage: Stage, source: str, init: SaslInit) -> Answer:
    """The outcome of a SASL exchange, with a link pipelined behind it."""
    peer = await AmqpPeer.reach(stage.site, source=source)
    behind = AMQP_HEADER + write_frame(0, attach_of(0, events_of(REAL)))
    peer.send(SASL_HEADER + write_frame(0, init) + behind)
    outcomes = [said.code for said in await peer.told() if isinstance(said, SaslOutcome)]
    assert len(outcomes) <= 1
    return outcomes[0] if outcomes else None


async def by_link(stage: Stage, source: str, attach: Attach, *tokens: str) -> Answer:
    """With what a link is refused, on a connection with these tokens."""
    peer = await with_tokens(stage, source, *tokens)
    peer.send(write_frame(0, attach))
    answer = await peer.next_of(Attach, where=lambda said: said.name == attach.name)
    assert (answer.source if answer.role is False else answer.target) is None
    detach = await peer.next_of(Detach)
    peer.abort()
    return condition_of(detach)


async def by_token(stage: Stage, source: str, token: str) -> Answer:
    """The status that `$cbs` gives."""
    peer = await AmqpPeer.opened(stage.site, source=source)
    await peer.attach_cbs(TO_NODE)
    assert await peer.put_token(TO_NODE, token) == Accepted()
    return await status(peer)


async def status(peer: AmqpPeer) -> int:
    """The next answer of `$cbs`."""
    while (frame := await peer.frame()) is not None:
        if isinstance(frame.performative, Transfer):
            peer.abort()
            return read_reply(read_message(frame.payload)).status
    raise AssertionError("no answer came")


async def with_tokens(stage: Stage, source: str, *tokens: str) -> AmqpPeer:
    """A connection with a session, to whose `$cbs` these tokens were put; none: without a link to it."""
    peer = await AmqpPeer.opened(stage.site, source=source)
    if tokens:
        await peer.attach_cbs(TO_NODE)
    for token in tokens:
        assert await peer.put_token(TO_NODE, token) == Accepted()
    return peer


# Rows.


def sasl(what: str, make: Callable[[Stage], SaslInit], reason: str, outcome: int | None = 1) -> Attempt:
    return Attempt(what, lambda s, source: by_sasl(s, source, make(s)), outcome, LOGINS % reason)


def plain(what: str, user: str, make: Make, reason: str) -> Attempt:
    """A PLAIN login; `user` has `{hub}` for the hub's first name."""

    def init(stage: Stage) -> SaslInit:
        name = user.format(hub=stage.site.hub.hub_name.partition(".")[0])
        response = b"\0".join((b"", name.encode(), make(stage).encode()))
        return SaslInit(mechanism=Symbol("PLAIN"), initial_response=response)

    return sasl(what, init, reason)


def token(what: str, make: Make, reason: str, answer: int = 401) -> Attempt:
    return Attempt(what, lambda s, source: by_token(s, source, make(s)), answer, LOGINS % reason)


def link(
    what: str, address: str, *tokens: Make, counter: str, condition: str = NOT_ALLOWED, sends: bool = True
) -> Attempt:
    async def act(stage: Stage, source: str) -> Answer:
        return await by_link(stage, source, attach_of(0, address, sends=sends), *(make(stage) for make in tokens))

    return Attempt(what, act, condition, counter)


def right(stage: Stage) -> str:
    return stage.token()


def mallorys(stage: Stage) -> str:
    return stage.token(MALLORY, MALLORY_KEY)


def malformed(user: str) -> Attempt:
    return plain(f"the user name {user[:40]!r}", user, right, "malformed_username")


NO_CREDENTIALS: Final = LOGINS % "no_credentials"
UNKNOWN: Final = LINKS % "unknown_address"

SASL = [
    plain("a module by its device's name", REAL + "/modules/m1@sas.{hub}", mallorys, "foreign_audience"),
    malformed(REAL + "@sas.{hub}.azure-devices.net"),
    plain("an id that only looks like the device's", REAL + "@@sas.{hub}", right, "foreign_audience"),
    malformed(REAL + " @sas.{hub}"),
    malformed(REAL + "%2Fmodules%2Fm1@sas.{hub}"),
    malformed("x" * 3_000 + "@sas.{hub}"),
    plain("no password", REAL + "@sas.{hub}", lambda _: "", "malformed_username"),
    sasl(
        "somebody else to act for",
        lambda s: SaslInit(
            mechanism=Symbol("PLAIN"),
            initial_response=MALLORY.encode() + (plain_init(s.site, REAL, s.token()).initial_response or b""),
        ),
        "malformed_username",
    ),
    sasl("no response", lambda _: SaslInit(mechanism=Symbol("PLAIN")), "malformed_username"),
]

MECHANISMS = [
    Attempt(
        f"the mechanism {name!r}",
        lambda s, source, name=name: by_sasl(s, source, SaslInit(mechanism=Symbol(name), initial_response=b"x")),  # type: ignore[misc] # mypy has no type for the bound default
        1,
        BROKEN,
    )
    for name in ("EXTERNAL", "SCRAM-SHA-256", "plain", "")
]

TOKENS = [
    token("a token that never ends", lambda s: s.with_expiry("1e400"), "malformed_token", 400),
    token("a signature cut short", lambda s: s.token().replace("%3D&se", "&se"), "wrong_key"),
    token("a token of 5,000 characters", lambda s: s.token() + "x" * 5_000, "malformed_token", 400),
    token(
        "the token of another hub", lambda s: s.signed(f"other.example/devices/{REAL}", REAL_KEY), "foreign_audience"
    ),
    token("a module by another device's key", lambda s: s.signed(s.resource(REAL, "m1"), MALLORY_KEY), "wrong_key"),
]

LINKS_ROWS = [
    link("a link before any token", events_of(REAL), counter=NO_CREDENTIALS),
    link("a link of another than the token's", events_of(REAL), mallorys, counter=NO_CREDENTIALS),
    link(
        "a device's link by its module's token",
        events_of(REAL),
        lambda s: s.signed(s.resource(REAL, "m1"), MODULE_KEY),
        counter=NO_CREDENTIALS,
    ),
    link(
        "calls of another device", f"/devices/{REAL}/methods/devicebound", mallorys, counter=NO_CREDENTIALS, sends=False
    ),
    link("the id in capitals", events_of(MALLORY.upper()), mallorys, counter=NO_CREDENTIALS),
    link("the back end's node for messages", "/messages/devicebound", mallorys, counter=UNKNOWN),
    link(
        "the Event Hub's node",
        "messages/events/ConsumerGroups/$Default/Partitions/0",
        mallorys,
        counter=UNKNOWN,
        sends=False,
    ),
    link("an empty id", "/devices//messages/events", mallorys, counter=UNKNOWN),
    link("an id with a NUL", f"/devices/{REAL}%00/messages/events", mallorys, counter=UNKNOWN),
    link("everybody", "/devices/+/messages/events", mallorys, counter=UNKNOWN),
    link("an address of 5,000 characters", "/devices/" + "x" * 5_000, mallorys, counter=UNKNOWN),
]


async def _mallory(stage: Stage, source: str) -> AmqpPeer:
    """A known device by SASL PLAIN, with its link for telemetry on handle 0."""
    peer = await AmqpPeer.reach(stage.site, source=source)
    init = plain_init(stage.site, MALLORY, stage.token(MALLORY, MALLORY_KEY))
    await peer.enter(init)
    await peer.begin(0)
    await peer.attach(0, events_of(MALLORY))
    return peer


async def _coordinator(stage: Stage, source: str) -> Answer:
    attach = Attach(name="n", handle=0, role=False, target=Coordinator(), initial_delivery_count=0)
    return await by_link(stage, source, attach, stage.token(MALLORY, MALLORY_KEY))


async def _not_a_request(stage: Stage, source: str) -> Answer:
    peer = await with_tokens(stage, source)
    await peer.attach_cbs(TO_NODE)
    request: Any = write_message(AmqpMessage(application_properties={"operation": "delete-token"}, body=Value("x")))
    assert await peer.tell(TO_NODE, request) == Accepted()
    return await status(peer)


async def _no_message(stage: Stage, source: str) -> Answer:
    peer = await with_tokens(stage, source)
    await peer.attach_cbs(TO_NODE)
    state = await peer.tell(TO_NODE, b"\xff")
    peer.abort()
    assert isinstance(state, Rejected)
    assert state.error is not None
    return str(state.error.condition)


async def _bad_bytes(stage: Stage, source: str) -> Answer:
    peer = await AmqpPeer.opened(stage.site, source=source)
    peer.send(b"\xff" * 8)
    *_, close = await peer.told()
    assert isinstance(close, Close)
    return condition_of(close)


CONNECTIONS = [
    Attempt("a transaction", _coordinator, NOT_ALLOWED, UNKNOWN),
    Attempt("no put-token", _not_a_request, 400, LOGINS % "malformed_token"),
    Attempt("no message to $cbs", _no_message, "amqp:decode-error", LOGINS % "malformed_token"),
    Attempt("bytes that are no frame", _bad_bytes, FRAMING, BROKEN),
]

TABLE = {"logins": SASL + MECHANISMS + CONNECTIONS, "tokens and links": TOKENS + LINKS_ROWS}
ROUNDS = [pytest.param(rows, id=name) for name, rows in TABLE.items()]


@pytest.mark.parametrize("attempts", ROUNDS)
async def test_each_impostor_is_refused_told_once_counted_once_and_disturbs_nobody(
    site: GatewaySite, attempts: list[Attempt]
) -> None:
    assert len(attempts) <= AT_ONCE
    async with Stage.open(site) as stage:
        problems = [problem for attempt in attempts for problem in await stage.problems_with(attempt)]
    assert problems == []


async def test_whoever_is_what_it_says_is_let_in_over_amqp(site: GatewaySite) -> None:
    """Without this, all of the above would be refused by a gateway that refuses everybody."""
    async with Stage.open(site) as stage:
        peer = await AmqpPeer.opened(site)
        peer.send(write_frame(0, attach_of(0, events_of(MALLORY))))
        assert condition_of(await peer.next_of(Detach)) == NOT_ALLOWED  # before its token; and then with it
        peer.send(write_frame(0, Detach(handle=0, closed=True)))
        await peer.attach_cbs(TO_NODE)
        tokens = (stage.token(MALLORY, MALLORY_KEY), stage.signed(stage.resource(REAL, "m1"), MODULE_KEY))
        for number, good in enumerate(tokens):
            assert await peer.put_token(TO_NODE, good) == Accepted()
            address = (events_of(MALLORY), f"/devices/{REAL}/modules/m1/messages/events")[number]
            assert (await peer.attach(number, address)).target is not None
        assert (await peer.attach(5, f"/devices/{MALLORY}/twin", sends=False)).source is not None
        await peer.close()
        by_plain = await _mallory(stage, "127.96.0.250")
        await by_plain.close()
