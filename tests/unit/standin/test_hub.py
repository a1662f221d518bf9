import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edgewire.iothub.bag import Bag
from edgewire.message import Envelope, Identity, Message, identity
from standin import inputs
from standin.devicebound import C2dMessage, Locked
from standin.documents import JsonObject
from standin.errors import HubError
from standin.hub import Closing, Hub, MethodError, MethodResult
from standin.locked import Settlement
from standin.registry import RegistryError, symmetric_entry
from standin.routes import EVERYTHING_UPSTREAM, parse_routes
from standin.twins import TwinError

EDGE = identity("edge-1")
M1 = identity("edge-1", "m1")
M2 = identity("edge-1", "m2")
LEAF = identity("leaf")
C2D = C2dMessage(Bag({}, {}), b"on")
TO_M2 = parse_routes(
    {
        "in": 'FROM /messages/modules/m1/outputs/local INTO BrokeredEndpoint("/modules/m2/inputs/in1")',
        "both": 'FROM /messages/modules/m1/outputs/both INTO BrokeredEndpoint("/modules/m2/inputs/in1")',
        "up": "FROM /messages/modules/m1/outputs/both INTO $upstream",
    }
)


class FakeClient:
    """A client that takes everything."""

    def __init__(self, hub: Hub, who: Identity) -> None:
        self.hub = hub
        self.identity = who
        self.takes_methods = True
        self.called = asyncio.Event()
        self.closed: list[Closing] = []
        self.aborted = 0
        self.desired: list[JsonObject] = []
        self.methods: list[tuple[str, str, bytes]] = []
        self.inputs: list[inputs.Delivery] = []
        self.messages: list[Locked] = []

    def close(self, reason: Closing) -> None:
        self.closed.append(reason)

    def abort(self) -> None:
        self.aborted += 1

    def send_desired(self, patch: JsonObject) -> None:
        self.desired.append(patch)

    def send_method(self, request_id: str, name: str, payload: bytes) -> bool:
        if self.takes_methods:
            self.methods.append((request_id, name, payload))
            self.called.set()
        return self.takes_methods

    def send_inputs(self) -> None:
        while delivery := self.hub.inputs.take(self.identity):
            self.inputs.append(delivery)

    def send_devicebound(self) -> None:
        while locked := self.hub.lock_c2d(self.identity, self):
            self.messages.append(locked)


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    hub = Hub(tmp_path, edge_device="edge-1", routes=TO_M2)
    for who in (EDGE, M1, M2, LEAF):
        hub.add(symmetric_entry(who))
    yield hub
    hub.close()


def connected(hub: Hub, who: Identity) -> FakeClient:
    client = FakeClient(hub, who)
    hub.connect(client)
    return client


def message(sender: Identity, output: str | None = None) -> Message:
    system = {"connectionDeviceId": str(sender.device)}
    if output is not None:
        system["outputName"] = output
    return Message(Envelope(sender=sender, properties={}, system=system), b"body")


async def received(hub: Hub, sent: Message) -> bool:
    answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    hub.receive(sent, answer.set_result)
    async with asyncio.timeout(30):
        return await answer


async def test_a_device_goes_upstream_whatever_the_routes_say(hub: Hub) -> None:
    assert await received(hub, message(LEAF))
    assert [event.device for event in hub.events.read()] == ["leaf"]


async def test_a_modules_output_goes_where_the_routes_say(hub: Hub) -> None:
    m2 = connected(hub, M2)
    assert await received(hub, message(M1, "local"))
    assert hub.events.count() == 0
    assert await received(hub, message(M1, "both"))
    assert hub.events.count() == 1
    assert [delivery.input for delivery in m2.inputs] == ["in1", "in1"]


async def test_what_no_route_takes_is_acknowledged_and_counted(hub: Hub) -> None:
    assert await received(hub, message(M1, "elsewhere"))
    assert hub.counters["messages unrouted"] == 1
    assert hub.events.count() == 0


