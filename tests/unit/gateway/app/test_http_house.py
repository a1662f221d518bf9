from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from edgewire.iothub.bootstrap import TIME_PATH
from edgewire.transport.pump import Peer, Pump
from edgewire.transport.tls import Security
from gateway.app.firmware import FirmwareHouse
from gateway.app.http_house import HttpHouse
from gateway.app.settings import ConfigError, read_environment
from gateway.dispatch.twin_desk import NoTwins
from gateway.identity.authenticator import Authenticator
from gateway.identity.publisher_hubs import Hub
from gateway.identity.publishers import PUBLISHERS_FILE, edit_publishers
from gateway.observe.bootstrap import RootNotTold
from gateway.observe.events import Event
from gateway.observe.head import HttpAction, HttpRequestsAnswered
from gateway.observe.observer import Observer
from support.certificates import self_signed
from support.http_reading import Answer, read_answers
from support.http_site import until
from support.mqtt_site import HUB, MemoryWire, Site

CURVES: Final = self_signed("gateway.local")
PEER: Final = Peer(address="127.0.0.97", port=5000)


class House:
    def __init__(self, site: Site, folder: Path) -> None:
        self.events: list[Event] = []
        self.site = site
        self.folder = folder
        self.house = self.open()

    def open(self, **environ: str) -> HttpHouse:
        site, observer = self.site, Observer()
        observer.listen(self.events.append)
        firmware = FirmwareHouse(
            self.folder, methods=site.methods, twins=NoTwins(), emit=observer.emit, release_key=None
        )
        return HttpHouse(
            read_environment({"GATEWAY_DATA_DIR": str(self.folder), **environ}),
            {},
            names=[HUB],
            authenticator=Authenticator(site.registry, [HUB], None),
            registry=site.registry,
            ingress=site.ingress,
            delivery=site.delivery,
            methods=site.methods,
            firmware=firmware,
            provisioning=None,
            board_security=Security(CURVES.pem, CURVES.key_pem),
            trust_pem=lambda: b"",
            board_settings=dict,
            observer=observer,
        )

    async def ask(self, target: str, *, plain: bool = False) -> Answer:
        wire = MemoryWire()
        session, owner = (self.house.accept_plain if plain else self.house.accept)(PEER)
        pump = Pump(wire, session, owner, peer=PEER, clock=lambda: 0.0)
        pump.begin()
        pump.receive(f"GET {target} HTTP/1.1\r\nHost: {HUB}\r\n\r\n".encode())
        await until(lambda: bool(wire.written))
        [answer] = read_answers(bytes(wire.written))
        return answer


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with Site.open(tmp_path) as site:
        yield House(site, tmp_path)


async def test_without_tls_there_is_first_contact_and_nothing_else(house: House) -> None:
    manifest = "/firmware/v1/manifests/nodemcu-1"
    assert [(await house.ask(path, plain=True)).status for path in (TIME_PATH, manifest)] == [200, 404]
    assert [(await house.ask(path)).status for path in (TIME_PATH, manifest)] == [200, 401]


async def test_tokens_are_made_where_the_settings_name_a_proof_and_never_without_tls(house: House) -> None:
    nonce = "/tokens/v1/nonce?deviceId=d1"
    assert [(await house.ask(nonce, plain=plain)).status for plain in (False, True)] == [200, 404]
    house.house.close()
    house.house = house.open(GATEWAY_TOKEN_PROOFS="none")
    assert (await house.ask(nonce)).status == 404
    with pytest.raises(ConfigError, match="did you mean key"):
        house.open(GATEWAY_TOKEN_PROOFS="kye")


async def test_publishers_are_served_where_there_is_a_hub(house: House) -> None:
    target = "/telemetry/publishers/p/messages"
    assert (await house.ask(target)).status == 404
    edit_publishers(house.folder / PUBLISHERS_FILE, lambda hubs: hubs.with_hub(Hub(name="telemetry")))
    assert (await house.ask(target)).status == 405
    assert (await house.ask(target, plain=True)).status == 404


async def test_the_answers_of_both_heads_are_counted(house: House) -> None:
    house.house.report()
    house.house.close()
    for plain in (False, True):
        await house.ask(TIME_PATH, plain=plain)
    house.house.report()
    counted = [event for event in house.events if isinstance(event, HttpRequestsAnswered)]
    assert [(event.action, event.status, event.count) for event in counted] == [(HttpAction.BOOTSTRAP, 200, 1)] * 2
    house.house.close()


async def test_what_boards_will_miss_is_said_at_the_start_where_boards_are_to_come(house: House) -> None:
    house.house.expect_boards()
    assert house.events == []
    house.open(GATEWAY_CONSTRAINED_MQTT_PORT="8884").expect_boards()
    (house.folder / "claims.json").write_text("{}")
    house.open().expect_boards()
    assert [type(event) for event in house.events] == [RootNotTold] * 2
