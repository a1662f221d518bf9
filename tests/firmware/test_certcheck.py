"""Whom the board takes for its gateway: chains of every kind, and handshakes that show two eyes two certificates."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from support.on_micropython import run

GATEWAY: Final = "gateway.local"
NOW: Final = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
NOW_TEXT: Final = "20261121120000"
HANDSHAKE, ALERT, CHANGE, DATA = 22, 21, 20, 23
STEPS: Final = (1, 3, 7, 5000)


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """One key for each name: making them is slow."""
    del name
    return rsa.generate_private_key(65537, bits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A certificate to be made."""

    key: str = "leaf"
    bits: int = 2048
    names: tuple[str, ...] = (GATEWAY,)
    addresses: tuple[str, ...] = ("192.0.2.7",)
    signer: str = "root"
    signer_bits: int = 2048
    ca: bool = False
    path: int | None = None
    since: datetime = NOW - timedelta(days=1)
    until: datetime = NOW + timedelta(days=30)
    digest: hashes.SHA256 | hashes.SHA512 = field(default_factory=hashes.SHA256)
    more: tuple[tuple[x509.ExtensionType, bool], ...] = ()
    elliptic: bool = False
    pss: bool = False


def made(wanted: Wanted) -> bytes:
    """DER."""
    key = ec.generate_private_key(ec.SECP256R1()) if wanted.elliptic else rsa_key(wanted.key, wanted.bits)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, wanted.key)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, wanted.signer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(wanted.since)
        .not_valid_after(wanted.until)
    )
    if wanted.ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=wanted.path), critical=True)
    else:
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in wanted.names]
        names += [x509.IPAddress(ip_address(address)) for address in wanted.addresses]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for extension, critical in wanted.more:
        builder = builder.add_extension(extension, critical=critical)
    signer = rsa_key(wanted.signer, wanted.signer_bits)
    pad = padding.PSS(padding.MGF1(wanted.digest), 32) if wanted.pss else None
    return builder.sign(signer, wanted.digest, rsa_padding=pad).public_bytes(Encoding.DER)


LEAF: Final = made(Wanted())
OTHER: Final = made(Wanted(key="other", signer="other"))
MIDDLE: Final = made(Wanted(key="middle", ca=True, path=0))
BELOW: Final = made(Wanted(signer="middle"))


def usage(**on: bool) -> x509.KeyUsage:
    """A key usage with these bits."""
    bits = dict.fromkeys(
        (
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        ),
        False,
    )
    return x509.KeyUsage(**{**bits, **on})


# --- what a server says -------------------------------------------------------------------------------------------


def record(body: bytes, kind: int = HANDSHAKE) -> bytes:
    """A record of TLS 1.2."""
    return bytes((kind, 3, 3)) + len(body).to_bytes(2, "big") + body


def message(kind: int, body: bytes, top: int = 0) -> bytes:
    """A handshake message; `top` is put into the third byte of its length, which the library does not read."""
    return bytes((kind, top)) + len(body).to_bytes(2, "big") + body


def certificates(*ders: bytes, top: int = 0, short: int = 0, list_top: int = 0) -> bytes:
    """The message with a chain."""
    chain = b"".join(bytes((top,)) + len(der).to_bytes(2, "big") + der for der in ders)
    return message(11, bytes((list_top,)) + (len(chain) - short).to_bytes(2, "big") + chain)


HELLO: Final = message(2, bytes(70))
DONE: Final = message(14, b"")
CCS: Final = record(b"\x01", CHANGE)


def hello_and(*ders: bytes) -> bytes:
    """An honest server's half, as far as it can be read."""
    return record(HELLO) + record(certificates(*ders)) + record(DONE) + CCS


def case(
    stream: bytes, *, name: str = GATEWAY, root: str = "root", now: str | None = NOW_TEXT, step: int = 5000
) -> Any:
    """For device-firmware/tests/watch.py."""
    bits = int(root.partition("-")[2] or 2048)
    modulus = rsa_key(root, bits).public_key().public_numbers().n
    return {"stream": stream.hex(), "step": step, "name": name, "root": f"{modulus:x}", "now": now}


def chain(*wanted: Wanted) -> Any:
    return case(hello_and(*(made(one) for one in wanted)))


def flipped(at: int) -> bytes:
    bad = bytearray(LEAF)
    bad[at] ^= 1
    return bytes(bad)


