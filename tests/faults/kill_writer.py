"""Appends numbered messages to the store given as argument and prints each once it is acknowledged, until killed."""

import asyncio
import sys
from pathlib import Path

from edgewire.message import DEFAULT_PRIORITY, UPSTREAM, Delivery
from faults.inline import message
from gateway.store.store import Store
from gateway.store.values import AppendResult, StoreLimits

DELIVERIES = (Delivery(UPSTREAM, DEFAULT_PRIORITY),)


def append_ten(store: Store, first: int) -> "asyncio.Future[None]":
    told: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def done(result: AppendResult) -> None:
        assert result is AppendResult.STORED
        sys.stdout.write(f"{first + 9}\n")
        sys.stdout.flush()
        told.set_result(None)

    store.append([(message(b"%d" % number), DELIVERIES) for number in range(first, first + 10)], done)
    return told


async def write(directory: Path, first: int) -> None:
    store = Store.open(directory, StoreLimits(segment_bytes=1 << 20), lambda event: None)
    reader = store.reader(UPSTREAM)
    number = first
    while True:
        told = [append_ten(store, number + 10 * place) for place in range(8)]
        number += 80
        await asyncio.gather(*told)
        # Half of what comes is settled, so that checkpoints and freed segments are in play.
        entries = reader.take(40, 1 << 20)
        reader.settle(entries)
        if entries:
            sys.stdout.write(f"settled {int(entries[-1].message.body)}\n")
            sys.stdout.flush()


asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2])))
