# One sensor of temperature.
import world


class DS18X20:
    def __init__(self, bus):
        pass

    def scan(self):
        return [b"\x28sensor!"]

    def convert_temp(self):
        pass

    def read_temp(self, rom):
        return world.shared[world.CELSIUS] + 0.54
