# Wi-Fi, time, update, nothing else: what a board can do without a program, and what it does instead of its program
# when an update was ordered. One copy is in every program, for the orders; one in /rescue, for all that goes wrong.
# Cost: 1.6 KB .mpy; with what it imports 10 KB of heap, run in place.
import gc
import time

gc.threshold(1024)  # a handshake needs large pieces: sweep often

import partition
import slots
import store
from clock import SANE, Clock
from link import Link, LinkError
from micropython import const
from wifi import Wifi

_ROOM = const(1600)  # a certificate; a piece of an image
_ATTEMPTS = const(3)  # in one start
_PAUSE_MS = const(10000)
_TURN_MS = const(100)
_IDLE_S = const(60)  # a board that nobody has set up: for somebody at the console
_WATCHDOG_S = const(120)
_AGAIN = ("401", "408", "429", "500", "502", "503", "504")  # a wrong clock looks like 401


class Rescue:
    # `state` as it was at the start: with a job, or without one.
    def __init__(self, board, config, who, state):
        self._board = board
        self._config = config
        self._who = who
        self._job = state["job"]
        self._room = bytearray(_ROOM)
        self._link = Link()
        self._wifi = Wifi(board.station(), config["wifi"])
        hosts = config.get("ntp") or ["pool.ntp.org", "time.cloudflare.com"]
        self._clock = Clock(board, board.ntp(), hosts + [config["gateway"]], who.get("since", SANE))
        self._lit = False

    def idle(self):
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
                print("RESCUE", "trial", self.attempt())
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
        if not self._wifi.is_up() and not self._wifi.join(self.idle):
            raise LinkError("wifi")
        self._clock.sync()
        if not self._clock.is_set():
            raise LinkError("time")
        who = self._who
        check = self._board.check(who["gateway"], who["root"], self._clock.text(), self._room)
        self._link.open(self._config.get("address") or who["gateway"], who["httpsPort"], check)
        del check
        now = self._clock.now()
        import update  # not before the handshake: it needs the room

        updater = update.Updater(self._link, who, self._board.MODEL, partition.form(), now, self._room, self.idle)
        return updater.run(self._job)

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
    config = store.load("/config.json")
    who = store.load("/identity.json")
    if config and who:
        Rescue(hardware, config, who, slots.load()).run()
    else:
        print("RESCUE", "not set up; Ctrl-C leads to the prompt")
        time.sleep(_IDLE_S)
    hardware.reset()
