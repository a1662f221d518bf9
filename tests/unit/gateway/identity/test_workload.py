import asyncio
import base64
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgewire.transport.backoff import Backoff
from gateway.identity import workload as module
from gateway.identity.workload import CertificateKeeper, ServerCertificate, Workload, WorkloadError, _certificate
from gateway.observe.events import Event
from gateway.observe.workload import CertificateIssued, CertificateRunsOut, CertificateTryFailed
from support.certificates import authority, self_signed, signed

Reply = tuple[int, Any]
DAY_S = 86_400.0
START = datetime(2030, 1, 1, tzinfo=UTC)


def make_certificate(days: int = 30) -> tuple[str, str]:
    """A certificate that begins at START, and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pi.site")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), pem.decode()


class Daemon:
    """The workload API, answering as told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.reply: Callable[[Any], Reply] = lambda _body: (200, {})

    async def handle(self, request: web.Request) -> web.Response:
        text = await request.read()
        body = orjson.loads(text) if text else None
        self.requests.append((request.method, request.raw_path, body))
        status, answer = self.reply(body)
        content = answer if isinstance(answer, bytes) else orjson.dumps(answer)
        return web.Response(status=status, body=content, content_type="application/json")


@asynccontextmanager
async def serving(site: Callable[[web.AppRunner], web.BaseSite]) -> AsyncIterator[Daemon]:
    daemon = Daemon()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", daemon.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await site(runner).start()
        yield daemon
    finally:
        await runner.cleanup()


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with serving(lambda runner: web.UnixSite(runner, str(tmp_path / "w.sock"))) as daemon:
        yield daemon


def client(uri: str, name: str = "gateway") -> Workload:
    return Workload(uri=uri, api_version="2020-07-07", module=name, generation="gen1")


@pytest.fixture
def workload(tmp_path: Path) -> Workload:
    return client(f"unix://{tmp_path}/w.sock")


async def test_the_trust_bundle_is_asked_for(daemon: Daemon, workload: Workload) -> None:
    daemon.reply = lambda _body: (200, {"certificate": "PEM"})

    assert await workload.trust_bundle() == "PEM"
    assert daemon.requests == [("GET", "/trust-bundle?api-version=2020-07-07", None)]


async def test_a_server_certificate_is_asked_for_by_common_name(daemon: Daemon, workload: Workload) -> None:
    chain, key = make_certificate()
    daemon.reply = lambda _body: (201, {"privateKey": {"type": "key", "bytes": key}, "certificate": chain})

    certificate = await workload.server_certificate("pi.site")

    assert (certificate.chain.decode(), certificate.key.decode()) == (chain, key)
    assert certificate.issued_at == START.timestamp()
    assert certificate.expires_at == START.timestamp() + 30 * DAY_S
    assert "PRIVATE" not in repr(certificate)
    [(method, path, body)] = daemon.requests
    assert (method, path) == ("POST", "/modules/gateway/genid/gen1/certificate/server?api-version=2020-07-07")
    assert body["commonName"] == "pi.site"
    assert datetime.fromisoformat(body["expiration"]) > datetime.now(UTC) + timedelta(days=89)


async def test_ids_are_escaped_in_the_path(daemon: Daemon, tmp_path: Path) -> None:
    daemon.reply = lambda _body: (200, {"digest": ""})

    with pytest.raises(WorkloadError, match="has no 'digest'"):
        await client(f"unix://{tmp_path}/w.sock", "$edge/Hub").sign(b"x")

    assert daemon.requests[0][1].startswith("/modules/%24edge%2FHub/genid/gen1/sign?")


async def test_data_is_signed(daemon: Daemon, workload: Workload) -> None:
    daemon.reply = lambda _body: (200, {"digest": base64.b64encode(b"\x01\x02").decode()})

    assert await workload.sign(b"data") == b"\x01\x02"
    assert daemon.requests[0][2] == {"keyId": "primary", "algo": "HMACSHA256", "data": "ZGF0YQ=="}


