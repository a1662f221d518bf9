# A session with the hub: sends readings, obeys the cloud, reports. In the heap while there is one.
# Cost: 2 KB .mpy, 1.2 KB of heap run in place, with hub.py and slots.py 2.4 KB.
import gc
import time

import slots
from hub import Hub
from micropython import const

_REPORT_MS = const(900000)
_RESTART_MS = const(1500)  # for the answer to be on its way
_AWAKE_MS = const(3000)  # for what the cloud has to say, before a deep sleep
_UPDATE = const(6)  # see led.py


class Cloud:
    def __init__(self, duty, who):
        self.hub = Hub(who["hub"], who["deviceId"], self._switch, self._method, self._desired)
        self._duty = duty
        self._board = duty.board
        self._mqtt = None
        self._restart_at = None
        self._sent = -1  # the number of the reading that is on its way
        if not duty.sessions:
            duty.set_interval(who["settings"].get("interval"))

    def begin(self, mqtt):
        self._mqtt = mqtt
        self._duty.sessions += 1
        self._since = time.ticks_ms()
        self.hub.ask_twin()
        self._report()

    def serve(self):
        # One turn of the main loop.
        duty = self._duty
        mqtt = self._mqtt
        if mqtt.acknowledged():
            if self._sent >= 0:
                self._arrived()
            elif duty.queue.count:
                self._sent = duty.queue.gone
                mqtt.publish(self.hub.events, duty.queue.peek(), 1)
        if self.hub.replies:
            mqtt.publish(*self.hub.replies.pop(0))
            duty.free()
        now = time.ticks_ms()
        if time.ticks_diff(now, self._report_at) >= 0:
            self._report()
        if self._restart_at is not None and time.ticks_diff(now, self._restart_at) >= 0:
            self._board.reset()
        if duty.nap_s and not duty.queue.count and time.ticks_diff(now, self._since) > _AWAKE_MS:
            duty.sleep()

    def _arrived(self):
        # Unless the queue had to let go of it meanwhile.
        duty = self._duty
        if self._sent == duty.queue.gone:
            duty.queue.pop()
        self._sent = -1
        if not duty.proven:
            duty.proven = True
            if slots.confirm():  # a program that has got this far is a good one
                self._report()

    def _report(self):
        self._report_at = time.ticks_add(time.ticks_ms(), _REPORT_MS)
        duty = self._duty
        free = duty.free()
        self.hub.report(
            {
                "firmware": slots.report(),
                "memory": {"free": free, "lowest": duty.lowest},
                "reset": self._board.cause(),
                "signal": duty.wifi.signal(),
                "drops": duty.queue.dropped,
                "interval": duty.interval,
            }
        )

    def _switch(self, word):
        # Twice the same is the same: a message may come twice.
        word = word.strip().lower()
        if word in (b"on", b"off"):
            self._duty.led.switch(word == b"on")

    def _method(self, name, said):
        if name == "status":
            return 200, self._status()
        if name == "update":
            if not isinstance(said.get("manifest"), str):
                return 400, {"error": "manifest"}
            slots.order(said)
            self._duty.led.show(_UPDATE)
        elif name == "blink":
            seconds = said.get("seconds", 5)
            if not isinstance(seconds, int) or not 1 <= seconds <= 60:
                return 400, {"error": "seconds"}
            self._duty.led.blink(seconds)
            return 200, {"seconds": seconds}
        elif name != "reboot":
            return 404, {"error": "method"}
        self._restart_at = time.ticks_add(time.ticks_ms(), _RESTART_MS)
        return 200, {"accepted": True}

    def _status(self):
        duty = self._duty
        return {
            "free": duty.free(),
            "lowest": duty.lowest,
            "reset": self._board.cause(),
            "signal": duty.wifi.signal(),
            "joins": duty.wifi.joins,
            "sessions": duty.sessions,
            "waiting": duty.queue.count,
            "drops": {"readings": duty.queue.dropped, "answers": self.hub.drops, "packets": self._mqtt.skipped},
            "led": duty.led.on,
            "interval": duty.interval,
        }

    def _desired(self, patch):
        if "interval" in patch:
            self._duty.set_interval(patch["interval"])
            self.hub.report({"interval": self._duty.interval})
        gc.collect()
