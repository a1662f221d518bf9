"""What is wrong with a token, for the person who made it: its fields, its time, and the mistake in its signature."""

import base64
import binascii
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from edgewire.iothub import sas
from edgewire.iothub.limits import TOKEN_SKEW_S
from edgewire.iothub.sas import Sas
from edgewire.line.escapes import percent_decode, percent_encode


class Signature(Enum):
    """What the signature turned out to be. All but the first two are refused."""

    NOT_CHECKED = "not_checked"
    """No key was given."""
    GOOD = "good"
    DECODED_RESOURCE = "decoded_resource"
    RESOURCE_ENCODED_TWICE = "resource_encoded_twice"
    KEY_NOT_DECODED = "key_not_decoded"
    HEX_DIGEST = "hex_digest"
    URL_ALPHABET = "url_alphabet"
    NOT_ESCAPED = "not_escaped"
    ESCAPED_TWICE = "escaped_twice"
    NO_PADDING = "no_padding"
    NO_LINE_FEED = "no_line_feed"
    UNKNOWN = "unknown"
    """None of the mistakes we know: most likely another key."""


ADVICE: Final = {
    Signature.NOT_CHECKED: "not checked: no key was given (--key, --data)",
    Signature.GOOD: "good: this key signed it",
    Signature.DECODED_RESOURCE: "wrong: sr was signed in plain; sign it percent-encoded, as it stands in the token",
    Signature.RESOURCE_ENCODED_TWICE: "wrong: sr was encoded twice for signing; sign it as it stands in the token",
    Signature.KEY_NOT_DECODED: "wrong: signed with the key's text; decode it from base64 (only Event Hubs takes text)",
    Signature.HEX_DIGEST: "wrong: the signature is in hexadecimal; write the 32 bytes of the digest in base64",
    Signature.URL_ALPHABET: "wrong: the signature is in the URL alphabet of base64; write + and / for - and _, escaped",
    Signature.NOT_ESCAPED: "wrong: the signature has a raw '+', which reads as a blank; percent-encode it to %2B",
    Signature.ESCAPED_TWICE: "wrong: the signature is percent-encoded twice; encode it once",
    Signature.NO_PADDING: "wrong: the '=' at the end of the signature is missing; send it as %3D",
    Signature.NO_LINE_FEED: "wrong: sr and se were signed without a line feed between them",
    Signature.UNKNOWN: "wrong: not by this key, nor by any mistake we know; is it the key of this device or module?",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a token says, and what is to be said about it."""

    resource: str
    audience: str
    expires_at: float
    expiry: str
    key_name: str
    expired: bool
    signature: Signature
    remarks: tuple[str, ...]


def inspect(token: str, key: str | None, now: float, *, skew_s: float = TOKEN_SKEW_S) -> Inspection:
    """Look at a token. `key` as it stands in a connection string, or None. Raises ProtocolError if it is no token."""
    parsed = sas.parse(token)
    return Inspection(
        resource=parsed.resource,
        audience=percent_decode(parsed.resource, "the token's 'sr'"),
        expires_at=parsed.expires_at,
        expiry=_in_words(parsed.expires_at, now),
        key_name=parsed.key_name,
        expired=now >= parsed.expires_at + skew_s,
        signature=Signature.NOT_CHECKED if key is None else _judge(parsed, key),
        remarks=tuple(_remarks(parsed)),
    )


def _judge(token: Sas, key: str) -> Signature:
    text = key.encode("utf-8")
    try:
        decoded = sas.decode_key(key)
    except ValueError:
        decoded = None
    if decoded is not None and sas.is_signed_by(token, [decoded]):
        return Signature.GOOD
    if sas.is_signed_by(token, [text]):
        return Signature.KEY_NOT_DECODED
    return Signature.UNKNOWN if decoded is None else _mistake(token, decoded)


def _mistake(token: Sas, key: bytes) -> Signature:
    """Which known mistake leads to this signature."""
    decoded = percent_decode(token.resource, "the token's 'sr'")
    signed = {
        f"{decoded}\n{token.expiry}": Signature.DECODED_RESOURCE,
        f"{percent_encode(percent_encode(decoded))}\n{token.expiry}": Signature.RESOURCE_ENCODED_TWICE,
        f"{token.resource}{token.expiry}": Signature.NO_LINE_FEED,
    }
    for text, mistake in signed.items():
        if _digest(text, key) == _decoded(token.signature):
            return mistake
    digest = hmac.digest(key, token.signed_text, "sha256")
    right = base64.b64encode(digest).decode("ascii")
    spelt = {  # a signature without '+' is spelt alike in several ways; the last one then counts
        right.replace("+", " "): Signature.NOT_ESCAPED,
        right.rstrip("=").replace("+", " "): Signature.NOT_ESCAPED,
        base64.urlsafe_b64encode(digest).decode("ascii"): Signature.URL_ALPHABET,
        right.rstrip("="): Signature.NO_PADDING,
        percent_encode(right): Signature.ESCAPED_TWICE,
        digest.hex(): Signature.HEX_DIGEST,
    }
    return spelt.get(token.signature, spelt.get(token.signature.lower(), Signature.UNKNOWN))


def _digest(text: str, key: bytes) -> bytes:
    return hmac.digest(key, text.encode("utf-8"), "sha256")


def _decoded(signature: str) -> bytes:
    try:
        return base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _remarks(token: Sas) -> list[str]:
    """What is odd about a token, whatever its signature."""
    remarks = []
    if token.key_name:
        remarks.append(
            f"skn names the policy '{token.key_name}': a device's own token has none, and the gateway refuses it"
        )
    if "%25" in token.resource:
        remarks.append("sr holds '%25': it is percent-encoded more than once")
    path = sas.audience(token).path
    if len(path) not in (2, 4) or path[0] != "devices" or (len(path) == 4 and path[2] != "modules"):
        remarks.append("sr is not <hub>/devices/<device>[/modules/<module>]: no device or module can connect with it")
    return remarks


def _in_words(expires_at: float, now: float) -> str:
    moment = datetime.fromtimestamp(expires_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"{moment}, {_duration(abs(expires_at - now))} {'ago' if expires_at <= now else 'from now'}"


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
