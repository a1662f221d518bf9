"""Who may see the page: a login by token, kept as a cookie; and what other sites may not make a browser do here.

- Another site's name may be made to lead here (DNS rebinding): the Host must be of loopback, or where we listen.
- Another site's form may be sent here (CSRF): what changes anything must come from a page of ours, and says so itself.
- The cookie is an HMAC made with the token: whoever reads it has no token, and another token ends it.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from aiohttp import web

from edgepage.assets import PARTS, PARTS_FOLDER, PREFIX, add_assets
from edgepage.template import Markup, document, markup

LOGIN: Final = "/login"
API: Final = "/api/"
"""Below it nothing is a page: a refusal is `{"error": {"message": …}}`."""

HEADERS: Final[Mapping[str, str]] = {
    # No inline script or style is obeyed, and nothing is loaded from or sent to elsewhere (CSP 3 §6).
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}

_HOST: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::([0-9]{1,5}))?")
_WORDS: Final[Mapping[int, str]] = {
    404: "There is no such page.",
    405: "That cannot be done here.",
    408: "The form did not arrive in time. Send it again.",
    413: "The form is larger than any of this page. Nothing was changed.",
    415: "That is no form of this page. Nothing was changed.",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PageClosedError(Exception):
    """What the page works on cannot be had now; the text says why and what to do."""


class Refusal(Enum):
    """Why a request was refused."""

    WRONG_TOKEN = "wrong_token"  # noqa: S105 - a reason, no password
    WRONG_COOKIE = "wrong_cookie"
    FOREIGN_HOST = "foreign_host"
    FOREIGN_ORIGIN = "foreign_origin"


class Witness(Protocol):
    """Who is told what happens at the door; `address` is the visitor's."""

    def entered(self, address: str) -> None:
        """Somebody logged in."""

    def refused(self, address: str, refusal: Refusal) -> None:
        """Somebody was not let in, or was not let change anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Whose pages these are, in words that a visitor reads."""

    name: str
    """Stands above what is told, and in the browser's title."""
    cookie: str
    """How its cookies' names begin. No two programs of one machine have the same: see `_cookie_name`."""
    home: str
    """Where a login leads."""
    names: str
    """The hosts that the pages answer to."""
    ending: str
    """How to log in."""
    open_to_all: frozenset[str] = frozenset()
    """Paths that anybody may ask for, by any name of this machine."""


