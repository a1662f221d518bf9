"""Event Hubs' publisher form over HTTPS, read as a server: whose request it is, what its token is for, its messages.

Fixed parts of a path count whatever their case, and so does the hub's name; a publisher's name does not, since it
becomes the id of a device. Names are percent-decoded once. Spec: iothub_wire.md §6.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from edgewire.errors import ProtocolError
from edgewire.iothub.bag import WIRE_NAMES, Bag, Direction, read_pairs
from edgewire.iothub.http.batch import Content
from edgewire.iothub.ids import ID_CHARACTERS, is_id
from edgewire.iothub.limits import MAX_BATCH_MESSAGES, MAX_ID_CHARS
from edgewire.iothub.sas import Sas, host_of
from edgewire.line.escapes import percent_decode, percent_encode

BATCH_TYPE: Final = "application/vnd.microsoft.servicebus.json"
BROKER_PROPERTIES: Final = "BrokerProperties"
PARTITION_KEY: Final = "PartitionKey"
CONTENT_TYPE: Final = "ContentType"
"""Two of their members. A partition key without a publisher becomes an application property."""

MAX_HUB_CHARS: Final = 256
"""Event Hubs' own limit for the name of a hub."""
MAX_PARTITIONS: Final = 2_000
"""Of an Event Hub, in the largest of its tiers."""

_PATH: Final = re.compile(
    r"/([^/]+)/(?:(?:publishers?/([^/]+)|partitions/([^/]+))/)?messages",
    re.IGNORECASE,
)
_HUB: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,254}[A-Za-z0-9])?", re.ASCII)
_TAKEN: Final = frozenset({"devices", "twins", "bootstrap", "firmware", "tokens", "messages"})
"""First parts of paths that the gateway has for something else."""
_PARTITION: Final = re.compile(r"[0-9]{1,4}", re.ASCII)
_TIMEOUT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_VERSION: Final = re.compile(r"[0-9]{4}-[0-9]{2}(?:-[0-9]{2})?", re.ASCII)
_DOTS: Final = frozenset({".", ".."})
_AUDIENCE: Final = re.compile(r"(?:https?|sb)://([^/?#@\\]+)((?:/[^/?#\\]+)*)/?", re.IGNORECASE)
_MESSAGES: Final = "messages"
_PUBLISHERS: Final = frozenset({"publishers", "publisher"})
_SAYABLE: Final = re.compile(r"[ -~]*")
_JSON_TYPE: Final = re.compile(r'application/json(?:\s*;\s*charset\s*=\s*"?utf-8"?)?\s*', re.IGNORECASE)

_HTTPS_OWN: Final = frozenset(
    """
    accept accept-charset accept-encoding accept-language authorization baggage brokerproperties cache-control
    connection content-encoding content-language content-length content-location content-md5 content-type cookie date
    dnt expect forwarded from host http2-settings if-match if-modified-since if-none-match if-range
    if-unmodified-since keep-alive max-forwards origin pragma priority range referer te traceparent tracestate trailer
    transfer-encoding upgrade upgrade-insecure-requests user-agent via warning
    """.split()  # noqa: SIM905 — forty names, one in a line, would hide what they are
)
"""Headers that are HTTP's or its clients', never a message's."""
_OWN_STARTS: Final = ("access-control-", "proxy-", "sec-", "x-forwarded-", "x-ms-")
_ITEM_MEMBERS: Final = frozenset({"Body", "BrokerProperties", "UserProperties"})
_BROKER_NAMES: Final[Mapping[str, str]] = {"MessageId": "$.mid", "CorrelationId": "$.cid"}
"""Members of BrokerProperties that a message keeps, and the names that a bag has for them."""


@dataclass(frozen=True, slots=True)
class PublisherRequest:
    """Where a request sends: a hub, in lower case, and the publisher that it names, None if it names none."""

    hub: str
    publisher: str | None = None


def is_hub(text: str) -> bool:
    """Whether `text` can name an Event Hub that is served here."""
    return _HUB.fullmatch(text) is not None and text.lower() not in _TAKEN


def is_publisher_path(path: str) -> bool:
    """Whether a path has the form of one to send to, whatever its names."""
    found = _PATH.fullmatch(path)
    return found is not None and found[1].lower() not in _TAKEN


def read_request(method: str, path: str, query: str) -> PublisherRequest:
    """What a request with such a path asks for.

    Raises ProtocolError with status 404 for a path that is none, 400 for names and a query that are none, 405 for
    another method than POST.
    """
    found = _PATH.fullmatch(path)
    hub = "" if found is None else _decoded(found[1], "the hub's name")
    if found is None or not is_hub(hub):
        raise ProtocolError("there is no such hub to send to", reply=404)
    publisher = None if found[2] is None else _decoded(found[2], "the publisher's name")
    if publisher is not None and (publisher in _DOTS or not is_id(publisher)):
        raise ProtocolError(
            f"the publisher must be the id of a device: at most {MAX_ID_CHARS} {ID_CHARACTERS}, and no dot segment",
            reply=400,
        )
    if found[3] is not None and (_PARTITION.fullmatch(found[3]) is None or int(found[3]) >= MAX_PARTITIONS):
        raise ProtocolError("the partition is no number", reply=400)
    if method != "POST":
        raise ProtocolError(f"{method} is not served there, POST is", reply=405, spec="RFC 9110 §15.5.6")
    _check_query(query)
    return PublisherRequest(hub.lower(), publisher)


