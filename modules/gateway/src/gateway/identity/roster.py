"""The devices that are known, as values, and their file's layout.

The file `devices.json`, version 1, is a JSON object (UTF-8):

    {"version": 1,
     "devices": {"<device id>": {"status": "enabled" | "disabled", "authentication": <authentication>,
                                 "modules": {"<module id>": {"status": …, "authentication": …}}}},
     "groups": {"<name>": {"status": …, "primaryKey": …, "secondaryKey": …, "idPrefix": "<prefix>"}}}

    <authentication>: {"type": "sas", "primaryKey": "<base64>", "secondaryKey": "<base64>"}
                    | {"type": "selfSigned", "primaryThumbprint": "<hex>", "secondaryThumbprint": "<hex>"}
                    | {"type": "certificateAuthority"}
                    | {"type": "none"}

`modules`, `secondaryThumbprint` and `idPrefix` may be absent; a status that is absent is "enabled". Anything else that
is missing, unknown or given twice makes the whole file unusable: half a registry is worse than the one before.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from edgewire.iothub import sas
from edgewire.iothub.ids import ID_CHARACTERS, is_id
from edgewire.message import Identity, identity

VERSION: Final = 1
MAX_GROUPS: Final = 64
"""Each token of an unknown device is checked against every group whose prefix fits."""

_THUMBPRINT: Final = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")


class RosterError(ValueError):
    """What is wrong in a registry's file, and where in it."""


@dataclass(frozen=True, slots=True)
class SymmetricKeys:
    """Two keys, each as good as the other, so that one can be replaced while the other works."""

    primary: bytes = field(repr=False)
    secondary: bytes = field(repr=False)

    @property
    def both(self) -> tuple[bytes, bytes]:
        """Primary, secondary."""
        return self.primary, self.secondary


@dataclass(frozen=True, slots=True)
class Thumbprints:
    """One or two certificates by their SHA-1 or SHA-256, hexadecimal capitals without colons."""

    primary: str
    secondary: str | None = None

    def __iter__(self) -> Iterator[str]:
        yield self.primary
        if self.secondary is not None:
            yield self.secondary


@dataclass(frozen=True, slots=True)
class CaSigned:
    """A certificate of an authority in the trust bundle, whose common name is the device's id."""


@dataclass(frozen=True, slots=True)
class NoCredential:
    """A device that does not log in: it is known by the topics it publishes to. Only devices have this, no modules."""


Credential = SymmetricKeys | Thumbprints | CaSigned | NoCredential


@dataclass(frozen=True, slots=True)
class Registration:
    """A device or module that is known, and how it proves itself."""

    identity: Identity
    credential: Credential
    enabled: bool = True

    @property
    def leaves_login_open(self) -> bool:
        """Whether it says nothing of logging in: a group, the hub or a code decides as if it were not there.

        Publishers can bring such entries about, and must not shut out a device that has the same id and a key.
        """
        return self.enabled and isinstance(self.credential, NoCredential)


@dataclass(frozen=True, slots=True)
class Group:
    """Devices that need no entry: each signs with a key derived from the group's and its own id."""

    name: str
    keys: SymmetricKeys
    id_prefix: str = ""
    enabled: bool = True

    def takes(self, device: str) -> bool:
        """Whether a device of this id can belong to the group."""
        return device.startswith(self.id_prefix)


@dataclass(frozen=True, slots=True)
class Roster:
    """All that are known. A device's registration is there before its modules' are."""

    registrations: Mapping[Identity, Registration] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)

    def with_registration(self, registration: Registration) -> "Roster":
        """The roster with this entry, new or in the place of one with the same identity."""
        return replace(self, registrations={**self.registrations, registration.identity: registration})

    def without(self, gone: Identity) -> "Roster":
        """The roster without this entry; with a device its modules go."""
        kept = {one: entry for one, entry in self.registrations.items() if one != gone and not _is_below(one, gone)}
        return replace(self, registrations=kept)

    def with_group(self, group: Group) -> "Roster":
        """The roster with this group, new or in the place of one with the same name."""
        return replace(self, groups={**self.groups, group.name: group})

    def without_group(self, name: str) -> "Roster":
        """The roster without this group."""
        return replace(self, groups={one: group for one, group in self.groups.items() if one != name})

    def changed_in(self, later: "Roster") -> set[Identity]:
        """Whose entry here is gone or not the same in `later`; with a device, its modules."""
        changed = {one for one, entry in self.registrations.items() if later.registrations.get(one) != entry}
        devices = {one.device for one in changed if one.module is None}
        return changed | {one for one in self.registrations if one.device in devices}


