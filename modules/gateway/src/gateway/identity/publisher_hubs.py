"""Hubs that publishers send to in Event Hubs' form, as values, and their file's layout.

The file `publishers.json`, version 1, is a JSON object (ASCII):

    {"version": 1,
     "hubs": {"<hub>": {"hosts": ["<host name>"], "devicePrefix": "", "device": "",
                        "rules": {"<rule>": {"primaryKey": "<text>", "secondaryKey": "<text>"}},
                        "revoked": {"<publisher>": <s>}}}}

All members must be there and no others. Names of hubs and hosts are in lower case; keys are the text that signs, as in
Event Hubs, whatever it looks like; `revoked` says since when, in seconds since 1970.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from edgewire.iothub.http.publisher import is_hub
from edgewire.iothub.ids import is_id

VERSION: Final = 1
MAX_HUBS: Final = 64
MAX_RULES: Final = 12
"""Of a hub: Event Hubs' own limit."""
MAX_HOSTS: Final = 16
MAX_REVOKED: Final = 10_000
"""Of all hubs; the file is written whole at each change."""
MIN_KEY_CHARS: Final = 16
MAX_KEY_CHARS: Final = 256
"""Event Hubs' have 44."""

_RULE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,254}[A-Za-z0-9])?", re.ASCII)
_HOST: Final = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63}){0,16}|[0-9a-f:.]{2,45}", re.ASCII)
_KEY: Final = re.compile(rf"[!-~]{{{MIN_KEY_CHARS},{MAX_KEY_CHARS}}}")


class PublishersError(ValueError):
    """What is wrong with hubs or with their file, and where in it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a hub with the right to send: two keys, each as good as the other."""

    primary: str = field(repr=False)
    secondary: str = field(repr=False)

    @property
    def keys(self) -> tuple[bytes, bytes]:
        """The bytes that sign: those of the text. Spec: iothub_wire.md §6."""
        return self.primary.encode("ascii"), self.secondary.encode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """A hub to send to. `hosts`: names that its address may have beside the gateway's own.

    A publisher is the device `device_prefix` + its name; what names no publisher comes from `device`, or is refused
    where that is empty.
    """

    name: str
    hosts: tuple[str, ...] = ()
    device_prefix: str = ""
    device: str = ""
    rules: Mapping[str, Rule] = field(default_factory=dict)
    revoked: Mapping[str, float] = field(default_factory=dict)

    def rule(self, name: str) -> Rule | None:
        """A rule by its name, whatever its case."""
        folded = name.lower()
        return next((rule for each, rule in self.rules.items() if each.lower() == folded), None)


@dataclass(frozen=True, slots=True)
class Hubs:
    """All hubs that there are, by name."""

    by_name: Mapping[str, Hub] = field(default_factory=dict)

    def hub(self, name: str) -> Hub:
        """The hub of this name. Raises PublishersError if there is none."""
        if name not in self.by_name:
            raise PublishersError(f"there is no hub '{name}'")
        return self.by_name[name]

    def with_hub(self, hub: Hub) -> "Hubs":
        """This one too, or in the place of the one of its name. Raises PublishersError if there are too many."""
        whole = Hubs({**self.by_name, hub.name: hub})
        _check_counts(whole)
        return whole

    def without(self, name: str) -> "Hubs":
        """All but this one."""
        return Hubs({each: hub for each, hub in self.by_name.items() if each != name})

    def with_revoked(self, name: str, publisher: str, now: float) -> "Hubs":
        """The same, with nobody let in as this publisher of the hub `name`."""
        hub = self.hub(name)
        return self.with_hub(replace(hub, revoked={**hub.revoked, publisher: now}))

    def with_restored(self, name: str, publisher: str) -> "Hubs":
        """The same, with this publisher of the hub `name` let in again."""
        hub = self.hub(name)
        return self.with_hub(replace(hub, revoked={one: at for one, at in hub.revoked.items() if one != publisher}))


def is_rule(text: str) -> bool:
    """Whether `text` can name a rule."""
    return _RULE.fullmatch(text) is not None


