import io
from pathlib import Path

import pytest

from standin.commands.terminal import InputError, json_argument, json_line, json_page, pair, text_argument


def test_json_comes_from_the_command_line_a_file_or_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.json"
    file.write_text("[1]")
    monkeypatch.setattr("sys.stdin", io.StringIO("[2]"))
    assert [json_argument(text) for text in ("[0]", f"@{file}", "-")] == [[0], [1], [2]]


@pytest.mark.parametrize("text", ["{", "on", "", "@/no/such/file"])
def test_what_is_no_json_is_said(text: str) -> None:
    with pytest.raises(InputError):
        json_argument(text)


def test_a_file_that_is_no_text_is_said(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"\xff")
    with pytest.raises(InputError, match="cannot be read"):
        text_argument(f"@{file}")


def test_a_pair_is_cut_at_its_first_equals_sign() -> None:
    assert pair("a=b=c") == ("a", "b=c")
    assert pair("a=") == ("a", "")
    for text in ("a", "=b", ""):
        with pytest.raises(InputError, match="NAME=VALUE"):
            pair(text)


def test_people_get_a_page_and_programs_a_line() -> None:
    assert json_line({"a": [1]}) == '{"a":[1]}'
    assert json_page({"a": 1}) == '{\n  "a": 1\n}'
