"""SASL PLAIN: a device's or module's name and its token, in one response.

User names are `device@sas.hub` and `device/modules/module@sas.hub`, where `hub` is the first label of the hub's host
name and ids may be percent-encoded; edgeHub takes them without `sas.` too. The password is the token.
Spec: RFC 4616 §2, edgehub.md §5.1, iothub_wire.md §2.1.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from edgewire.errors import ProtocolError
from edgewire.iothub.ids import ID_CHARACTERS, is_id
from edgewire.iothub.limits import MAX_ID_CHARS, MAX_TOKEN_CHARS, MAX_USERNAME_CHARS
from edgewire.line.escapes import percent_decode, percent_encode
from edgewire.message import Identity, identity

_PARTS: Final = 3
_EXPECTED: Final = "expected '<device>@sas.<hub>' or '<device>/modules/<module>@sas.<hub>'"
_HUB: Final = re.compile(r"[A-Za-z0-9_-]+")
_SAS: Final = re.compile(r"sas\.", re.IGNORECASE)
_POLICY: Final = re.compile(r"(?:sas\.)?root\.", re.IGNORECASE)
_MODULES: Final = re.compile(r"/modules/", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainLogin:
    """Who a peer says it is, at which hub, and its token. `hub` is the first label, in lower case."""

    identity: Identity
    hub: str
    token: str = field(repr=False)


def read_plain(response: bytes) -> PlainLogin:
    """What a PLAIN response says.

    Raises ProtocolError, with a sentence that says what was expected and never with the token in it.
    """
    if len(response) > 2 * MAX_USERNAME_CHARS + MAX_TOKEN_CHARS:
        raise ProtocolError("the PLAIN response is longer than two names and a token can be")
    parts = response.split(b"\0")
    if len(parts) != _PARTS:
        raise ProtocolError(
            "the PLAIN response is not two names and a password with a zero byte between", spec="RFC 4616 §2"
        )
    acts_for, name, token = (_text(part) for part in parts)
    if acts_for not in ("", name):
        raise ProtocolError("the PLAIN response asks to act for somebody else", spec="RFC 4616 §2")
    if not token:
        raise ProtocolError("the PLAIN response has no password: the SAS token belongs there")
    owner, hub = _read_name(name)
    return PlainLogin(identity=owner, hub=hub, token=token)


def write_plain(login: PlainLogin) -> bytes:
    """The PLAIN response for a login, with `sas.` and without a name to act for, as uamqp sends it."""
    owner = login.identity
    of_module = "" if owner.module is None else f"/modules/{percent_encode(owner.module)}"
    name = f"{percent_encode(owner.device)}{of_module}@sas.{login.hub}"
    return b"\0".join((b"", name.encode("utf-8"), login.token.encode("utf-8")))


def hub_label(host: str) -> str:
    """What user names call the hub with this host name: its first label, in lower case."""
    return host.partition(".")[0].lower()


def _text(part: bytes) -> str:
    try:
        return part.decode("utf-8")
    except UnicodeDecodeError:
        raise ProtocolError("the PLAIN response is not UTF-8", spec="RFC 4616 §2") from None


def _read_name(name: str) -> tuple[Identity, str]:
    if len(name) > MAX_USERNAME_CHARS:
        raise ProtocolError(f"the user name has more than {MAX_USERNAME_CHARS} characters")
    owner, at, place = name.rpartition("@")
    if not at:
        raise ProtocolError(f"the user name names no hub; {_EXPECTED}")
    if _POLICY.match(place):
        raise ProtocolError(f"policies of the hub are not known here; {_EXPECTED}")
    hub = place[found.end() :] if (found := _SAS.match(place)) else place
    if _HUB.fullmatch(hub) is None:
        raise ProtocolError(f"the user name must name the hub by the first label of its host name alone; {_EXPECTED}")
    return _read_owner(owner), hub.lower()


def _read_owner(text: str) -> Identity:
    device, *modules = _MODULES.split(text, maxsplit=1)
    ids = [_read_id(part, word) for part, word in zip((device, *modules), ("device", "module"), strict=False)]
    return identity(*ids)


def _read_id(text: str, word: str) -> str:
    found = percent_decode(text, f"the {word} id in the user name")
    if not is_id(found):
        raise ProtocolError(
            f"the {word} id in the user name is not one: 1 to {MAX_ID_CHARS} of {ID_CHARACTERS}; {_EXPECTED}"
        )
    return found
