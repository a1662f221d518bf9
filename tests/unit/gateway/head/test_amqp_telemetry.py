import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edgewire.codec.amqp.conditions import (
    ARGUMENT_ERROR,
    DECODE_ERROR,
    DEVICE_CONTAINER_THROTTLED,
    INTERNAL_ERROR,
    MESSAGE_SIZE_EXCEEDED,
)
from edgewire.codec.amqp.frames import FrameReader
from edgewire.codec.amqp.kinds import Symbol, Timestamp, UInt, ULong
from edgewire.codec.amqp.message import MESSAGE_FORMAT_BATCH, AmqpMessage, Properties, write_batch, write_message
from edgewire.codec.amqp.performatives import ACCEPTED, Disposition, Rejected
from edgewire.iothub.amqp.messages import read_transfer
from edgewire.iothub.bag import Bag
from edgewire.iothub.limits import MAX_MESSAGE_BYTES, MAX_PROPERTIES, MAX_TRANSFER_BYTES
from edgewire.iothub.messages import envelope_for, passing_size
from edgewire.message import identity
from gateway.dispatch.presence import Ending
from gateway.head import amqp_telemetry
from gateway.head.amqp_telemetry import ALWAYS_FITS_BYTES, LINK_CREDIT, Telemetry, TelemetryLink
from gateway.identity.roster import Registration, SymmetricKeys
from gateway.observe.head import MessageRefused, RefusedMessage
from gateway.store.store import Done
from gateway.store.values import AppendResult, StoreLimits
from support.amqp_site import KEY, AmqpSite, Client

BODY = b'{"t":1}'


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[AmqpSite]:
    async with AmqpSite.open(tmp_path) as site:
        yield site


def message(body: bytes = BODY, **properties: object) -> bytes:
    return write_message(AmqpMessage(application_properties=properties or None, body=body))


def batch(*bodies: bytes) -> bytes:
    return write_batch([message(body) for body in bodies])


def refused(state: Any) -> tuple[str, str]:
    """Condition and description of a rejection."""
    assert isinstance(state, Rejected)
    assert state.error is not None
    return state.error.condition, state.error.description or ""


async def dispositions(site: AmqpSite, client: Client) -> list[Disposition]:
    """What the gateway says of the deliveries, once the disk has answered; the client does not hear it."""
    await site.store.flush()
    turned = asyncio.Event()
    asyncio.get_running_loop().call_soon(turned.set)
    await turned.wait()
    reader = FrameReader(65_536)
    reader.push(bytes(client.wire.written))
    frames = iter(reader.next, None)
    return [frame.performative for frame in frames if isinstance(frame.performative, Disposition)]


async def test_nothing_is_accepted_before_the_disk_has_it(site: AmqpSite) -> None:
    client = site.plain()
    link = client.telemetry(client.begin())
    sent = [client.tell(link) for _ in range(3)]
    assert [delivery.settled for delivery in sent] == [False] * 3
    await site.store.flush()
    client.transfer()
    assert [delivery.state for delivery in sent] == [ACCEPTED] * 3
    assert [delivery.settled for delivery in sent] == [True] * 3
    assert len(site.stored()) == 3


async def test_one_disposition_answers_all_that_came_in_one_read(site: AmqpSite) -> None:
    client = site.plain()
    link = client.telemetry(client.begin())
    for _ in range(50):
        assert client.engine.send(link, message()) is not None
    client.transfer()
    [said] = await dispositions(site, client)
    assert (said.first, said.last, said.settled, said.state) == (0, 49, True, ACCEPTED)


