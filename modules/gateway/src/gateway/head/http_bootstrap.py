"""First contact of boards over HTTPS, and over plain HTTP where a port for it is switched on.

The device's key always goes sealed with the board's secret, over TLS too: a request that was heard on a plain port, or
passed on by somebody in between to whom a board without a pinned root has spoken, could be said again over TLS.
"""

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from edgewire.errors import ProtocolError
from edgewire.iothub.bootstrap import (
    CONTACT_PATH,
    MAC_HEADER,
    TIME_PATH,
    Contact,
    answer_mac,
    is_nonce,
    read_contact,
    seal,
)
from edgewire.iothub.ids import is_id
from edgewire.line.escapes import percent_decode
from edgewire.message import Identity
from edgewire.session.http.events import HeadReceived, RequestReceived
from edgewire.session.http.server import JSON, Response
from edgewire.transport.pump import Peer
from gateway.head.http_services import Caller
from gateway.identity.claims import CodeGoneError
from gateway.identity.locked_file import LockedFileError
from gateway.identity.makers import TakenError
from gateway.identity.reception import NotAdmitted, Reception, Ticket
from gateway.observe.bootstrap import BoardAdmitted, ContactRefusal, ContactRefused
from gateway.observe.events import Event
from gateway.observe.head import HttpAction

MAX_CONTACT_BYTES: Final = 1_024
"""A contact has 300 bytes with ids as long as they are in practice."""
MAX_CONTACTS: Final = 256
"""Looked at or held back at once; the next is told to come again."""
RETRY_AFTER_S: Final = 5
PREFIX: Final = "/bootstrap/v1/"

METHODS: Final[Mapping[str, str]] = {CONTACT_PATH: "POST", TIME_PATH: "GET"}
STATUSES: Final[Mapping[ContactRefusal, int]] = {ContactRefusal.TAKEN: 409}
"""All other reasons look the same from outside: 401."""
WORDS: Final[Mapping[int, str]] = {
    401: "no identity for this board",
    409: "the id belongs to another device",
    429: "too many requests, come again later",
    503: "come again later",
}

Firmware = Callable[[str, str], Mapping[str, str] | None]
"""What a device of this id and model is to run: {"version", "manifest"}, the latter a path here; None for no matter."""


