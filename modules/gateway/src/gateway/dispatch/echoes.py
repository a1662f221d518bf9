"""Loops between brokers: what we sent to a peer and the peer brings back is recognised, and goes no further.

Two ways, the exact one first:

- **By its way**, where messages carry properties: every gateway that sends a message on adds its name to the property
  `VIA`. A message that names us has been here, over however many brokers it came; one with too many names has lost its
  way. Cannot be wrong.
- **By its likeness**, where they carry none: a message from a peer that is the same, topic and payload, as one that we
  sent to that same peer a moment ago. One sending explains one return, so a value that others send more often than we
  do gets through. It can be wrong once: somebody behind the peer says the same on the same topic within the window.

Not recognised without properties: a loop in which a peer changes topic or payload, and one over three brokers, where
what went to one comes from another. A relay between two peers looks the same, and its messages must not be cut;
`has_come_round` is for those who know better.

Bounded in time by the window and in number by `MAX_REMEMBERED`: the oldest are forgotten first, and a loop that is
missed for that reason is cut at its next round.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 10.0
"""How late an echo may come. Longer finds echoes that waited in a queue, and mistakes more messages for one."""

ROUND_S: Final = 1.0
"""How late a message may come round over a peer that it was not sent to. Brokers of one site take milliseconds; most
sensors send once a second at most, so what they send twice, and is passed on, is not taken for a loop."""

MAX_REMEMBERED: Final = 10_000
"""Messages sent within the window; at 400 bytes each, 4 MB at most."""

MAX_SAME: Final = 100
"""Of these the same message: who says it so often waits for each look at them."""

VIA: Final = "edge-gateway-via"
"""The property with the names of the gateways that sent a message on, the first first; no id has the `;` between."""

MAX_HOPS: Final = 8
"""Gateways in a row. No site has so many: a message with more names circles between gateways of one name each time."""

Pairs = Sequence[tuple[str, str]]
"""Properties in their order; a name may come twice."""

_Key = int


@dataclass(slots=True, eq=False)
class _Sending:
    """A message that went to a peer. It may come back from there, and it may come round over another way as well."""

    at: float
    to: str
    has_come_back: bool = False
    has_come_round: bool = False


class Echoes:
    """Remembers what was sent to which peer, as hashes. `now` is any clock that does not go back, the same each time.

    Record what was sent only to peers that may bring it back: a bridge, or a broker on which we hear our own topic.
    """

    def __init__(self, window_s: float = WINDOW_S, max_remembered: int = MAX_REMEMBERED) -> None:
        self._window_s = window_s
        self._max_remembered = max_remembered
        self._order: deque[tuple[float, _Key]] = deque()
        self._sent: dict[_Key, deque[_Sending]] = {}

    def sent(self, to: str, topic: str, payload: bytes, now: float) -> None:
        """`payload` goes to the peer `to` on `topic`; it may come back."""
        self._forget_before(now - self._window_s)
        if len(self._order) >= self._max_remembered:
            self._forget_oldest()
        key = _key(topic, payload)
        self._order.append((now, key))
        same = self._sent.setdefault(key, deque())
        if len(same) >= MAX_SAME:
            same.popleft()
        same.append(_Sending(now, to))

    def is_echo(self, from_: str, topic: str, payload: bytes, now: float) -> bool:
        """Whether this is what we sent to `from_`, come back. True once for each sending."""
        for sending in self._remembered(topic, payload, now):
            if sending.to == from_ and not sending.has_come_back:
                sending.has_come_back = True
                return True
        return False

    def has_come_round(self, topic: str, payload: bytes, now: float) -> bool:
        """Whether this is what we sent to anybody within `ROUND_S`. True once for each sending.

        For one who hears a broker whose bridges are peers of ours under names that it does not know.
        """
        for sending in self._remembered(topic, payload, now):
            if sending.at >= now - ROUND_S and not sending.has_come_round:
                sending.has_come_round = True
                return True
        return False

    def _remembered(self, topic: str, payload: bytes, now: float) -> Iterable[_Sending]:
        if not self._order:
            return ()
        self._forget_before(now - self._window_s)
        return self._sent.get(_key(topic, payload), ())

    def _forget_before(self, then: float) -> None:
        while self._order and self._order[0][0] < then:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        at, key = self._order.popleft()
        same = self._sent.get(key)
        # Of too many that are the same the oldest went before.
        if same is not None and same[0].at <= at:
            same.popleft()
            if not same:
                del self._sent[key]


def has_been_here(properties: Pairs, gateway: str) -> bool:
    """Whether the gateway of this name has sent the message on before, or more gateways than any site has."""
    names = _names(properties)
    return gateway in names or len(names) >= MAX_HOPS


def with_our_name(properties: Pairs, gateway: str) -> list[tuple[str, str]]:
    """The properties of a message that this gateway sends on."""
    others = [pair for pair in properties if pair[0] != VIA]
    return [*others, (VIA, ";".join([*_names(properties), gateway]))]


def _names(properties: Pairs) -> list[str]:
    return [name for key, value in properties if key == VIA for name in value.split(";") if name]


def _key(topic: str, payload: bytes) -> _Key:
    # Python's hash of text and bytes is keyed anew in each process: nobody outside can find two messages with the same.
    # The topic itself is not kept: it may have 64 KB.
    return hash((topic, payload))
