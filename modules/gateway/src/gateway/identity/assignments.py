"""Which hub a device was assigned to, kept for when the provisioning service is away, in `assignments.json`.

There is no key and no token in it. Who asks is given what is kept only by proof that the service would take:

- the very token that the service has taken, until it expires (a salted hash of it is kept), or
- where a key known here (of the device, or of its enrolment group) signed the token that the service took: any token
  signed by such a key. Then that key is the one that the service knows, too.

The file (mode 0600) is written within two seconds; it is a memory: one that cannot be read is begun anew. Version 1:

    {"version": 1, "assignments": [{"scope", "registration", "state", "kept_at", "salt", "hash", "known"}]}
"""

import hmac
import json
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edgewire.iothub import sas
from edgewire.iothub.dps import Registrant
from edgewire.message import identity
from gateway.identity.memory_file import MemoryFile
from gateway.identity.registry import Registry
from gateway.identity.roster import SymmetricKeys
from gateway.observe.events import Event
from gateway.observe.provisioning import AssignmentsNotKept

FILE_NAME: Final = "assignments.json"
MAX_ASSIGNMENTS: Final = 4_096
"""Kept; beyond, the one that was asked for longest ago is forgotten."""
MAX_STATE_BYTES: Final = 2_048
"""Of one registration state: some 500 bytes, and a small payload. A larger one is not kept."""
_SALT_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What the service said, when (seconds since 1970), and by what token it did."""

    registrant: Registrant
    state: Mapping[str, Any]
    kept_at: float
    salt: bytes = field(repr=False)
    hash: bytes = field(repr=False)
    """HMAC-SHA256 of the token under the salt."""
    known: bool
    """A key known here had signed the token."""

    def is_by(self, token: str) -> bool:
        """Whether this is the token that the service took."""
        return hmac.compare_digest(_hash(self.salt, token), self.hash)


class Assignments:
    """What was assigned, by scope and registration. `keep_written` runs beside the gateway and writes the file."""

    def __init__(
        self, path: Path, registry: Registry, emit: Callable[[Event], None], clock: Callable[[], float]
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], Assignment] = OrderedDict()
        self._file = MemoryFile(
            path, "assignments", self._to_keep, lambda problem: emit(AssignmentsNotKept(str(path), problem))
        )
        self._file.read(self._understand)

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, registrant: Registrant, token: str, state: Mapping[str, Any]) -> None:
        """The service has taken this token, and this is what it said."""
        if len(json.dumps(state)) > MAX_STATE_BYTES:
            self._drop(registrant)
            return
        salt = os.urandom(_SALT_BYTES)
        self._put(
            Assignment(
                registrant=registrant,
                state=dict(state),
                kept_at=self._clock(),
                salt=salt,
                hash=_hash(salt, token),
                known=self._is_signed_here(registrant, token),
            )
        )
        self._file.changed()

    def recall(self, registrant: Registrant, token: str) -> Assignment | None:
        """What is kept for who has this token, None for nothing; its time and target are the caller's to check."""
        kept = self._kept.get(_key(registrant))
        if kept is None or not self._proves(kept, registrant, token):
            return None
        self._kept.move_to_end(_key(registrant))
        return kept

    def refuse(self, registrant: Registrant, token: str) -> None:
        """The service has refused who has this token: what is kept by such proof is true no more."""
        kept = self._kept.get(_key(registrant))
        if kept is not None and self._proves(kept, registrant, token):
            self._drop(registrant)

    async def keep_written(self) -> None:
        """Write the file after each change, until cancelled; the last one then."""
        await self._file.run()

    def _put(self, assignment: Assignment) -> None:
        key = _key(assignment.registrant)
        self._kept[key] = assignment
        self._kept.move_to_end(key)
        if len(self._kept) > MAX_ASSIGNMENTS:
            self._kept.popitem(last=False)

    def _drop(self, registrant: Registrant) -> None:
        if self._kept.pop(_key(registrant), None) is not None:
            self._file.changed()

    def _proves(self, kept: Assignment, registrant: Registrant, token: str) -> bool:
        by_hash = kept.is_by(token)
        by_key = self._is_signed_here(registrant, token)
        return by_hash or (kept.known and by_key)

    def _is_signed_here(self, registrant: Registrant, token: str) -> bool:
        """Whether a key known here signed this: of the device of this name, or of a group that it can belong to."""
        self._registry.reload()
        signed = sas.parse(token)
        names = tuple(dict.fromkeys((registrant.registration, registrant.key)))
        keys: list[bytes] = []
        for name in names:
            own = self._registry.find(identity(name))
            if own is not None and own.enabled and isinstance(own.credential, SymmetricKeys):
                keys += own.credential.both
            for group in self._registry.groups_for(name):
                if group.enabled:
                    # Ids are compared without case, so some derive from the small letters, others from what they write.
                    keys += [sas.derive_device_key(key, each) for key in group.keys.both for each in names]
        return sas.is_signed_by(signed, keys)

    # The file.

    def _to_keep(self) -> list[dict[str, Any]]:
        return list(map(_to_json, self._kept.values()))

    def _understand(self, said: Any) -> None:
        found = [_from_json(each) for each in said]
        for each in found[-MAX_ASSIGNMENTS:]:
            self._put(each)


def _key(registrant: Registrant) -> tuple[str, str]:
    return registrant.scope.lower(), registrant.key


def _hash(salt: bytes, token: str) -> bytes:
    return hmac.digest(salt, token.encode(), "sha256")


def _to_json(assignment: Assignment) -> dict[str, Any]:
    return {
        "scope": assignment.registrant.scope,
        "registration": assignment.registrant.registration,
        "state": assignment.state,
        "kept_at": assignment.kept_at,
        "salt": assignment.salt.hex(),
        "hash": assignment.hash.hex(),
        "known": assignment.known,
    }


def _from_json(body: Mapping[str, Any]) -> Assignment:
    return Assignment(
        registrant=Registrant(str(body["scope"]), str(body["registration"])),
        state=dict(body["state"]),
        kept_at=float(body["kept_at"]),
        salt=bytes.fromhex(body["salt"]),
        hash=bytes.fromhex(body["hash"]),
        known=body["known"] is True,
    )
