import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from edgewire.transport.tls import ClientCertificates, Security
from edgewire.transport.tls_engine import TlsEngine
from support.certificates import Credential, authority, rsa_key, self_signed, signed
from support.tls_client import MemoryClient, client_context

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def security() -> Security:
    server = signed("gateway", authority("intermediate", issuer=authority("root")))
    return Security(server.pem, server.key_pem, client_certificates=ClientCertificates.REQUESTED)


def connect(security: Security, version: ssl.TLSVersion, device: Credential, folder: Path) -> TlsEngine:
    """A client that shows the certificate of a device."""
    context = client_context(version=version)
    file = folder / "device.pem"
    file.touch(mode=0o600)
    file.write_bytes(device.key_pem + device.pem)
    context.load_cert_chain(file)
    engine = security.engine()
    MemoryClient(context).connect(engine)
    return engine


@pytest.mark.parametrize("version", VERSIONS)
def test_a_self_signed_certificate_is_handed_on(security: Security, version: ssl.TLSVersion, tmp_path: Path) -> None:
    device = self_signed("dev1")
    assert connect(security, version, device, tmp_path).certificates == (device.der,)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_whole_chain_is_handed_on_leaf_first(security: Security, version: ssl.TLSVersion, tmp_path: Path) -> None:
    device = signed("dev1", authority("fleet", issuer=authority("unknown root")))
    engine = connect(security, version, device, tmp_path)
    assert engine.certificates == (device.der, device.issuers[0].public_bytes(Encoding.DER))


@pytest.mark.parametrize(
    "device", [self_signed("old", starts_in_s=-7200, lasts_s=60), self_signed("rsa", key=rsa_key())]
)
def test_expired_and_rsa_certificates_pass_too_for_others_decide(
    security: Security, device: Credential, tmp_path: Path
) -> None:
    assert connect(security, ssl.TLSVersion.TLSv1_3, device, tmp_path).certificates == (device.der,)


def test_the_chain_to_our_root_is_served(security: Security) -> None:
    server = signed("gateway", authority("intermediate", issuer=authority("root")))
    security.reload(server.pem, server.key_pem)
    client = MemoryClient(ssl.create_default_context(cadata=server.anchor_pem.decode()))
    client.connect(security.engine())
    assert client.tls.getpeercert(binary_form=True) == server.der


@pytest.mark.parametrize("version", VERSIONS)
def test_no_session_is_resumed_for_its_chain_would_be_lost(security: Security, version: ssl.TLSVersion) -> None:
    context = client_context(version=version)
    first = MemoryClient(context)
    engine = security.engine()
    first.connect(engine)
    first.read(engine.encrypt(b"x"))
    second = MemoryClient(context, session=first.tls.session)
    second.connect(security.engine())
    assert not second.tls.session_reused


def test_output_without_data_is_looked_for_before_it_can_pile_up(security: Security) -> None:
    engine = security.engine()
    client = MemoryClient(client_context())
    client.connect(engine)
    fed = 0
    while not engine.may_have_output:
        record = client.send(bytes(1000))
        fed += len(record)
        assert engine.decrypt(record) == bytes(1000)
    assert 16_384 < fed < 20_000
    assert engine.take_output() == b""
    assert not engine.may_have_output
