"""The names on a certificate: checked before they are signed, because a wrong one shows only when a board connects."""

import ipaddress
import re
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.x509.oid import NameOID

from edgeca.errors import CaError

MAX_COMMON_NAME = 64  # RFC 5280 appendix A, ub-common-name
MAX_IDENTIFIER = 128  # of a device or module id in IoT Hub
MAX_DNS_NAME = 253  # RFC 1035 §2.3.4, in text form

# Docker's and some boards' host names hold underscores; TLS stacks take them.
_DNS_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
# IoT Hub's characters of a device id; they cover edge names and registration ids too.
_IDENTIFIER = re.compile(r"[A-Za-z0-9\-.%_*?!(),:=@$'+#]+")


def parse_names(names: Sequence[str]) -> tuple[x509.GeneralName, ...]:
    """The subject alternative names for `names`, in their order, each once.

    Addresses become IP names (a DNS name never matches an address). `board.local` brings `board` with it: the same
    host answers to the bare name wherever the router's own DNS knows it. Raises CaError for what is neither.
    """
    if not names:
        raise CaError("a server certificate needs at least one host name or IP address")
    found: dict[x509.GeneralName, None] = {}
    for name in names:
        for general_name in _parse_name(name):
            found[general_name] = None
    return tuple(found)


def _parse_name(name: str) -> Iterable[x509.GeneralName]:
    try:
        address = ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        dns_name = _check_dns_name(name)
        yield x509.DNSName(dns_name)
        host, _, domain = dns_name.partition(".")
        if domain == "local" and host != "*":
            yield x509.DNSName(host)
    else:
        if "%" in name:  # a zone is known to one machine only and has no place in a certificate
            raise _neither(name)
        yield x509.IPAddress(address)


def _check_dns_name(name: str) -> str:
    if not name.isascii():
        raise CaError(f"host name {name!r} has letters outside ASCII; write it in its xn-- form")
    labels = name.lower().removesuffix(".").split(".")
    if labels[0] == "*" and len(labels) > 1:
        labels = labels[1:]
    looks_like_address = labels[-1].isdigit()
    if looks_like_address or len(name) > MAX_DNS_NAME or not all(map(_DNS_LABEL.fullmatch, labels)):
        raise _neither(name)
    return name.lower().removesuffix(".")


def _neither(name: str) -> CaError:
    return CaError(
        f"{name!r} is neither a host name nor an IP address; write for example gateway.local or 192.168.1.10, "
        "without scheme, port, path or zone"
    )


def check_identifier(identifier: str, what: str) -> str:
    """`identifier`, if it can be a common name and an id in IoT Hub. Raises CaError if not."""
    if len(identifier) > MAX_COMMON_NAME:
        raise CaError(
            f"{what} {identifier!r} has {len(identifier)} characters; the common name of a certificate holds at most "
            f"{MAX_COMMON_NAME}. Use a shorter one, or a self-signed pair with thumbprints"
        )
    return check_characters(identifier, what)


def check_characters(identifier: str, what: str) -> str:
    """`identifier`, if IoT Hub takes its characters. Raises CaError if not."""
    if len(identifier) > MAX_IDENTIFIER:
        raise CaError(f"{what} {identifier!r} has {len(identifier)} characters; IoT Hub takes at most {MAX_IDENTIFIER}")
    if not _IDENTIFIER.fullmatch(identifier):
        raise CaError(f"{what} {identifier!r}: IoT Hub takes letters, digits and - . % _ * ? ! ( ) , : = @ $ ' + #")
    return identifier


def common_name(certificate: x509.Certificate) -> str:
    """The subject's common name; empty if it has none."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def alternative_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The subject alternative names as text, in their order."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in extension.value)


def names_as_text(names: Iterable[x509.GeneralName]) -> tuple[str, ...]:
    """Names to be signed, in the form `alternative_names` gives for signed ones."""
    return tuple(str(name.value) for name in names)
