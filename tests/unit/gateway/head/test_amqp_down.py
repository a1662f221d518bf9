import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewire.codec.amqp.conditions import INVALID_FIELD
from edgewire.codec.amqp.kinds import Symbol
from edgewire.codec.amqp.message import AmqpMessage, Properties, write_message
from edgewire.codec.amqp.performatives import (
    ACCEPTED,
    RELEASED,
    SECOND,
    SETTLED,
    UNSETTLED,
    Accepted,
    DeliveryState,
    Modified,
    Received,
    Rejected,
)
from edgewire.codec.amqp.types import Described
from edgewire.iothub.amqp.devicebound import lock_token_of, read_devicebound
from edgewire.iothub.amqp.methods import MethodAnswer, MethodCall, read_call, write_answer
from edgewire.message import identity
from edgewire.session.amqp.events import MessageReceived
from edgewire.session.amqp.link import Link
from edgewire.session.amqp.session import Session
from gateway.dispatch.delivery import MAX_WINDOW, CloudMessage, Settlement
from gateway.dispatch.methods import MethodError, MethodFault, MethodResult
from gateway.dispatch.presence import Ending
from gateway.head import amqp_down
from gateway.head.amqp_down import settlement_of
from gateway.identity.roster import Registration, SymmetricKeys
from gateway.observe.dispatch import IgnoredAnswer, MethodAnswerIgnored
from gateway.observe.head import CloudMessageRefused, MessageRefused
from support.amqp_site import KEY, AmqpSite, Client
from support.way_back import QueueSource, cloud_message

D1 = identity("d1")
DEVICEBOUND = "/devices/d1/messages/deviceBound"
METHODS = "/devices/d1/methods/deviceBound"
LOCK = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
PATIENCE_S = 45.0


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[AmqpSite]:
    async with AmqpSite.open(tmp_path) as site:
        yield site


@pytest.fixture
def source(site: AmqpSite) -> QueueSource:
    source = QueueSource(site.delivery)
    site.delivery.use(source)
    return source


def listening(site: AmqpSite, credit: int = 100, **options: int) -> tuple[Client, Link]:
    """A device that receives what the cloud sends it."""
    client, session = site.by_token("d1")
    return client, client.receiver(session, DEVICEBOUND, credit=credit, **options)  # type: ignore[arg-type] # no name


def take_at_most(client: Client, link: Link, size: int) -> None:
    """As if the attach of this link had said so."""
    for session in client.session.sessions:
        for ours in session.links:
            if ours.name == link.name:
                ours.peer_max_message_size = size


def came(client: Client, link: Link) -> list[MessageReceived]:
    return [event for event in client.said(MessageReceived) if event.link is link]


def bodies(client: Client, link: Link) -> list[bytes]:
    return [message.body for message in client.received(link) if isinstance(message.body, bytes)]


def settle(client: Client, event: MessageReceived, state: DeliveryState) -> None:
    client.engine.settle(event.link, [event.delivery_id], state)
    client.transfer()


# --- messages from the cloud -----------------------------------------------------------------------------------------


async def test_a_message_comes_with_what_the_hub_notes_on_it_and_its_lock_token_as_tag(
    site: AmqpSite, source: QueueSource
) -> None:
    client, link = listening(site)
    source.send(
        D1,
        CloudMessage(
            bag=cloud_message(properties={"color": "red"}, system={"messageId": "m1", "ack": "full"}).bag,
            body=b"hello",
            lock_token=str(LOCK),
            sequence_number=7,
            enqueued_at_ms=1_700_000_000_000,
            delivery_count=2,
        ),
    )
    (event,) = came(client, link)
    assert lock_token_of(event.tag) == LOCK
    assert not event.settled
    (message,) = client.received(link)
    bag, body, notes = read_devicebound(message)
    assert bag.system == {"messageId": "m1", "ack": "full", "to": "/devices/d1/messages/devicebound"}
    assert (bag.properties, body) == ({"color": "red"}, b"hello")
    assert (notes.lock_token, notes.sequence_number, notes.delivery_count) == (LOCK, 7, 2)
    assert notes.enqueued_at_ms == 1_700_000_000_000


@pytest.mark.parametrize("lock", [None, "", "no uuid"])
async def test_a_message_without_a_lock_token_of_this_form_gets_one(
    site: AmqpSite, source: QueueSource, lock: str | None
) -> None:
    client, link = listening(site)
    source.send(D1, cloud_message(lock_token=lock))
    (event,) = came(client, link)
    assert lock_token_of(event.tag) is not None


OUTCOMES = [
    (ACCEPTED, Settlement.COMPLETED),
    (Rejected(), Settlement.REJECTED),
    (RELEASED, Settlement.ABANDONED),
    (Modified(delivery_failed=True), Settlement.ABANDONED),
    (Modified(undeliverable_here=True), Settlement.ABANDONED),
]


