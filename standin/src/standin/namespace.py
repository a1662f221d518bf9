"""An Event Hubs namespace beside the hub: Event Hubs of their own, that clients send to and read.

It is at the hub's host, as the hub's own endpoint is; the entity says which is meant. Each Event Hub has a policy for
sending, one for reading and one for both, named as in the portal's examples; keys sign as text (iothub_wire.md §7.1).
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from standin.documents import Documents, JsonObject
from standin.eventhub_addresses import DEFAULT_GROUP
from standin.eventhub_readers import Readers
from standin.namespace_log import NamespaceFile, NamespaceLog
from standin.policies import Policy, Right
from standin.registry import new_key

MAX_EVENT_HUBS: Final = 10
"""Event Hubs of one namespace: the service's own limit in its basic and standard tiers."""
MAX_PARTITIONS: Final = 32
DEFAULT_PARTITIONS: Final = 4
RIGHTS: Final[dict[str, frozenset[Right]]] = {
    "send": frozenset({Right.SEND}),
    "listen": frozenset({Right.LISTEN}),
    "manage": frozenset({Right.SEND, Right.LISTEN}),
}
_KIND: Final = "eventhub"
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,254}[A-Za-z0-9])?")


class NamespaceError(Exception):
    """An Event Hub that cannot be made, or is not there; the sentence says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnEventHub:
    """One Event Hub of the namespace."""

    name: str
    log: NamespaceLog
    policies: dict[str, Policy]
    readers: Readers
    groups: tuple[str, ...] = (DEFAULT_GROUP,)


class Namespace:
    """All Event Hubs of a run directory. `taken`: a name that is the hub's own."""

    def __init__(
        self, directory: Path, documents: Documents, *, taken: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._documents = documents
        self._taken = taken.lower()
        self._file = NamespaceFile(directory / "namespace.db", clock)
        self._hubs: dict[str, OwnEventHub] = {}
        for name, body in documents.all(_KIND).items():
            self._hubs[name.lower()] = self._open(name, body)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def hubs(self) -> tuple[OwnEventHub, ...]:
        """All there are."""
        return tuple(self._hubs.values())

    def get(self, name: str) -> OwnEventHub | None:
        """The Event Hub of this name, whatever its case."""
        return self._hubs.get(name.lower())

    def ensure(self, name: str, partitions: int = DEFAULT_PARTITIONS) -> OwnEventHub:
        """The Event Hub of this name, made if it is not there. Raises NamespaceError."""
        there = self.get(name)
        return self.create(name, partitions) if there is None else there

    def create(self, name: str, partitions: int = DEFAULT_PARTITIONS) -> OwnEventHub:
        """Make an Event Hub. Raises NamespaceError."""
        if _NAME.fullmatch(name) is None:
            raise NamespaceError(f"'{name[:80]}' is no name: 1 to 256 letters, digits, '.', '-' and '_'.")
        if self.get(name) is not None or name.lower() == self._taken:
            raise NamespaceError(f"there is an Event Hub '{name}' already.")
        if not 1 <= partitions <= MAX_PARTITIONS:
            raise NamespaceError(f"{partitions} partitions cannot be; 1 to {MAX_PARTITIONS} can.")
        if len(self._hubs) >= MAX_EVENT_HUBS:
            raise NamespaceError(f"there are {MAX_EVENT_HUBS} Event Hubs; a namespace has no more.")
        keys = {policy: [new_key(), new_key()] for policy in RIGHTS}
        body: JsonObject = {"partitions": partitions, "createdAt": time.time(), "keys": keys}
        self._documents.put(_KIND, name, body)
        made = self._hubs[name.lower()] = self._open(name, body)
        return made

    def policy(self, path: tuple[str, ...], name: str) -> Policy | None:
        """The policy of this name, of the Event Hub that a token's path begins with."""
        hub = self.get(path[0]) if path else None
        return None if hub is None else hub.policies.get(name)

    def new_key(self, name: str, policy: str) -> Policy:
        """Give a policy a new primary key: what was signed with the old one is refused from now on."""
        hub = self.get(name)
        if hub is None or policy not in hub.policies:
            raise NamespaceError(f"there is no Event Hub '{name[:80]}' with a policy '{policy[:80]}'.")
        hub.policies[policy] = replace(hub.policies[policy], primary_key=new_key())
        keys = {each.name: [each.primary_key, each.secondary_key] for each in hub.policies.values()}
        body: JsonObject = {"partitions": hub.log.partitions, "createdAt": hub.log.created_at, "keys": keys}
        self._documents.put(_KIND, hub.name, body)
        return hub.policies[policy]

    def _open(self, name: str, body: JsonObject) -> OwnEventHub:
        policies = {
            policy: Policy(name=policy, rights=rights, primary_key=keys[0], secondary_key=keys[1])
            for policy, rights in RIGHTS.items()
            for keys in [body["keys"][policy]]
        }
        log = self._file.log(name, body["partitions"], body["createdAt"])
        return OwnEventHub(name=name, log=log, policies=policies, readers=Readers())