class Guard:
    """Stands before all pages of one application. `token` blocks and may raise PageClosedError."""

    def __init__(self, house: House, *, token: Callable[[], str], address: str, witness: Witness) -> None:
        self._house = house
        self._token = token
        self._address = address.lower()
        self._witness = witness

    def add_to(self, application: web.Application) -> None:
        """From now on nothing of `application` but what is open to all is answered without a login.

        The parts are served from then on too: a page that says how to log in is made of them.
        """

        # A function, since aiohttp marks its middlewares, and a method cannot be marked.
        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._answer(request, handler)

        application.middlewares.append(guarded)
        application.router.add_get(LOGIN, self._log_in, allow_head=False)
        add_assets(application, PARTS_FOLDER, PARTS)
        if self._house.home != "/":
            application.router.add_get("/", self._go_home)

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in self._house.open_to_all:
            return await handler(request)
        answer: web.StreamResponse
        try:
            answer = await self._refusal(request) or await handler(request)
        except PageClosedError as error:
            answer = self._told(request, 503, str(error))
        except web.HTTPException as error:
            answer = self._told(
                request, error.status, _WORDS.get(error.status, "That is no request that a page of ours makes.")
            )
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
        return answer

    async def _refusal(self, request: web.Request) -> web.Response | None:
        """What a request is answered that may not be; None if it may."""
        if not self._is_asked_for_us(request):
            self._refuse(request, Refusal.FOREIGN_HOST)
            return self._told(request, 403, f"This page answers to {self._house.names} alone.", self._house.ending)
        if request.path == LOGIN or request.path.startswith(PREFIX):
            return None
        if not await self.knows(request):
            if self._cookie_name(request) in request.cookies:
                self._refuse(request, Refusal.WRONG_COOKIE)
            return self._not_logged_in(request)
        if request.method not in ("GET", "HEAD") and not _is_from_here(request):
            self._refuse(request, Refusal.FOREIGN_ORIGIN)
            return self._told(
                request, 403, "This came from a page of another site. Nothing was changed.", self._house.ending
            )
        return None

    async def knows(self, request: web.Request) -> bool:
        """Whether the login that this request came with counts now; what is answered without end asks again."""
        cookie = request.cookies.get(self._cookie_name(request))
        return cookie is not None and _same(cookie, _cookie_of(await asyncio.to_thread(self._token)))

    async def _log_in(self, request: web.Request) -> web.Response:
        token = await asyncio.to_thread(self._token)
        if not _same(request.query.get("token", ""), token):
            self._refuse(request, Refusal.WRONG_TOKEN)
            return self._told(request, 403, "This address has no token that counts now.", self._house.ending)
        self._witness.entered(_peer(request))
        answer = _go(self._house.home)
        answer.set_cookie(self._cookie_name(request), _cookie_of(token), path="/", httponly=True, samesite="Strict")
        return answer

    def _is_asked_for_us(self, request: web.Request) -> bool:
        hosts = request.headers.getall("Host", [])
        found = _HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
        if found is None:
            return False
        host = found[1] or found[2]
        return host in ("localhost", self._address) or _is_loopback(host)

    def _refuse(self, request: web.Request, refusal: Refusal) -> None:
        self._witness.refused(_peer(request), refusal)

    def _told(self, request: web.Request, status: int, *sentences: str) -> web.Response:
        if request.path.startswith(API):
            return web.json_response({"error": {"message": " ".join(sentences)}}, status=status)
        name = self._house.name
        text = markup("<h1>{name}</h1>\n<p>{text}</p>\n", name=name, text=" ".join(sentences))
        return shown(document(name, text), status)

    def _not_logged_in(self, request: web.Request) -> web.Response:
        # A cookie that is SameSite=Strict does not come along where a link on another site led to the login: a link of
        # our own does the rest.
        house = self._house
        text = "You are not logged in, or not any more."
        if request.path.startswith(API):
            answer = self._told(request, 401, text, house.ending)
        else:
            body = markup(
                '<h1>{name}</h1>\n<p>{text} {ending}</p>\n<p>Just logged in? <a href="{home}">Go on</a>.</p>\n',
                name=house.name,
                text=text,
                ending=house.ending,
                home=house.home,
            )
            answer = shown(document(house.name, body), 401)
        answer.headers["WWW-Authenticate"] = f'Cookie realm="{house.cookie}"'  # RFC 9110 §15.5.2 wants one
        return answer

    async def _go_home(self, _request: web.Request) -> web.Response:
        return _go(self._house.home)

    def _cookie_name(self, request: web.Request) -> str:
        """Cookies know no ports (RFC 6265 §8.5): two servers of one machine must not end each other's logins."""
        found = _HOST.fullmatch(request.host.lower())
        return f"{self._house.cookie}-{(found and found[3]) or 80}"


def shown(page: Markup, status: int = 200) -> web.Response:
    """A page as an answer."""
    return web.Response(text=page, status=status, content_type="text/html", charset="utf-8")


def _go(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": path})


def _same(given: str, wanted: str) -> bool:
    """Compared in a time that tells nothing."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode("ascii"))


def _cookie_of(token: str) -> str:
    return hmac.new(token.encode("ascii"), b"edge-page-cookie-1", hashlib.sha256).hexdigest()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_from_here(request: web.Request) -> bool:
    """Whether a page of ours sent this. No page can forge either header, and every browser of ours sends one."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None and site != "same-origin":
        return False
    if origin is None or origin == "null":  # "null" beside same-origin: the browser keeps origins to itself
        return site is not None
    return origin.lower() == f"http://{request.host.lower()}"


def _peer(request: web.Request) -> str:
    return request.remote or "somebody"
