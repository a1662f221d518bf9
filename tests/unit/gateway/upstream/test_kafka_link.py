"""The link over kafka-python itself, against a small broker in this process."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewire.message import DeviceId, Outcome
from gateway.observe.upstream import LinkFault
from gateway.upstream import kafka_link
from gateway.upstream.endpoint import AccessError, EndpointSettings, EndpointType, KafkaAccess, KafkaLogin
from gateway.upstream.endpoint_link import LinkDownError
from gateway.upstream.kafka_link import KafkaLink
from support.certificates import self_signed
from support.endpoint_links import stored
from support.kafka_broker import NOT_ENOUGH_REPLICAS, KafkaBroker, crc32c

PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread of a link that was left behind would disturb tests that come later."""
    monkeypatch.setattr(kafka_link, "END_S", PATIENCE_S)


@pytest.fixture
async def broker() -> AsyncIterator[KafkaBroker]:
    broker = KafkaBroker("127.0.0.1")
    async with broker.running():
        yield broker
    assert broker.violations == []


def settings(broker: KafkaBroker, *, topic: str = "telemetry", login: KafkaLogin = KafkaLogin.NONE) -> EndpointSettings:
    servers = (f"{broker.host}:{broker.port}",)
    return EndpointSettings(name="k", type=EndpointType.KAFKA, servers=servers, topic=topic, login=login)


async def opened(broker: KafkaBroker) -> KafkaLink:
    link = KafkaLink(settings(broker), None, None)
    async with asyncio.timeout(PATIENCE_S):
        await link.open()
    return link


def test_the_brokers_checksum_is_that_of_the_standard() -> None:
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720 §B.4
    assert crc32c(b"\xff" * 32) == 0x62A8AB43


async def test_records_have_the_device_as_their_key_and_the_rest_in_headers(broker: KafkaBroker) -> None:
    link = await opened(broker)
    assert link.lane_of(DeviceId("d1")) == link.lane_of(DeviceId("d2"))
    entries = [stored(1, "d1", contentType="application/json", messageId="own"), stored(2, "d1"), stored(3, "d2")]
    assert [sent.outcome for sent in await link.send(0, entries)] == [Outcome.ACCEPTED] * 3
    first, second, third = sorted(broker.records, key=lambda record: (record.key, record.offset))
    assert (first.key, first.value, first.timestamp_ms) == (b"d1", b"x", 1_795_000_000_123)
    assert first.headers == {
        "message-id": b"own",
        "content-type": b"application/json",
        "iothub-connection-device-id": b"d1",
        "iothub-enqueuedtime": b"2026-11-18T11:06:40.123Z",
    }
    assert (second.headers["message-id"], third.headers["message-id"]) == (b"e2", b"e3")
    assert first.partition == second.partition
    await link.close()


async def test_an_answer_that_is_lost_makes_no_repeat(broker: KafkaBroker) -> None:
    link = await opened(broker)
    await link.send(0, [stored(1)])
    broker.faults.forget = 1
    assert [sent.outcome for sent in await link.send(0, [stored(2), stored(3)])] == [Outcome.ACCEPTED] * 2
    assert [record.headers["message-id"] for record in broker.records] == [b"e1", b"e2", b"e3"]
    await link.close()


async def test_what_passes_by_itself_is_waited_for(broker: KafkaBroker) -> None:
    link = await opened(broker)
    broker.faults.refuse = NOT_ENOUGH_REPLICAS
    sending = asyncio.ensure_future(link.send(0, [stored(1)]))
    await asyncio.sleep(0.2)
    assert not sending.done()
    broker.faults.refuse = 0
    async with asyncio.timeout(PATIENCE_S):
        assert [sent.outcome for sent in await sending] == [Outcome.ACCEPTED]
    await link.close()


async def test_only_what_is_too_large_is_rejected(broker: KafkaBroker) -> None:
    link = await opened(broker)
    broker.faults.largest = 5_000
    entries = [stored(1), stored(2, size=10_000), stored(3)]
    results = []
    async with asyncio.timeout(PATIENCE_S):
        while entries:
            some = await link.send(0, entries)
            results += [sent.outcome for sent in some]
            entries = entries[len(some) :]
    assert results == [Outcome.ACCEPTED, Outcome.REJECTED, Outcome.ACCEPTED]
    assert {record.headers["message-id"] for record in broker.records} == {b"e1", b"e3"}
    await link.close()


async def test_what_the_producer_itself_finds_too_large_is_rejected(broker: KafkaBroker) -> None:
    link = await opened(broker)
    [sent] = await link.send(0, [stored(1, size=1_048_577), stored(2)])
    assert sent.outcome is Outcome.REJECTED
    await link.close()


async def test_a_topic_that_is_not_there_is_told(broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_link, "BOOTSTRAP_S", 1.0)
    link = KafkaLink(settings(broker, topic="other"), None, None)
    with pytest.raises(LinkDownError):
        async with asyncio.timeout(2 * PATIENCE_S):
            await link.open()
    await link.close()


async def test_a_stalled_send_ends_with_the_link(broker: KafkaBroker) -> None:
    link = await opened(broker)
    broker.faults.refuse = NOT_ENOUGH_REPLICAS
    sending = asyncio.ensure_future(link.send(0, [stored(1)]))
    await asyncio.sleep(0.1)
    async with asyncio.timeout(PATIENCE_S):
        await link.close()
        with pytest.raises(LinkDownError):
            await sending
    with pytest.raises(LinkDownError, match="the link was closed"):
        await link.send(0, [stored(1)])


def security(folder: Path) -> ssl.SSLContext:
    """A server's TLS with a certificate of its own, which is left in `ca.pem`."""
    credential = self_signed("127.0.0.1", addresses=("127.0.0.1",))
    (folder / "ca.pem").write_bytes(credential.pem)
    (folder / "key.pem").write_bytes(credential.key_pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context


async def test_a_login_goes_over_tls(tmp_path: Path) -> None:
    broker = KafkaBroker("127.0.0.1", users={"gateway": "right"})
    async with broker.running(security(tmp_path)):
        access = KafkaAccess(user="gateway", password="right")
        link = KafkaLink(settings(broker, login=KafkaLogin.PLAIN), access, tmp_path / "ca.pem")
        async with asyncio.timeout(PATIENCE_S):
            await link.open()
            assert (await link.send(0, [stored(1)]))[0].outcome is Outcome.ACCEPTED
        await link.close()
    assert broker.violations == []


async def test_a_login_that_is_refused_is_told_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_link, "BOOTSTRAP_S", 2.0)
    broker = KafkaBroker("127.0.0.1", users={"gateway": "right"})
    async with broker.running(security(tmp_path)):
        access = KafkaAccess(user="gateway", password="not-this-one")
        link = KafkaLink(settings(broker, login=KafkaLogin.PLAIN), access, tmp_path / "ca.pem")
        with pytest.raises(LinkDownError) as refused:
            async with asyncio.timeout(2 * PATIENCE_S):
                await link.open()
        assert refused.value.fault is LinkFault.TIMED_OUT
        assert "the login is refused" in refused.value.reason
        assert "not-this-one" not in refused.value.reason
        await link.close()


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(AccessError, match=r"ca\.pem, cannot be used"):
        KafkaLink(settings(KafkaBroker("127.0.0.1")), None, tmp_path / "ca.pem")