def _is_below(one: Identity, device: Identity) -> bool:
    return device.module is None and one.device == device.device


def parse_thumbprint(text: str) -> str:
    """A thumbprint as we keep it; colons, blanks and small letters are taken.

    Raises ValueError if it has not the length of a SHA-1 or a SHA-256.
    """
    plain = re.sub(r"[:\s]", "", text).upper()
    if _THUMBPRINT.fullmatch(plain) is None:
        raise ValueError(
            f"'{text[:100]}' is no thumbprint: expected 40 (SHA-1) or 64 (SHA-256) hexadecimal digits, "
            "as `openssl x509 -fingerprint -sha256 -noout -in FILE` prints them"
        )
    return plain


# --- reading ------------------------------------------------------------------------------------------------------


def read_roster(text: bytes) -> Roster:
    """The roster that a file holds. Raises RosterError with what is wrong and where."""
    document = _members(_load(text), "the file", {"version", "devices", "groups"}, {"version", "devices"})
    if document["version"] != VERSION or isinstance(document["version"], bool):
        raise RosterError(f"'version' is {document['version']!r:.20}; this gateway reads version {VERSION} only")
    registrations: dict[Identity, Registration] = {}
    for device, entry in _entries(document["devices"], "devices"):
        for registration in _read_device(device, entry):
            registrations[registration.identity] = registration
    groups = {name: _read_group(name, entry) for name, entry in _entries(document.get("groups", {}), "groups")}
    if len(groups) > MAX_GROUPS:
        raise RosterError(f"there are {len(groups)} groups; at most {MAX_GROUPS} are allowed")
    return Roster(registrations, groups)


def _load(text: bytes) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise RosterError(f"line {error.lineno}, column {error.colno}: no JSON ({error.msg})") from error
    except UnicodeDecodeError as error:
        raise RosterError(f"byte {error.start}: not UTF-8") from error
    except RosterError:
        raise
    except (RecursionError, ValueError):  # a number of thousands of digits is a ValueError
        raise RosterError("nested far too deep, or a number far too long") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RosterError(f"'{twice[:60]}' stands twice in one object")
    return members


