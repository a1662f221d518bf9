import ssl

import pytest

from edgewire.transport.tls import Security
from support.certificates import Credential, authority, self_signed, signed
from support.tls_client import MemoryClient, client_context


@pytest.fixture(scope="module")
def server() -> Credential:
    return signed("gateway", authority("intermediate", issuer=authority("root")))


def test_it_serves_the_chain_that_leads_to_the_root(server: Credential) -> None:
    context = ssl.create_default_context(cadata=server.anchor_pem.decode())
    client = MemoryClient(context)
    client.connect(Security(server.pem, server.key_pem).engine())
    assert client.tls.getpeercert(binary_form=True) == server.der


def test_a_session_is_resumed_by_its_ticket(server: Credential) -> None:
    security = Security(server.pem, server.key_pem)
    context = client_context()
    first = MemoryClient(context)
    engine = security.engine()
    first.connect(engine)
    first.read(engine.encrypt(b"the ticket came before this"))
    second = MemoryClient(context, session=first.tls.session)
    second.connect(security.engine())
    assert second.tls.session_reused


def test_no_client_is_asked_for_a_certificate() -> None:
    server = self_signed("gateway")
    engine = Security(server.pem, server.key_pem).engine()
    MemoryClient(client_context()).connect(engine)
    assert engine.certificates == ()
