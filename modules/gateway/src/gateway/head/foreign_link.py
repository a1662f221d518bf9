"""The thread that is a client of a broker: connects, reads as far as the disk keeps up, acknowledges, tries again.

All of the connection belongs to the thread. What it hears it hands over by `Owner.hear`, and what became of it comes
back by `settle`; orders are put into a queue, and one byte wakes the thread.

Back-pressure: with so much unanswered as `MAX_UNANSWERED` the socket is not read any more. What is QoS 1 the broker
then keeps in the session; of QoS 0 it drops what does not fit into its own queue.
"""

import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from edgewire.codec.mqtt.packets import Publish
from edgewire.transport.backoff import Backoff
from gateway.dispatch.mapped import Publication
from gateway.head.foreign_client import BrokerClient, BrokerError
from gateway.head.foreign_dialing import CONNECT_S, BrokerSettings, dial, password_of, tls_context
from gateway.head.foreign_known import KnownFilters
from gateway.head.foreign_notes import Notes, digest_of
from gateway.head.foreign_session import Heard, Session
from gateway.head.foreign_words import SUBSCRIPTION_REFUSALS, ended_tls, explained, goodbye, refusal
from gateway.identity.locked_file import LockedFileError
from gateway.observe.events import Event
from gateway.observe.foreign import (
    BrokerConnected,
    BrokerFault,
    BrokerLost,
    BrokerNotesNotKept,
    BrokerSessionLost,
    BrokerSubscribed,
    BrokerSubscriptionRefused,
    BrokerTryFailed,
)

LAST_TRY_S: Final = 60.0
"""The longest wait between tries: a broker that comes back after hours is found within a minute."""
STEADY_S: Final = 10.0
"""A connection that lasted so long was a good one: the next failure counts as the first."""
MAX_UNANSWERED: Final = 2_000
"""Messages that wait for the disk: twice what a broker of MQTT 5 may have unacknowledged."""
MAX_UNANSWERED_BYTES: Final = 8 * 1024 * 1024
"""The same in memory."""
LOOK_S: Final = 15.0
"""How often the keep-alive is looked at where nothing happens: four times within it."""
MAX_PACKETS_AT_ONCE: Final = 500
"""Read before what was heard is handed over."""
MAX_SHOWN: Final = 10
"""Filters named in one line of the log."""

_REFUSED: Final = 0x80
"""The lowest code of a refusal in SUBACK."""


class Owner(Protocol):
    """Whom the thread tells; all calls are made in the thread."""

    def hear(self, heard: Sequence[Heard], repeats: int) -> None:
        """These came; of `repeats` more nothing need be known but their number."""

    def tell(self, event: Event) -> None:
        """Something happened."""


