"""Is the clock right? Tokens and certificates are judged by it, and messages expire by it."""

import ctypes
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from gateway.app.latest_time import BUILT_AT, LATEST_TIME_FILE
from gateway.doctor.finding import Finding, NotCheckedError, not_checked, ok, problem, warning
from gateway.doctor.patient import Patient

FAR_AHEAD_S: Final = 20 * 365 * 86_400.0
"""Nobody runs this version twenty years after it was built: the clock is wrong."""
BEHIND_S: Final = 300.0
"""What the gateway keeps the time by: behind it by less says nothing."""
_UNSYNCHRONISED: Final = 0x0040  # adjtimex(2): STA_UNSYNC
_STATUS_OFFSET: Final = 40  # of `status` in struct timex, where long has 8 bytes
_STATUS_OFFSET_32: Final = 20
_TIMEX_BYTES: Final = 512  # more than any struct timex

SET_IT: Final = "set the clock, or let NTP do it: `timedatectl set-ntp true` on the host"


def check_year(patient: Patient) -> Iterator[Finding]:
    """The clock alone: before this version was built, or far after, it is wrong for certain."""
    now = patient.now()
    if now < BUILT_AT:
        yield problem(
            f"it is {_date(now)} here, before this version was built ({_date(BUILT_AT)})",
            "good certificates count as not valid yet, tokens of devices as too long, and messages are dated wrongly",
            SET_IT,
        )
    elif now > BUILT_AT + FAR_AHEAD_S:
        yield problem(
            f"it is {_date(now)} here, twenty years after this version was built",
            "certificates and tokens that are good count as ended, and everything in the store as expired",
            SET_IT,
        )
    else:
        yield ok(f"it is {_moment(now)} UTC here")


def check_kept_time(patient: Patient) -> Iterator[Finding]:
    """Against the latest time that the gateway has seen."""
    file = patient.data_dir / LATEST_TIME_FILE
    try:
        text = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise NotCheckedError(f"no time has been kept here yet: {file} is not there") from None
    if not text.isdigit():
        raise NotCheckedError(f"{file} holds no time")
    behind_s = int(text) - patient.now()
    if behind_s > BEHIND_S:
        yield problem(
            f"the clock is {_span(behind_s)} behind a time that this gateway has seen already",
            "tokens that have ended in the meantime would count again; the gateway judges them by the later time for "
            "an hour, and by this clock from then on",
            SET_IT,
        )
    else:
        yield ok("it is not behind the last time that the gateway has kept")


def check_synchronisation(_patient: Patient) -> Iterator[Finding]:
    """Whether the kernel is told the time by somebody."""
    synchronised = kernel_is_synchronised()
    if synchronised is None:
        yield not_checked("the kernel does not tell whether its clock is synchronised")
    elif synchronised:
        yield ok("the kernel's clock is kept by NTP or its like")
    else:
        yield warning(
            "nobody synchronises this machine's clock, as far as the kernel knows",
            "it drifts by seconds a day, and a board without a battery begins in the past after a power cut",
            "install an NTP client on the host (chrony, systemd-timesyncd) and let it out to port 123. Some virtual "
            "machines are kept by their hypervisor, of which the kernel does not know",
        )


def kernel_is_synchronised() -> bool | None:
    """What adjtimex(2) says, which asks and sets nothing; None where there is no answer."""
    try:
        call = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    if call(buffer) < 0:
        return None
    offset = _STATUS_OFFSET if ctypes.sizeof(ctypes.c_long) == 8 else _STATUS_OFFSET_32
    status = int.from_bytes(buffer.raw[offset : offset + 4], sys.byteorder)
    return not status & _UNSYNCHRONISED


def check_against(now: float, theirs: float, who: str, skew_s: float) -> Finding:
    """Our clock against another's, which says it to the second."""
    off_s = now - theirs
    where = f"{_span(abs(off_s))} {'ahead of' if off_s > 0 else 'behind'} {who}"
    if abs(off_s) > skew_s:
        return problem(
            f"the clock is {where}",
            f"tokens are taken for ended or never ending: more than {skew_s:g} s is not forgiven",
            SET_IT,
        )
    if abs(off_s) > skew_s / 10:
        return warning(
            f"the clock is {where}",
            f"from {skew_s:g} s on tokens are judged wrongly",
            SET_IT,
        )
    return ok(f"the clock agrees with {who}")


def _date(when: float) -> str:
    return f"{datetime.fromtimestamp(when, UTC):%Y-%m-%d}"


def _moment(when: float) -> str:
    return f"{datetime.fromtimestamp(when, UTC):%Y-%m-%d %H:%M:%S}"


def _span(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