def _decoded(text: str, what: str) -> str:
    try:
        return percent_decode(text, what)
    except ProtocolError as error:
        raise ProtocolError(error.what, reply=400) from None


def _check_query(query: str) -> None:
    """`timeout` and `api-version` may be there, once each; what else is there is passed over, as Event Hubs does."""
    known = {"timeout": _TIMEOUT, "api-version": _VERSION}
    seen: set[str] = set()
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        if name in seen:
            raise ProtocolError(f"the query has '{name[:64]}' twice", reply=400)
        seen.add(name)
        if name in known and known[name].fullmatch(value) is None:
            raise ProtocolError(f"'{name}' in the query must look as in timeout=60&api-version=2014-01", reply=400)


# --- tokens -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PublisherAudience:
    """What a token is for: a host, in lower case and without its port, and the path below it, decoded."""

    host: str
    path: tuple[str, ...]

    def covers(self, request: PublisherRequest) -> bool:
        """Whether the token is for this request or for a whole part of its path: the hub, or all of the host."""
        wanted: tuple[str, ...] = (request.hub,)
        if request.publisher is not None:
            wanted += ("publishers", request.publisher)
        found = tuple(_folded(place, part) for place, part in enumerate(self.path))
        # Clients of the first years sign the address that they post to, `…/messages` and all.
        return found in (wanted[: len(found)], (*wanted, _MESSAGES))


def read_audience(token: Sas) -> PublisherAudience:
    """What a token is for: an encoded URI with the scheme https, http or sb. Raises ProtocolError if it is none.

    The token's `sr` is decoded once and gives a URI; each part of its path is decoded once more, as in any URI.
    """
    uri = percent_decode(token.resource, "the token's 'sr'")
    found = _AUDIENCE.fullmatch(uri)
    if found is None:
        raise ProtocolError("the token's 'sr' is not https://<host>/<hub>/publishers/<publisher>, percent-encoded")
    path = tuple(percent_decode(part, "the token's 'sr'") for part in found[2].split("/")[1:])
    if any(part in _DOTS or "/" in part for part in path):
        raise ProtocolError("the token's 'sr' has a dot segment or an escaped slash")
    return PublisherAudience(host_of(found[1]), path)


def resource_of(host: str, request: PublisherRequest) -> str:
    """The resource of a token for this request, and no more."""
    of_publisher = "" if request.publisher is None else f"/publishers/{percent_encode(request.publisher)}"
    return f"https://{host}/{percent_encode(request.hub)}{of_publisher}"


def _folded(place: int, part: str) -> str:
    """A part of an audience's path as it is compared: the publisher's name counts with its case, all else without."""
    if place == 2:  # <hub>, publishers, <publisher>, messages
        return part
    folded = part.lower()
    return "publishers" if place == 1 and folded in _PUBLISHERS else folded


# --- messages ---------------------------------------------------------------------------------------------------------


def is_batch(content_type: str | None) -> bool:
    """Whether a request's Content-Type says that its body is a batch."""
    return content_type is not None and content_type.partition(";")[0].strip().lower() == BATCH_TYPE


def read_single(
    request: PublisherRequest,
    fields: Iterable[tuple[str, str]],
    body: bytes,
    *,
    content_type: str | None,
    broker: str | None,
) -> Content:
    """The message of a request whose body is the message's. Raises ProtocolError (400).

    `fields` are all headers, `content_type` and `broker` two of them. The content type is kept.
    """
    pairs: list[tuple[str, str | None]] = []
    for name, value in fields:
        folded = name.lower()
        if folded not in _HTTPS_OWN and not folded.startswith(_OWN_STARTS):
            pairs += _read_header(name, value)
    what = f"the header '{BROKER_PROPERTIES}'"
    said = None if broker is None else _loads(_ascii(broker, BROKER_PROPERTIES), what)
    return Content(_bag(_read_broker(request, said, content_type), pairs), body)


def read_batch(request: PublisherRequest, payload: bytes) -> list[Content]:
    """The messages of a batch, in their order. Raises ProtocolError (400), for the whole of it, if one is refused."""
    items = _loads(payload, "the batch")
    if not isinstance(items, list) or not items:
        raise ProtocolError("the batch is no array of messages", reply=400)
    if len(items) > MAX_BATCH_MESSAGES:
        raise ProtocolError(f"the batch has more than {MAX_BATCH_MESSAGES} messages", reply=413)
    return [_read_item(request, item, number, len(items)) for number, item in enumerate(items, 1)]


