"""What one connected device has subscribed, and whether that outlives its connection."""

from collections.abc import Callable, Sequence
from typing import Final

from edgewire.iothub.topics import Subscription, classify_filter
from edgewire.message import Identity
from edgewire.session.mqtt.events import ConnectReceived, SubscribeFilter
from gateway.head.sessions import SessionStore
from gateway.observe.events import Event
from gateway.observe.head import RefusedFilter, SubscriptionRefused

GRANTED_AT_MOST: Final = 1
"""IoT Hub grants QoS 1 at most."""
NOT_AUTHORIZED: Final = 0x87
"""Of MQTT 5 §3.9.3; the session says it as 0x80, the one failure that MQTT 3.1.1 §3.9.3 knows."""
SUCCESS: Final = 0x00
NO_SUBSCRIPTION_EXISTED: Final = 0x11
MQTT5: Final = 5


class Subscriptions:
    """The session state of `owner`: kept in `sessions` if it is to outlive the connection. Spec: MQTT 5 §4.1."""

    def __init__(
        self,
        owner: Identity,
        sessions: SessionStore,
        connect: ConnectReceived,
        now: float,
        emit: Callable[[Event], None],
    ) -> None:
        self._owner = owner
        self._emit = emit
        self._sessions = sessions
        # MQTT 3: a session without clean start has no end (None). MQTT 5: none, unless the client asked for one.
        self._expiry_s = None if connect.level < MQTT5 else connect.session_expiry_s or 0
        self._persistent = self._expiry_s != 0 if connect.level >= MQTT5 else not connect.clean_start
        stored = None if connect.clean_start else sessions.find(owner, now)
        self.present = stored is not None
        self._granted: dict[str, int] = stored or {}
        if self._persistent:
            self._save(now, _nothing)
        else:
            sessions.forget(owner, _nothing)

    @property
    def kinds(self) -> dict[Subscription, int]:
        """What is subscribed now, also by a stored session, each with the highest quality of service granted."""
        kinds: dict[Subscription, int] = {}
        for each, qos in self._granted.items():
            if (known := classify_filter(each)) is not None:
                kinds[known.subscription] = max(qos, kinds.get(known.subscription, 0))
        return kinds

    def subscribe(self, filters: Sequence[SubscribeFilter], now: float, answer: Callable[[list[int]], None]) -> None:
        """Grant what IoT Hub knows and the owner may have; `answer` gets the codes when the disk has it."""
        codes = [self._code(each) for each in filters]
        granted = {each.filter: code for each, code in zip(filters, codes, strict=True) if code <= GRANTED_AT_MOST}
        self._granted.update(granted)
        self._when_saved(now, lambda: answer(codes))

    def unsubscribe(self, filters: Sequence[str], now: float, answer: Callable[[list[int]], None]) -> None:
        """Drop these; `answer` gets the codes when the disk knows. One that was never there is no error."""
        removed = [self._granted.pop(each, None) for each in filters]
        codes = [NO_SUBSCRIPTION_EXISTED if each is None else SUCCESS for each in removed]
        self._when_saved(now, lambda: answer(codes))

    def change_expiry(self, expiry_s: int) -> None:
        """An MQTT 5 client said at its goodbye how long its session is to live. Spec: MQTT 5 §3.14.2.2.2."""
        self._expiry_s = expiry_s

    def leave(self, now: float) -> None:
        """The connection ends: from now on the session's life runs."""
        if not self._persistent:
            return
        self._persistent = False
        if self._expiry_s == 0:
            self._sessions.forget(self._owner, _nothing)
        elif self._expiry_s is not None:
            self._save(now, _nothing)

    def _code(self, asked: SubscribeFilter) -> int:
        known = classify_filter(asked.filter)
        if known is not None and known.identity in (None, self._owner):
            return min(asked.qos, GRANTED_AT_MOST)
        reason = RefusedFilter.UNKNOWN_FILTER if known is None else RefusedFilter.FOREIGN_DEVICE
        self._emit(SubscriptionRefused(str(self._owner), reason, asked.filter))
        return NOT_AUTHORIZED

    def _when_saved(self, now: float, answer: Callable[[], None]) -> None:
        if self._persistent:
            self._save(now, answer)
        else:
            answer()

    def _save(self, now: float, saved: Callable[[], None]) -> None:
        expires_at = None if self._expiry_s is None else now + self._expiry_s
        self._sessions.save(self._owner, self._granted, expires_at, saved)


def _nothing() -> None:
    """Nobody waits for this."""
