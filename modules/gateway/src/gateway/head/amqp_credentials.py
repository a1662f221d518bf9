"""What a peer has shown on one AMQP connection: a login by SASL, tokens by CBS, a certificate by TLS."""

from collections.abc import Iterable, Mapping
from typing import Final

from edgewire.iothub.amqp.sasl import PlainLogin
from edgewire.message import Identity, identity
from edgewire.transport.pump import Peer
from gateway.identity.credentials import Claim

MAX_TOKENS_CHARS: Final = 1_048_576
"""Tokens of one connection together: more than two thousand identities with tokens as the SDKs make them."""


class Credentials:
    """Tokens by whom they name, unchecked; whoever opens a link is judged by what is here then.

    plain: who logged in by SASL PLAIN; nobody else may use the connection then.
    """

    __slots__ = ("_chars", "_hub", "_peer", "_tokens", "plain")

    def __init__(self, peer: Peer, hub: str) -> None:
        self._peer = peer
        self._hub = hub
        self._tokens: dict[Identity, str] = {}
        self._chars = 0
        self.plain: Identity | None = None

    def plain_claim(self, login: PlainLogin, hub: str, now: float) -> Claim:
        """What a PLAIN login says; `hub` is the host name that its label stands for."""
        return self._claim(login.identity, hub, login.token, now)

    def log_in(self, login: PlainLogin) -> None:
        """A PLAIN login was good."""
        self.plain = login.identity
        self.put((login.identity,), login.token)

    def may_use(self, who: Identity) -> bool:
        """Whether `who` may use the connection at all."""
        return self.plain is None or self.plain == who

    def put(self, owners: Iterable[Identity], token: str) -> bool:
        """Take a token in place of the one before; False if there is no room for it."""
        changed = dict.fromkeys(owners, token)
        chars = self._chars + sum(len(token) - len(self._tokens.get(who, "")) for who in changed)
        if chars > MAX_TOKENS_CHARS:
            return False
        self._tokens.update(changed)
        self._chars = chars
        return True

    def restore(self, owners: Mapping[Identity, str | None]) -> None:
        """Have the tokens again that there were before one that was not good; nothing stays of who had none."""
        for who, token in owners.items():
            self.drop(who)
            if token is not None:
                self.put((who,), token)

    def own_token_of(self, who: Identity) -> str | None:
        """The token that names `who`."""
        return self._tokens.get(who) or None

    def token_of(self, who: Identity) -> str | None:
        """The token that names `who` or, for a module, its device."""
        return self.own_token_of(who) or (self.own_token_of(identity(who.device)) if who.module else None)

    def drop(self, who: Identity) -> None:
        """The token of `who` is of no more use."""
        self._chars -= len(self._tokens.pop(who, ""))

    def has_any_for(self, who: Identity) -> bool:
        """Whether anything was shown for `who`."""
        return bool(self._peer.certificates) or self.token_of(who) is not None

    def claim(self, who: Identity, now: float) -> Claim:
        """What `who`, who wants a link, has shown."""
        return self._claim(who, self._hub, self.token_of(who), now)

    def token_claim(self, who: Identity, token: str, now: float) -> Claim:
        """What a token says that was not taken yet."""
        return self._claim(who, self._hub, token, now)

    def _claim(self, who: Identity, hub: str, token: str | None, now: float) -> Claim:
        return Claim(
            identity=who,
            hub=hub,
            token=token,
            certificates=self._peer.certificates,
            address=self._peer.address,
            now=now,
        )
