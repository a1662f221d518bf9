"""Attempts to speak as another by a topic, on the listener without TLS, held to what `test_attempts` asks for."""

from typing import Any, Final

import pytest

from edgewire.message import identity
from gateway.identity.registry import FILE_NAME, Registry
from gateway.identity.roster import NoCredential, Registration
from support import raw_mqtt
from support.attempts import REAL, Answer, Attempt, Stage
from support.gateway_site import GatewaySite
from support.plain_site import PASSWORD, user, write_users
from support.raw_mqtt import Hello
from support.raw_peer import RawPeer

PORT: Final = 1883
NOT_AUTHORIZED: Final = ("PUBACK", 0x87)
TOPIC_NAME_INVALID: Final = ("PUBACK", 0x90)
QUOTA_EXCEEDED: Final = ("PUBACK", 0x97)
COUNTER: Final = 'gateway_refused_publications_total{listener="plain",reason="%s"}'
ROUTES: Final = {"all": "FROM /messages/* INTO $upstream"}
TOPICS: Final[list[dict[str, Any]]] = [
    {"match": "site/+room/+kind", "device": "{room}", "properties": {"kind": "{kind}"}},
    {"match": "rest/#rest", "device": "{rest}"},
]


async def say(stage: Stage, source: str, topic: str | bytes, payload: bytes = b"stolen") -> Answer:
    """What a publisher that is let in is told of one message, over MQTT 5."""
    peer = await RawPeer.dial(stage.site, source=source, port=PORT, plain=True)
    peer.send(Hello(client_id=f"c-{source}", username="mallory", password=PASSWORD, level=5).wire)
    assert await peer.connack() == 0
    peer.send(raw_mqtt.publish(topic, payload, properties=b""))
    found = await peer.packet()
    peer.abort()
    assert found is not None
    kind, body = found
    assert kind & 0xF0 == raw_mqtt.PUBACK
    return "PUBACK", body[2] if len(body) > 2 else 0


def attempt(
    what: str, topic: str, reason: str = "illegal_id", answer: Answer = TOPIC_NAME_INVALID, payload: bytes = b"stolen"
) -> Attempt:
    async def act(stage: Stage, source: str) -> Answer:
        return await say(stage, source, topic, payload)

    return Attempt(what, act, answer, COUNTER % reason)


ATTEMPTS: Final = [
    attempt("another place in a path", "site/../x"),
    attempt("two levels as one id", f"rest/{REAL}/x"),
    attempt("nobody", "site//x"),
    attempt("the system's name", "site/$edgeHub/x"),
    attempt("letters that look alike", "site/rea\u0142/x"),
    attempt("a turn of the writing", "site/\u202elaer/x"),
    attempt("a line of the log, and colours", "site/a\r\nERROR \x1b[31mall is lost/x"),
    attempt("an id that never ends", "site/" + "a" * 60_000 + "/x"),
    attempt("levels without end", "rest/" + "/" * 60_000),
    attempt("the real device", f"site/{REAL}/x", "own_credentials", NOT_AUTHORIZED),
    attempt("a device that is shut out", "site/off/x", "disabled_device", NOT_AUTHORIZED),
    attempt("a device by certificate", "site/thumb/x", "own_credentials", NOT_AUTHORIZED),
    attempt("a new one of a group", "site/fleet-7/x", "own_credentials", NOT_AUTHORIZED),
    attempt("one more than there may be", "site/REAL/x", "too_many_devices", QUOTA_EXCEEDED),
]


@pytest.fixture
def plain_site(site: GatewaySite) -> GatewaySite:
    """With the listener, rules by which topics name devices, and the one device that may be made there already."""
    sensor = Registration(identity("sensor"), NoCredential())
    Registry(site.data / FILE_NAME).edit(lambda roster: roster.with_registration(sensor))
    write_users(site.data, user("mallory"))
    settings = site.write_settings(routes=ROUTES, topics=TOPICS, topicDevices={"create": True, "atMost": 1})
    site.gateway.environment |= {
        "GATEWAY_PLAIN_PORT": str(PORT),
        "GATEWAY_PLAIN_ADDRESS": site.address,
        "GATEWAY_SETTINGS_FILE": str(settings),
    }
    return site


async def test_each_attempt_is_refused_said_once_and_disturbs_nobody(plain_site: GatewaySite) -> None:
    async with Stage.open(plain_site) as stage:
        problems = [problem for each in ATTEMPTS for problem in await stage.problems_with(each)]
    assert problems == []
