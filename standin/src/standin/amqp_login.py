"""What a response of SASL PLAIN says: a device's name, a policy's, or one that others know (iothub_wire.md §2.1)."""

import re
from dataclasses import dataclass, field
from typing import Final

from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.sasl import PlainLogin, read_plain
from edgewire.iothub.limits import MAX_TOKEN_CHARS, MAX_USERNAME_CHARS
from edgewire.line.escapes import percent_decode

_POLICY: Final = re.compile(r"([^@]+)@sas\.root\.([A-Za-z0-9_-]+)", re.IGNORECASE)
_PARTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLogin:
    """A policy of the hub, by `{policy}@sas.root.{hub}`; `hub` is the first label, in lower case."""

    policy: str
    hub: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RawLogin:
    """A name of another kind, as it came."""

    name: str
    token: str = field(repr=False)


def read_login(response: bytes) -> PlainLogin | PolicyLogin:
    """What the response says. Raises ProtocolError, never with the token in it."""
    raw = read_raw_login(response)
    found = _POLICY.fullmatch(raw.name)
    if found is None:
        return read_plain(response)
    return PolicyLogin(
        policy=percent_decode(found[1], "the policy in the user name"), hub=found[2].lower(), token=raw.token
    )


def read_raw_login(response: bytes) -> RawLogin:
    """Name and password of a response; whom it acts for is for `read_plain`. Raises ProtocolError if it is none."""
    if len(response) > 2 * MAX_USERNAME_CHARS + MAX_TOKEN_CHARS:
        raise ProtocolError("the PLAIN response is longer than two names and a token can be")
    parts = response.split(b"\0")
    try:
        texts = [part.decode("utf-8") for part in parts]
    except UnicodeDecodeError:
        raise ProtocolError("the PLAIN response is not UTF-8", spec="RFC 4616 §2") from None
    if len(texts) != _PARTS:
        what = "the PLAIN response is not two names and a password with a zero byte between"
        raise ProtocolError(what, spec="RFC 4616 §2")
    return RawLogin(texts[1], texts[2])