@pytest.mark.parametrize("mode", [None, SECOND], ids=["first", "second"])
@pytest.mark.parametrize(("state", "how"), OUTCOMES)
async def test_an_outcome_settles_the_message_at_the_hub(
    site: AmqpSite, source: QueueSource, state: DeliveryState, how: Settlement, mode: int | None
) -> None:
    client, link = listening(site, 1, **({} if mode is None else {"rcv_settle_mode": mode}))
    source.send(D1, cloud_message())
    (event,) = came(client, link)
    assert source.settled == []
    settle(client, event, state)
    assert [settlement for _, settlement in source.settled] == [how]
    assert link.unsettled == set()


@pytest.mark.parametrize("state", [None, Received(0, 0), Described(Symbol("x:declared"), [])])
def test_what_is_no_outcome_settles_nothing(state: DeliveryState | None) -> None:
    assert settlement_of(state) is None


async def test_what_is_sent_is_unsettled_whatever_the_attach_asks_for(site: AmqpSite, source: QueueSource) -> None:
    client, link = listening(site, snd_settle_mode=SETTLED)
    assert link.snd_settle_mode == UNSETTLED
    source.send(D1, cloud_message())
    assert not came(client, link)[0].settled


async def test_credit_is_the_window(site: AmqpSite, source: QueueSource) -> None:
    client, link = listening(site, 0)
    client.transfer()
    assert site.delivery.listeners() == {}
    for number in range(4):
        source.send(D1, cloud_message(b"%d" % number))
    client.engine.grant(link, 2)
    assert bodies(client, link) == [b"0", b"1"]
    for event in came(client, link):
        settle(client, event, ACCEPTED)
    assert bodies(client, link) == [b"0", b"1"]
    assert site.delivery.listeners() == {D1: 0}
    client.engine.grant(link, 5)
    assert bodies(client, link) == [b"0", b"1", b"2", b"3"]


async def test_a_window_has_a_bound_whatever_the_credit(site: AmqpSite, source: QueueSource) -> None:
    client, link = listening(site, 1_000)
    for _ in range(MAX_WINDOW + 2):
        source.send(D1, cloud_message())
    assert len(came(client, link)) == MAX_WINDOW
    settle(client, came(client, link)[0], ACCEPTED)
    assert len(came(client, link)) == MAX_WINDOW + 1


def without_credit(site: AmqpSite, source: QueueSource) -> tuple[Client, Link]:
    """A device with two messages of a link that was lost, which have used up its credit, and with two of a new link."""
    client, link = listening(site, 2)
    source.send(D1, cloud_message(b"1"))
    source.send(D1, cloud_message(b"2"))
    client.transfer()
    site.delivery.lost_all()
    for body in (b"3", b"4"):
        assert site.delivery.offer(D1, cloud_message(body), lambda _: None)
    assert not site.delivery.offer(D1, cloud_message(b"5"), lambda _: None)
    assert bodies(client, link) == [b"1", b"2"]
    return client, link


async def test_what_finds_no_credit_waits_for_it_and_keeps_its_order(site: AmqpSite, source: QueueSource) -> None:
    client, link = without_credit(site, source)
    client.engine.grant(link, 1)
    assert bodies(client, link) == [b"1", b"2", b"3"]
    site.delivery.offer(D1, cloud_message(b"5"), lambda _: None)
    client.engine.grant(link, 5)
    assert bodies(client, link) == [b"1", b"2", b"3", b"4", b"5"]


async def test_what_waited_and_is_the_hubs_again_is_not_sent(site: AmqpSite, source: QueueSource) -> None:
    client, link = without_credit(site, source)
    site.delivery.lost_all()
    client.engine.grant(link, 5)
    assert bodies(client, link) == [b"1", b"2"]
    for event in came(client, link):
        settle(client, event, ACCEPTED)
    assert source.settled == []


@pytest.mark.parametrize("how", ["detach", "end", "lose", "another link", "another connection", "expiry"])
async def test_what_is_unsettled_when_a_link_is_over_goes_back(site: AmqpSite, source: QueueSource, how: str) -> None:
    client, link = listening(site)
    source.send(D1, cloud_message())
    assert len(came(client, link)) == 1
    match how:
        case "detach":
            client.engine.detach(link)
        case "end":
            client.engine.end(link.session)
        case "lose":
            client.lose()
        case "another link":
            client.receiver(link.session, DEVICEBOUND, "another", credit=0)
        case "another connection":
            other, session = site.by_token("d1")
            other.telemetry(session)
        case _:
            site.presence.end([D1], Ending.TOKEN_EXPIRED)
    client.transfer()
    assert [settlement for _, settlement in source.settled] == [Settlement.ABANDONED]
    assert site.delivery.listeners() == {}


