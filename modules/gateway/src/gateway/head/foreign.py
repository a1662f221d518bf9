"""The gateway as client of a broker that the site has: what its thread hears goes through the topic rules to the disk.

Handed over one lot at a time: while one waits for the disk the next gathers, so that a lot costs one sync however fast
messages come, and nothing overtakes what the store refused. With a full store the lots wait here, nothing is
acknowledged, and the thread stops reading (`foreign_link`): the broker keeps what is its.

There is no way from a route to the foreign broker. `INTO Topic(…)` publishes on the gateway's own, to which a site's
broker can be bridged or subscribe: one way out is enough, it stores for those who are away, and a message that comes
back over the foreign broker meets `dispatch.echoes` here.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

from gateway.dispatch.echoes import Echoes, has_been_here
from gateway.dispatch.mapped import MappedIngress, Taken
from gateway.head.foreign_dialing import BrokerSettings
from gateway.head.foreign_filters import needed_filters
from gateway.head.foreign_known import KnownFilters
from gateway.head.foreign_link import BrokerLink
from gateway.head.foreign_retained import Policy, Retained
from gateway.head.foreign_session import Heard
from gateway.observe.events import Event
from gateway.observe.foreign import (
    BrokerHeardNothingWanted,
    BrokerLoopCut,
    BrokerMessagesKnown,
    BrokerMessagesReceived,
    KnownMessage,
)
from gateway.observe.topics import RefusedPublication

LISTENER: Final = "broker"
"""The name of this way in, in topic rules."""
FULL_REST_S: Final = 1.0
"""Until a store that has no room for one message is asked again."""
MAX_LOT: Final = 1_000
"""Messages handed over at once."""
GOODBYE_S: Final = 1.0
"""At the stop, for what was heard to reach the disk and be acknowledged."""
MAX_SHOWN_TOPIC: Final = 128
"""Characters of a topic that a person is shown."""
LOOP_TOLD_S: Final = 60.0
"""A loop is told so often at most; it is counted always."""

_STORE_REFUSALS: Final[Collection[RefusedPublication | None]] = (
    RefusedPublication.STORE_FULL,
    RefusedPublication.STORE_FAILED,
)


class ForeignBroker:
    """One broker. `gateway`: our name in the ways of messages; `folder`: where notes are kept; it must be there."""

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        intake: MappedIngress,
        echoes: Echoes,
        gateway: str,
        folder: Path,
        emit: Callable[[Event], None],
    ) -> None:
        self._settings = settings
        self._intake = intake
        self._echoes = echoes
        self._gateway = gateway
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._retained = Retained(Policy(settings.retained))
        self._waiting: deque[Heard] = deque()
        self._lot: list[Heard] = []
        """What was handed over and has no answer yet."""
        self._resting: asyncio.TimerHandle | None = None
        self._most = MAX_LOT
        """Messages in the next lot: halved when the store refuses one, doubled when it takes one."""
        self._received = 0
        self._known: Counter[KnownMessage] = Counter()
        self._loop_told_at = -LOOP_TOLD_S
        self._filters: tuple[str, ...] | None = None
        known = KnownFilters(folder / "broker-session.json", settings.peer)
        self._link = BrokerLink(settings, folder / "broker-notes", known, _FromThread(self, self._loop))

    def start(self) -> None:
        """Connect, and go on trying."""
        self._link.start()

    def want(self, filters: Iterable[str]) -> None:
        """Hear what these filters of the topic rules match, and what the settings name; the connection stays."""
        wanted = needed_filters([*self._settings.subscribe, *filters])
        if wanted == self._filters:
            return
        self._filters = wanted
        if not wanted:
            self._emit(BrokerHeardNothingWanted())
        self._link.want(wanted)

    async def stop(self) -> None:
        """Read nothing more, let what was heard reach the disk, and say goodbye; within two seconds."""
        self._link.leave()
        if not await asyncio.to_thread(self._link.join, GOODBYE_S):
            self._link.stop()
            await asyncio.to_thread(self._link.join, GOODBYE_S)
        if self._resting is not None:
            self._resting.cancel()

    def report(self) -> None:
        """Tell what was counted since the last call."""
        received, self._received = self._received, 0
        known, self._known = self._known, Counter()
        if received:
            self._emit(BrokerMessagesReceived(received))
        for why, count in known.items():
            if count:
                self._emit(BrokerMessagesKnown(why, count))

    def status(self) -> Mapping[str, Any]:
        """For `getStatus`."""
        state, reason, since = self._link.state
        waits = "; the store is full, and nothing is read" if self._resting is not None else ""
        why = f": {reason}" if reason else ""
        unanswered = self._link.unanswered
        return {
            "broker": self._settings.where,
            "state": state,
            "sentence": f"{self._settings.where} {state} for {time.monotonic() - since:.0f} s{why}; "
            f"{unanswered} messages wait for the disk{waits}",
            "clientId": self._settings.client_id,
            "filters": list(self._filters or ()),
            "waiting": unanswered,
        }

    # What the thread says, on the loop.

    def on_heard(self, heard: Sequence[Heard], repeats: int) -> None:
        """Messages came."""
        self._received += len(heard) + repeats
        self._known[KnownMessage.REPEAT] += repeats
        known = []
        for one in heard:
            why = self._why_known(one)
            if why is None:
                self._waiting.append(one)
            else:
                self._known[why] += 1
                known.append(one)
        if known:
            self._link.settle(known)
        self._hand_over()

    def on_event(self, event: Event) -> None:
        """Something happened to the connection."""
        self._emit(event)

    def _why_known(self, heard: Heard) -> KnownMessage | None:
        """Why a message is not to be taken; None if it is."""
        publication = heard.publication
        topic, payload = publication.topic, publication.payload
        if publication.user_properties and has_been_here(publication.user_properties, self._gateway):
            return self._cut(topic)
        if self._echoes.has_come_round(topic, payload, self._loop.time()):
            return self._cut(topic)
        if not self._retained.is_news(topic, payload, retain=publication.retain):
            return KnownMessage.RETAINED
        return None

    def _cut(self, topic: str) -> KnownMessage:
        if self._loop.time() - self._loop_told_at >= LOOP_TOLD_S:
            self._loop_told_at = self._loop.time()
            self._emit(BrokerLoopCut(topic[:MAX_SHOWN_TOPIC]))
        return KnownMessage.ECHO

    # To the disk.

    def _hand_over(self) -> None:
        if self._lot or self._resting is not None or not self._waiting:
            return
        self._lot = list(islice(self._waiting, self._most))
        for _ in self._lot:
            self._waiting.popleft()
        self._intake.accept(LISTENER, [heard.publication for heard in self._lot], self._on_answer)

    def _on_answer(self, taken: Sequence[Taken]) -> None:
        lot, self._lot = self._lot, []
        if any(one.refusal in _STORE_REFUSALS for one in taken):
            self._waiting.extendleft(reversed(lot))
            self._most = len(lot) // 2 or 1
            if len(lot) == 1:
                self._resting = self._loop.call_later(FULL_REST_S, self._try_again)
                return
        else:
            self._most = min(2 * self._most, MAX_LOT)
            self._link.settle(lot)
        # Not at once: whatever no rule takes is answered within the call that hands it over.
        self._loop.call_soon(self._hand_over)

    def _try_again(self) -> None:
        self._resting = None
        self._hand_over()


class _FromThread:
    """Carries what the thread says to the event loop; what comes after the loop's end is of no interest."""

    def __init__(self, broker: ForeignBroker, loop: asyncio.AbstractEventLoop) -> None:
        self._broker = broker
        self._loop = loop

    def hear(self, heard: Sequence[Heard], repeats: int) -> None:
        """See `foreign_link.Owner`."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._broker.on_heard, heard, repeats)

    def tell(self, event: Event) -> None:
        """See `foreign_link.Owner`."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._broker.on_event, event)
