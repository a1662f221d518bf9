import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edgewire.codec.amqp.conditions import (
    DECODE_ERROR,
    INVALID_FIELD,
    MESSAGE_SIZE_EXCEEDED,
    UNAUTHORIZED_ACCESS,
)
from edgewire.codec.amqp.kinds import ULong
from edgewire.codec.amqp.message import AmqpMessage, Properties, Value, write_message
from edgewire.codec.amqp.performatives import ACCEPTED, SETTLED, Rejected
from edgewire.iothub import sas
from edgewire.iothub.amqp.cbs import PutToken, TokenKind, read_reply, write_put_token
from edgewire.message import identity
from edgewire.session.amqp.events import MessageReceived
from edgewire.session.amqp.link import Link
from gateway.head import amqp_credentials
from gateway.head.amqp_cbs import MAX_TOKEN_REQUEST_BYTES, _TokenLink
from gateway.identity.roster import Registration, SymmetricKeys
from gateway.observe.head import DeviceDisconnected, Leaving
from gateway.observe.identity import LoginRefused, RefusalReason
from support.amqp_site import CBS, KEY, AmqpSite, Client


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[AmqpSite]:
    async with AmqpSite.open(tmp_path) as site:
        yield site


def request(token: object = "t", message_id: Any = None, **said: object) -> bytes:
    """A put-token with whatever is in it."""
    properties = {"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": "n"} | said
    return write_message(
        AmqpMessage(properties=Properties(message_id=message_id), application_properties=properties, body=Value(token))
    )


def status_of(client: Client, links: tuple[Link, Link], payload: bytes) -> int:
    """What is answered to a request."""
    before = len(client.received(links[1]))
    assert client.send(links[0], payload).state == ACCEPTED
    return read_reply(client.received(links[1])[before]).status


@pytest.mark.parametrize(
    "message_id",
    [ULong(0), uuid.UUID(int=5), "text", b"\x01\x02", None],
    ids=["ulong", "uuid", "text", "binary", "none"],
)
async def test_the_answer_names_its_request_in_the_requests_own_type(site: AmqpSite, message_id: Any) -> None:
    client = site.dial_amqp("MSSBCBS")
    links = client.cbs(client.begin())
    said = client.put(links, site.sas("d1"), message_id)
    assert said.status == 200
    assert (said.correlation_id, type(said.correlation_id)) == (message_id, type(message_id))


@pytest.mark.parametrize("message_id", ["x" * 257, b"x" * 257], ids=["text", "binary"])
async def test_a_request_with_an_id_without_end_is_rejected(site: AmqpSite, message_id: Any) -> None:
    """The answer would repeat it, and a hundred answers may wait."""
    client = site.dial_amqp("MSSBCBS")
    links = client.cbs(client.begin())
    state = client.send(links[0], request(site.sas("d1"), message_id)).state
    assert isinstance(state, Rejected)
    assert state.error is not None
    assert state.error.condition == INVALID_FIELD
    assert status_of(client, links, request(site.sas("d1"), message_id[:256])) == 200


async def test_a_request_to_the_node_has_a_size(site: AmqpSite) -> None:
    client = site.dial_amqp("MSSBCBS")
    to_node, _ = client.cbs(client.begin())
    to_node.peer_max_message_size = 0  # a client that does not care
    client.send(to_node, bytes(MAX_TOKEN_REQUEST_BYTES + 1))
    refusal = client.refusal_of(to_node)
    assert refusal is not None
    assert refusal.condition == MESSAGE_SIZE_EXCEEDED


async def test_an_answer_waits_for_credit(site: AmqpSite) -> None:
    """As node, the C SDK and uamqp need it: they put the token before they give credit."""
    client = site.dial_amqp("MSSBCBS")
    session = client.begin()
    requests, answers = client.sender(session, CBS), client.receiver(session, CBS, credit=0)
    payload = write_put_token(PutToken(message_id="1", name="n", token=site.sas("d1"), kind=TokenKind.DEVICES))
    assert client.send(requests, payload).state == ACCEPTED
    assert client.received(answers) == []
    client.engine.grant(answers, 10)
    assert [read_reply(each).status for each in client.received(answers)] == [200]


