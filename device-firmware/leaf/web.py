"""Requests of HTTP/1.1 over a stream that is open already, answers of a known length. Costs about 1 KB of heap.

Several requests may follow each other on one stream, which saves a handshake each. A board's TLS is half duplex: an
answer has to be read to its end before the next request.
"""

import time

WAIT_MS = 15000  # silence of the gateway
LINE = 512  # bytes of one line of a head
LINES = 32  # lines of a head


class Answer:
    """Status and headers of an answer, and its body as far as it has been read."""

    def __init__(self, stream, status, headers):
        self._stream = stream
        self.status = status
        self.headers = headers
        self.size = self._left = int(headers.get("content-length", "0"))

    def readinto(self, buffer):
        """Read the next bytes of the body; 0 at its end."""
        view = memoryview(buffer)[: min(self._left, len(buffer))]
        done = 0
        while done < len(view):
            done += _some(self._stream, view[done:])
        self._left -= done
        return done

    def read(self, limit):
        """The whole body. ValueError if it is longer than `limit`."""
        if self._left > limit:
            raise ValueError("too long")
        body = bytearray(self._left)
        self.readinto(body)
        return body


def request(stream, host, method, path, headers, body=b""):
    """Send a request and read the head of its answer."""
    head = "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n" % (method, path, host, len(body))
    for name, value in headers.items():
        head += "%s: %s\r\n" % (name, value)
    _all(stream, head.encode() + b"\r\n" + body)
    words = _line(stream).split(None, 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1."):
        raise ValueError("not HTTP")
    found = {}
    for _ in range(LINES):
        line = _line(stream)
        if not line:
            break
        at = line.find(":")
        if at < 1:
            raise ValueError("header")
        found[line[:at].lower()] = line[at + 1 :].strip()
    else:
        raise ValueError("too long")
    if "transfer-encoding" in found:
        raise ValueError("no length")
    return Answer(stream, int(words[1]), found)


def _line(stream):
    line = bytearray()
    byte = bytearray(1)
    while byte[0] != 10:
        _some(stream, byte)
        line.append(byte[0])
        if len(line) > LINE:
            raise ValueError("too long")
    return line.decode().strip()


def _some(stream, view):
    """At least one byte into `view`, and how many. OSError after a while without any, or at the end."""
    start = time.ticks_ms()
    while True:
        count = stream.readinto(view)
        if count:
            return count
        if count == 0:
            raise OSError("closed")
        if time.ticks_diff(time.ticks_ms(), start) > WAIT_MS:
            raise OSError("silent")
        time.sleep_ms(5)


def _all(stream, data):
    view = memoryview(data)
    start = time.ticks_ms()
    while len(view):
        count = stream.write(view)
        if count:
            view = view[count:]
        elif time.ticks_diff(time.ticks_ms(), start) > WAIT_MS:
            raise OSError("silent")
