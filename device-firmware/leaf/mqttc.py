# MQTT 3.1.1, the client's side, for a TLS library that is half duplex: `poll` reads until nothing is left, then writes,
# a whole packet at a time. No task, no callback from elsewhere, two buffers that are made once.
# Cost: 2.6 KB .mpy, 1.5 KB of heap run in place; `room` is shared with certificates, 0.7 KB to send.
import time

from link import LinkError, Refused
from micropython import const

_SEND = const(608)  # a CONNECT with its token is the largest we send
_ACKS = const(48)  # more messages of QoS 1 than one buffer of 1600 bytes can hold
_TURNS = const(16)  # packets before others get their turn
_CONNECT_MS = const(20000)
_ACK_MS = const(15000)
_TURN_MS = const(10)
_FIELD = const(5)  # room in front of a packet for its first byte and length


class Mqtt:
    # `on_message(topic, payload)` gets a text and a view that is good until it returns. A message of QoS 1 is
    # acknowledged after that. Larger packets than `room` are skipped and counted.
    def __init__(self, link, on_message, room, keepalive=60):
        self._link = link
        self._on_message = on_message
        self._rx = memoryview(room)
        self._tx = memoryview(bytearray(_SEND))
        self._acks = bytearray(2 * _ACKS)
        self._keepalive = keepalive
        self._pid = 0
        self.skipped = 0
        self._reset()

    def _reset(self):
        self._fill = self._skip = self._owed = 0
        self._waits = 0  # for the acknowledgement of this packet id
        self._granted = -1
        self._connack = -1
        self._heard = self._told = time.ticks_ms()

    # What is said

    def connect(self, client_id, user, password, idle):
        # MQTT 3.1.1 §3.1. The session is kept: what the cloud has sent meanwhile comes after a reconnect.
        self._reset()
        at = self._put(_FIELD, b"\0\x04MQTT\x04\xc0")
        at = self._put(at, bytes((self._keepalive >> 8, self._keepalive & 255)))
        for text in (client_id, user, password):
            at = self._text(at, text)
        self._send(0x10, at)
        since = time.ticks_ms()
        while self._connack < 0:
            if time.ticks_diff(time.ticks_ms(), since) > _CONNECT_MS:
                raise LinkError("slow")
            self.poll()
            idle()
            time.sleep_ms(_TURN_MS)

    def subscribe(self, topics, idle):
        at = self._id(_FIELD)
        for topic in topics:
            at = self._text(at, topic)
            at = self._put(at, b"\x01")
        self._send(0x82, at)
        while not self.acknowledged():
            self.poll()
            idle()
            time.sleep_ms(_TURN_MS)
        if not 0 <= self._granted <= 2:
            raise LinkError("subscribe")

    def publish(self, topic, payload, qos=0):
        # QoS 1: one on its way at a time; `acknowledged` tells. The caller keeps the payload until then.
        at = self._text(_FIELD, topic)
        if qos:
            at = self._id(at)
        self._send(0x32 if qos else 0x30, self._put(at, payload))

    def acknowledged(self):
        if self._waits and time.ticks_diff(time.ticks_ms(), self._asked) > _ACK_MS:
            raise LinkError("slow")
        return not self._waits

    def _id(self, at):
        self._pid = self._waits = self._pid % 65535 + 1
        self._asked = time.ticks_ms()
        self._granted = -1
        return self._put(at, bytes((self._pid >> 8, self._pid & 255)))

    def _text(self, at, text):
        data = text.encode()
        return self._put(self._put(at, bytes((len(data) >> 8, len(data) & 255))), data)

    def _put(self, at, data):
        if at + len(data) > _SEND:
            raise LinkError("long")
        self._tx[at : at + len(data)] = data
        return at + len(data)

    def _send(self, first, end):
        # §2.2.3: the length in one or two bytes, right before what it counts.
        size = end - _FIELD
        start = _FIELD - 2
        self._tx[_FIELD - 1] = size
        if size > 127:
            self._tx[start] = size & 127 | 128
            self._tx[_FIELD - 1] = size >> 7
            start -= 1
        self._tx[start] = first
        self._link.write(self._tx[start:end])
        self._told = time.ticks_ms()

    # What is heard

    def poll(self):
        turns = 0
        while True:
            view = self._rx[self._fill :]
            got = self._link.read(view)
            if got:
                self._fill += got
                self._heard = time.ticks_ms()
                self._parse()
                whole = got < len(view)
            elif self._link.busy():
                continue
            else:
                whole = True
            # When nothing is left in the library, a write cannot damage it.
            if whole:
                self._acknowledge()
                turns += 1
                if not got or turns > _TURNS:
                    break
        self._alive()

    def _alive(self):
        now = time.ticks_ms()
        limit = self._keepalive * 1000
        if time.ticks_diff(now, self._heard) > limit + limit // 2:
            raise LinkError("silent")
        if time.ticks_diff(now, self._told) > limit // 2 or time.ticks_diff(now, self._heard) > limit:
            if time.ticks_diff(now, self._told) > 1000:
                self._link.write(b"\xc0\0")
                self._told = now

    def _acknowledge(self):
        if not self._owed:
            return
        packet = bytearray(b"\x40\x02\0\0")
        for i in range(0, self._owed, 2):
            packet[2] = self._acks[i]
            packet[3] = self._acks[i + 1]
            self._link.write(packet)
        self._owed = 0
        self._told = time.ticks_ms()

    def _drop(self, count):
        rest = self._fill - count
        self._rx[:rest] = self._rx[count : self._fill]
        self._fill = rest

    def _parse(self):
        rx = self._rx
        while self._fill >= 2:
            if self._skip:
                count = min(self._skip, self._fill)
                self._skip -= count
                self._drop(count)
                continue
            size = shift = 0
            at = 1
            while True:
                if at >= self._fill:
                    return
                size |= (rx[at] & 127) << shift
                at += 1
                if rx[at - 1] < 128:
                    break
                shift += 7
                if shift > 21:
                    raise LinkError("packet")
            if at + size > len(rx):
                self.skipped += 1
                self._skip = at + size
            elif at + size > self._fill:
                return
            else:
                self._packet(rx[0], rx[at : at + size])
                self._drop(at + size)

    def _packet(self, first, body):
        kind = first & 0xF0
        if kind == 0x30:
            self._publish(first, body)
        elif kind == 0x20 and len(body) == 2:
            if body[1]:
                raise Refused(body[1])  # before the end of the connection is read, which follows
            self._connack = 0
        elif kind in (0x40, 0x90) and len(body) >= 2:
            if body[0] << 8 | body[1] == self._waits:
                self._waits = 0
                if kind == 0x90 and len(body) > 2:
                    self._granted = max(body[2:])
        elif kind != 0xD0:
            raise LinkError("packet")

    def _publish(self, first, body):
        size = 2 + (body[0] << 8 | body[1]) if len(body) >= 2 else 2
        at = size + 2 if first & 6 else size
        if at > len(body) or first & 4 or self._owed == len(self._acks):
            raise LinkError("packet")
        self._on_message(bytes(body[2:size]).decode(), body[at:])
        if first & 6:
            self._acks[self._owed] = body[size]
            self._acks[self._owed + 1] = body[size + 1]
            self._owed += 2
