import re
import time
from pathlib import Path

import pytest

from edgewire.iothub.bootstrap import CODE_ALPHABET, SecretKind
from gateway.identity.claim_codes import Use
from gateway.identity.claim_making import (
    NoSuchCodeError,
    TypedError,
    code_of,
    in_order,
    make_claim,
    revoke_claim,
    status_of,
    until,
    whom,
)
from gateway.identity.claims import burn, read_claims
from support.new_board import secret_of

NOW = 1_795_000_000.5


def test_a_made_code_is_in_the_file_as_its_hash_alone(tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    made = make_claim(path, {"boards": "2", "expires": "1h", "id_prefix": "node-"})
    assert re.fullmatch(rf"([{CODE_ALPHABET}]{{4}}-){{2}}[{CODE_ALPHABET}]{{4}}", made.shown)
    assert made.code.secret == secret_of(made.shown)
    assert made.shown not in repr(made)
    assert read_claims(path)[0].by_name == {made.code.name: made.code}


def test_a_code_is_revoked_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    name = make_claim(path, {}).code.name
    revoke_claim(path, name)
    assert read_claims(path)[0].by_name == {}
    with pytest.raises(NoSuchCodeError, match=f"there is no code '{name}'"):
        revoke_claim(path, name)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"code": "ABCD"}, "12 to 64"),
        ({"boards": "0"}, "1 to 1000"),
        ({"boards": "9" * 5_000}, "1 to 1000"),
        ({"boards": "٣"}, "1 to 1000"),
        ({"expires": "1w"}, "write 30m, 24h, 7d"),
        ({"expires": "9" * 5_000 + "d"}, "ten years at most"),
        ({"expires": "٣d"}, "ten years at most"),
        ({"id": "a b"}, "is no id"),
        ({"id_prefix": "<b>"}, "is no beginning of an id"),
        ({"id": "a", "id_prefix": "b"}, "give one of the two"),
        ({"model": "a b"}, "is no model"),
        ({"group": "site"}, "must name its board"),
    ],
)
def test_what_makes_no_code_is_said(typed: dict[str, str], words: str) -> None:
    with pytest.raises(TypedError, match=re.escape(words)):
        code_of({"code": "ABCD-EFGH-JKLM", **typed}, SecretKind.CLAIM, NOW)


@pytest.mark.parametrize(
    ("typed", "told", "time_told"),
    [
        ({}, "one board", "for ever"),
        ({"boards": "3", "id_prefix": "n-", "expires": "60s"}, "3 boards 'n-…'", "until 2026-11-18 11:07 UTC"),
        ({"id": "n", "model": "m", "group": "g"}, "board 'n' of model m in group 'g'", "for ever"),
    ],
)
def test_a_code_in_words(typed: dict[str, str], told: str, time_told: str) -> None:
    code = code_of({"code": "ABCD-EFGH-JKLM", **typed}, SecretKind.LABEL, NOW)
    assert (whom(code), until(code)) == (told, time_told)


def test_states_and_order(tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    names = [make_claim(path, typed).code.name for typed in ({"expires": "1m"}, {}, {"id": "a"})]
    burn(path, names[2], Use(device="a", nonce="0" * 32, at=time.time()))
    codes = read_claims(path)[0].by_name
    later = time.time() + 61
    assert [status_of(codes[name], later) for name in names] == ["expired", "open", "used"]
    assert {code.name for code in in_order(codes.values())[:2]} == set(names[:2])
    assert in_order(codes.values())[2].name == names[2]
