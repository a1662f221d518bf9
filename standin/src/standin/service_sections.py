"""Changes of twins from the service side: what a body asks for, kept, and told to the device."""

from dataclasses import dataclass
from typing import Any, Final

from edgewire.iothub.twins import TwinError
from edgewire.message import Identity
from standin.documents import JsonObject
from standin.errors import HubError
from standin.hub import Hub
from standin.service_http import ARGUMENT
from standin.twins import Twin

TOO_LARGE: Final = 413001
_OURS: Final = frozenset({"$version", "$metadata"})
"""The hub's own members of a section: whoever sends back what it has read means nothing by them."""


@dataclass(frozen=True, slots=True)
class Sections:
    """The sections that a body names; None for one that stays as it is."""

    tags: JsonObject | None
    desired: JsonObject | None


def read_sections(body: JsonObject) -> Sections:
    """The sections of a twin in a body. Raises HubError if one of them is no object."""
    properties = _section(body, "properties") or {}
    return Sections(_section(body, "tags"), _section(properties, "desired"))


def patch_twin(hub: Hub, who: Identity, sections: Sections) -> Twin:
    """Merge the sections into the twin, and notify the device. Raises HubError beyond the limits of twins."""
    if sections == Sections(None, None):
        return hub.twin(who)
    try:
        twin = hub.twins.update(who, tags=sections.tags, desired=sections.desired)
    except TwinError as error:
        raise refused(error) from error
    if sections.desired is not None:
        hub.tell_desired(who, sections.desired, twin.desired_version)
    return twin


def replace_twin(hub: Hub, who: Identity, sections: Sections) -> Twin:
    """Put the sections in place of the old ones, and tell the device what that changes. Raises HubError."""
    if sections == Sections(None, None):
        return hub.twin(who)
    try:
        twin, patch = hub.twins.replace(who, tags=sections.tags, desired=sections.desired)
    except TwinError as error:
        raise refused(error) from error
    if sections.desired is not None:
        hub.tell_desired(who, patch, twin.desired_version)
    return twin


def refused(error: TwinError) -> HubError:
    """The refusal as the service side hears it."""
    return HubError(TOO_LARGE if error.status == 413 else ARGUMENT, error.what)


def _section(body: JsonObject, name: str) -> JsonObject | None:
    value: Any = body.get(name)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise HubError(ARGUMENT, f"{name} is no JSON object")
    return {key: member for key, member in value.items() if key not in _OURS}
