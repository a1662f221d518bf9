# The clock of an ESP8266: counts from 2000, knows nothing after a start, is set by machine.RTC.
import utime
import world
from utime import sleep_ms, sleep_us, ticks_add, ticks_diff, ticks_ms, ticks_us

_2000 = 946684800


def time():
    return world.number(world.CLOCK) + int(utime.time()) - world.number(world.SET_AT)


def gmtime(seconds=None):
    return utime.gmtime((time() if seconds is None else seconds) + _2000)


def mktime(t):
    return int(utime.mktime(t)) - _2000
