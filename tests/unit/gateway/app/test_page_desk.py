import asyncio
from functools import partial
from pathlib import Path

import pytest

from edgewire.message import identity
from gateway.app import page_desk
from gateway.dashboard.answers import NotAnsweredError
from gateway.dashboard.api import Shown
from gateway.identity.roster import CaSigned, NoCredential, Registration, Roster
from gateway.observe.watching import MAX_FOLLOWERS
from support.page_house import JSON, PageHouse

CLIMATE = f"kind=climate&{JSON}"


async def test_devices_are_listed_with_their_state_those_that_are_here_first(tmp_path: Path) -> None:
    async with PageHouse.open(tmp_path) as house:
        house.site.register("off", enabled=False)
        house.publish(b"{}", device="d2").lose()
        house.publish(b"{}", device="d1")
        told = house.desk.devices("", 10, Shown.ALL)
        rows = {row["name"]: row for row in told["devices"]}
        assert list(rows) == ["d1", "d2", "off"]
        assert [rows[name]["state"] for name in rows] == ["connected", "away", "disabled"]
        assert (rows["d1"]["protocol"], rows["d2"]["protocol"]) == ("MQTT", None)
        assert rows["d1"]["connectedAt"]
        assert rows["d2"]["connectedAt"] is None
        assert (rows["d2"]["messages"], rows["d2"]["messagesPerMinute"]) == (1, 1.0)
        assert rows["off"]["lastSeenAt"] is None
        for shown, names in ((Shown.CONNECTED, ["d1"]), (Shown.AWAY, ["d2"]), (Shown.TROUBLE, [])):
            assert [row["name"] for row in house.desk.devices("", 10, shown)["devices"]] == names


async def test_who_is_here_is_counted_whatever_is_listed(tmp_path: Path) -> None:
    async with PageHouse.open(tmp_path) as house:
        house.publish(b"{}", device="d1")
        house.publish(b"{}", device="d2")
        for number in range(3):
            house.site.register(f"spare-{number}")
        told = house.desk.devices("", 1, Shown.ALL)
        assert (len(told["devices"]), told["connected"], told["known"], told["more"]) == (1, 2, 5, 4)
        told = house.desk.devices("", 1, Shown.AWAY)
        assert (told["devices"][0]["state"], told["connected"], told["known"], told["more"]) == ("unknown", 2, 5, 2)


async def test_a_search_finds_by_any_case_and_says_how_many_there_are(tmp_path: Path) -> None:
    async with PageHouse.open(tmp_path) as house:
        for number in range(5):
            house.site.register(f"Board-{number}")
        assert len(house.desk.devices("bOARD", 3, Shown.ALL)["devices"]) == 3
        told = house.desk.devices("board", 3, Shown.ALL)
        assert (told["found"], told["more"]) == (5, 2)
        nobody = {"devices": [], "known": 0, "connected": 0, "found": 0, "more": 0}
        assert house.desk.devices("none", 3, Shown.ALL) == nobody
        assert house.desk.devices("board-1", 3, Shown.ALL)["devices"][0]["state"] == "unknown"


async def test_a_device_says_what_it_listens_to_and_how_it_logs_in(tmp_path: Path) -> None:
    async with PageHouse.open(tmp_path) as house:
        house.publish(b'{"temperature": 3}', CLIMATE)
        told = house.desk.device("d1")
        assert told["credential"] == "symmetric keys"
        assert told["subscriptions"] == {"messages": False, "methods": False}
        assert told["properties"] == {"kind": "climate"}
        assert told["lastMessage"]["routes"] == ["all"]
        with pytest.raises(NotAnsweredError, match="there is no device 'none'") as refused:
            house.desk.device("none")
        assert refused.value.status == 404
        for credential, words in ((CaSigned(), "authority"), (NoCredential(), "by its topics")):
            entry = Registration(identity("other"), credential)
            house.site.registry.edit(partial(Roster.with_registration, registration=entry))
            assert words in house.desk.device("other")["credential"]


