import json
from dataclasses import replace
from typing import Any

import pytest

from edgewire.iothub.bootstrap import SecretKind
from gateway.identity import claim_codes
from gateway.identity.claim_codes import KEPT_S, ClaimsError, Code, Codes, Use, new_name, read_codes, write_codes

NONCE = "0" * 32
CODE = Code(name="0a1b2c3d", kind=SecretKind.CLAIM, secret=b"s" * 32, made_at=1_000, expires_at=2_000)
LABEL = Code(
    name="ffffffff",
    kind=SecretKind.LABEL,
    secret=b"l" * 32,
    made_at=1_000,
    device="node-1",
    model="nodemcu",
    group="site",
)
USE = Use(device="node-1", nonce=NONCE, at=1_500.5)
BOTH = Codes().with_codes([CODE, LABEL]).with_use(CODE.name, USE)
GOLDEN = b"""{
 "version": 1,
 "codes": {
  "0a1b2c3d": {
   "kind": "claim",
   "secret": "c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M=",
   "boards": 1,
   "madeAt": 1000,
   "expiresAt": 2000,
   "id": "",
   "idPrefix": "",
   "model": "",
   "group": "",
   "uses": [
    {
     "id": "node-1",
     "nonce": "00000000000000000000000000000000",
     "at": 1500.5
    }
   ]
  }
 }
}
"""


def test_the_file_is_version_1() -> None:
    assert write_codes(BOTH.without(LABEL.name)) == GOLDEN


def test_what_is_written_is_read() -> None:
    assert read_codes(write_codes(BOTH)) == BOTH
    assert read_codes(write_codes(Codes())) == Codes()


def changed(where: str, value: Any) -> bytes:
    document = json.loads(GOLDEN)
    target: Any = document
    *path, last = where.split("/")
    for name in path:
        target = target[int(name) if name.isdigit() else name]
    if value is None:
        del target[last]
    else:
        target[last] = value
    return json.dumps(document).encode()


ONE = "codes/0a1b2c3d"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        changed("version", 2),
        changed("more", 1),
        changed("codes", []),
        changed("codes/name", {}),
        changed(ONE, []),
        changed(f"{ONE}/kind", "group"),
        changed(f"{ONE}/kind", None),
        changed(f"{ONE}/more", 1),
        changed(f"{ONE}/secret", "c3M="),
        changed(f"{ONE}/secret", "?"),
        changed(f"{ONE}/secret", "ä"),
        changed(f"{ONE}/boards", 0),
        changed(f"{ONE}/boards", True),
        changed(f"{ONE}/boards", 1_001),
        changed(f"{ONE}/madeAt", "now"),
        changed(f"{ONE}/expiresAt", True),
        changed(f"{ONE}/expiresAt", -1),
        changed(f"{ONE}/id", "a b"),
        changed(f"{ONE}/idPrefix", 1),
        changed(f"{ONE}/model", "a b"),
        changed(f"{ONE}/group", "a b"),
        changed(f"{ONE}/uses", {}),
        changed(f"{ONE}/uses", [USE.nonce]),
        changed(f"{ONE}/uses", [{"id": "", "nonce": NONCE, "at": 1}]),
        changed(f"{ONE}/uses", [{"id": "a", "nonce": "x", "at": 1}]),
        changed(f"{ONE}/uses", [{"id": "a", "nonce": NONCE}]),
    ],
)
def test_what_is_no_file_of_codes_is_refused_and_shows_no_secret(text: bytes) -> None:
    with pytest.raises(ClaimsError) as refused:
        read_codes(text)
    assert "c3Nz" not in str(refused.value)


def test_a_code_shows_no_secret() -> None:
    assert "ssss" not in repr(CODE)


def test_when_a_code_is_good() -> None:
    assert not CODE.is_used_up
    assert replace(CODE, uses=(USE,)).is_used_up
    assert not replace(CODE, boards=2, uses=(USE,)).is_used_up
    assert CODE.has_expired(2_000)
    assert not CODE.has_expired(1_999.9)
    assert not LABEL.has_expired(1e11)


@pytest.mark.parametrize(
    ("changes", "device", "model", "good"),
    [
        ({}, "any", "any", True),
        ({"device": "node-1"}, "node-1", "any", True),
        ({"device": "node-1"}, "node-10", "any", False),
        ({"id_prefix": "node-"}, "node-10", "any", True),
        ({"id_prefix": "node-"}, "Node-10", "any", False),
        ({"model": "nodemcu"}, "any", "nodemcu", True),
        ({"model": "nodemcu"}, "any", "esp32", False),
    ],
)
def test_which_boards_a_code_is_for(changes: dict[str, str], device: str, model: str, *, good: bool) -> None:
    assert replace(CODE, **changes).is_for(device, model) is good  # type: ignore[arg-type] # members that are texts


def test_who_may_be_renewed_by_a_code() -> None:
    assert LABEL.may_renew("node-1")
    assert not CODE.may_renew("node-1")
    used = replace(CODE, uses=(USE,))
    assert not used.may_renew("node-1")
    assert used.use_of("node-1", NONCE) == USE
    assert used.use_of("node-1", "1" * 32) is None
    assert used.use_of("node-2", NONCE) is None


def test_a_code_is_taken_in_once() -> None:
    with pytest.raises(ClaimsError, match="there already"):
        BOTH.with_codes([replace(LABEL, name="00000000")])
    with pytest.raises(ClaimsError, match="given twice"):
        Codes().with_codes([replace(CODE, name="00000000"), CODE])


def test_codes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim_codes, "MAX_FREE_CODES", 1)
    with pytest.raises(ClaimsError, match="name the boards"):
        BOTH.with_codes([replace(CODE, name="00000000", secret=b"2" * 32)])
    monkeypatch.setattr(claim_codes, "MAX_CODES", 2)
    with pytest.raises(ClaimsError, match="there would be 3 codes"):
        BOTH.with_codes([replace(LABEL, name="00000000", secret=b"2" * 32)])


def test_what_is_of_no_use_for_long_is_dropped() -> None:
    assert BOTH.without_old(1_500 + KEPT_S) == BOTH
    assert set(BOTH.without_old(1_501 + KEPT_S).by_name) == {LABEL.name}
    expired = Codes().with_codes([CODE])
    assert expired.without_old(2_000 + KEPT_S - 1) == expired
    assert expired.without_old(2_000 + KEPT_S) == Codes()


def test_names_are_random() -> None:
    assert new_name() != new_name()
    assert len(new_name()) == 8
