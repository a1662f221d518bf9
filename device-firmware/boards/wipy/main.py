# What a WiPy runs: a temperature every five minutes. The set-up is in settings.py beside it (README.md).
import time

import machine
import network
import settings
from publisher import Publisher, PublishError, body_of, ntp_seconds, tenths

_EVERY_S = 300
_TOKEN_S = 3600
_CLOCK_S = 43200  # ask for the time twice a day
_JOIN_S = 30
_WATCHDOG_MS = 120000


def join(wlan):
    if wlan.isconnected():
        return
    wlan.connect(settings.SSID, auth=(network.WLAN.WPA2, settings.PASSWORD), timeout=_JOIN_S * 1000)
    for _ in range(_JOIN_S):
        if wlan.isconnected():
            return
        time.sleep(1)
    raise OSError("wifi")


def run():
    dog = machine.WDT(timeout=_WATCHDOG_MS)
    wlan = network.WLAN(mode=network.WLAN.STA)
    channel = machine.ADC().channel(pin="GP3")
    publisher = Publisher(settings.NAMESPACE, settings.HUB, settings.NAME, settings.RULE, settings.KEY)
    number = 0
    asked = None  # the clock of this port counts from 2000, or from anything: only differences are used
    while True:
        dog.feed()
        try:
            join(wlan)
            dog.feed()
            if asked is None or time.time() - asked > _CLOCK_S:
                offset = ntp_seconds(settings.NTP) - time.time()
                asked = time.time()
            publisher.send(body_of(number, tenths(channel.value())), time.time() + offset + _TOKEN_S)
            number += 1
        except (OSError, PublishError) as error:
            print("not sent:", error)
            if error.args and error.args[0] == 401:
                asked = None  # the token is refused: perhaps the time is wrong
        for _ in range(_EVERY_S // 10):
            dog.feed()
            time.sleep(10)


run()