def is_host(text: str) -> bool:
    """Whether `text` is a host name, or an address, in lower case and without a port."""
    return _HOST.fullmatch(text) is not None


def is_key(text: str) -> bool:
    """Whether `text` can be a rule's key."""
    return _KEY.fullmatch(text) is not None


def _check_counts(hubs: Hubs) -> None:
    if len(hubs.by_name) > MAX_HUBS:
        raise PublishersError(f"there would be {len(hubs.by_name)} hubs; at most {MAX_HUBS} are kept")
    for hub in hubs.by_name.values():
        if len(hub.rules) > MAX_RULES:
            raise PublishersError(f"hub '{hub.name}' would have {len(hub.rules)} rules; a hub has {MAX_RULES} at most")
        if len(hub.hosts) > MAX_HOSTS:
            raise PublishersError(f"hub '{hub.name}' would have {len(hub.hosts)} hosts; a hub has {MAX_HOSTS} at most")
    revoked = sum(len(hub.revoked) for hub in hubs.by_name.values())
    if revoked > MAX_REVOKED:
        raise PublishersError(
            f"{revoked} publishers would be revoked; at most {MAX_REVOKED} are kept. Give the rule another key instead"
        )


# --- reading and writing ----------------------------------------------------------------------------------------------


def read_hubs(text: bytes) -> Hubs:
    """The hubs that a file holds. Raises PublishersError with what is wrong."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise PublishersError("it is no JSON") from None
    if not isinstance(document, dict) or document.keys() != {"version", "hubs"} or document["version"] != VERSION:
        raise PublishersError(f"it is no object of version {VERSION} with 'hubs'")
    if not isinstance(document["hubs"], dict):
        raise PublishersError("'hubs' is no object")
    hubs = Hubs({name: _read_hub(name, value) for name, value in document["hubs"].items()})
    _check_counts(hubs)
    return hubs


def _is_text(accepts: Callable[[str], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and (not value or accepts(value))


def _is_object(names: Callable[[str], bool], values: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(names(name) and values(each) for name, each in value.items())


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12


def _is_rule_object(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"primaryKey", "secondaryKey"}
        and all(isinstance(key, str) and is_key(key) for key in value.values())
    )


_MEMBERS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "hosts": lambda value: isinstance(value, list) and all(isinstance(each, str) and is_host(each) for each in value),
    "devicePrefix": _is_text(is_id),
    "device": _is_text(is_id),
    "rules": _is_object(is_rule, _is_rule_object),
    "revoked": _is_object(is_id, _is_time),
}


def _read_hub(name: str, value: Any) -> Hub:
    if not is_hub(name) or name != name.lower():
        raise PublishersError(f"'{name[:60]}' is no name of a hub")
    if not isinstance(value, dict) or value.keys() != _MEMBERS.keys():
        raise PublishersError(f"hub '{name}': expected an object with {', '.join(_MEMBERS)}, and nothing else")
    for member, is_good in _MEMBERS.items():
        if not is_good(value[member]):
            raise PublishersError(f"hub '{name}': '{member}' has not the form that it must have")
    return Hub(
        name=name,
        hosts=tuple(value["hosts"]),
        device_prefix=value["devicePrefix"],
        device=value["device"],
        rules={each: Rule(rule["primaryKey"], rule["secondaryKey"]) for each, rule in value["rules"].items()},
        revoked=value["revoked"],
    )


def write_hubs(hubs: Hubs) -> bytes:
    """The file that holds these hubs."""
    written = {name: _write_hub(hub) for name, hub in sorted(hubs.by_name.items())}
    return json.dumps({"version": VERSION, "hubs": written}, indent=1).encode("ascii") + b"\n"


def _write_hub(hub: Hub) -> dict[str, Any]:
    return {
        "hosts": list(hub.hosts),
        "devicePrefix": hub.device_prefix,
        "device": hub.device,
        "rules": {
            name: {"primaryKey": rule.primary, "secondaryKey": rule.secondary} for name, rule in hub.rules.items()
        },
        "revoked": dict(sorted(hub.revoked.items())),
    }
