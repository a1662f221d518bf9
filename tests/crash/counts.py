"""The four counts of a campaign: lost, duplicated, out of order, never sent. All of them must be zero."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol, cast

from standin.events import Event
from support.numbered_devices import NumberedDevice, judge


class Sender(Protocol):
    """A device that numbers its messages from 0."""

    @property
    def device(self) -> str:
        """Its id."""

    @property
    def sent(self) -> int:
        """How many it has begun to send."""

    @property
    def acknowledged(self) -> set[int]:
        """The numbers that were acknowledged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What the hub's events say about what the devices did."""

    devices: int
    acknowledged: int
    arrived: int
    lost: int
    """Acknowledged, and not arrived."""
    duplicated: int
    """Twice without a reason: two message ids for one send, or one id twice in one life of the gateway."""
    out_of_order: int
    """First arrivals behind a later message of the same device."""
    never_sent: int
    """Arrived, and no device had begun to send it, or its bytes are others."""
    repeated: int
    """The same message id again after a restart: its answer from upstream had not been written down. No fault."""
    sent_again: int
    """Sent again by a device, with DUP, as it had not heard of its PUBACK. No fault."""

    def assert_none(self) -> None:
        """None of the four."""
        assert self.is_clean(), str(self)

    def is_clean(self) -> bool:
        """Whether all four are zero."""
        return not (self.lost or self.duplicated or self.out_of_order or self.never_sent)

    def table(self) -> str:
        """For a person."""
        return "\n".join(f"{one.name.replace('_', ' '):>14} {getattr(self, one.name):>9,}" for one in fields(self))


def count(devices: Sequence[Sender], events: Sequence[Event], starts: Sequence[float], padding: int) -> Counts:
    """Compare; `starts`: when each life of the gateway began, in seconds since 1970."""
    known = {device.device: device for device in devices}
    genuine = [event for event in events if _is_genuine(event, known, padding)]
    findings = judge(cast(Sequence[NumberedDevice], devices), genuine)  # it looks at no more than a Sender has
    return Counts(
        devices=len(devices),
        acknowledged=sum(len(device.acknowledged) for device in devices),
        arrived=len(events),
        lost=sum(map(len, findings.lost.values())),
        duplicated=sum(map(len, findings.copied.values())) + _twice_in_one_life(genuine, starts),
        out_of_order=sum(map(len, findings.reordered.values())),
        never_sent=len(events) - len(genuine),
        repeated=findings.repeated,
        sent_again=sum("mqtt-dup" in event.properties for event in genuine),
    )


def _is_genuine(event: Event, known: dict[str, Sender], padding: int) -> bool:
    device = known.get(event.properties.get("leafDeviceId") or "")
    digits = event.body.removesuffix(b" " * padding)
    return device is not None and digits.isdigit() and int(digits) < device.sent


def _twice_in_one_life(events: Sequence[Event], starts: Sequence[float]) -> int:
    lives: dict[str, list[int]] = defaultdict(list)
    for event in events:
        lives[event.system["messageId"]].append(bisect_right(starts, event.enqueued_at))
    return sum(len(each) - len(set(each)) for each in lives.values())
