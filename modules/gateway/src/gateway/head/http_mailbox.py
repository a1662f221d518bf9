"""Messages from the cloud for devices that poll: one at a time, under a lock.

A poll opens a mailbox, which listens for the device as a connection would and goes on for a while after the last poll:
devices poll each second, and a link upstream for each poll would cost more than all their messages. What comes waits
in the mailbox for the next poll; what was handed out waits for its settlement. Either way the hub has it back when
the time is over: nothing is stored here.
"""

import asyncio
import uuid
from collections.abc import Callable
from typing import Final

from edgewire.message import Identity
from gateway.dispatch.delivery import Delivery, Parcel, Settlement

HOLD_S: Final = 60.0
"""How long a device has to settle what it got: IoT Hub's own lock."""
LINGER_S: Final = 30.0
"""How long a mailbox listens on after a poll: devices that poll more often keep one link upstream all the time."""
PATIENCE_S: Final = 3.0
"""How long a poll waits for the hub, where nothing may have come from it yet: the mailbox has just been opened, or the
message before was settled just now. Later polls are answered at once."""
MAX_POLLS: Final = 4
"""Polls of one device that wait at once; beyond, they are answered at once. Node's client polls each second, whatever
became of the poll before."""
MAX_MAILBOXES: Final = 4_096
"""Devices that poll at once; each may hold a message of 64 KiB."""
_WINDOW: Final = 1

Answer = Callable[[Parcel | None, str], None]
"""Hears what a poll gives, with its lock token; None if there is nothing."""


class PollRefusedError(Exception):
    """A poll that gets no answer; `is_conflict`: somebody else listens for the device."""

    def __init__(self, *, is_conflict: bool) -> None:
        super().__init__()
        self.is_conflict = is_conflict


class Poll:
    """One poll; `answer` is called once at most. `cancel` it when its device has gone."""

    __slots__ = ("answer",)

    def __init__(self, answer: Answer) -> None:
        self.answer: Answer | None = answer

    def cancel(self) -> None:
        """Nobody waits any more."""
        self.answer = None

    def give(self, parcel: Parcel | None, lock_token: str) -> None:
        """Answer, once."""
        answer, self.answer = self.answer, None
        if answer is not None:
            answer(parcel, lock_token)


class Mailboxes:
    """The mailboxes of all devices that poll."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._open: dict[Identity, Mailbox] = {}

    def __len__(self) -> int:
        return len(self._open)

    def poll(self, who: Identity, poll: Poll) -> None:
        """Ask for a message; the poll is answered now or in bounded time. Raises PollRefusedError."""
        mailbox = self._open.get(who)
        listening = self._delivery.recipient(who)
        if mailbox is not None and listening is not mailbox:
            mailbox.close()
            mailbox = None
        if mailbox is None:
            if listening is not None:
                raise PollRefusedError(is_conflict=True)
            if len(self._open) >= MAX_MAILBOXES:
                raise PollRefusedError(is_conflict=False)
            mailbox = self._open[who] = Mailbox(self._delivery, who, self._closed)
            mailbox.open()
        mailbox.poll(poll)

    def settle(self, who: Identity, lock_token: str, settlement: Settlement) -> bool:
        """Settle what was handed out under this token. False: it is too late, or there never was such a token."""
        mailbox = self._open.get(who)
        return mailbox is not None and mailbox.settle(lock_token, settlement)

    def close(self) -> None:
        """The gateway stops: all is the hub's again."""
        for mailbox in tuple(self._open.values()):
            mailbox.close()

    def _closed(self, who: Identity) -> None:
        del self._open[who]


class Mailbox:
    """One device's. For `dispatch.delivery` it is a recipient."""

    __slots__ = (
        "_closed",
        "_delivery",
        "_held",
        "_hold_until",
        "_listen_until",
        "_lock_token",
        "_loop",
        "_patient_until",
        "_polls",
        "_timer",
        "_who",
    )

    def __init__(self, delivery: Delivery, who: Identity, closed: Callable[[Identity], None]) -> None:
        self._delivery = delivery
        self._who = who
        self._closed: Callable[[Identity], None] | None = closed
        self._loop = asyncio.get_running_loop()
        self._polls: list[Poll] = []
        self._held: Parcel | None = None
        self._lock_token = ""
        """Of what is held, once it was handed out."""
        self._hold_until = 0.0
        self._listen_until = 0.0
        self._patient_until = self._loop.time() + PATIENCE_S
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Listen."""
        self._delivery.subscribe(self._who, self, _WINDOW)

    def poll(self, poll: Poll) -> None:
        """Ask for a message."""
        now = self._loop.time()
        self._listen_until = now + LINGER_S
        if self._waiting is not None:
            self._hand_out(poll, now)
        elif now >= self._patient_until or self._is_full() or self._out is not None:
            poll.give(None, "")
        else:
            self._polls.append(poll)
        self._watch(now)

    def deliver(self, parcel: Parcel) -> None:
        """A message has come: for the poll that waits, or the next one."""
        now = self._loop.time()
        self._held = parcel
        self._lock_token = ""
        self._hold_until = now + HOLD_S
        poll = next((each for each in self._polls if each.answer is not None), None)
        if poll is not None:
            self._polls.remove(poll)
            self._hand_out(poll, now)
        self._watch(now)

    def settle(self, lock_token: str, settlement: Settlement) -> bool:
        """Settle what was handed out."""
        parcel = self._out
        if parcel is None or lock_token != self._lock_token:
            return False
        self._held = None
        # Now, not below: the hub may send the next message before `settle` returns.
        self._patient_until = self._loop.time() + PATIENCE_S
        return parcel.settle(settlement)

    def close(self) -> None:
        """Listen no more; what is held is the hub's again."""
        closed, self._closed = self._closed, None
        if closed is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._delivery.unsubscribe(self._who, self)
        closed(self._who)
        self._answer_all()

    @property
    def _waiting(self) -> Parcel | None:
        """What has come and was not handed out, unless the hub has it back meanwhile."""
        return self._held if self._held is not None and self._held.open and not self._lock_token else None

    @property
    def _out(self) -> Parcel | None:
        """What was handed out and is not settled, unless the hub has it back meanwhile."""
        return self._held if self._held is not None and self._held.open and self._lock_token else None

    def _hand_out(self, poll: Poll, now: float) -> None:
        parcel = self._held
        assert parcel is not None
        self._lock_token = parcel.message.lock_token or str(uuid.uuid4())
        self._hold_until = now + HOLD_S
        poll.give(parcel, self._lock_token)

    def _is_full(self) -> bool:
        self._polls = [poll for poll in self._polls if poll.answer is not None]
        return len(self._polls) >= MAX_POLLS

    def _answer_all(self) -> None:
        polls, self._polls = self._polls, []
        for poll in polls:
            poll.give(None, "")

    # Time.

    def _watch(self, now: float) -> None:
        """Look again when the first of the times is over."""
        if self._closed is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        due = max(self._listen_until, self._hold_until) if self._out is not None else self._listen_until
        if self._held is not None and self._held.open:
            due = min(due, self._hold_until)
        if self._polls:
            due = min(due, self._patient_until)
        self._timer = self._loop.call_later(max(0.0, due - now), self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        now = self._loop.time()
        if now >= self._patient_until:
            self._answer_all()
        if self._held is not None and self._held.open and now >= self._hold_until:
            parcel, self._held = self._held, None
            parcel.settle(Settlement.ABANDONED)
        if now >= self._listen_until and self._out is None:
            self.close()
        else:
            self._watch(now)
