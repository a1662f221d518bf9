# network of an ESP8266: two networks that are heard or not; being in one is a bit of the test's.
import world

STA_IF, AP_IF = 0, 1
NAMES = (b"shed", b"house")
PASSWORD = "correct horse"


class WLAN:
    def __init__(self, kind):
        self._joined = -1

    def active(self, on=None):
        return True

    def scan(self):
        return [(NAMES[i], b"", 1, -60 - i, 3, 0) for i in range(2) if world.shared[world.HEARD] >> i & 1]

    def connect(self, name, password):
        name = name.encode()
        self._joined = NAMES.index(name) if name in NAMES and password == PASSWORD else -1

    def disconnect(self):
        self._joined = -1

    def isconnected(self):
        return self._joined >= 0 and bool(world.shared[world.HEARD] >> self._joined & 1)

    def status(self, what=None):
        return -60 - self._joined

    def ifconfig(self, values=None):
        return values
