# One LED says what the board is waiting for, in groups of blinks: 1 Wi-Fi, 2 the time, 3 first contact, 4 the gateway,
# 5 refused by it, 6 update; when it waits for nothing (0) it belongs to the cloud.
# Cost: 0.5 KB .mpy, 0.4 KB of heap run in place.
import time

from micropython import const

_BEAT_MS = const(200)
_PAUSE = const(6)  # beats between groups


class Led:
    def __init__(self, board):
        self._board = board
        self._code = 0
        self._since = 0
        self._blink_until = None
        self.on = False

    def switch(self, on):
        self.on = on
        self.tick()

    def show(self, code):
        if code != self._code:
            self._code = code
            self._since = time.ticks_ms()
        self.tick()

    def blink(self, seconds):
        self._since = time.ticks_ms()
        self._blink_until = time.ticks_add(self._since, seconds * 1000)

    def tick(self):
        now = time.ticks_ms()
        beat = time.ticks_diff(now, self._since) // _BEAT_MS
        if self._blink_until is not None:
            if time.ticks_diff(self._blink_until, now) > 0:
                self._board.led(beat % 2 == 0)
                return
            self._blink_until = None
        if self._code:
            beat %= 2 * self._code + _PAUSE
            self._board.led(beat < 2 * self._code and beat % 2 == 0)
        else:
            self._board.led(self.on)
