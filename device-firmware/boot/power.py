# How this start came about, and the next one. Known before any program is: the same on ESP8266 and ESP32.
# Cost: 0.5 KB .mpy, given back before the program starts.
import time

import machine
from micropython import const

_BUTTON = const(0)  # FLASH or BOOT; held down while RST is let go, the chip's own loader takes it for itself
_WINDOW_MS = const(1000)
_TURN_MS = const(20)


class Power:
    def __init__(self):
        self._cause = machine.reset_cause()

    def crashed(self):
        # Neither power, nor the button RST, nor the end of a sleep.
        return self._cause not in (machine.PWRON_RESET, machine.HARD_RESET, machine.DEEPSLEEP_RESET)

    def button(self):
        # Pressed within a second after the power came or RST was let go.
        if self._cause not in (machine.PWRON_RESET, machine.HARD_RESET):
            return False
        pin = machine.Pin(_BUTTON, machine.Pin.IN)
        since = time.ticks_ms()
        while pin():
            if time.ticks_diff(time.ticks_ms(), since) > _WINDOW_MS:
                return False
            time.sleep_ms(_TURN_MS)
        return True

    def reset(self):
        machine.reset()
