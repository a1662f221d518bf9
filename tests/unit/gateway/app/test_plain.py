"""The room of the plain listener: addresses, what stops the start, what is said of an open port."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edgewire.message import local_topic
from gateway.app.plain import PlainRoom, address_of
from gateway.app.settings import ConfigError, read_environment
from gateway.observe.broker import PlainListenerOpen
from gateway.observe.events import Event
from gateway.upstream.local_topic import LocalTopic
from support.plain_site import user, write_users


def test_an_address_or_an_interface_can_be_named() -> None:
    assert address_of("10.1.2.3") == "10.1.2.3"
    assert address_of("lo") == "127.0.0.1"
    assert address_of("::") == "::"


def test_a_name_that_is_neither_is_refused_with_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"no interface of this machine.*lo"):
        address_of("eth77")


def test_the_default_is_reachable_from_nowhere_else() -> None:
    environment = read_environment({})
    assert (environment.plain_port, environment.plain_address) == (0, "127.0.0.1")


class Door:
    """A listener that opens nothing."""

    port = 1883

    async def add(self, _name: str, _address: str, _port: int, _serve: Any) -> "Door":
        return self


def room(folder: Path, emit: Any, address: str = "127.0.0.1") -> PlainRoom:
    nothing: Any = None
    environment = read_environment({"GATEWAY_PLAIN_ADDRESS": address, "GATEWAY_PLAIN_PORT": "1883"})
    return PlainRoom(environment, {}, data=folder, mapped=nothing, emit=emit)


@pytest.mark.parametrize(("address", "said"), [("127.0.0.1", False), ("::1", False), ("0.0.0.0", True)])
async def test_what_others_can_reach_is_said(tmp_path: Path, address: str, said: bool) -> None:  # noqa: FBT001 — a row's column
    events: list[Event] = []
    opened = room(tmp_path, events.append, address)
    door: Any = Door()
    await opened.open(door)
    assert [isinstance(event, PlainListenerOpen) for event in events] == [True] * said
    opened.stop()
    opened.close()


@pytest.mark.parametrize("broken", ["users.json", "broker.db"])
async def test_files_that_cannot_be_used_stop_the_start(tmp_path: Path, broken: str) -> None:
    if broken == "users.json":
        (tmp_path / broken).write_text("{")
    else:
        (tmp_path / broken).mkdir()
    with pytest.raises(ConfigError, match=broken):
        room(tmp_path, lambda _: None)


async def test_it_keeps_house_and_knows_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_users(tmp_path, user("ann"))
    events: list[Event] = []
    opened = room(tmp_path, events.append)
    monkeypatch.setattr("gateway.app.plain.LOOK_EVERY_S", 0.001)
    (tmp_path / "users.json").unlink()
    write_users(tmp_path, user("barbara"))  # of another size, too: the file may have the first one's inode and tick
    keeping = asyncio.ensure_future(opened.run())
    async with asyncio.timeout(20):
        while not events:  # noqa: ASYNC110 — the room tells nobody else
            await asyncio.sleep(0.001)
    keeping.cancel()
    assert opened.status() == {"clients": 0, "sessions": 0, "subscriptions": 0, "retained": 0, "waitingBytes": 0}
    assert isinstance(opened.carrier(local_topic("a")), LocalTopic)
    opened.close()
