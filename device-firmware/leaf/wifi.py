# The radio: whether there is a network, and into one when there is none. Cost: 0.5 KB .mpy, 0.3 KB of heap run in place.
import sys


class Wifi:
    # `station` is network.WLAN in station mode; `networks` a list of {"ssid", "password", "hidden", "ip"}.
    def __init__(self, station, networks):
        self._station = station
        self._networks = networks
        self.joins = 0

    def is_up(self):
        return self._station.isconnected()

    def signal(self):
        # In dBm, None where the port cannot say.
        try:
            return self._station.status("rssi")
        except (OSError, ValueError, TypeError):
            return None

    def join(self, idle):
        # True when a network has taken us. `idle` is called while we wait.
        import join

        del sys.modules["join"]
        joined = join.join(self._station, self._networks, idle)
        self.joins += joined
        return joined
