import argparse
import io
import json
from pathlib import Path

import pytest

from gateway.cli import users
from gateway.identity.user_book import USERS_FILE, UserBook
from gateway.identity.users import User


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    return tmp_path


class Terminal:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def says(self, *arguments: str, code: int = 0) -> str:
        top = argparse.ArgumentParser()
        users.add_parser(top.add_subparsers(dest="command"))
        assert users.run(top.parse_args(["users", *arguments])) == code
        captured = self._capsys.readouterr()
        return captured.out + captured.err


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


def found(data: Path, name: str) -> User:
    user = UserBook(data / USERS_FILE, lambda _: None).find(name)
    assert user is not None
    return user


def fits(user: User, password: str) -> bool:
    return user.password is not None and user.password.fits(password.encode())


def test_a_user_gets_a_password_that_is_shown_once(out: Terminal, data: Path) -> None:
    said = json.loads(out.says("add", "ann", "--publish", "a/#", "--json"))
    assert fits(found(data, "ann"), said["password"])
    assert said["publish"] == ["a/#"]
    assert said["password"] not in out.says("list")
    assert "shown this once" in out.says("add", "bob")


@pytest.mark.parametrize("how", ["-", "env:PASSWORD", "plain:tiger"])
def test_a_password_may_be_given_and_is_not_shown(
    out: Terminal, data: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setenv("PASSWORD", "tiger")
    monkeypatch.setattr("sys.stdin", io.StringIO("tiger\n"))
    assert "tiger" not in out.says("add", "ann", "--password", how)
    assert fits(found(data, "ann"), "tiger")
    out.says("set-password", "ann", "--password", "plain:lion")
    assert fits(found(data, "ann"), "lion")


def test_a_password_that_all_could_see_is_not_taken_by_mistake(out: Terminal, data: Path) -> None:
    said = out.says("add", "ann", "--password", "tiger", code=2)
    assert "write plain: before it" in said
    assert "tiger" not in said
    assert not (data / USERS_FILE).exists()
    assert "has no NOWHERE" in out.says("add", "ann", "--password", "env:NOWHERE", code=2)
    assert "is empty" in out.says("add", "ann", "--password", "plain:", code=2)


def test_an_address_may_stand_for_a_user(out: Terminal, data: Path) -> None:
    out.says("add", "meters", "--from", "10.0.0.0/24", "--publish", "m/#")
    assert found(data, "meters").password is None
    out.says("add", "both", "--from", "10.0.0.0/24", "--password", "plain:x")
    assert found(data, "both").password is not None
    assert "no password, from 10.0.0.0/24. It may publish m/#, subscribe nothing" in out.says("list")
    assert "no network" in out.says("add", "x", "--from", "here", code=2)


def test_a_new_user_may_nothing_and_is_told_how_to(out: Terminal) -> None:
    assert "It may publish and subscribe nothing yet: gateway users allow ann" in out.says("add", "ann")


def test_more_is_allowed_or_only_this(out: Terminal, data: Path) -> None:
    out.says("add", "ann", "--publish", "a", "--subscribe", "b")
    out.says("allow", "ann", "--publish", "c", "--publish", "a")
    assert found(data, "ann").publish == ("a", "c")
    out.says("allow", "ann", "--only", "--publish", "d")
    assert (found(data, "ann").publish, found(data, "ann").subscribe) == (("d",), ("b",))
    assert "name topics" in out.says("allow", "ann", code=2)
    assert "# stands alone" in out.says("allow", "ann", "--publish", "a#", code=2)
    many = [word for number in range(101) for word in ("--publish", f"t/{number}")]
    assert "at most 100" in out.says("allow", "ann", *many, code=2)


def test_who_is_not_there_is_said_with_who_is_near(out: Terminal, data: Path) -> None:
    assert "nobody can log in" in out.says("list")
    out.says("add", "sensor")
    assert "did you mean 'sensor'" in out.says("remove", "sensr", code=1)
    assert "there already" in out.says("add", "sensor", code=1)
    assert out.says("remove", "sensor") == "user 'sensor' removed\n"
    assert "there is no user" in out.says("set-password", "sensor", code=1)
    assert json.loads(out.says("list", "--json")) == []
    assert UserBook(data / USERS_FILE, lambda _: None).users.by_name == {}


def test_a_folder_that_is_not_there_is_said(out: Terminal, data: Path) -> None:
    assert "there is no directory" in out.says("list", "--data", str(data / "no"), code=2)
