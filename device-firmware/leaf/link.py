# The way to the gateway: TCP, TLS, and the eye on both. The TLS library of the ESP8266 checks no certificate and
# damages what it has not handed over when we write. So a stream of ours stands between it and the socket: it shows
# every certificate to a judge as it passes, and it hands records over whole.
# Cost: 2.1 KB .mpy, 1.3 KB of heap run in place. TLS on the board: 11.9 KB at its peak, 9.4 KB while connected.
import gc
import io
import socket
import sys
import time

import tls
from micropython import const

_TIMEOUT_MS = const(15000)
_TURN_MS = const(2)
_RECORD = const(5115)  # what the library's buffer takes


class LinkError(Exception):
    pass  # memory, closed, slow, record, handshake, wifi, time, contact; silent, packet, subscribe, long


class Refused(LinkError):
    pass  # with the code of the CONNACK


class CertError(LinkError):
    pass  # der, key, signature, dates, name, ca, chain, size, none, issuer


class Tap(io.IOBase):
    def __init__(self, sock, judge, timeout_ms=_TIMEOUT_MS):
        self._sock = sock
        self._watch = eye_of(judge) if judge else None
        self._timeout_ms = timeout_ms
        self._head = bytearray(5)
        self._have = 0  # of the header
        self._left = 0  # of the record
        self._shown = False  # to the watch

    def ioctl(self, request, arg):
        if request == 4:  # close
            self._sock.close()
            return 0
        return arg if request == 3 else -1  # poll: always worth a try

    def setblocking(self, flag):
        self._sock.setblocking(flag)

    def busy(self):
        # Whether a record has begun that was not handed over yet.
        return self._left or self._have

    def rest(self):
        # The handshake is over; what follows cannot be read from outside.
        self._watch = None
        self._shown = False

    def write(self, data):
        # All or an error: the library does not go on where it was stopped.
        view = memoryview(data)
        done = 0
        since = time.ticks_ms()
        while done < len(view):
            count = self._sock.write(view[done:])
            if count:
                done += count
            else:
                self._pause(since)
        return done

    def readinto(self, buf):
        # The library asks for a header, then for a body. What has begun is waited for, so that it never keeps half.
        view = memoryview(buf)
        count = 0
        since = time.ticks_ms()
        while count < len(view):
            more = self._sock.readinto(view[count:])
            if more:
                count += more
            elif more is None and (count or self.busy()):
                self._pause(since)
            elif count:
                break
            else:
                return more
        self._track(view[:count])
        return count

    def _pause(self, since):
        if time.ticks_diff(time.ticks_ms(), since) > self._timeout_ms:
            raise LinkError("slow")
        time.sleep_ms(_TURN_MS)

    def _track(self, data):
        at = 0
        while at < len(data):
            if self._left:
                part = data[at : at + self._left]
                if self._shown:
                    self._watch.feed(part)
                self._left -= len(part)
                at += len(part)
                continue
            self._head[self._have] = data[at]
            self._have += 1
            at += 1
            if self._have == 5:
                self._begin(self._head)

    def _begin(self, head):
        self._have = 0
        self._left = head[3] << 8 | head[4]
        if head[1] != 3 or self._left > _RECORD or not self._left:
            raise LinkError("record")
        self._shown = self._watch is not None and self._watch.record(head[0])


def eye_of(judge):
    # In the heap until the handshake is over.
    import eye

    del sys.modules["eye"]
    return eye.Watch(judge)


class Watched:
    # The check of boards whose library has none. `need`: free heap for a handshake; the library of the ESP8266 crashes
    # where it gets none.
    def __init__(self, judge, name, need):
        self._judge = judge
        self._name = name
        self.need = need
        self._tap = None

    def wrap(self, sock):
        self._tap = tap = Tap(sock, self._judge)
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.verify_mode = tls.CERT_NONE
        return context.wrap_socket(tap, server_hostname=self._name), tap

    def verdict(self):
        # The handshake is over: eye and judge leave the heap before what they have found is followed.
        judge = self._judge
        self._judge = None
        self._tap.rest()
        if judge:
            root = judge.root
            found = judge.found
            fault = judge.fault
            del judge
            gc.collect()
            import rsa

            del sys.modules["rsa"]
            root = rsa.Key(root)
            rsa.follow(root, found, fault)


class Link:
    # One connection at a time: two do not fit.
    def __init__(self):
        self._conn = self._tap = None

    def open(self, host, port, check):
        # `check` wraps the socket and gives its verdict before a byte of ours is sent; None: no TLS.
        self.close()
        gc.collect()
        if check and gc.mem_free() < check.need:
            raise LinkError("memory")
        sock = socket.socket()
        try:
            sock.settimeout(_TIMEOUT_MS // 1000)
            sock.connect(socket.getaddrinfo(host, port)[0][-1])
            conn, tap = check.wrap(sock) if check else (sock, None)
            if check:
                check.verdict()
            conn.setblocking(False)
        except BaseException:
            sock.close()
            raise
        self._conn = conn
        self._tap = tap
        gc.collect()

    def read(self, view):
        # Bytes read, 0 for none now. LinkError when the peer has closed.
        count = self._conn.readinto(view)
        if count == 0:
            raise LinkError("closed")
        return count or 0

    def busy(self):
        return self._tap is not None and self._tap.busy()

    def write(self, data):
        # All of it, or an error. Only after `read` has given less than it was asked for.
        view = memoryview(data)
        done = 0
        since = time.ticks_ms()
        while done < len(view):
            count = self._conn.write(view[done:])
            if count:
                done += count
            elif time.ticks_diff(time.ticks_ms(), since) > _TIMEOUT_MS:
                raise LinkError("slow")
            else:
                time.sleep_ms(_TURN_MS)
        return done

    def close(self):
        conn = self._conn
        self._conn = self._tap = None
        if conn:
            try:
                conn.close()
            except OSError:
                pass  # the peer was faster
            del conn
            gc.collect()
