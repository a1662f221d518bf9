from pathlib import Path

import pytest

from gateway.cli import page
from gateway.identity.page_token import page_token
from support.command_terminal import Terminal


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    for name in ("GATEWAY_METRICS_ADDRESS", "GATEWAY_METRICS_PORT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(page, capsys)


def test_the_address_has_the_token_and_is_the_same_each_time(out: Terminal, data: Path) -> None:
    said, aside = out.says()
    token = page_token(data / "page-token")
    assert said == f"http://127.0.0.1:9600/login?token={token}\n"
    assert "whoever has the address" in aside
    assert token not in aside
    assert out.tells() == {"url": said.strip()}


def test_another_token_takes_the_place_of_the_last(out: Terminal, data: Path) -> None:
    before = out.says()[0]
    after = out.says("--new")[0]
    assert before != after == out.says()[0]
    (data / "page-token").write_text("spoilt")
    assert "holds no token" in out.says(code=2)[1]
    assert out.says("--new")[0] == out.says()[0]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("0.0.0.0", "127.0.0.1:9601"),
        ("::", "[::1]:9601"),
        ("::1", "[::1]:9601"),
        ("192.168.1.7", "192.168.1.7:9601"),
        ("", "127.0.0.1:9601"),
    ],
)
def test_the_address_is_where_the_gateway_listens(
    out: Terminal, monkeypatch: pytest.MonkeyPatch, address: str, shown: str
) -> None:
    monkeypatch.setenv("GATEWAY_METRICS_ADDRESS", address)
    monkeypatch.setenv("GATEWAY_METRICS_PORT", "9601")
    assert out.says()[0].startswith(f"http://{shown}/login?token=")


@pytest.mark.parametrize(
    ("address", "module", "first", "shut"),
    [
        ("", "gateway", b"/opt/gateway/bin/python\0/opt/gateway/bin/gateway\0run\0", True),
        ("", "gateway", b"/sbin/docker-init\0--\0gateway\0run\0", True),
        ("0.0.0.0", "gateway", b"gateway\0run\0", False),
        ("127.0.0.8", "gateway", b"gateway\0run\0", False),
        ("", "gateway", b"/sbin/init\0", False),
        ("", "gateway", None, False),
        ("", None, b"gateway\0run\0", False),
    ],
)
def test_an_address_that_is_inside_a_container_is_said_with_what_to_do(
    out: Terminal,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    address: str,
    module: str | None,
    first: bytes | None,
    shut: bool,
) -> None:
    monkeypatch.setattr(page, "_FIRST", data / "cmdline")
    if first is not None:
        (data / "cmdline").write_bytes(first)
    monkeypatch.setenv("GATEWAY_METRICS_ADDRESS", address)
    if module is not None:
        monkeypatch.setenv("IOTEDGE_MODULEID", module)
    aside = out.says()[1]
    assert ("set GATEWAY_METRICS_ADDRESS to 0.0.0.0 and publish the port" in aside) is shut
    assert ("open it in a browser on this machine" in aside) is not shut


def test_a_page_that_is_switched_off_is_said_with_what_to_do(
    out: Terminal, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_METRICS_PORT", "0")
    assert "Set it to a free port" in out.says(code=1)[1]
    assert not (data / "page-token").exists()
    monkeypatch.setenv("GATEWAY_METRICS_PORT", "many")
    assert "GATEWAY_METRICS_PORT" in out.says(code=2)[1]


def test_a_folder_that_is_none_is_said(out: Terminal, data: Path) -> None:
    assert "there is no directory" in out.says("--data", str(data / "none"), code=2)[1]
