import asyncio
import json
from pathlib import Path

import pytest

from edgewire.iothub.amqp.addresses import Purpose
from edgewire.iothub.amqp.twins import TwinOperation, TwinRequest
from edgewire.message import Identity, identity
from gateway.dispatch.twins import TwinCloudAwayError, TwinRefusedError
from gateway.observe.upstream import BackKind, BackRefused
from gateway.upstream.amqp_proxy import AmqpTimes
from support.amqp_back_world import D1, D2, Device, back_world

GET, REPORT, SUBSCRIBE, UNSUBSCRIBE = TwinOperation


async def test_a_twin_is_read_over_links_of_its_device_which_go_when_they_are_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.upstream.amqp_back_twins.IDLE_S", 0.05)
    async with back_world(tmp_path) as here:
        reply = await here.get_twin(D1)
        assert reply.status == 200
        assert json.loads(reply.document) == {"desired": {"$version": 1}, "reported": {"$version": 1}}
        assert here.hub.back.operations(D1) == [GET]
        one, two = here.hub.back.pairs[D1, Purpose.TWIN]
        assert one == two
        assert one.startswith("twin:")
        await here.until(lambda: here.proxy.devices == 0)
        await here.until(lambda: not here.hub.back.is_attached(D1, Purpose.TWIN))


async def test_a_report_has_the_version_that_the_cloud_gave_it(tmp_path: Path) -> None:
    async with back_world(tmp_path) as here:
        first = await here.report(D1, b'{"led":"on"}')
        second = await here.report(D1, b'{"led":null}')
        assert [(reply.status, reply.version) for reply in (first, second)] == [(204, 2), (204, 3)]
        assert here.hub.back.twins[D1].reported == [{"led": "on"}, {"led": None}]


async def test_who_watches_hears_of_changes_until_it_does_not_any_more(tmp_path: Path) -> None:
    async with back_world(tmp_path) as here:
        device = Device()
        here.twins.subscribe(D1, device)
        await here.until(lambda: here.hub.back.operations(D1) == [SUBSCRIBE, GET])
        here.hub.back.desire(D1, led="on")
        await here.until(lambda: device.changes and device.changes[-1][1] == 2)
        patch, version = device.changes[-1]
        assert (json.loads(patch), version) == ({"led": "on", "$version": 2}, 2)
        here.twins.unsubscribe(D1, device)
        await here.until(lambda: here.hub.back.operations(D1)[-1] is UNSUBSCRIBE)


async def test_after_a_lost_connection_the_watch_stands_again_and_the_twin_is_read(tmp_path: Path) -> None:
    async with back_world(tmp_path) as here:
        device = Device()
        here.twins.subscribe(D1, device)
        await here.until(lambda: here.hub.back.operations(D1) == [SUBSCRIBE, GET])
        here.hub.drop()
        here.hub.back.twins[D1].version = 5
        await here.until(lambda: here.hub.back.operations(D1)[2:] == [SUBSCRIBE, GET])
        await here.until(lambda: device.changes and device.changes[-1][1] == 5)
        one, two, three, four = here.hub.back.pairs[D1, Purpose.TWIN]
        assert one == two != three == four


async def test_reports_made_while_the_cloud_is_away_are_sent_when_it_is_back(tmp_path: Path) -> None:
    async with back_world(tmp_path) as here:
        await here.get_twin(D1)
        here.go.clear()
        here.hub.drop()
        await here.until(lambda: here.proxy.link() is None)
        assert not here.cloud.is_up(D1)
        assert (await here.report(D1, b'{"led":"on"}')).status == 204
        assert (await here.report(D1, b'{"fan":1}')).status == 204
        here.go.set()
        await here.until(lambda: here.hub.back.twins[D1].reported)
        assert here.hub.back.twins[D1].reported == [{"led": "on", "fan": 1}]


async def test_a_request_whose_link_goes_has_no_answer(tmp_path: Path) -> None:
    async with back_world(tmp_path) as here:
        here.hub.back.twin_judge = lambda _who, _request: None
        reading = asyncio.ensure_future(here.cloud.read(D1))
        await here.until(lambda: here.hub.back.requests)
        here.hub.back.detach(D1, Purpose.TWIN)
        with pytest.raises(TwinCloudAwayError):
            await reading


