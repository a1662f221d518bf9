"""A gateway's MQTT head in memory: real registry, routes, store and sessions, and devices without sockets."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from edgewire.codec.mqtt import v3, v5
from edgewire.codec.mqtt.frames import FrameReader
from edgewire.codec.mqtt.packets import (
    Connack,
    Connect,
    Packet,
    Publish,
    Subscribe,
    SubscribeFilter,
    Will,
)
from edgewire.codec.mqtt.properties import ConnectProperties, PublishProperties
from edgewire.iothub import sas
from edgewire.message import UPSTREAM, Endpoint, identity
from edgewire.session.mqtt.limits import ServerLimits
from edgewire.transport.pump import Peer, Pump
from gateway.dispatch.delivery import Delivery
from gateway.dispatch.ingress import Ingress
from gateway.dispatch.methods import Methods
from gateway.dispatch.presence import Presence
from gateway.dispatch.twins import Twins
from gateway.head.mqtt import MqttHead
from gateway.head.sessions import SessionStore
from gateway.identity.authenticator import Authenticator
from gateway.identity.registry import Registry
from gateway.identity.roster import Registration, SymmetricKeys
from gateway.observe.events import Event
from gateway.observe.tap import Tap
from gateway.routing.compile import RouteSpec, compile_routes
from gateway.store.store import Store
from gateway.store.values import Entry, StoreLimits
from support.mqtt_reading import everything, write_one

HUB = "hub.example"
KEY = b"0123456789abcdef" * 2
START = 1_900_000_000.0
SMALL_PACKET = 300
"""Bytes of a packet that a device of the listener for small boards takes."""
EVERYTHING = {"all": "FROM /messages/* INTO $upstream"}


class Clock:
    """Seconds since 1970, as the test sets them."""

    now = START

    def __call__(self) -> float:
        return self.now


class MemoryWire:
    """The connection under a pump: keeps what is written."""

    buffered = 0

    def __init__(self) -> None:
        self.written = bytearray()
        self.closed = False
        self.paused = False
        self.crashed: Exception | None = None

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def crash(self, error: Exception) -> None:
        self.crashed = error
        self.closed = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def wake_at(self, when: float) -> None:
        pass


class Device:
    """One device's connection, driven by the test: packets in, packets out."""

    def __init__(self, site: "Site", peer: Peer, level: int) -> None:
        self.level = level
        self.wire = MemoryWire()
        session, self.owner = site.head.accept(peer)
        self.pump: Pump[Any] = Pump(self.wire, session, self.owner, peer=peer, clock=asyncio.get_running_loop().time)
        self.pump.begin()
        self._frames = FrameReader(everything(level))

    def send(self, *packets: Packet) -> None:
        """All of them in one read, as a socket may give them."""
        self.pump.receive(b"".join(write_one(packet, self.level) for packet in packets))
        if self.wire.crashed is not None:
            raise self.wire.crashed

    def is_closed(self) -> bool:
        """Whether the gateway has closed it; a call, as mypy holds an attribute for unchanged."""
        return self.wire.closed

    def received(self) -> list[Packet]:
        """What the gateway has written since the last call."""
        self._frames.push(bytes(self.wire.written))
        self.wire.written.clear()
        packets: list[Packet] = []
        while (frame := self._frames.next()) is not None:
            packets.append(v5.read(*frame) if self.level == 5 else v3.read(*frame, level=self.level))
        return packets

    def publish(self, topic: str, body: bytes = b"{}", *, packet_id: int = 1, qos: int = 1) -> None:
        """One PUBLISH."""
        properties = PublishProperties() if self.level == 5 else None
        self.send(Publish(topic, body, qos, False, False, packet_id if qos else 0, properties))

    def lose(self) -> None:
        """The socket is gone."""
        self.pump.lost()


