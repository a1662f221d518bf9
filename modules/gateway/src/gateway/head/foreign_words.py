"""Why a broker does not let us in, or has let us go, in words that say what to do."""

import socket
import ssl
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from gateway.head.foreign_client import BrokerError
from gateway.observe.foreign import BrokerFault


class Why(NamedTuple):
    """What a code means; `text` follows "the broker …"."""

    fault: BrokerFault
    text: str


_BAD_CREDENTIALS: Final = Why(
    BrokerFault.CREDENTIALS,
    "refused user name or password. Check GATEWAY_BROKER_USER and the file of GATEWAY_BROKER_PASSWORD_FILE; the file "
    "is read again at each try",
)
_NOT_AUTHORISED: Final = Why(
    BrokerFault.NOT_AUTHORISED,
    "does not let this client in. Check GATEWAY_BROKER_USER, the file of GATEWAY_BROKER_PASSWORD_FILE, and the "
    "broker's own list of who may connect",
)
_CLIENT_ID: Final = Why(
    BrokerFault.CLIENT_ID,
    "refused the client id. Set GATEWAY_BROKER_CLIENT_ID to one that it takes: 23 letters and digits always are one",
)
_VERSION: Final = Why(
    BrokerFault.VERSION,
    "does not speak this version of MQTT. Set GATEWAY_BROKER_VERSION to 3.1.1, or to 5",
)
_UNAVAILABLE: Final = Why(BrokerFault.UNAVAILABLE, "says that it is not available now")
_TAKEN_OVER: Final = Why(
    BrokerFault.TAKEN_OVER,
    "has let in another client with our client id, and closed this connection. Give each gateway a "
    "GATEWAY_BROKER_CLIENT_ID of its own",
)

REFUSALS: Final[Mapping[int, Why]] = MappingProxyType(
    {
        # MQTT 3.1.1 §3.2.2.3
        0x01: _VERSION,
        0x02: _CLIENT_ID,
        0x03: _UNAVAILABLE,
        0x04: _BAD_CREDENTIALS,
        0x05: _NOT_AUTHORISED,
        # MQTT 5 §3.2.2.2
        0x84: _VERSION,
        0x85: _CLIENT_ID,
        0x86: _BAD_CREDENTIALS,
        0x87: _NOT_AUTHORISED,
        0x88: _UNAVAILABLE,
        0x89: _UNAVAILABLE,
        0x8A: Why(BrokerFault.NOT_AUTHORISED, "has banned this client"),
        0x8C: _BAD_CREDENTIALS,
        0x97: Why(BrokerFault.UNAVAILABLE, "says that a quota is used up"),
        0x9C: Why(
            BrokerFault.UNAVAILABLE, "sends us to another server, which is not followed. Set GATEWAY_BROKER to it"
        ),
        0x9D: Why(BrokerFault.UNAVAILABLE, "has moved. Set GATEWAY_BROKER to where it is now"),
        0x9F: Why(BrokerFault.UNAVAILABLE, "says that too many connect"),
    }
)
"""Answers to CONNECT, by their code."""

GOODBYES: Final[Mapping[int, Why]] = MappingProxyType(
    {
        0x00: Why(BrokerFault.DROPPED, "closed the connection"),
        0x8B: Why(BrokerFault.UNAVAILABLE, "is shutting down"),
        0x8D: Why(BrokerFault.TIMED_OUT, "heard nothing from us for too long"),
        0x8E: _TAKEN_OVER,
        0x95: Why(BrokerFault.PROTOCOL, "says that a packet of ours is too large"),
        0x98: Why(BrokerFault.NOT_AUTHORISED, "closed the connection by an administrator's order"),
    }
)
"""Why a broker of MQTT 5 closes (§3.14.2.1), by its code; many of `REFUSALS` may come as well."""

