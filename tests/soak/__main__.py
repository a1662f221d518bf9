"""`make soak`: a thousand devices for minutes, and what the gateway holds meanwhile. See `soak`."""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Final

import uvloop

from soak.soak import Load, soak
from support.gateway_site import GatewaySite

ADDRESSES: Final = ("127.93.8.1", "127.93.8.2")


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def run(load: Load) -> bool:
    """Returns whether all is as promised."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        async with GatewaySite.open(Path(folder), Path(folder) / "certificates", *ADDRESSES) as site:
            result = await soak(site, load, say)
    say(result.table())
    for problem in result.problems():
        say(f"FAILED: {problem}")
    return not result.problems()


def main() -> int:
    """Returns 0 if nothing grew and nothing was lost."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--interval", type=float, default=2.0, help="seconds between two messages of a device")
    arguments = parser.parse_args()
    load = Load(devices=arguments.devices, interval_s=arguments.interval, minutes=arguments.minutes)
    return 0 if uvloop.run(run(load)) else 1


if __name__ == "__main__":
    sys.exit(main())
