"""A server session in memory with a client that only writes and reads packets, and a clock that the test sets."""

from edgewire.codec.mqtt import v3, v5
from edgewire.codec.mqtt.frames import FrameReader
from edgewire.codec.mqtt.packets import Connect, Packet, Publish, Will
from edgewire.codec.mqtt.properties import ConnectProperties
from edgewire.session.mqtt.events import ServerEvent
from edgewire.session.mqtt.limits import ServerLimits
from edgewire.session.mqtt.server import ServerSession
from support.mqtt_reading import everything, write_one

START = 1_000.0


class Link:
    """Both ends of one connection."""

    def __init__(self, level: int = 4, limits: ServerLimits | None = None) -> None:
        self.level = level
        self.now = START
        self.session = ServerSession(limits or ServerLimits(), self.now)
        self._frames = FrameReader(everything(level))

    def connect(
        self,
        client_id: str = "dev",
        *,
        clean_start: bool = True,
        keep_alive_s: int = 60,
        will: Will | None = None,
        bridge: bool = False,
        properties: ConnectProperties | None = None,
    ) -> list[ServerEvent]:
        """The client's CONNECT."""
        return self.send(
            Connect(
                client_id=client_id,
                level=self.level,
                bridge=bridge,
                clean_start=clean_start,
                keep_alive_s=keep_alive_s,
                will=will,
                username="user",
                password=b"secret",
                properties=properties,
            )
        )

    def open(self, *, will: Will | None = None, properties: ConnectProperties | None = None) -> Packet:
        """CONNECT and CONNACK; gives the CONNACK."""
        self.connect(will=will, properties=properties)
        self.session.accept(session_present=False)
        return self.inbox()[0]

    def publish(
        self, topic: str = "t", payload: bytes = b"x", *, qos: int = 1, packet_id: int = 1
    ) -> list[ServerEvent]:
        """The client's PUBLISH."""
        return self.send(Publish(topic, payload, qos, False, False, packet_id if qos else 0))

    def send(self, *packets: Packet) -> list[ServerEvent]:
        """What the server makes of these packets, in one read."""
        return self.transfer(b"".join(write_one(packet, self.level) for packet in packets))

    def transfer(self, data: bytes) -> list[ServerEvent]:
        """What the server makes of these bytes."""
        return self.session.receive(data, self.now)

    def inbox(self) -> list[Packet]:
        """The packets that the server has sent since the last time."""
        self._frames.push(self.session.take_output())
        found = []
        while frames := self._frames.rest():
            found += [v5.read(*frame) if self.level == 5 else v3.read(*frame) for frame in frames]
        assert self._frames.held == 0, "the server sent half a packet"
        return found

    def advance(self, seconds: float) -> list[ServerEvent]:
        """Let time pass; deadlines on the way are met as they come."""
        end = self.now + seconds
        found: list[ServerEvent] = []
        while (due := self.session.deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            found += self.session.on_deadline(self.now)
        self.now = end
        return found

    def drop(self) -> Will | None:
        """The connection breaks; gives the will that is due."""
        return self.session.connection_lost()
