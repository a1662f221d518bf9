import json
from pathlib import Path

import pytest

from gateway.app import limits as module
from gateway.app.document import GatewaySettings
from gateway.app.limits import FILE_NAME, LimitsRoom
from gateway.dispatch.allowance import Allowance, Allowances, Limits, WhenOver
from gateway.observe.events import Event
from gateway.observe.limits import QuotasNotKept, QuotasUnreadable

DAY = GatewaySettings(limits=Limits(per_device=Allowance(messages_per_day=5, when_over=WhenOver.REFUSE)))
NOBODY = GatewaySettings()
NOON = 20_000 * 86_400 + 43_200.0


class Site:
    def __init__(self, folder: Path) -> None:
        self.now = NOON
        self.told: list[Event] = []
        self.folder = folder

    def room(self) -> LimitsRoom:
        return LimitsRoom(self.folder, self.told.append, lambda: self.now)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_heads_are_told_what_is_in_force(site: Site) -> None:
    room = site.room()
    heard: list[Allowances | None] = []
    room.tell(heard.append)
    room.use(NOBODY)
    room.use(DAY)
    assert room.in_force() is not None
    room.use(NOBODY)
    assert [each is not None for each in heard] == [False, True, False]
    assert room.in_force() is None
    assert room.limited() == ()
    assert not room.is_limited("d1")


async def test_the_day_goes_on_after_a_restart(site: Site) -> None:
    room = site.room()
    room.use(DAY)
    allowances = room.in_force()
    assert allowances is not None
    assert allowances.account("d1").take([1] * 3) == 3
    await room.close()
    path = site.folder / FILE_NAME
    assert json.loads(path.read_bytes()) == {"format": 1, "day": 20_000, "used": {"d1": 3}}
    assert path.stat().st_mode & 0o777 == 0o600
    again = site.room()
    again.use(DAY)
    allowances = again.in_force()
    assert allowances is not None
    assert not again.is_limited("d1")
    assert allowances.account("d1").take([1] * 9) == 2
    assert again.is_limited("d1")
    assert again.limited() == ("d1",)


async def test_it_is_written_seldom(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    room = site.room()
    room.look()
    room.use(DAY)
    allowances = room.in_force()
    assert allowances is not None
    saved: list[dict[str, int]] = []
    monkeypatch.setattr(module, "_save", lambda _path, _day, used: saved.append(used))
    for _ in range(3):
        allowances.account("d1").take([1])
        room.look()
    await room.close()
    assert saved in ([{"d1": 3}], [{"d1": 1}, {"d1": 3}])


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', '{"format": 1, "day": 5, "used": {"d1": "x"}}', "\x00"])
async def test_a_damaged_file_is_told_and_written_anew(site: Site, text: str) -> None:
    (site.folder / FILE_NAME).write_text(text)
    room = site.room()
    room.use(DAY)
    assert [type(event) for event in site.told] == [QuotasUnreadable]
    allowances = room.in_force()
    assert allowances is not None
    assert allowances.account("d1").take([1] * 9) == 5
    await room.close()
    assert json.loads((site.folder / FILE_NAME).read_bytes())["used"] == {"d1": 5}


async def test_a_disk_that_takes_nothing_is_told(site: Site) -> None:
    room = site.room()
    room.use(DAY)
    allowances = room.in_force()
    assert allowances is not None
    allowances.account("d1").take([1])
    (site.folder / f"{FILE_NAME}.new").mkdir()
    await room.close()
    assert [type(event) for event in site.told] == [QuotasNotKept]
    assert allowances.changed
