import asyncio
import os
import socket
import ssl
from pathlib import Path

import aiohttp
import pytest

from edgewire.message import identity
from standin.app import Ports, StandIn, StandInError
from standin.faults import Faults
from standin.policies import PolicyError
from standin.registry import RegistryError

FREE = Ports(mqtt=0, websocket=0, amqp=0)


def stand_in(directory: Path, address: str, *, ports: Ports = FREE, modules: tuple[str, ...] = ("m1",)) -> StandIn:
    return StandIn(directory, address=address, edge_device="edge-1", modules=modules, ports=ports)


async def test_a_second_start_has_what_the_first_had(tmp_path: Path) -> None:
    async with stand_in(tmp_path, "127.0.70.1") as first:
        key = first.add_device("leaf").primary_key
        first.set_desired(identity("leaf"), {"a": 1})
        environment, bundle = first.environment("m1"), first.trust_bundle
    async with stand_in(tmp_path, "127.0.70.1") as second:
        entry = second.hub.registry.get(identity("leaf"))
        assert entry is not None
        assert entry.primary_key == key
        assert second.hub.twin(identity("leaf")).desired == {"a": 1}
        assert (second.environment("m1"), second.trust_bundle) == (environment, bundle)
        second.ensure_device("leaf")
        second.ensure_device("leaf-2")


async def test_all_ports_show_a_certificate_for_the_address_that_the_bundle_proves(tmp_path: Path) -> None:
    async with stand_in(tmp_path, "127.0.70.2") as standin:
        context = ssl.create_default_context(cadata=standin.trust_bundle)
        assert standin.websocket_port is not None
        assert standin.amqp_port is not None
        for port in (standin.mqtt_port, standin.websocket_port, standin.amqp_port):
            _, writer = await asyncio.open_connection("127.0.70.2", port, ssl=context)
            writer.close()
            await writer.wait_closed()


async def test_the_environment_is_what_the_sdks_read(tmp_path: Path) -> None:
    async with stand_in(tmp_path, "127.0.70.3") as standin:
        environment = standin.environment("m1")
        generation = environment.pop("IOTEDGE_MODULEGENERATIONID")
        assert environment == {
            "IOTEDGE_WORKLOADURI": f"unix://{tmp_path / 'workload.sock'}",
            "IOTEDGE_APIVERSION": "2020-07-07",
            "IOTEDGE_AUTHSCHEME": "sasToken",
            "IOTEDGE_DEVICEID": "edge-1",
            "IOTEDGE_MODULEID": "m1",
            "IOTEDGE_IOTHUBHOSTNAME": "standin-hub.test",
            "IOTEDGE_GATEWAYHOSTNAME": "127.0.70.3",
        }
        connector = aiohttp.UnixConnector(str(tmp_path / "workload.sock"))
        url = f"http://workload/modules/m1/genid/{generation}/sign?api-version=2020-07-07"
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post(url, json={"data": ""}) as response,
        ):
            assert response.status == 200
        with pytest.raises(RegistryError, match="--module m9"):
            standin.environment("m9")


async def test_sockets_are_the_owners_and_go_with_the_stand_in(tmp_path: Path) -> None:
    sockets = [tmp_path / "workload.sock", tmp_path / "control.sock"]
    async with stand_in(tmp_path, "127.0.70.4"):
        assert [each.stat().st_mode & 0o777 for each in sockets] == [0o600, 0o600]
    assert not any(each.exists() for each in sockets)


async def test_a_directory_serves_one_stand_in_at_a_time(tmp_path: Path) -> None:
    async with stand_in(tmp_path, "127.0.70.5"):
        with pytest.raises(StandInError, match=rf"already: stop it \(`kill {os.getpid()}`\)"):
            await stand_in(tmp_path, "127.0.70.6").__aenter__()
    async with stand_in(tmp_path, "127.0.70.6"):
        pass


