"""Decides who is let in at the plain listener: by user name and password, or by address.

An unknown user costs the same work as a wrong password. That work is scrypt's, so it is done in a thread of its own,
one at a time. A password that was right is known again by a keyed hash in memory: devices that come back after a power
cut wait for nobody, also while somebody guesses.
"""

import hashlib
import hmac
import os
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from gateway.identity.limiter import FailureLimiter
from gateway.identity.passwords import COST, HASH_BYTES, SALT_BYTES, PasswordHash
from gateway.identity.user_book import UserBook
from gateway.identity.users import User
from gateway.observe.broker import PlainRefusal

MAX_WAITING: Final = 1_000
"""Passwords that wait to be checked; beyond, a client is told to come again. At 50 ms each, a minute."""
MAX_WAITING_PER_ADDRESS: Final = 100
"""Of one address: who guesses must not take the places of all others."""
MAX_KNOWN: Final = 4_096
"""Passwords that were right and are known again; beyond, all are checked anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knock:
    """Somebody asks to be let in. `now`: seconds since 1970."""

    user: str | None
    password: bytes | None = field(repr=False)
    address: str
    now: float


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """Not let in. `hold_s`: how long the answer is held back, so that guessing is slow."""

    reason: PlainRefusal
    hold_s: float = 0.0


Verdict = User | TurnedAway
Then = Callable[[Verdict], None]


class Gatekeeper:
    """Judges by the book. `on_loop` brings a call from the thread back to the event loop."""

    def __init__(self, book: UserBook, on_loop: Callable[[Callable[[], None]], object]) -> None:
        self._book = book
        self._on_loop = on_loop
        self._limiter = FailureLimiter()
        self._secret = os.urandom(32)
        self._known: dict[str, tuple[PasswordHash, bytes]] = {}
        self._decoy = PasswordHash(COST, os.urandom(SALT_BYTES), os.urandom(HASH_BYTES))
        self._waiting: dict[str, int] = {}
        self._thread: ThreadPoolExecutor | None = None

    def judge(self, knock: Knock, then: Then) -> None:
        """Decide, now or later: `then` is called with the verdict."""
        self._book.reload()
        if knock.user is None and knock.password is None:
            user = self._book.users.for_address(knock.address)
            then(user or self._failed(knock, PlainRefusal.NO_CREDENTIALS))
            return
        user = self._book.find(knock.user or "")
        if user is not None and user.password is None:
            good = user.may_come_from(knock.address)
            then(user if good else self._failed(knock, PlainRefusal.FOREIGN_ADDRESS))
        elif user is not None and self._is_known(user, knock.password or b""):
            then(self._with_right_password(user, knock))
        else:
            self._check(user, knock, then)

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    # Passwords.

    def _is_known(self, user: User, password: bytes) -> bool:
        known = self._known.get(user.name)
        if known is None or known[0] != user.password:
            return False
        return hmac.compare_digest(known[1], self._mark(password))

    def _mark(self, password: bytes) -> bytes:
        return hmac.digest(self._secret, password, hashlib.sha256)

    def _check(self, user: User | None, knock: Knock, then: Then) -> None:
        if sum(self._waiting.values()) >= MAX_WAITING or self._waiting.get(knock.address, 0) >= MAX_WAITING_PER_ADDRESS:
            then(TurnedAway(PlainRefusal.BUSY))
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="gateway-passwords")
        self._waiting[knock.address] = self._waiting.get(knock.address, 0) + 1
        against = self._decoy if user is None or user.password is None else user.password
        checked = self._thread.submit(against.fits, knock.password or b"")
        checked.add_done_callback(
            lambda done: None if done.cancelled() else self._on_loop(lambda: self._checked(user, knock, then, done))
        )

    def _checked(self, user: User | None, knock: Knock, then: Then, done: "Future[bool]") -> None:
        left = self._waiting.pop(knock.address) - 1
        if left:
            self._waiting[knock.address] = left
        if done.exception() is not None:
            then(TurnedAway(PlainRefusal.BUSY))  # no memory for it now
        elif user is None:
            then(self._failed(knock, PlainRefusal.UNKNOWN_USER))
        elif not done.result():
            then(self._failed(knock, PlainRefusal.WRONG_PASSWORD))
        elif self._book.find(user.name) != user:
            then(TurnedAway(PlainRefusal.BUSY))  # it was changed meanwhile: it is judged anew when it comes again
        else:
            assert user.password is not None
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[user.name] = user.password, self._mark(knock.password or b"")
            then(self._with_right_password(user, knock))

    def _with_right_password(self, user: User, knock: Knock) -> Verdict:
        if not user.may_come_from(knock.address):
            return self._failed(knock, PlainRefusal.FOREIGN_ADDRESS)
        self._limiter.succeeded(knock.address, _who(knock))
        return user

    def _failed(self, knock: Knock, reason: PlainRefusal) -> TurnedAway:
        hold_s = self._limiter.failed(knock.address, _who(knock), knock.now)
        return TurnedAway(PlainRefusal.THROTTLED if hold_s else reason, hold_s)


def _who(knock: Knock) -> Hashable:
    return knock.user or ""