async def test_who_takes_over_gets_what_the_other_did_not_settle(site: AmqpSite, source: QueueSource) -> None:
    listening(site)
    source.send(D1, cloud_message(b"1"))
    newer, link = listening(site)
    assert bodies(newer, link) == [b"1"]
    assert site.delivery.listeners() == {D1: MAX_WINDOW}
    device = site.login()
    assert site.delivery.listeners() == {}
    device.lose()


async def test_a_module_receives_at_its_own_address(site: AmqpSite, source: QueueSource) -> None:
    who = identity("d1", "m")
    site.registry.edit(lambda roster: roster.with_registration(Registration(who, SymmetricKeys(KEY, KEY[::-1]))))
    client = site.plain(who)
    link = client.receiver(client.begin(), "/devices/d1/modules/m/messages/devicebound")
    source.send(who, cloud_message())
    (message,) = client.received(link)
    assert read_devicebound(message).bag.system["to"] == "/devices/d1/modules/m/messages/devicebound"


async def test_what_a_device_can_never_take_is_rejected_and_said(site: AmqpSite, source: QueueSource) -> None:
    client, link = listening(site)
    take_at_most(client, link, 1_000)
    source.send(D1, cloud_message(b"x" * 1_000, system={"messageId": "m1"}))
    source.send(D1, cloud_message(b"small"))
    assert bodies(client, link) == [b"small"]
    assert [how for _, how in source.settled] == [Settlement.REJECTED]
    assert any(isinstance(event, CloudMessageRefused) and event.message_id == "m1" for event in site.events)


async def test_whatever_a_service_sends_can_be_sent(site: AmqpSite, source: QueueSource) -> None:
    client, link = listening(site)
    properties = {"": "x", "a\x00b": "\r\n", "ü€😀": None, "$.ct": "x"}
    system = {"contentType": "ü\x00", "absolute-expiry-time": "never", "userId": "ü", "unknown": "x"}
    source.send(D1, cloud_message(properties=properties, system=system))
    (message,) = client.received(link)
    assert message.application_properties is not None


async def test_a_drain_leaves_the_hub_time_to_bring_what_it_has(
    site: AmqpSite, source: QueueSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp_down, "DRAIN_S", 0.01)
    client, link = listening(site, 5)
    client.engine.drain(link)
    client.transfer()
    assert link.credit == 5
    source.send(D1, cloud_message(b"late"))
    await client.until(lambda: bodies(client, link) == [b"late"])
    await client.until(lambda: link.credit == 0)
    source.send(D1, cloud_message(b"too late"))
    client.transfer()
    assert bodies(client, link) == [b"late"]


async def test_a_link_that_goes_while_it_is_drained_leaves_nothing_behind(
    site: AmqpSite, source: QueueSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp_down, "DRAIN_S", 0.01)
    client, link = listening(site, 5)
    client.engine.drain(link)
    client.transfer()
    client.lose()
    await asyncio.sleep(0.02)
    assert site.delivery.listeners() == {}


# --- methods ---------------------------------------------------------------------------------------------------------


def pair(client: Client, session: Session, credit: int = 10) -> tuple[Link, Link]:
    """The links for methods: where calls come, and where answers go."""
    properties = {Symbol("com.microsoft:channel-correlation-id"): "methods:1"}
    calls = client.receiver(session, METHODS, properties=properties, credit=credit)
    return calls, client.sender(session, METHODS, properties=properties)


def invoke(site: AmqpSite, payload: bytes = b"{}") -> "asyncio.Task[MethodResult]":
    return asyncio.create_task(
        site.methods.invoke(D1, "reboot", payload, connect_timeout_s=0, response_timeout_s=PATIENCE_S)
    )


async def called(client: Client, calls: Link, number: int = 1) -> MethodCall:
    await client.until(lambda: len(client.received(calls)) >= number)
    return read_call(client.received(calls)[number - 1])


async def test_a_method_is_called_and_answered(site: AmqpSite) -> None:
    client, session = site.by_token("d1")
    calls, answers = pair(client, session)
    assert calls.snd_settle_mode == SETTLED
    calling = invoke(site, b'{"a":1}')
    call = await called(client, calls)
    assert (call.name, call.payload) == ("reboot", b'{"a":1}')
    assert came(client, calls)[0].settled
    client.send(answers, write_answer(MethodAnswer(rid=str(call.rid), status=201, payload=b"7")))
    assert await calling == MethodResult(201, b"7")


