import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgewire.codec.amqp.conditions import (
    NOT_ALLOWED,
    RESOURCE_LIMIT_EXCEEDED,
    SERVER_BUSY,
    STOLEN,
    UNAUTHORIZED_ACCESS,
)
from edgewire.codec.amqp.frames import SASL_HEADER
from edgewire.codec.amqp.performatives import ACCEPTED, AUTH, SYS_TEMP
from edgewire.iothub.amqp.cbs import PutToken, write_put_token
from edgewire.message import Identity, identity
from edgewire.session.amqp.events import ConnectionClosed, SaslOutcomeReceived
from edgewire.transport.pump import Peer
from gateway.dispatch.presence import Ending
from gateway.head import amqp
from gateway.identity.authenticator import Authenticator
from gateway.identity.certificates import read_leaf
from gateway.identity.roster import Registration, Thumbprints
from gateway.identity.tokens import PresentedTokens, Token
from gateway.identity.vouching import Vouchers, Vouching
from gateway.observe.head import (
    ClosedBeforeLogin,
    ConnectionRefused,
    DeviceConnected,
    DeviceDisconnected,
    Leaving,
    LinkRefused,
    ProtocolBroken,
    RefusedLink,
)
from gateway.observe.identity import LoginRefused, RefusalReason
from support.amqp_site import ADDRESS, CBS, HUB, AmqpSite, Client
from support.certificates import self_signed

EVENTS = "/devices/d1/messages/events"
EVENTS_OF_D2 = "/devices/d2/messages/events"
C2D = "/devices/d1/messages/devicebound"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[AmqpSite]:
    async with AmqpSite.open(tmp_path) as site:
        yield site


def conditions(client: Client) -> list[str]:
    """With what the gateway has closed the connection."""
    return [event.error.condition for event in client.said(ConnectionClosed) if event.error is not None]


# --- login by SASL PLAIN ----------------------------------------------------------------------------------------------


async def test_a_device_logs_in_by_plain_and_its_message_is_stored_before_it_is_accepted(site: AmqpSite) -> None:
    client = site.plain()
    assert client.is_let_in()
    link = client.telemetry(client.begin())
    delivery = client.tell(link, b'{"a":1}', kind="x")
    assert delivery.state is None
    assert await client.outcome(delivery) == ACCEPTED
    [entry] = site.stored()
    assert entry.message.body == b'{"a":1}'
    assert entry.message.envelope.sender == identity("d1")
    assert entry.message.envelope.properties == {"kind": "x"}
    assert [event.identity for event in site.events if isinstance(event, DeviceConnected)] == ["d1"]


@pytest.mark.parametrize(
    ("who", "options", "reason"),
    [
        ("d1", {"token": "letmein"}, RefusalReason.MALFORMED_TOKEN),
        ("d1", {"hub": "another"}, RefusalReason.FOREIGN_HUB),
        ("nobody", {}, RefusalReason.UNKNOWN_DEVICE),
    ],
)
async def test_a_login_that_fails_is_told_so_and_is_counted_by_reason(
    site: AmqpSite, who: str, options: dict[str, str], reason: RefusalReason
) -> None:
    client = site.plain(who, **options)
    assert not client.is_let_in()
    assert client.is_closed()
    [refused] = [event for event in site.events if isinstance(event, LoginRefused)]
    assert (refused.identity, refused.address, refused.reason) == (who, ADDRESS, reason)


async def test_the_gateways_own_name_stands_for_its_hub(site: AmqpSite) -> None:
    assert site.plain(hub="edge-box").is_let_in()


async def test_a_response_that_is_no_login_is_refused(site: AmqpSite) -> None:
    client = site.dial_amqp("PLAIN", b"\0d1\0letmein")
    assert not client.is_let_in()
    [refused] = [event for event in site.events if isinstance(event, LoginRefused)]
    assert refused.reason is RefusalReason.MALFORMED_USERNAME
    assert "letmein" not in refused.sentence()


async def test_guessing_is_answered_late_and_a_good_token_at_once(site: AmqpSite) -> None:
    for _ in range(10):
        site.plain(token="letmein")
    held = site.plain(token="letmein")
    assert held.events == []
    assert not held.is_closed()
    assert site.reasons(LoginRefused)[-1] is RefusalReason.THROTTLED
    assert site.plain().is_let_in()
    held.lose()


