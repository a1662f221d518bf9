"""Hubs of other stand-ins on this machine, which devices may be assigned to: each is called by its control socket."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from standin.client import Control, ControlError
from standin.documents import Documents, JsonObject
from standin.dps_enrolments import EnrolmentError
from standin.dps_hubs import AssignableHub, AssignError, Assignment, Sections

ASSIGNED_PATH: Final = "/assigned"
"""Of the control API of whoever is linked."""
_KIND: Final = "linked-hub"
_PATIENCE_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedHub:
    """The hub of another stand-in. Implements `dps_hubs.AssignableHub`."""

    name: str
    host: str
    directory: Path

    async def assign(self, assignment: Assignment) -> bool:
        """Have the device there."""
        answer = await self._ask("POST", assignment.to_json())
        return bool(answer["wasThere"])

    async def sections(self, device: str) -> Sections | None:
        """What the device takes along from there."""
        answer = await self._ask("GET", None, device=device)
        return (answer["tags"], answer["desired"]) if answer["isThere"] else None

    async def release(self, device: str) -> None:
        """Forget the device there."""
        await self._ask("DELETE", None, device=device)

    async def _ask(self, method: str, body: object, **query: str) -> Any:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await asyncio.to_thread(Control(self.directory).ask, method, ASSIGNED_PATH, body, **query)
        except ControlError as error:
            raise AssignError(f"{self.name}: {error.what}") from error
        except TimeoutError as error:
            raise AssignError(f"{self.name} did not answer within {_PATIENCE_S:g} s") from error


class LinkedHubs(Mapping[str, AssignableHub]):
    """The stand-in's own hub by the empty name, and the linked ones by theirs; changes are on disk at once."""

    def __init__(self, documents: Documents, own: AssignableHub) -> None:
        self._documents = documents
        self._own = own
        self._linked = {name: _from_json(name, body) for name, body in documents.all(_KIND).items()}

    def __getitem__(self, name: str) -> AssignableHub:
        return self._linked[name] if name else self._own

    def __iter__(self) -> Iterator[str]:
        return iter(("", *self._linked))

    def __len__(self) -> int:
        return 1 + len(self._linked)

    def linked(self) -> tuple[LinkedHub, ...]:
        """The hubs of others, in the order of their names."""
        return tuple(self._linked[name] for name in sorted(self._linked))

    def link(self, hub: LinkedHub) -> None:
        """Devices may be assigned to it from now on; one of its name is forgotten."""
        self._linked[hub.name] = hub
        self._documents.put(_KIND, hub.name, {"host": hub.host, "directory": str(hub.directory)})

    def unlink(self, name: str) -> None:
        """No more devices go there; those that are there stay. Raises EnrolmentError if it is not linked."""
        if name not in self._linked:
            raise EnrolmentError(f"no hub {name!r} is linked; `standin linked-hubs list` shows which are.")
        del self._linked[name]
        self._documents.delete(_KIND, name)


def find_hub(directory: Path, host: str | None = None) -> LinkedHub:
    """The hub of the stand-in that runs in this directory. Raises ControlError if none does."""
    status = Control(directory).ask("GET", "/status")
    return LinkedHub(name=status["hub"], host=host or status["address"], directory=directory.resolve())


def _from_json(name: str, body: JsonObject) -> LinkedHub:
    return LinkedHub(name=name, host=body["host"], directory=Path(body["directory"]))