async def test_data_is_encrypted_and_decrypted(daemon: Daemon, workload: Workload) -> None:
    def turn(body: Mapping[str, str]) -> Reply:
        takes, gives = ("plaintext", "ciphertext") if "plaintext" in body else ("ciphertext", "plaintext")
        return 200, {gives: base64.b64encode(base64.b64decode(body[takes])[::-1]).decode()}

    daemon.reply = turn

    sealed = await workload.encrypt(b"secret", b"iv")

    assert sealed == b"terces"
    assert await workload.decrypt(sealed, b"iv") == b"secret"
    assert {body["initializationVector"] for _, _, body in daemon.requests} == {"aXY="}


async def test_the_api_may_be_on_a_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        async with serving(lambda runner: web.SockSite(runner, listening)) as daemon:
            daemon.reply = lambda _body: (200, {"certificate": "PEM"})

            assert await client(f"http://127.0.0.1:{port}/").trust_bundle() == "PEM"


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ((404, {"message": "module not found"}), "does not know this process as module 'gateway', generation 'gen1'"),
        ((403, {"message": "no"}), "does not let this process act as module 'gateway': no"),
        ((500, {"message": "disk full"}), "status 500: disk full"),
        ((500, b"oops"), "status 500"),
        ((200, b"oops"), "not a JSON object"),
        ((200, [1]), "not a JSON object"),
        ((200, {}), "has no 'digest'"),
        ((200, {"digest": 5}), "has no 'digest'"),
        ((200, {"digest": "!!"}), "is not base64"),
    ],
)
async def test_a_refusal_is_said_in_words(daemon: Daemon, workload: Workload, reply: Reply, says: str) -> None:
    daemon.reply = lambda _body: reply

    with pytest.raises(WorkloadError, match=re.escape(says)):
        await workload.sign(b"x")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"certificate": "x"}, "without its key"),
        ({"certificate": "x", "privateKey": {"type": "ref", "ref": "k1"}}, "without its key"),
        ({"certificate": "x", "privateKey": {"type": "key", "bytes": "k"}}, "cannot be read"),
        ({"privateKey": {"type": "key", "bytes": "k"}}, "has no 'certificate'"),
    ],
)
async def test_a_certificate_of_no_use_is_refused(daemon: Daemon, workload: Workload, answer: Any, says: str) -> None:
    daemon.reply = lambda _body: (201, answer)

    with pytest.raises(WorkloadError, match=says):
        await workload.server_certificate("pi.site")


async def test_a_missing_socket_is_said_in_words(workload: Workload) -> None:
    with pytest.raises(WorkloadError, match=r"w\.sock does not exist"):
        await workload.trust_bundle()


async def test_a_closed_port_is_said_in_words() -> None:
    with pytest.raises(WorkloadError, match=r"cannot reach the workload API at http://127\.0\.0\.1:9"):
        await client("http://127.0.0.1:9").trust_bundle()


async def test_another_scheme_is_refused() -> None:
    with pytest.raises(WorkloadError, match="must begin with unix:// or http://"):
        await client("fd://x").trust_bundle()


async def test_a_silent_daemon_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CALL_S", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "w.sock"))
        silent.listen()

        with pytest.raises(WorkloadError, match="did not answer within"):
            await client(f"unix://{tmp_path}/w.sock").trust_bundle()


def test_missing_variables_are_named() -> None:
    with pytest.raises(WorkloadError, match="IOTEDGE_MODULEID, IOTEDGE_MODULEGENERATIONID missing"):
        Workload.from_environment({"IOTEDGE_WORKLOADURI": "unix:///x", "IOTEDGE_APIVERSION": "2020-07-07"})


async def test_the_environment_names_the_api(daemon: Daemon, tmp_path: Path) -> None:
    daemon.reply = lambda _body: (200, {"digest": "AA=="})
    workload = Workload.from_environment(
        {
            "IOTEDGE_WORKLOADURI": f"unix://{tmp_path}/w.sock",
            "IOTEDGE_APIVERSION": "2021-12-07",
            "IOTEDGE_MODULEID": "m",
            "IOTEDGE_MODULEGENERATIONID": "g",
        }
    )

    await workload.sign(b"x")

    assert daemon.requests[0][1] == "/modules/m/genid/g/sign?api-version=2021-12-07"


