# A leaf board: Wi-Fi, time, identity, gateway, and again from where it was lost. Here is the sequence; who does what
# stands in the other files, and those are in the heap only while they are needed. Cost: 2.8 KB .mpy, 1.6 KB of heap run
# in place, 1.5 KB for the buffer that certificates and packets share.
import gc
import os
import sys
import time

# What is needed long stays together at the bottom of the heap if the rest is swept away often: a handshake needs one
# piece of 5.3 KB. The buffer takes a certificate, or a packet of MQTT.
gc.collect()
gc.threshold(1024)
ROOM = bytearray(1504)

import store
from clock import SANE, Clock
from duty import Duty
from link import CertError, Link, LinkError, Refused
from micropython import const
from wifi import Wifi

CONFIG = "/config.json"  # see setup.py
IDENTITY = "/identity.json"
# LED, see led.py
_RUNNING = const(0)
_WIFI = const(1)
_TIME = const(2)
_CONTACT = const(3)
_GATEWAY = const(4)
_REFUSED = const(5)
_WATCHDOG_S = const(120)
_LIFE_S = const(3600)
_REFUSALS = const(3)  # then the board asks anew who it is
_LONGEST_S = const(60)  # between attempts
_TURN_MS = const(20)
ERRORS = (OSError, LinkError, ValueError, KeyError)


