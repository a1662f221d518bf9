import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from edgewire.iothub.limits import MAX_C2D_MESSAGE_BYTES
from edgewire.message import Identity, identity
from gateway.app import page_deeds
from gateway.app.page_deeds import NO_SERVICE, Deeds, named, shown_twin
from gateway.dashboard.answers import NotAnsweredError
from gateway.dispatch.delivery import Delivery, Parcel, Settlement
from gateway.dispatch.methods import Methods
from gateway.dispatch.twins import Twins
from gateway.twin.opening import open_store
from gateway.twin.store import TwinStore
from support.twin_cloud import FakeTwinCloud

D1 = identity("d1")
DEEP = orjson.loads("[" * 500 + "]" * 500)  # can be read, and not written


class Device:
    """Settles each message as it is told, and answers each method with its payload."""

    def __init__(self, methods: Methods) -> None:
        self._methods = methods
        self.settlement: Settlement | None = Settlement.COMPLETED
        self.parcels: list[Parcel] = []
        self.answer: bytes | None = None

    def deliver(self, parcel: Parcel) -> None:
        self.parcels.append(parcel)
        if self.settlement is not None:
            asyncio.get_running_loop().call_soon(parcel.settle, self.settlement)

    def call(self, rid: str, _name: str, payload: bytes) -> bool:
        self._methods.answered(D1, rid, 201, payload if self.answer is None else self.answer)
        return True


class Service:
    """The hub's service API, as a test wants it."""

    def __init__(self) -> None:
        self.error: NotAnsweredError | None = None
        self.patched: list[Any] = []

    async def twin(self, who: Identity) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        return {"from": "hub", "who": str(who)}

    async def patch_desired(self, who: Identity, desired: Mapping[str, Any], etag: str | None) -> dict[str, Any]:
        self.patched.append((str(who), desired, etag))
        return {"from": "hub"}


class House:
    def __init__(self) -> None:
        self.delivery = Delivery(lambda _: None, lambda: 0.0)
        self.methods = Methods(lambda _: None)
        self.device = Device(self.methods)
        self.service = Service()

    def deeds(self, *, twins: Twins | None = None, with_service: bool = False) -> Deeds:
        service: Any = self.service if with_service else NO_SERVICE
        return Deeds(delivery=self.delivery, methods=self.methods, twins=twins, service=service)

    def listen(self, window: int = 10) -> None:
        self.delivery.subscribe(D1, self.device, window)
        self.methods.subscribe(D1, self.device)


@pytest.fixture
def house() -> House:
    return House()


@pytest.mark.parametrize(
    ("settlement", "said"),
    [(Settlement.COMPLETED, "accepted"), (Settlement.REJECTED, "rejected"), (Settlement.ABANDONED, "released")],
)
async def test_what_the_device_makes_of_a_message_is_told(house: House, settlement: Settlement, said: str) -> None:
    house.listen()
    house.device.settlement = settlement
    asked = {"body": {"led": "on"}, "properties": {"a": "b"}, "contentType": "application/json"}
    assert await house.deeds().send(D1, asked) == {"settled": said}
    (parcel,) = house.device.parcels
    message = parcel.message
    assert (message.body, message.bag.properties) == (b'{"led":"on"}', {"a": "b"})
    assert message.bag.system["contentType"] == "application/json"
    assert message.lock_token
    assert message.bag.system["messageId"]


async def test_a_message_that_nobody_settles_in_time_is_told_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_deeds, "SETTLED_S", 0.02)
    house.listen()
    house.device.settlement = None
    assert await house.deeds().send(D1, {"body": "x"}) == {"settled": "timeout"}
    assert house.device.parcels[0].settle(Settlement.COMPLETED)  # late, and nobody is hurt


async def test_who_is_away_or_has_its_hands_full_gets_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    deeds = house.deeds()
    with pytest.raises(NotAnsweredError, match="nothing is stored") as away:
        await deeds.send(D1, {"body": "x"})
    assert away.value.status == 409
    monkeypatch.setattr(page_deeds, "SETTLED_S", 0.02)
    house.listen(window=1)
    house.device.settlement = None
    await deeds.send(D1, {"body": "x"})
    with pytest.raises(NotAnsweredError, match="as many unsettled messages as it takes"):
        await deeds.send(D1, {"body": "y"})


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        ({"body": "x" * (MAX_C2D_MESSAGE_BYTES + 1)}, 413, "65536 are allowed"),
        ({"body": "x" * 1_000, "properties": {"p": "y" * MAX_C2D_MESSAGE_BYTES}}, 413, "65536 are allowed"),
        ({"bodyBase64": "!"}, 400, "no base64"),
        ({"bodyBase64": "é"}, 400, "no base64"),
        ({"body": DEEP}, 400, "body is nested too deeply"),
        ({"properties": ["a"]}, 400, "object of texts"),
        ({"properties": {"a": 5}}, 400, "object of texts"),
        ({"properties": {"$.to": "x"}}, 400, "the hub's own"),
        ({"properties": {"iothub-ack": "full"}}, 400, "the hub's own"),
        ({"properties": {"a\nb": "x"}}, 400, "no name"),
    ],
)
async def test_a_message_that_is_none_is_refused(house: House, asked: dict[str, Any], status: int, words: str) -> None:
    house.listen()
    with pytest.raises(NotAnsweredError, match=words) as refused:
        await house.deeds().send(D1, asked)
    assert refused.value.status == status
    assert house.device.parcels == []


