"""The section `endpoints` of the settings document: places that routes may name by `INTO Endpoint("name")`.

What proves who the gateway is never stands there: a twin is read by many. The connection string comes from a file or a
variable of the container (`app.endpoint_secrets`).
"""

import re
from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, TypeVar

from gateway.app.document_rows import Choice, Either, Entries, Items, Row, Section, Text, names, words
from gateway.routing.problems import near_match
from gateway.upstream.endpoint import EndpointSettings, EndpointTransport, EndpointType, KafkaLogin

MAX_ENDPOINTS: Final = 16
"""Each has links and a position in the store of its own."""

Problem = Callable[[str, str, str], None]
"""What is wrong: its place below the section, the message, what to write instead."""

MAX_SERVERS: Final = 10
"""Brokers to begin with; they tell of all others."""
_SECRETS: Final = {"connectionstring", "sharedaccesskey", "sharedaccesskeyname", "key", "password", "primarykey", "sas"}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_FILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# Event Hubs' own rule: letters, digits, dot, hyphen, underscore; 256 characters.
_EVENT_HUB: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,254}[A-Za-z0-9])?")
# Kafka's own rule for topics.
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:]{2,45}\](?::[0-9]{1,5})?")

_SECRET: Final = Row(
    name="connectionStringFile",
    shape=Text(pattern=_FILE.pattern),
    help="file with the connection string, in GATEWAY_SECRETS_DIR; left out: the endpoint's name",
)
_AUTHORITIES: Final = Row(
    name="caFile",
    shape=Text(pattern=_FILE.pattern),
    help="file with the CA certificates of the other side, in GATEWAY_SECRETS_DIR; left out: the system's",
)
_EVENT_HUB_ROWS: Final = (
    Row(name="type", shape=Choice((EndpointType.EVENT_HUB.value,)), required=True, help="an Event Hub"),
    Row(
        name="eventHub",
        shape=Text(pattern=_EVENT_HUB.pattern),
        help="its name; left out where the connection string has EntityPath",
    ),
    _SECRET,
    Row(
        name="transport",
        shape=words(EndpointTransport),
        default=EndpointTransport.AMQP.value,
        help="amqp: port 5671; websocket: port 443",
    ),
    Row(
        name="host", shape=Text(pattern=_HOST.pattern), help="where to connect instead of the connection string's host"
    ),
    _AUTHORITIES,
)
_KAFKA_ROWS: Final = (
    Row(name="type", shape=Choice((EndpointType.KAFKA.value,)), required=True, help="a Kafka topic"),
    Row(
        name="servers",
        shape=Items(shape=Text(pattern=rf"(?=.*:)(?:{_HOST.pattern})"), least=1, most=MAX_SERVERS),
        required=True,
        help="brokers to begin with, host:port",
    ),
    Row(name="topic", shape=Text(pattern=_TOPIC.pattern), required=True, help="the topic there"),
    Row(name="login", shape=words(KafkaLogin), default=KafkaLogin.PLAIN.value, help="how the gateway proves who it is"),
    _SECRET,
    _AUTHORITIES,
)
_ROWS: Final[Mapping[EndpointType, tuple[Row, ...]]] = MappingProxyType(
    {EndpointType.EVENT_HUB: _EVENT_HUB_ROWS, EndpointType.KAFKA: _KAFKA_ROWS}
)
SHAPE: Final = Entries(
    shape=Either(tuple(Section(rows) for rows in _ROWS.values())), names=_NAME.pattern, most=MAX_ENDPOINTS
)

Word = TypeVar("Word", bound=Enum)


