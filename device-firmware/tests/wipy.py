# The WiPy's publisher with doubles of its modules: sockets that insist on the port's order, and hashes that insist on
# multiples of four bytes.
import hashlib
import json
import socket
import sys

import tls

sys.path.insert(0, sys.argv[0].rsplit("/", 2)[0] + "/boards/wipy")
ROOT = {}


class Hash:
    # Where it is told nothing of the total, the port keeps all; where it is, all but the last must be whole words.
    def __init__(self, data=b""):
        self._hash = hashlib.sha256(data)
        self._odd = len(data) % 4

    def update(self, data):
        assert not self._odd, "a piece behind one that was no multiple of four bytes"
        self._hash.update(data)
        self._odd = len(data) % 4

    def digest(self):
        return self._hash.digest()


class Hashlib:
    sha256 = Hash


class Link:
    def __init__(self, secure):
        self.secure = secure
        self.wrapped = None
        self.linked = False
        self._socket = socket.socket()
        self._stream = None

    def settimeout(self, seconds):
        assert isinstance(seconds, int)

    def connect(self, address):
        assert not self.secure or self.wrapped, "wrap before connect"
        self.linked = True
        self._socket.connect(address)
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.verify_mode = tls.CERT_REQUIRED
        context.load_verify_locations(ROOT["der"])
        try:
            self._stream = context.wrap_socket(self._socket, server_hostname=ROOT["name"])
        except ValueError:
            raise OSError("the chain does not lead to the root")

    def send(self, data):
        return self._stream.write(data[:100])  # in part, as sockets may

    def recv(self, size):
        return self._stream.read(min(size, 7)) or b""

    def close(self):
        (self._stream or self._socket).close()


class Socket:
    AF_INET = socket.AF_INET
    SOCK_STREAM = socket.SOCK_STREAM
    SOCK_DGRAM = socket.SOCK_DGRAM
    IPPROTO_SEC = 100

    def socket(self, family=0, kind=0, protocol=0):
        assert kind == self.SOCK_STREAM
        return Link(protocol == self.IPPROTO_SEC)

    def getaddrinfo(self, host, port):
        return socket.getaddrinfo(ROOT["address"], port)


class Ssl:
    CERT_REQUIRED = 2
    PROTOCOL_TLSv1 = 1
    PROTOCOL_TLSv1_2 = 3

    def wrap_socket(self, link, ssl_version=1, cert_reqs=0, ca_certs=None):
        assert link.secure, "a socket for TLS is made with IPPROTO_SEC"
        assert not link.linked, "wrap before connect"
        assert (ssl_version, cert_reqs) == (self.PROTOCOL_TLSv1_2, self.CERT_REQUIRED)
        assert ca_certs == "/flash/cert/ca.pem", "the chip reads a root from one path only"
        link.wrapped = True
        return link


sys.modules["socket"], sys.modules["ssl"], sys.modules["hashlib"] = Socket(), Ssl(), Hashlib
import publisher


def main():
    given = json.loads(sys.stdin.readline())
    ROOT.update(der=bytes.fromhex(given["root"]), name=given["name"], address=given["address"])
    maker = publisher.Publisher(given["name"], "telemetry", "leaf-01", given.get("rule", "SendRule"), given["key"], given["port"])
    said = []
    for number, raw in enumerate(given["raw"]):
        try:
            maker.send(publisher.body_of(number, publisher.tenths(raw)), 1900000000)
            said.append("accepted")
        except publisher.PublishError as error:
            said.append(error.args[0])
        except OSError:
            said.append("OSError")
    print(json.dumps({"said": said, "token": maker.token(1900000000)}))


main()
