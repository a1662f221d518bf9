import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.app.control import QuestionError
from gateway.app.firmware_questions import answer
from gateway.dispatch.methods import Methods
from gateway.firmware.director import Director
from gateway.firmware.store import FirmwareStore, ignore
from support.bundles import make_bundle


@pytest.fixture
async def director(tmp_path: Path) -> Director:
    store = FirmwareStore(tmp_path)
    store.add(make_bundle("1.1.0", 2))
    clock = asyncio.get_running_loop().time
    return Director(store, Methods(ignore), emit=ignore, clock=clock, release_key=lambda: None)


async def ask(director: Director, do: str, **more: Any) -> Mapping[str, Any]:
    return await answer(director, {"ask": "firmware", "do": do, **more})


async def test_a_rollout_is_begun_told_of_and_ended(director: Director) -> None:
    assert await ask(director, "status") == {"rollouts": [], "boards": {}, "pins": {}, "released": {}}
    begun = await ask(director, "rollout", version="1.1.0", canary="3", maxFailures="5%", atOnce=7, silentSecs=60)
    assert (begun["canary"], begun["maxFailures"], begun["atOnce"], begun["stage"]) == ("3", "5%", 7, "canary")
    assert (await ask(director, "status"))["rollouts"] == [begun]
    for do, stage in (("pause", "paused"), ("resume", "canary"), ("abort", "aborted")):
        assert (await ask(director, do, model="nodemcu"))["stage"] == stage


async def test_pins_come_and_go(director: Director) -> None:
    assert await ask(director, "pin", device="nodemcu-1", version="1.1.0") == {
        "device": "nodemcu-1",
        "pinned": "1.1.0",
    }
    assert await ask(director, "unpin", device="nodemcu-1") == {"device": "nodemcu-1", "pinned": None}


@pytest.mark.parametrize(
    ("question", "status"),
    [
        ({"do": "fly"}, 400),
        ({}, 400),
        ({"do": []}, 400),
        ({"do": "rollout"}, 400),
        ({"do": "rollout", "version": "../x"}, 400),
        ({"do": "rollout", "version": "1.1.0", "model": 1}, 400),
        ({"do": "rollout", "version": "1.1.0", "canary": "all"}, 400),
        ({"do": "rollout", "version": "1.1.0", "maxFailures": []}, 400),
        ({"do": "rollout", "version": "1.1.0", "atOnce": 0}, 400),
        ({"do": "rollout", "version": "1.1.0", "atOnce": True}, 400),
        ({"do": "rollout", "version": "1.1.0", "silentSecs": 1}, 400),
        ({"do": "rollout", "version": "1.1.0", "silentSecs": "60"}, 400),
        ({"do": "rollout", "version": "9.9"}, 404),
        ({"do": "pause"}, 404),
        ({"do": "pin", "device": "a b", "version": "1.1.0"}, 400),
        ({"do": "pin", "device": "stranger", "version": "1.1.0"}, 404),
        ({"do": "unpin", "device": "nodemcu-1"}, 404),
    ],
)
async def test_what_makes_no_sense_is_refused(director: Director, question: Mapping[str, Any], status: int) -> None:
    with pytest.raises(QuestionError) as refused:
        await answer(director, question)
    assert refused.value.status == status
