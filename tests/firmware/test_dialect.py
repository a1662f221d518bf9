"""What a board's build lacks is found before a board does."""

from pathlib import Path

import dialect
import pytest

WRONG = [
    ("x = pow(2, 3, 5)", "pow() takes two arguments"),
    ("a, _, b = text.partition(':')", "str has no 'partition' in the build"),
    ("lines = text.splitlines()", "str has no 'splitlines' in the build"),
    ("text = text.center(9)", "str has no 'center' in the build"),
    ("text = text.removeprefix('a')", "str has no 'removeprefix' in the build"),
    ("x = 1j", "there are no complex numbers"),
    ("x = complex(1)", "complex is not in the build"),
    ("execfile('a.py')", "execfile is not in the build"),
    ("code = compile('1', 'a', 'eval')", "compile is not in the build"),
    ("import hashlib\nhashlib.md5(b'')", "hashlib has no 'md5' in the build"),
    ("import binascii\nbinascii.crc32(b'')", "binascii has no 'crc32' in the build"),
    ("import random\nrandom.randint(1, 2)", "random.randint is not in the build"),
    ("from random import choice", "random.choice is not in the build"),
    ("import hmac", "there is no module 'hmac'"),
    ("import ssl", "there is no module 'ssl'"),
    ("from typing import Any", "there is no module 'typing'"),
    ("import umqtt.simple", "there is no module 'umqtt.simple'"),
    ("import machine", "'machine' is for board files: the rest runs on a PC, too"),
    ("from .store import load", "relative imports: programs are flat"),
    ("match x:\n    case 1:\n        pass", "match is not in the language of the board"),
    ("try:\n    pass\nexcept* OSError:\n    pass", "except* is not in the language of the board"),
    ("def f(a, /):\n    pass", "there are no positional-only parameters"),
    ("def f(a: int):\n    pass", "annotations take flash and say nothing to the board"),
    ("x: int = 1", "annotations take flash and say nothing to the board"),
    ("open('a', encoding='utf-8')", "open() has no 'encoding'"),
    ("text = f'{a:{width}}'", "a format in a format"),
]
RIGHT = """
import asyncio
import json
import store
from hashlib import sha256
from micropython import const

_SIZE = const(4)

class Thing:
    @property
    def size(self):
        return pow(2, 3) + _SIZE

async def run(*things, more=None, **rest):
    async with lock:
        await asyncio.sleep_ms(5)
    return {name: f"{value:02x}" for name, value in rest.items() if (n := len(name)) > 1}
"""


def finds(folder: Path, text: str) -> list[str]:
    path = folder / "one.py"
    path.write_text(text, encoding="utf-8")
    return [find.what for find in dialect.check(path)]


@pytest.mark.parametrize(("text", "what"), WRONG, ids=[text for text, _ in WRONG])
def test_what_the_build_lacks_is_found(tmp_path: Path, text: str, what: str) -> None:
    assert finds(tmp_path, text) == [what]


def test_what_it_has_is_not_complained_of(tmp_path: Path) -> None:
    assert finds(tmp_path, RIGHT) == []


def test_board_files_may_use_the_hardware(tmp_path: Path) -> None:
    (tmp_path / "boards").mkdir()
    assert finds(tmp_path / "boards", "import machine\nimport network") == []


def test_a_find_names_its_place(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text("a = 1\nb = 2j\n", encoding="utf-8")
    assert [str(find) for find in dialect.check(path)] == [f"{path}:2: there are no complex numbers"]


def test_the_code_of_the_boards_is_in_the_boards_dialect() -> None:
    paths = dialect.sources()
    assert {path.parent.name for path in paths} == {"boot", "leaf", "boards"}
    assert [str(find) for path in paths for find in dialect.check(path)] == []
