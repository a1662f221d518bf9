"""The ports of the listeners: free, the gateway's own, or whose."""

import errno
import ipaddress
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.app.settings import Environment
from gateway.doctor.finding import Finding, not_checked, ok, problem, warning
from gateway.doctor.patient import Patient

_LISTENS: Final = "0A"  # in /proc/net/tcp
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A place where the gateway listens; `setting` is what moves it."""

    what: str
    address: str
    port: int
    setting: str


def doors_of(settings: Environment) -> list[Door]:
    """All listeners that are switched on."""
    rows = (
        ("MQTT", settings.address, settings.mqtt_port, "GATEWAY_MQTT_PORT"),
        ("AMQP", settings.address, settings.amqp_port, "GATEWAY_AMQP_PORT"),
        ("HTTPS and WebSocket", settings.address, settings.websocket_port, "GATEWAY_WEBSOCKET_PORT"),
        ("MQTT of small boards", settings.address, settings.constrained_mqtt_port, "GATEWAY_CONSTRAINED_MQTT_PORT"),
        ("HTTPS of small boards", settings.address, settings.constrained_https_port, "GATEWAY_CONSTRAINED_HTTPS_PORT"),
        ("plain first contact", settings.address, settings.bootstrap_plain_port, "GATEWAY_BOOTSTRAP_PLAIN_PORT"),
        ("plain MQTT", settings.plain_address, settings.plain_port, "GATEWAY_PLAIN_PORT"),
        ("metrics and page", settings.metrics_address, settings.metrics_port, "GATEWAY_METRICS_PORT"),
    )
    return [Door(what=what, address=where, port=port, setting=name) for what, where, port, name in rows if port]


def check_ports(patient: Patient) -> Iterator[Finding]:
    """Each listener's port."""
    doors = doors_of(patient.settings)
    if not doors:
        yield warning(
            "all listeners are switched off", "no device can connect", "set GATEWAY_MQTT_PORT, or another, to its port"
        )
    yield from _twice(doors)
    for door in doors:
        yield _look(patient, door)


def _twice(doors: list[Door]) -> Iterator[Finding]:
    seen: dict[tuple[str, int], Door] = {}
    for door in doors:
        first = seen.setdefault((door.address, door.port), door)
        if first is not door:
            yield problem(
                f"{first.what} and {door.what} both want {door.address} port {door.port}",
                "the gateway does not start",
                f"set {door.setting} to a port of its own",
            )


def _look(patient: Patient, door: Door) -> Finding:
    where = f"{door.what}: {door.address} port {door.port}"
    why = cannot_bind(door.address, door.port)
    if why is None and patient.running is not None:
        return _not_ours(where)
    match why:
        case None:
            return ok(f"{where} is free")
        case errno.EADDRINUSE:
            return _taken(patient, door, where)
        case errno.EACCES | errno.EPERM:
            return problem(
                f"{where} may not be opened by this user: ports below 1024 ask for a right",
                "the gateway does not start" if patient.running is None else "it could not be opened after a restart",
                f"set {door.setting} to a port above 1023 and publish it under the old one, as the template does with "
                "443:8443, or set net.ipv4.ip_unprivileged_port_start",
            )
        case errno.EADDRNOTAVAIL:
            return problem(
                f"{where}: this machine has no such address",
                "the gateway does not start",
                "write an address of this machine, or 0.0.0.0 for all, into GATEWAY_ADDRESS (GATEWAY_PLAIN_ADDRESS, "
                "GATEWAY_METRICS_ADDRESS for theirs)",
            )
        case _:
            return not_checked(f"{where}: {door.address} is the name of an interface, or cannot be looked up")


def _not_ours(where: str) -> Finding:
    return problem(
        f"{where} is free, though a gateway runs here",
        "devices are not let in there",
        "the gateway runs with other settings than this command sees, or in another network: run the command in its "
        "container (docker exec), or start the gateway again",
    )


def _taken(patient: Patient, door: Door, where: str) -> Finding:
    running = patient.running
    owner = owner_of(door.address, door.port)
    if running is not None and (owner is None or owner == running.pid):
        return ok(f"{where} is the gateway's")
    who = "another process, which cannot be seen from here" if owner is None else f"{name_of(owner)} (process {owner})"
    return problem(
        f"{where} is taken by {who}",
        "the gateway does not start" if running is None else "devices that dial it reach something else",
        f"end that, or set {door.setting} to a free port; edgeHub has 8883, 5671 and 443 unless its PortBindings are "
        "taken away, as in the template",
    )


def cannot_bind(address: str, port: int) -> int | None:
    """Why a listener cannot be opened there: an errno, 0 for a name that is none; None if it can. Nothing listens."""
    try:
        kind, _, _, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError:
        return 0
    try:
        with socket.socket(kind, socket.SOCK_STREAM) as probe:
            probe.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # as listeners do: connections that end count not
            probe.bind(place)
    except OSError as error:
        return error.errno or 0
    return None


def owner_of(address: str, port: int) -> int | None:
    """The process that listens at an address and port of this machine; None if it cannot be seen."""
    sockets = set(_listening(address, port))
    if not sockets:
        return None
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with suppress(OSError):
            for descriptor in folder.iterdir():
                found = _SOCKET.fullmatch(str(descriptor.readlink()))
                if found is not None and found[1] in sockets:
                    return int(folder.parent.name)
    return None


def _listening(address: str, port: int) -> Iterator[str]:
    """The numbers of the sockets that listen there, or on all addresses; for all addresses, those on any."""
    wanted = ipaddress.ip_address(address) if is_address(address) else None
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                place, _, number = fields[1].rpartition(":")
                if fields[3] != _LISTENS or int(number, 16) != port:
                    continue
                theirs = _read_address(place)
                if wanted is None or wanted.is_unspecified or theirs.is_unspecified or theirs == wanted:
                    yield fields[9]


def _read_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address of /proc/net/tcp: words of four bytes, each as this machine holds numbers."""
    words = [bytes.fromhex(text[at : at + 8]) for at in range(0, len(text), 8)]
    raw = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    found = ipaddress.ip_address(raw)
    mapped = getattr(found, "ipv4_mapped", None)
    return found if mapped is None else mapped


def is_address(text: str) -> bool:
    """Whether it is an IP address, and no name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def name_of(pid: int) -> str:
    """What a process is called."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "a process"