def read_endpoints(given: Any, problem: Problem) -> dict[str, EndpointSettings]:
    """The endpoints by name; all that is wrong is told to `problem`."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        problem("", "this must be an object, one entry for each endpoint", 'write {"archive": {"type": "eventhub"}}')
        return {}
    found = {}
    for name, entry in given.items():
        if name.startswith("$") or entry is None:  # $version and $metadata are the twin's; null removes an entry
            continue
        endpoint = _Reader(name, problem).read(entry)
        if endpoint is not None:
            found[name] = endpoint
    _check_together(found, problem)
    return found


def variable_of(name: str) -> str:
    """The environment variable that holds the connection string of the endpoint `name`."""
    return f"GATEWAY_ENDPOINT_{name.upper().replace('-', '_')}_CONNECTION_STRING"


def _check_together(found: Mapping[str, EndpointSettings], problem: Problem) -> None:
    if len(found) > MAX_ENDPOINTS:
        problem("", f"there are {len(found)} endpoints; {MAX_ENDPOINTS} are the most", "remove some")
    names: dict[str, str] = {}
    for name in found:
        other = names.setdefault(variable_of(name), name)
        if other != name:
            what = f"it shares the variable {variable_of(name)} with the endpoint '{other}'"
            problem(name, what, "rename one: '-', '_' and case do not tell them apart")


class _Reader:
    """Reads one endpoint."""

    def __init__(self, name: str, problem: Problem) -> None:
        self._name = name
        self._problem = problem

    def read(self, entry: Any) -> EndpointSettings | None:
        """The endpoint; None if nothing can be made of the entry."""
        name = self._name
        if _NAME.fullmatch(name) is None:
            self._say("", "a name has 1 to 64 letters, digits, '-' and '_'", "rename it")
        if not isinstance(entry, Mapping):
            self._say("", "this must be an object", 'write {"type": "eventhub", "eventHub": "…"}')
            return None
        kind = self._choice(entry, "type", EndpointType, None)
        self._check_keys(entry, names(_ROWS[kind]))
        if kind is EndpointType.KAFKA:
            return self._kafka(entry)
        return EndpointSettings(
            name=name,
            event_hub=self._text(entry, "eventHub", _EVENT_HUB, "the Event Hub's name, or leave it out"),
            secret=self._text(entry, "connectionStringFile", _FILE, _FILE_FIX) or name,
            transport=self._choice(entry, "transport", EndpointTransport, EndpointTransport.AMQP),
            host=self._text(entry, "host", _HOST, 'a host, or host and port: "10.1.2.3:5671"'),
            authorities=self._text(entry, "caFile", _FILE, _FILE_FIX),
        )

    def _kafka(self, entry: Mapping[str, Any]) -> EndpointSettings:
        topic = self._text(entry, "topic", _TOPIC, "1 to 249 letters, digits, '.', '-' and '_'")
        if not entry.get("topic"):
            self._say("topic", "it is missing", 'write "topic": "telemetry"')
        return EndpointSettings(
            name=self._name,
            type=EndpointType.KAFKA,
            servers=self._servers(entry.get("servers")),
            topic=topic,
            login=self._choice(entry, "login", KafkaLogin, KafkaLogin.PLAIN),
            secret=self._text(entry, "connectionStringFile", _FILE, _FILE_FIX) or self._name,
            authorities=self._text(entry, "caFile", _FILE, _FILE_FIX),
        )

    def _servers(self, given: Any) -> tuple[str, ...]:
        fix = 'write brokers with their ports: ["kafka.example:9093"]'
        if not isinstance(given, list) or not 1 <= len(given) <= MAX_SERVERS:
            self._say("servers", f"this must be a list of 1 to {MAX_SERVERS} brokers", fix)
            return ()
        for server in given:
            if not isinstance(server, str) or _HOST.fullmatch(server) is None or ":" not in server:
                self._say("servers", f"{_shown(server)} cannot be used", fix)
                return ()
        return tuple(given)

    def _say(self, key: str, message: str, fix: str) -> None:
        self._problem(f"{self._name}.{key}" if key else self._name, message, fix)

    def _check_keys(self, entry: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in entry:
            if key in known or key.startswith("$"):
                continue
            if key.lower() in _SECRETS:
                self._say(
                    key,
                    "secrets do not belong into the settings, which many can read",
                    f"remove it; put the connection string into the file '{self._name}' in GATEWAY_SECRETS_DIR, or "
                    f"into the variable {variable_of(self._name)}, and make a new key: this one was seen",
                )
                continue
            near = near_match(key, known)
            hint = f"did you mean '{near}'?" if near else "known here: " + ", ".join(known)
            self._say(key, f"there is no setting '{key}'", hint)

    def _choice(self, entry: Mapping[str, Any], key: str, kind: type[Word], default: Word | None) -> Word:
        """One of the words of `kind`; the default if there is none, or the first word with a problem."""
        first = next(iter(kind))
        value = entry.get(key)
        if value is None and default is not None:
            return default
        for choice in kind:
            if value == choice.value:
                return choice
        words = [choice.value for choice in kind]
        near = near_match(value, words) if isinstance(value, str) else None
        what = "it is missing" if value is None else f"{value!r} is none of {', '.join(words)}"
        self._say(key, what, f"did you mean '{near}'?" if near else f'write "{key}": "{words[0]}"')
        return first

    def _text(self, entry: Mapping[str, Any], key: str, form: re.Pattern[str], fix: str) -> str:
        value = entry.get(key)
        if value is None:
            return ""
        if not isinstance(value, str) or form.fullmatch(value) is None:
            self._say(key, f"{_shown(value)} cannot be used", f"write {fix}")
            return ""
        return value


_FILE_FIX: Final = "the name of a file in GATEWAY_SECRETS_DIR, without a folder"


def _shown(value: object) -> str:
    """What was written, not endless: somebody may have put a whole connection string there, so only its kind."""
    return repr(value) if isinstance(value, str) and len(value) <= 64 and "=" not in value else "what is written"
