# machine of an ESP8266, as far as the firmware uses it.
import sys

import utime
import world

PWRON_RESET, WDT_RESET, SOFT_RESET, DEEPSLEEP_RESET, HARD_RESET = 0, 1, 4, 5, 6
DEEPSLEEP = 4
RESET_CODE = 75  # the process ends: tests/firmware starts it again
SLEEP_CODE = 76


def freq(hertz=None):
    return 160000000


def unique_id():
    return b"\xa1\xb2\xc3\x00"


def reset_cause():
    return world.shared[world.CAUSE]


def reset():
    world.shared[world.CAUSE] = SOFT_RESET
    sys.exit(RESET_CODE)


def deepsleep():
    world.shared[world.CAUSE] = DEEPSLEEP_RESET
    sys.exit(SLEEP_CODE)


class Pin:
    IN, OUT = 0, 1

    def __init__(self, number, mode=0, value=None):
        self._number = number

    def __call__(self, value=None):
        if value is not None and self._number == 2:
            world.shared[world.LED] = value
        return 1 - world.shared[world.BUTTON] if self._number == 0 else world.shared[world.LED]


class ADC:
    def __init__(self, number):
        pass

    def read(self):
        return world.number(world.ADC, 2)


class RTC:
    ALARM0 = 0

    def datetime(self, t):
        seconds = int(utime.mktime((t[0], t[1], t[2], t[4], t[5], t[6], 0, 0, 0))) - 946684800
        world.put(world.CLOCK, seconds)
        world.put(world.SET_AT, int(utime.time()))

    def memory(self, data=None):
        if data is None:
            return bytes(world.shared[world.MEMORY : world.MEMORY + world.number(world.KEPT, 2)])
        world.put(world.KEPT, len(data), 2)
        world.shared[world.MEMORY : world.MEMORY + len(data)] = data

    def irq(self, trigger, wake):
        pass

    def alarm(self, number, ms):
        pass


class Timer:
    # No interrupts here; what the watchdog counts is tried with the class alone.
    PERIODIC = 1

    def __init__(self, number):
        pass

    def init(self, period, mode, callback):
        pass
