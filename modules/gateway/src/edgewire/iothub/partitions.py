"""Which partition of an Event Hub keeps the events of a partition key, as the service's own clients work it out.

The hash is Bob Jenkins's lookup3 (`hashlittle2` with both seeds 0); its two halves, joined and cut to sixteen signed
bits, give the number. Clients in .NET and JavaScript take the absolute value of the remainder; so do we.
"""

from typing import Final

_WORD: Final = 0xFFFFFFFF
_BLOCK: Final = 12
_MIX: Final = (4, 6, 8, 16, 19, 4)
_FINAL: Final = (14, 11, 25, 16, 4, 14, 24)


def partition_of_key(key: str, partitions: int) -> int:
    """The partition, from 0 on, of all events with this key."""
    return abs(key_hash(key)) % partitions


def key_hash(key: str) -> int:
    """The key's hash, from -32768 to 32767; that of an empty one is 0."""
    first, second = _lookup3(key.encode()) if key else (0, 0)
    folded = (first ^ second) & 0xFFFF
    return folded - 0x10000 if folded & 0x8000 else folded


def _lookup3(data: bytes) -> tuple[int, int]:
    a = b = c = (0xDEADBEEF + len(data)) & _WORD
    at = 0
    while len(data) - at > _BLOCK:
        a, b, c = _mix(*_added(a, b, c, data[at : at + _BLOCK]))
        at += _BLOCK
    return _finish(*_added(a, b, c, data[at:].ljust(_BLOCK, b"\0")))


def _added(a: int, b: int, c: int, block: bytes) -> tuple[int, int, int]:
    words = (int.from_bytes(block[at : at + 4], "little") for at in (0, 4, 8))
    return next(words) + a & _WORD, next(words) + b & _WORD, next(words) + c & _WORD


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    """Six steps, each the same with the words' parts moved on by one: `a -= c; a ^= turned(c); c += b`."""
    for bits in _MIX:
        a, b, c = b, c + b & _WORD, (a - c & _WORD) ^ _turned(c, bits)
    return a, b, c


def _finish(a: int, b: int, c: int) -> tuple[int, int]:
    """Seven steps: `c ^= b; c -= turned(b)`, and so on round; the last is `c` by `b` again."""
    for bits in _FINAL:
        a, b, c = b, (c ^ b) - _turned(b, bits) & _WORD, a
    return b, a


def _turned(word: int, bits: int) -> int:
    return (word << bits | word >> (32 - bits)) & _WORD
