import io
import re
import stat
import time
from pathlib import Path

import pytest

from edgewire.iothub.bootstrap import CODE_ALPHABET, SecretKind
from gateway.cli import claims
from gateway.identity.claim_codes import Code, Use
from gateway.identity.claims import burn, read_claims
from support.command_terminal import Terminal
from support.new_board import secret_of

LABELS = """code,id,model,group,expires,boards
ABCD-EFGH-JKLM,node-1,nodemcu,,,
abcd efgh jkln,node-2,,site,30d,
ABCDEFGHJKLP,,,,,5
"""


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(claims, capsys)


def kept(data: Path) -> list[Code]:
    return list(read_claims(data / "claims.json")[0].by_name.values())


def test_a_code_is_shown_once_and_kept_nowhere(out: Terminal, data: Path) -> None:
    shown, aside = out.says("add")
    assert re.fullmatch(rf"([{CODE_ALPHABET}]{{4}}-){{2}}[{CODE_ALPHABET}]{{4}}\n", shown)
    (code,) = kept(data)
    assert code.secret == secret_of(shown)
    assert (code.kind, code.boards, code.device, code.group) == (SecretKind.CLAIM, 1, "", "")
    assert code.expires_at is not None
    assert abs(code.expires_at - time.time() - 86_400) < 60
    assert re.fullmatch(rf"code '{code.name}' for one board, until .* UTC; it is not shown again\n", aside)
    file = data / "claims.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    plain = shown.strip().replace("-", "")
    for text in (file.read_text(), *out.says("list"), *out.says("list", "--json")):
        assert shown.strip() not in text
        assert plain not in text


def test_a_code_with_all_that_can_be_said_of_it(out: Terminal, data: Path) -> None:
    told = out.tells("add", "--id", "node-1", "--model", "nodemcu", "--group", "site", "--expires", "never")
    (code,) = kept(data)
    assert code.secret == secret_of(told.pop("code"))
    assert told == {
        "name": code.name,
        "kind": "claim",
        "status": "open",
        "boards": 1,
        "expiresAt": None,
        "id": "node-1",
        "idPrefix": "",
        "model": "nodemcu",
        "group": "site",
        "uses": [],
    }
    out.says("add", "--id-prefix", "node-", "--boards", "3", "--expires", "30m")
    assert "3 boards 'node-…'" in out.says("list")[0]


def test_no_two_codes_are_the_same(out: Terminal) -> None:
    assert len({out.says("add")[0] for _ in range(20)}) == 20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--boards", "0"], "1 to 1000"),
        (["--boards", "1001"], "1 to 1000"),
        (["--boards", "-1"], "1 to 1000"),
        (["--expires", "1w"], "write 30m, 24h, 7d"),
        (["--expires", ""], "for ever"),
        (["--expires", "0d"], "no time to expire in"),
        (["--expires", "99999d"], "no time to expire in"),
        (["--expires", "-1d"], "no time to expire in"),
        (["--id", "a b"], "is no id"),
        (["--id-prefix", "a/b"], "is no beginning of an id"),
        (["--model", "a b"], "is no model"),
        (["--group", "a b", "--id", "a"], "is no name of a group"),
        (["--group", "site"], "must name its board"),
    ],
)
def test_what_a_code_cannot_be(out: Terminal, data: Path, arguments: list[str], words: str) -> None:
    if words == "for ever":  # an empty time is the shell's way to say none
        assert words in out.says("add", *arguments)[1]
        return
    given = [f"{name}={value}" for name, value in zip(arguments[::2], arguments[1::2], strict=True)]
    assert words in out.says("add", *given, code=2)[1]
    assert not (data / "claims.json").exists()