async def test_calls_are_taken_from_when_there_is_credit_until_the_link_is_over(site: AmqpSite) -> None:
    client, session = site.by_token("d1")
    calls, _ = pair(client, session, 0)
    assert site.methods.listeners() == ()
    client.engine.grant(calls, 1)
    client.transfer()
    assert site.methods.listeners() == (D1,)
    client.engine.detach(calls)
    client.transfer()
    assert site.methods.listeners() == ()


async def fault_of(calling: "asyncio.Task[MethodResult]") -> MethodFault:
    with pytest.raises(MethodError) as caught:
        await calling
    return caught.value.fault


async def test_a_call_that_finds_no_credit_does_not_wait_for_it(site: AmqpSite) -> None:
    client, session = site.by_token("d1")
    calls, answers = pair(client, session, 1)
    first = invoke(site)
    call = await called(client, calls)
    assert await fault_of(invoke(site)) is MethodFault.NOT_FOUND
    client.engine.grant(calls, 5)
    client.transfer()
    assert len(client.received(calls)) == 1
    client.send(answers, write_answer(MethodAnswer(rid=str(call.rid), status=200, payload=b"")))
    assert (await first).status == 200


async def test_a_call_that_is_larger_than_the_device_takes_is_not_brought(site: AmqpSite) -> None:
    client, session = site.by_token("d1")
    calls, _ = pair(client, session)
    take_at_most(client, calls, 500)
    assert await fault_of(invoke(site, b'"' + b"x" * 500 + b'"')) is MethodFault.NOT_FOUND
    assert client.refusal_of(calls) is None


def answer(rid: uuid.UUID | str | None, status: object = 200) -> bytes:
    said = {} if status is None else {"IoThub-status": status}
    properties = None if rid is None else Properties(correlation_id=rid)
    return write_message(AmqpMessage(properties=properties, application_properties=said, body=b"{}"))


@pytest.mark.parametrize(
    ("rid", "status"),
    [(None, 200), ("{rid}", None), ("{rid}", "200"), ("{rid}", True), ("{rid}", 1.5)],
    ids=["no rid", "no status", "a text as status", "a boolean", "a fraction"],
)
async def test_an_answer_of_another_form_is_rejected_and_the_link_stays(
    site: AmqpSite, rid: str | None, status: object
) -> None:
    client, session = site.by_token("d1")
    calls, answers = pair(client, session)
    calling = invoke(site)
    call = await called(client, calls)
    wrong = client.send(answers, answer(None if rid is None else call.rid, status))
    assert isinstance(wrong.state, Rejected)
    assert wrong.state.error is not None
    assert wrong.state.error.condition == INVALID_FIELD
    assert any(isinstance(event, MessageRefused) for event in site.events)
    right = client.send(answers, answer(call.rid))
    assert isinstance(right.state, Accepted)
    assert (await calling).status == 200


@pytest.mark.parametrize("kind", [uuid.UUID, str])
async def test_answers_to_calls_of_others_are_ignored(site: AmqpSite, kind: type[uuid.UUID | str]) -> None:
    client, session = site.by_token("d1", "d2")
    calls, answers = pair(client, session)
    theirs = client.sender(session, "/devices/d2/methods/deviceBound")
    calling = invoke(site)
    call = await called(client, calls)
    rid = kind(str(call.rid))
    for link, number in ((theirs, rid), (answers, uuid.uuid4()), (answers, "x"), (answers, call.rid)):
        assert isinstance(client.send(link, answer(number)).state, Accepted)
    assert (await calling).status == 200
    client.send(answers, answer(call.rid, 500))
    assert [event for event in site.events if isinstance(event, MethodAnswerIgnored)] == [
        MethodAnswerIgnored("d2", IgnoredAnswer.FOREIGN_DEVICE),
        MethodAnswerIgnored("d1", IgnoredAnswer.UNKNOWN_CALL),
        MethodAnswerIgnored("d1", IgnoredAnswer.UNKNOWN_CALL),
        MethodAnswerIgnored("d1", IgnoredAnswer.UNKNOWN_CALL),
    ]


async def test_a_device_can_answer_for_ever(site: AmqpSite) -> None:
    client, session = site.by_token("d1")
    _, answers = pair(client, session)
    for _ in range(250):
        client.send(answers, answer(uuid.uuid4()))
    assert answers.credit > 0


async def test_who_takes_over_takes_the_calls(site: AmqpSite) -> None:
    old, session = site.by_token("d1")
    old_calls, _ = pair(old, session)
    newer, session = site.by_token("d1")
    calls, answers = pair(newer, session)
    old.transfer()
    assert site.methods.listeners() == (D1,)
    calling = invoke(site)
    call = await called(newer, calls)
    assert old.received(old_calls) == []
    newer.send(answers, answer(call.rid))
    assert (await calling).status == 200
    newer.lose()
    assert site.methods.listeners() == ()
