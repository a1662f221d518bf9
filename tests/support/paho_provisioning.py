"""Provisioning as a board without an SDK does it: paho-mqtt and the topics of iothub_wire.md §5.1, nothing else."""

import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Self

from paho.mqtt import client as paho

from edgewire.iothub import sas
from support.azure_device import Inbox, blocking

RESULTS: Final = "$dps/registrations/res/#"
REGISTER: Final = "$dps/registrations/PUT/iotdps-register/?$rid={}"
POLL: Final = "$dps/registrations/GET/iotdps-get-operationstatus/?$rid={}&operationId={}"
MAX_POLLS: Final = 10
LOOK_EVERY_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Who registers, where, and what it proves itself with: a key in base64, a token, or a certificate's files."""

    host: str
    scope: str
    registration: str
    trust: str
    key: str = ""
    token: str = ""
    files: tuple[str, str] | None = None
    client_id: str = ""
    port: int = 8883
    version: int = paho.MQTTv311

    @property
    def resource(self) -> str:
        """What its token is for."""
        return f"{self.scope}/registrations/{self.registration}"

    def make_token(self, life_s: int = 3600) -> str:
        """One like Python's SDK makes."""
        return sas.make(self.resource, sas.decode_key(self.key), int(time.time()) + life_s)


@dataclass(frozen=True, slots=True)
class Told:
    """One answer: its status, what else its topic says, and the document."""

    status: int
    fields: dict[str, str]
    document: dict[str, Any] = field(default_factory=dict)


class Registration:
    """One connection to the service, or to a gateway in its place; `async with` it."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._jobs: deque[Callable[[], object]] = deque()
        """For its thread: OpenSSL's connections are for one thread at a time, and paho acknowledges in its own."""
        self.connects, self.disconnects, self._granted, self._answers = Inbox(), Inbox(), Inbox(), Inbox()
        clean = None if board.version == paho.MQTTv5 else True
        self.client = paho.Client(board.client_id or board.registration, clean_session=clean, protocol=board.version)
        context = ssl.create_default_context(cadata=board.trust)
        if board.files is not None:
            context.load_cert_chain(*board.files)
        self.client.tls_set_context(context)
        token = board.token or (board.make_token() if board.key else None)
        self.client.username_pw_set(f"{board.resource}/api-version=2019-03-31&ClientVersion=board", token)
        self.client.on_connect = lambda *args: self.connects(int(getattr(args[3], "value", args[3])))
        self.client.on_disconnect = lambda *args: self.disconnects(int(getattr(args[2], "value", args[2])))
        self.client.on_subscribe = lambda *args: self._granted([int(getattr(each, "value", each)) for each in args[3]])
        self.client.on_message = lambda _client, _data, message: self._answers(message)
        self._thread = threading.Thread(target=self._run, name=f"registers {board.registration}")
        self._rid = 0

    async def __aenter__(self) -> Self:
        await blocking(self.client.connect, self.board.host, self.board.port)
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._jobs.append(self.client.disconnect)
        await blocking(self._thread.join)

    def _run(self) -> None:
        while self.client.loop(LOOK_EVERY_S) == paho.MQTT_ERR_SUCCESS:
            while self._jobs:
                self._jobs.popleft()()

    async def listen(self, qos: int = 1) -> list[int]:
        """Subscribe to answers: what is granted."""
        self._jobs.append(lambda: self.client.subscribe(RESULTS, qos))
        granted: list[int] = await self._granted.next()
        return granted

    async def register(self, **document: Any) -> Told:
        """Ask to be assigned."""
        self._rid += 1
        body = {"registrationId": self.board.registration} | document
        return await self._ask(REGISTER.format(self._rid), json.dumps(body))

    async def poll(self, operation: str) -> Told:
        """Ask what has become of it."""
        self._rid += 1
        return await self._ask(POLL.format(self._rid, operation), " ")

    async def assigned(self, **document: Any) -> dict[str, Any]:
        """The whole flow: the registration state of a device that is assigned."""
        assert await self.connects.next() == 0
        assert await self.listen() == [1]
        told = await self.register(**document)
        assert told.status == 202, told
        for _ in range(MAX_POLLS):
            if told.document["status"] != "assigning":
                break
            assert int(told.fields.get("retry-after", "0")) <= 10
            told = await self.poll(told.document["operationId"])
        assert (told.status, told.document["status"]) == (200, "assigned"), told
        state: dict[str, Any] = told.document["registrationState"]
        return state

    async def _ask(self, topic: str, body: str) -> Told:
        self._jobs.append(lambda: self.client.publish(topic, body, qos=1))
        message = await self._answers.next()
        path, _, query = message.topic.partition("/?")
        fields = dict(each.partition("=")[::2] for each in query.split("&"))
        assert fields.pop("$rid") == str(self._rid)
        return Told(int(path.rpartition("/")[2]), fields, json.loads(message.payload))