async def test_after_plain_the_connection_belongs_to_that_identity(site: AmqpSite) -> None:
    client = site.plain()
    session = client.begin()
    own, other = client.telemetry(session), client.sender(session, EVENTS_OF_D2)
    refusal = client.refusal_of(other)
    assert refusal is not None
    assert refusal.condition == NOT_ALLOWED
    assert site.reasons(LinkRefused) == [RefusedLink.FOREIGN_DEVICE]
    assert await client.outcome(client.tell(own)) == ACCEPTED


# --- the other ways in ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", ["ANONYMOUS", "MSSBCBS", None])
async def test_who_has_shown_nothing_may_open_the_connection_and_no_link(site: AmqpSite, mechanism: str | None) -> None:
    client = site.dial_amqp(mechanism)
    link = client.sender(client.begin(), EVENTS)
    refusal = client.refusal_of(link)
    assert refusal is not None
    assert refusal.condition == NOT_ALLOWED
    assert site.reasons(LoginRefused) == [RefusalReason.NO_CREDENTIALS]
    assert len(site.presence) == 0


@pytest.mark.parametrize("mechanism", ["EXTERNAL", "ANONYMOUS", None])
async def test_a_certificate_lets_its_device_in(site: AmqpSite, mechanism: str | None) -> None:
    certificate = self_signed("d3").der
    leaf = read_leaf(certificate)
    site.clock.now = leaf.valid_until - 60
    thumbprints = Thumbprints(leaf.thumbprints[1])
    site.registry.edit(lambda roster: roster.with_registration(Registration(identity("d3"), thumbprints)))
    client = site.dial_amqp(mechanism, certificates=(certificate,))
    session = client.begin()
    assert await client.outcome(client.tell(client.telemetry(session, "d3"))) == ACCEPTED
    other = client.sender(session, EVENTS)
    refusal = client.refusal_of(other)
    assert refusal is not None
    assert refusal.condition == UNAUTHORIZED_ACCESS


@pytest.mark.parametrize(("certificates", "offered"), [((), False), ((b"x",), True)])
async def test_external_is_offered_with_a_certificate_alone(
    site: AmqpSite, certificates: tuple[bytes, ...], *, offered: bool
) -> None:
    client = site.dial_amqp(certificates=certificates)
    client.session, client.owner = site.amqp.accept(Peer(address=ADDRESS, port=1, certificates=certificates))
    client.session.receive(SASL_HEADER, 0)
    assert (b"EXTERNAL" in client.session.take_output()) is offered


async def test_many_devices_send_by_one_connection_with_their_tokens(site: AmqpSite) -> None:
    client, session = site.by_token("d1", "d2")
    first, second = client.telemetry(session, "d1"), client.telemetry(session, "d2")
    sent = [client.tell(first, b"1"), client.tell(second, b"2"), client.tell(first, b"3")]
    for delivery in sent:
        assert await client.outcome(delivery) == ACCEPTED
    assert [(e.message.envelope.sender.device, e.message.body) for e in site.stored()] == [
        ("d1", b"1"),
        ("d2", b"2"),
        ("d1", b"3"),
    ]


async def test_the_token_of_one_opens_no_link_of_another(site: AmqpSite) -> None:
    client, session = site.by_token("d1")
    refusal = client.refusal_of(client.sender(session, EVENTS_OF_D2))
    assert refusal is not None
    assert refusal.condition == NOT_ALLOWED
    assert client.refusal_of(client.sender(session, EVENTS)) is None


async def test_credentials_that_are_good_no_more_open_no_link_and_disturb_no_neighbour(site: AmqpSite) -> None:
    client, session = site.by_token("d1", "d2")
    good = client.telemetry(session, "d2")
    site.register("d1", key=b"another key, another key, another")
    refusal = client.refusal_of(client.sender(session, EVENTS))
    assert refusal is not None
    assert refusal.condition == UNAUTHORIZED_ACCESS
    assert site.reasons(LoginRefused) == [RefusalReason.WRONG_KEY]
    assert await client.outcome(client.tell(good)) == ACCEPTED


