import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from cryptography import x509

from edgewire.message import identity
from standin.certificates import Certificates
from standin.documents import Documents
from standin.registry import Entry, Registry, symmetric_entry
from standin.workload import API_VERSIONS, Workload

VERSION = "api-version=2020-07-07"
Client = TestClient[Any, Any]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("ca"), edge_device="edge-1", days=1)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Documents(tmp_path / "state.db") as documents:
        registry = Registry(documents)
        registry.add(symmetric_entry(identity("edge-1")))
        yield registry


@pytest.fixture
def module(registry: Registry) -> Entry:
    return registry.add(symmetric_entry(identity("edge-1", "gate%way")))


@pytest.fixture
async def client(registry: Registry, certificates: Certificates) -> AsyncIterator[Client]:
    workload = Workload(registry, certificates, edge_device="edge-1", secret=b"s")
    async with TestClient(TestServer(workload.application(), host="127.0.0.1")) as client:
        yield client


def path(module: Entry, call: str, version: str = VERSION) -> str:
    return f"/modules/gate%25way/genid/{module.generation_id}/{call}?{version}"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def test_sign_gives_the_hmac_under_the_modules_key_without_a_content_type(client: Client, module: Entry) -> None:
    data = b"hub%2Fdevices%2Fedge-1\n1900000000"
    body = b'{"keyId":"primary","algo":"HMACSHA256","data":"%s"}' % encoded(data).encode()
    async with client.post(path(module, "sign"), data=body, skip_auto_headers=("Content-Type",)) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/json"
        answer = await response.json()
    expected = hmac.digest(base64.b64decode(module.primary_key), data, hashlib.sha256)
    assert answer == {"digest": encoded(expected)}


@pytest.mark.parametrize("version", sorted(API_VERSIONS))
async def test_every_version_of_the_daemon_is_answered(client: Client, version: str) -> None:
    async with client.get(f"/trust-bundle?api-version={version}") as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("call", "status", "said"),
    [
        (("GET", "/trust-bundle", None), 400, "api-version"),
        (("GET", "/trust-bundle?api-version=1999-01-01", None), 400, "1999-01-01"),
        (("GET", f"/nothing?{VERSION}", None), 404, "Not Found"),
        (("POST", f"/trust-bundle?{VERSION}", {}), 405, "Method Not Allowed"),
        (("POST", f"/modules/nobody/genid/1/sign?{VERSION}", {"data": ""}), 404, "module not found"),
        (("POST", f"/modules/gate%25way/genid/wrong/sign?{VERSION}", {"data": ""}), 404, "module not found"),
        (("POST", "sign", {}), 400, "data"),
        (("POST", "sign", {"data": "no base64!"}), 400, "base64"),
        (("POST", "sign", []), 400, "object"),
        (("POST", "certificate/server", {"commonName": "h"}), 400, "expiration"),
        (("POST", "certificate/server", {"commonName": "no host", "expiration": "x"}), 400, "host name"),
        (("POST", "decrypt", {"ciphertext": encoded(b"x" * 40), "initializationVector": ""}), 400, "ciphertext"),
        (("POST", "decrypt", {"ciphertext": "", "initializationVector": ""}), 400, "ciphertext"),
    ],
)
async def test_what_cannot_be_done_is_said_in_json(
    client: Client, module: Entry, call: tuple[str, str, object], status: int, said: str
) -> None:
    method, target, body = call
    url = target if target.startswith("/") else path(module, target)
    async with client.request(method, url, json=body) as response:
        assert response.status == status
        assert response.headers["Content-Type"] == "application/json"
        assert said in (await response.json())["message"]


async def test_a_body_that_is_not_json_is_refused(client: Client, module: Entry) -> None:
    async with client.post(path(module, "sign"), data=b"{") as response:
        assert response.status == 400
        assert "not JSON" in (await response.json())["message"]


async def test_the_trust_bundle_is_the_root(client: Client, certificates: Certificates) -> None:
    for call in ("trust-bundle", "manifest-trust-bundle"):
        async with client.get(f"/{call}?{VERSION}") as response:
            assert await response.json() == {"certificate": certificates.trust_bundle}


async def test_a_server_certificate_comes_with_key_chain_and_end(client: Client, module: Entry) -> None:
    body = {"commonName": "board.example", "expiration": "2030-01-01T00:00:00Z"}
    async with client.post(path(module, "certificate/server"), json=body) as response:
        assert response.status == 201
        answer = await response.json()
    leaf, _ = x509.load_pem_x509_certificates(answer["certificate"].encode())
    assert answer["expiration"] == leaf.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert answer["privateKey"]["type"] == "key"
    assert answer["privateKey"]["bytes"].startswith("-----BEGIN PRIVATE KEY-----")


async def test_an_identity_certificate_is_given_with_and_without_generation(client: Client, module: Entry) -> None:
    for url in (path(module, "certificate/identity"), f"/modules/gate%25way/certificate/identity?{VERSION}"):
        async with client.post(url, json={"expiration": "2030-01-01T00:00:00Z"}) as response:
            assert response.status == 201
            assert (await response.json())["certificate"].count("BEGIN CERTIFICATE") == 2


async def test_what_is_encrypted_can_be_decrypted_with_the_same_vector_only(client: Client, module: Entry) -> None:
    secret = {"plaintext": encoded(b"secret"), "initializationVector": encoded(b"iv-1")}
    async with client.post(path(module, "encrypt"), json=secret) as response:
        ciphertext = (await response.json())["ciphertext"]
    assert b"secret" not in base64.b64decode(ciphertext)
    for vector, status in ((b"iv-1", 200), (b"iv-2", 400)):
        body = {"ciphertext": ciphertext, "initializationVector": encoded(vector)}
        async with client.post(path(module, "decrypt"), json=body) as response:
            assert response.status == status
            answer = await response.json()
            assert status == 400 or answer == {"plaintext": encoded(b"secret")}


async def test_modules_are_listed(client: Client, module: Entry) -> None:
    async with client.get(f"/modules?{VERSION}") as response:
        assert [each["name"] for each in (await response.json())["modules"]] == ["gate%way"]