async def test_an_answer_waits_for_the_link_that_takes_it(site: AmqpSite) -> None:
    client = site.dial_amqp("MSSBCBS")
    session = client.begin()
    requests = client.sender(session, CBS)
    client.send(requests, write_put_token(PutToken(message_id="1", name="n", token=site.sas("d1"))))
    answers = client.receiver(session, CBS)
    assert [read_reply(each).status for each in client.received(answers)] == [200]


@pytest.mark.parametrize("mode", [0, SETTLED])
async def test_answers_are_settled_if_the_client_asked_for_that(site: AmqpSite, mode: int) -> None:
    client = site.dial_amqp("MSSBCBS")
    session = client.begin()
    links = client.sender(session, CBS), client.receiver(session, CBS, snd_settle_mode=mode)
    client.put(links, site.sas("d1"))
    [event] = client.said(MessageReceived)
    assert event.settled is (mode == SETTLED)
    client.engine.settle(links[1], [event.delivery_id], ACCEPTED)
    client.transfer()
    assert client.refusal_of(links[1]) is None


@pytest.mark.parametrize(
    "payload",
    [
        request("SharedAccessSignature nonsense"),
        request(17),
        request(operation="get-token"),
        request(type="jwt"),
        request(name=""),
        write_message(AmqpMessage(body=b"")),
        request("SharedAccessSignature sr=hub.example&sig=x&se=1900003600"),
        request("SharedAccessSignature sr=hub.example%2Fdevices%2F&sig=x&se=1900003600"),
    ],
    ids=["no token", "a number", "operation", "type", "name", "nothing", "names the hub", "names nobody"],
)
async def test_what_is_no_token_of_a_device_is_answered_400(site: AmqpSite, payload: bytes) -> None:
    client = site.dial_amqp("MSSBCBS")
    assert status_of(client, client.cbs(client.begin()), payload) == 400
    assert site.reasons(LoginRefused) == [RefusalReason.MALFORMED_TOKEN]


async def test_what_is_no_message_is_rejected_and_the_next_one_is_taken(site: AmqpSite) -> None:
    client = site.dial_amqp("MSSBCBS")
    links = client.cbs(client.begin())
    state = client.send(links[0], b"\x00").state
    assert isinstance(state, Rejected)
    assert state.error is not None
    assert state.error.condition == DECODE_ERROR
    assert client.put(links, site.sas("d1")).status == 200


@pytest.mark.parametrize(
    ("device", "options", "reason"),
    [
        ("d1", {"key": b"x" * 32}, RefusalReason.WRONG_KEY),
        ("d1", {"life_s": -400}, RefusalReason.EXPIRED),
        ("nobody", {}, RefusalReason.UNKNOWN_DEVICE),
    ],
)
async def test_a_token_that_is_not_good_is_answered_401_and_not_kept(
    site: AmqpSite, device: str, options: dict[str, Any], reason: RefusalReason
) -> None:
    client = site.dial_amqp("MSSBCBS")
    links = client.cbs(client.begin())
    token = site.sas(device, **options)
    said = client.put(links, token)
    assert said.status == 401
    [refused] = [event for event in site.events if isinstance(event, LoginRefused)]
    assert (refused.identity, refused.reason) == (device, reason)
    assert token.split("sig=")[1][:10] not in f"{refused.sentence()} {said.description}"
    assert client.owner._line.credentials.token_of(identity(device)) is None