@pytest.mark.plain
async def test_one_disposition_answers_all_reads_of_one_commit(site: AmqpSite, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[Done] = []
    monkeypatch.setattr(site.store, "append", lambda _batch, done: waiting.append(done))
    client = site.plain()
    link = client.telemetry(client.begin())
    for _ in range(5):
        client.tell(link)
    for done in waiting:
        done(AppendResult.STORED)
    assert bytes(client.wire.written) == b""
    [said] = await dispositions(site, client)
    assert (said.first, said.last, said.settled, said.state) == (0, 4, True, ACCEPTED)


async def test_one_disposition_answers_a_batch_and_its_messages_are_stored_in_order(site: AmqpSite) -> None:
    client = site.plain()
    link = client.telemetry(client.begin())
    delivery = client.send(link, batch(b"1", b"2", b"3"), message_format=MESSAGE_FORMAT_BATCH)
    [said] = await dispositions(site, client)
    assert (said.first, said.last, said.settled, said.state) == (0, None, True, ACCEPTED)
    assert [entry.message.body for entry in site.stored()] == [b"1", b"2", b"3"]
    assert await client.outcome(delivery) == ACCEPTED


async def test_a_message_says_who_sent_it_by_its_link_alone(site: AmqpSite) -> None:
    client = site.plain()
    link = client.telemetry(client.begin())
    told = AmqpMessage(
        properties=Properties(message_id="m1", content_type="application/json"),
        message_annotations={Symbol("iothub-connection-device-id"): "d2"},
        body=BODY,
    )
    assert await client.outcome(client.send(link, write_message(told))) == ACCEPTED
    [entry] = site.stored()
    assert entry.message.envelope.sender == identity("d1")
    assert entry.message.envelope.system == {
        "messageId": "m1",
        "contentType": "application/json",
        "connectionDeviceId": "d1",
    }


async def test_a_module_sends_as_itself_by_its_own_token_or_its_devices(site: AmqpSite) -> None:
    module = Registration(identity("d1", "m"), SymmetricKeys(KEY, KEY[::-1]))
    site.registry.edit(lambda roster: roster.with_registration(module))
    client, session = site.by_token("d1")
    assert await client.outcome(client.tell(client.telemetry(session, "d1", "m"))) == ACCEPTED
    own = site.plain(identity("d1", "m"))
    assert await own.outcome(own.tell(own.telemetry(own.begin(), "d1", "m"))) == ACCEPTED
    assert [entry.message.envelope.sender for entry in site.stored()] == [identity("d1", "m")] * 2


@pytest.mark.parametrize(
    ("message_format", "payload", "condition", "reason"),
    [
        (0, b"\x00\x53\x75\xa0\x05ab", DECODE_ERROR, RefusedMessage.MALFORMED_MESSAGE),
        (
            0,
            write_message(AmqpMessage(application_properties={"": "x"}, body=BODY)),
            ARGUMENT_ERROR,
            RefusedMessage.MALFORMED_PROPERTIES,
        ),
        (0, message(bytes(MAX_MESSAGE_BYTES)), MESSAGE_SIZE_EXCEEDED, RefusedMessage.TOO_LARGE),
        (0, message(bytes(MAX_TRANSFER_BYTES)), MESSAGE_SIZE_EXCEEDED, RefusedMessage.TOO_LARGE),
        (0, message(long="ü" * 20_000), MESSAGE_SIZE_EXCEEDED, RefusedMessage.TOO_LARGE),
        (MESSAGE_FORMAT_BATCH, b"", DECODE_ERROR, RefusedMessage.MALFORMED_MESSAGE),
        (MESSAGE_FORMAT_BATCH, batch(*[b""] * 501), MESSAGE_SIZE_EXCEEDED, RefusedMessage.TOO_LARGE),
        (
            MESSAGE_FORMAT_BATCH,
            batch(b"1", bytes(MAX_MESSAGE_BYTES), b"3"),
            MESSAGE_SIZE_EXCEEDED,
            RefusedMessage.TOO_LARGE,
        ),
        (
            MESSAGE_FORMAT_BATCH,
            write_batch([message(b"1"), b"\x00"]),
            DECODE_ERROR,
            RefusedMessage.MALFORMED_MESSAGE,
        ),
    ],
)
async def test_what_may_not_be_sent_is_rejected_with_a_reason_and_the_link_goes_on(
    site: AmqpSite, message_format: int, payload: bytes, condition: str, reason: RefusedMessage
) -> None:
    client = site.plain()
    link = client.telemetry(client.begin())
    before = client.tell(link, b"before")
    wrong = client.send(link, payload, message_format=message_format)
    behind = client.tell(link, b"behind")
    found, description = refused(await client.outcome(wrong))
    assert found == condition
    assert description
    assert await client.outcome(before) == ACCEPTED
    assert await client.outcome(behind) == ACCEPTED
    assert [entry.message.body for entry in site.stored()] == [b"before", b"behind"]
    [event] = [event for event in site.events if isinstance(event, MessageRefused)]
    assert (event.identity, event.reason) == ("d1", reason)


async def test_the_largest_message_is_taken_and_one_byte_more_is_not(site: AmqpSite) -> None:
    client = site.plain()
    link = client.telemetry(client.begin())
    room = MAX_MESSAGE_BYTES - passing_size(envelope_for(identity("d1"), Bag({}, {})))
    assert await client.outcome(client.tell(link, bytes(room))) == ACCEPTED
    assert refused(await client.outcome(client.tell(link, bytes(room + 1))))[0] == MESSAGE_SIZE_EXCEEDED


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        UInt(0),
        ULong(0),
        Timestamp(1_900_000_000_123),
        1.7976931348623157e308,
        " ",
        "\x01",
        "é",
        b"\x01",
        "",
    ],
    ids=repr,
)
def test_a_small_transfer_cannot_hold_what_is_too_large_whatever_its_properties_become(value: object) -> None:
    own = Properties(message_id=ULong(0), correlation_id=ULong(0), user_id=b"", to="", content_type=Symbol("\x01"))
    held: dict[str, object] = {f"{number:02x}": value for number in range(MAX_PROPERTIES - 10)}

    def transfer(pad: int) -> bytes:
        pads = {"pad": "\x01" * pad}
        return write_message(AmqpMessage(properties=own, application_properties=held | pads, body=b""))

    payload = transfer(ALWAYS_FITS_BYTES - len(transfer(300)) + 300)
    assert len(payload) == ALWAYS_FITS_BYTES
    [content] = read_transfer(0, payload)
    assert passing_size(envelope_for(identity("d" * 128, "m" * 128), content.bag)) <= MAX_MESSAGE_BYTES


