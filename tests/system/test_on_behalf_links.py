"""The way on behalf of devices over real sockets, TLS and WebSocket, against the stand-in in the same process."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from edgewire.iothub import sas
from edgewire.message import UPSTREAM, Envelope, Message, Outcome, identity
from gateway.app.devices_upstream import DevicesUpstream, make_devices_upstream
from gateway.app.settings import read_environment
from gateway.dispatch.delivery import Delivery
from gateway.dispatch.methods import Methods
from gateway.dispatch.twins import Twins
from gateway.identity.registry import Registry
from gateway.identity.roster import Registration, Roster, SymmetricKeys
from gateway.observe.events import Event
from gateway.observe.upstream import BackRefused, DevicesWithoutPlace, LinkLost
from gateway.upstream.proxy import Sent
from standin.app import DEFAULT_HUB, Ports, StandIn
from support.amqp_back_world import Device
from support.amqp_tokens import Stored
from support.gateway_site import until

KEY = b"0123456789abcdef" * 2
PATIENCE_S = 60.0


class Line:
    """A stand-in, and the way there."""

    def __init__(self, hub: StandIn, ours: DevicesUpstream, events: list[Event]) -> None:
        self.hub = hub
        self.ours = ours
        self.events = events
        self.delivery, self.methods = Delivery(events.append, time.time), Methods(events.append)
        ours.bring_back(delivery=self.delivery, methods=self.methods, twins=Twins(events.append))

    def listen(self, device: str) -> Device:
        """One that takes messages and calls."""
        made = Device()
        self.delivery.subscribe(identity(device), made, 10)
        self.methods.subscribe(identity(device), made)
        return made

    def is_settled(self, devices: Iterable[str]) -> bool:
        """Whether no message waits at the hub."""
        return not any(self.hub.hub.c2d_waiting(identity(device)) for device in devices)

    def send(self, device: str, number: int) -> asyncio.Future[Sent]:
        envelope = Envelope(sender=identity(device), properties={"n": f"{number}"}, system={})
        return self.ours.proxy.send(Stored(f"{device}-{number}", Message(envelope, b"%d" % number)), UPSTREAM)

    async def accepted(self, *futures: asyncio.Future[Sent]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            outcomes = [sent.outcome for sent in await asyncio.gather(*futures)]
        assert set(outcomes) == {Outcome.ACCEPTED}


@asynccontextmanager
async def line(folder: Path, certificates: Path, address: str, count: int, **settings: str) -> AsyncIterator[Line]:
    events: list[Event] = []
    registry = Registry(folder / "devices.json")
    names = [f"d{number}" for number in range(count)]
    entries = {identity(name): Registration(identity(name), SymmetricKeys(KEY, KEY)) for name in names}
    registry.edit(lambda _before: Roster(entries))
    ports = Ports(mqtt=0, websocket=0, amqp=0)
    async with StandIn(folder / "hub", address=address, ports=ports, certificates=certificates) as hub:
        for name in names:
            hub.add_device(name, keys=(sas.encode_key(KEY),))
        port = hub.websocket_port if "GATEWAY_UPSTREAM_AMQP_TRANSPORT" in settings else hub.amqp_port
        environ = {
            "GATEWAY_DATA_DIR": str(folder),
            "GATEWAY_HUB_NAME": DEFAULT_HUB,
            "GATEWAY_UPSTREAM_AMQP": f"{address}:{port}",
            **settings,
        }
        ours = make_devices_upstream(
            read_environment(environ),
            environ,
            registry=registry,
            trust_pem=hub.trust_bundle.encode,
            emit=events.append,
            end=lambda _who: None,
        )
        assert ours is not None
        made = Line(hub, ours, events)
        running = asyncio.create_task(ours.run())
        try:
            await asyncio.wait_for(ours.proxy.connected(), PATIENCE_S)
            yield made
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_a_thousand_devices_leave_by_one_connection(
    tmp_path: Path, certificates: Path, loopback: Iterator[str]
) -> None:
    async with line(tmp_path, certificates, next(loopback), 1_000) as here:
        await here.accepted(*(here.send(f"d{device}", number) for number in range(3) for device in range(1_000)))
        assert here.ours.proxy.devices == 1_000
        events = await here.hub.events.wait(0, 3_000, timeout_s=PATIENCE_S)
        orders: dict[str, list[int]] = {}
        for event in events:
            orders.setdefault(event.device, []).append(int(event.body))
        assert orders == {f"d{device}": [0, 1, 2] for device in range(1_000)}
        assert not [event for event in here.events if isinstance(event, LinkLost)]


async def test_nine_hundred_devices_listen_on_one_connection_and_again_after_it_broke(
    tmp_path: Path, certificates: Path, loopback: Iterator[str]
) -> None:
    async with line(tmp_path, certificates, next(loopback), 1_000) as here:
        for turn in (1, 2):
            if turn == 1:
                devices = {f"d{number}": here.listen(f"d{number}") for number in range(900)}
            else:
                here.hub.drop_connections()
                await until(lambda: bool([event for event in here.events if isinstance(event, LinkLost)]))
                await asyncio.wait_for(here.ours.proxy.connected(), PATIENCE_S)
            for name in devices:
                here.hub.send_c2d(identity(name), name.encode())
            await here.accepted(*(here.send(f"d{device}", turn) for device in range(1_000)))
            await until(partial(have, devices, turn), PATIENCE_S)
            # Only what the hub knows to be settled does not come again on the next connection.
            await until(partial(here.is_settled, devices), PATIENCE_S)
        assert all(set(one.bodies) == {name.encode()} for name, one in devices.items())
        results = await asyncio.gather(*(call(here, f"d{number}") for number in range(0, 900, 30)))
        assert set(results) == {200}
        assert not [event for event in here.events if isinstance(event, DevicesWithoutPlace | BackRefused)]


def have(devices: Mapping[str, Device], each: int) -> bool:
    """Whether so many messages came to each."""
    return all(len(device.parcels) == each for device in devices.values())


async def call(here: Line, device: str) -> int:
    """The status of a call that is answered as soon as it has come."""
    who = identity(device)
    calling = asyncio.ensure_future(here.hub.hub.invoke_method(who, "ping", {}, connect_timeout_s=PATIENCE_S))
    recipient = here.methods._callees[who]
    assert isinstance(recipient, Device)
    await until(lambda: bool(recipient.calls))
    here.methods.answered(who, recipient.calls[0][0], 200, b"{}")
    return (await calling).status


async def test_it_leads_over_websocket(tmp_path: Path, certificates: Path, loopback: Iterator[str]) -> None:
    transport = {"GATEWAY_UPSTREAM_AMQP_TRANSPORT": "websocket"}
    async with line(tmp_path, certificates, next(loopback), 2, **transport) as here:
        await here.accepted(*(here.send(f"d{number % 2}", number) for number in range(2_000)))
        assert here.hub.events.count() == 2_000


async def test_tokens_are_renewed_and_the_links_stay(
    tmp_path: Path, certificates: Path, loopback: Iterator[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Renewed after two seconds of eight: a machine that holds all of this up for five lets none end.
    monkeypatch.setattr("gateway.identity.tokens.MINTED_S", 8)
    monkeypatch.setattr("gateway.upstream.amqp_seat.RENEW_BEFORE_S", 6.0)
    async with line(tmp_path, certificates, next(loopback), 1) as here:
        device = here.listen("d0")
        began_at = time.monotonic()
        number = 0
        while time.monotonic() - began_at < 9:  # longer than a token lives
            await here.accepted(here.send("d0", number))
            number += 1
            await asyncio.sleep(0.05)
        [seat] = here.ours.proxy.seats
        assert here.ours.proxy._lanes[identity("d0")].failures == 0
        assert seat.token.expires_at > time.time()
        here.hub.send_c2d(identity("d0"), b"still there")
        await until(lambda: device.bodies == [b"still there"])
        await until(lambda: here.hub.hub.c2d_waiting(identity("d0")) == 0)
        assert not [event for event in here.events if isinstance(event, LinkLost)]
        assert here.hub.events.count() == number
