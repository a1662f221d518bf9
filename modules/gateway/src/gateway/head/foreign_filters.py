"""What to subscribe to at a broker: as few filters as hear all that is wanted.

Filters that overlap are left out where one covers the other: a broker may deliver a message once for each filter that
matches it. Spec: MQTT 3.1.1 §3.3.5, MQTT 5 §3.3.4.
"""

from collections.abc import Iterable

from edgewire.codec.mqtt.topics import SHARE_PREFIX


def needed_filters(wanted: Iterable[str]) -> tuple[str, ...]:
    """Those of `wanted` that no other one covers, in their order."""
    unique = list(dict.fromkeys(wanted))
    return tuple(one for one in unique if not any(_goes_before(other, one) for other in unique))


def _goes_before(other: str, one: str) -> bool:
    """Whether `one` is needless beside `other`; of two that cover each other the shared subscription stays."""
    if other == one or not covers(_inner(other), _inner(one)):
        return False
    return not covers(_inner(one), _inner(other)) or (_is_shared(other) and not _is_shared(one))


def covers(wide: str, narrow: str) -> bool:
    """Whether a filter matches every topic that another one matches. Spec: MQTT 3.1.1 §4.7.1, §4.7.2."""
    ours, theirs = wide.split("/"), narrow.split("/")
    if ours[0] in ("+", "#") and theirs[0].startswith("$"):
        return False
    for place, level in enumerate(ours):
        if level == "#":
            return True
        if place >= len(theirs) or theirs[place] == "#" or level not in ("+", theirs[place]):
            return False
    return len(ours) == len(theirs)


def _is_shared(text: str) -> bool:
    return text.startswith(SHARE_PREFIX)


def _inner(text: str) -> str:
    """The filter of a shared subscription, `$share/{name}/{filter}`; of any other, itself. Spec: MQTT 5 §4.8.2."""
    return text.split("/", 2)[2] if _is_shared(text) else text
