from pathlib import Path

from gateway.observe.identity import LoginRefused
from support.mqtt_site import HUB
from support.page_house import PageHouse


async def test_what_devices_do_is_in_the_book_a_second_later(tmp_path: Path) -> None:
    async with PageHouse.open(tmp_path) as house:
        house.publish(b'{"temperature": 31}', "kind=climate&%24.ct=application%2Fjson&%24.ce=utf-8")
        book = house.book
        assert book.ledger.devices["d1"].messages == 1
        assert (book.ledger.route("hot").hits, book.ledger.route("all").hits) == (1, 1)
        assert book.ledger.rates[-1] == 1
        assert [seen.routed.routes for seen in book.history.last()] == [("hot", "all")]
        assert [happened.event for happened in book.timeline.last(9)][-1] == "DeviceConnected"


async def test_failed_logins_are_kept_of_registered_devices_alone(tmp_path: Path) -> None:
    async with PageHouse.open(tmp_path) as house:
        for device in ("d2", "made-up"):
            house.site.connect(device, token=b"x", username=f"{HUB}/{device}/?api-version=2021-04-12")
        house.second()
        assert set(house.book.ledger.devices) == {"d2"}
        error = house.book.ledger.devices["d2"].error
        assert error is not None
        assert "'d2'" in error.sentence
        refused = [each for each in house.book.timeline.last(9) if each.event == LoginRefused.__name__]
        assert len(refused) == 2
