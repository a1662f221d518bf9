"""The hubs that devices are assigned to: the stand-in's own, and linked ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from edgewire.message import identity
from standin.documents import JsonObject
from standin.errors import HubError
from standin.hub import Hub
from standin.registry import Authentication, Entry, RegistryError, as_edge_device, certificate_entry, symmetric_entry
from standin.twins import TwinError

Sections = tuple[JsonObject, JsonObject]
"""Tags and desired properties."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a hub is to do for a device: have it, with these credentials, and with this twin if it is new there."""

    device: str
    keys: tuple[str, ...] = field(default=(), repr=False)
    thumbprints: tuple[str, ...] = ()
    edge: bool = False
    tags: JsonObject = field(default_factory=dict)
    desired: JsonObject = field(default_factory=dict)
    reset: bool = False
    """Begin anew, should the hub have the device already."""

    def to_json(self) -> JsonObject:
        """As it is sent to a linked hub."""
        return {
            "deviceId": self.device,
            "keys": list(self.keys),
            "thumbprints": list(self.thumbprints),
            "iotEdge": self.edge,
            "tags": self.tags,
            "desired": self.desired,
            "reset": self.reset,
        }


class AssignError(Exception):
    """A hub did not do it; the sentence says why."""


class AssignableHub(Protocol):
    """A hub as the provisioning service sees it."""

    @property
    def host(self) -> str:
        """What devices are told to call."""

    async def assign(self, assignment: Assignment) -> bool:
        """Have the device. Returns whether it was there already; raises AssignError."""

    async def sections(self, device: str) -> Sections | None:
        """What a device that moves to another hub takes along; None if it is not there. Raises AssignError."""

    async def release(self, device: str) -> None:
        """Forget a device that another hub has now. Raises AssignError."""


class OwnHub:
    """The stand-in's own hub. Implements `AssignableHub`."""

    def __init__(self, hub: Hub, host: str) -> None:
        self._hub = hub
        self._host = host

    @property
    def host(self) -> str:
        """What devices are told to call."""
        return self._host

    async def assign(self, assignment: Assignment) -> bool:
        """Have the device."""
        with _refusals():
            return assign(self._hub, assignment)

    async def sections(self, device: str) -> Sections | None:
        """What the device takes along."""
        return sections(self._hub, device)

    async def release(self, device: str) -> None:
        """Forget the device."""
        with _refusals():
            release(self._hub, device)


def assign(hub: Hub, assignment: Assignment) -> bool:
    """Have the device in this hub: its credentials are those of the assignment, its twin stays unless it is reset.

    Returns whether the device was there already. Raises RegistryError, TwinError or HubError.
    """
    who = identity(assignment.device)
    old = hub.registry.get(who)
    if old is not None and not assignment.reset:
        if not _has_credentials(old, assignment):
            hub.registry.update(_with_credentials(old, _entry(assignment)))
        return True
    if old is not None:
        hub.remove(who)
    hub.add(_entry(assignment))
    if assignment.tags or assignment.desired:
        try:
            hub.twins.update(who, tags=assignment.tags or None, desired=assignment.desired or None)
        except TwinError:
            hub.remove(who)  # not half of it
            raise
    return old is not None


def sections(hub: Hub, device: str) -> Sections | None:
    """The device's tags and desired properties; None if it is not there."""
    if hub.registry.get(identity(device)) is None:
        return None
    twin = hub.twin(identity(device))
    return twin.tags, twin.desired


def release(hub: Hub, device: str) -> None:
    """Forget the device, if it is there."""
    if hub.registry.get(identity(device)) is not None:
        hub.remove(identity(device))


def assignment_from_json(body: dict[str, Any]) -> Assignment:
    """What another stand-in asks for. Raises KeyError for what is missing."""
    return Assignment(
        device=str(body["deviceId"]),
        keys=tuple(body["keys"]),
        thumbprints=tuple(body["thumbprints"]),
        edge=bool(body["iotEdge"]),
        tags=body["tags"],
        desired=body["desired"],
        reset=bool(body["reset"]),
    )


@contextmanager
def _refusals() -> Iterator[None]:
    """What a hub refuses is the provisioning service's to tell."""
    try:
        yield
    except (RegistryError, TwinError, HubError) as error:
        raise AssignError(str(error)) from error


def _entry(assignment: Assignment) -> Entry:
    who = identity(assignment.device)
    if assignment.thumbprints:
        return certificate_entry(who, assignment.thumbprints)
    return symmetric_entry(who, keys=assignment.keys, edge=assignment.edge)


def _has_credentials(entry: Entry, assignment: Assignment) -> bool:
    if assignment.thumbprints:
        return entry.authentication is Authentication.THUMBPRINT and entry.thumbprints == assignment.thumbprints
    keys = (entry.primary_key, entry.secondary_key)
    return entry.authentication is Authentication.SYMMETRIC_KEY and keys == assignment.keys


def _with_credentials(old: Entry, new: Entry) -> Entry:
    changed = replace(
        old,
        authentication=new.authentication,
        primary_key=new.primary_key,
        secondary_key=new.secondary_key,
        thumbprints=new.thumbprints,
    )
    return as_edge_device(changed) if new.edge else changed
