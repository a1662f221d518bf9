"""How much the local broker holds; every limit by name, with its reason and what happens beyond it."""

from dataclasses import dataclass
from typing import Final

MESSAGE_OVERHEAD: Final = 256
"""Bytes counted for a message that waits, beside its topic and payload: what Python's objects take."""
PROPERTY_OVERHEAD: Final = 160
"""The same for one user property."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerLimits:
    """What clients can make grow.

    max_retained, max_retained_bytes: retained messages of all topics, with all that they say; they stand in
        memory. Beyond, a message on a new topic is delivered and not kept.
    max_sessions: of clients that are away. Beyond, the one that has been away for longest is forgotten: 3.1.1 clients
        give their sessions no end.
    max_session_s: how long a client may be away before its session ends, whatever it asked for; a week.
    max_subscriptions: filters of one client. Beyond, SUBSCRIBE is refused.
    max_all_subscriptions: of all clients; the same.
    max_levels: of a filter: each level costs a node. The same.
    max_all_levels: of all filters, those of a common beginning once: nodes take 0.4 KB each. The same.
    max_queued, max_queued_bytes: what waits for one client that is away or slow. Beyond, the oldest is dropped.
    max_all_queued_bytes: what waits for all clients; the client that gets one more loses its oldest.
    retained_per_turn: retained messages looked at for one subscriber in one turn of the loop.
    max_known_matches: topics that came before, and the subscriptions remembered for them; beyond, the memory starts
        again.
    max_known_topic_chars: of such a topic; subscribers of longer ones are looked up each time.
    """

    max_retained: int = 10_000
    max_retained_bytes: int = 16_777_216
    max_sessions: int = 1_000
    max_session_s: int = 604_800
    max_subscriptions: int = 1_000
    max_all_subscriptions: int = 20_000
    max_levels: int = 32
    max_all_levels: int = 65_536
    max_queued: int = 10_000
    max_queued_bytes: int = 4_194_304
    max_all_queued_bytes: int = 33_554_432
    retained_per_turn: int = 200
    max_known_matches: int = 16_384
    max_known_topic_chars: int = 256