def reencoded() -> bytes:
    """The leaf with the length of its whole in a second spelling."""
    return LEAF[:1] + b"\x83\x00" + LEAF[2:4] + LEAF[4:]


def middle(**changes: Any) -> Wanted:
    return Wanted(key="middle", ca=True, **changes)


ACCEPTED: Final[dict[str, Callable[[], Any]]] = {
    "a leaf below the root": lambda: case(hello_and(LEAF)),
    "by its address": lambda: case(hello_and(LEAF), name="192.0.2.7"),
    "with capitals in its name": lambda: chain(Wanted(names=("GateWay.Local",))),
    "one intermediate": lambda: case(hello_and(BELOW, MIDDLE)),
    "three intermediates": lambda: chain(
        Wanted(signer="m3"),
        Wanted(key="m3", ca=True, signer="m2", path=0),
        Wanted(key="m2", ca=True, signer="middle"),
        middle(),
    ),
    "the root sent, too": lambda: chain(Wanted(), Wanted(key="root", ca=True)),
    "RSA-3072": lambda: case(
        hello_and(made(Wanted(key="l3", bits=3072, signer="r-3072", signer_bits=3072))), root="r-3072"
    ),
    "RSA-4096 above": lambda: case(hello_and(made(Wanted(signer="r-4096", signer_bits=4096))), root="r-4096"),
    "all usages that it needs": lambda: chain(
        Wanted(
            more=(
                (usage(key_encipherment=True), True),
                (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), True),
            )
        )
    ),
    "expired, where the clock was never set": lambda: case(
        hello_and(made(Wanted(until=NOW - timedelta(hours=1)))), now=None
    ),
    "all messages in one record": lambda: case(record(HELLO + certificates(LEAF) + DONE) + CCS, step=11),
    "a certificate over two records": lambda: case(
        record((HELLO + certificates(LEAF))[:300]) + record((HELLO + certificates(LEAF))[300:]) + CCS, step=13
    ),
    "a certificate far in the future": lambda: chain(Wanted(until=datetime(2060, 1, 1, tzinfo=UTC))),
}

