"""A leaf device by paho-mqtt 1.6: TLS, QoS 0 and 1, MQTT 3.1.1 and 5, over TCP and WebSocket."""

import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from support.azure_device import Inbox, blocking
from support.clients import Client
from support.gateway_site import GatewaySite

JSON: Final = "%24.ct=application%2Fjson&%24.ce=utf-8"
LOOK_EVERY_S: Final = 0.2
ROWS: Final = {paho.MQTTv311: Client.PAHO.over("mqtt3"), paho.MQTTv5: Client.PAHO.over("mqtt5")}
"""Of docs/compatibility.md, by version."""
ROWS_OVER_WEBSOCKET: Final = {
    paho.MQTTv311: Client.PAHO.over("mqtt3-ws"),
    paho.MQTTv5: Client.PAHO.over("mqtt5-ws"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """How a device connects. `token` None is a good one; `client_id` None is the device's id."""

    version: int = paho.MQTTv311
    tls: ssl.SSLContext | None = None
    port: int = 8883
    websocket: bool = False
    token: str | None = None
    client_id: str | None = None
    username: str | None = None
    clean: bool = True


class PahoDevice:
    """One client and what it heard; made by `dial`."""

    def __init__(self, site: GatewaySite, device: str, how: Dial) -> None:
        self.device = device
        self.connects, self.disconnects, self.acknowledged = Inbox(), Inbox(), Inbox()
        clean = None if how.version == paho.MQTTv5 else how.clean
        self.client = paho.Client(
            how.client_id or device,
            clean_session=clean,
            protocol=how.version,
            transport="websockets" if how.websocket else "tcp",
        )
        self.client.tls_set_context(how.tls or site.client_tls())
        token = site.token(device) if how.token is None else how.token
        self.client.username_pw_set(how.username or site.username(device), token or None)
        self._thread = threading.Thread(target=self._run, name=f"paho-{device}")
        self.sessions: list[bool] = []
        self.client.on_connect = lambda *args: self._on_connect(args[2], args[3])
        self.client.on_disconnect = lambda *args: self.disconnects(_code(args[2]))
        self.client.on_publish = lambda *args: self.acknowledged(args[2])
        # Whoever has this callback is trusted to write: else paho writes in the caller's thread, too, beside its own,
        # and a TLS connection is for one thread at a time.
        self.client.on_socket_register_write = lambda *_: None

    @property
    def events_topic(self) -> str:
        """Where it publishes, without properties."""
        return f"devices/{self.device}/messages/events/"

    def start(self, address: str, port: int) -> None:
        """Open the socket, send CONNECT, and go on in a thread. Blocks."""
        self.client.connect(address, port)
        self._thread.start()

    def stop(self) -> None:
        """Say goodbye, if the connection is still there. Blocks."""
        self.client.disconnect()
        self._thread.join()

    def _on_connect(self, flags: dict[str, int], code: Any) -> None:
        """The answer to CONNECT; `sessions` knows whether the other side had a session."""
        self.sessions.append(bool(flags["session present"]))
        self.connects(_code(code))

    def _run(self) -> None:
        """Serve one connection to its end; paho's own thread would connect again, and take a second to stop."""
        while self.client.loop(LOOK_EVERY_S) == paho.MQTT_ERR_SUCCESS:
            pass

    async def publish(self, body: bytes | str, bag: str = "", *, qos: int = 1, properties: Any = None) -> None:
        """Send one message and, with QoS 1, wait until it is acknowledged."""
        self.client.publish(self.events_topic + bag, body, qos=qos, properties=properties)
        if qos:
            await self.acknowledged.next()

    async def subscribed(self, qos: int, *filters: str) -> Inbox:
        """Hear these from now on: the messages that come."""
        granted, messages = Inbox(), Inbox()
        self.client.on_subscribe = lambda *_: granted(None)
        self.client.on_message = lambda _client, _data, message: messages(message)
        for each in filters:
            self.client.subscribe(each, qos)
            await granted.next()
        return messages


@asynccontextmanager
async def dial(site: GatewaySite, device: str, how: Dial = Dial()) -> AsyncIterator[PahoDevice]:
    """A client that has opened its socket and sent CONNECT; it says goodbye at the end."""
    mine = PahoDevice(site, device, how)
    async with dialling(mine, site.address, how.port):
        yield mine


@asynccontextmanager
async def dialling(mine: PahoDevice, address: str, port: int) -> AsyncIterator[None]:
    """The same with a client that is made: what waits for a session comes at once, so it has to have its handlers."""
    await blocking(mine.start, address, port)
    try:
        yield
    finally:
        await blocking(mine.stop)


@asynccontextmanager
async def let_in(site: GatewaySite, device: str, how: Dial = Dial()) -> AsyncIterator[PahoDevice]:
    """A client that the gateway has let in."""
    async with dial(site, device, how) as mine:
        assert await mine.connects.next() == 0
        yield mine


def message_properties(*pairs: tuple[str, str], content_type: str | None = None) -> Any:
    """The properties of an MQTT 5 message."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = list(pairs)
    if content_type is not None:
        properties.ContentType = content_type
    return properties


def _code(answer: Any) -> int:
    """A return code of MQTT 3, or a reason code of MQTT 5, as a number."""
    return int(getattr(answer, "value", answer))
