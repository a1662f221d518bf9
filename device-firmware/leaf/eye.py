# The eye on a handshake: finds the certificates in what a server says before it is encrypted, and shows them to a judge.
# Cost: 1 KB .mpy, 0.7 KB of heap run in place, until the handshake is over.
from link import LinkError
from micropython import const

_CCS = const(20)
_HANDSHAKE = const(22)
_SERVER_HELLO = const(2)
_CERTIFICATE = const(11)
# Where the watch is in the server's messages
_MESSAGE = const(0)
_LIST = const(1)
_SIZE = const(2)
_BODY = const(3)
_SKIP = const(4)
_OVER = const(5)


class Watch:
    # The server's half of a handshake, RFC 5246 §6.2.1 and §7.4, as far as it is readable: to ChangeCipherSpec.
    def __init__(self, judge):
        self._judge = judge
        self._state = _MESSAGE
        self._need = 4
        self._acc = bytearray(4)
        self._got = 0
        self._list = 0
        self._seen = 0  # 1: a ServerHello, 2: certificates

    def record(self, kind):
        if kind == _CCS:
            if self._state != _MESSAGE or self._got:
                raise LinkError("handshake")  # it must not cut a message in two
            self._state = _OVER
            self._judge = None
        elif kind == _HANDSHAKE:
            return self._state != _OVER
        elif kind != 21 and self._state != _OVER:
            raise LinkError("handshake")
        return False

    def feed(self, data):
        at = 0
        while at < len(data) and self._state != _OVER:
            part = data[at : at + self._need]
            at += len(part)
            self._need -= len(part)
            if self._state < _BODY:
                self._acc[self._got : self._got + len(part)] = part
                self._got += len(part)
            elif self._state == _BODY:
                self._judge.feed(part)
            while not self._need:
                self._next()

    def _go(self, state, need):
        self._state = state
        self._need = need
        self._got = 0

    def _next(self):
        state = self._state
        acc = self._acc
        if state < _BODY and acc[1 if state == _MESSAGE else 0]:
            # The library reads 16 bits of these sizes: with the top byte set it would see other certificates.
            raise LinkError("handshake")
        if state == _MESSAGE:
            self._message(acc[0], acc[2] << 8 | acc[3])
        elif state == _LIST:
            self._list = acc[1] << 8 | acc[2]
            if self._list != self._size - 3:
                raise LinkError("handshake")
            self._go(_SIZE, 3) if self._list else self._go(_MESSAGE, 4)
        elif state == _SIZE:
            size = acc[1] << 8 | acc[2]
            self._list -= 3 + size
            if self._list < 0 or not size:
                raise LinkError("handshake")
            self._judge.start(size)
            self._go(_BODY, size)
        elif state == _BODY:
            self._judge.end()
            self._go(_SIZE, 3) if self._list else self._go(_MESSAGE, 4)
        else:
            self._go(_MESSAGE, 4)

    def _message(self, kind, size):
        if kind == _SERVER_HELLO and not self._seen:
            self._seen = 1
        elif kind == _CERTIFICATE and self._seen == 1 and size >= 3:
            self._seen = 2
            self._size = size
            self._go(_LIST, 3)
            return
        elif kind in (_SERVER_HELLO, _CERTIFICATE):
            raise LinkError("handshake")  # each comes once, and in this order
        self._go(_SKIP, size) if size else self._go(_MESSAGE, 4)
