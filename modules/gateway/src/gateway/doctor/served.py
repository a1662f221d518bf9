"""The certificate that devices see, and whom the gateway believes."""

import socket
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL, crypto

from edgewire.transport.certificates import SecurityError, read_server_certificate
from gateway.app.revocation_files import RevocationFiles
from gateway.app.settings import ConfigError
from gateway.doctor.finding import Finding, NotCheckedError, ok, problem, warning
from gateway.doctor.listening import is_address
from gateway.doctor.patient import Patient
from gateway.doctor.trust import bundle_pem
from gateway.identity.certificates import CertificateError, TrustBundle
from gateway.identity.revocation import WhenOld

HANDSHAKE_S: Final = 3.0
"""With the gateway's own listener, on this machine."""
ENDS_SOON_S: Final = 30 * 86_400.0
"""A certificate in a file with less than this left needs somebody to renew it."""
MAKE: Final = "edgeca makes one: `edgeca server NAME`, see certs/README.md"
_PATH_TOO_LONG: Final = 25  # X509_V_ERR_PATH_LENGTH_EXCEEDED
_NO_ISSUER: Final = (2, 20, 21)  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT and its local kin
_NOT_AN_AUTHORITY: Final = (24, 79)  # X509_V_ERR_INVALID_CA, X509_V_ERR_INVALID_CA of OpenSSL 3

Chain = Sequence[x509.Certificate]


def check_server_certificate(patient: Patient) -> Iterator[Finding]:
    """The chain and the key in the files, or the chain that the running gateway shows."""
    settings = patient.settings
    if settings.certificate_file is not None and settings.key_file is not None:
        chain = _from_files(settings.certificate_file, settings.key_file, patient.now())
        if isinstance(chain, Finding):
            yield chain
            return
    else:
        chain = shown_chain(patient)
    yield from _of_leaf(patient, chain)
    yield from _of_dates(chain, patient.now(), is_file=settings.certificate_file is not None)
    yield from _of_path(patient, chain)


def check_small_boards_certificate(patient: Patient) -> Iterator[Finding]:
    """The one of the listeners for small boards, which know RSA alone."""
    settings = patient.settings
    if settings.constrained_certificate is None or settings.constrained_key is None:
        raise NotCheckedError("no certificate for small boards is set (GATEWAY_CONSTRAINED_CERTIFICATE)")
    chain = _from_files(settings.constrained_certificate, settings.constrained_key, patient.now())
    if isinstance(chain, Finding):
        yield chain
        return
    strangers = [_name(each) for each in chain if not isinstance(each.public_key(), RSAPublicKey)]
    if strangers:
        yield problem(
            f"{', '.join(strangers)} in {settings.constrained_certificate} has no RSA key",
            "small boards (ESP8266) cannot check it and do not connect",
            "make the whole chain with RSA: `edgeca init --rsa 2048`, see certs/README.md",
        )
    yield from _of_dates(chain, patient.now(), is_file=True)
    if not strangers:
        yield ok(f"{settings.constrained_certificate} is RSA throughout")


def check_trust(patient: Patient) -> Iterator[Finding]:
    """The authorities in the trust bundle."""
    pem = bundle_pem(patient)
    file = patient.settings.trust_bundle_file
    where = "the trust bundle of the workload API" if file is None else str(file)
    if not pem.strip():
        if file is None:
            raise NotCheckedError("there is no trust bundle: devices prove themselves by keys, tokens or thumbprints")
        yield problem(
            f"{where} cannot be read, or is empty",
            "the gateway does not start",
            "correct GATEWAY_TRUST_BUNDLE_FILE, or give the gateway's user the right to read it",
        )
        return
    try:
        TrustBundle(pem)
    except CertificateError as error:
        yield problem(
            f"{where}: {error}",
            "the gateway does not start, or goes on with the authorities before",
            "write the authorities into it as '-----BEGIN CERTIFICATE-----' blocks; edgeca bundle makes one",
        )
        return
    authorities = x509.load_pem_x509_certificates(pem)
    ended = [each for each in authorities if each.not_valid_after_utc.timestamp() <= patient.now()]
    for each in ended:
        yield problem(
            f"{_name(each)} in {where} ended at {each.not_valid_after_utc:%Y-%m-%d}",
            "certificates that it has signed prove nothing any more",
            "put its successor beside it, then renew what it has signed",
        )
    if not ended:
        yield ok(f"{where} has {len(authorities)} certificate{'s' * (len(authorities) != 1)}, none has ended")


