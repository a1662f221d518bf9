# Into one of several networks: the strongest that we know comes first. Cost: 1 KB .mpy, 0.5 KB of heap run in place, while
# a network is looked for.
import time

from micropython import const

_JOIN_MS = const(20000)  # for one network
_STABLE_MS = const(1000)  # a link that lives shorter is none
_TURN_MS = const(100)


def join(station, networks, idle):
    # True when a network has taken us. `idle` is called while we wait.
    station.active(True)
    for network in candidates(station, networks):
        try:
            begin(station, network)
        except OSError:
            continue
        if wait(station, idle):
            return True
        station.disconnect()
    return False


def candidates(station, networks):
    heard = {}
    try:
        for found in station.scan():
            heard[found[0]] = max(found[3], heard.get(found[0], -200))
    except OSError:
        pass  # no scan: all are tried
    ranked = []
    for network in networks:
        strength = heard.get(network["ssid"].encode())
        if strength is not None or network.get("hidden") or not heard:
            ranked.append((-(strength or -200), len(ranked), network))
    ranked.sort()
    return [network for _, _, network in ranked]


def begin(station, network):
    if station.isconnected():
        station.disconnect()
    if network.get("ip"):  # address, mask, router, name server
        station.ifconfig(tuple(network["ip"]))
    station.connect(network["ssid"], network.get("password") or None)


def wait(station, idle):
    since = time.ticks_ms()
    up = None
    while time.ticks_diff(time.ticks_ms(), since) < _JOIN_MS:
        now = time.ticks_ms()
        if not station.isconnected():
            up = None
        elif up is None:
            up = now
        elif time.ticks_diff(now, up) >= _STABLE_MS:
            return True
        idle()
        time.sleep_ms(_TURN_MS)
    return False
