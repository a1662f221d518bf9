"""A Kafka topic as endpoint, with the store's promise, against a small broker in this process."""

from collections.abc import AsyncIterator, Iterator

import pytest

from support.gateway_site import GatewaySite, until
from support.kafka_broker import KafkaBroker
from support.numbered_devices import NumberedDevice, numbered, progress, sending

ROUTES = {"all": 'FROM /messages/* INTO Endpoint("stream")', "cloud": "FROM /messages/* INTO $upstream"}


@pytest.fixture
async def broker(site: GatewaySite, loopback: Iterator[str]) -> AsyncIterator[KafkaBroker]:
    broker = KafkaBroker(next(loopback))
    async with broker.running():
        endpoint = {
            "type": "kafka",
            "servers": [f"{broker.host}:{broker.port}"],
            "topic": "telemetry",
            "login": "none",
        }
        settings = site.write_settings(routes=ROUTES, endpoints={"stream": endpoint})
        site.gateway.environment |= {"GATEWAY_SETTINGS_FILE": str(settings)}
        yield broker
    assert broker.violations == []


def assert_kept(broker: KafkaBroker, devices: list[NumberedDevice]) -> None:
    """All that was acknowledged is there, in order, and what is there again has the same id."""
    for device in devices:
        numbers = [int(value) for value in broker.of(device.device)]
        firsts = list(dict.fromkeys(numbers))
        assert firsts == sorted(firsts)
        assert device.acknowledged <= set(firsts)
    seen: dict[tuple[bytes, bytes], set[bytes]] = {}
    for record in broker.records:
        if record.headers.get("mqtt-dup") is None:
            seen.setdefault((record.key, record.value), set()).add(record.headers["message-id"])
    assert [key for key, ids in seen.items() if len(ids) > 1] == []


async def all_kept(broker: KafkaBroker, devices: list[NumberedDevice]) -> None:
    await until(
        lambda: all({str(n).encode() for n in each.acknowledged} <= set(broker.of(each.device)) for each in devices), 45
    )
    assert_kept(broker, devices)


async def test_a_killed_gateway_and_lost_answers_lose_nothing(site: GatewaySite, broker: KafkaBroker) -> None:
    devices = numbered(site, 2, burst_pause_s=0.3)
    async with sending(devices):
        await site.gateway.start()
        await until(lambda: len(broker.records) > 20)
        broker.faults.forget = 2
        await progress(devices, 20)
        await site.gateway.kill()
        await site.gateway.start()
        await progress(devices, 20)
    await all_kept(broker, devices)
    await site.gateway.stop()


async def test_upstream_flows_while_the_brokers_are_away(site: GatewaySite, broker: KafkaBroker) -> None:
    devices = numbered(site, 2, burst_pause_s=0.3)
    await site.gateway.start(GATEWAY_UPSTREAM_STALL_S="2")
    async with sending(devices):
        await until(lambda: len(broker.records) > 0)
        await broker.stop()
        await site.gateway.said("link to the endpoint 'stream' lost")
        await site.arrived(20, after=site.hub.events.last_sequence)
        await broker.start()
        there = len(broker.records)
        await until(lambda: len(broker.records) > there, 75)
    await all_kept(broker, devices)
    await site.gateway.stop()
