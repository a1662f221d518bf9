"""Nonces that nobody remembers until they are used: each says when it was made, and proves that it was made here.

A nonce is 32 bytes: milliseconds on a clock that only grows (6), random bytes (10), and the first 16 of an HMAC-SHA256
over both and the device's id, under a secret of this start. So asking for nonces takes no memory, whoever asks and
however often, and only who has proven itself adds to the list of used ones.
"""

import hmac
import os
from collections import OrderedDict
from enum import Enum
from typing import Final

LIFE_S: Final = 60.0
"""From asking for a nonce to using it: a board makes its HMAC within a second, its link may need some tries."""
MAX_USED: Final = 8_192
"""Used nonces that could be tried again, all within `LIFE_S`; beyond, nobody gets in until one is too old."""

_TIME_BYTES: Final = 6
_RANDOM_BYTES: Final = 10
_MAC_BYTES: Final = 16


class Nonce(Enum):
    """What a nonce is worth."""

    FRESH = "fresh"
    FOREIGN = "foreign"
    """Not made here, since this start, for this device."""
    STALE = "stale"
    USED = "used"
    FULL = "full"
    """It would be good, but that it is used could not be remembered."""


class Nonces:
    """Makes nonces and knows them again. `now` is in seconds, on a clock that only grows."""

    __slots__ = ("_secret", "_used")

    def __init__(self) -> None:
        self._secret = os.urandom(32)
        self._used: OrderedDict[str, float] = OrderedDict()

    def make(self, device: str, now: float) -> str:
        """A nonce for this device, in hexadecimal digits."""
        said = int(now * 1000).to_bytes(_TIME_BYTES, "big") + os.urandom(_RANDOM_BYTES)
        return (said + self._mac(said, device)).hex()

    def judge(self, device: str, nonce: str, now: float) -> Nonce:
        """What this nonce is worth now; nothing is changed by asking."""
        raw = bytes.fromhex(nonce)
        said, mac = raw[: _TIME_BYTES + _RANDOM_BYTES], raw[_TIME_BYTES + _RANDOM_BYTES :]
        if not hmac.compare_digest(mac, self._mac(said, device)):
            return Nonce.FOREIGN
        made_at = int.from_bytes(said[:_TIME_BYTES], "big") / 1000
        if now - made_at >= LIFE_S:
            return Nonce.STALE
        if nonce in self._used:
            return Nonce.USED
        self._forget(now)
        return Nonce.FULL if len(self._used) >= MAX_USED else Nonce.FRESH

    def use(self, nonce: str, now: float) -> None:
        """It is worth nothing from now on."""
        self._used[nonce] = now + LIFE_S

    def _forget(self, now: float) -> None:
        """Leave out what is too old anyway."""
        while self._used and next(iter(self._used.values())) <= now:
            self._used.popitem(last=False)

    def _mac(self, said: bytes, device: str) -> bytes:
        return hmac.digest(self._secret, said + device.encode("ascii"), "sha256")[:_MAC_BYTES]
