"""OpenSSL's own program, and TLS on the wire, as judges of what the CA tool signs."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from edgeca.cli import main as edgeca
from edgeca.folder import Folder, Made, Wish
from edgeca.keys import KeyType
from edgeca.profiles import Kind
from edgeca.renewal import KeyWish, Renewal, RenewalWish, find_entries
from edgeca.revocation import Reason
from edgeca.revoking import Lists, target_of_entry
from edgeca.signing import utc_now

OPENSSL = shutil.which("openssl") or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A folder with one certificate of each kind."""

    folder: Folder
    server: Made
    device: Made
    edge_id: Made
    edge_ca: Made
    proof: Made
    pair: tuple[Made, ...]

    @property
    def root(self) -> Path:
        return self.folder.directory / "root.cert.pem"

    @property
    def issuing(self) -> Path:
        return self.folder.directory / "issuing.cert.pem"


@pytest.fixture(scope="module", params=[KeyType.EC_P256, KeyType.RSA_2048], ids=["EC", "RSA"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Site:
    wish = Wish(key_type=request.param)
    folder = Folder(tmp_path_factory.mktemp("site"))
    folder.init("Plant 4", wish)
    return Site(
        folder=folder,
        server=folder.server(["gateway.local", "127.0.0.7", "::1"]),
        device=folder.device("board-1"),
        edge_id=folder.edge_id("pi"),
        edge_ca=folder.edge_ca("pi"),
        proof=folder.proof("A1B2C3"),
        pair=folder.self_signed("board-1", wish),
    )


def openssl(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([OPENSSL, *map(str, words)], capture_output=True, text=True, check=False, timeout=30)


def verify(site: Site, made: Made, *words: object) -> bool:
    done = openssl(
        "verify",
        "-x509_strict",
        "-no-CApath",
        "-no-CAstore",
        "-CAfile",
        site.root,
        "-untrusted",
        made.entry.chain_path,
        *words,
        made.entry.certificate_path,
    )
    return done.returncode == 0


def test_openssl_is_there_to_judge() -> None:
    assert OPENSSL, "install Debian's package openssl"


@pytest.mark.parametrize(
    "name",
    [
        ("-verify_hostname", "gateway.local"),
        ("-verify_hostname", "gateway"),
        ("-verify_ip", "127.0.0.7"),
        ("-verify_ip", "::1"),
    ],
    ids=lambda name: name[1],
)
def test_a_server_verifies_for_each_of_its_names(site: Site, name: tuple[str, str]) -> None:
    assert verify(site, site.server, "-purpose", "sslserver", *name)


def test_a_server_is_no_client_and_has_no_other_name(site: Site) -> None:
    assert not verify(site, site.server, "-purpose", "sslclient")
    assert not verify(site, site.server, "-verify_hostname", "other.local")
    assert not verify(site, site.server, "-verify_ip", "127.0.0.8")


@pytest.mark.parametrize("kind", ["device", "edge_id", "proof"])
def test_clients_verify_as_clients_only(site: Site, kind: str) -> None:
    made: Made = getattr(site, kind)
    assert verify(site, made, "-purpose", "sslclient")
    assert not verify(site, made, "-purpose", "sslserver")


def test_cas_verify_as_cas(site: Site) -> None:
    assert verify(site, site.edge_ca, "-purpose", "sslserver")
    root = openssl("verify", "-x509_strict", "-check_ss_sig", "-CAfile", site.root, site.root)
    assert root.returncode == 0, root.stderr


def test_a_self_signed_device_verifies_against_itself_alone(site: Site) -> None:
    primary, secondary = (made.entry.certificate_path for made in site.pair)
    assert openssl("verify", "-purpose", "sslclient", "-CAfile", primary, primary).returncode == 0
    assert openssl("verify", "-purpose", "sslclient", "-CAfile", primary, secondary).returncode != 0


def test_a_leaf_does_not_verify_without_its_issuing_ca_nor_under_another_root(site: Site, tmp_path: Path) -> None:
    assert openssl("verify", "-CAfile", site.root, site.server.entry.certificate_path).returncode != 0
    other = Folder(tmp_path)
    other.init()
    words = ("-CAfile", tmp_path / "root.cert.pem", "-untrusted", site.server.entry.full_chain_path)
    assert openssl("verify", *words, site.server.entry.certificate_path).returncode != 0


def test_no_ca_may_stand_below_an_edge_ca(site: Site) -> None:
    text = openssl("x509", "-in", site.edge_ca.entry.certificate_path, "-noout", "-text").stdout
    assert "CA:TRUE, pathlen:0" in text


def test_openssl_counts_the_same_thumbprints(site: Site) -> None:
    from edgeca.credential import thumbprint_sha1, thumbprint_sha256

    made = site.pair[0]
    for name, thumbprint in (("-sha1", thumbprint_sha1), ("-sha256", thumbprint_sha256)):
        answer = openssl("x509", "-in", made.entry.certificate_path, "-noout", "-fingerprint", name).stdout
        assert answer.strip().partition("=")[2].replace(":", "") == thumbprint(made.credential.certificate)


def test_full_chains_are_in_the_order_tls_wants(site: Site) -> None:
    done = openssl("crl2pkcs7", "-nocrl", "-certfile", site.server.entry.full_chain_path)
    listed = subprocess.run(
        [OPENSSL, "pkcs7", "-print_certs", "-noout"], input=done.stdout, capture_output=True, text=True, check=True
    ).stdout
    pairs = [line.partition("=")[2] for line in listed.splitlines() if line]
    subjects, issuers = pairs[::2], pairs[1::2]
    assert len(subjects) == 3
    assert issuers == [*subjects[1:], subjects[-1]]


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> tuple[object, Exception | None]:
    """Shake hands and talk over a socket pair: the certificate the client saw, or why it did not come to that."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        # A refusal reaches the client as an alert or a closed socket; that is where the tests look.
        with contextlib.suppress(OSError), server.wrap_socket(theirs, server_side=True) as wrapped:
            wrapped.sendall(wrapped.recv(5))

    theirs.settimeout(10)
    ours.settimeout(10)
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(ours, server_hostname=name) as wrapped:
            wrapped.sendall(b"hello")
            assert wrapped.recv(5) == b"hello"
            return wrapped.getpeercert(), None
    except (OSError, AssertionError) as exc:
        return None, exc
    finally:
        ours.close()
        thread.join(20)
        theirs.close()


def server_context(made: Made, trusted: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.entry.chain_path, made.entry.key_path)
    if trusted is not None:
        context.load_verify_locations(trusted)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(site: Site, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(site.folder.directory / "trust-bundle.pem")
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("name", ["gateway.local", "gateway", "127.0.0.7", "::1"])
def test_a_client_with_the_trust_bundle_accepts_the_server(site: Site, name: str, version: ssl.TLSVersion) -> None:
    client = client_context(site)
    client.minimum_version = client.maximum_version = version
    seen, error = handshake(server_context(site.server, None), client, name)
    assert error is None
    assert seen


def test_a_client_refuses_the_server_under_another_name(site: Site) -> None:
    _, error = handshake(server_context(site.server, None), client_context(site), "other.local")
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert "Hostname mismatch" in str(error)


def test_both_sides_accept_a_device_certificate(site: Site) -> None:
    entry = site.device.entry
    client = client_context(site, entry.chain_path, entry.key_path)
    _, error = handshake(server_context(site.server, site.root), client, "gateway.local")
    assert error is None


def test_a_server_refuses_a_server_certificate_as_a_device(site: Site) -> None:
    entry = site.server.entry
    client = client_context(site, entry.chain_path, entry.key_path)
    _, error = handshake(server_context(site.server, site.root), client, "gateway.local")
    assert error is not None


def test_a_server_that_holds_a_self_signed_device_as_anchor_accepts_it(site: Site) -> None:
    entry = site.pair[0].entry
    client = client_context(site, entry.certificate_path, entry.key_path)
    _, error = handshake(server_context(site.server, entry.certificate_path), client, "gateway.local")
    assert error is None


def test_a_module_server_below_the_edge_ca_is_accepted(site: Site, tmp_path: Path) -> None:
    server = site.folder.authority().issue_server(["gateway.local"], issuer=site.edge_ca.credential)
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(server.chain_pem)
    key.write_bytes(server.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    _, error = handshake(context, client_context(site), "gateway.local")
    assert error is None


# Revocation: OpenSSL as the judge of our lists.


@dataclass(frozen=True, slots=True)
class Revoking:
    """A site with its lists; what OpenSSL says of a certificate with them."""

    folder: Folder
    lists: Lists

    def verdict(self, made: Made, *words: object) -> str:
        """Of the whole chain, with every list; empty if it is good."""
        entry, directory = made.entry, self.folder.directory
        done = openssl(
            *("verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-crl_check_all"),
            *("-CAfile", directory / "root.cert.pem", "-untrusted", entry.chain_path),
            *("-CRLfile", directory / "crl.pem", *words, entry.certificate_path),
        )
        return "" if done.returncode == 0 else done.stderr

    def revoke(self, *made: Made) -> None:
        self.lists.revoke([target_of_entry(self.folder, each.entry) for each in made], Reason.KEY_COMPROMISE)


@pytest.fixture
def revoking(request: pytest.FixtureRequest, tmp_path: Path) -> Revoking:
    folder = Folder(tmp_path)
    folder.init("Plant 4", Wish(key_type=getattr(request, "param", KeyType.EC_P256)))
    lists = Lists(folder, utc_now)
    lists.refresh(within=timedelta(days=1))
    return Revoking(folder, lists)


both_kinds_of_keys = pytest.mark.parametrize(
    "revoking", [KeyType.EC_P256, KeyType.RSA_2048], ids=["EC", "RSA"], indirect=True
)
MAKERS: dict[str, Callable[[Folder], Made]] = {
    "device": lambda folder: folder.device("board-1"),
    "server": lambda folder: folder.server(["gateway.local"]),
    "edge-id": lambda folder: folder.edge_id("pi"),
    "edge-ca": lambda folder: folder.edge_ca("pi"),
    "proof": lambda folder: folder.proof("A1B2C3"),
}


@both_kinds_of_keys
def test_openssl_refuses_what_is_on_a_list_and_nothing_else(revoking: Revoking) -> None:
    made = {kind: make(revoking.folder) for kind, make in MAKERS.items()}
    others = {kind: revoking.verdict(each) for kind, each in made.items()}
    assert others == dict.fromkeys(MAKERS, "")
    for kind, each in made.items():
        revoking.revoke(each)
        assert "certificate revoked" in revoking.verdict(each), kind
    assert revoking.verdict(revoking.folder.device("board-2")) == ""


def test_openssl_refuses_all_below_an_issuing_ca_that_was_revoked_until_it_has_a_new_key(revoking: Revoking) -> None:
    device = revoking.folder.device("board-1")
    (issuing,) = find_entries(revoking.folder, ["issuing"], None)
    revoking.lists.revoke([target_of_entry(revoking.folder, issuing)], Reason.CA_COMPROMISE)
    assert "certificate revoked" in revoking.verdict(device)
    Renewal(revoking.folder, utc_now).renew([issuing], RenewalWish(key=KeyWish.NEW))
    revoking.lists.refresh(within=timedelta(days=1))
    assert revoking.verdict(device) == "", "the device was signed again, with its old key"


def test_openssl_takes_what_was_renewed(revoking: Revoking) -> None:
    made = {kind: make(revoking.folder) for kind, make in MAKERS.items()}
    renewal = Renewal(revoking.folder, utc_now)
    for key in KeyWish.USUAL, KeyWish.KEEP:
        renewal.renew([*renewal.due(None), made["proof"].entry], RenewalWish(key=key))
        assert {kind: revoking.verdict(each) for kind, each in made.items()} == dict.fromkeys(MAKERS, "")


def test_openssl_minds_when_the_next_list_is_due(revoking: Revoking) -> None:
    device = revoking.folder.device("board-1")
    late = int(time.time() + 91 * 86_400)
    assert "CRL has expired" in revoking.verdict(device, "-attime", late)
    Lists(revoking.folder, lambda: utc_now() + timedelta(days=80)).refresh(within=timedelta(days=30))
    assert revoking.verdict(device, "-attime", late) == ""


def test_openssl_reads_numbers_reasons_and_days(revoking: Revoking) -> None:
    device = revoking.folder.device("board-1")
    revoking.revoke(device)
    text = openssl("crl", "-in", revoking.folder.directory / "issuing.crl.pem", "-noout", "-text").stdout
    assert "X509v3 CRL Number: \n                2" in text
    assert "Key Compromise" in text
    number = device.credential.certificate.serial_number
    assert f"Serial Number: {number.to_bytes((number.bit_length() + 7) // 8).hex().upper()}" in text
    signer = revoking.folder.directory / "issuing.cert.pem"
    done = openssl("crl", "-in", revoking.folder.directory / "issuing.crl.pem", "-noout", "-CAfile", signer)
    assert "verify OK" in done.stderr


@pytest.mark.parametrize("legacy", [[], ["--legacy"]], ids=["modern", "legacy"])
def test_openssl_opens_a_pfx(site: Site, legacy: list[str]) -> None:
    assert edgeca(["pfx", "board-1", "--kind", "device", "--dir", str(site.folder.directory), *legacy]) == 0
    path = site.device.entry.certificate_path.with_name("board-1.pfx")
    words = ["pkcs12", "-in", path, "-passin", f"file:{path}.password", "-noenc", *(["-legacy"] if legacy else [])]
    done = openssl(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("BEGIN CERTIFICATE") == 3
    assert done.stdout.count("BEGIN PRIVATE KEY") == 1


def test_a_proof_is_what_iot_hub_and_dps_check(site: Site) -> None:
    """The code is the common name, and the CA that was registered has signed it directly: nothing between."""
    shown = openssl(
        "x509", "-in", site.proof.entry.certificate_path, "-noout", "-subject", "-nameopt", "multiline"
    ).stdout
    assert shown.split() == ["subject=", "commonName", "=", "A1B2C3"]
    assert openssl("verify", "-CAfile", site.root, site.proof.entry.certificate_path).returncode == 0
    issued = site.folder.proof("B2", ca=Kind.ISSUING)
    words = ("verify", "-partial_chain", "-CAfile", site.issuing, issued.entry.certificate_path)
    assert openssl(*words).returncode == 0
