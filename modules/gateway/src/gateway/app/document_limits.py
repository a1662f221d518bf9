"""The section `limits` of the settings document: what one device may send. What it does: docs/rate-limits.md."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from gateway.app.document_policy import read_policy
from gateway.app.document_rows import Choice, Entries, Number, Row, Section, Whole, names
from gateway.dispatch.allowance import Allowance, Limits, WhenOver
from gateway.routing.problems import near_match

Problem = Callable[[str, str, str], None]
"""What is wrong, or may surprise: its path from the section's top, the message, what to write instead."""

MAX_PATTERNS: Final = 200
"""Entries of `devices` and of `users` each: the first message of a device looks through all of them."""
MIN_PER_SECOND: Final = 0.01
"""One message in a hundred seconds."""
MAX_PER_SECOND: Final = 1_000_000
MIN_BYTES_PER_SECOND: Final = 256
"""With less, the largest message would take a quarter of an hour and more to be paid."""
MAX_BYTES_PER_SECOND: Final = 1_000_000_000
MAX_PER_DAY: Final = 1_000_000_000
DEFAULT_BURST_S: Final = 5
"""What may be sent at once, where the settings do not say: so many seconds' worth."""

_NAME: Final = r"[^\s.$]{1,385}"
_ALLOWANCE_ROWS: Final = (
    Row(
        name="messagesPerSecond",
        shape=Number(least=MIN_PER_SECOND, most=MAX_PER_SECOND),
        unit="messages per second",
        help="in the long run; left out: no limit",
    ),
    Row(
        name="burst",
        shape=Whole(least=1, most=MAX_PER_SECOND),
        unit="messages",
        help=f"what may come at once after a pause; left out: {DEFAULT_BURST_S} seconds' worth",
    ),
    Row(
        name="bytesPerSecond",
        shape=Whole(least=MIN_BYTES_PER_SECOND, most=MAX_BYTES_PER_SECOND),
        unit="bytes per second",
        help="in the long run; left out: no limit",
    ),
    Row(
        name="burstBytes",
        shape=Whole(least=MIN_BYTES_PER_SECOND, most=MAX_BYTES_PER_SECOND),
        unit="bytes",
        help=f"what may come at once after a pause; left out: {DEFAULT_BURST_S} seconds' worth",
    ),
    Row(
        name="messagesPerDay",
        shape=Whole(least=1, most=MAX_PER_DAY),
        unit="messages",
        help="from midnight to midnight, UTC; left out: no limit",
    ),
    Row(
        name="whenOver",
        shape=Choice(tuple(policy.value for policy in WhenOver)),
        default=WhenOver.SLOW.value,
        help="slow: read from that device no faster, nothing is lost; refuse: refuse what is above, as IoT Hub does",
    ),
)
_ROWS: Final = (
    Row(name="perDevice", shape=Section(_ALLOWANCE_ROWS), help="what each device or module may send"),
    Row(
        name="devices",
        shape=Entries(shape=Section(_ALLOWANCE_ROWS), names=_NAME, most=MAX_PATTERNS),
        help="what some may send instead, by name or pattern with *: {} is no limit",
    ),
    Row(
        name="users",
        shape=Entries(shape=Section(_ALLOWANCE_ROWS), names=_NAME, most=MAX_PATTERNS),
        help="the same for users of the plain listener",
    ),
)
SHAPE: Final = Section(_ROWS)
_EXAMPLE: Final = 'write {"perDevice": {"messagesPerSecond": 20, "burst": 100}}'
_RANGES: Final[Mapping[str, Number | Whole]] = {
    row.name: row.shape for row in _ALLOWANCE_ROWS if isinstance(row.shape, Number | Whole)
}


def read_limits(given: Any, problem: Problem, warn: Problem) -> Limits | None:
    """What the section says; None if it limits nobody. All that is wrong is told to `problem`."""
    return _Reader(problem, warn).limits(given)


