"""What the broker's session subscribes to, on disk: what is wanted no more is given up after a restart, too.

A session outlives the gateway, and so do its subscriptions; no broker tells a client what they are.
"""

import json
from pathlib import Path
from typing import Any

from gateway.identity.locked_file import replace_file


class KnownFilters:
    """The filters of one client id at one broker. A file that cannot be read counts as none."""

    def __init__(self, path: Path, peer: str) -> None:
        self.path = path
        self._peer = peer
        found = _read(path)
        self.had_session = found.get("peer") == peer
        """Whether the broker had a session for us; it is asked to keep one for ever."""
        self.filters = frozenset(str(one) for one in found.get("filters", ())) if self.had_session else frozenset()
        """At least those that it subscribes to."""

    def keep(self, filters: frozenset[str]) -> None:
        """These are all. Raises LockedFileError."""
        self.filters = filters
        self.had_session = True
        replace_file(self.path, json.dumps({"peer": self._peer, "filters": sorted(filters)}).encode())


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("filters"), list) else {}
