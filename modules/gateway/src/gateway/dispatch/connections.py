"""Who comes and goes: a message for the routes that name its source, and a summary for the reported twin.

Hears what the heads say of connections. A device that connects again while it is here was never away: there is no
message of its old connection's end. Nothing outlives the process: after a start everybody is new.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from edgewire.message import Envelope, Identity, Message, MessageSource, identity
from gateway.dispatch.ingress import AppendResult, Ingress
from gateway.dispatch.presence import Presence
from gateway.observe.dispatch import ConnectionStateNotKept
from gateway.observe.events import Event
from gateway.observe.head import DeviceConnected, DeviceDisconnected

MAX_OFFLINE: Final = 1_000
"""Devices that are remembered as gone; beyond, the one that has been gone longest is not told any more."""
SUMMARY_S: Final = 60.0
"""So often at most is the summary told: a twin takes few changes, and a device may come and go all day."""


class Connections:
    """Listens to the heads' events. `clock` gives seconds since 1970."""

    def __init__(
        self,
        *,
        ingress: Ingress,
        presence: Presence,
        emit: Callable[[Event], None],
        clock: Callable[[], float],
    ) -> None:
        self._ingress = ingress
        self._presence = presence
        self._emit = emit
        self._clock = clock
        self._numbers = 0
        self._offline: dict[Identity, str] = {}
        """Who was here and is not: why, and since when; the latest last."""
        self._is_news = False
        self._told_at: float | None = None

    def on_event(self, event: Event) -> None:
        """A listener of the observer."""
        match event:
            case DeviceConnected(identity=name):
                self._came(_named(name))
            case DeviceDisconnected(identity=name, reason=reason):
                self._went(_named(name), reason.value)
            case _:
                pass

    def summary(self) -> Mapping[str, Any]:
        """How many are here, and who was and is not: the latest first, as `{"d": "lost 2026-11-21T10:00:00Z"}`."""
        return {
            "connected": len(self._presence),
            "offline": {str(who): self._offline[who] for who in reversed(self._offline)},
        }

    def is_due(self) -> bool:
        """Whether the summary has changed and may be told again; True counts as told."""
        now = self._clock()
        # A clock that was set back may not silence it.
        if not self._is_news or (self._told_at is not None and 0 <= now - self._told_at < SUMMARY_S):
            return False
        self._is_news, self._told_at = False, now
        return True

    def _came(self, who: Identity) -> None:
        self._offline.pop(who, None)
        self._is_news = True
        self._say(who, "Connected", {})

    def _went(self, who: Identity, reason: str) -> None:
        if who in self._presence:
            return  # it is here by another connection
        self._offline.pop(who, None)
        self._offline[who] = f"{reason} {self._now()}"
        if len(self._offline) > MAX_OFFLINE:
            del self._offline[next(iter(self._offline))]
        self._is_news = True
        self._say(who, "Disconnected", {"reason": reason})

    def _say(self, who: Identity, what: str, more: Mapping[str, str]) -> None:
        """A message in the form of the cloud's connection-state events, with the reason, which those lack."""
        if not self._ingress.wants(MessageSource.CONNECTION_STATE):
            return
        self._numbers += 1
        kind = "device" if who.module is None else "module"
        body = {"event": what.lower(), "sequenceNumber": self._numbers, **more}
        ids = {"deviceId": who.device} | ({} if who.module is None else {"moduleId": who.module})
        senders = {"connectionDeviceId": who.device} | (
            {} if who.module is None else {"connectionModuleId": who.module}
        )
        envelope = Envelope(
            sender=who,
            properties={"opType": kind + what, "operationTimestamp": self._now(), **ids},
            system={**senders, "contentType": "application/json", "contentEncoding": "utf-8"},
            source=MessageSource.CONNECTION_STATE,
        )
        self._ingress.accept([Message(envelope, orjson.dumps(body))], self._on_result)

    def _on_result(self, result: AppendResult) -> None:
        if result is not AppendResult.STORED:
            self._emit(ConnectionStateNotKept())

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _named(name: str) -> Identity:
    device, slash, module = name.partition("/")
    return identity(device, module if slash else None)
