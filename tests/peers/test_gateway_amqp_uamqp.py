"""Story S7: the unmodified uamqp, PLAIN as `device@sas.hub` with its own root CA; CBS, batch, WebSocket."""

from functools import partial
from pathlib import Path
from typing import Final

from edgeca.authority import Authority
from support.amqp_peers import BODIES, MESSAGES, UAMQP, UAMQP_RUNS_HERE, Server, accepted, fail, peer, succeed
from support.clients import CBS, PLAIN, Client
from support.compatibility import Table, works
from support.gateway_site import GatewaySite

shows = partial(works, Table.GATEWAY)
BATCH: Final = 300
WEBSOCKET_PORT: Final = 8443

if UAMQP_RUNS_HERE:

    @shows(Client.UAMQP.over("amqp", PLAIN), "telemetry")
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

    @shows(Client.UAMQP.over("amqp", CBS), "telemetry")
    @shows(Client.UAMQP.over("amqp-ws", PLAIN), "telemetry")
    @shows(Client.UAMQP.over("amqp-ws", CBS), "telemetry")
    async def test_a_token_by_cbs_and_both_logins_over_websocket_open_the_link(site: GatewaySite) -> None:
        await site.gateway.start(GATEWAY_WEBSOCKET_PORT=str(WEBSOCKET_PORT))
        server = Server.of(site)
        over = {"websocket": True, "port": WEBSOCKET_PORT}
        for login, more in (("cbs", {}), ("plain", over), ("cbs", over)):
            assert accepted(await succeed(UAMQP, server.token("d1", login=login, messages=MESSAGES) | more)) == 2
        assert [event.body for event in await site.arrived(6)] == 3 * BODIES

    @shows(Client.UAMQP.over("amqp", PLAIN), "refusals")
    @shows(Client.UAMQP.over("amqp", CBS), "refusals")
    async def test_what_it_is_refused_it_is_told(site: GatewaySite) -> None:
        await site.gateway.start()
        server = Server.of(site)
        wrong = b"x" * 32
        counted = partial(site.counted, 'gateway_refused_logins_total{reason="wrong_key"}')
        assert (await fail(UAMQP, server.token("d1", key=wrong, messages=MESSAGES)))["name"] == "ConnectionClose"
        assert await counted() == 1
        # By CBS it tries four times; what it says of the last is at times read from memory that it has freed.
        by_cbs = await fail(UAMQP, server.token("d2", login="cbs", key=wrong, messages=MESSAGES))
        assert by_cbs["name"] in {"TokenAuthFailure", "AuthenticationException"}
        assert await counted(5) == 5
        without = await fail(UAMQP, server.token("d1", login="anonymous", messages=MESSAGES))
        assert (without["name"], without["condition"]) == ("LinkDetach", "amqp:not-allowed")
        another = await fail(UAMQP, server.token("d1", messages=MESSAGES) | {"device": "d2"})
        assert (another["name"], another["condition"]) == ("LinkDetach", "amqp:not-allowed")
        assert site.hub.events.count() == 0

    async def test_it_believes_no_other_root(site: GatewaySite, tmp_path: Path) -> None:
        await site.gateway.start()
        another = tmp_path / "another-root.pem"
        another.write_bytes(Authority.create("another").trust_bundle_pem)
        plan = Server.of(site).token("d1", messages=MESSAGES) | {"ca": str(another)}
        async with peer(UAMQP, plan) as running:  # it tries for ever, and says nothing
            assert await site.counted('gateway_refused_connections_total{reason="lost"}') >= 1
            running.process.kill()
            await running.end()
            assert running.said == []
        assert site.hub.events.count() == 0
