"""What `gateway top` shows, as lines of text that fit a terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.observe.log import clean

MIN_WIDTH: Final = 40
_BARS: Final = "▁▂▃▄▅▆▇█"


_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, slots=True)
class Order:
    """How the tables are sorted."""

    devices_by_rate: bool = True
    routes_by_rate: bool = True

    def other_devices(self) -> "Order":
        """Devices the other way."""
        return replace(self, devices_by_rate=not self.devices_by_rate)

    def other_routes(self) -> "Order":
        """Routes the other way."""
        return replace(self, routes_by_rate=not self.routes_by_rate)


def screen(state: Mapping[str, Any], width: int, height: int | None, order: Order) -> list[str]:
    """All of it, in lines of `width` columns and at most `height` of them; None for as many as there are."""
    width = max(MIN_WIDTH, width)
    head = [*_head(state, width), *_links(state), *_store(state), *_certificates(state)]
    devices, routes, events = _devices(state, order), _routes(state, order), _events(state)
    tables = [table for table in (devices, routes, events) if len(table) > 1]
    room = None if height is None else max(0, height - len(head) - len(tables))
    lines = head + [line for table in _fitted(tables, room) for line in ["", *table]]
    cut = lines if height is None else lines[:height]
    return [clean(line)[: width - 1] for line in cut]


def _fitted(tables: Sequence[list[str]], room: int | None) -> list[list[str]]:
    """Each table gets an even share of the lines there are; what a short one leaves over goes to the others."""
    if room is None:
        return list(tables)
    shares: dict[int, int] = {}
    for number in sorted(range(len(tables)), key=lambda number: len(tables[number])):
        shares[number] = min(len(tables[number]), room // (len(tables) - len(shares)))
        room -= shares[number]
    fitted = [table[: shares[number]] for number, table in enumerate(tables)]
    return [table for table in fitted if len(table) > 1]


def _head(state: Mapping[str, Any], width: int) -> list[str]:
    gateway, counts, settings = state["gateway"], state["counts"], state["settings"]
    name = gateway["hostName"] or "gateway"
    good = "good" if settings["good"] else "the last were refused"
    source = (
        settings["source"] if settings["version"] is None else f"{settings['source']} version {settings['version']}"
    )
    refused = f"{counts['refusedPerMinute']:g} refusals a minute"
    bars = _sparkline(state["rates"], max(10, width - 60))
    return [
        f"{name}  gateway {gateway['version']}  up {_age(gateway['uptimeSecs'])}  memory {_size(gateway['rssBytes'])}",
        f"devices   {counts['connected']} connected, {counts['devices']} known; {refused}",
        f"messages  in {counts['messagesPerSecond']:g} a second, out {counts['forwardedPerMinute'] / 60:.1f} {bars}",
        f"settings  {counts['routes']} routes from {source}, {good}",
    ]


def _links(state: Mapping[str, Any]) -> list[str]:
    return [f"upstream  {link['name']} ({link['kind']}): {link['sentence']}" for link in state["upstream"]] or [
        "upstream  none"
    ]


def _store(state: Mapping[str, Any]) -> list[str]:
    store = state["store"]
    share = f" ({100 * store['bytes'] / store['maxBytes']:.0f} %)" if store["maxBytes"] else ""
    lines = [
        f"store     {_size(store['bytes'])} of {_size(store['maxBytes'] or 0)}{share}, {store['state'] or 'unknown'}"
    ]
    for queue in store["queues"]:
        age = "" if queue["oldestAgeSecs"] is None else f", the oldest for {_age(queue['oldestAgeSecs'])}"
        where = f"{queue['endpoint']} priority {_priority(queue['priority'])}"
        lines.append(f"          {queue['messages']} for {where}, {_size(queue['bytes'])}{age}")
    return lines


def _certificates(state: Mapping[str, Any]) -> list[str]:
    """Those that need somebody."""
    return [
        f"certificate {each['name']}: {each['daysLeft']:g} days left. {each['advice']}"
        for each in state["certificates"]
        if each["state"] != "good"
    ]


def _devices(state: Mapping[str, Any], order: Order) -> list[str]:
    rows = state["devices"]
    if order.devices_by_rate:
        rows = sorted(rows, key=lambda row: -row["messagesPerMinute"])
    else:
        rows = sorted(rows, key=lambda row: row["lastSeenAt"] or "", reverse=True)
    lines = [f"{'A MINUTE':>9} {'MESSAGES':>10}  {'LAST SEEN':<9} DEVICE"]
    return lines + [
        f"{row['messagesPerMinute']:>9g} {row['messages']:>10}  {_clock(row['lastSeenAt']):<9} {row['name']}"
        for row in rows
    ]


def _routes(state: Mapping[str, Any], order: Order) -> list[str]:
    key = "hitsPerMinute" if order.routes_by_rate else "hits"
    rows = sorted(state["routes"], key=lambda row: -row[key])
    lines = [f"{'A MINUTE':>9} {'HITS':>10}  ROUTE → ENDPOINT"]
    lines += [f"{row['hitsPerMinute']:>9g} {row['hits']:>10}  {row['name']} → {row['endpoint']}" for row in rows]
    if state["unrouted"]:
        lines.append(f"{'':>9} {state['unrouted']:>10}  no route")
    return lines


def _events(state: Mapping[str, Any]) -> list[str]:
    rows = [f"{_clock(row['at'])} {row['level']:<7} {row['sentence']}" for row in reversed(state["events"])]
    return ["LATEST EVENTS", *rows]


def _sparkline(rates: Sequence[int], width: int) -> str:
    """The latest of these numbers, each as a bar against the highest."""
    latest = list(rates)[-width:]
    most = max(latest, default=0)
    if not most:
        return ""
    return "".join(_BARS[round(rate / most * (len(_BARS) - 1))] if rate else " " for rate in latest)


def _priority(priority: int) -> str:
    return str(priority) if priority <= 9 else "last"  # a route without one: after all others


def _clock(at: str | None) -> str:
    return "" if at is None else at[11:19]


def _age(seconds: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _size(count: float) -> str:
    for unit in _UNITS[:-1]:
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {_UNITS[-1]}"
