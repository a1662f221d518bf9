import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from edgewire.transport.tls import ClientCertificates, Security
from gateway.app.server_identity import FileIdentity, WorkloadIdentity, server_identity
from gateway.app.settings import ConfigError, read_environment
from gateway.identity.workload import CertificateKeeper, ServerCertificate, Workload
from gateway.observe.app import CertificateReloaded, CertificateUnusable
from gateway.observe.events import Event
from gateway.observe.workload import CertificateIssued
from support.certificates import Credential, authority, self_signed, signed
from support.gateway_site import until
from support.whole_file import put

HOST = "gateway.local"


def write(folder: Path, credential: Credential) -> Mapping[str, str]:
    """Certificate and key in files, and the settings that name them."""
    put(folder / "chain.pem", credential.pem)
    put(folder / "key.pem", credential.key_pem)
    return {
        "GATEWAY_CERTIFICATE_FILE": str(folder / "chain.pem"),
        "GATEWAY_KEY_FILE": str(folder / "key.pem"),
        "GATEWAY_HOST_NAME": HOST,
    }


async def test_files_give_the_certificate(tmp_path: Path) -> None:
    events: list[Event] = []
    credential = self_signed(HOST)
    identity = await server_identity(read_environment(write(tmp_path, credential)), {}, events.append)
    assert identity.security.expires_at == credential.certificate.not_valid_after_utc.timestamp()
    assert identity.trust is None
    assert identity.security.client_certificates is ClientCertificates.REQUESTED


async def test_a_trust_bundle_in_a_file_is_believed(tmp_path: Path) -> None:
    root = authority("root")
    (tmp_path / "roots.pem").write_bytes(root.anchor_pem)
    environ = {**write(tmp_path, self_signed(HOST)), "GATEWAY_TRUST_BUNDLE_FILE": str(tmp_path / "roots.pem")}
    identity = await server_identity(read_environment(environ), {}, lambda _: None)
    assert identity.trust is not None
    device = signed("d1", root)
    now = device.certificate.not_valid_before_utc.timestamp() + 60
    assert identity.trust.bundle.problem_with([device.der], now) is None


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "chain.pem").unlink(), "cannot be read"),
        (lambda folder: (folder / "chain.pem").write_text("no pem"), "no readable PEM certificate"),
        (lambda folder: (folder / "key.pem").write_bytes(self_signed("other").key_pem), "key"),
        (lambda folder: write(folder, self_signed(HOST, starts_in_s=-7200, lasts_s=3600)), "expired"),
    ],
)
async def test_files_that_cannot_be_used_stop_the_start_with_a_sentence(
    tmp_path: Path, spoil: object, sentence: str
) -> None:
    environ = write(tmp_path, self_signed(HOST))
    assert callable(spoil)
    spoil(tmp_path)
    with pytest.raises(ConfigError) as raised:
        await server_identity(read_environment(environ), {}, lambda _: None)
    assert sentence in str(raised.value)
    assert str(tmp_path) in str(raised.value)
    assert "in force" not in str(raised.value)  # nothing was, before the start


async def test_changed_files_are_used_for_new_connections_and_bad_ones_are_not(tmp_path: Path) -> None:
    events: list[Event] = []
    write(tmp_path, self_signed(HOST, lasts_s=86_400))
    identity = FileIdentity(tmp_path / "chain.pem", tmp_path / "key.pem", None, ClientCertificates.NONE, events.append)
    identity.look_again()
    assert events == []
    newer = self_signed(HOST, lasts_s=2 * 86_400)
    write(tmp_path, newer)
    identity.look_again()
    assert [type(event) for event in events] == [CertificateReloaded]
    assert identity.security.expires_at == newer.certificate.not_valid_after_utc.timestamp()
    (tmp_path / "key.pem").write_text("spoiled")
    identity.look_again()
    identity.look_again()
    assert [type(event) for event in events] == [CertificateReloaded, CertificateUnusable]
    assert "key.pem: the private key is not readable PEM" in events[1].sentence()
    assert events[1].sentence().endswith(" forms). What was in force stays in force")
    assert identity.security.expires_at == newer.certificate.not_valid_after_utc.timestamp()