class App:
    def __init__(self, board, config):
        # What was told and learnt stays in flash; here is what is asked for all the time.
        self.board = board
        self.link = Link()
        found = store.load(IDENTITY)
        self.device = found and found["deviceId"]  # None: it does not know yet who it is
        self.address = config.get("address")
        self.wifi = Wifi(board.station(), config["wifi"])
        hosts = config.get("ntp") or ["pool.ntp.org", "time.cloudflare.com"]
        self.clock = Clock(board, board.ntp(), hosts + [config["gateway"]], (found or config).get("since", SANE))
        self.duty = Duty(board, self.clock, self.wifi, config)
        self.led = self.duty.led
        self.failures = 0
        self.refusals = 0

    def idle(self):
        # Called in every wait: the board lives.
        self.board.kick()
        self.duty.tick()

    def pause(self, seconds):
        since = time.ticks_ms()
        while time.ticks_diff(time.ticks_ms(), since) < seconds * 1000:
            self.idle()
            time.sleep_ms(_TURN_MS)

    def run(self):
        self.board.watchdog(_WATCHDOG_S)
        while True:
            wait = self.attempt()
            self.link.close()
            if self.failures > 2:
                self.duty.sleep()  # where that is wanted
            self.pause(wait)

    def attempt(self):
        # One pass through the sequence. Returns the seconds to wait before the next.
        try:
            self.online()
            self.session()
            self.failures = 0
            return 0
        except Refused as error:
            self.refused("refused", error.args[0])
        except CertError as error:
            self.refused("certificate", error.args[0])
        except ERRORS as error:
            self.say("lost", error.args[0] if error.args else type(error).__name__)
            if isinstance(error, LinkError) and error.args[0] == "memory":
                self.board.reset()  # the heap is in pieces; only a start mends it
        except MemoryError as error:
            sys.print_exception(error)
            self.board.reset()
        self.failures += 1
        base = min(_LONGEST_S, 1 << min(self.failures, 6))
        return base // 2 + base * os.urandom(1)[0] / 512

    def say(self, what, detail=""):
        gc.collect()
        print("LEAF", what, detail, gc.mem_free())

    def refused(self, what, why):
        # A wrong clock looks the same; so the time is asked for first.
        self.say(what, why)
        self.led.show(_REFUSED)
        self.clock.doubt()
        self.refusals += 1

    def online(self):
        if not self.wifi.is_up():
            self.led.show(_WIFI)
            if not self.wifi.join(self.idle):
                raise LinkError("wifi")
            self.say("wifi")
        if self.clock.due():
            self.led.show(_TIME)
            if self.clock.sync() or self.device and self.told():
                self.say("time", self.clock.now())
        if self.device is None or self.refusals >= _REFUSALS:
            self.refusals = 0  # if nobody knows us there either, the gateway is asked again
            self.contact()
        if not self.clock.is_set():
            raise LinkError("time")

    def contact(self):
        self.led.show(_CONTACT)
        pinned = self.reach()
        # Its code is in the heap only now: what looks at certificates has just left.
        import contact

        forget("contact", "slots", "web", "sas")
        try:
            found = contact.meet(self.link, self.board, pinned, ROOM)
        except contact.ContactError as error:
            self.say("contact", error.args[0])
            self.link.close()
            self.pause(min(error.args[1], 3600))
            raise LinkError("contact")
        self.clock.set(found["since"])
        store.save(IDENTITY, found)
        self.device = found["deviceId"]
        self.say("identity", self.device)

    def reach(self):
        # Opens the link to where boards ask who they are. True if that was checked against a pinned root.
        config = store.load(CONFIG)
        host = config["gateway"]
        plain = config.get("httpPort")
        port = plain or config.get("httpsPort", 443)
        root = config.get("root")
        del config
        pinned = root is not None and not plain
        check = None if plain else self.board.check(host, root, self.clock.text(), ROOM)
        del root
        self.link.open(self.address or host, port, check)
        return pinned

    def told(self):
        # The time as the gateway knows it, where no host of NTP is believed. Dates need not be looked at for that, and
        # ours may be what is wrong.
        try:
            self.dial("httpsPort", None)
            import gatetime

            forget("gatetime", "web", "sas")
            return self.clock.set(gatetime.ask(self.link, store.load(IDENTITY)))
        except ERRORS as error:
            self.say("no-time", error.args[0] if error.args else type(error).__name__)
            return False
        finally:
            self.link.close()

    def dial(self, port, now):
        who = store.load(IDENTITY)
        check = self.board.check(who["gateway"], who["root"], now, ROOM)
        host = self.address or who["gateway"]
        port = who[port]
        del who
        self.link.open(host, port, check)

    def session(self):
        self.led.show(_GATEWAY)
        self.dial("mqttPort", self.clock.text())
        self.say("tls")
        # What is needed from here on takes the place of what has looked at certificates.
        import cloud
        import mqttc
        from sas import token

        forget("cloud", "hub", "mqttc", "sas", "slots")
        who = store.load(IDENTITY)
        del who["root"]
        talk = cloud.Cloud(self.duty, who)
        hub = talk.hub
        mqtt = mqttc.Mqtt(self.link, hub.on_message, ROOM)
        life = min(max(who["settings"].get("tokenLife", _LIFE_S), 10), 86400)
        password = token(hub.resource, who["key"], self.clock.now() + life)
        renew_at = time.ticks_add(time.ticks_ms(), life * 800)
        mqtt.connect(hub.client_id, hub.user, password, self.idle)
        del password, who, token
        mqtt.subscribe(hub.topics(), self.idle)
        self.refusals = self.failures = 0
        talk.begin(mqtt)
        self.led.show(_RUNNING)
        self.say("gateway")
        while time.ticks_diff(renew_at, time.ticks_ms()) > 0:
            self.idle()
            mqtt.poll()
            talk.serve()
            if not self.wifi.is_up():
                raise LinkError("wifi")
            time.sleep_ms(_TURN_MS)
        self.say("renew")


def forget(*names):
    # Their code stays in the heap as long as something uses it.
    for name in names:
        sys.modules.pop(name, None)


def ready():
    # A function of its own, so that nothing of what it has read stays on the stack of `main`.
    import board
    import setup

    forget("setup")
    hardware = board.Board()
    config = store.load(CONFIG)
    while config is None or setup.fault(config):
        hardware.led(True)
        if not setup.dialogue():
            return None  # nobody is at the other end
        config = store.load(CONFIG)
    setup.__dict__.clear()
    return App(hardware, config)


def main():
    app = ready()
    if app:
        app.run()
