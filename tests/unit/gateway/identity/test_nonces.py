import pytest

from gateway.identity import nonces
from gateway.identity.nonces import LIFE_S, Nonce, Nonces

NOW = 12_345.678


def test_a_nonce_is_for_one_device_for_a_minute_and_once() -> None:
    book = Nonces()
    nonce = book.make("d1", NOW)
    assert len(bytes.fromhex(nonce)) == 32
    assert book.judge("d1", nonce, NOW) is Nonce.FRESH
    assert book.judge("d2", nonce, NOW) is Nonce.FOREIGN
    assert book.judge("d1", nonce, NOW + LIFE_S - 0.01) is Nonce.FRESH
    assert book.judge("d1", nonce, NOW + LIFE_S) is Nonce.STALE
    book.use(nonce, NOW)
    assert book.judge("d1", nonce, NOW + 1) is Nonce.USED
    assert book.judge("d1", nonce, NOW + LIFE_S + 1) is Nonce.STALE


def test_no_two_are_alike_and_none_is_of_another_start() -> None:
    book = Nonces()
    assert len({book.make("d1", NOW) for _ in range(100)}) == 100
    assert Nonces().judge("d1", book.make("d1", NOW), NOW) is Nonce.FOREIGN


@pytest.mark.parametrize("at", range(0, 64, 5))
def test_a_changed_digit_makes_it_foreign(at: int) -> None:
    book = Nonces()
    nonce = book.make("d1", NOW)
    changed = f"{nonce[:at]}{int(nonce[at], 16) ^ 1:x}{nonce[at + 1 :]}"
    assert book.judge("d1", changed, NOW) is Nonce.FOREIGN


def test_used_ones_are_remembered_while_they_could_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nonces, "MAX_USED", 2)
    book = Nonces()
    made = [book.make("d1", NOW) for _ in range(3)]
    for nonce in made[:2]:
        book.use(nonce, NOW)
    assert book.judge("d1", made[2], NOW + 1) is Nonce.FULL
    assert [book.judge("d1", nonce, NOW + 1) for nonce in made[:2]] == [Nonce.USED] * 2
    later = book.make("d1", NOW + LIFE_S)
    assert book.judge("d1", later, NOW + LIFE_S) is Nonce.FRESH
