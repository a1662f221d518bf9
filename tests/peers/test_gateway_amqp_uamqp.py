"""Story S7: the unmodified uamqp, PLAIN as `device@sas.hub` with its own root CA; CBS, batch, WebSocket."""

from pathlib import Path

import pytest

from edgeca.authority import Authority
from support.amqp_peers import BODIES, MESSAGES, UAMQP, UAMQP_RUNS_HERE, Server, accepted, fail, peer, succeed
from support.gateway_site import GatewaySite

BATCH = 300
WEBSOCKET_PORT = 8443

if UAMQP_RUNS_HERE:

    async def test_plain_messages_and_a_batch_arrive(site: GatewaySite) -> None:
        await site.gateway.start()
        batch = [{"body": f"{number}", "properties": {"n": f"{number}"}} for number in range(BATCH)]
        said = await succeed(UAMQP, Server.of(site).token("d1", messages=MESSAGES, batch=batch))
        assert accepted(said) == 3
        first, second, *others = await site.arrived(2 + BATCH)
        assert (first.body, second.body) == tuple(BODIES)
        assert first.properties == {"a b": "c/d&e", "leafDeviceId": "d1"}
        assert {name: first.system[name] for name in ("messageId", "contentType", "contentEncoding")} == {
            "messageId": "m 1",
            "contentType": "application/json",
            "contentEncoding": "utf-8",
        }
        assert [event.body for event in others] == [f"{number}".encode() for number in range(BATCH)]
        assert [event.properties["n"] for event in others] == [f"{number}" for number in range(BATCH)]

    async def test_a_token_by_cbs_opens_the_link(site: GatewaySite) -> None:
        await site.gateway.start()
        assert accepted(await succeed(UAMQP, Server.of(site).token("d1", login="cbs", messages=MESSAGES))) == 2
        assert [event.body for event in await site.arrived(2)] == BODIES

    @pytest.mark.parametrize("login", ["plain", "cbs"])
    async def test_it_sends_over_websocket(site: GatewaySite, login: str) -> None:
        await site.gateway.start(GATEWAY_WEBSOCKET_PORT=str(WEBSOCKET_PORT))
        plan = Server.of(site).token("d1", login=login, messages=MESSAGES, websocket=True) | {"port": WEBSOCKET_PORT}
        assert accepted(await succeed(UAMQP, plan)) == 2
        assert len(await site.arrived(2)) == 2

    async def test_a_wrong_password_ends_the_connection(site: GatewaySite) -> None:
        await site.gateway.start()
        said = await fail(UAMQP, Server.of(site).token("d1", key=b"x" * 32, messages=MESSAGES))
        assert said["name"] == "ConnectionClose"
        assert await site.counted('gateway_refused_logins_total{reason="wrong_key"}') == 1

    async def test_a_wrong_token_is_told_to_it_each_time(site: GatewaySite) -> None:
        await site.gateway.start()
        said = await fail(UAMQP, Server.of(site).token("d1", login="cbs", key=b"x" * 32, messages=MESSAGES))
        # It tries four times; what it says of the last is at times read from memory that it has freed.
        assert said["name"] in {"TokenAuthFailure", "AuthenticationException"}
        assert await site.counted('gateway_refused_logins_total{reason="wrong_key"}', at_least=4) == 4

    async def test_without_a_token_no_link_opens(site: GatewaySite) -> None:
        await site.gateway.start()
        said = await fail(UAMQP, Server.of(site).token("d1", login="anonymous", messages=MESSAGES))
        assert (said["name"], said["condition"]) == ("LinkDetach", "amqp:not-allowed")

    async def test_a_message_for_the_device_of_another_login_is_refused(site: GatewaySite) -> None:
        await site.gateway.start()
        plan = Server.of(site).token("d1", messages=MESSAGES) | {"device": "d2"}
        said = await fail(UAMQP, plan)
        assert said["name"] == "LinkDetach"

    async def test_it_believes_no_other_root(site: GatewaySite, tmp_path: Path) -> None:
        await site.gateway.start()
        another = tmp_path / "another-root.pem"
        another.write_bytes(Authority.create("another").trust_bundle_pem)
        plan = Server.of(site).token("d1", messages=MESSAGES) | {"ca": str(another)}
        async with peer(UAMQP, plan) as running:  # it tries for ever, and says nothing
            assert await site.counted('gateway_refused_connections_total{reason="lost"}') >= 1
            assert running.said == []
        assert site.hub.events.count() == 0