async def test_a_batch_is_kept_whole_in_its_order(hub: Hub) -> None:
    answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    outputs = ["both", "local", "elsewhere", "both"]
    hub.receive_batch([message(M1, output) for output in outputs], answer.set_result)
    assert await answer
    assert [event.output for event in hub.events.read()] == ["both", "both"]
    assert hub.inputs.waiting(M2) == 3
    assert hub.counters["messages unrouted"] == 1


async def test_a_batch_that_does_not_fit_is_refused_whole(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_WAITING", 2)
    answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    hub.receive_batch([message(M1, "both") for _ in range(3)], answer.set_result)
    assert not await answer
    assert (hub.events.count(), hub.inputs.waiting(M2)) == (0, 0)
    assert hub.counters["messages refused: input full"] == 3


async def test_what_comes_in_one_turn_is_one_write_and_each_sender_hears_of_its_own(hub: Hub) -> None:
    answers = [asyncio.get_running_loop().create_future() for _ in range(3)]
    for answer, who in zip(answers, (LEAF, M1, LEAF), strict=True):
        hub.receive(message(who, "local"), answer.set_result)
    assert await asyncio.gather(*answers) == [True, True, True]
    assert [event.sequence for event in hub.events.read()] == [1, 2]
    assert hub.inputs.waiting(M2) == 1


async def test_what_came_in_the_last_turn_is_kept_when_the_hub_closes(tmp_path: Path) -> None:
    hub = Hub(tmp_path, edge_device="edge-1", routes=EVERYTHING_UPSTREAM)
    hub.receive(message(LEAF), lambda _: None)
    hub.close()
    again = Hub(tmp_path, edge_device="edge-1", routes=EVERYTHING_UPSTREAM)
    assert again.events.count() == 1
    again.close()


class FakeLine:
    """A connection of many, with one client on it."""

    def __init__(self, hub: Hub) -> None:
        self.client = connected(hub, LEAF)
        self.hub = hub
        self.said: list[object] = []
        hub.join(self)

    def close(self, reason: Closing) -> None:
        self.said.append(reason)

    def abort(self) -> None:
        self.said.append("abort")
        self.hub.disconnect(self.client)
        self.hub.leave(self)

    def withdraw(self, who: Identity) -> None:
        self.said.append(who)


async def test_a_line_of_many_hears_who_is_no_longer_allowed_and_is_cut_once(hub: Hub) -> None:
    line, alone = FakeLine(hub), connected(hub, M1)
    hub.set_enabled(LEAF, enabled=False)
    assert (line.said, line.client.closed) == ([LEAF], [Closing.NO_LONGER_ALLOWED])
    assert hub.drop_connections() == 2
    assert (line.said[1:], line.client.aborted, alone.aborted) == (["abort"], 0, 1)
    line = FakeLine(hub)
    hub.close()
    assert line.said == [Closing.SHUT_DOWN]


async def test_what_waits_for_a_module_comes_when_it_connects_and_again_if_it_was_not_settled(hub: Hub) -> None:
    await received(hub, message(M1, "local"))
    first = connected(hub, M2)
    first.send_inputs()
    assert len(first.inputs) == 1
    hub.disconnect(first)
    second = connected(hub, M2)
    second.send_inputs()
    assert second.inputs == first.inputs
    hub.settle(second.inputs[0])
    assert hub.inputs.waiting(M2) == 0


async def test_a_full_input_refuses_the_message_whole(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_WAITING", 1)
    assert await received(hub, message(M1, "local"))
    assert not await received(hub, message(M1, "both"))
    assert hub.events.count() == 0


async def test_the_newer_connection_of_an_identity_displaces_the_older(hub: Hub) -> None:
    older = connected(hub, LEAF)
    newer = connected(hub, LEAF)
    assert older.closed == [Closing.TAKEN_OVER]
    hub.disconnect(older)
    assert hub.connected() == (LEAF,)
    hub.disconnect(newer)
    assert hub.connected() == ()


async def test_disabling_and_removing_end_connections(hub: Hub) -> None:
    leaf, m1, m2 = connected(hub, LEAF), connected(hub, M1), connected(hub, M2)
    hub.set_enabled(LEAF, enabled=False)
    hub.set_enabled(M1, enabled=False)
    hub.set_enabled(EDGE, enabled=False)
    assert leaf.closed == [Closing.NO_LONGER_ALLOWED]
    assert m2.closed == [Closing.NO_LONGER_ALLOWED]
    hub.set_enabled(EDGE, enabled=True)
    hub.remove(EDGE)
    assert m1.closed[0] is Closing.NO_LONGER_ALLOWED
    assert hub.registry.get(M1) is None


async def test_a_desired_patch_is_notified_with_its_version_inside(hub: Hub) -> None:
    leaf = connected(hub, LEAF)
    version = hub.patch_desired(LEAF, {"a": 1, "$version": 99})
    assert leaf.desired == [{"a": 1, "$version": version}]
    with pytest.raises(TwinError):
        hub.patch_desired(LEAF, {"a b": 1})


async def test_a_method_returns_what_the_device_answers(hub: Hub) -> None:
    leaf = connected(hub, LEAF)
    call = asyncio.create_task(hub.invoke_method(LEAF, "reboot", {"in": 1}))
    async with asyncio.timeout(30):
        await leaf.called.wait()
    request_id, name, payload = leaf.methods[0]
    assert (name, payload) == ("reboot", b'{"in":1}')
    hub.method_answered(M1, request_id, MethodResult(500, b"not the one asked"))
    hub.method_answered(LEAF, request_id, MethodResult(200, b"{}"))
    assert await call == MethodResult(200, b"{}")
    hub.method_answered(LEAF, request_id, MethodResult(200, b"late"))
    assert hub.counters["method answers nobody waits for"] == 2


async def test_a_method_for_an_absent_device_is_404103(hub: Hub) -> None:
    with pytest.raises(MethodError) as caught:
        await hub.invoke_method(LEAF, "reboot")
    assert caught.value.code == 404103


async def test_a_method_waits_for_a_device_that_subscribes_in_time(hub: Hub) -> None:
    leaf = connected(hub, LEAF)
    leaf.takes_methods = False
    call = asyncio.create_task(hub.invoke_method(LEAF, "reboot", connect_timeout_s=60))
    await asyncio.sleep(0)
    leaf.takes_methods = True
    hub.client_changed()
    async with asyncio.timeout(30):
        await leaf.called.wait()
    hub.method_answered(LEAF, leaf.methods[0][0], MethodResult(200, b""))
    assert (await call).status == 200


async def test_a_device_that_does_not_answer_is_504101(hub: Hub) -> None:
    connected(hub, LEAF)
    with pytest.raises(MethodError) as caught:
        await hub.invoke_method(LEAF, "reboot", response_timeout_s=0.01)
    assert caught.value.code == 504101


@pytest.mark.parametrize(("name", "payload"), [("", None), ("n" * 101, None), ("n", "x" * 128 * 1024)])
async def test_a_method_beyond_the_limits_is_not_sent(hub: Hub, name: str, payload: Any) -> None:
    leaf = connected(hub, LEAF)
    with pytest.raises(MethodError) as caught:
        await hub.invoke_method(LEAF, name, payload)
    assert caught.value.code // 1000 == 400
    assert leaf.methods == []


async def test_a_message_goes_to_who_is_there_and_waits_for_who_is_not(hub: Hub) -> None:
    first = connected(hub, LEAF)
    assert hub.send_c2d(LEAF, C2D) == 1
    (locked,) = first.messages
    hub.settle_c2d(LEAF, locked.lock_token, Settlement.COMPLETED)
    hub.disconnect(first)
    hub.send_c2d(LEAF, C2D)
    assert (hub.c2d_waiting(LEAF), len(first.messages)) == (1, 1)
    assert (hub.purge_c2d(LEAF), hub.c2d_waiting(LEAF)) == (1, 0)


async def test_a_message_for_nobody_is_404001(hub: Hub) -> None:
    with pytest.raises(HubError) as raised:
        hub.send_c2d(identity("nobody"), C2D)
    assert raised.value.code == 404001


async def test_who_takes_over_gets_what_the_older_had_not_settled(hub: Hub) -> None:
    older = connected(hub, LEAF)
    hub.send_c2d(LEAF, C2D)
    newer = connected(hub, LEAF)
    newer.send_devicebound()
    assert [each.sequence_number for each in (*older.messages, *newer.messages)] == [1, 1]
    hub.disconnect(older)
    hub.settle_c2d(LEAF, newer.messages[0].lock_token, Settlement.COMPLETED)


async def test_what_is_given_back_is_sent_again(hub: Hub) -> None:
    client = connected(hub, LEAF)
    hub.send_c2d(LEAF, C2D)
    hub.settle_c2d(LEAF, client.messages[0].lock_token, Settlement.ABANDONED)
    await asyncio.sleep(0)
    assert [each.delivery_count for each in client.messages] == [0, 1]


async def test_a_removed_device_has_no_messages_when_it_comes_back(hub: Hub) -> None:
    hub.send_c2d(LEAF, C2D)
    hub.remove(LEAF)
    hub.add(symmetric_entry(LEAF))
    assert (hub.c2d_waiting(LEAF), hub.send_c2d(LEAF, C2D)) == (0, 1)


async def test_a_stalled_hub_sends_nothing(hub: Hub) -> None:
    leaf, m2 = connected(hub, LEAF), connected(hub, M2)
    hub.faults.stalled = True
    hub.patch_desired(LEAF, {"a": 1})
    await received(hub, message(M1, "local"))
    with pytest.raises(MethodError) as caught:
        await hub.invoke_method(LEAF, "reboot", response_timeout_s=0.01)
    assert caught.value.code == 504101
    assert (leaf.desired, leaf.methods, m2.inputs) == ([], [], [])


async def test_dropping_cuts_everybody(hub: Hub) -> None:
    clients = [connected(hub, LEAF), connected(hub, M1)]
    assert hub.drop_connections() == 2
    assert [client.aborted for client in clients] == [1, 1]


async def test_a_person_may_leave_out_the_edge_device(hub: Hub) -> None:
    assert hub.resolve("m1") == M1
    assert hub.resolve("edge-1/m2") == M2
    assert hub.resolve("leaf") == LEAF
    for text in ("nobody", "leaf/m1", ""):
        with pytest.raises(RegistryError):
            hub.resolve(text)


async def test_sessions_events_and_the_secret_survive_a_restart(tmp_path: Path) -> None:
    hub = Hub(tmp_path, edge_device="edge-1", routes=EVERYTHING_UPSTREAM)
    hub.store_session(LEAF, {"f": 1})
    hub.store_session(M1, {})
    hub.forget_session(M1)
    await received(hub, message(LEAF))
    secret = hub.secret()
    hub.close()
    again = Hub(tmp_path, edge_device="edge-1", routes=EVERYTHING_UPSTREAM)
    assert again.session(LEAF) == {"f": 1}
    assert again.session(M1) is None
    assert again.events.count() == 1
    assert again.secret() == secret
    again.close()


async def test_lines_are_shown_to_who_asks(tmp_path: Path) -> None:
    lines: list[str] = []
    hub = Hub(tmp_path, edge_device="edge-1", routes=EVERYTHING_UPSTREAM, show=lines.append)
    hub.note("hello")
    hub.note("\x1b[2J\n")
    await received(hub, message(LEAF))
    hub.close()
    assert lines[0] == "hello"
    assert lines[1] == r"\x1b[2J\n"
    assert lines[2].endswith("#1 leaf body")
