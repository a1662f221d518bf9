"""The server's side of one MQTT connection, for levels 3 (MQTT 3.1), 4 (3.1.1) and 5."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from edgewire.codec.mqtt import v3, v5
from edgewire.codec.mqtt.connect import read_connect, read_protocol
from edgewire.codec.mqtt.frames import Bounds, FrameReader
from edgewire.codec.mqtt.packets import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    PacketType,
    Pingreq,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Will,
)
from edgewire.codec.mqtt.properties import (
    ConnackProperties,
    DisconnectProperties,
    PublishProperties,
    UserProperties,
)
from edgewire.codec.mqtt.reasons import (
    CLIENT_DISCONNECT_CODES,
    CONNACK_CODES,
    FAILURE,
    PUBACK_CODES,
    SERVER_DISCONNECT_CODES,
    SUBACK_CODES,
    UNSUBACK_CODES,
    ReasonCode,
)
from edgewire.codec.mqtt.wire import MAX_VARINT, violation
from edgewire.errors import ProtocolError, UsageError
from edgewire.line.acknowledgements import pubacks
from edgewire.line.names import TopicCache
from edgewire.session.mqtt import admission
from edgewire.session.mqtt.admission import MAX_QOS
from edgewire.session.mqtt.aliases import TopicAliases
from edgewire.session.mqtt.events import (
    Disconnected,
    PublishAcknowledged,
    ServerEvent,
    SubscribeReceived,
    UnsubscribeReceived,
)
from edgewire.session.mqtt.inflight import InFlight
from edgewire.session.mqtt.limits import ServerLimits
from edgewire.session.mqtt.refusal import Refusal, connack_code
from edgewire.session.mqtt.states import CALLED, RECEIVED, Call, State, taken_in
from edgewire.session.mqtt.strangers import Strangers

__all__ = ["Refusal", "ServerSession"]

PROGRESS_BYTES: Final = 1_024
"""So much more of a packet counts as a sign of life, as the packet does when it is whole. Less does not: a peer that
sends byte by byte, and never to an end, is none that lives."""

_CONNECTED: Final = State.CONNECTED
_PUBLISH: Final = int(PacketType.PUBLISH)
"""For the calls of each message: a member looked up in its enum costs 0.07 µs, five times per message."""


@lru_cache(maxsize=16)
def _bounds(state: State, level: int, max_packet_bytes: int) -> Bounds:
    """What may come in a state. Kept, as it is 2 KiB and the same for all connections of one kind."""
    return Bounds(taken_in(state), level=level, max_packet_bytes=max_packet_bytes, max_qos=MAX_QOS)


class ServerSession:
    """One connection as the server sees it.

    `receive`, `on_deadline` and `connection_lost` take what happens; the other calls answer it. The time of `now` is
    the caller's, in seconds, and only ever grows. A peer that breaks a rule raises ProtocolError from `receive` or
    `on_deadline`: the farewell, if its version has one, is in the output then, and the session is dead. Whole packets
    that came before the bad one are given first; the error follows from the next call, which `deadline` asks for.
    """

    __slots__ = (
        "_aliases",
        "_asked",
        "_connect",
        "_early",
        "_ending",
        "_expiry_s",
        "_failure",
        "_frames",
        "_heard_at",
        "_held",
        "_in_flight",
        "_level",
        "_limits",
        "_output",
        "_peer_max_bytes",
        "_progress",
        "_silence_s",
        "_state",
        "_strangers",
        "_topics",
        "_unacknowledged",
        "_will",
    )

    def __init__(self, limits: ServerLimits, now: float, strangers: Strangers | None = None) -> None:
        self._limits = limits
        self._strangers = strangers or Strangers()
        self._held = 0
        """What the client has sent, until it is let in."""
        self._state = State.CONNECT_AWAITED
        self._frames = FrameReader(_bounds(self._state, 5, limits.max_connect_bytes))
        self._heard_at = now
        self._progress = 0
        """How much of a packet that is not whole was heard as a sign of life."""
        self._silence_s: float = limits.connect_timeout_s
        self._level: int | None = None
        self._connect: Connect | None = None
        self._early = False
        self._failure: ProtocolError | None = None
        self._ending: Disconnected | None = None
        self._will: Will | None = None
        self._expiry_s = 0
        self._topics = TopicCache()
        self._aliases = TopicAliases(limits.topic_alias_maximum)
        self._unacknowledged: set[int] = set()
        self._asked: dict[int, int] = {}
        self._in_flight = InFlight(limits.max_inflight)
        self._peer_max_bytes = MAX_VARINT
        self._output: list[bytes] = []

    @property
    def level(self) -> int | None:
        """The protocol level, 3, 4 or 5; None before CONNECT has come."""
        return self._level

    @property
    def dead(self) -> bool:
        """Nothing more is read or sent; what `take_output` still gives is the farewell."""
        return self._state is State.DISCONNECTED

    @property
    def unacknowledged(self) -> int:
        """QoS 1 messages of the peer that are not answered yet."""
        return len(self._unacknowledged)

    @property
    def window(self) -> int:
        """How many more QoS 1 messages `publish` takes now; if it gives None all the same, the packet is too large."""
        return self._in_flight.free if self._state is State.CONNECTED else 0

    # What happens.

    def receive(self, data: bytes, now: float) -> list[ServerEvent]:
        """Take bytes of the peer; gives what they mean. Raises ProtocolError if they break a rule."""
        if self._failure is not None:
            raise self._fail(self._failure)
        if self._state is _CONNECTED:
            self._early = False
            return self._read(data, now)
        if self._state is State.DISCONNECTED:
            return []
        self._frames.push(data)
        try:
            self._hold(self._held + len(data))
            return self._read_first(now) if self._state is State.CONNECT_AWAITED else []
        except ProtocolError as error:
            self._fail(error)
            raise

    def deadline(self) -> float | None:
        """When `on_deadline` wants to be called, in the caller's clock; None for never. Spec: MQTT311-3.1.2-24."""
        if self._failure is not None or self._ending is not None or self._early:
            return self._heard_at
        if self._state is _CONNECTED or self._state is State.CONNECT_AWAITED:
            return self._heard_at + self._silence_s
        return None

    def excuse(self, now: float) -> None:
        """The client's silence until now was ours: it was not read from."""
        self._heard_at = max(self._heard_at, now)

    def on_deadline(self, now: float) -> list[ServerEvent]:
        """The deadline has passed: gives what waited for it, or that the peer has been silent for too long."""
        if self._failure is not None:
            raise self._fail(self._failure)
        if self._ending is not None:
            ending, self._ending = self._ending, None
            return [ending]
        if self._early:
            self._early = False
            return self._read(b"", now)
        due = self.deadline()
        if due is None or now < due:
            return []
        self._say_goodbye(ReasonCode.KEEP_ALIVE_TIMEOUT, "")
        return [Disconnected(clean=False, reason=ReasonCode.KEEP_ALIVE_TIMEOUT, will=self._take_will())]

    def connection_lost(self) -> Will | None:
        """The connection is gone. Returns the will that is now due, if there is one and no event gave it already."""
        self._state = State.DISCONNECTED
        self._failure = self._ending = None
        self._early = False
        self._hold(0)
        self._frames.drop()
        return self._take_will()

    def take_output(self) -> bytes:
        """What is to be sent now; given once."""
        output = self._output
        if not output:
            return b""
        data = output[0] if len(output) == 1 else b"".join(output)
        output.clear()
        return data

    # Answers to CONNECT.

    def accept(self, *, session_present: bool, assigned_client_id: str | None = None) -> None:
        """Let the client in. What it has sent behind its CONNECT is read at the deadline, which is now."""
        if not self._may(Call.ACCEPT):
            return
        connect = self._connect
        assert connect is not None
        if session_present and connect.clean_start:
            raise UsageError("a client with a clean start has no session (MQTT311-3.2.2-1, MQTT5-3.2.2-2)")
        self._silence_s, keep_alive_s = admission.watch(connect.keep_alive_s, self._limits)
        if connect.level == 5:
            properties = admission.connack_properties(connect, self._limits, keep_alive_s, assigned_client_id)
            connack = v5.write(Connack(session_present=session_present, code=0, properties=properties))
        else:
            # In MQTT 3.1 the byte of session present is reserved.
            connack = v3.write(Connack(session_present=session_present and connect.level == 4, code=0))
        self._connect = None
        self._answer(connack)
        if self._state is State.DISCONNECTED:
            return
        self._state = CALLED[self._state, Call.ACCEPT]
        self._hold(0)
        self._will = admission.kept_will(connect, self._limits)
        self._frames.bounds = _bounds(self._state, connect.level, self._limits.max_packet_bytes)
        self._early = self._frames.held > 0

    def refuse(self, refusal: Refusal) -> None:
        """Turn the client away; what it has sent behind its CONNECT is dropped (MQTT311-3.1.4-5, MQTT5-3.1.4-6)."""
        if self._may(Call.REFUSE):
            assert self._level is not None
            self._send_refusal(self._level, connack_code(refusal, self._level), "")
            self._die(CALLED[self._state, Call.REFUSE])

    # Answers to the rest.

    def acknowledge(self, packet_id: int) -> None:
        """PUBACK. 3.1.1 clients may count on the order in which they sent (MQTT311-4.6.0-2): it is the caller's."""
        self.acknowledge_many((packet_id,))

    def acknowledge_many(self, packet_ids: Sequence[int]) -> None:
        """PUBACK for all of them in this order, as one write."""
        if self._state is not _CONNECTED:
            self._may(Call.SEND)
            return
        waiting = self._unacknowledged
        before = len(waiting)
        waiting.difference_update(packet_ids)
        # An MQTT 3 client may use an identifier again before its answer, so there the count proves nothing.
        if self._level == 5 and before - len(waiting) != len(packet_ids):
            raise UsageError("a PUBACK for a packet identifier that waits for none")
        self._output.append(pubacks(packet_ids))

    def refuse_publish(self, packet_id: int, reason: int) -> bool:
        """Refuse a QoS 1 message. MQTT 3 has no word for that: False then, and the caller must close."""
        if reason not in PUBACK_CODES or reason < FAILURE:
            raise UsageError(f"PUBACK cannot refuse with 0x{reason:02X}")
        if self._level != 5:
            return False
        if self._may(Call.SEND):
            self._unacknowledged.discard(packet_id)
            self._answer(v5.write(Puback(packet_id=packet_id, reason=reason)))
        return True

    def grant(self, packet_id: int, codes: Sequence[int]) -> None:
        """SUBACK: per filter the QoS granted, 0 or 1, or a failure of MQTT 5, which MQTT 3 hears as 0x80."""
        if not self._answers(packet_id, codes):
            return
        if not SUBACK_CODES.issuperset(codes) or ReasonCode.GRANTED_QOS_2 in codes:
            raise UsageError(f"SUBACK with codes {list(codes)}; this server grants QoS 1 at most")
        if self._level == 5:
            self._answer(v5.write(Suback(packet_id=packet_id, codes=tuple(codes))))
        else:
            self._answer(v3.write(Suback(packet_id=packet_id, codes=tuple(min(code, FAILURE) for code in codes))))

    def confirm_unsubscribe(self, packet_id: int, codes: Sequence[int]) -> None:
        """UNSUBACK, with the codes where the version has them."""
        if not self._answers(packet_id, codes):
            return
        if not UNSUBACK_CODES.issuperset(codes):
            raise UsageError(f"UNSUBACK with codes {list(codes)}")
        packet = Unsuback(packet_id=packet_id, codes=tuple(codes))
        self._answer(v5.write(packet) if self._level == 5 else v3.write(packet))

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool = False,
        dup: bool = False,
        packet_id: int | None = None,
        user_properties: UserProperties = (),
        content_type: str | None = None,
        properties: PublishProperties | None = None,
    ) -> int | None:
        """Send a message. Returns its packet identifier, 0 with QoS 0; None if it cannot be sent now.

        That is: our window or the peer's receive maximum is used up (`window` is 0), the packet is larger than the
        peer takes (MQTT5-3.1.2-24), or the session is dead. `dup` and `packet_id` are for a message that is sent again
        on a new connection. MQTT 3 has no properties: they are left out. `properties`, if given, are all there are.
        """
        if not 0 <= qos <= MAX_QOS or (qos == 0 and (dup or packet_id is not None)):
            raise UsageError("QoS 0 or 1; DUP and a packet identifier with 1 only")
        if not self._may(Call.SEND):
            return None
        taken: int | None = 0
        if qos:
            taken = self._in_flight.take() if packet_id is None else self._in_flight.take_again(packet_id)
        if taken is None:
            return None
        packet = Publish(topic, payload, qos, retain, dup, taken)
        if self._level == 5:
            packet.properties = properties or PublishProperties(
                user_properties=user_properties, content_type=content_type
            )
        data = v5.write(packet) if self._level == 5 else v3.write(packet)
        if len(data) > self._peer_max_bytes:
            self._in_flight.release(taken)
            return None
        self._output.append(data)
        return taken

    def disconnect(self, reason: int) -> None:
        """End the connection: DISCONNECT with this reason in MQTT 5; MQTT 3 has no such packet from a server."""
        if reason not in SERVER_DISCONNECT_CODES:
            raise UsageError(f"a server's DISCONNECT has no reason 0x{reason:02X}")
        if self._may(Call.DISCONNECT) and self._state is State.CONNECTED:
            self._say_goodbye(reason, "")
        else:
            self._die(CALLED[self._state, Call.DISCONNECT])

    # Reading.

    def _hold(self, size: int) -> None:
        """So much waits for the login; it counts with what all others have sent before theirs."""
        before, self._held = self._held, size
        has_room = self._strangers.hold(before, size)
        if self._state is State.CONNECT_RECEIVED and self._frames.held > self._limits.max_early_bytes:
            what = f"more than {self._limits.max_early_bytes} bytes behind a CONNECT that is not answered yet"
            raise ProtocolError(what, reply=ReasonCode.QUOTA_EXCEEDED, spec="MQTT5 §4.13")
        if not has_room:
            what = f"{size} bytes before the login, while too much of other connections waits for theirs"
            raise ProtocolError(what, reply=ReasonCode.QUOTA_EXCEEDED, spec="MQTT5 §4.13")

    def _read_first(self, now: float) -> list[ServerEvent]:
        frame = self._frames.next()
        if frame is None:
            return []
        self._heard_at = now
        body = frame[1]
        protocol = read_protocol(body)
        if not admission.speaks(protocol, self._limits):
            level = admission.answer_level(protocol, self._limits)
            self._send_refusal(level, connack_code(Refusal.UNSUPPORTED_VERSION, level), "")
            raise admission.unsupported(protocol)
        self._level = protocol.level
        connect = read_connect(body, self._limits.properties)
        self._peer_max_bytes = min(admission.peer_max_bytes(connect), self._limits.max_sent_packet_bytes)
        admission.check(connect, self._limits)
        self._connect = connect
        self._state = RECEIVED[self._state, PacketType.CONNECT]
        event = admission.connect_received(connect, self._limits)
        self._expiry_s = event.session_expiry_s or 0
        self._in_flight = InFlight(min(self._limits.max_inflight, event.receive_maximum))
        return [event]

    def _read(self, data: bytes, now: float) -> list[ServerEvent]:
        """All whole packets of a client that is let in, `data` behind what was held."""
        events: list[ServerEvent] = []
        frames = self._frames
        on_publish = self._on_publish_5 if self._level == 5 else self._on_publish
        try:
            found = frames.take(data)
            if not found:
                self._note_progress(now)
            while found:
                self._heard_at = now
                for first, body in found:
                    if first >> 4 == _PUBLISH:
                        events.append(on_publish(first, body))
                    else:
                        self._on_packet(first, body, events)
                        if self._state is not State.CONNECTED:
                            return events
                if not frames.refused:
                    break
                found = frames.rest()
        except ProtocolError as error:
            if not events:
                self._fail(error)
                raise
            self._failure = error
        return events

    def _note_progress(self, now: float) -> None:
        """A part of a packet has come: a client that sends a large one over a slow line can send no ping meanwhile."""
        held = self._frames.held
        if held < self._progress:
            self._progress = 0  # another packet
        if held - self._progress >= PROGRESS_BYTES:
            self._progress = held
            self._heard_at = now

    def _on_publish(self, first: int, body: bytes) -> Publish:
        publish = v3.read_publish(first, body, self._topics)
        if publish.qos:
            self._unacknowledged.add(publish.packet_id)
        return publish

    def _on_publish_5(self, first: int, body: bytes) -> Publish:
        publish = v5.read_publish(first, body, self._topics, self._limits.properties)
        properties = publish.properties
        assert properties is not None
        if properties.subscription_identifiers:
            raise violation("a client's PUBLISH with a subscription identifier", "MQTT5-3.3.4-6")
        if publish.qos:
            self._count(publish.packet_id)
        if properties.topic_alias is not None:
            publish.topic = self._aliases.resolve(properties.topic_alias, publish.topic)
        return publish

    def _count(self, packet_id: int) -> None:
        """Count a QoS 1 message against our receive maximum."""
        if packet_id in self._unacknowledged:
            raise violation("a packet identifier that is in use", "MQTT5-2.2.1-3")
        if len(self._unacknowledged) >= self._limits.receive_maximum:
            what = f"more than {self._limits.receive_maximum} messages that are not acknowledged yet"
            raise ProtocolError(what, reply=ReasonCode.RECEIVE_MAXIMUM_EXCEEDED, spec="MQTT5-3.3.4-7")
        self._unacknowledged.add(packet_id)

    def _on_packet(self, first: int, body: bytes, events: list[ServerEvent]) -> None:
        """Any packet but PUBLISH, of a type that the frame reader lets through in this state."""
        assert self._level is not None
        packet: Packet
        if self._level == 5:
            packet = v5.read(first, body, self._limits.properties)
        else:
            packet = v3.read(first, body, level=self._level)
        match packet:
            case Puback():
                # One that is not in flight is no error in any version: it may answer a message of an older connection.
                if self._in_flight.release(packet.packet_id):
                    events.append(PublishAcknowledged(packet_id=packet.packet_id, reason=packet.reason))
            case Subscribe() | Unsubscribe() if self._is_sent_again(first, packet.packet_id):
                pass
            case Subscribe():
                events.append(self._on_subscribe(packet))
            case Unsubscribe():
                events.append(self._on_unsubscribe(packet))
            case Pingreq():
                self._output.append(b"\xd0\x00")
            case Disconnect():
                events.append(self._on_disconnect(packet))
            case _:
                raise violation(f"{PacketType(first >> 4).name} is not for a server", "MQTT5 §4.13.1")

    def _is_sent_again(self, first: int, packet_id: int) -> bool:
        """Whether a request is one that we have yet to answer, sent again: only MQTT 3.1 has DUP on requests (§3.8)."""
        if packet_id not in self._asked:
            return False
        if first & 8:  # the frame reader lets it through at level 3 alone
            return True
        raise violation("a packet identifier that is in use", "MQTT5-2.2.1-3, MQTT311-2.3.1-2")

    def _on_subscribe(self, packet: Subscribe) -> SubscribeReceived:
        admission.check_filters([one.filter for one in packet.filters], self._limits)
        identifier = None
        users: UserProperties = ()
        if packet.properties is not None:
            identifier = packet.properties.subscription_identifier
            users = packet.properties.user_properties
            admission.check_subscription(packet, self._limits)
        self._asked[packet.packet_id] = len(packet.filters)
        return SubscribeReceived(
            packet_id=packet.packet_id,
            filters=packet.filters,
            subscription_identifier=identifier,
            user_properties=users,
        )

    def _on_unsubscribe(self, packet: Unsubscribe) -> UnsubscribeReceived:
        admission.check_filters(packet.filters, self._limits)
        self._asked[packet.packet_id] = len(packet.filters)
        users = packet.properties.user_properties if packet.properties is not None else ()
        return UnsubscribeReceived(packet_id=packet.packet_id, filters=packet.filters, user_properties=users)

    def _on_disconnect(self, packet: Disconnect) -> Disconnected:
        """Spec: MQTT 3.1.1 §3.14.4, MQTT 5 §3.14."""
        expiry_s = None if packet.properties is None else packet.properties.session_expiry_s
        if packet.reason not in CLIENT_DISCONNECT_CODES:
            raise violation(f"a client's DISCONNECT with reason 0x{packet.reason:02X}", "MQTT5-3.14.2-1")
        if expiry_s and not self._expiry_s:
            raise violation("a session that ends with its connection cannot be given a life", "MQTT5 §3.14.2.2.2")
        clean = packet.reason == 0
        will = self._take_will()
        self._die(RECEIVED[self._state, PacketType.DISCONNECT])
        return Disconnected(
            clean=clean,
            reason=packet.reason,
            will=None if clean else will,
            session_expiry_s=None if expiry_s is None else min(expiry_s, self._limits.max_session_expiry_s),
        )

    # Helpers of the answers.

    def _may(self, call: Call) -> bool:
        """Whether a call has an effect; False on a dead session. Raises UsageError if it comes out of turn."""
        if (self._state, call) not in CALLED:
            raise UsageError(f"{call.value} while {self._state.value}")
        return self._state is not State.DISCONNECTED

    def _answers(self, packet_id: int, codes: Sequence[int]) -> bool:
        """Whether an answer to SUBSCRIBE or UNSUBSCRIBE can be sent; it must have a code per filter."""
        if not self._may(Call.SEND):
            return False
        if self._asked.pop(packet_id, None) != len(codes):
            raise UsageError(f"{len(codes)} codes for packet {packet_id}, which did not ask for so many")
        return True

    def _answer(self, data: bytes) -> None:
        """Send an answer; a client that will not take so large a packet cannot be served (MQTT5-3.1.2-24)."""
        if len(data) <= self._peer_max_bytes:
            self._output.append(data)
            return
        self._say_goodbye(ReasonCode.PACKET_TOO_LARGE, "")
        self._ending = Disconnected(clean=False, reason=ReasonCode.PACKET_TOO_LARGE, will=self._take_will())

    # The end.

    def _take_will(self) -> Will | None:
        will, self._will = self._will, None
        return will

    def _die(self, state: State) -> None:
        self._state = state
        self._failure = None
        self._early = False
        self._hold(0)
        self._frames.drop()

    def _fail(self, error: ProtocolError) -> ProtocolError:
        """The peer broke a rule: say goodbye in its version's words. The will stays due for `connection_lost`."""
        reply = error.reply if isinstance(error.reply, int) else ReasonCode.PROTOCOL_ERROR
        self._say_goodbye(reply, error.what)
        return error

    def _say_goodbye(self, reason: int, why: str) -> None:
        """The last packet there is, if the version has one for this moment; then the session is dead."""
        if self._state is State.CONNECTED:
            if self._level == 5:
                self._send_disconnect(reason, why)
        elif self._level is not None and reason != ReasonCode.KEEP_ALIVE_TIMEOUT:
            self._send_refusal(self._level, reason, why)
        self._die(State.DISCONNECTED)

    def _send_refusal(self, level: int, code: int, why: str) -> None:
        if level == 5:
            code = code if code in CONNACK_CODES else ReasonCode.PROTOCOL_ERROR
            told = Connack(session_present=False, code=code, properties=ConnackProperties(reason_string=why or None))
            self._send_if_it_fits(v5.write(told), v5.write(Connack(session_present=False, code=code)))
        elif 1 <= code <= v3.LAST_RETURN_CODE:
            self._output.append(v3.write(Connack(session_present=False, code=code)))
        # Else MQTT 3 has no code for it, and the connection is just closed (MQTT311-3.2.2-6).

    def _send_disconnect(self, reason: int, why: str) -> None:
        reason = reason if reason in SERVER_DISCONNECT_CODES else ReasonCode.PROTOCOL_ERROR
        told = Disconnect(reason, DisconnectProperties(reason_string=why or None))
        self._send_if_it_fits(v5.write(told), v5.write(Disconnect(reason)))

    def _send_if_it_fits(self, full: bytes, short: bytes) -> None:
        """The longer form, or the shorter, or nothing (MQTT5-3.14.2-3, MQTT5-3.2.2-19)."""
        fitting = [data for data in (full, short) if len(data) <= self._peer_max_bytes]
        self._output += fitting[:1]
