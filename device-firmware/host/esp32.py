# What an ESP32 has beside an ESP8266's hardware: a measure of volts, another list of causes. Imported before its program.
import hardware
from hardware import Part

hardware.WDT_RESET = 3
Part.ATTN_11DB = 0


def read_uv(self):
    return 1850000  # half of a lithium cell at 3.7 V


Part.read_uv = read_uv
_new = Part.__init__


def init(self, number=0, mode=0, value=None, atten=0):
    _new(self, number, mode, value)


Part.__init__ = init
