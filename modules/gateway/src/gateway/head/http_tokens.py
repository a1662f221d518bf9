"""Tokens for boards without a clock, over HTTPS: a nonce, a proof, a token (edgewire.iothub.minting)."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from edgewire.errors import ProtocolError
from edgewire.iothub.minting import (
    MAC_HEADER,
    NONCE_PATH,
    PREFIX,
    TOKEN_PATH,
    TokenWish,
    answer_mac,
    read_nonce_query,
    read_wish,
)
from edgewire.message import Identity
from edgewire.session.http.events import HeadReceived, RequestReceived
from edgewire.session.http.server import JSON, Response
from edgewire.transport.pump import Peer
from gateway.head.http_answers import RETRY_AFTER_S
from gateway.identity.minting import Mint, Minted, NotMinted
from gateway.identity.nonces import LIFE_S
from gateway.observe.events import Event
from gateway.observe.head import HttpAction
from gateway.observe.publishers import MintProof, MintRefusal, TokenMinted, TokenNotMinted

MAX_WISH_BYTES: Final = 2_048
"""A wish has 300 bytes with an id as long as they are in practice."""
METHODS: Final[Mapping[str, str]] = {NONCE_PATH: "GET", TOKEN_PATH: "POST"}
STATUSES: Final[Mapping[MintRefusal, int]] = {MintRefusal.TOO_MANY: 429, MintRefusal.BUSY: 503}
"""All other reasons look the same from outside: 401."""
WORDS: Final[Mapping[int, str]] = {
    401: "no token for this device",
    429: "too many tokens, come again later",
    503: "come again later",
}


class Passwords(Protocol):
    """Checks passwords of users."""

    def __call__(self, user: str, password: str, address: str) -> Awaitable[MintRefusal | None]:
        """What is wrong with the password that somebody at this address has shown; None if nothing is."""
        ...

    def close(self) -> None:
        """No more will be asked."""
        ...


class HttpTokens:
    """Answers boards at `/tokens/v1/…`. Implements `http_services.HttpService`.

    `clock` gives the time that tokens are made by.
    """

    action: Final = HttpAction.MINT
    max_body_bytes: Final = MAX_WISH_BYTES

    def __init__(
        self,
        mint: Mint,
        passwords: Passwords,
        *,
        emit: Callable[[Event], None],
        clock: Callable[[], float],
    ) -> None:
        self._mint = mint
        self._passwords = passwords
        self._emit = emit
        self._clock = clock

    def claims(self, path: str) -> bool:
        """See HttpService."""
        return path.startswith(PREFIX)

    def caller(self, head: HeadReceived, _peer: Peer) -> None:
        """See HttpService. Boards prove themselves in the body, or by their certificate for the device named there."""
        if METHODS.get(head.path) != head.method:
            raise ProtocolError(f"there are GET {NONCE_PATH} and POST {TOKEN_PATH}", reply=404)

    def refusal(self, status: int, what: str) -> Response:
        """See HttpService."""
        headers = (("Retry-After", str(RETRY_AFTER_S)),) if status == 503 else ()
        return _json(status, {"message": what}, *headers)

    async def answer(self, request: RequestReceived, peer: Peer, _who: Identity | None) -> Response:
        """See HttpService."""
        try:
            if request.path == NONCE_PATH:
                nonce = self._mint.nonce(read_nonce_query(request.query))
                return _json(200, {"nonce": nonce, "expiresInSecs": int(LIFE_S)})
            wish = read_wish(request.body)
        except ProtocolError:
            self._emit(TokenNotMinted("", peer.address, MintRefusal.MALFORMED))
            raise
        verdict = await self._judge(wish, peer)
        if isinstance(verdict, Minted):
            return self._granted(wish, peer, verdict)
        self._emit(TokenNotMinted(wish.device, peer.address, verdict.reason))
        await asyncio.sleep(verdict.hold_s)
        return _refused(verdict)

    def close(self) -> None:
        """The gateway stops."""
        self._passwords.close()

    async def _judge(self, wish: TokenWish, peer: Peer) -> Minted | NotMinted:
        if wish.mac:
            return self._mint.by_key(wish, peer.address)
        if not wish.password:
            return self._mint.by_certificate(wish, peer.certificates, peer.address)
        problem: MintRefusal | None = MintRefusal.NOT_ALLOWED
        if self._mint.allows(MintProof.PASSWORD):
            problem = await self._passwords(wish.device, wish.password, peer.address)
        if problem is not None:
            return self._mint.refuse(wish, peer.address, problem)
        return self._mint.by_password(wish, peer.address)

    def _granted(self, wish: TokenWish, peer: Peer, minted: Minted) -> Response:
        told = TokenMinted(device=wish.device, address=peer.address, by=minted.proof, lifetime_s=wish.lifetime_s)
        self._emit(told)
        document = {
            "deviceId": wish.device,
            "token": minted.token,
            "expiresAt": minted.expires_at,
            "time": int(self._clock()),
        }
        answer = _json(200, document)
        if minted.key is None:
            return answer
        return _json(200, document, (MAC_HEADER, answer_mac(minted.key, wish.nonce, answer.body)))


def _refused(verdict: NotMinted) -> Response:
    status = STATUSES.get(verdict.reason, 401)
    headers = (("Retry-After", str(verdict.retry_s)),) if verdict.retry_s else ()
    return _json(status, {"message": WORDS[status]}, *headers)


def _json(status: int, document: Mapping[str, Any], *headers: tuple[str, str]) -> Response:
    body = json.dumps(document, separators=(",", ":")).encode("ascii")
    return Response(status=status, headers=(("Cache-Control", "no-store"), *headers), body=body, content_type=JSON)
