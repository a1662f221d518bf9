"""The hub's service API, for twins: what its portal does, from the gateway's page (iothub_wire.md §4.1).

The connection string is a secret: it is in no text, no event and no answer.
"""

import asyncio
import base64
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from edgewire.iothub import sas
from edgewire.message import Identity
from edgewire.transport.certificates import SecurityError
from edgewire.transport.proxy import Proxy, ProxyError, proxy_for
from edgewire.transport.tls_client import client_context
from gateway.app.dialing import Place, read_place
from gateway.app.page_deeds import shown_twin
from gateway.dashboard.answers import NotAnsweredError

VARIABLE: Final = "GATEWAY_SERVICE_CONNECTION_STRING"
API_VERSION: Final = "2021-04-12"
HTTPS_PORT: Final = 443
SERVICE_S: Final = 15.0
"""For the hub to answer, the connection included."""
TOKEN_S: Final = 300
"""A token is made for each request, and lives no longer than a slow one."""
MAX_ANSWER_BYTES: Final = 524_288
"""A twin with its metadata: two sections of 32 KiB, and a time for each value in them."""


class ServiceStringError(Exception):
    """The connection string is none; the text says what is wrong with it, without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccess:
    """Where the service API is, and who we are there."""

    place: Place
    host: str
    policy: str
    key: bytes = field(repr=False)

    def token(self, now: float) -> str:
        """A token for the next request."""
        return sas.make(self.host, self.key, int(now) + TOKEN_S, self.policy)


def read_service_string(text: str) -> ServiceAccess:
    """What GATEWAY_SERVICE_CONNECTION_STRING says. Raises ServiceStringError."""
    said = dict(part.strip().partition("=")[::2] for part in text.split(";") if part.strip())
    host, policy, key = (said.get(name, "") for name in ("HostName", "SharedAccessKeyName", "SharedAccessKey"))
    if not (host and policy and key):
        raise ServiceStringError(
            f"{VARIABLE} must be HostName=…;SharedAccessKeyName=…;SharedAccessKey=… of a policy of the hub: the portal "
            "shows it at 'Shared access policies'"
        )
    place = read_place(host, HTTPS_PORT)
    try:
        secret = sas.decode_key(key)
    except ValueError:
        secret = b""
    if place is None or not secret:
        what = "SharedAccessKey is no base64" if place is not None else "HostName is no name of a host"
        raise ServiceStringError(f"{VARIABLE}: its {what}; copy it anew from the portal")
    return ServiceAccess(place=place, host=place.host, policy=policy, key=secret)


class HubService:
    """Asks it. `trust_pem` gives the authorities beside the system's."""

    def __init__(self, access: ServiceAccess, *, trust_pem: Callable[[], bytes], environ: Mapping[str, str]) -> None:
        self._access = access
        self._trust_pem = trust_pem
        self._environ = environ

    async def twin(self, who: Identity) -> dict[str, Any]:
        """The twin as the hub has it. Raises NotAnsweredError."""
        return _shown(await self._ask("GET", who))

    async def patch_desired(self, who: Identity, desired: Mapping[str, Any], etag: str | None) -> dict[str, Any]:
        """Merge `desired` into the desired properties, if the twin still is the one of `etag`; None for any.

        Returns the twin after it. Raises NotAnsweredError.
        """
        return _shown(await self._ask("PATCH", who, {"properties": {"desired": desired}}, etag or "*"))

    async def _ask(
        self, method: str, who: Identity, body: Mapping[str, Any] | None = None, etag: str = ""
    ) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(SERVICE_S):
                status, answer = await self._exchange(method, _path(who), body, etag)
        except TimeoutError:
            raise NotAnsweredError(504, f"the hub did not answer within {SERVICE_S:.0f} s") from None
        except (aiohttp.ClientError, OSError, ProxyError, SecurityError) as error:
            raise NotAnsweredError(502, f"the hub cannot be reached: {_said(error)}") from error
        if status != 200:
            raise _refusal(status, answer, who)
        try:
            document = orjson.loads(answer)
        except orjson.JSONDecodeError:
            document = None
        if not isinstance(document, dict):
            raise NotAnsweredError(502, "the hub answered with something that is no twin")
        return document

    async def _exchange(self, method: str, path: str, body: Mapping[str, Any] | None, etag: str) -> tuple[int, bytes]:
        access = self._access
        context = await asyncio.to_thread(client_context, self._trust_pem())
        headers = {"Authorization": access.token(time.time()), "Accept": "application/json"}
        if etag:
            headers["If-Match"] = f'"{etag}"'
        host = f"[{access.place.host}]" if ":" in access.place.host else access.place.host
        url = f"https://{host}:{access.place.port}{path}?api-version={API_VERSION}"
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
            session.request(
                method,
                URL(url, encoded=True),
                data=None if body is None else orjson.dumps(body),
                headers=headers | ({} if body is None else {"Content-Type": "application/json"}),
                allow_redirects=False,
                **_by_proxy(proxy_for(access.place.host, self._environ)),
            ) as answer,
        ):
            return answer.status, await _read(answer)


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    read = bytearray()
    async for piece in answer.content.iter_any():
        read += piece
        if len(read) > MAX_ANSWER_BYTES:
            raise NotAnsweredError(502, f"the hub's answer has more than {MAX_ANSWER_BYTES} bytes")
    return bytes(read)


def _by_proxy(proxy: Proxy | None) -> dict[str, Any]:
    if proxy is None:
        return {}
    host = f"[{proxy.host}]" if ":" in proxy.host else proxy.host
    headers = {}
    if proxy.user is not None:
        login = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode("ascii")
        headers["Proxy-Authorization"] = f"Basic {login}"
    return {"proxy": f"http://{host}:{proxy.port}", "proxy_headers": headers}


def _path(who: Identity) -> str:
    device = f"/twins/{quote(who.device, safe='')}"
    return device if who.module is None else f"{device}/modules/{quote(who.module, safe='')}"


def _shown(document: Mapping[str, Any]) -> dict[str, Any]:
    properties = document.get("properties")
    twin = shown_twin(properties if isinstance(properties, dict) else {}, "hub")
    etag = document.get("etag")
    return {**twin, "etag": etag if isinstance(etag, str) else None, "tags": document.get("tags") or {}}


def _refusal(status: int, answer: bytes, who: Identity) -> NotAnsweredError:
    match status:
        case 401 | 403:
            what = f"the hub refused the policy of {VARIABLE}: it needs the right ServiceConnect, and a key of now"
            return NotAnsweredError(502, what)
        case 404:
            return NotAnsweredError(404, f"the hub knows no '{who}'")
        case 412:
            return NotAnsweredError(412, "the twin was changed by somebody else meanwhile: look at it again, then edit")
        case 429:
            return NotAnsweredError(429, "the hub is asked too often now; try again in a minute")
        case _:
            said = answer[:300].decode("utf-8", "replace")
            return NotAnsweredError(400 if 400 <= status < 500 else 502, f"the hub answered {status}: {said}")


def _said(error: Exception) -> str:
    """Why, without what a proxy's address may hold."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not one of an authority that we believe ({error.certificate_error})"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or type(error.os_error).__name__
    if isinstance(error, SecurityError | ProxyError):
        return str(error)
    return type(error).__name__
