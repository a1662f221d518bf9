"""Shared access signatures: parsed as received, verified, made.

A token is `SharedAccessSignature sr=…&sig=…&se=…[&skn=…]`, fields in any order. The signature covers the bytes of `sr`
and `se` as they came; nothing is decoded and encoded again on the way. Spec: iothub_wire.md §7.1.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from edgewire.errors import ProtocolError
from edgewire.iothub.limits import LAST_EXPIRY_S, MAX_TOKEN_CHARS, TOKEN_SKEW_S
from edgewire.line.escapes import percent_decode, percent_encode
from edgewire.message import Identity

_PREFIX: Final = "SharedAccessSignature "
_FIELDS: Final = frozenset({"sr", "sig", "se", "skn"})
_VISIBLE: Final = re.compile(r"[!-~]+")
_EXPIRY: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
_API_VERSION: Final = re.compile(r"/\?api-version=[A-Za-z0-9.-]*\Z")
_PORT: Final = re.compile(r":[0-9]{1,5}")

MIN_KEY_BYTES: Final = 16
MAX_KEY_BYTES: Final = 64
"""IoT Hub's own bounds for a symmetric key."""


class Verdict(Enum):
    """What became of the check of a token's signature and time."""

    GOOD = "good"
    WRONG_KEY = "wrong key"
    EXPIRED = "expired"
    """The signature is good, the time is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sas:
    """A token's fields. `resource` and `expiry` are the texts as received, which is what was signed."""

    resource: str
    expiry: str
    signature: str = field(repr=False)
    """base64, percent-decoded."""
    key_name: str = ""
    """`skn`: the policy whose key signed; empty for a device's own token."""

    @property
    def expires_at(self) -> float:
        """Seconds since 1970, UTC."""
        return float(self.expiry)

    @property
    def signed_text(self) -> bytes:
        """What the signature covers."""
        return f"{self.resource}\n{self.expiry}".encode("ascii")


@dataclass(frozen=True, slots=True)
class Audience:
    """What a token is for: a host, in lower case and without its port, and the path below it."""

    host: str
    path: tuple[str, ...]

    def covers(self, target: Identity) -> bool:
        """Whether the token is for `target` or, where that is a module, for its device; never by the hub alone."""
        own = ("devices", target.device)
        below = () if target.module is None else ("modules", target.module)
        return _same_path(self.path, own + below) or (target.module is not None and _same_path(self.path, own))


def parse(token: str) -> Sas:
    """The fields of a token. Raises ProtocolError for whatever is not exactly a token, and says what is wrong."""
    if len(token) > MAX_TOKEN_CHARS:
        raise ProtocolError(f"the token has more than {MAX_TOKEN_CHARS} characters")
    if not token.startswith(_PREFIX):
        raise ProtocolError("the token does not start with 'SharedAccessSignature' and one blank")
    fields = _read_fields(token[len(_PREFIX) :])
    for name in ("sr", "sig", "se"):
        if not fields.get(name):
            raise ProtocolError(f"the token has no '{name}'")
    if _EXPIRY.fullmatch(fields["se"]) is None or float(fields["se"]) > LAST_EXPIRY_S:
        raise ProtocolError("the token's 'se' is not a time in seconds since 1970, decimal and before the year 10000")
    return Sas(
        resource=fields["sr"],
        expiry=fields["se"],
        # Where forms are read, a raw plus is a blank; so is it for IoT Hub, and no base64 holds one.
        signature=percent_decode(fields["sig"].replace("+", " "), "the token's 'sig'"),
        key_name=percent_decode(fields.get("skn", ""), "the token's 'skn'"),
    )


def audience(sas: Sas) -> Audience:
    """What the token is for, decoded. Raises ProtocolError if its resource cannot be decoded."""
    resource = percent_decode(sas.resource, "the token's 'sr'")
    # Old clients sign their api-version along.
    host, *path = _API_VERSION.sub("", resource).split("/")
    return Audience(host_of(host), tuple(path))


