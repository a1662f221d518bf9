# What time it is, within bounds: several hosts, none of them believed blindly. Tokens and the dates of certificates
# depend on it. Cost: 1.3 KB .mpy, 0.7 KB of heap run in place.
import time

from micropython import const

_2000 = const(946684800)
# A port's clock counts from 2000 (ESP8266, WiPy) or from 1970; the year of its time 0 tells.
EPOCH = _2000 if time.gmtime(0)[0] == 2000 else 0
SANE = const(1735689600)  # 2025-01-01: a clock before this was never set
_LATEST = const(4102444800)  # 2100-01-01
_JUMP_S = const(3600)  # more than this, once set, needs a second host that says the same
_AGREE_S = const(5)
_AGAIN_S = const(1500)  # the board's clock loses seconds per minute
_RETRY_S = const(60)


class Clock:
    # `board` has seconds() and set_seconds(s) in its port's count; `ntp` is the module ntptime.
    def __init__(self, board, ntp, hosts, earliest=SANE, epoch=EPOCH):
        self._board = board
        self._ntp = ntp
        self._hosts = hosts
        self._epoch = epoch
        self.earliest = max(earliest, SANE)  # of what was seen before: time does not go back
        self._due = 0
        self._asked = False

    def now(self):
        return int(self._board.seconds()) + self._epoch

    def is_set(self):
        return self.earliest <= self.now() < _LATEST

    def text(self):
        # As certificates write it, or None where the clock was never set.
        if not self.is_set():
            return None
        t = time.gmtime(self.now() - EPOCH)
        return b"%04d%02d%02d%02d%02d%02d" % (t[0], t[1], t[2], t[3], t[4], t[5])

    def set(self, now):
        # True if it is a time that can be. From one who is believed: NTP, or who has proven that he knows our key.
        if not self.earliest <= now < _LATEST:
            return False
        self._board.set_seconds(now - self._epoch)
        self._due = now + _AGAIN_S
        return True

    def due(self):
        if not self._asked or not self.is_set():
            return True
        return self.now() >= self._due

    def doubt(self):
        # Somebody who should know refuses what depends on our time.
        self._asked = False

    def sync(self):
        # Ask the hosts until one is believed, or two agree that our own clock is wrong.
        self._asked = True
        first = None
        for host in self._hosts:
            found = self._ask(host)
            if found is None:
                continue
            ours = self.now()
            if not self.is_set() or abs(found - ours) <= _JUMP_S or first and abs(found - first) <= _AGREE_S:
                return self.set(found)
            first = found
        self._due = self.now() + _RETRY_S
        return False

    def _ask(self, host):
        self._ntp.host = host
        try:
            found = int(self._ntp.time()) + self._epoch
        except (OSError, OverflowError, ValueError, IndexError):
            return None
        return found if self.earliest <= found < _LATEST else None
