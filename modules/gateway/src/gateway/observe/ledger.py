"""What each device and each route has done since the start: counted in lots, once a second, for whoever looks.

Devices are kept up to a number, those that were heard last; what a route or the whole gateway did is a handful of
numbers. Nothing here is asked for per message.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from edgewire.message import Identity
from gateway.observe.events import Event, Level
from gateway.observe.head import DeviceConnected, DeviceDisconnected
from gateway.observe.log import clean, without_secrets
from gateway.observe.store import MessagesRefused
from gateway.observe.upstream import MessagesForwarded

MAX_DEVICES: Final = 10_000
"""Devices that are remembered, some 400 bytes each; beyond, the one that has been silent longest is forgotten."""
MAX_ROUTES: Final = 2_000
"""Routes that are remembered, those of earlier settings included; beyond, the one that matched longest ago goes."""
RATES: Final = 60
"""Seconds whose numbers of messages are kept."""
ERROR_CHARS: Final = 300
"""Of what went wrong with a device last."""
_MINUTE_S: Final = 60.0
_REFUSED: Final = "gateway_refused_"
_LOUD: Final = (Level.WARNING, Level.ERROR)


@dataclass(slots=True)
class Rate:
    """How many there were in the last minute, from two numbers: those of this minute and of the one before."""

    minute: int = 0
    now: int = 0
    before: int = 0

    def add(self, count: int, at: float) -> None:
        """Count these at this time."""
        self._turn(at)
        self.now += count

    def per_minute(self, at: float) -> float:
        """The part of the last minute that is not over counts whole, the other by its share."""
        self._turn(at)
        return self.now + self.before * (1.0 - at % _MINUTE_S / _MINUTE_S)

    def _turn(self, at: float) -> None:
        minute = int(at // _MINUTE_S)
        if minute != self.minute:
            self.before = self.now if minute == self.minute + 1 else 0
            self.now, self.minute = 0, minute


@dataclass(frozen=True, slots=True)
class LastError:
    """What went wrong with a device last, and when."""

    at: float
    sentence: str


@dataclass(slots=True)
class DeviceRecord:
    """What is remembered of a device or module; times in seconds since 1970."""

    messages: int = 0
    rate: Rate = field(default_factory=Rate)
    seen_at: float | None = None
    connected_at: float | None = None
    error: LastError | None = None


@dataclass(slots=True)
class RouteRecord:
    """What a route has matched."""

    hits: int = 0
    rate: Rate = field(default_factory=Rate)
    hit_at: float | None = None


class Ledger:
    """The book of devices and routes. `clock` gives seconds since 1970.

    `is_known` says whether a name is one of a device that may come: what is said of others is not kept, since anybody
    may try to log in under any name.
    """

    def __init__(self, clock: Callable[[], float], is_known: Callable[[str], bool]) -> None:
        self._clock = clock
        self._is_known = is_known
        self._devices: OrderedDict[str, DeviceRecord] = OrderedDict()
        self._routes: OrderedDict[str, RouteRecord] = OrderedDict()
        self._in_this_second = 0
        self.rates: deque[int] = deque([0] * RATES, maxlen=RATES)
        """Messages taken in each second, the newest last."""
        self.received = 0
        self.unrouted = 0
        self.refused = Rate()
        """Whatever was refused: logins, messages, connections; messages that a full store does not take."""
        self.forwarded = Rate()
        """Deliveries that an endpoint has taken."""

    # What is written.

    def heard(self, senders: Mapping[Identity, int]) -> None:
        """So many messages came of each of these."""
        now = self._clock()
        for sender, count in senders.items():
            record = self._device(str(sender))
            record.messages += count
            record.rate.add(count, now)
            record.seen_at = now
        received = sum(senders.values())
        self.received += received
        self._in_this_second += received

    def matched(self, routes: Mapping[str, int], unrouted: int) -> None:
        """So many messages were matched by each of these routes, and so many by none."""
        now = self._clock()
        for name, count in routes.items():
            record = self._routes.get(name)
            if record is None:
                record = self._routes[name] = RouteRecord()
            record.hits += count
            record.rate.add(count, now)
            record.hit_at = now
            self._routes.move_to_end(name)
        while len(self._routes) > MAX_ROUTES:
            self._routes.popitem(last=False)
        self.unrouted += unrouted

    def tick(self) -> None:
        """Another second is over."""
        self.rates.append(self._in_this_second)
        self._in_this_second = 0

    def on_event(self, event: Event) -> None:
        """A listener of the observer."""
        match event:
            case DeviceConnected(identity=name):
                record = self._device(name)
                record.connected_at = record.seen_at = self._clock()
            case DeviceDisconnected(identity=name):
                record = self._device(name)
                record.seen_at = self._clock()
            case MessagesForwarded(count=count):
                self.forwarded.add(count, self._clock())
            case MessagesRefused(count=count):
                self.refused.add(count, self._clock())
            case _ if event.LEVEL in _LOUD:
                self._note_error(event)

    def _note_error(self, event: Event) -> None:
        if event.METRIC.startswith(_REFUSED):
            self.refused.add(getattr(event, "count", 1), self._clock())
        name = _device_of(event)
        if name and (name in self._devices or self._is_known(name)):
            sentence = clean(without_secrets(event.sentence()[: 4 * ERROR_CHARS]))[:ERROR_CHARS]
            self._device(name).error = LastError(self._clock(), sentence)

    def _device(self, name: str) -> DeviceRecord:
        """Its record, now the latest."""
        record = self._devices.get(name)
        if record is None:
            record = self._devices[name] = DeviceRecord()
            if len(self._devices) > MAX_DEVICES:
                self._devices.popitem(last=False)
        else:
            self._devices.move_to_end(name)
        return record

    # What is read.

    @property
    def devices(self) -> Mapping[str, DeviceRecord]:
        """By their names, `device` or `device/module`; the latest last."""
        return self._devices

    def latest_first(self) -> Iterator[str]:
        """The names of the devices, those that were heard last first."""
        return reversed(self._devices)

    def device(self, name: str) -> DeviceRecord | None:
        """What is remembered of it."""
        return self._devices.get(name)

    def route(self, name: str) -> RouteRecord:
        """What is remembered of it; zeros for one that has matched nothing."""
        return self._routes.get(name) or RouteRecord()

    def per_minute(self, rate: Rate) -> float:
        """How many there were in the last minute."""
        return round(rate.per_minute(self._clock()), 1)


def _device_of(event: Event) -> str:
    """Whom an event is about, as the events of all rooms call it."""
    for field_name in ("identity", "device", "sender"):
        name = getattr(event, field_name, None)
        if isinstance(name, str) and name:
            return name
    return ""
