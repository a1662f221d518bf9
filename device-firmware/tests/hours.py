# What a board says to a gateway's time. Cases: {kind, now}; kind is what is wrong with the answer.
import json
import sys
from binascii import b2a_base64, hexlify

import clock
import gatetime
import link
import sas

KEY = b"0123456789abcdef" * 2
WHO = {"deviceId": "node 1", "gateway": "gw", "key": b2a_base64(KEY)[:-1].decode()}


class Gateway:
    # A link to one that answers the one request.
    def __init__(self, case):
        self._case = case
        self._said = b""

    def write(self, data):
        case = self._case
        path = bytes(data).decode().split(" ")[1]
        assert path.startswith("/bootstrap/v1/time?registrationId=node%201&nonce="), path
        nonce = path[-32:].encode()
        body = json.dumps({"time": case["now"]}).encode() if case["kind"] != "no json" else b"late"
        key = b"another" if case["kind"] == "key" else KEY
        nonce = b"0" * 32 if case["kind"] == "nonce" else nonce
        mac = hexlify(sas.hmac_sha256(key, b"edge-bootstrap-answer-1\n", nonce, b"\n", body))
        if case["kind"] == "body":
            body = body.replace(b"1", b"2")
        status = b"404" if case["kind"] == "status" else b"200"
        said = b"HTTP/1.1 " + status + b" OK\r\nContent-Length: %d\r\n" % len(body)
        if case["kind"] != "no mac":
            said += b"X-Bootstrap-Mac: " + (b"zz" if case["kind"] == "no hex" else mac) + b"\r\n"
        self._said = said + b"\r\n" + body

    def read(self, view):
        part = self._said[: len(view)]
        view[: len(part)] = part
        self._said = self._said[len(part) :]
        return len(part)


class Board:
    def seconds(self):
        return 0

    def set_seconds(self, seconds):
        pass


def answer(case):
    try:
        found = gatetime.ask(Gateway(case), WHO)
    except link.LinkError as error:
        return error.args[0]
    ours = clock.Clock(Board(), None, (), case["earliest"], 0)
    return "set" if ours.set(found) else "bounds"


print(json.dumps([answer(case) for case in json.loads(sys.stdin.readline())]))
