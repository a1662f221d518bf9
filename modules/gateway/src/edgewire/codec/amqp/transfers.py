"""The short way for what comes once per message: transfers and dispositions. Spec: AMQP 1.0 §2.7.5, §2.7.6.

Reading gives None for what is not in the usual form, and `composites` reads that; both ways agree. Writing makes
numbers four bytes wide, so that one `pack` makes them all.
"""

import struct
from itertools import product
from typing import Final

from edgewire.codec.amqp.composites import MAX_TAG_BYTES
from edgewire.codec.amqp.performatives import Accepted, Disposition, Transfer

_U32_PAIR: Final = struct.Struct(">II").unpack_from

_FROM_BYTES: Final = int.from_bytes

_UNUSUAL: Final = (KeyError, IndexError, struct.error)

_REST: Final = ((0x40,), (0x40,), (0x40, 0x42), (0x40, 0x42), (0x40, 0x41, 0x42))

_RESTS: Final = {
    bytes(codes): codes[4:] == (0x41,) for count in range(len(_REST) + 1) for codes in product(*_REST[:count])
}
"""The usual ends of a transfer: no mode, no state, neither resumed nor aborted; and whether that is batchable."""


_NUMBER: Final = {0x40: 1, 0x43: 1, 0x52: 2, 0x70: 5}
"""How long a uint is, by its format code; null is as long as zero. Spec: AMQP 1.0 §1.6.5."""

_FLAG: Final = {0x40: False, 0x41: True, 0x42: False}


def read_transfer(data: bytes, at: int, stop: int) -> tuple[Transfer, int] | None:
    """Read a transfer whose list is at `at`, in a frame that ends at `stop`: it, and the index after it."""
    try:
        if data[at] == 0xC0:
            end = at + 2 + data[at + 1]
            count = data[at + 2]
            at += 3
        elif data[at] == 0xD0:
            size, count = _U32_PAIR(data, at + 1)
            end = at + 5 + size
            at += 9
        else:
            return None
        return (_read_fields(data, at, end, count), end) if end <= stop and 5 < count < 12 else None
    except _UNUSUAL:
        return None


def _read_fields(data: bytes, at: int, end: int, count: int) -> Transfer:
    """Read six fields or more that end at `end`. Raises what `_UNUSUAL` has if they are not in the usual form."""
    after = at + _NUMBER[data[at]]
    if data[at] == 0x40:
        raise KeyError
    handle = _FROM_BYTES(data[at + 1 : after])
    at = after + _NUMBER[data[after]]
    delivery_id = _FROM_BYTES(data[after + 1 : at]) if data[after] != 0x40 else None
    tag: bytes | None = None
    if data[at] == 0xA0:
        after = at + 2 + data[at + 1]
        tag = data[at + 2 : after]
        if after - at > MAX_TAG_BYTES + 2:
            raise KeyError
    elif data[at] == 0x40:
        after = at + 1
    else:
        raise KeyError
    at = after + _NUMBER[data[after]]
    message_format = _FROM_BYTES(data[after + 1 : at]) if data[after] != 0x40 else None
    settled, more = _FLAG[data[at]], _FLAG[data[at + 1]]
    batchable = _RESTS[data[at + 2 : end]]
    if end - at != count - 4:
        raise KeyError
    if batchable:
        return Transfer(handle, delivery_id, tag, message_format, settled, more, batchable=True)
    return Transfer(handle, delivery_id, tag, message_format, settled, more)


# Frame header, descriptor, list of 11 fields, handle, delivery-id; then the tag; then the rest.
_HEADED: Final = struct.Struct(">IHH4sBHIBI").pack
_FORMAT: Final = {
    (0, False, False): b"\x43\x42\x42\x40\x40\x42\x42\x42",
    (0, True, False): b"\x43\x41\x42\x40\x40\x42\x42\x42",
    (0, False, True): b"\x43\x42\x41\x40\x40\x42\x42\x42",
    (0, True, True): b"\x43\x41\x41\x40\x40\x42\x42\x42",
}


def write_transfer(channel: int, transfer: Transfer, payload: bytes) -> bytes | None:
    """The frame of a transfer, or None if it is not in the usual form."""
    tag = transfer.delivery_tag
    delivery_id = transfer.delivery_id
    if (
        tag is None
        or delivery_id is None
        or len(tag) > MAX_TAG_BYTES
        or transfer.state is not None
        or transfer.rcv_settle_mode is not None
        or transfer.resume
        or transfer.aborted
        or transfer.batchable
    ):
        return None
    tail = _FORMAT.get((transfer.message_format, transfer.settled, transfer.more))  # type: ignore[arg-type]  # None is no key of it
    if tail is None:
        tail = _long_tail(transfer)
    size = len(tag)
    rest = size + len(tail)
    head = _HEADED(
        26 + rest + len(payload),
        0x0200,
        channel,
        b"\x00\x53\x14\xc0",
        13 + rest,
        0x0B70,
        transfer.handle,
        0x70,
        delivery_id,
    )
    return b"".join((head, b"\xa0", _BYTES[size], tag, tail, payload))


def _long_tail(transfer: Transfer) -> bytes:
    number = transfer.message_format
    written = b"\x40" if number is None else b"\x70" + number.to_bytes(4, "big")
    return b"".join((written, _FLAGS[transfer.settled], _FLAGS[transfer.more], b"\x40\x40\x42\x42\x42"))


_FLAGS: Final = {False: b"\x42", True: b"\x41"}
_BYTES: Final = tuple(bytes((number,)) for number in range(MAX_TAG_BYTES + 1))

# Frame header, descriptor, list of 6 fields, role, first, last (a number or null), settled, accepted, not batchable.
_RANGE: Final = struct.Struct(">IHH6s2sIBI6s").pack
_ONE: Final = struct.Struct(">IHH6s2sI7s").pack
_SETTLED: Final = {False: b"\x42\x00\x53\x24\x45\x42", True: b"\x41\x00\x53\x24\x45\x42"}
_SETTLED_ONE: Final = {False: b"\x40\x42\x00\x53\x24\x45\x42", True: b"\x40\x41\x00\x53\x24\x45\x42"}
_ROLE: Final = {False: b"\x42\x70", True: b"\x41\x70"}


def write_disposition(channel: int, disposition: Disposition) -> bytes | None:
    """The frame of a disposition, or None if it says anything but accepted."""
    if type(disposition.state) is not Accepted or disposition.batchable:
        return None
    role = _ROLE[disposition.role]
    last = disposition.last
    if last is None:
        end = _SETTLED_ONE[disposition.settled]
        return _ONE(27, 0x0200, channel, b"\x00\x53\x15\xc0\x0e\x06", role, disposition.first, end)
    end = _SETTLED[disposition.settled]
    return _RANGE(31, 0x0200, channel, b"\x00\x53\x15\xc0\x12\x06", role, disposition.first, 0x70, last, end)
