import argparse
import io
from pathlib import Path

import pytest

from gateway.cli.inputs import (
    InputError,
    add_data_option,
    data_directory,
    did_you_mean,
    key_text,
    open_registry,
    read_key,
)

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_data_option(parser)
    return parser.parse_args(arguments)


def test_the_data_directory_comes_from_the_option_then_the_environment_then_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GATEWAY_DATA_DIR", raising=False)
    assert data_directory(parsed()) == Path("/data")
    monkeypatch.setenv("GATEWAY_DATA_DIR", "/srv/gateway")
    assert data_directory(parsed()) == Path("/srv/gateway")
    assert data_directory(parsed("--data", "here")) == Path("here")


def test_the_registry_is_in_the_data_directory_which_must_be_there(tmp_path: Path) -> None:
    assert open_registry(parsed("--data", str(tmp_path))).roster.registrations == {}
    with pytest.raises(InputError, match="there is no directory"):
        open_registry(parsed("--data", str(tmp_path / "no")))


def test_a_key_comes_from_the_argument_the_environment_or_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOARD_KEY", f"{KEY}\n")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{KEY}\nmore\n"))
    assert key_text(KEY) == key_text("env:BOARD_KEY") == key_text("-") == KEY
    assert read_key(KEY) == b"0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("env:NO_SUCH", "no NO_SUCH"),
        ("secret!", "not base64"),
        ("c2VjcmV0", "6 bytes"),
        (f"HostName=h;DeviceId=d;SharedAccessKey={KEY}", "whole connection string"),
    ],
)
def test_what_is_no_key_is_refused_and_not_shown(given: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as refusal:
        read_key(given)
    assert "secret" not in str(refusal.value)
    assert KEY not in str(refusal.value)


def test_near_matches() -> None:
    assert did_you_mean("leaf-1", ["leaf-01", "pump"]) == "; did you mean 'leaf-01'?"
    assert did_you_mean("x", ["leaf-01"]) == ""
