import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewire.codec.amqp.conditions import DECODE_ERROR, INVALID_FIELD, NOT_ALLOWED
from edgewire.codec.amqp.kinds import Symbol
from edgewire.codec.amqp.performatives import ACCEPTED, Rejected
from edgewire.iothub.amqp.methods import MethodAnswer, write_answer
from edgewire.iothub.amqp.twins import TwinAnswer, TwinOperation, TwinRequest, read_reply, write_request
from edgewire.message import identity
from gateway.identity.roster import Registration, SymmetricKeys
from gateway.observe.head import LinkRefused, MessageRefused, RefusedLink, RefusedMessage
from gateway.observe.identity import LoginRefused
from support.amqp_site import KEY, AmqpSite

D1 = "/devices/d1"
M = "/devices/d1/modules/m"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[AmqpSite]:
    async with AmqpSite.open(tmp_path) as site:
        module = Registration(identity("d1", "m"), SymmetricKeys(KEY, KEY[::-1]))
        site.registry.edit(lambda roster: roster.with_registration(module))
        yield site


@pytest.mark.parametrize(
    ("way", "address"),
    [
        ("sender", f"{D1}/messages/events"),
        ("sender", f"amqps://hub.example:5671{D1}/messages/events"),
        ("sender", f"{M}/messages/events"),
        ("receiver", f"{M}/messages/events"),
        ("receiver", f"{D1}/messages/deviceBound"),
        ("receiver", f"{M}/messages/devicebound"),
        ("sender", f"{D1}/methods/devicebound"),
        ("receiver", f"{D1}/methods/devicebound"),
        ("sender", f"{M}/twin"),
        ("receiver", f"{D1}/twin"),
    ],
)
async def test_what_clients_ask_for_is_granted(site: AmqpSite, way: str, address: str) -> None:
    client, session = site.by_token("d1")
    link = client.sender(session, address) if way == "sender" else client.receiver(session, address)
    assert client.refusal_of(link) is None
    assert link.attached
    assert link.peer_max_message_size > 0
    assert (link.credit > 0) or way == "receiver" or "twin" in address


@pytest.mark.parametrize(
    ("way", "address"),
    [
        ("receiver", f"{D1}/messages/events"),
        ("sender", f"{D1}/messages/devicebound"),
        ("sender", f"{D1}/messages/events/"),
        ("sender", "/devices/d1/../d2/messages/events"),
        ("sender", "/devices//messages/events"),
        ("sender", f"{D1}/messages/serviceBound"),
        ("receiver", "/messages/serviceBound/feedback"),
        ("sender", "/messages/events"),
        ("sender", ""),
        ("sender", "$management"),
        ("sender", "/devices/" + "d" * 3000 + "/messages/events"),
    ],
)
async def test_what_there_is_not_is_refused_before_anybody_is_let_in(site: AmqpSite, way: str, address: str) -> None:
    client, session = site.by_token("d1")
    link = client.sender(session, address, "a link") if way == "sender" else client.receiver(session, address)
    refusal = client.refusal_of(link)
    assert refusal is not None
    assert refusal.condition == NOT_ALLOWED
    assert site.reasons(LinkRefused) == [RefusedLink.UNKNOWN_ADDRESS]
    assert site.reasons(LoginRefused) == []
    assert len(site.presence) == 0
    assert client.telemetry(session).attached


async def test_properties_of_a_link_that_are_no_text_are_refused(site: AmqpSite) -> None:
    client, session = site.by_token("d1")
    wrong = {Symbol("com.microsoft:client-version"): 7}
    refusal = client.refusal_of(client.sender(session, f"{D1}/messages/events", properties=wrong))
    assert refusal is not None
    assert refusal.condition == INVALID_FIELD
    assert site.reasons(LinkRefused) == [RefusedLink.MALFORMED_PROPERTIES]


# --- what is not served yet -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", list(TwinOperation))
async def test_a_twin_request_is_answered_that_twins_are_not_served(site: AmqpSite, operation: TwinOperation) -> None:
    client, session = site.by_token("d1")
    requests, answers = client.sender(session, f"{D1}/twin"), client.receiver(session, f"{D1}/twin")
    rid = uuid.UUID(int=7)
    sent = client.send(requests, write_request(TwinRequest(operation=operation, correlation_id=rid, patch=b"{}")))
    assert sent.state == ACCEPTED
    [answer] = [read_reply(each) for each in client.received(answers)]
    assert isinstance(answer, TwinAnswer)
    assert (answer.correlation_id, answer.status) == (rid, 501)
    assert json.loads(answer.document)["errorCode"] == 501000


async def test_what_is_no_twin_request_is_rejected(site: AmqpSite) -> None:
    client, session = site.by_token("d1")
    requests = client.sender(session, f"{D1}/twin")
    state = client.send(requests, b"\xff").state
    assert isinstance(state, Rejected)
    assert state.error is not None
    assert state.error.condition == DECODE_ERROR
    assert site.reasons(MessageRefused) == [RefusedMessage.MALFORMED_MESSAGE]


async def test_an_answer_to_no_method_is_taken_and_dropped(site: AmqpSite) -> None:
    client, session = site.by_token("d1")
    link = client.sender(session, f"{D1}/methods/devicebound")
    for _ in range(3):
        assert client.send(link, write_answer(MethodAnswer(rid="1", status=200, payload=b"{}"))).state == ACCEPTED
    assert site.stored() == []
