# NodeMCU (ESP8266). Temperature from a DS18B20 at D2 (GPIO4), battery at A0 behind the module's own divider, LED at D4
# (GPIO2, lit by 0). For deep sleep D0 (GPIO16) must be wired to RST. Cost: 1.6 KB .mpy, 0.9 KB of heap run in place.
import sys
import time
from binascii import hexlify, unhexlify

import machine
import network
from link import Watched
from micropython import const

_LED = const(2)
_SENSOR = const(4)
_EMPTY_MV = const(3000)  # of a lithium cell behind the regulator's limits
_FULL_MV = const(4200)
_CAUSES = {0: "power", 1: "watchdog", 2: "crash", 3: "watchdog", 4: "soft", 5: "sleep", 6: "button"}


class Board:
    MODEL = "nodemcu"
    NEED = 12600  # bytes of heap for a handshake: 11.9 KB at its peak with one intermediate, and a little

    def __init__(self):
        machine.freq(160000000)  # a handshake takes half as long
        self._led = machine.Pin(_LED, machine.Pin.OUT, value=1)
        self._adc = machine.ADC(0)
        self._rtc = machine.RTC()
        self._timer = None
        self._left = self._limit = 0
        self._sensor = self._find_sensor()

    def _find_sensor(self):
        try:
            import ds18x20
            import onewire

            bus = ds18x20.DS18X20(onewire.OneWire(machine.Pin(_SENSOR)))
            found = bus.scan()
        except (ImportError, OSError):
            return None
        if not found:
            return None
        bus.convert_temp()
        return bus, found[0]

    def name(self):
        return self.MODEL + "-" + hexlify(machine.unique_id()).decode()

    def led(self, on):
        self._led(0 if on else 1)

    def temperature(self):
        # What the sensor measured since the last time; None without one.
        if self._sensor is None:
            return None
        bus, rom = self._sensor
        try:
            found = round(bus.read_temp(rom), 1)
            bus.convert_temp()
        except Exception:
            return None  # it was unplugged, or its checksum is wrong: the driver raises a plain Exception
        return found

    def battery(self):
        # Percent of a lithium cell at the divider 100 k : 320 k (a NodeMCU's own and 100 k more): 1024 is 4.2 V.
        millivolts = self._adc.read() * _FULL_MV // 1024
        return max(0, min(100, (millivolts - _EMPTY_MV) * 100 // (_FULL_MV - _EMPTY_MV)))

    # Time. The counter runs over after 7:45 hours unless it is read; the main loop reads it all the time.

    def seconds(self):
        return time.time()

    def set_seconds(self, seconds):
        t = time.gmtime(seconds)
        self._rtc.datetime((t[0], t[1], t[2], t[6], t[3], t[4], t[5], 0))

    def ntp(self):
        import ntptime

        return ntptime

    # Starts, ends

    def cause(self):
        return _CAUSES.get(machine.reset_cause(), "unknown")

    def reset(self):
        machine.reset()

    def watchdog(self, seconds):
        # The chip's own bites after three seconds, which a handshake takes: a timer counts down what `kick` winds up.
        self._limit = self._left = seconds
        if self._timer is None:
            self._timer = machine.Timer(-1)
            self._timer.init(period=1000, mode=machine.Timer.PERIODIC, callback=self._second)

    def _second(self, _):
        self._left -= 1
        if self._left < 0:
            machine.reset()

    def kick(self):
        self._left = self._limit

    def kept(self):
        # What a deep sleep has kept.
        return self._rtc.memory() if machine.reset_cause() == machine.DEEPSLEEP_RESET else b""

    def sleep(self, seconds, keep):
        self._rtc.memory(keep)
        self._rtc.irq(trigger=self._rtc.ALARM0, wake=machine.DEEPSLEEP)
        self._rtc.alarm(self._rtc.ALARM0, seconds * 1000)
        machine.deepsleep()

    # The net

    def station(self):
        network.WLAN(network.AP_IF).active(False)
        return network.WLAN(network.STA_IF)

    def check(self, name, root, now, room):
        # The library of this chip checks nothing: ours does. Without a root (first contact) the answer proves itself.
        return Watched(judge(name, root, now, room) if root else None, name, self.NEED)


def judge(name, root, now, room):
    # In the heap while it is needed alone.
    import certcheck

    del sys.modules["certcheck"]
    return certcheck.Judge(name, unhexlify(root["n"]), now, room)
