"""The hub behind the protocol heads: who is connected, where messages go, twins and methods."""

import asyncio
import secrets
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, Protocol

import orjson

from edgewire.iothub.limits import MAX_METHOD_NAME_CHARS, MAX_METHOD_PAYLOAD_BYTES
from edgewire.message import UPSTREAM, Endpoint, Identity, Message, identity
from standin import devicebound, events, inputs
from standin.devicebound import C2dMessage, C2dSettings, Devicebound, Locked
from standin.documents import Documents, JsonObject
from standin.errors import HubError
from standin.events import EventLog, event_for, proof_text
from standin.faults import Faults
from standin.feedback import Feedback
from standin.inputs import Delivery, Inputs
from standin.journal import Done, Journal, Statement
from standin.locked import Settlement
from standin.notes import Notes
from standin.policies import Policies
from standin.registry import Entry, Registry, RegistryError
from standin.routes import Routes
from standin.show import event_line
from standin.twins import Twin, Twins, read_patch

_SESSION: Final = "session"
_SECRET: Final = "secret"  # noqa: S105 - a kind of document


class Closing(Enum):
    """Why the hub ends a connection that did nothing wrong by its protocol."""

    TAKEN_OVER = "taken over"
    NO_LONGER_ALLOWED = "no longer allowed"
    TOKEN_EXPIRED = "token expired"  # noqa: S105 - a reason, not a secret
    NOT_KEPT = "message not kept"
    THROTTLED = "throttled"
    SHUT_DOWN = "shut down"


class Line(Protocol):
    """One connection that many devices and modules share; each of them is a `Client` besides."""

    def close(self, reason: Closing) -> None:
        """End the connection in an orderly way; all its clients leave the hub at once."""

    def abort(self) -> None:
        """End the connection as a cut cable does; all its clients leave the hub at once."""

    def withdraw(self, who: Identity) -> None:
        """Forget that this identity has proven itself here."""


class Client(Protocol):
    """One connected device or module, whatever protocol it speaks."""

    @property
    def identity(self) -> Identity:
        """Who it is."""

    def close(self, reason: Closing) -> None:
        """End the connection in an orderly way."""

    def abort(self) -> None:
        """End the connection as a cut cable does."""

    def send_desired(self, patch: JsonObject) -> None:
        """Notify of a desired patch, `$version` inside, if the client asked for them."""

    def send_method(self, request_id: str, name: str, payload: bytes) -> bool:
        """Send a method request; False if the client does not take methods."""

    def send_inputs(self) -> None:
        """Send what waits for the module, as far as the client takes it."""

    def send_devicebound(self) -> None:
        """Send the messages from the cloud that wait for the device, as far as the client takes them."""


@dataclass(frozen=True, slots=True)
class MethodResult:
    """What a device answered."""

    status: int
    payload: bytes


class MethodError(HubError):
    """A method that got no answer, with the code IoT Hub gives to the caller."""


@dataclass(slots=True)
class _Unit:
    """Messages that are kept together or not at all, and who waits for that."""

    upstream: Sequence[Message]
    deliveries: list[Delivery]
    statements: list[Statement]
    done: Done


