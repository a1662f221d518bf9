# What the board's own files do with time: the watchdog counts down, a kick winds it up. Prints what happened.
import json
import sys

sys.path.append(json.loads(sys.stdin.readline())["boards"])


class Timer:
    PERIODIC = 0

    def __init__(self, number):
        pass

    def init(self, period, mode, callback):
        machine.ticked = callback


class Machine:
    # machine and network, as far as a watchdog asks for them.
    Timer = Timer
    resets = 0
    ticked = None

    def reset(self):
        self.resets += 1


machine = Machine()
sys.modules["machine"] = sys.modules["network"] = machine
seen = []
for name in ("nodemcu", "esp32"):
    machine.resets = 0
    board = __import__(name).Board

    class Bare(board):
        def __init__(self):
            self._timer = None

    one = Bare()
    one.watchdog(3)
    for _ in range(5):
        machine.ticked(None)
        machine.ticked(None)
        one.kick()
    kicked = machine.resets
    for _ in range(4):
        machine.ticked(None)
    seen.append([name, kicked, machine.resets])
print(json.dumps(seen))
