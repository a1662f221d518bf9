# ESP32-class boards: the same program and the same check of the gateway's chain. Their mbedTLS could check it, too, but
# wants the root's certificate, and a board pins its key alone: an answer at first contact has no room for more.
# DS18B20 at GPIO4, battery at GPIO34 behind 100 k : 100 k, LED at GPIO2 (lit by 1). Cost: 1.6 KB .mpy.
import sys
import time
from binascii import hexlify, unhexlify

import machine
import network
from link import Watched
from micropython import const

_LED = const(2)
_SENSOR = const(4)
_BATTERY = const(34)
_EMPTY_MV = const(3000)
_FULL_MV = const(4200)


class Board:
    MODEL = "esp32"
    NEED = 45000  # bytes of heap for a handshake of mbedTLS, which shares it on these chips

    def __init__(self):
        self._led = machine.Pin(_LED, machine.Pin.OUT, value=0)
        self._adc = machine.ADC(machine.Pin(_BATTERY), atten=machine.ADC.ATTN_11DB)
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
        self._led(1 if on else 0)

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
        # Percent of a lithium cell at half its voltage.
        millivolts = self._adc.read_uv() // 500
        return max(0, min(100, (millivolts - _EMPTY_MV) * 100 // (_FULL_MV - _EMPTY_MV)))

    def seconds(self):
        return time.time()

    def set_seconds(self, seconds):
        t = time.gmtime(seconds)
        self._rtc.datetime((t[0], t[1], t[2], t[6], t[3], t[4], t[5], 0))

    def ntp(self):
        import ntptime

        return ntptime

    def cause(self):
        names = {
            machine.PWRON_RESET: "power",
            machine.HARD_RESET: "button",
            machine.WDT_RESET: "watchdog",
            machine.DEEPSLEEP_RESET: "sleep",
            machine.SOFT_RESET: "soft",
        }
        return names.get(machine.reset_cause(), "unknown")

    def reset(self):
        machine.reset()

    def watchdog(self, seconds):
        self._limit = self._left = seconds
        if self._timer is None:
            self._timer = machine.Timer(0)
            self._timer.init(period=1000, mode=machine.Timer.PERIODIC, callback=self._second)

    def _second(self, _):
        self._left -= 1
        if self._left < 0:
            machine.reset()

    def kick(self):
        self._left = self._limit

    def kept(self):
        return self._rtc.memory() if machine.reset_cause() == machine.DEEPSLEEP_RESET else b""

    def sleep(self, seconds, keep):
        self._rtc.memory(keep)
        machine.deepsleep(seconds * 1000)

    def station(self):
        network.WLAN(network.AP_IF).active(False)
        return network.WLAN(network.STA_IF)

    def check(self, name, root, now, room):
        # mbedTLS proves the possession of the key, ours whose key it is. TLS 1.3 hides the certificates: it is refused.
        return Watched(judge(name, root, now, room) if root else None, name, self.NEED)


def judge(name, root, now, room):
    # In the heap while it is needed alone.
    import certcheck

    del sys.modules["certcheck"]
    return certcheck.Judge(name, unhexlify(root["n"]), now, room)
