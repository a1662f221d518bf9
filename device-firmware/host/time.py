# The clock of an ESP8266: counts from 2000, knows nothing after a start, is set by machine.RTC.
import utime
from hardware import number
from utime import sleep_ms, ticks_add, ticks_diff, ticks_ms


def time():
    return number(8) + int(utime.time()) - number(12)


def gmtime(seconds):
    return utime.gmtime(seconds + 946684800)
