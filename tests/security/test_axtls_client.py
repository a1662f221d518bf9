"""The board of our tests is as strict as the library it stands for: each thing that axTLS refuses, against OpenSSL."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.padding import PSS

from support.axtls_client import SUITES, AxTlsClient, AxTlsError, Trouble
from support.certificates import Credential, Key, authority, rsa_key, self_signed

FOUR = "AES128-SHA256:AES256-SHA256:AES128-SHA:AES256-SHA"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


@pytest.fixture(scope="module")
def key() -> Key:
    return rsa_key()


def context_of(folder: Path, credential: Credential) -> ssl.SSLContext:
    """A server's, with the suites of boards."""
    path = folder / "server.pem"
    path.write_bytes(credential.key_pem + credential.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(FOUR)
    context.load_cert_chain(path)
    return context


@asynccontextmanager
async def serving(context: ssl.SSLContext, sent: tuple[bytes, ...] = ()) -> AsyncIterator[int]:
    """A server that sends these pieces, then what it hears; gives its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in sent:
            writer.write(piece)
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def read_all(port: int) -> None:
    async with AxTlsClient.connect("127.0.0.1", port) as client:
        while await client.read(65_536):
            pass


async def refused(port: int) -> Trouble:
    with pytest.raises(AxTlsError) as raised:
        await read_all(port)
    return raised.value.trouble


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
@pytest.mark.parametrize("name", [None, "gateway"])
async def test_it_speaks_tls_with_each_suite(tmp_path: Path, key: Key, suite: object, name: str | None) -> None:
    chosen = tuple(each for each in SUITES if each is suite)
    async with (
        serving(context_of(tmp_path, self_signed("gateway", key=key))) as port,
        AxTlsClient.connect("127.0.0.1", port, name=name, suites=chosen) as client,
    ):
        await client.write(b"x" * 3_000)
        assert await client.read_exactly(3_000) == b"x" * 3_000
        assert client.suite is suite
        await client.close()


async def test_it_shares_no_suite_with_a_modern_server(tmp_path: Path, key: Key) -> None:
    context = context_of(tmp_path, self_signed("gateway", key=key))
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    async with serving(context) as port:
        assert await refused(port) is Trouble.LOST  # asyncio's own TLS closes before its alert is out


@pytest.mark.parametrize("mode", [ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED])
async def test_it_ends_where_a_certificate_is_asked_for(tmp_path: Path, key: Key, mode: ssl.VerifyMode) -> None:
    context = context_of(tmp_path, self_signed("gateway", key=key))
    context.verify_mode = mode
    async with serving(context) as port:
        assert await refused(port) is Trouble.INVALID_CERT_HASH_ALG


async def test_it_ends_at_a_record_larger_than_its_buffer(tmp_path: Path, key: Key) -> None:
    context = context_of(tmp_path, self_signed("gateway", key=key))
    async with serving(context, (b"x" * 5_000, b"x" * 5_120)) as port:
        assert await refused(port) is Trouble.RECORD_OVERFLOW


def signed_by(key: Key, by: Key, *, pss: bool, ballast: int = 0) -> Credential:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), bytes(ballast)), False)
    )
    digest = hashes.SHA256()
    scheme = PSS(mgf=padding.MGF1(digest), salt_length=32) if pss else None
    return Credential(certificate=builder.sign(by, digest, rsa_padding=scheme), key=key)


@pytest.mark.parametrize("pss", [True, False])
async def test_it_ends_at_a_signature_that_it_does_not_know(tmp_path: Path, key: Key, pss: bool) -> None:  # noqa: FBT001 — pytest's way
    credential = signed_by(key, key if pss else authority("root").key, pss=pss)
    async with serving(context_of(tmp_path, credential)) as port:
        assert await refused(port) is Trouble.BAD_CERTIFICATE


async def test_it_ends_at_a_chain_larger_than_its_buffer(tmp_path: Path, key: Key) -> None:
    async with serving(context_of(tmp_path, signed_by(key, key, pss=False, ballast=4_800))) as port:
        assert await refused(port) is Trouble.RECORD_OVERFLOW


async def test_what_it_has_not_read_of_a_record_is_lost_when_it_writes(tmp_path: Path, key: Key) -> None:
    context = context_of(tmp_path, self_signed("gateway", key=key))
    async with (
        serving(context, (b"first, second.",)) as port,
        AxTlsClient.connect("127.0.0.1", port) as client,
    ):
        assert await client.read(6) == b"first,"
        await client.write(b"ack")
        assert await client.read(8) != b" second."
        assert client.damaged_bytes == 8