def _read_item(request: PublisherRequest, item: Any, number: int, count: int) -> Content:
    try:
        return _read_message(request, item)
    except ProtocolError as error:
        raise ProtocolError(f"message {number} of {count} in the batch: {error.what}", reply=400) from None


def _read_message(request: PublisherRequest, item: Any) -> Content:
    if not isinstance(item, dict) or not isinstance(item.get("Body"), str):
        raise ProtocolError("it is no object with a text as 'Body'")
    unknown = item.keys() - _ITEM_MEMBERS
    if unknown:
        raise ProtocolError(f"it has '{min(unknown)[:64]}'; known are {', '.join(sorted(_ITEM_MEMBERS))}")
    said = item.get("UserProperties")
    if said is not None and not isinstance(said, dict):
        raise ProtocolError("its 'UserProperties' are no object")
    pairs = [(_application_name(name), _as_text(value, name)) for name, value in (said or {}).items()]
    system = _read_broker(request, item.get(BROKER_PROPERTIES), None)
    return Content(_bag(system, pairs), bytes(item["Body"], "utf-8"))


def _read_header(name: str, value: str) -> list[tuple[str, str | None]]:
    """The property that a header is. One of `X-…` that holds no JSON is somebody else's: proxies add them."""
    try:
        said = orjson.loads(_ascii(value, name))
    except orjson.JSONDecodeError:
        if name.lower().startswith("x-"):
            return []
        raise ProtocolError(
            f"the value of '{name[:64]}' is no JSON: a property's text is written in quotes, as in name: \"value\"",
            reply=400,
        ) from None
    is_number = isinstance(said, int | float) and not isinstance(said, bool)
    # A number's digits as they came: parsed, long ones would be others.
    return [(_application_name(name), value.strip() if is_number else _as_text(said, name))]


def _as_text(value: Any, name: str) -> str | None:
    """A property's value: text as it is; a number or a truth as JSON writes it, since properties are texts here."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return orjson.dumps(value).decode("ascii")
    raise ProtocolError(f"the property '{name[:64]}' is neither text nor number, true, false or null", reply=400)


def _application_name(name: str) -> str:
    if name.startswith("$.") and name.lower() in WIRE_NAMES[Direction.FROM_DEVICE]:
        # It is no system property here, but behind MQTT it would turn into one.
        raise ProtocolError(f"a property cannot be called '{name}'", reply=400)
    return name


def _read_broker(request: PublisherRequest, said: Any, content_type: str | None) -> list[tuple[str, str | None]]:
    """What is kept of BrokerProperties, and the content type; members that mean nothing here are passed over.

    A content type that the request has itself counts more than one in there.
    """
    if said is None:
        said = {}
    if not isinstance(said, dict):
        raise ProtocolError(f"'{BROKER_PROPERTIES}' is no JSON object", reply=400)
    for name in (PARTITION_KEY, CONTENT_TYPE, *_BROKER_NAMES):
        if not isinstance(said.get(name, ""), str):
            raise ProtocolError(f"'{name}' in '{BROKER_PROPERTIES}' is no text", reply=400)
    pairs: list[tuple[str, str | None]] = [(wire, said[name]) for name, wire in _BROKER_NAMES.items() if said.get(name)]
    key = said.get(PARTITION_KEY)
    if key and request.publisher is None:
        pairs.append((PARTITION_KEY, key))
    elif key and key != request.publisher:
        raise ProtocolError("a publisher's partition key is its own name, and no other can be given", reply=400)
    return pairs + _content_type(content_type or said.get(CONTENT_TYPE, ""))


def _content_type(value: str) -> list[tuple[str, str | None]]:
    """The content type as it is. A JSON one says its encoding as well, so that routes can read the body.

    JSON between systems is UTF-8 (RFC 8259 §8.1).
    """
    if not value:
        return []
    if _JSON_TYPE.fullmatch(_ascii(value, "Content-Type")) is not None:
        return [("$.ct", "application/json"), ("$.ce", "utf-8")]
    return [("$.ct", value)]


def _bag(system: list[tuple[str, str | None]], pairs: list[tuple[str, str | None]]) -> Bag:
    try:
        return read_pairs(system + pairs, Direction.FROM_DEVICE)
    except ProtocolError as error:
        raise ProtocolError(error.what, reply=400, spec=error.spec) from None


def _loads(text: str | bytes, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ProtocolError(f"{what} is not JSON: {error}", reply=400) from None


def _ascii(value: str, name: str) -> str:
    if _SAYABLE.fullmatch(value) is None:
        raise ProtocolError(f"the value of '{name[:64]}' has a character that is not printable ASCII", reply=400)
    return value
