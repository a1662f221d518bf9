"""The room of topic mapping: made when somebody first hands in publications, told the rules, and kept in house."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgewire.message import Identity
from gateway.dispatch.ingress import Ingress
from gateway.identity.registry import Registry, RegistryError
from gateway.identity.roster import NoCredential, Registration, Roster
from gateway.observe.events import Event
from gateway.observe.topics import TopicDevicesNotKept

if TYPE_CHECKING:
    from gateway.app.document import GatewaySettings
    from gateway.dispatch.mapped import MappedIngress

COLLECT_S: Final = 1.0
"""Devices of a site come together after a start; a write for each would wear out the card."""
WRITE_AGAIN_S: Final = 60.0
"""After devices could not be written down: a disk is not whole again sooner."""


class TopicRoom:
    """What there is of topic mapping; sites without a plain listener or a foreign broker load nothing of it."""

    def __init__(
        self,
        ingress: Ingress,
        registry: Registry,
        devices: Path,
        emit: Callable[[Event], None],
        logs_in: Callable[[Identity], bool] = lambda _who: False,
    ) -> None:
        self._logs_in = logs_in
        self._ingress = ingress
        self._registry = registry
        self._devices = devices
        self._emit = emit
        self._settings: GatewaySettings | None = None
        self._mapped: MappedIngress | None = None
        self._newcomers = asyncio.Event()

    def use(self, settings: "GatewaySettings") -> None:
        """These settings are in force."""
        self._settings = settings
        if self._mapped is not None:
            self._instruct(self._mapped)

    def intake(self) -> "MappedIngress":
        """Where publications are handed in; one for all who do."""
        if self._mapped is None:
            from gateway.dispatch.mapped import MappedIngress  # noqa: PLC0415 — most sites' devices log in

            self._mapped = MappedIngress(self._ingress, self._registry, self._emit, self._newcomers.set, self._logs_in)
            self._instruct(self._mapped)
        return self._mapped

    def _instruct(self, mapped: "MappedIngress") -> None:
        from gateway.topics.mapping import TopicDevices, TopicMap  # noqa: PLC0415 — as above

        settings = self._settings
        topics = None if settings is None else settings.topics
        policy = None if settings is None else settings.topic_devices
        mapped.use(topics or TopicMap(), policy or TopicDevices())

    def report(self) -> None:
        """Tell what was counted."""
        if self._mapped is not None:
            self._mapped.report()

    def status(self) -> Mapping[str, Any] | None:
        """For `getStatus`; None where nobody maps topics."""
        return None if self._mapped is None else self._mapped.status()

    async def run(self) -> None:
        """Write down devices that come by a topic. Those whose writing a stop cuts off come again as they came."""
        while True:
            await self._newcomers.wait()
            await asyncio.sleep(COLLECT_S)
            self._newcomers.clear()
            if self._mapped is not None and not await self._write(self._mapped):
                await asyncio.sleep(WRITE_AGAIN_S)
                self._newcomers.set()

    async def _write(self, mapped: "MappedIngress") -> bool:
        newcomers = mapped.newcomers()
        try:
            await asyncio.to_thread(add_devices, self._devices, newcomers)
        except RegistryError as error:
            self._emit(TopicDevicesNotKept(len(newcomers), str(error)))
            return False
        self._registry.reload()
        mapped.written(newcomers)
        return True


def add_devices(path: Path, devices: Collection[Identity]) -> None:
    """Put devices without credentials into the registry's file, where they have no entry yet. Blocks.

    Raises RegistryError if it cannot be written. It opens the file by itself: the gateway's view of it follows.
    """

    def change(roster: Roster) -> Roster:
        new = {who: Registration(who, NoCredential()) for who in devices if who not in roster.registrations}
        return replace(roster, registrations={**roster.registrations, **new})

    if devices:
        Registry(path).edit(change)