async def test_a_refusal_that_is_held_back_disturbs_no_neighbour(
    site: AmqpSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, session = site.by_token("d2")
    good = client.telemetry(session, "d2")
    for number in range(11):
        held = client.sender(session, EVENTS, f"try {number}")
    assert site.reasons(LoginRefused)[-1] is RefusalReason.THROTTLED
    assert client.refusal_of(held) is None
    assert not client.attached(held)
    assert await client.outcome(client.tell(good)) == ACCEPTED
    await client.until(lambda: client.refusal_of(held) is not None)


@pytest.mark.plain
async def test_a_connection_with_too_many_refusals_held_back_is_closed(
    site: AmqpSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp, "MAX_HELD_REFUSALS", 2)
    client = site.dial_amqp()
    session = client.begin()
    for number in range(12):
        client.sender(session, EVENTS, f"try {number}")
    assert not client.is_closed()
    client.engine.attach_sender(session, "one more", EVENTS)
    client.transfer()
    assert client.is_closed()
    assert conditions(client) == [RESOURCE_LIMIT_EXCEEDED]
    assert [event.identity for event in site.events if isinstance(event, ProtocolBroken)] == [""]


@pytest.mark.plain
async def test_no_more_identities_than_allowed(site: AmqpSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amqp, "MAX_GUESTS", 1)
    client, session = site.by_token("d1", "d2")
    client.telemetry(session, "d1")
    refusal = client.refusal_of(client.sender(session, EVENTS_OF_D2))
    assert refusal is not None
    assert refusal.condition == RESOURCE_LIMIT_EXCEEDED
    assert site.reasons(LinkRefused) == [RefusedLink.TOO_MANY]


# --- connections on which nobody is let in ----------------------------------------------------------------------------


@pytest.mark.plain
async def test_a_connection_on_which_nobody_is_let_in_is_closed(
    site: AmqpSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp, "UNCLAIMED_S", 0.0)
    client = site.dial_amqp("ANONYMOUS")
    await client.until(client.is_closed)
    assert conditions(client) == [UNAUTHORIZED_ACCESS]
    assert site.reasons(ConnectionRefused) == [ClosedBeforeLogin.TIMEOUT]


@pytest.mark.plain
async def test_a_connection_on_which_somebody_was_let_in_stays(site: AmqpSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amqp, "UNCLAIMED_S", 0.05)
    client, session = site.by_token("d1")
    client.telemetry(session)
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(0.1, passed.set)
    await passed.wait()
    assert not client.is_closed()


async def test_a_connection_on_which_nobody_is_let_in_may_not_fill_up_with_sessions(site: AmqpSite) -> None:
    client = site.dial_amqp("ANONYMOUS")
    for _ in range(amqp.MAX_UNCLAIMED_SESSIONS):
        client.begin()
    assert not client.is_closed()
    client.engine.begin()
    client.transfer()
    assert client.is_closed()
    assert conditions(client) == [RESOURCE_LIMIT_EXCEEDED]


async def test_a_connection_on_which_nobody_is_let_in_may_not_fill_up_with_links(site: AmqpSite) -> None:
    client = site.dial_amqp("ANONYMOUS")
    session = client.begin()
    for number in range(amqp.MAX_UNCLAIMED_LINKS):
        client.sender(session, CBS, f"to {number}")
    assert not client.is_closed()
    client.engine.attach_sender(session, "one more", CBS)
    client.transfer()
    assert client.is_closed()
    assert conditions(client) == [RESOURCE_LIMIT_EXCEEDED]


async def test_who_is_let_in_may_have_more_links(site: AmqpSite) -> None:
    client, session = site.by_token("d1")
    client.telemetry(session)
    for number in range(amqp.MAX_UNCLAIMED_LINKS + 1):
        client.sender(session, CBS, f"to {number}")
    assert not client.is_closed()


async def test_who_says_nothing_is_told_of(site: AmqpSite) -> None:
    session, owner = site.amqp.accept(Peer(address=ADDRESS, port=1))
    client = site.dial_amqp()
    owner.on_connected(client.pump)
    due = session.deadline()
    assert due is not None
    owner.on_events(session.on_deadline(due))
    assert site.reasons(ConnectionRefused) == [ClosedBeforeLogin.TIMEOUT]


async def test_who_breaks_the_protocol_is_told_of_by_name(site: AmqpSite) -> None:
    client, session = site.by_token("d1")
    client.telemetry(session)
    client.pump.receive(b"\0\0\0\x07\x02\0\0\0")
    assert client.is_closed()
    [broken] = [event for event in site.events if isinstance(event, ProtocolBroken)]
    assert (broken.identity, broken.address) == ("d1", ADDRESS)
    client.lose()
    assert site.reasons(DeviceDisconnected) == [Leaving.PROTOCOL_ERROR]
    assert len(site.presence) == 0


async def test_names_in_the_log_are_few(site: AmqpSite) -> None:
    for number in range(5):
        site.register(f"x{number}")
    client, session = site.by_token(*(f"x{number}" for number in range(5)))
    for number in range(5):
        client.telemetry(session, f"x{number}")
    client.pump.receive(b"\0\0\0\x07\x02\0\0\0")
    [broken] = [event for event in site.events if isinstance(event, ProtocolBroken)]
    assert broken.identity == "x0, x1, x2 and 5 in all"


# --- who is here ------------------------------------------------------------------------------------------------------


async def test_the_newest_connection_of_an_identity_wins_and_its_neighbours_stay(site: AmqpSite) -> None:
    first, session = site.by_token("d1", "d2")
    old, neighbour = first.telemetry(session, "d1"), first.telemetry(session, "d2")
    second = site.plain()
    new = second.telemetry(second.begin())
    refusal = first.refusal_of(old)
    assert refusal is not None
    assert refusal.condition == STOLEN
    assert site.reasons(DeviceDisconnected) == [Leaving.TAKEN_OVER]
    assert await first.outcome(first.tell(neighbour)) == ACCEPTED
    assert await second.outcome(second.tell(new)) == ACCEPTED
    assert set(site.presence.identities()) == {identity("d1"), identity("d2")}


async def test_a_wrong_token_ends_nobody(site: AmqpSite) -> None:
    first = site.plain()
    link = first.telemetry(first.begin())
    site.plain(token=site.sas("d1", key=b"x" * 32))
    assert first.refusal_of(link) is None
    assert await first.outcome(first.tell(link)) == ACCEPTED


async def test_a_device_that_comes_by_amqp_ends_its_connection_by_mqtt(site: AmqpSite) -> None:
    by_mqtt = site.login("d1", level=5)
    by_amqp = site.plain()
    link = by_amqp.telemetry(by_amqp.begin())
    assert by_mqtt.is_closed()
    by_mqtt.lose()
    assert site.reasons(DeviceDisconnected) == [Leaving.TAKEN_OVER]
    assert await by_amqp.outcome(by_amqp.tell(link)) == ACCEPTED
    assert identity("d1") in site.presence


async def test_a_device_that_comes_by_mqtt_ends_its_links_by_amqp(site: AmqpSite) -> None:
    by_amqp = site.plain()
    link = by_amqp.telemetry(by_amqp.begin())
    by_mqtt = site.login("d1", level=5)
    refusal = by_amqp.refusal_of(link)
    assert refusal is not None
    assert refusal.condition == STOLEN
    assert not by_mqtt.is_closed()
    assert site.presence.identities() == (identity("d1"),)
    by_amqp.lose()
    assert site.presence.identities() == (identity("d1"),)


async def test_credentials_that_are_taken_away_cut_the_links_of_their_identity_alone(site: AmqpSite) -> None:
    client, session = site.by_token("d1", "d2")
    cut, neighbour = client.telemetry(session, "d1"), client.telemetry(session, "d2")
    site.register("d1", enabled=False)
    site.presence.end(site.registry.refresh(), Ending.CREDENTIALS_CHANGED)
    refusal = client.refusal_of(cut)
    assert refusal is not None
    assert refusal.condition == UNAUTHORIZED_ACCESS
    assert site.reasons(DeviceDisconnected) == [Leaving.CREDENTIALS_CHANGED]
    assert await client.outcome(client.tell(neighbour)) == ACCEPTED
    again = client.refusal_of(client.sender(session, EVENTS, "again"))
    assert again is not None
    assert again.condition == UNAUTHORIZED_ACCESS


async def test_an_identity_leaves_with_its_last_link_and_may_come_again(site: AmqpSite) -> None:
    client, session = site.by_token("d1")
    telemetry, c2d = client.telemetry(session), client.receiver(session, C2D)
    client.engine.detach(telemetry)
    client.transfer()
    assert len(site.presence) == 1
    client.engine.detach(c2d)
    client.transfer()
    assert len(site.presence) == 0
    assert site.reasons(DeviceDisconnected) == [Leaving.GOODBYE]
    assert await client.outcome(client.tell(client.telemetry(session))) == ACCEPTED
    assert len(site.presence) == 1


async def test_the_end_of_a_session_is_the_end_of_its_links(site: AmqpSite) -> None:
    client, session = site.by_token("d1", "d2")
    client.telemetry(session, "d1")
    other = client.begin()
    neighbour = client.telemetry(other, "d2")
    client.engine.end(session)
    client.transfer()
    assert site.presence.identities() == (identity("d2"),)
    assert await client.outcome(client.tell(neighbour)) == ACCEPTED


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("close", Leaving.GOODBYE),
        ("lose", Leaving.LOST),
        ("stop", Leaving.SHUTDOWN),
    ],
)
async def test_every_end_of_a_connection_has_its_reason(site: AmqpSite, how: str, reason: Leaving) -> None:
    client, session = site.by_token("d1", "d2")
    client.telemetry(session, "d1")
    client.telemetry(session, "d2")
    match how:
        case "close":
            client.engine.close()
            client.transfer()
            assert client.is_closed()
        case "stop":
            client.pump.stop()
            assert conditions(client) == []  # not a word: see on_stopping
            assert client.is_closed()
    client.lose()
    assert site.reasons(DeviceDisconnected) == [reason, reason]
    assert len(site.presence) == 0


