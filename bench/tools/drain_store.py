"""Drain a store by its reader alone: what the way upstream could take if it cost nothing."""

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import Final

import uvloop

from edgewire.message import UPSTREAM
from gateway.store.store import Store
from gateway.store.values import StoreLimits

WINDOW: Final = 64
MAX_BYTES: Final = 1 << 36


async def drain(directory: Path) -> dict[str, float]:
    """Take and settle a window at a time until nothing is left."""
    store = Store.open(directory, StoreLimits(max_bytes=MAX_BYTES), lambda _: None)
    reader = store.reader(UPSTREAM)
    started_at, count = time.monotonic(), 0
    while entries := reader.take(WINDOW, 1 << 20):
        count += len(entries)
        reader.settle(entries)
        await asyncio.sleep(0)
    elapsed_s = time.monotonic() - started_at
    await store.close()
    return {"drained": count, "per_s": count / elapsed_s}


def main() -> None:
    """Read the command line, drain, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True)
    print(json.dumps(uvloop.run(drain(parser.parse_args().store))))


if __name__ == "__main__":
    main()
