import hashlib
import hmac

import pytest

from edgewire.errors import ProtocolError
from edgewire.iothub.minting import TokenWish, answer_mac, read_nonce_query, read_wish, wish_mac

NONCE = "00112233445566778899aabbccddeeff" * 2
KEY = b"0123456789abcdef" * 2


def test_a_proof_covers_the_device_and_the_nonce() -> None:
    text = b"edge-token-1\npump\n" + NONCE.encode()
    assert wish_mac(KEY, "pump", NONCE) == hmac.new(KEY, text, hashlib.sha256).hexdigest()


def test_an_answer_is_proven_whole() -> None:
    text = b"edge-token-answer-1\n" + NONCE.encode() + b"\n{}"
    assert answer_mac(KEY, NONCE, b"{}") == hmac.new(KEY, text, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("body", "wish"),
    [
        (b'{"deviceId":"pump"}', TokenWish(device="pump")),
        (b'{"deviceId":"pump","lifetimeSecs":60}', TokenWish(device="pump", lifetime_s=60)),
        (b'{"deviceId":"pump","lifetimeSecs":99999}', TokenWish(device="pump", lifetime_s=3_600)),
        (b'{"deviceId":"pump","password":"x"}', TokenWish(device="pump", password="x")),
        (
            f'{{"deviceId":"pump","nonce":"{NONCE}","mac":"{"AB" * 32}"}}'.encode(),
            TokenWish(device="pump", nonce=NONCE, mac="ab" * 32),
        ),
    ],
)
def test_a_wish_is_read(body: bytes, wish: TokenWish) -> None:
    assert read_wish(body) == wish


def test_no_secret_of_a_wish_is_shown() -> None:
    wish = TokenWish(device="pump", nonce=NONCE, mac="ab" * 32, password="open sesame")
    assert "abab" not in repr(wish)
    assert "sesame" not in repr(wish)


@pytest.mark.parametrize("cut", range(len(b'{"deviceId":"pump","password":"x"}')))
def test_a_wish_that_is_cut_short_is_none(cut: int) -> None:
    with pytest.raises(ProtocolError) as refused:
        read_wish(b'{"deviceId":"pump","password":"x"}'[:cut])
    assert refused.value.reply == 400


def test_who_asks_for_a_nonce_says_for_which_device() -> None:
    assert read_nonce_query("deviceId=a%2Ab") == "a*b"
    for query in ("", "deviceId=", "deviceid=a", "deviceId=a&x=y", "deviceId=%zz", "deviceId=a%20b"):
        with pytest.raises(ProtocolError):
            read_nonce_query(query)
