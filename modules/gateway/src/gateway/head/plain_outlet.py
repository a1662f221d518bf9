"""What goes out to one client of the plain listener: as fast as it reads, and no faster."""

import asyncio
from collections.abc import Callable
from typing import Final

from edgewire.codec.mqtt.properties import PublishProperties
from edgewire.session.mqtt.events import ServerEvent
from edgewire.session.mqtt.server import ServerSession
from edgewire.transport.pump import Pump
from gateway.broker.messages import PLAIN, LocalMessage, Parcel
from gateway.broker.sessions import TooLargeError
from gateway.dispatch.echoes import with_our_name

MAX_UNSENT_BYTES: Final = 65_536
"""Handed to the session in one turn of the loop; the rest waits in the broker's queue, which has a bound."""


class PlainOutlet:
    """The broker's way to one connection. Writes of one turn of the loop leave as one.

    on_room: called when more can be sent. on_sent: hears each message that leaves, where it may come back; else None.
    """

    __slots__ = (
        *("_clock", "_flushing", "_is_open", "_on_room", "_paused", "_pump", "_session", "_unsent"),
        *("gateway", "on_sent"),
    )

    def __init__(
        self,
        session: ServerSession,
        pump: Pump[ServerEvent],
        *,
        clock: Callable[[], float],
        on_room: Callable[[], None],
    ) -> None:
        self._session = session
        self._pump = pump
        self._clock = clock
        self._on_room = on_room
        self.on_sent: Callable[[LocalMessage], None] | None = None
        self.gateway = ""
        """Our name, for bridges: it goes along with each message, so that we know it when it comes round."""
        self._unsent = 0
        self._paused = False
        self._flushing = False
        self._is_open = False

    def open(self) -> None:
        """The client has been told that it is let in: messages may follow."""
        self._is_open = True

    def close(self) -> None:
        """Nothing leaves here any more."""
        self._is_open = False

    def send(self, parcel: Parcel, packet_id: int | None) -> int | None:
        """Send a message, or say that it cannot be sent now. Raises TooLargeError."""
        session, message = self._session, parcel.message
        if not self._is_open or self._paused or self._unsent > MAX_UNSENT_BYTES or session.dead:
            return None
        if parcel.qos and not session.window:
            return None
        sent = session.publish(
            message.topic,
            message.payload,
            qos=parcel.qos,
            retain=parcel.retain,
            dup=packet_id is not None,
            packet_id=packet_id,
            properties=self._properties(parcel) if session.level == 5 else None,
        )
        if sent is None:
            raise TooLargeError
        self._unsent += message.size
        if self.on_sent is not None:
            self.on_sent(message)
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)
        return sent

    def on_sending_paused(self) -> None:
        """The client reads more slowly than we send."""
        self._paused = True

    def on_sending_resumed(self) -> None:
        """It has caught up."""
        self._paused = False
        self._on_room()

    def _flush(self) -> None:
        self._flushing = False
        was_full = self._unsent > MAX_UNSENT_BYTES
        self._unsent = 0
        self._pump.flush()
        if was_full and not self._paused:
            self._on_room()

    def _properties(self, parcel: Parcel) -> PublishProperties | None:
        """What MQTT 5 hands on unchanged, and the time that is left (MQTT5-3.3.2-6)."""
        message, extras = parcel.message, parcel.message.extras
        if extras is PLAIN and message.expires_at is None and not parcel.identifiers and not self.gateway:
            return None
        users = extras.user_properties
        if self.gateway:
            users = tuple(with_our_name(users, self.gateway))
        left_s = None if message.expires_at is None else max(0, int(message.expires_at - self._clock()))
        return PublishProperties(
            payload_format=extras.payload_format,
            message_expiry_s=left_s,
            response_topic=extras.response_topic,
            correlation_data=extras.correlation_data,
            user_properties=users,
            subscription_identifiers=parcel.identifiers,
            content_type=extras.content_type,
        )
