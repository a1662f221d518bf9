"""Stored messages and tokens for everybody, for tests of what sends on behalf of devices."""

from dataclasses import dataclass

from edgewire.iothub import sas
from edgewire.message import Identity, Message
from gateway.identity.tokens import Token

HUB = "hub.example"
NOW = 1_800_000_000.0


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry as small as proxies allow."""

    entry_id: str
    message: Message
    received_at_ms: int = 0


class Keys:
    """A token for everybody but those without."""

    def __init__(self) -> None:
        self.now = NOW
        self.life_s = 3_600.0
        self.without: set[str] = set()
        self.refusals: list[Identity] = []

    def find(self, who: Identity) -> Token | None:
        if who.device in self.without:
            return None
        end = int(self.now + self.life_s)
        return Token(sas.make(self.name_of(who), b"k" * 32, end), float(end))

    def refused(self, who: Identity, token: Token) -> None:
        assert token.text
        self.refusals.append(who)

    def name_of(self, who: Identity) -> str:
        return sas.resource_of(HUB, who)
