"""How long a gateway has left somebody waiting, measured beside a machine that may be busy elsewhere."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple


class Span(NamedTuple):
    """A time of the gateway's: it began between our dialling and our having dialled, which takes long among many."""

    since_dialled_s: float
    since_dialling_s: float


async def spanned(start: Callable[[str], Awaitable[float]], source: str) -> Span:
    """What `start` gives, and how long all of it took."""
    loop = asyncio.get_running_loop()
    dialling_at = loop.time()
    return Span(await start(source), loop.time() - dialling_at)


def within(found: Iterable[Span], least_s: float, most_s: float) -> None:
    """All of these were so long."""
    spans = list(found)
    assert least_s < min(span.since_dialling_s for span in spans)
    assert max(span.since_dialled_s for span in spans) < most_s
