import hashlib
import hmac
import json
from typing import Any

import pytest

from edgewire.errors import ProtocolError, UsageError
from edgewire.iothub.bootstrap import (
    CODE_ALPHABET,
    CODE_CHARS,
    Contact,
    SecretKind,
    answer_mac,
    contact_mac,
    is_model,
    is_nonce,
    plain_code,
    read_contact,
    seal,
    secret_of_code,
    shown_code,
)

NONCE = "00112233445566778899aabbccddeeff"
GOOD = {
    "registrationId": "nodemcu-a1b2c3",
    "model": "nodemcu",
    "version": "1.0.0",
    "nonce": NONCE,
    "kind": "claim",
    "mac": "AB" * 32,
}


def said(**changes: Any) -> bytes:
    return json.dumps({name: value for name, value in {**GOOD, **changes}.items() if value is not None}).encode()


def test_a_contact_is_read() -> None:
    assert read_contact(said(seal=True, later=[1])) == Contact(
        registration_id="nodemcu-a1b2c3",
        model="nodemcu",
        version="1.0.0",
        nonce=NONCE,
        kind=SecretKind.CLAIM,
        mac="ab" * 32,
    )


def test_a_contact_shows_no_mac() -> None:
    assert "abab" not in repr(read_contact(said()))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"nonce":' + b"9" * 5_000 + b"}",
        said().replace(b'"kind"', b'"nonce": "x", "kind"'),
        *(said(**{name: None}) for name in GOOD),
        *(said(**{name: 7}) for name in GOOD),
        said(registrationId=""),
        said(registrationId="a" * 129),
        said(registrationId="x';DROP TABLE devices--"),
        said(registrationId="a\r\nb"),
        said(registrationId="a\0"),
        said(registrationId="../devices"),
        said(registrationId="a\u200b"),
        said(nonce=NONCE[1:]),
        said(nonce="g" * 32),
        said(nonce=NONCE + "\n"),
        said(mac="ab" * 31),
        said(kind="GROUP"),
        said(model="nodemcu\x1b[31m"),
        said(model="m" * 33),
        said(version="1 0"),
        said(version=""),
    ],
)
def test_what_is_no_contact_is_refused_with_400(body: bytes) -> None:
    with pytest.raises(ProtocolError) as refused:
        read_contact(body)
    assert refused.value.reply == 400
    assert str(refused.value).isprintable()


def test_the_proofs_are_those_of_the_interface() -> None:
    secret = hashlib.sha256(b"ABCDEFGHJKLM").digest()
    assert secret_of_code("ABCDEFGHJKLM") == secret
    text = b"edge-bootstrap-1\nnodemcu-a1b2c3\n" + NONCE.encode()
    assert contact_mac(secret, "nodemcu-a1b2c3", NONCE) == hmac.new(secret, text, "sha256").hexdigest()
    text = b"edge-bootstrap-answer-1\n" + NONCE.encode() + b'\n{"time":1}'
    assert answer_mac(secret, NONCE, b'{"time":1}') == hmac.new(secret, text, "sha256").hexdigest()
    pad = hmac.new(secret, b"edge-bootstrap-seal-1\n" + NONCE.encode(), "sha256").digest()
    assert seal(secret, NONCE, bytes(32)) == pad
    assert seal(secret, NONCE, seal(secret, NONCE, b"0123456789abcdef" * 2)) == b"0123456789abcdef" * 2


def test_only_a_key_that_the_pad_covers_is_sealed() -> None:
    with pytest.raises(UsageError):
        seal(bytes(32), NONCE, bytes(33))


def test_codes_have_sixty_bits_and_no_look_alikes() -> None:
    assert len(set(CODE_ALPHABET)) == 32
    assert CODE_CHARS * 5 == 60
    assert not set("01OI") & set(CODE_ALPHABET)


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("ABCD-EFGH-JKLM", "ABCDEFGHJKLM"),
        (" abcd efgh\tjklm\n", "ABCDEFGHJKLM"),
        ("ABCD-EFGH-JKL", None),
        ("ABCDEFGHJKL!", None),
        ("A" * 65, None),
        ("ÄBCDEFGHJKLMN", None),
        ("", None),
    ],
)
def test_a_code_counts_without_hyphens_blanks_and_case(typed: str, plain: str | None) -> None:
    assert plain_code(typed) == plain


def test_a_code_is_shown_in_fours() -> None:
    assert shown_code("ABCDEFGHJKLM") == "ABCD-EFGH-JKLM"


def test_names_of_models_and_nonces() -> None:
    assert is_model("esp32-c3.v2")
    assert not is_model("")
    assert is_nonce(NONCE.upper())
    assert not is_nonce(NONCE + "0")
