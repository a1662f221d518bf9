# HTTP/1.1 over a link that is open already, answers of a known length; several requests may follow each other, which
# saves a handshake each. An answer is read to its end before the next request: a board's TLS is half duplex.
# Cost: 1.2 KB .mpy, 1 KB of heap run in place.
import time

from micropython import const

_WAIT_MS = const(15000)  # silence of the gateway
_LINE = const(256)  # bytes of one line of a head
_LINES = const(32)  # lines of a head


class WebError(Exception):
    pass  # http, long, silent


class Answer:
    def __init__(self, link, status, headers):
        self._link = link
        self.status = status
        self.headers = headers
        try:
            self.size = self._left = int(headers["content-length"])
        except (KeyError, ValueError):
            raise WebError("http")

    def readinto(self, buffer):
        # Fills the buffer, or less at the end of the body.
        view = memoryview(buffer)[: min(self._left, len(buffer))]
        done = 0
        while done < len(view):
            done += _some(self._link, view[done:])
        self._left -= done
        return done

    def read(self, limit):
        # The whole body.
        if self._left > limit:
            raise WebError("long")
        body = bytearray(self._left)
        self.readinto(body)
        return body


def request(link, host, method, path, headers, body=b""):
    # Header names of the answer are lower case.
    head = "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n" % (method, path, host, len(body))
    for name, value in headers.items():
        head += name + ": " + value + "\r\n"
    link.write(memoryview(head.encode() + b"\r\n" + body))
    del head
    line = bytearray(_LINE)
    words = _line(link, line).split(None, 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise WebError("http")
    found = {}
    for _ in range(_LINES):
        text = _line(link, line)
        if not text:
            if "transfer-encoding" in found:
                raise WebError("http")
            return Answer(link, int(words[1]), found)
        at = text.find(":")
        if at < 1:
            raise WebError("http")
        found[text[:at].lower()] = text[at + 1 :].strip()
    raise WebError("long")


def _line(link, line):
    view = memoryview(line)
    for at in range(_LINE):
        _some(link, view[at : at + 1])
        if line[at] == 10:
            return bytes(view[:at]).decode().strip()
    raise WebError("long")


def _some(link, view):
    # At least one byte.
    since = time.ticks_ms()
    while True:
        count = link.read(view)
        if count:
            return count
        if time.ticks_diff(time.ticks_ms(), since) > _WAIT_MS:
            raise WebError("silent")
        time.sleep_ms(5)