class Site:
    """The head and all behind it."""

    def __init__(self, folder: Path, routes: Mapping[str, str], limits: StoreLimits) -> None:
        self.events: list[Event] = []
        self.clock = Clock()
        self.registry = Registry(folder / "devices.json", self.events.append)
        self.store = Store.open(folder / "store", limits, self.events.append, self.clock)
        self.sessions = SessionStore(folder / "sessions.db", self.events.append)
        self.presence = Presence()
        self.delivery = Delivery(self.events.append, self.clock)
        self.methods = Methods(self.events.append)
        self.twins = Twins(self.events.append)
        compiled = compile_routes({name: RouteSpec(text=text) for name, text in routes.items()})
        assert compiled.table is not None, compiled.problems
        self.tap = Tap()
        self.ingress = Ingress(compiled.table, self.store, self.tap, self.events.append)
        self.head = MqttHead(
            authenticator=Authenticator(self.registry, [HUB], None),
            ingress=self.ingress,
            presence=self.presence,
            delivery=self.delivery,
            methods=self.methods,
            twins=self.twins,
            sessions=self.sessions,
            emit=self.events.append,
            clock=self.clock,
            limits=ServerLimits(),
            constrained_limits=ServerLimits(max_sent_packet_bytes=SMALL_PACKET),
        )

    @classmethod
    @asynccontextmanager
    async def open(
        cls, folder: Path, *, routes: Mapping[str, str] = EVERYTHING, limits: StoreLimits | None = None
    ) -> AsyncIterator[Self]:
        """A site with the devices `d1` and `d2`."""
        site = cls(folder, routes, limits or StoreLimits())
        for device in ("d1", "d2"):
            site.register(device)
        try:
            yield site
        finally:
            await site.store.close()
            site.sessions.close()

    def register(self, device: str, *, key: bytes = KEY, enabled: bool = True) -> None:
        """Add or replace a device with this key."""
        keys = SymmetricKeys(key, b"fedcba9876543210" * 2)
        registration = Registration(identity(device), keys, enabled)
        self.registry.edit(lambda roster: roster.with_registration(registration))

    def token(self, device: str, *, key: bytes = KEY, life_s: float = 3600) -> bytes:
        """A token of this device."""
        resource = sas.resource_of(HUB, identity(device))
        return sas.make(resource, key, int(self.clock.now + life_s)).encode()

    def dial(self, *, level: int = 4, certificates: tuple[bytes, ...] = (), constrained: bool = False) -> Device:
        """A connection that has said nothing yet; a `constrained` one came by the listener for small boards."""
        peer = Peer(address="127.0.0.99", port=5000, certificates=certificates, constrained=constrained)
        return Device(self, peer, level)

    def connect(
        self,
        device: str = "d1",
        *,
        level: int = 4,
        clean_start: bool = True,
        will: Will | None = None,
        token: bytes | None = None,
        expiry_s: int | None = None,
        receive_maximum: int | None = None,
        maximum_packet_size: int | None = None,
        username: str | None = None,
        constrained: bool = False,
    ) -> Device:
        """A device that has sent its CONNECT."""
        connection = self.dial(level=level, constrained=constrained)
        connection.send(
            Connect(
                client_id=device,
                level=level,
                clean_start=clean_start,
                keep_alive_s=60,
                will=will,
                username=username or f"{HUB}/{device}/?api-version=2021-04-12",
                password=self.token(device) if token is None else token,
                properties=ConnectProperties(
                    session_expiry_s=expiry_s,
                    receive_maximum=receive_maximum,
                    maximum_packet_size=maximum_packet_size,
                )
                if level == 5
                else None,
            )
        )
        return connection

    def login(self, device: str = "d1", *, level: int = 4, **options: Any) -> Device:
        """A device that was let in."""
        connection = self.connect(device, level=level, **options)
        answer = connection.received()
        assert isinstance(answer[0], Connack), answer
        assert answer[0].code == 0, answer
        return connection

    def stored(self, endpoint: Endpoint = UPSTREAM) -> list[Entry]:
        """What waits for this endpoint; each is given once."""
        return self.store.reader(endpoint).take(1000, 1 << 24)

    def reasons(self, kind: type[Event]) -> list[Any]:
        """The reasons of all events of a kind, in order."""
        return [event.reason for event in self.events if isinstance(event, kind)]  # type: ignore[attr-defined] # the caller names a kind that has one


def key_text(key: bytes = KEY) -> str:
    """A key as settings write it."""
    return base64.b64encode(key).decode()


def subscription(topic_filter: str, packet_id: int = 1, qos: int = 1) -> Subscribe:
    """SUBSCRIBE of one filter, in MQTT 3."""
    return Subscribe(packet_id=packet_id, filters=(SubscribeFilter(filter=topic_filter, qos=qos),))
