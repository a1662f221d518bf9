"""An MQTT client in memory, on one line to the stand-in's hub: no socket, no TLS, its own clock."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgeca.authority import Authority
from edgewire.codec.mqtt import v3
from edgewire.codec.mqtt.connect import write_connect
from edgewire.codec.mqtt.frames import Bounds, FrameReader
from edgewire.codec.mqtt.packets import (
    Connack,
    Connect,
    Packet,
    PacketType,
    Publish,
    Suback,
    Subscribe,
    SubscribeFilter,
    Will,
)
from edgewire.iothub import sas
from edgewire.message import Identity
from edgewire.session.mqtt.events import ServerEvent
from edgewire.session.mqtt.server import ServerSession
from edgewire.transport.pump import Peer, Pump
from standin.admission import Admission
from standin.dps import Provisioning
from standin.hub import Hub
from standin.mqtt import LIMITS, MqttConnection
from standin.routes import EVERYTHING_UPSTREAM, Routes

HUB_NAME = "hub.test"
PATIENCE_S = 20.0


class Clock:
    """Seconds, moved by the test."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Line:
    """One connection: what the test sends, and what the hub's side wrote. Implements `transport.pump.Wire`."""

    def __init__(self, house: "House", certificates: tuple[bytes, ...] = ()) -> None:
        self.house = house
        self.closed = asyncio.Event()
        self.reading = True
        self.buffered = 0
        self._received: asyncio.Queue[Packet] = asyncio.Queue()
        self._frames = FrameReader(Bounds(PacketType, level=4, max_packet_bytes=1_000_000))
        self.session = ServerSession(LIMITS, house.clock.now)
        self.owner = MqttConnection(house.hub, house.admission, self.session, dps=house.dps, clock=house.wall_clock)
        peer = Peer(address="127.0.0.1", port=1, certificates=certificates)
        self.pump: Pump[ServerEvent] = Pump(self, self.session, self.owner, peer=peer, clock=house.clock)
        self.pump.begin()

    # Wire

    def write(self, data: bytes) -> None:
        self._frames.push(data)
        for first, body in self._frames.rest():
            self._received.put_nowait(v3.read(first, body))

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self.closed.is_set():
            self.closed.set()
            asyncio.get_running_loop().call_soon(self.pump.lost)

    def crash(self, error: Exception) -> None:
        raise error

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def wake_at(self, when: float) -> None:
        pass

    # What tests do

    def send(self, *packets: Packet) -> None:
        self.pump.receive(
            b"".join(write_connect(each) if isinstance(each, Connect) else v3.write(each) for each in packets)
        )

    async def receive(self) -> Packet:
        async with asyncio.timeout(PATIENCE_S):
            return await self._received.get()

    def received(self) -> list[Packet]:
        """What has come and was not fetched yet."""
        return [self._received.get_nowait() for _ in range(self._received.qsize())]

    async def until_closed(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.closed.wait()
        await asyncio.sleep(0)  # on_closed runs in the next turn

    async def login(
        self, who: Identity, *, clean: bool = True, will: Will | None = None, life_s: int = 3600
    ) -> Connack:
        """CONNECT with a good token."""
        self.send(self.house.connect(who, clean=clean, will=will, life_s=life_s))
        answer = await self.receive()
        assert isinstance(answer, Connack)
        return answer

    async def subscribe(self, *filters: str, qos: int = 1) -> tuple[int, ...]:
        """SUBSCRIBE. Returns the codes of the SUBACK."""
        self.send(Subscribe(packet_id=1, filters=tuple(SubscribeFilter(filter=each, qos=qos) for each in filters)))
        answer = await self.receive()
        assert isinstance(answer, Suback)
        return answer.codes

    def publish(self, topic: str, payload: bytes = b"x", packet_id: int = 0, *, retain: bool = False) -> None:
        """PUBLISH, with QoS 1 if there is a packet id."""
        self.send(Publish(topic, payload, 1 if packet_id else 0, retain, False, packet_id))


@dataclass(slots=True)
class House:
    """A hub with its registry, and lines to it."""

    hub: Hub
    admission: Admission
    clock: Clock
    wall_clock: Clock
    lines: list[Line]
    dps: Provisioning | None = None

    def line(self, certificates: tuple[bytes, ...] = ()) -> Line:
        line = Line(self, certificates)
        self.lines.append(line)
        return line

    def connect(self, who: Identity, *, clean: bool = True, will: Will | None = None, life_s: int = 3600) -> Connect:
        entry = self.hub.registry.get(who)
        assert entry is not None
        end = int(self.wall_clock.now) + life_s
        token = sas.make(sas.resource_of(HUB_NAME, who), entry.signing_keys()[0], end)
        return Connect(
            client_id=str(who),
            level=4,
            clean_start=clean,
            keep_alive_s=60,
            will=will,
            username=f"{HUB_NAME}/{who}/?api-version=2021-04-12",
            password=token.encode(),
        )

    async def close(self) -> None:
        for line in self.lines:
            line.abort()
        await asyncio.sleep(0)
        self.hub.close()


def house(
    directory: Path,
    *,
    edge_device: str,
    routes: Routes = EVERYTHING_UPSTREAM,
    show: Callable[[str], None] | None = None,
) -> House:
    """A hub over this directory, and nobody in it."""
    wall_clock = Clock(1_800_000_000.0)
    hub = Hub(directory, edge_device=edge_device, routes=routes, show=show)
    authority = Authority.create("Test")
    admission = Admission(
        hub.registry,
        hub.policies,
        hub_names=frozenset({HUB_NAME}),
        authorities=(authority.root.certificate,),
        clock=wall_clock,
    )
    return House(hub=hub, admission=admission, clock=Clock(0.0), wall_clock=wall_clock, lines=[])