def check_revocation(patient: Patient) -> Iterator[Finding]:
    """The lists of revoked certificates, as a start would read them."""
    settings = patient.settings
    if settings.crl_file is None:
        raise NotCheckedError("GATEWAY_CRL_FILE is not set: no certificate is looked for on a list")
    try:
        lists = RevocationFiles(
            settings.crl_file, WhenOld(settings.crl_when_old), lambda _: None, known=lambda: _authorities(patient)
        )
    except ConfigError as error:
        says, _, fix = str(error).removesuffix(".").rpartition(". ")
        yield problem(says, "the gateway does not start, or goes on with the lists before", fix)
        return
    old = [each for each in lists.candidates() if each.ends_at <= patient.now()]
    for each in old:
        until = datetime.fromtimestamp(each.ends_at, UTC)
        yield warning(
            f"the {each.name} was to be replaced by {until:%Y-%m-%d}",
            "who was revoked since then is not known here",
            each.advice,
        )
    if not lists.revocations.lists:
        yield warning(
            f"there is no list in {settings.crl_file}",
            "nobody is revoked",
            "put the lists there, as *.pem or *.crl (`edgeca crl` writes them), or unset GATEWAY_CRL_FILE",
        )
    elif not old:
        yield ok(f"{settings.crl_file} has {len(lists.revocations)} revoked certificates, and no list is old")


def _authorities(patient: Patient) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(bundle_pem(patient))
    except ValueError:
        return []  # `trust` says it


# --- where it comes from --------------------------------------------------------------------------------------------


def _from_files(chain: Path, key: Path, now: float) -> "Chain | Finding":
    try:
        pem, key_pem = chain.read_bytes(), key.read_bytes()
    except OSError as error:
        return problem(
            f"{error.filename} cannot be read: {(error.strerror or str(error)).lower()}",
            "the gateway does not start",
            "check that the file is there and that the gateway's user may read it",
        )
    try:
        return read_server_certificate(pem, key_pem, what=f"{chain} with {key}", now=now).chain
    except SecurityError as error:
        says, _, fix = str(error).removesuffix(".").rpartition(". ")
        return problem(says, "the gateway does not start, or goes on with the certificate before", fix)


def shown_chain(patient: Patient) -> Chain:
    """The chain that the running gateway's own listener shows. Raises NotCheckedError."""
    if patient.running is None:
        raise NotCheckedError(
            "the workload API issues the certificate when the gateway starts, and none runs now; asking would issue one"
        )
    settings = patient.settings
    port = settings.mqtt_port or settings.amqp_port or settings.websocket_port
    if not port:
        raise NotCheckedError("no listener with TLS is switched on")
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.address, settings.address)  # noqa: S104 - compared with
    try:
        return chain_of(address, port, settings.host_name)
    except (OSError, SSL.Error) as error:
        raise NotCheckedError(
            f"no TLS handshake with {address} port {port}: {str(error) or type(error).__name__}"
        ) from error


