"""Publishers in Event Hubs' form and boards without a clock, at a gateway's process: by curl, http.client, a WiPy."""

import asyncio
import http.client
import json
import time
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from edgeca.files import Entry
from edgeca.folder import Folder
from edgewire.iothub import sas
from support.endpoint_site import NAME, configure, events_in
from support.gateway_site import BODY_ROUTES, KEY, GatewaySite, until
from support.on_micropython import run
from support.page_commands import Reader, commands_of

PORT: Final = 8443
HOST: Final = "gateway.local"
NAMESPACE: Final = "contoso-ns.servicebus.windows.net"
RULE_KEY: Final = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
SEND: Final = (
    'curl -s -w "%{http_code}" --cacert root.pem -H "Authorization: $TOKEN" -H "iothub-contenttype: application/json" '
    "-H 'iothub-contentencoding: utf-8' -d '{\"messageType\":\"alert\",\"n\":'$NUMBER'}' "
    "'https://gateway.local/devices/boiler/messages/events?api-version=2021-04-12'"
)
TARGET: Final = "/telemetry/publishers/wipy-01/messages"


async def start(site: GatewaySite, **environment: str) -> None:
    settings = site.write_settings(routes=BODY_ROUTES)
    await site.gateway.start(
        GATEWAY_WEBSOCKET_PORT=str(PORT),
        GATEWAY_SETTINGS_FILE=str(settings),
        **environment,
    )


async def add_hub(site: GatewaySite, *names: str) -> None:
    hosts = [option for name in names for option in ("--host", name)]
    for command in (("add-hub", "telemetry", *hosts), ("add-rule", "telemetry", "SendRule", "--key", RULE_KEY)):
        said = await site.command("publishers", *command)
        assert said.code == 0, said.error


class Program:
    """A program with the HTTP client that Python has, on one connection."""

    def __init__(self, site: GatewaySite) -> None:
        self._site = site
        self._link = http.client.HTTPSConnection(site.address, PORT, context=site.client_tls(), timeout=60)

    def token(self, publisher: str = "wipy-01") -> str:
        resource = f"sb://{self._site.address}/telemetry/publishers/{publisher}"
        return sas.make(resource, RULE_KEY.encode(), int(time.time()) + 60, "SendRule")

    async def posts(self, body: str, *, target: str = TARGET, token: str = "", **headers: str) -> int:
        """The status of the answer."""
        fields = {"Authorization": token or self.token(), "Content-Type": "application/json", **headers}
        return await asyncio.to_thread(self._post, target, body, fields)

    def _post(self, target: str, body: str, headers: dict[str, str]) -> int:
        self._link.request("POST", target, body, headers)
        with self._link.getresponse() as answer:
            answer.read()
            return answer.status

    def close(self) -> None:
        self._link.close()


async def test_the_page_on_publishers_does_what_it_says(site: GatewaySite) -> None:
    await start(site, GATEWAY_HOST_NAME=HOST)
    reader = Reader(site, HOST, PORT)
    (send,) = commands_of("publishers.md")
    await reader.types(send)
    (event,) = await site.arrived(1)
    assert json.loads(event.body) == {"temperature": 31}
    assert event.properties["leafDeviceId"] == "wipy-01"
    assert (event.properties["room"], event.properties["eventHub"]) == ("kitchen", "telemetry")
    (revoke,) = commands_of("publishers.md", "Hubs, rules, tokens")
    assert "revoked" in await reader.types(revoke)
    again = send[send.index("TOKEN=") :]
    assert "<Code>401</Code>" in await reader.types(again)
    assert await site.counted('gateway_refused_publishers_total{reason="revoked"}') == 1
    told = site.gateway.transcript()
    rule = json.loads((site.data / "publishers.json").read_text())["hubs"]["telemetry"]["rules"]["SendRule"]
    assert all(secret not in told for secret in ("sig=", *rule.values()))


async def test_a_publisher_is_revoked_on_its_open_connection_and_stays_so(site: GatewaySite) -> None:
    await start(site)
    await add_hub(site)
    program = Program(site)
    assert await program.posts('{"messageType":"alert","n":1}') == 201
    assert await program.posts('{"messageType":"calm"}') == 201
    assert await program.posts('{"messageType":"alert","n":2}', target="/telemetry/publisher/wipy-01/messages") == 201
    assert await program.posts("{}", token=program.token("wipy-0")) == 401
    program = Program(site)
    assert await program.posts('{"messageType":"alert","n":3}') == 201
    assert (await site.command("publishers", "revoke", "telemetry", "wipy-01")).code == 0
    assert await program.posts('{"messageType":"alert","n":4}') == 401
    await site.arrived(3)
    await site.nothing_waits()
    await site.gateway.stop()
    await site.gateway.start()
    program = Program(site)
    assert await program.posts('{"messageType":"alert","n":5}') == 401
    assert (await site.command("publishers", "restore", "telemetry", "wipy-01")).code == 0
    program = Program(site)
    assert await program.posts('{"messageType":"alert","n":6}') == 201
    program.close()
    assert [json.loads(event.body)["n"] for event in await site.arrived(4)] == [1, 2, 3, 6]


