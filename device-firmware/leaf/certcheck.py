# Who is the gateway? Reads its certificates strictly as they come by and follows their signatures to one pinned key.
# RSA with SHA-256 only, one spelling of DER only: the TLS library and we must see the same certificate.
# Cost: 2.7 KB .mpy, 1.8 KB of heap run in place; 0.6 KB for each certificate, beside the shared buffer.
import gc
from hashlib import sha256

from link import CertError
from micropython import const

_DEPTH = const(5)  # certificates that are looked at: a leaf and four above it
_SEQUENCE = const(0x30)
_ALGORITHM = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00"  # sha256WithRSAEncryption, NULL
_KEY = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00"  # rsaEncryption, NULL
_SERVER = b"\x2b\x06\x01\x05\x05\x07\x03\x01"  # extended key usage: TLS server


class Part:
    # What stands between two places of a buffer; `take` gives the next element and goes on behind it.
    def __init__(self, view, at, end):
        self.view = view
        self.at = at
        self.end = end

    def tag(self):
        return self.view[self.at] if self.at < self.end else -1

    def take(self, tag):
        view = self.view
        at = self.at + 2
        if at > self.end or view[at - 2] != tag:
            raise CertError("der")
        size = view[at - 1]
        if size & 0x80:
            # X.690 §10.1: the shortest form alone; two bytes are enough for all that fits the buffer.
            count = size & 0x7F
            if not 1 <= count <= 2 or at + count > self.end:
                raise CertError("der")
            size = view[at] if count == 1 else view[at] << 8 | view[at + 1]
            at += count
            if size < (0x80 if count == 1 else 0x100):
                raise CertError("der")
        if at + size > self.end:
            raise CertError("der")
        self.at = at + size
        return Part(view, at, at + size)

    def bytes(self):
        return bytes(self.view[self.at : self.end])

    def over(self):
        if self.at != self.end:
            raise CertError("der")


def exactly(part, wanted):
    if part.bytes() != wanted:
        raise CertError("signature" if wanted is _ALGORITHM else "key")


def moment(validity):
    # RFC 5280 §4.1.2.5: UTCTime of 13 or GeneralizedTime of 15 characters, both in UTC and with seconds.
    tag = validity.tag()
    text = validity.take(tag).bytes()
    if tag == 0x17 and len(text) == 13:
        text = (b"19" if text[0] >= 0x35 else b"20") + text
    elif tag != 0x18:
        raise CertError("der")
    if len(text) != 15 or text[14] != 0x5A or not text[:14].isdigit():
        raise CertError("der")
    return text[:14]