def _members(value: Any, where: str, allowed: set[str], required: set[str]) -> dict[str, Any]:
    """`value` as an object with these members and no others."""
    if not isinstance(value, dict):
        raise RosterError(f"{where}: expected an object in braces")
    for name in value:
        if name not in allowed:
            near = difflib.get_close_matches(name, allowed, 1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; there are {', '.join(sorted(allowed))}"
            raise RosterError(f"{where}: unknown member '{name[:60]}'{hint}")
    for name in sorted(required - value.keys()):
        raise RosterError(f"{where}: '{name}' is missing")
    return value


def _entries(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """The members of an object whose names are ids."""
    if not isinstance(value, dict):
        raise RosterError(f"{where}: expected an object in braces")
    for name, entry in value.items():
        if not is_id(name):
            raise RosterError(f"{where}: '{name[:200]}' is no id: 1 to 128 of {ID_CHARACTERS}")
        yield name, entry


def _read_device(device: str, value: Any) -> Iterator[Registration]:
    where = f"device '{device}'"
    members = _members(value, where, {"status", "authentication", "modules"}, {"authentication"})
    yield Registration(
        identity(device), _read_credential(members["authentication"], where), _is_enabled(members, where)
    )
    for module, entry in _entries(members.get("modules", {}), f"{where}, modules"):
        yield _read_module(identity(device, module), entry)


def _read_module(owner: Identity, value: Any) -> Registration:
    where = f"module '{owner}'"
    members = _members(value, where, {"status", "authentication"}, {"authentication"})
    credential = _read_credential(members["authentication"], where)
    if not isinstance(credential, SymmetricKeys):
        raise RosterError(f"{where}: a module proves itself by keys only; its type must be 'sas'")
    return Registration(owner, credential, _is_enabled(members, where))


def _read_credential(value: Any, where: str) -> Credential:
    kind = value.get("type") if isinstance(value, dict) else None
    where = f"{where}, authentication"
    match kind:
        case "sas":
            return _read_keys(_members(value, where, {"type", *_KEYS}, _KEYS), where)
        case "selfSigned":
            prints = {"primaryThumbprint", "secondaryThumbprint"}
            members = _members(value, where, {"type", *prints}, {"primaryThumbprint"})
            second = members.get("secondaryThumbprint")
            return Thumbprints(
                _read_thumbprint(members["primaryThumbprint"], where),
                None if second is None else _read_thumbprint(second, where),
            )
        case "certificateAuthority":
            _members(value, where, {"type"}, set())
            return CaSigned()
        case "none":
            _members(value, where, {"type"}, set())
            return NoCredential()
        case _:
            raise RosterError(f"{where}: its 'type' is none of 'sas', 'selfSigned', 'certificateAuthority', 'none'")


_KEYS: Final = {"primaryKey", "secondaryKey"}


def _read_keys(members: Mapping[str, Any], where: str) -> SymmetricKeys:
    return SymmetricKeys(_read_key(members, "primaryKey", where), _read_key(members, "secondaryKey", where))


def _read_key(members: Mapping[str, Any], name: str, where: str) -> bytes:
    text = members[name]
    if not isinstance(text, str):
        raise RosterError(f"{where}: '{name}' is no text")
    try:
        return sas.decode_key(text)
    except ValueError as error:
        raise RosterError(f"{where}, '{name}': {error}") from None


def _read_thumbprint(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise RosterError(f"{where}: a thumbprint is no text")
    try:
        return parse_thumbprint(value)
    except ValueError as error:
        raise RosterError(f"{where}: {error}") from None


def _read_group(name: str, value: Any) -> Group:
    where = f"group '{name}'"
    members = _members(value, where, {"status", "idPrefix", *_KEYS}, _KEYS)
    prefix = members.get("idPrefix", "")
    if not isinstance(prefix, str) or (prefix and not is_id(prefix)):
        raise RosterError(f"{where}: 'idPrefix' is no beginning of an id")
    return Group(name, _read_keys(members, where), prefix, _is_enabled(members, where))


def _is_enabled(members: Mapping[str, Any], where: str) -> bool:
    status = members.get("status", "enabled")
    if status not in ("enabled", "disabled"):
        raise RosterError(f"{where}: 'status' is neither 'enabled' nor 'disabled'")
    return bool(status == "enabled")


# --- writing ------------------------------------------------------------------------------------------------------


def write_roster(roster: Roster) -> bytes:
    """The file that holds this roster: sorted, indented, so that a person can read and compare it."""
    devices: dict[str, dict[str, Any]] = {}
    for entry in sorted(
        roster.registrations.values(), key=lambda entry: (entry.identity.module or "", entry.identity.device)
    ):
        written = {"status": _status(entry.enabled), "authentication": _write_credential(entry.credential)}
        if entry.identity.module is None:
            devices[entry.identity.device] = written
        else:
            devices[entry.identity.device].setdefault("modules", {})[entry.identity.module] = written
    groups = {name: _write_group(roster.groups[name]) for name in sorted(roster.groups)}
    document = {"version": VERSION, "devices": devices, "groups": groups}
    return json.dumps(document, indent=1).encode("ascii") + b"\n"


def _write_credential(credential: Credential) -> dict[str, str]:
    match credential:
        case SymmetricKeys():
            return {"type": "sas", **_write_keys(credential)}
        case Thumbprints(primary, secondary):
            second = {} if secondary is None else {"secondaryThumbprint": secondary}
            return {"type": "selfSigned", "primaryThumbprint": primary, **second}
        case CaSigned():
            return {"type": "certificateAuthority"}
        case NoCredential():
            return {"type": "none"}


def _write_group(group: Group) -> dict[str, str]:
    prefix = {"idPrefix": group.id_prefix} if group.id_prefix else {}
    return {"status": _status(group.enabled), **_write_keys(group.keys), **prefix}


def _write_keys(keys: SymmetricKeys) -> dict[str, str]:
    return {"primaryKey": sas.encode_key(keys.primary), "secondaryKey": sas.encode_key(keys.secondary)}


def _status(enabled: bool) -> str:  # noqa: FBT001 - the one thing it turns into a word
    return "enabled" if enabled else "disabled"
