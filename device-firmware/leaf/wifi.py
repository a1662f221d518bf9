# Into one of several networks, and back into one when it is lost. Cost: 1.2 KB .mpy, 0.6 KB of heap run in place.
import time

from micropython import const

_JOIN_MS = const(20000)  # for one network
_STABLE_MS = const(1000)  # a link that lives shorter is none
_TURN_MS = const(100)


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
        # True when a network has taken us. `idle` is called while we wait. The strongest that we know comes first.
        station = self._station
        station.active(True)
        for network in self._candidates():
            try:
                self._begin(network)
            except OSError:
                continue
            if self._wait(idle):
                self.joins += 1
                return True
            station.disconnect()
        return False

    def _candidates(self):
        heard = {}
        try:
            for found in self._station.scan():
                heard[found[0]] = max(found[3], heard.get(found[0], -200))
        except OSError:
            pass  # no scan: all are tried
        ranked = []
        for network in self._networks:
            strength = heard.get(network["ssid"].encode())
            if strength is not None or network.get("hidden") or not heard:
                ranked.append((-(strength or -200), len(ranked), network))
        ranked.sort()
        return [network for _, _, network in ranked]

    def _begin(self, network):
        station = self._station
        if station.isconnected():
            station.disconnect()
        if network.get("ip"):  # address, mask, router, name server
            station.ifconfig(tuple(network["ip"]))
        station.connect(network["ssid"], network.get("password") or None)

    def _wait(self, idle):
        since = time.ticks_ms()
        up = None
        while time.ticks_diff(time.ticks_ms(), since) < _JOIN_MS:
            now = time.ticks_ms()
            if not self._station.isconnected():
                up = None
            elif up is None:
                up = now
            elif time.ticks_diff(now, up) >= _STABLE_MS:
                return True
            idle()
            time.sleep_ms(_TURN_MS)
        return False