async def test_a_reason_that_the_client_gives_is_in_the_log(site: AmqpSite) -> None:
    client = site.plain()
    client.telemetry(client.begin())
    client.engine.close("amqp:internal-error", "out of coffee")
    client.transfer()
    [left] = [event for event in site.events if isinstance(event, DeviceDisconnected)]
    assert (left.reason, left.detail) == (Leaving.GOODBYE, "amqp:internal-error out of coffee")


async def test_silence_ends_a_connection(site: AmqpSite) -> None:
    client = site.plain()
    client.telemetry(client.begin())
    for _ in range(10):  # a few beats of ours, as the client has asked for them, come first
        if not client.is_closed():
            due = client.session.deadline()
            assert due is not None
            client.pump.wake(due)
    assert client.is_closed()
    assert site.reasons(DeviceDisconnected) == [Leaving.SILENT]


async def test_a_token_for_cbs_may_follow_a_login_by_plain(site: AmqpSite) -> None:
    client = site.plain()
    session = client.begin()
    links = client.cbs(session)
    assert client.put(links, site.sas("d1", life_s=7200)).status == 200
    refused = client.put(links, site.sas("d2"))
    assert refused.status == 401
    assert site.reasons(LoginRefused) == [RefusalReason.FOREIGN_AUDIENCE]
    assert client.refusal_of(links[0]) is None


