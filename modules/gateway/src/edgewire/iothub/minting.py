"""Tokens for boards without a clock: what a board asks, how it proves its key without a time, what it is told.

    GET  /tokens/v1/nonce?deviceId=<id>   {"nonce": "<64 hex>", "expiresInSecs": 60}
    POST /tokens/v1/token                 {"deviceId": …, "nonce": …, "mac": …}   by its key
                                          {"deviceId": …, "password": …}          by a user's password
                                          {"deviceId": …}                         by the certificate of the connection
         with "lifetimeSecs", if wanted   {"deviceId": …, "token": …, "expiresAt": <s>, "time": <s>}

`mac` is HMAC-SHA256 in hexadecimal, under the bytes of the device's key, of id and nonce. The answer to a proof by key
has one in `X-Token-Mac`, of the nonce and the whole body: by it a board believes the time, which it needs to check
certificates.
"""

import hmac
import re
from dataclasses import dataclass, field
from typing import Any, Final

from edgewire.errors import ProtocolError
from edgewire.iothub.ids import is_id
from edgewire.iothub.objects import read_object
from edgewire.line.escapes import percent_decode

PREFIX: Final = "/tokens/v1/"
NONCE_PATH: Final = "/tokens/v1/nonce"
TOKEN_PATH: Final = "/tokens/v1/token"  # noqa: S105 — a path, no password
MAC_HEADER: Final = "X-Token-Mac"

NONCE_BYTES: Final = 32
MIN_LIFETIME_S: Final = 60
MAX_LIFETIME_S: Final = 3_600
"""Of a token, and what a board gets that names none: who has to prove itself each hour is gone within one when it is
disabled, also at a hub that knows nothing of that yet."""
MAX_PASSWORD_CHARS: Final = 256

_NONCE: Final = re.compile(rf"[0-9a-f]{{{2 * NONCE_BYTES}}}")
_MAC: Final = re.compile(r"[0-9A-Fa-f]{64}")
_MEMBERS: Final = frozenset({"deviceId", "nonce", "mac", "password", "lifetimeSecs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWish:
    """What a board asks for, its form checked and nothing else. Of `nonce` with `mac` and `password` one at most."""

    device: str
    lifetime_s: int = MAX_LIFETIME_S
    nonce: str = ""
    mac: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


def read_nonce_query(query: str) -> str:
    """The device that a nonce is asked for. Raises ProtocolError (400)."""
    name, _, value = query.partition("=")
    try:
        device = percent_decode(value, "deviceId")
    except ProtocolError as error:
        raise _malformed(error.what) from None
    if name != "deviceId" or not is_id(device):
        raise _malformed("the query must be deviceId=<the device's id>, and nothing else")
    return device


def read_wish(body: bytes) -> TokenWish:
    """The wish in a request's body. Raises ProtocolError (400)."""
    said = read_object(body)
    unknown = said.keys() - _MEMBERS
    if unknown:
        raise _malformed(f"there is '{min(unknown)[:64]}'; known are {', '.join(sorted(_MEMBERS))}")
    texts = {name: said.get(name, "") for name in ("deviceId", "nonce", "mac", "password")}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise _malformed(f"'{name}' is no text")
    if not is_id(texts["deviceId"]):
        raise _malformed("'deviceId' is no id of a device")
    if ("nonce" in said) != ("mac" in said) or ("mac" in said and "password" in said):
        raise _malformed("a proof is 'nonce' with 'mac', or 'password', or the certificate of the connection")
    if "mac" in said and (_NONCE.fullmatch(texts["nonce"]) is None or _MAC.fullmatch(texts["mac"]) is None):
        raise _malformed("'nonce' must be as it was given, and 'mac' 64 hexadecimal digits")
    if "password" in said and not 0 < len(texts["password"]) <= MAX_PASSWORD_CHARS:
        raise _malformed(f"'password' must have 1 to {MAX_PASSWORD_CHARS} characters")
    return TokenWish(
        device=texts["deviceId"],
        lifetime_s=_lifetime(said.get("lifetimeSecs", MAX_LIFETIME_S)),
        nonce=texts["nonce"],
        mac=texts["mac"].lower(),
        password=texts["password"],
    )


def wish_mac(key: bytes, device: str, nonce: str) -> str:
    """What proves that a board knows its key."""
    return hmac.digest(key, f"edge-token-1\n{device}\n{nonce}".encode("ascii"), "sha256").hex()


def answer_mac(key: bytes, nonce: str, body: bytes) -> str:
    """What proves that an answer comes from who knows the key, too, and belongs to this nonce."""
    return hmac.digest(key, f"edge-token-answer-1\n{nonce}\n".encode("ascii") + body, "sha256").hex()


def _lifetime(value: Any) -> int:
    """A longer life than there is becomes the longest: the answer says when the token ends."""
    if not isinstance(value, int) or isinstance(value, bool) or value < MIN_LIFETIME_S:
        raise _malformed(f"'lifetimeSecs' must be a whole number from {MIN_LIFETIME_S} on")
    return min(value, MAX_LIFETIME_S)


def _malformed(what: str) -> ProtocolError:
    return ProtocolError(what, reply=400)
