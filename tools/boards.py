"""Three simulated boards: real MQTT clients over TLS, each with its own token.

Each sends what its kind sends, takes messages, and answers the method `blink`.
"""

import json
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from paho.mqtt import client as paho

from edgewire.iothub import sas
from edgewire.message import identity

JSON_TOPIC = "devices/{device}/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8"
TEXT_TOPIC = "devices/{device}/messages/events/%24.ct=text%2Fplain"
PERIOD_S = 1.5
TOKEN_LIFE_S = 3600
MESSAGES = "devices/{device}/messages/devicebound/#"
METHODS = "$iothub/methods/POST/#"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where boards connect: the gateway's address, the hub's name for their tokens, the root they trust."""

    gateway: str
    port: int
    hub: str
    root: Path


def boiler(chance: random.Random) -> Iterator[Mapping[str, object]]:
    """Mostly telemetry, now and then an alert."""
    while True:
        alert = chance.random() < 0.3
        yield {"messageType": "alert" if alert else "telemetry", "pressure": round(chance.uniform(1.0, 3.5), 2)}


def greenhouse(chance: random.Random) -> Iterator[Mapping[str, object]]:
    """A temperature that wanders about 30 degrees."""
    while True:
        yield {"messageType": "telemetry", "temperature": round(chance.gauss(30, 3), 1)}


def pump(chance: random.Random) -> Iterator[str]:
    """Plain text, which no body route reads."""
    while True:
        yield f"rpm={chance.randint(900, 1400)}"


KINDS: dict[str, Callable[[random.Random], Iterator[Mapping[str, object] | str]]] = {
    "boiler": boiler,
    "greenhouse": greenhouse,
    "pump": pump,
}


class Board:
    """One board; `start` connects and sends until `stop`. `tell` hears what came for it."""

    def __init__(self, device: str, key: str, site: Site, tell: Callable[[str], None]) -> None:
        self._device = device
        self._tell = tell
        self._key = sas.decode_key(key)
        self._site = site
        self._values = KINDS[device](random.Random(device))  # noqa: S311 — readings, no secrets
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send_all, name=f"board-{device}")
        self._client = paho.Client(client_id=device, clean_session=False)
        self._client.tls_set(ca_certs=str(site.root), tls_version=ssl.PROTOCOL_TLS_CLIENT)

    def start(self) -> None:
        """Connect and begin to send."""
        self._renew_token()
        self._client.on_disconnect = lambda *_: self._renew_token()
        self._client.on_connect = lambda *_: self._client.subscribe(
            [(MESSAGES.format(device=self._device), 1), (METHODS, 0)]
        )
        self._client.on_message = lambda _client, _data, message: self._take(message.topic, message.payload)
        self._client.connect(self._site.gateway, self._site.port, keepalive=60)
        self._client.loop_start()
        self._thread.start()

    def stop(self) -> None:
        """Send no more, say goodbye."""
        self._stopping.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, topic: str, body: bytes) -> None:
        """A message from the cloud, or a call."""
        if not topic.startswith("$iothub/methods/POST/"):
            self._tell(f"{self._device} got the message {body.decode(errors='replace')}")
            return
        name, _, request = topic.removeprefix("$iothub/methods/POST/").partition("/?$rid=")
        self._tell(f"{self._device} was called: {name} {body.decode(errors='replace')}")
        status, answer = (200, {"blinked": True}) if name == "blink" else (404, {"message": f"no method {name}"})
        self._client.publish(f"$iothub/methods/res/{status}/?$rid={request}", json.dumps(answer), qos=1)

    def _renew_token(self) -> None:
        resource = sas.resource_of(self._site.hub, identity(self._device))
        token = sas.make(resource, self._key, int(time.time()) + TOKEN_LIFE_S)
        self._client.username_pw_set(f"{self._site.hub}/{self._device}/?api-version=2021-04-12", token)

    def _send_all(self) -> None:
        for value in self._values:
            if self._stopping.wait(PERIOD_S):
                return
            topic = TEXT_TOPIC if isinstance(value, str) else JSON_TOPIC
            body = value if isinstance(value, str) else json.dumps(value)
            self._client.publish(topic.format(device=self._device), body, qos=1)
