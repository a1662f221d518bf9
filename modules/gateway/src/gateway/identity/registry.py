"""The registry's file: read by a running gateway, changed by commands meanwhile.

A change is made under a lock (`<file>.lock`, flock) and put in place by one rename after an fsync, so that a reader
sees the old file or the new one, whole. Readers look at the file's stamp (inode, size, times), which costs a stat.
The file has mode 0600 and belongs to whom its directory belongs: a command run as root must not lock the gateway out.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from edgewire.message import Identity, identity
from gateway.identity.locked_file import (
    LockedFileError,
    Stamp,
    locked,
    read_stamped,
    replace_file,
    stamp_of,
)
from gateway.identity.roster import Group, Registration, Roster, RosterError, Thumbprints, read_roster, write_roster
from gateway.observe.events import Event
from gateway.observe.identity import RegistryReloaded, RegistryUnreadable

FILE_NAME: Final = "devices.json"
MAX_GROUP_DEVICES: Final = 10_000
"""Devices let in by groups that we remember, to end their connections when the group changes."""

RegistryError = LockedFileError
"""The registry cannot be used; the text says why and what to do."""


def ignore(_event: Event) -> None:
    """Tell nobody; for commands, which print what they have to say."""


class Registry:
    """The known devices, as `path` has them.

    Raises RegistryError if the file is there but cannot be used. No file is an empty registry.
    """

    __slots__ = ("_by_group", "_changed", "_emit", "_path", "_roster", "_stamp", "_thumbprints")

    def __init__(self, path: Path, emit: Callable[[Event], None] = ignore) -> None:
        self._path = path
        self._emit = emit
        self._changed: set[Identity] = set()
        self._by_group: dict[Identity, Group] = {}
        self._roster, self._stamp = _read(path)
        self._thumbprints = _owners(self._roster)

    # --- asking ---

    @property
    def roster(self) -> Roster:
        """All that are known now."""
        return self._roster

    def find(self, who: Identity) -> Registration | None:
        """The entry of a device or module."""
        return self._roster.registrations.get(who)

    def groups_for(self, device: str) -> list[Group]:
        """The groups that a device of this id can belong to."""
        return [group for group in self._roster.groups.values() if group.takes(device)]

    def owners_of(self, thumbprint: str) -> frozenset[Identity]:
        """The devices that are registered with this certificate."""
        return self._thumbprints.get(thumbprint, frozenset())

    def remember(self, who: Identity, group: Group) -> bool:
        """Note that `who` came by `group`, to say so when the group changes. Returns whether there was room."""
        if who not in self._by_group and len(self._by_group) >= MAX_GROUP_DEVICES:
            return False
        self._by_group[who] = group
        return True

    def group_of(self, who: Identity) -> Group | None:
        """The group by which somebody has come since the start."""
        return self._by_group.get(who)

    # --- following the file ---

    def refresh(self) -> set[Identity]:
        """Follow the file. Returns whose credentials have changed since the last call: end their connections.

        That is who was removed or disabled, whose keys or certificates are others, and with a device its modules.
        """
        self.reload()
        changed, self._changed = self._changed, set()
        return changed

    def reload(self) -> None:
        """Follow the file, if its stamp is another; what changed is kept for `refresh`.

        A file that is gone or cannot be used is reported once, and what was known stays in force.
        """
        stamp = stamp_of(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            roster, self._stamp = _read_present(self._path)
        except RegistryError as error:
            self._emit(RegistryUnreadable(str(error)))
            return
        self._take_over(roster)

    def _take_over(self, roster: Roster) -> None:
        changed = self._roster.changed_in(roster) | self._changed_by_groups(roster)
        self._roster = roster
        self._thumbprints = _owners(roster)
        self._changed |= changed
        for one in changed:
            self._by_group.pop(one, None)
        self._emit(RegistryReloaded(str(self._path), len(roster.registrations), len(changed)))

    def _changed_by_groups(self, roster: Roster) -> set[Identity]:
        """Who came by a group that is not the same any more, or has an entry of its own now."""
        return {
            one
            for one, group in self._by_group.items()
            if roster.groups.get(group.name) != group or _has_own_login(roster, one)
        }

    # --- changing the file ---

    def edit(self, change: Callable[[Roster], Roster]) -> Roster:
        """Change the file by `change`, alone among all processes. Returns the new roster; it is in force here too.

        What `change` raises passes through, and nothing is written. Raises RegistryError if the file cannot be changed.
        """
        with locked(self._path):
            before, _ = _read(self._path)
            after = change(before)
            if after != before or stamp_of(self._path) is None:
                replace_file(self._path, write_roster(after))
        self.reload()
        return after


def _has_own_login(roster: Roster, who: Identity) -> bool:
    entry = roster.registrations.get(who)
    return entry is not None and not entry.leaves_login_open


def _owners(roster: Roster) -> dict[str, frozenset[Identity]]:
    owners: dict[str, frozenset[Identity]] = {}
    for entry in roster.registrations.values():
        if isinstance(entry.credential, Thumbprints):
            for thumbprint in entry.credential:
                owners[thumbprint] = owners.get(thumbprint, frozenset()) | {identity(entry.identity.device)}
    return owners


def _read(path: Path) -> tuple[Roster, Stamp | None]:
    """The roster in the file, and the stamp of just these bytes."""
    text, stamp = read_stamped(path)
    if text is None:
        return Roster(), None
    try:
        return read_roster(text), stamp
    except RosterError as error:
        raise RegistryError(
            f"{path} is no registry of devices: {error}. Correct it there, or put back an earlier copy"
        ) from error


def _read_present(path: Path) -> tuple[Roster, Stamp]:
    roster, stamp = _read(path)
    if stamp is None:
        raise RegistryError(f"{path} is gone; put it back, or add a device to begin a new one")
    return roster, stamp
