"""Which links there are, and what is at our end of them.

Links for inputs of a module are granted and stay silent, as subscriptions over MQTT do; requests to a twin are answered
with a status, so that nobody waits for a time-out.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from edgewire.codec.amqp.conditions import INVALID_FIELD, NOT_ALLOWED
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.addresses import Address, Purpose, is_cbs, parse_address
from edgewire.iothub.amqp.links import read_link_properties
from edgewire.session.amqp.link import Link, Role
from gateway.head.amqp_down import CallAnswers, CallLink, DeviceboundLink
from gateway.head.amqp_guest import Guest, Kind
from gateway.head.amqp_line import Line, LinkEnd
from gateway.head.amqp_telemetry import TelemetryLink
from gateway.head.amqp_twins import TwinAnswers, TwinRequests
from gateway.observe.head import RefusedLink

_WAYS: Final = frozenset(
    {
        Kind(Purpose.EVENTS, Role.RECEIVER),
        Kind(Purpose.EVENTS, Role.SENDER),
        Kind(Purpose.DEVICEBOUND, Role.SENDER),
        Kind(Purpose.METHODS, Role.SENDER),
        Kind(Purpose.METHODS, Role.RECEIVER),
        Kind(Purpose.TWIN, Role.SENDER),
        Kind(Purpose.TWIN, Role.RECEIVER),
    }
)
"""Spec: edgehub.md §5.3; the role is our end's."""


@dataclass(frozen=True, slots=True)
class RefusedLinkError(Exception):
    """The link cannot be had, whoever asks; the text is for the log and for the peer."""

    reason: RefusedLink
    condition: str
    detail: str


class Wish(NamedTuple):
    """What an attach asks for."""

    address: Address
    kind: Kind
    pair: str


def wants_cbs(link: Link) -> bool:
    """Whether a link is to or from the node that takes tokens. Raises RefusedLinkError for an endless address."""
    try:
        return link.address is not None and is_cbs(link.address)
    except ProtocolError as error:
        raise RefusedLinkError(RefusedLink.UNKNOWN_ADDRESS, NOT_ALLOWED, error.what) from error


def read_attach(link: Link) -> Wish:
    """What a link is for. Raises RefusedLinkError."""
    try:
        address = parse_address(link.address or "")
        kind = Kind(address.purpose, link.role)
        _check_way(address, kind)
        pair = read_link_properties(link.properties).pair
    except ProtocolError as error:
        condition = str(error.reply or NOT_ALLOWED)
        is_property = condition == INVALID_FIELD
        reason = RefusedLink.MALFORMED_PROPERTIES if is_property else RefusedLink.UNKNOWN_ADDRESS
        raise RefusedLinkError(reason, condition, error.what) from error
    return Wish(address, kind, pair)


def end_of(line: Line, guest: Guest, link: Link, kind: Kind) -> LinkEnd:
    """Our end of a link that `guest` may have."""
    match kind:
        case Kind(Purpose.EVENTS, Role.RECEIVER):
            return TelemetryLink(line, link, guest.identity)
        case Kind(Purpose.TWIN, Role.RECEIVER):
            return TwinRequests(line, link, guest.twin, guest.identity)
        case Kind(Purpose.TWIN, Role.SENDER):
            return TwinAnswers(line, link, guest.twin)
        case Kind(Purpose.METHODS, Role.RECEIVER):
            return CallAnswers(line, link, guest.identity)
        case Kind(Purpose.METHODS, Role.SENDER):
            return CallLink(line, link, guest.identity)
        case Kind(Purpose.DEVICEBOUND, Role.SENDER):
            return DeviceboundLink(line, link, guest.identity)
        case _:
            return LinkEnd(line, link)


def _check_way(address: Address, kind: Kind) -> None:
    is_input = kind == Kind(Purpose.EVENTS, Role.SENDER)
    if kind not in _WAYS or (is_input and address.identity.module is None):
        way = "received from" if kind.role is Role.SENDER else "sent to"
        whose = "a module's" if address.identity.module else "a device's"
        raise ProtocolError(f"nothing is {way} {whose} '{address.purpose.value}'", reply=NOT_ALLOWED)
