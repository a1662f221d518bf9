"""The gateway's state in one JSON object, for the direct method `getStatus`."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gateway import __version__
from gateway.app.configuration import Configuration
from gateway.dispatch.presence import Presence
from gateway.store.values import QueueStatus, StoreStatus
from gateway.upstream.proxy import LinkStatus


def gateway_status(
    *,
    started_at: float,
    now: float,
    presence: Presence,
    connections: int,
    store: StoreStatus,
    configuration: Configuration,
    link: LinkStatus | None,
    devices_link: LinkStatus | None,
    link_now: float,
    totals: Mapping[str, int],
    topics: Mapping[str, Any] | None = None,
    broker: Mapping[str, Any] | None = None,
    plain: Mapping[str, Any] | None = None,
    endpoints: Mapping[str, LinkStatus] = MappingProxyType({}),
    unsent: Sequence[str] = (),
    certificates: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Who is connected, what waits, how the links are, which settings hold, what the process holds, and all counters.

    `link` is the one as the module, `devices_link` the one on behalf of devices; None for a way that is not used.
    `endpoints`: the link to each that the settings name, or have named since the start.
    `topics` is what topic mapping says of itself, None where nobody maps. `broker`: the client of the site's broker.
    `plain`: the plain listener and who talks there, None where it is off.
    `unsent`: routes whose batches have no sender. `certificates`: see `CertificateWatch.status`.
    `started_at` and `now` in seconds since 1970, `link_now` in the links' own clock.
    """
    return {
        "version": __version__,
        "startedAt": datetime.fromtimestamp(started_at, UTC).isoformat(timespec="seconds"),
        "uptimeSecs": int(now - started_at),
        "devices": len(presence),
        "connections": connections,
        "upstream": _link(link, link_now),
        "upstreamOnBehalf": _link(devices_link, link_now),
        "endpoints": {name: _link(each, link_now) for name, each in endpoints.items()},
        "settings": {
            "version": configuration.good_version,
            "source": configuration.good_source.value,
            "lastOfferWasGood": configuration.verdict is None or configuration.verdict.good,
            "batchesWithoutSender": list(unsent),
        },
        "store": {
            "state": None if store.state is None else store.state.value,
            "bytes": store.bytes,
            "maxBytes": store.max_bytes,
            "queues": [_queue(queue, now) for queue in store.queues],
        },
        "topics": None if topics is None else dict(topics),
        "broker": None if broker is None else dict(broker),
        "plain": None if plain is None else dict(plain),
        "certificates": list(certificates),
        "process": _process(),
        "counters": dict(totals),
    }


def _link(link: LinkStatus | None, now: float) -> dict[str, Any] | None:
    if link is None:
        return None
    return {"state": link.state.value, "sentence": link.sentence(now), "forSecs": int(now - link.since_at)}


def _process() -> dict[str, int]:
    """What this process holds; called on the event loop. Linux tells it in files."""
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "rssBytes": resident_pages * os.sysconf("SC_PAGE_SIZE"),
        "openFiles": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "tasks": len(asyncio.all_tasks()),
    }


def _queue(queue: QueueStatus, now: float) -> dict[str, Any]:
    oldest = queue.oldest_at_ms
    return {
        "endpoint": str(queue.endpoint),
        "priority": queue.priority,
        "messages": queue.messages,
        "bytes": queue.bytes,
        "oldestAgeSecs": None if oldest is None else int(now - oldest / 1000),
    }
