# Signatures for tokens: HMAC-SHA256 (no board's build has hmac), URL quoting, shared access signatures.
# No floats: the WiPy uses this file, too. Cost: 0.9 KB .mpy, 0.7 KB of heap run in place; 0.7 KB for the moment.
from binascii import a2b_base64, b2a_base64
from hashlib import sha256

_HEX = b"0123456789ABCDEF"


def hmac_sha256(key, *parts):
    if len(key) > 64:
        key = sha256(key).digest()
    pad = bytearray(64)
    for i in range(64):
        pad[i] = 0x36 ^ (key[i] if i < len(key) else 0)
    inner = sha256(pad)
    for part in parts:
        inner.update(part)
    for i in range(64):
        pad[i] ^= 0x36 ^ 0x5C
    outer = sha256(pad)
    outer.update(inner.digest())
    return outer.digest()


def same(one, two):
    # Takes as long for a wrong first byte as for a wrong last one.
    if len(one) != len(two):
        return False
    found = 0
    for i in range(len(one)):
        found |= one[i] ^ two[i]
    return not found


def quote(text):
    # RFC 3986 with its unreserved characters alone; IoT Hub wants upper-case hex.
    out = bytearray()
    for c in text.encode() if isinstance(text, str) else text:
        if 48 <= c <= 57 or 65 <= c <= 90 or 97 <= c <= 122 or c in b"-._~":
            out.append(c)
        else:
            out.append(37)
            out.append(_HEX[c >> 4])
            out.append(_HEX[c & 15])
    return out.decode()


def token(resource, key, expiry, policy=None):
    # `key` as IoT Hub shows it (base64) or as bytes; `expiry` in seconds since 1970.
    if isinstance(key, str):
        key = a2b_base64(key)
    resource = quote(resource)
    expiry = str(expiry)
    digest = hmac_sha256(key, resource.encode(), b"\n", expiry.encode())
    signature = quote(b2a_base64(digest)[:-1])
    text = "SharedAccessSignature sr=" + resource + "&sig=" + signature + "&se=" + expiry
    return text + "&skn=" + policy if policy else text
