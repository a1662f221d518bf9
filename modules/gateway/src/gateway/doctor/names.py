"""Do the names lead where they should? The one that devices dial, and those that the gateway dials."""

import socket
from collections.abc import Iterator
from typing import Final

from gateway.doctor.finding import Finding, NotCheckedError, not_checked, ok, problem, warning
from gateway.doctor.listening import is_address
from gateway.doctor.patient import Patient
from gateway.doctor.places import places_of

MAX_NAMES: Final = 16
"""Hosts that are looked up; more say nothing new."""
MDNS: Final = (
    "multicast DNS answers for .local: it needs avahi-daemon on this machine and libnss-mdns (or systemd-resolved) on "
    "the asking one; containers and small boards (ESP8266) do not have it: give those the address, or a name in the DNS"
)


def check_host_name(patient: Patient) -> Iterator[Finding]:
    """The name that devices dial: it must have a form, and lead to this machine."""
    name = patient.settings.host_name
    if not name:
        raise NotCheckedError("GATEWAY_HOST_NAME is not set, nor EdgeDeviceHostName: see settings")
    if is_address(name):
        yield _of_addresses(name, [name])
        return
    if "_" in name or " " in name:
        yield problem(
            f"'{name}' is no host name: it holds '{'_' if '_' in name else ' '}'",
            "TLS of many devices refuses such a name whatever the certificate says",
            "use letters, digits, '-' and '.': change hostname in the Edge device's config.toml, or GATEWAY_HOST_NAME",
        )
        return
    if patient.is_in_container:
        yield not_checked(
            f"whether '{name}' leads here: inside IoT Edge's network it leads to edgeHub. On a device: ping {name}"
            + (f"; {MDNS}" if _is_mdns(name) else "")
        )
        return
    found = addresses_of(name)
    if isinstance(found, str):
        yield problem(
            f"'{name}' cannot be looked up here: {found}",
            "devices that ask the same servers do not find the gateway",
            MDNS if _is_mdns(name) else "enter it in the site's DNS (or the router's list of names) with this address",
        )
        return
    yield _of_addresses(name, found)


def _of_addresses(name: str, addresses: list[str]) -> Finding:
    strange = [each for each in addresses if not is_of_this_host(each)]
    if not strange:
        also = f". {MDNS[0].upper()}{MDNS[1:]}" if _is_mdns(name) else ""
        return ok(f"'{name}' leads here ({', '.join(addresses)}){also}")
    is_all = len(strange) == len(addresses)
    return (problem if is_all else warning)(
        f"'{name}' leads to {', '.join(strange)}, which is no address of this machine",
        "devices dial another machine" if is_all else "some devices may dial another machine, as the order changes",
        "correct the entry in the DNS, or in /etc/hosts; a second network card's address may be in it rightly, "
        "a forgotten one's not",
    )


def check_upstream_names(patient: Patient) -> Iterator[Finding]:
    """Hosts that the gateway dials."""
    hosts = list(dict.fromkeys(place.dialled_host for place in places_of(patient)))
    if not hosts:
        raise NotCheckedError("the gateway dials nobody: no way upstream, broker or endpoint is set")
    for host in hosts[:MAX_NAMES]:
        if is_address(host):
            continue
        found = addresses_of(host)
        if isinstance(found, str):
            yield problem(
                f"'{host}' cannot be looked up: {found}",
                "nothing reaches it; messages for it wait in the store",
                'check /etc/resolv.conf here; in a container the engine\'s DNS ("dns" in its daemon.json). A name with '
                "a typing error has no address anywhere",
            )
        else:
            yield ok(f"'{host}' is {', '.join(found[:3])}")
    if len(hosts) > MAX_NAMES:
        yield not_checked(f"{len(hosts) - MAX_NAMES} further hosts")
    if all(map(is_address, hosts)):
        yield ok("all that the gateway dials are addresses")


def addresses_of(host: str) -> list[str] | str:
    """The addresses of a name, or why there are none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return (getattr(error, "strerror", None) or str(error)).lower()
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def is_of_this_host(address: str) -> bool:
    """Whether this machine has the address: only then can a socket be bound to it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _is_mdns(name: str) -> bool:
    return name.lower().rstrip(".").endswith(".local")
