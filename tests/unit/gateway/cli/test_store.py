import argparse
import asyncio
import json
from pathlib import Path

import pytest

from edgewire.message import UPSTREAM, Delivery, module_input
from faults.inline import message
from gateway.cli import store as command
from gateway.store.files import DiskFiles
from gateway.store.segment import SEGMENT
from gateway.store.store import Store
from gateway.store.values import StoreLimits

SEGMENT_FILE = "0000000000000001.segment"


def gateway(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers(dest="command"))
    return command.run(parser.parse_args(["store", *arguments]))


async def fill(data: Path) -> None:
    store = Store.open(data / "store", StoreLimits(), lambda event: None)
    for number in range(5):
        deliveries = (Delivery(UPSTREAM, 0), Delivery(module_input("m", "i"), 5))
        store.append([(message(b"%d" % number), deliveries)], lambda result: None)
        await store.flush()
    await store.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    asyncio.run(fill(tmp_path))
    return tmp_path


def break_batch(data: Path) -> None:
    path = data / "store" / SEGMENT_FILE
    content = bytearray(path.read_bytes())
    content[SEGMENT.size + 60] ^= 1
    path.write_bytes(content)


def test_status_is_readable(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gateway("status", "--data", str(data)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("10 deliveries wait; ")
    assert lines[0].endswith(" B on disk in 1 segment")
    assert lines[1].split() == ["endpoint", "priority", "messages", "size", "oldest"]
    assert lines[2].split()[:3] == ["$upstream", "0", "5"]
    assert lines[3].split()[:3] == ["/modules/m/inputs/i", "5", "5"]


def test_status_is_there_for_programs(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "store" / "old.segment.damaged").write_bytes(b"12345")
    assert gateway("status", "--data", str(data), "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["messages"] == 10
    assert answer["setAsideFiles"] == 1
    assert answer["queues"][0]["endpoint"] == "$upstream"
    assert answer["queues"][0]["oldestAgeSecs"] >= 0
    assert gateway("status", "--data", str(data)) == 0
    assert "1 file set aside" in capsys.readouterr().out


def test_status_of_an_empty_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def make() -> None:
        await Store.open(tmp_path / "store", StoreLimits(), lambda event: None).close()

    asyncio.run(make())
    assert gateway("status", "--data", str(tmp_path)) == 0
    assert "0 deliveries wait; 0 B on disk in 0 segments" in capsys.readouterr().out


def test_the_data_directory_comes_from_the_environment(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(data))
    assert gateway("verify") == 0
    assert "no damage" in capsys.readouterr().out


def test_no_store_is_said_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty" / "store").mkdir(parents=True)
    for data in (tmp_path, tmp_path / "empty"):
        for action in ("status", "verify", "repair"):
            assert gateway(action, "--data", str(data)) == 1
            assert "--data DIR" in capsys.readouterr().err


def test_verify_names_damage_and_the_repair(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    break_batch(data)
    assert gateway("verify", "--data", str(data)) == 1
    out = capsys.readouterr().out
    assert f"{data}/store/{SEGMENT_FILE}, byte {SEGMENT.size}" in out
    assert f"gateway store repair --data {data}" in out
    assert gateway("verify", "--data", str(data), "--json") == 1
    (damage,) = json.loads(capsys.readouterr().out)["damage"]
    assert (damage["file"], damage["offset"]) == (SEGMENT_FILE, SEGMENT.size)


def test_verify_tells_a_torn_tail_from_damage(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data / "store" / "0000000000000006.segment"
    header = (data / "store" / SEGMENT_FILE).read_bytes()[: SEGMENT.size]
    path.write_bytes(header[:20] + b"torn")
    assert gateway("verify", "--data", str(data)) == 0
    assert "no damage" in capsys.readouterr().out


def test_repair_says_what_is_lost_and_where_the_files_are(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    break_batch(data)
    assert gateway("repair", "--data", str(data)) == 0
    out = capsys.readouterr().out
    assert "4 records kept" in out
    assert "lost: 1 record, sequence 1 to 1" in out
    assert f"{SEGMENT_FILE}.damaged" in out
    assert gateway("repair", "--data", str(data)) == 0
    assert capsys.readouterr().out == "nothing to repair\n"
    assert gateway("repair", "--data", str(data), "--json") == 0
    assert json.loads(capsys.readouterr().out)["lostRecords"] == 0


def test_repair_that_loses_nothing_says_so(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "store" / "queues").write_bytes(b"")
    assert gateway("status", "--data", str(data)) == 1
    assert "gateway store repair" in capsys.readouterr().err
    assert gateway("repair", "--data", str(data)) == 0
    assert "no record that anybody waited for is lost" in capsys.readouterr().out


def test_repair_refuses_while_a_gateway_has_the_store(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = DiskFiles(data / "store")
    files.lock()
    assert gateway("repair", "--data", str(data)) == 2
    assert "another gateway has it open" in capsys.readouterr().err
    assert gateway("status", "--data", str(data)) == 0
    files.unlock()


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2_000_000, "2.0 MB"), (3e9, "3.0 GB")]
)
def test_sizes_are_readable(size: float, text: str) -> None:
    assert command._size(size) == text


@pytest.mark.parametrize(("age_s", "text"), [(5, "5 s"), (90, "1.5 min"), (7200, "2.0 h"), (172_800, "2.0 d")])
def test_ages_are_readable(age_s: float, text: str) -> None:
    assert command._age(age_s) == text
