"""Values of AMQP types as the text that properties are, and times both ways.

IoT Hub's properties are text. edgeHub reads every application property of another type as null; here a number, a truth
value, a time, a uuid and a character become the text that a person would write, binary is read as UTF-8 (Python's
clients send bytes where they mean text), and what has no such text is refused (docs/deviations.md).
"""

import math
import struct
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

from edgewire.codec.amqp.conditions import INVALID_FIELD
from edgewire.codec.amqp.kinds import Decimal32, Decimal64, Decimal128, Float, Timestamp, ULong
from edgewire.errors import ProtocolError
from edgewire.iothub.limits import MAX_REQUEST_ID_CHARS

MessageId = str | ULong | uuid.UUID | bytes
"""A message id or correlation id in its own AMQP type, which that of an answer must have. Spec: AMQP 1.0 §3.2.4."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FLOAT_DIGITS: Final = range(6, 10)
# 6 digits always survive in a 32-bit float, 9 always tell two of them apart (IEEE 754-2008 §5.12.2).


def check_request_id(value: MessageId | None) -> None:
    """Raise ProtocolError for a request's id that is too long: its answer repeats it, and may have to wait."""
    if isinstance(value, str | bytes) and len(value) > MAX_REQUEST_ID_CHARS:
        raise ProtocolError(
            f"the id of the request has {len(value)} characters; the limit is {MAX_REQUEST_ID_CHARS}",
            reply=INVALID_FIELD,
        )


def property_text(value: object, name: str) -> str | None:
    """An application property's value as text; None for null. `name` is for the peer's error.

    Raises ProtocolError for binary that is no text, decimals, and whatever is no simple type (AMQP 1.0 §3.2.5).
    """
    match value:
        case None:
            return None
        case str():
            return str(value)
        case bool():
            return "true" if value else "false"
        case Timestamp():
            return format_time(value, f"the property '{name[:64]}'")
        case int():
            return str(int(value))
        case float():
            return _float_text(value)
        case uuid.UUID():
            return str(uuid.UUID(int=value.int))
        case bytes() if not isinstance(value, Decimal32 | Decimal64 | Decimal128):
            return utf8_text(value, f"the property '{name[:64]}'")
        case _:
            raise ProtocolError(f"the property '{name[:64]}' is neither text, number, truth value, time nor uuid")


def utf8_text(value: bytes, what: str) -> str:
    """Binary as text; `what` names it for the peer's error. Raises ProtocolError if it is not UTF-8."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise ProtocolError(f"{what} is binary that is not UTF-8") from None


def id_text(value: MessageId) -> str:
    """A message id or correlation id as text, as .NET writes each of its types: binary in hexadecimal."""
    match value:
        case bytes():
            return value.hex().upper()
        case uuid.UUID():
            return str(uuid.UUID(int=value.int))
        case int():
            return str(int(value))
        case _:
            return str(value)


def format_time(time_ms: int, what: str) -> str:
    """Milliseconds since 1970 as .NET's round-trip text; `what` names it for the peer's error.

    Raises ProtocolError for a time outside of the years 1 to 9999.
    """
    try:
        time = (_EPOCH + timedelta(milliseconds=time_ms)).replace(tzinfo=None)
    except OverflowError:
        raise ProtocolError(f"{what} is a time outside of the years 1 to 9999") from None
    # .NET counts ticks of 100 ns: seven digits.
    return f"{time.isoformat(timespec='milliseconds')}0000Z"


def parse_time(text: str) -> int | None:
    """Milliseconds since 1970 of a time in ISO 8601, without a zone in UTC; None if it is none."""
    try:
        time = datetime.fromisoformat(text)
        utc = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return (utc - _EPOCH) // timedelta(milliseconds=1)


def _float_text(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return _short_text(value) if isinstance(value, Float) else repr(float(value))


def _short_text(value: float) -> str:
    """The shortest text that reads as the same 32-bit float: 0.1, where the double beside it is 0.10000000149011612."""
    stored = struct.pack("<f", value)
    texts = (f"{value:.{digits}g}" for digits in _FLOAT_DIGITS)
    return next((text for text in texts if struct.pack("<f", float(text)) == stored), repr(float(value)))
