"""The plain listener in memory: real users, broker, mapping, routes and store, and clients without sockets."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

from edgewire.codec.mqtt import v3, v5
from edgewire.codec.mqtt.frames import FrameReader
from edgewire.codec.mqtt.packets import (
    Connack,
    Connect,
    Packet,
    Publish,
    Suback,
    Subscribe,
    SubscribeFilter,
    Will,
)
from edgewire.codec.mqtt.properties import ConnectProperties, PublishProperties, SubscribeProperties
from edgewire.message import UPSTREAM, Endpoint, identity
from edgewire.transport.pump import Peer, Pump
from gateway.broker.broker import LocalBroker
from gateway.broker.disk import BROKER_FILE, BrokerDisk
from gateway.broker.limits import BrokerLimits
from gateway.dispatch.echoes import Echoes
from gateway.dispatch.ingress import Ingress
from gateway.dispatch.mapped import MappedIngress
from gateway.head.plain import PlainHead, plain_limits
from gateway.identity.gatekeeper import Gatekeeper
from gateway.identity.passwords import PasswordHash
from gateway.identity.registry import Registry
from gateway.identity.roster import NoCredential, Registration
from gateway.identity.user_book import USERS_FILE, UserBook, edit_users
from gateway.identity.users import User, Users, parse_network
from gateway.observe.events import Event
from gateway.observe.tap import Tap
from gateway.routing.compile import RouteSpec, compile_routes
from gateway.store.store import Store
from gateway.store.values import Entry, StoreLimits
from gateway.topics.mapping import TopicDevices, TopicMap, TopicRule
from gateway.topics.pattern import parse_pattern
from gateway.topics.template import parse_template
from support.mqtt_reading import everything, write_one
from support.mqtt_site import EVERYTHING, Clock, MemoryWire

PASSWORD: Final = b"tiger"
PATIENCE_S: Final = 20.0
_SALT: Final = b"salt" * 4
_HASH: Final = PasswordHash(2, _SALT, hashlib.scrypt(PASSWORD, salt=_SALT, n=2, r=8, p=1, dklen=32))
"""Quick to check, unlike those that commands make."""


def user(
    name: str,
    *,
    publish: Sequence[str] = ("#",),
    subscribe: Sequence[str] = ("#",),
    networks: Sequence[str] = (),
    password: PasswordHash | None = _HASH,
) -> User:
    """A user with the password `PASSWORD`, who may do anything unless told otherwise."""
    return User(
        name=name,
        password=password,
        networks=tuple(map(parse_network, networks)),
        publish=tuple(publish),
        subscribe=tuple(subscribe),
    )


def write_users(data: Path, *users: User) -> None:
    """The users' file, as commands write it."""
    edit_users(data / USERS_FILE, lambda _: Users({each.name: each for each in users}))


