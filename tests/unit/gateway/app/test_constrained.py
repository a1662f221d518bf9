import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from edgewire.transport.tls import ClientCertificates, Profile, Security
from gateway.app import constrained
from gateway.app.constrained import ConstrainedIdentity, constrained_identity
from gateway.app.server_identity import FileIdentity
from gateway.app.settings import ConfigError, read_environment
from gateway.observe.app import CertificateReloaded, ConstrainedCertificateUnfit
from gateway.observe.events import Event
from support.certificates import Credential, rsa_key, self_signed
from support.gateway_site import until

HOST = "gateway.local"
OURS = self_signed(HOST)


@pytest.fixture(scope="module")
def small() -> Credential:
    return self_signed(HOST, key=rsa_key(), lasts_s=30 * 86_400)


def write(folder: Path, credential: Credential) -> Mapping[str, str]:
    (folder / "chain.pem").write_bytes(credential.pem)
    (folder / "key.pem").write_bytes(credential.key_pem)
    return {
        "GATEWAY_CONSTRAINED_CERTIFICATE": str(folder / "chain.pem"),
        "GATEWAY_CONSTRAINED_KEY": str(folder / "key.pem"),
        "GATEWAY_HOST_NAME": HOST,
    }


async def identity(environ: Mapping[str, str], events: list[Event]) -> ConstrainedIdentity:
    ours = Security(OURS.pem, OURS.key_pem)
    return await constrained_identity(read_environment(environ), environ, ours, events.append)


async def test_files_give_an_identity_for_boards(tmp_path: Path, small: Credential) -> None:
    events: list[Event] = []
    ours = await identity(write(tmp_path, small), events)
    assert ours.security.profile is Profile.CONSTRAINED
    assert ours.security.client_certificates is ClientCertificates.NONE
    assert (ours.trust, events) == (None, [])


async def test_a_certificate_that_boards_cannot_take_is_said_at_the_start(tmp_path: Path) -> None:
    events: list[Event] = []
    await identity(write(tmp_path, self_signed("other.local", lasts_s=86_400)), events)
    said = [event.problem.partition(":")[0] for event in events if isinstance(event, ConstrainedCertificateUnfit)]
    assert [problem.partition(" (")[0] for problem in said] == [
        "the key is not RSA",
        "it is signed with ecdsa-with-SHA256",
        f"it does not name '{HOST}', which boards dial",
    ]


async def test_the_key_of_the_other_listeners_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"have the same key.* give GATEWAY_CONSTRAINED_KEY a key of its own"):
        await identity(write(tmp_path, OURS), [])


async def test_files_that_cannot_be_used_stop_the_start(tmp_path: Path, small: Credential) -> None:
    environ = write(tmp_path, small)
    (tmp_path / "key.pem").write_text("spoiled")
    with pytest.raises(ConfigError, match=r"the listeners for small boards: server certificate .* is not readable PEM"):
        await identity(environ, [])


async def test_without_files_and_without_iot_edge_the_start_says_what_is_missing() -> None:
    with pytest.raises(ConfigError, match=r"GATEWAY_CONSTRAINED_CERTIFICATE and GATEWAY_CONSTRAINED_KEY$"):
        await identity({"GATEWAY_HOST_NAME": HOST}, [])


async def test_a_renewed_certificate_is_looked_at_again(
    tmp_path: Path, small: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constrained, "LOOK_EVERY_S", 0.001)
    events: list[Event] = []
    write(tmp_path, small)
    files = FileIdentity(
        tmp_path / "chain.pem",
        tmp_path / "key.pem",
        None,
        ClientCertificates.NONE,
        events.append,
        profile=Profile.CONSTRAINED,
    )
    looked_at = ConstrainedIdentity(files, HOST, events.append)
    looked_at.look()
    keeping = asyncio.create_task(looked_at.keep())
    write(tmp_path, self_signed(HOST, lasts_s=30 * 86_400))
    files.look_again()
    await until(lambda: any(isinstance(event, ConstrainedCertificateUnfit) for event in events))
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert isinstance(events[0], CertificateReloaded)
    assert len(events) == 3  # the key, and the signature: said once
