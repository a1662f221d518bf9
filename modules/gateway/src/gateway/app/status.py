"""The gateway's state in one JSON object, for the direct method `getStatus`."""

from collections.abc import Mapping
from datetime import UTC, datetime
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
    link_now: float,
    totals: Mapping[str, int],
) -> dict[str, Any]:
    """Who is connected, what waits, how the link is, which settings hold, and all counters.

    `started_at` and `now` in seconds since 1970, `link_now` in the link's own clock.
    """
    return {
        "version": __version__,
        "startedAt": datetime.fromtimestamp(started_at, UTC).isoformat(timespec="seconds"),
        "uptimeSecs": int(now - started_at),
        "devices": len(presence),
        "connections": connections,
        "upstream": None if link is None else {"state": link.state.value, "sentence": link.sentence(link_now)},
        "settings": {
            "version": configuration.good_version,
            "source": configuration.good_source.value,
            "lastOfferWasGood": configuration.verdict is None or configuration.verdict.good,
        },
        "store": {
            "state": None if store.state is None else store.state.value,
            "bytes": store.bytes,
            "maxBytes": store.max_bytes,
            "queues": [_queue(queue, now) for queue in store.queues],
        },
        "counters": dict(totals),
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
