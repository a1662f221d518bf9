"""What a board's program costs: bytes of each module, of the image, and of the heap before there is a gateway."""

import sys
from pathlib import Path

import build
import pytest

from support.leaf_board import NETWORKS, PASSWORD, LeafBoard

BUDGET = {  # bytes of .mpy: raise one with a reason in the change that does it; build.MAX_MODULE is the end
    "app": 3072,
    "board": 2048,
    "certcheck": 3072,
    "clock": 1024,
    "cloud": 2560,
    "contact": 1792,
    "duty": 1280,
    "eye": 1280,
    "gatetime": 768,
    "hub": 1792,
    "join": 1024,
    "led": 768,
    "link": 2304,
    "mqttc": 2560,
    "queue": 768,
    "rsa": 1024,
    "sas": 1024,
    "setup": 1536,
    "slots": 1536,
    "store": 512,
    "update": 3072,
    "web": 1536,
    "wifi": 512,
}
LEAST_FREE = {"started": 24_000, "wifi": 10_500, "time": 10_400}


@pytest.mark.parametrize("board", build.BOARDS)
def test_modules_and_image_stay_within_their_budget(board: str, tmp_path: Path) -> None:
    path, sizes = build.build(board, tmp_path)
    sys.stdout.write(f"\n{board}: {sum(sizes.values())} bytes of .mpy, image {path.stat().st_size}\n")
    over = {name: size for name, size in sizes.items() if size > min(BUDGET.get(name, 2048), build.MAX_MODULE)}
    assert not over, f"larger than planned: {over}"
    assert path.stat().st_size <= build.MAX_IMAGE


def test_the_same_sources_give_the_same_image(tmp_path: Path) -> None:
    first, _ = build.build("nodemcu", tmp_path / "one")
    second, _ = build.build("nodemcu", tmp_path / "two")
    assert first.read_bytes() == second.read_bytes()


async def test_the_heap_before_there_is_a_gateway(board: LeafBoard) -> None:
    board.start()
    await board.said("SETUP?")
    await board.say(
        {
            "wifi": [{"ssid": NETWORKS[0], "password": PASSWORD}],
            "gateway": "127.0.0.1",
            "httpsPort": 9,
            "credential": {"kind": "claim", "code": "ABCD-EFGH-JKLM"},
            "ntp": ["time.one", "time.two"],
        }
    )
    await board.said("LEAF lost")
    heap = board.heap()
    sys.stdout.write(f"\nfree heap of 32,000: {heap}\n")
    assert all(heap[phase] >= least for phase, least in LEAST_FREE.items()), heap