async def test_few_wait_at_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_deeds, "MAX_DEEDS", 1)
    monkeypatch.setattr(page_deeds, "SETTLED_S", 0.1)
    house.listen()
    house.device.settlement = None
    deeds = house.deeds()
    results = await asyncio.gather(
        deeds.send(D1, {"body": "x"}), deeds.call(D1, {"method": "blink"}), return_exceptions=True
    )
    assert results[0] == {"settled": "timeout"}
    assert isinstance(results[1], NotAnsweredError)
    assert results[1].status == 429
    assert (await deeds.call(D1, {"method": "blink"}))["status"] == 201


@pytest.mark.parametrize(
    ("answer", "payload"),
    [
        (None, {"n": 1}),
        (b"", None),
        (b"\xffno json", "\ufffdno json"),
        (b"[" * 300 + b"]" * 300, "[" * 300 + "]" * 300),
    ],
)
async def test_a_method_is_answered_by_the_device(house: House, answer: bytes | None, payload: Any) -> None:
    house.listen()
    house.device.answer = answer
    asked = {"method": "blink", "payload": {"n": 1}, "timeoutSecs": 5}
    assert await house.deeds().call(D1, asked) == {"status": 201, "payload": payload}


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"method": "x"}, 404),
        ({"method": ""}, 400),
        ({}, 400),
        ({"method": "x", "timeoutSecs": "5"}, 400),
        ({"method": "x", "timeoutSecs": True}, 400),
        ({"method": "x", "timeoutSecs": 1}, 400),
        ({"method": "x", "timeoutSecs": 1e9}, 400),
        ({"method": "x", "payload": DEEP}, 400),
    ],
)
async def test_a_method_that_cannot_be_called_says_why(house: House, asked: dict[str, Any], status: int) -> None:
    with pytest.raises(NotAnsweredError) as refused:
        await house.deeds().call(D1, asked)
    assert refused.value.status == status


# Twins.


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[TwinStore]:
    store = await open_store(tmp_path / "twins.db", None, lambda _: None)
    yield store
    await store.close()


@pytest.fixture
async def twins(store: TwinStore) -> AsyncIterator[Twins]:
    """Twins that have a mirror of d1."""
    twins = Twins(lambda _: None)
    twins.use(FakeTwinCloud(twins))
    twins.keep_in(store)
    running = asyncio.ensure_future(twins.run())
    read: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    twins.get(D1, lambda reply: read.set_result(reply.status))
    assert await read == 200
    yield twins
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_twin_comes_from_the_hub_where_that_can_be_asked(house: House) -> None:
    assert await house.deeds(with_service=True).twin(D1) == {"from": "hub", "who": "d1"}


async def test_without_the_hub_the_mirror_is_shown_with_the_reason(house: House, twins: Twins) -> None:
    shown = await house.deeds(twins=twins).twin(D1)
    assert (shown["from"], shown["desired"], shown["problem"]) == ("mirror", {}, NO_SERVICE)
    assert shown["versions"]["desired"] == 1
    house.service.error = NotAnsweredError(502, "the hub cannot be reached: no route to host")
    shown = await house.deeds(twins=twins, with_service=True).twin(D1)
    assert (shown["from"], shown["problem"]) == ("mirror", "the hub cannot be reached: no route to host")


async def test_a_twin_that_nobody_has_says_why(house: House, twins: Twins) -> None:
    with pytest.raises(NotAnsweredError, match="has not heard of a twin of 'd2'") as unknown:
        await house.deeds(twins=twins).twin(identity("d2"))
    assert unknown.value.status == 404
    with pytest.raises(NotAnsweredError, match="keeps no twins") as none:
        await house.deeds().twin(D1)
    assert none.value.status == 409
    for error in (NotAnsweredError(404, "the hub knows no 'd1'"), NotAnsweredError(502, "it is away")):
        house.service.error = error
        with pytest.raises(NotAnsweredError, match=str(error)):
            await house.deeds(with_service=True, twins=twins if error.status == 404 else None).twin(D1)


async def test_a_mirror_that_cannot_be_read_says_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    starting = Twins(lambda _: None)
    with pytest.raises(NotAnsweredError, match="cannot be read now: the gateway has just started") as refused:
        await house.deeds(twins=starting).twin(D1)
    assert refused.value.status == 503
    monkeypatch.setattr(page_deeds, "MIRROR_S", 0.01)
    monkeypatch.setattr(Twins, "mirrored", lambda *_: asyncio.sleep(60))
    with pytest.raises(NotAnsweredError, match="was not read within"):
        await house.deeds(twins=starting).twin(D1)


async def test_desired_properties_are_changed_in_the_hub_alone(house: House) -> None:
    deeds = house.deeds(with_service=True)
    await deeds.edit_twin(D1, {"desired": {"rate": 5}})
    await deeds.edit_twin(D1, {"desired": {"rate": None}, "etag": "AAA="})
    assert house.service.patched == [("d1", {"rate": 5}, None), ("d1", {"rate": None}, "AAA=")]
    bad: list[dict[str, Any]] = [{}, {"desired": []}, {"desired": {}, "etag": 5}, {"desired": {"a": DEEP}}]
    for asked in bad:
        with pytest.raises(NotAnsweredError) as refused:
            await deeds.edit_twin(D1, asked)
        assert refused.value.status == 400
    with pytest.raises(NotAnsweredError, match="GATEWAY_SERVICE_CONNECTION_STRING"):
        await house.deeds().edit_twin(D1, {"desired": {}})


def test_a_name_is_of_a_device_or_a_module() -> None:
    assert named("d1") == identity("d1")
    assert named("d1/m1") == identity("d1", "m1")


def test_a_twin_is_shown_without_what_is_the_hubs_own() -> None:
    document = {"desired": {"a": 1, "$version": 3, "$metadata": {}}, "reported": None}
    assert shown_twin(document, "hub") == {
        "desired": {"a": 1},
        "reported": {},
        "versions": {"desired": 3, "reported": None},
        "etag": None,
        "from": "hub",
    }