# --- devices that only the hub knows ----------------------------------------------------------------------------------


class Hub:
    """Who is asked about unknown devices; `say` answers all questions."""

    def __init__(self) -> None:
        self.asked: list[tuple[Identity, Callable[[Vouching], None]]] = []

    def ask(self, who: Identity, token: Token, answer: Callable[[Vouching], None]) -> None:
        assert token.text
        self.asked.append((who, answer))

    def say(self, vouching: Vouching) -> None:
        asked, self.asked = self.asked, []
        for _, answer in asked:
            answer(vouching)


@pytest.fixture
async def hub(site: AmqpSite, tmp_path: Path) -> Hub:
    """The hub of a site whose gateway may ask it."""
    hub = Hub()
    presented = PresentedTokens(tmp_path / "tokens.json", site.events.append, site.clock)
    authenticator = Authenticator(site.registry, [HUB], None, vouchers=Vouchers(presented, hub))
    site.amqp.house = replace(site.amqp.house, authenticator=authenticator)
    return hub


async def test_of_an_unknown_device_that_logs_in_by_plain_the_hub_decides(site: AmqpSite, hub: Hub) -> None:
    client = site.plain("new-1")
    assert client.events == []
    hub.say(Vouching.GOOD)
    await client.until(lambda: client.engine.opened)
    link = client.telemetry(client.begin(), "new-1")
    assert await client.outcome(client.tell(link)) == ACCEPTED
    assert hub.asked == []


