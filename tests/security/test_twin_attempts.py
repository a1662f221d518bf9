"""Attempts by way of twins: on desired properties, on another device's twin, on the parser, on the database.

Each is refused with its status or ends the connection, or is taken as the plain data that it is; afterwards the twin of
the other device is what it was, here and in the cloud, and the database holds what it should. robustness.md §5.2 (12),
§5.3 (13), (17).
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from edgewire.codec.mqtt.packets import Publish
from edgewire.iothub.topics import TwinResult, parse_push_topic
from edgewire.message import Identity, identity
from gateway.observe.head import MessageRefused, RefusedMessage
from gateway.twin.mirror import Mirror, with_report
from gateway.twin.opening import open_store
from support.gateway_site import until
from support.mqtt_site import Site, subscription
from support.twin_cloud import FakeTwinCloud, served

REAL = identity("d1")
MALLORY = identity("d2")
RESULTS = "$iothub/twin/res/#"
GET = "$iothub/twin/GET/"
REPORT = "$iothub/twin/PATCH/properties/reported/"
SECRET: dict[str, dict[str, Any]] = {"desired": {"pin": 1234}, "reported": {"door": "shut"}}

CLOSED = None
"""The connection is closed, and this is said and counted."""

TOPICS: list[tuple[str, str, bytes, int | None]] = [
    ("desired by its topic", "$iothub/twin/PATCH/properties/desired/?$rid=1", b'{"pin":0}', CLOSED),
    ("desired as the hub tells it", "$iothub/twin/PATCH/properties/desired/?$version=99", b'{"pin":0}', CLOSED),
    ("desired by way of reported", f"{REPORT}../desired/?$rid=1", b'{"pin":0}', CLOSED),
    ("the hub's answer", "$iothub/twin/res/200/?$rid=1", b"{}", CLOSED),
    ("another's twin in the path", f"{GET}d1/?$rid=1", b"", CLOSED),
    ("another's twin in the whole path", "devices/d1/$iothub/twin/GET/?$rid=1", b"", CLOSED),
    ("another's twin in the query", f"{GET}?$rid=1&deviceId=d1", b"", 200),
    ("a twin in capitals", "$IOTHUB/TWIN/GET/?$rid=1", b"", CLOSED),
    ("no request id", GET, b"", CLOSED),
    ("SQL as the request id", f"{GET}?$rid=1';DROP TABLE twin--", b"", 200),
    ("a line end as the request id", f"{GET}?$rid=1\r\nERROR", b"", 200),
]

BODIES: list[tuple[str, bytes, int]] = [
    ("a version of its own", b'{"$version":99}', 400),
    ("a version of its own, below", b'{"a":{"$version":99}}', 400),
    ("metadata", b'{"$metadata":{}}', 400),
    ("both sections", b'{"desired":{"pin":0},"reported":{"door":"open"}}', 204),
    ("a prototype", b'{"__proto__":{"admin":true},"constructor":1}', 204),
    ("a name that comes twice", b'{"a":1,"a":2}', 204),
    ("a depth of 10,000", b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400),
    ("arrays of that depth", b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", 400),
    ("no number", b'{"a":NaN}', 400),
    ("a number without end", b'{"a":1e999}', 400),
    ("a whole number beyond 2^52", b'{"a":4503599627370497}', 400),
    ("half a character", b'{"a":"\\ud800"}', 400),
    ("bytes that are no text", b'{"a":"\xff"}', 400),
    ("a zero in a name", b'{"a\\u0000b":1}', 400),
    ("SQL in a name", b'{"x\');DROP/**/TABLE/**/twin;--":1}', 204),
    ("SQL in a name, with blanks", b'{"x\'; DROP TABLE twin":1}', 400),
    ("SQL in a value", b'{"a":"x\'); DELETE FROM twin; --","b":"%","_":"_"}', 204),
    ("a name of 1 KiB and a byte", b'{"' + b"n" * 1025 + b'":1}', 400),
    ("more than a section", b'{"a":"' + b"x" * 70_000 + b'"}', 413),
]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with Site.open(tmp_path) as site:
        yield site


@pytest.fixture
async def cloud(site: Site, tmp_path: Path) -> AsyncIterator[FakeTwinCloud]:
    async with served(site.twins, tmp_path) as cloud:
        cloud.desire(REAL, SECRET["desired"])
        cloud.twin(REAL).reported = dict(SECRET["reported"])
        yield cloud


async def attempt(site: Site, topic: str, body: bytes) -> tuple[int | None, Any]:
    """What comes of one request by Mallory: its status and document; None for a connection that was closed."""
    device = site.connect("d2")
    device.send(subscription(RESULTS))
    device.received()
    came: list[Publish] = []

    def answered() -> bool:
        came.extend(packet for packet in device.received() if isinstance(packet, Publish))
        return bool(came) or device.is_closed()

    device.publish(topic, body, qos=0)
    await until(answered)
    if not came:
        return None, None
    result = parse_push_topic(came[0].topic)
    assert isinstance(result, TwinResult)
    assert topic.partition("$rid=")[2].partition("&")[0] == result.rid
    return result.status, orjson.loads(came[0].payload) if came[0].payload else None


def check(cloud: FakeTwinCloud) -> None:
    """The real device's twin is what it was, and only Mallory's was asked for."""
    twin = cloud.twin(REAL)
    assert {"desired": twin.desired, "reported": twin.reported} == SECRET
    assert (twin.desired_version, twin.reported_version) == (2, 1)
    assert {who for _, who in cloud.calls} <= {MALLORY}
    assert cloud.twin(MALLORY).desired == {}


@pytest.mark.parametrize(("topic", "body", "status"), [row[1:] for row in TOPICS], ids=[row[0] for row in TOPICS])
async def test_topics(site: Site, cloud: FakeTwinCloud, topic: str, body: bytes, status: int | None) -> None:
    found, document = await attempt(site, topic, body)
    assert found == status
    if status is CLOSED:
        assert site.reasons(MessageRefused) == [RefusedMessage.UNKNOWN_TOPIC]
    else:
        assert document == {"desired": {"$version": 1}, "reported": {"$version": 1}}, "Mallory's own"
    check(cloud)


@pytest.mark.parametrize("away", [False, True], ids=["the cloud is there", "the cloud is away"])
@pytest.mark.parametrize(("body", "status"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES])
async def test_patches(site: Site, cloud: FakeTwinCloud, body: bytes, status: int, *, away: bool) -> None:
    cloud.up = not away
    found, document = await attempt(site, f"{REPORT}?$rid=1", body)
    assert found == status
    assert (document is None) == (status == 204)
    cloud.come_back()
    await until(lambda: not site.twins._jobs)  # all that was begun has ended
    assert cloud.twin(MALLORY).reported == (orjson.loads(body) if status == 204 else {})
    check(cloud)


async def test_a_request_id_that_comes_twice_is_answered_twice_to_its_own_device_alone(
    site: Site, cloud: FakeTwinCloud
) -> None:
    real = site.connect("d1")
    real.send(subscription(RESULTS))
    real.received()
    for _ in range(2):
        assert (await attempt(site, f"{GET}?$rid=7", b""))[0] == 200
    assert real.received() == []
    check(cloud)


NAMES = ["'OR(1=1)", "%", "____", "d1", "D1", "d1'--", "x');DROP(TABLE)twin", "d1_", "..", "*"]


async def test_names_that_are_sql_are_names(tmp_path: Path) -> None:
    everybody: list[Identity] = [identity(name) for name in NAMES] + [identity("d1", name) for name in NAMES]
    store = await open_store(tmp_path / "twins.db", None, lambda _: None)
    mirrors = {who: with_report(Mirror(), {"i": number}) for number, who in enumerate(everybody)}
    for who, mirror in mirrors.items():
        await store.save(who, mirror)
    await store.close()
    store = await open_store(tmp_path / "twins.db", None, lambda _: None)
    for who in everybody:
        assert await store.load(who) == mirrors.pop(who)
        await store.delete(who)
        assert set(store.identities()) == set(mirrors)
    await store.close()
