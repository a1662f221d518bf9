# Queue, clock and MQTT client by themselves. Cases and answers as JSON.
import json
import sys
from binascii import hexlify, unhexlify

import clock
import link
import mqttc
import queue


def queued(case):
    # Puts and pops, as ["put", text] and ["pop"]; what is there after each.
    one = queue.Queue(case["size"])
    seen = []
    for step in case["steps"]:
        if step[0] == "put":
            one.put(step[1].encode())
        elif one.count:
            one.pop()
        oldest = one.peek()
        seen.append([one.count, one.dropped, one.gone, oldest and bytes(oldest).decode()])
    other = queue.Queue(case["size"])
    other.restore(one.newest(case["size"]))
    return seen, other.count == one.count


class Board:
    def __init__(self, seconds):
        self.now = seconds

    def seconds(self):
        return self.now

    def set_seconds(self, seconds):
        self.now = seconds


class Ntp:
    def __init__(self, answers):
        self._answers = answers

    def time(self):
        found = self._answers.get(self.host)
        if found is None:
            raise OSError(110)
        return found


def told(case):
    board = Board(case["now"])
    one = clock.Clock(board, Ntp(case["answers"]), ["a", "b", "c"], case.get("earliest", 0), case["epoch"])
    return one.sync(), one.is_set(), one.now()


class Wire:
    # A link whose peer has said all there is, in pieces.
    def __init__(self, data, step):
        self._data = data
        self._step = step
        self.said = bytearray()

    def read(self, view):
        part = self._data[: min(self._step, len(view))]
        view[: len(part)] = part
        self._data = self._data[len(part) :]
        return len(part)

    def busy(self):
        return False

    def write(self, data):
        self.said.extend(data)


def heard(case):
    messages = []
    wire = Wire(unhexlify(case["wire"]), case["step"])
    room = bytearray(case["room"])
    one = mqttc.Mqtt(wire, lambda topic, payload: messages.append([topic, bytes(payload).decode()]), room)
    trouble = None
    try:
        for _ in range(len(case["wire"])):
            one.poll()
    except link.LinkError as error:
        trouble = error.args[0]
    return messages, hexlify(wire.said).decode(), one.skipped, trouble


cases = json.loads(sys.stdin.readline())
print(
    json.dumps(
        {
            "queue": [queued(case) for case in cases.get("queue", [])],
            "clock": [told(case) for case in cases.get("clock", [])],
            "mqtt": [heard(case) for case in cases.get("mqtt", [])],
        }
    )
)
