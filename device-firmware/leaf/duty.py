# What the board is there for: readings, the LED, methods, the twin. Works on while there is no gateway.
# Cost: 2.8 KB .mpy, 1.6 KB of heap run in place; the queue 1 KB.
import gc
import json
import sys
import time

import slots
from led import Led
from micropython import const
from queue import Queue

_QUEUE = const(1024)
_REPORT_MS = const(900000)
_RESTART_MS = const(1500)  # for the answer to be on its way
_AWAKE_MS = const(3000)  # for what the cloud has to say, before a deep sleep
_KEPT = const(400)  # bytes that outlive it
_UPDATE = const(6)  # see led.py


class Duty:
    def __init__(self, board, clock, wifi, config):
        self.board = board
        self.clock = clock
        self.wifi = wifi
        self.led = Led(board)
        self.queue = Queue(_QUEUE)
        self.queue.restore(board.kept())
        self.hub = None
        self.interval = 60
        self.nap_s = config.get("sleep", 0)
        self._report_at = 0
        self.lowest = gc.mem_free()
        self.skipped = 0
        self.sessions = 0
        self._number = 0
        self._due = time.ticks_ms()
        self._restart_at = None
        self._sent = -1
        self._proven = False

    def version(self):
        return slots.report()["version"] or "0"

    def hub_for(self, who):
        # For one session; its code, too.
        import hub

        del sys.modules["hub"]
        self.hub = hub.Hub(who["hub"], who["deviceId"], self._switch, self._method, self._desired)
        if not self.sessions:
            self._set_interval(who["settings"].get("interval"))
        return self.hub

    def begin(self):
        # A session has begun: what was on its way in the last one is sent again.
        self.sessions += 1
        self._sent = -1
        self._since = time.ticks_ms()
        self.hub.ask_twin()
        self._report()

    # Readings

    def tick(self):
        self.led.tick()
        if time.ticks_diff(time.ticks_ms(), self._due) >= 0:
            self._due = time.ticks_add(time.ticks_ms(), int(self.interval * 1000))
            if self.clock.is_set():
                self._sample()

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

    # In a session

    def end(self):
        self.hub = None

    def serve(self, mqtt):
        self.skipped = mqtt.skipped
        if mqtt.acknowledged():
            if self._sent >= 0:
                self._arrived()
            elif self.queue.count:
                self._sent = self.queue.gone
                mqtt.publish(self.hub.events, self.queue.peek(), 1)
        if self.hub.replies:
            topic, payload = self.hub.replies.pop(0)
            mqtt.publish(topic, payload)
            gc.collect()
            self.lowest = min(self.lowest, gc.mem_free())
        now = time.ticks_ms()
        if time.ticks_diff(now, self._report_at) >= 0:
            self._report()
        if self._restart_at is not None and time.ticks_diff(now, self._restart_at) >= 0:
            self.board.reset()
        if self.nap_s and not self.queue.count and time.ticks_diff(now, self._since) > _AWAKE_MS:
            self.sleep()

    def _arrived(self):
        # Unless the queue had to let go of it meanwhile.
        if self._sent == self.queue.gone:
            self.queue.pop()
        self._sent = -1
        if not self._proven:
            self._proven = True
            slots.confirm()  # a program that has got this far is a good one

    def sleep(self):
        if self.nap_s:
            self.board.sleep(self.nap_s, self.queue.newest(_KEPT))

    def _report(self):
        gc.collect()
        free = gc.mem_free()
        self.lowest = min(self.lowest, free)
        self._report_at = time.ticks_add(time.ticks_ms(), _REPORT_MS)
        self.hub.report(
            {
                "firmware": slots.report(),
                "memory": {"free": free, "lowest": self.lowest},
                "reset": self.board.cause(),
                "signal": self.wifi.signal(),
                "drops": self.queue.dropped,
                "interval": self.interval,
            }
        )

    # What the cloud wants

    def _switch(self, word):
        # Twice the same is the same: a message may come twice.
        word = word.strip().lower()
        if word in (b"on", b"off"):
            self.led.switch(word == b"on")

    def _method(self, name, payload):
        if name == "status":
            return 200, self._status()
        if name == "update":
            job = self.hub.object_of(payload)
            if not isinstance(job.get("manifest"), str):
                return 400, {"error": "manifest"}
            slots.order(job)
            self.led.show(_UPDATE)
            self._restart()
            return 200, {"accepted": True}
        if name == "reboot":
            self._restart()
            return 200, {"accepted": True}
        if name == "blink":
            seconds = self.hub.object_of(payload).get("seconds", 5)
            if not isinstance(seconds, int) or not 1 <= seconds <= 60:
                return 400, {"error": "seconds"}
            self.led.blink(seconds)
            return 200, {"seconds": seconds}
        return 404, {"error": "method"}

    def _restart(self):
        self._restart_at = time.ticks_add(time.ticks_ms(), _RESTART_MS)

    def _status(self):
        gc.collect()
        return {
            "free": gc.mem_free(),
            "lowest": self.lowest,
            "reset": self.board.cause(),
            "signal": self.wifi.signal(),
            "joins": self.wifi.joins,
            "sessions": self.sessions,
            "waiting": self.queue.count,
            "drops": {"readings": self.queue.dropped, "answers": self.hub.drops, "packets": self.skipped},
            "led": self.led.on,
            "interval": self.interval,
        }

    def _desired(self, patch, version):
        if "interval" in patch:
            self._set_interval(patch["interval"])
            self.hub.report({"interval": self.interval})  # a refused one shows by the old one

    def _set_interval(self, value):
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0.1 <= value <= 86400:
            self.interval = value
            self._due = time.ticks_add(time.ticks_ms(), int(value * 1000))
