import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest
from cryptography import x509

from gateway.app import revocation_files
from gateway.app.revocation_files import RevocationFiles
from gateway.app.settings import ConfigError
from gateway.identity.revocation import Revocation, Revocations, WhenOld, links_of
from gateway.observe.certificates import CertificateKind, RevocationListUnusable
from gateway.observe.events import Event
from issuing import NOON, Issued, authority, ec_key, issue
from support.revocation import revocation_list

ROOT = authority("root")
D1, D2 = issue("d1", by=ROOT), issue("d2", by=ROOT)


def known() -> Iterable[x509.Certificate]:
    return [ROOT.certificate]


def files_at(place: Path, events: list[Event], when_old: WhenOld = WhenOld.ACCEPT) -> RevocationFiles:
    return RevocationFiles(place, when_old, events.append, known=known)


def is_revoked(files: RevocationFiles, device: Issued) -> bool:
    links = links_of([device.certificate, ROOT.certificate])
    return files.revocations.problem_with(links, NOON.timestamp()) is Revocation.REVOKED


def test_a_file_is_read_and_read_again_when_it_has_changed(tmp_path: Path) -> None:
    place, events = tmp_path / "crl.pem", list[Event]()
    place.write_bytes(revocation_list(ROOT, D1))
    files = files_at(place, events)
    assert [is_revoked(files, each) for each in (D1, D2)] == [True, False]
    assert not files.look_again()
    place.write_bytes(revocation_list(ROOT, D1, D2, number=2))
    assert files.look_again()
    assert is_revoked(files, D2)
    assert (files.name, events) == (str(place), [])


def test_a_folder_gives_all_its_lists_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("not a list")
    files = files_at(tmp_path, [])
    assert len(files.revocations.lists) == 0, "an empty folder revokes nobody"
    (tmp_path / "one.pem").write_bytes(revocation_list(ROOT, D1))
    (tmp_path / "two.crl").write_bytes(revocation_list(ROOT, D2))
    assert files.look_again()
    assert [is_revoked(files, each) for each in (D1, D2)] == [True, True]
    (tmp_path / "two.crl").unlink()
    assert files.look_again()
    assert not is_revoked(files, D2)


def test_a_list_that_went_missing_lets_nobody_in_again(tmp_path: Path) -> None:
    other, events = authority("other"), list[Event]()
    (tmp_path / "one.pem").write_bytes(revocation_list(ROOT, D1))
    (tmp_path / "other.pem").write_bytes(revocation_list(other))
    files = files_at(tmp_path, events)
    for name in ("one.pem", "other.pem"):
        (tmp_path / name).unlink()
        files.look_again()
        assert is_revoked(files, D1)
    assert [event.sentence().partition(" has ")[2][:30] for event in events] == [
        "no list of CN=root any more. T",
        "no list of CN=other and of CN=",
    ]
    (tmp_path / "one.pem").write_bytes(revocation_list(ROOT, D2, number=2))
    (tmp_path / "other.pem").write_bytes(revocation_list(other))
    assert files.look_again()
    assert [is_revoked(files, each) for each in (D1, D2)] == [False, True], "a newer list of the authority counts"
    assert len(events) == 2


@pytest.mark.parametrize("spoil", ["garbage", "forged", "gone", "large"])
def test_what_cannot_be_used_stops_a_start_and_later_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: str
) -> None:
    place, events = tmp_path / "crl.pem", list[Event]()
    place.write_bytes(revocation_list(ROOT, D1))
    files = files_at(place, events)
    if spoil == "gone":
        place.unlink()
    elif spoil == "large":
        monkeypatch.setattr(revocation_files, "MAX_BYTES", 100)
        place.write_bytes(revocation_list(ROOT))
    else:
        place.write_bytes(b"garbage" if spoil == "garbage" else revocation_list(ROOT, key=ec_key()))
    assert not files.look_again()
    assert not files.look_again()
    assert is_revoked(files, D1)
    (event,) = events
    assert isinstance(event, RevocationListUnusable)
    assert event.sentence().endswith("The lists before stay in force")
    says = {
        "garbage": "`edgeca crl` writes them",
        "forged": "was not signed by it. Fetch it anew",
        "gone": "cannot be read",
        "large": "Take old lists out",
    }[spoil]
    assert says in event.sentence()
    with pytest.raises(ConfigError) as raised:
        files_at(place, [])
    assert says in str(raised.value)


def test_one_that_is_forged_by_an_authority_that_comes_later_is_told_at_the_login(tmp_path: Path) -> None:
    issuing = authority("issuing", by=ROOT)
    device, events = issue("d3", by=issuing), list[Event]()
    (tmp_path / "crl.pem").write_bytes(revocation_list(issuing, device, key=ec_key()))
    files = files_at(tmp_path / "crl.pem", events)
    links = links_of([device.certificate, issuing.certificate, ROOT.certificate])
    for _ in range(2):
        assert files.revocations.problem_with(links, NOON.timestamp()) is None
    (event,) = events
    assert "does not count for it. Fetch it anew from its authority" in event.sentence()


@pytest.mark.parametrize(
    ("when_old", "says"),
    [(WhenOld.ACCEPT, "who is not on it is let in"), (WhenOld.REFUSE, "nobody with a certificate of this authority")],
)
def test_lists_are_watched_for_their_next_update(tmp_path: Path, when_old: WhenOld, says: str) -> None:
    old = revocation_list(ROOT, at=NOON.replace(year=2029), until=NOON.replace(month=1, day=2))
    (tmp_path / "crl.pem").write_bytes(revocation_list(ROOT, D1) + old)
    (found,) = files_at(tmp_path / "crl.pem", [], when_old).candidates()
    assert (found.kind, found.name) == (CertificateKind.REVOCATION_LIST, "revocation list of CN=root")
    assert found.ends_at == NOON.timestamp() + 30 * 86_400, "the newest counts"
    assert says in found.advice
    assert f"write it to {tmp_path / 'crl.pem'}" in found.advice


async def test_whoever_keeps_them_hears_of_new_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation_files, "LOOK_EVERY_S", 0.001)
    place = tmp_path / "crl.pem"
    place.write_bytes(revocation_list(ROOT))
    files = files_at(place, [])
    heard: asyncio.Queue[Revocations] = asyncio.Queue()
    keeping = asyncio.ensure_future(files.keep(heard.put_nowait))
    place.write_bytes(revocation_list(ROOT, D1))
    async with asyncio.timeout(10):
        assert await heard.get() is files.revocations
    keeping.cancel()
