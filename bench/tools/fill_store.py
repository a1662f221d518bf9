"""Fill a store with a backlog for $upstream, by the store's own calls."""

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import Final

from edgewire.iothub.bag import read_bag
from edgewire.iothub.messages import envelope_for
from edgewire.message import UPSTREAM, Delivery, Message, identity
from gateway.store.store import Store
from gateway.store.values import AppendResult, StoreLimits

BODY: Final = (
    b'{"messageType":"state","machine":{"temperature":71.50},"ambient":{"humidity":24},"pad":"' + b"x" * 166 + b'"}'
)
SENDERS: Final = 100
BATCH: Final = 2_000
MAX_BYTES: Final = 1 << 36


async def fill(directory: Path, wanted: int) -> dict[str, float]:
    """Append until the store is that large. Returns what it holds, and how long that took."""
    store = Store.open(directory, StoreLimits(max_bytes=MAX_BYTES), lambda _: None)
    bag = read_bag("$.ct=application%2Fjson&$.ce=utf-8")
    envelopes = [envelope_for(identity(f"device-{number:05d}"), bag, marks={}) for number in range(SENDERS)]
    batch = [(Message(envelopes[number % SENDERS], BODY), (Delivery(UPSTREAM),)) for number in range(BATCH)]
    started_at = time.monotonic()
    count = 0
    while store.status().bytes < wanted:
        stored: asyncio.Future[AppendResult] = asyncio.get_running_loop().create_future()
        store.append(batch, stored.set_result)
        result = await stored
        if result is not AppendResult.STORED:
            raise SystemExit(f"the store answered {result.value}")
        count += BATCH
    elapsed_s = time.monotonic() - started_at
    size = store.status().bytes
    await store.close()
    return {"messages": count, "store_bytes": size, "append_per_s": count / elapsed_s}


def main() -> None:
    """Read the command line, fill, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--bytes", type=int, required=True)
    arguments = parser.parse_args()
    print(json.dumps(asyncio.run(fill(arguments.store, arguments.bytes))))


if __name__ == "__main__":
    main()
