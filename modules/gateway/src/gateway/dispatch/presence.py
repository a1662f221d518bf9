"""Who is connected: one link per identity, the newest wins."""

from collections.abc import Iterable
from enum import Enum
from typing import Protocol

from edgewire.message import Identity


class Ending(Enum):
    """Why we end a link that did nothing wrong."""

    TAKEN_OVER = "taken_over"
    """The same identity connected again."""
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 — a reason, no secret
    CREDENTIALS_CHANGED = "credentials_changed"
    """The operator removed or disabled the identity, or changed its keys."""
    SHUTDOWN = "shutdown"


class Link(Protocol):
    """A head's side of one connected identity."""

    def end(self, why: Ending) -> None:
        """Say goodbye as the protocol can, and close."""

    def judge_again(self) -> None:
        """The wall clock was set: end, if the credentials have expired by now."""


class Presence:
    """The links of the connected identities."""

    def __init__(self) -> None:
        self._links: dict[Identity, Link] = {}

    def __len__(self) -> int:
        return len(self._links)

    def __contains__(self, identity: Identity) -> bool:
        return identity in self._links

    def link(self, identity: Identity) -> Link | None:
        """By which `identity` is reached now."""
        return self._links.get(identity)

    def identities(self) -> tuple[Identity, ...]:
        """Everybody who is connected now."""
        return tuple(self._links)

    def enter(self, identity: Identity, link: Link) -> None:
        """`identity` is now reached by `link`; call it after the login, or a wrong password could end a good link."""
        before = self._links.pop(identity, None)
        self._links[identity] = link
        if before is not None:
            before.end(Ending.TAKEN_OVER)

    def leave(self, identity: Identity, link: Link) -> None:
        """`link` is gone; somebody who took over stays."""
        if self._links.get(identity) is link:
            del self._links[identity]

    def end(self, identities: Iterable[Identity], why: Ending) -> int:
        """End the links of these identities. Returns how many there were."""
        links = [self._links.pop(identity) for identity in identities if identity in self._links]
        for link in links:
            link.end(why)
        return len(links)

    def judge_again(self) -> None:
        """The wall clock was set: every link looks whether it may still be there."""
        for link in tuple(self._links.values()):
            link.judge_again()
