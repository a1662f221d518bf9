"""paho-mqtt as a client that acknowledges when it is told to. Version 1.6.1, which azure-iot-device pins.

paho 1.6 acknowledges QoS 1 by itself when the callback returns (`_handle_publish`), and has no setting against it. So
the reading of PUBLISH is ours, by the gateway's own codec: what came is put into `heard`, and `acknowledge` answers
when the disk has it. Around that little is ours: how the socket is opened (deadlines, TLS with words for what fails),
and that it is read in large pieces (paho reads byte by byte, three calls of the system for each message).

CONNECT, SUBSCRIBE, keep-alive, and all that concerns versions stay paho's. One object serves one connection, in one
thread; nothing here waits but `connect_now`.
"""

import ssl
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from paho.mqtt import MQTTException
from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from edgewire.codec.mqtt import v3, v5
from edgewire.codec.mqtt.packets import Publish
from edgewire.errors import ProtocolError
from edgewire.line.names import TopicCache
from gateway.observe.foreign import BrokerFault

KEEP_ALIVE_S: Final = 60
"""Silence after which either side asks for a sign of life."""
RECEIVE_MAXIMUM: Final = 1_000
"""Messages that a broker of MQTT 5 may have on their way to us unacknowledged; older ones have settings of their own,
20 at mosquitto."""
SESSION_EXPIRY_S: Final = 0xFFFF_FFFF
"""Never, like a session of MQTT 3.1.1 (MQTT 5 §3.1.2.11.2); brokers have settings of their own for it."""
MAX_PACKET_BYTES: Final = 16 * 1024 * 1024
"""Larger packets are not read into memory. What is smaller and too large for a message is refused by its topic rule."""
READ_AHEAD: Final = 64 * 1024
"""How much is read at once."""
MAX_FILTERS: Final = 8
"""Filters in one SUBSCRIBE: the fewest that a broker is known to allow (AWS IoT Core)."""

RETAIN_HANDLING: Final = {"all": 0, "new": 1, "none": 2}
"""When retained messages are wanted at SUBSCRIBE: always; if there was no such subscription; never. MQTT 5 §3.8.3.1."""