class Clock:
    """A calendar that only sleeping moves; it ends the keeper at `end`."""

    def __init__(self, end: float) -> None:
        self.now = START.timestamp()
        self.end = self.now + end
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        self.now += delay_s
        if self.now >= self.end:
            raise asyncio.CancelledError


def certificate(issued_at: float, days: float = 30.0) -> ServerCertificate:
    return ServerCertificate(chain=b"c", key=b"k", issued_at=issued_at, expires_at=issued_at + days * DAY_S)


class ScriptedWorkload(Workload):
    def __init__(self, issue: Callable[[], ServerCertificate]) -> None:
        super().__init__(uri="unix:///x", api_version="", module="", generation="")
        self.issue = issue
        self.names: list[str] = []

    async def server_certificate(self, common_name: str) -> ServerCertificate:
        self.names.append(common_name)
        return self.issue()


async def keep(
    clock: Clock, issue: Callable[[], ServerCertificate]
) -> tuple[list[ServerCertificate], list[Event], ScriptedWorkload]:
    events: list[Event] = []
    applied: list[ServerCertificate] = []
    workload = ScriptedWorkload(issue)
    keeper = CertificateKeeper(
        workload=workload,
        common_name="pi.site",
        emit=events.append,
        clock=clock,
        sleep=clock.sleep,
        backoff=Backoff(1.0, 4096.0, draw=lambda: 1.0),
    )
    with pytest.raises(asyncio.CancelledError):
        await keeper.run(applied.append)
    return applied, events, workload


async def test_a_certificate_is_renewed_at_two_thirds_of_its_life() -> None:
    clock = Clock(45 * DAY_S)

    applied, events, workload = await keep(clock, lambda: certificate(clock.now))

    assert [(each.issued_at - START.timestamp()) / DAY_S for each in applied] == [0.0, 20.0, 40.0]
    assert [type(event) for event in events] == [CertificateIssued] * 3
    assert workload.names == ["pi.site"] * 3
    assert max(clock.slept) == 3600.0


async def test_failed_renewals_back_off_and_the_old_certificate_stays() -> None:
    clock = Clock(29 * DAY_S)

    def issue() -> ServerCertificate:
        if clock.now > START.timestamp():
            raise WorkloadError("the daemon is down")
        return certificate(clock.now)

    applied, events, _ = await keep(clock, issue)

    assert len(applied) == 1
    failed = [event for event in events if isinstance(event, CertificateTryFailed)]
    assert [event.delay_s for event in failed[:4]] == [1.0, 2.0, 4.0, 8.0]
    alarms = [event for event in events if isinstance(event, CertificateRunsOut)]
    assert 0 < alarms[0].left_s <= 3 * DAY_S
    assert "the daemon is down" in alarms[0].sentence()


async def test_a_certificate_that_is_old_when_it_comes_makes_no_busy_loop() -> None:
    clock = Clock(3600.0)

    applied, _, _ = await keep(clock, lambda: certificate(clock.now - 300 * DAY_S))

    assert len(applied) <= 61


async def test_an_ended_certificate_says_that_devices_cannot_connect() -> None:
    assert "devices cannot connect" in CertificateRunsOut(-1.0, "x").sentence()


async def test_the_first_certificate_may_be_obtained_before_the_keeper_runs() -> None:
    clock = Clock(1.0)
    keeper = CertificateKeeper(
        workload=ScriptedWorkload(lambda: certificate(clock.now)),
        common_name="pi.site",
        emit=lambda _event: None,
        clock=clock,
        sleep=clock.sleep,
    )
    first = await keeper.obtain()
    applied: list[ServerCertificate] = []

    with pytest.raises(asyncio.CancelledError):
        await keeper.run(applied.append)

    assert keeper.current is first
    assert applied == []


def test_a_chain_ends_with_the_first_of_its_certificates() -> None:
    edge_ca = authority("edge ca")
    leaf = signed("gateway", edge_ca)
    lasting = self_signed("gateway", lasts_s=900 * 86_400)
    ends_at = leaf.certificate.not_valid_after_utc.timestamp()
    assert _certificate(leaf.pem, b"").expires_at == ends_at
    assert _certificate(lasting.pem + leaf.pem, b"").expires_at == ends_at
