# Wi-Fi, time, update, nothing else: what a board can do without a program, and what it does instead of its program
# when an update was ordered. One copy is in every program, for the orders; one in /rescue, for all that goes wrong.
# Cost: 1.6 KB .mpy; with what it imports 10 KB of heap, run in place.
import gc
import sys
import time

gc.threshold(1024)  # a handshake needs large pieces: sweep often

import partition
import slots
import store
from link import Link, LinkError
from micropython import const

_ROOM = const(1504)  # a certificate; a piece of an image
_ATTEMPTS = const(3)  # in one start
_PAUSE_MS = const(10000)
_TURN_MS = const(100)
_IDLE_S = const(60)  # a board that nobody has set up: for somebody at the console
_WATCHDOG_S = const(120)
_AGAIN = ("401", "408", "429", "500", "502", "503", "504")  # a wrong clock looks like 401


class Rescue:
    # What it needs of settings and identity it reads when it needs it: a handshake wants the room.
    def __init__(self, board):
        self._board = board
        self._room = bytearray(_ROOM)
        self._link = Link()
        self._lit = False
        self._lowest = gc.mem_free()

    def idle(self):
        gc.collect()
        self._lowest = min(self._lowest, gc.mem_free())
        self._board.kick()
        self._lit = not self._lit
        self._board.led(self._lit)

    def pause(self, ms):
        since = time.ticks_ms()
        while time.ticks_diff(time.ticks_ms(), since) < ms:
            self.idle()
            time.sleep_ms(_TURN_MS)

    def run(self):
        # True: a program is on trial. What refuses an image ends the job; a link that fails is tried again.
        reason = "link"
        for attempt in range(_ATTEMPTS):
            if attempt:
                self.pause(_PAUSE_MS)
            try:
                print("RESCUE", "trial", self.attempt(), self._lowest)
                return True
            except slots.UpdateError as error:
                reason = error.args[0]
                if reason not in _AGAIN:
                    print("RESCUE", reason)
                    self.failed(reason, True)
                    return False
            except Exception as error:  # whatever it was, the next attempt or the next start may go better
                reason = error.args[0] if error.args else "link"
            finally:
                self._link.close()
            print("RESCUE", reason, gc.mem_free())
        self.failed(reason, False)
        return False

    def attempt(self):
        now, text = self.online()
        self.dial(text)
        self.say("tls")
        who = store.load("/identity.json")
        del who["root"]
        if now is None:
            now = self.told(who)
        import update  # not before the handshake: it needs the room

        for name in ("update", "web"):
            sys.modules.pop(name, None)
        updater = update.Updater(self._link, who, self._board.MODEL, partition.form(), now, self._room, self.idle)
        del who
        return updater.run(slots.load()["job"])

    def online(self):
        # The time, in seconds and as certificates write it; None without any. Networks and clocks are in the heap only now.
        import clock
        import wifi

        del sys.modules["clock"], sys.modules["wifi"]
        config = store.load("/config.json")
        net = wifi.Wifi(self._board.station(), config["wifi"])
        if not net.is_up() and not net.join(self.idle):
            raise LinkError("wifi")
        hosts = config.get("ntp") or ["pool.ntp.org", "time.cloudflare.com"]
        since = store.load("/identity.json").get("since", clock.SANE)
        ours = clock.Clock(self._board, self._board.ntp(), hosts + [config["gateway"]], since)
        if not ours.sync():
            return None, None  # what the clock says is not known to be right
        return ours.now(), ours.text()

    def told(self, who):
        # The time, from the gateway that is reached already: there is no NTP.
        import clock
        import gatetime

        for name in ("clock", "gatetime", "sas"):
            sys.modules.pop(name, None)
        ours = clock.Clock(self._board, None, (), who.get("since", clock.SANE))
        if not ours.set(gatetime.ask(self._link, who)):
            raise LinkError("time")
        return ours.now()

    def dial(self, now):
        who = store.load("/identity.json")
        host = store.load("/config.json").get("address") or who["gateway"]
        port = who["httpsPort"]
        check = self._board.check(who["gateway"], who["root"], now, self._room)
        del who
        self._link.open(host, port, check)

    def say(self, what):
        gc.collect()
        print("RESCUE", what, gc.mem_free())

    def failed(self, reason, final):
        state = slots.load()
        if reason == "same":
            state.update({"job": None, "tried": 0})  # it has what was ordered
        elif final or not state["job"]:
            slots.end_job(state, str(reason))
        else:
            state["job"]["reason"] = str(reason)
        slots.save(state)


def main():
    import board

    hardware = board.Board()
    hardware.watchdog(_WATCHDOG_S)
    if store.load("/config.json") and store.load("/identity.json"):
        Rescue(hardware).run()
    else:
        print("RESCUE", "not set up; Ctrl-C leads to the prompt")
        time.sleep(_IDLE_S)
    hardware.reset()
