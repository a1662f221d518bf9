"""The state of the gateway at a glance: for its page and for `gateway top`. Loaded when somebody first looks."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from edgewire.message import DEFAULT_PRIORITY
from gateway.app.book import Book
from gateway.app.configuration import Configuration, sentence
from gateway.app.in_force import InForce
from gateway.identity.registry import Registry
from gateway.observe.ledger import Ledger
from gateway.observe.timeline import iso

if TYPE_CHECKING:
    from gateway.app.certificate_watch import WatchedCertificate

RATE_S: Final = 5
"""Seconds over which messages per second are told: one alone jumps."""
MAX_PROBLEMS: Final = 5
"""Problems of the settings, and as many warnings, that are told at each glance: a site may have one for each route."""
TOP: Final = 20
"""Devices and routes that `gateway top` gets."""
TOP_EVENTS: Final = 10


class Overview:
    """Tells it anew at each asking."""

    def __init__(
        self,
        *,
        book: Book,
        status: Callable[[], Mapping[str, Any]],
        host_name: str,
        configuration: Configuration,
        in_force: InForce,
        certificates: "Callable[[], Sequence[WatchedCertificate]]",
        registry: Registry,
    ) -> None:
        self._book = book
        self._status = status
        self._host_name = host_name
        self._configuration = configuration
        self._in_force = in_force
        self._certificates = certificates
        self._registry = registry

    def tell(self) -> dict[str, Any]:
        """All of it but devices and routes."""
        status, now = self._status(), time.time()
        return {
            "gateway": {
                "version": status["version"],
                "hostName": self._host_name,
                "startedAt": iso(datetime.fromisoformat(status["startedAt"]).timestamp()),
                "uptimeSecs": status["uptimeSecs"],
                "rssBytes": status["process"]["rssBytes"],
            },
            "counts": self._counts(status),
            "upstream": list(_links(status, now)),
            "store": status["store"],
            "certificates": [_certificate(each) for each in self._certificates()],
            "settings": self._settings(),
            "rates": list(self._book.ledger.rates),
        }

    def top(self) -> dict[str, Any]:
        """All that `gateway top` shows."""
        ledger = self._book.ledger
        devices = sorted(ledger.devices.items(), key=lambda item: -ledger.per_minute(item[1].rate))[:TOP]
        routes = sorted(self.routes(), key=lambda row: (-row["hitsPerMinute"], -row["hits"]))[:TOP]
        return {
            **self.tell(),
            "devices": [
                {
                    "name": name,
                    "messages": record.messages,
                    "messagesPerMinute": ledger.per_minute(record.rate),
                    "lastSeenAt": None if record.seen_at is None else iso(record.seen_at),
                }
                for name, record in devices
            ],
            "routes": [{key: row[key] for key in ("name", "endpoint", "hits", "hitsPerMinute")} for row in routes],
            "unrouted": ledger.unrouted,
            "events": [happened.row() for happened in self._book.timeline.last(TOP_EVENTS)],
        }

    def routes(self) -> list[dict[str, Any]]:
        """The routes in force, and what each has matched since the start."""
        ledger = self._book.ledger
        return [
            {
                "name": route.name,
                "route": route.text,
                "priority": None if route.priority == DEFAULT_PRIORITY else route.priority,
                "timeToLiveSecs": route.time_to_live_s,
                "endpoint": str(route.endpoint),
                **_hits(ledger, route.name),
            }
            for route in self._in_force.routes
        ]

    def _counts(self, status: Mapping[str, Any]) -> dict[str, Any]:
        ledger = self._book.ledger
        latest = list(ledger.rates)[-RATE_S:]
        return {
            "devices": self._known(),
            "connected": status["devices"],
            "routes": len(self._in_force.routes),
            "messages": ledger.received,
            "unrouted": ledger.unrouted,
            "messagesPerSecond": round(sum(latest) / len(latest), 1),
            "forwardedPerMinute": ledger.per_minute(ledger.forwarded),
            "refusedPerMinute": ledger.per_minute(ledger.refused),
        }

    def _known(self) -> int:
        """Devices and modules that are registered, or were heard since the start."""
        registered = {str(who) for who in self._registry.roster.registrations}
        return len(registered | self._book.ledger.devices.keys())

    def _settings(self) -> dict[str, Any]:
        configuration = self._configuration
        verdict = configuration.verdict
        problems, warnings = ((), ()) if verdict is None else (verdict.errors, verdict.warnings)
        return {
            "version": configuration.good_version,
            "source": configuration.good_source.value,
            "good": verdict is None or verdict.good,
            "problems": [sentence(problem) for problem in problems[:MAX_PROBLEMS]],
            "moreProblems": max(0, len(problems) - MAX_PROBLEMS),
            "warnings": [sentence(problem) for problem in warnings[:MAX_PROBLEMS]],
            "moreWarnings": max(0, len(warnings) - MAX_PROBLEMS),
        }


def _hits(ledger: Ledger, name: str) -> dict[str, Any]:
    record = ledger.route(name)
    return {
        "hits": record.hits,
        "hitsPerMinute": ledger.per_minute(record.rate),
        "lastHitAt": None if record.hit_at is None else iso(record.hit_at),
    }


def _links(status: Mapping[str, Any], now: float) -> Iterator[dict[str, Any]]:
    """Every way out, however many are used."""
    ways = [("upstream", "as the module"), ("upstreamOnBehalf", "on behalf of devices")]
    found = [("$upstream", kind, status[name]) for name, kind in ways]
    found.append(("broker", "client of a broker", status["broker"]))
    found += [(name, "endpoint", link) for name, link in status["endpoints"].items()]
    for name, kind, link in found:
        if link is not None:
            since = None if link.get("forSecs") is None else iso(now - link["forSecs"])
            yield {"name": name, "kind": kind, "state": link["state"], "sentence": link["sentence"], "since": since}


def _certificate(each: "WatchedCertificate") -> dict[str, Any]:
    return {
        "name": each.name,
        "subject": each.subject,
        "issuer": each.issuer,
        "notAfter": iso(each.not_after),
        "daysLeft": round(each.days_left, 2),
        "state": each.state.value,
        "advice": each.advice,
    }
