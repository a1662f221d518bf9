"""What each device may send: messages and bytes per second, messages per day. Pure: times come from two callables.

A bucket holds what may be sent at once and fills at its rate. What was read already is charged even where that takes
the bucket below nothing: the debt is waited for, so that the rate holds in the long run whatever the size of a read.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.observe.events import Event
from gateway.observe.limits import DeviceLimited, Limit, WhenOver

__all__ = ["Account", "Allowance", "Allowances", "Limit", "Limits", "WhenOver", "user_key"]

MAX_ACCOUNTS: Final = 20_000
"""Devices whose sending is counted at one time; beyond, the one that came longest ago begins anew."""
TELL_AGAIN_S: Final = 60.0
"""A device that stays limited is told of again no sooner."""
SHOWN_S: Final = 5.0
"""For so long after it was last held back or refused, a device counts as limited."""
DAY_S: Final = 86_400
_EVERY: Final = "*"
_USER: Final = "user "


def user_key(name: str) -> str:
    """How a user of the plain listener is told from a device of the same name: ids hold no blank."""
    return _USER + name


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What one device may send; None for no limit. `burst` and `burst_bytes` are what it may send at once."""

    messages_per_s: float | None = None
    burst: float = 0
    bytes_per_s: float | None = None
    burst_bytes: float = 0
    messages_per_day: int | None = None
    when_over: WhenOver = WhenOver.SLOW

    @property
    def is_none(self) -> bool:
        """Whether it limits nothing."""
        return self.messages_per_s is None and self.bytes_per_s is None and self.messages_per_day is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What all devices may send, and those with an allowance of their own, by patterns with `*`.

    An exact name goes before a pattern, and of patterns the one with most characters decides: the order in which a twin
    gives its members means nothing.
    """

    per_device: Allowance = field(default_factory=Allowance)
    devices: Mapping[str, Allowance] = field(default_factory=dict)
    users: Mapping[str, Allowance] = field(default_factory=dict)

    def of(self, key: str) -> Allowance:
        """Of a device, a module (`device/module`), or a user (`user_key`)."""
        name = key.removeprefix(_USER)
        named = self.devices if name == key else self.users
        exact = named.get(name)
        if exact is not None:
            return exact
        fitting = [pattern for pattern in named if _EVERY in pattern and _fits(pattern, name)]
        return named[min(fitting, key=lambda each: (-len(each), each))] if fitting else self.per_device


def _fits(pattern: str, name: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split(_EVERY))), name, re.DOTALL) is not None


class _Bucket:
    """What may be sent at once: full in the beginning, never above `most`, below nothing while there is a debt."""

    __slots__ = ("_at", "_left")

    def __init__(self, most: float, now: float) -> None:
        self._left = most
        self._at = now

    def left(self, rate: float, most: float, now: float) -> float:
        """What is in it now."""
        self._left = min(most, self._left + max(0.0, now - self._at) * rate)
        self._at = now
        return self._left

    def take(self, amount: float) -> None:
        self._left -= amount


class Account:
    """What one device has sent and may send. One for all its connections, whatever they speak."""

    __slots__ = ("_allowance", "_bytes", "_messages", "_owner", "_told_at", "day", "key", "limited_at", "used")

    def __init__(self, owner: "Allowances", key: str, allowance: Allowance) -> None:
        now = owner.clock()
        self._owner = owner
        self._allowance = allowance
        self._messages = _Bucket(allowance.burst, now)
        self._bytes = _Bucket(allowance.burst_bytes, now)
        self._told_at: float | None = None
        self.key = key
        self.limited_at: float | None = None
        """When it was last held back or refused."""
        self.day = 0
        self.used = 0
        """Messages of that day, counted where there is a limit of them."""

    @property
    def allowance(self) -> Allowance:
        """What it is allowed."""
        return self._allowance

    @allowance.setter
    def allowance(self, allowance: Allowance) -> None:
        """Settings have changed: a debt stays, and what is left is cut to the new burst when it is next looked at."""
        now, before = self._owner.clock(), self._allowance
        if before.messages_per_s is None and allowance.messages_per_s is not None:
            self._messages = _Bucket(allowance.burst, now)
        if before.bytes_per_s is None and allowance.bytes_per_s is not None:
            self._bytes = _Bucket(allowance.burst_bytes, now)
        self._allowance = allowance

    @property
    def refuses(self) -> bool:
        """Whether what is above is refused, and not waited for."""
        return self._allowance.when_over is WhenOver.REFUSE

    @property
    def owes(self) -> bool:
        """Whether it has sent more than it might, or all of its day."""
        allowance, now = self._allowance, self._owner.clock()
        if (rate := allowance.messages_per_s) is not None and self._messages.left(rate, allowance.burst, now) < 0:
            return True
        if (rate := allowance.bytes_per_s) is not None and self._bytes.left(rate, allowance.burst_bytes, now) < 0:
            return True
        return self._look()[1] is Limit.MESSAGES_PER_DAY

    def wait_s(self) -> float:
        """How long until it may send again; 0 if it may now. Says so in an event if it may not."""
        wait_s, over = self._look()
        if over is not None:
            self._tell(over)
        return wait_s

    def credit(self, most: int) -> int:
        """How many messages it may send at once, `most` of them at most."""
        if self.wait_s():
            return 0
        allowance = self._allowance
        if allowance.messages_per_s is not None:
            left = self._messages.left(allowance.messages_per_s, allowance.burst, self._owner.clock())
            most = min(most, int(left))
        if allowance.messages_per_day is not None:
            most = min(most, allowance.messages_per_day - self.used)
        return most

    def charge(self, messages: int, size: int) -> None:
        """So much was taken of it."""
        allowance = self._allowance
        if allowance.messages_per_s is not None:
            self._messages.take(messages)
        if allowance.bytes_per_s is not None:
            self._bytes.take(size)
        if allowance.messages_per_day is not None:
            self._turn_day()
            self.used += messages
            self._owner.changed = True

    def take(self, sizes: Iterable[int]) -> int:
        """Charge messages of these sizes, as long as it may send. Returns how many that are, the first ones."""
        taken = 0
        for size in sizes:
            if self.wait_s():
                break
            self.charge(1, size)
            taken += 1
        return taken

    def is_limited(self, now: float) -> bool:
        """Whether it was held back or refused a moment ago."""
        return self.limited_at is not None and now - self.limited_at < SHOWN_S

    def why(self) -> str:
        """What a device is told that is refused."""
        _, over = self._look()
        return f"more {'messages' if over is None else over.value.replace('_', ' ')} than it is allowed"

    def _look(self) -> tuple[float, Limit | None]:
        allowance, now = self._allowance, self._owner.clock()
        wait_s, over = 0.0, None
        if (rate := allowance.messages_per_s) is not None:
            left = self._messages.left(rate, allowance.burst, now)
            if left < 1:
                wait_s, over = (1 - left) / rate, Limit.MESSAGES_PER_SECOND
        if (rate := allowance.bytes_per_s) is not None:
            left = self._bytes.left(rate, allowance.burst_bytes, now)
            if left < 1 and (1 - left) / rate > wait_s:
                wait_s, over = (1 - left) / rate, Limit.BYTES_PER_SECOND
        if allowance.messages_per_day is not None:
            self._turn_day()
            if self.used >= allowance.messages_per_day:
                wait_s, over = (self.day + 1) * DAY_S - self._owner.wall(), Limit.MESSAGES_PER_DAY
        return wait_s, over

    def _turn_day(self) -> None:
        """A new day, if there is one: a clock that was set back brings none."""
        today = int(self._owner.wall() // DAY_S)
        if today > self.day:
            self.day, self.used = today, 0

    def _tell(self, limit: Limit) -> None:
        now = self.limited_at = self._owner.clock()
        if self._told_at is not None and now - self._told_at < TELL_AGAIN_S:
            return
        self._told_at = now
        allowance = self._allowance
        allowed = {
            Limit.MESSAGES_PER_SECOND: allowance.messages_per_s,
            Limit.BYTES_PER_SECOND: allowance.bytes_per_s,
            Limit.MESSAGES_PER_DAY: allowance.messages_per_day,
        }[limit]
        self._owner.emit(
            DeviceLimited(limit=limit, when_over=allowance.when_over, identity=self.key, allowed=allowed or 0)
        )


class Allowances:
    """The accounts of all devices. `clock` is steady; `wall` gives seconds since 1970, for the days."""

    def __init__(self, emit: Callable[[Event], None], clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self.emit = emit
        self.clock = clock
        self.wall = wall
        self.changed = False
        """Some device has sent something that counts for its day, since this was last set to False."""
        self._limits: Limits | None = None
        self._accounts: OrderedDict[str, Account] = OrderedDict()
        self._before: dict[str, tuple[int, int]] = {}

    @property
    def on(self) -> bool:
        """Whether the settings limit anybody."""
        return self._limits is not None

    def use(self, limits: Limits | None) -> None:
        """These limits hold from now on; what was sent stays counted. None for none."""
        self._limits = limits
        for account in self._accounts.values():
            account.allowance = Allowance() if limits is None else limits.of(account.key)

    def account(self, key: str) -> Account:
        """Of this device or user, made if there is none."""
        account = self._accounts.get(key)
        if account is None:
            account = Account(self, key, Allowance() if self._limits is None else self._limits.of(key))
            account.day, account.used = self._before.pop(key, (0, 0))
            self._accounts[key] = account
            if len(self._accounts) > MAX_ACCOUNTS:
                self._accounts.popitem(last=False)
        self._accounts.move_to_end(key)
        return account

    def limited(self) -> tuple[str, ...]:
        """Who is held back or refused now, by key."""
        now = self.clock()
        return tuple(key for key, account in self._accounts.items() if account.is_limited(now))

    def is_limited(self, key: str) -> bool:
        """Whether this one is."""
        account = self._accounts.get(key)
        return account is not None and account.is_limited(self.clock())

    def restore(self, day: int, used: Mapping[str, int]) -> None:
        """What was sent on this day before the start."""
        self._before = {key: (day, count) for key, count in list(used.items())[:MAX_ACCOUNTS]}

    def used(self) -> tuple[int, dict[str, int]]:
        """The day, and what was sent on it by those with a limit of it."""
        today = max(int(self.wall() // DAY_S), *(account.day for account in self._accounts.values()), 0)
        used = {key: count for key, (day, count) in self._before.items() if day == today}
        used |= {key: each.used for key, each in self._accounts.items() if each.day == today and each.used}
        return today, dict(list(used.items())[-MAX_ACCOUNTS:])
