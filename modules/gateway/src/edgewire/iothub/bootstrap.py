"""First contact of a board: what it says, what it is told, and how both prove that they know one secret.

The secret is SHA-256 of a code, or a key derived from a group's. It never travels: the request carries an HMAC over id
and nonce, the answer one over the nonce and the whole body, and the device's key goes sealed.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from edgewire.errors import ProtocolError, UsageError
from edgewire.iothub.ids import is_id
from edgewire.iothub.objects import read_object

CONTACT_PATH: Final = "/bootstrap/v1/contact"
TIME_PATH: Final = "/bootstrap/v1/time"
MAC_HEADER: Final = "X-Bootstrap-Mac"

CODE_ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""32 characters, five bits each: neither 0 nor O, neither 1 nor I."""
CODE_CHARS: Final = 12
"""60 bits: more than can be guessed at a gateway that answers ever more slowly."""
SEALED_KEY_BYTES: Final = 32
"""What one HMAC-SHA256 covers; every key that is handed out has this length."""

_CODE: Final = re.compile(r"[0-9A-Z]{12,64}")
_NONCE: Final = re.compile(r"[0-9A-Fa-f]{32}")
_MAC: Final = re.compile(r"[0-9A-Fa-f]{64}")
_MODEL: Final = re.compile(r"[0-9A-Za-z._-]{1,32}")
_VERSION: Final = re.compile(r"[0-9A-Za-z.+_-]{1,32}")


class SecretKind(Enum):
    """By what secret a board proves itself."""

    CLAIM = "claim"
    """A code that a person was shown."""
    LABEL = "label"
    """A code printed on the board."""
    GROUP = "group"
    """A key derived from an enrolment group's and the board's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """What a board says at first contact, its form checked and nothing else."""

    registration_id: str
    model: str
    version: str
    nonce: str
    kind: SecretKind
    mac: str = field(repr=False)


def is_model(text: str) -> bool:
    """Whether `text` can name a model of board."""
    return _MODEL.fullmatch(text) is not None


def is_nonce(text: str) -> bool:
    """Whether `text` is a nonce: 16 bytes in hexadecimal digits."""
    return _NONCE.fullmatch(text) is not None


def read_contact(body: bytes) -> Contact:
    """The contact in a request's body. Raises ProtocolError (400); members that are not known are passed over."""
    document = read_object(body)
    mac = _text(document, "mac")
    if _MAC.fullmatch(mac) is None:
        raise _malformed("'mac' is not 64 hexadecimal digits")
    return Contact(
        registration_id=_checked(document, "registrationId", is_id(_text(document, "registrationId"))),
        model=_checked(document, "model", is_model(_text(document, "model"))),
        version=_checked(document, "version", _VERSION.fullmatch(_text(document, "version")) is not None),
        nonce=_checked(document, "nonce", is_nonce(_text(document, "nonce"))),
        kind=_kind(_text(document, "kind")),
        mac=mac.lower(),
    )


def _text(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise _malformed(f"'{name}' is missing, or no text")
    return value


def _checked(document: dict[str, Any], name: str, good: bool) -> str:  # noqa: FBT001 - the verdict on the value
    if not good:
        raise _malformed(f"'{name}' has not the form that it must have")
    return _text(document, name)


def _kind(text: str) -> SecretKind:
    try:
        return SecretKind(text)
    except ValueError:
        raise _malformed("'kind' is none of claim, label, group") from None


def _malformed(what: str) -> ProtocolError:
    return ProtocolError(what, reply=400)


# --- codes and proofs -------------------------------------------------------------------------------------------------


def plain_code(text: str) -> str | None:
    """A code as it counts: capitals, without hyphens and blanks. None if it is too short, or no code at all."""
    plain = re.sub(r"[\s-]", "", text).upper()
    return plain if _CODE.fullmatch(plain) is not None else None


def shown_code(plain: str) -> str:
    """A code as a person reads it: in fours."""
    return "-".join(plain[at : at + 4] for at in range(0, len(plain), 4))


def secret_of_code(plain: str) -> bytes:
    """What a code proves knowledge of; the code itself is kept nowhere."""
    return hashlib.sha256(plain.encode("ascii")).digest()


def contact_mac(secret: bytes, registration_id: str, nonce: str) -> str:
    """What a board puts into its request."""
    return _mac(secret, f"edge-bootstrap-1\n{registration_id}\n{nonce}".encode("ascii"))


def answer_mac(secret: bytes, nonce: str, body: bytes) -> str:
    """What proves that an answer comes from who knows the secret, too, and belongs to this request."""
    return _mac(secret, f"edge-bootstrap-answer-1\n{nonce}\n".encode("ascii") + body)


def seal(secret: bytes, nonce: str, key: bytes) -> bytes:
    """A device's key as only who knows the secret can read it; sealing what is sealed opens it."""
    if len(key) != SEALED_KEY_BYTES:
        raise UsageError(f"a key of {len(key)} bytes cannot be sealed, only of {SEALED_KEY_BYTES}")
    pad = hmac.digest(secret, f"edge-bootstrap-seal-1\n{nonce}".encode("ascii"), "sha256")
    return bytes(one ^ other for one, other in zip(key, pad, strict=True))


def _mac(secret: bytes, text: bytes) -> str:
    return hmac.digest(secret, text, "sha256").hex()
