"""The HTTP proxy of a site that lets nothing out by itself: which one to use, and what to say to it."""

import base64
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

DEFAULT_PORT: Final = 3128
"""Where a proxy listens if its address does not say: Squid's port, which others took over."""
MAX_HEAD_BYTES: Final = 8_192
"""A proxy's answer to CONNECT, with the page some send behind a refusal not counted."""

UNREADABLE: Final = (
    "HTTPS_PROXY cannot be read. Write http://[user:password@]host:port, with the port as a number, and / ? # @ : % of "
    "user and password as %2F %3F %23 %40 %3A %25"
)
"""Without anything of it: a password may be where a port or a path seems to be."""

_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: ([^\r\n]*))?\r?\n")
_HEAD_END: Final = b"\r\n\r\n"


class ProxyError(Exception):
    """The proxy refused, or said something that is no HTTP; the text says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """An HTTP proxy, and what it wants to be told of us."""

    host: str
    port: int
    user: str | None = None
    password: str = field(default="", repr=False)

    def connect_request(self, host: str, port: int) -> bytes:
        """What asks for a tunnel. Spec: RFC 9110 §9.3.6."""
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
        if self.user is not None:
            credentials = base64.b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")
            lines.append(f"Proxy-Authorization: Basic {credentials}")
        return "\r\n".join(lines).encode("ascii") + _HEAD_END


class ConnectAnswer:
    """Reads a proxy's answer to CONNECT."""

    __slots__ = ("_head",)

    def __init__(self) -> None:
        self._head = b""

    def receive(self, data: bytes) -> bytes | None:
        """Take bytes of the proxy: None until the head is whole, then what came behind it. Raises ProxyError."""
        self._head += data
        end = self._head.find(_HEAD_END)
        if end < 0:
            if len(self._head) > MAX_HEAD_BYTES:
                raise ProxyError("its answer is too long for one to CONNECT")
            return None
        found = _STATUS.match(self._head)
        if found is None:
            raise ProxyError("its answer is no HTTP/1.1")
        if found[1][:1] != b"2":
            said = (found[2] or b"").decode("latin-1")
            raise ProxyError(f"it answers {found[1].decode()} {said}".rstrip())
        return self._head[end + len(_HEAD_END) :]


def proxy_for(host: str, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy that HTTPS_PROXY names, None if there is none or NO_PROXY excepts `host`. Raises ProxyError.

    Both names count in small letters too, and those first, as for curl.
    """
    address = environ.get("https_proxy") or environ.get("HTTPS_PROXY") or ""
    if not address or _is_excepted(host, environ.get("no_proxy") or environ.get("NO_PROXY") or ""):
        return None
    try:
        parts = urlsplit(address if "//" in address else f"//{address}")
        port = parts.port or DEFAULT_PORT
    except ValueError:  # it quotes what it takes for a port: a piece of the password, if that has a slash in it
        raise ProxyError(UNREADABLE) from None
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise ProxyError(UNREADABLE)
    if parts.scheme not in ("", "http") or not parts.hostname:
        # With the password left out of the text.
        raise ProxyError(
            f"HTTPS_PROXY names a proxy by '{parts.scheme or 'nothing'}'. Write http://[user:password@]host:port: "
            "the way to the proxy itself is plain, what passes through it is TLS"
        )
    user = None if parts.username is None else unquote(parts.username)
    return Proxy(host=parts.hostname, port=port, user=user, password=unquote(parts.password or ""))


def _is_excepted(host: str, exceptions: str) -> bool:
    """Whether `host` is below one of these domains, or in one of these networks."""
    name = host.lower().rstrip(".")
    for exception in (part.strip().lower() for part in exceptions.split(",")):
        domain = exception.partition(":")[0] if exception.count(":") == 1 else exception
        domain = domain.removeprefix("*").lstrip(".")
        if exception == "*" or (domain and (name == domain or name.endswith(f".{domain}"))):
            return True
        if "/" in exception and _is_in(name, exception):
            return True
    return False


def _is_in(name: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(name) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