async def test_a_request_without_an_answer_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.amqp_back_twins.ANSWER_S", 0.05)
    async with back_world() as here:
        here.hub.back.twin_judge = lambda _who, _request: None
        with pytest.raises(TwinCloudAwayError):
            await here.cloud.read(D1)
        monkeypatch.setattr("gateway.upstream.amqp_back_twins.ANSWER_S", 30.0)
        here.hub.back.twin_judge = lambda _who, _request: 200
        assert json.loads(await here.cloud.read(D1))["desired"] == {"$version": 1}


async def test_a_refused_request_tells_its_status() -> None:
    async with back_world() as here:
        here.hub.back.twin_judge = lambda _who, _request: 429
        with pytest.raises(TwinRefusedError, match="status 429") as refused:
            await here.cloud.report(D1, b"{}")
        assert refused.value.status == 429


async def test_a_report_larger_than_the_other_end_takes_is_refused_here() -> None:
    async with back_world() as here:
        here.hub.back.max_message_size = 1_000
        with pytest.raises(TwinRefusedError, match="the cloud's link takes 1000"):
            await here.cloud.report(D1, b'{"long":"%s"}' % (b"x" * 1_000))
        assert await here.cloud.report(D1, b'{"short":1}') == 2


async def test_requests_wait_for_credit() -> None:
    async with back_world() as here:
        here.hub.back.credit = 1
        versions = await asyncio.gather(*(here.cloud.report(D1, b'{"n":%d}' % number) for number in range(5)))
        assert versions == [2, 3, 4, 5, 6]


async def test_answers_are_told_apart_by_their_ids() -> None:
    async with back_world() as here:
        reports = [here.cloud.report(who, b'{"n":%d}' % number) for who in (D1, D2) for number in range(5)]
        versions = await asyncio.gather(*reports)
        assert sorted(filter(None, versions)) == [2, 2, 3, 3, 4, 4, 5, 5, 6, 6]


async def test_a_device_without_a_token_is_away_at_once_and_told_once() -> None:
    async with back_world() as here:
        here.keys.without.add("d1")
        for _ in range(3):
            with pytest.raises(TwinCloudAwayError):
                await here.cloud.read(D1)
        assert not here.cloud.is_up(D1)
        [told] = here.seen(BackRefused)
        assert (told.kind, told.device) == (BackKind.TWINS, "d1")
        here.keys.without.clear()
        here.proxy.on_token(D1)
        await here.until(lambda: here.cloud.is_up(D1))
        assert await here.cloud.read(D1)


async def test_a_watch_that_is_refused_or_not_answered_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.upstream.amqp_back_strand.RETRY_FIRST_S", 0.01)
    async with back_world(tmp_path) as here:
        answers: list[int | None] = [500, None, 200]

        def judge(_who: Identity, request: TwinRequest) -> int | None:
            if request.operation is not SUBSCRIBE:
                return 200
            answer = answers.pop(0)
            # What waits for the second answer does not wait long; the others have time, whatever holds them up.
            monkeypatch.setattr("gateway.upstream.amqp_back_twins.OPEN_S", 0.02 if answer == 500 else 20.0)
            return answer

        here.hub.back.twin_judge = judge
        here.twins.subscribe(D1, Device())
        await here.until(lambda: here.hub.back.operations(D1) == [SUBSCRIBE, SUBSCRIBE, SUBSCRIBE, GET])


async def test_idle_links_make_room_and_those_that_watch_do_not(tmp_path: Path) -> None:
    async with back_world(tmp_path, max_devices=3, times=AmqpTimes(tend_s=0.01)) as here:
        watcher = Device()
        here.twins.subscribe(identity("watches"), watcher)
        await here.until(lambda: here.hub.back.operations(identity("watches")) == [SUBSCRIBE, GET])
        for number in range(5):
            assert (await here.get_twin(identity(f"reads{number}"))).status == 200
        assert here.hub.back.is_attached(identity("watches"), Purpose.TWIN)
        assert here.proxy.devices <= 3
