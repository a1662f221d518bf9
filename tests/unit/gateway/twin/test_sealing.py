import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edgewire.message import identity
from gateway.twin.sealing import KeySeal, PlainSeal, SealError

D1 = identity("d1")
M1 = identity("d1", "m1")
KEY = bytes(range(32))


def test_a_plain_record_lies_as_it_is_behind_a_mark() -> None:
    seal = PlainSeal()
    assert seal.close(D1, b"{}") == b"\x00{}"
    assert seal.open(D1, b"\x00{}") == b"{}"


def test_a_sealed_record_is_a_mark_a_nonce_and_what_aes_gcm_makes_of_it() -> None:
    sealed = KeySeal(KEY).close(M1, b"secret words")
    assert sealed[:1] == b"\x01"
    assert AESGCM(KEY).decrypt(sealed[1:13], sealed[13:], b'["d1","m1"]') == b"secret words"
    assert b"secret" not in sealed
    assert KeySeal(KEY).open(M1, sealed) == b"secret words"


def test_no_two_writes_look_alike() -> None:
    seal = KeySeal(KEY)
    assert seal.close(D1, b"x") != seal.close(D1, b"x")


def test_another_identity_key_or_byte_is_noticed() -> None:
    sealed = KeySeal(KEY).close(D1, b"x")
    with pytest.raises(SealError):
        KeySeal(KEY).open(M1, sealed)
    with pytest.raises(SealError):
        KeySeal(bytes(32)).open(D1, sealed)
    for at in range(len(sealed)):
        damaged = bytes([*sealed[:at], sealed[at] ^ 1, *sealed[at + 1 :]])
        with pytest.raises(SealError):
            KeySeal(KEY).open(D1, damaged)
        with pytest.raises(SealError):
            KeySeal(KEY).open(D1, sealed[:at])


def test_one_seal_does_not_open_what_the_other_closed() -> None:
    with pytest.raises(SealError, match="must be"):
        KeySeal(KEY).open(D1, PlainSeal().close(D1, b"x"))
    with pytest.raises(SealError, match="is encrypted"):
        PlainSeal().open(D1, KeySeal(KEY).close(D1, b"x"))


def test_a_key_knows_itself_again() -> None:
    proof = KeySeal(KEY).proof()
    assert KeySeal(KEY).proves(proof)
    assert not KeySeal(bytes(32)).proves(proof)
    assert not KeySeal(KEY).proves(b"")