@pytest.mark.parametrize("host", ["hub.example", "HUB.example:5671", "edge-box.local"])
async def test_a_token_may_name_the_hub_or_the_gateway(site: AmqpSite, host: str) -> None:
    """As the C SDK's does, which signs for the host it dials."""
    client = site.dial_amqp("MSSBCBS")
    session = client.begin()
    token = sas.make(sas.resource_of(host, identity("d1")), KEY, int(site.clock.now + 60))
    assert client.put(client.cbs(session), token).status == 200
    assert client.telemetry(session).attached


async def test_guessing_is_answered_late(site: AmqpSite) -> None:
    client = site.dial_amqp("MSSBCBS")
    requests, answers = links = client.cbs(client.begin())
    for _ in range(10):
        assert client.put(links, site.sas("d1", key=b"x" * 32)).status == 401
    token = site.sas("d1", key=b"x" * 32)
    client.send(requests, write_put_token(PutToken(message_id="1", name="n", token=token)))
    assert len(client.received(answers)) == 10
    assert client.put(links, site.sas("d2")).status == 200
    await client.until(lambda: len(client.received(answers)) == 12)


async def test_a_late_answer_may_find_a_connection_that_is_gone(site: AmqpSite) -> None:
    client = site.dial_amqp("MSSBCBS")
    links = client.cbs(client.begin())
    [tokens] = [link.owner for link in client.session.sessions[0].links if isinstance(link.owner, _TokenLink)]
    client.lose()
    tokens._answer_late(b"")
    assert client.received(links[1]) == []


async def test_another_token_renews_the_login(site: AmqpSite) -> None:
    client, session = site.by_token("d1")
    links = client.cbs(client.begin())
    telemetry = client.telemetry(session)
    assert client.put(links, site.sas("d1", life_s=7200)).status == 200
    site.clock.now += 3600 + 301
    site.presence.judge_again()
    assert client.refusal_of(telemetry) is None
    site.clock.now += 3600
    site.presence.judge_again()
    refusal = client.refusal_of(telemetry)
    assert refusal is not None
    assert refusal.condition == UNAUTHORIZED_ACCESS
    assert site.reasons(DeviceDisconnected) == [Leaving.TOKEN_EXPIRED]


async def test_a_bad_token_does_not_end_a_good_one(site: AmqpSite) -> None:
    client, session = site.by_token("d1")
    links = client.cbs(client.begin())
    telemetry = client.telemetry(session)
    assert client.put(links, site.sas("d1", key=b"x" * 32)).status == 401
    assert await client.outcome(client.tell(telemetry)) == ACCEPTED
    client.engine.detach(telemetry)
    client.transfer()
    assert client.telemetry(session).attached


async def test_a_devices_token_renews_its_modules(site: AmqpSite) -> None:
    module = Registration(identity("d1", "m"), SymmetricKeys(KEY, KEY[::-1]))
    site.registry.edit(lambda roster: roster.with_registration(module))
    client, session = site.by_token("d1")
    links = client.cbs(client.begin())
    telemetry = client.telemetry(session, "d1", "m")
    assert client.put(links, site.sas("d1", life_s=7200)).status == 200
    site.clock.now += 3600 + 301
    site.presence.judge_again()
    assert client.refusal_of(telemetry) is None


@pytest.mark.plain
async def test_tokens_have_a_bound(site: AmqpSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amqp_credentials, "MAX_TOKENS_CHARS", 200)
    client = site.dial_amqp("MSSBCBS")
    links = client.cbs(client.begin())
    assert client.put(links, site.sas("d1")).status == 200
    assert client.put(links, site.sas("d2")).status == 400
    assert client.put(links, site.sas("d1", life_s=7200)).status == 200


async def test_each_session_has_a_node_of_its_own(site: AmqpSite) -> None:
    client = site.dial_amqp("MSSBCBS")
    first, second = client.begin(), client.begin()
    one, other = client.cbs(first), client.cbs(second)
    assert client.put(one, site.sas("d1")).status == 200
    assert client.received(other[1]) == []
    client.engine.end(first)
    client.transfer()
    assert client.put(other, site.sas("d2")).status == 200
