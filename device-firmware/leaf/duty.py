# What the board is there for whether there is a gateway or not: readings and the LED.
# Cost: 1 KB .mpy, 0.8 KB of heap run in place; the queue 1 KB.
import gc
import json
import time

from led import Led
from micropython import const
from queue import Queue

_QUEUE = const(1024)
_KEPT = const(400)  # bytes that outlive a deep sleep


class Duty:
    def __init__(self, board, clock, wifi, config):
        self.board = board
        self.clock = clock
        self.wifi = wifi
        self.led = Led(board)
        self.queue = Queue(_QUEUE)
        self.queue.restore(board.kept())
        self.interval = 60
        self.nap_s = config.get("sleep", 0)
        self.lowest = gc.mem_free()
        self.sessions = 0
        self.proven = False  # a message of this start was acknowledged
        self._number = 0
        self._due = time.ticks_ms()

    def tick(self):
        self.led.tick()
        if time.ticks_diff(time.ticks_ms(), self._due) >= 0:
            self._again()
            if self.clock.is_set():
                self._sample()

    def _again(self):
        self._due = time.ticks_add(time.ticks_ms(), int(self.interval * 1000))

    def _sample(self):
        self._number += 1
        reading = {
            "messageType": "telemetry",
            "temperature": self.board.temperature(),
            "battery": self.board.battery(),
            "at": self.clock.now(),
            "n": self._number,
        }
        self.queue.put(json.dumps(reading).encode())

    def set_interval(self, value):
        # In seconds. What cannot be is refused: the old one stays, and is reported.
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0.1 <= value <= 86400:
            self.interval = value
            self._again()

    def free(self):
        gc.collect()
        free = gc.mem_free()
        self.lowest = min(self.lowest, free)
        return free

    def sleep(self):
        # Where that is wanted. What was not sent outlives it, the newest first.
        if self.nap_s:
            self.board.sleep(self.nap_s, self.queue.newest(_KEPT))