class Client:
    """One client's connection, driven by the test: packets in, packets out."""

    def __init__(self, site: "PlainSite", peer: Peer, level: int) -> None:
        self.level = level
        self.wire = MemoryWire()
        session, self.owner = site.head.accept(peer)
        self.pump: Pump[Any] = Pump(self.wire, session, self.owner, peer=peer, clock=asyncio.get_running_loop().time)
        self.pump.begin()
        self._frames = FrameReader(everything(level))
        self._held: list[Packet] = []

    def send(self, *packets: Packet) -> None:
        """All of them in one read, as a socket may give them."""
        self.pump.receive(b"".join(write_one(packet, self.level) for packet in packets))
        if self.wire.crashed is not None:
            raise self.wire.crashed

    def is_closed(self) -> bool:
        """Whether the gateway has closed it."""
        return self.wire.closed

    def _read(self) -> None:
        self._frames.push(bytes(self.wire.written))
        self.wire.written.clear()
        while (frame := self._frames.next()) is not None:
            self._held.append(v5.read(*frame) if self.level == 5 else v3.read(*frame, level=self.level))

    async def next(self, count: int = 1) -> list[Packet]:
        """The next packets of the gateway, once there are so many."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                self._read()
                if len(self._held) >= count:
                    break
                await asyncio.sleep(0.002)
        found, self._held = self._held[:count], self._held[count:]
        return found

    async def messages(self, count: int = 1) -> list[Publish]:
        """The next packets, which must be messages."""
        packets = await self.next(count)
        assert all(isinstance(packet, Publish) for packet in packets), packets
        return [packet for packet in packets if isinstance(packet, Publish)]

    async def quiet(self) -> None:
        """Nothing has come, and nothing does in some turns of the loop."""
        for _ in range(20):
            await asyncio.sleep(0)
        self._read()
        assert self._held == []

    def publish(
        self,
        topic: str,
        payload: bytes = b"x",
        *,
        qos: int = 0,
        retain: bool = False,
        dup: bool = False,
        packet_id: int = 1,
        **properties: Any,
    ) -> None:
        """One PUBLISH."""
        said = PublishProperties(**properties) if self.level == 5 else None
        self.send(Publish(topic, payload, qos, retain, dup, packet_id if qos else 0, said))

    async def subscribe(self, *filters: str, qos: int = 1, identifier: int | None = None, **options: Any) -> list[int]:
        """SUBSCRIBE, and the codes of its answer, which must be the next packet."""
        wanted = tuple(SubscribeFilter(filter=each, qos=qos, **options) for each in filters)
        properties = SubscribeProperties(subscription_identifier=identifier) if self.level == 5 else None
        self.send(Subscribe(packet_id=77, filters=wanted, properties=properties))
        (answer,) = await self.next()
        assert isinstance(answer, Suback), answer
        return list(answer.codes)

    def lose(self) -> None:
        """The socket is gone."""
        self.pump.lost()


class PlainSite:
    """The head and all behind it; `restart` closes it and opens it again."""

    def __init__(
        self, folder: Path, limits: BrokerLimits, routes: Mapping[str, str], store_limits: StoreLimits
    ) -> None:
        self.folder = folder
        self.limits = limits
        self.events: list[Event] = []
        self.clock = Clock()
        self.registry = Registry(folder / "devices.json", self.events.append)
        self.store = Store.open(folder / "store", store_limits, self.events.append, self.clock)
        compiled = compile_routes({name: RouteSpec(text=text) for name, text in routes.items()})
        assert compiled.table is not None, compiled.problems
        ingress = Ingress(compiled.table, self.store, Tap(), self.events.append)
        self.mapped = MappedIngress(ingress, self.registry, self.events.append)
        self._open()

    def _open(self) -> None:
        loop = asyncio.get_running_loop()
        self.book = UserBook(self.folder / USERS_FILE, self.events.append)
        self.gatekeeper = Gatekeeper(self.book, loop.call_soon_threadsafe)
        self.broker = LocalBroker(
            BrokerDisk(self.folder / BROKER_FILE, self.events.append),
            emit=self.events.append,
            clock=self.clock,
            later=loop.call_soon,
            limits=self.limits,
        )
        self.head = PlainHead(
            gatekeeper=self.gatekeeper,
            broker=self.broker,
            mapped=self.mapped,
            echoes=Echoes(),
            emit=self.events.append,
            clock=self.clock,
            limits=plain_limits(self.limits.max_session_s),
            name="here",
        )

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        folder: Path,
        *users: User,
        limits: BrokerLimits | None = None,
        routes: Mapping[str, str] = EVERYTHING,
        store_limits: StoreLimits | None = None,
    ) -> AsyncIterator[Self]:
        """A site with these users, else with `ann` and `bob`, who may do anything."""
        write_users(folder, *(users or (user("ann"), user("bob"))))
        site = cls(folder, limits or BrokerLimits(), routes, store_limits or StoreLimits())
        try:
            yield site
        finally:
            site.close()
            await site.store.close()

    def close(self) -> None:
        """The room is closed, as at the gateway's end."""
        self.gatekeeper.close()
        self.broker.close()

    def restart(self) -> None:
        """Closed in good order and opened again; connections are gone."""
        for connection in list(self.head.clients.values()):
            connection.on_closed()
        self.close()
        self._open()

    def map(self, *rules: tuple[str, str], **policy: Any) -> None:
        """Map topics: pattern and device of each rule."""
        made = [
            TopicRule(place=f"topics[{number}]", match=parse_pattern(pattern), device=parse_template(device))
            for number, (pattern, device) in enumerate(rules)
        ]
        self.mapped.use(TopicMap(made), TopicDevices(**policy))

    def register(self, *devices: str) -> None:
        """Devices without credentials."""
        for device in devices:
            entry = Registration(identity(device), NoCredential())
            self.registry.edit(partial(type(self.registry.roster).with_registration, registration=entry))

    def dial(self, *, level: int = 4, address: str = "10.0.0.9") -> Client:
        """A connection that has said nothing yet."""
        return Client(self, Peer(address=address, port=1883), level)

    def connect(
        self,
        name: str | None = "ann",
        client_id: str = "c1",
        *,
        level: int = 4,
        address: str = "10.0.0.9",
        password: bytes | None = PASSWORD,
        clean: bool = True,
        bridge: bool = False,
        will: Will | None = None,
        expiry_s: int | None = None,
        receive_maximum: int | None = None,
    ) -> Client:
        """A client that has sent its CONNECT."""
        client = self.dial(level=level, address=address)
        client.send(
            Connect(
                client_id=client_id,
                level=level,
                bridge=bridge,
                clean_start=clean,
                keep_alive_s=60,
                will=will,
                username=name,
                password=None if name is None else password,
                properties=ConnectProperties(session_expiry_s=expiry_s, receive_maximum=receive_maximum)
                if level == 5
                else None,
            )
        )
        return client

    async def login(self, name: str | None = "ann", client_id: str = "c1", **options: Any) -> Client:
        """A client that was let in; its session was not there before."""
        client, present = await self.come(name, client_id, **options)
        assert not present
        return client

    async def come(self, name: str | None = "ann", client_id: str = "c1", **options: Any) -> tuple[Client, bool]:
        """A client that was let in, and whether its session was there before."""
        client = self.connect(name, client_id, **options)
        (answer,) = await client.next()
        assert isinstance(answer, Connack), answer
        assert answer.code == 0, answer
        return client, answer.session_present

    async def code(self, client: Client) -> int:
        """The code of the CONNACK that a client gets."""
        (answer,) = await client.next()
        assert isinstance(answer, Connack), answer
        return answer.code

    def stored(self, endpoint: Endpoint = UPSTREAM) -> list[Entry]:
        """What waits for this endpoint; each is given once."""
        return self.store.reader(endpoint).take(1000, 1 << 24)

    def of(self, kind: type[Event]) -> list[Any]:
        """The events of a kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]