class BootstrapService:
    """Answers boards at `/bootstrap/v1/…`. `clock` gives seconds since 1970.

    `told` gives what every board is told alike: hub, gateway, mqttPort, httpsPort, root, settings. None: no board can
    be told enough to use this gateway.
    """

    action = HttpAction.BOOTSTRAP
    max_body_bytes = MAX_CONTACT_BYTES

    def __init__(
        self,
        reception: Reception,
        *,
        told: Callable[[], Mapping[str, Any] | None],
        firmware: Firmware,
        emit: Callable[[Event], None],
        clock: Callable[[], float],
    ) -> None:
        self._reception = reception
        self._told = told
        self._firmware = firmware
        self._emit = emit
        self._clock = clock
        self._busy = 0
        self._one_at_a_time = asyncio.Lock()

    def claims(self, path: str) -> bool:
        """See HttpService."""
        return path.startswith(PREFIX)

    def caller(self, head: HeadReceived, _peer: Peer) -> Caller | None:
        """See HttpService. Boards prove themselves in the body."""
        if METHODS.get(head.path) != head.method:
            raise ProtocolError(f"there are POST {CONTACT_PATH} and GET {TIME_PATH}", reply=404)
        return None

    def refusal(self, status: int, what: str) -> Response:
        """See HttpService. Too many of one sender is 429 here, as boards know it."""
        return _refusal(429) if status == 503 else _refusal(status, what)

    async def answer(self, request: RequestReceived, peer: Peer, who: Identity | None) -> Response:
        """See HttpService."""
        del who
        if request.path == TIME_PATH:
            return self._tell_time(request.query)
        contact = self._read(request.body, peer)
        if self._busy >= MAX_CONTACTS:
            return self._refused(contact, peer, ContactRefusal.BUSY, 429)
        self._busy += 1
        try:
            return await self._receive(contact, peer)
        finally:
            self._busy -= 1

    # First contact.

    def _read(self, body: bytes, peer: Peer) -> Contact:
        try:
            return read_contact(body)
        except ProtocolError as error:
            self._emit(ContactRefused("", peer.address, ContactRefusal.MALFORMED, error.what))
            raise

    async def _receive(self, contact: Contact, peer: Peer) -> Response:
        verdict = self._reception.judge(contact, peer.address, self._clock())
        if isinstance(verdict, NotAdmitted):
            if verdict.hold_s:
                await asyncio.sleep(verdict.hold_s)
            return self._refused(contact, peer, verdict.reason, STATUSES.get(verdict.reason, 401))
        told = self._told()
        if told is None:  # before a code is used up for nothing
            return self._refused(contact, peer, ContactRefusal.NO_ROOT, 503)
        try:
            key = await self._admit(verdict)
        except TakenError:
            return self._refused(contact, peer, ContactRefusal.TAKEN, 409)
        except CodeGoneError:
            return self._refused(contact, peer, ContactRefusal.USED, 401)
        except LockedFileError as error:
            return self._refused(contact, peer, ContactRefusal.NOT_KEPT, 503, str(error))
        self._reception.admitted(verdict)
        self._emit(
            BoardAdmitted(
                device=contact.registration_id,
                address=peer.address,
                model=contact.model,
                version=contact.version,
                by=verdict.by,
                code=verdict.name,
            )
        )
        return self._granted(verdict, key, told)

    async def _admit(self, ticket: Ticket) -> bytes:
        if ticket.code is None:  # nothing is written for a device of a group
            return ticket.secret
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._reception.admit, ticket, self._clock())

    def _granted(self, ticket: Ticket, key: bytes, told: Mapping[str, Any]) -> Response:
        contact = ticket.contact
        sealed = seal(ticket.secret, contact.nonce, key)
        document = {
            "deviceId": contact.registration_id,
            "key": {"sealed": base64.b64encode(sealed).decode("ascii")},
            **told,
            "time": int(self._clock()),
            "firmware": self._firmware(contact.registration_id, contact.model),
        }
        return _proven(document, ticket.secret, contact.nonce)

    def _refused(self, contact: Contact, peer: Peer, reason: ContactRefusal, status: int, detail: str = "") -> Response:
        self._emit(ContactRefused(contact.registration_id, peer.address, reason, detail))
        return _refusal(status)

    # The time.

    def _tell_time(self, query: str) -> Response:
        """Proven with the device's key, if it says who it is: for boards that have lost the time and nothing else."""
        document = {"time": int(self._clock())}
        fields = dict(each.partition("=")[::2] for each in query.split("&")) if query else {}
        if not fields:
            return _plain(document)
        device, nonce = percent_decode(fields.get("registrationId", ""), "registrationId"), fields.get("nonce", "")
        if fields.keys() != {"registrationId", "nonce"} or not is_id(device) or not is_nonce(nonce):
            raise ProtocolError("give both registrationId and nonce, or neither", reply=400)
        return _proven(document, self._reception.secret_of(device), nonce)


class NothingElse:
    """Claims every path and serves nothing: the last service of a port that is for boards alone."""

    action = HttpAction.UNKNOWN
    max_body_bytes = 0

    def claims(self, path: str) -> bool:
        """See HttpService."""
        del path
        return True

    def caller(self, head: HeadReceived, _peer: Peer) -> Caller | None:
        """See HttpService."""
        raise ProtocolError(f"nothing is served at {head.path[:100]}", reply=404)

    def refusal(self, status: int, what: str) -> Response:
        """See HttpService."""
        return _refusal(status, what)

    async def answer(self, request: RequestReceived, peer: Peer, who: Identity | None) -> Response:
        """See HttpService; nobody gets here."""
        raise AssertionError(f"{peer}, {who} got in with {request.path}")  # pragma: no cover


def _plain(document: Mapping[str, Any], *headers: tuple[str, str]) -> Response:
    return _json(200, document, ("Cache-Control", "no-store"), *headers)


def _proven(document: Mapping[str, Any], secret: bytes, nonce: str) -> Response:
    response = _plain(document)
    mac = (MAC_HEADER, answer_mac(secret, nonce, response.body))
    return _plain(document, mac)


def _refusal(status: int, what: str = "") -> Response:
    headers = (("Retry-After", str(RETRY_AFTER_S)),) if status in (429, 503) else ()
    return _json(status, {"message": what or WORDS[status]}, *headers)


def _json(status: int, document: Mapping[str, Any], *headers: tuple[str, str]) -> Response:
    body = json.dumps(document, separators=(",", ":")).encode("ascii")
    return Response(status=status, headers=headers, body=body, content_type=JSON)
