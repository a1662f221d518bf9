"""What stands behind the page, in memory: the MQTT site's rooms, a book of them, settings in force, the desk."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from gateway.app.book import Book
from gateway.app.configuration import Configuration
from gateway.app.in_force import InForce
from gateway.app.overview import Overview
from gateway.app.page_deeds import NO_SERVICE, Deeds
from gateway.app.page_desk import PageDesk
from gateway.observe.configuration import SettingsSource
from gateway.observe.observer import Observer
from support.mqtt_site import Device, Site

ROUTES: Mapping[str, Any] = {
    "hot": {
        "route": "FROM /messages/* WHERE kind = 'climate' AND $body.temperature > 30 INTO $upstream",
        "priority": 1,
    },
    "all": "FROM /messages/* INTO $upstream",
}
JSON = "%24.ct=application%2Fjson&%24.ce=utf-8"


class PageHouse:
    """A site, and a desk that shows it."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.site = site
        self.status: dict[str, Any] = {
            "version": "1",
            "startedAt": "2026-11-21T10:00:00+00:00",
            "uptimeSecs": 5,
            "devices": 0,
            "process": {"rssBytes": 50_000_000},
            "upstream": None,
            "upstreamOnBehalf": None,
            "broker": None,
            "endpoints": {},
            "store": {"state": "ready", "bytes": 0, "maxBytes": 100, "queues": []},
        }
        self.observer = Observer()
        self.book = Book(
            observer=self.observer, tap=site.tap, ingress=site.ingress, registry=site.registry, clock=site.clock
        )
        self.in_force = InForce(site.ingress, site.store, lambda _: None)
        self.configuration = Configuration(
            path=folder / "settings.json", apply=self.in_force.apply, emit=self.observer.emit
        )
        self.certificates: list[Any] = []
        self.overview = Overview(
            book=self.book,
            status=lambda: self.status,
            host_name="edge-1",
            configuration=self.configuration,
            in_force=self.in_force,
            certificates=lambda: self.certificates,
            registry=site.registry,
        )
        self.deeds = Deeds(delivery=site.delivery, methods=site.methods, twins=None, service=NO_SERVICE)
        self.desk = PageDesk(
            book=self.book,
            overview=self.overview,
            registry=site.registry,
            presence=site.presence,
            delivery=site.delivery,
            methods=site.methods,
            configuration=self.configuration,
            in_force=self.in_force,
            deeds=self.deeds,
        )

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, routes: Mapping[str, Any] = ROUTES) -> AsyncIterator[Self]:
        """A house with the devices `d1` and `d2`, whose first second has begun."""
        async with Site.open(folder) as site:
            house = cls(folder, site)
            await house.configuration.start()
            await house.use({"routes": dict(routes)})
            house.second()
            yield house

    async def use(self, document: Mapping[str, Any]) -> None:
        """These settings, good or not."""
        await self.configuration.offer(document, 3, SettingsSource.TWIN)

    def publish(self, body: bytes, bag: str = JSON, device: str = "d1") -> Device:
        """A device logs in and publishes once."""
        client = self.site.login(device)
        client.publish(f"devices/{device}/messages/events/{bag}", body)
        self.second()
        return client

    def second(self) -> None:
        """A second passes: what happened is told."""
        self.site.clock.now += 1
        events, self.site.events[:] = list(self.site.events), []
        for event in events:
            self.observer.emit(event)
        self.site.ingress.report()
        self.book.second()