class _Reader:
    """Reads the section and tells what is wrong with it."""

    def __init__(self, problem: Problem, warn: Problem) -> None:
        self._problem = problem
        self._warn = warn

    def limits(self, given: Any) -> Limits | None:
        value = self._object(given, "limits", _EXAMPLE)
        self._check_keys(value, "limits", names(_ROWS))
        limits = Limits(
            per_device=self._allowance(value.get("perDevice"), "limits.perDevice"),
            devices=self._named(value.get("devices"), "limits.devices"),
            users=self._named(value.get("users"), "limits.users"),
        )
        every = (limits.per_device, *limits.devices.values(), *limits.users.values())
        return None if all(each.is_none for each in every) else limits

    def _named(self, given: Any, path: str) -> dict[str, Allowance]:
        value = self._object(given, path, 'write {"camera-*": {"bytesPerSecond": 1048576}}')
        entries = {name: entry for name, entry in value.items() if entry is not None and not name.startswith("$")}
        if len(entries) > MAX_PATTERNS:
            self._problem(path, f"there are {len(entries)} entries; {MAX_PATTERNS} is the limit", "use patterns with *")
        for name in entries:
            if re.fullmatch(_NAME, name) is None:
                what = f"'{name[:64]}' is no name or pattern of an id"
                self._problem(f"{path}.{name[:64]}", what, "write * for a dot or a dollar, which a twin cannot hold")
        return {name: self._allowance(entry, f"{path}.{name[:64]}") for name, entry in entries.items()}

    def _allowance(self, given: Any, path: str) -> Allowance:
        value = self._object(given, path, 'write {"messagesPerSecond": 20}')
        self._check_keys(value, path, names(_ALLOWANCE_ROWS))
        per_second = self._number(value, "messagesPerSecond", path)
        bytes_per_second = self._number(value, "bytesPerSecond", path)
        per_day = self._number(value, "messagesPerDay", path)
        policy = read_policy(value.get("whenOver"), WhenOver.SLOW, partial(self._problem, f"{path}.whenOver"))
        self._check_bursts(value, path)
        if per_day is not None and policy is WhenOver.SLOW:
            what = "a device that has used up its day is not read from until midnight (UTC), and nothing reaches it"
            self._warn(f"{path}.messagesPerDay", what, 'write "whenOver": "refuse", or a messagesPerSecond instead')
        return Allowance(
            messages_per_s=per_second,
            burst=_burst(self._number(value, "burst", path), per_second),
            bytes_per_s=bytes_per_second,
            burst_bytes=_burst(self._number(value, "burstBytes", path), bytes_per_second),
            messages_per_day=None if per_day is None else int(per_day),
            when_over=policy,
        )

    def _check_bursts(self, value: Mapping[str, Any], path: str) -> None:
        """A burst without a rate says nothing."""
        for burst, rate in (("burst", "messagesPerSecond"), ("burstBytes", "bytesPerSecond")):
            if value.get(burst) is not None and value.get(rate) is None:
                self._problem(f"{path}.{burst}", f"it means nothing without {rate}", f"add {rate}, or remove it")

    def _number(self, value: Mapping[str, Any], key: str, path: str) -> float | None:
        """What is written there, None for nothing, and with a problem for anything out of range."""
        given, shape = value.get(key), _RANGES[key]
        if given is None:
            return None
        kind = (int, float) if isinstance(shape, Number) else int
        whole = isinstance(given, float) and given.is_integer()
        if isinstance(given, bool) or not (isinstance(given, kind) or whole) or not shape.least <= given <= shape.most:
            what = "number" if isinstance(shape, Number) else "whole number"
            self._problem(
                f"{path}.{key}",
                f"{given!r} is no {what} from {shape.least:,} to {shape.most:,}",
                "correct it; left out: no limit",
            )
            return None
        return float(given)

    def _object(self, value: Any, path: str, fix: str) -> Mapping[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._problem(path, "this must be an object", fix)
            return {}
        return value

    def _check_keys(self, value: Mapping[str, Any], path: str, known: tuple[str, ...]) -> None:
        for key in value:
            if key in known or key.startswith("$"):  # $version and $metadata belong to the twin
                continue
            near = near_match(key, known)
            hint = f"did you mean '{near}'?" if near else "known here: " + ", ".join(known)
            self._problem(f"{path}.{key}", f"there is no setting '{key}'", hint)


def _burst(given: float | None, per_second: float | None) -> float:
    if per_second is None:
        return 0.0
    return max(1.0, per_second * DEFAULT_BURST_S) if given is None else given
