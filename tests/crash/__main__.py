"""`make crash`: kill the gateway and cut its power, again and again under load, and print the four counts."""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from crash.campaign import kill_campaign, power_campaign, power_cut_without_syncs
from crash.counts import Counts
from support.gateway_site import GatewaySite

ADDRESSES: Final = ("127.93.7.1", "127.93.7.2")
CAMPAIGNS: Final[dict[str, Callable[..., Coroutine[Any, Any, Counts]]]] = {
    "kill": kill_campaign,
    "power": power_campaign,
}


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def run(kind: str, cycles: int, seed: int) -> bool:
    """One campaign. Returns whether it proves what it should."""
    say(f"{kind}: {cycles} cycles, seed {seed}")
    began_at = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        async with GatewaySite.open(Path(folder), Path(folder) / "certificates", *ADDRESSES) as site:
            counts = await CAMPAIGNS[kind](site, cycles, seed, say)
    say(f"{kind}: {cycles} cycles in {time.monotonic() - began_at:.0f} s\n{counts.table()}\n")
    return counts.is_clean() and counts.acknowledged > 0


async def control(seed: int) -> bool:
    """The negative control. Returns whether the loss was seen."""
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        async with GatewaySite.open(Path(folder), Path(folder) / "certificates", *ADDRESSES) as site:
            found = await power_cut_without_syncs(site, seed)
    say(f"negative control, syncs switched off: {found or 'NOTHING WAS SEEN, so the run proves nothing'}\n")
    return bool(found)


async def run_all(kinds: list[str], cycles: int, seed: int) -> bool:
    """The control first: without it the rest is void."""
    good = await control(seed) if "power" in kinds else True
    for kind in kinds:
        good = await run(kind, cycles, seed) and good
    return good


def main() -> int:
    """Returns 0 if nothing was lost, duplicated, reordered or made up."""
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--cycles", type=int, default=200, help="of each kind")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same instants to die")
    parser.add_argument("--kind", choices=(*CAMPAIGNS, "all"), default="all")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # asyncio warns of each write to a gateway that is dead
    kinds = list(CAMPAIGNS) if arguments.kind == "all" else [arguments.kind]
    good = asyncio.run(run_all(kinds, arguments.cycles, arguments.seed))
    say("nothing lost, duplicated, out of order or never sent" if good else "FAILED: see the counts above")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