class Hub:
    """All state of one stand-in. Called on the event loop only."""

    def __init__(
        self,
        directory: Path,
        *,
        edge_device: str,
        routes: Routes,
        show: Callable[[str], None] | None = None,
        c2d: C2dSettings = devicebound.DEFAULTS,
        partitions: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        path = directory / "events.db"
        # The first of all, as it may refuse: there is no thread and no file to close yet.
        self.events = EventLog(path, partitions=partitions, proof=self._proof)
        self._documents = Documents(directory / "state.db")
        self._journal = Journal(path, (events.SCHEMA, inputs.SCHEMA))
        self._routes = routes
        self._show = show
        self._clients: dict[Identity, Client] = {}
        self._lines: set[Line] = set()
        self._turn: list[_Unit] = []
        """What came in this turn of the event loop: one write for all of it."""
        self._sessions = self._documents.all(_SESSION)
        self._calls: dict[tuple[Identity, str], asyncio.Future[MethodResult]] = {}
        self._desired_watchers: list[Callable[[Identity], None]] = []
        self._changed = asyncio.Event()
        self.edge_device = edge_device
        self.registry = Registry(self._documents)
        self.policies = Policies(self._documents)
        self.twins = Twins(self._documents)
        self.inputs = Inputs(path)
        self._devicebound = Devicebound(
            directory / "state.db", c2d, clock=clock, generation=self._generation, ready=self._devicebound_ready
        )
        self.faults = Faults()
        self.notes = Notes(clock)
        self.counters: Counter[str] = Counter()
        self.changed_at: dict[Identity, float] = {}
        """When an identity last came or went, in seconds since 1970, since this start."""

    def note(self, text: str) -> None:
        """Keep a line for the page, and tell the person at the terminal, if anybody wants to see it."""
        # Nothing a device sends may move the cursor or start a new line.
        line = text if text.isprintable() else ascii(text)[1:-1]
        self.notes.add(line)
        if self._show is not None:
            self._show(line)

    # Connections

    def connect(self, client: Client) -> None:
        """This client speaks for its identity from now on; an older connection is closed."""
        older = self._clients.get(client.identity)
        self._clients[client.identity] = client
        self.changed_at[client.identity] = time.time()
        if older is not None:
            self.counters[f"closed: {Closing.TAKEN_OVER.value}"] += 1
            older.close(Closing.TAKEN_OVER)
            self._devicebound.release(client.identity, older)
        self.inputs.release(client.identity)
        self._tell_change()

    def disconnect(self, client: Client) -> None:
        """The connection is gone; nothing happens if another one has taken over."""
        if self._clients.get(client.identity) is client:
            del self._clients[client.identity]
            self.changed_at[client.identity] = time.time()
            self.inputs.release(client.identity)
            self._devicebound.release(client.identity, client)
            self._tell_change()

    def join(self, line: Line) -> None:
        """A connection for many identities has opened."""
        self._lines.add(line)

    def leave(self, line: Line) -> None:
        """It is gone; a second call does nothing."""
        self._lines.discard(line)

    def connected(self) -> tuple[Identity, ...]:
        """Who is connected."""
        return tuple(self._clients)

    def client_changed(self) -> None:
        """A client has subscribed to something: whoever waits for that looks again."""
        self._tell_change()

    def drop_connections(self) -> int:
        """Cut all connections without a word. Returns how many."""
        lines = tuple(self._lines)
        for line in lines:
            line.abort()
        clients = tuple(self._clients.values())
        for client in clients:
            client.abort()
        return len(lines) + len(clients)

    def session(self, who: Identity) -> JsonObject | None:
        """The stored session: filters and their QoS, or None."""
        return self._sessions.get(str(who))

    def store_session(self, who: Identity, filters: JsonObject) -> None:
        """Keep the subscriptions of a session that is not clean."""
        self._sessions[str(who)] = filters
        self._documents.put(_SESSION, str(who), filters)

    def forget_session(self, who: Identity) -> None:
        """A clean session was asked for: nothing of an older one stays."""
        if self._sessions.pop(str(who), None) is not None:
            self._documents.delete(_SESSION, str(who))

    # Registry

    def add(self, entry: Entry) -> Entry:
        """Keep a new device or module."""
        return self.registry.add(entry)

    def set_enabled(self, who: Identity, *, enabled: bool) -> None:
        """Enable or disable; who is disabled is disconnected, a device with its modules."""
        self.registry.set_enabled(who, enabled=enabled)
        if enabled:
            return
        modules = () if who.module is not None else self.registry.modules(who.device)
        for each in (who, *(entry.identity for entry in modules)):
            self._close(each, Closing.NO_LONGER_ALLOWED)

    def remove(self, who: Identity) -> None:
        """Remove a device with its modules, or a module: entry, twin, session, connection."""
        for gone in self.registry.remove(who):
            self.twins.remove(gone)
            self._devicebound.drop(gone)
            self.changed_at.pop(gone, None)
            self.forget_session(gone)
            self._close(gone, Closing.NO_LONGER_ALLOWED)
            if gone.module is not None:
                self._journal.write([self.inputs.drop(gone)], lambda _: None)

    def resolve(self, text: str) -> Identity:
        """The identity a person means: `device/module`, a module of the edge device, or a device.

        Raises RegistryError if the registry has none of them.
        """
        device, slash, module = text.partition("/")
        wanted = (identity(device, module),) if slash else (identity(self.edge_device, text), identity(text))
        for each in wanted:
            if self.registry.get(each) is not None:
                return each
        raise RegistryError(f"{text} is neither a device nor a module here; `standin devices list` shows what is.")

    # Messages

    def use_routes(self, routes: Routes) -> None:
        """Route what the edge device's modules send from now on by these."""
        self._routes = routes

    def receive(self, message: Message, done: Done) -> None:
        """Route a message; `done(True)` once it is committed, `done(False)` if it cannot be kept."""
        self.receive_batch((message,), done)

    def receive_batch(self, messages: Sequence[Message], done: Done) -> None:
        """Route messages of one sender, `done` as for `receive`: all of them are kept, or none."""
        done = self._wrong_on_purpose(len(messages), done)
        sender = messages[0].envelope.sender
        if sender.device != self.edge_device or sender.module is None:
            self._keep(_Unit(messages, [], [], done))  # it speaks to the hub, not to edgeHub
            return
        unit = _Unit(upstream := [], [], [], done)
        for message in messages:
            endpoints = self._routes.match(sender.module, message.envelope.system.get("outputName"))
            if not endpoints:
                self.counters["messages unrouted"] += 1
            if UPSTREAM in endpoints:
                upstream.append(message)
            if not self._number_inputs(unit, endpoints, message):
                self.counters["messages refused: input full"] += len(messages)
                self._abandon(unit.deliveries)
                done(False)
                return
        if upstream or unit.deliveries:
            self._keep(unit)
        else:
            done(True)

    def _wrong_on_purpose(self, messages: int, done: Done) -> Done:
        """Count messages that came in, and give who hears of them: later, if asked for."""
        loop, delay_s = asyncio.get_running_loop(), self.faults.acknowledgement_delay_s
        if self.faults.drops_with(messages):
            loop.call_soon(self.drop_connections)
        if not delay_s:
            return done

        def done_late(kept: bool) -> None:  # noqa: FBT001 - the one value a Done gets
            loop.call_later(delay_s, done, kept)

        return done_late

    def settle(self, delivery: Delivery) -> None:
        """The module has acknowledged this message."""
        self.counters["inputs delivered"] += 1
        # If this is not kept the module gets the message again after a restart: at least once, as promised.
        self._journal.write([self.inputs.settle(delivery)], lambda _: None)

    # Messages to devices (HubError for what IoT Hub refuses)

    @property
    def feedback(self) -> Feedback:
        """What became of messages to devices, for whoever sent them."""
        return self._devicebound.feedback

    def send_c2d(self, who: Identity, message: C2dMessage) -> int:
        """Queue a message for a device; it is on disk when this returns its sequence number."""
        if self.registry.get(who) is None:
            raise HubError(404001, f"{who} is not in the registry")
        number = self._devicebound.send(who, message)
        self.counters["c2d queued"] += 1
        self._devicebound_ready(who)
        return number

    def lock_c2d(self, who: Identity, holder: object = None) -> Locked | None:
        """Take the oldest message of a device that nobody has taken; None if there is none.

        `holder`: the client that takes it; when it goes, so do its locks. None: only time ends the lock.
        """
        return self._devicebound.lock(who, holder)

    def settle_c2d(self, who: Identity, lock_token: uuid.UUID, settlement: Settlement) -> None:
        """Say what became of a message; 412002 if its lock is lost."""
        self._devicebound.settle(who, lock_token, settlement)
        self.counters[f"c2d {settlement.value}"] += 1

    def put_back_c2d(self, who: Identity, lock_token: uuid.UUID) -> None:
        """What was taken could not be sent now, and was not delivered in vain."""
        self._devicebound.put_back(who, lock_token)

    def release_c2d(self, who: Identity, holder: object) -> None:
        """This client takes no more: the locks it has are lost."""
        self._devicebound.release(who, holder)

    def purge_c2d(self, who: Identity) -> int:
        """Remove all that waits for a device. Returns how many messages that were."""
        return self._devicebound.purge(who)

    def c2d_waiting(self, who: Identity) -> int:
        """How many messages a device has not settled."""
        return self._devicebound.waiting(who)

    # Twins and methods

    def twin(self, who: Identity) -> Twin:
        """The twin of this identity."""
        return self.twins.get(who)

    def patch_reported(self, who: Identity, body: bytes) -> int:
        """Merge what a device reported. Returns the new version; raises TwinError."""
        version = self.twins.patch_reported(who, read_patch(body))
        self.counters["twin patches reported"] += 1
        return version

    def patch_desired(self, who: Identity, patch: JsonObject) -> int:
        """Merge what a person wants, and notify the device. Returns the new version; raises TwinError."""
        wanted = {key: value for key, value in patch.items() if key not in {"$version", "$metadata"}}
        version = self.twins.patch_desired(who, wanted)
        self.tell_desired(who, wanted, version)
        return version

    def tell_desired(self, who: Identity, patch: JsonObject, version: int) -> None:
        """Tell the device, if it is here, what has changed in its desired properties, and tell whoever watches."""
        client = self._clients.get(who)
        if client is not None and not self.faults.stalled:
            client.send_desired({**patch, "$version": version})
        for watcher in self._desired_watchers:
            watcher(who)

    def watch_desired(self, watcher: Callable[[Identity], None]) -> None:
        """Call this whenever the desired properties of somebody have changed."""
        self._desired_watchers.append(watcher)

    async def invoke_method(
        self,
        who: Identity,
        name: str,
        payload: Any = None,
        *,
        response_timeout_s: float = 30,
        connect_timeout_s: float = 0,
    ) -> MethodResult:
        """Call a direct method and wait for the answer. Raises MethodError, with IoT Hub's code."""
        try:
            body = orjson.dumps(payload)
        except orjson.JSONEncodeError:
            raise MethodError(400004, "the payload is nested too deeply to be sent") from None
        if not 1 <= len(name) <= MAX_METHOD_NAME_CHARS or len(body) > MAX_METHOD_PAYLOAD_BYTES:
            raise MethodError(400004, "a method name has 1 to 100 characters, a payload at most 128 KiB")
        request_id = self._next_request_id()
        answer: asyncio.Future[MethodResult] = asyncio.get_running_loop().create_future()
        self._calls[who, request_id] = answer
        try:
            await self._send_method(who, request_id, name, body, connect_timeout_s)
            async with asyncio.timeout(response_timeout_s):
                return await answer
        except TimeoutError as error:
            raise MethodError(504101, f"{who} did not answer {name} within {response_timeout_s:g} s") from error
        finally:
            del self._calls[who, request_id]

    def method_answered(self, who: Identity, request_id: str, result: MethodResult) -> None:
        """The device answered; an answer nobody waits for is counted."""
        answer = self._calls.get((who, request_id))
        if answer is None or answer.done():
            self.counters["method answers nobody waits for"] += 1
            return
        answer.set_result(result)

    def secret(self) -> bytes:
        """A secret of this run directory, made at the first use."""
        found = self._documents.all(_SECRET).get("hub")
        if found is None:
            found = {"hex": secrets.token_hex(32)}
            self._documents.put(_SECRET, "hub", found)
        return bytes.fromhex(found["hex"])

    @property
    def documents(self) -> Documents:
        """Where the service side keeps what is no device, module or twin."""
        return self._documents

    def close(self) -> None:
        """Close all connections, commit what was received, close the files."""
        for line in tuple(self._lines):
            line.close(Closing.SHUT_DOWN)
        for client in tuple(self._clients.values()):
            client.close(Closing.SHUT_DOWN)
        self._hand_over()
        self._journal.close()
        self.events.close()
        self._devicebound.close()
        self._documents.close()

    def _keep(self, unit: _Unit) -> None:
        if not self._turn:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._turn.append(unit)

    def _hand_over(self) -> None:
        """What came in this turn goes to the disk."""
        units, self._turn = self._turn, []
        if not units:
            return
        upstream = [message for unit in units for message in unit.upstream]
        enqueued_at = time.time()
        first, statements = self.events.number(enqueued_at, upstream)
        for unit in units:
            statements += unit.statements

        def written(kept: bool) -> None:  # noqa: FBT001 - the one value a Done gets
            if kept and upstream:
                self._arrived(first, enqueued_at, upstream)
            elif upstream:
                self.events.lost(first + len(upstream) - 1)
            for unit in units:
                self._written(unit, kept=kept)

        self._journal.write(statements, written)

    def _number_inputs(self, unit: _Unit, endpoints: Sequence[Endpoint], message: Message) -> bool:
        """Add a delivery and its statement for each input; False if one of them is full."""
        for endpoint in endpoints:
            if endpoint != UPSTREAM:
                numbered = self.inputs.number(self.edge_device, endpoint, message)
                if numbered is None:
                    return False
                unit.deliveries.append(numbered[0])
                unit.statements.append(numbered[1])
        return True

    def _proof(self, who: Identity) -> str | None:
        """How a sender is known, for the events it sends."""
        entry = self.registry.get(who)
        return None if entry is None else proof_text(entry.authentication.value, entry.generation_id)

    def _arrived(self, first: int, enqueued_at: float, messages: Sequence[Message]) -> None:
        self.events.committed(first + len(messages) - 1)
        self.counters["events"] += len(messages)
        if self._show is not None:
            for sequence, message in enumerate(messages, first):
                self._show(event_line(event_for(sequence, enqueued_at, message)))

    def _written(self, unit: _Unit, *, kept: bool) -> None:
        if not kept:
            self._abandon(unit.deliveries)
            self.counters["messages refused: not written"] += max(len(unit.upstream), 1)
            unit.done(False)
            return
        for delivery in unit.deliveries:
            self.inputs.committed(delivery)
            self.counters["inputs queued"] += 1
            client = self._clients.get(delivery.target)
            if client is not None and not self.faults.stalled:
                client.send_inputs()
        unit.done(True)

    def _abandon(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            self.inputs.abandoned(delivery)

    def _close(self, who: Identity, reason: Closing) -> None:
        for line in self._lines:
            line.withdraw(who)
        client = self._clients.get(who)
        if client is not None:
            self.counters[f"closed: {reason.value}"] += 1
            client.close(reason)

    def _generation(self, who: Identity) -> str:
        entry = self.registry.get(who)
        return "" if entry is None else entry.generation_id

    def _devicebound_ready(self, who: Identity) -> None:
        client = self._clients.get(who)
        if client is not None and not self.faults.stalled:
            client.send_devicebound()

    def _next_request_id(self) -> str:
        # .NET's client reads it as a uuid (iothub_wire.md §2.4).
        return str(uuid.uuid4())

    async def _send_method(
        self, who: Identity, request_id: str, name: str, payload: bytes, connect_timeout_s: float
    ) -> None:
        """Send it now, or as soon as the device listens. Raises MethodError if it does not within the time."""
        try:
            async with asyncio.timeout(connect_timeout_s):
                while not self._try_method(who, request_id, name, payload):
                    await self._changed.wait()
        except TimeoutError as error:
            raise MethodError(404103, f"{who} is not connected, or takes no methods") from error

    def _try_method(self, who: Identity, request_id: str, name: str, payload: bytes) -> bool:
        client = self._clients.get(who)
        if client is None:
            return False
        # A stalled hub looks connected: the request is lost, and the caller's time runs out.
        return self.faults.stalled or client.send_method(request_id, name, payload)

    def _tell_change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
