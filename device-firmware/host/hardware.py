# machine, network, ntptime, onewire and ds18x20 of an ESP8266, as far as the firmware uses them: one module under all
# these names and one class for all parts, because each costs heap that the board has for its program.
#
# What the hardware sees is memory that the test shares (run.py maps it); nothing here keeps anything. The same layout
# stands in tests/firmware/world.py:
#   0 networks in range, a bit each    1 level of the LED    2 button held    3 cause of the last reset
#   4 hosts of NTP that answer, a bit each    5 degrees    6..7 battery    8..11 the clock, since 2000 ...
#   12..15 ... at this second since 1970    16..19 by what NTP is wrong, signed    20 resets
#   24..25 length of what a deep sleep keeps    32.. what it keeps
import sys

import utime
from micropython import const

PWRON_RESET = const(0)
SOFT_RESET = const(4)
DEEPSLEEP_RESET = DEEPSLEEP = const(5)
HARD_RESET = const(6)
_RESET_CODE = const(75)  # the process ends: the test starts it again
_SLEEP_CODE = const(76)
STA_IF = AP_IF = ALARM0 = PERIODIC = 0
_NAMES = ("shed", "house")
_PASSWORD = "correct horse"
_HOSTS = ("time.one", "time.two")

shared = partition = None  # put here by start.py
host = ""


def number(at, size=4):
    return int.from_bytes(shared[at : at + size], "little")


def put(at, value, size=4):
    shared[at : at + size] = value.to_bytes(size, "little")


def nothing(*values, **named):
    pass  # interrupts, among all else: what the watchdog counts is tried with the board's class alone


def unique_id():
    return b"\xa1\xb2\xc3\x00"


def reset_cause():
    return shared[3]


def reset(cause=SOFT_RESET, code=_RESET_CODE):
    shared[3] = cause
    sys.exit(code)


def deepsleep():
    reset(DEEPSLEEP_RESET, _SLEEP_CODE)


def time():
    # ntptime's
    if host not in _HOSTS or not shared[4] >> _HOSTS.index(host) & 1:
        raise OSError(110)
    wrong = number(16)
    return int(utime.time()) - 946684800 + (wrong - (1 << 32) if wrong >> 31 else wrong)


class Part:
    IN = OUT = ALARM0 = PERIODIC = 0

    def __init__(self, number=0, mode=0, value=None):
        self._number = number
        self._joined = -1

    def __call__(self, value=None):
        # Pin
        if value is not None:
            shared[1] = value
        return 1 - shared[2]

    def read(self):
        # ADC
        return number(6, 2)

    init = irq = alarm = active = ifconfig = convert_temp = nothing

    # RTC

    def datetime(self, t):
        put(8, int(utime.mktime((t[0], t[1], t[2], t[4], t[5], t[6], 0, 0, 0))) - 946684800)
        put(12, int(utime.time()))

    def memory(self, data=None):
        if data is None:
            return bytes(shared[32 : 32 + number(24, 2)])
        put(24, len(data), 2)
        shared[32 : 32 + len(data)] = data

    # WLAN, and the bus of DS18B20

    def scan(self):
        if isinstance(self._number, Part):
            return (b"\x28sensor!",)
        return [(_NAMES[i].encode(), b"", 1, -60 - i, 3, 0) for i in range(2) if shared[0] >> i & 1]

    def connect(self, name, password):
        self._joined = _NAMES.index(name) if name in _NAMES and password == _PASSWORD else -1

    def disconnect(self):
        self._joined = -1

    def isconnected(self):
        return self._joined >= 0 and bool(shared[0] >> self._joined & 1)

    def status(self, what):
        return -60 - self._joined

    def read_temp(self, rom):
        return shared[5] + 0.54


freq = nothing
Pin = ADC = RTC = Timer = WLAN = OneWire = DS18X20 = Part
