import json
from pathlib import Path

import pytest

from standin.app import StandIn
from standin.locked import Settlement
from support.standin_commands import run


@pytest.fixture(autouse=True)
def leaf(standin: StandIn) -> None:
    standin.add_device("leaf")


async def test_a_message_waits_for_its_device_as_it_was_given(
    standin: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    said = await run(
        *(standin, capsys, "send-c2d", "leaf", "on", "--property", "colour=red", "--property", "speed=a=b"),
        *("--message-id", "m1", "--correlation-id", "c1", "--content-type", "text/plain", "--expiry", "60"),
    )
    assert said.out == "message #1 waits for leaf\n"
    locked = standin.hub.lock_c2d(standin.hub.resolve("leaf"))
    assert locked is not None
    assert locked.body == b"on"
    assert locked.properties == {"colour": "red", "speed": "a=b"}
    assert {locked.system[name] for name in ("messageId", "cid", "contentType")} == {"m1", "c1", "text/plain"}
    assert 50 < locked.expires_at - locked.enqueued_at <= 60


async def test_the_body_may_be_a_file(standin: StandIn, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "body").write_text('{"led":"on"}')
    await run(standin, capsys, "send-c2d", "leaf", f"@{tmp_path / 'body'}")
    locked = standin.hub.lock_c2d(standin.hub.resolve("leaf"))
    assert locked is not None
    assert locked.body == b'{"led":"on"}'


async def test_who_asked_for_feedback_sees_what_became_of_a_message(
    standin: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    who = standin.hub.resolve("leaf")
    await run(standin, capsys, "send-c2d", "leaf", "on", "--ack", "full", "--message-id", "m1")
    locked = standin.hub.lock_c2d(who)
    assert locked is not None
    standin.hub.settle_c2d(who, locked.lock_token, Settlement.COMPLETED)
    standin.hub.feedback.flush()
    said = await run(standin, capsys, "monitor-feedback", "--count", "1")
    record = json.loads(said.out)
    assert (record["originalMessageId"], record["statusCode"], record["deviceId"]) == ("m1", "Success", "leaf")


async def test_what_waits_is_forgotten_if_asked_for(standin: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    for body in ("on", "off"):
        await run(standin, capsys, "send-c2d", "leaf", body)
    assert (await run(standin, capsys, "purge-c2d", "leaf")).out == "2 messages for leaf are forgotten\n"
    assert standin.hub.lock_c2d(standin.hub.resolve("leaf")) is None


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nobody", "on"), 1, "devices list"),
        (("leaf", "on", "--property", "colour"), 2, "NAME=VALUE"),
        (("leaf", "on", "--expiry", "1e9"), 1, "lifeSecs"),
        (("leaf", "x" * 70_000), 1, "the limit is 65536"),
        (("leaf", "@/no/such/file"), 2, "/no/such/file"),
    ],
)
async def test_what_cannot_be_sent_is_said(
    standin: StandIn, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, words: str
) -> None:
    said = await run(standin, capsys, "send-c2d", *arguments)
    assert (said.code, said.out) == (code, "")
    assert words in said.err


async def test_a_full_queue_is_said(standin: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(50):
        assert (await run(standin, capsys, "send-c2d", "leaf", "on")).code == 0
    said = await run(standin, capsys, "send-c2d", "leaf", "on")
    assert said.code == 1
    assert "50" in said.err