SUBSCRIPTION_REFUSALS: Final[Mapping[int, str]] = MappingProxyType(
    {
        0x80: "without a reason",
        0x83: "for a reason of its own",
        0x87: "not authorised",
        0x8F: "it takes no such filter",
        0x97: "a quota is used up",
        0x9E: "it has no shared subscriptions",
        0xA2: "it has no wildcards",
    }
)
"""Of SUBACK: MQTT 3.1.1 §3.9.3, MQTT 5 §3.9.3."""

_CERTIFICATE_ALERTS: Final = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA", "CERTIFICATE_UNKNOWN", "EXPIRED")
"""What OpenSSL's alerts are called with which a server refuses our certificate."""


def refusal(code: int, where: str) -> BrokerError:
    """The broker's answer to CONNECT."""
    fault, words = REFUSALS.get(code, Why(BrokerFault.PROTOCOL, f"refused the connection with code 0x{code:02X}"))
    return BrokerError(fault, f"the broker {where} {words}")


def goodbye(code: int, where: str) -> BrokerError:
    """The broker has closed with a reason."""
    found = GOODBYES.get(code) or REFUSALS.get(code)
    fault, words = found or Why(BrokerFault.DROPPED, f"closed the connection with code 0x{code:02X}")
    return BrokerError(fault, f"the broker {where} {words}")


def explained(error: OSError, where: str) -> BrokerError:
    """What went wrong on the way there."""
    match error:
        case ssl.SSLCertVerificationError():
            return BrokerError(
                BrokerFault.CERTIFICATE,
                f"the certificate of the broker {where} is not accepted: {error.verify_message}. It must be signed by "
                "an authority in GATEWAY_BROKER_CA_FILE, and name the host that GATEWAY_BROKER names",
            )
        case ssl.SSLEOFError() | ConnectionResetError() | BrokenPipeError() | ConnectionAbortedError():
            return BrokerError(BrokerFault.DROPPED, f"the broker {where} closed the connection")
        case ssl.SSLError():
            return _explained_tls(error, where)
        case socket.gaierror():
            return BrokerError(
                BrokerFault.UNKNOWN_HOST,
                f"nobody knows the host of the broker {where}: {(error.strerror or str(error)).lower()}. Check the "
                "name in GATEWAY_BROKER, and that this container can look names up",
            )
        case TimeoutError():
            return BrokerError(BrokerFault.TIMED_OUT, f"the broker {where} did not answer in time")
        case ConnectionRefusedError():
            return BrokerError(
                BrokerFault.UNREACHABLE,
                f"nobody listens at {where}. Check host and port in GATEWAY_BROKER, and that the broker runs and "
                "listens on more than its own loopback address",
            )
        case _:
            why = (error.strerror or str(error)).lower()
            return BrokerError(BrokerFault.UNREACHABLE, f"cannot reach the broker {where}: {why}")


def ended_tls(where: str) -> BrokerError:
    """It closed before it answered: what it thinks of our certificate may come with the close, or get lost in it."""
    return BrokerError(
        BrokerFault.TLS,
        f"the broker {where} ended TLS without a word. If it wants a certificate of ours that it believes, set "
        "GATEWAY_BROKER_CERTIFICATE and GATEWAY_BROKER_KEY; its own log says more",
    )


def _explained_tls(error: ssl.SSLError, where: str) -> BrokerError:
    reason = error.reason or str(error)
    if "ALERT" in reason and any(word in reason for word in _CERTIFICATE_ALERTS):
        return BrokerError(
            BrokerFault.OUR_CERTIFICATE,
            f"the broker {where} wants a certificate of ours that it believes ({reason.lower().replace('_', ' ')}). "
            "Set GATEWAY_BROKER_CERTIFICATE and GATEWAY_BROKER_KEY",
        )
    if "WRONG_VERSION_NUMBER" in reason:
        return BrokerError(
            BrokerFault.TLS, f"what answers at {where} is not TLS. Write mqtt:// in GATEWAY_BROKER, or the port of TLS"
        )
    return BrokerError(BrokerFault.TLS, f"TLS with the broker {where} failed: {reason.lower().replace('_', ' ')}")