class BrokerError(Exception):
    """The connection cannot be made, or goes no further; the text is for a person."""

    def __init__(self, fault: BrokerFault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker's answer to CONNECT: `code` 0 lets us in, else it is the return or reason code."""

    code: int
    session_present: bool


class BrokerClient(paho.Client):  # type: ignore[misc] # paho ships no types
    """One connection. `is_5`: MQTT 5, else 3.1.1; `dial` opens the socket."""

    def __init__(self, client_id: str, dial: Callable[[], Any], *, is_5: bool, retained: str = "new") -> None:
        super().__init__(
            client_id,
            clean_session=None if is_5 else False,
            protocol=paho.MQTTv5 if is_5 else paho.MQTTv311,
            reconnect_on_failure=False,  # else a refused version makes it try MQTT 3.1 by itself
        )
        self._last_msg_out: float = time.monotonic()
        self._is_5 = is_5
        self._dial = dial
        self._retain_handling = RETAIN_HANDLING[retained]
        self._ahead: bytes = b""
        self._ahead_at = 0
        self._topics = TopicCache()
        self._asked: dict[int, tuple[str, ...]] = {}
        self.heard: list[Publish] = []
        """What came and was not taken from here yet."""
        self.connected: Connected | None = None
        self.goodbye: int | None = None
        """The reason code with which the broker ended the connection."""
        self.granted: list[tuple[str, int]] = []
        """Filters that were answered, with the QoS that was granted, or the code of a refusal (0x80 and above)."""
        self.released: list[str] = []
        """Filters that are subscribed to no more."""
        self.on_subscribe = self._heard_suback
        self.on_unsubscribe = self._heard_unsuback
        self.on_connect = self._heard_connack

    def connect_now(self, host: str, port: int) -> None:
        """Open the socket and send CONNECT. Blocks as long as `dial` does; raises what it raises."""
        options: dict[str, Any] = {}
        if self._is_5:
            options["properties"] = properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = SESSION_EXPIRY_S
            properties.ReceiveMaximum = RECEIVE_MAXIMUM
            options["clean_start"] = False
        self.connect_async(host, port, KEEP_ALIVE_S, **options)
        self.reconnect()

    @property
    def has_more(self) -> bool:
        """Whether something was read that is not handled yet, which no poll of the socket tells."""
        if self._ahead_at < len(self._ahead):
            return True
        return isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0

    def read(self) -> None:
        """Handle one packet, if one is there. Raises BrokerError if the connection is over."""
        try:
            code = self.loop_read()
        except (MQTTException, ValueError, LookupError, AssertionError, struct.error) as error:
            # paho takes packets apart without asking whether they are whole.
            raise BrokerError(BrokerFault.PROTOCOL, f"the broker sent what is no packet of MQTT: {error}") from error
        self._check(code)

    def write(self) -> None:
        """Send what waits, as far as the socket takes it. Raises BrokerError if the connection is over."""
        self._check(self.loop_write())

    def keep_alive(self) -> None:
        """Ask for a sign of life if it is time, and see that the last one came. Raises BrokerError."""
        self._check(self.loop_misc())

    def keep_alive_unread(self) -> None:
        """The same while nothing is read, because the disk is behind: the answers wait in the socket like all else."""
        now = time.monotonic()
        self._ping_t = 0
        self._last_msg_in = now
        if now - self._last_msg_out >= KEEP_ALIVE_S / 2:
            self._send_simple_command(paho.PINGREQ)
            self._last_msg_out = now

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Send PUBACK for each, in one piece."""
        acknowledgements = b"".join([b"\x40\x02" + packet_id.to_bytes(2, "big") for packet_id in packet_ids])
        self._packet_queue(paho.PUBACK, acknowledgements, 0, 1)

    def want(self, filters: Sequence[str]) -> None:
        """Subscribe, with QoS 1: for QoS 2 a broker forgets a message before we could have it on disk."""
        for at in range(0, len(filters), MAX_FILTERS):
            some = tuple(filters[at : at + MAX_FILTERS])
            if self._is_5:
                options = SubscribeOptions(qos=1, retainHandling=self._retain_handling)
                _, packet_id = self.subscribe([(one, options) for one in some])
            else:
                _, packet_id = self.subscribe([(one, 1) for one in some])
            self._asked[packet_id] = some

    def want_no_more(self, filters: Sequence[str]) -> None:
        """Unsubscribe."""
        for at in range(0, len(filters), MAX_FILTERS):
            some = tuple(filters[at : at + MAX_FILTERS])
            _, packet_id = self.unsubscribe(list(some))
            self._asked[packet_id] = some

    def close(self) -> None:
        """Close the socket without a word."""
        self._sock_close()

    # What paho calls.

    def _create_socket_connection(self) -> Any:
        return self._dial()

    def _sock_recv(self, bufsize: int) -> bytes:
        if bufsize > MAX_PACKET_BYTES:
            # paho asks for all that a packet lacks.
            raise BrokerError(
                BrokerFault.PROTOCOL,
                f"the broker sends a message of {bufsize} bytes; {MAX_PACKET_BYTES} are the most that is read. Keep "
                "such messages out of the topics that are subscribed to",
            )
        at = self._ahead_at
        if at >= len(self._ahead):
            self._ahead, at = super()._sock_recv(READ_AHEAD), 0
        self._ahead_at = at + bufsize
        return self._ahead[at : at + bufsize]

    def _handle_publish(self) -> int:
        first, body = self._in_packet["command"], bytes(self._in_packet["packet"])
        read = v5.read_publish if self._is_5 else v3.read_publish
        try:
            publish = read(first, body, self._topics)
        except ProtocolError as error:
            raise BrokerError(BrokerFault.PROTOCOL, f"the broker sent what is no PUBLISH: {error.what}") from error
        if publish.qos > 1 or not publish.topic:
            # MQTT 3.1.1 §3.8.4: what we get has at most the QoS that we asked for. MQTT 5 §3.1.2.11.5: an alias stands
            # for a topic only where the client allows it.
            raise BrokerError(BrokerFault.PROTOCOL, "the broker sent QoS 2 or a topic alias, which nobody asked for")
        self.heard.append(publish)
        return int(paho.MQTT_ERR_SUCCESS)

    def _handle_connack(self) -> int:
        packet = self._in_packet["packet"]
        if len(packet) > 1:
            # paho tells nobody of return code 1 in MQTT 3.1.1.
            self.connected = Connected(packet[1], session_present=bool(packet[0] & 1))
        return int(super()._handle_connack())

    def _handle_disconnect(self) -> int:
        packet = self._in_packet["packet"]
        self.goodbye = packet[0] if packet else 0
        return int(paho.MQTT_ERR_CONN_LOST)

    def _heard_connack(self, _client: object, _userdata: object, _flags: object, _code: object, *more: Any) -> None:
        # paho does not follow the keep-alive that a server of MQTT 5 sets (§3.2.2.3.14).
        keep_alive = getattr(more[0], "ServerKeepAlive", None) if more and more[0] is not None else None
        if keep_alive is not None:
            self._keepalive = keep_alive

    def _heard_suback(self, _client: object, _userdata: object, packet_id: int, codes: Any, *_more: object) -> None:
        numbers = [getattr(code, "value", code) for code in codes]
        self.granted += zip(self._asked.pop(packet_id, ()), numbers, strict=False)

    def _heard_unsuback(self, _client: object, _userdata: object, packet_id: int, *_more: object) -> None:
        # Whatever it answers: what was not subscribed to is not subscribed to now (MQTT 5 §3.11.3).
        self.released += self._asked.pop(packet_id, ())

    def _check(self, code: int) -> None:
        if code != paho.MQTT_ERR_SUCCESS or self._sock is None:
            raise BrokerError(BrokerFault.DROPPED, "the broker closed the connection")
