# Signatures by RSA with SHA-256: of certificates, and of firmware. Cost: 0.8 KB .mpy, 0.5 KB of heap run in place, 0.3 KB
# for a key of 2048 bits; while it computes, 1.8 KB in pieces of 290 bytes.
import gc

from link import CertError
from micropython import const

_DIGEST_INFO = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"
_STEP = const(256)  # bits that are multiplied at once: more wants larger pieces of heap, fewer take longer


class Key:
    def __init__(self, modulus):
        # RFC 8017 §3.1; fewer than 2048 bits are too few, more than 4096 take the board too long.
        self.size = len(modulus)
        self.n = int.from_bytes(modulus, "big")
        if not 256 <= self.size <= 512 or not modulus[0] or not modulus[-1] & 1:
            raise CertError("key")

    def signed(self, signature, digest):
        # RFC 8017 §8.2.2 by building the one encoding that is right. pow() of the board takes two arguments.
        if len(signature) != self.size:
            return False
        value = int.from_bytes(signature, "big")
        if value >= self.n:
            return False
        often = gc.threshold()
        gc.threshold(-1)  # nothing made here lasts: swept only where there is no room, it takes half as long
        for _ in range(16):
            value = self._times(value, value)
        value = self._times(value, int.from_bytes(signature, "big")).to_bytes(self.size, "big")
        gc.threshold(often)
        at = self.size - 52
        if value[:2] != b"\0\x01" or value[at:] != b"\0" + _DIGEST_INFO + digest:
            return False
        return value.count(b"\xff", 2, at) == at - 2

    def _times(self, one, other):
        # one * other % n, by parts of `other`. The whole product would want three pieces of 514 bytes at a time, which a
        # heap that holds a TLS connection may not have in one.
        found = 0
        mask = (1 << _STEP) - 1
        for at in range((self.size * 8 - 1) // _STEP * _STEP, -1, -_STEP):
            found <<= _STEP
            found += one * (other >> at & mask)
            found %= self.n
        return found


def follow(root, found, fault):
    # From the leaf's signature to the pinned root: modulus, signature and digest of each certificate are taken out of
    # `found`, for what is done with must go. Fails closed: only an unbroken chain counts. `fault`: what is wrong with the
    # certificate behind the last one.
    fault = fault or ("none" if not found else "issuer")
    below = None
    while found:
        modulus = found.pop(0)
        if below:
            modulus = Key(modulus)
            if not modulus.signed(*below):
                raise CertError("chain")
        modulus = None
        below = found.pop(0), found.pop(0)
        if root.signed(*below):
            return
    raise CertError(fault)
