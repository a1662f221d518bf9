"""The power fails at every operation of a board's flash: a whole program starts, and the update is still taken."""

import random
from pathlib import Path
from typing import Final

import pytest
import release
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.firmware.bundle import Format, read_bundle
from support.micropython import run_json

SCENARIOS: Final = ("update", "activation", "rollback", "settings")
PATIENCE_S: Final = 240.0
"""Thousands of starts take half a minute on a machine that has more to do."""

pytestmark = pytest.mark.timeout(PATIENCE_S + 30)


def image(kind: Format, seed: int) -> bytes:
    """Something like a program that fills more than one block of the flash."""
    noise = random.Random(seed)
    if kind is Format.ROMFS:
        return b"\xd2\xcd\x31" + noise.randbytes(5_000 + 37 * seed)
    files = {name: noise.randbytes(2_500 + 31 * seed) for name in ("app.mpy", "board.mpy")}
    parts = [bytes([len(name)]) + name.encode() + len(body).to_bytes(4, "big") + body for name, body in files.items()]
    return release.FILES_MAGIC + b"".join(parts)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions in each format, signed, and the key."""
    folder = tmp_path_factory.mktemp("programs")
    key = rsa.generate_private_key(65537, release.KEY_BITS)
    (folder / "key").write_bytes(release.modulus(key.public_key()))
    for kind in Format:
        for number in (1, 2):
            body = image(kind, number)
            signed = release.signed(key, model="m", version=str(number), serial=number, image=body, kind=kind)
            (folder / f"{kind.value}{number}.json").write_bytes(read_bundle(signed).manifest.text)
            (folder / f"{kind.value}{number}.img").write_bytes(body)
    return folder


def cut_everywhere(programs: Path, kind: str, scenario: str, mistake: str = "-") -> tuple[int, int]:
    files = [programs / f"{kind}{number}.{suffix}" for number in (1, 2) for suffix in ("json", "img")]
    counted = run_json("flash.py", kind, scenario, mistake, programs / "key", *files, heap="16m", timeout_s=PATIENCE_S)
    return counted["cuts"], counted["bricks"]


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("kind", ["romfs", "files"])
def test_a_board_has_a_whole_program_after_a_cut_at_any_operation(programs: Path, kind: str, scenario: str) -> None:
    cuts, bricks = cut_everywhere(programs, kind, scenario)
    assert cuts >= {"update": 400, "activation": 100, "rollback": 30, "settings": 12}[scenario]
    assert bricks == 0


def test_a_board_recovers_when_the_power_fails_again_while_it_does(programs: Path) -> None:
    cuts, bricks = cut_everywhere(programs, "romfs", "twice")
    assert (cuts > 1_000, bricks) == (True, 0)


@pytest.mark.parametrize(
    ("scenario", "mistake"),
    [
        ("activation", "believe"),  # that a copy was made is written down before it is made
        ("rollback", "believe"),
        ("update", "one-slot"),  # an update overwrites the image of the program that runs
    ],
)
@pytest.mark.parametrize("kind", ["romfs", "files"])
def test_a_mistake_in_the_order_of_things_is_found(programs: Path, kind: str, scenario: str, mistake: str) -> None:
    _, bricks = cut_everywhere(programs, kind, scenario, mistake)
    assert bricks > 0
