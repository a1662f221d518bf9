"""Addresses of links: whose they are, and what they are for.

`/devices/{device}[/modules/{module}]/` and then `messages/events`, `messages/devicebound`, `methods/devicebound` or
`twin`; with `amqps://host[:port]` in front, or without the first slash. Fixed parts count whatever their case, ids
are percent-decoded once. Spec: edgehub.md §5.3, iothub_wire.md §2.3.
"""

import re
from enum import Enum
from typing import Final, NamedTuple

from edgewire.codec.amqp.conditions import NOT_ALLOWED
from edgewire.errors import ProtocolError
from edgewire.iothub.ids import ID_CHARACTERS, is_id
from edgewire.iothub.limits import MAX_ADDRESS_CHARS, MAX_ID_CHARS
from edgewire.line.escapes import percent_decode, percent_encode
from edgewire.message import Identity, identity

CBS: Final = "$cbs"
"""The node that takes tokens."""

_START: Final = re.compile(r"(?:amqps?://[^/]+)?/?", re.IGNORECASE)
_PATH: Final = re.compile(
    r"devices/([^/]+)(?:/modules/([^/]+))?/(messages/events|messages/devicebound|methods/devicebound|twin)",
    re.IGNORECASE,
)


class Purpose(Enum):
    """What an address is for; the value is its fixed end."""

    EVENTS = "messages/events"
    """Telemetry where the client sends. Where it receives, the inputs of a module."""
    DEVICEBOUND = "messages/devicebound"
    METHODS = "methods/devicebound"
    """Calls where the client receives, their answers where it sends."""
    TWIN = "twin"
    """Requests where the client sends, answers and desired properties where it receives."""


class Address(NamedTuple):
    """Whose an address is and what for."""

    identity: Identity
    purpose: Purpose


def parse_address(text: str) -> Address:
    """The parts of an address. Raises ProtocolError (amqp:not-allowed, as edgeHub) for any other text."""
    found = _PATH.fullmatch(_path_of(text))
    if found is None:
        raise ProtocolError(
            f"no address of a device: '{text[:80]}'; expected '/devices/<device>[/modules/<module>]/' and "
            f"one of {', '.join(purpose.value for purpose in Purpose)}",
            reply=NOT_ALLOWED,
        )
    device = _read_id(found[1], "device")
    module = None if found[2] is None else _read_id(found[2], "module")
    return Address(identity(device, module), Purpose(found[3].lower()))


def format_address(owner: Identity, purpose: Purpose, host: str = "") -> str:
    """The address, absolute if there is a `host`; ids are escaped."""
    before = f"amqps://{host}" if host else ""
    of_module = "" if owner.module is None else f"/modules/{percent_encode(owner.module)}"
    return f"{before}/devices/{percent_encode(owner.device)}{of_module}/{purpose.value}"


def is_cbs(text: str) -> bool:
    """Whether an address is the node that takes tokens."""
    return _path_of(text).lower() == CBS


def _path_of(text: str) -> str:
    if len(text) > MAX_ADDRESS_CHARS:
        raise ProtocolError(f"the address has more than {MAX_ADDRESS_CHARS} characters", reply=NOT_ALLOWED)
    start = _START.match(text)
    return text if start is None else text[start.end() :]


def _read_id(text: str, what: str) -> str:
    try:
        found = percent_decode(text, f"the {what} id in the address")
    except ProtocolError as error:
        raise ProtocolError(error.what, reply=NOT_ALLOWED) from None
    if not is_id(found):
        raise ProtocolError(
            f"the {what} id in the address is not one: 1 to {MAX_ID_CHARS} of {ID_CHARACTERS}", reply=NOT_ALLOWED
        )
    return found
