"""Automatic deployments and configurations: what they want of whom, by target conditions and priorities.

On an edge device the standard deployment of the highest priority is applied, the newest where two are equal, and on top
of it, upwards, each layered one of a higher priority (conventions.md §1.4). On devices and modules all that target them
are applied, upwards. The cloud looks every five minutes; here it is looked after each change by the service API. What
was applied is applied again only when the set of configurations changes, and stays when the last of them goes.
"""

import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgewire.message import Identity, identity
from standin.documents import JsonObject
from standin.errors import HubError
from standin.hub import Hub
from standin.query import QueryError, Source, parse_condition, parse_query
from standin.query_values import Evaluate
from standin.registry import Entry
from standin.service_content import EDGE_AGENT, Content, Piece, read_content
from standin.service_edge import EdgeRuntime
from standin.service_http import ARGUMENT, CHANGED_MEANWHILE
from standin.service_json import twin_json
from standin.twins import time_text

MAX_CONFIGURATIONS: Final = 100
"""IoT Hub's own."""
MAX_METRICS: Final = 20
"""Ours: IoT Hub takes five custom metrics of a configuration."""
UNKNOWN: Final = 404011
_EXISTS: Final = 409001
_FULL: Final = 403000
_KIND: Final = "configuration"
_APPLIED: Final = "configurations applied"
_ID: Final = re.compile(r"[a-z0-9\-+%_*!']{1,128}")
_FOR_MODULES: Final = re.compile(r"\s*FROM\s+devices\.modules\s+WHERE\s+(.*)", re.IGNORECASE | re.DOTALL)
_ROWS: Final = "SELECT deviceId FROM"
_EDGE_METRICS: Final[Mapping[str, str]] = {
    "appliedCount": "configurations.[[{id}]].status = 'Applied'",
    "reportedSuccessfulCount": "configurations.[[{id}]].status = 'Applied' AND properties.desired.$version = "
    "properties.reported.lastDesiredVersion AND properties.reported.lastDesiredStatus.code = 200",
    "reportedFailedCount": "configurations.[[{id}]].status = 'Applied' AND properties.desired.$version = "
    "properties.reported.lastDesiredVersion AND properties.reported.lastDesiredStatus.code != 200",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One configuration; `document` is the content as it was written."""

    id: str
    labels: JsonObject
    document: JsonObject
    target: str
    priority: int
    queries: Mapping[str, str]
    created_at: float
    updated_at: float
    etag: str
    content: Content

    @property
    def rank(self) -> tuple[int, float]:
        """Which of two goes on top."""
        return self.priority, self.created_at


class Configurations:
    """All configurations of one hub; every change is on disk when the call returns. HubError for what is refused."""

    def __init__(self, hub: Hub, edge: EdgeRuntime, clock: Callable[[], float] = time.time) -> None:
        self._hub = hub
        self.edge = edge
        self._clock = clock
        kept = hub.documents.all(_KIND).values()
        self._all = {each.id: each for each in map(_from_json, kept)}
        self._applied: dict[str, list[str]] = {
            key: body["applied"] for key, body in hub.documents.all(_APPLIED).items()
        }
        """By identity: the configurations that were applied last, lowest first, each with its etag."""

    def get(self, name: str) -> Configuration:
        """The configuration."""
        found = self._all.get(name)
        if found is None:
            raise HubError(UNKNOWN, f"there is no configuration {name[:200]!r}")
        return found

    def all(self) -> list[Configuration]:
        """All of them, in the order of their ids."""
        return sorted(self._all.values(), key=lambda each: each.id)

    def put(self, name: str, body: JsonObject, etag: str | None) -> Configuration:
        """Add a configuration, or change labels, target, priority and metrics of the one with this etag."""
        old = self._all.get(name)
        if etag is None and old is not None:
            raise HubError(_EXISTS, f"the configuration {name} exists; name its etag to change it")
        if etag is not None:
            self._check_etag(self.get(name), etag)
        if old is None and len(self._all) >= MAX_CONFIGURATIONS:
            raise HubError(_FULL, f"the hub has {MAX_CONFIGURATIONS} configurations already; remove one first")
        new = self._read(name, body, old)
        self._all[name] = new
        self._hub.documents.put(_KIND, name, _to_json(new))
        self.reconcile()
        return new

    def delete(self, name: str, etag: str | None) -> None:
        """Remove it; what it did to twins stays until another one applies."""
        self._check_etag(self.get(name), etag)
        del self._all[name]
        self._hub.documents.delete(_KIND, name)
        self.reconcile()

    def statuses(self, who: Identity) -> JsonObject:
        """What a query sees below `configurations` of this twin: which target it, and which are applied."""
        if not self._all:
            return {}
        owner = identity(who.device) if who.module == EDGE_AGENT else who
        entry = self._hub.registry.get(owner)
        targeting = [] if entry is None else self._targeting(entry, with_modules=who.module == EDGE_AGENT)
        applied = {each.partition(" ")[0] for each in self._applied.get(str(who), ())}
        return {each.id: {"status": "Applied" if each.id in applied else "Targeted"} for each in targeting}

    def reconcile(self) -> None:
        """Bring every twin to what the configurations want of it now."""
        for entry in self._hub.registry.entries() if self._all else ():
            if entry.edge:
                self._deploy(entry)
            if self._hub.registry.get(entry.identity) is not None:  # a deployment may have removed it just now
                self._configure(entry)
        there = {str(entry.identity) for entry in self._hub.registry.entries()} if self._applied else set()
        for key in self._applied.keys() - there:
            del self._applied[key]
            self._hub.documents.delete(_APPLIED, key)

    def metrics(self, configuration: Configuration) -> tuple[JsonObject, JsonObject]:
        """The system's metrics and its own: each with `queries` and `results`."""
        system = _system_queries(configuration)
        return self._measured(system), self._measured(configuration.queries)

    def test(self, target: str, queries: Mapping[str, Any]) -> JsonObject:
        """What is wrong with a target condition and with metrics; empty where nothing is."""
        wrong = {name: _wrong_metric(text) for name, text in queries.items()}
        return {
            "targetConditionError": _wrong_target(target) or "",
            "customMetricQueryErrors": {name: each for name, each in wrong.items() if each},
        }

    # Applying

    def _deploy(self, entry: Entry) -> None:
        """Deployments on an edge device."""
        targeting = self._targeting(entry, with_modules=True)
        standard = [each for each in targeting if not each.content.is_layer]
        if not standard:
            return
        base = max(standard, key=lambda each: each.rank)
        layers = [each for each in targeting if each.content.is_layer and each.priority > base.priority]
        chosen = [base, *layers]
        agent = identity(entry.identity.device, EDGE_AGENT)
        self._apply(agent, chosen, lambda: self.edge.deploy(entry.identity.device, [each.content for each in chosen]))

    def _configure(self, entry: Entry) -> None:
        """Configurations of a device's or a module's own twin."""
        targeting = self._targeting(entry, with_modules=False)
        if not targeting:
            return

        def write() -> None:
            desired = self._hub.twin(entry.identity).desired
            for each in targeting:
                piece = _own_piece(entry, each.content)
                desired = desired if piece is None else piece.on(desired)
            self.edge.set_desired({entry.identity: desired})

        self._apply(entry.identity, targeting, write)

    def _apply(self, who: Identity, chosen: Iterable[Configuration], write: Callable[[], None]) -> None:
        """Write, unless just these were applied the last time."""
        wanted = [f"{each.id} {each.etag}" for each in chosen]
        if self._applied.get(str(who)) == wanted:
            return
        try:
            write()
        except HubError as error:
            self._hub.note(f"{who} keeps its twin, {', '.join(wanted)} cannot be applied: {error.what}")
            return
        self._applied[str(who)] = wanted
        self._hub.documents.put(_APPLIED, str(who), {"applied": wanted})

    def _targeting(self, entry: Entry, *, with_modules: bool) -> list[Configuration]:
        """The configurations that want something of this identity, lowest first."""
        twin = twin_json(self._hub, entry)
        wanting = [
            each
            for each in self._all.values()
            if (each.content.modules and entry.edge if with_modules else _own_piece(entry, each.content) is not None)
        ]
        return sorted((each for each in wanting if _holds(each, twin)), key=lambda each: each.rank)

    # Reading

    def _read(self, name: str, body: JsonObject, old: Configuration | None) -> Configuration:
        if _ID.fullmatch(name) is None or body.get("id", name) != name:
            raise HubError(ARGUMENT, "a configuration's id has 1 to 128 of a-z, 0-9 and -+%_*!', in path and body")
        document = body.get("content") or (old.document if old else None)
        if old is not None and document != old.document:
            raise HubError(ARGUMENT, "the content of a configuration stays as it is; add another configuration")
        now = self._clock()
        new = Configuration(
            id=name,
            labels=_strings(body, "labels"),
            document=document if isinstance(document, dict) else {},
            target=_target(body),
            priority=_priority(body),
            queries=_queries(body),
            created_at=old.created_at if old else now,
            updated_at=now,
            etag=secrets.token_urlsafe(9),
            content=read_content(document),
        )
        _check_target(new)
        return new

    def _check_etag(self, found: Configuration, etag: str | None) -> None:
        if etag not in (None, "*", found.etag):
            raise HubError(CHANGED_MEANWHILE, f"the configuration {found.id} has another etag: read it again")

    def _measured(self, queries: Mapping[str, str]) -> JsonObject:
        return {"queries": dict(queries), "results": {name: self._count(text) for name, text in queries.items()}}

    def _count(self, text: str) -> int:
        query = parse_query(text)
        modules = query.source is Source.MODULES
        entries = [each for each in self._hub.registry.entries() if (each.identity.module is not None) is modules]
        return len(query.run(twin_json(self._hub, each, self.statuses(each.identity)) for each in entries))


def configuration_json(configuration: Configuration, metrics: tuple[JsonObject, JsonObject]) -> JsonObject:
    """A configuration as the service API writes it."""
    system, own = metrics
    return {
        "id": configuration.id,
        "schemaVersion": "1.0",
        "labels": configuration.labels,
        "content": configuration.document,
        "targetCondition": configuration.target,
        "createdTimeUtc": time_text(configuration.created_at),
        "lastUpdatedTimeUtc": time_text(configuration.updated_at),
        "priority": configuration.priority,
        "systemMetrics": {"results": system["results"], "queries": system["queries"]},
        "metrics": {"results": own["results"], "queries": own["queries"]},
        "etag": configuration.etag,
    }


def _own_piece(entry: Entry, content: Content) -> Piece | None:
    return content.device if entry.identity.module is None else content.module


def _holds(configuration: Configuration, twin: JsonObject) -> bool:
    condition = _condition(configuration.target)
    return condition is not None and condition(twin) is True


def _condition(target: str) -> Evaluate | None:
    """Whom a target condition means: None for nobody. Raises QueryError."""
    text = target.strip()
    if not text:
        return None
    if text == "*":
        return lambda _: True
    found = _FOR_MODULES.fullmatch(text)
    return parse_condition(found[1], Source.MODULES) if found else parse_condition(text, Source.DEVICES)


def _check_target(configuration: Configuration) -> None:
    """Raise HubError if the target condition is not understood, or is for devices where modules are meant."""
    text = configuration.target
    if wrong := _wrong_target(text):
        raise HubError(ARGUMENT, f"the targetCondition is not understood: {wrong}")
    for_modules = _FOR_MODULES.fullmatch(text.strip()) is not None
    if text.strip() not in {"", "*"} and for_modules != (configuration.content.module is not None):
        raise HubError(ARGUMENT, "FROM devices.modules WHERE … goes with moduleContent, and only with it")
    if any(map(_wrong_metric, _system_queries(configuration).values())):
        raise HubError(ARGUMENT, "the targetCondition is too long or nested too deep for the metrics that count by it")


def _wrong_target(target: str) -> str | None:
    try:
        _condition(target)
    except QueryError as error:
        return str(error)
    return None


def _wrong_metric(text: object) -> str | None:
    if not isinstance(text, str):
        return "it is no text"
    try:
        parse_query(text)
    except QueryError as error:
        return str(error)
    return None


def _system_queries(configuration: Configuration) -> dict[str, str]:
    """The queries of the cloud's own metrics; a configuration for nobody has none that says whom it targets."""
    target, found = configuration.target.strip(), _FOR_MODULES.fullmatch(configuration.target.strip())
    source = Source.MODULES if configuration.content.module is not None else Source.DEVICES
    conditions = [] if target in {"", "*"} else [f"({found[1] if found else target})"]
    applied = f"configurations.[[{configuration.id}]].status = 'Applied'"
    queries = {"appliedCount": f"{_ROWS} {source.value} WHERE {applied}"}
    if configuration.content.modules:
        conditions.insert(0, "capabilities.iotEdge = true")
        start = f"{_ROWS} {Source.MODULES.value} WHERE moduleId = '{EDGE_AGENT}' AND "
        queries = {name: start + text.format(id=configuration.id) for name, text in _EDGE_METRICS.items()}
    if target:
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        queries["targetedCount"] = f"{_ROWS} {source.value}{where}"
    return queries


def _target(body: JsonObject) -> str:
    target = body.get("targetCondition") or ""
    if not isinstance(target, str):
        raise HubError(ARGUMENT, "targetCondition is no text")
    return target


def _priority(body: JsonObject) -> int:
    priority = body.get("priority") or 0
    if not isinstance(priority, int) or isinstance(priority, bool) or priority < 0:
        raise HubError(ARGUMENT, "priority is no whole number from 0 on")
    return priority


def _queries(body: JsonObject) -> dict[str, str]:
    metrics = body.get("metrics") or {}
    queries = _strings(metrics, "queries") if isinstance(metrics, dict) else {}
    if len(queries) > MAX_METRICS:
        raise HubError(ARGUMENT, f"a configuration has at most {MAX_METRICS} metrics")
    for name, text in queries.items():
        if wrong := _wrong_metric(text):
            raise HubError(ARGUMENT, f"the metric {name} is not understood: {wrong}")
    return queries


def _strings(body: JsonObject, name: str) -> dict[str, str]:
    found = body.get(name) or {}
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise HubError(ARGUMENT, f"{name} is no JSON object of texts")
    return found


def _to_json(configuration: Configuration) -> JsonObject:
    return {
        "id": configuration.id,
        "labels": configuration.labels,
        "content": configuration.document,
        "target": configuration.target,
        "priority": configuration.priority,
        "queries": dict(configuration.queries),
        "createdAt": configuration.created_at,
        "updatedAt": configuration.updated_at,
        "etag": configuration.etag,
    }


def _from_json(body: JsonObject) -> Configuration:
    return Configuration(
        id=body["id"],
        labels=body["labels"],
        document=body["content"],
        target=body["target"],
        priority=body["priority"],
        queries=body["queries"],
        created_at=body["createdAt"],
        updated_at=body["updatedAt"],
        etag=body["etag"],
        content=read_content(body["content"]),
    )