class BrokerLink:
    """The thread and its queue of orders. `notes`: the file that tells repeats after a restart."""

    def __init__(self, settings: BrokerSettings, notes: Path, known: KnownFilters, owner: Owner) -> None:
        self._settings = settings
        self._notes_path = notes
        self._known = known
        self._owner = owner
        self._session = Session()
        self._notes: Notes | None = None
        self._backoff = Backoff(cap_s=LAST_TRY_S)
        self._orders: deque[Callable[[], None]] = deque()
        self._wanted: tuple[str, ...] = ()
        self._client: BrokerClient | None = None
        self._stopping = False
        self._leaving = False
        self._delay_s = 0.0
        self._subscribed: frozenset[str] = frozenset()
        self._wake_end: socket.socket | None = None
        self._woken: socket.socket
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
        self.state: tuple[str, str, float] = ("closed", "", time.monotonic())
        """What it does, why, and since when; to be read by anyone."""

    # Called by others.

    def start(self) -> None:
        """Begin."""
        self._wake_end, self._woken = socket.socketpair()
        self._wake_end.setblocking(False)
        self._woken.setblocking(False)
        self._thread.start()

    def want(self, filters: tuple[str, ...]) -> None:
        """Hear these topics, and no others."""
        self._order(lambda: self._use_filters(filters))

    def settle(self, settled: Sequence[Heard]) -> None:
        """These are on disk, or will never be taken."""
        self._order(lambda: self._settle(settled))

    def leave(self) -> None:
        """Read nothing more; say goodbye once all that was handed over is settled."""
        self._order(self._begin_leaving)

    def stop(self) -> None:
        """End now, whatever waits."""
        self._stopping = True
        self._wake()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end. Blocks. False if the thread hangs in the system, which its daemon flag allows for."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def unanswered(self) -> int:
        """Messages that wait for the disk."""
        return self._session.unanswered

    def _order(self, order: Callable[[], None]) -> None:
        self._orders.append(order)
        self._wake()

    def _wake(self) -> None:
        if self._wake_end is not None:
            with suppress(OSError):  # it is awake already, or gone
                self._wake_end.send(b"\0")

    # The thread.

    def _run(self) -> None:
        self._open_notes()
        self._take_orders()  # what is wanted was said before the start
        try:
            while not self._is_over():
                self._try_once()
            self._note("closed", "")
        except Exception:
            self._note("closed", "by a fault of ours, which the log has; restart the gateway")
            raise
        finally:
            self._end()

    def _end(self) -> None:
        if self._notes is not None:
            self._notes.close()
        assert self._wake_end is not None
        self._wake_end.close()
        self._woken.close()

    def _is_over(self) -> bool:
        return self._stopping or (self._leaving and self._client is None)

    def _try_once(self) -> None:
        """Connect, and serve until the connection ends; then wait."""
        began = time.monotonic()
        self._note("connecting", "")
        stood = None
        try:
            client = self._connect()
            stood = time.monotonic()
            self._on_connected(client, stood - began)
            self._serve(client)
        except BrokerError as error:
            self._failed(self._over_tls(self._in_words(error), stood), stood)
        except OSError as error:
            self._failed(self._over_tls(explained(error, self._settings.where), stood), stood)
        finally:
            self._close()
        self._rest()

    def _in_words(self, error: BrokerError) -> BrokerError:
        """What paho says is only that it is over; the broker may have said more."""
        client, where = self._client, self._settings.where
        if error.fault is not BrokerFault.DROPPED or client is None:
            return error
        if client.goodbye is not None:
            return goodbye(client.goodbye, where)
        if client.connected is not None and client.connected.code:
            return refusal(client.connected.code, where)
        return error

    def _over_tls(self, failure: BrokerError, stood: float | None) -> BrokerError:
        """A close before the answer has a likely reason over TLS."""
        is_silent_end = failure.fault is BrokerFault.DROPPED and stood is None
        return ended_tls(self._settings.where) if is_silent_end and self._settings.is_tls else failure

    def _failed(self, failure: BrokerError, stood: float | None) -> None:
        if self._stopping or self._leaving:
            return
        if stood is not None and time.monotonic() - stood >= STEADY_S:
            self._backoff.reset()
        self._delay_s = self._backoff.next_delay_s()
        if stood is not None:
            self._owner.tell(BrokerLost(failure.fault, str(failure), self._session.unacknowledged))
        else:
            failures = self._backoff.failures
            self._owner.tell(BrokerTryFailed(failure.fault, str(failure), failures, self._delay_s))
        self._note("waiting", str(failure))

    def _close(self) -> None:
        client, self._client = self._client, None
        self._session.end()
        if client is not None:
            client.close()

    def _rest(self) -> None:
        """Wait until the next try is due; orders are taken meanwhile."""
        until = time.monotonic() + self._delay_s
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        while not self._is_over() and (left_s := until - time.monotonic()) > 0:
            if poll.poll(left_s * 1000):
                self._take_orders()

    # Connecting.

    def _connect(self) -> BrokerClient:
        settings = self._settings
        context = tls_context(settings) if settings.is_tls else None
        self._client = client = BrokerClient(
            settings.client_id,
            lambda: dial(settings, context),
            is_5=settings.is_5,
            retained=settings.retained,
        )
        if settings.user:
            client.username_pw_set(settings.user, password_of(settings))
        client.connect_now(settings.host, settings.port)
        self._await_answer(client)
        return client

    def _await_answer(self, client: BrokerClient) -> None:
        poll = select.poll()
        poll.register(client.socket(), select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        until = time.monotonic() + CONNECT_S
        while client.connected is None:
            ready = dict(poll.poll(0 if client.has_more else max(0.0, until - time.monotonic()) * 1000))
            if self._woken.fileno() in ready:
                self._take_orders()
            if self._stopping or self._leaving:
                raise BrokerError(BrokerFault.DROPPED, "the gateway stops")
            if not ready and not client.has_more:
                raise BrokerError(
                    BrokerFault.TIMED_OUT,
                    f"{self._settings.where} took the connection and did not answer as a broker does",
                )
            client.read()

    def _on_connected(self, client: BrokerClient, took_s: float) -> None:
        answer, where = client.connected, self._settings.where
        assert answer is not None
        self._session.begin(present=answer.session_present)
        self._note("connected", "")
        self._owner.tell(BrokerConnected(where, took_s, answer.session_present))
        if not answer.session_present:
            if self._known.had_session:
                self._owner.tell(BrokerSessionLost(where, self._settings.client_id))
            self._keep_known(frozenset())
            if self._notes is not None:
                self._notes.forget()
        self._subscribed = frozenset()
        self._subscribe(client)

    def _subscribe(self, client: BrokerClient) -> None:
        """Ask for what is wanted, on each connection anew (a broker may have lost it), and give up what is not."""
        wanted, known = frozenset(self._wanted), self._known.filters
        if not wanted <= known:
            self._keep_known(known | wanted)
        client.want([one for one in self._wanted if one not in self._subscribed])
        client.want_no_more(sorted(known - wanted))
        self._subscribed = wanted

    def _use_filters(self, filters: tuple[str, ...]) -> None:
        self._wanted = filters
        if self._client is not None and self._session.is_up:
            self._subscribe(self._client)

    # Serving.

    def _serve(self, client: BrokerClient) -> None:
        sock = client.socket()
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        while not self._is_done(client):
            reading = self._may_read()
            poll.register(sock, select.POLLIN * reading | select.POLLOUT * client.want_write())
            ready = dict(poll.poll(0 if reading and client.has_more else LOOK_S * 1000)).get(sock.fileno(), 0)
            if reading and (ready or client.has_more):
                self._read(client)
            elif ready & (select.POLLERR | select.POLLHUP):
                raise BrokerError(BrokerFault.DROPPED, f"the broker {self._settings.where} closed the connection")
            self._take_orders()
            if due := self._session.take_due():
                client.acknowledge(due)
            if client.want_write():
                client.write()
            if reading:
                client.keep_alive()
            else:
                client.keep_alive_unread()

    def _is_done(self, client: BrokerClient) -> bool:
        if not self._stopping and not (self._leaving and not self._session.unanswered):
            return False
        self._stopping = True
        client.disconnect()
        return True

    def _may_read(self) -> bool:
        session = self._session
        return (
            not self._leaving
            and session.unanswered < MAX_UNANSWERED
            and session.unanswered_bytes < MAX_UNANSWERED_BYTES
        )

    def _read(self, client: BrokerClient) -> None:
        try:
            for _ in range(MAX_PACKETS_AT_ONCE):
                client.read()
                if not client.has_more:
                    break
        finally:
            self._hand_over(client)
        if client.granted:
            self._on_granted(client)
        if client.released:
            self._keep_known(self._known.filters - frozenset(client.released))
            client.released.clear()

    def _hand_over(self, client: BrokerClient) -> None:
        came, client.heard = client.heard, []
        heard = [one for publish in came if (one := self._heard(publish)) is not None]
        if self._notes is not None:
            try:
                self._notes.write()
            except OSError as error:
                self._give_up_notes(error)
        if came:
            self._owner.hear(heard, len(came) - len(heard))

    def _heard(self, publish: Publish) -> Heard | None:
        """What came, as it goes on; None for a repeat of what is here."""
        digest, message_id = b"", ""
        if publish.qos:
            digest = digest_of(publish.topic, publish.payload)
            if publish.dup and self._session.is_repeat(publish.packet_id, digest):
                return None
            if self._notes is not None:
                message_id = self._notes.id_of(publish.packet_id, digest, dup=publish.dup)
        publication = Publication(
            topic=publish.topic,
            payload=publish.payload,
            qos=publish.qos,
            retain=publish.retain,
            dup=publish.dup,
            user_properties=() if publish.properties is None else tuple(publish.properties.user_properties),
            message_id=message_id,
        )
        heard = Heard(publication, publish.packet_id, digest)
        self._session.hear(heard)
        return heard

    def _on_granted(self, client: BrokerClient) -> None:
        answered, client.granted = client.granted, []
        good = [one for one, code in answered if code < _REFUSED]
        if good:
            more = f" and {len(good) - MAX_SHOWN} more" if len(good) > MAX_SHOWN else ""
            self._owner.tell(BrokerSubscribed(len(good), ", ".join(good[:MAX_SHOWN]) + more))
        for one, code in answered:
            if code >= _REFUSED:
                reason = SUBSCRIPTION_REFUSALS.get(code, f"code 0x{code:02X}")
                self._owner.tell(BrokerSubscriptionRefused(one, reason))

    # Orders and notes.

    def _take_orders(self) -> None:
        try:
            while self._woken.recv(4096):
                pass
        except BlockingIOError:
            pass
        while self._orders:
            self._orders.popleft()()

    def _settle(self, settled: Sequence[Heard]) -> None:
        for heard in settled:
            self._session.settle(heard)

    def _begin_leaving(self) -> None:
        self._leaving = True

    def _open_notes(self) -> None:
        settings = self._settings
        try:
            self._notes = Notes(self._notes_path, settings.peer)
        except OSError as error:
            self._give_up_notes(error)

    def _give_up_notes(self, error: OSError) -> None:
        notes, self._notes = self._notes, None
        if notes is not None:
            notes.close()
        self._owner.tell(BrokerNotesNotKept(f"{self._notes_path} cannot be written: {error.strerror or error}"))

    def _keep_known(self, filters: frozenset[str]) -> None:
        try:
            self._known.keep(filters)
        except LockedFileError as error:
            self._owner.tell(BrokerNotesNotKept(str(error)))

    def _note(self, state: str, reason: str) -> None:
        self.state = state, reason, time.monotonic()