@asynccontextmanager
async def workload(folder: Path, credential: Credential, bundle: bytes) -> AsyncIterator[Mapping[str, str]]:
    """A workload API on a Unix socket, and the variables that IoT Edge would set."""

    async def certificate(request: web.Request) -> web.Response:
        asked = await request.json()
        assert asked["commonName"] == HOST
        answer = {
            "privateKey": {"type": "key", "bytes": credential.key_pem.decode()},
            "certificate": credential.pem.decode(),
            "expiration": "2030-01-01T00:00:00Z",
        }
        return web.json_response(answer, status=201)

    async def trust_bundle(_: web.Request) -> web.Response:
        return web.Response(text=json.dumps({"certificate": bundle.decode()}), content_type="application/json")

    application = web.Application()
    application.router.add_post("/modules/gateway/genid/g1/certificate/server", certificate)
    application.router.add_get("/trust-bundle", trust_bundle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.UnixSite(runner, str(folder / "w.sock")).start()
    try:
        yield {
            "IOTEDGE_WORKLOADURI": f"unix://{folder / 'w.sock'}",
            "IOTEDGE_APIVERSION": "2020-07-07",
            "IOTEDGE_MODULEID": "gateway",
            "IOTEDGE_MODULEGENERATIONID": "g1",
        }
    finally:
        await runner.cleanup()


async def test_inside_iot_edge_the_workload_api_gives_certificate_and_trust(tmp_path: Path) -> None:
    root = authority("root")
    credential = signed(HOST, root)
    async with workload(tmp_path, credential, root.anchor_pem) as environ:
        environment = read_environment({"GATEWAY_HOST_NAME": HOST, "GATEWAY_CLIENT_CERTIFICATES": "off"})
        identity = await server_identity(environment, environ, lambda _: None)
    assert identity.security.expires_at == credential.certificate.not_valid_after_utc.timestamp()
    assert identity.security.client_certificates is ClientCertificates.NONE
    assert identity.trust is not None


async def test_without_files_and_without_iot_edge_the_start_says_what_is_missing() -> None:
    with pytest.raises(ConfigError, match="GATEWAY_CERTIFICATE_FILE"):
        await server_identity(read_environment({"GATEWAY_HOST_NAME": HOST}), {}, lambda _: None)


async def test_without_a_host_name_the_start_says_so(tmp_path: Path) -> None:
    async with workload(tmp_path, self_signed(HOST), self_signed("root").pem) as environ:
        with pytest.raises(ConfigError, match="GATEWAY_HOST_NAME is not set"):
            await server_identity(read_environment({}), environ, lambda _: None)


async def test_a_pair_whose_key_another_listener_has_is_refused_later_too(tmp_path: Path) -> None:
    events: list[Event] = []
    write(tmp_path, self_signed(HOST))
    identity = FileIdentity(tmp_path / "chain.pem", tmp_path / "key.pem", None, ClientCertificates.NONE, events.append)
    other = self_signed(HOST)
    identity.apart_from = Security(other.pem, other.key_pem)
    before = identity.security.certificate
    write(tmp_path, other)
    identity.look_again()
    assert identity.security.certificate is before
    assert "have the same key" in events[0].sentence()


async def test_a_certificate_of_iot_edge_that_cannot_be_used_is_told_once_until_one_can(tmp_path: Path) -> None:
    events: list[Event] = []
    good, over = self_signed(HOST), self_signed(HOST, starts_in_s=-7200, lasts_s=3600)

    def issued(credential: Credential) -> ServerCertificate:
        return ServerCertificate(chain=credential.pem, key=credential.key_pem, issued_at=0, expires_at=1)

    workload = Workload(uri="unix:///none", api_version="1", module="m", generation="g")
    keeper = CertificateKeeper(workload=workload, common_name=HOST, emit=events.append)
    identity = WorkloadIdentity(keeper, issued(good), None, ClientCertificates.NONE, events.append)
    for credential in (over, over, good, over):
        identity._apply(issued(credential))
    assert [type(event) for event in events] == [CertificateUnusable] * 2
    assert identity.security.expires_at == good.certificate.not_valid_after_utc.timestamp()


async def test_whoever_asks_gets_a_new_certificate_from_iot_edge(tmp_path: Path) -> None:
    events: list[Event] = []
    async with workload(tmp_path, self_signed(HOST), self_signed("root").pem) as environ:
        identity = await server_identity(read_environment({"GATEWAY_HOST_NAME": HOST}), environ, events.append)
        keeping = asyncio.ensure_future(identity.keep())
        before = identity.security.certificate
        identity.look_again()
        await until(lambda: identity.security.certificate is not before)
        keeping.cancel()
    assert [type(event) for event in events] == [CertificateIssued] * 2