async def test_a_port_that_is_taken_is_named_and_nothing_stays_open(tmp_path: Path) -> None:
    with socket.create_server(("127.0.70.7", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StandInError, match=str(port)):
            await stand_in(tmp_path, "127.0.70.7", ports=Ports(mqtt=0, websocket=port, amqp=0)).__aenter__()
    assert not (tmp_path / "workload.sock").exists()


async def test_a_port_that_is_not_permitted_leaves_websocket_out_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind = socket.socket.bind

    def forbid(self: socket.socket, address: tuple[str, int]) -> None:
        if address[1] == 443:
            raise PermissionError(13, "Permission denied")
        bind(self, address)

    monkeypatch.setattr(socket.socket, "bind", forbid)
    async with stand_in(tmp_path, "127.0.70.8", ports=Ports(mqtt=0, websocket=443, amqp=0)) as standin:
        assert standin.websocket_port is None
        assert len(standin.notices) == 1
        assert "WebSocket is off" in standin.notices[0]
        assert "443" in standin.notices[0]
        assert "websocket=off" in standin.summary()


async def test_websocket_may_be_left_out(tmp_path: Path) -> None:
    async with stand_in(tmp_path, "127.0.70.9", ports=Ports(mqtt=0, websocket=None, amqp=0)) as standin:
        assert (standin.websocket_port, standin.notices) == (None, [])


async def test_amqp_may_be_left_out(tmp_path: Path) -> None:
    async with stand_in(tmp_path, "127.0.70.9", ports=Ports(mqtt=0, websocket=None, amqp=None)) as standin:
        assert standin.amqp_port is None
        assert " amqp=off " in standin.summary()


async def test_a_hub_keeps_its_partitions_and_another_number_of_them_is_refused(tmp_path: Path) -> None:
    async with StandIn(tmp_path, address="127.0.70.20", ports=FREE, partitions=2) as standin:
        assert standin.events.partitions == 2
    with pytest.raises(StandInError, match="have 2 partitions, not 4"):
        await StandIn(tmp_path, address="127.0.70.20", ports=FREE, partitions=4).__aenter__()
    async with StandIn(tmp_path, address="127.0.70.20", ports=FREE) as standin:
        assert standin.events.partitions == 2


async def test_readers_and_services_are_told_what_to_be_configured_with(tmp_path: Path) -> None:
    async with stand_in(tmp_path, "127.0.70.21") as standin:
        policy = standin.hub.policies.get("service")
        assert policy is not None
        key = f"SharedAccessKeyName=service;SharedAccessKey={policy.primary_key}"
        assert standin.service_connection_string("service") == f"HostName=127.0.70.21;{key}"
        events = standin.event_hub_connection_string("service")
        assert events == f"Endpoint=sb://127.0.70.21/;{key};EntityPath=standin-hub"
        with pytest.raises(PolicyError, match="no policy 'nobody'"):
            standin.service_connection_string("nobody")


async def test_faults_on_demand_end_together(tmp_path: Path) -> None:
    async with stand_in(tmp_path, "127.0.70.9", ports=Ports(mqtt=0, websocket=None, amqp=0)) as standin:
        standin.stall()
        standin.refuse_connections()
        standin.throttle()
        standin.check_tokens_late()
        faults = standin.hub.faults
        assert faults == Faults(stalled=True, refusing=True, throttling=True, late=True)
        standin.behave()
        assert faults == Faults()


async def test_a_path_too_long_for_a_socket_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(StandInError, match="shorter --dir"):
        await stand_in(tmp_path / ("d" * 100), "127.0.70.10").__aenter__()


async def test_a_thing_that_is_not_tls_is_counted(tmp_path: Path) -> None:
    async with stand_in(tmp_path, "127.0.70.11") as standin:
        reader, writer = await asyncio.open_connection("127.0.70.11", standin.mqtt_port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(30):
            await reader.read()
        writer.close()
        await writer.wait_closed()
        assert standin.counters["transport: HandshakeFailed"] == 1
