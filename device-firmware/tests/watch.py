# What the eye on a handshake says to the server's bytes. Cases: {stream hex, step, name, root hex, now}.
import json
import sys
from binascii import unhexlify

import certcheck
import link
import rsa


class Socket:
    # Gives its bytes in pieces, with nothing between them now and then.
    def __init__(self, data, step):
        self._data = data
        self._step = step
        self._turn = 0

    def readinto(self, view):
        self._turn += 1
        if self._turn % 3 == 0 and self._data:
            return None
        part = self._data[: min(self._step, len(view))]
        view[: len(part)] = part
        self._data = self._data[len(part) :]
        return len(part)


def verdict(case):
    data = unhexlify(case["stream"])
    now = case["now"] and case["now"].encode()
    judge = certcheck.Judge(case["name"], unhexlify(case["root"]), now, bytearray(1504))
    tap = link.Tap(Socket(data, case["step"]), judge)
    try:
        # As a TLS library reads: the header of a record, then its body.
        while True:
            head = bytearray(5)
            count = tap.readinto(head)
            if count is None:
                continue
            if not count:
                break
            body = memoryview(bytearray(head[3] << 8 | head[4]))
            got = 0
            while got < len(body):
                more = tap.readinto(body[got:])
                if more == 0:
                    break
                got += more or 0
        rsa.follow(rsa.Key(judge.root), judge.found, judge.fault)
    except link.LinkError as error:
        return error.args[0]
    except MemoryError:
        return "size"
    return "accepted"


print(json.dumps([verdict(case) for case in json.loads(sys.stdin.readline())]))
