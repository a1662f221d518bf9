"""The link over azure-eventhub itself, against a stand-in in this process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewire.codec.amqp.message import read_message
from edgewire.message import DeviceId, Outcome
from gateway.observe.upstream import LinkFault
from gateway.upstream.endpoint import AccessError, EndpointSettings, read_connection_string
from gateway.upstream.endpoint_link import LinkDownError
from gateway.upstream.eventhub_link import MAX_BATCH_BYTES, EventHubLink
from standin.app import Ports, StandIn
from standin.namespace import OwnEventHub
from support.endpoint_links import stored


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture
async def standin(tmp_path: Path, certificates: Path) -> AsyncIterator[StandIn]:
    ports = Ports(mqtt=0, amqp=0, websocket=None)
    async with StandIn(tmp_path, address="127.0.0.1", ports=ports, certificates=certificates) as standin:
        standin.namespace.create("telemetry", 2)
        yield standin


def link_to(
    standin: StandIn, *, policy: str = "send", port: int | None = None, ca: str = "trust-bundle.pem"
) -> EventHubLink:
    settings = EndpointSettings(name="archive", host=f"127.0.0.1:{port or standin.amqp_port}")
    access = read_connection_string(standin.own_event_hub_string("telemetry", policy))
    return EventHubLink(settings, access, standin.directory / ca)


def kept(standin: StandIn) -> list[tuple[int, bytes]]:
    """Partition and body of all events."""
    hub = standin.namespace.get("telemetry")
    assert isinstance(hub, OwnEventHub)
    found = []
    for partition in range(2):
        for event in hub.log.read_partition(partition, 0, 1000):
            body = read_message(event.payload).body
            assert isinstance(body, bytes)
            found.append((partition, body))
    return found


async def test_batches_go_to_the_partition_of_their_devices(standin: StandIn) -> None:
    link = link_to(standin)
    await link.open()
    devices = [f"d{number}" for number in range(6)]
    lanes = {device: link.lane_of(DeviceId(device)) for device in devices}
    assert set(lanes.values()) == {0, 1}
    entries = [stored(number, device) for number, device in enumerate(devices) if lanes[device] == 1]
    results = await link.send(1, entries)
    assert [sent.outcome for sent in results] == [Outcome.ACCEPTED] * len(entries)
    assert kept(standin) == [(1, b"x")] * len(entries)
    await link.close()


async def test_a_batch_is_filled_and_what_is_larger_goes_alone(standin: StandIn) -> None:
    link = link_to(standin)
    await link.open()
    half, whole = MAX_BATCH_BYTES // 2, MAX_BATCH_BYTES + 1000
    small = [stored(number, size=half - 2000) for number in range(3)]
    assert len(await link.send(0, small)) == 2, "the third does not fit"
    [sent] = await link.send(0, [stored(4, size=whole), stored(5)])
    assert sent.outcome is Outcome.ACCEPTED
    [sent] = await link.send(0, [stored(6, size=1_048_576), stored(7)])
    assert sent.outcome is Outcome.REJECTED
    assert "larger than the 1048576 bytes" in sent.reason
    assert len(kept(standin)) == 3
    await link.close()


async def test_a_busy_service_is_asked_again(standin: StandIn) -> None:
    link = link_to(standin)
    await link.open()
    standin.throttle()
    [sent] = await link.send(0, [stored(1), stored(2)])
    assert sent.outcome is Outcome.RELEASED
    standin.behave()
    assert len(await link.send(0, [stored(1), stored(2)])) == 2
    await link.close()


async def test_who_may_not_send_is_told_at_the_opening(standin: StandIn) -> None:
    link = link_to(standin, policy="listen")
    with pytest.raises(LinkDownError, match="'Send' claim") as refused:
        await link.open()
    assert refused.value.fault is LinkFault.CREDENTIALS
    await link.close()


async def test_a_key_that_was_exchanged_is_refused(standin: StandIn) -> None:
    link = link_to(standin)
    standin.namespace.new_key("telemetry", "send")
    with pytest.raises(LinkDownError) as refused:
        await link.open()
    assert refused.value.fault is LinkFault.CREDENTIALS
    await link.close()


async def test_nobody_there_is_unreachable(standin: StandIn) -> None:
    link = link_to(standin, port=1)
    with pytest.raises(LinkDownError) as down:
        await link.open()
    assert down.value.fault is LinkFault.UNREACHABLE
    await link.close()


async def test_a_cut_line_is_tried_once_more_by_the_sdk(standin: StandIn) -> None:
    link = link_to(standin)
    await link.open()
    await link.send(0, [stored(1)])
    standin.drop_connections()
    assert [sent.outcome for sent in await link.send(0, [stored(2)])] == [Outcome.ACCEPTED]
    assert [body for _, body in kept(standin)] == [b"x", b"x"]
    await link.close()


async def test_a_file_that_is_no_certificate_is_named(standin: StandIn) -> None:
    (standin.directory / "ca.pem").write_text("nothing")
    with pytest.raises(AccessError, match=r"CA certificates, .*ca\.pem, cannot be used"):
        link_to(standin, ca="ca.pem")
