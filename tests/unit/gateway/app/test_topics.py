import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edgewire.message import identity
from gateway.app import topics as topics_room
from gateway.app.document import GatewaySettings, read_settings
from gateway.app.topics import TopicRoom, add_devices
from gateway.dispatch.mapped import KEPT, Publication, Taken
from gateway.identity.registry import Registry
from gateway.identity.roster import NoCredential, Registration, SymmetricKeys
from gateway.observe.events import Event
from gateway.observe.topics import PublicationsMapped, TopicDevicesNotKept, TopicListener
from support.gateway_site import until
from support.mqtt_site import Site

RULES = [{"match": "site/+room/+", "device": "{room}"}]
KEYS = SymmetricKeys(b"1" * 32, b"2" * 32)

OFF = """
import sys
import gateway.app.gateway
from gateway.app.document import read_settings
assert read_settings({"routes": {"all": "FROM /messages/* INTO $upstream"}}).settings
rooms, files = "gateway.topics", ("dispatch.mapped", "document_topics", "topic_sample")
loaded = {name for name in sys.modules if name.startswith(rooms) or name.endswith(files)}
assert not loaded, loaded
"""


def settings(**more: Any) -> GatewaySettings:
    found = read_settings({"routes": {"all": "FROM /messages/* INTO $upstream"}, **more}).settings
    assert found is not None
    return found


def publish(room: TopicRoom, topic: str) -> list[Sequence[Taken]]:
    answers: list[Sequence[Taken]] = []
    room.intake().accept("plain", [Publication(topic=topic, payload=b"1")], answers.append)
    return answers


def test_where_nobody_maps_topics_nothing_of_it_is_loaded() -> None:
    subprocess.run([sys.executable, "-c", OFF], check=True)


async def test_publications_go_the_way_of_all_messages(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        events: list[Event] = []
        room = TopicRoom(site.ingress, site.registry, tmp_path / "devices.json", events.append)
        room.report()
        assert room.status() is None
        room.use(settings(topics=RULES, topicDevices={"create": True}))
        answers = publish(room, "site/lab/x")
        assert answers == []
        await site.store.flush()
        assert answers == [[KEPT]]
        (entry,) = site.stored()
        assert entry.message.envelope.sender == identity("lab")
        room.report()
        assert events[-1] == PublicationsMapped(TopicListener.PLAIN, 1)
        status = room.status()
        assert status is not None
        assert status["rules"] == 1
        assert room.intake() is room.intake()


async def test_new_settings_hold_from_the_next_publication_on(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        room = TopicRoom(site.ingress, site.registry, tmp_path / "devices.json", lambda _: None)
        ((before,),) = publish(room, "site/lab/x")
        room.use(settings(topics=RULES))
        ((unknown,),) = publish(room, "site/lab/x")
        room.use(settings())
        ((after,),) = publish(room, "site/lab/x")
        assert (before.refusal, after.refusal) == (None, None)
        assert unknown.refusal is not None


async def test_devices_that_come_are_written_down_and_known_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics_room, "COLLECT_S", 0.0)
    async with Site.open(tmp_path) as site:
        room = TopicRoom(site.ingress, site.registry, tmp_path / "devices.json", lambda _: None)
        room.use(settings(topics=RULES, topicDevices={"create": True}))
        running = asyncio.ensure_future(room.run())
        publish(room, "site/lab/x")
        publish(room, "site/hall/x")
        await until(lambda: not room.intake().newcomers())
        running.cancel()
        again = Registry(tmp_path / "devices.json")
        for device in ("lab", "hall"):
            assert again.find(identity(device)) == Registration(identity(device), NoCredential())
        assert site.registry.find(identity("lab")) is not None


async def test_what_cannot_be_written_is_told_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics_room, "COLLECT_S", 0.0)
    monkeypatch.setattr(topics_room, "WRITE_AGAIN_S", 0.0)
    async with Site.open(tmp_path) as site:
        events: list[Event] = []
        file = tmp_path / "elsewhere" / "devices.json"
        room = TopicRoom(site.ingress, site.registry, file, events.append)
        room.use(settings(topics=RULES, topicDevices={"create": True}))
        running = asyncio.ensure_future(room.run())
        publish(room, "site/lab/x")
        await until(lambda: any(isinstance(event, TopicDevicesNotKept) for event in events))
        file.parent.mkdir()
        await until(lambda: not room.intake().newcomers())
        running.cancel()
        assert Registry(file).find(identity("lab")) is not None


def test_an_entry_that_is_there_already_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "devices.json"
    add_devices(file, [])
    assert not file.exists()
    there = Registration(identity("lab"), KEYS)
    Registry(file).edit(lambda roster: roster.with_registration(there))
    add_devices(file, [identity("lab"), identity("hall")])
    roster = Registry(file).roster
    assert roster.registrations[identity("lab")] == there
    assert isinstance(roster.registrations[identity("hall")].credential, NoCredential)
