"""Sending to an Event Hub of the namespace by HTTPS, read back from its partitions."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from edgewire.codec.amqp.message import read_message
from edgewire.iothub import sas
from edgewire.iothub.partitions import partition_of_key
from edgewire.session.http.events import Headers, RequestReceived
from edgewire.session.http.server import Response
from edgewire.transport.pump import Peer
from standin.namespace import Namespace
from standin.namespace_http import PublisherApi
from support.hub_line import HUB_NAME, House, house

HUB = "telemetry"
TARGET = f"/{HUB}/publishers/wipy-01/messages"


class Desk:
    def __init__(self, hall: House, folder: Path) -> None:
        self.hall = hall
        self.namespace = Namespace(folder, hall.hub.documents, taken="hub", clock=hall.wall_clock)
        self.event_hub = self.namespace.create(HUB, 4)
        hall.admission._event_hubs = self.namespace.policy
        self.api = PublisherApi(hall.hub, self.namespace, hall.admission)

    def token(self, path: str = f"{HUB}/publishers/wipy-01", policy: str = "send") -> str:
        key = self.event_hub.policies[policy].text_keys()[0]
        return sas.make(f"sb://{HUB_NAME}/{path}", key, int(self.hall.wall_clock.now) + 60, policy)

    async def post(
        self, path: str = TARGET, body: bytes = b"{}", *, token: str | None = None, headers: Mapping[str, str] = {}
    ) -> Response:
        fields = {"Authorization": self.token() if token is None else token, **headers}
        request = RequestReceived(
            method="POST", path=path, query="timeout=60", headers=Headers(tuple(fields.items())), body=body
        )
        assert self.api.claims(request)
        return await self.api.answer(request, Peer(address="127.0.0.1", port=1))

    def kept(self) -> list[tuple[int, bytes]]:
        """Partition and payload of all there are."""
        log = self.event_hub.log
        return [(n, event.payload) for n in range(4) for event in log.read_partition(n, 0, 10)]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    hall = house(tmp_path, edge_device="edge-1")
    desk = Desk(hall, tmp_path)
    yield desk
    desk.namespace.close()
    await hall.close()


async def test_an_event_says_its_publisher_and_is_in_its_partition(desk: Desk) -> None:
    answer = await desk.post(headers={"Content-Type": "application/json", "Room": '"kitchen"'})
    assert (answer.status, answer.body) == (201, b"")
    ((partition, payload),) = desk.kept()
    assert partition == partition_of_key("wipy-01", 4)
    message = read_message(payload)
    assert message.message_annotations == {"x-opt-publisher": "wipy-01", "x-opt-partition-key": "wipy-01"}
    assert message.application_properties == {"Room": "kitchen"}
    assert message.properties is not None
    assert message.properties.content_type == "application/json"


async def test_a_batch_goes_to_one_partition_and_what_has_no_key_to_the_next(desk: Desk) -> None:
    batch = {"Content-Type": "application/vnd.microsoft.servicebus.json"}
    assert (await desk.post(body=b'[{"Body":"a"},{"Body":"b"}]', headers=batch)).status == 201
    assert len({partition for partition, _ in desk.kept()}) == 1
    whole = desk.token(HUB)
    for _ in range(2):
        assert (await desk.post(f"/{HUB}/messages", token=whole)).status == 201
    keyed = {"BrokerProperties": '{"PartitionKey":"k"}'}
    assert (await desk.post(f"/{HUB}/messages", token=whole, headers=keyed)).status == 201
    assert len(desk.kept()) == 5
    assert partition_of_key("k", 4) in {partition for partition, _ in desk.kept()}


async def test_who_may_not_send_is_refused(desk: Desk) -> None:
    other = desk.token(f"{HUB}/publishers/wipy-02")
    for token in ("", "Bearer x", other, desk.token(policy="listen"), desk.token().replace("skn=send", "skn=x")):
        answer = await desk.post(token=token)
        assert (answer.status, answer.body[:23]) == (401, b"<Error><Code>401</Code>")
    assert desk.kept() == []


async def test_what_cannot_be_taken_is_refused_whole(desk: Desk) -> None:
    assert (await desk.post(body=bytes(262_145))).status == 413
    assert (await desk.post(headers={"Room": "kitchen"})).status == 400
    assert (await desk.post(f"/{HUB}/publishers/a%2Fb/messages")).status == 400
    for fault, status in (("throttling", 429), ("over_quota", 403), ("refusing", 503)):
        desk.hall.hub.faults.change({fault: True})
        assert (await desk.post()).status == status
        desk.hall.hub.faults.clear()
    assert desk.kept() == []


async def test_an_answer_may_be_lost(desk: Desk) -> None:
    desk.hall.hub.faults.change({"lose_acknowledgements": 1})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await desk.post()
    assert len(desk.kept()) == 1
    assert (await desk.post()).status == 201


async def test_an_event_hub_that_is_not_there_is_refused(desk: Desk) -> None:
    assert (await desk.post("/other/publishers/wipy-01/messages")).status == 401
    request = RequestReceived(method="POST", path="/devices/d1/messages/events", query="", headers=Headers())
    assert not desk.api.claims(request)