def chain_of(address: str, port: int, name: str) -> Chain:
    """What a server shows. Raises OSError, SSL.Error."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_verify(SSL.VERIFY_NONE, None)  # to look at it is what this is for
    with socket.create_connection((address, port), HANDSHAKE_S) as line:
        line.settimeout(None)  # pyOpenSSL takes a socket with a timeout for one that does not block
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(HANDSHAKE_S))
        connection = SSL.Connection(context, line)
        if name and not is_address(name):
            connection.set_tlsext_host_name(name.encode("idna"))
        connection.set_connect_state()
        connection.do_handshake()
        return [each.to_cryptography() for each in connection.get_peer_cert_chain() or ()]


def _timeval(seconds: float) -> bytes:
    import struct  # noqa: PLC0415 - for this alone

    return struct.pack("ll", int(seconds), 0)


# --- what is looked at ----------------------------------------------------------------------------------------------


def _of_leaf(patient: Patient, chain: Chain) -> Iterator[Finding]:
    """That it is for the name that devices dial, and for servers."""
    leaf, wanted = chain[0], patient.settings.host_name
    names = names_in(leaf)
    if not wanted:
        yield problem(
            "nothing says by which name devices dial the gateway",
            "nobody can say whether the certificate is for it",
            "set GATEWAY_HOST_NAME; IoT Edge does it by hostname in its config.toml",
        )
    elif not is_for(wanted, names):
        yield problem(
            f"the server certificate is for {', '.join(names) or 'no name at all'}, and devices dial '{wanted}'",
            "devices that check the name, and all should, do not connect",
            f"make one for '{wanted}', or set GATEWAY_HOST_NAME to the name that devices dial. {MAKE}",
        )
    else:
        yield ok(f"the server certificate is for '{wanted}'")
    if not _is_for_servers(leaf):
        yield problem(
            "the server certificate's extended key usage does not include servers",
            "devices refuse it",
            f"make one for a server. {MAKE}",
        )


def _of_dates(chain: Chain, now: float, *, is_file: bool) -> Iterator[Finding]:
    for certificate in chain:
        begins = certificate.not_valid_before_utc
        if begins.timestamp() > now:
            yield problem(
                f"the certificate of {_name(certificate)} begins at {begins:%Y-%m-%d %H:%M} UTC, which is yet to come",
                "devices with a right clock do not connect until then",
                f"it is {datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M} UTC here: if that is wrong, set the clock",
            )
    first = min(chain, key=lambda each: each.not_valid_after_utc)
    left_s = first.not_valid_after_utc.timestamp() - now
    until = f"{first.not_valid_after_utc:%Y-%m-%d}"
    if left_s <= 0:
        yield problem(
            f"the certificate of {_name(first)} has ended at {until}", "devices do not connect", f"renew it. {MAKE}"
        )
    elif is_file and left_s < ENDS_SOON_S:
        yield warning(
            f"the certificate of {_name(first)} ends in {left_s / 86_400:.0f} days, at {until}",
            "from then on no device connects",
            "renew it and put it into the same files: the gateway takes it within seconds, without a restart",
        )
    else:
        yield ok(f"the first of the chain to end does so at {until}, in {left_s / 86_400:.0f} days")


def _of_path(patient: Patient, chain: Chain) -> Iterator[Finding]:
    """That it leads to the trust bundle's authorities, by what the server sends along."""
    pem = bundle_pem(patient)
    if not pem.strip():
        last = chain[-1]
        if len(chain) == 1 and last.issuer != last.subject:
            yield warning(
                f"the chain is one certificate of {last.issuer.rfc4514_string()}, and there is no trust bundle",
                "devices that know only the root cannot build the path to it",
                "append the issuing CA's certificate to the chain: edgeca's NAME.chain.pem has it",
            )
        return
    try:
        anchors = x509.load_pem_x509_certificates(pem)
    except ValueError:
        return  # `trust` says it
    yield path_finding(chain, anchors, patient.now())


def path_finding(chain: Chain, anchors: Sequence[x509.Certificate], now: float) -> Finding:
    """Whether the chain leads to one of these authorities, as a device with just these would see it."""
    store = crypto.X509Store()
    store.set_time(datetime.fromtimestamp(now, UTC))
    for anchor in anchors:
        store.add_cert(crypto.X509.from_cryptography(anchor))
    leaf, *others = (crypto.X509.from_cryptography(each) for each in chain)
    try:
        path = crypto.X509StoreContext(store, leaf, others).get_verified_chain()
    except crypto.X509StoreContextError as error:
        return _broken_path(chain, error)
    return ok(f"the chain leads to {_name(path[-1].to_cryptography())} of the trust bundle")


def _broken_path(chain: Chain, error: crypto.X509StoreContextError) -> Finding:
    number, _, words = error.errors
    if number in _NO_ISSUER:
        return problem(
            f"the chain ends at {chain[-1].issuer.rfc4514_string()}, which is neither in it nor in the trust bundle",
            "devices that trust the bundle's authorities do not connect",
            "append the certificates of the issuing CAs to the chain, leaf first; or add the root to the trust bundle, "
            "if it is another",
        )
    if number == _PATH_TOO_LONG:
        return problem(
            "an authority in the chain allows fewer authorities below it than there are (path length)",
            "devices that check it, and most do, do not connect",
            "issue the certificate from the CA that may, or make the authority anew with a greater path length. "
            "IoT Edge signs with the edge CA, which needs one more below it",
        )
    if number in _NOT_AN_AUTHORITY:
        return problem(
            "the chain holds an issuer that is no authority (basicConstraints)",
            "devices do not connect",
            "sign with a CA certificate: a server's or a device's certificate may sign nothing",
        )
    return problem(
        f"the chain proves nothing: {words}",
        "devices do not connect",
        f"renew what has ended, and see that the clock is right. {MAKE}",
    )


def names_in(certificate: x509.Certificate) -> list[str]:
    """The names and addresses that it is for; the common name does not count, as nobody looks at it any more."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]


def is_for(wanted: str, names: Sequence[str]) -> bool:
    """Whether one of the names is the wanted one. Spec: RFC 9525 §6.3, a wildcard only for the whole left label."""
    name = wanted.lower().rstrip(".")
    for each in names:
        pattern = each.lower().rstrip(".")
        if pattern == name or (pattern.startswith("*.") and pattern[2:] == name.partition(".")[2]):
            return True
    return False


def _is_for_servers(certificate: x509.Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.SERVER_AUTH in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "(no subject)"
