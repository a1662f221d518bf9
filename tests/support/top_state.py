"""What a gateway answers to `gateway top`."""

from typing import Any, Final

AT: Final = "2026-11-21T16:34:57.123Z"


def device(name: str, per_minute: float, seen_at: str | None = AT) -> dict[str, Any]:
    """A row of the table of devices."""
    return {"name": name, "messages": 10, "messagesPerMinute": per_minute, "lastSeenAt": seen_at}


def route(name: str, hits: int, per_minute: float) -> dict[str, Any]:
    """A row of the table of routes."""
    return {"name": name, "endpoint": "$upstream", "hits": hits, "hitsPerMinute": per_minute}


def state(**more: Any) -> dict[str, Any]:
    """All of it; `more` in place of what is there."""
    base: dict[str, Any] = {
        "gateway": {"hostName": "edge-1", "version": "1.2", "uptimeSecs": 93_000, "rssBytes": 58_000_000},
        "counts": {
            "connected": 12,
            "devices": 40,
            "refusedPerMinute": 1.5,
            "messagesPerSecond": 123.4,
            "forwardedPerMinute": 7_300,
            "routes": 3,
        },
        "settings": {"source": "twin", "version": 7, "good": True},
        "rates": [0] * 57 + [1, 50, 100],
        "upstream": [{"name": "$upstream", "kind": "as the module", "sentence": "connected for 99 s"}],
        "store": {
            "state": "ready",
            "bytes": 12_345_678,
            "maxBytes": 1 << 30,
            "queues": [
                {"endpoint": "$upstream", "priority": 0, "messages": 12, "bytes": 3_000, "oldestAgeSecs": 4},
                {"endpoint": "$upstream", "priority": 2_000_000_000, "messages": 9, "bytes": 1, "oldestAgeSecs": None},
            ],
        },
        "certificates": [],
        "devices": [device("slow", 1), device("fast", 30, "2026-11-21T16:00:00.000Z"), device("silent", 0, None)],
        "routes": [route("often", 100, 1), route("now", 5, 20)],
        "unrouted": 3,
        "events": [
            {"at": AT, "level": "warning", "event": "X", "sentence": "first"},
            {"at": AT, "level": "info", "event": "Y", "sentence": "last"},
        ],
    }
    return base | more