def test_labels_come_from_a_file(out: Terminal, data: Path) -> None:
    file = data / "labels.csv"
    file.write_text(LABELS)
    assert out.says("import", str(file)) == ("3 codes taken in\n", "")
    by_secret = {code.secret: code for code in kept(data)}
    first, second, third = (by_secret[secret_of(f"ABCDEFGHJKL{last}")] for last in "MNP")
    assert (first.kind, first.device, first.model, first.expires_at) == (SecretKind.LABEL, "node-1", "nodemcu", None)
    assert (second.device, second.group) == ("node-2", "site")
    assert second.expires_at is not None
    assert (third.device, third.boards) == ("", 5)
    assert "there already" in out.says("import", str(file), code=1)[1]
    assert len(kept(data)) == 3


def test_labels_come_from_standard_input_too(out: Terminal, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfCode\r\nABCDEFGHJKLM\r\n\r\n")))
    told = out.tells("import", "-")
    assert [code["kind"] for code in told["codes"]] == ["label"]
    assert len(kept(data)) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "must name the columns"),
        (b"id\nnode-1\n", "must name the columns"),
        (b"code,ids\n", "did you mean 'id'?"),
        (b"code,code\n", "each once"),
        (b"code\n", "holds no codes"),
        (b"code\nABCD\n", "line 2: a code has 12 to 64"),
        (b"code,id\nABCDEFGHJKLM\n", "line 2 has 1 columns, the first line 2"),
        (b"code,id\nABCDEFGHJKLM,x y\n", "line 2: 'x y' is no id"),
        (b'code\n"ABCD\n', "line 2"),
        (b"code\n\xff\n", "is not UTF-8"),
        (b"code\n" + b"\n" * 10_001, "more than 10000 lines"),
        (b"code\n" + b"A" * 2_100_000, "more than 2097152 bytes"),
    ],
)
def test_a_file_is_taken_in_whole_or_not_at_all(out: Terminal, data: Path, text: bytes, words: str) -> None:
    file = data / "labels.csv"
    file.write_bytes(b"" + text)
    _, error = out.says("import", str(file), code=2)
    assert words in error
    assert not (data / "claims.json").exists()


def test_a_file_that_is_not_there_is_said(out: Terminal, data: Path) -> None:
    assert "cannot be read" in out.says("import", str(data / "none.csv"), code=2)[1]


def test_the_list_says_what_became_of_codes(out: Terminal, data: Path) -> None:
    assert out.says("list")[0] == "no codes; `gateway claims add` makes one\n"
    used = out.tells("add")["name"]
    burn(data / "claims.json", used, Use(device="node-7", nonce="0" * 32, at=time.time()))
    out.says("add", "--expires", "1s")
    (row,) = [row for row in out.says("list")[0].splitlines() if row.startswith(used)]
    assert "used" in row
    assert row.endswith("came by it: node-7")
    told = {code["name"]: code for code in out.tells("list")["codes"]}
    assert told[used]["status"] == "used"
    assert [use["id"] for use in told[used]["uses"]] == ["node-7"]


def test_an_expired_code_is_called_so(out: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    out.says("add", "--expires", "1h")
    later = time.time() + 3_700
    monkeypatch.setattr("gateway.cli.claims.time.time", lambda: later)
    assert "  expired  " in out.says("list")[0]


def test_a_code_is_revoked_by_its_name(out: Terminal, data: Path) -> None:
    name = out.tells("add")["name"]
    assert "did you mean" in out.says("revoke", f"{name[:-1]}x", code=1)[1]
    assert "not the code" in out.says("revoke", "ABCD-EFGH-JKLM", code=2)[1]
    assert out.says("revoke", name)[0] == f"code '{name}' revoked\n"
    assert kept(data) == []


def test_a_folder_that_is_none_is_said(out: Terminal, data: Path) -> None:
    assert "there is no directory" in out.says("list", "--data", str(data / "none"), code=2)[1]


def test_a_broken_file_is_said(out: Terminal, data: Path) -> None:
    (data / "claims.json").write_text("{")
    assert "holds no codes" in out.says("list", code=2)[1]