async def test_a_message_of_many_frames_is_one_message(site: AmqpSite) -> None:
    client = site.plain()
    link = client.telemetry(client.begin())
    assert await client.outcome(client.tell(link, bytes(200_000))) == ACCEPTED
    [entry] = site.stored()
    assert len(entry.message.body) == 200_000


async def test_a_settled_transfer_is_stored_and_never_answered(site: AmqpSite) -> None:
    client = site.plain()
    link = client.telemetry(client.begin())
    client.send(link, message(), settled=True)
    client.send(link, b"\xff", settled=True)
    assert await dispositions(site, client) == []
    assert len(site.stored()) == 1
    assert site.reasons(MessageRefused) == [RefusedMessage.MALFORMED_MESSAGE]


async def test_credit_comes_back_as_the_disk_answers(site: AmqpSite) -> None:
    client = site.plain()
    link = client.telemetry(client.begin())
    assert link.credit == LINK_CREDIT
    for _ in range(LINK_CREDIT):
        assert client.engine.send(link, message()) is not None
    client.transfer()
    assert client.engine.send(link, message()) is None
    await site.store.flush()
    client.transfer()
    assert link.credit == LINK_CREDIT


# --- a store that cannot ----------------------------------------------------------------------------------------------


@pytest.mark.plain
async def test_a_full_store_rejects_and_gives_no_credit_until_there_may_be_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rested: list[tuple[Telemetry, TelemetryLink]] = []
    go_on = Telemetry._go_on
    monkeypatch.setattr(amqp_telemetry, "FULL_REST_S", 0.01)
    monkeypatch.setattr(Telemetry, "_go_on", lambda *what: rested.append(what))  # it ends when all is looked at
    limits = StoreLimits(max_bytes=65_536, segment_bytes=16_384)
    async with AmqpSite.open(tmp_path, limits=limits) as site:
        client = site.plain()
        link = client.telemetry(client.begin())
        accepted = 0
        while (state := await client.outcome(client.tell(link, bytes(4096)))) == ACCEPTED:
            accepted += 1
            assert accepted < 100
        assert refused(state)[0] == DEVICE_CONTAINER_THROTTLED
        client.transfer()
        assert link.credit == 0
        assert client.refusal_of(link) is None
        assert len(site.stored()) == accepted
        assert site.reasons(MessageRefused) == [RefusedMessage.STORE_FULL]
        await client.until(lambda: bool(rested))
        go_on(*rested[0])
        await client.until(lambda: link.credit == LINK_CREDIT)


async def test_a_batch_that_the_store_has_no_space_for_is_not_kept_in_part(tmp_path: Path) -> None:
    limits = StoreLimits(max_bytes=65_536, segment_bytes=16_384)
    async with AmqpSite.open(tmp_path, limits=limits) as site:
        client = site.plain()
        link = client.telemetry(client.begin())
        delivery = client.send(link, batch(*[bytes(2_000)] * 60), message_format=MESSAGE_FORMAT_BATCH)
        assert refused(await client.outcome(delivery))[0] == DEVICE_CONTAINER_THROTTLED
        assert site.stored() == []


@pytest.mark.plain
async def test_a_store_that_fails_accepts_nothing(site: AmqpSite, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_batch: object, done: Done) -> None:
        done(AppendResult.FAILED)

    monkeypatch.setattr(site.store, "append", fail)
    client = site.plain()
    link = client.telemetry(client.begin())
    assert refused(await client.outcome(client.tell(link)))[0] == INTERNAL_ERROR
    assert link.credit > 0


@pytest.mark.plain
async def test_a_connection_that_floods_is_not_read_from_until_the_disk_has_caught_up(
    site: AmqpSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp_telemetry, "MAX_UNANSWERED_BYTES", 300_000)
    client = site.plain()
    link = client.telemetry(client.begin())
    client.tell(link, bytes(250_000))
    assert [client.wire.paused] == [False]
    last = client.tell(link, bytes(250_000))
    assert [client.wire.paused] == [True]
    assert await client.outcome(last) == ACCEPTED
    assert [client.wire.paused] == [False]


async def test_an_answer_of_the_store_after_the_end_disturbs_nobody(site: AmqpSite) -> None:
    client = site.plain()
    link = client.telemetry(client.begin())
    client.tell(link)
    client.lose()
    await site.store.flush()
    assert len(site.stored()) == 1


async def test_an_answer_of_the_store_after_the_end_of_a_link_disturbs_nobody(site: AmqpSite) -> None:
    client, session = site.by_token("d1", "d2")
    link, neighbour = client.telemetry(session, "d1"), client.telemetry(session, "d2")
    client.tell(link)
    site.presence.end([identity("d1")], Ending.CREDENTIALS_CHANGED)
    assert await client.outcome(client.tell(neighbour)) == ACCEPTED
    assert len(site.stored()) == 2
