import pytest

from gateway.identity.passwords import (
    MAX_COST,
    MAX_PASSWORD_BYTES,
    PasswordError,
    PasswordHash,
    hash_password,
    new_password,
    parse_hash,
)

RFC_7914 = bytes.fromhex("7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2")
"""The first half of scrypt(P="pleaseletmein", S="SodiumChloride", N=16384, r=8, p=1), RFC 7914 §12."""


def test_it_is_the_scrypt_of_rfc_7914() -> None:
    assert PasswordHash(16_384, b"SodiumChloride", RFC_7914).fits(b"pleaseletmein")


def test_a_hash_is_read_as_it_was_written_and_fits_its_password_alone() -> None:
    made = hash_password(b"tiger")
    read = parse_hash(str(made))
    assert read == made
    assert read.fits(b"tiger")
    assert not read.fits(b"Tiger")
    assert hash_password(b"tiger") != made, "the salt is another"
    assert "tiger" not in repr(made)
    assert repr(made) == "PasswordHash(cost=16384)"


@pytest.mark.parametrize("password", [b"", bytes(MAX_PASSWORD_BYTES + 1)])
def test_a_password_that_nobody_can_log_in_with_is_refused(password: bytes) -> None:
    with pytest.raises(PasswordError):
        hash_password(password)


SALT, DIGEST = "c2FsdHNhbHRzYWx0c2FsdA==", "A" * 43 + "="


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tiger",
        f"md5$16384${SALT}${DIGEST}",
        f"scrypt$16384${SALT}",
        f"scrypt$16384${SALT}${DIGEST}$x",
        f"scrypt$-2${SALT}${DIGEST}",
        f"scrypt$1${SALT}${DIGEST}",
        f"scrypt$16385${SALT}${DIGEST}",
        f"scrypt${MAX_COST * 2}${SALT}${DIGEST}",
        f"scrypt${'9' * 5000}${SALT}${DIGEST}",
        f"scrypt$16384$!${DIGEST}",
        f"scrypt$16384${SALT}$AAAA",
    ],
)
def test_a_text_that_is_no_hash_is_refused(text: str) -> None:
    with pytest.raises(PasswordError):
        parse_hash(text)


def test_a_made_password_is_long_and_never_the_same() -> None:
    assert len(new_password()) == 24
    assert new_password() != new_password()
