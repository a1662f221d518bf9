"""`gateway explain --cost`: what IoT Hub meters in a day, without the routes' `send` and with it."""

from collections.abc import Sequence
from typing import Any, Final

from edgewire.message import Message
from gateway.app.document import GatewaySettings
from gateway.app.sending_trial import Bill, Cost, cost_of_a_day
from gateway.cli.routes_input import InputError, plural, print_json, say
from gateway.routing.table import Table

QUOTAS: Final = {"F1": 8_000, "S1, B1": 400_000, "S2, B2": 6_000_000, "S3, B3": 300_000_000}
"""Messages a day and unit, by the hub's tier. Its page on quotas and throttling has them."""
MAX_DEVICES: Final = 100_000
MAX_EVERY_S: Final = 86_400.0


def explain_cost(
    samples: Sequence[Message], settings: GatewaySettings, table: Table, *, every_s: float, devices: int, as_json: bool
) -> None:
    """Print the bill. Raises InputError."""
    if not samples:
        raise InputError('--cost needs a message; write one as JSON, as {"body": {…}}')
    if not 0 < every_s <= MAX_EVERY_S:
        raise InputError(f"--every {every_s:g} is not possible: write seconds, above 0 and up to {MAX_EVERY_S:.0f}")
    if not 1 <= devices <= MAX_DEVICES:
        raise InputError(f"--devices {devices} is not possible: write 1 to {MAX_DEVICES}")
    cost = cost_of_a_day(settings, table, list(samples), every_s=every_s, devices=devices)
    if as_json:
        print_json(_answer(cost))
        return
    each = f"{plural(devices, 'device')}, each with a message every {every_s:g} s"
    say(f"{each}: {cost.received:,.0f} messages a day, like the {plural(len(samples), 'sample')} in turn")
    say("")
    say(f"{'to $upstream, a day':28} {'without send':>16} {'with send':>16}")
    for label, name in (
        ("messages", "messages"),
        ("bytes", "size"),
        ("metered, paid tiers (4 KB)", "blocks"),
        ("metered, free tier (0.5 KB)", "free_blocks"),
    ):
        say(f"{label:28} {getattr(cost.before, name):16,.0f} {getattr(cost.after, name):16,.0f}")
    for tier, quota in QUOTAS.items():
        label = f"of {quota:,} ({tier})"
        say(f"{label:28} {_share(cost.before, tier) / quota:16,.1%} {_share(cost.after, tier) / quota:16,.1%}")


def _share(bill: Bill, tier: str) -> float:
    return bill.free_blocks if tier == "F1" else bill.blocks


def _answer(cost: Cost) -> dict[str, Any]:
    return {"received": round(cost.received), "before": _bill(cost.before), "after": _bill(cost.after)}


def _bill(bill: Bill) -> dict[str, Any]:
    quotas = {tier: round(_share(bill, tier) / quota, 6) for tier, quota in QUOTAS.items()}
    return {
        "messages": round(bill.messages),
        "bytes": round(bill.size),
        "metered": round(bill.blocks),
        "meteredFree": round(bill.free_blocks),
        "ofDailyQuota": quotas,
    }
