"""The room of the plain listener: its broker, its users, its head. Loaded where GATEWAY_PLAIN_PORT is set."""

import asyncio
import fcntl
import ipaddress
import socket
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgewire.message import Endpoint
from gateway.app.doors import Doors
from gateway.app.settings import ConfigError, Environment, gateway_name
from gateway.broker.broker import LocalBroker
from gateway.broker.disk import BROKER_FILE, BrokerDisk, BrokerFileError
from gateway.broker.limits import BrokerLimits
from gateway.dispatch.echoes import Echoes
from gateway.dispatch.mapped import MappedIngress
from gateway.head.plain import PlainHead, plain_limits
from gateway.identity.gatekeeper import Gatekeeper
from gateway.identity.locked_file import LockedFileError
from gateway.identity.user_book import USERS_FILE, UserBook
from gateway.observe.broker import PlainListenerOpen
from gateway.observe.events import Event
from gateway.upstream.local_topic import LocalTopic

if TYPE_CHECKING:
    from gateway.dispatch.allowance import Allowances  # most sites limit nobody

LOOK_EVERY_S: Final = 1.0
"""How soon a change of the users takes effect on those who are connected."""
SIOCGIFADDR: Final = 0x8915
"""Linux: the IPv4 address of an interface (netdevice(7))."""


class PlainRoom:
    """All that there is of the plain listener. Raises ConfigError if it cannot be opened."""

    def __init__(
        self,
        environment: Environment,
        environ: Mapping[str, str],
        *,
        data: Path,
        mapped: MappedIngress,
        emit: Callable[[Event], None],
        allowances: "Callable[[], Allowances | None]" = lambda: None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._environment = environment
        self._address = address_of(environment.plain_address)
        self._emit = emit
        try:
            self._book = UserBook(data / USERS_FILE, emit)
            self._disk = BrokerDisk(data / BROKER_FILE, emit)
        except (LockedFileError, BrokerFileError) as error:
            raise ConfigError(str(error)) from error
        limits = BrokerLimits()
        self._broker = LocalBroker(self._disk, emit=emit, clock=time.time, later=loop.call_soon, limits=limits)
        self.echoes = Echoes()
        self._gatekeeper = Gatekeeper(self._book, loop.call_soon_threadsafe)
        self._head = PlainHead(
            gatekeeper=self._gatekeeper,
            broker=self._broker,
            mapped=mapped,
            echoes=self.echoes,
            emit=emit,
            clock=time.time,
            limits=plain_limits(limits.max_session_s),
            name=gateway_name(environment, environ),
            hears_a_broker=bool(environment.broker),
            allowances=allowances,
        )

    async def open(self, doors: Doors) -> None:
        """Listen; and say what an open port means, where others can reach it. Raises ListenError."""
        listener = await doors.add("plain mqtt", self._address, self._environment.plain_port, self._head.accept)
        if not ipaddress.ip_address(self._address).is_loopback:
            self._emit(PlainListenerOpen(self._address, listener.port))

    def carrier(self, endpoint: Endpoint) -> LocalTopic:
        """Carries what routes send to a local topic."""
        return LocalTopic(self._broker, endpoint, asyncio.get_running_loop().time)

    async def run(self) -> None:
        """Keep house until cancelled: changed users, sessions and messages whose time is over, counts."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            changed = self._book.refresh()
            self._head.end_users(changed)
            for user in changed:
                if self._book.find(user) is None:
                    self._broker.forget_user(user)
            self._broker.sweep()
            self._broker.report()

    def stop(self) -> None:
        """The gateway stops: publish wills that wait, since nobody will remember them."""
        self._head.wills.publish_all()
        self._broker.report()

    def close(self) -> None:
        """Write what is to be kept."""
        self._gatekeeper.close()
        self._broker.close()

    def status(self) -> Mapping[str, Any]:
        """For `getStatus`."""
        return {
            "clients": len(self._head.clients),
            "sessions": self._broker.sessions,
            "subscriptions": self._broker.subscriptions,
            "retained": self._broker.retained,
            "waitingBytes": self._broker.waiting_bytes,
        }


def address_of(text: str) -> str:
    """The address that a setting means: itself, or the IPv4 address of the interface of that name.

    Raises ConfigError.
    """
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    names = [name for _, name in socket.if_nameindex()]
    if text not in names:
        raise ConfigError(
            f"GATEWAY_PLAIN_ADDRESS is '{text}', which is no IP address and no interface of this machine. Write an "
            f"address, or one of {', '.join(names)}; 0.0.0.0 for all of them, if you mean that"
        )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, struct.pack("256s", text.encode()[:15]))
        except OSError as error:
            raise ConfigError(
                f"GATEWAY_PLAIN_ADDRESS is '{text}', an interface without an IPv4 address now. Give it one, or write "
                "an address"
            ) from error
    return socket.inet_ntoa(answer[20:24])
