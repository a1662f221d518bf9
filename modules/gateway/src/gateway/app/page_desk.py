"""The page's desk: what the running gateway tells and does for whoever is logged in. Loaded with the first visitor."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, assert_never

from edgewire.message import Identity
from gateway.app.book import Book
from gateway.app.configuration import Configuration
from gateway.app.in_force import InForce
from gateway.app.overview import Overview
from gateway.app.page_deeds import Deeds, named
from gateway.app.page_trial import Tried, read_message, read_routes, replayed, sample_of, try_message
from gateway.dashboard.answers import NotAnsweredError
from gateway.dashboard.api import Shown
from gateway.dispatch.delivery import Delivery
from gateway.dispatch.methods import Methods
from gateway.dispatch.presence import Presence
from gateway.identity.registry import Registry
from gateway.identity.roster import CaSigned, NoCredential, Registration, SymmetricKeys, Thumbprints
from gateway.observe.ledger import DeviceRecord
from gateway.observe.seen import holds
from gateway.observe.tap import Routed
from gateway.observe.timeline import Timeline, iso
from gateway.observe.watching import Follower, TooManyFollowersError, Wanted

if TYPE_CHECKING:
    from gateway.observe.seen import Seen

MAX_TRIALS: Final = 2
"""Trials of routes at once; each may take a second of the processor, beside the flow."""

_HEADS: Final[Mapping[str, str]] = {
    "gateway.head.mqtt": "MQTT",
    "gateway.head.amqp": "AMQP",
    "gateway.head.amqp_guest": "AMQP",
    "gateway.head.http": "HTTPS",
    "gateway.head.plain": "MQTT without TLS",
}
_CREDENTIALS: Final[Mapping[type, str]] = {
    SymmetricKeys: "symmetric keys",
    Thumbprints: "certificates by their thumbprints",
    CaSigned: "a certificate of an authority",
    NoCredential: "none: known by its topics",
}


class PageDesk:
    """Implements `dashboard.api.Desk` and `dashboard.live.LiveDesk`."""

    def __init__(
        self,
        *,
        book: Book,
        overview: Overview,
        registry: Registry,
        presence: Presence,
        delivery: Delivery,
        methods: Methods,
        configuration: Configuration,
        in_force: InForce,
        deeds: Deeds,
        is_limited: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._book = book
        self._overview = overview
        self._registry = registry
        self._presence = presence
        self._delivery = delivery
        self._methods = methods
        self._configuration = configuration
        self._in_force = in_force
        self._deeds = deeds
        self._is_limited = is_limited
        self._trials = 0

    # The state.

    def overview(self) -> dict[str, Any]:
        """See Desk."""
        return self._overview.tell()

    def devices(self, search: str, limit: int, shown: Shown) -> dict[str, Any]:
        """See Desk."""
        wanted = search.lower()
        found = {name: named(name) in self._presence for name in self._names() if wanted in name.lower()}
        ordered = sorted(found, key=lambda name: not found[name])
        fitting = [name for name in ordered if self._fits(name, shown)]
        return {
            "devices": [self._row(name) for name in fitting[:limit]],
            "known": len(found),
            "connected": sum(found.values()),
            "found": len(fitting),
            "more": max(0, len(fitting) - limit),
        }

    def device(self, name: str) -> dict[str, Any]:
        """See Desk."""
        who = named(name)
        registration = self._registry.find(who)
        if registration is None and self._book.ledger.device(name) is None and who not in self._presence:
            raise NotAnsweredError(404, f"there is no device '{name}', and none of that name was heard since the start")
        latest = next((seen for seen in reversed(self._book.history.last()) if _is_of(seen, who)), None)
        return {
            **self._row(name),
            "credential": None if registration is None else _CREDENTIALS[type(registration.credential)],
            "subscriptions": {
                "messages": self._delivery.recipient(who) is not None,
                "methods": who in self._methods.listeners(),
            },
            "properties": {} if latest is None else latest.row()["properties"],
            "lastMessage": None if latest is None else latest.row(),
        }

    def routes(self) -> dict[str, Any]:
        """See Desk."""
        configuration = self._configuration
        return {
            "version": configuration.good_version,
            "source": configuration.good_source.value,
            "routes": self._overview.routes(),
            "unrouted": self._book.ledger.unrouted,
            "document": dict(configuration.document),
        }

    def messages(self, last: int, device: str) -> dict[str, Any]:
        """See Desk."""
        history, received = self._book.history, self._book.ledger.received
        kept = history.last()
        wanted = [seen for seen in kept if device in ("", str(seen.routed.message.envelope.sender))]
        return {
            "messages": [seen.row() for seen in wanted[-last:]] if last else [],
            "kept": len(kept),
            "leftOut": max(0, received - history.kept),
        }

    def message(self, number: int) -> dict[str, Any]:
        """See Desk."""
        seen = self._book.history.find(number)
        if seen is None:
            raise NotAnsweredError(404, f"message {number} is not kept any more")
        return {"message": seen.row(), "sample": sample_of(seen)}

    def events(self, last: int) -> dict[str, Any]:
        """See Desk."""
        return {"events": [happened.row() for happened in self._book.timeline.last(last)]}

    # The flow.

    @property
    def timeline(self) -> Timeline:
        """See LiveDesk."""
        return self._book.timeline

    def follow(self, *, device: str, route: str, text: str) -> Follower:
        """See LiveDesk."""
        try:
            return self._book.watching.follow(Wanted(wants=_filter(device, route, text)))
        except TooManyFollowersError as error:
            raise NotAnsweredError(429, str(error)) from error

    def unfollow(self, follower: Follower) -> None:
        """See LiveDesk."""
        self._book.watching.unfollow(follower)

    # Trials.

    async def try_routes(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """See Desk."""
        number = asked.get("n")
        kept = self._book.history.find(number) if isinstance(number, int) else None
        message = read_message(asked, kept)
        edited = asked.get("routes")
        return await self._try(lambda: try_message(self._tried(edited), message))

    async def replay(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """See Desk."""
        in_force, messages, edited = self._in_force.routes, self._book.history.last(), asked.get("routes")
        return await self._try(lambda: replayed(in_force, self._tried(edited), messages))

    def _tried(self, edited: object) -> Tried:
        document, settings = self._configuration.document, self._in_force.settings
        if edited is None:
            edited = {route.name: route.text for route in self._in_force.routes}
        return read_routes(edited, document, settings)

    async def _try(self, trial: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if self._trials >= MAX_TRIALS:
            raise NotAnsweredError(429, "routes are being tried already; try again in a second")
        self._trials += 1
        try:
            return await asyncio.to_thread(trial)
        finally:
            self._trials -= 1

    # Devices.

    async def twin(self, name: str) -> dict[str, Any]:
        """See Desk."""
        return await self._deeds.twin(named(name))

    async def edit_twin(self, name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """See Desk."""
        return await self._deeds.edit_twin(named(name), asked)

    async def send(self, name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """See Desk."""
        return await self._deeds.send(named(name), asked)

    async def call(self, name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """See Desk."""
        return await self._deeds.call(named(name), asked)

    # Rows of devices.

    def _names(self) -> Iterator[str]:
        """All devices that are known, those that were heard last first."""
        devices = self._book.ledger.devices
        yield from self._book.ledger.latest_first()
        for who in self._registry.roster.registrations:
            if str(who) not in devices:
                yield str(who)

    def _fits(self, name: str, shown: Shown) -> bool:
        record = self._book.ledger.device(name) or DeviceRecord()
        match shown:
            case Shown.ALL:
                return True
            case Shown.TROUBLE:
                return record.error is not None or self._is_limited(name)
            case Shown.CONNECTED | Shown.AWAY:
                who = named(name)
                state = _state(who in self._presence, self._registry.find(who), record)
                return (state == "connected") if shown is Shown.CONNECTED else state in ("away", "unknown")
        assert_never(shown)

    def _row(self, name: str) -> dict[str, Any]:
        who = named(name)
        record = self._book.ledger.device(name) or DeviceRecord()
        link = self._presence.link(who)
        return {
            "id": who.device,
            "module": who.module,
            "name": name,
            "state": _state(link is not None, self._registry.find(who), record),
            "protocol": None if link is None else _HEADS.get(type(link).__module__),
            "connectedAt": iso(record.connected_at) if link is not None and record.connected_at else None,
            "lastSeenAt": iso(record.seen_at) if record.seen_at else None,
            "limited": self._is_limited(name),
            "messages": record.messages,
            "messagesPerMinute": self._book.ledger.per_minute(record.rate),
            "lastError": None
            if record.error is None
            else {"at": iso(record.error.at), "sentence": record.error.sentence},
        }


def _state(is_connected: bool, registration: Registration | None, record: DeviceRecord) -> str:  # noqa: FBT001 — the one thing it turns into a word
    if registration is not None and not registration.enabled:
        return "disabled"
    if is_connected:
        return "connected"
    return "unknown" if record.seen_at is None else "away"


def _is_of(seen: "Seen", who: Identity) -> bool:
    return seen.routed.message.envelope.sender == who


def _filter(device: str, route: str, text: str) -> Callable[[Routed], bool]:
    """What the page's three fields let through; the cheap ones are asked first."""
    wanted_device = device.lower()

    def wants(routed: Routed) -> bool:
        if wanted_device and wanted_device not in str(routed.message.envelope.sender).lower():
            return False
        if route and route not in routed.routes:
            return False
        return not text or holds(routed, text)

    return wants