async def test_a_wipy_posts_to_the_gateway_and_its_messages_reach_the_hub_and_an_event_hub(
    site: GatewaySite, certificates: Path
) -> None:
    ca = Folder(certificates)
    entry = ca.server([NAMESPACE]).entry
    source = "FROM /messages/* WHERE $body.temperatureTenths > 200 AND eventHub = 'telemetry' INTO"
    event_hub = configure(
        site, site.hub, routes={"warm": f"{source} $upstream", "kept": f'{source} Endpoint("{NAME}")'}
    )
    await site.gateway.start(
        GATEWAY_WEBSOCKET_PORT=str(PORT),
        GATEWAY_CERTIFICATE_FILE=str(entry.chain_path),
        GATEWAY_KEY_FILE=str(entry.key_path),
    )
    await add_hub(site, NAMESPACE)
    given = {
        "root": ca.authority().root.certificate.public_bytes(Encoding.DER).hex(),
        "name": NAMESPACE,
        "address": site.address,
        "port": PORT,
        "key": RULE_KEY,
        "raw": [1_000, 2_091, 4_095],
    }
    found = await asyncio.to_thread(run, "wipy", given)
    assert found["said"] == ["accepted"] * 3
    events = await site.arrived(2)
    assert [json.loads(event.body)["temperatureTenths"] for event in events] == [214, 899]
    assert {event.properties["leafDeviceId"] for event in events} == {"leaf-01"}
    await until(lambda: event_hub.log.count() == 2)
    kept = events_in(event_hub)
    assert [json.loads(event.body)["temperatureTenths"] for event in kept] == [214, 899]
    assert {event.device for event in kept} == {"leaf-01"}


async def test_a_board_without_a_clock_gets_a_token_as_the_page_says(site: GatewaySite, certificates: Path) -> None:
    site.register("boiler")
    await start(
        site,
        GATEWAY_HOST_NAME=HOST,
        GATEWAY_CLIENT_CERTIFICATES="on",
        GATEWAY_TOKEN_PROOFS="key,certificate,password",
    )
    reader = Reader(site, HOST, PORT)
    entry = Folder(certificates).device("boiler").entry
    (reader.folder / "boiler.pem").write_bytes(entry.chain_path.read_bytes())
    (reader.folder / "boiler.key").write_bytes(entry.key_path.read_bytes())
    added = json.loads((await site.command("users", "add", "boiler", "--publish", "x/#", "--json")).out)
    secrets = {"KEY": sas.encode_key(KEY), "PASSWORD": added["password"]}
    for number, block in enumerate(commands_of("https.md", "Tokens for boards without a clock")):
        said = json.loads(await reader.types(block, secrets))
        assert abs(said["time"] - time.time()) < 30
        assert said["expiresAt"] - said["time"] <= 3_600
        token = {"TOKEN": said["token"], "NUMBER": str(number)}
        assert await reader.types(SEND, token) == "204"
    events = await site.arrived(3)
    assert [json.loads(event.body)["n"] for event in events] == [0, 1, 2]
    assert await asyncio.to_thread(asked_for_boiler, site, Folder(certificates).device("other").entry) == 401
    assert await site.counted('gateway_refused_mints_total{reason="wrong_certificate"}') == 1
    assert await site.counted('gateway_http_requests_total{action="mint",status="401"}') == 1
    told = site.gateway.transcript()
    for proof in ("key", "certificate", "password"):
        assert f"got a token for 3600 s by its {proof}" in told
    assert all(secret not in told for secret in secrets.values())


def asked_for_boiler(site: GatewaySite, entry: Entry) -> int:
    """The answer to somebody with this certificate."""
    context = site.client_tls()
    context.check_hostname = False
    context.load_cert_chain(entry.chain_path, entry.key_path)
    link = http.client.HTTPSConnection(site.address, PORT, context=context, timeout=60)
    link.request("POST", "/tokens/v1/token", '{"deviceId":"boiler"}')
    with link.getresponse() as answer:
        answer.read()
    link.close()
    return answer.status