REFUSED: Final[dict[str, tuple[str, Callable[[], Any]]]] = {
    "a root that is not ours": ("issuer", lambda: case(hello_and(OTHER))),
    "another name": ("name", lambda: case(hello_and(LEAF), name="gateway.local.evil.example")),
    "another address": ("name", lambda: case(hello_and(LEAF), name="192.0.2.8")),
    "a wildcard": ("name", lambda: chain(Wanted(names=("*.local",)))),
    "an address as a DNS name": (
        "name",
        lambda: case(hello_and(made(Wanted(names=("192.0.2.7",), addresses=()))), name="192.0.2.7"),
    ),
    "expired": ("dates", lambda: chain(Wanted(until=NOW - timedelta(seconds=1)))),
    "not yet valid": ("dates", lambda: chain(Wanted(since=NOW + timedelta(seconds=1)))),
    "an expired intermediate": (
        "dates",
        lambda: chain(Wanted(signer="middle"), middle(until=NOW - timedelta(days=1), since=NOW - timedelta(days=9))),
    ),
    "an intermediate that is no CA": ("ca", lambda: chain(Wanted(signer="middle"), Wanted(key="middle"))),
    "an intermediate that may not sign": (
        "ca",
        lambda: chain(Wanted(signer="middle"), middle(more=((usage(crl_sign=True), True),))),
    ),
    "more CAs below one than it allows": (
        "ca",
        lambda: chain(Wanted(signer="m2"), Wanted(key="m2", ca=True, signer="middle"), middle(path=0)),
    ),
    "an intermediate that did not sign": ("chain", lambda: case(hello_and(BELOW, made(Wanted(key="root2", ca=True))))),
    "a chain too long": (
        "chain",
        lambda: chain(Wanted(signer="m0"), *(Wanted(key=f"m{i}", ca=True, signer=f"m{i + 1}") for i in range(6))),
    ),
    "the intermediate missing": ("issuer", lambda: case(hello_and(BELOW))),
    "a client's certificate": (
        "ca",
        lambda: chain(Wanted(more=((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),))),
    ),
    "a key that may only sign lists": ("ca", lambda: chain(Wanted(more=((usage(crl_sign=True), True),)))),
    "something critical that nobody knows": (
        "der",
        lambda: chain(Wanted(more=((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"), True),))),
    ),
    "SHA-1 is not made by anybody; SHA-512 is not taken": ("signature", lambda: chain(Wanted(digest=hashes.SHA512()))),
    "PSS": ("signature", lambda: chain(Wanted(pss=True))),
    "an elliptic key": ("key", lambda: chain(Wanted(elliptic=True))),
    "a key of 1024 bits above": (
        "key",
        lambda: chain(Wanted(signer="weak", signer_bits=1024), Wanted(key="weak", bits=1024, ca=True)),
    ),
    "a certificate larger than the buffer": (
        "size",
        lambda: chain(Wanted(names=(GATEWAY, *(f"n{i}.example" for i in range(120))))),
    ),
    # Handshakes that want the library and us to see different certificates
    "another first, the good one second": (
        "ca",
        lambda: case(hello_and(made(Wanted(key="other", signer="other")), LEAF)),
    ),
    "the good one in a second message": (
        "handshake",
        lambda: case(record(HELLO) + record(certificates(BELOW)) + record(certificates(LEAF)) + CCS),
    ),
    "no certificate": ("none", lambda: case(record(HELLO) + record(DONE) + CCS)),
    "an empty list": ("none", lambda: case(hello_and())),
    "before the hello": ("handshake", lambda: case(record(certificates(LEAF)) + record(HELLO) + CCS)),
    "two hellos": ("handshake", lambda: case(record(HELLO) + record(HELLO) + record(certificates(LEAF)) + CCS)),
    "a hello with a size that two read differently": (
        "handshake",
        lambda: case(record(message(2, bytes(70), top=1)) + record(certificates(LEAF)) + CCS),
    ),
    "a list with such a size": (
        "handshake",
        lambda: case(record(HELLO) + record(certificates(LEAF, list_top=1)) + CCS),
    ),
    "a certificate with such a size": (
        "handshake",
        lambda: case(record(HELLO) + record(certificates(LEAF, top=1)) + CCS),
    ),
    "a list shorter than its certificate": (
        "handshake",
        lambda: case(record(HELLO) + record(certificates(LEAF, short=5)) + CCS),
    ),
    "only after encryption began": ("none", lambda: case(record(HELLO) + CCS + record(certificates(LEAF)))),
    "encryption begins within the message": (
        "handshake",
        lambda: case(record(HELLO) + record(certificates(LEAF)[:-9]) + CCS + record(certificates(LEAF)[-9:])),
    ),
    "data before encryption": (
        "handshake",
        lambda: case(record(HELLO) + record(b"hi", DATA) + record(certificates(LEAF))),
    ),
    "a record of no kind": ("handshake", lambda: case(record(HELLO, 99) + record(certificates(LEAF)))),
    "a record of SSL 2": ("record", lambda: case(b"\x80\x2e\x01\x00\x02" + bytes(60))),
    "a record larger than the library's buffer": ("record", lambda: case(record(bytes(5116)))),
    "a second spelling of its length": ("der", lambda: case(hello_and(reencoded()))),
    "bytes behind the certificate": ("der", lambda: case(hello_and(LEAF + b"\0\0"))),
    "a certificate that ends early": ("der", lambda: case(hello_and(LEAF[:-1]))),
    "one byte alone": ("der", lambda: case(hello_and(b"\x30"))),
    "nothing at all": ("none", lambda: case(b"")),
}


def test_good_chains_are_taken_however_they_arrive() -> None:
    found = run("watch", [make() for make in ACCEPTED.values()])
    assert dict(zip(ACCEPTED, found, strict=True)) == dict.fromkeys(ACCEPTED, "accepted")
    assert run("watch", [case(hello_and(BELOW, MIDDLE), step=step) for step in STEPS]) == ["accepted"] * len(STEPS)


def test_all_others_are_refused_with_a_word_that_says_why() -> None:
    found = run("watch", [make() for _, make in REFUSED.values()])
    assert dict(zip(REFUSED, found, strict=True)) == {name: why for name, (why, _) in REFUSED.items()}


def test_no_bit_of_a_certificate_can_be_turned() -> None:
    places = range(0, len(LEAF), 9)
    found = run("watch", [case(hello_and(flipped(at))) for at in places])
    assert "accepted" not in found


def test_no_cut_of_a_handshake_is_a_handshake() -> None:
    whole = record(HELLO) + record(certificates(BELOW, MIDDLE))
    found = run("watch", [case(whole[:at]) for at in range(0, len(whole) - 1, 41)])
    assert "accepted" not in found
