import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from edgewire.iothub import sas
from edgewire.message import identity
from gateway.app import hub_service
from gateway.app.hub_service import HubService, ServiceStringError, read_service_string
from gateway.dashboard.answers import NotAnsweredError
from support.certificates import self_signed

KEY = b"0123456789abcdef" * 2
KEY_TEXT = sas.encode_key(KEY)
ADDRESS = "127.0.0.1"
SERVER = self_signed("hub", addresses=(ADDRESS,))
TWIN = {
    "deviceId": "d1",
    "etag": "AAAB",
    "tags": {"site": "lab"},
    "properties": {
        "desired": {"rate": 5, "$version": 3, "$metadata": {}},
        "reported": {"led": "on", "$version": 9, "$metadata": {}},
    },
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Hub:
    """A service API that answers as it is told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answer: Callable[[], web.StreamResponse] = lambda: web.json_response(TWIN)
        self.is_silent = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        if self.is_silent:
            await asyncio.Event().wait()
        return self.answer()


@asynccontextmanager
async def serving(folder: Path, hub: Hub) -> AsyncIterator[int]:
    """The API at a port."""
    (folder / "chain.pem").write_bytes(SERVER.pem)
    (folder / "key.pem").write_bytes(SERVER.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", hub.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, ADDRESS, 0, ssl_context=context)
    await site.start()
    try:
        port: int = runner.addresses[0][1]
        yield port
    finally:
        await runner.cleanup()


def service(port: int, trust: bytes = SERVER.anchor_pem, **environ: str) -> HubService:
    access = read_service_string(f"HostName={ADDRESS}:{port};SharedAccessKeyName=service;SharedAccessKey={KEY_TEXT}")
    return HubService(access, trust_pem=lambda: trust, environ=environ)


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
async def port(tmp_path: Path, hub: Hub) -> AsyncIterator[int]:
    async with serving(tmp_path, hub) as port:
        yield port


async def test_a_twin_is_read_with_a_token_of_the_policy(hub: Hub, port: int) -> None:
    twin = await service(port).twin(identity("d 1#", "m"))
    assert twin == {
        "desired": {"rate": 5},
        "reported": {"led": "on"},
        "versions": {"desired": 3, "reported": 9},
        "etag": "AAAB",
        "from": "hub",
        "tags": {"site": "lab"},
    }
    ((method, path, headers, body),) = hub.asked
    assert (method, path, body) == ("GET", "/twins/d%201%23/modules/m?api-version=2021-04-12", b"")
    token = sas.parse(headers["Authorization"])
    assert sas.is_signed_by(token, [KEY])
    assert "skn=service" in headers["Authorization"]
    assert token.expires_at - time.time() < hub_service.TOKEN_S + 1
    assert "If-Match" not in headers


async def test_desired_properties_are_changed_if_the_twin_is_still_the_one(hub: Hub, port: int) -> None:
    await service(port).patch_desired(identity("d1"), {"rate": None}, "AAAA")
    await service(port).patch_desired(identity("d1"), {"rate": 1}, None)
    (first, second) = hub.asked
    assert (first[0], first[2]["If-Match"], first[3]) == (
        "PATCH",
        '"AAAA"',
        b'{"properties":{"desired":{"rate":null}}}',
    )
    assert second[2]["If-Match"] == '"*"'
    assert second[2]["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("status", "told", "words"),
    [
        (401, 502, "ServiceConnect"),
        (403, 502, "ServiceConnect"),
        (404, 404, "the hub knows no 'd1'"),
        (412, 412, "changed by somebody else"),
        (429, 429, "too often"),
        (400, 400, "the hub answered 400: no"),
        (500, 502, "the hub answered 500: no"),
        (302, 502, "the hub answered 302: no"),
    ],
)
async def test_a_refusal_says_what_to_do(hub: Hub, port: int, status: int, told: int, words: str) -> None:
    hub.answer = lambda: web.Response(status=status, text="no", headers={"Location": "http://evil.example"})
    with pytest.raises(NotAnsweredError, match=words) as refused:
        await service(port).twin(identity("d1"))
    assert refused.value.status == told
    assert KEY_TEXT not in str(refused.value)
    assert len(hub.asked) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"{"])
async def test_an_answer_that_is_no_twin_is_said_to_be_none(hub: Hub, port: int, body: bytes) -> None:
    hub.answer = lambda: web.Response(body=body)
    with pytest.raises(NotAnsweredError, match="no twin"):
        await service(port).twin(identity("d1"))


async def test_a_strange_twin_shows_what_there_is(hub: Hub, port: int) -> None:
    hub.answer = lambda: web.json_response({"properties": [], "etag": 5})
    twin = await service(port).twin(identity("d1"))
    assert (twin["desired"], twin["etag"], twin["tags"]) == ({}, None, {})


async def test_an_answer_without_end_and_one_that_does_not_come_are_given_up(
    hub: Hub, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.answer = lambda: web.Response(body=b" " * (hub_service.MAX_ANSWER_BYTES + 1))
    with pytest.raises(NotAnsweredError, match="has more than"):
        await service(port).twin(identity("d1"))
    monkeypatch.setattr(hub_service, "SERVICE_S", 0.3)
    hub.is_silent = True
    with pytest.raises(NotAnsweredError, match="did not answer within") as late:
        await service(port).twin(identity("d1"))
    assert late.value.status == 504


async def test_whom_we_do_not_believe_and_who_is_not_there_is_not_asked(hub: Hub, port: int) -> None:
    with pytest.raises(NotAnsweredError, match="not one of an authority that we believe") as stranger:
        await service(port, trust=b"").twin(identity("d1"))
    assert stranger.value.status == 502
    assert hub.asked == []
    with pytest.raises(NotAnsweredError, match="cannot be reached"):
        await service(1).twin(identity("d1"))
    with pytest.raises(NotAnsweredError, match="no readable PEM"):
        await service(port, trust=b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----").twin(identity("d1"))


async def test_a_proxy_is_used_where_one_is_set(hub: Hub, port: int) -> None:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set_result(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(proxy, ADDRESS, 0)
    async with server:
        place = f"http://user:secret@{ADDRESS}:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(NotAnsweredError, match="cannot be reached") as refused:
            await service(port, https_proxy=place).twin(identity("d1"))
    said = await heard
    assert said.startswith(f"CONNECT {ADDRESS}:{port} HTTP/1.1".encode())
    assert b"Proxy-Authorization: Basic" in said
    assert "secret" not in str(refused.value)
    assert hub.asked == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "HostName=h",
        f"SharedAccessKeyName=p;SharedAccessKey={KEY_TEXT}",
        f"HostName=h;SharedAccessKey={KEY_TEXT}",
        "HostName=h;SharedAccessKeyName=p;SharedAccessKey=secret!",
        f"HostName=h:port;SharedAccessKeyName=p;SharedAccessKey={KEY_TEXT}",
    ],
)
def test_a_connection_string_that_is_none_is_refused_without_the_key(text: str) -> None:
    with pytest.raises(ServiceStringError, match=r"GATEWAY_SERVICE_CONNECTION_STRING.*portal") as refused:
        read_service_string(text)
    assert "secret" not in str(refused.value)
    assert KEY_TEXT not in str(refused.value)


def test_the_key_is_in_no_text() -> None:
    access = read_service_string(f"HostName=h;SharedAccessKeyName=p;SharedAccessKey={KEY_TEXT}")
    assert (access.host, access.place.port, access.policy) == ("h", 443, "p")
    for secret in (KEY_TEXT, KEY.decode()):
        assert secret not in repr(access)
