"""Small boards at the listener made for them: axTLS with its limits on one side, the whole gateway on the other."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from edgeca.folder import Folder, Wish
from edgeca.keys import KeyType
from edgewire.iothub import sas
from edgewire.message import identity
from support import raw_mqtt
from support.axtls_client import SUITES, AxTlsClient, AxTlsError, Trouble
from support.gateway_site import KEY, GatewaySite, until
from support.small_board import PORT, SmallBoard

D1: Final = identity("d1")
HTTPS_PORT: Final = 8444
UP: Final = "connected upstream on behalf of devices"
PINGRESP: Final = (raw_mqtt.PINGRESP, b"")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA of RSA keys alone, as boards need it."""
    folder = tmp_path_factory.mktemp("rsa")
    Folder(folder).init(wish=Wish(key_type=KeyType.RSA_2048))
    return folder


async def start(site: GatewaySite, **settings: str) -> None:
    """A gateway that takes boards, and the way back to them."""
    site.hub.add_device("d1", keys=(sas.encode_key(KEY),))
    await site.gateway.start(
        GATEWAY_UPSTREAM_AMQP="edgehub",
        GATEWAY_CONSTRAINED_MQTT_PORT=str(PORT),
        GATEWAY_CONSTRAINED_HTTPS_PORT=str(HTTPS_PORT),
        **settings,
    )
    await site.gateway.said(UP)


@asynccontextmanager
async def board_of(site: GatewaySite, *filters: str, **settings: str) -> AsyncIterator[SmallBoard]:
    """The board d1, which has subscribed."""
    await start(site, **settings)
    async with SmallBoard.login(site, "d1") as board:
        await board.subscribe(*(filters or (board.devicebound,)))
        yield board


async def invoke(site: GatewaySite, payload: Any) -> Any:
    return await site.hub.hub.invoke_method(D1, "blink", payload, connect_timeout_s=20)


async def test_a_board_logs_in_with_each_suite_and_its_message_arrives(site: GatewaySite) -> None:
    await start(site)
    for number, suite in enumerate(SUITES):
        async with SmallBoard.login(site, "d1", suites=(suite,)) as board:
            assert board.tls.suite == suite
            await board.publish("devices/d1/messages/events/", b"%d" % number, qos=1)
    events = await site.arrived(4)
    assert sorted(bytes(event.body) for event in events) == [b"0", b"1", b"2", b"3"]


async def test_the_certificate_from_iot_edge_is_one_that_boards_take(site: GatewaySite) -> None:
    await start(site)
    async with SmallBoard.login(site, "d1") as board:
        assert len(board.tls.certificates) == 2
        assert board.tls.certificate_message_bytes < 4096
    assert "certificate for small boards" not in site.gateway.transcript()


async def test_a_message_from_the_cloud_reaches_the_board(site: GatewaySite) -> None:
    async with board_of(site) as board:
        site.hub.send_c2d(D1, b"on")
        topic, payload = await board.message()
        assert topic.startswith("devices/d1/messages/devicebound/")
        assert payload == b"on"
        await until(lambda: site.hub.counters["c2d completed"] == 1)


async def test_packets_that_are_ready_at_once_come_in_records_of_their_own(site: GatewaySite) -> None:
    async with board_of(site) as board:
        before = len(board.tls.record_sizes)
        await board.tls.write(raw_mqtt.PINGREQ * 3)
        assert [await board.next() for _ in range(3)] == [PINGRESP] * 3
        assert board.tls.record_sizes[before:] == [2, 2, 2]


async def test_acknowledgements_of_one_batch_come_in_records_of_their_own(site: GatewaySite) -> None:
    async with board_of(site) as board:
        before = len(board.tls.record_sizes)
        topic = "devices/d1/messages/events/"
        await board.tls.write(b"".join(raw_mqtt.publish(topic, b"{}", packet_id=number) for number in range(1, 6)))
        assert [await board.next() for _ in range(5)] == [
            (raw_mqtt.PUBACK, bytes((0, number))) for number in range(1, 6)
        ]
        assert board.tls.record_sizes[before:] == [4] * 5
        await site.arrived(5)


async def test_two_messages_back_to_back_survive_what_the_board_writes_between(site: GatewaySite) -> None:
    async with board_of(site) as board:
        await board.tls.write(raw_mqtt.PINGREQ)  # its answer and the two messages wait in the socket together
        site.hub.send_c2d(D1, b"on" * 100)
        site.hub.send_c2d(D1, b"off" * 100)
        assert await board.next() == PINGRESP
        assert (await board.message())[1] == b"on" * 100
        await board.publish("devices/d1/messages/events/", b"x" * 700)
        assert (await board.message())[1] == b"off" * 100
        assert board.tls.damaged_bytes == 0
        await until(lambda: site.hub.counters["c2d completed"] == 2)


async def test_a_message_larger_than_boards_take_is_rejected_at_the_hub_and_told(site: GatewaySite) -> None:
    async with board_of(site) as board:
        site.hub.send_c2d(D1, b"x" * 1200)
        site.hub.send_c2d(D1, b"x" * 800)
        assert (await board.message())[1] == b"x" * 800
        await until(lambda: site.hub.counters["c2d rejected"] == 1)
        await until(lambda: site.hub.hub.c2d_waiting(D1) == 0)
    await site.gateway.said("with a body of 1200 bytes it is larger than the device takes")
    assert await site.counted("gateway_undeliverable_cloud_messages_total") == 1


