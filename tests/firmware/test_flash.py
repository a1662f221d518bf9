"""`make flash` calls esptool and the set-up in order, and writes no image that is not the one that was meant."""

import hashlib
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest

from project_sources import ROOT

FLASH: Final = SimpleNamespace(**runpy.run_path(str(ROOT / "tools/flash.py")))
NEEDED: Final = ("--port", "PORT", "--key", "key.pem", "--bundle", "one.fw")


def called(*more: str) -> list[list[str]]:
    found = FLASH.commands(FLASH.arguments([*NEEDED, *more]))
    return [[Path(word).name for word in command] for command in found]


def test_an_image_is_written_before_the_set_up(tmp_path: Path) -> None:
    image = tmp_path / "micropython.bin"
    image.write_bytes(b"image")
    digest = hashlib.sha256(b"image").hexdigest()
    erase, write, set_up = called("--image", str(image), "--sha256", digest.upper(), "--config", "c.json")
    assert erase == ["esptool", "--chip", "esp8266", "--port", "PORT", "erase-flash"]
    assert write[-5:] == ["write-flash", "--flash-size", "detect", "0x0", "micropython.bin"]
    assert set_up[1:] == [
        *("provision.py", "--board", "nodemcu", "--port", "PORT"),
        *("--key", "key.pem", "--bundle", "one.fw", "--config", "c.json"),
    ]


def test_another_image_is_not_written(tmp_path: Path) -> None:
    image = tmp_path / "micropython.bin"
    image.write_bytes(b"imagE")
    with pytest.raises(FLASH.FlashError, match="do not flash it"):
        called("--image", str(image), "--sha256", hashlib.sha256(b"image").hexdigest())
    with pytest.raises(FLASH.FlashError, match="needs its --sha256"):
        called("--image", str(image))
    with pytest.raises(FLASH.FlashError, match="No such file"):
        called("--image", str(tmp_path / "none"), "--sha256", "00")


def test_a_board_that_has_micropython_is_only_set_up() -> None:
    [set_up] = called("--board", "esp32")
    assert set_up[1:4] == ["provision.py", "--board", "esp32"]
