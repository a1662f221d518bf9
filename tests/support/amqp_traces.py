"""The recorded AMQP clients: who they were, and what telemetry is in their traces (amqp.md §7)."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgewire.iothub import sas
from edgewire.message import Identity, identity
from support.amqp_reading import TRACES
from support.gateway_site import KEY

HUB: Final = "myhub.azure-devices.net"
DEV1, LEAF1, MOD1, CERTIFIED = identity("dev1"), identity("leaf1"), identity("dev1", "mod1"), identity("x509dev")

BY_NAME: Final[Mapping[str, Path]] = {trace.name.removesuffix(".client.hex"): trace for trace in TRACES}


@dataclass(frozen=True, slots=True)
class Recorded:
    """Who a recorded client was, and the bodies of the telemetry in its trace."""

    who: Identity
    bodies: tuple[bytes, ...]


_COUNTED: Final = tuple(b'{"i":%d}' % number for number in range(5))
_ONE: Final = (b'{"t":21.5}',)
SERVED: Final[Mapping[str, Recorded]] = {
    "csdk-amqp-gateway": Recorded(LEAF1, _COUNTED[:2]),
    "csdk-amqp-sak": Recorded(DEV1, _COUNTED),
    "csdk-amqp-x509": Recorded(CERTIFIED, _COUNTED[:2]),
    "csdk-ws-sak": Recorded(DEV1, _COUNTED[:2]),
    "node-amqp-gateway": Recorded(LEAF1, _ONE),
    "node-amqp-module": Recorded(MOD1, _ONE),
    "node-amqp-sak": Recorded(DEV1, _ONE),
    "node-amqp-x509": Recorded(CERTIFIED, _ONE),
    "node-ws-gateway": Recorded(LEAF1, _ONE),
    "node-ws-sak": Recorded(DEV1, _ONE),
    "node-ws-x509": Recorded(CERTIFIED, _ONE),
    "proton-external": Recorded(CERTIFIED, (b"hi",)),
    "proton-plain": Recorded(DEV1, (b"hi",)),
    "pyamqp-cbs": Recorded(DEV1, (b"hello",)),
    "pyamqp-plain": Recorded(DEV1, (b"hello",)),
    "rhea-plain": Recorded(DEV1, (b"hi",)),
    "uamqp-cbs": Recorded(DEV1, _COUNTED[:2]),
    "uamqp-plain": Recorded(DEV1, _COUNTED[:2]),
    "uamqp-plain-batch": Recorded(DEV1, _COUNTED[:2] + tuple(b"x%d" % number for number in range(300))),
    "uamqp-plain-uri": Recorded(DEV1, (b"data1",)),
    "uamqp-ws-cbs": Recorded(DEV1, _COUNTED[:2]),
}
"""With a fresh token, or with the device's certificate."""

REFUSED: Final[Mapping[str, str]] = {
    "node-service-client": "/messages/devicebound",  # a back end's node, which only the hub has
    "rhea-external": "/devices/dev1/messages/events",  # with the certificate of another device
    "uamqp-anonymous": f"amqps://{HUB}/devices/dev1/messages/events",  # with no token at all
}
"""The one link that is refused; these want nothing else, but for `$cbs`."""


def shows_certificate(name: str) -> bool:
    """Whether this client was recorded with the certificate of `CERTIFIED`."""
    return name.endswith(("x509", "external"))


def fresh_token(who: Identity) -> bytes:
    """A token that is good for an hour, of a device that has the tests' key."""
    return sas.make(sas.resource_of(HUB, who), KEY, int(time.time()) + 3600).encode()
