"""What the stand-in does wrong on purpose: for tests of its clients, and for people who want to see what theirs do."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from typing import Any, Final

MAX_DELAY_S: Final = 3_600.0
"""The longest that an acknowledgement may be kept back; longer is to lose it."""
MAX_SKEW_S: Final = 315_360_000.0
"""Ten years, ahead or back."""
MAX_COUNT: Final = 1_000_000_000
_LEAST: Final = {"clock_skew_s": -MAX_SKEW_S}
_MOST: Final = {"clock_skew_s": MAX_SKEW_S, "acknowledgement_delay_s": MAX_DELAY_S}


class FaultError(Exception):
    """There is no such fault, or not with that value; the sentence says what there is."""


class Refusal(Enum):
    """Why no message is taken, with the code IoT Hub has for it (iothub_wire.md §4.1, §8)."""

    THROTTLED = 429001
    OVER_QUOTA = 403002


def _says(what: str) -> dict[str, str]:
    return {"what": what}


@dataclass(slots=True)
class Faults:
    """The faults in force; what is counted counts down as it happens."""

    stalled: bool = field(default=False, metadata=_says("connections stay open, nothing is stored or answered"))
    refusing: bool = field(default=False, metadata=_says("connections are refused: server unavailable, close, 503"))
    refusing_tokens: bool = field(default=False, metadata=_says("tokens of devices are refused as of a wrong key"))
    late: bool = field(default=False, metadata=_says("a bad token put to $cbs gets 200, and its links are refused"))
    throttling: bool = field(default=False, metadata=_says("no message is taken: throttled (429)"))
    over_quota: bool = field(default=False, metadata=_says("no message is taken: the day's quota is used up (403)"))
    drop_after: int = field(default=0, metadata=_says("all connections are cut with the N-th message from now"))
    lose_acknowledgements: int = field(default=0, metadata=_says("the next N messages are kept, and not acknowledged"))
    acknowledgement_delay_s: float = field(default=0.0, metadata=_says("acknowledgements come so many seconds late"))
    clock_skew_s: float = field(default=0.0, metadata=_says("the clock that judges tokens is so many seconds ahead"))

    @property
    def refusal(self) -> Refusal | None:
        """Why no message is taken now; None if messages are."""
        if self.throttling:
            return Refusal.THROTTLED
        return Refusal.OVER_QUOTA if self.over_quota else None

    def drops_with(self, messages: int) -> bool:
        """Count messages that came; whether all connections are to be cut with them."""
        before, self.drop_after = self.drop_after, max(self.drop_after - messages, 0)
        return before > 0 and self.drop_after == 0

    def loses_acknowledgement(self) -> bool:
        """Whether the next acknowledgement is lost; True counts as lost."""
        if not self.lose_acknowledgements:
            return False
        self.lose_acknowledgements -= 1
        return True

    def change(self, changes: Mapping[str, Any]) -> None:
        """Set these, by name; all of them or, with FaultError, none."""
        checked = {name: _checked(name, value) for name, value in changes.items()}
        for name, value in checked.items():
            setattr(self, name, value)

    def clear(self) -> None:
        """End them all. A connection that lost something in a stall must be made anew."""
        self.change(asdict(Faults()))


DESCRIPTIONS: Final[Mapping[str, str]] = {each.name: each.metadata["what"] for each in fields(Faults)}
"""What each fault does, for people."""


def _checked(name: str, value: Any) -> Any:
    if name not in DESCRIPTIONS:
        raise FaultError(f"there is no fault '{name}'; there are {', '.join(DESCRIPTIONS)}.")
    kind = type(getattr(Faults(), name))
    if kind is bool:
        if not isinstance(value, bool):
            raise FaultError(f"{name} is {value!r}; it is on or off.")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise FaultError(f"{name} is {value!r}; it is a number.")
    least, most = _LEAST.get(name, 0), _MOST.get(name, MAX_COUNT)
    if not least <= value <= most or kind(value) != value:
        whole = "whole number" if kind is int else "number"
        raise FaultError(f"{name} is {value!r}; it is a {whole} from {least:g} to {most:g}.")
    return kind(value)