async def test_messages_routes_and_events_are_told(tmp_path: Path) -> None:
    async with PageHouse.open(tmp_path) as house:
        house.publish(b'{"temperature": 31}', CLIMATE)
        (row,) = house.desk.messages(9, "")["messages"]
        assert (row["body"], row["routes"]) == ('{"temperature": 31}', ["hot", "all"])
        assert (len(house.desk.messages(9, "d1")["messages"]), house.desk.messages(9, "d2")["messages"]) == (1, [])
        told = house.desk.message(row["n"])
        assert told["sample"] == {
            "device": "d1",
            "body": '{"temperature": 31}',
            "properties": {"kind": "climate"},
            "systemProperties": {"contentType": "application/json", "contentEncoding": "utf-8"},
            "source": "messages",
        }
        with pytest.raises(NotAnsweredError, match="not kept any more"):
            house.desk.message(99)
        routes = house.desk.routes()
        assert (routes["version"], routes["source"], routes["unrouted"]) == (3, "twin", 0)
        assert routes["document"]["routes"]["all"] == "FROM /messages/* INTO $upstream"
        hot = routes["routes"][0]
        assert (hot["priority"], hot["hits"], hot["timeToLiveSecs"]) == (1, 1, 7200)
        assert routes["routes"][1]["priority"] is None
        assert house.desk.events(1)["events"][0]["event"] == "DeviceConnected"


async def test_the_flow_is_followed_by_device_route_and_text(tmp_path: Path) -> None:
    async with PageHouse.open(tmp_path) as house:
        followers = {
            name: house.desk.follow(device=device, route=route, text=text)
            for name, device, route, text in (
                ("everything", "", "", ""),
                ("device", "D", "", ""),
                ("no device", "other", "", ""),
                ("route", "", "hot", ""),
                ("no route", "", "ho", ""),
                ("text", "", "", "TEMPERATURE"),
                ("no text", "", "", "humidity"),
            )
        }
        house.publish(b'{"temperature": 31}', CLIMATE)
        seen = {name: len(follower.take()[0]) for name, follower in followers.items()}
        assert seen == {
            "everything": 1,
            "device": 1,
            "no device": 0,
            "route": 1,
            "no route": 0,
            "text": 1,
            "no text": 0,
        }
        for _ in range(MAX_FOLLOWERS - len(followers)):
            house.desk.follow(device="", route="", text="")
        with pytest.raises(NotAnsweredError) as refused:
            house.desk.follow(device="", route="", text="")
        assert refused.value.status == 429
        house.desk.unfollow(followers["text"])
        house.desk.follow(device="", route="", text="")
        assert house.desk.timeline is house.book.timeline


async def test_routes_in_force_and_edited_ones_are_tried(tmp_path: Path) -> None:
    async with PageHouse.open(tmp_path) as house:
        house.publish(b'{"temperature": 31}', CLIMATE)
        (row,) = house.desk.messages(9, "")["messages"]
        in_force = await house.desk.try_routes({"n": row["n"]})
        assert [(each["name"], each["matches"]) for each in in_force["routes"]] == [("hot", True), ("all", True)]
        edited = {"hot": "FROM /messages/* WHERE $body.temperature > 50 INTO $upstream"}
        assert not (await house.desk.try_routes({"n": row["n"], "routes": edited}))["routes"][0]["matches"]
        replay = await house.desk.replay({"routes": edited})
        assert [(each["name"], each["now"], each["then"]) for each in replay["routes"]] == [
            ("hot", 1, 0),
            ("all", 1, 0),
        ]
        with pytest.raises(NotAnsweredError, match="is not kept any more"):
            await house.desk.try_routes({"n": 99})


async def test_few_trials_run_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_desk, "MAX_TRIALS", 1)
    async with PageHouse.open(tmp_path) as house:
        house.publish(b"{}")
        asked = [asyncio.ensure_future(house.desk.replay({})) for _ in range(2)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(results[1], NotAnsweredError)
        assert results[1].status == 429
        assert (await house.desk.replay({}))["tried"] == 1


async def test_what_is_sent_to_devices_goes_to_them(tmp_path: Path) -> None:
    async with PageHouse.open(tmp_path) as house:
        for deed, asked, status in (
            (house.desk.send, {"body": "on"}, 409),
            (house.desk.call, {"method": "blink"}, 404),
            (house.desk.edit_twin, {"desired": {}}, 409),
        ):
            with pytest.raises(NotAnsweredError) as refused:
                await deed("d1", asked)
            assert refused.value.status == status
        with pytest.raises(NotAnsweredError, match="keeps no twins"):
            await house.desk.twin("d1")