def host_of(text: str) -> str:
    """A host name as it is compared: lower case, without the port that Node's clients put in if they were given one."""
    host, colon, _ = text.rpartition(":")
    return (host if colon and _PORT.fullmatch(text, len(host)) else text).lower()


def verify(sas: Sas, keys: Sequence[bytes], now: float, *, skew_s: float = TOKEN_SKEW_S) -> Verdict:
    """Whether one of `keys` signed the token and it has not expired at `now`, give or take `skew_s`.

    Every key is tried, also after a match, and each in constant time. Who the token is for is the caller's to check.
    """
    if not is_signed_by(sas, keys):
        return Verdict.WRONG_KEY
    return Verdict.GOOD if now < sas.expires_at + skew_s else Verdict.EXPIRED


def is_signed_by(sas: Sas, keys: Sequence[bytes]) -> bool:
    """Whether one of `keys` signed the token; all are tried."""
    # Anything but ASCII is no base64; a look-alike of the same length must not be an error.
    claimed = sas.signature.encode("utf-8")
    text = sas.signed_text
    signed = False
    for key in keys:
        signed |= hmac.compare_digest(_sign(text, key), claimed)
    return signed


def make(resource: str, key: bytes, expires_at: int, policy: str | None = None) -> str:
    """A token for `resource` (plain text, as `resource_of` gives it), signed with the bytes of `key`."""
    encoded = percent_encode(resource)
    signature = percent_encode(_sign(f"{encoded}\n{expires_at}".encode("ascii"), key).decode("ascii"))
    by_policy = "" if policy is None else f"&skn={percent_encode(policy)}"
    return f"{_PREFIX}sr={encoded}&sig={signature}&se={expires_at}{by_policy}"


def resource_of(hub: str, owner: Identity) -> str:
    """The resource of a device's or module's own token."""
    of_module = "" if owner.module is None else f"/modules/{owner.module}"
    return f"{hub}/devices/{owner.device}{of_module}"


def decode_key(text: str) -> bytes:
    """The bytes of a key of IoT Hub or DPS, which is base64.

    Event Hubs' keys are their text itself: encode those as UTF-8 instead. Raises ValueError, without the key in it.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the key is not base64: expected something like 44 characters that end with '='") from None
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise ValueError(
            f"the key has {len(key)} bytes once decoded; IoT Hub's have {MIN_KEY_BYTES} to {MAX_KEY_BYTES}"
        )
    return key


def encode_key(key: bytes) -> str:
    """A key as connection strings carry it."""
    return base64.b64encode(key).decode("ascii")


def derive_device_key(group_key: bytes, registration_id: str) -> bytes:
    """The key of one device of an enrolment group: HMAC-SHA256 of its id under the group's key."""
    return hmac.digest(group_key, registration_id.encode("utf-8"), "sha256")


def _sign(text: bytes, key: bytes) -> bytes:
    return base64.b64encode(hmac.digest(key, text, "sha256"))


def _read_fields(text: str) -> dict[str, str]:
    """The fields by lower-case name, values untouched: each known, given once, and made of visible ASCII."""
    fields: dict[str, str] = {}
    for part in text.split("&"):
        name, equals, value = part.partition("=")
        name = name.lower()
        if name not in _FIELDS or not equals:
            raise ProtocolError(
                "the token has something other than sr, sig, se and skn, each with '=' and joined by '&'"
            )
        if name in fields:
            raise ProtocolError(f"the token has '{name}' twice")
        if value and _VISIBLE.fullmatch(value) is None:
            raise ProtocolError(f"the token's '{name}' holds a blank or another character that must be escaped")
        fields[name] = value
    return fields


def _same_path(path: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Whether two paths are the same, segment by segment; the .NET client escapes ids once more than others."""
    return len(path) == len(wanted) and all(
        found == expected or found == percent_encode(expected) for found, expected in zip(path, wanted, strict=True)
    )