async def test_a_call_larger_than_boards_take_is_refused_to_the_caller(site: GatewaySite) -> None:
    async with board_of(site, "$iothub/methods/POST/#") as board:
        answer = asyncio.ensure_future(invoke(site, {"n": 1}))
        topic, payload = await board.message()
        assert json.loads(payload) == {"n": 1}
        rid = topic.partition("$rid=")[2]
        await board.publish(f"$iothub/methods/res/200/?$rid={rid}", b"{}")
        assert (await answer).status == 200
        result = await invoke(site, "x" * 2000)
        assert result.status == 413
        assert "larger than 'd1' takes" in json.loads(result.payload)["message"]


@pytest.mark.parametrize(
    ("desired", "reported", "status", "cut"),
    [
        ("a", "b", "200", None),
        ("a", "b" * 2000, "200", "reported_left_out"),
        ("a" * 2000, "b", "413", "refused"),
    ],
)
async def test_a_twin_larger_than_boards_take_is_cut_or_refused_with_what_to_do(
    site: GatewaySite, desired: str, reported: str, status: str, cut: str | None
) -> None:
    async with board_of(site, "$iothub/twin/res/#") as board:
        await board.publish("$iothub/twin/PATCH/properties/reported/?$rid=1", json.dumps({"r": reported}).encode())
        assert (await board.message())[0].startswith("$iothub/twin/res/204/")
        site.hub.set_desired(D1, {"d": desired})
        await until(lambda: "r" in site.hub.reported(D1))
        await board.publish("$iothub/twin/GET/?$rid=2", b"")
        topic, payload = await board.message()
        assert topic.startswith(f"$iothub/twin/res/{status}/")
        answer = json.loads(payload)
        if cut == "refused":
            assert "take properties out of the twin" in answer["message"]
        else:
            assert answer["desired"]["d"] == desired
            assert ("reported" in answer) == (cut is None)
    if cut is not None:
        assert await site.counted(f'gateway_oversize_twins_total{{cut="{cut}"}}') == 1


async def test_a_change_larger_than_boards_take_is_told_to_the_operator(site: GatewaySite) -> None:
    async with board_of(site, "$iothub/twin/PATCH/properties/desired/#") as board:
        site.hub.set_desired(D1, {"d": "x" * 2000})
        await site.gateway.said("the device was not told of this change")
        site.hub.set_desired(D1, {"d": "y"})
        assert json.loads((await board.message())[1])["d"] == "y"


async def test_the_limit_is_the_operators(site: GatewaySite) -> None:
    async with board_of(site, GATEWAY_CONSTRAINED_MAX_PACKET="4096") as board:
        site.hub.send_c2d(D1, b"x" * 3900)
        assert (await board.message())[1] == b"x" * 3900
        assert max(board.tls.record_sizes) <= 4096


@pytest.mark.parametrize("certificates_asked", ["on", "off"])
async def test_the_other_listeners_refuse_a_board_and_say_where_it_belongs(
    site: GatewaySite, certificates_asked: str
) -> None:
    await start(site, GATEWAY_CLIENT_CERTIFICATES=certificates_asked)
    with pytest.raises(AxTlsError) as raised:
        async with AxTlsClient.connect(site.address, 8883):
            pass
    assert raised.value.trouble is Trouble.NO_CIPHER
    line = await site.gateway.said("closed before its login")
    assert "a small board (ESP8266) must dial GATEWAY_CONSTRAINED_MQTT_PORT" in line


async def test_a_modern_device_at_the_boards_port_is_told_to_the_operator(site: GatewaySite) -> None:
    await start(site)
    context = site.client_tls(version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("ECDHE+AESGCM")
    with pytest.raises(ssl.SSLError):
        await asyncio.open_connection(site.address, PORT, ssl=context)
    assert "all others must dial the usual ports" in await site.gateway.said("closed before its login")


async def test_an_answer_over_https_comes_in_small_records(site: GatewaySite) -> None:
    await start(site)
    site.hub.send_c2d(D1, b"x" * 20_000)
    token = site.token("d1")
    request = (
        "GET /devices/d1/messages/devicebound?api-version=2020-03-13 HTTP/1.1\r\n"
        f"Host: {site.hub.hub_name}\r\nAuthorization: {token}\r\n\r\n"
    )
    async with AxTlsClient.connect(site.address, HTTPS_PORT) as tls:
        status = b"204"
        while status == b"204":  # three seconds may not be enough for the hub to give it: a board asks again
            await tls.write(request.encode())
            head = b""
            while b"\r\n\r\n" not in head:
                head += await tls.read_exactly(1)
            status = head.split()[1]
        assert status == b"200", head
        assert await tls.read_exactly(20_000) == b"x" * 20_000
        assert max(tls.record_sizes) <= 4096


async def test_nobody_gets_a_session_ticket(site: GatewaySite) -> None:
    await start(site)
    context = site.client_tls(version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("AES128-SHA256:@SECLEVEL=2")
    _, writer = await asyncio.open_connection(site.address, PORT, ssl=context)
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    assert tls.cipher() == ("AES128-SHA256", "TLSv1.2", 128)
    assert tls.session is None or not tls.session.has_ticket
    writer.close()