@pytest.mark.parametrize(
    ("vouching", "code", "reason"),
    [
        (Vouching.REFUSED, AUTH, RefusalReason.REFUSED_UPSTREAM),
        (Vouching.AWAY, SYS_TEMP, RefusalReason.UPSTREAM_AWAY),
    ],
)
async def test_whom_the_hub_does_not_vouch_for_is_not_let_in(
    site: AmqpSite, hub: Hub, vouching: Vouching, code: int, reason: RefusalReason
) -> None:
    client = site.plain("new-1")
    hub.say(vouching)
    await client.until(client.is_closed)
    [outcome] = client.said(SaslOutcomeReceived)
    assert outcome.code == code
    assert site.reasons(LoginRefused) == [reason]


async def test_a_token_of_an_unknown_device_is_answered_when_the_hub_has_and_others_are_served_meanwhile(
    site: AmqpSite, hub: Hub
) -> None:
    client = site.dial_amqp("MSSBCBS")
    session = client.begin()
    requests, answers = links = client.cbs(session)
    client.send(requests, write_put_token(PutToken(message_id="1", name="n", token=site.sas("new-1"))))
    assert client.put(links, site.sas("d1")).status == 200
    hub.say(Vouching.GOOD)
    await client.until(lambda: len(client.received(answers)) == 2)
    assert await client.outcome(client.tell(client.telemetry(session, "new-1"))) == ACCEPTED


async def test_a_link_of_a_module_that_only_the_hub_knows_waits_for_its_word(site: AmqpSite, hub: Hub) -> None:
    client, session = site.by_token("d1")
    links = [client.sender(session, f"/devices/d1/modules/m/{end}") for end in ("messages/events", "twin")]
    assert [client.attached(link) for link in links] == [False, False]
    assert [who for who, _ in hub.asked] == [identity("d1", "m")]
    hub.say(Vouching.GOOD)
    await client.until(lambda: all(map(client.attached, links)))
    assert identity("d1", "m") in site.presence


async def test_a_link_that_nobody_can_be_asked_about_may_be_tried_again(site: AmqpSite, hub: Hub) -> None:
    client, session = site.by_token("d1")
    link = client.sender(session, "/devices/d1/modules/m/messages/events")
    hub.say(Vouching.AWAY)
    await client.until(lambda: client.refusal_of(link) is not None)
    refusal = client.refusal_of(link)
    assert refusal is not None
    assert refusal.condition == SERVER_BUSY


async def test_an_answer_of_the_hub_may_find_a_link_or_a_client_that_is_gone(site: AmqpSite, hub: Hub) -> None:
    client, session = site.by_token("d1")
    link = client.sender(session, "/devices/d1/modules/m/messages/events")
    client.engine.end(session)
    client.transfer()
    waiting = site.plain("new-1")
    waiting.lose()
    hub.say(Vouching.GOOD)
    told = asyncio.Event()
    asyncio.get_running_loop().call_soon(told.set)
    await told.wait()
    client.transfer()
    assert not link.attached
    assert len(site.presence) == 0


# --- gateways above and below -----------------------------------------------------------------------------------------


def loops(site: AmqpSite) -> list[ConnectionRefused]:
    refused = [event for event in site.events if isinstance(event, ConnectionRefused)]
    return [event for event in refused if event.reason is ClosedBeforeLogin.LOOP]


@pytest.mark.parametrize("before", [True, False])
async def test_the_gateway_that_this_one_sends_to_is_not_let_in(site: AmqpSite, *, before: bool) -> None:
    if before:
        site.amqp.neighbours.joined("client")
    client = site.plain()
    if not before:
        client.begin()
        site.amqp.neighbours.joined("client")
    assert conditions(client) == [NOT_ALLOWED]
    assert client.is_closed()
    [event] = loops(site)
    assert "set GATEWAY_UPSTREAM_AMQP of one of the two to another place" in event.sentence()


async def test_a_connection_that_is_gone_is_forgotten(site: AmqpSite) -> None:
    client = site.plain()
    client.begin()
    client.lose()
    site.amqp.neighbours.joined("client")
    assert loops(site) == []
