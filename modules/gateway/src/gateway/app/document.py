"""The settings document: what an operator tunes in the module twin, or the same JSON in a file (design §4).

It may come bare, wrapped as a twin, or inside a whole deployment, standard or layered. All of it is checked before any
of it is used, and all problems are reported with their place in the document.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from gateway.app.document_policy import read_policy
from gateway.app.document_rows import names
from gateway.app.document_sinks import judge_endpoint
from gateway.app.document_table import (
    BOARDS_ROWS,
    DEFAULT_MAX_BYTES,
    DEFAULT_TIME_TO_LIVE_S,
    MAX_BOARD_SETTINGS_BYTES,
    MAX_PRIORITY,
    MAX_SECONDS,
    MIN_MAX_BYTES,
    MOST_MAX_BYTES,
    ROUTE_ROWS,
    ROWS,
    STORE_ROWS,
    VERSIONS,
)
from gateway.app.document_tests import RouteTest, read_tests
from gateway.routing.compile import RouteSpec, compile_routes
from gateway.routing.problems import RouteProblem, near_match
from gateway.routing.table import Table
from gateway.store.values import WhenFull

if TYPE_CHECKING:
    from gateway.dispatch.allowance import Limits
    from gateway.dispatch.filters import Lessened
    from gateway.topics.mapping import TopicDevices, TopicMap
    from gateway.upstream.endpoint import EndpointSettings

EDGE_HUB: Final = "$edgeHub"

_EDGE_HUB_KEYS: Final = ("schemaVersion", "routes", "storeAndForwardConfiguration", "mqttBroker", "integrity")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsProblem:
    """What is wrong, or surprising, at `path` of the document. `route` has the place inside a route's text."""

    path: str
    message: str
    fix: str = ""
    route: RouteProblem | None = None

    def rendered(self) -> str:
        """What a person reads."""
        if self.route is not None:
            return self.route.rendered()
        text = f"{self.path or 'document'}: {self.message}"
        return f"{text}\n  {self.fix}" if self.fix else text


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """A whole, checked document. `default_time_to_live_s` None is no limit; `version` is the twin's, if it had one."""

    schema_version: str = "1.0"
    routes: Mapping[str, RouteSpec] = field(default_factory=dict)
    default_time_to_live_s: int | None = DEFAULT_TIME_TO_LIVE_S
    max_bytes: int = DEFAULT_MAX_BYTES
    when_full: WhenFull = WhenFull.REFUSE
    board_settings: Mapping[str, Any] = field(default_factory=dict)
    sending: "Mapping[str, Lessened]" = field(default_factory=dict)
    """What becomes of the matches of a route, where it does not just send them."""
    tests: tuple[RouteTest, ...] = ()
    topics: "TopicMap | None" = None
    """None where the document has no rules; devices then speak on IoT Hub's topics alone."""
    endpoints: "Mapping[str, EndpointSettings]" = field(default_factory=dict)
    """What routes name by `INTO Endpoint("name")`, by name."""
    topic_devices: "TopicDevices | None" = None
    limits: "Limits | None" = None
    """What devices may send; None where nobody is limited."""
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a document holds: settings and their table, or problems. Warnings do not keep settings from being used.

    `module` is whose settings these are, where the document is a deployment.
    """

    settings: GatewaySettings | None
    table: Table | None
    problems: tuple[SettingsProblem, ...] = ()
    warnings: tuple[SettingsProblem, ...] = ()
    module: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    """The desired properties of one module in a document."""

    path: str
    desired: Mapping[str, Any]
    module: str | None = None
    layered: bool = False

    @property
    def is_edge_hub(self) -> bool:
        return self.module == EDGE_HUB


def read_settings(document: Any, *, module: str | None = None) -> Reading:
    """Reads and checks a document, as `json.loads` gives it.

    `module` names the module whose settings are meant, where a deployment has several with routes. Routes of $edgeHub
    in a deployment are checked too.
    """
    found = _sections(document, module)
    if isinstance(found, SettingsProblem):
        return Reading(settings=None, table=None, problems=(found,))
    readings = [_read_section(section) for section in found]
    ours = readings[0]
    problems = tuple(problem for reading in readings for problem in reading.problems)
    warnings = tuple(warning for reading in readings for warning in reading.warnings)
    if problems:
        return Reading(settings=None, table=None, problems=problems, warnings=warnings, module=ours.module)
    return Reading(settings=ours.settings, table=ours.table, warnings=warnings, module=ours.module)


# --- where in the document the settings are ---------------------------------------------------------------------------


def _sections(document: Any, module: str | None) -> list[_Section] | SettingsProblem:
    """The section that is meant first, then $edgeHub's if the document has one."""
    if not isinstance(document, Mapping):
        return SettingsProblem(path="", message="the document must be a JSON object", fix='write {"routes": {…}}')
    for keys in (("modulesContent",), ("content", "modulesContent")):
        content: Any = document
        for key in keys:
            content = content.get(key) if isinstance(content, Mapping) else None
        if content is not None:
            return _in_deployment(content, ".".join(keys), module)
    return [_unwrapped(document, "", None)]


