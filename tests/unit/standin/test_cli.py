import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewire.message import Envelope, Message, identity
from standin import cli
from standin.app import Ports, StandIn


@pytest.fixture
async def standin(tmp_path: Path) -> AsyncIterator[StandIn]:
    ports = Ports(mqtt=0, websocket=None, amqp=0)
    async with StandIn(tmp_path / "run", address="127.0.70.20", modules=("m1",), ports=ports) as standin:
        yield standin


class Said:
    """What a command printed, and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err


async def run(standin: StandIn, capsys: pytest.CaptureFixture[str], *arguments: str) -> Said:
    """Run a command against the stand-in; `--dir` goes where the command takes it, behind its last word."""
    code = await asyncio.to_thread(cli.main, [*arguments, "--dir", str(standin.directory)])
    captured = capsys.readouterr()
    return Said(code, captured.out, captured.err)


async def event(standin: StandIn, body: bytes) -> None:
    system = {"connectionDeviceId": "edge-1", "connectionModuleId": "m1", "outputName": "o1"}
    message = Message(Envelope(sender=identity("edge-1", "m1"), properties={"p": "v"}, system=system), body)
    last = standin.events.last_sequence
    standin.hub.receive(message, lambda _: None)
    assert await standin.events.wait(last, timeout_s=5)


async def test_events_are_listed_for_people_and_for_programs(
    standin: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    await event(standin, b"one")
    await event(standin, b"\xff")
    said = await run(standin, capsys, "events")
    assert [line.split(" ", 1)[1] for line in said.out.splitlines()] == [
        "#1 edge-1/m1 output=o1 [p=v] one",
        "#2 edge-1/m1 output=o1 [p=v] (1 bytes, no text)",
    ]
    said = await run(standin, capsys, "events", "--json", "--after", "1")
    (line,) = said.out.splitlines()
    assert json.loads(line)["bodyBase64"] == "/w=="
    assert said.code == 0


async def test_devices_are_added_listed_disabled_enabled_and_removed(
    standin: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    said = await run(standin, capsys, "devices", "add", "leaf")
    assert said.out.startswith("HostName=standin-hub.test;DeviceId=leaf;SharedAccessKey=")
    assert "x509=true" in (await run(standin, capsys, "devices", "add", "x", "--thumbprint", "A" * 40)).out
    added = json.loads((await run(standin, capsys, "devices", "add", "leaf/m", "--json")).out)
    assert added["moduleId"] == "m"
    assert (await run(standin, capsys, "devices", "disable", "leaf")).out == "leaf is disabled\n"
    said = await run(standin, capsys, "devices", "list")
    assert said.out.splitlines() == [
        "edge-1  sas, enabled",
        "edge-1/m1  sas, enabled",
        "leaf  sas, disabled",
        "leaf/m  sas, enabled",
        "x  selfSigned, enabled",
    ]
    assert (await run(standin, capsys, "devices", "enable", "leaf")).out == "leaf is enabled\n"
    assert (await run(standin, capsys, "devices", "remove", "leaf")).out == "leaf is removed\n"
    assert len(json.loads((await run(standin, capsys, "devices", "list", "--json")).out)["devices"]) == 3


async def test_a_twin_is_set_from_the_command_line_or_a_file(
    standin: StandIn, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert (await run(standin, capsys, "twin", "set", "m1", '{"a":1}')).out == "edge-1/m1 has desired version 2\n"
    patch = tmp_path / "patch.json"
    patch.write_text('{"b":2}')
    await run(standin, capsys, "twin", "set", "m1", f"@{patch}")
    assert json.loads((await run(standin, capsys, "twin", "get", "m1")).out)["desired"] == {
        "a": 1,
        "b": 2,
        "$version": 3,
    }


async def test_the_environment_can_be_read_by_a_shell(standin: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    said = await run(standin, capsys, "environment", "m1")
    assert "export IOTEDGE_MODULEID=m1\n" in said.out


async def test_the_status_is_told(standin: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    await event(standin, b"one")
    assert (await run(standin, capsys, "status")).out.splitlines() == [
        "standin-hub.test at 127.0.70.20, 1 events",
        "connected: nobody",
        "events: 1",
    ]
    assert json.loads((await run(standin, capsys, "status", "--json")).out)["events"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("method", "m1", "ping"), cli.NO, "404103"),
        (("twin", "get", "nobody"), cli.NO, "devices list"),
        (("devices", "add", "edge-1"), cli.NO, "already"),
        (("twin", "set", "m1", "{"), cli.UNUSABLE, "not JSON"),
        (("twin", "set", "m1", "@/no/such/file"), cli.UNUSABLE, "/no/such/file"),
    ],
)
async def test_what_cannot_be_done_ends_with_a_sentence_and_a_code(
    standin: StandIn, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, said: str
) -> None:
    answer = await run(standin, capsys, *arguments)
    assert answer.code == code
    assert said in answer.err
    assert answer.out == ""


def test_without_a_running_stand_in_the_code_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--dir", str(tmp_path)]) == cli.UNUSABLE
    assert "standin run" in capsys.readouterr().err


def test_a_manifest_that_cannot_be_read_stops_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--dir", str(tmp_path), "--manifest", str(tmp_path / "m.json")]) == cli.UNUSABLE
    assert "m.json" in capsys.readouterr().err


def test_a_stand_in_of_its_own_process_says_ready_and_ends_with_0_on_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "standin", "run", "--dir", str(tmp_path / "run"), "--address", "127.0.70.21"]
    command += [
        "--mqtt-port",
        "0",
        "--amqp-port",
        "0",
        "--websocket-port",
        "-1",
        "--module",
        "m1",
        "--device",
        "leaf",
        "--show",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            listed = subprocess.run(
                [sys.executable, "-m", "standin", "devices", "list", "--dir", str(tmp_path / "run")],
                capture_output=True,
                text=True,
                timeout=20,
                check=True,
            ).stdout
            os.kill(process.pid, signal.SIGTERM)
            _, errors = process.communicate(timeout=10)
        finally:
            process.kill()  # does nothing to one that has ended
    assert ready.startswith("READY hub=standin-hub.test address=127.0.70.21 mqtt=")
    assert re.search(r" amqp=[1-9]\d* websocket=off ", ready)
    assert listed.splitlines() == ["edge-1  sas, enabled", "edge-1/m1  sas, enabled", "leaf  sas, enabled"]
    assert (process.returncode, errors) == (0, "")
