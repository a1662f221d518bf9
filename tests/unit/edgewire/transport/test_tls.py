import pytest

from edgewire.errors import UsageError
from edgewire.transport.certificates import SecurityError
from edgewire.transport.tls import ClientCertificates, Profile, Security
from edgewire.transport.tls_standard import ConstrainedEngine
from support.certificates import Credential, self_signed
from support.tls_client import MemoryClient, client_context


@pytest.fixture(scope="module")
def server() -> Credential:
    return self_signed("gateway")


@pytest.fixture(params=list(ClientCertificates), ids=lambda kind: str(kind.value))
def security(server: Credential, request: pytest.FixtureRequest) -> Security:
    return Security(server.pem, server.key_pem, client_certificates=request.param, what="certificate of 'mqtt'")


def served(security: Security) -> bytes | None:
    """The certificate that a new client sees."""
    client = MemoryClient(client_context())
    client.connect(security.engine())
    return client.tls.getpeercert(binary_form=True)


def test_the_end_of_the_certificate_is_readable(security: Security, server: Credential) -> None:
    assert security.expires_at == server.certificate.not_valid_after_utc.timestamp()


def test_after_a_reload_new_connections_see_the_new_certificate_and_old_ones_go_on(security: Security) -> None:
    engine = security.engine()
    old = MemoryClient(client_context())
    old.connect(engine)
    renewed = self_signed("gateway", lasts_s=172_800)
    security.reload(renewed.pem, renewed.key_pem)
    assert served(security) == renewed.der
    assert security.expires_at == renewed.certificate.not_valid_after_utc.timestamp()
    assert engine.decrypt(old.send(b"still here")) == b"still here"


@pytest.mark.parametrize("fault", ["bad chain", "bad key", "other key", "expired"])
def test_a_reload_that_fails_changes_nothing(security: Security, server: Credential, fault: str) -> None:
    other = self_signed("other")
    expired = self_signed("gateway", starts_in_s=-7200, lasts_s=3600)
    chain, key = {
        "bad chain": (b"no PEM", server.key_pem),
        "bad key": (server.pem, b"no PEM"),
        "other key": (server.pem, other.key_pem),
        "expired": (expired.pem, expired.key_pem),
    }[fault]
    with pytest.raises(SecurityError, match=r"certificate of 'mqtt': "):
        security.reload(chain, key)
    assert served(security) == server.der
    assert security.expires_at == server.certificate.not_valid_after_utc.timestamp()


def test_a_clock_can_be_given(server: Credential) -> None:
    with pytest.raises(SecurityError, match="expired"):
        Security(server.pem, server.key_pem, clock=lambda: server.certificate.not_valid_after_utc.timestamp() + 1)


def test_the_constrained_profile_asks_nobody_for_a_certificate(server: Credential) -> None:
    with pytest.raises(UsageError, match="asks for a certificate"):
        Security(
            server.pem,
            server.key_pem,
            client_certificates=ClientCertificates.REQUESTED,
            profile=Profile.CONSTRAINED,
        )


def test_the_profile_stays_with_a_new_certificate(server: Credential) -> None:
    security = Security(server.pem, server.key_pem, profile=Profile.CONSTRAINED)
    security.reload(server.pem, server.key_pem)
    assert isinstance(security.engine(), ConstrainedEngine)
    assert security.certificate.chain[0] == server.certificate
