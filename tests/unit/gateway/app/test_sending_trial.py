from typing import Any

import pytest

from edgewire.message import UPSTREAM, Message
from gateway.app.document import GatewaySettings, read_settings
from gateway.app.sample import read_sample
from gateway.app.sending_trial import BLOCK_BYTES, Bill, Cost, Trial, cost_of_a_day, metered_bytes
from gateway.routing.table import Table
from support.staged import read, told

ALL = "FROM /messages/* INTO $upstream"
DAY = 86_400


def settings(send: Any, **routes: Any) -> tuple[GatewaySettings, Table]:
    found = read_settings({"routes": {"r": {"route": ALL, "send": send}, **routes}})
    assert found.settings is not None, found.problems
    assert found.table is not None
    return found.settings, found.table


def bodies(trial: Trial) -> list[Any]:
    return [read(sent.message) for sent in trial.sent]


def test_filters_see_time_pass() -> None:
    trial = Trial(*settings({"onChangeOf": "$body.t", "atLeastEverySecs": 60}))
    for at_s in (0, 30, 61):
        trial.feed(told({"t": 1}), at_s)
    assert len(trial.sent) == 2
    assert not trial.sent[0].is_made


def test_a_batch_goes_in_time_as_its_first_message_came() -> None:
    trial = Trial(*settings({"batch": {"maxMessages": 3, "maxAgeSecs": 10, "items": "bodies"}}))
    for number, at_s in enumerate((0, 1, 2, 5, 14, 20)):
        _, left = trial.feed(told(number), at_s)
        assert [trial.goes_to(delivery) for delivery in left] == [UPSTREAM]
    trial.finish()
    assert bodies(trial) == [[0, 1, 2], [3, 4], [5]]
    assert all(sent.is_made and sent.endpoint == UPSTREAM for sent in trial.sent)


def test_windows_begin_with_the_trial() -> None:
    trial = Trial(*settings({"aggregate": {"windowSecs": 60, "values": {"t": "$body.t"}}}))
    for at_s in (0, 59, 60):
        trial.feed(told({"t": at_s}), at_s)
    trial.finish()
    assert [found["values"]["t"]["sum"] for found in bodies(trial)] == [59, 60]


def cost(send: Any, samples: list[Message], *, every_s: float = 10, devices: int = 1, **routes: Any) -> Cost:
    return cost_of_a_day(*settings(send, **routes), samples, every_s=every_s, devices=devices)


def test_a_day_of_a_device_that_tells_the_same_again_and_again() -> None:
    found = cost({"onChangeOf": "$body.t", "atLeastEverySecs": 600}, [told({"t": 20})])
    assert found.received == found.before.messages == 8640
    assert found.after.messages == 144


@pytest.mark.parametrize("devices", [1, 50])
def test_windows_and_batches_are_as_many_as_devices_say(devices: int) -> None:
    sample, often = [told({"t": 1})], 120.0
    aggregate = {"windowSecs": 720, "values": {"t": "$body.t"}}
    windows = cost({"aggregate": aggregate}, sample, devices=devices, every_s=often)
    assert windows.after.messages == pytest.approx(120 * devices)
    batches = cost({"batch": {"maxMessages": 6, "maxAgeSecs": 3600}}, sample, devices=devices, every_s=often)
    assert batches.after.messages == pytest.approx(120 * devices)
    assert batches.before.messages == pytest.approx(720 * devices)


def test_a_batch_of_all_devices_needs_all_of_them() -> None:
    send = {"batch": {"maxMessages": 100, "maxAgeSecs": 3600, "per": "route"}}
    found = cost(send, [told({"t": 1})], devices=50, every_s=120)
    assert found.after.messages == pytest.approx(360)


def test_what_goes_elsewhere_costs_nothing() -> None:
    elsewhere = 'FROM /messages/* INTO BrokeredEndpoint("/modules/m/inputs/i")'
    found = read_settings({"routes": {"r": elsewhere}})
    assert found.settings is not None
    assert found.table is not None
    bill = cost_of_a_day(found.settings, found.table, [told(1)], every_s=10, devices=1)
    assert (bill.before, bill.after) == (Bill(), Bill())


@pytest.mark.parametrize(
    ("size", "blocks", "free"),
    [(0, 1, 1), (1, 1, 1), (512, 1, 1), (513, 1, 2), (4096, 1, 8), (4097, 2, 9), (6144, 2, 12)],
)
def test_a_block_that_is_begun_counts(size: int, blocks: int, free: int) -> None:
    found = Bill().plus(size)
    assert (found.messages, found.size, found.blocks, found.free_blocks) == (1, size, blocks, free)


def test_a_message_is_measured_with_its_properties_and_what_the_gateway_adds() -> None:
    message = read_sample({"body": "x" * 100, "properties": {"kind": "climate"}, "device": "d1"})
    assert metered_bytes(message) == 100 + len("kindclimate") + len("leafDeviceId" + "d1") + 44
    named = read_sample({"body": "x", "systemProperties": {"messageId": "abc"}, "device": "d1"})
    assert metered_bytes(named) == 1 + len("leafDeviceId" + "d1") + 3
    assert BLOCK_BYTES == 4096
