"""The one table of what an operator tunes in the settings document: names, shapes, units, defaults, help.

The reader of the document (`document`) takes its members and ranges from here; the JSON Schema for editors and the
tables in docs/settings.md are made of it. Rows of sections that most sites do not have stand beside their readers.
"""

from typing import Final

from gateway.app.document_rows import Anything, Either, Elsewhere, Entries, Row, Section, Text, Whole, words
from gateway.store.values import WhenFull

DEFAULT_TIME_TO_LIVE_S: Final = 7200
DEFAULT_MAX_BYTES: Final = 1 << 30
MIN_MAX_BYTES: Final = 1 << 20
"""Four of the largest messages; a smaller store could not give space back segment by segment."""

MOST_MAX_BYTES: Final = 2**53
"""The largest whole number that all readers of JSON agree on."""
MAX_SECONDS: Final = 2**31 - 1
MAX_PRIORITY: Final = 9
MAX_BOARD_SETTINGS_BYTES: Final = 320
"""With all else of the answer at first contact, a root of 3,072 bits too, within the 1,500 bytes that a board takes."""
VERSIONS: Final = ("1.0", "1.1", "1.2", "1.3")
_ROUTE_EXAMPLES: Final = (
    "FROM /messages/* INTO $upstream",
    "FROM /messages/* WHERE $body.messageType = 'alert' INTO $upstream",
)
_MAX_BYTES: Final = Whole(least=MIN_MAX_BYTES, most=MOST_MAX_BYTES)
_TIME_TO_LIVE: Final = Row(
    name="timeToLiveSecs",
    shape=Either((Whole(least=1, most=MAX_SECONDS), Whole(least=-MAX_SECONDS, most=-1))),
    unit="seconds",
    default=DEFAULT_TIME_TO_LIVE_S,
    help="how long a message may wait for its endpoint, where its route says nothing else; -1 for ever",
)
ROUTE_ROWS: Final = (
    Row(name="route", shape=Text(examples=_ROUTE_EXAMPLES), required=True, help="FROM … [WHERE …] INTO …: routes.md"),
    Row(
        name="priority",
        shape=Whole(least=0, most=MAX_PRIORITY),
        help="0 is the most urgent; without one a route comes last of all",
    ),
    Row(
        name="timeToLiveSecs",
        shape=Whole(least=0, most=MAX_SECONDS),
        unit="seconds",
        help="how long its messages may wait for their endpoint; 0, or left out: the time of all routes",
    ),
    Row(name="send", shape=Elsewhere("gateway.app.document_send"), help="send less than every match: sending.md"),
)
STORE_ROWS: Final = (
    _TIME_TO_LIVE,
    Row(
        name="maxBytes",
        shape=_MAX_BYTES,
        unit="bytes",
        default=DEFAULT_MAX_BYTES,
        help="what the store may take on disk; space comes back as messages leave",
    ),
    Row(
        name="whenFull",
        shape=words(WhenFull),
        default=WhenFull.REFUSE.value,
        help="what becomes of new messages then: refuse them, which holds devices back, or drop the oldest",
    ),
)
EDGE_HUB_STORE_ROWS: Final = (
    _TIME_TO_LIVE,
    Row(
        name="storeLimits",
        shape=Section((Row(name="maxSizeBytes", shape=_MAX_BYTES, unit="bytes", help="as maxBytes"),)),
        help="the store's size in edgeHub's words",
    ),
)
BOARDS_ROWS: Final = (
    Row(
        name="settings",
        shape=Entries(shape=Anything()),
        help=f"what each board is told at first contact, {MAX_BOARD_SETTINGS_BYTES} bytes as JSON at most: boards.md",
    ),
)
ROWS: Final = (
    Row(
        name="schemaVersion",
        shape=Text(pattern=r"1\.[0-3](\..*)?", examples=VERSIONS),
        default="1.0",
        help="version of the document, as edgeHub has it",
    ),
    Row(
        name="routes",
        shape=Entries(
            shape=Either((Text(pattern=r"[\s\S]*\S[\s\S]*", examples=_ROUTE_EXAMPLES), Section(ROUTE_ROWS))),
            names=r"[^.$# \t]+",
        ),
        help="which messages go where, by name: routes.md",
    ),
    Row(name="storeAndForward", shape=Section(STORE_ROWS), help="how long and how much is kept: store.md"),
    Row(
        name="storeAndForwardConfiguration",
        shape=Section(EDGE_HUB_STORE_ROWS),
        help="the same in edgeHub's words; one of the two at a time",
    ),
    Row(name="boards", shape=Section(BOARDS_ROWS), help="what boards are told: boards.md"),
    Row(name="tests", shape=Elsewhere("gateway.app.document_tests"), help="cases for gateway test: routes.md"),
    Row(
        name="topics",
        shape=Elsewhere("gateway.app.document_topics"),
        help="which topics of plain devices and brokers become messages; the first rule that fits decides: topics.md",
    ),
    Row(
        name="topicDevices",
        shape=Elsewhere("gateway.app.document_topics", "DEVICES_SHAPE"),
        help="whom a topic may name: topics.md",
    ),
    Row(
        name="endpoints",
        shape=Elsewhere("gateway.app.document_endpoints"),
        help='Event Hubs and Kafka topics that routes name by Endpoint("…"): endpoints.md',
    ),
    Row(name="limits", shape=Elsewhere("gateway.app.document_limits"), help="what a device may send: rate-limits.md"),
)
"""All members of the document."""
