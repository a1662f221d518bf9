"""Who makes the identities of boards: the registry of this gateway, or the key of an enrolment group."""

import os
from pathlib import Path
from typing import Final, Protocol

from edgewire.iothub import sas
from edgewire.message import identity
from gateway.identity.registry import Registry
from gateway.identity.roster import Group, Registration, Roster, SymmetricKeys

NEW_KEY_BYTES: Final = 32


class TakenError(Exception):
    """The id belongs to a device that came by something else."""


class DeviceMaker(Protocol):
    """Makes identities. Both calls block; call them in a thread."""

    def make(self, device: str, *, may_renew: bool) -> bytes:
        """The device's key, on disk when this returns. `may_renew`: a device that is there gets a new one.

        Raises TakenError, or RegistryError if it cannot be written.
        """
        ...

    def made(self, device: str) -> bytes | None:
        """The key of a device that is there. Raises RegistryError."""
        ...


class RegistryMaker:
    """New random keys, in the registry's file. It opens the file by itself: the gateway's view of it follows."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def make(self, device: str, *, may_renew: bool) -> bytes:
        """See DeviceMaker."""
        key = os.urandom(NEW_KEY_BYTES)
        entry = Registration(identity(device), SymmetricKeys(key, os.urandom(NEW_KEY_BYTES)))

        def change(roster: Roster) -> Roster:
            before = roster.registrations.get(entry.identity)
            is_taken = before is not None and not before.leaves_login_open
            if is_taken and not (may_renew and before is not None and _is_renewable(before)):
                raise TakenError
            return roster.with_registration(entry)

        Registry(self._path).edit(change)
        return key

    def made(self, device: str) -> bytes | None:
        """See DeviceMaker."""
        entry = Registry(self._path).find(identity(device))
        if entry is None or not _is_renewable(entry) or not isinstance(entry.credential, SymmetricKeys):
            return None
        return entry.credential.primary


def _is_renewable(entry: Registration) -> bool:
    """Whether a code may renew it: who was shut out, or comes by certificate, is no matter of codes."""
    return entry.enabled and isinstance(entry.credential, SymmetricKeys)


class GroupMaker:
    """Keys derived from a group's, which the hub's registry or DPS can know as well; nothing is written."""

    def __init__(self, registry: Path, group: Group) -> None:
        self._registry = registry
        self._group = group

    def make(self, device: str, *, may_renew: bool) -> bytes:
        """See DeviceMaker. A device has one key in a group, renewed or not."""
        del may_renew
        entry = Registry(self._registry).find(identity(device))
        if entry is not None and not entry.leaves_login_open:
            raise TakenError  # its own entry wins over any group
        return sas.derive_device_key(self._group.keys.primary, device)

    def made(self, device: str) -> bytes | None:
        """See DeviceMaker."""
        return self.make(device, may_renew=False)
