"""Tokens by which a device's messages go up: made from its key, or its own as it presented it here.

A presented token was vouched for by the hub when it was kept. It is kept until it expires, in memory and in the file
`tokens.json` of the data folder (mode 0600, as devices.json), so that what the device has sent can leave after a
restart, and the device can come back at once while the hub is away. The file, version 1:

    {"version": 1, "tokens": {"<device id>[/<module id>]": "<token>"}}

It is a memory, not a registry: one that cannot be read is begun anew.
"""

import contextlib
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edgewire.errors import ProtocolError
from edgewire.iothub import sas
from edgewire.iothub.ids import is_id
from edgewire.message import Identity, identity
from gateway.identity.memory_file import MemoryFile
from gateway.identity.registry import Registry
from gateway.identity.roster import SymmetricKeys
from gateway.observe.events import Event
from gateway.observe.identity import TokensNotKept

FILE_NAME: Final = "tokens.json"
MAX_TOKENS: Final = 10_000
"""Presented tokens that are kept, one per device; beyond, the one that was used longest ago is forgotten."""
MAX_REFUSED: Final = 4_096
"""Refused tokens that are remembered, by their hashes."""
REFUSED_S: Final = 60.0
"""So long a token that the hub refused is not asked about again: the hub's operator may be adding the device."""
MINTED_S: Final = 3600
"""How long a token that we make is good."""
RENEW_BEFORE_S: Final = 600.0
"""A token is replaced this long before its end: time for several tries."""


@dataclass(frozen=True, slots=True)
class Token:
    """A shared access signature and when it ends, in seconds since 1970 and without any allowance."""

    text: str = field(repr=False)
    expires_at: float


class PresentedTokens:
    """The tokens of devices that the hub vouched for. `keep` runs beside the gateway and writes the file."""

    def __init__(self, path: Path, emit: Callable[[Event], None], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tokens: OrderedDict[Identity, Token] = OrderedDict()
        self._refused: OrderedDict[bytes, float] = OrderedDict()
        self._listeners: list[Callable[[Identity], None]] = []
        self._ends: list[Callable[[Identity], object]] = []
        self._file = MemoryFile(path, "tokens", self._to_keep, lambda problem: emit(TokensNotKept(str(path), problem)))
        self._file.read(self._understand)

    def __len__(self) -> int:
        return len(self._tokens)

    def listen(self, call: Callable[[Identity], None]) -> None:
        """Tell of every device that has a newer token from now on."""
        self._listeners.append(call)

    def on_end(self, call: Callable[[Identity], object]) -> None:
        """Tell of every device whose token the hub takes no more, from now on."""
        self._ends.append(call)

    def find(self, who: Identity) -> Token | None:
        """The token of a device, if it is still good."""
        token = self._tokens.get(who)
        return token if token is not None and token.expires_at > self._clock() else None

    def is_vouched(self, who: Identity, text: str) -> bool:
        """Whether the hub has vouched for this very token; the caller looks at its time."""
        token = self._tokens.get(who)
        if token is None or not hmac.compare_digest(token.text.encode(), text.encode()):
            return False
        self._tokens.move_to_end(who)
        return True

    def is_refused(self, text: str) -> bool:
        """Whether the hub has refused this token a short time ago."""
        return self._refused.get(_digest(text), 0.0) > self._clock()

    def vouch(self, who: Identity, token: Token) -> None:
        """The hub has let a device in with this token."""
        self._refused.pop(_digest(token.text), None)
        if self._tokens.get(who) == token:
            return
        self._tokens[who] = token
        self._tokens.move_to_end(who)
        if len(self._tokens) > MAX_TOKENS:
            self._tokens.popitem(last=False)
        self._file.changed()
        for call in self._listeners:
            call(who)

    def refuse(self, who: Identity, text: str) -> None:
        """The hub has not let a device in with this token."""
        token = self._tokens.get(who)
        if token is not None and token.text == text:
            del self._tokens[who]
            self._file.changed()
            for call in self._ends:
                call(who)
        self._refused[_digest(text)] = self._clock() + REFUSED_S
        self._refused.move_to_end(_digest(text))
        if len(self._refused) > MAX_REFUSED:
            self._refused.popitem(last=False)

    async def keep(self) -> None:
        """Write the file after each change, until cancelled; the last one then."""
        await self._file.run()

    def _to_keep(self) -> dict[str, str]:
        now = self._clock()
        return {str(who): token.text for who, token in self._tokens.items() if token.expires_at > now}

    def _understand(self, said: Any) -> None:
        found = {str(name): str(text) for name, text in said.items()}
        now = self._clock()
        for name, text in list(found.items())[-MAX_TOKENS:]:
            who = _identity_of(name)
            with contextlib.suppress(ProtocolError):
                expires_at = sas.parse(text).expires_at
                if who is not None and expires_at > now:
                    self._tokens[who] = Token(text, expires_at)


class DeviceTokens:
    """A token for each device that can have one: made from its key where that is known, else its own."""

    def __init__(
        self, registry: Registry, presented: PresentedTokens, hub_name: str, clock: Callable[[], float]
    ) -> None:
        self._registry = registry
        self._presented = presented
        self._hub_name = hub_name
        self._clock = clock
        self._second: dict[Identity, None] = {}
        """Devices whose primary key the hub did not take: keys are rotated one by one."""

    def has(self, who: Identity) -> bool:
        """Whether there is one now."""
        return (
            self._key_of(who) is not None or self._presented.find(who) is not None or self._likely_key(who) is not None
        )

    def find(self, who: Identity) -> Token | None:
        """A token that is good now, for the longest time there can be; None if there is none."""
        key = self._key_of(who)
        if key is not None:
            return self._mint(who, key)
        token = self._presented.find(who)
        if token is not None:
            return token
        likely = self._likely_key(who)
        return None if likely is None else self._mint(who, likely)

    def refused(self, who: Identity, token: Token) -> None:
        """The hub did not let a device in with this token: its other key is next; one of its own is not kept."""
        self._presented.refuse(who, token.text)
        if who in self._second:
            del self._second[who]
        elif len(self._second) < MAX_TOKENS:
            self._second[who] = None

    def name_of(self, who: Identity) -> str:
        """The audience of a device's tokens."""
        return sas.resource_of(self._hub_name, who)

    def _mint(self, who: Identity, key: bytes) -> Token:
        expires_at = int(self._clock()) + MINTED_S
        return Token(sas.make(self.name_of(who), key, expires_at), float(expires_at))

    def _key_of(self, who: Identity) -> bytes | None:
        """Its own key, or the one that the group derives by which it came."""
        registration = self._registry.find(who)
        if registration is not None and not registration.leaves_login_open:
            credential = registration.credential
            return self._one_of(who, credential) if isinstance(credential, SymmetricKeys) else None
        group = self._registry.group_of(who)
        return None if group is None else sas.derive_device_key(self._one_of(who, group.keys), who.device)

    def _one_of(self, who: Identity, keys: SymmetricKeys) -> bytes:
        return keys.secondary if who in self._second else keys.primary

    def _likely_key(self, who: Identity) -> bytes | None:
        """The key that the only group it can belong to derives: after a restart nobody remembers who came by which."""
        if who.module is not None or self._registry.find(who) is not None:
            return None
        groups = self._registry.groups_for(who.device)
        return sas.derive_device_key(self._one_of(who, groups[0].keys), who.device) if len(groups) == 1 else None


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _identity_of(name: str) -> Identity | None:
    device, _, module = name.partition("/")
    if not is_id(device) or (module and not is_id(module)):
        return None
    return identity(device, module or None)
