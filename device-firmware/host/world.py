# What the hardware of a board sees, in memory that the test shares (host/run.py maps it). Nothing here keeps anything:
# on a heap this small a log that grows is what fails. The same layout stands in tests/firmware/world.py.
HEARD = 0  # networks in range, a bit each
LED = 1  # level of the pin
BUTTON = 2  # 1: held
CAUSE = 3  # of the last reset
ANSWERS = 4  # hosts of NTP that answer, a bit each
CELSIUS = 5
ADC = 6  # two bytes
CLOCK = 8  # four bytes: what the clock was set to, seconds since 2000 ...
SET_AT = 12  # ... at this second since 1970
NTP_OFF = 16  # four bytes, signed: by what the hosts of NTP are wrong
RESETS = 20
KEPT = 24  # two bytes: length of what a deep sleep keeps, and from 32 on its bytes
MEMORY = 32
SIZE = 1024

shared = None  # a bytearray of SIZE, put here by run.py


def number(at, size=4):
    return int.from_bytes(shared[at : at + size], "little")


def put(at, value, size=4):
    shared[at : at + size] = value.to_bytes(size, "little")