class Certificate:
    # The fields that matter. RFC 5280 §4.1.
    usage = 0xFF  # without the extension all is allowed
    serves = True

    def __init__(self, view, wanted):
        self.named = False
        self.path = -1  # -1: not a CA; else how many CAs may stand below it
        whole = Part(view, 0, len(view))
        outer = whole.take(_SEQUENCE)
        whole.over()
        start = outer.at
        tbs = outer.take(_SEQUENCE)
        self.digest = sha256(view[start : outer.at]).digest()
        exactly(outer.take(_SEQUENCE), _ALGORITHM)
        bits = outer.take(3)
        outer.over()
        if bits.bytes()[:1] != b"\0":
            raise CertError("der")
        bits.at += 1
        self.signature = bits
        if tbs.take(0xA0).bytes() != b"\x02\x01\x02":  # version 3: only it has extensions
            raise CertError("der")
        tbs.take(2)  # serial number
        exactly(tbs.take(_SEQUENCE), _ALGORITHM)
        tbs.take(_SEQUENCE)  # issuer: the signature tells
        validity = tbs.take(_SEQUENCE)
        self.since = moment(validity)
        self.until = moment(validity)
        validity.over()
        tbs.take(_SEQUENCE)  # subject: names stand in the extension
        self._key(tbs.take(_SEQUENCE))
        extensions = tbs.take(0xA3)
        tbs.over()
        listed = extensions.take(_SEQUENCE)
        extensions.over()
        seen = 0
        while listed.tag() >= 0:
            seen = self._extension(listed.take(_SEQUENCE), seen, wanted)

    def _key(self, info):
        exactly(info.take(_SEQUENCE), _KEY)
        bits = info.take(3)
        info.over()
        if bits.tag() != 0:
            raise CertError("der")
        bits.at += 1
        pair = bits.take(_SEQUENCE)
        bits.over()
        modulus = pair.take(2)
        if modulus.tag() == 0:  # the sign of an INTEGER
            modulus.at += 1
        if pair.take(2).bytes() != b"\x01\0\x01":
            raise CertError("key")
        pair.over()
        self.modulus = modulus

    def _extension(self, one, seen, wanted):
        name = one.take(6).bytes()
        critical = one.tag() == 1
        if critical and one.take(1).bytes() != b"\xff":
            raise CertError("der")
        value = one.take(4)
        one.over()
        number = name[2] if name[:2] == b"\x55\x1d" and len(name) == 3 else 255
        if number < 64:
            if seen >> number & 1:  # RFC 5280 §4.2: each once
                raise CertError("der")
            seen |= 1 << number
        if number == 17:
            names = value.take(_SEQUENCE)
            while names.tag() >= 0:
                tag = names.tag()
                one = names.take(tag).bytes()
                if (tag, one.lower() if tag == 0x82 else one) == wanted:
                    self.named = True
        elif number == 19:
            self._basic(value.take(_SEQUENCE))
        elif number == 15:
            bits = value.take(3).bytes()
            self.usage = bits[1] if len(bits) > 1 else 0
        elif number == 37:
            self.serves = False
            uses = value.take(_SEQUENCE)
            while uses.tag() >= 0:
                self.serves |= uses.take(6).bytes() == _SERVER
        elif critical:  # RFC 5280 §4.2: what is critical must be understood
            raise CertError("der")
        return seen

    def _basic(self, basic):
        if basic.tag() != 1:
            return
        if basic.take(1).bytes() != b"\xff":
            raise CertError("der")
        self.path = basic.take(2).bytes()[0] if basic.tag() == 2 else 127


def wanted_name(name):
    # What stands in the certificate for this name: RFC 5280 §4.2.1.6, a DNS name or an IPv4 address.
    parts = name.split(".")
    if len(parts) == 4 and all([part.isdigit() for part in parts]):
        return 0x87, bytes([int(part) for part in parts])
    return 0x82, name.lower().encode()


class Judge:
    # One handshake's certificates, leaf first. `root` is the modulus of the pinned key; `now` is YYYYMMDDHHMMSS as bytes,
    # or None where the clock was never set; `room` is the buffer they are put in. What can be seen is judged at once;
    # signatures are followed when the handshake is over and this code has left the heap (rsa.follow).
    def __init__(self, name, root, now, room):
        self._name = wanted_name(name)
        self._now = now
        self._room = memoryview(room)
        self._size = self._got = 0
        self.root = root
        self.found = []  # of each certificate: modulus (of the leaf's none), signature, digest
        self.fault = None  # of the first certificate that is not to be trusted, nor what is above it

    def start(self, size):
        if size > len(self._room):
            raise CertError("size")
        self._size = size
        self._got = 0

    def feed(self, part):
        self._room[self._got : self._got + len(part)] = part
        self._got += len(part)

    def end(self):
        # What follows a chain that has reached the root is not looked at: so a fault counts only when that is known.
        if not self.fault:
            try:
                if len(self.found) == 3 * _DEPTH:
                    raise CertError("chain")
                self._consider(Certificate(self._room[: self._size], self._name))
            except CertError as error:
                self.fault = error.args[0]

    def _consider(self, one):
        if self._now and not one.since <= self._now <= one.until:
            raise CertError("dates")
        depth = len(self.found) // 3
        if not depth:
            if not one.named:
                raise CertError("name")
            # RSA key exchange needs keyEncipherment; other suites prove the key by digitalSignature.
            if not one.usage & 0xA0 or not one.serves:
                raise CertError("ca")
        # What has signed the one before must be a CA that may: RFC 5280 §4.2.1.3, §4.2.1.9.
        elif one.path < depth - 1 or not one.usage & 0x04:
            raise CertError("ca")
        # What stays is put below what goes: a heap in small pieces would have no place for the numbers of a signature.
        gc.collect()
        self.found += depth and one.modulus.bytes(), one.signature.bytes(), one.digest
