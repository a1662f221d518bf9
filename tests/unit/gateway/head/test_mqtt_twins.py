from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from edgewire.codec.mqtt.packets import Puback, Publish, Unsubscribe
from edgewire.iothub.topics import DesiredPatch, Push, TwinResult, parse_push_topic
from edgewire.message import identity
from gateway.dispatch.presence import Ending
from gateway.dispatch.twins import TwinRefusedError
from gateway.observe.head import TwinCut, TwinTooLarge
from support.gateway_site import until
from support.mqtt_site import Device, Site, subscription
from support.twin_cloud import FakeTwinCloud, served

D1 = identity("d1")
RESULTS = "$iothub/twin/res/#"
DESIRED = "$iothub/twin/PATCH/properties/desired/#"
GET = "$iothub/twin/GET/?$rid="
REPORT = "$iothub/twin/PATCH/properties/reported/"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with Site.open(tmp_path) as site:
        yield site


@pytest.fixture
async def cloud(site: Site, tmp_path: Path) -> AsyncIterator[FakeTwinCloud]:
    async with served(site.twins, tmp_path) as cloud:
        yield cloud


class Reader:
    """What came down to a device about its twin."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.acknowledged: list[int] = []
        self.came: list[tuple[Push | None, Any, int]] = []

    def look(self) -> int:
        for packet in self.device.received():
            if isinstance(packet, Publish):
                body = orjson.loads(packet.payload) if packet.payload else None
                self.came.append((parse_push_topic(packet.topic), body, packet.qos))
            elif isinstance(packet, Puback):
                self.acknowledged.append(packet.packet_id)
        return len(self.came)

    async def next(self) -> tuple[Push | None, Any, int]:
        await until(lambda: self.look() > 0)
        return self.came.pop(0)


def device_of(site: Site, *filters: str, **options: Any) -> Reader:
    device = site.connect("d1", **options)
    for each in filters:
        device.send(subscription(each))
    device.received()
    return Reader(device)


@pytest.mark.parametrize("rid", ["1", "7b0c-ff", "a%20b", "$version=9"])
@pytest.mark.parametrize("qos", [0, 1])
async def test_a_reading_is_answered_with_its_own_request_id(
    site: Site, cloud: FakeTwinCloud, rid: str, qos: int
) -> None:
    cloud.desire(D1, {"d": 1})
    reader = device_of(site, RESULTS)
    reader.device.publish(GET + rid, b" ", qos=qos)
    assert await reader.next() == (
        TwinResult(200, rid),
        {"desired": {"d": 1, "$version": 2}, "reported": {"$version": 1}},
        0,
    )
    assert reader.acknowledged == [1] * qos


async def test_a_report_is_answered_with_its_version_and_no_body(site: Site, cloud: FakeTwinCloud) -> None:
    reader = device_of(site, RESULTS)
    reader.device.publish(f"{REPORT}?$rid=5", b'{"a":1}', qos=0)
    assert await reader.next() == (TwinResult(204, "5", 2), None, 0)
    assert cloud.twin(D1).reported == {"a": 1}


async def test_a_report_without_a_request_id_is_taken_in_silence(site: Site, cloud: FakeTwinCloud) -> None:
    reader = device_of(site, RESULTS)
    reader.device.publish(REPORT, b'{"a":1}', qos=0)
    await until(lambda: cloud.twin(D1).reported == {"a": 1})
    reader.device.publish(GET + "1", qos=0)
    assert (await reader.next())[0] == TwinResult(200, "1")


async def test_what_is_refused_has_a_status_and_a_body_for_both_sdks(site: Site, cloud: FakeTwinCloud) -> None:
    reader = device_of(site, RESULTS)
    reader.device.publish(f"{REPORT}?$rid=1", b'{"a.b":1}', qos=0)
    result, body, _ = await reader.next()
    assert result == TwinResult(400, "1")
    assert body["errorCode"] == 400000
    assert "a.b" in body["message"]
    cloud.refuses = TwinRefusedError(429, "slower")
    reader.device.publish(GET + "2", qos=0)
    assert await reader.next() == (TwinResult(429, "2"), {"errorCode": 429000, "message": "slower"}, 0)
    assert not reader.device.is_closed()


async def test_changes_are_told_to_who_subscribed_them(site: Site, cloud: FakeTwinCloud) -> None:
    reader = device_of(site, RESULTS, DESIRED)
    reader.device.publish(GET + "1", qos=0)
    await reader.next()
    cloud.desire(D1, {"d": 1})
    assert await reader.next() == (DesiredPatch(2), {"d": 1, "$version": 2}, 0)
    reader.device.send(Unsubscribe(packet_id=9, filters=(DESIRED,)))
    assert cloud.watched == set()


async def test_who_did_not_subscribe_changes_is_not_told(site: Site, cloud: FakeTwinCloud) -> None:
    device_of(site, RESULTS)
    assert cloud.watched == set()


async def test_a_stored_session_is_told_again(site: Site, cloud: FakeTwinCloud) -> None:
    reader = device_of(site, DESIRED, clean_start=False)
    await until(lambda: cloud.watched == {D1})
    reader.device.lose()
    assert cloud.watched == set()
    again = Reader(site.connect("d1", clean_start=False))
    assert cloud.watched == {D1}
    cloud.desire(D1, {"d": 1})
    assert (await again.next())[0] == DesiredPatch(2)


async def test_who_takes_over_is_told_and_the_one_before_is_not(site: Site, cloud: FakeTwinCloud) -> None:
    before = device_of(site, DESIRED)
    after = device_of(site, DESIRED)
    assert before.device.is_closed()
    cloud.desire(D1, {"d": 1})
    assert (await after.next())[0] == DesiredPatch(2)
    assert before.look() == 0
    after.device.lose()
    assert cloud.watched == set()


@pytest.mark.parametrize("ending", [Ending.CREDENTIALS_CHANGED, Ending.SHUTDOWN])
async def test_an_answer_that_comes_too_late_goes_nowhere(site: Site, cloud: FakeTwinCloud, ending: Ending) -> None:
    reader = device_of(site, RESULTS, DESIRED)
    reader.device.publish(GET + "1", qos=0)
    site.presence.end([D1], ending)
    reader.device.received()
    await until(lambda: bool(cloud.calls))
    site.twins.on_up(D1)
    await until(lambda: len(cloud.calls) == 2)
    assert reader.look() == 0


@pytest.mark.parametrize(
    ("desired", "reported", "cut"),
    [(10, 10, None), (10, 4_000, TwinCut.REPORTED_LEFT_OUT), (4_000, 10, TwinCut.REFUSED)],
)
async def test_a_twin_larger_than_the_client_takes_is_cut_to_its_desired_properties_or_413(
    site: Site, cloud: FakeTwinCloud, desired: int, reported: int, cut: TwinCut | None
) -> None:
    cloud.desire(D1, {"d": "x" * desired})
    site.login().publish(REPORT + "?$rid=0", orjson.dumps({"r": "y" * reported}), qos=0)
    await until(lambda: "r" in cloud.twin(D1).reported)
    reader = device_of(site, RESULTS, constrained=True)
    reader.device.publish(GET + "1", qos=0)
    result, body, _ = await reader.next()
    assert result == TwinResult(413 if cut is TwinCut.REFUSED else 200, "1")
    if cut is TwinCut.REFUSED:
        assert "more than this client takes: take properties out of the twin" in body["message"]
    else:
        assert body["desired"]["d"] == "x" * desired
        assert ("reported" in body) == (cut is None)
    assert [event.cut for event in site.events if isinstance(event, TwinTooLarge)] == ([] if cut is None else [cut])


async def test_a_refusal_larger_than_the_client_takes_is_413_too(site: Site, cloud: FakeTwinCloud) -> None:
    reader = device_of(site, RESULTS, constrained=True)
    cloud.refuses = TwinRefusedError(400, "x" * 1_000)
    reader.device.publish(REPORT + "?$rid=1", b'{"a":1}', qos=0)
    result, body, _ = await reader.next()
    assert result == TwinResult(413, "1")
    assert "bytes are more than this client takes" in body["message"]


async def test_a_change_larger_than_the_client_takes_is_told_to_the_operator(site: Site, cloud: FakeTwinCloud) -> None:
    reader = device_of(site, DESIRED, constrained=True)
    await until(lambda: D1 in cloud.watched)
    cloud.desire(D1, {"d": "x" * 4_000})
    await until(lambda: any(isinstance(event, TwinTooLarge) for event in site.events))
    assert {event.cut for event in site.events if isinstance(event, TwinTooLarge)} == {TwinCut.CHANGE_NOT_TOLD}
    cloud.desire(D1, {"d": "y"})
    _, change, _ = await reader.next()
    assert change["d"] == "y"
