"""Tokens for boards that prove themselves without a clock: by their key and a nonce, by a certificate, by a password.

By its key a board gets what it could make itself, if it had the time. The other two are for boards that do not know the
key of their device; they are the operator's to allow.
"""

import hmac
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from edgewire.iothub import sas
from edgewire.iothub.minting import TokenWish, wish_mac
from edgewire.message import Identity, identity
from gateway.identity.allowances import Allowances
from gateway.identity.authenticator import Authenticator
from gateway.identity.credentials import Claim
from gateway.identity.limiter import FailureLimiter
from gateway.identity.nonces import Nonce, Nonces
from gateway.identity.registry import Registry
from gateway.identity.roster import SymmetricKeys
from gateway.observe.publishers import MintProof, MintRefusal

BURST: Final = 6
"""Tokens of one device at once."""
RECOVERY_S: Final = 10.0
"""After so long one more: a board that restarts again and again still gets its token."""
MAX_FOLLOWED: Final = 4_096
"""Devices whose tokens are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Minted:
    """A token and what it was given for; `key` is whose knowledge was proven, None for another proof."""

    token: str = field(repr=False)
    expires_at: int
    proof: MintProof
    key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class NotMinted:
    """No token. `hold_s`: how long the answer is held back; `retry_s`: when to come again, 0 for never in this way."""

    reason: MintRefusal
    hold_s: float = 0.0
    retry_s: int = 0


@dataclass(frozen=True, slots=True)
class _Found:
    """The key that signs, and whether its owner is enabled."""

    key: bytes = field(repr=False)
    enabled: bool


class Mint:
    """Judges wishes and makes tokens. `monotonic` gives seconds on a clock that only grows, `clock` the time.

    `proofs`: those that are allowed. `hub`: the name that tokens are for.
    """

    def __init__(
        self,
        registry: Registry,
        authenticator: Authenticator,
        *,
        hub: str,
        proofs: Collection[MintProof],
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._authenticator = authenticator
        self._hub = hub
        self._proofs = proofs
        self._clock = clock
        self._monotonic = monotonic
        self._nonces = Nonces()
        self._limiter = FailureLimiter()
        self._spent = Allowances(BURST, RECOVERY_S, MAX_FOLLOWED)
        self._decoys = os.urandom(32), os.urandom(32)

    def nonce(self, device: str) -> str:
        """A nonce for a device, known or not."""
        return self._nonces.make(device, self._monotonic())

    def by_key(self, wish: TokenWish, address: str) -> Minted | NotMinted:
        """A token for who knows the device's key."""
        found = self._judge_key(wish) if MintProof.KEY in self._proofs else MintRefusal.NOT_ALLOWED
        if isinstance(found, MintRefusal):
            return self._failed(wish, address, found)
        return self._mint(wish, address, MintProof.KEY, found)

    def by_certificate(self, wish: TokenWish, certificates: tuple[bytes, ...], address: str) -> Minted | NotMinted:
        """A token for who holds a certificate of the trust bundle's authorities that names the device."""
        if not certificates:
            return self._failed(wish, address, MintRefusal.NO_PROOF)
        claim = Claim(
            identity=identity(wish.device),
            hub=self._hub,
            token=None,
            certificates=certificates,
            now=self._clock(),
            address=address,
        )
        # Followed for everybody, so that its cost tells nothing.
        is_its = self._authenticator.is_issued_to(claim)
        if MintProof.CERTIFICATE not in self._proofs:
            return self._failed(wish, address, MintRefusal.NOT_ALLOWED)
        if not is_its:
            return self._failed(wish, address, MintRefusal.WRONG_CERTIFICATE)
        return self._mint_for(wish, address, MintProof.CERTIFICATE)

    def by_password(self, wish: TokenWish, address: str) -> Minted | NotMinted:
        """A token for who has shown the password of the user of the device's name, which the caller has checked."""
        return self._mint_for(wish, address, MintProof.PASSWORD)

    def allows(self, proof: MintProof) -> bool:
        """Whether boards may prove themselves so."""
        return proof in self._proofs

    def refuse(self, wish: TokenWish, address: str, reason: MintRefusal) -> NotMinted:
        """What the caller has found wrong with the proof."""
        return self._failed(wish, address, reason)

    # --- by a key ---

    def _judge_key(self, wish: TokenWish) -> _Found | MintRefusal:
        """The key that the board knows. All are tried, whatever the nonce is worth."""
        worth = self._nonces.judge(wish.device, wish.nonce, self._monotonic())
        found = None
        for each in self._keys(wish.device):
            if hmac.compare_digest(wish_mac(each.key, wish.device, wish.nonce), wish.mac):
                found = each
        if worth is Nonce.FULL:
            return MintRefusal.BUSY
        if worth is not Nonce.FRESH:
            return MintRefusal.WRONG_NONCE if worth is Nonce.FOREIGN else MintRefusal.OLD_NONCE
        if found is None:
            return MintRefusal.WRONG_KEY
        self._nonces.use(wish.nonce, self._monotonic())
        return found

    def _keys(self, device: str) -> list[_Found]:
        """The keys that may be a device's: its own, or those that its groups derive; decoys where there are none."""
        self._registry.reload()
        entry = self._registry.find(identity(device))
        if entry is not None:
            is_by_key = isinstance(entry.credential, SymmetricKeys)
            keys = entry.credential.both if isinstance(entry.credential, SymmetricKeys) else self._decoys
            return [_Found(key, entry.enabled and is_by_key) for key in keys]
        found = [
            _Found(sas.derive_device_key(key, device), group.enabled)
            for group in self._registry.groups_for(device)
            for key in group.keys.both
        ]
        return found or [_Found(key, enabled=False) for key in self._decoys]

    # --- all of them ---

    def _mint_for(self, wish: TokenWish, address: str, proof: MintProof) -> Minted | NotMinted:
        """A token for who does not know the device's key; the device must have an entry with one."""
        self._registry.reload()
        entry = self._registry.find(identity(wish.device))
        if entry is None or not isinstance(entry.credential, SymmetricKeys):
            return self._failed(wish, address, MintRefusal.NO_KEY)
        return self._mint(wish, address, proof, _Found(entry.credential.primary, entry.enabled))

    def _mint(self, wish: TokenWish, address: str, proof: MintProof, found: _Found) -> Minted | NotMinted:
        """The rest, for who has proven itself."""
        if not found.enabled:
            return self._failed(wish, address, MintRefusal.DISABLED)
        who, now = identity(wish.device), self._monotonic()
        self._limiter.succeeded(address, who)
        if retry_s := self._spent.wait_s(wish.device, now):
            return NotMinted(MintRefusal.TOO_MANY, retry_s=retry_s)
        self._spent.spend(wish.device, now)
        expires_at = int(self._clock()) + wish.lifetime_s
        token = sas.make(sas.resource_of(self._hub, who), found.key, expires_at)
        key = found.key if proof is MintProof.KEY else None
        return Minted(token=token, expires_at=expires_at, proof=proof, key=key)

    def _failed(self, wish: TokenWish, address: str, reason: MintRefusal) -> NotMinted:
        if reason is MintRefusal.BUSY:
            return NotMinted(reason, retry_s=int(RECOVERY_S))
        who: Identity = identity(wish.device)
        hold_s = self._limiter.failed(address, who, self._monotonic())
        return NotMinted(MintRefusal.THROTTLED, hold_s) if hold_s else NotMinted(reason)
