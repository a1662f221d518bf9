from typing import Any

import orjson
import pytest

from gateway.firmware.boards import (
    MAX_PATCH_BYTES,
    NOBODY,
    Board,
    BoardState,
    model_by_id,
    read_board,
    read_patch,
    read_report,
    write_board,
)

SEEN = Board(model="nodemcu", version="1.0.0", serial=1, state=BoardState.RUNNING)


@pytest.mark.parametrize(
    ("said", "board"),
    [
        (
            {"version": "1.1.0", "serial": 2},
            Board(model="nodemcu", version="1.1.0", serial=2, state=BoardState.RUNNING),
        ),
        ({"state": "trial"}, Board(model="nodemcu", version="1.0.0", serial=1, state=BoardState.TRIAL)),
        (
            {"state": "failed", "failed": "1.1.0", "reason": "hash"},
            Board(model="nodemcu", version="1.0.0", serial=1, state=BoardState.FAILED, failed="1.1.0", reason="hash"),
        ),
        ({"failed": None}, SEEN),
        ({"model": "esp32"}, Board(model="esp32", version="1.0.0", serial=1, state=BoardState.RUNNING)),
        ({"model": None}, SEEN),
        ({}, SEEN),
    ],
)
def test_a_patch_changes_what_it_says(said: dict[str, Any], board: Board) -> None:
    assert read_report({"firmware": said, "other": 1}, SEEN) == board


@pytest.mark.parametrize(
    "said",
    [
        {"version": "../../x", "serial": -1, "state": "on fire", "failed": "a/b"},
        {"version": 1, "serial": "1", "state": 5, "failed": {}},
        {"version": None, "serial": True, "state": None, "failed": []},
        {"version": "x" * 41, "serial": 2**53, "state": ["running"], "failed": "\n"},
    ],
)
def test_what_has_no_sense_is_not_known(said: dict[str, Any]) -> None:
    assert read_board(said, SEEN) == Board(model="nodemcu")


@pytest.mark.parametrize("patch", [{}, {"firmware": None}, {"firmware": "1.0"}, {"firmware": [1]}])
def test_a_patch_without_firmware_says_nothing(patch: dict[str, Any]) -> None:
    assert read_report(patch, SEEN) is None


@pytest.mark.parametrize(
    ("patch", "read"),
    [
        (b'{"firmware":{}}', {"firmware": {}}),
        (b'{"temperature":1}', None),
        (b'{"firmware":', None),
        (b'["firmware"]', None),
        (b'{"firmware":"' + b"x" * MAX_PATCH_BYTES + b'"}', None),
    ],
)
def test_only_patches_with_the_word_are_parsed(patch: bytes, read: dict[str, Any] | None) -> None:
    assert read_patch(patch) == read


def test_a_board_is_read_as_it_was_written() -> None:
    for board in (NOBODY, SEEN, Board(model="m", version="v", serial=7, state=BoardState.FAILED, failed="w")):
        assert read_board(orjson.loads(orjson.dumps(write_board(board)))) == board


@pytest.mark.parametrize(
    ("device", "model"),
    [("nodemcu-a1", "nodemcu"), ("nodemcu-v2-a1", "nodemcu-v2"), ("nodemcu", ""), ("nodemcux-1", ""), ("d1", "")],
)
def test_an_id_may_begin_with_its_model(device: str, model: str) -> None:
    assert model_by_id(device, ["nodemcu", "nodemcu-v2", "esp32"]) == model