def _unwrapped(document: Mapping[str, Any], path: str, module: str | None) -> _Section:
    """The desired properties, however they are wrapped; a layered deployment flattens them into keys."""
    nested: Any = document.get("properties")
    wrappers: list[tuple[str, Any]] = [
        ("properties.desired", document.get("properties.desired")),
        ("properties.desired", nested.get("desired") if isinstance(nested, dict) else None),
        ("desired", document.get("desired")),
    ]
    desired: dict[str, Any] = {}
    for key, value in document.items():
        if key.startswith("properties.desired."):
            _put(desired, key.removeprefix("properties.desired.").split("."), value)
    if desired:
        return _Section(path=_joined(path, "properties.desired"), desired=desired, module=module, layered=True)
    for key, value in wrappers:
        if isinstance(value, dict):
            return _Section(path=_joined(path, key), desired=value, module=module)
    return _Section(path=path, desired=document, module=module)


def _put(target: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = target.setdefault(key, {})
        if not isinstance(inner, dict):
            return
        target = inner
    target[keys[-1]] = value


def _in_deployment(content: Any, path: str, module: str | None) -> list[_Section] | SettingsProblem:
    if not isinstance(content, dict):
        return SettingsProblem(path=path, message="this must be an object, one entry for each module")
    sections = {
        name: _unwrapped(entry, _joined(path, name), name) for name, entry in content.items() if isinstance(entry, dict)
    }
    chosen = _chosen(sections, path, module)
    if isinstance(chosen, SettingsProblem):
        return chosen
    edge_hub = sections.get(EDGE_HUB)
    return [chosen] if edge_hub is None or chosen is edge_hub else [chosen, edge_hub]


def _chosen(sections: Mapping[str, _Section], path: str, module: str | None) -> _Section | SettingsProblem:
    """The section of `module`, or of the only one with routes; $edgeHub's if no module of ours has any."""
    if module is not None:
        if module in sections:
            return sections[module]
        near = near_match(module, sections)
        hint = f"did you mean '{near}'?" if near else "it has " + ", ".join(sections)
        return SettingsProblem(path=path, message=f"there are no settings of a module '{module}'", fix=hint)
    own = [name for name, section in sections.items() if name[:1] != "$" and "routes" in section.desired]
    if len(own) > 1:
        return SettingsProblem(
            path=path,
            message=f"several modules have routes: {', '.join(own)}",
            fix=f"name the gateway: --module {own[0]}",
        )
    if own:
        return sections[own[0]]
    if EDGE_HUB in sections:
        return sections[EDGE_HUB]
    fix = "give the gateway its settings there, or name it with --module"
    return SettingsProblem(path=path, message="no module in this deployment has routes", fix=fix)


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


# --- what a section says ----------------------------------------------------------------------------------------------


def _read_section(section: _Section) -> Reading:
    reader = _SectionReader(section)
    settings = reader.settings()
    compiled = compile_routes(
        settings.routes,
        default_time_to_live_s=settings.default_time_to_live_s,
        judge=partial(judge_endpoint, endpoints=settings.endpoints, of_edge_hub=section.is_edge_hub),
    )
    reader.problems += _of_routes(section, compiled.problems)
    if reader.sends:
        settings = replace(settings, sending=reader.sending(compiled.table))
    if compiled.table is not None:
        reader.check_together(settings, compiled.table)
    warnings = (*reader.warnings, *_of_routes(section, compiled.warnings))
    if not settings.routes and not reader.problems and not section.layered:
        warnings += (_no_routes(section),)
    if reader.problems:
        return Reading(
            settings=None, table=None, problems=tuple(reader.problems), warnings=warnings, module=section.module
        )
    return Reading(settings=settings, table=compiled.table, warnings=warnings, module=section.module)


def _no_routes(section: _Section) -> SettingsProblem:
    return SettingsProblem(
        path=_joined(section.path, "routes"),
        message="there are no routes: every message would be acknowledged and dropped",
        fix='write "routes": {"all": "FROM /messages/* INTO $upstream"}',
    )


def _of_routes(section: _Section, found: Iterable[RouteProblem]) -> list[SettingsProblem]:
    return [
        SettingsProblem(
            path=_joined(_joined(section.path, "routes"), problem.route),
            message=problem.message,
            fix=problem.fix,
            route=problem,
        )
        for problem in found
    ]


class _SectionReader:
    """Reads one section and collects what is wrong with it."""

    def __init__(self, section: _Section) -> None:
        self._section = section
        self.problems: list[SettingsProblem] = []
        self.warnings: list[SettingsProblem] = []
        self.sends: dict[str, Any] = {}
        """`send` of each route that has one, as it stands."""

    def settings(self) -> GatewaySettings:
        desired = self._section.desired
        self._check_keys(desired, "", _EDGE_HUB_KEYS if self._section.is_edge_hub else names(ROWS))
        version = self._version(desired)
        routes = self._routes(desired.get("routes"), version)
        topics = self._topics(desired.get("topics"))
        time_to_live_s, max_bytes, when_full = self._store(desired)
        twin_version = desired.get("$version")
        return GatewaySettings(
            schema_version=version,
            routes=routes,
            default_time_to_live_s=time_to_live_s,
            max_bytes=max_bytes,
            when_full=when_full,
            board_settings=self._board_settings(desired.get("boards")),
            tests=read_tests(desired.get("tests"), routes, topics, self._problem),
            topics=topics,
            topic_devices=self._topic_devices(desired.get("topicDevices"), topics),
            endpoints=self._endpoints(desired.get("endpoints")),
            limits=self._limits(desired.get("limits")),
            version=twin_version if isinstance(twin_version, int) else None,
        )

    def _problem(self, path: str, message: str, fix: str = "") -> None:
        self.problems.append(self._found(path, message, fix))

    def _warn(self, path: str, message: str, fix: str) -> None:
        self.warnings.append(self._found(path, message, fix))

    def _found(self, path: str, message: str, fix: str) -> SettingsProblem:
        whole = _joined(self._section.path, path) if path else self._section.path
        return SettingsProblem(path=whole, message=message, fix=fix)

    def _check_keys(self, value: Mapping[str, Any], path: str, known: tuple[str, ...]) -> None:
        for key in value:
            if key in known or key.startswith("$"):  # $version and $metadata belong to the twin
                continue
            near = near_match(key, known)
            hint = f"did you mean '{near}'?" if near else "known here: " + ", ".join(known)
            self._problem(_joined(path, key), f"there is no setting '{key}'", hint)

    def _version(self, desired: Mapping[str, Any]) -> str:
        """The major and minor version; edgeHub looks no further either."""
        given = desired.get("schemaVersion")
        if given is None:
            if self._section.is_edge_hub and not self._section.layered:
                self._problem("schemaVersion", "it is missing", 'write "schemaVersion": "1.1"')
            return "1.1" if self._section.is_edge_hub else VERSIONS[0]
        short = ".".join(given.split(".")[:2]) if isinstance(given, str) else ""
        if short not in VERSIONS:
            self._problem("schemaVersion", f"{given!r} is not known", f"write one of {', '.join(VERSIONS)}, as text")
            return VERSIONS[0]
        return short

    def _object(self, value: Any, path: str) -> Mapping[str, Any]:
        """`value` if it is an object; nothing, with a problem, if it is something else."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._problem(path, "this must be an object", "write {…}")
            return {}
        return value

    def _integer(self, value: Any, path: str, least: int, most: int, fix: str) -> int | None:
        """`value` if it is a whole number in range; None for nothing, and with a problem for anything else."""
        if value is None:
            return None
        whole = isinstance(value, float) and value.is_integer()
        if isinstance(value, bool) or not (isinstance(value, int) or whole) or not least <= value <= most:
            self._problem(path, f"{value!r} is no whole number from {least} to {most}", fix)
            return None
        return int(value)

    # Routes

    def _routes(self, value: Any, version: str) -> dict[str, RouteSpec]:
        specs: dict[str, RouteSpec] = {}
        for name, entry in self._object(value, "routes").items():
            if name.startswith("$") and name in ("$version", "$metadata"):
                continue
            path = _joined("routes", name)
            if not name or any(character in ".$# \t" for character in name):
                self._problem(path, "a route's name may not hold a dot, '$', '#' or a blank", "rename it")
            spec = self._route(entry, path, version)
            if spec is not None:
                specs[name] = spec
        return specs

    def _route(self, entry: Any, path: str, version: str) -> RouteSpec | None:
        """One route in either form; null is what a twin keeps of a removed one."""
        if entry is None:
            return None
        if isinstance(entry, str):
            return self._route_text(entry, path, version)
        if not isinstance(entry, dict):
            self._problem(path, "a route is text, or an object with 'route'", 'write "FROM /messages/* INTO $upstream"')
            return None
        if self._section.is_edge_hub and version == "1.0":
            self._problem(path, "routes as objects need schemaVersion 1.1", 'write "schemaVersion": "1.1"')
        self._check_keys(entry, path, names(ROUTE_ROWS))
        if self._section.is_edge_hub and "send" in entry:
            fix = "give it to a route of this gateway's module"
            self._problem(f"{path}.send", "$edgeHub has no 'send': it sends every match", fix)
        elif entry.get("send") is not None:
            self.sends[path.removeprefix("routes.")] = entry["send"]
        text = entry.get("route")
        if not isinstance(text, str) or not text.strip():
            self._problem(_joined(path, "route"), "the text of the route is missing", 'write "route": "FROM …"')
            return None
        priority_fix = "0 is the most urgent, 9 the least; leave it out for last of all"
        keep_fix = "0, or leaving it out, means the time of all routes"
        return RouteSpec(
            text=text,
            priority=self._integer(entry.get("priority"), f"{path}.priority", 0, MAX_PRIORITY, priority_fix),
            time_to_live_s=self._integer(
                entry.get("timeToLiveSecs"), f"{path}.timeToLiveSecs", 0, MAX_SECONDS, keep_fix
            ),
        )

    def _route_text(self, text: str, path: str, version: str) -> RouteSpec | None:
        if text.strip():
            return RouteSpec(text=text)
        if not (self._section.is_edge_hub and version == "1.0"):  # edgeHub's 1.0 passes over empty routes
            self._problem(path, "the route is empty", "remove it, or write FROM /messages/* INTO $upstream")
        return None

    def sending(self, table: Table | None) -> "Mapping[str, Lessened]":
        """What `send` of the routes says; to be asked for once they are compiled."""
        from gateway.app.document_send import read_sends  # noqa: PLC0415 — most settings have no `send`

        return read_sends(self.sends, () if table is None else table.routes, self._problem, self._warn)

    def check_together(self, settings: GatewaySettings, table: Table) -> None:
        """Look at sections that say something of each other; to be called once routes are compiled."""
        if not (settings.endpoints or settings.topics or settings.sending):
            return
        from gateway.app.document_together import check_local_topics, warn_of_idle_endpoints  # noqa: PLC0415 — as above

        if not self._section.layered:  # else its routes may stand in another layer
            warn_of_idle_endpoints(settings.endpoints, table.routes, self._warn)
        check_local_topics(table.routes, settings.sending, settings.topics, self._problem, self._warn)

    # Topics

    def _topics(self, given: Any) -> "TopicMap | None":
        if given is None:
            return None
        from gateway.app.document_topics import read_topics  # noqa: PLC0415 — most sites' devices speak IoT Hub's

        return read_topics(given, self._problem, self._warn)

    def _topic_devices(self, given: Any, topics: "TopicMap | None") -> "TopicDevices | None":
        if given is None:
            return None
        from gateway.app.document_topics import read_topic_devices  # noqa: PLC0415 — as above

        if topics is None:
            self._warn("topicDevices", "no topic names a device: there are no rules", 'write them under "topics"')
        return read_topic_devices(given, self._problem, self._warn)

    # Endpoints

    def _endpoints(self, given: Any) -> "Mapping[str, EndpointSettings]":
        if given is None:
            return {}
        from gateway.app.document_endpoints import read_endpoints  # noqa: PLC0415 — most sites have none

        return read_endpoints(given, lambda path, what, fix: self._problem(_joined("endpoints", path), what, fix))

    # Limits of devices

    def _limits(self, given: Any) -> "Limits | None":
        if given is None:
            return None
        from gateway.app.document_limits import read_limits  # noqa: PLC0415 — most sites trust their devices

        return read_limits(given, self._problem, self._warn)

    # The store

    def _store(self, desired: Mapping[str, Any]) -> tuple[int | None, int, WhenFull]:
        own, edge_hubs = desired.get("storeAndForward"), desired.get("storeAndForwardConfiguration")
        if own is not None and edge_hubs is not None:
            self._problem("storeAndForwardConfiguration", "storeAndForward says the same", "keep one of them")
        if own is None:
            return self._edge_hub_store(edge_hubs)
        path = "storeAndForward"
        value = self._object(own, path)
        self._check_keys(value, path, names(STORE_ROWS))
        return (
            self._time_to_live(value.get("timeToLiveSecs"), path),
            self._max_bytes(value.get("maxBytes"), f"{path}.maxBytes"),
            self._when_full(value.get("whenFull"), f"{path}.whenFull"),
        )

    def _edge_hub_store(self, given: Any) -> tuple[int | None, int, WhenFull]:
        """`storeAndForwardConfiguration`, as edgeHub's own settings have it."""
        path = "storeAndForwardConfiguration"
        if given is None and self._section.is_edge_hub and not self._section.layered:
            self._problem(path, "it is missing", 'write "storeAndForwardConfiguration": {"timeToLiveSecs": 7200}')
        value = self._object(given, path)
        self._check_keys(value, path, ("timeToLiveSecs", "storeLimits"))
        limits = self._object(value.get("storeLimits"), f"{path}.storeLimits")
        self._check_keys(limits, f"{path}.storeLimits", ("maxSizeBytes",))
        max_bytes = self._max_bytes(limits.get("maxSizeBytes"), f"{path}.storeLimits.maxSizeBytes")
        return self._time_to_live(value.get("timeToLiveSecs"), path), max_bytes, WhenFull.REFUSE

    def _time_to_live(self, value: Any, path: str) -> int | None:
        """Seconds, None for no limit (written as a negative number)."""
        place = f"{path}.timeToLiveSecs"
        if value == 0 and value is not False and not self._section.is_edge_hub:
            self._problem(
                place, "0 would let every message expire before it is sent", "write 1 or more, or -1 for ever"
            )
        fix = f"write seconds, or -1 for ever; left out it is {DEFAULT_TIME_TO_LIVE_S}"
        seconds = self._integer(value, place, -MAX_SECONDS, MAX_SECONDS, fix)
        if seconds is None:
            return DEFAULT_TIME_TO_LIVE_S
        return None if seconds < 0 else seconds

    def _max_bytes(self, value: Any, place: str) -> int:
        fix = f"write bytes; left out it is {DEFAULT_MAX_BYTES}, one gibibyte"
        return self._integer(value, place, MIN_MAX_BYTES, MOST_MAX_BYTES, fix) or DEFAULT_MAX_BYTES

    def _when_full(self, value: Any, place: str) -> WhenFull:
        return read_policy(value, WhenFull.REFUSE, partial(self._problem, place))

    # Boards

    def _board_settings(self, given: Any) -> Mapping[str, Any]:
        """What boards are told at first contact, as it stands; which settings there are, their firmware knows."""
        value = self._object(given, "boards")
        self._check_keys(value, "boards", names(BOARDS_ROWS))
        settings = self._object(value.get("settings"), "boards.settings")
        size = len(json.dumps(settings, separators=(",", ":")))
        if size > MAX_BOARD_SETTINGS_BYTES:
            what = f"as JSON without blanks it has {size} bytes; boards take {MAX_BOARD_SETTINGS_BYTES}"
            self._problem("boards.settings", what, "give the rest to each board by its twin")
        return settings
